package dotsock

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// A goroutine that is in C holds a thread, and when that is not back soon, Go starts another one
// for the goroutines that are ready, and never ends it. When a thousand clients wake up at once,
// or are made at once, they must not get a thread each: so only a few are in C at the same time.

// quick is for calls that do not wait: as many as can run.
var quick = make(chan struct{}, max(2, runtime.GOMAXPROCS(0)))

// slow is for connecting and closing, which may wait, though they hardly ever do.
var slow = make(chan struct{}, 4)

// A server that does not answer must not hold up everybody else.
const patience = 100 * time.Millisecond

// takeTurn waits for a place among the slow calls, which is given up by release, or after a while.
// It says false when ctx is done before.
func takeTurn(ctx context.Context) (release func(), ok bool) {
	if ctx.Err() != nil {
		return nil, false
	}
	select {
	case slow <- struct{}{}:
	case <-ctx.Done():
		return nil, false
	}
	once := sync.OnceFunc(func() { <-slow })
	timer := time.AfterFunc(patience, once)
	return func() {
		timer.Stop()
		once()
	}, true
}
