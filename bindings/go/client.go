package dotsock

// #include "glue.h"
import "C"

import (
	"context"
	"errors"
	"iter"
	"os"
	"runtime"
)

// A Client receives what the server of an event says, and may send to it. All methods may be
// called by any number of goroutines at once; each message goes to one of those that receive.
type Client struct {
	event   string
	link    *clientLink
	cleanup runtime.Cleanup

	// Held by the one that receives, and by the one that sends: these are channels and no mutexes
	// so that waiting for them can be ended too.
	receiving, sending chan struct{}

	// What was taken from the library and not yet from us, guarded by receiving.
	inbox   []*Message
	failure error
	failed  bool // so did the last call
	// As many as the next call takes from the library; grows while more are there.
	letters []C.letter
	look    func(woken bool) bool // fill
}

// clientLink is what a Client has of C and of the system: it outlives a Client that is forgotten
// for as long as it takes to close it.
type clientLink struct {
	guard
	client *C.sock_client
	waiter *waiter
}

// Dial connects to the server of an event. When the connection is lost, the client connects again
// by itself, unless [AutoReconnect] says no.
//
// ctx ends the attempt, not the client; so does the option [Timeout], 5 seconds by default. The
// look-up of a host's name cannot be interrupted.
//
// It fails with [ErrClosed] when no server is there (see [Open]), [ErrTimeout] when none answers,
// [ErrPermission] for a server, directory or file that is not to be trusted, [ErrInvalid] for an
// event or option that is none, and [ErrIO].
func Dial(ctx context.Context, event string, options ...Option) (*Client, error) {
	return newClient(ctx, event, options, func(link *clientLink) error {
		cancelled, err := link.cancellable(ctx, "Connecting", func() C.outcome {
			return C.client_connect(link.client)
		})
		if cancelled && err == nil {
			C.client_uncancel(link.client)
		}
		return err
	})
}

// Open makes a client that connects by itself, as soon as there is a server: for a program that
// must not wait, or comes before its server. It is [Client.Receive] and [Client.Send] that connect,
// so nothing happens before one of them is called.
//
// It fails with [ErrState] with [AutoReconnect](false), and for a [Host] that is a name, and with
// [ErrInvalid] as [Dial] does.
func Open(event string, options ...Option) (*Client, error) {
	return newClient(context.Background(), event, options, func(link *clientLink) error {
		return check(C.client_open(link.client))
	})
}

func newClient(
	ctx context.Context, event string, options []Option, begin func(*clientLink) error,
) (*Client, error) {
	name, err := cString("event's name", event)
	if err != nil {
		return nil, err
	}
	release, ok := takeTurn(ctx)
	if !ok {
		return nil, contextError(ctx, "Connecting")
	}
	defer release()
	config, err := configure(options)
	if err != nil {
		return nil, err
	}
	defer config.free()
	result := C.client_new(config.transport, name, config.options)
	if err := check(result.how); err != nil {
		return nil, err
	}
	link := &clientLink{client: (*C.sock_client)(result.object)}
	link.init(func() { C.sock_client_free(link.client) })
	if err := begin(link); err != nil {
		link.hangUp()
		return nil, err
	}
	if link.waiter, err = newWaiter(C.sock_client_fd(link.client)); err != nil {
		link.hangUp()
		return nil, err
	}
	c := &Client{
		event:     event,
		link:      link,
		receiving: make(chan struct{}, 1),
		sending:   make(chan struct{}, 1),
		letters:   make([]C.letter, 1),
	}
	c.look = c.fill
	c.cleanup = runtime.AddCleanup(c, func(link *clientLink) { go link.close() }, link)
	return c, nil
}

// Close disconnects the client and frees what it holds. What was sent is delivered first, for at
// most the option [Linger]. Calls that wait, in other goroutines, fail with [ErrClosed], and so
// does every later one. Closing again does nothing. A client that is forgotten without Close is
// closed when it is collected.
func (c *Client) Close() error {
	c.cleanup.Stop()
	c.link.close()
	return nil
}

func (l *clientLink) close() {
	release, _ := takeTurn(context.Background())
	l.hangUp()
	release()
	<-l.freed
}

// hangUp makes all calls end, and lets the last of them free the client.
func (l *clientLink) hangUp() {
	if !l.shut() {
		return
	}
	if l.waiter != nil {
		l.waiter.close()
	}
	C.sock_client_disconnect(l.client)
	l.leave()
}

// --- Receiving ------------------------------------------------------------------------------------

