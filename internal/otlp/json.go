package otlp

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/roentgen-io/roentgen/segment"
)

// ErrJSON reports a text that is not the JSON form of traces.
var ErrJSON = errors.New("otlp: not the JSON form of traces")

// fieldKind says how a field looks in JSON and on the wire.
type fieldKind uint8

const (
	kindMessage fieldKind = iota
	kindString
	kindID      // bytes, as hexadecimal digits
	kindBytes   // bytes, as base64
	kindInt64   // a varint, as a text of digits
	kindUint32  // a varint, as a number
	kindEnum    // a varint, as a number
	kindFixed64 // as a text of digits
	kindFixed32 // as a number
	kindBool
	kindDouble
)

// field is a field of a message: what is known of it serves both directions.
type field struct {
	num      int
	name     string // in JSON
	kind     fieldKind
	repeated bool
	message  *message
	oneof    bool              // it is written even when it has its zero value
	words    map[string]uint64 // of an enum, as generated code may write it
}

type message struct {
	fields []field
	byName map[string]*field // in lowerCamelCase and in snake_case
}

func newMessage(fields ...field) *message {
	m := &message{}
	m.set(fields...)
	return m
}

func (m *message) set(fields ...field) {
	m.fields, m.byName = fields, make(map[string]*field, 2*len(fields))
	for i := range fields {
		f := &m.fields[i]
		m.byName[f.name] = f
		var snake strings.Builder
		for _, c := range f.name {
			if c >= 'A' && c <= 'Z' {
				snake.WriteByte('_')
				c += 'a' - 'A'
			}
			snake.WriteRune(c)
		}
		m.byName[snake.String()] = f
	}
}

