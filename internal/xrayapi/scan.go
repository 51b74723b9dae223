package xrayapi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// syntaxError says where a request body stops being JSON.
type syntaxError struct {
	offset int
	what   string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.what, e.offset) }

// maxDepth bounds the nesting of a request body. No operation needs ten.
const maxDepth = 200

// scanner walks over a JSON text. It is strict: what encoding/json refuses it
// refuses too, but for invalid UTF-8, which passes.
type scanner struct {
	b []byte
	i int
}

func (s *scanner) fail(what string) error { return &syntaxError{s.i, what} }

// space skips white space.
func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// peek skips white space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

// unexpected describes what stands where something else should be.
func (s *scanner) unexpected(want string) error {
	s.space()
	if s.i >= len(s.b) {
		return s.fail("unexpected end, want " + want)
	}
	if c := s.b[s.i]; c > ' ' && c < 0x7f {
		return s.fail(fmt.Sprintf("unexpected '%c', want %s", c, want))
	}
	return s.fail("unexpected byte, want " + want)
}

// expect takes the byte c.
func (s *scanner) expect(c byte) error {
	if s.peek() != c {
		return s.unexpected("'" + string(rune(c)) + "'")
	}
	s.i++
	return nil
}

const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special returns a word whose lowest set bit is the top bit of the first byte
// in w (lowest address first) that is '"', '\' or a control character; 0 when
// there is none. Bits above the lowest mean nothing.
func special(w uint64) uint64 {
	quote := w ^ lows*'"'
	slash := w ^ lows*'\\'
	return ((quote-lows)&^quote | (slash-lows)&^slash | (w-lows*0x20)&^w) & highs
}

// str takes a string, decodes it and appends it to dst. Lone surrogates become
// U+FFFD; invalid UTF-8 stays as it is.
func (s *scanner) str(dst []byte) ([]byte, error) {
	if s.i >= len(s.b) || s.b[s.i] != '"' {
		return dst, s.unexpected("a string")
	}
	s.i++
	b, i := s.b, s.i
	run := i // start of what was not copied yet
	for {
		for i+8 <= len(b) {
			m := special(binary.LittleEndian.Uint64(b[i:]))
			if m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		if i >= len(b) {
			s.i = i
			return dst, s.fail("unexpected end of a string")
		}
		switch c := b[i]; {
		case c == '"':
			s.i = i + 1
			return append(dst, b[run:i]...), nil
		case c < 0x20:
			s.i = i
			return dst, s.fail("control character in a string")
		case c != '\\':
			i++
			continue
		}
		dst = append(dst, b[run:i]...)
		var n int
		dst, n = unescape(dst, b[i:])
		if n == 0 {
			s.i = i
			return dst, s.fail("invalid escape in a string")
		}
		i += n
		run = i
	}
}

// unescape decodes the escape sequence at the start of b, appends it to dst and
// returns its length, 0 when it is none.
func unescape(dst, b []byte) ([]byte, int) {
	if len(b) < 2 {
		return dst, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return append(dst, b[1]), 2
	case 'n':
		return append(dst, '\n'), 2
	case 't':
		return append(dst, '\t'), 2
	case 'r':
		return append(dst, '\r'), 2
	case 'b':
		return append(dst, '\b'), 2
	case 'f':
		return append(dst, '\f'), 2
	case 'u':
		r := hex4(b[2:])
		if r < 0 {
			return dst, 0
		}
		n := 6
		if utf16.IsSurrogate(r) {
			low := rune(-1)
			if len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
				low = hex4(b[8:])
			}
			// A pair gives one character, half a pair U+FFFD.
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				n = 12
			}
		}
		return utf8.AppendRune(dst, r), n
	}
	return dst, 0
}

