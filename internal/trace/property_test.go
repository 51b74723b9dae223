package trace

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/segment"
)

// The rules of assembly once more, written for the eye and not for speed: maps
// that are searched from end to end, recursion, nothing shared with Assemble.

type modelEntity struct {
	version *segment.Segment
	holder  *segment.Segment // version that holds this one, when it is nested
	seq     uint64
	order   int
}

type model struct {
	world    map[segment.SegmentID]modelEntity
	lapsed   map[segment.SegmentID]modelEntity
	order    int
	puts     map[uint64]bool
	changed  int64
	segments []segment.SegmentID // in the order of arrival, as the lists below
	visible  []segment.SegmentID
	hidden   []segment.SegmentID
	parent   map[segment.SegmentID]segment.SegmentID
	inferred []segment.SegmentID // calls
	partial  bool
}

func newModel(docs []Document) *model {
	m := &model{world: map[segment.SegmentID]modelEntity{}, puts: map[uint64]bool{}}
	for _, d := range docs {
		if e, ok := m.world[d.Segment.ID]; ok && (!e.version.InProgress || reflect.DeepEqual(e.version, d.Segment) && m.whole(e.version)) {
			continue
		}
		m.puts[d.Put], m.changed = true, d.Received
		m.lapsed = map[segment.SegmentID]modelEntity{}
		m.hold(d, d.Segment, nil, nil)
	}
	m.attach()
	return m
}

// whole reports whether all that a version nests is held by it.
func (m *model) whole(version *segment.Segment) bool {
	for _, sub := range version.Subsegments {
		if e := m.world[sub.ID]; e.version != sub || e.holder != version || !m.whole(sub) {
			return false
		}
	}
	return true
}

func (m *model) hold(d Document, s, holder *segment.Segment, path []segment.SegmentID) {
	if e, ok := m.world[s.ID]; ok {
		m.lapse(e.version)
	}
	delete(m.lapsed, s.ID)
	m.world[s.ID] = modelEntity{version: s, holder: holder, seq: d.Seq, order: m.order}
	m.order++
	path = append(slices.Clone(path), s.ID)
	for _, sub := range s.Subsegments {
		if slices.Contains(path, sub.ID) {
			continue
		}
		there, ok := m.world[sub.ID]
		before, was := m.lapsed[sub.ID]
		switch {
		case ok && !there.version.InProgress:
		case !ok && was && !before.version.InProgress:
			m.revive(sub.ID, s)
		default:
			m.hold(d, sub, s, path)
		}
	}
}

// lapse sets aside what a version holds.
func (m *model) lapse(version *segment.Segment) {
	for k, e := range maps.Clone(m.world) {
		if e.holder == version {
			delete(m.world, k)
			m.lapsed[k] = e
			m.lapse(e.version)
		}
	}
}

func (m *model) revive(id segment.SegmentID, holder *segment.Segment) {
	e := m.lapsed[id]
	delete(m.lapsed, id)
	e.holder = holder
	m.world[id] = e
	for k, below := range maps.Clone(m.lapsed) {
		if below.holder == e.version {
			m.revive(k, e.version)
		}
	}
}

func (m *model) attach() {
	ids := slices.SortedFunc(maps.Keys(m.world), func(x, y segment.SegmentID) int { return m.world[x].order - m.world[y].order })
	up := func(id segment.SegmentID) (segment.SegmentID, bool) {
		e := m.world[id]
		var p segment.SegmentID
		switch e.version.Kind {
		case segment.KindSegment:
			return 0, false
		case segment.KindSubsegment:
			p = e.version.ParentID
		case segment.KindNested:
			p = e.holder.ID
		}
		_, ok := m.world[p]
		return p, ok
	}
	m.parent = map[segment.SegmentID]segment.SegmentID{}
	called := map[segment.SegmentID]bool{}
	for _, id := range ids {
		// Walk up as many steps as there are entities; who has not arrived by then
		// runs in circles.
		top, walked := id, []segment.SegmentID{id}
		for range ids {
			p, ok := up(top)
			if !ok {
				break
			}
			top = p
			walked = append(walked, p)
		}
		if p, ok := up(id); ok {
			m.parent[id] = p
			if i := slices.Index(walked[1:], id); i >= 0 {
				first := id
				for _, other := range walked[:i+1] {
					if m.world[other].order < m.world[first].order {
						first = other
					}
				}
				if first == id {
					delete(m.parent, id)
				}
			}
		}
		if m.world[top].version.Kind == segment.KindSegment {
			m.visible = append(m.visible, id)
		} else {
			m.hidden = append(m.hidden, id)
		}
		if m.world[id].version.Kind == segment.KindSegment {
			m.segments = append(m.segments, id)
		}
	}
	for _, id := range m.segments {
		if s := m.world[id].version; s.HasParent {
			if slices.Contains(m.visible, s.ParentID) {
				called[s.ParentID] = true
			} else {
				m.partial = true
			}
		}
	}
	for _, id := range m.visible {
		s := m.world[id].version
		if s.Kind != segment.KindSegment && !s.InProgress && !called[id] && (s.Namespace == "aws" || s.Namespace == "remote") {
			m.inferred = append(m.inferred, id)
		}
	}
}

