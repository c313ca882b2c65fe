package dotsock_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"
	"time"

	"dotsock"
)

func TestAThousandIdleClientsHoldFewThreads(t *testing.T) {
	sandbox(t)
	if err := start(t, "threads").Wait(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatal("see above")
		}
		t.Fatal(err)
	}
}

// resident is this process's resident memory in bytes, after a collection.
func resident(t *testing.T) int {
	t.Helper()
	runtime.GC()
	runtime.GC()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func TestTenThousandCyclesLeaveNothingBehind(t *testing.T) {
	sandbox(t)
	server := listen(t, "my_event", dotsock.Linger(0))
	cycle := func(ctx context.Context) {
		client, err := dotsock.Dial(ctx, "my_event", dotsock.Linger(0))
		if err != nil {
			t.Fatal(err)
		}
		soon, cancel := context.WithTimeout(ctx, time.Microsecond)
		client.Receive(soon)
		cancel()
		client.Close()
	}
	serverCycle := func(ctx context.Context) {
		other, err := dotsock.Listen(ctx, "another", dotsock.Linger(0))
		if err != nil {
			t.Fatal(err)
		}
		other.Close()
	}
	cycles := func(clients, servers int) {
		ctx := background(t)
		for range clients {
			cycle(ctx)
		}
		for range servers {
			serverCycle(ctx)
		}
		eventually(t, "all clients gone", func() bool {
			n, _ := server.Stat("clients")
			return n == 0
		})
	}
	cycles(500, 500)
	descriptorsBefore, goroutinesBefore := descriptors(t), runtime.NumGoroutine()
	// A leak goes on; what the allocators and the race detector keep for themselves does not.
	const rounds = 5
	for round := 1; ; round++ {
		before := resident(t)
		cycles(10_000, 2_000)
		grown := resident(t) - before
		if grown <= 4<<20 {
			break
		}
		if round == rounds {
			t.Fatalf("memory grows all the time, at last by %d KiB", grown>>10)
		}
	}
	eventually(t, "no descriptor left behind", func() bool {
		return descriptors(t) <= descriptorsBefore
	})
	eventually(t, "no goroutine left behind", func() bool {
		return runtime.NumGoroutine() <= goroutinesBefore
	})
}

// What is forgotten without Close is closed when it is collected: the server's socket too.
func TestForgotten(t *testing.T) {
	dir := sandbox(t)
	before := descriptors(t)
	func() {
		server, err := dotsock.Listen(background(t), "my_event")
		if err != nil {
			t.Fatal(err)
		}
		client, err := dotsock.Dial(background(t), "my_event")
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Send(numbered{1}); err != nil {
			t.Fatal(err)
		}
		for message, err := range client.Messages(background(t)) {
			if err != nil || number(t, message) != 1 {
				t.Fatal(message, err)
			}
			break
		}
	}()
	eventually(t, "the server and the client were collected", func() bool {
		runtime.GC()
		_, err := os.Stat(dir + "/my_event.sock")
		return errors.Is(err, os.ErrNotExist) && descriptors(t) <= before
	})
}

// A collection in the middle of a wait takes nothing away, even where the wait is all that is left
// of a client or a server.
func TestACollectionWhileWaiting(t *testing.T) {
	server, _ := pair(t)
	received := make(chan error, 1)
	followed := make(chan error, 1)
	func() {
		client, err := dotsock.Dial(background(t), "my_event")
		if err != nil {
			t.Fatal(err)
		}
		nextEvent(t, server, dotsock.ClientConnected)
		other, err := dotsock.Listen(background(t), "another")
		if err != nil {
			t.Fatal(err)
		}
		ctx := background(t)
		go func() {
			for _, err := range client.Messages(ctx) {
				received <- err
				return
			}
		}()
		go func() {
			for _, err := range other.Events(ctx) {
				followed <- err
				return
			}
		}()
	}()
	eventually(t, "both wait", func() bool {
		return waits("IO wait", "Client).Messages") && waits("select", "Server).Events")
	})
	for range 10 {
		runtime.GC()
	}
	send(t, server, nil)
	dial(t, "another")
	for _, ended := range []chan error{received, followed} {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// Everything at once, from many goroutines, and closed in the middle of it.
func TestConcurrentUseAndClose(t *testing.T) {
	for range 20 {
		func() {
			sandbox(t)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			server := listen(t, "my_event", dotsock.Linger(0))
			client := dial(t, "my_event", dotsock.Linger(0))
			var group sync.WaitGroup
			run := func(call func() error) {
				group.Add(1)
				go func() {
					defer group.Done()
					for {
						if err := call(); err != nil {
							if !errors.Is(err, dotsock.ErrClosed) &&
								!errors.Is(err, dotsock.ErrNotRunning) {
								t.Error(err)
							}
							return
						}
					}
				}()
			}
			for range 2 {
				run(func() error { return server.Send(numbered{1}) })
				run(func() error { _, err := server.Clients(); return err })
				run(func() error { return client.Send(ctx, numbered{1}) })
				run(func() error { _, err := client.Receive(ctx); return err })
				run(func() error {
					soon, cancel := context.WithTimeout(ctx, 50*time.Microsecond)
					defer cancel()
					if _, err := client.Receive(soon); !errors.Is(err, dotsock.ErrTimeout) {
						return err
					}
					return nil
				})
				run(func() error {
					for _, err := range server.Events(ctx) {
						return err
					}
					return nil
				})
			}
			time.Sleep(5 * time.Millisecond)
			for range 2 {
				group.Add(2)
				go func() { defer group.Done(); client.Close() }()
				go func() { defer group.Done(); server.Close() }()
			}
			group.Wait()
		}()
	}
}
