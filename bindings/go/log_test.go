package dotsock_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"dotsock"
)

// records collects what is logged.
type records struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (r *records) Write(line []byte) (int, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.text.Write(line)
}

func (r *records) contain(text string) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return strings.Contains(r.text.String(), text)
}

func (r *records) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(r, &slog.HandlerOptions{Level: level}))
}

func TestLogging(t *testing.T) {
	dir := sandbox(t)
	server := listen(t, "my_event")
	offend := func() {
		t.Helper()
		conn, err := net.Dial("unix", dir+"/my_event.sock")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		before, _ := server.Stat("malformed")
		conn.Write([]byte("GET / HTTP/1.1\r\n"))
		eventually(t, "a bad frame is counted", func() bool {
			n, err := server.Stat("malformed")
			return err == nil && n > before
		})
	}
	defer dotsock.SetLogger(nil)
	var warnings, errors, all records
	for _, test := range []struct {
		to    *records
		level slog.Level
	}{{&warnings, slog.LevelWarn}, {&errors, slog.LevelError}, {&all, dotsock.LevelTrace}} {
		if err := dotsock.SetLogger(test.to.logger(test.level)); err != nil {
			t.Fatal(err)
		}
		offend()
		if test.to != &errors {
			eventually(t, "a warning", func() bool {
				return test.to.contain("level=WARN") && test.to.contain("target=dotsock::server")
			})
		}
	}
	if !warnings.contain("max_message_size") {
		t.Errorf("got %q", warnings.text.String())
	}
	if warnings.contain("level=INFO") || errors.contain("level=WARN") {
		t.Error("more was logged than was asked for")
	}
	if err := dotsock.SetLogger(nil); err != nil {
		t.Fatal(err)
	}
}

// stuck is a handler that does not come back.
type stuck struct {
	slog.Handler
	release chan struct{}
}

func (s stuck) Handle(context.Context, slog.Record) error {
	<-s.release
	return nil
}

func TestALoggerThatIsStuckHoldsNothingUp(t *testing.T) {
	sandbox(t)
	handler := stuck{slog.NewTextHandler(&records{},
		&slog.HandlerOptions{Level: dotsock.LevelTrace}), make(chan struct{})}
	if err := dotsock.SetLogger(slog.New(handler)); err != nil {
		t.Fatal(err)
	}
	defer close(handler.release)
	defer dotsock.SetLogger(nil)
	server := listen(t, "my_event", dotsock.Linger(0))
	for range 500 {
		client, err := dotsock.Dial(background(t), "my_event", dotsock.Linger(0))
		if err != nil {
			t.Fatal(err)
		}
		client.Close()
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
}
