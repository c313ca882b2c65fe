package dotsock

// #include "glue.h"
import "C"

import (
	"context"
	"os"
	"sync"
	"syscall"
	"time"
)

// A waiter waits for the descriptor of a server or client in Go's own poller, so that a goroutine
// that waits holds no thread.
type waiter struct {
	file *os.File
	conn syscall.RawConn
	fd   C.int

	// Of the wait that is going on.
	look  func(woken bool) bool
	woken bool
	step  func(fd uintptr) bool

	mutex sync.Mutex
	// Who may end the wait; guarded by mutex.
	breaker *breaker
}

const noDescriptor = "No descriptor to wait with could be made"

func newWaiter(fd C.int) (*waiter, error) {
	own := C.own_descriptor(fd)
	if own < 0 {
		return nil, systemError(noDescriptor, syscall.Errno(-own))
	}
	w := &waiter{file: os.NewFile(uintptr(own), "dotsock"), fd: own}
	w.step = w.advance
	// What the poller does not take cannot have a deadline either.
	err := w.file.SetReadDeadline(time.Time{})
	if err == nil {
		w.conn, err = w.file.SyscallConn()
	}
	if err != nil {
		w.file.Close()
		return nil, systemError(noDescriptor, err)
	}
	return w, nil
}

// wait calls look until that is true, and between two calls waits until the descriptor becomes
// readable: look must have seen that it was not. woken tells that it is. One goroutine at a time.
//
// It fails with os.ErrClosed after close, and with os.ErrDeadlineExceeded when the breaker ends it.
func (w *waiter) wait(b *breaker, look func(woken bool) bool) error {
	w.look, w.woken = look, false
	if !w.use(b) {
		return os.ErrDeadlineExceeded
	}
	defer func() {
		w.use(nil)
		// It knows the client, which would never be collected.
		w.look = nil
	}()
	return w.conn.Read(w.step)
}

func (w *waiter) advance(uintptr) bool {
	if w.look(w.woken) {
		return true
	}
	if !w.woken {
		w.woken = true
		w.breaker.arm()
	}
	return false
}

// use makes a breaker the one that ends the wait, unless it is broken already.
func (w *waiter) use(b *breaker) bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.breaker != nil && w.breaker.broken {
		w.file.SetReadDeadline(time.Time{})
	}
	w.breaker = b
	return b == nil || !b.broken
}

func (w *waiter) close() { w.file.Close() }

// A breaker ends waits when a context is done. It can be used for one after the other, so that
// following many messages costs no more than the first.
type breaker struct {
	ctx    context.Context
	waiter *waiter
	stop   func() bool
	broken bool // guarded by the waiter's mutex
}

func (b *breaker) arm() {
	if b.stop == nil && b.ctx.Done() != nil {
		b.stop = context.AfterFunc(b.ctx, b.breakOff)
	}
}

var longAgo = time.Unix(1, 0)

func (b *breaker) breakOff() {
	b.waiter.mutex.Lock()
	defer b.waiter.mutex.Unlock()
	b.broken = true
	if b.waiter.breaker == b {
		b.waiter.file.SetReadDeadline(longAgo)
	}
}

// disarm forgets the context.
func (b *breaker) disarm() {
	if b.stop != nil {
		b.stop()
	}
}
