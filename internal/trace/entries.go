package trace

import "github.com/roentgen-io/roentgen/segment"

// LinkKey is the key under which the traces that a trace has links to can be searched
// for, as if they were annotations: annotation[link.trace_id] = "1-...".
const LinkKey = "link.trace_id"

// Entry is a segment or subsegment of a trace without what is nested in it.
type Entry struct {
	// Parent is the number of the entry that this one is nested in, -1 for tops: segments,
	// inferred callees and the tops of orphans.
	Parent int
	Orphan bool // it belongs to a tree whose parent is not in the trace

	s   *segment.Segment
	top *Trace  // of tops of orphans that came nested
	e   *Entity // nil for inferred callees
}

// Segment returns the segment in force as it was reported; the parent, the nested
// subsegments and the kind that it says may not be those that count.
func (e *Entry) Segment() *segment.Segment { return e.s }

// Seq returns the seq of the document in force, 0 for inferred callees.
func (e *Entry) Seq() uint64 {
	if e.e == nil {
		return 0
	}
	return e.e.Seq
}

// Up returns the id of the segment or subsegment that a top hangs under, which
// may be missing from the trace; false when it says none, or is no top.
func (e *Entry) Up() (segment.SegmentID, bool) {
	switch {
	case e.Parent >= 0:
		return 0, false
	case e.top != nil && e.s.Kind == segment.KindNested:
		return e.e.holder, true
	}
	return e.s.ParentID, e.s.HasParent
}

// AppendDocument appends the entry as it is given back, without what is nested in it.
func (e *Entry) AppendDocument(dst []byte) []byte {
	if e.e == nil {
		return e.s.AppendDocument(dst)
	}
	alone := *e.e
	alone.Children = nil
	if e.top != nil {
		return e.top.independent(&alone).AppendDocument(dst)
	}
	return given(&alone).AppendDocument(dst)
}

// Entries calls fn for all that Documents gives, one by one, numbered from 0 and
// parents before what is nested in them, until fn returns false. The entry is good until fn returns.
func (t *Trace) Entries(fn func(n int, e *Entry) bool) {
	n := 0
	var entry Entry
	// Without recursion: what is nested lies on a stack, last one first.
	type item struct {
		e      *Entity
		parent int
	}
	var stack []item
	walk := func(top *Entity, orphan bool) bool {
		for stack = append(stack[:0], item{top, -1}); len(stack) > 0; n++ {
			at := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			entry = Entry{Parent: at.parent, Orphan: orphan, s: at.e.Segment, e: at.e}
			if orphan && at.parent < 0 {
				entry.top = t
			}
			if !fn(n, &entry) {
				return false
			}
			for i := len(at.e.Children) - 1; i >= 0; i-- {
				stack = append(stack, item{at.e.Children[i], n})
			}
		}
		return true
	}
	for _, e := range t.Segments {
		if !walk(e, false) {
			return
		}
	}
	for _, s := range t.Inferred {
		entry = Entry{Parent: -1, s: s}
		if !fn(n, &entry) {
			return
		}
		n++
	}
	for _, e := range t.Orphans {
		if !walk(e, true) {
			return
		}
	}
}
