package otlp

import (
	"encoding/binary"
	"errors"
	"strconv"

	"github.com/roentgen-io/roentgen/segment"
)

var (
	// ErrMessage reports bytes that are no protobuf message of the kind expected.
	ErrMessage = errors.New("otlp: not a protobuf message of traces")
	// ErrTraceID and ErrSpanID report a span without an id of the right length, or
	// with one of zeros, which OpenTelemetry calls invalid.
	ErrTraceID = errors.New("otlp: the trace id is not 16 bytes, or zero")
	ErrSpanID  = errors.New("otlp: the span id is not 8 bytes, or zero")
)

// Kind is the kind of a span.
type Kind int32

// The kinds that OpenTelemetry knows; senders may use others, which count as unspecified.
const (
	KindUnspecified Kind = iota
	KindInternal
	KindServer
	KindClient
	KindProducer
	KindConsumer
)

// String returns the name of the kind as it stands in annotations of the X-Ray
// service, e.g. SERVER.
func (k Kind) String() string {
	switch k {
	case KindInternal:
		return "INTERNAL"
	case KindServer:
		return "SERVER"
	case KindClient:
		return "CLIENT"
	case KindProducer:
		return "PRODUCER"
	case KindConsumer:
		return "CONSUMER"
	}
	return "UNSPECIFIED"
}

// Codes of Status.
const (
	StatusUnset = 0
	StatusOK    = 1
	StatusError = 2
)

// Bits of Flags.
const (
	flagHasRemote = 0x100 // the bit below means something
	flagRemote    = 0x200 // the parent is in another process
)

// Span is a span as it was read. Its strings and byte slices refer to the bytes
// it was read from.
type Span struct {
	TraceID    segment.TraceID
	ID         segment.SegmentID
	ParentID   segment.SegmentID // meaningful when HasParent
	HasParent  bool
	TraceState string
	Flags      uint32
	Name       string
	Kind       Kind
	Start, End uint64 // unix nanoseconds; End 0: not ended
	Attributes []Attribute
	Events     []Event
	Links      []Link
	Status     int32
	Message    string // of the status

	attributes []Attribute // room for those of events and links
	data       []byte      // what it was read from
}

// Attribute is a key and its value.
type Attribute struct {
	Key   string
	Value Value
}

// Event is something that happened during a span.
type Event struct {
	Time       uint64 // unix nanoseconds
	Name       string
	Attributes []Attribute
}

// Link points from a span to another one, of any trace.
type Link struct {
	TraceID    segment.TraceID
	ID         segment.SegmentID
	Attributes []Attribute
}

// ValueType is the type of a Value.
type ValueType uint8

const (
	ValueEmpty ValueType = iota
	ValueString
	ValueBool
	ValueInt
	ValueDouble
	ValueArray
	ValueMap
	ValueBytes
)

// Value is the value of an attribute.
type Value struct {
	Type ValueType
	num  uint64 // of bool, int and double
	data []byte // of string and bytes; of array and map the message
}

// Str returns the text of a string and "" for all else.
func (v Value) Str() string {
	if v.Type != ValueString {
		return ""
	}
	return alias(v.data)
}

// Text returns a string, or a number or boolean in words.
func (v Value) Text() string {
	switch v.Type {
	case ValueString:
		return alias(v.data)
	case ValueBool:
		return strconv.FormatBool(v.num != 0)
	case ValueInt:
		return strconv.FormatInt(int64(v.num), 10)
	case ValueDouble:
		return strconv.FormatFloat(double(v.num), 'g', -1, 64)
	}
	return ""
}

// Int returns the value of a number, or of a text that is one.
func (v Value) Int() (int64, bool) {
	switch v.Type {
	case ValueInt:
		return int64(v.num), true
	case ValueDouble:
		if f := double(v.num); f >= -1<<53 && f <= 1<<53 {
			return int64(f), true
		}
	case ValueString:
		n, err := strconv.ParseInt(alias(v.data), 10, 64)
		return n, err == nil
	}
	return 0, false
}

// Bytes returns the bytes of a value of that type; nil for all else.
func (v Value) Bytes() []byte {
	if v.Type != ValueBytes {
		return nil
	}
	return v.data
}

// AppendJSON appends the value as plain JSON: bytes as base64, and null for numbers
// that JSON has no word for.
func (v Value) AppendJSON(dst []byte) []byte { return appendValue(dst, v, maxDepth) }

// Float returns the value of a number.
func (v Value) Float() (float64, bool) {
	switch v.Type {
	case ValueInt:
		return float64(int64(v.num)), true
	case ValueDouble:
		return double(v.num), true
	}
	return 0, false
}

// Texts returns the texts in an array.
func (v Value) Texts() (list []string) {
	v.elements(func(e Value) bool {
		if e.Type == ValueString {
			list = append(list, e.Str())
		}
		return true
	})
	return list
}

// elements calls fn for the elements of an array until it returns false.
func (v Value) elements(fn func(Value) bool) {
	if v.Type != ValueArray {
		return
	}
	f := fields{b: v.data}
	for f.next() {
		if f.num == listValues && f.typ == wireBytes {
			e, _ := parseValue(f.s)
			if !fn(e) {
				return
			}
		}
	}
}

