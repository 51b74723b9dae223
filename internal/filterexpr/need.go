package filterexpr

import (
	"math"
	"slices"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/segment"
)

// Bounds of what Need asks for: a clause that grows wider than maxNeedWidth
// skips next to nothing, and more clauses than maxNeedClauses cost more to look
// up than they save.
const (
	maxNeedWidth   = 64
	maxNeedClauses = 32
)

// Need returns terms that every matching row has, of each clause at least one.
// Rows with Cut may lack them and are always to be looked at.
func (e *Expr) Need() trace.Need {
	need := e.root.need(inTrace, true)
	if len(need) == 0 {
		return nil
	}
	return need
}

// need returns what n needs to be true, or, unless positive, to be false.
func (n *node) need(in place, positive bool) trace.Need {
	switch n.kind {
	case nodeNot:
		return n.kids[0].need(in, !positive)
	case nodeAnd, nodeOr:
		all := (n.kind == nodeAnd) == positive
		var need trace.Need
		for i, kid := range n.kids {
			k := kid.need(in, positive)
			switch {
			case all:
				need = narrow(append(need, k...))
			case len(k) == 0:
				return nil
			case i == 0:
				need = k
			default:
				if need = either(need, k); need == nil {
					return nil
				}
			}
		}
		return need
	case nodeGroup:
		if n.expanded == nil {
			return nil
		}
		return n.expanded.root.need(in, (n.op == opEqual) == positive)
	case nodeKeyword:
		return n.needKeyword(in, positive)
	}
	if !positive {
		return nil
	}
	switch n.kind {
	case nodeAnnotation:
		return n.needAnnotation()
	case nodeService:
		need := n.to.need()
		if len(n.kids) > 0 {
			need = narrow(append(need, n.kids[0].need(inService, true)...))
		}
		return need
	case nodeEdge:
		var need trace.Need
		if n.from.hasName && n.to.hasName && caseSensitive {
			need = one(trace.TermEdge(n.from.name, n.to.name))
		}
		need = append(append(need, n.from.need()...), n.to.need()...)
		if len(n.kids) > 0 {
			need = append(need, n.kids[0].need(inEdge, true)...)
		}
		return narrow(need)
	case nodeCause:
		return one(trace.TermMark(causeMarks[n.cause.kind]))
	case nodeCauseJSON:
		if n.op == opEqual && len(n.causes.causes) == 0 {
			return nil
		}
		return one(trace.TermMark(trace.MarkFaultCause), trace.TermMark(trace.MarkErrorCause), trace.TermMark(trace.MarkResponseTimeCause))
	}
	return nil
}

var causeMarks = [...]trace.Mark{
	causeFault:        trace.MarkFaultCause,
	causeError:        trace.MarkErrorCause,
	causeResponseTime: trace.MarkResponseTimeCause,
}

func one(terms ...trace.Term) trace.Need { return trace.Need{terms} }

// either returns what one of two conditions needs: a clause for each pair of
// theirs, or a single one, of the narrowest two, when these would be too many.
// It returns nil when the result would say nothing.
func either(a, b trace.Need) trace.Need {
	if len(a)*len(b) > maxNeedClauses {
		a, b = narrow(a)[:1], narrow(b)[:1]
	}
	var need trace.Need
	for _, x := range a {
		for _, y := range b {
			if len(x)+len(y) > maxNeedWidth {
				continue
			}
			clause := append(slices.Clone(x), y...)
			slices.Sort(clause)
			need = append(need, slices.Compact(clause))
		}
	}
	return narrow(need)
}

// narrow sorts the clauses, the narrowest first, and drops the widest of too
// many and those that are there twice.
func narrow(need trace.Need) trace.Need {
	slices.SortStableFunc(need, func(a, b []trace.Term) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return slices.Compare(a, b)
	})
	need = slices.CompactFunc(need, slices.Equal[[]trace.Term])
	if len(need) > maxNeedClauses {
		need = slices.Clip(need[:maxNeedClauses])
	}
	return need
}

func (m *matcher) need() trace.Need {
	if !caseSensitive {
		return nil
	}
	var need trace.Need
	if m.hasName {
		need = append(need, []trace.Term{trace.TermService(m.name)})
	}
	if m.hasType && m.typ != "" {
		need = append(need, []trace.Term{trace.TermServiceType(m.typ)})
	}
	if m.hasAccount && m.account != "" {
		need = append(need, []trace.Term{trace.TermAccount(m.account)})
	}
	return need
}

