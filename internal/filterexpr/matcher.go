package filterexpr

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/roentgen-io/roentgen/internal/trace"
)

// caseSensitive says whether texts are compared letter by letter. The service
// was not seen doing either; a change here changes all comparisons of values.
const caseSensitive = true

func sameText(a, b string) bool {
	if caseSensitive {
		return a == b
	}
	return strings.EqualFold(a, b)
}

// fold brings texts that are the same into one form.
func fold(s string) string {
	if caseSensitive {
		return s
	}
	return strings.ToLower(s)
}

// matcher is a name or id() in service() and edge(). The zero matcher takes any node.
type matcher struct {
	hasName, hasType, hasAccount bool
	isID                         bool // written as id(...)
	name, typ, account           string
}

func (m *matcher) match(id *trace.ServiceID) bool {
	return (!m.hasName || sameText(id.Name, m.name)) &&
		(!m.hasType || sameText(id.Type, m.typ)) &&
		(!m.hasAccount || sameText(id.AccountID, m.account))
}

func (m *matcher) any() bool { return !m.hasName && !m.hasType && !m.hasAccount }

// NodeMatcher tells which nodes of a service graph an end of a selector stands for.
type NodeMatcher struct{ m matcher }

// MatchNode reports whether the node with that name, type and account is one.
// typ is the node's own: "remote" is the type of inferred nodes alone.
func (m *NodeMatcher) MatchNode(name, typ, account string) bool {
	return m.m.match(&trace.ServiceID{Name: name, Type: typ, AccountID: account})
}

// Name returns the name that matching nodes have, and false when any will do.
func (m *NodeMatcher) Name() (string, bool) { return m.m.name, m.m.hasName }

// Selector is a parsed EntitySelectorExpression: it names a service or an edge
// of the service graph.
type Selector struct {
	Edge     bool
	Service  NodeMatcher // unless Edge
	From, To NodeMatcher // when Edge
	text     string
}

// MaxSelectorLength is the greatest length of an EntitySelectorExpression, in
// characters, as the service's model counts them.
const MaxSelectorLength = 500

// ParseSelector reads an EntitySelectorExpression: service(...) or edge(...,...)
// with names or id(...) inside, and nothing else. What is none is refused with
// an *Error.
func ParseSelector(text string) (*Selector, error) {
	if n := utf8.RuneCountInString(text); n > MaxSelectorLength {
		return nil, tooLong(text, prefixOf(text, MaxSelectorLength), fmt.Sprintf("%d characters", MaxSelectorLength))
	}
	p := parser{lex: lexer{text: text}, place: inTrace}
	p.advance()
	p.want.wants = wantSelect
	s := &Selector{text: text}
	n := &node{}
	var err error
	switch {
	case p.isWord(wordService):
		p.advance()
		p.want.word = "service"
		if !p.take("(", wantParen) {
			return nil, p.unexpected()
		}
		if n.to, err = p.entity(); err == nil {
			err = p.closing(n)
		}
	case p.isWord(wordEdge):
		s.Edge = true
		err = p.edge(n, true)
	default:
		return nil, p.unexpected()
	}
	if err != nil {
		return nil, err
	}
	p.want.wants = wantEnd
	if p.tok.kind != tokEnd {
		return nil, p.unexpected()
	}
	if s.Edge {
		s.From.m, s.To.m = *n.from, *n.to
	} else {
		s.Service.m = *n.to
	}
	return s, nil
}

// prefixOf returns how many bytes the first n characters of a text take.
func prefixOf(text string, n int) int {
	for i := range text {
		if n == 0 {
			return i
		}
		n--
	}
	return len(text)
}

// String returns the selector in the form in which Expr.String writes it.
func (s *Selector) String() string {
	var w writer
	if s.Edge {
		w.edge(&s.From.m, &s.To.m)
	} else {
		w.service(&s.Service.m)
	}
	return w.String()
}
