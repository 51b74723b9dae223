package servicegraph

import (
	"math"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/segment"
)

// Outcome is how a request ended.
type Outcome uint8

const (
	OK Outcome = iota
	Error
	Throttle
	Fault
)

// outcomeOf counts whatever carries several flags once: a throttle is no error,
// and a fault neither.
func outcomeOf(s *segment.Segment) Outcome {
	switch {
	case s.Throttle.True():
		return Throttle
	case s.Fault.True():
		return Fault
	case s.Error.True():
		return Error
	}
	return OK
}

// Alias is another name of a callee: the one under which its caller knows it.
type Alias struct{ Name, Type string }

// Contribution is one observation: what a segment adds to its node, or a call
// to its edge. Its texts refer to the documents of the trace. Contributions are
// comparable, so that what did not change between two versions of a trace can
// be left alone.
type Contribution struct {
	At  int64 // unix milliseconds: the receipt that made it count
	Key Key

	Outcome  Outcome
	Root     bool  // of a node: the segment is a root; of an edge: the caller is
	Response int64 // nanoseconds, 0 when the end lies before the start
	// Envelope is, for a node, the time from the earliest start to the latest end
	// of the segment and its subsegments; for an edge it is Response.
	Envelope int64
	Start    int64 // unix seconds: when the root of the trace began
	Alias    Alias // of an edge; empty when there is none
}

// The start of a root, in unix seconds, lies between the years 1 and 9999,
// whatever documents say.
const (
	minStart = -62135596800
	maxStart = 253402300799
)

// Contributions appends what a trace adds to the service graph: one
// contribution for each segment, call and inferred callee that counts. It is a
// function of the assembled trace alone, so that what a later document changes
// is the difference of before and after.
//
// A segment counts from the receipt of the document that completed it. A call
// counts once its caller's segment is complete, at the latest receipt among the
// entities from the call up to that segment; who answers it later only changes
// where its edge points. An inferred callee counts as its call does.
func Contributions(dst []Contribution, t *trace.Trace) []Contribution {
	start := rootStartOf(t)
	for _, e := range t.Segments {
		s := e.Segment
		if s.InProgress {
			continue
		}
		c := Contribution{
			At:       e.Received,
			Key:      Key{From: nodeOf(s)},
			Outcome:  outcomeOf(s),
			Root:     !s.HasParent,
			Response: response(s),
			Start:    start,
		}
		c.Envelope = c.Response
		if len(e.Children) > 0 {
			c.Envelope = envelope(e)
		}
		dst = append(dst, c)
	}
	calls := t.Calls()
	var twice map[answer]bool
	var caller *trace.Entity // the last one, and its node
	var from Node
	for i := range calls {
		call := &calls[i]
		s := call.Segment()
		if s.InProgress {
			continue
		}
		c := Contribution{Outcome: outcomeOf(s), Response: response(s), Start: start}
		c.Envelope = c.Response
		switch {
		case call.Inferred():
			c.Key.To = Node{ServiceID: cutService(call.Node), Kind: inferredKind(call.Node.Type)}
		default:
			c.Key.To = Node{ServiceID: cutService(call.Node), Kind: KindReported}
			if callee := call.Callee.Segment; callee.Inferred {
				c.Key.To.Kind = inferredKind(call.Node.Type)
			} else if call.Sub != nil && s.Namespace == typeRemote {
				c.Alias = Alias{Name: cut(s.Name), Type: typeRemote}
			}
		}
		if call.Caller == nil {
			c.At = call.Callee.Received
			c.Key.From = Node{Kind: KindClient}
			c.Key.From.Name, c.Key.From.Type = c.Key.To.Name, typeClient
			dst = append(dst, c)
			continue
		}
		if call.Caller.Segment.InProgress {
			continue
		}
		if call.Caller != caller {
			caller, from = call.Caller, nodeOf(call.Caller.Segment)
		}
		c.Key.From = from
		c.Root = !caller.Segment.HasParent
		if call.Sub == nil {
			c.At = call.Callee.Received
		}
		for e := call.Parent; e != nil; e = e.Parent {
			c.At = max(c.At, e.Received)
		}
		if call.Sub != nil && call.Callee != nil {
			// Several segments may answer one call: it is still one.
			if twice == nil && i > 16 {
				twice = make(map[answer]bool)
				for j := range calls[:i] {
					if before := &calls[j]; before.Sub != nil {
						twice[answerOf(before)] = true
					}
				}
			}
			a := answerOf(call)
			if twice != nil {
				if twice[a] {
					continue
				}
				twice[a] = true
			} else if answeredBefore(calls[:i], a) {
				continue
			}
		}
		dst = append(dst, c)
		if call.Inferred() {
			c.Key, c.Root = Key{From: c.Key.To}, false
			dst = append(dst, c)
		}
	}
	return dst
}