// describe tells all that is to be compared of a model ...
func (m *model) describe() string {
	var b strings.Builder
	for _, id := range m.visible {
		fmt.Fprintf(&b, "visible %x v%p seq %d under %x\n", uint64(id), m.world[id].version, m.world[id].seq, uint64(m.parent[id]))
	}
	for _, id := range m.hidden {
		fmt.Fprintf(&b, "hidden %x v%p seq %d under %x\n", uint64(id), m.world[id].version, m.world[id].seq, uint64(m.parent[id]))
	}
	for _, id := range m.segments {
		fmt.Fprintf(&b, "segment %x\n", uint64(id))
	}
	for _, id := range m.hidden {
		if _, ok := m.parent[id]; !ok {
			fmt.Fprintf(&b, "orphan %x\n", uint64(id))
		}
	}
	for _, id := range append(slices.Clone(m.visible), m.hidden...) {
		for _, child := range append(slices.Clone(m.visible), m.hidden...) {
			if m.parent[child] == id {
				fmt.Fprintf(&b, "child of %x: %x\n", uint64(id), uint64(child))
			}
		}
	}
	for _, id := range m.inferred {
		fmt.Fprintf(&b, "inferred for %x\n", uint64(id))
	}
	fmt.Fprintf(&b, "revision %d changed %d partial %t\n", len(m.puts), m.changed, m.partial)
	return b.String()
}

// ... and describe of a trace tells the same of that.
func describe(t *Trace) string {
	var b strings.Builder
	under := func(e *Entity) uint64 {
		if e.Parent == nil {
			return 0
		}
		return uint64(e.Parent.Segment.ID)
	}
	for _, e := range t.visible {
		fmt.Fprintf(&b, "visible %x v%p seq %d under %x\n", uint64(e.Segment.ID), e.Segment, e.Seq, under(e))
	}
	for _, e := range t.hidden {
		fmt.Fprintf(&b, "hidden %x v%p seq %d under %x\n", uint64(e.Segment.ID), e.Segment, e.Seq, under(e))
	}
	for _, e := range t.Segments {
		fmt.Fprintf(&b, "segment %x\n", uint64(e.Segment.ID))
	}
	for _, e := range t.Orphans {
		fmt.Fprintf(&b, "orphan %x\n", uint64(e.Segment.ID))
	}
	for _, e := range append(slices.Clone(t.visible), t.hidden...) {
		for _, c := range e.Children {
			fmt.Fprintf(&b, "child of %x: %x\n", uint64(e.Segment.ID), uint64(c.Segment.ID))
		}
	}
	for _, s := range t.Inferred {
		fmt.Fprintf(&b, "inferred for %x\n", uint64(s.ParentID))
	}
	fmt.Fprintf(&b, "revision %d changed %d partial %t\n", t.Revision, t.Changed, t.partial)
	return b.String()
}

var propertyTrace = segment.TraceID{0x5f, 0x84, 0xc7, 0xa1, 1, 2, 3}

