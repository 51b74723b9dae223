package trace

import (
	"math"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/roentgen-io/roentgen/segment"
)

// Term is something that a row has, hashed: a service, an annotation, a flag.
// Engines keep the terms of many rows in a small filter, and skip those rows
// when none of them can have what a question needs.
type Term uint64

// Need says which terms every match has: of each clause at least one. A nil Need
// asks for nothing.
type Need [][]Term

// Allows reports whether the row may be one that is needed: one with Cut always may.
// It needs room for the terms of the row, which it uses again.
func (n Need) Allows(r *Row, room *[]Term) bool {
	if len(n) == 0 || r.Cut {
		return true
	}
	*room = r.AppendTerms((*room)[:0])
	for _, clause := range n {
		if !slices.ContainsFunc(*room, func(t Term) bool { return slices.Contains(clause, t) }) {
			return false
		}
	}
	return true
}

// Kinds of terms. Terms may be kept on disk, so that a kind keeps its number.
const (
	termService = 1 + iota
	termServiceType
	termEdge
	termKey
	termValue
	termUser
	termMethod
	termURL
	termStatus
	termClientIP
	termZone
	termInstance
	termARN
	termAccount
	termMark
	termAtLeast
)

func term(kind byte, parts ...string) Term {
	var room [256]byte // one call over a few bytes in a row is far cheaper than one for each part
	b := append(room[:0], kind)
	for _, p := range parts {
		b = append(b, p...)
		b = append(b, 0xff) // no UTF-8 text has it
	}
	return Term(xxhash.Sum64(b))
}

// TermService is had by rows with a node of that name.
func TermService(name string) Term { return term(termService, name) }

// TermServiceType is had by rows with a node of that type, "" for one without.
func TermServiceType(typ string) Term { return term(termServiceType, typ) }

// TermAccount is had by rows with a node of that account, "" for one without.
func TermAccount(id string) Term { return term(termAccount, id) }

// TermEdge is had by rows in which a node of one name calls one of another.
func TermEdge(from, to string) Term { return term(termEdge, from, to) }

// TermKey is had by rows with an annotation of that key, in either of its forms.
func TermKey(key string) Term { return term(termKey, key) }

// TermValue is had by rows with an annotation of that key, in either of its
// forms, and that value.
func TermValue(a Annotation) Term {
	switch a.Type {
	case segment.TypeNumber:
		bits := math.Float64bits(a.Number + 0) // -0 is the same value as 0
		var b [8]byte
		for i := range b {
			b[i] = byte(bits >> (8 * i))
		}
		return term(termValue, a.Key, "n", string(b[:]))
	case segment.TypeBool:
		if a.Bool {
			return term(termValue, a.Key, "true")
		}
		return term(termValue, a.Key, "false")
	}
	return term(termValue, a.Key, "s", a.String)
}

// TermUser, TermMethod, TermURL and so on are had by rows with that whole value.
func TermUser(s string) Term     { return term(termUser, s) }
func TermMethod(s string) Term   { return term(termMethod, s) }
func TermURL(s string) Term      { return term(termURL, s) }
func TermClientIP(s string) Term { return term(termClientIP, s) }
func TermZone(s string) Term     { return term(termZone, s) }
func TermInstance(s string) Term { return term(termInstance, s) }
func TermARN(s string) Term      { return term(termARN, s) }

// TermStatus is had by rows whose root answered with that status.
func TermStatus(status int) Term {
	return term(termStatus, string([]byte{byte(status), byte(status >> 8), byte(status >> 16), byte(status >> 24)}))
}

// Quantity is a number that a row may have, of which terms tell how large it is at least.
type Quantity byte

// Quantities of a row: the status of the root's answer, and times in seconds.
const (
	QuantityStatus Quantity = iota
	QuantityResponseTime
	QuantityDuration
)

// step is a bound of a quantity, and the term of rows that reach it.
type step struct {
	bound float64
	term  Term
}

// steps are the bounds of each quantity, ascending. What is usual lies below the first, so
// that most rows have none of these terms.
var steps = func() (all [QuantityDuration + 1][]step) {
	add := func(q Quantity, bound float64) {
		all[q] = append(all[q], step{bound, term(termAtLeast, string([]byte{byte(q), byte(len(all[q]))}))})
	}
	for _, status := range []float64{300, 400, 500, 600} {
		add(QuantityStatus, status)
	}
	for bound := 0.25; bound <= 1<<17; bound *= 2 { // a day and a half
		add(QuantityResponseTime, bound)
		add(QuantityDuration, bound)
	}
	return all
}()

// TermAtLeast returns a term that is had by all rows that have the quantity and in which it
// is bound or more, and by few others. There is none for a small bound.
func TermAtLeast(q Quantity, bound float64) (Term, bool) {
	list := steps[q]
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].bound <= bound {
			return list[i].term, true
		}
	}
	return 0, false
}

// appendAtLeast appends the terms of a quantity.
func appendAtLeast(dst []Term, q Quantity, have float64) []Term {
	for _, s := range steps[q] {
		if s.bound > have {
			break
		}
		dst = append(dst, s.term)
	}
	return dst
}

// Mark is something that a row has or has not.
type Mark byte

// Marks of the root, and of anything in the trace.
const (
	MarkError Mark = iota
	MarkFault
	MarkThrottle
	MarkPartial
	MarkInferred
	MarkInProgress
	MarkAnyError // of any segment or call
	MarkAnyFault
	MarkAnyThrottle
	MarkFaultCause // there is a root cause of that kind
	MarkErrorCause
	MarkResponseTimeCause
	MarkDocuments
	MarkOrphans
	MarkFailed
)

