package trace

import (
	"math"

	"github.com/roentgen-io/roentgen/segment"
)

// Document is one stored document of a trace.
type Document struct {
	Seq      uint64 // order of arrival, unique in the store
	Put      uint64 // number of the put (one call of a client) that brought it
	Received int64  // receipt on our clock, unix milliseconds
	Segment  *segment.Segment
}

// Entity is a segment or subsegment whose version in force was chosen.
type Entity struct {
	// Segment is the version in force, as it was reported. Its Subsegments are
	// what that document nested, not what belongs to the trace: use Children.
	Segment  *segment.Segment
	Parent   *Entity   // entity it hangs under; nil for segments and for the tops of orphans
	Children []*Entity // attached subsegments, in the order of arrival
	Seq      uint64    // of the document in force
	Put      uint64
	Received int64 // unix milliseconds

	// holder is the id of the entity that nested this one, when this is the top
	// of an orphan tree because that entity lies below it.
	holder segment.SegmentID
	// segment is the segment that this belongs to, itself included; nil for orphans.
	segment *Entity
	// callee is a reported segment that names this as its parent, and nextCallee the
	// next one that names the same parent.
	callee, nextCallee *Entity

	at  int32 // position in Trace.Segments, of segments only
	pos int32 // position in Trace.visible
}

// Trace is an assembled trace. It is not changed after Assemble returned it,
// and may be read by several goroutines. It refers to the documents it was
// assembled from, and thereby to the bytes they were parsed from.
type Trace struct {
	ID       segment.TraceID
	Segments []*Entity          // reported segments, in the order of arrival
	Inferred []*segment.Segment // inferred callees, ready to encode; none after AssembleBrief
	Orphans  []*Entity          // subsegments whose parent is unknown, with their trees

	Revision int    // number of puts that changed the trace, from 1
	Changed  int64  // receipt of the latest accepted change, unix milliseconds
	FirstSeq uint64 // of the first document
	LastSeq  uint64 // of the last document, ignored ones included
	// ChangedSeq is that of the last document that changed the trace.
	ChangedSeq uint64

	// visible are the segments and attached subsegments and hidden the orphans
	// with their trees, both in the order of arrival.
	visible, hidden []*Entity
	partial         bool // a segment names a parent that is not among visible
	calls           []Call
}

// SegmentDocument is an element of a trace's Segments in the X-Ray API.
type SegmentDocument struct {
	ID       string
	Document []byte // JSON
}

// Duration returns the seconds from the earliest start to the latest end over
// reported segments and attached subsegments, and false where the service
// answers null. Starts of 0 or less do not count, ends only of what is
// complete (BatchGetTraces). The result is rounded to the microsecond: finer
// digits of a difference of epoch seconds are noise.
func (t *Trace) Duration() (float64, bool) {
	start, end := math.Inf(1), math.Inf(-1)
	for _, e := range t.visible {
		if s := e.Segment.StartTime; s > 0 && s < start {
			start = s
		}
		if !e.Segment.InProgress && e.Segment.EndTime > end {
			end = e.Segment.EndTime
		}
	}
	return between(start, end)
}

// between returns end - start rounded to the microsecond, and false when that
// is negative or no number.
func between(start, end float64) (float64, bool) {
	d := end - start
	if !(d >= 0) || math.IsInf(d, 0) {
		return 0, false
	}
	if d < 1<<32 { // beyond, a float64 has no digits below the microsecond anyway
		d = math.Round(d*1e6) / 1e6
	}
	return d, true
}

// Each calls fn for the version in force of every segment and subsegment that was
// reported, those above others before these: first segments with what belongs to
// them, then orphans. owner is the segment that e belongs to, or the top of its
// tree of orphans; parent, when hasParent, is the id of what e hangs under, whether
// that is in the trace or not.
func (t *Trace) Each(fn func(e, owner *Entity, parent segment.SegmentID, hasParent bool)) {
	var walk func(e, owner *Entity)
	walk = func(e, owner *Entity) {
		switch {
		case e.Parent != nil:
			fn(e, owner, e.Parent.Segment.ID, true)
		case e.Segment.Kind == segment.KindNested: // the top of a loop
			fn(e, owner, e.holder, true)
		default:
			fn(e, owner, e.Segment.ParentID, e.Segment.HasParent)
		}
		for _, child := range e.Children {
			walk(child, owner)
		}
	}
	for _, list := range [...][]*Entity{t.Segments, t.Orphans} {
		for _, e := range list {
			walk(e, e)
		}
	}
}

// Documents returns the trace as the X-Ray service gives it back: each reported
// segment with its attached subsegments, then the inferred ones. withOrphans
// adds the orphans, each as an independent subsegment document, which AWS hides.
func (t *Trace) Documents(withOrphans bool) []SegmentDocument {
	n := len(t.Segments) + len(t.Inferred)
	if withOrphans {
		n += len(t.Orphans)
	}
	docs := make([]SegmentDocument, 0, n)
	add := func(s *segment.Segment) {
		docs = append(docs, SegmentDocument{ID: s.ID.String(), Document: s.AppendDocument(nil)})
	}
	for _, e := range t.Segments {
		add(given(e))
	}
	for _, s := range t.Inferred {
		add(s)
	}
	if withOrphans {
		for _, e := range t.Orphans {
			add(t.independent(e))
		}
	}
	return docs
}

// given returns the version in force of e with its attached tree as
// subsegments, in the form in which it is given back. What need not be changed
// is shared with the parsed segment; what must be is copied, since a parsed
// segment is never changed. The depth of the recursion is at most maxDepth.
func given(e *Entity) *segment.Segment {
	s := e.Segment
	aws, changed := s.AWS, len(e.Children) != len(s.Subsegments)
	if s.Kind != segment.KindSegment && s.Namespace == namespaceAWS {
		if res, _ := resource(s.Name, aws); res != nil {
			var named bool
			aws, named = withResourceName(aws, res)
			changed = changed || named
		}
	}
	var subs []*segment.Segment
	if len(e.Children) > 0 {
		subs = make([]*segment.Segment, len(e.Children))
		for i, child := range e.Children {
			subs[i] = given(child)
			changed = changed || subs[i] != s.Subsegments[i]
		}
	}
	nest := e.Parent != nil && s.Kind != segment.KindNested
	if !changed && !nest {
		return s
	}
	c := *s
	c.AWS, c.Subsegments = aws, subs
	if nest {
		c.Kind, c.TraceID = segment.KindNested, segment.TraceID{}
		c.ParentID, c.HasParent = 0, false
	}
	return &c
}

// independent returns an orphan as an independent subsegment document. One that
// came nested (it is part of a loop) names the entity that held it.
func (t *Trace) independent(e *Entity) *segment.Segment {
	s := given(e)
	if s.Kind == segment.KindSubsegment {
		return s
	}
	c := *s
	c.Kind, c.TraceID = segment.KindSubsegment, t.ID
	c.ParentID, c.HasParent = e.holder, true
	return &c
}
