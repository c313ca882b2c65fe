package dotsock_test

import (
	"errors"
	"math"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"dotsock"
)

// through sends data to a message and back, by way of the library's checks.
func through(t *testing.T, data any) *dotsock.Message {
	t.Helper()
	message, err := dotsock.NewMessage("my_event", dotsock.TypeData, data)
	if err != nil {
		t.Fatal(err)
	}
	return message
}

func TestEveryTypeOfValue(t *testing.T) {
	stamp := time.Unix(1790000000, 123456789).UTC()
	for _, test := range []struct{ sent, received any }{
		{nil, nil},
		{true, true},
		{0, int64(0)},
		{127, int64(127)},
		{200, int64(200)},
		{uint8(200), int64(200)},
		{-33, int64(-33)},
		{math.MaxInt64, int64(math.MaxInt64)},
		{math.MinInt64, int64(math.MinInt64)},
		{uint64(math.MaxInt64) + 1, uint64(math.MaxInt64) + 1},
		{uint64(math.MaxUint64), uint64(math.MaxUint64)},
		{1.0, 1.0},
		{float32(0.5), 0.5},
		{math.Inf(-1), math.Inf(-1)},
		{"", ""},
		{"grüße 你好 🙂 \x00", "grüße 你好 🙂 \x00"},
		{[]byte{0, 255}, []byte{0, 255}},
		{[]byte{}, []byte{}},
		{[]any{}, []any{}},
		{[]int{1, 300}, []any{int64(1), int64(300)}},
		{map[string]int{}, map[string]any{}},
		{map[string]any{"a": map[string]any{"b": 300}},
			map[string]any{"a": map[string]any{"b": int64(300)}}},
		{map[int]any{300: "x", -1: uint8(200)}, map[any]any{int64(300): "x", int64(-1): int64(200)}},
		{map[any]any{"a": 1, true: 2}, map[any]any{"a": int64(1), true: int64(2)}},
		{stamp, stamp},
		{dotsock.Ext{Type: 5, Data: []byte{1}}, dotsock.Ext{Type: 5, Data: []byte{1}}},
		{dotsock.Ext{Type: -7, Data: []byte{1, 2, 3}}, dotsock.Ext{Type: -7, Data: []byte{1, 2, 3}}},
		{&dotsock.Ext{Type: 1}, dotsock.Ext{Type: 1, Data: []byte{}}},
		{&url.URL{Scheme: "https", Host: "example.org"}, []byte("https://example.org")},
	} {
		message := through(t, map[string]any{"value": test.sent})
		var inMap map[string]any
		var inStruct struct {
			Value any `json:"value"`
		}
		var inAny any
		for _, into := range []any{&inMap, &inStruct, &inAny} {
			if err := message.Decode(into); err != nil {
				t.Errorf("%#v: %v", test.sent, err)
			}
		}
		fromAny, _ := inAny.(map[string]any)
		for _, got := range []any{inMap["value"], inStruct.Value, fromAny["value"]} {
			if !reflect.DeepEqual(got, test.received) {
				t.Errorf("%#v came as %#v, want %#v", test.sent, got, test.received)
			}
		}
	}
	var nan struct{ Value float64 }
	if err := through(t, struct{ Value float64 }{math.NaN()}).Decode(&nan); err != nil ||
		!math.IsNaN(nan.Value) {
		t.Errorf("NaN came as %v, %v", nan.Value, err)
	}
}

func TestStructs(t *testing.T) {
	type Step struct {
		Name string `json:"name"`
		Done bool   `json:"done,omitempty"`
	}
	type State struct {
		Status  string         `msgpack:"status" json:"ignored"`
		Steps   []Step         `json:"steps"`
		Best    *Step          `json:"best"`
		Extra   map[string]any `json:"extra"`
		Secret  string         `json:"-"`
		Code    dotsock.Ext    `json:"code"`
		Started time.Time      `json:"started"`
		Plain   int
		private chan int
	}
	sent := State{
		Status:  "processing",
		Steps:   []Step{{Name: "one", Done: true}, {Name: "two"}},
		Best:    &Step{Name: "one"},
		Extra:   map[string]any{"n": int64(300)},
		Secret:  "secret",
		Code:    dotsock.Ext{Type: 9, Data: []byte("x")},
		Started: time.Unix(1790000000, 0).UTC(),
		Plain:   -5,
		private: make(chan int),
	}
	message := through(t, sent)
	want := `"steps":[{"name":"one","done":true},{"name":"two"}]`
	if json, err := message.JSON(); err != nil || !strings.Contains(json, want) ||
		strings.Contains(json, "secret") || message.String() != json {
		t.Errorf("got %s, %v", json, err)
	}
	var got State
	if err := message.Decode(&got); err != nil {
		t.Fatal(err)
	}
	sent.Secret, sent.private = "", nil
	if !reflect.DeepEqual(got, sent) {
		t.Errorf("got %+v, want %+v", got, sent)
	}
}

