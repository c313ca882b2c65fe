package dotsock

// #include "glue.h"
import "C"

import (
	"context"
	"iter"
	"runtime"
	"time"
)

// A Server is named by an event, and sends what it has to say to all clients or to one. All
// methods may be called by any number of goroutines at once.
//
// It runs by itself, in a goroutine that holds no thread while there is nothing to do: clients are
// accepted, and what is sent is delivered, whether or not the program asks for [Server.Events].
type Server struct {
	event   string
	link    *serverLink
	cleanup runtime.Cleanup
}

// serverLink is what a Server has of C and of the system. The goroutine that drives the server
// knows only this, so that a Server that is forgotten can be collected, and then closed.
type serverLink struct {
	guard
	server *C.sock_server
	waiter *waiter
	events eventQueue
	// As many as the next call takes from the library; grows while more are there.
	happenings []C.happening
}

// Listen makes a server of an event and starts it; when it returns, clients can connect.
//
// ctx ends the attempt, not the server: see [Server.Close]. The look-up of a host's name cannot be
// interrupted.
//
// It fails with [ErrInUse] when a live server has this event, or no port in the range is free,
// [ErrPermission] when the directory of sockets is not to be trusted or may not be written,
// [ErrInvalid] for an event or option that is none, and [ErrIO].
func Listen(ctx context.Context, event string, options ...Option) (*Server, error) {
	name, err := cString("event's name", event)
	if err != nil {
		return nil, err
	}
	release, ok := takeTurn(ctx)
	if !ok {
		return nil, contextError(ctx, "Listening")
	}
	defer release()
	config, err := configure(options)
	if err != nil {
		return nil, err
	}
	defer config.free()
	result := C.server_new(config.transport, name, config.options)
	if err := check(result.how); err != nil {
		return nil, err
	}
	link := &serverLink{
		server:     (*C.sock_server)(result.object),
		happenings: make([]C.happening, 1),
	}
	link.init(func() { C.sock_server_free(link.server) })
	link.events.init()
	err = check(C.server_open(link.server))
	if err == nil {
		link.waiter, err = newWaiter(C.sock_server_fd(link.server))
	}
	if err == nil && ctx.Err() != nil {
		err = contextError(ctx, "Listening")
	}
	if err != nil {
		link.hangUp()
		return nil, err
	}
	go link.drive()
	s := &Server{event: event, link: link}
	s.cleanup = runtime.AddCleanup(s, func(link *serverLink) { go link.close() }, link)
	return s, nil
}

// Close stops the server: nobody can connect any more, what is queued is delivered, for at most
// the option [Linger], and clients are disconnected. Calls that wait, in other goroutines, fail
// with [ErrClosed] or [ErrNotRunning], and so does every later one. Closing again does nothing. A
// server that is forgotten without Close is closed when it is collected.
func (s *Server) Close() error {
	s.cleanup.Stop()
	s.link.close()
	return nil
}

func (l *serverLink) close() {
	release, _ := takeTurn(context.Background())
	l.hangUp()
	release()
	<-l.freed
}

// hangUp makes all calls end, and lets the last of them free the server.
func (l *serverLink) hangUp() {
	if !l.shut() {
		return
	}
	close(l.events.closed)
	if l.waiter != nil {
		l.waiter.close()
	}
	C.sock_server_stop(l.server)
	l.leave()
}

// --- Events ---------------------------------------------------------------------------------------

// Events yields what clients do, waiting for each event:
//
//	for event, err := range server.Events(ctx) {
//		if err != nil {
//			return err
//		}
//		if event.Kind == dotsock.MessageReceived {
//			server.SendTo(event.Client, reply)
//		}
//	}
//
// It ends after the first error: [ErrCancelled] and [ErrTimeout] when ctx is done, [ErrClosed] when
// the server was closed. Ranging again goes on where it ended. Of several that range at once, each
// event goes to one.
//
// While somebody ranges, no event is lost: when 1024 of them, or 8 MiB, have not been taken, the
// server goes on neither accepting nor reading until some are. While nobody does, the newest that
// fit into these bounds are kept.
func (s *Server) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		defer runtime.KeepAlive(s)
		queue := &s.link.events
		queue.follow(+1)
		defer queue.follow(-1)
		for {
			if ctx.Err() != nil {
				yield(Event{}, contextError(ctx, "Waiting for an event"))
				return
			}
			if s.link.isShut() {
				yield(Event{}, s.closed())
				return
			}
			entry, ok := queue.take(ctx)
			if ok && (!yield(entry.event, entry.err) || entry.err != nil) {
				return
			}
		}
	}
}

