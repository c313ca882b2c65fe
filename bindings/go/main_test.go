package dotsock_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"dotsock"
)

// patience is how long anything may take in a test. Nothing waits that long unless it fails.
const patience = 30 * time.Second

// child names the environment variable that makes this binary one of the programs below: for what
// has to happen in another process.
const child = "DOTSOCK_TEST_CHILD"

var children = map[string]func() error{
	"server":  serveAlive,
	"source":  serveOnRequest,
	"threads": countThreads,
}

func TestMain(m *testing.M) {
	if name := os.Getenv(child); name != "" {
		if err := children[name](); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(inSandbox(m.Run))
}

// inSandbox gives what makes none of its own, as examples do, a directory of sockets.
func inSandbox(run func() int) int {
	dir, err := os.MkdirTemp("", "dotsock")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	os.Setenv("DOTSOCK_SOCKET_DIR", dir+"/sockets")
	os.Setenv("XDG_CONFIG_HOME", dir)
	return run()
}

// start runs one of the children; it is killed at the end of the test.
func start(t testing.TB, name string) *exec.Cmd {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), child+"="+name)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Kill()
		command.Wait()
	})
	return command
}

// sandbox gives a test a directory of sockets of its own.
func sandbox(t testing.TB) string {
	t.Helper()
	dir := t.TempDir() + "/sockets"
	t.Setenv("DOTSOCK_SOCKET_DIR", dir)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	return dir
}

func background(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func listen(t testing.TB, event string, options ...dotsock.Option) *dotsock.Server {
	t.Helper()
	server, err := dotsock.Listen(background(t), event, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return server
}

func dial(t testing.TB, event string, options ...dotsock.Option) *dotsock.Client {
	t.Helper()
	client, err := dotsock.Dial(background(t), event, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// pair is a server and a client that are connected.
func pair(t testing.TB, options ...dotsock.Option) (*dotsock.Server, *dotsock.Client) {
	t.Helper()
	sandbox(t)
	server := listen(t, "my_event", options...)
	client := dial(t, "my_event", options...)
	nextEvent(t, server, dotsock.ClientConnected)
	return server, client
}

func nextEvent(t testing.TB, server *dotsock.Server, kind dotsock.Kind) dotsock.Event {
	t.Helper()
	for event, err := range server.Events(background(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if event.Kind != kind {
			t.Fatalf("got the event %v, want %v", event, kind)
		}
		return event
	}
	panic("unreachable")
}

func receive(t testing.TB, client *dotsock.Client) *dotsock.Message {
	t.Helper()
	message, err := client.Receive(background(t))
	if err != nil {
		t.Fatal(err)
	}
	return message
}

func send(t testing.TB, server *dotsock.Server, data any) {
	t.Helper()
	if err := server.Send(data); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until something is so.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// waits tells whether a goroutine is in a state, as the runtime calls it, inside of a function.
func waits(state, function string) bool {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		head, frames, _ := strings.Cut(stack, "\n")
		if strings.Contains(head, "["+state) && strings.Contains(frames, function) {
			return true
		}
	}
	return false
}

type numbered struct {
	N int `msgpack:"n"`
}

func number(t testing.TB, message *dotsock.Message) int {
	t.Helper()
	var data numbered
	if err := message.Decode(&data); err != nil {
		t.Fatal(err)
	}
	return data.N
}

// threads is how many threads this process has.
func threads() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return -1
	}
	_, rest, _ := strings.Cut(string(status), "\nThreads:")
	var n int
	fmt.Sscan(rest, &n)
	return n
}

// descriptors is how many this process has open.
func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// --- Children -------------------------------------------------------------------------------------

// serveAlive is a server that says its process id to every client, until it is killed.
func serveAlive() error {
	server, err := dotsock.Listen(context.Background(), "my_event", dotsock.RetainLast())
	if err != nil {
		return err
	}
	if err := server.Send(map[string]any{"pid": os.Getpid()}); err != nil {
		return err
	}
	select {}
}

// serveOnRequest is a server that sends as many messages as a client asks for, at the pace it asks
// for.
func serveOnRequest() error {
	server, err := dotsock.Listen(context.Background(), "my_event", dotsock.SlowClient(dotsock.Block))
	if err != nil {
		return err
	}
	for event, err := range server.Events(context.Background()) {
		if err != nil {
			return err
		}
		if event.Kind != dotsock.MessageReceived {
			continue
		}
		var request struct {
			Count int           `json:"count"`
			Pause time.Duration `json:"pause"`
		}
		if err := event.Message.Decode(&request); err != nil {
			return err
		}
		if err := burst(server, request.Count, request.Pause); err != nil {
			return err
		}
	}
	return nil
}

// burst sends messages with 64 bytes of payload.
func burst(server *dotsock.Server, count int, pause time.Duration) error {
	payload := dotsock.Raw("\x81\xa4text\xd9\x38" + strings.Repeat("x", 56))
	if pause == 0 {
		if err := server.Cork(); err != nil {
			return err
		}
		defer server.Uncork()
	}
	for range count {
		if err := server.Send(payload); err != nil {
			return err
		}
		time.Sleep(pause)
	}
	return nil
}

// countThreads has a thousand idle clients, each with a goroutine that waits, and fails when that
// takes 20 threads.
func countThreads() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	server, err := dotsock.Listen(ctx, "my_event")
	if err != nil {
		return err
	}
	const clients = 1000
	results := make(chan error, clients)
	for range clients {
		go func() {
			client, err := dotsock.Dial(ctx, "my_event")
			if err != nil {
				results <- err
				return
			}
			defer client.Close()
			for round := 0; ; round++ {
				if _, err := client.Receive(ctx); round == 1 {
					results <- err
					return
				} else {
					results <- err
				}
			}
		}()
	}
	connected := 0
	for _, err := range server.Events(ctx) {
		if err != nil {
			return err
		}
		if connected++; connected == clients {
			break
		}
	}
	// All of them wake up at once, and wait again.
	if err := server.Send(nil); err != nil {
		return err
	}
	for range clients {
		if err := <-results; err != nil {
			return err
		}
	}
	if n := threads(); n >= 20 {
		return fmt.Errorf("%d idle clients hold %d threads", clients, n)
	}
	if err := server.Send(nil); err != nil {
		return err
	}
	for range clients {
		if err := <-results; err != nil {
			return err
		}
	}
	return nil
}