// chaos returns documents without any sense to them: a few ids in all places.
func chaos(rng *rand.Rand) []Document {
	ids := 2 + rng.IntN(9)
	open := rng.IntN(4) // the more, the more versions are unfinished
	id := func() segment.SegmentID { return segment.SegmentID(1 + rng.IntN(ids)) }
	var make func(kind segment.Kind, depth int) *segment.Segment
	make = func(kind segment.Kind, depth int) *segment.Segment {
		s := &segment.Segment{
			Kind: kind, ID: id(), Name: "s", StartTime: float64(rng.IntN(5)), EndTime: float64(rng.IntN(200)),
			InProgress: rng.IntN(4) < open, Namespace: []string{"", "", "aws", "remote"}[rng.IntN(4)],
		}
		if kind != segment.KindNested {
			s.TraceID = propertyTrace
		}
		if kind == segment.KindSubsegment || kind == segment.KindSegment && rng.IntN(3) == 0 {
			s.HasParent, s.ParentID = true, segment.SegmentID(1+rng.IntN(ids+1))
		}
		if s.InProgress {
			s.EndTime = 0
		}
		decorate(rng, s)
		for depth > 0 && rng.IntN(3) > 0 {
			s.Subsegments = append(s.Subsegments, make(segment.KindNested, depth-1))
		}
		return s
	}
	var docs []Document
	put := uint64(1)
	for i := range 1 + rng.IntN(10) {
		kind := segment.KindSubsegment
		if rng.IntN(3) == 0 {
			kind = segment.KindSegment
		}
		put += uint64(rng.IntN(2))
		s := make(kind, rng.IntN(4))
		if i > 0 && rng.IntN(4) == 0 {
			s = clone(docs[rng.IntN(i)].Segment) // sent once more
		}
		d := Document{Seq: uint64(10 + 3*i), Put: put, Received: rng.Int64N(1e6), Segment: s}
		if rng.IntN(20) == 0 {
			d.Put-- // puts that are interleaved
		}
		docs = append(docs, d)
	}
	return docs
}

// decorate gives a segment what entries of rows and root causes look at.
func decorate(rng *rand.Rand, s *segment.Segment) {
	s.Name = []string{"s", "t", "DynamoDB"}[rng.IntN(3)]
	flag := func() segment.Flag {
		return []segment.Flag{segment.FlagAbsent, segment.FlagTrue, segment.FlagFalse}[rng.IntN(3)]
	}
	s.Error, s.Fault, s.Throttle = flag(), flag(), flag()
	switch rng.IntN(5) {
	case 0, 1:
		s.Cause = segment.Raw(fmt.Sprintf(`{"exceptions":[{"id":"%016x","type":"T","message":"m"}]}`, rng.IntN(4)))
	case 2:
		s.Cause = segment.Raw(fmt.Sprintf(`"%016x"`, rng.IntN(4)))
	}
	if rng.IntN(3) == 0 {
		s.HTTP = segment.Raw(fmt.Sprintf(`{"response":{"status":%d}}`, 200+rng.IntN(2)))
	}
	if rng.IntN(2) == 0 {
		s.Annotations = segment.Raw(fmt.Sprintf(`{"k%d":%d,"aws.remote.operation":"o%d"}`, rng.IntN(3), rng.IntN(3), rng.IntN(2)))
	}
	if rng.IntN(8) == 0 {
		s.Inferred = true
	}
}

// entries tells what a row must say of single segments and calls.
func (m *model) entries() string {
	var b strings.Builder
	owner := func(id segment.SegmentID) segment.SegmentID {
		for {
			p, ok := m.parent[id]
			if !ok {
				return id
			}
			id = p
		}
	}
	numbers := func(s *segment.Segment, marks string) string {
		text := marks
		if s.Throttle.True() {
			text += " throttle"
		} else if s.Error.True() {
			text += " error"
		}
		if s.Fault.True() {
			text += " fault"
		}
		if s.InProgress {
			text += " open"
		} else {
			text += fmt.Sprintf(" to %v", s.EndTime)
			if s.EndTime >= s.StartTime {
				text += fmt.Sprintf(" in %v", s.EndTime-s.StartTime)
			}
		}
		if status, ok := s.HTTP.Get("response", "status").Number(); ok {
			text += fmt.Sprintf(" status %v", status)
		}
		return text
	}
	has := func(list map[string]bool) string {
		return strings.Join(slices.Sorted(maps.Keys(list)), ",")
	}
	for _, id := range m.segments {
		s := m.world[id].version
		found := map[string]bool{}
		for _, e := range m.visible {
			if owner(e) == id {
				m.world[e].version.Annotations.Members(func(k string, v segment.Raw) bool {
					found[k+"="+string(v)] = true
					return true
				})
			}
		}
		marks := ""
		if s.Inferred {
			marks += " inferred"
		}
		if !s.HasParent {
			marks += " root"
		}
		fmt.Fprintf(&b, "segment %v%s has %s\n", ServiceOf(s), numbers(s, marks), has(found))
	}
	top := (&Trace{Segments: m.entities()}).root()
	for _, id := range m.segments {
		s := m.world[id].version
		switch {
		case !s.HasParent:
			fmt.Fprintf(&b, "call %v to %v%s has \n", ServiceID{Name: top.Segment.Name, Type: "client"}, ServiceOf(s), numbers(s, ""))
		case slices.Contains(m.visible, s.ParentID) && owner(s.ParentID) != id:
			from, seen := m.world[owner(s.ParentID)].version, m.world[s.ParentID].version
			if seen.Kind == segment.KindSegment || seen.Namespace == "" {
				seen = s
			}
			fmt.Fprintf(&b, "call %v to %v%s has \n", ServiceOf(from), ServiceOf(s), numbers(seen, ""))
		}
	}
	for _, id := range m.inferred {
		s := m.world[id].version
		found := map[string]bool{}
		if v := s.Annotations.Get("aws.remote.operation"); v != nil {
			found["aws.local.operation="+string(v)] = true
		}
		node, _, _ := calleeOf(s)
		fmt.Fprintf(&b, "call %v to %v%s has %s\n", ServiceOf(m.world[owner(id)].version), node, numbers(s, " inferred"), has(found))
	}
	return b.String()
}

