package dotsock_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"dotsock"
)

// underSignals makes a call on a thread that gets a signal each millisecond, as those of a program
// do that is profiled or has children.
func underSignals(t *testing.T, call func()) {
	t.Helper()
	thread, ended := make(chan int), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		thread <- syscall.Gettid()
		call()
	}()
	id := <-thread
	for {
		select {
		case <-ended:
			return
		case <-time.After(time.Millisecond):
			// The runtime's own, which it ignores when it has no use for it. The thread may be gone.
			syscall.RawSyscall(syscall.SYS_TGKILL, uintptr(os.Getpid()), uintptr(id),
				uintptr(syscall.SIGURG))
		}
	}
}

// Each wait takes its time anew after a signal: that must not go on for ever.
func TestSignalsDoNotProlongAWait(t *testing.T) {
	sandbox(t)
	client, err := dotsock.Open("my_event", dotsock.SendTimeout(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience/3)
	defer cancel()
	underSignals(t, func() { err = client.Send(ctx, nil) })
	if !errors.Is(err, dotsock.ErrTimeout) || ctx.Err() != nil {
		t.Errorf("got %v, want ErrTimeout of the option", err)
	}
	// Nor do signals keep a context from ending a call.
	soon, stop := context.WithTimeout(ctx, time.Millisecond)
	defer stop()
	underSignals(t, func() { err = client.Send(soon, nil) })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
}
