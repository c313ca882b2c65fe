// Command status_line follows a progress event and writes one line for each change, for a status
// bar or a terminal. It may be started before the service, and stays across its restarts.
//
//	status_line [-once] [EVENT]
//
// With -once it ends when the work is done.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"

	"dotsock"
)

func main() {
	log.SetFlags(0)
	once := flag.Bool("once", false, "end when the work is done")
	flag.Parse()
	event := "progress"
	if flag.NArg() > 0 {
		event = flag.Arg(0)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := follow(ctx, event, *once); err != nil && !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}
}

func follow(ctx context.Context, event string, once bool) error {
	client, err := dotsock.Open(event)
	if err != nil {
		return err
	}
	defer client.Close()
	for msg, err := range client.Messages(ctx) {
		if err != nil {
			return err
		}
		var state struct {
			Status   string `json:"status"`
			Progress int    `json:"progress"`
		}
		if msg.Type() != dotsock.TypeData || msg.Decode(&state) != nil {
			continue
		}
		fmt.Printf("%s %-8s %3d %%\n", bar(state.Progress), state.Status, state.Progress)
		if once && state.Status != "working" {
			return nil
		}
	}
	return nil
}

func bar(percent int) string {
	full := min(max(percent, 0), 100) / 5
	return "[" + strings.Repeat("#", full) + strings.Repeat(" ", 20-full) + "]"
}
