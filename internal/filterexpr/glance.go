package filterexpr

import (
	"bytes"
	"strings"

	"github.com/roentgen-io/roentgen/internal/trace"
)

// glance is what can be asked of an encoded row: which texts stand somewhere in
// it, and which flags its root has.
type glance struct {
	// texts are, for each clause, texts of which a matching row has at least one.
	texts [][][]byte
	flags trace.RowFlags // that a matching row has, all of them
}

// Glance reports whether a row may match, given bytes as tracestore.Scan.Glance is given
// them, such as what trace.Row.AppendBinary writes. It looks at them without decoding, which
// costs a hundredth of Match: a searcher asks it first. A row with Cut is not to be asked about:
// what it lacks says nothing.
func (e *Expr) Glance(encoded []byte) bool {
	if e.glance.flags != 0 {
		if head, ok := trace.ReadRowHead(encoded); !ok || head.Flags&e.glance.flags != e.glance.flags {
			return !ok // whoever decodes it will find out what is wrong
		}
	}
next:
	for _, clause := range e.glance.texts {
		for _, text := range clause {
			if bytes.Contains(encoded, text) {
				continue next
			}
		}
		return false
	}
	return true
}

// Glances reports whether Glance can tell anything.
func (e *Expr) Glances() bool { return e.glance.flags != 0 || len(e.glance.texts) > 0 }

func newGlance(n *node) glance {
	g := glance{flags: n.needFlags(true)}
	for _, clause := range n.needTexts(inTrace, true) {
		if len(g.texts) == maxNeedClauses {
			break
		}
		var list [][]byte
		for _, text := range clause {
			list = append(list, []byte(text))
		}
		g.texts = append(g.texts, list)
	}
	return g
}

// needFlags returns flags of the root without which n is not true or, unless
// positive, not false.
func (n *node) needFlags(positive bool) trace.RowFlags {
	switch n.kind {
	case nodeNot:
		return n.kids[0].needFlags(!positive)
	case nodeAnd, nodeOr:
		all := (n.kind == nodeAnd) == positive
		flags := n.kids[0].needFlags(positive)
		for _, kid := range n.kids[1:] {
			if all {
				flags |= kid.needFlags(positive)
			} else {
				flags &= kid.needFlags(positive)
			}
		}
		return flags
	case nodeGroup:
		if n.expanded == nil {
			return 0
		}
		return n.expanded.root.needFlags((n.op == opEqual) == positive)
	case nodeKeyword:
		if keywords[n.kw].typ != typeBool {
			return 0
		}
		isTrue, isFalse := n.compareBool(true), n.compareBool(false)
		if !positive {
			isTrue, isFalse = isTrue.negate(), isFalse.negate()
		}
		if isTrue != True || isFalse == True {
			return 0
		}
		switch n.kw {
		case kwError:
			return trace.RowError
		case kwFault:
			return trace.RowFault
		case kwThrottle:
			return trace.RowThrottle
		case kwPartial:
			return trace.RowPartial
		}
	}
	return 0
}

// needTexts returns texts that stand in every row for which n is true or, unless
// positive, false: of each clause at least one.
func (n *node) needTexts(in place, positive bool) [][]string {
	if !caseSensitive {
		return nil
	}
	switch n.kind {
	case nodeNot:
		return n.kids[0].needTexts(in, !positive)
	case nodeAnd, nodeOr:
		if (n.kind == nodeAnd) == positive {
			var all [][]string
			for _, kid := range n.kids {
				all = append(all, kid.needTexts(in, positive)...)
			}
			return all
		}
		// One clause of each operand makes one for all of them.
		var any []string
		for _, kid := range n.kids {
			clauses := kid.needTexts(in, positive)
			if len(clauses) == 0 {
				return nil
			}
			if any = append(any, clauses[0]...); len(any) > maxNeedWidth {
				return nil
			}
		}
		return [][]string{any}
	case nodeGroup:
		if n.expanded == nil {
			return nil
		}
		return n.expanded.root.needTexts(in, (n.op == opEqual) == positive)
	}
	if !positive {
		return nil
	}
	var texts [][]string
	one := func(text string) {
		if text != "" {
			texts = append(texts, []string{text})
		}
	}
	node := func(m *matcher) {
		if m.hasName {
			one(m.name)
		}
		if m.hasType {
			one(m.typ)
		}
		if m.hasAccount {
			one(m.account)
		}
	}
	braces := func(in place) {
		for _, kid := range n.kids {
			texts = append(texts, kid.needTexts(in, true)...)
		}
	}
	switch n.kind {
	case nodeKeyword:
		if keywords[n.kw].typ != typeText || n.value.typ != typeText || !n.op.finds() {
			return nil
		}
		if in&inElement != 0 && n.kw != kwName && n.kw != kwType && n.kw != kwAccount {
			return nil // rows do not hold everything of each segment and call
		}
		one(n.value.text)
	case nodeAnnotation:
		// An underscore of the key may stand for any character.
		if !strings.Contains(n.key.key, "_") {
			one(n.key.key)
		}
		if n.value.typ == typeText && n.op.finds() {
			one(n.value.text)
		}
	case nodeService:
		node(n.to)
		braces(inService)
	case nodeEdge:
		node(n.from)
		node(n.to)
		braces(inEdge)
	case nodeCause:
		braces(inCause)
	}
	return texts
}

// finds reports whether an operator is true only of texts that contain the value.
func (op operator) finds() bool {
	switch op {
	case opEqual, opContains, opBeginsWith, opEndsWith:
		return true
	}
	return false
}
