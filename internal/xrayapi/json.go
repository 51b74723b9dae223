package xrayapi

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"unicode/utf8"
	"unsafe"

	"github.com/roentgen-io/roentgen/segment"
)

// AppendString appends s as a JSON string. Invalid UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	return AppendStringBytes(dst, unsafe.Slice(unsafe.StringData(s), len(s)))
}

// AppendStringBytes appends the text s as a JSON string. Invalid UTF-8 becomes
// U+FFFD.
func AppendStringBytes(dst, s []byte) []byte {
	dst = append(dst, '"')
	run, i := 0, 0 // run: start of what was not copied yet
	for {
		for i+8 <= len(s) {
			w := binary.LittleEndian.Uint64(s[i:])
			// The lowest bit of each part is exact, so that of their sum is too.
			if m := special(w) | w&highs; m != 0 {
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
				dst = append(append(dst, s[run:i]...), "\uFFFD"...)
				i++
				run = i
				continue
			}
			i += n
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[run:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		case '\b':
			dst = append(dst, `\b`...)
		case '\f':
			dst = append(dst, `\f`...)
		default:
			const digits = "0123456789ABCDEF"
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
		i++
		run = i
	}
	return append(append(dst, s[run:]...), '"')
}

// appendDouble appends f in the notation of Java, as the service writes doubles.
func appendDouble(dst []byte, f float64) []byte { return segment.AppendJavaDouble(dst, f) }

func appendBool(dst []byte, b bool) []byte { return strconv.AppendBool(dst, b) }

func appendInt(dst []byte, n int) []byte { return strconv.AppendInt(dst, int64(n), 10) }

// appendStringOrNull appends s, or null for the empty string.
func appendStringOrNull(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return AppendString(dst, s)
}
