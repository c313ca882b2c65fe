package examples

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"dotsock"
)

// built builds an example and gives the command that runs it.
func built(t *testing.T, name string, arguments ...string) *exec.Cmd {
	t.Helper()
	program := t.TempDir() + "/" + name
	if output, err := exec.Command("go", "build", "-o", program, "./"+name).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	command := exec.CommandContext(ctx, program, arguments...)
	command.Stderr = os.Stderr
	return command
}

func sandbox(t *testing.T) {
	t.Setenv("DOTSOCK_SOCKET_DIR", t.TempDir()+"/sockets")
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
}

func TestTheStatusLineFollowsTheService(t *testing.T) {
	sandbox(t)
	line := built(t, "status_line", "-once", "work")
	service := built(t, "progress_service", "work")
	output, err := line.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	// The one that follows comes first.
	for _, command := range []*exec.Cmd{line, service} {
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
	}
	var lines []string
	for scanner := bufio.NewScanner(output); scanner.Scan(); {
		lines = append(lines, scanner.Text())
	}
	if err := line.Wait(); err != nil {
		t.Error(err)
	}
	if err := service.Wait(); err != nil {
		t.Error(err)
	}
	if len(lines) == 0 || lines[len(lines)-1] != "[####################] done     100 %" {
		t.Errorf("it wrote %q", lines)
	}
}

func TestTheServiceStopsWhenAClientAsksForIt(t *testing.T) {
	sandbox(t)
	service := built(t, "progress_service", "work")
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	client, err := dotsock.Open("work")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := client.Send(ctx, map[string]any{"command": "stop"}); err != nil {
		t.Fatal(err)
	}
	last := ""
	for !strings.Contains(last, "stopped") {
		msg, err := client.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		last = msg.String()
	}
	if err := service.Wait(); err != nil {
		t.Error(err)
	}
}

func TestTheStatusLineEndsAtAnInterrupt(t *testing.T) {
	sandbox(t)
	server, err := dotsock.Listen(context.Background(), "work")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	line := built(t, "status_line", "work")
	if err := line.Start(); err != nil {
		t.Fatal(err)
	}
	for event, err := range server.Events(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if event.Kind == dotsock.ClientConnected {
			break
		}
	}
	if err := line.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := line.Wait(); err != nil {
		t.Error(err)
	}
}
