package segment

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

// Raw is the text of one JSON value inside a document that Parse accepted; nil
// stands for no value. Its methods never fail: what is absent or of another
// type reads as absent. A Raw is only valid text when it comes from this package.
type Raw []byte

// Type returns the type of the value.
func (r Raw) Type() Type { panic("segment: to be written") }

// Get returns the value of the last member called key of an object, nil when
// there is none. Several keys descend: r.Get("request", "method").
func (r Raw) Get(keys ...string) Raw { panic("segment: to be written") }

// Text returns the decoded value of a string and whether the value is one. The
// result refers to r's memory where nothing had to be decoded.
func (r Raw) Text() (string, bool) { panic("segment: to be written") }

// String returns the decoded value of a string, "" for anything else.
func (r Raw) String() string { s, _ := r.Text(); return s }

// Number returns the value of a number and whether the value is one and finite.
func (r Raw) Number() (float64, bool) { panic("segment: to be written") }

// Bool returns the value of a boolean and whether the value is one.
func (r Raw) Bool() (value, ok bool) { panic("segment: to be written") }

// Members calls fn for the members of an object in order until it returns
// false. Of members with one name only the last is given, in its own place.
func (r Raw) Members(fn func(key string, value Raw) bool) { panic("segment: to be written") }

// Elements calls fn for the elements of an array in order until it returns false.
func (r Raw) Elements(fn func(value Raw) bool) { panic("segment: to be written") }

// AppendTo appends the value as strict, compact JSON: no white space between
// tokens, NaN and Infinity as null, invalid UTF-8 as U+FFFD, and only the last
// of members with one name. Numbers keep the digits they came with.
func (r Raw) AppendTo(dst []byte) []byte { panic("segment: to be written") }
