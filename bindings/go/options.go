package dotsock

// #include "glue.h"
import "C"

import (
	"fmt"
	"io/fs"
	"reflect"
	"strconv"
	"time"
)

// Option is an option of [Listen], [Dial] and [Open].
//
// What no option says is taken from the settings files and the environment, as for programs in
// every other language; docs/configuration.md has all keys, their defaults and the layers.
type Option func(*config) error

// config collects options. The C object of the library is made first, so that every option meets
// its checks at once.
type config struct {
	transport C.int
	options   *C.sock_options
}

// Set sets any option by the key that it has in settings files, such as "max_connections".
//
// The value is a string, a bool, a number, a [time.Duration] (for keys in seconds), an
// [fs.FileMode] (for socket_permissions), or nil, which puts the key back to what the settings
// files and the environment say.
func Set(key string, value any) Option {
	return func(c *config) error {
		cKey, err := cString("option's key", key)
		if err != nil {
			return err
		}
		if value == nil {
			return check(C.options_set(c.options, cKey, nil))
		}
		text, err := optionText(key, value)
		if err != nil {
			return err
		}
		cValue, err := cString("option "+key, text)
		if err != nil {
			return err
		}
		return check(C.options_set(c.options, cKey, cValue))
	}
}

// optionText writes a value as settings files have it.
func optionText(key string, value any) (string, error) {
	switch value := value.(type) {
	case time.Duration:
		return strconv.FormatFloat(value.Seconds(), 'f', -1, 64), nil
	case fs.FileMode:
		return fmt.Sprintf("%#o", uint32(value)), nil
	}
	switch v := reflect.ValueOf(value); v.Kind() {
	case reflect.String:
		return v.String(), nil
	case reflect.Float32, reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'f', -1, 64), nil
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprint(value), nil
	}
	return "", invalid("Option %s cannot be a %T: give a string, a bool, a number, a "+
		"time.Duration or an fs.FileMode", key, value)
}

// TCP listens on or connects over TCP instead of a Unix socket. A client without a [Port] finds
// the server of its event by the address that it has published in [SocketDir].
func TCP() Option {
	return func(c *config) error {
		c.transport = C.DOTSOCK_TCP
		return nil
	}
}

// Settings loads a settings file, over what was set before.
func Settings(path string) Option {
	return func(c *config) error {
		cPath, err := cString("path of the settings file", path)
		if err != nil {
			return err
		}
		return check(C.options_load(c.options, cPath))
	}
}

// SocketDir is the directory where servers are found.
func SocketDir(path string) Option { return Set("socket_dir", path) }

// Host is the address of a TCP server: IPv4, IPv6 or a name.
func Host(host string) Option { return Set("host", host) }

// Port is the one port of a TCP server; 0 lets the system choose.
func Port(port int) Option { return Set("port", port) }

// Timeout is how long connecting may take, and a send that has to wait for room.
func Timeout(d time.Duration) Option { return Set("default_timeout", d) }

// SendTimeout is how long a send may wait, where that shall differ from [Timeout].
func SendTimeout(d time.Duration) Option { return Set("send_timeout", d) }

// Linger is how long Close may take to deliver what is queued.
func Linger(d time.Duration) Option { return Set("linger", d) }

// QueueSize is how many messages a server keeps while no client is connected; 0 keeps none.
func QueueSize(messages int) Option { return Set("message_queue_size", messages) }

// MaxConnections is how many clients a server takes at the same time.
func MaxConnections(clients int) Option { return Set("max_connections", clients) }

// RetainLast sends every client that connects the newest broadcast first.
func RetainLast() Option { return Set("retain_last", true) }

// AllowClientSend tells whether clients may send to the server.
func AllowClientSend(allow bool) Option { return Set("allow_client_send", allow) }

// SlowClient is what a server does when the queue of a slow client is full.
func SlowClient(policy Policy) Option { return Set("slow_client", policy) }

// Policy says what happens when the queue of a slow client is full; see [SlowClient].
type Policy string

// The policies.
const (
	// DropOldest drops what has waited longest; the client is told how much it missed.
	DropOldest Policy = "drop_oldest"
	// DropNewest drops the new message; the client is told how much it missed.
	DropNewest Policy = "drop_newest"
	// Disconnect closes the client.
	Disconnect Policy = "disconnect"
	// Block lets the sender wait for room.
	Block Policy = "block"
)

// AutoReconnect tells whether a client whose connection is lost connects again by itself.
func AutoReconnect(reconnect bool) Option { return Set("auto_reconnect", reconnect) }

// ReportLoss lets receiving fail with [ErrClosed] once for each lost connection, before the client
// goes on to connect again.
func ReportLoss() Option { return Set("report_loss", true) }

// configure applies options; the caller frees what it gets.
func configure(options []Option) (config, error) {
	result := C.options_new()
	if err := check(result.how); err != nil {
		return config{}, err
	}
	c := config{transport: C.DOTSOCK_UNIX, options: (*C.sock_options)(result.object)}
	for _, option := range options {
		if option == nil {
			continue
		}
		if err := option(&c); err != nil {
			c.free()
			return config{}, err
		}
	}
	return c, nil
}

func (c *config) free() { C.sock_options_free(c.options) }