type link struct{ Next *link }

func TestValuesThatCannotBeSent(t *testing.T) {
	sandbox(t)
	server := listen(t, "my_event")
	drained := make(chan int, 1)
	drained <- 1
	circle := map[string]any{}
	circle["again"] = circle
	ring := []any{nil}
	ring[0] = ring
	loop := &link{}
	loop.Next = loop
	deep := any(1)
	for range 300 {
		deep = []any{deep}
	}
	for _, test := range []struct {
		data   any
		status dotsock.Status
		says   string
	}{
		{map[string]any{"done": drained}, dotsock.ErrInvalid, `data["done"] is a chan int`},
		{struct{ Steps []any }{[]any{1, func() {}}}, dotsock.ErrInvalid, `data.Steps[1] is a func()`},
		{map[string]any{"z": complex(1, 2)}, dotsock.ErrInvalid, `data["z"] is a complex128`},
		{struct{ Done chan int }{}, dotsock.ErrInvalid, "data.Done is a chan int"},
		{map[any]any{drained: 1}, dotsock.ErrInvalid, "chan int"},
		{circle, dotsock.ErrInvalid, `data["again"]["again"]`},
		{map[string]any{"ring": ring}, dotsock.ErrInvalid, "refers to itself"},
		{loop, dotsock.ErrInvalid, "data.Next.Next"},
		{drained, dotsock.ErrInvalid, "data is a chan int"},
		{map[string]any{"deep": deep}, dotsock.ErrMessage, "128"},
		{7, dotsock.ErrMessage, "map"},
		{map[int]int{1: 2}, dotsock.ErrMessage, "str"},
		{dotsock.Raw("\x81"), dotsock.ErrMessage, "payload"},
	} {
		err := server.Send(test.data)
		if !errors.Is(err, test.status) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%T: got %v, want %s", test.data, err, test.says)
		}
	}
	if len(drained) != 1 {
		t.Error("a channel was read from")
	}
	if n, err := server.Stat("queued"); err != nil || n != 0 {
		t.Errorf("%d messages were sent all the same, %v", n, err)
	}
}

func TestDecodingIntoWhatDoesNotFit(t *testing.T) {
	message := through(t, map[string]any{"n": "text", "list": []any{1}})
	var wrong struct {
		N int `json:"n"`
	}
	var none *struct{}
	for _, test := range []struct {
		into   any
		status dotsock.Status
	}{
		{&wrong, dotsock.ErrMessage},
		{&[]int{}, dotsock.ErrMessage},
		{wrong, dotsock.ErrInvalid},
		{nil, dotsock.ErrInvalid},
		{none, dotsock.ErrInvalid},
	} {
		if err := message.Decode(test.into); !errors.Is(err, test.status) {
			t.Errorf("%T: got %v, want %v", test.into, err, test.status)
		}
	}
	// Go has no map with lists as keys.
	odd, err := dotsock.NewMessage("a", dotsock.TypeData, dotsock.Raw("\x81\xa1a\x81\x91\x01\x02"))
	if err != nil {
		t.Fatal(err)
	}
	var any map[string]any
	if err := odd.Decode(&any); err == nil {
		t.Errorf("got %v", any)
	}
	if json, err := odd.JSON(); err != nil || json != `{"a":{"[1]":2}}` {
		t.Errorf("got %s, %v", json, err)
	}
}

func TestAMessageOwnsItsMemory(t *testing.T) {
	raw := dotsock.Raw("\x81\xa1a\x01")
	message := through(t, raw)
	raw[3] = 2
	var data map[string]int
	if err := message.Decode(&data); err != nil || data["a"] != 1 {
		t.Errorf("got %v, %v", data, err)
	}
	type blobs struct {
		B []byte
		E dotsock.Ext
		A any
	}
	var got blobs
	other := through(t, blobs{[]byte("abc"), dotsock.Ext{Data: []byte("abc")},
		dotsock.Ext{Data: []byte("abc")}})
	if err := other.Decode(&got); err != nil {
		t.Fatal(err)
	}
	got.B[0], got.E.Data[0], got.A.(dotsock.Ext).Data[0] = 'x', 'x', 'x'
	if strings.Contains(string(other.Data()), "xbc") {
		t.Error("what was decoded is part of the message")
	}
}
