package neighbours

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/segment"
)

// needs is what the index can tell of a trace that is wanted: with it a search leaves
// out what cannot match without reading the spans. It is a necessary condition, never a
// sufficient one.
//
// The index of a trace holds the services, the attributes of spans, their names and kinds, and
// whether anything failed. It does not hold attributes of resources other than
// service.name, nor what the spans of X-Ray documents have beside annotations, nor anything
// of orphans: traces with orphans are always read.
type needs struct {
	terms   trace.Need
	atLeast time.Duration // no shorter trace is wanted
}

// The bounds of a need: wider clauses narrow nothing, and each costs a look-up.
const (
	maxClauses = 16
	maxWidth   = 64
)

// with returns the needs of what needs both.
func (n needs) with(m needs) needs {
	terms := append(slices.Clip(n.terms), m.terms...)
	return needs{terms[:min(len(terms), maxClauses)], max(n.atLeast, m.atLeast)}
}

// or returns the needs of what needs one of two.
func (n needs) or(m needs) needs {
	out := needs{atLeast: min(n.atLeast, m.atLeast)}
	for _, a := range n.terms {
		for _, b := range m.terms {
			if len(a)+len(b) <= maxWidth && len(out.terms) < maxClauses {
				out.terms = append(out.terms, append(slices.Clip(a), b...))
			}
		}
	}
	return out
}

// one returns the needs of what has one of terms.
func one(terms ...trace.Term) needs {
	return needs{terms: trace.Need{append(terms, trace.TermMark(trace.MarkOrphans))}}
}

// slack is by how much the duration of a trace in the index may differ from that of its
// spans: it is kept in seconds.
const slack = time.Millisecond

// longerThan returns the needs of a trace that takes some time. Of one in progress the index
// has no duration.
func longerThan(d time.Duration) needs {
	if term, is := trace.TermAtLeast(trace.QuantityDuration, (d - slack).Seconds()); is {
		n := one(term, trace.TermMark(trace.MarkInProgress))
		n.atLeast = d
		return n
	}
	return needs{atLeast: d}
}

// allows reports whether a trace may be wanted.
func (n needs) allows(r *trace.Row, room *[]trace.Term) bool {
	if n.atLeast > 0 && r.HasDuration && !r.Orphans && r.Duration < (n.atLeast-slack).Seconds() {
		return false
	}
	return n.terms.Allows(r, room)
}

func (q spanset) needs() needs {
	if q.c == nil {
		return needs{}
	}
	return q.c.needs()
}

func (q both) needs() needs   { return q.a.needs().with(q.b.needs()) }
func (q either) needs() needs { return q.a.needs().or(q.b.needs()) }
func (c allOf) needs() needs  { return c.a.needs().with(c.b.needs()) }
func (c anyOf) needs() needs  { return c.a.needs().or(c.b.needs()) }
func (truth) needs() needs    { return needs{} }

func (c comparison) needs() needs {
	if c.scope == scopeIntrinsic {
		return c.intrinsicNeeds()
	}
	if c.field == trace.KeyService && c.scope != scopeSpan {
		terms := make([]trace.Term, 0, 4)
		for _, name := range c.texts() {
			terms = append(terms, trace.TermService(name), attributeTerm(trace.KeyService, name))
		}
		if len(terms) == 0 {
			return needs{}
		}
		return one(terms...)
	}
	if c.scope != scopeSpan || c.value.kind == 0 && c.op == "=" {
		return needs{}
	}
	var terms []trace.Term
	switch texts := c.texts(); {
	case len(texts) > 0:
		for _, text := range texts {
			terms = append(terms, attributeTerm(c.field, text))
		}
	case c.op == "=" && c.value.kind == 'n' && !math.IsNaN(c.value.number):
		terms = []trace.Term{trace.TermValue(trace.Annotation{Key: c.field, Type: segment.TypeNumber, Number: c.value.number})}
	case c.op == "=" && c.value.kind == 'b':
		terms = []trace.Term{trace.TermValue(trace.Annotation{Key: c.field, Type: segment.TypeBool, Bool: c.value.text == "true"})}
	case utf8.ValidString(c.field):
		terms = []trace.Term{trace.TermKey(c.field)}
	default:
		return needs{}
	}
	if otlp.DocumentAttribute(c.field) {
		terms = append(terms, trace.TermMark(trace.MarkDocuments))
	}
	return one(terms...)
}

func (c comparison) intrinsicNeeds() needs {
	switch c.field {
	case "name", "rootName":
		terms := []trace.Term{trace.TermMark(trace.MarkDocuments)}
		for _, text := range c.texts() {
			terms = append(terms, attributeTerm("span.name", text))
		}
		if len(terms) > 1 {
			return one(terms...)
		}
	case "rootServiceName":
		c.scope, c.field = scopeResource, trace.KeyService
		return c.needs()
	case "kind":
		if text := strings.ToUpper(c.value.text); c.op == "=" {
			return one(attributeTerm("span.kind", text), trace.TermMark(trace.MarkDocuments))
		}
	case "status":
		if c.op == "=" && c.value.text == "error" {
			return one(trace.TermMark(trace.MarkFailed))
		}
	case "duration", "traceDuration":
		if c.value.kind == 'n' && (c.op == "=" || c.op == ">" || c.op == ">=") {
			return longerThan(time.Duration(min(c.value.number, 1<<62)))
		}
	}
	return needs{}
}

func attributeTerm(key, text string) trace.Term {
	return trace.TermValue(trace.Annotation{Key: key, Type: segment.TypeString, String: text})
}

// texts returns the texts of which the field must have one, none when that cannot be
// told. A regular expression is a list of texts when it is made of nothing but them and
// bars, as Grafana writes it for several values.
func (c comparison) texts() []string {
	if c.value.kind != 's' || !utf8.ValidString(c.value.text) || !utf8.ValidString(c.field) {
		return nil
	}
	switch {
	case c.value.text == "":
	case c.op == "=":
		return []string{c.value.text}
	case c.op == "=~":
		list := strings.Split(c.value.text, "|")
		for _, text := range list {
			if text == "" || regexp.QuoteMeta(text) != text {
				return nil
			}
		}
		if len(list) <= maxWidth/4 {
			return list
		}
	}
	return nil
}