// messageTraces is TracesData and ExportTraceServiceRequest; messageSpan is Span.
var messageTraces, messageSpan = func() (traces, span *message) {
	anyValue := &message{}
	keyValue := newMessage(
		field{num: keyValueKey, name: "key", kind: kindString},
		field{num: keyValueValue, name: "value", kind: kindMessage, message: anyValue},
	)
	array := newMessage(field{num: listValues, name: "values", kind: kindMessage, message: anyValue, repeated: true})
	list := newMessage(field{num: listValues, name: "values", kind: kindMessage, message: keyValue, repeated: true})
	anyValue.set(
		field{num: anyString, name: "stringValue", kind: kindString, oneof: true},
		field{num: anyBool, name: "boolValue", kind: kindBool, oneof: true},
		field{num: anyInt, name: "intValue", kind: kindInt64, oneof: true},
		field{num: anyDouble, name: "doubleValue", kind: kindDouble, oneof: true},
		field{num: anyArray, name: "arrayValue", kind: kindMessage, message: array, oneof: true},
		field{num: anyMap, name: "kvlistValue", kind: kindMessage, message: list, oneof: true},
		field{num: anyBytes, name: "bytesValue", kind: kindBytes, oneof: true},
	)
	attributes := func(num int) field {
		return field{num: num, name: "attributes", kind: kindMessage, message: keyValue, repeated: true}
	}
	count := func(num int, name string) field { return field{num: num, name: name, kind: kindUint32} }
	span = newMessage(
		field{num: spanTraceID, name: "traceId", kind: kindID},
		field{num: spanSpanID, name: "spanId", kind: kindID},
		field{num: spanTraceState, name: "traceState", kind: kindString},
		field{num: spanParentID, name: "parentSpanId", kind: kindID},
		field{num: spanFlags, name: "flags", kind: kindFixed32},
		field{num: spanName, name: "name", kind: kindString},
		field{num: spanKind, name: "kind", kind: kindEnum, words: map[string]uint64{
			"SPAN_KIND_INTERNAL": 1, "SPAN_KIND_SERVER": 2, "SPAN_KIND_CLIENT": 3, "SPAN_KIND_PRODUCER": 4, "SPAN_KIND_CONSUMER": 5}},
		field{num: spanStart, name: "startTimeUnixNano", kind: kindFixed64},
		field{num: spanEnd, name: "endTimeUnixNano", kind: kindFixed64},
		attributes(spanAttributes),
		count(spanDroppedAttributes, "droppedAttributesCount"),
		field{num: spanEvents, name: "events", kind: kindMessage, repeated: true, message: newMessage(
			field{num: eventTime, name: "timeUnixNano", kind: kindFixed64},
			field{num: eventName, name: "name", kind: kindString},
			attributes(eventAttributes),
			count(4, "droppedAttributesCount"),
		)},
		count(spanDroppedEvents, "droppedEventsCount"),
		field{num: spanLinks, name: "links", kind: kindMessage, repeated: true, message: newMessage(
			field{num: linkTraceID, name: "traceId", kind: kindID},
			field{num: linkSpanID, name: "spanId", kind: kindID},
			field{num: linkTraceState, name: "traceState", kind: kindString},
			attributes(linkAttributes),
			count(linkDropped, "droppedAttributesCount"),
			field{num: linkFlags, name: "flags", kind: kindFixed32},
		)},
		count(spanDroppedLinks, "droppedLinksCount"),
		field{num: spanStatus, name: "status", kind: kindMessage, message: newMessage(
			field{num: statusMessage, name: "message", kind: kindString},
			field{num: statusCode, name: "code", kind: kindEnum, words: map[string]uint64{"STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}},
		)},
	)
	scopeSpans := newMessage(
		field{num: scopeSpansScope, name: "scope", kind: kindMessage, message: newMessage(
			field{num: scopeName, name: "name", kind: kindString},
			field{num: scopeVersion, name: "version", kind: kindString},
			attributes(scopeAttributes),
			count(4, "droppedAttributesCount"),
		)},
		field{num: scopeSpansSpans, name: "spans", kind: kindMessage, message: span, repeated: true},
		field{num: scopeSpansSchema, name: "schemaUrl", kind: kindString},
	)
	resourceSpans := newMessage(
		field{num: resourceSpansResource, name: "resource", kind: kindMessage, message: newMessage(
			attributes(resourceAttributes),
			count(resourceDropped, "droppedAttributesCount"),
			field{num: 3, name: "entityRefs", kind: kindMessage, repeated: true, message: newMessage(
				field{num: 1, name: "schemaUrl", kind: kindString},
				field{num: 2, name: "type", kind: kindString},
				field{num: 3, name: "idKeys", kind: kindString, repeated: true},
				field{num: 4, name: "descriptionKeys", kind: kindString, repeated: true},
			)},
		)},
		field{num: resourceSpansScopes, name: "scopeSpans", kind: kindMessage, message: scopeSpans, repeated: true},
		field{num: resourceSpansSchema, name: "schemaUrl", kind: kindString},
	)
	traces = newMessage(field{num: requestResourceSpans, name: "resourceSpans", kind: kindMessage, message: resourceSpans, repeated: true})
	return traces, span
}()

// maxMessageDepth bounds how deep messages may lie in each other, in JSON: values
// that lie in values take three levels each.
const maxMessageDepth = 8 + 3*maxDepth

// FromJSON turns the JSON form of an ExportTraceServiceRequest into protobuf. Names
// may be in either case, enums may be numbers or words, ids may be hexadecimal or
// base64; unknown members are passed over. The error matches ErrJSON and tells the
// member that is wrong.
func FromJSON(text []byte) ([]byte, error) {
	if !json.Valid(text) {
		var any json.RawMessage
		return nil, fmt.Errorf("%w: %w", ErrJSON, json.Unmarshal(text, &any))
	}
	root := segment.Raw(text)
	if root.Type() != segment.TypeObject {
		return nil, fmt.Errorf("%w: it is %s, not an object", ErrJSON, root.Type())
	}
	c := jsonReader{b: make([]byte, 0, len(text)/2)}
	c.message(messageTraces, root, maxMessageDepth)
	if c.err != nil {
		return nil, c.err
	}
	return c.b, nil
}

// jsonReader writes protobuf for JSON. After the first error it writes nothing useful.
type jsonReader struct {
	b   []byte
	err error
}

func (c *jsonReader) fail(name string, v segment.Raw, want string) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s is %s, want %s", ErrJSON, name, v.Type(), want)
	}
}

