package filterexpr

import (
	"fmt"
	"strings"
)

// Bounds of an expression.
const (
	MaxLength = 64 << 10 // bytes of its text
	MaxDepth  = 500      // levels of parentheses, braces and NOT
)

// Expr is a parsed expression. It is not changed after Parse returned it, and
// may be used by several goroutines.
type Expr struct {
	text    string
	root    *node
	size    int // nodes, those of expanded groups included
	*limits     // of Match; nil: none
	glance
}

// Text returns the expression as it was written.
func (e *Expr) Text() string { return e.text }

// Parse reads an expression. What is none is refused with an *Error, the empty
// text too: who takes it for "no filter" has to ask before.
func Parse(text string) (*Expr, error) {
	p := parser{lex: lexer{text: text}, place: inTrace}
	root, err := p.parse()
	if err != nil {
		return nil, err
	}
	return &Expr{text: text, root: root, size: p.nodes, glance: newGlance(root)}, nil
}

type nodeKind uint8

const (
	nodeAnd nodeKind = iota
	nodeOr
	nodeNot
	nodeKeyword
	nodeAnnotation
	nodeService
	nodeEdge
	nodeCause
	nodeCauseJSON
	nodeGroup
)

// node is a part of an expression.
type node struct {
	kind  nodeKind
	place place
	op    operator
	kw    keyword
	value value
	start int // of the text, in bytes; without parentheses around it
	end   int
	// kids are the operands of AND, OR (two or more) and NOT (one), and what
	// stands in braces, if anything does.
	kids []*node
	// weight is how many conditions service(), edge() and causes ask of each
	// element, at least 1.
	weight int

	key    annotationKey
	from   *matcher // caller of an edge
	to     *matcher // service, or callee of an edge
	cause  *causeTerm
	causes *causePattern
	group  GroupRef
	// expanded is the expression of the group once Expand has looked it up; nil
	// stands for every trace when isExpanded is set.
	expanded   *Expr
	isExpanded bool
}

// value is what a keyword is compared with.
type value struct {
	typ    valueType
	text   string
	number float64
	bool   bool
}

type parser struct {
	lex   lexer
	tok   token
	last  int         // end of the token before
	want  expectation // what may stand where tok stands
	open  []byte      // closing brackets of those that are open
	depth int
	place place
	nodes int
}

func (p *parser) parse() (*node, error) {
	if len(p.lex.text) > MaxLength {
		return nil, tooLong(p.lex.text, MaxLength, fmt.Sprintf("%d bytes", MaxLength))
	}
	p.advance()
	root, err := p.or()
	if err != nil {
		return nil, err
	}
	p.want.wants |= wantEnd
	if p.tok.kind != tokEnd {
		return nil, p.unexpected()
	}
	return root, nil
}

// tooLong makes the error for a text that goes on after offset bytes, its limit.
func tooLong(text string, offset int, limit string) *Error {
	e := errorAt(text, offset, "", "")
	e.Found = "more text"
	e.Message = e.head() + "the expression has more than " + limit
	e.Expected = []string{"the end"}
	return e
}

func (p *parser) advance() {
	p.last = p.tok.end
	p.tok = p.lex.next()
	p.want = expectation{place: p.place}
}

// unexpected makes the error for the token that cannot stand where it stands.
func (p *parser) unexpected() error {
	t, text := p.tok, p.lex.text
	var e *Error
	switch {
	case t.kind == tokEnd && len(p.open) > 0:
		e = errorAt(text, len(text), "", "")
		e.Message = e.head() + "missing '" + string(p.open[len(p.open)-1:]) + "' at end of expression"
	case t.kind == tokEnd:
		e = errorAt(text, len(text), "<EOF>", "")
	case t.kind == tokWord && !isKnown(t.lower):
		e = errorAt(text, t.start, readSymbol(text[t.start:], t.text), t.text)
	default:
		e = errorAt(text, t.start, t.text, t.text)
	}
	if t.problem != "" {
		e.Expected = []string{t.problem}
		return e
	}
	e.Expected = p.want.list()
	if t.kind == tokWord {
		e.Suggestion = suggest(t.text, p.want.fits)
		if e.Suggestion == t.lower {
			e.Suggestion = ""
		}
	}
	return e
}

