package trace

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/roentgen-io/roentgen/segment"
)

// maxDepth bounds the levels of an assembled tree, its segment included. No
// document nests deeper (1,000 levels of JSON are 500 of subsegments), but a
// chain of independent subsegments may, and neither our recursion nor a
// client's JSON parser survives a million levels. What would lie deeper hangs
// on the lowest level instead.
const maxDepth = 500

// state says whether a node's version counts.
type state uint8

const (
	// absent: no version is known, or the one that was went with its owner.
	absent state = iota
	inForce
	// suspended: the version that held this one was replaced by the document
	// being replayed, which may still hold it again.
	suspended
)

// node is what assembly knows about one id of the trace.
type node struct {
	Entity // Segment, Seq, Put and Received of the version in force

	// parent is the enclosing node while documents are replayed (nil unless the
	// version is nested), and what the entity hangs under afterwards.
	parent   *node
	ord      int // order of arrival of the version
	depth    int // 1 for segments and tops of orphans; 0 not reached yet
	children int // number of nodes whose parent this is
	state    state
	onPath   bool // encloses the entity that is being replayed
	attached bool // part of a segment's tree, or a segment
}

// assembly is the state of one call of Assemble.
type assembly struct {
	doc    *Document
	docs   int     // number of documents
	nodes  []*node // in the order in which their ids were met first
	byID   map[segment.SegmentID]*node
	chunk  []node // room for nodes; they must not move
	room   int    // size of the next chunk
	ord    int
	brief  bool
	lapsed []*node // suspended by the document being replayed
	stack  []*node

	seen int // nested entities in the documents replayed so far
	work int // nodes suspended and restored so far
}

// Below this number of nodes a search through all of them beats a map.
const searchBelow = 24

// Assemble builds the trace from its documents, which must be sorted by Seq and
// all carry id. It returns nil when docs is empty. Neither docs nor the
// segments are changed. Time and memory are linear in the number of entities
// (but for sorting them), whatever their shape.
func Assemble(id segment.TraceID, docs []Document) *Trace {
	return assembleAny(id, docs, false)
}

// AssembleBrief is Assemble without the documents of inferred segments, for less:
// Row and Calls of the trace are the same.
func AssembleBrief(id segment.TraceID, docs []Document) *Trace { return assembleAny(id, docs, true) }

// AssembleRow returns what Assemble(id, docs).Row() returns, for less.
func AssembleRow(id segment.TraceID, docs []Document) *Row {
	if len(docs) == 0 {
		return nil
	}
	return AssembleBrief(id, docs).Row()
}

func assembleAny(id segment.TraceID, docs []Document, brief bool) *Trace {
	switch {
	case len(docs) == 0:
		return nil
	case len(docs) == 1 && len(docs[0].Segment.Subsegments) == 0:
		return assembleOne(id, &docs[0])
	}
	return assemble(id, docs, brief)
}

// assembleOne is assemble for the commonest trace of all, one document that
// nests nothing. A test holds the two against each other.
func assembleOne(id segment.TraceID, d *Document) *Trace {
	one := &struct {
		trace  Trace
		entity Entity
		list   [1]*Entity
		calls  [1]Call
	}{
		trace: Trace{
			ID:         id,
			Revision:   1,
			Changed:    d.Received,
			FirstSeq:   d.Seq,
			LastSeq:    d.Seq,
			ChangedSeq: d.Seq,
		},
		entity: Entity{Segment: d.Segment, Seq: d.Seq, Put: d.Put, Received: d.Received},
	}
	t := &one.trace
	one.list[0] = &one.entity
	if s := d.Segment; s.Kind == segment.KindSegment {
		t.Segments, t.visible = one.list[:], one.list[:]
		t.partial = s.HasParent && s.ParentID != s.ID
		one.entity.segment = &one.entity
		if !s.HasParent {
			t.calls = one.calls[:0]
			t.call(&one.entity, nil)
		}
	} else {
		t.Orphans, t.hidden = one.list[:], one.list[:]
	}
	return t
}

