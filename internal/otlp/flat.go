package otlp

import (
	"strconv"
	"strings"

	"github.com/roentgen-io/roentgen/segment"
)

// AppendFlat appends a span as one JSON object, in the form in which the X-Ray service
// keeps spans in a log group: with its resource and scope in it, attributes as members of an
// object, kinds and codes as words, times as numbers. Nothing that OTLP knows is left out, and
// ParseFlat reads it back: doubles have a fraction or an exponent, and values that JSON has no
// word for stand as OTLP writes them, {"bytesValue":"AQI="}. Keys that OTLP forbids to be there
// twice are written twice; readers of JSON see the last.
func AppendFlat(dst []byte, s SourcedSpan) []byte {
	all := segment.Raw(AppendJSON(nil, AppendTraces(nil, []SourcedSpan{s})))
	o := object{dst}
	o.b = append(o.b, '{')
	all.Get("resourceSpans").Elements(func(rs segment.Raw) bool {
		rs.Get("scopeSpans").Elements(func(ss segment.Raw) bool {
			o.flatPart("resource", rs.Get("resource"), rs.Get("schemaUrl"))
			o.flatPart("scope", ss.Get("scope"), ss.Get("schemaUrl"))
			ss.Get("spans").Elements(func(span segment.Raw) bool {
				o.flatSpan(span)
				return false
			})
			return false
		})
		return false
	})
	return append(o.b, '}')
}

// flatPart writes a resource or scope, with the URL of its schema.
func (o *object) flatPart(name string, part, schema segment.Raw) {
	o.open(name)
	o.flatMembers(part, nil)
	if schema != nil {
		o.raw("schemaUrl", schema)
	}
	o.close()
}

func (o *object) raw(name string, v segment.Raw) {
	o.key(name)
	o.b = v.AppendTo(o.b)
}

// flatMembers writes the members of a message, attributes as an object, which is always
// there. fn writes the members that it returns true for.
func (o *object) flatMembers(m segment.Raw, fn func(name string, v segment.Raw) bool) {
	attributes := false
	m.Members(func(name string, v segment.Raw) bool {
		switch {
		case name == "attributes":
			attributes = true
			o.key(name)
			o.flatAttributes(v)
		case strings.HasSuffix(name, "TimeUnixNano") || name == "timeUnixNano":
			o.key(name)
			o.b = append(o.b, v.String()...)
		case fn != nil && fn(name, v):
		default:
			o.raw(name, v)
		}
		return true
	})
	if !attributes {
		o.open("attributes")
		o.close()
	}
}

func (o *object) flatList(name string, list segment.Raw) {
	o.key(name)
	o.b = append(o.b, '[')
	list.Elements(func(e segment.Raw) bool {
		if o.b[len(o.b)-1] != '[' {
			o.b = append(o.b, ',')
		}
		o.b = append(o.b, '{')
		o.flatMembers(e, nil)
		o.close()
		return true
	})
	o.b = append(o.b, ']')
}

func (o *object) flatSpan(span segment.Raw) {
	status := false
	o.flatMembers(span, func(name string, v segment.Raw) bool {
		switch name {
		case "kind":
			o.word(name, v, kindWords[:])
		case "events", "links":
			o.flatList(name, v)
		case "status":
			status = true
			o.open(name)
			if code := v.Get("code"); code != nil {
				o.word("code", code, codeWords[:])
			} else {
				o.text("code", codeWords[0])
			}
			if message := v.Get("message"); message != nil {
				o.raw("message", message)
			}
			o.close()
		default:
			return false
		}
		return true
	})
	if span.Get("kind") == nil {
		o.text("kind", kindWords[0])
	}
	if !status {
		o.open("status")
		o.text("code", codeWords[0])
		o.close()
	}
	start, _ := strconv.ParseUint(span.Get("startTimeUnixNano").String(), 10, 64)
	if end, err := strconv.ParseUint(span.Get("endTimeUnixNano").String(), 10, 64); err == nil && end >= start {
		o.key("durationNano")
		o.b = strconv.AppendUint(o.b, end-start, 10)
	}
}

var (
	kindWords = [...]string{"UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"}
	codeWords = [...]string{"UNSET", "OK", "ERROR"}
)

// word writes an enum as a word, and as its number where there is no word for it.
func (o *object) word(name string, v segment.Raw, words []string) {
	if n, ok := v.Number(); ok && n >= 0 && int(n) < len(words) {
		o.text(name, words[int(n)])
		return
	}
	o.raw(name, v)
}

// flatAttributes writes a list of keys and values as an object.
func (o *object) flatAttributes(list segment.Raw) {
	o.b = append(o.b, '{')
	list.Elements(func(kv segment.Raw) bool {
		o.key(kv.Get("key").String())
		o.flatValue(kv.Get("value"))
		return true
	})
	o.close()
}