// answer is a call together with the node that answered it.
type answer struct {
	call *trace.Entity
	node Node
}

func answerOf(c *trace.Call) answer {
	a := answer{call: c.Sub, node: Node{ServiceID: cutService(c.Node), Kind: KindReported}}
	if c.Callee != nil && c.Callee.Segment.Inferred {
		a.node.Kind = inferredKind(c.Node.Type)
	}
	return a
}

func answeredBefore(calls []trace.Call, a answer) bool {
	for i := range calls {
		if c := &calls[i]; c.Sub == a.call && c.Callee != nil && answerOf(c) == a {
			return true
		}
	}
	return false
}

// nodeOf returns the node of a reported segment.
func nodeOf(s *segment.Segment) Node {
	n := Node{ServiceID: cutService(trace.ServiceOf(s)), Kind: KindReported}
	if s.Inferred { // a trace that was read from X-Ray and written here
		n.Kind = inferredKind(n.Type)
	}
	return n
}

func inferredKind(typ string) Kind {
	if typ == typeRemote {
		return KindRemote
	}
	return KindInferred
}

// response returns the nanoseconds that a complete segment took.
func response(s *segment.Segment) int64 { return between(s.StartTime, s.EndTime) }

// between returns the nanoseconds from start to end, both in seconds: 0 when
// the end lies before the start, at most maxNanos.
func between(start, end float64) int64 {
	switch d := end - start; {
	case !(d > 0):
		return 0
	case d >= maxNanos/1e9:
		return maxNanos
	}
	return min(max(trace.Nanos(end)-trace.Nanos(start), 0), maxNanos)
}

// envelope returns the nanoseconds from the earliest start to the latest end in
// the tree of the complete segment e.
func envelope(e *trace.Entity) int64 {
	return between(widen(e, e.Segment.StartTime, e.Segment.EndTime))
}

// widen widens the bounds by the subsegments below e: starts of 0 or less do not
// count, as in the duration of a trace, and ends only of what is complete. The
// depth of the recursion is that of an assembled tree, at most 500.
func widen(e *trace.Entity, start, end float64) (float64, float64) {
	for _, child := range e.Children {
		if s := child.Segment; s.StartTime > 0 {
			start = min(start, s.StartTime)
		}
		if s := child.Segment; !s.InProgress {
			end = max(end, s.EndTime)
		}
		start, end = widen(child, start, end)
	}
	return start, end
}

// rootStartOf returns when the root of a trace began, in unix seconds: of
// several roots the one that began first, of none the segment that did.
func rootStartOf(t *trace.Trace) int64 {
	first, isRoot := math.Inf(1), false
	for _, e := range t.Segments {
		s := e.Segment
		switch root := !s.HasParent; {
		case root && !isRoot:
			first, isRoot = s.StartTime, true
		case root == isRoot:
			first = min(first, s.StartTime)
		}
	}
	return int64(min(max(math.Floor(first), minStart), maxStart))
}