func (p *parser) deeper() error {
	if p.depth++; p.depth <= MaxDepth {
		return nil
	}
	e := errorAt(p.lex.text, p.tok.start, p.tok.text, p.tok.text)
	e.Expected = []string{fmt.Sprintf("at most %d levels of parentheses, braces and NOT", MaxDepth)}
	return e
}

func (p *parser) isWord(word string) bool { return p.tok.kind == tokWord && p.tok.lower == word }

// take goes on when the token is the given symbol.
func (p *parser) take(symbol string, w wants) bool {
	p.want.wants |= w
	if !p.tok.is(symbol) {
		return false
	}
	p.enter(symbol)
	p.advance()
	return true
}

// enter keeps account of open brackets.
func (p *parser) enter(symbol string) {
	switch symbol {
	case "(":
		p.open = append(p.open, ')')
	case "{":
		p.open = append(p.open, '}')
	case ")", "}":
		p.open = p.open[:len(p.open)-1]
	}
}

func (p *parser) new(n node) *node {
	p.nodes++
	n.place = p.place
	return &n
}

func (p *parser) or() (*node, error) {
	start := p.tok.start
	first, err := p.and()
	if err != nil {
		return nil, err
	}
	var all *node
	for {
		p.want.wants |= wantOr
		if p.tok.kind != tokOr && !p.isWord(wordOr) {
			break
		}
		p.advance()
		n, err := p.and()
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = p.new(node{kind: nodeOr, start: start, kids: []*node{first}})
		}
		all.kids, all.end = append(all.kids, n), p.last
	}
	if all == nil {
		return first, nil
	}
	return all, nil
}

func (p *parser) and() (*node, error) {
	start := p.tok.start
	first, err := p.not()
	if err != nil {
		return nil, err
	}
	var all *node
	for {
		p.want.wants |= wantAnd | wantTerm | wantNot | wantOpen
		p.want.place = p.place
		if p.tok.kind == tokAnd || p.isWord(wordAnd) {
			p.advance()
		} else if !p.startsTerm() {
			break
		}
		n, err := p.not()
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = p.new(node{kind: nodeAnd, start: start, kids: []*node{first}})
		}
		all.kids, all.end = append(all.kids, n), p.last
	}
	if all == nil {
		return first, nil
	}
	return all, nil
}

// startsTerm reports whether the token begins another condition, which makes
// two that stand side by side an AND.
func (p *parser) startsTerm() bool {
	if p.tok.kind == tokWord {
		return p.tok.lower == wordNot || !reserved[p.tok.lower]
	}
	return p.tok.is("!") || p.tok.is("(")
}

func (p *parser) not() (*node, error) {
	p.want.wants |= wantTerm | wantNot | wantOpen
	p.want.place = p.place
	start := p.tok.start
	switch {
	case p.tok.is("!") || p.isWord(wordNot):
		if err := p.deeper(); err != nil {
			return nil, err
		}
		p.advance()
		kid, err := p.not()
		p.depth--
		if err != nil {
			return nil, err
		}
		return p.new(node{kind: nodeNot, start: start, end: p.last, kids: []*node{kid}}), nil
	case p.tok.is("("):
		if err := p.deeper(); err != nil {
			return nil, err
		}
		p.take("(", 0)
		n, err := p.or()
		p.depth--
		if err != nil {
			return nil, err
		}
		if !p.take(")", wantClose) {
			return nil, p.unexpected()
		}
		return n, nil
	case p.tok.kind == tokWord:
		return p.term()
	}
	return nil, p.unexpected()
}

func (p *parser) term() (*node, error) {
	word, start := p.tok.lower, p.tok.start
	if kw, ok := keywordOf[word]; ok && keywords[kw].places&p.place != 0 {
		n := p.new(node{kind: nodeKeyword, kw: kw, start: start, end: p.tok.end})
		p.advance()
		return n, p.comparison(n, keywords[kw].typ, expectation{about: aboutKeyword, kw: kw})
	}
	if p.place&(inTrace|inElement) != 0 && (word == wordAnnotation || strings.HasPrefix(word, wordAnnotation+".")) {
		return p.annotation()
	}
	if p.place == inTrace {
		switch word {
		case wordService:
			n := p.new(node{kind: nodeService, start: start})
			if err := p.service(n); err != nil {
				return nil, err
			}
			return n, p.braces(n, inService)
		case wordEdge:
			n := p.new(node{kind: nodeEdge, start: start})
			if err := p.edge(n, false); err != nil {
				return nil, err
			}
			return n, p.braces(n, inEdge)
		case wordGroupName, wordGroupARN:
			return p.groupTerm(word)
		case wordCauseJSON:
			return p.causeJSON()
		}
		if c, ok := causeOf[word]; ok {
			n := p.new(node{kind: nodeCause, cause: &c, start: start, end: p.tok.end})
			p.advance()
			return n, p.braces(n, c.inner)
		}
	}
	return nil, p.unexpected()
}

