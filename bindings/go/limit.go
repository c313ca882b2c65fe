package dotsock

import (
	"sync"
	"time"
)

// Connecting and closing are calls that may wait on a thread, though they hardly ever do. A program
// that makes a thousand clients at once must not get a thread for each of them, since Go never
// gives a thread back; nor may a server that does not answer hold up everybody else.
var atOnce = make(chan struct{}, 8)

const patience = 100 * time.Millisecond

// aFew waits until fewer than a few such calls are going on, not counting those that are slow.
func aFew() (release func()) {
	atOnce <- struct{}{}
	once := sync.OnceFunc(func() { <-atOnce })
	timer := time.AfterFunc(patience, once)
	return func() {
		timer.Stop()
		once()
	}
}
