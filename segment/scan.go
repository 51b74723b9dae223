package segment

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// The scanner checks JSON text without building anything. Its functions take
// the text and the offset of a token and return the offset after it, or, when
// the text breaks off or is wrong there, the complement ^offset of the place,
// which is negative. What exactly is wrong is worked out afterwards by explain;
// so the way of the good documents carries no state for it.

// maxDepth bounds Limits.Depth, so that recursion over a document stays within
// some megabytes of stack. It is also what encoding/json accepts.
const maxDepth = 10_000

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// skipSpace returns the offset of the first byte at or after i that is no white space.
func skipSpace(d []byte, i int) int {
	for i < len(d) && isSpace(d[i]) {
		i++
	}
	return i
}

// scanString checks the rest of a string whose opening quote ends before i.
// Unescaped control characters are refused as most JSON readers do; bytes that
// are no UTF-8 pass and become U+FFFD when the string is decoded.
func scanString(d []byte, i int) int {
	for {
		// Eight bytes at a time. A byte is below a space or a quote when its
		// exclusive or with 2 is less than 0x21; the second term finds a
		// backslash. Both set the high bit of the bytes they find. Borrows can make
		// wrong marks only above a right one, and only the lowest mark is used.
		for ; i <= len(d)-8; i += 8 {
			// Without the bounds check, which took a tenth of the time: 0 <= i <= len(d)-8.
			w := binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(d)), i))[:])
			q := w ^ 2*ones
			b := w ^ '\\'*ones
			if m := ((q-0x21*ones)&^q | (b-ones)&^b) & highs; m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				goto special
			}
		}
		for i < len(d) && d[i] != '"' && d[i] != '\\' && d[i] >= ' ' {
			i++
		}
		if i >= len(d) {
			return ^i
		}
	special:
		switch d[i] {
		case '"':
			return i + 1
		case '\\':
			n := escapeLength(d, i)
			if n == 0 {
				return ^i
			}
			i += n
		default:
			return ^i
		}
	}
}