// ParseSpan reads a Span message into s, whose slices are used again. The error
// matches ErrMessage, ErrTraceID or ErrSpanID.
func ParseSpan(data []byte, s *Span) error {
	*s = Span{Attributes: s.Attributes[:0], Events: s.Events[:0], Links: s.Links[:0], attributes: s.attributes[:0], data: data}
	hasTrace, hasSpan := false, false
	f := fields{b: data}
	for f.next() {
		switch f.num {
		case spanTraceID:
			hasTrace = len(f.bytes()) == len(s.TraceID)
			if hasTrace {
				copy(s.TraceID[:], f.s)
			}
		case spanSpanID:
			s.ID, hasSpan = readSpanID(f.bytes())
		case spanParentID:
			s.ParentID, s.HasParent = readSpanID(f.bytes())
		case spanTraceState:
			s.TraceState = f.text()
		case spanFlags:
			s.Flags = f.fixed32()
		case spanName:
			s.Name = f.text()
		case spanKind:
			s.Kind = Kind(f.varint())
		case spanStart:
			s.Start = f.fixed64()
		case spanEnd:
			s.End = f.fixed64()
		case spanAttributes:
			a, ok := parseAttribute(f.bytes())
			if !ok {
				return ErrMessage
			}
			s.Attributes = append(s.Attributes, a)
		case spanEvents:
			if !s.parseEvent(f.bytes()) {
				return ErrMessage
			}
		case spanLinks:
			if !s.parseLink(f.bytes()) {
				return ErrMessage
			}
		case spanStatus:
			g := fields{b: f.bytes()}
			for g.next() {
				switch g.num {
				case statusMessage:
					s.Message = g.text()
				case statusCode:
					s.Status = int32(g.varint())
				}
			}
			if g.bad {
				return ErrMessage
			}
		}
	}
	switch {
	case f.bad:
		return ErrMessage
	case !hasTrace || s.TraceID.IsZero():
		return ErrTraceID
	case !hasSpan:
		return ErrSpanID
	}
	return nil
}

// readSpanID reads an id; ok is false when it is none, or zero.
func readSpanID(b []byte) (id segment.SegmentID, ok bool) {
	if len(b) != 8 {
		return 0, false
	}
	id = segment.SegmentID(binary.BigEndian.Uint64(b))
	return id, id != 0
}

func (s *Span) parseEvent(data []byte) bool {
	var e Event
	from := len(s.attributes)
	f := fields{b: data}
	for f.next() {
		switch f.num {
		case eventTime:
			e.Time = f.fixed64()
		case eventName:
			e.Name = f.text()
		case eventAttributes:
			if !s.addAttribute(f.bytes()) {
				return false
			}
		}
	}
	e.Attributes = s.attributes[from:len(s.attributes):len(s.attributes)]
	s.Events = append(s.Events, e)
	return !f.bad
}

func (s *Span) parseLink(data []byte) bool {
	var l Link
	from := len(s.attributes)
	f := fields{b: data}
	for f.next() {
		switch f.num {
		case linkTraceID:
			if len(f.bytes()) == len(l.TraceID) {
				copy(l.TraceID[:], f.s)
			}
		case linkSpanID:
			l.ID, _ = readSpanID(f.bytes())
		case linkAttributes:
			if !s.addAttribute(f.bytes()) {
				return false
			}
		}
	}
	l.Attributes = s.attributes[from:len(s.attributes):len(s.attributes)]
	s.Links = append(s.Links, l)
	return !f.bad
}

// addAttribute reads an attribute of an event or link, which s has the room for.
func (s *Span) addAttribute(data []byte) bool {
	a, ok := parseAttribute(data)
	if ok {
		s.attributes = append(s.attributes, a)
	}
	return ok
}

// parseAttribute reads a KeyValue message.
func parseAttribute(data []byte) (a Attribute, ok bool) {
	f := fields{b: data}
	for f.next() {
		switch f.num {
		case keyValueKey:
			a.Key = f.text()
		case keyValueValue:
			if a.Value, ok = parseValue(f.bytes()); !ok {
				return a, false
			}
		}
	}
	return a, !f.bad
}

// parseValue reads an AnyValue message; what arrays and maps hold is not looked at.
func parseValue(data []byte) (v Value, ok bool) {
	f := fields{b: data}
	for f.next() {
		switch {
		case f.num == anyString && f.typ == wireBytes:
			v = Value{Type: ValueString, data: f.s}
		case f.num == anyBool && f.typ == wireVarint:
			v = Value{Type: ValueBool, num: f.v}
		case f.num == anyInt && f.typ == wireVarint:
			v = Value{Type: ValueInt, num: f.v}
		case f.num == anyDouble && f.typ == wireI64:
			v = Value{Type: ValueDouble, num: f.v}
		case f.num == anyArray && f.typ == wireBytes:
			v = Value{Type: ValueArray, data: f.s}
		case f.num == anyMap && f.typ == wireBytes:
			v = Value{Type: ValueMap, data: f.s}
		case f.num == anyBytes && f.typ == wireBytes:
			v = Value{Type: ValueBytes, data: f.s}
		}
	}
	return v, !f.bad
}
