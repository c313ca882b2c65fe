package dotsock

// #cgo pkg-config: dotsock
// #include "glue.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"unsafe"
)

// Status says what kind of error an [Error] is. It is an error itself, so that
//
//	errors.Is(err, dotsock.ErrTimeout)
//
// asks for it. Later versions of the library may have more of them.
type Status int

// The kinds of errors.
const (
	// ErrInvalid: an argument is wrong; the error names it, its value and what is allowed.
	ErrInvalid Status = C.DOTSOCK_E_INVALID
	// ErrIO: the operating system refused something; errors.Is finds the [syscall.Errno].
	ErrIO Status = C.DOTSOCK_E_IO
	// ErrTimeout: nothing happened in time, or the context's deadline has passed.
	ErrTimeout Status = C.DOTSOCK_E_TIMEOUT
	// ErrClosed: not connected, the peer is gone, or Close was called (then the error is
	// [net.ErrClosed] too).
	ErrClosed Status = C.DOTSOCK_E_CLOSED
	// ErrMessage: a message is malformed, too large, or cannot be encoded or decoded.
	ErrMessage Status = C.DOTSOCK_E_MESSAGE
	// ErrMaxConnections: the server has as many clients as its option max_connections allows.
	ErrMaxConnections Status = C.DOTSOCK_E_MAX_CONNECTIONS
	// ErrNotRunning: the server is not running.
	ErrNotRunning Status = C.DOTSOCK_E_NOT_RUNNING
	// ErrNoClient: no client has this id.
	ErrNoClient Status = C.DOTSOCK_E_NO_CLIENT
	// ErrInUse: a live server has this event, or no port in the range is free.
	ErrInUse Status = C.DOTSOCK_E_IN_USE
	// ErrPermission: access was refused, or a file or a peer is not to be trusted.
	ErrPermission Status = C.DOTSOCK_E_PERMISSION
	// ErrSendDenied: the server does not accept messages from its clients.
	ErrSendDenied Status = C.DOTSOCK_E_SEND_DENIED
	// ErrFull: the client's queue is full.
	ErrFull Status = C.DOTSOCK_E_FULL
	// ErrState: the call is not possible in this state.
	ErrState Status = C.DOTSOCK_E_STATE
	// ErrCancelled: the context was cancelled.
	ErrCancelled Status = C.DOTSOCK_E_CANCELLED
	// ErrInternal: a defect in the library; the error says what to report.
	ErrInternal Status = C.DOTSOCK_E_INTERNAL
	// ErrNoMemory: memory ran out.
	ErrNoMemory Status = C.DOTSOCK_E_NO_MEMORY
)

// Error says what a status means in general.
func (s Status) Error() string {
	return "dotsock: " + C.GoString(C.sock_strerror(C.int(s)))
}

// Error is what every call of this package fails with.
//
// errors.Is finds in it the [Status], the system's [syscall.Errno] if there is one, and the
// context's error where a context ended the call.
type Error struct {
	// Status is the kind of the error.
	Status Status
	// Text is a sentence that names the value, the limit and the remedy.
	Text string
	// Errno is the system's error behind it, or 0.
	Errno syscall.Errno

	causes []error
}

// Error returns the sentence.
func (e *Error) Error() string { return "dotsock: " + e.Text }

// Timeout tells whether the error is [ErrTimeout], as [net.Error] has it.
func (e *Error) Timeout() bool { return e.Status == ErrTimeout }

// Unwrap makes the status, the system's error and the context's error known to [errors.Is].
func (e *Error) Unwrap() []error {
	all := append([]error{e.Status}, e.causes...)
	if e.Errno != 0 {
		all = append(all, e.Errno)
	}
	return all
}

// check turns how a call ended into an error, and frees what came with it.
func check(how C.outcome) error {
	if how.status == C.DOTSOCK_OK {
		return nil
	}
	text := Status(how.status).Error()
	if how.text != nil {
		text = C.GoString(how.text)
		C.free(unsafe.Pointer(how.text))
	}
	return &Error{Status: Status(how.status), Text: text, Errno: syscall.Errno(how.os_error)}
}

func invalid(format string, values ...any) error {
	return &Error{Status: ErrInvalid, Text: fmt.Sprintf(format, values...)}
}

func systemError(what string, err error) error {
	var errno syscall.Errno
	errors.As(err, &errno)
	return &Error{Status: ErrIO, Text: fmt.Sprintf("%s: %v", what, err), Errno: errno}
}

// closedError is what a call on a closed server or client gets.
func closedError(what, event string) error {
	text := fmt.Sprintf("The %s of event '%s' was closed: make a new one", what, event)
	return &Error{Status: ErrClosed, Text: text, causes: []error{net.ErrClosed}}
}

// contextError says that a context ended what is going on.
func contextError(ctx context.Context, doing string) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	status := ErrCancelled
	if errors.Is(err, context.DeadlineExceeded) {
		status = ErrTimeout
	}
	return &Error{
		Status: status,
		Text:   fmt.Sprintf("%s was ended by its context: %v", doing, cause),
		causes: []error{err, cause},
	}
}

// cString makes text that C can read, or fails naming what it is: C would not see what follows a
// NUL.
func cString(name, text string) (*C.char, error) {
	bytes := make([]byte, len(text)+1)
	copy(bytes, text)
	for i, b := range bytes[:len(text)] {
		if b == 0 {
			return nil, invalid("The %s has a NUL at byte %d: %q", name, i, text)
		}
	}
	return (*C.char)(unsafe.Pointer(&bytes[0])), nil
}
