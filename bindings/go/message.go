package dotsock

// #include "glue.h"
import "C"

import (
	"time"
	"unsafe"
)

// Type says what a message is about.
type Type int

// The types of messages.
const (
	// TypeData: what the program has to say.
	TypeData Type = C.DOTSOCK_DATA
	// TypeError: something failed.
	TypeError Type = C.DOTSOCK_ERROR
	// TypeControl: something about the conversation itself, such as "shutdown". The library sends
	// one with {"code": "missed", "count": n} to a client that was too slow.
	TypeControl Type = C.DOTSOCK_CONTROL
)

// String returns "data", "error" or "control".
func (t Type) String() string {
	switch t {
	case TypeData:
		return "data"
	case TypeError:
		return "error"
	case TypeControl:
		return "control"
	}
	return "unknown"
}

// Message is a message that was received, or that [NewMessage] has made. It is immutable, owns its
// memory, and may be kept, sent on and used by any number of goroutines.
type Message struct {
	envelope    []byte
	data        []byte // part of envelope
	timestampMs int64
	kind        Type
}

// NewMessage makes a message about an event, stamped with the time of now: for types other than
// [TypeData], and for what is sent more than once. See [Server.Send] for data.
func NewMessage(event string, kind Type, data any) (*Message, error) {
	name, err := cString("event's name", event)
	if err != nil {
		return nil, err
	}
	var message *Message
	err = encoded(data, func(payload []byte) error {
		result := C.message_new(name, C.int(kind), start(payload), C.size_t(len(payload)))
		message, err = adopted(result)
		return err
	})
	return message, err
}

// MessageFromEnvelope makes a message from what [Message.Envelope] gives: for relays and recorders.
// Nothing in it is changed.
func MessageFromEnvelope(envelope []byte) (*Message, error) {
	return adopted(C.message_from_envelope(start(envelope), C.size_t(len(envelope))))
}

// adopted copies a message that C has made, and frees it.
func adopted(result C.made) (*Message, error) {
	if err := check(result.how); err != nil {
		return nil, err
	}
	letter := C.letter_of((*C.sock_message)(result.object))
	defer C.sock_message_free(letter.message)
	return copied(&letter), nil
}

func copied(letter *C.letter) *Message {
	envelope := make([]byte, letter.envelope_size)
	copy(envelope, unsafe.Slice((*byte)(letter.envelope), letter.envelope_size))
	end := letter.data_start + letter.data_size
	return &Message{
		envelope:    envelope,
		data:        envelope[letter.data_start:end:end],
		timestampMs: int64(letter.timestamp_ms),
		kind:        Type(letter._type),
	}
}

// start is where bytes begin, for C.
func start(bytes []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(bytes)) }

// Decode reads the payload into what v points to: a struct, a map, or an any.
//
// A struct's fields are named by the tag "msgpack", else "json", else by the field itself. In an
// any, integers are int64 (uint64 where they are larger), other numbers float64, text is string,
// binary data []byte, a timestamp [time.Time], another extension [Ext], a list []any, and a map
// map[string]any, or map[any]any where not all of its keys are text.
//
// It fails with [ErrMessage] when the payload does not fit, and says where.
func (m *Message) Decode(v any) error { return decode(m.data, v) }

// Type is what the message is about.
func (m *Message) Type() Type { return m.kind }

// Time is when the message was made, to the millisecond.
func (m *Message) Time() time.Time { return time.UnixMilli(m.timestampMs) }

// Data is the payload as MessagePack. Do not change it.
func (m *Message) Data() []byte { return m.data }

// Envelope is the whole message as MessagePack, as [MessageFromEnvelope] takes it. Do not change
// it.
func (m *Message) Envelope() []byte { return m.envelope }

// EventName is the event that the message is about. One that a peer sent may have any name.
func (m *Message) EventName() string { return m.header().EventName }

// TimestampISO is when the message was made as its sender wrote it: ISO 8601 with microseconds and
// offset. One that a peer sent may have any text.
func (m *Message) TimestampISO() string { return m.header().TimestampISO }

type header struct {
	EventName    string `msgpack:"event_name"`
	TimestampISO string `msgpack:"timestamp_iso"`
}

// header reads what few programs ask for, when one does.
func (m *Message) header() (h header) {
	// It was checked when the message was received or made.
	_ = decode(m.envelope, &h)
	return h
}

// JSON is the payload as the text of a JSON object, for logs and for other programs. Key order is
// kept, and 64-bit integers stay exact; binary data becomes base64.
func (m *Message) JSON() (string, error) {
	result := C.message_from_envelope(start(m.envelope), C.size_t(len(m.envelope)))
	if err := check(result.how); err != nil {
		return "", err
	}
	message := (*C.sock_message)(result.object)
	defer C.sock_message_free(message)
	json := C.message_data_json(message)
	if err := check(json.how); err != nil {
		return "", err
	}
	defer C.free(json.object)
	return C.GoString((*C.char)(json.object)), nil
}

// String is the payload as JSON, or why it is none.
func (m *Message) String() string {
	json, err := m.JSON()
	if err != nil {
		return err.Error()
	}
	return json
}