// assemble builds the trace; brief says without inferred segments.
func assemble(id segment.TraceID, docs []Document, brief bool) *Trace {
	t := &Trace{ID: id, FirstSeq: docs[0].Seq, LastSeq: docs[len(docs)-1].Seq}
	a := &assembly{brief: brief, docs: len(docs), room: min(len(docs)+len(docs[0].Segment.Subsegments), 1024)}
	var puts []uint64 // that changed the trace, runs of equal ones once
	for i := range docs {
		d := &docs[i]
		if !a.replay(d) {
			continue
		}
		t.Changed, t.ChangedSeq = d.Received, d.Seq
		if len(puts) == 0 || puts[len(puts)-1] != d.Put {
			puts = append(puts, d.Put)
		}
	}
	slices.Sort(puts) // sorted already unless puts were interleaved
	t.Revision = len(slices.Compact(puts))
	a.finish(t)
	return t
}

// find returns the node of id, nil when the id was not met yet.
func (a *assembly) find(id segment.SegmentID) *node {
	if a.byID != nil {
		return a.byID[id]
	}
	for _, n := range a.nodes {
		if n.Segment.ID == id {
			return n
		}
	}
	return nil
}

// add returns a new node for s, which find does not know.
func (a *assembly) add(s *segment.Segment) *node {
	if len(a.chunk) == 0 {
		a.chunk = make([]node, max(a.room, 1))
		a.room = min(2*len(a.chunk), 1024)
	}
	n := &a.chunk[0]
	a.chunk = a.chunk[1:]
	n.Segment = s
	a.nodes = append(a.nodes, n)
	switch {
	case a.byID != nil:
		a.byID[s.ID] = n
	case len(a.nodes) > searchBelow:
		a.byID = make(map[segment.SegmentID]*node, max(a.docs, 2*searchBelow))
		for _, n := range a.nodes {
			a.byID[n.Segment.ID] = n
		}
	}
	return n
}

// replay takes in one document and reports whether it changed the trace.
func (a *assembly) replay(d *Document) bool {
	n := a.find(d.Segment.ID)
	if n == nil {
		n = a.add(d.Segment)
	} else if n.state == inForce {
		if !n.Segment.InProgress {
			return false
		}
		if same(n.Segment, d.Segment) && a.holdsAll(n) {
			return false // sent once more, by a client that heard no answer
		}
	}
	a.doc = d
	a.accept(n, d.Segment, nil)
	for _, n := range a.lapsed {
		if n.state == suspended {
			n.state, n.parent = absent, nil
		}
	}
	a.lapsed = a.lapsed[:0]
	return true
}

// holdsAll reports whether everything that n's version nests is in force as
// that version has it.
func (a *assembly) holdsAll(n *node) bool {
	for _, s := range n.Segment.Subsegments {
		m := a.find(s.ID)
		if !owns(n, m) || m.state != inForce || m.Segment != s || !a.holdsAll(m) {
			return false
		}
	}
	return true
}

// same reports whether two versions say the same.
func same(x, y *segment.Segment) bool {
	if x.Kind != y.Kind || x.ID != y.ID || x.ParentID != y.ParentID || x.HasParent != y.HasParent ||
		x.Name != y.Name || x.StartTime != y.StartTime || x.EndTime != y.EndTime || x.InProgress != y.InProgress ||
		x.Error != y.Error || x.Fault != y.Fault || x.Throttle != y.Throttle || x.Inferred != y.Inferred ||
		x.Namespace != y.Namespace || x.Origin != y.Origin || x.User != y.User || x.ResourceARN != y.ResourceARN ||
		!bytes.Equal(x.HTTP, y.HTTP) || !bytes.Equal(x.AWS, y.AWS) || !bytes.Equal(x.Service, y.Service) ||
		!bytes.Equal(x.SQL, y.SQL) || !bytes.Equal(x.Cause, y.Cause) || !bytes.Equal(x.Annotations, y.Annotations) ||
		!bytes.Equal(x.Metadata, y.Metadata) || !bytes.Equal(x.Links, y.Links) ||
		!bytes.Equal(x.PrecursorIDs, y.PrecursorIDs) || !sameAttributes(x.Attributes, y.Attributes) || x.SpanService != y.SpanService || len(x.Subsegments) != len(y.Subsegments) {
		return false
	}
	for i := range x.Subsegments {
		if !same(x.Subsegments[i], y.Subsegments[i]) {
			return false
		}
	}
	return true
}