func (n *node) needAnnotation() trace.Need {
	a := trace.Annotation{Key: n.key.key}
	if n.op != opEqual {
		return one(trace.TermKey(a.Key))
	}
	switch n.value.typ {
	case typeBool:
		a.Type, a.Bool = segment.TypeBool, n.value.bool
	case typeNumber:
		a.Type, a.Number = segment.TypeNumber, n.value.number
	default:
		if !caseSensitive {
			return one(trace.TermKey(a.Key))
		}
		a.Type, a.String = segment.TypeString, n.value.text
	}
	return one(trace.TermValue(a))
}

// needKeyword returns what a keyword needs. What stands in braces is asked of
// one element; that some element has it is part of the row's terms.
func (n *node) needKeyword(in place, positive bool) trace.Need {
	if keywords[n.kw].typ == typeBool {
		isTrue, isFalse := n.compareBool(true), n.compareBool(false)
		if !positive {
			isTrue, isFalse = isTrue.negate(), isFalse.negate()
		}
		return n.needBool(in, isTrue == True, isFalse == True)
	}
	if positive && in == inTrace && keywords[n.kw].typ == typeNumber {
		return n.needNumber()
	}
	if !positive || n.op != opEqual {
		return nil
	}
	s := n.value.text
	if n.value.typ != typeText || s == "" || !caseSensitive {
		return nil
	}
	switch n.kw {
	case kwUser:
		return one(trace.TermUser(s))
	case kwZone:
		return one(trace.TermZone(s))
	case kwInstance:
		return one(trace.TermInstance(s))
	case kwARN:
		return one(trace.TermARN(s))
	case kwName:
		return one(trace.TermService(s))
	case kwType:
		return one(trace.TermServiceType(s))
	case kwAccount:
		return one(trace.TermAccount(s))
	}
	if in != inTrace {
		return nil // terms tell the request of the root alone
	}
	switch n.kw {
	case kwURL:
		return one(trace.TermURL(s))
	case kwMethod:
		return one(trace.TermMethod(s))
	case kwClientIP:
		return one(trace.TermClientIP(s))
	}
	return nil
}

// needNumber returns what it needs for a number of the root or the trace to match.
func (n *node) needNumber() trace.Need {
	if n.value.typ != typeNumber || n.op != opEqual && n.op != opGreater && n.op != opGreaterEqual {
		return nil
	}
	have := n.value.number
	if n.kw == kwStatus && n.op == opEqual && have == math.Trunc(have) && have != 0 && math.Abs(have) < 1<<31 {
		return one(trace.TermStatus(int(have)))
	}
	quantity, known := quantities[n.kw]
	if !known {
		return nil
	}
	if term, is := trace.TermAtLeast(quantity, have); is {
		return one(term)
	}
	return nil
}

var quantities = map[keyword]trace.Quantity{
	kwStatus:       trace.QuantityStatus,
	kwResponseTime: trace.QuantityResponseTime,
	kwDuration:     trace.QuantityDuration,
}

// needBool returns what it needs to match a flag, if only one of its values
// does. inferred, partial and the like have a term when they are true alone.
func (n *node) needBool(in place, matchesTrue, matchesFalse bool) trace.Need {
	if matchesTrue == matchesFalse {
		return nil
	}
	failure := []trace.Term{trace.TermMark(trace.MarkError), trace.TermMark(trace.MarkFault), trace.TermMark(trace.MarkThrottle)}
	if in != inTrace {
		failure = []trace.Term{trace.TermMark(trace.MarkAnyError), trace.TermMark(trace.MarkAnyFault), trace.TermMark(trace.MarkAnyThrottle)}
	}
	if n.kw == kwOK {
		if matchesTrue {
			return nil
		}
		return trace.Need{failure}
	}
	if !matchesTrue {
		return nil
	}
	switch n.kw {
	case kwError:
		return trace.Need{failure[:1]}
	case kwFault:
		return trace.Need{failure[1:2]}
	case kwThrottle:
		return trace.Need{failure[2:]}
	case kwPartial:
		return one(trace.TermMark(trace.MarkPartial))
	case kwInferred:
		return one(trace.TermMark(trace.MarkInferred))
	}
	return nil
}
