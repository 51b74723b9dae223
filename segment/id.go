package segment

import (
	"encoding/binary"
	"errors"
)

var (
	// ErrTraceID reports a text that is no trace id.
	ErrTraceID = errors.New("segment: not a trace id: want 1-, 8 hexadecimal digits, - and 24 more")
	// ErrSegmentID reports a text that is no segment id.
	ErrSegmentID = errors.New("segment: not a segment id: want 16 hexadecimal digits")
)

// TraceID identifies a trace. Its text is "1-", 8 hexadecimal digits, "-" and
// 24 hexadecimal digits; the 16 bytes are those 32 digits. The first 4 bytes
// are the epoch second of the request when an X-Ray SDK made the id, and random
// when it comes from a W3C trace id, so nothing may be derived from them. The
// zero value stands for no id, although its text, all zeros, is a legal one.
type TraceID [16]byte

// ParseTraceID reads the form 1-8-24, digits in either case. It returns
// ErrTraceID for everything else, a bare W3C id included: the X-Ray service
// refuses documents that carry one.
func ParseTraceID(s string) (TraceID, error) {
	id, ok := parseTraceID(s)
	if !ok {
		return TraceID{}, ErrTraceID
	}
	return id, nil
}

// ParseAnyTraceID reads the form 1-8-24 and, as an extension for people and for
// W3C tools, 32 bare hexadecimal digits.
func ParseAnyTraceID(s string) (TraceID, error) {
	if len(s) == 32 {
		var id TraceID
		if !decodeHex(id[:], s) {
			return TraceID{}, ErrTraceID
		}
		return id, nil
	}
	return ParseTraceID(s)
}

// String returns the form 1-8-24 in lower case.
func (id TraceID) String() string {
	var b [35]byte
	return string(id.append(b[:0]))
}

func (id TraceID) append(dst []byte) []byte {
	dst = append(dst, '1', '-')
	dst = appendHex(dst, id[:4])
	dst = append(dst, '-')
	return appendHex(dst, id[4:])
}

// W3C returns the id as 32 lower-case hexadecimal digits.
func (id TraceID) W3C() string {
	var b [32]byte
	return string(appendHex(b[:0], id[:]))
}

// IsZero reports whether id is the zero value, which stands for no id.
func (id TraceID) IsZero() bool { return id == TraceID{} }

// SegmentID identifies a segment or subsegment within its trace. Its text is 16
// hexadecimal digits, first digit highest.
type SegmentID uint64

// ParseSegmentID reads 16 hexadecimal digits in either case. It returns
// ErrSegmentID for everything else.
func ParseSegmentID(s string) (SegmentID, error) {
	id, ok := parseSegmentID(s)
	if !ok {
		return 0, ErrSegmentID
	}
	return id, nil
}

// String returns the id as 16 lower-case hexadecimal digits.
func (id SegmentID) String() string {
	var b [16]byte
	return string(id.append(b[:0]))
}

func (id SegmentID) append(dst []byte) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(id))
	return appendHex(dst, b[:])
}

func parseTraceID[T string | []byte](s T) (id TraceID, ok bool) {
	if len(s) != 35 || s[0] != '1' || s[1] != '-' || s[10] != '-' {
		return TraceID{}, false
	}
	if !decodeHex(id[:4], s[2:10]) || !decodeHex(id[4:], s[11:]) {
		return TraceID{}, false
	}
	return id, true
}

func parseSegmentID[T string | []byte](s T) (SegmentID, bool) {
	var b [8]byte
	if len(s) != 16 || !decodeHex(b[:], s) {
		return 0, false
	}
	return SegmentID(binary.BigEndian.Uint64(b[:])), true
}

const hexDigits = "0123456789abcdef"

// hexValues maps a hexadecimal digit to its value and every other byte to 0xff.
var hexValues = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := byte(0); i < 16; i++ {
		t[hexDigits[i]] = i
	}
	for c := byte('A'); c <= 'F'; c++ {
		t[c] = c - 'A' + 10
	}
	return t
}()

// decodeHex fills dst from the 2*len(dst) digits of s, in either case, and
// reports whether all of them are digits.
func decodeHex[T string | []byte](dst []byte, s T) bool {
	if len(s) < 2*len(dst) {
		return false
	}
	var bad byte
	for i := range dst {
		h, l := hexValues[s[2*i]], hexValues[s[2*i+1]]
		bad |= h | l
		dst[i] = h<<4 | l
	}
	return bad < 0x10
}

func appendHex(dst, src []byte) []byte {
	for _, b := range src {
		dst = append(dst, hexDigits[b>>4], hexDigits[b&15])
	}
	return dst
}
