package dotsock_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"dotsock"
	"dotsock/internal/baseline"
)

// BenchmarkReceive says what receiving a message with 64 bytes of payload costs this process: in C,
// and in Go, in a burst and one at a time. The server is another process.
func BenchmarkReceive(b *testing.B) {
	for _, pace := range []struct {
		name  string
		pause time.Duration
	}{{"burst", 0}, {"paced", 100 * time.Microsecond}} {
		b.Run(pace.name+"/C", func(b *testing.B) {
			measure(b, func() error {
				request := fmt.Sprintf(`{"count": %d, "pause": %d}`, b.N, pace.pause)
				return baseline.Receive("my_event", request, b.N)
			})
		})
		b.Run(pace.name+"/Go", func(b *testing.B) {
			measure(b, func() error {
				ctx := background(b)
				client, err := dotsock.Dial(ctx, "my_event")
				if err != nil {
					return err
				}
				defer client.Close()
				request := map[string]any{"count": b.N, "pause": pace.pause}
				if err := client.Send(ctx, request); err != nil {
					return err
				}
				n := 0
				for _, err := range client.Messages(ctx) {
					if n++; err != nil || n == b.N {
						return err
					}
				}
				return nil
			})
		})
	}
}

// measure reports what work costs in CPU time, in the kernel too.
func measure(b *testing.B, work func() error) {
	sandbox(b)
	start(b, "source")
	eventually(b, "a server", func() bool {
		client, err := dotsock.Dial(background(b), "my_event")
		if err == nil {
			client.Close()
		}
		return err == nil
	})
	before := cpuTime()
	b.ReportAllocs()
	b.ResetTimer()
	if err := work(); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
}

func cpuTime() time.Duration {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