// comparison reads the operator and the value after a keyword, if they are there.
// x says what they are about.
func (p *parser) comparison(n *node, typ valueType, x expectation) error {
	p.want.wants |= wantCompare
	p.want.typ, p.want.about, p.want.kw, p.want.key = typ, x.about, x.kw, x.key
	op, ok := p.operator()
	if !ok {
		return nil
	}
	if !p.want.allows(op) {
		p.want.wants = wantCompare
		return p.unexpected()
	}
	n.op = op
	p.advance()
	p.want.wants = wantValue
	p.want.typ, p.want.about, p.want.kw, p.want.key = typ, x.about, x.kw, x.key
	n.end = p.tok.end
	var valid bool
	if n.value, valid = p.value(); !valid {
		return p.unexpected()
	}
	if p.tok.unit && !(n.kind == nodeKeyword && (n.kw == kwResponseTime || n.kw == kwDuration)) {
		p.tok.problem = "a number without a unit; only responsetime and duration have one"
		return p.unexpected()
	}
	p.advance()
	return nil
}

// operator returns the operator that the token is.
func (p *parser) operator() (operator, bool) {
	switch p.tok.kind {
	case tokCompare:
		return operatorOf[p.tok.text], true
	case tokWord:
		op, ok := operatorOf[p.tok.lower]
		return op, ok
	}
	return opNone, false
}

// value returns the value that the token is.
func (p *parser) value() (value, bool) {
	t := p.tok
	switch t.kind {
	case tokText:
		return value{typ: typeText, text: t.value}, true
	case tokNumber:
		return value{typ: typeNumber, number: t.number}, true
	case tokWord:
		switch {
		case t.lower == wordTrue || t.lower == wordFalse:
			return value{typ: typeBool, bool: t.lower == wordTrue}, true
		case !reserved[t.lower]:
			return value{typ: typeText, text: t.text}, true
		}
	}
	return value{}, false
}

func (p *parser) annotation() (*node, error) {
	const problem = "a key: annotation.key, or annotation[any.key]"
	start, end := p.tok.start, p.tok.end
	key, bare := strings.CutPrefix(p.tok.text[len(wordAnnotation):], ".")
	if bare {
		// The key of any other kind needs brackets.
		if key == "" || key[0] == '.' || key[len(key)-1] == '.' || strings.Contains(key, "..") {
			p.tok.problem = problem
			return nil, p.unexpected()
		}
	} else {
		k, t, ok := p.lex.key()
		switch {
		case !ok:
			p.advance()
			p.tok.problem = problem
			return nil, p.unexpected()
		case t.kind != tokWord:
			p.tok = t
			return nil, p.unexpected()
		}
		key, end = k, t.end
		p.tok.end = end
	}
	n := p.new(node{kind: nodeAnnotation, key: newAnnotationKey(key), start: start, end: end})
	p.advance()
	return n, p.comparison(n, typeNone, expectation{about: aboutAnnotation, key: key})
}

// service reads service and its parentheses.
func (p *parser) service(n *node) (err error) {
	p.advance()
	p.want.word = "service"
	if !p.take("(", wantParen) {
		return p.unexpected()
	}
	n.to = &matcher{}
	p.want.wants |= wantClose
	if !p.tok.is(")") {
		if n.to, err = p.entity(); err != nil {
			return err
		}
	}
	return p.closing(n)
}

// edge reads edge and its parentheses; whole says that both ends are needed.
func (p *parser) edge(n *node, whole bool) (err error) {
	p.advance()
	p.want.word = "edge"
	if !p.take("(", wantParen) {
		return p.unexpected()
	}
	n.from, n.to = &matcher{}, &matcher{}
	if !whole {
		p.want.wants |= wantComma
	}
	if whole || !p.tok.is(",") {
		if n.from, err = p.entity(); err != nil {
			return err
		}
	}
	if !p.take(",", wantComma) {
		return p.unexpected()
	}
	if !whole {
		p.want.wants |= wantClose
	}
	if whole || !p.tok.is(")") {
		if n.to, err = p.entity(); err != nil {
			return err
		}
	}
	return p.closing(n)
}