// TermMark is had by rows with that mark.
func TermMark(m Mark) Term { return term(termMark, string([]byte{byte(m)})) }

// AliasKey returns the form of an annotation key in which everything but ASCII
// letters and digits is an underscore: annotation.aws_local_service finds the
// key aws.local.service too.
func AliasKey(key string) string {
	odd := func(c byte) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_')
	}
	for i := range len(key) {
		if odd(key[i]) {
			var b strings.Builder
			b.Grow(len(key))
			for _, r := range key {
				if r >= 0x80 || odd(byte(r)) {
					r = '_'
				}
				b.WriteRune(r)
			}
			return b.String()
		}
	}
	return key
}

// AppendTerms appends the terms that the row has. Some may come twice. Of a row
// with Cut set terms are missing, so that none can be concluded from: it has to
// be looked at whatever is asked.
func (r *Row) AppendTerms(dst []Term) []Term { return r.appendTerms(dst, nil) }

// AppendTermsWith is AppendTerms for the row that was encoded last with a dictionary, for less.
func (r *Row) AppendTermsWith(dst []Term, dictionary *Dictionary) []Term {
	return r.appendTerms(dst, dictionary)
}

func (r *Row) appendTerms(dst []Term, dictionary *Dictionary) []Term {
	for i := range r.Services {
		s := &r.Services[i]
		var name, typ, account bool // given already
		for k := max(0, i-termsSeen); k < i; k++ {
			b := &r.Services[k]
			name = name || b.Name == s.Name
			typ = typ || b.Type == s.Type
			account = account || b.AccountID == s.AccountID
		}
		if !name {
			dst = append(dst, TermService(s.Name))
		}
		if !typ {
			dst = append(dst, TermServiceType(s.Type))
		}
		if !account {
			dst = append(dst, TermAccount(s.AccountID))
		}
	}
	var flags Flags // of anything
	for i := range r.Segments {
		flags |= r.Segments[i].Flags
	}
	for i := range r.Calls {
		c := &r.Calls[i]
		flags |= c.Flags
		given := false
		for k := max(0, i-termsSeen); k < i && !given; k++ {
			given = r.Calls[k].From == c.From && r.Calls[k].To == c.To
		}
		if !given {
			dst = append(dst, TermEdge(r.Services[c.From].Name, r.Services[c.To].Name))
		}
	}
	var key, alias string // the alias of that key, "" when it has none
	for i := range r.Annotations {
		a := &r.Annotations[i]
		first := i == 0 || r.Annotations[i-1].Key != a.Key
		if dictionary != nil && dictionary.numbers[i] > 0 {
			t := dictionary.termsOf(dictionary.numbers[i] - 1)
			dst = append(dst, t.value)
			if t.hasAlias {
				dst = append(dst, t.aliasOfValue)
			}
			if first {
				dst = append(dst, t.key)
			}
			if first && t.hasAlias {
				dst = append(dst, t.aliasKey)
			}
			continue
		}
		if a.Key != key {
			key = a.Key
			if alias = AliasKey(key); alias == key {
				alias = ""
			}
		}
		if first {
			dst = append(dst, TermKey(a.Key))
			if alias != "" {
				dst = append(dst, TermKey(alias))
			}
		}
		dst = append(dst, TermValue(*a))
		if alias != "" {
			b := *a
			b.Key = alias
			dst = append(dst, TermValue(b))
		}
	}
	one := func(s string, term func(string) Term) {
		if s != "" {
			dst = append(dst, term(s))
		}
	}
	one(r.Method, TermMethod)
	one(r.URL, TermURL)
	one(r.ClientIP, TermClientIP)
	if r.Status != 0 {
		dst = append(dst, TermStatus(r.Status))
		dst = appendAtLeast(dst, QuantityStatus, float64(r.Status))
	}
	if r.HasResponseTime {
		dst = appendAtLeast(dst, QuantityResponseTime, r.ResponseTime)
	}
	if r.HasDuration {
		dst = appendAtLeast(dst, QuantityDuration, r.Duration)
	}
	for _, l := range [...]struct {
		list []string
		term func(string) Term
	}{{r.Users, TermUser}, {r.ResourceARNs, TermARN}, {r.InstanceIDs, TermInstance}, {r.Zones, TermZone}} {
		for _, s := range l.list {
			dst = append(dst, l.term(s))
		}
	}
	for _, m := range [...]struct {
		on   bool
		mark Mark
	}{
		{r.HasError, MarkError},
		{r.HasFault, MarkFault},
		{r.HasThrottle, MarkThrottle},
		{r.Partial, MarkPartial},
		{flags&FlagInferred != 0, MarkInferred},
		{r.InProgress, MarkInProgress},
		{flags&FlagError != 0, MarkAnyError},
		{flags&FlagFault != 0, MarkAnyFault},
		{flags&FlagThrottle != 0, MarkAnyThrottle},
		{len(r.FaultCauses) > 0, MarkFaultCause},
		{len(r.ErrorCauses) > 0, MarkErrorCause},
		{len(r.ResponseTimeCauses) > 0, MarkResponseTimeCause},
		{r.Documents, MarkDocuments},
		{r.Orphans, MarkOrphans},
		{r.Failed, MarkFailed},
	} {
		if m.on {
			dst = append(dst, TermMark(m.mark))
		}
	}
	return dst
}

// termsSeen is how far AppendTerms looks back for a term that it gave already.
const termsSeen = 8