// escapeLength returns the length of the escape sequence at the backslash d[i],
// 0 when it is none.
func escapeLength(d []byte, i int) int {
	if i+1 >= len(d) {
		return 0
	}
	switch d[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if i+6 <= len(d) && hexValues[d[i+2]]|hexValues[d[i+3]]|hexValues[d[i+4]]|hexValues[d[i+5]] < 0x10 {
			return 6
		}
	}
	return 0
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// scanNumber checks a number, -Infinity included, that begins at i with a minus
// sign or a digit.
func scanNumber(d []byte, i int) int {
	if d[i] == '-' {
		i++
		if i < len(d) && d[i] == 'I' {
			return scanWord(d, i, "Infinity")
		}
	}
	switch {
	case i >= len(d):
		return ^i
	case d[i] == '0':
		i++
	case isDigit(d[i]):
		for i < len(d) && isDigit(d[i]) {
			i++
		}
	default:
		return ^i
	}
	if i < len(d) && d[i] == '.' {
		i++
		if i >= len(d) || !isDigit(d[i]) {
			return ^i
		}
		for i < len(d) && isDigit(d[i]) {
			i++
		}
	}
	if i < len(d) && d[i]|0x20 == 'e' {
		i++
		if i < len(d) && (d[i] == '+' || d[i] == '-') {
			i++
		}
		if i >= len(d) || !isDigit(d[i]) {
			return ^i
		}
		for i < len(d) && isDigit(d[i]) {
			i++
		}
	}
	return i
}

// scanWord checks that word stands at i. The place of an error is the word's
// beginning, or the end of the text when it breaks off within the word.
func scanWord(d []byte, i int, word string) int {
	if len(d)-i < len(word) {
		if string(d[i:]) == word[:len(d)-i] {
			return ^len(d)
		}
		return ^i
	}
	if string(d[i:i+len(word)]) != word {
		return ^i
	}
	return i + len(word)
}

// scanValue checks the value that begins at i, white space being skipped
// already, and allows depth levels of arrays and objects.
func scanValue(d []byte, i, depth int) int {
	if i >= len(d) {
		return ^i
	}
	switch d[i] {
	case '"':
		return scanString(d, i+1)
	case '{':
		return scanObject(d, i, depth)
	case '[':
		return scanArray(d, i, depth)
	case 't':
		return scanWord(d, i, "true")
	case 'f':
		return scanWord(d, i, "false")
	case 'n':
		return scanWord(d, i, "null")
	case 'N':
		return scanWord(d, i, "NaN")
	case 'I':
		return scanWord(d, i, "Infinity")
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return scanNumber(d, i)
	}
	return ^i
}

func scanObject(d []byte, i, depth int) int {
	if depth <= 0 {
		return ^i
	}
	i = skipSpace(d, i+1)
	if i < len(d) && d[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(d) || d[i] != '"' {
			return ^i
		}
		if i = scanString(d, i+1); i < 0 {
			return i
		}
		if i+1 < len(d) && d[i] == ':' && d[i+1] > ' ' {
			i++ // the common case, without a call
		} else if i = scanColon(d, i); i < 0 {
			return i
		}
		if i < len(d) && d[i] == '"' {
			i = scanString(d, i+1)
		} else {
			i = scanValue(d, i, depth-1)
		}
		if i < 0 {
			return i
		}
		if i >= len(d) || d[i] <= ' ' {
			if i = skipSpace(d, i); i >= len(d) {
				return ^i
			}
		}
		switch d[i] {
		case ',':
			i++
			if i < len(d) && d[i] <= ' ' {
				i = skipSpace(d, i)
			}
		case '}':
			return i + 1
		default:
			return ^i
		}
	}
}

// scanColon checks the colon after a key and skips the white space around it.
func scanColon(d []byte, i int) int {
	if i >= len(d) || d[i] != ':' {
		i = skipSpace(d, i)
		if i >= len(d) || d[i] != ':' {
			return ^i
		}
	}
	i++
	if i < len(d) && d[i] <= ' ' {
		i = skipSpace(d, i)
	}
	return i
}

func scanArray(d []byte, i, depth int) int {
	if depth <= 0 {
		return ^i
	}
	i = skipSpace(d, i+1)
	if i < len(d) && d[i] == ']' {
		return i + 1
	}
	for {
		if i = scanValue(d, i, depth-1); i < 0 {
			return i
		}
		if i = skipSpace(d, i); i >= len(d) {
			return ^i
		}
		switch d[i] {
		case ',':
			i = skipSpace(d, i+1)
		case ']':
			return i + 1
		default:
			return ^i
		}
	}
}

// skipValue returns the offset after the value at i of a text that was checked
// before. It does not recurse and, given text that was not checked, stays
// within it; it returns a negative offset when the text breaks off.
func skipValue(d []byte, i int) int {
	level := 0
	for i < len(d) {
		switch c := d[i]; c {
		case '"':
			if i = scanString(d, i+1); i < 0 {
				return i
			}
		case '{', '[':
			level++
			i++
		case '}', ']':
			level--
			i++
			if level < 0 {
				return ^i
			}
		case ' ', '\n', '\r', '\t', ',', ':':
			if level == 0 {
				return ^i
			}
			i++
			continue
		default:
			for i < len(d) && !isDelimiter(d[i]) {
				i++
			}
		}
		if level == 0 {
			return i
		}
	}
	return ^i
}

func isDelimiter(c byte) bool {
	switch c {
	case ' ', '\n', '\r', '\t', ',', ':', '{', '}', '[', ']', '"':
		return true
	}
	return false
}

// alias returns a string that shares the memory of b.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// decodeString returns the value of a checked string, given without its
// quotes. The result shares memory with body when there is nothing to decode.
func decodeString(body []byte) string {
	if isPlain(body) {
		return alias(body)
	}
	return alias(appendDecoded(make([]byte, 0, len(body)+8), body))
}

// isPlain reports whether a string body stands for itself: no escape sequence
// and valid UTF-8.
func isPlain(body []byte) bool {
	i := 0
	for ; i+8 <= len(body); i += 8 {
		w := binary.LittleEndian.Uint64(body[i:])
		b := w ^ '\\'*ones
		if ((b-ones)&^b|w)&highs != 0 { // a backslash, or no ASCII
			return bytes.IndexByte(body[i:], '\\') < 0 && utf8.Valid(body[i:])
		}
	}
	for ; i < len(body); i++ {
		if body[i] == '\\' {
			return false
		}
		if body[i] >= utf8.RuneSelf {
			return bytes.IndexByte(body[i:], '\\') < 0 && utf8.Valid(body[i:])
		}
	}
	return true
}

// appendDecoded appends the value of a checked string body as valid UTF-8.
func appendDecoded(dst, body []byte) []byte {
	for i := 0; i < len(body); {
		c := body[i]
		if c < utf8.RuneSelf && c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		if c != '\\' {
			r, n := utf8.DecodeRune(body[i:])
			dst = utf8.AppendRune(dst, r) // U+FFFD for each byte that is wrong
			i += n
			continue
		}
		n := escapeLength(body, i)
		switch {
		case n == 0: // cannot be in checked text
			dst = utf8.AppendRune(dst, utf8.RuneError)
			i++
			continue
		case n == 2:
			dst = append(dst, unescape(body[i+1]))
		default:
			r := hexRune(body[i+2:])
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if i+6 < len(body) && body[i+6] == '\\' && escapeLength(body, i+6) == 6 {
					low = hexRune(body[i+8:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
		}
		i += n
	}
	return dst
}

func unescape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

func hexRune(b []byte) rune {
	return rune(hexValues[b[0]])<<12 | rune(hexValues[b[1]])<<8 | rune(hexValues[b[2]])<<4 | rune(hexValues[b[3]])
}
