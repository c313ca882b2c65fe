package dotsock

// #include "glue.h"
import "C"

import (
	"context"
	"os"
	"syscall"
	"time"
)

// A waiter waits for the descriptor of a server or client in Go's own poller, so that a goroutine
// that waits holds no thread.
type waiter struct {
	file *os.File
	conn syscall.RawConn
	fd   C.int
}

const noDescriptor = "No descriptor to wait with could be made"

func newWaiter(fd C.int) (*waiter, error) {
	own := C.own_descriptor(fd)
	if own < 0 {
		return nil, systemError(noDescriptor, syscall.Errno(-own))
	}
	w := &waiter{file: os.NewFile(uintptr(own), "dotsock"), fd: own}
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
// It fails with os.ErrClosed after close, and with os.ErrDeadlineExceeded when ctx is done.
func (w *waiter) wait(ctx context.Context, look func(woken bool) bool) error {
	waits := false
	var disarm func()
	err := w.conn.Read(func(uintptr) bool {
		if look(waits) {
			return true
		}
		if !waits && ctx.Done() != nil {
			disarm = w.arm(ctx)
		}
		waits = true
		return false
	})
	if disarm != nil {
		disarm()
	}
	return err
}

var longAgo = time.Unix(1, 0)

// arm makes ctx end the wait. What it returns undoes that.
func (w *waiter) arm(ctx context.Context) (disarm func()) {
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		w.file.SetReadDeadline(longAgo)
		close(ended)
	})
	return func() {
		if !stop() {
			<-ended
			w.file.SetReadDeadline(time.Time{})
		}
	}
}

func (w *waiter) close() { w.file.Close() }
