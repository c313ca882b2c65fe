package dotsock

import "sync/atomic"

// A guard keeps a C object alive for as long as calls use it: once it is shut no call enters any
// more, and the last one to leave frees the object.
type guard struct {
	// How many calls are inside; with isShut added once the guard is shut.
	calls atomic.Int64
	free  func()
	freed chan struct{}
}

const isShut = 1 << 62

func (g *guard) init(free func()) {
	g.free = free
	g.freed = make(chan struct{})
}

// enter tells whether the object may be used, until leave.
func (g *guard) enter() bool {
	if g.calls.Add(1) < isShut {
		return true
	}
	g.leave()
	return false
}

func (g *guard) leave() {
	if g.calls.Add(-1) == isShut && g.calls.CompareAndSwap(isShut, isShut+gone) {
		g.free()
		close(g.freed)
	}
}

// gone keeps those that knock in vain from freeing the object again.
const gone = 1 << 61

// shut lets nobody enter any more. The first to call it is told so, and is inside: it makes the
// calls that are in progress end, leaves, and waits for freed.
func (g *guard) shut() (first bool) {
	for {
		calls := g.calls.Load()
		if calls >= isShut {
			return false
		}
		if g.calls.CompareAndSwap(calls, calls+isShut+1) {
			return true
		}
	}
}

func (g *guard) isShut() bool { return g.calls.Load() >= isShut }
