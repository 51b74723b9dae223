package otlp

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/roentgen-io/roentgen/segment"
)

// searchable are the attributes of a span, its name and its kind, as values that
// can be searched for. They are read from its message when they are wanted.
type searchable struct {
	data []byte
	name string
	kind Kind
	left []string // names of those that are annotations
}

// Each implements segment.Attributes.
func (s *searchable) Each(fn func(a *segment.Attribute)) {
	var out segment.Attribute
	text := func(name, text string) {
		out = segment.Attribute{Name: valid(name), Type: segment.TypeString, Text: valid(text)}
		fn(&out)
	}
	if s.name != "" {
		text("span.name", s.name)
	}
	text("span.kind", s.kind.String())
	f := fields{b: s.data}
	for f.next() {
		if f.num != spanAttributes {
			continue
		}
		a, _ := parseAttribute(f.bytes())
		if !plainValue(a.Value) || slices.Contains(s.left, a.Key) {
			continue
		}
		switch v := a.Value; v.Type {
		case ValueString:
			text(a.Key, v.Str())
			continue
		case ValueBool:
			out = segment.Attribute{Name: valid(a.Key), Type: segment.TypeBool, Bool: v.num != 0}
		default:
			n, _ := v.Float()
			out = segment.Attribute{Name: valid(a.Key), Type: segment.TypeNumber, Number: n + 0} // -0 is the same value as 0
		}
		fn(&out)
	}
}

// valid returns s with U+FFFD for every byte that is no UTF-8, as JSON has it.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		b.WriteRune(r)
	}
	return b.String()
}
