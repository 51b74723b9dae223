package neighbours

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// ErrQuery is matched by the errors of a query that cannot be read.
var ErrQuery = errors.New("traceql")

// condition decides on a span of a trace.
type condition interface {
	holds(s *span) bool
	// needs returns what every trace with a span that it holds for has.
	needs() needs
}

// query decides on a trace: which of its spans match.
type query interface {
	// spans returns the matching spans, none when the trace does not match.
	match(t *traceView) []*span
	// needs returns what every trace that matches has.
	needs() needs
}

type spanset struct{ c condition } // c nil: every span

func (q spanset) match(t *traceView) (list []*span) {
	for i := range t.spans {
		if q.c == nil || q.c.holds(&t.spans[i]) {
			list = append(list, &t.spans[i])
		}
	}
	return list
}

type both struct{ a, b query }

func (q both) match(t *traceView) []*span {
	a, b := q.a.match(t), q.b.match(t)
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	return append(a, b...)
}

type either struct{ a, b query }

func (q either) match(t *traceView) []*span { return append(q.a.match(t), q.b.match(t)...) }

type allOf struct{ a, b condition }

func (c allOf) holds(s *span) bool { return c.a.holds(s) && c.b.holds(s) }

type anyOf struct{ a, b condition }

func (c anyOf) holds(s *span) bool { return c.a.holds(s) || c.b.holds(s) }

// comparison compares a field of a span with a value.
type comparison struct {
	field  string // of spans: without scope, of resources and intrinsics as written
	scope  scope
	op     string
	value  value
	regexp *regexp.Regexp
}

type scope uint8

const (
	scopeEither scope = iota // .name: of the span, else of the resource
	scopeSpan
	scopeResource
	scopeIntrinsic
)

// value is a text, number or boolean.
type value struct {
	text   string
	number float64
	kind   byte // 's', 'n', 'b', or 0 for none
}

func (c comparison) holds(s *span) bool {
	v := s.field(c.scope, c.field)
	if v.kind == 0 {
		return c.op == "=" && c.value.kind == 0 // nil
	}
	switch {
	case c.op == "!=" && c.value.kind == 0: // nil
		return true
	case c.regexp != nil:
		return v.kind == 's' && c.regexp.MatchString(v.text) == (c.op == "=~")
	case v.kind != c.value.kind:
		return false
	}
	order := strings.Compare(v.text, c.value.text)
	if v.kind == 'n' {
		switch {
		case v.number < c.value.number:
			order = -1
		case v.number > c.value.number:
			order = 1
		default:
			order = 0
		}
	}
	switch c.op {
	case "=":
		return order == 0
	case "!=":
		return order != 0
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	case ">=":
		return order >= 0
	}
	return false
}

// The bounds of a query: a stranger writes it.
const (
	maxQuery = 8 << 10
	maxNest  = 50
)

// parseQuery reads TraceQL. An empty text is the query for every span.
func parseQuery(text string) (query, error) {
	if len(text) > maxQuery {
		return nil, fmt.Errorf("%w: the query is longer than %d bytes", ErrQuery, maxQuery)
	}
	p := &parser{text: text}
	p.next()
	if p.tok == "" && p.err == nil {
		return spanset{}, nil
	}
	q := p.query(0)
	if p.err == nil && p.tok != "" {
		p.fail("there is %q where the query should end; pipelines, aggregates and structural operators are not supported", p.tok)
	}
	return q, p.err
}

type parser struct {
	text string
	at   int
	tok  string // "" at the end
	lit  bool   // the token is a text in quotes
	err  error
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%w: %s", ErrQuery, fmt.Sprintf(format, args...))
	}
	p.tok, p.at, p.lit = "", len(p.text), false
}

func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-' || c == '/' || c == ':' || c == '@' || c >= 0x80
}

func (p *parser) next() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
	p.tok, p.lit = "", false
	if p.at == len(p.text) {
		return
	}
	rest := p.text[p.at:]
	switch c := rest[0]; {
	case c == '"' || c == '`':
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			p.fail("a text has no end")
			return
		}
		p.at += len(quoted)
		p.tok, _ = strconv.Unquote(quoted)
		p.lit = true
		return
	case isWordByte(c):
		// A field may have parts in quotes: span."http target".
		var b strings.Builder
		n := 0
		for n < len(rest) {
			if rest[n] == '"' && n > 0 && rest[n-1] == '.' {
				quoted, err := strconv.QuotedPrefix(rest[n:])
				if err != nil {
					p.fail("a text has no end")
					return
				}
				part, _ := strconv.Unquote(quoted)
				b.WriteString(part)
				n += len(quoted)
				continue
			}
			if !isWordByte(rest[n]) {
				break
			}
			b.WriteByte(rest[n])
			n++
		}
		p.at += n
		p.tok = b.String()
		return
	}
	for _, op := range [...]string{"&&", "||", "!=", "=~", "!~", ">=", "<="} {
		if strings.HasPrefix(rest, op) {
			p.tok = op
			p.at += len(op)
			return
		}
	}
	p.tok = rest[:1]
	p.at++
}

func (p *parser) is(tok string) bool { return !p.lit && p.tok == tok }