// Messages yields the messages of the server one after the other, waiting for each:
//
//	for msg, err := range client.Messages(ctx) {
//		if err != nil {
//			return err
//		}
//		…
//	}
//
// It ends after the first error; ranging again goes on where it ended. The errors are those of
// [Client.Receive].
func (c *Client) Messages(ctx context.Context) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		breaker := breaker{ctx: ctx, waiter: c.link.waiter}
		defer breaker.disarm()
		for {
			message, err := c.receive(ctx, &breaker)
			if !yield(message, err) || err != nil {
				return
			}
		}
	}
}

// Receive waits for the next message. Waiting holds no thread.
//
// It fails with:
//   - [ErrCancelled], [ErrTimeout]: ctx is done; the error is the context's too.
//   - [ErrClosed]: the client was closed; or the connection is lost and the client does not connect
//     again by itself, or [ReportLoss] asks to be told: then the next call goes on.
//   - [ErrMaxConnections], [ErrPermission]: the server refuses the client, or the client the server;
//     the next call tries again.
//   - [ErrMessage]: the server sent what is no message; [ErrIO]: connecting again fails. The next
//     call goes on.
func (c *Client) Receive(ctx context.Context) (*Message, error) {
	breaker := breaker{ctx: ctx, waiter: c.link.waiter}
	defer breaker.disarm()
	return c.receive(ctx, &breaker)
}

func (c *Client) receive(ctx context.Context, breaker *breaker) (*Message, error) {
	defer runtime.KeepAlive(c)
	if ctx.Err() != nil {
		return nil, contextError(ctx, "Waiting for a message")
	}
	select {
	case c.receiving <- struct{}{}:
	case <-ctx.Done():
		return nil, contextError(ctx, "Waiting for a message")
	}
	defer func() { <-c.receiving }()
	if len(c.inbox) == 0 && c.failure == nil {
		err := c.link.waiter.wait(breaker, c.look)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, contextError(ctx, "Waiting for a message")
		}
		if err != nil && !c.link.isShut() {
			return nil, systemError("Waiting for a message failed", err)
		}
	}
	if c.link.isShut() {
		return nil, c.closed()
	}
	if len(c.inbox) > 0 {
		message := c.inbox[0]
		c.inbox[0] = nil
		c.inbox = c.inbox[1:]
		return message, nil
	}
	failure := c.failure
	c.failure = nil
	return nil, failure
}

// The most messages that are taken from the library at once.
const mostLetters = 64

// fill takes what is there, and tells whether that was anything.
func (c *Client) fill(woken bool) bool {
	if !c.link.enter() {
		return true
	}
	defer c.link.leave()
	quick <- struct{}{}
	defer func() { <-quick }()
	if woken {
		// One that had to wait will have to again, most of the time: looking for a second message
		// would cost a system call.
		c.letters = c.letters[:1]
	}
	letters := c.letters
	result := C.client_receive(c.link.client, c.link.waiter.fd, asInt(woken || c.failed),
		&letters[0], C.int(len(letters)))
	c.failure = check(result.how)
	c.failed = c.failure != nil
	count := int(result.count)
	if count == 0 {
		return c.failure != nil
	}
	c.inbox = c.inbox[:0]
	for i := range letters[:count] {
		c.inbox = append(c.inbox, copied(&letters[i]))
	}
	C.free_letters(&letters[0], result.count)
	if count == len(letters) && count < mostLetters {
		c.letters = grown(letters)
	}
	return true
}

