package dotsock_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dotsock"
)

func TestMessagesArriveInOrder(t *testing.T) {
	server, client := pair(t, dotsock.SlowClient(dotsock.Block))
	const count = 10_000
	sent := make(chan error, 1)
	go func() {
		for n := range count {
			if err := server.Send(numbered{n}); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	n := 0
	for message, err := range client.Messages(background(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if got := number(t, message); got != n {
			t.Fatalf("message %d came as number %d", got, n)
		}
		if n++; n == count {
			break
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

// A frame that is larger than one read leaves the descriptor readable, without a new edge for an
// edge-triggered poller.
func TestMessagesLargerThanOneRead(t *testing.T) {
	server, client := pair(t)
	for _, size := range []int{60_000, 65_536, 150_000, 1 << 20, 8 << 20} {
		text := strings.Repeat("x", size)
		received := make(chan *dotsock.Message)
		go func() {
			message, err := client.Receive(background(t))
			if err != nil {
				t.Error(err)
			}
			received <- message
		}()
		send(t, server, map[string]string{"text": text})
		var data struct{ Text string }
		message := <-received
		if message == nil {
			return
		}
		var got map[string]string
		if err := message.Decode(&got); err != nil || got["text"] != text {
			t.Fatalf("%d bytes came as %d: %v %v", size, len(got["text"]), data, err)
		}
	}
}

func TestAContextEndsAWaitAtOnce(t *testing.T) {
	server, client := pair(t)
	before := runtime.NumGoroutine()
	for _, test := range []struct {
		status  dotsock.Status
		cause   error
		context func() (context.Context, context.CancelFunc)
	}{
		{dotsock.ErrCancelled, context.Canceled, func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(20*time.Millisecond, cancel)
			return ctx, cancel
		}},
		{dotsock.ErrTimeout, context.DeadlineExceeded,
			func() (context.Context, context.CancelFunc) {
				return context.WithTimeout(context.Background(), 20*time.Millisecond)
			}},
	} {
		ctx, cancel := test.context()
		_, err := client.Receive(ctx)
		over := time.Now()
		<-ctx.Done()
		if late := time.Since(over); late > time.Second {
			t.Errorf("%v came %v late", test.status, late)
		}
		cancel()
		if !errors.Is(err, test.status) || !errors.Is(err, test.cause) {
			t.Errorf("got %v, want %v and %v", err, test.status, test.cause)
		}
		// Nothing is left behind: the next one waits, and gets what comes.
		send(t, server, numbered{7})
		if n := number(t, receive(t, client)); n != 7 {
			t.Errorf("got %d, want 7", n)
		}
	}
	eventually(t, "no goroutine left behind", func() bool {
		return runtime.NumGoroutine() <= before
	})
}

func TestAContextsCauseIsInTheError(t *testing.T) {
	_, client := pair(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("the user pressed q")
	cancel(why)
	for _, err := range client.Messages(ctx) {
		if !errors.Is(err, why) || !strings.Contains(err.Error(), why.Error()) {
			t.Errorf("got %v", err)
		}
	}
	if err := client.Send(ctx, nil); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

// Contexts that end while others wait must not end those.
func TestManyReceiversWithContextsOfTheirOwn(t *testing.T) {
	server, client := pair(t)
	var group sync.WaitGroup
	received := make(chan int, 100)
	for range 4 {
		group.Add(1)
		go func() {
			defer group.Done()
			for {
				ctx, cancel := context.WithTimeout(background(t), time.Millisecond)
				message, err := client.Receive(ctx)
				cancel()
				switch {
				case err == nil:
					received <- number(t, message)
				case errors.Is(err, dotsock.ErrClosed):
					return
				case !errors.Is(err, context.DeadlineExceeded):
					t.Error(err)
					return
				}
			}
		}()
	}
	seen := map[int]bool{}
	for n := range 100 {
		send(t, server, numbered{n})
		if n%10 == 0 {
			time.Sleep(2 * time.Millisecond)
		}
	}
	for range 100 {
		select {
		case n := <-received:
			seen[n] = true
		case <-time.After(patience):
			t.Fatalf("only %d of 100 came", len(seen))
		}
	}
	if len(seen) != 100 {
		t.Errorf("%d different messages came, want 100", len(seen))
	}
	client.Close()
	group.Wait()
}

func TestCloseEndsAReceiveInAnotherGoroutine(t *testing.T) {
	for _, isWaiting := range []bool{false, true} {
		_, client := pair(t)
		ended := make(chan error, 1)
		go func() {
			_, err := client.Receive(context.Background())
			ended <- err
		}()
		if isWaiting {
			eventually(t, "it waits", func() bool { return waits("IO wait", "Client).Receive") })
		}
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if !errors.Is(err, dotsock.ErrClosed) || !errors.Is(err, net.ErrClosed) {
				t.Errorf("got %v, want ErrClosed", err)
			}
		case <-time.After(patience):
			t.Fatal("still waiting")
		}
	}
}

func TestUseAfterClose(t *testing.T) {
	server, client := pair(t)
	ctx := background(t)
	client.Close()
	server.Close()
	message, err := dotsock.NewMessage("my_event", dotsock.TypeData, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, receiveErr := client.Receive(ctx)
	_, clientStatErr := client.Stat("reconnects")
	_, serverStatErr := server.Stat("clients")
	_, clientsErr := server.Clients()
	for call, err := range map[string]error{
		"Client.Receive":       receiveErr,
		"Client.Send":          client.Send(ctx, nil),
		"Client.SendMessage":   client.SendMessage(ctx, message),
		"Client.Cork":          client.Cork(),
		"Client.Uncork":        client.Uncork(ctx),
		"Client.Stat":          clientStatErr,
		"Server.Send":          server.Send(nil),
		"Server.SendTo":        server.SendTo("client-1", nil),
		"Server.SendMessage":   server.SendMessage(message),
		"Server.SendMessageTo": server.SendMessageTo("client-1", message),
		"Server.Disconnect":    server.Disconnect("client-1"),
		"Server.ClearQueue":    server.ClearQueue(),
		"Server.Cork":          server.Cork(),
		"Server.Uncork":        server.Uncork(),
		"Server.Stat":          serverStatErr,
		"Server.Clients":       clientsErr,
	} {
		if !errors.Is(err, dotsock.ErrClosed) || !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: got %v, want ErrClosed", call, err)
		}
	}
	for _, err := range server.Events(ctx) {
		if !errors.Is(err, dotsock.ErrClosed) {
			t.Errorf("Server.Events: got %v, want ErrClosed", err)
		}
	}
	if client.Connected() || client.Address() != "" || client.ServerPID() != -1 ||
		server.Address() != "" || server.Port() != 0 {
		t.Error("what was closed still says something")
	}
	if client.EventName() != "my_event" || server.EventName() != "my_event" {
		t.Error("the names are gone")
	}
	client.Close()
	server.Close()
}

func TestTheServersDeathWhileWaiting(t *testing.T) {
	sandbox(t)
	process := start(t, "server")
	client, err := dotsock.Open("my_event", dotsock.ReportLoss(),
		dotsock.Set("reconnect_max_delay", 50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	pid := func() int {
		var data struct {
			PID int `json:"pid"`
		}
		message, err := client.Receive(background(t))
		for errors.Is(err, dotsock.ErrClosed) {
			// A process that dies may have taken one more connection before its end.
			message, err = client.Receive(background(t))
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := message.Decode(&data); err != nil {
			t.Fatal(err)
		}
		return data.PID
	}
	if got := pid(); got != process.Process.Pid || client.ServerPID() != got {
		t.Errorf("process %d speaks, want %d", got, process.Process.Pid)
	}
	doomed := process.Process
	time.AfterFunc(20*time.Millisecond, func() { doomed.Kill() })
	if _, err := client.Receive(background(t)); !errors.Is(err, dotsock.ErrClosed) {
		t.Fatalf("got %v, want ErrClosed", err)
	}
	// The next one comes back by itself.
	process = start(t, "server")
	if got := pid(); got != process.Process.Pid {
		t.Errorf("process %d speaks, want %d", got, process.Process.Pid)
	}
	if n, err := client.Stat("reconnects"); err != nil || n == 0 {
		t.Errorf("%d reconnects, %v", n, err)
	}
}

func TestWithoutReconnectingTheEndIsFinal(t *testing.T) {
	server, client := pair(t, dotsock.AutoReconnect(false))
	send(t, server, numbered{1})
	server.Close()
	if n := number(t, receive(t, client)); n != 1 {
		t.Errorf("got %d, want 1", n)
	}
	for range 2 {
		if _, err := client.Receive(background(t)); !errors.Is(err, dotsock.ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	}
	if err := client.Send(background(t), nil); !errors.Is(err, dotsock.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

func TestNoServer(t *testing.T) {
	sandbox(t)
	_, err := dotsock.Dial(background(t), "my_event")
	if !errors.Is(err, dotsock.ErrClosed) || !errors.Is(err, syscall.ENOENT) {
		t.Errorf("got %v, want ErrClosed and ENOENT", err)
	}
	if !strings.Contains(err.Error(), "my_event") {
		t.Errorf("%q does not name the event", err)
	}
	var all *dotsock.Error
	if !errors.As(err, &all) || all.Timeout() {
		t.Errorf("got %#v", err)
	}
}

func TestADirectoryThatIsNotToBeTrusted(t *testing.T) {
	dir := sandbox(t)
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	_, err := dotsock.Listen(background(t), "my_event")
	if !errors.Is(err, dotsock.ErrPermission) || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v, want ErrPermission and the directory", err)
	}
}

func TestAServerThatComesLater(t *testing.T) {
	sandbox(t)
	client, err := dotsock.Open("my_event", dotsock.Set("reconnect_max_delay", 0.05))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := client.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want the context's error", err)
	}
	send(t, listen(t, "my_event"), numbered{3})
	if n := number(t, receive(t, client)); n != 3 {
		t.Errorf("got %d, want 3", n)
	}
	if _, err := dotsock.Open("my_event", dotsock.AutoReconnect(false)); !errors.Is(err,
		dotsock.ErrState) {
		t.Errorf("got %v, want ErrState", err)
	}
}

func TestARefusal(t *testing.T) {
	sandbox(t)
	listen(t, "my_event", dotsock.MaxConnections(1))
	dial(t, "my_event")
	client := dial(t, "my_event")
	if _, err := client.Receive(background(t)); !errors.Is(err, dotsock.ErrMaxConnections) {
		t.Errorf("got %v, want ErrMaxConnections", err)
	}
}

func TestDenied(t *testing.T) {
	_, client := pair(t, dotsock.AllowClientSend(false))
	if err := client.Send(background(t), nil); err != nil {
		t.Fatal(err)
	}
	message := receive(t, client)
	var data struct {
		Code string `json:"code"`
	}
	if err := message.Decode(&data); err != nil || message.Type() != dotsock.TypeError ||
		data.Code != "send_denied" {
		t.Errorf("got %v %v, %v", message.Type(), message, err)
	}
	if err := client.Send(background(t), nil); !errors.Is(err, dotsock.ErrSendDenied) {
		t.Errorf("got %v, want ErrSendDenied", err)
	}
}

func TestASendThatWaitsCanBeEnded(t *testing.T) {
	sandbox(t)
	client, err := dotsock.Open("my_event", dotsock.Set("reconnect_max_delay", 0.05))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for range 3 {
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(20*time.Millisecond, cancel)
		began := time.Now()
		err = client.Send(ctx, numbered{1})
		if !errors.Is(err, dotsock.ErrCancelled) || !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want ErrCancelled", err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it took %v", took)
		}
	}
	// The cancel is not left behind for the next one, which waits for the server.
	sent := make(chan error, 1)
	go func() { sent <- client.Send(background(t), numbered{2}) }()
	server := listen(t, "my_event")
	nextEvent(t, server, dotsock.ClientConnected)
	if n := number(t, nextEvent(t, server, dotsock.MessageReceived).Message); n != 2 {
		t.Errorf("got %d, want 2", n)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestCloseEndsASendThatWaits(t *testing.T) {
	sandbox(t)
	client, err := dotsock.Open("my_event", dotsock.SendTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- client.Send(context.Background(), nil) }()
	eventually(t, "it waits", func() bool { return waits("syscall", "Client).Send") })
	client.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, dotsock.ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	case <-time.After(patience):
		t.Fatal("still waiting")
	}
}

func TestDialCanBeEnded(t *testing.T) {
	dir := sandbox(t)
	// A server that never accepts, with a full queue.
	listen(t, "other")
	address := &net.UnixAddr{Name: dir + "/my_event.sock", Net: "unix"}
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: address.Name}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	blocker, err := net.DialUnix("unix", nil, address)
	if err != nil {
		t.Fatal(err)
	}
	defer blocker.Close()
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err = dotsock.Dial(ctx, "my_event", dotsock.Timeout(patience)); !errors.Is(err,
		context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	_, err = dotsock.Dial(background(t), "my_event", dotsock.Timeout(20*time.Millisecond))
	if !errors.Is(err, dotsock.ErrTimeout) {
		t.Errorf("got %v, want ErrTimeout", err)
	}
}

// A context that ends just as connecting succeeds is none of the client's that Dial returns.
func TestAContextThatEndsWithDial(t *testing.T) {
	dir := sandbox(t)
	listen(t, "other")
	// A server that never reads.
	server, err := net.Listen("unix", dir+"/my_event.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
		}
	}()
	large := map[string]any{"bytes": make([]byte, 1<<20)}
	met, end := 0, 100*time.Microsecond
	// A hundred take some seconds where there are two cores; where there is one they are rare.
	soon, deadline := time.Now().Add(patience/3), time.Now().Add(patience)
	for met < 100 && (met == 0 || time.Now().Before(soon)) {
		if time.Now().After(deadline) {
			t.Fatal("no context ended just as connecting succeeded")
		}
		ctx, cancel := context.WithCancel(context.Background())
		go func(end time.Duration) {
			for began := time.Now(); time.Since(began) < end; {
			}
			cancel()
		}(end)
		client, err := dotsock.Dial(ctx, "my_event", dotsock.SendTimeout(time.Millisecond),
			dotsock.Linger(0))
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			end += end / 16
			continue
		}
		if ctx.Err() == nil {
			end -= end / 16
			<-ctx.Done()
		} else {
			met++
		}
		for range 2 { // of the first one a part leaves: it counts as sent
			err = client.Send(background(t), large)
		}
		if !errors.Is(err, dotsock.ErrTimeout) {
			t.Fatalf("got %v, want ErrTimeout", err)
		}
		client.Close()
	}
}

// A server that speaks nonsense is an error once, and then a lost connection.
func TestAMalformedPeer(t *testing.T) {
	dir := sandbox(t)
	listen(t, "other")
	server, err := net.Listen("unix", dir+"/my_event.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	good, err := dotsock.NewMessage("my_event", dotsock.TypeControl, numbered{5})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		conn, err := server.Accept()
		if err != nil {
			return
		}
		frame := func(body []byte) {
			conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
		}
		frame([]byte("nonsense"))
		frame(good.Envelope())
		conn.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	}()
	client := dial(t, "my_event", dotsock.AutoReconnect(false))
	message := receive(t, client)
	if number(t, message) != 5 || message.Type() != dotsock.TypeControl {
		t.Errorf("got %v %v", message.Type(), message)
	}
	if _, err := client.Receive(background(t)); !errors.Is(err, dotsock.ErrMessage) {
		t.Errorf("got %v, want ErrMessage", err)
	}
	if _, err := client.Receive(background(t)); !errors.Is(err, dotsock.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	if n, err := client.Stat("malformed"); err != nil || n != 2 {
		t.Errorf("%d malformed, %v", n, err)
	}
}

func TestWrongArguments(t *testing.T) {
	sandbox(t)
	ctx := background(t)
	for _, test := range []struct {
		event   string
		options []dotsock.Option
		names   string
	}{
		{"", nil, "empty"},
		{"a b", nil, "'a b'"},
		{strings.Repeat("x", 65), nil, "65 > 64"},
		{"a\x00b", nil, "event's name"},
		{"a", []dotsock.Option{dotsock.Set("max_conections", 1)}, "'max_connections'"},
		{"a", []dotsock.Option{dotsock.Set("max_connections", "many")}, "max_connections"},
		{"a", []dotsock.Option{dotsock.Set("max_connections", make(chan int))}, "max_connections"},
		{"a", []dotsock.Option{dotsock.Set("timezone", "U\x00TC")}, "timezone"},
		{"a", []dotsock.Option{dotsock.Set("\x00", 1)}, "key"},
		{"a", []dotsock.Option{dotsock.Port(-1)}, "port"},
		{"a", []dotsock.Option{dotsock.SlowClient("sometimes")}, "slow_client"},
	} {
		_, listenErr := dotsock.Listen(ctx, test.event, test.options...)
		_, dialErr := dotsock.Dial(ctx, test.event, test.options...)
		_, openErr := dotsock.Open(test.event, test.options...)
		for _, err := range []error{listenErr, dialErr, openErr} {
			if !errors.Is(err, dotsock.ErrInvalid) || !strings.Contains(err.Error(), test.names) {
				t.Errorf("%q: got %v, want ErrInvalid that says %s", test.event, err, test.names)
			}
		}
	}
	if err := dotsock.ValidateEventName("a/b"); !errors.Is(err, dotsock.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
	if err := dotsock.ValidateEventName("a-b_1"); err != nil {
		t.Error(err)
	}
	_, err := dotsock.Dial(ctx, "a", dotsock.Settings("/nowhere/settings.toml"))
	if !errors.Is(err, dotsock.ErrIO) || !errors.Is(err, syscall.ENOENT) {
		t.Errorf("got %v, want ErrIO and ENOENT", err)
	}
}

func TestCork(t *testing.T) {
	server, client := pair(t)
	ctx := background(t)
	if err := client.Cork(); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		if err := client.Send(ctx, numbered{n}); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := client.Stat("messages_sent"); err != nil || n != 0 {
		t.Errorf("%d sent, %v", n, err)
	}
	if err := client.Uncork(ctx); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		if got := number(t, nextEvent(t, server, dotsock.MessageReceived).Message); got != n {
			t.Errorf("got %d, want %d", got, n)
		}
	}
}
