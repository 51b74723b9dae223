package segment

import (
	"bytes"
	"math"
	"strconv"
	"unicode/utf8"
)

// Type is the type of a JSON value.
type Type uint8

const (
	TypeAbsent Type = iota // no value at all
	TypeNull
	TypeBool
	TypeNumber // NaN, Infinity and -Infinity included
	TypeString
	TypeArray
	TypeObject
)

// String returns the type in words, e.g. "a number".
func (t Type) String() string {
	switch t {
	case TypeNull:
		return "null"
	case TypeBool:
		return "a boolean"
	case TypeNumber:
		return "a number"
	case TypeString:
		return "a string"
	case TypeArray:
		return "an array"
	case TypeObject:
		return "an object"
	}
	return "absent"
}

// Raw is the text of one JSON value inside a document that Parse accepted; nil
// stands for no value. Its methods never fail: what is absent or of another
// type reads as absent. A Raw is only valid text when it comes from this package;
// bytes from elsewhere may read as anything but do no harm.
type Raw []byte

// Type returns the type of the value.
func (r Raw) Type() Type {
	i := skipSpace(r, 0)
	if i >= len(r) {
		return TypeAbsent
	}
	switch r[i] {
	case '{':
		return TypeObject
	case '[':
		return TypeArray
	case '"':
		return TypeString
	case 't', 'f':
		return TypeBool
	case 'n':
		return TypeNull
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'N', 'I':
		return TypeNumber
	}
	return TypeAbsent
}

// Get returns the value of the last member called key of an object, nil when
// there is none. Several keys descend: r.Get("request", "method").
func (r Raw) Get(keys ...string) Raw {
	for _, key := range keys {
		var found Raw
		r.each(func(k []byte, value Raw) bool {
			if keyIs(k, key) {
				found = value
			}
			return true
		})
		if found == nil {
			return nil
		}
		r = found
	}
	return r
}

// Find looks for several members of an object in one pass: values[i] becomes
// the value of the last member called keys[i], and stays as it is when there is
// none.
func (r Raw) Find(values []Raw, keys ...string) {
	r.each(func(k []byte, value Raw) bool {
		plain := isPlain(k)
		for i, key := range keys {
			if plain && string(k) == key || !plain && decodeString(k) == key {
				values[i] = value
			}
		}
		return true
	})
}

// keyIs reports whether the key with the given text, without quotes, is key.
func keyIs(text []byte, key string) bool {
	if bytes.IndexByte(text, '\\') < 0 && (len(text) == len(key) || utf8.Valid(text)) {
		return string(text) == key
	}
	return decodeString(text) == key
}

// each calls fn for all members of an object, with the text of their keys
// between the quotes, until it returns false.
func (r Raw) each(fn func(key []byte, value Raw) bool) {
	i := skipSpace(r, 0)
	if i >= len(r) || r[i] != '{' {
		return
	}
	i = skipSpace(r, i+1)
	for i < len(r) && r[i] == '"' {
		end := scanString(r, i+1)
		if end < 0 {
			return
		}
		var value, next int
		if end+1 < len(r) && r[end] == ':' && r[end+1] > ' ' {
			value = end + 1 // the common case, without a call
		} else if value = scanColon(r, end); value < 0 {
			return
		}
		if value < len(r) && r[value] == '"' {
			next = scanString(r, value+1)
		} else {
			next = skipValue(r, value)
		}
		if next < 0 || !fn(r[i+1:end-1], r[value:next:next]) {
			return
		}
		if next+1 < len(r) && r[next] == ',' && r[next+1] == '"' {
			i = next + 1
			continue
		}
		i = skipSpace(r, next)
		if i >= len(r) || r[i] != ',' {
			return
		}
		i = skipSpace(r, i+1)
	}
}

// Text returns the decoded value of a string and whether the value is one. The
// result refers to r's memory where nothing had to be decoded.
func (r Raw) Text() (string, bool) {
	i := skipSpace(r, 0)
	if i >= len(r) || r[i] != '"' {
		return "", false
	}
	end := scanString(r, i+1)
	if end < 0 {
		return "", false
	}
	return decodeString(r[i+1 : end-1]), true
}

// String returns the decoded value of a string, "" for anything else.
func (r Raw) String() string { s, _ := r.Text(); return s }

// Number returns the value of a number and whether the value is one and finite.
func (r Raw) Number() (float64, bool) {
	i := skipSpace(r, 0)
	if i >= len(r) || r[i] != '-' && !isDigit(r[i]) {
		return 0, false
	}
	end := scanNumber(r, i)
	if end < 0 {
		return 0, false
	}
	f, _ := strconv.ParseFloat(alias(r[i:end]), 64)
	if math.IsInf(f, 0) {
		return 0, false
	}
	return f, true
}

// Bool returns the value of a boolean and whether the value is one.
func (r Raw) Bool() (value, ok bool) {
	i := skipSpace(r, 0)
	if i >= len(r) {
		return false, false
	}
	switch r[i] {
	case 't':
		return true, scanWord(r, i, "true") > 0
	case 'f':
		return false, scanWord(r, i, "false") > 0
	}
	return false, false
}

// Members calls fn for the members of an object in order until it returns
// false. Of members with one name only the last is given, in its own place.
func (r Raw) Members(fn func(key string, value Raw) bool) {
	type member struct {
		key   string
		value Raw
	}
	var buf [16]member
	list := buf[:0]
	r.each(func(key []byte, value Raw) bool {
		list = append(list, member{decodeString(key), value})
		return true
	})
	var last map[string]int // index of the last member with a name
	if len(list) > len(buf) {
		last = make(map[string]int, len(list))
		for i := range list {
			last[list[i].key] = i
		}
	}
next:
	for i := range list {
		if last != nil {
			if last[list[i].key] != i {
				continue
			}
		} else {
			for j := i + 1; j < len(list); j++ {
				if list[j].key == list[i].key {
					continue next
				}
			}
		}
		if !fn(list[i].key, list[i].value) {
			return
		}
	}
}

// Elements calls fn for the elements of an array in order until it returns false.
func (r Raw) Elements(fn func(value Raw) bool) {
	i := skipSpace(r, 0)
	if i >= len(r) || r[i] != '[' {
		return
	}
	i = skipSpace(r, i+1)
	for i < len(r) && r[i] != ']' {
		next := skipValue(r, i)
		if next < 0 || !fn(r[i:next:next]) {
			return
		}
		i = skipSpace(r, next)
		if i >= len(r) || r[i] != ',' {
			return
		}
		i = skipSpace(r, i+1)
	}
}

// AppendTo appends the value as strict, compact JSON: no white space between
// tokens, NaN and Infinity as null, invalid UTF-8 as U+FFFD, only the last of
// members with one name, and in strings only those characters escaped that
// have to be. Numbers keep the digits they came with. No value is written as
// null.
func (r Raw) AppendTo(dst []byte) []byte { return appendRaw(dst, r, plain) }
