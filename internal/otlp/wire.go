package otlp

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// Field numbers of the messages, from opentelemetry-proto 1.x.
const (
	requestResourceSpans = 1

	resourceSpansResource = 1
	resourceSpansScopes   = 2
	resourceSpansSchema   = 3

	resourceAttributes = 1
	resourceDropped    = 2

	scopeSpansScope  = 1
	scopeSpansSpans  = 2
	scopeSpansSchema = 3

	scopeName       = 1
	scopeVersion    = 2
	scopeAttributes = 3

	spanTraceID           = 1
	spanSpanID            = 2
	spanTraceState        = 3
	spanParentID          = 4
	spanName              = 5
	spanKind              = 6
	spanStart             = 7
	spanEnd               = 8
	spanAttributes        = 9
	spanDroppedAttributes = 10
	spanEvents            = 11
	spanDroppedEvents     = 12
	spanLinks             = 13
	spanDroppedLinks      = 14
	spanStatus            = 15
	spanFlags             = 16

	eventTime       = 1
	eventName       = 2
	eventAttributes = 3

	linkTraceID    = 1
	linkSpanID     = 2
	linkTraceState = 3
	linkAttributes = 4
	linkDropped    = 5
	linkFlags      = 6

	statusMessage = 2
	statusCode    = 3

	keyValueKey   = 1
	keyValueValue = 2

	anyString = 1
	anyBool   = 2
	anyInt    = 3
	anyDouble = 4
	anyArray  = 5
	anyMap    = 6
	anyBytes  = 7

	listValues = 1 // of ArrayValue and KeyValueList
)

// Wire types.
const (
	wireVarint = 0
	wireI64    = 1
	wireBytes  = 2
	wireGroup  = 3 // which no message of ours has, though a newer one might
	wireEnd    = 4 // of a group
	wireI32    = 5
)

// fields reads the fields of a message, one after the other:
//
//	f := fields{b: message}
//	for f.next() {
//		switch f.num { case 1: use(f.bytes()) }
//	}
//	if f.bad { ... }
//
// A field of another type than the one asked for reads as zero, as a reader of
// generated code passes it over.
type fields struct {
	b   []byte // what was not read yet
	num int
	typ int
	v   uint64 // of numbers
	s   []byte // of bytes
	all []byte // the whole field, its tag included
	in  int    // groups that are open
	bad bool
}

func (f *fields) next() bool {
	if len(f.b) == 0 || f.bad {
		return false
	}
	start := f.b
	tag, n := uint64(f.b[0]), 1
	if tag >= 0x80 {
		if tag, n = binary.Uvarint(f.b); n <= 0 {
			return f.fail()
		}
	}
	if tag>>3 == 0 || tag>>3 > 1<<29-1 {
		return f.fail()
	}
	f.num, f.typ = int(tag>>3), int(tag&7)
	f.b = f.b[n:]
	f.v, f.s = 0, nil
	switch f.typ {
	case wireVarint:
		if f.v, n = binary.Uvarint(f.b); n <= 0 {
			return f.fail()
		}
		f.b = f.b[n:]
	case wireI64:
		if len(f.b) < 8 {
			return f.fail()
		}
		f.v, f.b = binary.LittleEndian.Uint64(f.b), f.b[8:]
	case wireI32:
		if len(f.b) < 4 {
			return f.fail()
		}
		f.v, f.b = uint64(binary.LittleEndian.Uint32(f.b)), f.b[4:]
	case wireBytes:
		size, n := uint64(0), 1
		if len(f.b) > 0 {
			size = uint64(f.b[0])
		}
		if size >= 0x80 || len(f.b) == 0 {
			size, n = binary.Uvarint(f.b)
		}
		if n <= 0 || size > uint64(len(f.b)-n) {
			return f.fail()
		}
		end := n + int(size)
		f.s, f.b = f.b[n:end:end], f.b[end:]
	case wireGroup:
		if !f.skipGroup() {
			return f.fail()
		}
	default: // the end of a group that never began, and what is no type at all
		return f.fail()
	}
	f.all = start[: len(start)-len(f.b) : len(start)-len(f.b)]
	return true
}

// Fields calls fn for the fields of a message one after the other, with all bytes of
// each, its tag included. It returns false when the bytes are no message; fn may have been
// called before.
func Fields(message []byte, fn func(field []byte)) bool {
	f := fields{b: message}
	for f.next() {
		fn(f.all)
	}
	return !f.bad
}

// maxGroups bounds how deep groups may lie in each other.
const maxGroups = 100

// skipGroup passes over the rest of a group.
func (f *fields) skipGroup() bool {
	g := fields{b: f.b, in: f.in + 1}
	if g.in > maxGroups {
		return false
	}
	for {
		tag, n := binary.Uvarint(g.b)
		if n > 0 && tag&7 == wireEnd {
			f.b = g.b[n:]
			return tag>>3 == uint64(f.num)
		}
		if !g.next() {
			return false
		}
	}
}

func (f *fields) fail() bool {
	f.bad = true
	return false
}

func (f *fields) bytes() []byte {
	if f.typ != wireBytes {
		return nil
	}
	return f.s
}

func (f *fields) text() string { return alias(f.bytes()) }

func (f *fields) varint() uint64 {
	if f.typ != wireVarint {
		return 0
	}
	return f.v
}

func (f *fields) fixed64() uint64 {
	if f.typ != wireI64 {
		return 0
	}
	return f.v
}

func (f *fields) fixed32() uint32 {
	if f.typ != wireI32 {
		return 0
	}
	return uint32(f.v)
}

// alias returns a string over the memory of b, which nobody changes any more.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// The functions below write fields.

func appendTag(dst []byte, num, typ int) []byte {
	return binary.AppendUvarint(dst, uint64(num)<<3|uint64(typ))
}

func appendBytesField[T string | []byte](dst []byte, num int, b T) []byte {
	dst = appendTag(dst, num, wireBytes)
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

// appendTextField leaves out an empty text, as proto3 does.
func appendTextField[T string | []byte](dst []byte, num int, s T) []byte {
	if len(s) == 0 {
		return dst
	}
	return appendBytesField(dst, num, s)
}

func appendVarintField(dst []byte, num int, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return binary.AppendUvarint(appendTag(dst, num, wireVarint), v)
}

func appendFixed64Field(dst []byte, num int, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return binary.LittleEndian.AppendUint64(appendTag(dst, num, wireI64), v)
}

// appendMessage appends a field that holds what fn appends.
func appendMessage(dst []byte, num int, fn func(dst []byte) []byte) []byte {
	dst = appendTag(dst, num, wireBytes)
	at := len(dst)
	dst = append(dst, 0) // most messages are shorter than 128 bytes
	dst = fn(dst)
	size := len(dst) - at - 1
	if size < 0x80 {
		dst[at] = byte(size)
		return dst
	}
	var head [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(head[:], uint64(size))
	dst = append(dst, head[:n-1]...) // room
	copy(dst[at+n:], dst[at+1:at+1+size])
	copy(dst[at:], head[:n])
	return dst
}

// AppendField appends a field of a protobuf message that holds bytes, such as another message.
func AppendField(dst []byte, num int, b []byte) []byte { return appendBytesField(dst, num, b) }

func double(bits uint64) float64 { return math.Float64frombits(bits) }