// hex4 returns the value of four hexadecimal digits, -1 when b begins otherwise.
func hex4(b []byte) rune {
	if len(b) < 4 {
		return -1
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// number takes a number and returns its text.
func (s *scanner) number() ([]byte, error) {
	start := s.i
	digits := func() bool {
		from := s.i
		for s.i < len(s.b) && s.b[s.i]-'0' <= 9 {
			s.i++
		}
		return s.i > from
	}
	if s.i < len(s.b) && s.b[s.i] == '-' {
		s.i++
	}
	if s.i < len(s.b) && s.b[s.i] == '0' {
		s.i++
	} else if !digits() {
		return nil, s.unexpected("a value")
	}
	if s.i < len(s.b) && s.b[s.i] == '.' {
		s.i++
		if !digits() {
			return nil, s.unexpected("a digit")
		}
	}
	if s.i < len(s.b) && (s.b[s.i] == 'e' || s.b[s.i] == 'E') {
		s.i++
		if s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		if !digits() {
			return nil, s.unexpected("a digit")
		}
	}
	return s.b[start:s.i], nil
}

// literal takes true, false or null.
func (s *scanner) literal(text string) error {
	if len(s.b)-s.i < len(text) || string(s.b[s.i:s.i+len(text)]) != text {
		return s.unexpected("a value")
	}
	s.i += len(text)
	return nil
}

// skip takes any value.
func (s *scanner) skip(depth int) error {
	if depth > maxDepth {
		return s.fail("nesting too deep")
	}
	switch s.peek() {
	case '"':
		_, err := s.str(nil)
		return err
	case '{':
		return s.object(func(_ []byte) error { return s.skip(depth + 1) })
	case '[':
		return s.array(func() error { return s.skip(depth + 1) })
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	_, err := s.number()
	return err
}

// object takes an object; fn takes the value of each member. The key is fn's
// only until the next one.
func (s *scanner) object(fn func(key []byte) error) error {
	if err := s.expect('{'); err != nil {
		return err
	}
	if s.peek() == '}' {
		s.i++
		return nil
	}
	var scratch [64]byte
	for {
		s.space()
		key, err := s.str(scratch[:0])
		if err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		if err := fn(key); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.i++
		case '}':
			s.i++
			return nil
		default:
			return s.unexpected("',' or '}'")
		}
	}
}

// array takes an array; fn takes each element.
func (s *scanner) array(fn func() error) error {
	if err := s.expect('['); err != nil {
		return err
	}
	if s.peek() == ']' {
		s.i++
		return nil
	}
	for {
		if err := fn(); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.i++
		case ']':
			s.i++
			return nil
		default:
			return s.unexpected("',' or ']'")
		}
	}
}

// end reports an error unless nothing but white space is left.
func (s *scanner) end() error {
	if s.space(); s.i < len(s.b) {
		return s.fail("more data after the request")
	}
	return nil
}

const segmentsKey = `"TraceSegmentDocuments"`

const (
	// arenaBytes is how large a piece of memory is that documents share: who keeps one
	// of them, as the store does for a while, keeps all that lie beside it.
	arenaBytes = 64 << 10
	// arenaSlack is more than what one step of decoding writes.
	arenaSlack = 16
)

// textLen returns how long the text is, up to its quote, of which b is the rest.
func textLen(b []byte) int {
	for i := 0; i < len(b); {
		k := bytes.IndexByte(b[i:], '"')
		if k < 0 {
			break
		}
		slashes := 0
		for j := i + k - 1; j >= 0 && b[j] == '\\'; j-- {
			slashes++
		}
		if i += k; slashes%2 == 0 {
			return i
		}
		i++
	}
	return len(b)
}

// scanSegments is the short way through a PutTraceSegments request of the form
// that clients send: {"TraceSegmentDocuments":["...",...]}. It returns the
// decoded documents, at most one more than most of them, in new pieces of memory, and false for
// every request of another form, which then goes the general way.
func scanSegments(body []byte, most int) (docs [][]byte, ok bool) {
	s := scanner{b: body}
	if s.peek() != '{' {
		return nil, false
	}
	s.i++
	if s.space(); len(body)-s.i < len(segmentsKey) || string(body[s.i:s.i+len(segmentsKey)]) != segmentsKey {
		return nil, false
	}
	s.i += len(segmentsKey)
	if s.peek() != ':' {
		return nil, false
	}
	s.i++
	if s.peek() != '[' {
		return nil, false
	}
	s.i++
	if s.peek() == ']' {
		return nil, false // an empty list is refused, with all due care
	}
	// Decoding never grows a text, and the key that was skipped leaves room for
	// whole words to be stored beyond its end: a small body never needs a second piece.
	buf := make([]byte, min(len(body), arenaBytes))
	docs = make([][]byte, 0, 64)
	n := 0
	for {
		if s.peek() != '"' {
			return nil, false
		}
		start := n
		i := s.i + 1
		for {
			// Copy word by word up to the next byte that needs a look.
			for stop := min(len(body), i+len(buf)-n); i+8 <= stop; {
				w := binary.LittleEndian.Uint64(body[i:])
				binary.LittleEndian.PutUint64(buf[n:], w)
				if m := special(w); m != 0 {
					k := bits.TrailingZeros64(m) >> 3
					i += k
					n += k
					break
				}
				i += 8
				n += 8
			}
			if i >= len(body) {
				return nil, false
			}
			c := body[i]
			if c == '"' {
				break
			}
			if len(buf)-n < arenaSlack {
				next := make([]byte, max(n-start+textLen(body[i:])+2*arenaSlack, min(len(body)-i, arenaBytes)))
				n = copy(next, buf[start:n])
				buf, start = next, 0
				continue
			}
			if c == '\\' {
				if i+1 < len(body) && body[i+1] == '"' { // by far the most frequent
					buf[n] = '"'
					i += 2
					n++
					continue
				}
				out, k := unescape(buf[:n], body[i:])
				if k == 0 {
					return nil, false
				}
				i += k
				n = len(out)
				continue
			}
			if c < 0x20 {
				return nil, false
			}
			buf[n] = c
			n++
			i++
		}
		docs = append(docs, buf[start:n:n])
		if len(docs) > most {
			return docs, true
		}
		s.i = i + 1
		switch s.peek() {
		case ',':
			s.i++
			continue
		case ']':
			s.i++
		default:
			return nil, false
		}
		break
	}
	if s.peek() != '}' {
		return nil, false
	}
	s.i++
	if s.end() != nil {
		return nil, false
	}
	if len(body) <= arenaBytes && n < len(body)/2 {
		// Mostly white space or escapes: do not hold what is not used.
		small, at := append(make([]byte, 0, n), buf[:n]...), 0
		for i, d := range docs {
			docs[i] = small[at : at+len(d) : at+len(d)]
			at += len(d)
		}
	}
	return docs, true
}
