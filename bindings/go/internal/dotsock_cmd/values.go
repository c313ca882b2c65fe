package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"dotsock"
)

// pairs is a map with keys of any type, as [key, value, key, value, …].
type pairs []any

// MapBySlice tells the MessagePack module so.
func (pairs) MapBySlice() {}

// fromJSON reads a payload, with the additions that the README lists.
func fromJSON(text []byte) (any, error) {
	if len(text) == 0 {
		return nil, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	return meant(value)
}

// meant is the value that JSON describes.
func meant(value any) (any, error) {
	switch value := value.(type) {
	case json.Number:
		return number(value.String())
	case []any:
		for i, element := range value {
			var err error
			if value[i], err = meant(element); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		if len(value) == 1 {
			for key, content := range value {
				if special, err := special(key, content); special != nil || err != nil {
					return special, err
				}
			}
		}
		for key, element := range value {
			var err error
			if value[key], err = meant(element); err != nil {
				return nil, err
			}
		}
	}
	return value, nil
}

func number(text string) (any, error) {
	if strings.ContainsAny(text, ".eE") {
		return strconv.ParseFloat(text, 64)
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	return strconv.ParseUint(text, 10, 64)
}

// special is what {key: content} stands for, nil when it is just a map.
func special(key string, content any) (any, error) {
	switch key {
	case "$float":
		switch content {
		case "nan":
			return math.NaN(), nil
		case "inf":
			return math.Inf(1), nil
		case "-inf":
			return math.Inf(-1), nil
		}
	case "$bin":
		text, _ := content.(string)
		return base64.StdEncoding.DecodeString(text)
	case "$ext":
		if ext, ok := content.([]any); ok && len(ext) == 2 {
			kind, _ := ext[0].(json.Number)
			n, err := strconv.ParseInt(kind.String(), 10, 8)
			if err != nil {
				return nil, err
			}
			text, _ := ext[1].(string)
			data, err := base64.StdEncoding.DecodeString(text)
			return dotsock.Ext{Type: int8(n), Data: data}, err
		}
	case "$map":
		entries, ok := content.([]any)
		result := pairs{}
		for _, entry := range entries {
			entry, err := meant(entry)
			if err != nil {
				return nil, err
			}
			pair, _ := entry.([]any)
			ok = ok && len(pair) == 2
			result = append(result, pair...)
		}
		if ok {
			return result, nil
		}
	default:
		return nil, nil
	}
	return nil, fmt.Errorf("%v is no %s", content, key)
}

// described is JSON that says what a value is.
func described(value any) any {
	switch value := value.(type) {
	case float64:
		return describedFloat(value)
	case []byte:
		return map[string]any{"$bin": value}
	case dotsock.Ext:
		return map[string]any{"$ext": []any{value.Type, value.Data}}
	case time.Time:
		return map[string]any{"$ext": []any{-1, timestamp(value)}}
	case []any:
		for i, element := range value {
			value[i] = described(element)
		}
	case map[string]any:
		for key, element := range value {
			value[key] = described(element)
		}
	case map[any]any:
		entries := [][]any{}
		for key, element := range value {
			entries = append(entries, []any{described(key), described(element)})
		}
		return map[string]any{"$map": entries}
	}
	return value
}

func describedFloat(value float64) any {
	switch {
	case math.IsNaN(value):
		return map[string]any{"$float": "nan"}
	case math.IsInf(value, 1):
		return map[string]any{"$float": "inf"}
	case math.IsInf(value, -1):
		return map[string]any{"$float": "-inf"}
	}
	text := strconv.FormatFloat(value, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return json.Number(text)
}

// timestamp writes one in the shortest of MessagePack's three forms.
func timestamp(t time.Time) []byte {
	seconds, nanoseconds := t.Unix(), uint64(t.Nanosecond())
	switch {
	case nanoseconds == 0 && seconds>>32 == 0:
		return binary.BigEndian.AppendUint32(nil, uint32(seconds))
	case seconds>>34 == 0:
		return binary.BigEndian.AppendUint64(nil, nanoseconds<<34|uint64(seconds))
	}
	return binary.BigEndian.AppendUint64(
		binary.BigEndian.AppendUint32(nil, uint32(nanoseconds)), uint64(seconds))
}

func toJSON(value any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), err
}