func sameAttributes(x, y segment.Attributes) bool {
	if x == nil || y == nil {
		return x == nil && y == nil
	}
	list := func(from segment.Attributes) (all []segment.Attribute) {
		from.Each(func(a *segment.Attribute) { all = append(all, *a) })
		return all
	}
	return slices.Equal(list(x), list(y))
}

// accept makes s the version in force of n, held by parent, and takes in what
// s nests. A document nests as deep as segment.Limits allows, so recursion is
// bounded.
func (a *assembly) accept(n *node, s *segment.Segment, parent *node) {
	if n.state == inForce {
		a.suspendOwned(n)
	}
	n.Entity = Entity{Segment: s, Seq: a.doc.Seq, Put: a.doc.Put, Received: a.doc.Received}
	n.parent, n.state, n.ord = parent, inForce, a.ord
	a.ord++
	n.onPath = true
	for _, sub := range s.Subsegments {
		a.nested(sub, n)
	}
	n.onPath = false
}

// nested takes in s, which parent's version holds.
func (a *assembly) nested(s *segment.Segment, parent *node) {
	a.seen++
	n := a.find(s.ID)
	switch {
	case n == nil:
		n = a.add(s)
	case n.onPath:
		return // nothing is nested in itself
	case n.state == absent || n.Segment.InProgress:
		// s takes the place of nothing, or of what was in progress.
	case n.state == suspended && a.overworked():
	case n.state == suspended:
		a.restore(n, parent)
		return
	default:
		return // complete already
	}
	a.accept(n, s, parent)
}

// overworked reports whether suspending and restoring takes far more than the
// documents account for. Honest senders list what they hold, so that the two
// go together. But a small document can also bring back a huge tree that an
// earlier one sent, again and again; from here on the copies that such
// documents carry are taken instead, which keeps assembly linear.
func (a *assembly) overworked() bool { return a.work > 64*a.seen+1<<16 }

// owns reports whether m's version is one that n's version holds. Everything
// that n holds is listed among the subsegments of n's version; what is listed
// there is not held when another version of it came first or replaced it.
func owns(n, m *node) bool {
	return m != nil && m.parent == n && m.Segment.Kind == segment.KindNested
}

// suspendOwned suspends whatever n's version holds, at any depth. It does not
// recurse: restored versions pile up deeper than one document can nest.
func (a *assembly) suspendOwned(n *node) {
	stack := append(a.stack[:0], n)
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, s := range n.Segment.Subsegments {
			if m := a.find(s.ID); owns(n, m) && m.state == inForce {
				a.work++
				m.state = suspended
				a.lapsed = append(a.lapsed, m)
				stack = append(stack, m)
			}
		}
	}
	a.stack = stack
}

// restore brings a suspended version back, held by parent now, with whatever
// it holds itself and the document did not place elsewhere meanwhile.
func (a *assembly) restore(n, parent *node) {
	n.parent, n.state = parent, inForce
	stack := append(a.stack[:0], n)
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, s := range n.Segment.Subsegments {
			if m := a.find(s.ID); owns(n, m) && m.state == suspended {
				a.work++
				m.state = inForce
				stack = append(stack, m)
			}
		}
	}
	a.stack = stack
}

