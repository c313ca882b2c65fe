// Command dotsock_cmd is Go's part of tests/conformance, whose README.md says what it does.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"dotsock"
)

// command is what the arguments ask for.
type command struct {
	event   string
	options []dotsock.Option
	count   int
	timeout time.Duration
	open    bool
}

func main() {
	run, c, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "dotsock_cmd: %v\n", err)
		os.Exit(2)
	}
	if err := run(c); err != nil {
		writeError(err)
		os.Exit(1)
	}
}

func parse(arguments []string) (run func(command) error, c command, err error) {
	if len(arguments) < 2 {
		return nil, c, errors.New("usage: dotsock_cmd serve|listen|send EVENT [options]")
	}
	runs := map[string]func(command) error{"serve": serve, "listen": listen, "send": send}
	run, known := runs[arguments[0]]
	if !known {
		return nil, c, fmt.Errorf("%s is no command: use serve, listen or send", arguments[0])
	}
	flags := flag.NewFlagSet("dotsock_cmd", flag.ContinueOnError)
	transport := flags.String("transport", "unix", "unix or tcp")
	flags.Func("set", "KEY=VALUE", func(text string) error {
		key, value, found := strings.Cut(text, "=")
		if !found {
			return errors.New("it needs KEY=VALUE")
		}
		c.options = append(c.options, dotsock.Set(key, value))
		return nil
	})
	flags.IntVar(&c.count, "count", -1, "how many messages to receive")
	timeout := flags.Int("timeout", 10_000, "milliseconds to wait for a message")
	flags.BoolVar(&c.open, "open", false, "come before the server")
	if err := flags.Parse(arguments[2:]); err != nil {
		return nil, c, err
	}
	switch *transport {
	case "unix":
	case "tcp":
		c.options = append(c.options, dotsock.TCP())
	default:
		return nil, c, fmt.Errorf("%s is no transport: use unix or tcp", *transport)
	}
	if flags.NArg() > 0 {
		return nil, c, fmt.Errorf("%q is one argument too many", flags.Arg(0))
	}
	c.event, c.timeout = arguments[1], time.Duration(*timeout)*time.Millisecond
	return run, c, nil
}

// --- Commands -------------------------------------------------------------------------------------

func serve(c command) error {
	server, err := dotsock.Listen(context.Background(), c.event, c.options...)
	if err != nil {
		return err
	}
	write(map[string]any{"ready": true, "address": server.Address()})
	enough := make(chan error, 1)
	go func() { enough <- follow(server, c.count) }()
	requests := read()
	for {
		select {
		case err := <-enough:
			server.Close()
			return err
		case request, more := <-requests:
			if !more {
				return server.Close()
			}
			if err := request.atServer(server); err != nil {
				writeError(err)
			}
		}
	}
}

// follow writes what clients do, until they have sent count messages.
func follow(server *dotsock.Server, count int) error {
	for n := 0; n != count; {
		for event, err := range server.Events(context.Background()) {
			if err != nil {
				return err
			}
			switch event.Kind {
			case dotsock.ClientConnected, dotsock.ClientDisconnected:
				write(map[string]any{event.Kind.String(): event.Client})
			case dotsock.MessageReceived:
				if err := writeMessage(event.Message, event.Client); err != nil {
					return err
				}
				n++
			}
			if n == count {
				break
			}
		}
	}
	return nil
}

func (r *request) atServer(server *dotsock.Server) error {
	switch {
	case r.err != nil:
		return r.err
	case r.Do == "disconnect":
		return server.Disconnect(r.Client)
	case r.Do == "stat":
		return writeStat(r.Name, server.Stat)
	}
	message, err := r.message(server.EventName())
	if err != nil {
		return err
	}
	if r.To != nil {
		return server.SendMessageTo(*r.To, message)
	}
	return server.SendMessage(message)
}

