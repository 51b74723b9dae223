package trace

import "github.com/roentgen-io/roentgen/segment"

// Call is an arrow of a trace's service graph: from a segment, or from the
// client, to the segment that was called or to a callee that is inferred.
type Call struct {
	// Caller is the segment that made the call; nil for the client's call of a root.
	Caller *Entity
	// Parent is the entity of Caller that Callee names as its parent, or Sub when
	// the callee is inferred; nil for the client's call.
	Parent *Entity
	// Sub is the subsegment of namespace aws or remote that stands for the call.
	// It is nil where Callee names a segment, a local subsegment or nobody as its
	// parent: then the numbers of the call are those of Callee.
	Sub *Entity
	// Callee is the reported segment that was called; nil when it is inferred.
	Callee *Entity
	// Node is the node of the callee, reported or inferred.
	Node ServiceID
}

// Segment returns the segment or subsegment whose times and flags are those of
// the call, as its caller saw it.
func (c *Call) Segment() *segment.Segment {
	if c.Sub != nil {
		return c.Sub.Segment
	}
	return c.Callee.Segment
}

// Inferred reports whether nobody reported the callee.
func (c *Call) Inferred() bool { return c.Callee == nil }

// Calls returns the calls of a trace: those between reported segments and from
// the client, in the order of the callees' arrival, then the inferred ones in the
// order of the calls' own. The slice and what it refers to are not to be changed.
//
// A segment that names itself as its parent was called by nobody. Calls of an
// unfinished subsegment are not inferred: it may still be answered.
func (t *Trace) Calls() []Call { return t.calls }

// isCall reports whether a subsegment stands for a call to another service.
func isCall(s *segment.Segment) bool {
	return s.Kind != segment.KindSegment && (s.Namespace == namespaceAWS || s.Namespace == namespaceRemote)
}

// isInferred reports whether e is a call whose callee is inferred. It must be
// attached.
func isInferred(e *Entity) bool {
	return e.callee == nil && !e.Segment.InProgress && isCall(e.Segment)
}

// call adds the call that a reported segment answers: parent is what its
// parent_id names, nil when it has none and so was called by the client.
func (t *Trace) call(callee, parent *Entity) {
	c := Call{Callee: callee, Node: ServiceOf(callee.Segment)}
	if parent != nil {
		c.Parent = parent
		callee.nextCallee, parent.callee = parent.callee, callee
		if c.Caller = parent.segment; c.Caller == callee {
			return
		}
		if isCall(parent.Segment) {
			c.Sub = parent
		}
	}
	t.calls = append(t.calls, c)
}