func (m *model) entities() (list []*Entity) {
	for _, id := range m.segments {
		list = append(list, &Entity{Segment: m.world[id].version})
	}
	return list
}

// entriesOf tells the same of a row.
func entriesOf(r *Row) string {
	var b strings.Builder
	numbers := func(flags Flags, status int, end int64, duration float64, has bool, annotations []int) string {
		text := ""
		for _, f := range []struct {
			flag Flags
			name string
		}{{FlagInferred, "inferred"}, {FlagRoot, "root"}, {FlagThrottle, "throttle"}, {FlagError, "error"}, {FlagFault, "fault"}, {FlagInProgress, "open"}} {
			if flags&f.flag != 0 {
				text += " " + f.name
			}
		}
		if flags&FlagInProgress == 0 {
			text += fmt.Sprintf(" to %v", float64(end)/1e9)
			if has {
				text += fmt.Sprintf(" in %v", duration)
			}
		}
		if status != 0 {
			text += fmt.Sprintf(" status %v", status)
		}
		var list []string
		for _, i := range annotations {
			a := r.Annotations[i]
			if a.Type == segment.TypeNumber {
				list = append(list, fmt.Sprintf("%s=%v", a.Key, a.Number))
			} else {
				list = append(list, fmt.Sprintf("%s=%q", a.Key, a.String))
			}
		}
		slices.Sort(list)
		return text + " has " + strings.Join(list, ",")
	}
	for _, e := range r.Segments {
		fmt.Fprintf(&b, "segment %v%s\n", r.Services[e.Service], numbers(e.Flags, e.Status, e.End, e.Duration, e.HasDuration, e.Annotations))
	}
	for _, e := range r.Calls {
		fmt.Fprintf(&b, "call %v to %v%s\n", r.Services[e.From], r.Services[e.To], numbers(e.Flags, e.Status, e.End, e.Duration, e.HasDuration, e.Annotations))
	}
	return b.String()
}

func clone(s *segment.Segment) *segment.Segment {
	c := *s
	c.Subsegments = nil
	for _, sub := range s.Subsegments {
		c.Subsegments = append(c.Subsegments, clone(sub))
	}
	return &c
}