func connect(c command) (*dotsock.Client, error) {
	var client *dotsock.Client
	var err error
	if c.open {
		client, err = dotsock.Open(c.event, c.options...)
	} else {
		client, err = dotsock.Dial(context.Background(), c.event, c.options...)
	}
	if err == nil {
		write(map[string]any{"ready": true, "address": client.Address()})
	}
	return client, err
}

func listen(c command) error {
	client, err := connect(c)
	if err != nil {
		return err
	}
	defer client.Close()
	return receive(client, c)
}

func receive(client *dotsock.Client, c command) error {
	for n := 0; n != c.count; n++ {
		ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
		message, err := client.Receive(ctx)
		cancel()
		if err != nil {
			return err
		}
		if err := writeMessage(message, ""); err != nil {
			return err
		}
	}
	return nil
}

func send(c command) error {
	client, err := connect(c)
	if err != nil {
		return err
	}
	defer client.Close()
	for request := range read() {
		if err := request.atClient(client); err != nil {
			return err
		}
	}
	c.count = max(c.count, 0)
	return receive(client, c)
}

func (r *request) atClient(client *dotsock.Client) error {
	switch {
	case r.err != nil:
		return r.err
	case r.Do == "stat":
		return writeStat(r.Name, client.Stat)
	}
	message, err := r.message(client.EventName())
	if err != nil {
		return err
	}
	return client.SendMessage(context.Background(), message)
}

// --- Lines ----------------------------------------------------------------------------------------

// A request is one line of standard input.
type request struct {
	Do     string          `json:"do"`
	Client string          `json:"client"`
	Name   string          `json:"name"`
	Type   string          `json:"type"`
	To     *string         `json:"to"`
	Data   json.RawMessage `json:"data"`

	err error
}

func read() <-chan *request {
	requests := make(chan *request)
	go func() {
		defer close(requests)
		lines := bufio.NewReader(os.Stdin)
		for {
			line, err := lines.ReadBytes('\n')
			if len(line) == 0 && err != nil {
				return
			}
			request := &request{}
			if err := json.Unmarshal(line, request); err != nil {
				request.err = fmt.Errorf("a line of standard input is no request: %w", err)
			}
			requests <- request
		}
	}()
	return requests
}

func (r *request) message(event string) (*dotsock.Message, error) {
	types := map[string]dotsock.Type{"": dotsock.TypeData, "data": dotsock.TypeData,
		"error": dotsock.TypeError, "control": dotsock.TypeControl}
	kind, known := types[r.Type]
	if !known {
		return nil, fmt.Errorf("%q is no type of message", r.Type)
	}
	data, err := fromJSON(r.Data)
	if err != nil {
		return nil, err
	}
	return dotsock.NewMessage(event, kind, data)
}

var output sync.Mutex

func write(line map[string]any) {
	text, err := toJSON(line)
	if err != nil {
		panic(err) // nothing but what was just made
	}
	output.Lock()
	defer output.Unlock()
	os.Stdout.Write(append(text, '\n'))
}

func writeMessage(message *dotsock.Message, from string) error {
	var data any
	if err := message.Decode(&data); err != nil {
		return err
	}
	line := map[string]any{
		"event":         message.EventName(),
		"type":          message.Type().String(),
		"data":          described(data),
		"timestamp_ms":  message.Time().UnixMilli(),
		"timestamp_iso": message.TimestampISO(),
	}
	if from != "" {
		line["from"] = from
	}
	write(line)
	return nil
}

func writeStat(name string, stat func(string) (uint64, error)) error {
	value, err := stat(name)
	if err == nil {
		write(map[string]any{"stat": name, "value": value})
	}
	return err
}

func writeError(err error) {
	status, text := dotsock.ErrInvalid, err.Error()
	var ours *dotsock.Error
	if errors.As(err, &ours) {
		status, text = ours.Status, ours.Text
	}
	write(map[string]any{"error": map[string]any{"status": int(status), "text": text}})
}
