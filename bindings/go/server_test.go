package dotsock_test

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"dotsock"
)

func TestEventsAndReplies(t *testing.T) {
	server, client := pair(t)
	ctx := background(t)
	for n := range 3 {
		if err := client.Send(ctx, numbered{n}); err != nil {
			t.Fatal(err)
		}
		event := nextEvent(t, server, dotsock.MessageReceived)
		if err := server.SendTo(event.Client, numbered{number(t, event.Message) + 10}); err != nil {
			t.Fatal(err)
		}
		if got := number(t, receive(t, client)); got != n+10 {
			t.Errorf("got %d, want %d", got, n+10)
		}
	}
	clients, err := server.Clients()
	if err != nil || len(clients) != 1 {
		t.Fatalf("got %v, %v", clients, err)
	}
	who := clients[0]
	if who.PID != os.Getpid() || who.UID != os.Getuid() || who.Dropped != 0 ||
		time.Since(who.Connected) > patience || who.Address == "" {
		t.Errorf("got %+v", who)
	}
	if err := server.Disconnect(who.ID); err != nil {
		t.Fatal(err)
	}
	if event := nextEvent(t, server, dotsock.ClientDisconnected); event.Client != who.ID {
		t.Errorf("%s left, want %s", event.Client, who.ID)
	}
	for _, err := range []error{server.Disconnect(who.ID), server.SendTo(who.ID, nil),
		server.SendTo("", nil)} {
		if !errors.Is(err, dotsock.ErrNoClient) {
			t.Errorf("got %v, want ErrNoClient", err)
		}
	}
}

func TestWhatNobodyReceivesWaits(t *testing.T) {
	sandbox(t)
	server := listen(t, "my_event", dotsock.QueueSize(3))
	for n := range 5 {
		send(t, server, numbered{n})
	}
	if n, err := server.Stat("queued"); err != nil || n != 3 {
		t.Errorf("%d queued, %v", n, err)
	}
	client := dial(t, "my_event")
	for n := 2; n < 5; n++ {
		if got := number(t, receive(t, client)); got != n {
			t.Errorf("got %d, want %d", got, n)
		}
	}
	client.Close()
	nextEvent(t, server, dotsock.ClientConnected)
	nextEvent(t, server, dotsock.ClientDisconnected)
	send(t, server, numbered{9})
	if err := server.ClearQueue(); err != nil {
		t.Fatal(err)
	}
	if n, err := server.Stat("queued"); err != nil || n != 0 {
		t.Errorf("%d queued, %v", n, err)
	}
}