func (c *jsonReader) message(m *message, v segment.Raw, depth int) {
	if depth == 0 {
		if c.err == nil {
			c.err = fmt.Errorf("%w: values lie too deep in each other", ErrJSON)
		}
		return
	}
	v.Members(func(name string, v segment.Raw) bool {
		f := m.byName[name]
		if f == nil || v.Type() == segment.TypeNull {
			return true
		}
		if !f.repeated {
			c.field(f, v, depth)
			return c.err == nil
		}
		if v.Type() != segment.TypeArray {
			c.fail(name, v, "an array")
			return false
		}
		v.Elements(func(e segment.Raw) bool {
			c.field(f, e, depth)
			return c.err == nil
		})
		return c.err == nil
	})
}

func (c *jsonReader) field(f *field, v segment.Raw, depth int) {
	// What has its zero value is left out but where it says which kind a value is.
	skip := func(zero bool) bool { return zero && !f.oneof && !f.repeated }
	switch f.kind {
	case kindMessage:
		if v.Type() != segment.TypeObject && v.Type() != segment.TypeNull {
			c.fail(f.name, v, "an object")
			return
		}
		c.b = appendMessage(c.b, f.num, func(dst []byte) []byte {
			c.b = dst
			c.message(f.message, v, depth-1)
			return c.b
		})
	case kindString, kindID, kindBytes:
		s, ok := v.Text()
		if !ok {
			c.fail(f.name, v, "a string")
			return
		}
		b := []byte(s)
		switch f.kind {
		case kindID:
			b, ok = decodeID(s)
		case kindBytes:
			b, ok = decodeBase64(s)
		}
		if !ok {
			c.fail(f.name, v, "hexadecimal digits or base64")
			return
		}
		if !skip(len(b) == 0) {
			c.b = appendBytesField(c.b, f.num, b)
		}
	case kindBool:
		b, ok := v.Bool()
		if !ok {
			c.fail(f.name, v, "true or false")
			return
		}
		n := uint64(0)
		if b {
			n = 1
		}
		c.b = binary.AppendUvarint(appendTag(c.b, f.num, wireVarint), n)
	case kindDouble:
		d, ok := jsonDouble(v)
		if !ok {
			c.fail(f.name, v, "a number")
			return
		}
		c.b = binary.LittleEndian.AppendUint64(appendTag(c.b, f.num, wireI64), math.Float64bits(d))
	default:
		n, ok := jsonInteger(v)
		if !ok && f.words != nil {
			s := v.String()
			n, ok = f.words[s]
			ok = ok || strings.HasSuffix(s, "_UNSPECIFIED") || strings.HasSuffix(s, "_UNSET")
		}
		if !ok {
			c.fail(f.name, v, "an integer")
			return
		}
		switch {
		case skip(n == 0):
		case f.kind == kindFixed64:
			c.b = binary.LittleEndian.AppendUint64(appendTag(c.b, f.num, wireI64), n)
		case f.kind == kindFixed32:
			c.b = binary.LittleEndian.AppendUint32(appendTag(c.b, f.num, wireI32), uint32(n))
		default:
			c.b = binary.AppendUvarint(appendTag(c.b, f.num, wireVarint), n)
		}
	}
}

func decodeID(s string) ([]byte, bool) {
	b, err := hex.DecodeString(s)
	if err == nil && (len(b) == 16 || len(b) == 8 || len(b) == 0) {
		return b, true
	}
	if raw, ok := decodeBase64(s); ok && (len(raw) == 16 || len(raw) == 8) {
		return raw, true
	}
	return b, err == nil // of a wrong length: the span is refused for it
}

func decodeBase64(s string) ([]byte, bool) {
	s = strings.TrimRight(s, "=")
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := e.DecodeString(s); err == nil {
			return b, true
		}
	}
	return nil, false
}

