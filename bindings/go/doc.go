// Package dotsock tells other programs what this one is doing, and listens to what they do.
//
// A server is named by an event; clients find it by that name, over a Unix socket or TCP:
//
//	server, err := dotsock.Listen(ctx, "my_event")
//	if err != nil {
//		return err
//	}
//	defer server.Close()
//	server.Send(map[string]any{"status": "processing", "progress": 50})
//
//	client, err := dotsock.Dial(ctx, "my_event")
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//	for msg, err := range client.Messages(ctx) {
//		if err != nil {
//			return err
//		}
//		var state struct {
//			Status   string `json:"status"`
//			Progress int    `json:"progress"`
//		}
//		if err := msg.Decode(&state); err == nil {
//			fmt.Println(state.Status, state.Progress)
//		}
//	}
//
// The other side may be written in any language: this package needs the library dotsock, with its
// header, and finds it by pkg-config.
//
// # Contexts and threads
//
// Waiting for messages and events is done in Go's own poller: any number of goroutines may wait
// without holding a thread, and a context ends a wait at once. These calls may wait on a thread,
// and say so: [Dial], [Client.Send] when there is no room, Close until what was sent is delivered,
// and [Server.Send] with the option [SlowClient]([Block]) alone.
//
// # Errors
//
// Every call fails with an [*Error]: a sentence that says what to do, and a [Status] for errors.Is:
//
//	if errors.Is(err, dotsock.ErrInUse) { … }
//
// # Closing
//
// Close what Listen, Dial and Open return. It may be called while other goroutines use the same
// server or client: their calls fail with [ErrClosed], and so does every later one.
package dotsock
