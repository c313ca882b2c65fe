package dotsock

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/ugorji/go/codec"
)

// Raw is a payload that is MessagePack already: one map with str keys. It is sent as it is.
type Raw []byte

// Ext is a MessagePack extension: a number that says which, and bytes. Type -1 is the timestamp,
// which is a [time.Time] here.
type Ext struct {
	Type int8
	Data []byte
}

// CodecEncodeSelf makes an Ext known to the MessagePack module.
func (e *Ext) CodecEncodeSelf(encoder *codec.Encoder) {
	encoder.MustEncode(&codec.RawExt{Tag: uint64(uint8(e.Type)), Data: e.Data})
}

// CodecDecodeSelf makes an Ext known to the MessagePack module.
func (e *Ext) CodecDecodeSelf(decoder *codec.Decoder) {
	var raw codec.RawExt
	decoder.MustDecode(&raw)
	*e = extOf(raw)
}

func extOf(raw codec.RawExt) Ext {
	return Ext{Type: int8(raw.Tag), Data: append([]byte{}, raw.Data...)}
}

// messagePack is how all payloads are written and read: in the shortest encodings, binary data and
// timestamps as what they are.
var messagePack = func() *codec.MsgpackHandle {
	handle := &codec.MsgpackHandle{WriteExt: true, PositiveIntUnsigned: true}
	handle.TypeInfos = codec.NewTypeInfos([]string{"msgpack", "json"})
	return handle
}()

// --- Writing --------------------------------------------------------------------------------------

// An encoder and its buffer are kept, since making them costs more than most payloads do.
type encoder struct {
	*codec.Encoder
	buffer []byte
}

var encoders = sync.Pool{New: func() any {
	return &encoder{Encoder: codec.NewEncoderBytes(nil, messagePack)}
}}

// A buffer that has grown beyond this is not kept.
const keptBuffer = 64 << 10

// encoded hands data to use as MessagePack, which is valid during that call.
func encoded(data any, use func(payload []byte) error) error {
	switch data := data.(type) {
	case nil:
		return use(nil)
	case Raw:
		return use(data)
	case Message, *Message:
		return invalid("data is a whole message: use SendMessage")
	}
	if flaw := flawOf(data, 0); flaw != nil {
		return flaw.error()
	}
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	e.ResetBytes(&e.buffer)
	if err := e.Encode(data); err != nil {
		text := fmt.Sprintf("data (%T) cannot be written as MessagePack: %v", data, err)
		return &Error{Status: ErrMessage, Text: text, causes: []error{err}}
	}
	err := use(e.buffer)
	if e.buffer = e.buffer[:0]; cap(e.buffer) > keptBuffer {
		e.buffer = nil
	}
	return err
}

// deepest is how far down values are followed: far beyond what the library sends, and far from
// what the stack of a goroutine can take.
const deepest = 10_000

// A flaw is what keeps a value from being sent. The module would take a channel for a list and
// drain it, and follow a map that contains itself until the stack is full, which ends the program.
type flaw struct {
	path []string // from the inside out
	what string
}

func (f *flaw) in(format string, values ...any) *flaw {
	f.path = append(f.path, fmt.Sprintf(format, values...))
	return f
}

func (f *flaw) error() error {
	var path strings.Builder
	path.WriteString("data")
	for i := len(f.path) - 1; i >= 0; i-- {
		if len(f.path)-i > 8 {
			path.WriteString("…")
			break
		}
		path.WriteString(f.path[i])
	}
	return invalid("%s %s", path.String(), f.what)
}

// flawOf looks for a flaw in a value, the common ones without reflection.
func flawOf(value any, depth int) *flaw {
	switch value := value.(type) {
	case nil, bool, string, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64,
		float32, float64, []byte, time.Time, map[string]string, []string, []int:
		return nil
	case map[string]any:
		if depth == deepest {
			return tooDeep()
		}
		for key, element := range value {
			if flaw := flawOf(element, depth+1); flaw != nil {
				return flaw.in("[%q]", key)
			}
		}
		return nil
	case []any:
		if depth == deepest {
			return tooDeep()
		}
		for i, element := range value {
			if flaw := flawOf(element, depth+1); flaw != nil {
				return flaw.in("[%d]", i)
			}
		}
		return nil
	}
	return flawIn(reflect.ValueOf(value), depth)
}

func tooDeep() *flaw {
	return &flaw{what: fmt.Sprintf("refers to itself, or goes deeper than %d levels", deepest)}
}

func flawIn(v reflect.Value, depth int) *flaw {
	if !v.IsValid() || isPlain(v.Type()) {
		return nil
	}
	if depth == deepest {
		return tooDeep()
	}
	switch v.Kind() {
	case reflect.Interface:
		if v.IsNil() {
			return nil
		}
		if v.CanInterface() {
			return flawOf(v.Interface(), depth+1)
		}
		return flawIn(v.Elem(), depth+1)
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return flawIn(v.Elem(), depth+1)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if flaw := flawIn(v.Index(i), depth+1); flaw != nil {
				return flaw.in("[%d]", i)
			}
		}
	case reflect.Map:
		for entry := v.MapRange(); entry.Next(); {
			if flaw := flawIn(entry.Value(), depth+1); flaw != nil {
				return flaw.in("[%#v]", entry.Key())
			}
			if flaw := flawIn(entry.Key(), depth+1); flaw != nil {
				return flaw.in("[key %#v]", entry.Key())
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Type().Field(i); isSent(field) {
				if flaw := flawIn(v.Field(i), depth+1); flaw != nil {
					return flaw.in(".%s", field.Name)
				}
			}
		}
	default:
		return &flaw{what: fmt.Sprintf("is a %s, which cannot be sent", v.Type())}
	}
	return nil
}