// jsonInteger reads an integer that is a number or a text of digits.
func jsonInteger(v segment.Raw) (uint64, bool) {
	text := strings.TrimSpace(string(v))
	if s, ok := v.Text(); ok {
		text = s
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return uint64(n), true
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return n, true
	}
	// 1e9 and 5.0 are integers too.
	if f, err := strconv.ParseFloat(text, 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<63 {
		return uint64(int64(f)), true
	}
	return 0, false
}

func jsonDouble(v segment.Raw) (float64, bool) {
	if f, ok := v.Number(); ok {
		return f, true
	}
	s, ok := v.Text()
	if !ok {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

// AppendJSON appends the JSON form of a TracesData message. What does not parse is
// left out.
func AppendJSON(dst, traces []byte) []byte {
	return appendJSON(dst, messageTraces, traces, maxMessageDepth)
}

// AppendSpanJSON is AppendJSON for a Span message.
func AppendSpanJSON(dst, span []byte) []byte {
	return appendJSON(dst, messageSpan, span, maxMessageDepth)
}

func appendJSON(dst []byte, m *message, data []byte, depth int) []byte {
	if depth == 0 {
		return append(dst, "{}"...)
	}
	dst = append(dst, '{')
	first := true
	for i := range m.fields {
		f := &m.fields[i]
		begin := func() {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = append(dst, '"')
			dst = append(dst, f.name...)
			dst = append(dst, '"', ':')
		}
		var whole fields // the last occurrence
		var joined []byte
		n := 0
		for w := (fields{b: data}); w.next(); {
			if w.num != f.num || !f.fits(w.typ) {
				continue
			}
			n++
			if !f.repeated {
				if f.kind == kindMessage && n > 1 { // they are merged
					if joined == nil {
						joined = append(joined, whole.s...)
					}
					joined = append(joined, w.s...)
					w.s = joined
				}
				whole = w
				continue
			}
			if n == 1 {
				begin()
				dst = append(dst, '[')
			} else {
				dst = append(dst, ',')
			}
			dst = f.append(dst, &w, depth)
		}
		switch {
		case n == 0:
		case f.repeated:
			dst = append(dst, ']')
		default:
			begin()
			dst = f.append(dst, &whole, depth)
		}
	}
	return append(dst, '}')
}

// fits reports whether the field may come with that type.
func (f *field) fits(typ int) bool {
	switch f.kind {
	case kindMessage, kindString, kindID, kindBytes:
		return typ == wireBytes
	case kindFixed64, kindDouble:
		return typ == wireI64
	case kindFixed32:
		return typ == wireI32
	}
	return typ == wireVarint
}

// append appends the value of a field.
func (f *field) append(dst []byte, w *fields, depth int) []byte {
	switch f.kind {
	case kindMessage:
		return appendJSON(dst, f.message, w.s, depth-1)
	case kindString:
		return segment.AppendStringBytes(dst, w.s)
	case kindID:
		dst = append(dst, '"')
		dst = hex.AppendEncode(dst, w.s)
		return append(dst, '"')
	case kindBytes:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, w.s)
		return append(dst, '"')
	case kindInt64:
		dst = append(dst, '"')
		dst = strconv.AppendInt(dst, int64(w.v), 10)
		return append(dst, '"')
	case kindFixed64:
		dst = append(dst, '"')
		dst = strconv.AppendUint(dst, w.v, 10)
		return append(dst, '"')
	case kindEnum:
		return strconv.AppendInt(dst, int64(int32(w.v)), 10)
	case kindUint32, kindFixed32:
		return strconv.AppendUint(dst, uint64(uint32(w.v)), 10)
	case kindBool:
		return strconv.AppendBool(dst, w.v != 0)
	case kindDouble:
		d := double(w.v)
		switch {
		case math.IsNaN(d):
			return append(dst, `"NaN"`...)
		case math.IsInf(d, 1):
			return append(dst, `"Infinity"`...)
		case math.IsInf(d, -1):
			return append(dst, `"-Infinity"`...)
		}
		return appendDouble(dst, d)
	}
	return append(dst, "null"...)
}