func (p *parser) closing(n *node) error {
	n.end = p.tok.end
	if !p.take(")", wantClose) {
		return p.unexpected()
	}
	return nil
}

// entity reads a name, or id and its parentheses.
func (p *parser) entity() (*matcher, error) {
	p.want.wants |= wantEntity
	if p.tok.kind == tokText {
		m := &matcher{hasName: true, name: p.tok.value}
		p.advance()
		return m, nil
	}
	if !p.isWord(wordID) {
		return nil, p.unexpected()
	}
	p.advance()
	p.want.word = "id"
	if !p.take("(", wantParen) {
		return nil, p.unexpected()
	}
	m := &matcher{isID: true}
	for {
		p.want.wants |= wantIDArg
		var has *bool
		var to *string
		kw, ok := keywordOf[p.tok.lower]
		if p.tok.kind == tokWord && ok {
			switch kw {
			case kwName:
				has, to = &m.hasName, &m.name
			case kwType:
				has, to = &m.hasType, &m.typ
			case kwAccount:
				has, to = &m.hasAccount, &m.account
			}
		}
		if has == nil {
			return nil, p.unexpected()
		}
		if *has {
			p.tok.problem = "each argument of id once"
			return nil, p.unexpected()
		}
		*has = true
		p.advance()
		if !p.take(":", wantColon) {
			return nil, p.unexpected()
		}
		p.want.wants |= wantValue
		p.want.typ, p.want.about, p.want.kw = typeText, aboutID, kw
		switch v, ok := p.value(); {
		case !ok:
			return nil, p.unexpected()
		case v.typ == typeText:
			*to = v.text
		default:
			*to = p.tok.text // account numbers, say
		}
		p.advance()
		if p.take(")", wantClose) {
			return m, nil
		}
		if !p.take(",", wantComma) {
			return nil, p.unexpected()
		}
	}
}

// braces reads what stands in braces, if they are there.
func (p *parser) braces(n *node, inner place) error {
	n.weight = 1
	p.want.wants |= wantBraces
	if !p.tok.is("{") {
		return nil
	}
	before := p.nodes
	if err := p.deeper(); err != nil {
		return err
	}
	outer := p.place
	p.place = inner
	p.take("{", 0)
	kid, err := p.or()
	if err != nil {
		return err
	}
	p.want.wants |= wantUnbrace
	if !p.tok.is("}") {
		return p.unexpected()
	}
	p.depth--
	p.place = outer
	n.end = p.tok.end
	n.kids, n.weight = []*node{kid}, max(1, p.nodes-before)
	p.take("}", 0)
	return nil
}

func (p *parser) groupTerm(word string) (*node, error) {
	n := p.new(node{kind: nodeGroup, start: p.tok.start})
	x := expectation{about: aboutGroupName}
	if word == wordGroupARN {
		x.about = aboutGroupARN
	}
	p.advance()
	if err := p.comparison(n, typeText, x); err != nil {
		return nil, err
	}
	if n.op == opNone {
		p.want.wants = wantCompare
		return nil, p.unexpected()
	}
	n.group = GroupRef{Name: n.value.text}
	if word == wordGroupARN {
		n.group = GroupRef{ARN: n.value.text}
	}
	if n.value.typ != typeText {
		n.group = GroupRef{} // no group is named by a number: the condition is false
	}
	return n, nil
}

func (p *parser) causeJSON() (*node, error) {
	n := p.new(node{kind: nodeCauseJSON, start: p.tok.start})
	p.advance()
	p.want.wants |= wantCompare
	p.want.about = aboutCauseJSON
	op, ok := p.operator()
	if !ok || !p.want.allows(op) {
		return nil, p.unexpected()
	}
	n.op = op
	p.advance()
	p.want.wants |= wantJSON
	if p.tok.kind != tokJSON {
		return nil, p.unexpected()
	}
	n.causes, n.end = newCausePattern(p.tok.value), p.tok.end
	p.advance()
	return n, nil
}
