package filterexpr

import (
	"strconv"
	"strings"
)

// String returns the expression in one fixed form: small letters for keywords,
// capital ones for operators, AND wherever it was left out, no parentheses but
// the ones that are needed, seconds for durations. Parse makes an equal
// expression of it.
func (e *Expr) String() string {
	var w writer
	w.node(e.root)
	return w.String()
}

type writer struct{ strings.Builder }

func (w *writer) node(n *node) {
	switch n.kind {
	case nodeAnd, nodeOr:
		for i, kid := range n.kids {
			if i > 0 && n.kind == nodeAnd {
				w.WriteString(" AND ")
			} else if i > 0 {
				w.WriteString(" OR ")
			}
			w.inside(kid, kid.kind == nodeOr || kid.kind == n.kind)
		}
	case nodeNot:
		w.WriteByte('!')
		w.inside(n.kids[0], n.kids[0].kind == nodeAnd || n.kids[0].kind == nodeOr)
	default:
		w.leaf(n)
		if len(n.kids) > 0 {
			w.WriteString(" { ")
			w.node(n.kids[0])
			w.WriteString(" }")
		}
	}
}

func (w *writer) inside(n *node, parentheses bool) {
	if parentheses {
		w.WriteByte('(')
	}
	w.node(n)
	if parentheses {
		w.WriteByte(')')
	}
}

// leaf writes a condition without its braces.
func (w *writer) leaf(n *node) {
	switch n.kind {
	case nodeKeyword:
		w.WriteString(keywords[n.kw].text)
	case nodeAnnotation:
		w.WriteString(AnnotationText(n.key.key))
	case nodeService:
		w.service(n.to)
		return
	case nodeEdge:
		w.edge(n.from, n.to)
		return
	case nodeCause:
		w.WriteString(n.cause.text)
		return
	case nodeCauseJSON:
		w.WriteString(wordCauseJSON + " " + operatorTexts[n.op] + " #" + n.causes.text)
		return
	case nodeGroup:
		if n.group.ARN != "" {
			w.WriteString(wordGroupARN)
		} else {
			w.WriteString(wordGroupName)
		}
	}
	if n.op != opNone {
		w.WriteString(" " + operatorTexts[n.op] + " " + n.value.String())
	}
}

func (w *writer) service(m *matcher) {
	w.WriteString("service(")
	w.matcher(m)
	w.WriteByte(')')
}

func (w *writer) edge(from, to *matcher) {
	w.WriteString("edge(")
	w.matcher(from)
	w.WriteString(", ")
	w.matcher(to)
	w.WriteByte(')')
}

func (w *writer) matcher(m *matcher) {
	if !m.isID {
		if m.hasName {
			w.WriteString(quote(m.name))
		}
		return
	}
	w.WriteString("id(")
	sep := ""
	for _, arg := range []struct {
		name, value string
		has         bool
	}{{"name", m.name, m.hasName}, {"type", m.typ, m.hasType}, {"account.id", m.account, m.hasAccount}} {
		if arg.has {
			w.WriteString(sep + arg.name + ": " + quote(arg.value))
			sep = ", "
		}
	}
	w.WriteByte(')')
}

// String returns the value as an expression has it.
func (v value) String() string {
	switch v.typ {
	case typeBool:
		return strconv.FormatBool(v.bool)
	case typeNumber:
		return strconv.FormatFloat(v.number, 'g', -1, 64)
	}
	return quote(v.text)
}

// quote returns a text as an expression has it: in quotes, with the escapes of JSON.
func quote(s string) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < 0x20:
			b.WriteString(`\u00`)
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// Quote returns a text as a value of an expression: in quotes, with the escapes
// of JSON.
func Quote(s string) string { return quote(s) }

// AnnotationText returns how an expression names the annotation with that key,
// which is not to be empty.
func AnnotationText(key string) string {
	bare, plain := key != "", key != ""
	for i := range len(key) {
		c := key[i]
		word := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || isDigit(c) || c == '_'
		bare = bare && word
		plain = plain && (word || strings.IndexByte(".-:/", c) >= 0)
	}
	switch {
	case bare:
		return wordAnnotation + "." + key
	case plain:
		return wordAnnotation + "[" + key + "]"
	}
	return wordAnnotation + "[" + quote(key) + "]"
}