// finish attaches what is in force and fills t.
func (a *assembly) finish(t *Trace) {
	nodes, ordered := make([]*node, 0, len(a.nodes)), true
	for _, n := range a.nodes {
		if n.state != inForce {
			continue
		}
		ordered = ordered && (len(nodes) == 0 || nodes[len(nodes)-1].ord < n.ord)
		nodes = append(nodes, n)
	}
	if !ordered {
		slices.SortFunc(nodes, func(x, y *node) int { return cmp.Compare(x.ord, y.ord) })
	}

	for _, n := range nodes {
		if n.Segment.Kind == segment.KindNested {
			continue // replay left the holder in parent
		}
		n.parent = nil
		if s := n.Segment; s.Kind == segment.KindSubsegment && s.HasParent {
			if p := a.find(s.ParentID); p != nil && p.state == inForce {
				n.parent = p
			}
		}
	}
	var segments, orphans, held, attached int
	for _, n := range nodes {
		if n.depth == 0 {
			a.place(n)
		}
	}
	for _, n := range nodes {
		switch {
		case n.parent != nil:
			n.parent.children++
			held++
		case n.Segment.Kind == segment.KindSegment:
			segments++
		default:
			orphans++
		}
		if n.attached {
			attached++
		}
	}

	// One array holds every list of entities: what is visible, what is hidden,
	// segments, tops of orphans, and the children of each entity.
	room := make([]*Entity, len(nodes)+segments+orphans+held)
	take := func(n int) []*Entity {
		list := room[:0:n]
		room = room[n:]
		return list
	}
	t.visible, t.hidden = take(attached), take(len(nodes)-attached)
	t.Segments, t.Orphans = take(segments), take(orphans)
	for _, n := range nodes {
		e := &n.Entity
		if n.children > 0 {
			e.Children = take(n.children)
		}
		if n.attached {
			e.pos = int32(len(t.visible))
			t.visible = append(t.visible, e)
		} else {
			t.hidden = append(t.hidden, e)
		}
		switch {
		case n.parent != nil:
			// The parent may have arrived later and have no room for children yet.
			e.Parent = &n.parent.Entity
		case n.Segment.Kind == segment.KindSegment:
			e.at = int32(len(t.Segments))
			t.Segments = append(t.Segments, e)
		default:
			t.Orphans = append(t.Orphans, e)
		}
	}
	for _, n := range nodes {
		if p := n.Entity.Parent; p != nil {
			p.Children = append(p.Children, &n.Entity)
		}
	}

	t.calls = make([]Call, 0, len(t.Segments)+2)
	for _, e := range t.Segments {
		if !e.Segment.HasParent {
			t.call(e, nil)
			continue
		}
		if p := a.find(e.Segment.ParentID); p != nil && p.state == inForce && p.attached {
			t.call(e, &p.Entity)
		} else {
			t.partial = true
		}
	}
	a.infer(t, nodes)
}

// place finds the depth of n and whether it is attached, and the same for
// whatever lies between n and what has its place already. Of a loop of parents
// the entity that arrived first becomes the top of an orphan tree.
func (a *assembly) place(n *node) {
	path := a.stack[:0]
	top := -1 // index of the node that opened a loop
	for m := n; m != nil && m.depth == 0; m = m.parent {
		if m.onPath {
			first := m
			for k := m.parent; k != m; k = k.parent {
				if k.ord < first.ord {
					first = k
				}
			}
			first.holder = first.parent.Segment.ID
			first.parent = nil
			top = slices.Index(path, first)
			break
		}
		m.onPath = true
		path = append(path, m)
	}
	// Each node of the path is the child of the next one. Where a loop was
	// opened, the last one is the child of an earlier one, below the opening.
	for i := top; i >= 0; i-- {
		path[i].settle()
	}
	for i := len(path) - 1; i > top; i-- {
		path[i].settle()
	}
	a.stack = path
}

// settle places n, whose parent has its place.
func (n *node) settle() {
	n.onPath = false
	p := n.parent
	if p == nil {
		n.depth, n.attached = 1, n.Segment.Kind == segment.KindSegment
		if n.attached {
			n.Entity.segment = &n.Entity
		}
		return
	}
	n.attached, n.Entity.segment = p.attached, p.Entity.segment
	if p.depth == maxDepth {
		n.depth, n.parent = maxDepth, p.parent
		return
	}
	n.depth = p.depth + 1
}
