package sampling

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Request is what a client knows of a request when it decides. "" stands for
// what it does not know.
type Request struct {
	ServiceName string // of the segment
	ServiceType string // its origin, e.g. AWS::EC2::Instance
	Host        string
	HTTPMethod  string
	URLPath     string
	ResourceARN string
	Attributes  map[string]string
}

// fold makes texts equal that differ in case alone.
func fold(s string) string { return strings.ToLower(s) }

// wildcard is a pattern, folded.
type wildcard string

// match reports whether the pattern matches all of a folded text. It goes back to
// the latest * only, so it takes no longer than the product of both lengths.
func (w wildcard) match(text string) bool {
	pattern := string(w)
	if pattern == "*" {
		return true
	}
	p, t := 0, 0
	star, from := -1, 0 // the latest *, and where the text that it takes ends
	for t < len(text) {
		if p < len(pattern) {
			if pattern[p] == '*' {
				star, from = p, t
				p++
				continue
			}
			want, n := utf8.DecodeRuneInString(pattern[p:])
			have, m := utf8.DecodeRuneInString(text[t:])
			if want == '?' || want == have {
				p += n
				t += m
				continue
			}
		}
		if star < 0 {
			return false
		}
		_, m := utf8.DecodeRuneInString(text[from:])
		from += m
		p, t = star+1, from
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// Mismatch is a part of a rule that keeps it from matching a request.
type Mismatch struct {
	Field   string // member of the rule, or Attributes.KEY
	Pattern string
	Value   string // of the request; "" for an attribute that is not there
}

// Set is a number of rules in the order in which they are tried.
type Set struct {
	rules []compiled
}

type compiled struct {
	rule       *Rule
	fields     [6]wildcard
	attributes []attribute
}

type attribute struct {
	key, pattern string
	folded       wildcard
}

// names are the members of a rule that fields holds, in the order of values.
var names = [6]string{"ServiceName", "ServiceType", "Host", "HTTPMethod", "URLPath", "ResourceARN"}

func (r *Rule) patterns() [6]string {
	return [6]string{r.ServiceName, r.ServiceType, r.Host, r.HTTPMethod, r.URLPath, r.ResourceARN}
}

func (q *Request) values() [6]string {
	return [6]string{q.ServiceName, q.ServiceType, q.Host, q.HTTPMethod, q.URLPath, q.ResourceARN}
}

// NewSet returns the set of some rules, which must not change any more.
func NewSet(rules []Rule) *Set {
	sorted := slices.Clone(rules)
	Sort(sorted)
	s := &Set{rules: make([]compiled, len(sorted))}
	for i := range sorted {
		c := &s.rules[i]
		c.rule = &sorted[i]
		for j, pattern := range c.rule.patterns() {
			c.fields[j] = wildcard(fold(pattern))
		}
		for key, pattern := range c.rule.Attributes {
			c.attributes = append(c.attributes, attribute{key, pattern, wildcard(fold(pattern))})
		}
		slices.SortFunc(c.attributes, func(a, b attribute) int { return cmp.Compare(a.key, b.key) })
	}
	return s
}

// folded is a request with folded values.
type folded struct {
	values     [6]string
	attributes map[string]string // as they are
}

func foldRequest(q *Request) folded {
	f := folded{values: q.values(), attributes: q.Attributes}
	for i, v := range f.values {
		f.values[i] = fold(v)
	}
	return f
}

func (c *compiled) match(q *folded) bool {
	for i, v := range q.values {
		if v != "" && !c.fields[i].match(v) {
			return false
		}
	}
	for _, a := range c.attributes {
		if v, ok := q.attributes[a.key]; !ok || !a.folded.match(fold(v)) {
			return false
		}
	}
	return true
}

// Find returns the rule that decides on a request, nil when none matches. With
// sdk the rules that X-Ray SDKs pass over are passed over.
func (s *Set) Find(q *Request, sdk bool) *Rule {
	if i := s.find(q, sdk); i >= 0 {
		return s.rules[i].rule
	}
	return nil
}

func (s *Set) find(q *Request, sdk bool) int {
	f := foldRequest(q)
	for i := range s.rules {
		c := &s.rules[i]
		if sdk && c.rule.SDKsIgnore() != "" {
			continue
		}
		if c.match(&f) {
			return i
		}
	}
	return -1
}

// Verdict is what a rule says of a request.
type Verdict struct {
	Rule       *Rule
	Matches    bool
	Mismatches []Mismatch // all parts that do not match
}

// Explain returns what each rule says of a request, in the order in which they
// are tried.
func (s *Set) Explain(q *Request) []Verdict {
	f := foldRequest(q)
	verdicts := make([]Verdict, len(s.rules))
	for i := range s.rules {
		c, v := &s.rules[i], &verdicts[i]
		v.Rule = c.rule
		patterns, values := c.rule.patterns(), q.values()
		for j, folded := range f.values {
			if folded != "" && !c.fields[j].match(folded) {
				v.Mismatches = append(v.Mismatches, Mismatch{names[j], patterns[j], values[j]})
			}
		}
		for _, a := range c.attributes {
			if value, ok := q.Attributes[a.key]; !ok || !a.folded.match(fold(value)) {
				v.Mismatches = append(v.Mismatches, Mismatch{"Attributes." + a.key, a.pattern, value})
			}
		}
		v.Matches = len(v.Mismatches) == 0
	}
	return verdicts
}