// drive runs until the server is closed.
func (l *serverLink) drive() {
	var taken []eventEntry
	look := func(woken bool) bool {
		if !l.enter() {
			return true
		}
		defer l.leave()
		quick <- struct{}{}
		defer func() { <-quick }()
		taken = l.take(woken)
		return len(taken) > 0
	}
	never := &breaker{ctx: context.Background()}
	for {
		err := l.waiter.wait(never, look)
		if err != nil || l.isShut() {
			return
		}
		for _, entry := range taken {
			l.events.put(entry)
			if entry.err != nil {
				// What fails may fail again at once, such as for want of memory.
				time.Sleep(100 * time.Millisecond)
			}
		}
	}
}

// The most events that are taken from the library at once.
const mostHappenings = 64

// take drives the server, and returns the events that this has brought about.
func (l *serverLink) take(woken bool) (taken []eventEntry) {
	if woken {
		l.happenings = l.happenings[:1]
	}
	happenings := l.happenings
	result := C.server_take(l.server, l.waiter.fd, asInt(woken), &happenings[0],
		C.int(len(happenings)))
	count := int(result.count)
	for i := range happenings[:count] {
		it := &happenings[i]
		event := Event{Kind: Kind(it.kind), Client: C.GoString(it.client_id)}
		if it.letter.message != nil {
			event.Message = copied(&it.letter)
		}
		taken = append(taken, eventEntry{event: event})
	}
	if count > 0 {
		C.free_happenings(&happenings[0], result.count)
	}
	if count == len(happenings) && count < mostHappenings {
		l.happenings = grown(happenings)
	}
	if err := check(result.how); err != nil {
		taken = append(taken, eventEntry{err: err})
	}
	return taken
}

// --- Sending --------------------------------------------------------------------------------------

// Send sends data to all clients, in a message of [TypeData] of the server's event; for other types
// and events see [NewMessage]. While no client is connected, the newest messages are kept for the
// first that comes (option [QueueSize]).
//
// data is a struct or a map with string keys, or MessagePack that was made elsewhere ([Raw]); nil is
// the empty map. A struct's fields are named by the tag "msgpack", else "json", else by the field
// itself; "omitempty" and "-" work as usual. What it holds is numbers, text, []byte, [time.Time],
// [Ext], lists, maps and structs.
//
// It never waits, except with the option [SlowClient]([Block]): then it waits, on a thread, for as
// long as [SendTimeout] (else [Timeout]) allows. A broadcast succeeds also where a client's queue is
// full: never repeat it, the client is told what it missed.
//
// It fails with [ErrInvalid] or [ErrMessage] when data cannot be sent, and says what is wrong with
// it, and with [ErrClosed].
func (s *Server) Send(data any) error {
	return s.sendData(data, nil)
}

// SendTo sends data to one client, as [Server.Send] does to all.
//
// It fails with [ErrNoClient] when nobody has this id, and, where the client's queue is full, with
// [ErrFull] or [ErrTimeout], depending on [SlowClient]: it was not queued then.
func (s *Server) SendTo(client string, data any) error {
	id, err := cString("client's id", client)
	if err != nil {
		return err
	}
	return s.sendData(data, id)
}

func (s *Server) sendData(data any, id *C.char) error {
	return encoded(data, func(payload []byte) error {
		return s.call(func() C.outcome {
			return C.server_send_data(s.link.server, C.DOTSOCK_DATA, start(payload),
				C.size_t(len(payload)), id)
		})
	})
}

// SendMessage sends a message as it is to all clients; its event may differ from the server's. Else
// as [Server.Send].
func (s *Server) SendMessage(message *Message) error {
	return s.sendEnvelope(message, nil)
}

// SendMessageTo sends a message as it is to one client. Else as [Server.SendTo].
func (s *Server) SendMessageTo(client string, message *Message) error {
	id, err := cString("client's id", client)
	if err != nil {
		return err
	}
	return s.sendEnvelope(message, id)
}

func (s *Server) sendEnvelope(message *Message, id *C.char) error {
	if message == nil {
		return invalid("message is nil")
	}
	return s.call(func() C.outcome {
		envelope := message.envelope
		return C.server_send_envelope(s.link.server, start(envelope), C.size_t(len(envelope)), id)
	})
}

