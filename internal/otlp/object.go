package otlp

import (
	"encoding/base64"
	"math"
	"strconv"

	"github.com/roentgen-io/roentgen/segment"
)

// maxDepth bounds how deep values may lie in each other.
const maxDepth = 100

// object writes the members of a JSON object.
type object struct{ b []byte }

// key begins a member.
func (o *object) key(name string) {
	if n := len(o.b); n > 0 && o.b[n-1] != '{' && o.b[n-1] != '[' {
		o.b = append(o.b, ',')
	}
	o.b = segment.AppendString(o.b, name)
	o.b = append(o.b, ':')
}

func (o *object) open(name string) {
	o.key(name)
	o.b = append(o.b, '{')
}

func (o *object) close() { o.b = append(o.b, '}') }

// text adds a member unless s is empty.
func (o *object) text(name, s string) {
	if s != "" {
		o.key(name)
		o.b = segment.AppendString(o.b, s)
	}
}

func (o *object) textOrNull(name, s string) {
	o.key(name)
	if s == "" {
		o.b = append(o.b, "null"...)
		return
	}
	o.b = segment.AppendString(o.b, s)
}

func (o *object) int(name string, n int64) {
	o.key(name)
	o.b = strconv.AppendInt(o.b, n, 10)
}

func (o *object) bool(name string, v bool) {
	o.key(name)
	o.b = strconv.AppendBool(o.b, v)
}

func (o *object) value(name string, v Value) {
	o.key(name)
	o.b = appendValue(o.b, v, maxDepth)
}

// attributes adds the attributes as members.
func (o *object) attributes(list []Attribute) {
	for i := range list {
		o.value(list[i].Key, list[i].Value)
	}
}

// attributesOf adds a member for the attributes of an event or link, if there are any.
func (o *object) attributesOf(list []Attribute) {
	if len(list) > 0 {
		o.open("attributes")
		o.attributes(list)
		o.close()
	}
}

// appendValue appends a value as plain JSON, as metadata have it. What lies
// deeper than depth is null.
func appendValue(dst []byte, v Value, depth int) []byte {
	switch v.Type {
	case ValueString:
		return segment.AppendStringBytes(dst, v.data)
	case ValueBool:
		return strconv.AppendBool(dst, v.num != 0)
	case ValueInt:
		return strconv.AppendInt(dst, int64(v.num), 10)
	case ValueDouble:
		return appendDouble(dst, double(v.num))
	case ValueBytes:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, v.data)
		return append(dst, '"')
	case ValueArray, ValueMap:
		if depth == 0 {
			break
		}
		opening, closing := byte('['), byte(']')
		if v.Type == ValueMap {
			opening, closing = '{', '}'
		}
		dst = append(dst, opening)
		first := true
		f := fields{b: v.data}
		for f.next() {
			if f.num != listValues || f.typ != wireBytes {
				continue
			}
			if !first {
				dst = append(dst, ',')
			}
			first = false
			if v.Type == ValueArray {
				e, _ := parseValue(f.s)
				dst = appendValue(dst, e, depth-1)
				continue
			}
			a, _ := parseAttribute(f.s)
			dst = segment.AppendString(dst, a.Key)
			dst = append(dst, ':')
			dst = appendValue(dst, a.Value, depth-1)
		}
		return append(dst, closing)
	}
	return append(dst, "null"...)
}

// appendDouble appends a number, or null for what is none in JSON.
func appendDouble(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}