func isSent(field reflect.StructField) bool {
	tag, tagged := field.Tag.Lookup("msgpack")
	if !tagged {
		tag = field.Tag.Get("json")
	}
	return (field.IsExported() || field.Anonymous) && tag != "-"
}

var (
	plainTypes sync.Map // reflect.Type: bool
	openTypes  sync.Map
)

// isPlain tells whether no value of a type can have a flaw.
func isPlain(t reflect.Type) bool {
	return remembered(&plainTypes, t, func() bool { return !reaches(t, mayBeFlawed, nil) })
}

// isOpen tells whether there may be values of any type in those of a type.
func isOpen(t reflect.Type) bool {
	isAny := func(t reflect.Type, _ bool) bool {
		return t.Kind() == reflect.Interface && t.NumMethod() == 0
	}
	return remembered(&openTypes, t, func() bool { return reaches(t, isAny, nil) })
}

func remembered(known *sync.Map, t reflect.Type, find func() bool) bool {
	answer, ok := known.Load(t)
	if !ok {
		answer = find()
		known.Store(t, answer)
	}
	return answer.(bool)
}

func mayBeFlawed(t reflect.Type, again bool) bool {
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128,
		reflect.Interface:
		return true
	}
	return again
}

var (
	binaryMarshaler = reflect.TypeFor[encoding.BinaryMarshaler]()
	selfer          = reflect.TypeFor[codec.Selfer]()
)

// reaches tells whether is says yes to a type or to one inside it; again is true for one that is
// inside itself.
func reaches(t reflect.Type, is func(t reflect.Type, again bool) bool, path []reflect.Type) bool {
	pointer := reflect.PointerTo(t)
	if pointer.Implements(binaryMarshaler) || pointer.Implements(selfer) {
		return false
	}
	for _, outer := range path {
		if t == outer {
			return is(t, true)
		}
	}
	if is(t, false) {
		return true
	}
	path = append(path, t)
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return reaches(t.Elem(), is, path)
	case reflect.Map:
		return reaches(t.Key(), is, path) || reaches(t.Elem(), is, path)
	case reflect.Struct:
		for i := range t.NumField() {
			if field := t.Field(i); isSent(field) && reaches(field.Type, is, path) {
				return true
			}
		}
	}
	return false
}

// --- Reading --------------------------------------------------------------------------------------

var decoders = sync.Pool{New: func() any { return codec.NewDecoderBytes(nil, messagePack) }}

func decode(payload []byte, into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return invalid("Decode needs a pointer that is not nil, not a %T", into)
	}
	decoder := decoders.Get().(*codec.Decoder)
	defer decoders.Put(decoder)
	decoder.ResetBytes(payload)
	if err := decoder.Decode(into); err != nil {
		text := fmt.Sprintf("The message's data does not fit a %s: %v", v.Type().Elem(), err)
		return &Error{Status: ErrMessage, Text: text, causes: []error{err}}
	}
	tidyIn(v.Elem())
	return nil
}

// tidy makes of what the module reads into an any what a Go programmer expects there: the type of
// a number must not depend on how large it is, and maps have string keys where they can.
func tidy(value any) any {
	switch value := value.(type) {
	case uint64:
		if value <= math.MaxInt64 {
			return int64(value)
		}
	case codec.RawExt:
		return extOf(value)
	case []any:
		for i, element := range value {
			value[i] = tidy(element)
		}
	case map[string]any:
		for key, element := range value {
			value[key] = tidy(element)
		}
	case map[any]any:
		return tidyMap(value)
	}
	return value
}

func tidyMap(value map[any]any) any {
	texts := make(map[string]any, len(value))
	for key, element := range value {
		if text, ok := key.(string); ok {
			texts[text] = tidy(element)
		}
	}
	if len(texts) == len(value) {
		return texts
	}
	others := make(map[any]any, len(value))
	for key, element := range value {
		others[tidy(key)] = tidy(element)
	}
	return others
}

// tidyIn does so wherever there is an any inside a value.
func tidyIn(v reflect.Value) {
	if !isOpen(v.Type()) {
		return
	}
	switch v.Kind() {
	case reflect.Interface:
		if !v.IsNil() && v.CanSet() {
			v.Set(reflect.ValueOf(tidy(v.Interface())))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			tidyIn(v.Elem())
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			tidyIn(v.Index(i))
		}
	case reflect.Map:
		for entry := v.MapRange(); entry.Next(); {
			element := reflect.New(v.Type().Elem()).Elem()
			element.Set(entry.Value())
			tidyIn(element)
			v.SetMapIndex(entry.Key(), element)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if isSent(v.Type().Field(i)) {
				tidyIn(v.Field(i))
			}
		}
	}
}