func (p *parser) expect(tok string) {
	if !p.is(tok) {
		p.fail("there is %q where %q belongs", p.tok, tok)
		return
	}
	p.next()
}

// operands reads operands that && and || join: && binds closer.
func operands[T any](p *parser, depth int, one func(depth int) T, and, or func(a, b T) T) T {
	conjunction := func() T {
		x := one(depth)
		for p.is("&&") {
			p.next()
			x = and(x, one(depth))
		}
		return x
	}
	x := conjunction()
	for p.is("||") {
		p.next()
		x = or(x, conjunction())
	}
	return x
}

func (p *parser) query(depth int) query {
	return operands(p, depth, p.querySet,
		func(a, b query) query { return both{a, b} }, func(a, b query) query { return either{a, b} })
}

func (p *parser) querySet(depth int) query {
	if depth > maxNest {
		p.fail("the query nests too deep")
		return spanset{}
	}
	if p.is("(") {
		p.next()
		q := p.query(depth + 1)
		p.expect(")")
		return q
	}
	p.expect("{")
	if p.is("}") {
		p.next()
		return spanset{}
	}
	if p.err != nil {
		return spanset{}
	}
	c := p.condition(depth)
	p.expect("}")
	return spanset{c}
}

func (p *parser) condition(depth int) condition {
	return operands(p, depth, p.comparison,
		func(a, b condition) condition { return allOf{a, b} }, func(a, b condition) condition { return anyOf{a, b} })
}

type truth bool

func (t truth) holds(*span) bool { return bool(t) }

func (p *parser) comparison(depth int) condition {
	switch {
	case depth > maxNest:
		p.fail("the query nests too deep")
		return truth(false)
	case p.is("("):
		p.next()
		c := p.condition(depth + 1)
		p.expect(")")
		return c
	case p.is("true"), p.is("false"):
		t := truth(p.tok == "true")
		p.next()
		return t
	case p.lit || p.tok == "" || !isWordByte(p.tok[0]):
		p.fail("there is %q where a field belongs", p.tok)
		return truth(false)
	}
	c := comparison{field: p.tok, scope: scopeIntrinsic}
	switch {
	case strings.HasPrefix(c.field, "span."):
		c.scope, c.field = scopeSpan, c.field[len("span."):]
	case strings.HasPrefix(c.field, "resource."):
		c.scope, c.field = scopeResource, c.field[len("resource."):]
	case c.field[0] == '.':
		c.scope, c.field = scopeEither, c.field[1:]
	default:
		if name, ok := intrinsics[c.field]; ok {
			c.field = name
		} else {
			p.fail("there is no field %q; attributes begin with span., resource. or a dot", c.field)
			return truth(false)
		}
	}
	p.next()
	switch c.op = p.tok; {
	case p.lit:
		c.op = ""
	case c.op == "=" || c.op == "!=" || c.op == "<" || c.op == "<=" || c.op == ">" || c.op == ">=" || c.op == "=~" || c.op == "!~":
	default:
		c.op = ""
	}
	if c.op == "" { // the field alone: a boolean
		return comparison{field: c.field, scope: c.scope, op: "=", value: value{text: "true", kind: 'b'}}
	}
	p.next()
	if p.tok == "" && !p.lit {
		p.fail("a value is missing behind %s", c.op)
		return truth(false)
	}
	c.value = readValue(p.tok, p.lit)
	if c.scope == scopeIntrinsic && !p.lit && (c.field == "status" || c.field == "kind") {
		c.value = value{text: p.tok, kind: 's'}
	} else if c.value.kind == '?' {
		p.fail("%q is no value; texts stand in quotes", p.tok)
		return truth(false)
	}
	if c.op == "=~" || c.op == "!~" {
		re, err := regexp.Compile("^(?:" + c.value.text + ")$")
		if err != nil || c.value.kind != 's' {
			p.fail("%q is no regular expression", c.value.text)
			return truth(false)
		}
		c.regexp = re
	}
	p.next()
	return c
}

// intrinsics are the fields that are no attributes.
var intrinsics = map[string]string{
	"name": "name", "span:name": "name", "status": "status", "span:status": "status", "statusMessage": "statusMessage", "span:statusMessage": "statusMessage",
	"kind": "kind", "span:kind": "kind", "duration": "duration", "span:duration": "duration", "span:id": "id", "span:parentID": "parent",
	"traceDuration": "traceDuration", "trace:duration": "traceDuration", "rootName": "rootName", "trace:rootName": "rootName",
	"rootServiceName": "rootServiceName", "trace:rootService": "rootServiceName", "trace:id": "traceID",
}

func readValue(tok string, quoted bool) value {
	switch {
	case quoted:
		return value{text: tok, kind: 's'}
	case tok == "true" || tok == "false":
		return value{text: tok, kind: 'b'}
	case tok == "nil":
		return value{}
	}
	if f, err := strconv.ParseFloat(tok, 64); err == nil {
		return value{number: f, kind: 'n'}
	}
	if d, err := time.ParseDuration(tok); err == nil {
		return value{number: float64(d), kind: 'n'}
	}
	return value{kind: '?'}
}
