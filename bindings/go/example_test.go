package dotsock_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"dotsock"
)

// A server says what it is doing, a client follows.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	server, err := dotsock.Listen(ctx, "wallpaper")
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	client, err := dotsock.Dial(ctx, "wallpaper")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	for _, progress := range []int{25, 50, 100} {
		server.Send(map[string]any{"status": "processing", "progress": progress})
	}

	for msg, err := range client.Messages(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		var state struct {
			Status   string `json:"status"`
			Progress int    `json:"progress"`
		}
		if err := msg.Decode(&state); err != nil {
			log.Fatal(err)
		}
		fmt.Println(state.Status, state.Progress)
		if state.Progress == 100 {
			break
		}
	}
	// Output:
	// processing 25
	// processing 50
	// processing 100
}

// Options have the names that they have in settings files; the common ones are functions.
func ExampleListen() {
	server, err := dotsock.Listen(context.Background(), "backup",
		dotsock.TCP(), dotsock.Port(0),
		dotsock.RetainLast(),
		dotsock.Set("max_connections", 10),
		dotsock.Set("frame_timeout", 5*time.Second))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	fmt.Println(server.Port() > 0)

	_, err = dotsock.Listen(context.Background(), "backup", dotsock.Set("max_conections", 10))
	fmt.Println(err)
	// Output:
	// true
	// dotsock: Unknown option 'max_conections', the nearest is 'max_connections'
}

func ExampleDial() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	client, err := dotsock.Dial(ctx, "nobody_there")
	switch {
	case errors.Is(err, dotsock.ErrClosed):
		fmt.Println("no server of this event runs")
	case err != nil:
		log.Fatal(err)
	default:
		client.Close()
	}
	// Output: no server of this event runs
}

// A client that may come before its server, and stays across its restarts.
func ExampleOpen() {
	client, err := dotsock.Open("late")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_, err = client.Receive(ctx)
	fmt.Println(errors.Is(err, context.DeadlineExceeded), errors.Is(err, dotsock.ErrTimeout))

	server, err := dotsock.Listen(context.Background(), "late")
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.Send(map[string]any{"hello": "at last"})
	msg, err := client.Receive(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(msg)
	// Output:
	// true true
	// {"hello":"at last"}
}

// A server that answers.
func ExampleServer_Events() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	server, err := dotsock.Listen(ctx, "echo")
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	go func() {
		for event, err := range server.Events(ctx) {
			if err != nil {
				return
			}
			if event.Kind == dotsock.MessageReceived {
				server.SendMessageTo(event.Client, event.Message)
			}
		}
	}()

	client, err := dotsock.Dial(ctx, "echo")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if err := client.Send(ctx, map[string]any{"say": "hello"}); err != nil {
		log.Fatal(err)
	}
	msg, err := client.Receive(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(msg)
	// Output: {"say":"hello"}
}

// A message of another type.
func ExampleNewMessage() {
	server, err := dotsock.Listen(context.Background(), "backup")
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	failure, err := dotsock.NewMessage("backup", dotsock.TypeError,
		map[string]any{"message": "disk full"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(failure.Type(), failure, server.SendMessage(failure))
	// Output: error {"message":"disk full"} <nil>
}

// In an any, integers are int64, whatever their size.
func ExampleMessage_Decode() {
	msg, err := dotsock.NewMessage("numbers", dotsock.TypeData,
		map[string]any{"small": 5, "large": 500, "list": []float64{1, 2.5}})
	if err != nil {
		log.Fatal(err)
	}
	var data map[string]any
	if err := msg.Decode(&data); err != nil {
		log.Fatal(err)
	}
	fmt.Println(data["small"].(int64)+data["large"].(int64), data["list"])
	// Output: 505 [1 2.5]
}

func ExampleServer_Send() {
	server, err := dotsock.Listen(context.Background(), "tasks")
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	type Step struct {
		Name string `json:"name"`
		Done bool   `json:"done"`
	}
	fmt.Println(server.Send(struct {
		Steps []Step `json:"steps"`
	}{[]Step{{"copy", true}, {"verify", false}}}))
	fmt.Println(server.Send(map[string]any{"result": make(chan int)}))
	// Output:
	// <nil>
	// dotsock: data["result"] is a chan int, which cannot be sent
}

func ExampleSetLogger() {
	handler := slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})
	if err := dotsock.SetLogger(slog.New(handler)); err != nil {
		log.Fatal(err)
	}
	defer dotsock.SetLogger(nil)
}
