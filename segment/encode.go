package segment

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"sync"
	"unicode/utf8"
	"unsafe"
)

// AppendDocument appends s in the form in which the X-Ray service gives
// documents back: its key order, times as doubles in the notation of Java
// (1.478293361271E9), unknown keys gone, nested subsegments without trace_id,
// parent_id and type, no http.request.traced and no empty stack of an
// exception. The result is strict JSON in valid UTF-8, and Parse of it gives
// an equal segment.
//
// The keys come in this order, each only when there is something to say: id,
// name, start_time, trace_id, end_time or in_progress, parent_id, type,
// inferred, fault, error, throttle, http, aws, origin, user, service,
// resource_arn, sql, annotations, metadata, namespace, cause, links,
// precursor_ids, subsegments.
func (s *Segment) AppendDocument(dst []byte) []byte {
	dst = append(dst, `{"id":"`...)
	dst = s.ID.append(dst)
	dst = append(dst, `","name":`...)
	dst = AppendString(dst, s.Name)
	dst = append(dst, `,"start_time":`...)
	dst = AppendJavaDouble(dst, s.StartTime)
	if s.Kind != KindNested {
		dst = append(dst, `,"trace_id":"`...)
		dst = s.TraceID.append(dst)
		dst = append(dst, '"')
	}
	if s.InProgress {
		dst = append(dst, `,"in_progress":true`...)
	} else {
		dst = append(dst, `,"end_time":`...)
		dst = AppendJavaDouble(dst, s.EndTime)
	}
	if s.HasParent && s.Kind != KindNested {
		dst = append(dst, `,"parent_id":"`...)
		dst = s.ParentID.append(dst)
		dst = append(dst, '"')
	}
	if s.Kind == KindSubsegment {
		dst = append(dst, `,"type":"subsegment"`...)
	}
	if s.Inferred {
		dst = append(dst, `,"inferred":true`...)
	}
	dst = appendFlag(dst, `,"fault":`, s.Fault)
	dst = appendFlag(dst, `,"error":`, s.Error)
	dst = appendFlag(dst, `,"throttle":`, s.Throttle)
	dst = appendPart(dst, `,"http":`, s.HTTP, inHTTP)
	dst = appendPart(dst, `,"aws":`, s.AWS, plain)
	dst = appendText(dst, `,"origin":`, s.Origin)
	dst = appendText(dst, `,"user":`, s.User)
	dst = appendPart(dst, `,"service":`, s.Service, plain)
	dst = appendText(dst, `,"resource_arn":`, s.ResourceARN)
	dst = appendPart(dst, `,"sql":`, s.SQL, plain)
	dst = appendPart(dst, `,"annotations":`, s.Annotations, plain)
	dst = appendPart(dst, `,"metadata":`, s.Metadata, plain)
	dst = appendText(dst, `,"namespace":`, s.Namespace)
	dst = appendPart(dst, `,"cause":`, s.Cause, inCause)
	dst = appendPart(dst, `,"links":`, s.Links, plain)
	dst = appendPart(dst, `,"precursor_ids":`, s.PrecursorIDs, plain)
	if len(s.Subsegments) > 0 {
		dst = append(dst, `,"subsegments":[`...)
		for i, sub := range s.Subsegments {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = sub.AppendDocument(dst)
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

func appendFlag(dst []byte, key string, f Flag) []byte {
	if f == FlagAbsent {
		return dst
	}
	dst = append(dst, key...)
	return strconv.AppendBool(dst, f == FlagTrue)
}

func appendText(dst []byte, key, text string) []byte {
	if text == "" {
		return dst
	}
	dst = append(dst, key...)
	return AppendString(dst, text)
}

func appendPart(dst []byte, key string, part Raw, where place) []byte {
	if part == nil {
		return dst
	}
	dst = append(dst, key...)
	return appendRaw(dst, part, where)
}

// AppendJavaDouble appends f as Java's Double.toString writes it, which is how
// the X-Ray service writes times and doubles: 0.0, 4.0, 1.5E-4,
// 1.7901498788832488E9. The exponent form is used from 10^7 up and below
// 10^-3; the digits are the fewest that give f back. Values that are not finite
// are written as null, since JSON has no word for them.
func AppendJavaDouble(dst []byte, f float64) []byte {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return append(dst, "null"...)
	case f == 0:
		if math.Signbit(f) {
			return append(dst, "-0.0"...)
		}
		return append(dst, "0.0"...)
	}
	abs := math.Abs(f)
	if abs >= 1e-3 && abs < 1e7 {
		start := len(dst)
		dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
		if bytes.IndexByte(dst[start:], '.') < 0 {
			dst = append(dst, ".0"...)
		}
		return dst
	}
	var buf [32]byte
	b := strconv.AppendFloat(buf[:0], f, 'e', -1, 64) // d.dddde+dd
	if abs < 1e-307 && bytes.IndexByte(b, '.') < 0 {
		// So near to zero a single digit may do, and Java then takes the nearest
		// of two digits: 4.9E-324.
		if two := strconv.AppendFloat(nil, f, 'e', 1, 64); parsesTo(two, f) {
			b = two
		}
	}
	e := bytes.IndexByte(b, 'e')
	dst = append(dst, b[:e]...)
	if bytes.IndexByte(b[:e], '.') < 0 {
		dst = append(dst, ".0"...)
	}
	dst = append(dst, 'E')
	exponent := b[e+1:]
	if exponent[0] == '-' {
		dst = append(dst, '-')
	}
	exponent = exponent[1:]
	if exponent[0] == '0' {
		exponent = exponent[1:]
	}
	return append(dst, exponent...)
}

func parsesTo(text []byte, f float64) bool {
	got, err := strconv.ParseFloat(string(text), 64)
	return err == nil && got == f
}

// AppendString appends s as a JSON string with only the escapes that JSON
// demands, in the short forms where there are any. Invalid UTF-8 becomes U+FFFD,
// one for each byte that is wrong.
func AppendString(dst []byte, s string) []byte {
	return AppendStringBytes(dst, unsafe.Slice(unsafe.StringData(s), len(s)))
}

// AppendStringBytes is AppendString for a text in bytes, which it only reads.
func AppendStringBytes(dst, s []byte) []byte {
	dst = append(dst, '"')
	from, i := 0, 0 // from: start of what was not copied yet
	for {
		for i+8 <= len(s) {
			w := binary.LittleEndian.Uint64(s[i:])
			quote, slash := w^'"'*ones, w^'\\'*ones
			// The lowest bit of each part is exact, so that of their sum is too.
			m := ((quote-ones)&^quote | (slash-ones)&^slash | (w-0x20*ones)&^w | w) & highs
			if m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		if i >= len(s) {
			break
		}
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(dst, s[from:i]...)
				dst = utf8.AppendRune(dst, r)
				from = i + 1
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, `\b`...)
		case '\f':
			dst = append(dst, `\f`...)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, `\u00`...)
			dst = append(dst, "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15])
		}
		i++
		from = i
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// place says where in a document a value is being written, as far as the
// service leaves out what stands there.
type place uint8

const (
	plain        place = iota
	inHTTP             // in http
	inRequest          // in http.request: "traced" is left out
	inCause            // in cause
	inExceptions       // in cause.exceptions
	inException        // in one exception: an empty "stack" is left out
)

// rewriter writes a value again in one pass, whatever its depth. Members are
// written as they come; only when an object holds a name twice, or one that is
// to be left out, its text is closed up at its end.
type rewriter struct {
	src     []byte
	dst     []byte
	members []writtenMember // of all objects that are open
}

// writtenMember says where in dst a member stands, the comma before it excluded.
type writtenMember struct {
	start, keyEnd, end int
	drop               bool
}

var rewriters = sync.Pool{New: func() any { return new(rewriter) }}

func appendRaw(dst []byte, r Raw, where place) []byte {
	w := rewriters.Get().(*rewriter)
	w.src, w.dst = r, dst
	next := w.value(skipSpace(r, 0), maxDepth+1, where)
	if next < 0 { // absent, or no text of ours
		w.dst = append(w.dst[:len(dst)], "null"...)
	}
	dst = w.dst
	w.src, w.dst = nil, nil
	if cap(w.members) > 4096 {
		w.members = nil // do not keep what one huge document needed
	}
	w.members = w.members[:0]
	rewriters.Put(w)
	return dst
}

// value writes the value at i and returns the offset after it, a negative one
// when it is no JSON or too deep.
func (w *rewriter) value(i, depth int, where place) int {
	d := w.src
	if i >= len(d) || depth == 0 {
		return ^i
	}
	switch d[i] {
	case '{':
		return w.object(i, depth, where)
	case '[':
		return w.array(i, depth, where)
	case '"':
		return w.text(i)
	}
	end := scanValue(d, i, 0)
	if end < 0 {
		return end
	}
	if c := d[end-1]; c == 'N' || c == 'y' { // NaN, Infinity
		w.dst = append(w.dst, "null"...)
	} else {
		w.dst = append(w.dst, d[i:end]...)
	}
	return end
}

func (w *rewriter) text(i int) int {
	end := scanString(w.src, i+1)
	if end < 0 {
		return end
	}
	body := w.src[i+1 : end-1]
	if isPlain(body) {
		w.dst = append(w.dst, w.src[i:end]...)
	} else {
		w.dst = AppendString(w.dst, decodeString(body))
	}
	return end
}

func (w *rewriter) array(i, depth int, where place) int {
	if where == inExceptions {
		where = inException
	} else {
		where = plain
	}
	d := w.src
	w.dst = append(w.dst, '[')
	i = skipSpace(d, i+1)
	if i < len(d) && d[i] == ']' {
		w.dst = append(w.dst, ']')
		return i + 1
	}
	for {
		if i = w.value(i, depth-1, where); i < 0 {
			return i
		}
		if i = skipSpace(d, i); i >= len(d) {
			return ^i
		}
		switch d[i] {
		case ',':
			w.dst = append(w.dst, ',')
			i = skipSpace(d, i+1)
		case ']':
			w.dst = append(w.dst, ']')
			return i + 1
		default:
			return ^i
		}
	}
}

func (w *rewriter) object(i, depth int, where place) int {
	d := w.src
	base := len(w.members)
	start := len(w.dst)
	w.dst = append(w.dst, '{')
	i = skipSpace(d, i+1)
	if i < len(d) && d[i] == '}' {
		w.dst = append(w.dst, '}')
		return i + 1
	}
	drops := false
	for {
		if i >= len(d) || d[i] != '"' {
			return ^i
		}
		m := writtenMember{start: len(w.dst)}
		if i = w.text(i); i < 0 {
			return i
		}
		m.keyEnd = len(w.dst)
		if i = scanColon(d, i); i < 0 {
			return i
		}
		w.dst = append(w.dst, ':')
		inner := plain
		switch key := w.dst[m.start:m.keyEnd]; where {
		case inHTTP:
			if string(key) == `"request"` {
				inner = inRequest
			}
		case inCause:
			if string(key) == `"exceptions"` {
				inner = inExceptions
			}
		}
		if i = w.value(i, depth-1, inner); i < 0 {
			return i
		}
		m.end = len(w.dst)
		switch key := w.dst[m.start:m.keyEnd]; where {
		case inRequest:
			m.drop = string(key) == `"traced"`
		case inException:
			m.drop = string(key) == `"stack"` && string(w.dst[m.keyEnd:]) == ":[]"
		}
		drops = drops || m.drop
		w.members = append(w.members, m)
		if i = skipSpace(d, i); i >= len(d) {
			return ^i
		}
		if d[i] == ',' {
			w.dst = append(w.dst, ',')
			i = skipSpace(d, i+1)
			continue
		}
		if d[i] != '}' {
			return ^i
		}
		w.dst = append(w.dst, '}')
		members := w.members[base:]
		if w.markRepeated(members) || drops {
			w.closeUp(start, members)
		}
		w.members = w.members[:base]
		return i + 1
	}
}

// markRepeated marks all members but the last of each name to be dropped and
// reports whether there are any. Names compare as they were written: one form
// for one value.
func (w *rewriter) markRepeated(members []writtenMember) (any bool) {
	key := func(m writtenMember) []byte { return w.dst[m.start:m.keyEnd] }
	if len(members) > 24 {
		last := make(map[string]int, len(members))
		for i, m := range members {
			k := key(m)
			if j, ok := last[alias(k)]; ok {
				members[j].drop = true
				any = true
			}
			// The key may alias dst: dst is closed up only after this.
			last[alias(k)] = i
		}
		return any
	}
	for i := range members {
		k := key(members[i])
		for _, later := range members[i+1:] {
			if later.keyEnd-later.start == len(k) && bytes.Equal(key(later), k) {
				members[i].drop = true
				any = true
				break
			}
		}
	}
	return any
}

// closeUp takes the dropped members out of the object written from start on.
func (w *rewriter) closeUp(start int, members []writtenMember) {
	to := start + 1
	for _, m := range members {
		if m.drop {
			continue
		}
		if to > start+1 {
			w.dst[to] = ','
			to++
		}
		to += copy(w.dst[to:], w.dst[m.start:m.end])
	}
	w.dst[to] = '}'
	w.dst = w.dst[:to+1]
}
