// Command progress_service is a service that publishes its state: whoever connects gets the last
// state at once, then every change, and may ask it to stop.
//
//	progress_service [EVENT]
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"dotsock"
)

// State is what the service says about itself.
type State struct {
	Status   string    `json:"status"`
	Progress int       `json:"progress"`
	Since    time.Time `json:"since"`
}

func main() {
	log.SetFlags(0)
	event := "progress"
	if len(os.Args) > 1 {
		event = os.Args[1]
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, event); err != nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context, event string) error {
	server, err := dotsock.Listen(ctx, event, dotsock.RetainLast())
	if err != nil {
		return err
	}
	defer server.Close()
	log.Printf("listening on %s", server.Address())

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		defer stop()
		waitForStop(ctx, server)
	}()

	state := State{Status: "working", Since: time.Now()}
	for ; state.Progress <= 100; state.Progress += 5 {
		if err := server.Send(state); err != nil {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			state.Status = "stopped"
			return server.Send(state)
		}
	}
	state.Status, state.Progress = "done", 100
	return server.Send(state)
}

// waitForStop returns when a client sends {"command": "stop"}.
func waitForStop(ctx context.Context, server *dotsock.Server) {
	for event, err := range server.Events(ctx) {
		if err != nil {
			return
		}
		if event.Kind != dotsock.MessageReceived {
			continue
		}
		var request struct {
			Command string `json:"command"`
		}
		if err := event.Message.Decode(&request); err == nil && request.Command == "stop" {
			return
		}
	}
}
