package dotsock

// #include "glue.h"
import "C"

import (
	"context"
	"sync"
)

// Kind says what an [Event] is. Later versions of the library may have more: ignore those.
type Kind int

// The kinds of events.
const (
	// ClientConnected: a client has come; what is sent to it now reaches it.
	ClientConnected Kind = C.DOTSOCK_CLIENT_CONNECTED
	// ClientDisconnected: a client has left, or was disconnected.
	ClientDisconnected Kind = C.DOTSOCK_CLIENT_DISCONNECTED
	// MessageReceived: a client has sent a message.
	MessageReceived Kind = C.DOTSOCK_MESSAGE_RECEIVED
)

// String returns "connected", "disconnected" or "message".
func (k Kind) String() string {
	switch k {
	case ClientConnected:
		return "connected"
	case ClientDisconnected:
		return "disconnected"
	case MessageReceived:
		return "message"
	}
	return "unknown"
}

// Event is what a client of a server has done. Those of one client come in order: connected,
// messages, disconnected.
type Event struct {
	Kind Kind
	// Client is the client's id, for [Server.SendTo] and [Server.Disconnect].
	Client string
	// Message is what it has sent, nil for other kinds.
	Message *Message
}

// An eventQueue is between the goroutine that drives a server and those that follow its events. It
// is bounded: when it is full the server waits for its followers, and without any the oldest
// events go.
type eventQueue struct {
	mutex     sync.Mutex
	entries   []eventEntry
	bytes     int
	followers int
	// Signals for whoever waits, with one signal kept.
	filled, drained chan struct{}
	closed          chan struct{}
}

// An eventEntry is an event, or what went wrong.
type eventEntry struct {
	event Event
	err   error
}

const (
	mostEvents     = 1024
	mostEventBytes = 8 << 20
)

func (e *eventEntry) bytes() int {
	if e.event.Message == nil {
		return 0
	}
	return len(e.event.Message.envelope)
}

func (q *eventQueue) init() {
	q.filled = make(chan struct{}, 1)
	q.drained = make(chan struct{}, 1)
	q.closed = make(chan struct{})
}

func signal(to chan struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

func (q *eventQueue) isFull() bool {
	return len(q.entries) >= mostEvents || q.bytes >= mostEventBytes
}

// put adds an event, once there is room or nobody follows.
func (q *eventQueue) put(entry eventEntry) {
	q.mutex.Lock()
	for q.isFull() {
		if q.followers == 0 {
			q.pop()
			continue
		}
		q.mutex.Unlock()
		select {
		case <-q.drained:
		case <-q.closed:
			return
		}
		q.mutex.Lock()
	}
	q.entries = append(q.entries, entry)
	q.bytes += entry.bytes()
	q.mutex.Unlock()
	signal(q.filled)
}

func (q *eventQueue) pop() eventEntry {
	entry := q.entries[0]
	q.entries[0] = eventEntry{}
	q.entries = q.entries[1:]
	q.bytes -= entry.bytes()
	return entry
}

// take waits for the next event. It says false when ctx or the queue's end ended the wait.
func (q *eventQueue) take(ctx context.Context) (entry eventEntry, ok bool) {
	for {
		q.mutex.Lock()
		if len(q.entries) > 0 {
			entry = q.pop()
			more := len(q.entries) > 0
			q.mutex.Unlock()
			signal(q.drained)
			if more {
				signal(q.filled)
			}
			return entry, true
		}
		q.mutex.Unlock()
		select {
		case <-q.filled:
		case <-ctx.Done():
			return entry, false
		case <-q.closed:
			return entry, false
		}
	}
}

// follow counts those that take events.
func (q *eventQueue) follow(change int) {
	q.mutex.Lock()
	q.followers += change
	q.mutex.Unlock()
	signal(q.drained)
}