func asInt(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

// grown is twice as long.
func grown[T any](slice []T) []T {
	if n := 2 * len(slice); n <= cap(slice) {
		return slice[:n]
	}
	return make([]T, 2*len(slice))
}

// --- Sending --------------------------------------------------------------------------------------

// Send sends data to the server, in a message of [TypeData] of the client's event. See
// [Server.Send] for what data may be.
//
// It waits, on a thread, while the socket has no room, and while the client connects again, for as
// long as the option [SendTimeout] (else [Timeout]) or ctx allow. Once a byte of the message has
// left, it counts as sent.
//
// It fails with:
//   - [ErrTimeout], [ErrCancelled]: nothing of it left.
//   - [ErrClosed]: there is no connection, and none to come.
//   - [ErrSendDenied]: the server takes no messages from its clients.
//   - [ErrInvalid], [ErrMessage]: data cannot be sent; the error says what is wrong with it.
//   - [ErrMaxConnections], [ErrPermission], [ErrIO]: as for [Client.Receive].
func (c *Client) Send(ctx context.Context, data any) error {
	return encoded(data, func(payload []byte) error {
		return c.send(ctx, func() C.outcome {
			return C.client_send_data(c.link.client, C.DOTSOCK_DATA, start(payload),
				C.size_t(len(payload)))
		})
	})
}

// SendMessage sends a message as it is; its event may differ from the client's. It waits and fails
// as [Client.Send] does.
func (c *Client) SendMessage(ctx context.Context, message *Message) error {
	if message == nil {
		return invalid("message is nil")
	}
	return c.send(ctx, func() C.outcome {
		envelope := message.envelope
		return C.client_send_envelope(c.link.client, start(envelope), C.size_t(len(envelope)))
	})
}

// Cork lets what is sent from now on collect, up to 64 KiB, until [Client.Uncork]: for bursts.
func (c *Client) Cork() error {
	return c.use(func() error { return check(C.client_cork(c.link.client)) })
}

// Uncork lifts [Client.Cork] and sends what has collected. It waits and fails as [Client.Send]
// does; what has not left by then stays first in line.
func (c *Client) Uncork(ctx context.Context) error {
	return c.send(ctx, func() C.outcome { return C.client_uncork(c.link.client) })
}

func (c *Client) send(ctx context.Context, call func() C.outcome) error {
	if ctx.Err() != nil {
		return contextError(ctx, "Sending")
	}
	select {
	case c.sending <- struct{}{}:
	case <-ctx.Done():
		return contextError(ctx, "Sending")
	}
	defer func() { <-c.sending }()
	return c.use(func() error {
		cancelled, err := c.link.cancellable(ctx, "Sending", call)
		if cancelled {
			C.client_uncancel(c.link.client)
		}
		if c.link.isShut() && errors.Is(err, ErrClosed) {
			return c.closed()
		}
		return err
	})
}

// cancellable makes a call that ctx can end, and tells whether it was cancelled: that may have
// come too late for the call. A cancel ends all of a client's calls that wait, so only one is made
// at a time.
func (l *clientLink) cancellable(
	ctx context.Context, doing string, call func() C.outcome,
) (cancelled bool, err error) {
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		C.sock_client_cancel(l.client)
		close(ended)
	})
	how := uninterrupted(call)
	if cancelled = !stop(); cancelled {
		<-ended
	}
	err = check(how)
	if how.status == C.DOTSOCK_E_CANCELLED && ctx.Err() != nil {
		err = contextError(ctx, doing)
	}
	return cancelled, err
}

// --- Looking --------------------------------------------------------------------------------------

// EventName is the name of the client's event.
func (c *Client) EventName() string { return c.event }

// Connected looks at the socket, without waiting, whether there is a connection.
func (c *Client) Connected() (connected bool) {
	c.use(func() error {
		connected = C.sock_client_is_connected(c.link.client) == 1
		return nil
	})
	return connected
}

// Address is that of the server: the path of its socket, or host:port, numeric; "" while not
// connected.
func (c *Client) Address() (address string) {
	c.use(func() error {
		address = C.GoString(C.sock_client_address(c.link.client))
		return nil
	})
	return address
}

// ServerUID is the user that the server runs as; -1 for TCP and while not connected.
func (c *Client) ServerUID() int {
	return c.id(func() C.int64_t { return C.sock_client_server_uid(c.link.client) })
}

// ServerPID is the server's process; -1 for TCP and while not connected.
func (c *Client) ServerPID() int {
	return c.id(func() C.int64_t { return C.sock_client_server_pid(c.link.client) })
}

func (c *Client) id(get func() C.int64_t) int {
	id := -1
	c.use(func() error {
		id = int(get())
		return nil
	})
	return id
}

// Stat is a counter, from the making of the client on: "messages_sent", "messages_received",
// "bytes_sent", "bytes_received", "malformed" (what the server sent that was no message) or
// "reconnects". A message counts as received when the library has it.
func (c *Client) Stat(name string) (uint64, error) {
	cName, err := cString("counter's name", name)
	if err != nil {
		return 0, err
	}
	var value C.uint64_t
	err = c.use(func() error { return check(C.client_stat(c.link.client, cName, &value)) })
	return uint64(value), err
}

// use makes a call unless the client is closed, and keeps it from being collected meanwhile.
func (c *Client) use(call func() error) error {
	defer runtime.KeepAlive(c)
	if !c.link.enter() {
		return c.closed()
	}
	defer c.link.leave()
	return call()
}

func (c *Client) closed() error { return closedError("client", c.event) }