// flatValue writes an AnyValue of the JSON form.
func (o *object) flatValue(v segment.Raw) {
	written := false
	v.Members(func(kind string, v segment.Raw) bool {
		written = true
		switch kind {
		case "stringValue", "boolValue":
			o.b = v.AppendTo(o.b)
		case "intValue":
			o.b = append(o.b, v.String()...)
		case "doubleValue":
			if v.Type() != segment.TypeNumber { // "NaN", "Infinity", "-Infinity"
				o.wrapped(kind, v)
				break
			}
			from := len(o.b)
			if o.b = v.AppendTo(o.b); !strings.ContainsAny(string(o.b[from:]), ".eE") {
				o.b = append(o.b, ".0"...)
			}
		case "arrayValue":
			o.b = append(o.b, '[')
			v.Get("values").Elements(func(e segment.Raw) bool {
				if o.b[len(o.b)-1] != '[' {
					o.b = append(o.b, ',')
				}
				o.flatValue(e)
				return true
			})
			o.b = append(o.b, ']')
		case "kvlistValue":
			if members := v.Get("values"); mistakable(members) {
				o.b = append(o.b, '{')
				o.key(kind)
				o.flatAttributes(members)
				o.close()
			} else {
				o.flatAttributes(members)
			}
		default:
			o.wrapped(kind, v)
		}
		return false
	})
	if !written {
		o.b = append(o.b, "null"...)
	}
}

func (o *object) wrapped(kind string, v segment.Raw) {
	o.b = append(o.b, '{')
	o.raw(kind, v)
	o.close()
}

// mistakable reports whether a map looks like a value that is wrapped.
func mistakable(members segment.Raw) (yes bool) {
	n := 0
	members.Elements(func(kv segment.Raw) bool {
		n++
		switch kv.Get("key").String() {
		case "bytesValue", "doubleValue", "kvlistValue":
			yes = true
		}
		return true
	})
	return yes && n == 1
}

// ParseFlat reads what AppendFlat wrote, as a request of one span. The error matches ErrJSON.
func ParseFlat(text []byte) ([]byte, error) {
	root := segment.Raw(text)
	o := object{[]byte(`{"resourceSpans":[{`)}
	o.unflatPart("resource", root.Get("resource"))
	o.key("scopeSpans")
	o.b = append(o.b, "[{"...)
	o.unflatPart("scope", root.Get("scope"))
	o.key("spans")
	o.b = append(o.b, "[{"...)
	o.unflatMembers(root, "resource", "scope", "durationNano")
	o.b = append(o.b, "}]}]}]}"...)
	return FromJSON(o.b)
}

func (o *object) unflatPart(name string, part segment.Raw) {
	if schema := part.Get("schemaUrl"); schema != nil {
		o.raw("schemaUrl", schema)
	}
	o.open(name)
	o.unflatMembers(part, "schemaUrl")
	o.close()
}

func (o *object) unflatMembers(m segment.Raw, without ...string) {
	m.Members(func(name string, v segment.Raw) bool {
		for _, w := range without {
			if w == name {
				return true
			}
		}
		switch name {
		case "attributes":
			o.key(name)
			o.unflatAttributes(v)
		case "events", "links":
			o.key(name)
			o.b = append(o.b, '[')
			v.Elements(func(e segment.Raw) bool {
				if o.b[len(o.b)-1] != '[' {
					o.b = append(o.b, ',')
				}
				o.b = append(o.b, '{')
				o.unflatMembers(e)
				o.close()
				return true
			})
			o.b = append(o.b, ']')
		case "status":
			o.open(name)
			o.unflatMembers(v)
			o.close()
		case "kind":
			o.number(name, v, kindWords[:])
		case "code":
			o.number(name, v, codeWords[:])
		default:
			o.raw(name, v)
		}
		return true
	})
}

func (o *object) number(name string, v segment.Raw, words []string) {
	for i, word := range words {
		if v.String() == word {
			o.int(name, int64(i))
			return
		}
	}
	o.raw(name, v)
}

func (o *object) unflatAttributes(list segment.Raw) {
	o.b = append(o.b, '[')
	list.Members(func(key string, v segment.Raw) bool {
		if o.b[len(o.b)-1] != '[' {
			o.b = append(o.b, ',')
		}
		o.b = append(o.b, '{')
		o.key("key")
		o.b = segment.AppendString(o.b, key)
		o.key("value")
		o.unflatValue(v)
		o.close()
		return true
	})
	o.b = append(o.b, ']')
}

func (o *object) unflatValue(v segment.Raw) {
	o.b = append(o.b, '{')
	switch v.Type() {
	case segment.TypeString:
		o.raw("stringValue", v)
	case segment.TypeBool:
		o.raw("boolValue", v)
	case segment.TypeNumber:
		if strings.ContainsAny(string(v), ".eE") {
			o.raw("doubleValue", v)
		} else {
			o.raw("intValue", v)
		}
	case segment.TypeArray:
		o.open("arrayValue")
		o.key("values")
		o.b = append(o.b, '[')
		v.Elements(func(e segment.Raw) bool {
			if o.b[len(o.b)-1] != '[' {
				o.b = append(o.b, ',')
			}
			o.unflatValue(e)
			return true
		})
		o.b = append(o.b, "]}"...)
	case segment.TypeObject:
		kind, inner := "", segment.Raw(nil)
		n := 0
		v.Members(func(name string, v segment.Raw) bool {
			kind, inner = name, v
			n++
			return n < 2
		})
		switch {
		case n == 1 && (kind == "bytesValue" || kind == "doubleValue"):
			o.raw(kind, inner)
		default:
			if n == 1 && kind == "kvlistValue" {
				v = inner
			}
			o.open("kvlistValue")
			o.key("values")
			o.unflatAttributes(v)
			o.close()
		}
	}
	o.close()
}