// seeds runs fn with many seeds and names the one that failed.
func seeds(t *testing.T, n int, fn func(t *testing.T, rng *rand.Rand)) {
	if testing.Short() {
		n /= 10
	}
	for seed := range uint64(n) {
		fn(t, rand.New(rand.NewPCG(seed, 99)))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestAssembleEqualsModel(t *testing.T) {
	seeds(t, 30000, func(t *testing.T, rng *rand.Rand) {
		docs := chaos(rng)
		got := Assemble(propertyTrace, docs)
		if got, want := describe(got), newModel(docs).describe(); got != want {
			for _, d := range docs {
				t.Logf("seq %d put %d %s", d.Seq, d.Put, d.Segment.AppendDocument(nil))
			}
			t.Errorf("Assemble gives\n%s\nthe model\n%s", got, want)
		}
		if got.FirstSeq != docs[0].Seq || got.LastSeq != docs[len(docs)-1].Seq {
			t.Errorf("seqs %d to %d, want %d to %d", got.FirstSeq, got.LastSeq, docs[0].Seq, docs[len(docs)-1].Seq)
		}
		row := got.Row()
		if brief := AssembleRow(propertyTrace, docs); !reflect.DeepEqual(brief, row) {
			t.Errorf("AssembleRow gives\n%+v\nRow\n%+v", brief, row)
		}
		if full := got.FullRow(); row.Cut || !reflect.DeepEqual(full, row) {
			t.Errorf("FullRow gives\n%+v\nRow\n%+v", full, row)
		}
		if got, want := entriesOf(row), newModel(docs).entries(); got != want {
			t.Errorf("the row has\n%s\nthe model\n%s", got, want)
		}
		checkCauses(t, row)
		checkTrace(t, got)
	})
}

// checkCauses holds what must be true of the root causes of every row.
func checkCauses(t *testing.T, r *Row) {
	t.Helper()
	for i, list := range [][]RootCause{r.FaultCauses, r.ErrorCauses, r.ResponseTimeCauses} {
		times := i == 2
		for _, c := range list {
			last := c.Services[len(c.Services)-1]
			for k, s := range c.Services {
				if !slices.Contains(r.Services, s.Service) || len(s.Entities) == 0 || s.Entities[0].Remote && !(k == 0 && !c.ClientImpacting) {
					t.Errorf("bad service in%s", causeText(c))
				}
				for _, e := range s.Entities {
					if times != (e.Coverage > 0) || e.Coverage > 1 || times && e.Exceptions != nil {
						t.Errorf("bad entity in%s", causeText(c))
					}
				}
			}
			if end := last.Entities[len(last.Entities)-1]; !times && end.Exceptions == nil && !last.Inferred {
				t.Errorf("a path that leads nowhere:%s", causeText(c))
			}
			if c.ClientImpacting && !r.HasRoot || times && (!c.ClientImpacting || len(list) > 1) {
				t.Errorf("who met it:%s", causeText(c))
			}
		}
	}
}

// checkTrace holds what must be true of every trace.
func checkTrace(t *testing.T, tr *Trace) {
	t.Helper()
	ids := map[segment.SegmentID]bool{}
	for _, e := range append(slices.Clone(tr.visible), tr.hidden...) {
		if ids[e.Segment.ID] {
			t.Errorf("id %s is there twice", e.Segment.ID)
		}
		ids[e.Segment.ID] = true
	}
	for _, s := range tr.Inferred {
		for _, s := range append([]*segment.Segment{s}, s.Subsegments...) {
			if ids[s.ID] || s.ID == 0 || s.ID>>62 != 0 {
				t.Errorf("bad inferred id %s", s.ID)
			}
			ids[s.ID] = true
		}
	}

	docs := tr.Documents(true)
	if len(docs) != len(tr.Segments)+len(tr.Inferred)+len(tr.Orphans) {
		t.Errorf("%d documents, want %d", len(docs), len(tr.Segments)+len(tr.Inferred)+len(tr.Orphans))
	}
	if shown := tr.Documents(false); !reflect.DeepEqual(shown, docs[:len(tr.Segments)+len(tr.Inferred)]) {
		t.Error("without orphans the documents are others")
	}

	r := tr.Row()
	checkCodec(t, r)
	checkPutBack(t, tr, docs)
	if r.Entities != len(tr.visible)+len(tr.hidden) || r.OrphanOnly != (len(tr.Segments) == 0) || r.Partial != tr.partial {
		t.Errorf("row %+v does not fit the trace", r)
	}
	counted := tr.visible
	if len(counted) == 0 {
		counted = tr.hidden
	}
	start, end, open := math.Inf(1), math.Inf(-1), false
	minutes := map[int64]bool{}
	for _, e := range counted {
		s := e.Segment
		if s.StartTime > 0 {
			start = min(start, s.StartTime)
		}
		if s.InProgress {
			open = true
		} else {
			end = max(end, s.EndTime)
			minutes[int64(s.EndTime)/60] = true
		}
	}
	if ends := slices.Sorted(maps.Keys(minutes)); !slices.Equal(r.Ends, ends) {
		t.Errorf("ends %v, want %v", r.Ends, ends)
	}
	wantStart := int64(0)
	if !math.IsInf(start, 1) {
		wantStart = int64(start) * 1e9
	}
	if r.Start != wantStart || r.InProgress != open {
		t.Errorf("start %d, in progress %t, want %d, %t", r.Start, r.InProgress, wantStart, open)
	}
	duration, ok := tr.Duration()
	if want := !math.IsInf(start, 1) && end >= start && len(tr.Segments) > 0; ok != want || ok && duration != end-start {
		t.Errorf("duration %v, %t; want %v, %t", duration, ok, end-start, want)
	}
	if r.HasDuration != (ok && !open) || r.HasDuration && r.Duration != duration {
		t.Errorf("row duration %v, %t", r.Duration, r.HasDuration)
	}
}

// checkPutBack puts the documents that a trace was given back as: that makes
// the same trace again.
func checkPutBack(t testing.TB, tr *Trace, docs []SegmentDocument) {
	t.Helper()
	var h history
	for _, d := range docs {
		h.add(0, parse(t, string(d.Document)))
	}
	again := Assemble(tr.ID, h.docs)
	for i, d := range again.Documents(true) {
		if i >= len(docs) || string(d.Document) != string(docs[i].Document) {
			t.Fatalf("put back, document %d is\n%s", i, d.Document)
		}
	}
	r, s := tr.Row(), again.Row()
	if !slices.Equal(r.Services, s.Services) || !slices.Equal(r.Annotations, s.Annotations) || !slices.Equal(r.Ends, s.Ends) ||
		r.Start != s.Start || r.Duration != s.Duration || r.Partial != s.Partial || r.Root != s.Root {
		t.Fatalf("put back, the row is\n%+v, not\n%+v", s, r)
	}
}

// TestOnePathEqualsGeneral holds the short cut for traces of one document
// against the general way.
func TestOnePathEqualsGeneral(t *testing.T) {
	seeds(t, 3000, func(t *testing.T, rng *rand.Rand) {
		docs := chaos(rng)[:1]
		docs[0].Segment.Subsegments = nil
		one, general := assembleOne(propertyTrace, &docs[0]), assemble(propertyTrace, docs, false)
		if got, want := describe(one), describe(general); got != want {
			t.Errorf("short cut\n%s\ngeneral\n%s", got, want)
		}
		if got, want := one.Documents(true), general.Documents(true); !reflect.DeepEqual(got, want) {
			t.Errorf("documents\n%s\nwant\n%s", got, want)
		}
		if got, want := one.Row(), general.Row(); !reflect.DeepEqual(got, want) {
			t.Errorf("row\n%+v\nwant\n%+v", got, want)
		}
		checkTrace(t, one)
	})
}

// TestAssembleDoesNotChangeItsInput assembles the same documents twice.
func TestAssembleDoesNotChangeItsInput(t *testing.T) {
	seeds(t, 500, func(t *testing.T, rng *rand.Rand) {
		docs := chaos(rng)
		var before []string
		for _, d := range docs {
			before = append(before, string(d.Segment.AppendDocument(nil)))
		}
		kept := slices.Clone(docs)
		first := Assemble(propertyTrace, docs)
		text := describe(first)
		shown := first.Documents(true)
		if again := Assemble(propertyTrace, docs); describe(again) != text || !reflect.DeepEqual(again.Documents(true), shown) {
			t.Error("the second time gives another trace")
		}
		if !reflect.DeepEqual(docs, kept) {
			t.Error("documents were changed")
		}
		for i, d := range docs {
			if after := string(d.Segment.AppendDocument(nil)); after != before[i] {
				t.Errorf("document changed from\n%s\nto\n%s", before[i], after)
			}
		}
	})
}

// TestAnyArrivalGivesTheTree splits a tree into documents, adds unfinished
// versions and duplicates, and has them arrive in any order: the tree comes
// back whole.
func TestAnyArrivalGivesTheTree(t *testing.T) {
	seeds(t, 5000, func(t *testing.T, rng *rand.Rand) {
		next := 0
		var docs []*segment.Segment
		truth := map[segment.SegmentID]segment.SegmentID{} // child to parent
		// grow makes an entity with everything below it; independent children
		// become documents of their own.
		var grow func(kind segment.Kind, parent segment.SegmentID, depth int) *segment.Segment
		grow = func(kind segment.Kind, parent segment.SegmentID, depth int) *segment.Segment {
			next++
			s := &segment.Segment{Kind: kind, ID: segment.SegmentID(next), Name: "s", StartTime: 1, EndTime: float64(100 + next)}
			if kind != segment.KindNested {
				s.TraceID = propertyTrace
			}
			if kind == segment.KindSubsegment {
				s.HasParent, s.ParentID = true, parent
			}
			truth[s.ID] = parent
			for depth > 0 && rng.IntN(3) > 0 && next < 40 {
				if rng.IntN(2) == 0 {
					s.Subsegments = append(s.Subsegments, grow(segment.KindNested, s.ID, depth-1))
				} else {
					docs = append(docs, grow(segment.KindSubsegment, s.ID, depth-1))
				}
			}
			return s
		}
		for range 1 + rng.IntN(2) {
			docs = append(docs, grow(segment.KindSegment, 0, 4))
		}
		// unfinished returns an earlier version of s: fewer children, open ones too.
		var unfinished func(s *segment.Segment) *segment.Segment
		unfinished = func(s *segment.Segment) *segment.Segment {
			c := *s
			c.InProgress, c.EndTime, c.Subsegments = true, 0, nil
			for _, sub := range s.Subsegments {
				switch rng.IntN(3) {
				case 0:
					c.Subsegments = append(c.Subsegments, sub)
				case 1:
					c.Subsegments = append(c.Subsegments, unfinished(sub))
				}
			}
			return &c
		}
		for _, s := range slices.Clone(docs) {
			for range rng.IntN(3) {
				docs = append(docs, unfinished(s))
			}
			if rng.IntN(4) == 0 {
				c := *s
				docs = append(docs, &c)
			}
		}
		rng.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
		var h history
		for len(docs) > 0 {
			n := 1 + rng.IntN(len(docs))
			h.add(0, docs[:n]...)
			docs = docs[n:]
		}
		tr := Assemble(propertyTrace, h.docs)
		if len(tr.visible) != len(truth) || len(tr.hidden) != 0 {
			t.Errorf("%d entities and %d orphans, want %d", len(tr.visible), len(tr.hidden), len(truth))
		}
		for _, e := range tr.visible {
			if e.Segment.InProgress || e.Segment.EndTime != float64(100+e.Segment.ID) {
				t.Errorf("%s: version ends at %v, in progress %t", e.Segment.ID, e.Segment.EndTime, e.Segment.InProgress)
			}
			parent := segment.SegmentID(0)
			if e.Parent != nil {
				parent = e.Parent.Segment.ID
			}
			if parent != truth[e.Segment.ID] {
				t.Errorf("%s hangs under %s, want %s", e.Segment.ID, parent, truth[e.Segment.ID])
			}
		}
	})
}

// TestAnyArrivalGivesTheRow has the documents of a trace arrive in two orders,
// some of them twice: the rows say the same.
func TestAnyArrivalGivesTheRow(t *testing.T) {
	seeds(t, 3000, func(t *testing.T, rng *rand.Rand) {
		var docs []*segment.Segment
		for i := range 2 + rng.IntN(12) {
			s := &segment.Segment{
				Kind: segment.KindSubsegment, TraceID: propertyTrace, ID: segment.SegmentID(i + 1), HasParent: true, ParentID: segment.SegmentID(1 + rng.IntN(i+1)),
				StartTime: float64(rng.IntN(5)), EndTime: float64(5 + rng.IntN(9)), Namespace: []string{"", "", "aws", "remote"}[rng.IntN(4)],
			}
			if i == 0 || rng.IntN(4) == 0 {
				s.Kind, s.HasParent = segment.KindSegment, i > 0 && s.ParentID != s.ID
				if !s.HasParent {
					s.ParentID = 0
				}
			}
			decorate(rng, s)
			docs = append(docs, s)
		}
		tell := func() string {
			var h history
			for _, i := range rng.Perm(len(docs)) {
				h.add(1000, docs[i])
				if rng.IntN(3) == 0 {
					h.add(1000, docs[i])
				}
			}
			r := Assemble(propertyTrace, h.docs).Row()
			lines := strings.Split(entriesOf(r), "\n")
			slices.Sort(lines) // they keep the order of arrival
			text := strings.Join(lines, "\n")
			for _, list := range [][]RootCause{r.FaultCauses, r.ErrorCauses, r.ResponseTimeCauses} {
				for _, c := range list {
					text += "\n" + causeText(c)
				}
			}
			return text
		}
		if one, other := tell(), tell(); one != other {
			t.Errorf("one order gives\n%s\nanother\n%s", one, other)
		}
	})
}