func TestMessagesAsTheyAre(t *testing.T) {
	server, client := pair(t)
	ctx := background(t)
	message, err := dotsock.NewMessage("another", dotsock.TypeControl, numbered{4})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.SendMessage(ctx, message); err != nil {
		t.Fatal(err)
	}
	event := nextEvent(t, server, dotsock.MessageReceived)
	again, err := dotsock.MessageFromEnvelope(event.Message.Envelope())
	if err != nil {
		t.Fatal(err)
	}
	if err := server.SendMessageTo(event.Client, again); err != nil {
		t.Fatal(err)
	}
	if err := server.SendMessage(again); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got := receive(t, client)
		if string(got.Envelope()) != string(message.Envelope()) || got.EventName() != "another" ||
			got.Type() != dotsock.TypeControl || number(t, got) != 4 ||
			got.TimestampISO() != message.TimestampISO() || !got.Time().Equal(message.Time()) {
			t.Errorf("got %q, want %q", got.Envelope(), message.Envelope())
		}
		stamp, err := time.Parse(time.RFC3339Nano, got.TimestampISO())
		if err != nil || stamp.UnixMilli() != got.Time().UnixMilli() {
			t.Errorf("%s is not %v: %v", got.TimestampISO(), got.Time(), err)
		}
	}
	for _, err := range []error{server.SendMessage(nil), client.SendMessage(ctx, nil),
		server.SendMessageTo("client-1", nil), server.Send(message)} {
		if !errors.Is(err, dotsock.ErrInvalid) {
			t.Errorf("got %v, want ErrInvalid", err)
		}
	}
	if _, err := dotsock.MessageFromEnvelope([]byte("nonsense")); !errors.Is(err,
		dotsock.ErrMessage) {
		t.Errorf("got %v, want ErrMessage", err)
	}
	if _, err := dotsock.NewMessage("a", dotsock.Type(7), nil); !errors.Is(err,
		dotsock.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

func TestTCP(t *testing.T) {
	sandbox(t)
	server := listen(t, "my_event", dotsock.TCP(), dotsock.Port(0))
	if server.Port() == 0 || server.Address() != net.JoinHostPort("127.0.0.1",
		strconv.Itoa(server.Port())) {
		t.Errorf("it listens on %s, port %d", server.Address(), server.Port())
	}
	byName := dial(t, "my_event", dotsock.TCP())
	byPort := dial(t, "my_event", dotsock.TCP(), dotsock.Host("127.0.0.1"),
		dotsock.Port(server.Port()))
	nextEvent(t, server, dotsock.ClientConnected)
	nextEvent(t, server, dotsock.ClientConnected)
	send(t, server, numbered{1})
	for _, client := range []*dotsock.Client{byName, byPort} {
		if number(t, receive(t, client)) != 1 || client.Address() != server.Address() ||
			client.ServerUID() != -1 {
			t.Errorf("%s, uid %d", client.Address(), client.ServerUID())
		}
	}
}

func TestAToken(t *testing.T) {
	sandbox(t)
	token := func(token string) dotsock.Option { return dotsock.Set("token", token) }
	server := listen(t, "my_event", dotsock.TCP(), dotsock.Port(0), token("secret"))
	_, err := dotsock.Dial(background(t), "my_event", dotsock.TCP(), token("guess"))
	if !errors.Is(err, dotsock.ErrPermission) || !strings.Contains(err.Error(), "token_file") {
		t.Errorf("got %v, want ErrPermission that says what to check", err)
	}
	stranger := dial(t, "my_event", dotsock.TCP())
	if _, err := stranger.Receive(background(t)); !errors.Is(err, dotsock.ErrPermission) {
		t.Errorf("got %v, want ErrPermission", err)
	}
	client := dial(t, "my_event", dotsock.TCP(), token("secret"))
	nextEvent(t, server, dotsock.ClientConnected)
	send(t, server, numbered{1})
	if number(t, receive(t, client)) != 1 {
		t.Error("another message")
	}
}

func TestASecondServer(t *testing.T) {
	sandbox(t)
	first := listen(t, "my_event")
	if _, err := dotsock.Listen(background(t), "my_event"); !errors.Is(err, dotsock.ErrInUse) {
		t.Errorf("got %v, want ErrInUse", err)
	}
	// Once Close has returned, the event is free.
	first.Close()
	listen(t, "my_event")
}

func TestListenWithAContextThatIsDone(t *testing.T) {
	sandbox(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := dotsock.Listen(ctx, "my_event"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	listen(t, "my_event")
	if _, err := dotsock.Dial(ctx, "my_event"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func TestEventsEndWithTheirContextAndWithTheServer(t *testing.T) {
	sandbox(t)
	server := listen(t, "my_event")
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(10*time.Millisecond, cancel)
	for _, err := range server.Events(ctx) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the context's error", err)
		}
	}
	time.AfterFunc(10*time.Millisecond, func() { server.Close() })
	for _, err := range server.Events(background(t)) {
		if !errors.Is(err, dotsock.ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	}
}

// A server runs also when nobody asks for its events, and keeps only the newest of them.
func TestEventsThatNobodyFollows(t *testing.T) {
	server, client := pair(t)
	const count = 5000
	for n := range count {
		if err := client.Send(background(t), numbered{n}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all messages read", func() bool {
		n, _ := server.Stat("messages_received")
		return n == count
	})
	last := -1
	for event, err := range server.Events(background(t)) {
		if err != nil {
			t.Fatal(err)
		}
		n := number(t, event.Message)
		if last == -1 && n < count-1100 {
			t.Errorf("the oldest that was kept is %d", n)
		}
		if last = n; last == count-1 {
			break
		}
	}
}

// A follower gets all of them, however slow it is.
func TestASlowFollower(t *testing.T) {
	server, client := pair(t)
	const count = 5000
	sent := make(chan error, 1)
	go func() {
		for n := range count {
			if err := client.Send(background(t), numbered{n}); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	n := 0
	for event, err := range server.Events(background(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			time.Sleep(50 * time.Millisecond)
		}
		if got := number(t, event.Message); got != n {
			t.Fatalf("got %d, want %d", got, n)
		}
		if n++; n == count {
			break
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestASlowClient(t *testing.T) {
	server, client := pair(t, dotsock.Set("client_queue_size", 100_000),
		dotsock.SlowClient(dotsock.DropNewest))
	id := ""
	if clients, err := server.Clients(); err != nil || len(clients) != 1 {
		t.Fatal(clients, err)
	} else {
		id = clients[0].ID
	}
	payload := map[string]any{"bytes": make([]byte, 10_000)}
	full := 0
	for full < 3 {
		err := server.SendTo(id, payload)
		if err != nil && !errors.Is(err, dotsock.ErrFull) {
			t.Fatal(err)
		}
		if err != nil {
			full++
		}
	}
	for message, err := range client.Messages(background(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if message.Type() != dotsock.TypeControl {
			continue
		}
		var data struct {
			Code  string `json:"code"`
			Count int    `json:"count"`
		}
		if err := message.Decode(&data); err != nil || data.Code != "missed" || data.Count != 3 {
			t.Errorf("got %v, %v", message, err)
		}
		break
	}
}
