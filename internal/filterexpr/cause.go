package filterexpr

import (
	"encoding/json"

	"github.com/roentgen-io/roentgen/internal/trace"
)

// causePattern is the array after "rootcause.json =". A field that is not there
// takes anything; null takes what the service would write as null or false.
type causePattern struct {
	text   string // compact
	causes []rootCausePattern
	never  bool // it has something that no root cause has
}

type rootCausePattern struct {
	ClientImpacting *bool
	Services        *[]servicePattern
}

type servicePattern struct {
	Name       optional
	Names      *[]string
	Type       optional
	AccountId  optional
	Inferred   *bool
	EntityPath *[]entityPattern
}

type entityPattern struct {
	Name       optional
	Coverage   *float64
	Remote     *bool
	Exceptions *[]exceptionPattern
}

type exceptionPattern struct {
	Name    optional
	Message optional
}

// optional is a text that may be left out; null is the empty text.
type optional struct {
	is   bool
	text string
}

func (o *optional) UnmarshalJSON(text []byte) error {
	o.is = true
	return json.Unmarshal(text, &o.text)
}

func (o optional) match(s string) bool { return !o.is || sameText(o.text, s) }

// newCausePattern reads a JSON array, which is valid and compact.
func newCausePattern(text string) *causePattern {
	p := &causePattern{text: text}
	p.never = json.Unmarshal([]byte(text), &p.causes) != nil // a value of the wrong type is not equal to any
	return p
}

// match reports whether the causes of one kind are what the pattern asks for:
// each of its root causes is among them.
func (p *causePattern) match(causes []trace.RootCause) bool {
	if p.never {
		return false
	}
next:
	for i := range p.causes {
		for j := range causes {
			if p.causes[i].match(&causes[j]) {
				continue next
			}
		}
		return false
	}
	return true
}

func (p *rootCausePattern) match(c *trace.RootCause) bool {
	if p.ClientImpacting != nil && *p.ClientImpacting != c.ClientImpacting {
		return false
	}
	if p.Services == nil {
		return true
	}
	if len(*p.Services) != len(c.Services) {
		return false
	}
	for i := range *p.Services {
		if !(*p.Services)[i].match(&c.Services[i]) {
			return false
		}
	}
	return true
}

func (p *servicePattern) match(s *trace.RootCauseService) bool {
	if !p.Name.match(s.Service.Name) || !p.Type.match(s.Service.Type) || !p.AccountId.match(s.Service.AccountID) ||
		p.Inferred != nil && *p.Inferred != s.Inferred ||
		p.Names != nil && (len(*p.Names) != 1 || !sameText((*p.Names)[0], s.Service.Name)) {
		return false
	}
	if p.EntityPath == nil {
		return true
	}
	if len(*p.EntityPath) != len(s.Entities) {
		return false
	}
	for i := range *p.EntityPath {
		if !(*p.EntityPath)[i].match(&s.Entities[i]) {
			return false
		}
	}
	return true
}

func (p *entityPattern) match(e *trace.RootCauseEntity) bool {
	if !p.Name.match(e.Name) || p.Coverage != nil && *p.Coverage != e.Coverage || p.Remote != nil && *p.Remote != e.Remote {
		return false
	}
	if p.Exceptions == nil {
		return true
	}
	if len(*p.Exceptions) != len(e.Exceptions) {
		return false
	}
	for i, x := range *p.Exceptions {
		if !x.Name.match(e.Exceptions[i].Name) || !x.Message.match(e.Exceptions[i].Message) {
			return false
		}
	}
	return true
}