// Cork lets what is sent from now on collect, up to 64 KiB for each client, until [Server.Uncork]:
// for bursts.
func (s *Server) Cork() error {
	return s.call(func() C.outcome { return C.server_cork(s.link.server) })
}

// Uncork lifts [Server.Cork] and sends what has collected.
func (s *Server) Uncork() error {
	return s.call(func() C.outcome { return C.server_uncork(s.link.server) })
}

// --- Clients --------------------------------------------------------------------------------------

// ClientInfo is what a server knows of a client.
type ClientInfo struct {
	// ID is never used again by this server.
	ID string
	// Address says who it is: "uid 1000, pid 4242", or "127.0.0.1:54321".
	Address string
	// Connected is when it connected.
	Connected time.Time
	// UID and PID are those of its process; -1 for TCP.
	UID, PID int
	// Dropped is how many messages were dropped because its queue was full.
	Dropped uint64
	// QueuedBytes is how much waits for it.
	QueuedBytes uint64
}

// Clients are those that are connected now.
func (s *Server) Clients() ([]ClientInfo, error) {
	var clients []ClientInfo
	err := s.use(func() error {
		result := C.server_clients(s.link.server)
		if err := check(result.how); err != nil {
			return err
		}
		list := (*C.sock_client_list)(result.object)
		defer C.sock_client_list_free(list)
		for i := range C.sock_client_list_size(list) {
			clients = append(clients, ClientInfo{
				ID:          C.GoString(C.sock_client_list_id(list, i)),
				Address:     C.GoString(C.sock_client_list_address(list, i)),
				Connected:   time.UnixMilli(int64(C.sock_client_list_connected_at_ms(list, i))),
				UID:         int(C.sock_client_list_uid(list, i)),
				PID:         int(C.sock_client_list_pid(list, i)),
				Dropped:     uint64(C.sock_client_list_dropped(list, i)),
				QueuedBytes: uint64(C.sock_client_list_queued_bytes(list, i)),
			})
		}
		return nil
	})
	return clients, err
}

// Disconnect disconnects a client: its id is unknown from now on, what is queued for it is
// delivered, and its [ClientDisconnected] follows. It does not wait for that, and fails with
// [ErrNoClient] when nobody has this id. Messages of the client that wait for those who follow the
// events already still come.
func (s *Server) Disconnect(client string) error {
	id, err := cString("client's id", client)
	if err != nil {
		return err
	}
	return s.call(func() C.outcome { return C.server_disconnect_client(s.link.server, id) })
}

// ClearQueue drops the messages that are kept for the first client that comes.
func (s *Server) ClearQueue() error {
	return s.call(func() C.outcome { return C.server_clear_queue(s.link.server) })
}

// --- Looking --------------------------------------------------------------------------------------

// EventName is the name of the server's event.
func (s *Server) EventName() string { return s.event }

// Address is where the server listens: the path of its socket, or host:port, numeric.
func (s *Server) Address() (address string) {
	s.use(func() error {
		address = C.GoString(C.sock_server_address(s.link.server))
		return nil
	})
	return address
}

// Port is the port that a TCP server listens on, 0 for Unix.
func (s *Server) Port() (port int) {
	s.use(func() error {
		port = int(C.sock_server_port(s.link.server))
		return nil
	})
	return port
}

// Stat is a counter, from the making of the server on:
//   - "clients", "queued": connected now, and kept for the first client that comes
//   - "connections", "rejected": accepted, and refused because of [MaxConnections] or for want of the token
//   - "messages_sent", "bytes_sent": what the system took, for each recipient
//   - "messages_received", "bytes_received"
//   - "messages_dropped": what the system never took, for each recipient
//   - "malformed": what clients sent that was no message
//   - "denied": messages refused because of [AllowClientSend]
func (s *Server) Stat(name string) (uint64, error) {
	cName, err := cString("counter's name", name)
	if err != nil {
		return 0, err
	}
	var value C.uint64_t
	err = s.call(func() C.outcome { return C.server_stat(s.link.server, cName, &value) })
	return uint64(value), err
}

// call makes a call unless the server is closed.
func (s *Server) call(call func() C.outcome) error {
	return s.use(func() error { return check(uninterrupted(call)) })
}

// use does so too, and keeps the server from being collected meanwhile.
func (s *Server) use(call func() error) error {
	defer runtime.KeepAlive(s)
	if !s.link.enter() {
		return s.closed()
	}
	defer s.link.leave()
	return call()
}

func (s *Server) closed() error { return closedError("server", s.event) }
