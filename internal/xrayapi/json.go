package xrayapi

import (
	"strconv"

	"github.com/roentgen-io/roentgen/segment"
)

// appendDouble appends f in the notation of Java, as the service writes doubles.
func appendDouble(dst []byte, f float64) []byte { return segment.AppendJavaDouble(dst, f) }

func appendBool(dst []byte, b bool) []byte { return strconv.AppendBool(dst, b) }

func appendInt(dst []byte, n int) []byte { return strconv.AppendInt(dst, int64(n), 10) }

// appendStringOrNull appends s, or null for the empty string.
func appendStringOrNull(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return segment.AppendString(dst, s)
}
