package trace

import (
	"cmp"
	"hash/maphash"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/roentgen-io/roentgen/segment"
)

// Bounds of a row, in bytes but for maxEnds. They keep the worst row near
// 500 KiB; that of an ordinary trace has a few hundred bytes.
const (
	maxEnds            = 7 * 24 * 60 // a week of minutes
	maxURL             = 2048
	maxUserAgent       = 1024
	maxWord            = 256  // method, client address
	maxText            = 1024 // names, users, ARNs, ...
	maxKey             = 1024
	maxAnnotation      = 4096
	maxServicesSize    = 64 << 10
	maxEntriesSize     = 64 << 10 // encoded, of segments and calls each
	minEntrySize       = 2
	maxEntrySize       = 40 // without annotations, each of which adds 3 at most
	maxAnnotationsSize = 64 << 10
	maxTextsSize       = 16 << 10
	maxCausesSize      = 64 << 10
	maxPairs           = 64 << 10 // annotations of segments and calls, in all
)

// roomyRow is a row with room for the lists of an ordinary trace beside it, so
// that making one allocates little more than once.
type roomyRow struct {
	Row
	ends      [1]int64
	services  [2]ServiceID
	segments  [1]SegmentEntry
	calls     [1]CallEntry
	users     [1]string
	arns      [1]string
	instances [1]string
	zones     [1]string
	indexes   [4]int
}

// rowMaker is the state of one call of Row or FullRow.
type rowMaker struct {
	*Trace
	r    *roomyRow
	full bool // without bounds
	root *Entity
	// nodes are indexes into Row.Services: of the segments, then of the inferred
	// callees of calls; -1 where the node was left out.
	nodes  []int
	client int // index of the client's node
	// pairs say what has which annotation: the index of the segment, or that of the
	// call behind all segments, in the upper half, the annotation's in the lower.
	pairs   []uint64
	values  annotationSet
	order   []int // scratch space
	ranks   []int
	indexes []int // room for the annotations of entries
	given   int   // how many pairs were given to entries
	squeeze int   // length of pairs at which repetitions are taken out

	fault, err bool // something has that flag
	left       int  // bytes for root causes
}

// Row returns the summary of the trace. Its strings refer to the documents.
func (t *Trace) Row() *Row { return t.row(false) }

// FullRow returns the summary of the trace without any bound: what Row leaves
// out when it sets Cut is there. It may be as large as the documents.
func (t *Trace) FullRow() *Row { return t.row(true) }

func (t *Trace) row(full bool) *Row {
	room := &roomyRow{Row: Row{
		ID:         t.ID,
		FirstSeq:   t.FirstSeq,
		LastSeq:    t.LastSeq,
		Revision:   t.Revision,
		Changed:    t.Changed,
		Partial:    t.partial,
		OrphanOnly: len(t.Segments) == 0,
		Entities:   len(t.visible) + len(t.hidden),
		Orphans:    len(t.hidden) > 0,
	}}
	m := rowMakers.Get().(*rowMaker)
	m.Trace, m.r, m.full, m.root = t, room, full, t.root()
	m.nodes = resize(m.nodes, len(t.Segments)+len(t.calls))
	m.pairs, m.given, m.squeeze = m.pairs[:0], 0, 4096
	m.fault, m.err = false, false
	m.times()
	m.entryPoint()
	m.services()
	m.texts()
	m.segments()
	m.calls()
	m.causes()
	m.Trace, m.r, m.root, m.indexes = nil, nil, nil, nil
	m.values.reset(0)
	if cap(m.nodes)+cap(m.pairs)+cap(m.values.slots) <= 4096 {
		rowMakers.Put(m)
	}
	return &room.Row
}

var rowMakers = sync.Pool{New: func() any { return new(rowMaker) }}

// limit returns the bound of a list.
func (m *rowMaker) limit(n int) int {
	if m.full {
		return math.MaxInt
	}
	return n
}

// text returns s within the bound of a text.
func (m *rowMaker) text(s string, limit int) string {
	if len(s) <= limit || m.full {
		return s
	}
	m.r.Cut = true
	return cut(s, limit)
}

func (m *rowMaker) node(id ServiceID) ServiceID {
	return ServiceID{Name: m.text(id.Name, maxText), Type: m.text(id.Type, maxText), AccountID: m.text(id.AccountID, maxText)}
}

// times fills what depends on times alone.
func (m *rowMaker) times() {
	t, r := m.Trace, m.r
	r.Ends = r.ends[:0]
	counted := t.visible
	if len(counted) == 0 {
		counted = t.hidden
	}
	start, last := math.Inf(1), int64(math.MinInt64)
	for _, e := range counted {
		s := e.Segment
		if s.StartTime > 0 && s.StartTime < start {
			start = s.StartTime
		}
		if s.InProgress {
			r.InProgress = true
			continue
		}
		if m := clamp(math.Floor(s.EndTime / 60)); len(r.Ends) == 0 || m != last {
			r.Ends, last = append(r.Ends, m), m
		}
	}
	r.Ends = orNil(r.Ends)
	if len(r.Ends) > 1 {
		slices.Sort(r.Ends)
		r.Ends = slices.Compact(r.Ends)
		if over := len(r.Ends) - maxEnds; over > 0 && !m.full {
			r.Ends, r.Cut = r.Ends[over:], true
		}
	}
	if !math.IsInf(start, 1) {
		r.Start = Nanos(start)
	}
	if !r.InProgress {
		r.Duration, r.HasDuration = t.Duration()
	}
}

// root returns the segment without parent_id: of several the one that started
// first, of these the one with the smallest id. It returns nil when there is none.
func (t *Trace) root() *Entity {
	var root *Entity
	for _, e := range t.Segments {
		s := e.Segment
		if s.HasParent {
			continue
		}
		if root == nil || s.StartTime < root.Segment.StartTime ||
			s.StartTime == root.Segment.StartTime && s.ID < root.Segment.ID {
			root = e
		}
	}
	return root
}

// entryPoint fills what depends on the root alone.
func (m *rowMaker) entryPoint() {
	if m.root == nil {
		return
	}
	r, root := m.r, m.root.Segment
	r.HasRoot = true
	r.Root = m.node(ServiceOf(root))
	r.HasFault = root.Fault.True()
	r.HasThrottle = root.Throttle.True()
	r.HasError = root.Error.True() && !r.HasThrottle
	if !root.InProgress {
		r.ResponseTime, r.HasResponseTime = between(root.StartTime, root.EndTime)
	}
	if root.HTTP == nil {
		return
	}
	var parts, request [4]segment.Raw
	root.HTTP.Find(parts[:], "request", "response")
	parts[0].Find(request[:], "method", "url", "user_agent", "client_ip")
	r.Method = m.text(request[0].String(), maxWord)
	r.URL = m.text(request[1].String(), maxURL)
	r.UserAgent = m.text(request[2].String(), maxUserAgent)
	r.ClientIP = m.text(request[3].String(), maxWord)
	r.Status = statusOf(parts[1])
}

// statusOf returns the status of the response block of an http block, 0 when it
// says none.
func statusOf(response segment.Raw) int {
	if status, ok := response.Get("status").Number(); ok && math.Abs(status) < 1<<31 {
		return int(status)
	}
	return 0
}

// services fills the nodes of the trace.
func (m *rowMaker) services() {
	r := m.r
	services := bounded[ServiceID]{list: r.services[:0], limit: m.limit(maxServicesSize)}
	if n := 1 + len(m.Trace.calls); n > len(r.services) {
		services.list = make([]ServiceID, 0, 1+min(n, searchBelow))
	}
	add := func(id ServiceID) int {
		id = m.node(id)
		i := services.add(id, len(id.Name)+len(id.Type)+len(id.AccountID)+3)
		r.Cut = r.Cut || i < 0
		return i
	}
	for i, e := range m.Segments {
		if e == m.root {
			m.nodes[i] = services.add(r.Root, len(r.Root.Name)+len(r.Root.Type)+len(r.Root.AccountID)+3)
			continue
		}
		m.nodes[i] = add(ServiceOf(e.Segment))
	}
	callees := m.nodes[len(m.Segments):]
	for i := range m.Trace.calls {
		if c := &m.Trace.calls[i]; c.Inferred() {
			callees[i] = add(c.Node)
		}
	}
	if r.HasRoot {
		services.limit = math.MaxInt // always room for the entry point and its client
		m.nodes[m.root.at] = services.add(r.Root, 0)
		m.client = services.add(ServiceID{Name: r.Root.Name, Type: typeClient}, 0)
	}
	r.Services = orNil(services.list)
}

// texts fills the lists that are gathered from segments and subsegments.
func (m *rowMaker) texts() {
	r := m.r
	annotations := &m.values
	annotations.reset(m.limit(maxAnnotationsSize))
	attributes := false // something has values beside annotations
	strangers := false  // a span came from a service that is not named as its segment
	note := func(of int, a *Annotation) {
		a.String = m.text(a.String, maxAnnotation)
		if i := annotations.add(a); i >= 0 {
			m.pair(of, i)
		} else {
			r.Cut = true
		}
	}
	var value Annotation
	add := func(of int, key string, v segment.Raw) {
		if len(key) > maxKey && !m.full {
			r.Cut = true
			return
		}
		var ok bool
		if value, ok = annotation(key, v); ok {
			note(of, &value)
		}
	}
	users := bounded[string]{list: r.users[:0], limit: m.limit(maxTextsSize)}
	arns := bounded[string]{list: r.arns[:0], limit: m.limit(maxTextsSize)}
	instances := bounded[string]{list: r.instances[:0], limit: m.limit(maxTextsSize)}
	zones := bounded[string]{list: r.zones[:0], limit: m.limit(maxTextsSize)}
	text := func(b *bounded[string], s string) {
		if s != "" {
			s = m.text(s, maxText)
			r.Cut = b.add(s, len(s)+1) < 0 || r.Cut
		}
	}
	for _, e := range m.visible {
		s := e.Segment
		m.fault = m.fault || s.Fault.True()
		m.err = m.err || s.Error.True()
		isSpan := s.Attributes != nil || s.SpanService != ""
		r.Documents = r.Documents || !isSpan
		r.Failed = r.Failed || failed(s, isSpan)
		attributes = attributes || s.Attributes != nil || s.Links != nil
		if s.Annotations != nil {
			s.Annotations.Members(func(key string, v segment.Raw) bool {
				add(int(e.segment.at), key, v)
				return true
			})
		}
		if s.SpanService != "" && s.SpanService != e.segment.Segment.Name {
			attributes, strangers = true, true
		}
		if s.Kind != segment.KindSegment {
			continue
		}
		text(&users, s.User)
		text(&arns, s.ResourceARN)
		if s.AWS == nil {
			continue
		}
		var blocks [3]segment.Raw
		s.AWS.Find(blocks[:], "ec2", "ecs", "resource_arn")
		text(&arns, blocks[2].String())
		if blocks[0] != nil {
			var ec2 [2]segment.Raw
			blocks[0].Find(ec2[:], "instance_id", "availability_zone")
			text(&instances, ec2[0].String())
			text(&zones, ec2[1].String())
		}
		text(&zones, blocks[1].Get("availability_zone").String())
	}
	for i := range m.Trace.calls {
		c := &m.Trace.calls[i]
		if !c.Inferred() || c.Sub.Segment.Annotations == nil {
			continue
		}
		c.Sub.Segment.Annotations.Members(func(key string, v segment.Raw) bool {
			if local := localKey(key); local != "" {
				add(len(m.Segments)+i, local, v)
			}
			return true
		})
	}
	if attributes {
		// They come behind the annotations, for which the room is kept in the first place.
		first := len(annotations.list)
		for _, e := range m.visible {
			if e.Segment.Attributes != nil {
				e.Segment.Attributes.Each(func(a *segment.Attribute) {
					if len(a.Name) > maxKey && !m.full {
						r.Cut = true
						return
					}
					value = attributeAnnotation(a)
					note(int(e.segment.at), &value)
				})
			}
			if s := e.Segment; strangers && s.SpanService != "" && s.SpanService != e.segment.Segment.Name {
				value = Annotation{Key: KeyService, Type: segment.TypeString, String: s.SpanService}
				note(int(e.segment.at), &value)
			}
			if e.Segment.Links != nil {
				e.Segment.Links.Elements(func(link segment.Raw) bool {
					if id := link.Get("trace_id"); id.Type() == segment.TypeString {
						add(int(e.segment.at), LinkKey, id)
					}
					return true
				})
			}
		}
		for i := range annotations.list[first:] {
			annotations.list[first+i].Attribute = true
		}
	}
	m.sortAnnotations(annotations.list)
	r.Users, r.ResourceARNs = orNil(users.list), orNil(arns.list)
	r.InstanceIDs, r.Zones = orNil(instances.list), orNil(zones.list)
}

// KeyService is the attribute that names the service of a span.
const KeyService = "service.name"

// failed reports whether a segment or subsegment says that something went wrong.
func failed(s *segment.Segment, isSpan bool) bool {
	if s.Error.True() || s.Fault.True() || s.Throttle.True() {
		return true
	}
	if isSpan || s.HTTP == nil {
		return s.Cause != nil
	}
	status := statusOf(s.HTTP.Get("response"))
	return s.Cause != nil || status >= 400 && status < 600
}

// pair notes that a segment or call has an annotation. Subsegments by the
// thousand may say the same, so that repetitions are taken out at times.
func (m *rowMaker) pair(of, annotation int) {
	if p := uint64(of)<<32 | uint64(annotation); len(m.pairs) == 0 || m.pairs[len(m.pairs)-1] != p {
		m.pairs = append(m.pairs, p)
	}
	if len(m.pairs) < m.squeeze {
		return
	}
	slices.Sort(m.pairs)
	m.pairs = slices.Compact(m.pairs)
	if len(m.pairs) > maxPairs && !m.full {
		m.pairs, m.r.Cut = m.pairs[:maxPairs], true
	}
	m.squeeze = 2*len(m.pairs) + 4096
}

// sortAnnotations makes list the annotations of the row, sorted, and pairs
// refer to them.
func (m *rowMaker) sortAnnotations(list []Annotation) {
	if len(list) == 0 {
		return
	}
	m.order, m.ranks = resize(m.order, len(list)), resize(m.ranks, len(list))
	order, rank := m.order, m.ranks
	for i := range list {
		order[i] = i // before sorting, of what is i-th now
	}
	slices.SortFunc(order, func(x, y int) int { return compareAnnotations(&list[x], &list[y]) })
	m.r.Annotations = make([]Annotation, len(list))
	for i, k := range order {
		m.r.Annotations[i] = list[k]
		rank[k] = i
	}
	for i, p := range m.pairs {
		m.pairs[i] = p>>32<<32 | uint64(rank[uint32(p)])
	}
	slices.Sort(m.pairs)
	m.pairs, m.given = slices.Compact(m.pairs), 0
	m.indexes = resize(m.r.indexes[:], len(m.pairs))
}

// annotations returns the indexes of the annotations that a segment or call
// has. It has to be asked in rising order.
func (m *rowMaker) annotations(of int) []int {
	pairs := m.pairs[m.given:]
	n := 0
	for n < len(pairs) && pairs[n]>>32 == uint64(of) {
		n++
	}
	if n == 0 {
		return nil
	}
	list := m.indexes[m.given : m.given+n : m.given+n]
	for i := range list {
		list[i] = int(uint32(pairs[i]))
	}
	m.given += n
	return list
}

// numbers are what the entries of segments and calls have in common.
type numbers struct {
	flags       Flags
	status      int
	end         int64
	duration    float64
	hasDuration bool
}

func (m *rowMaker) numbers(s *segment.Segment) (n numbers) {
	switch {
	case s.Throttle.True():
		n.flags = FlagThrottle
	case s.Error.True():
		n.flags = FlagError
	}
	if s.Fault.True() {
		n.flags |= FlagFault
	}
	if s.InProgress {
		n.flags |= FlagInProgress
	} else {
		n.end = Nanos(s.EndTime)
		n.duration, n.hasDuration = between(s.StartTime, s.EndTime)
	}
	switch {
	case m.root != nil && s == m.root.Segment:
		n.status = m.r.Status
	case s.HTTP != nil:
		n.status = statusOf(s.HTTP.Get("response"))
	}
	return n
}

// counted reports whether the bytes of n entries have to be counted to know that
// they keep to their bound.
func (m *rowMaker) counted(n int) bool {
	return !m.full && n*maxEntrySize+len(m.pairs)*3 > maxEntriesSize
}

// segments fills the entries of segments.
func (m *rowMaker) segments() {
	r := m.r
	list := r.segments[:0]
	if n := len(m.Segments); n > len(r.segments) {
		list = make([]SegmentEntry, 0, min(n, m.limit(maxEntriesSize/minEntrySize)))
	}
	left, counted := maxEntriesSize, m.counted(len(m.Segments))
	var buf [64]byte // room enough unless there are many annotations
	for i, e := range m.Segments {
		annotations := m.annotations(i)
		if m.nodes[i] < 0 {
			continue // Cut is set already
		}
		s := e.Segment
		n := m.numbers(s)
		if s.Inferred {
			n.flags |= FlagInferred
		}
		if !s.HasParent {
			n.flags |= FlagRoot
		}
		entry := SegmentEntry{
			Service: m.nodes[i], Flags: n.flags, Status: n.status, End: n.end,
			Duration: n.duration, HasDuration: n.hasDuration, Annotations: annotations, Segment: s,
		}
		if counted {
			size := len(entry.append(buf[:0], r.Start))
			if size > left {
				r.Cut = true
				continue
			}
			left -= size
		}
		list = append(list, entry)
	}
	r.Segments = orNil(list)
}

// calls fills the entries of calls.
func (m *rowMaker) calls() {
	r := m.r
	calls := m.Trace.calls
	list := r.calls[:0]
	if n := len(calls); n > len(r.calls) {
		list = make([]CallEntry, 0, min(n, m.limit(maxEntriesSize/minEntrySize)))
	}
	left, counted := maxEntriesSize, m.counted(len(calls))
	var buf [64]byte // room enough unless there are many annotations
	for i := range calls {
		c := &calls[i]
		annotations := m.annotations(len(m.Segments) + i)
		from, to := m.client, m.nodes[len(m.Segments)+i]
		if c.Caller != nil {
			from = m.nodes[c.Caller.at]
		}
		if !c.Inferred() {
			to = m.nodes[c.Callee.at]
		}
		if from < 0 || to < 0 {
			continue // Cut is set already
		}
		entry := CallEntry{From: from, To: to, Annotations: annotations, Segment: c.Segment()}
		if c.Sub == nil && len(r.Segments) == len(m.Segments) {
			own := &r.Segments[c.Callee.at]
			entry.Flags, entry.Status, entry.End = own.Flags&^(FlagRoot|FlagInferred), own.Status, own.End
			entry.Duration, entry.HasDuration = own.Duration, own.HasDuration
		} else {
			n := m.numbers(entry.Segment)
			entry.Flags, entry.Status, entry.End, entry.Duration, entry.HasDuration = n.flags, n.status, n.end, n.duration, n.hasDuration
		}
		if c.Inferred() {
			entry.Flags |= FlagInferred
		}
		if counted {
			size := len(entry.append(buf[:0], r.Start))
			if size > left {
				r.Cut = true
				continue
			}
			left -= size
		}
		list = append(list, entry)
	}
	r.Calls = orNil(list)
}

// orNil returns nil for an empty list, as decoding a row does.
func orNil[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

// annotation returns the annotation that a member of an annotations block is,
// and false when the value is of no type that is indexed.
func annotation(key string, v segment.Raw) (Annotation, bool) {
	a := Annotation{Key: key, Type: v.Type()}
	var ok bool
	switch a.Type {
	case segment.TypeString:
		a.String, ok = v.Text()
	case segment.TypeNumber:
		a.Number, ok = v.Number()
		a.Number += 0 // -0 is the same value as 0
	case segment.TypeBool:
		a.Bool, ok = v.Bool()
	}
	return a, ok
}

// attributeAnnotation returns an attribute of a span as an annotation.
func attributeAnnotation(a *segment.Attribute) Annotation {
	return Annotation{Key: a.Name, Type: a.Type, String: a.Text, Number: a.Number, Bool: a.Bool}
}

// annotationSet is a list of annotations without repetitions that takes no more than limit
// bytes. They keep the order in which they were added; what does not fit is left out.
type annotationSet struct {
	list  []Annotation
	limit int
	slots []int32 // by hash, the index in list, from 1; a power of two, at least twice as many
}

var hashSeed = maphash.MakeSeed()

func (s *annotationSet) reset(limit int) {
	clear(s.list)
	clear(s.slots)
	s.list, s.limit = s.list[:0], limit
}

// add adds a and returns its index, -1 when it does not fit.
func (s *annotationSet) add(a *Annotation) int {
	if 2*(len(s.list)+1) > len(s.slots) {
		s.slots = make([]int32, max(128, 2*len(s.slots)))
		for i := range s.list {
			s.slots[s.slot(&s.list[i])] = int32(i + 1)
		}
	}
	at := s.slot(a)
	if i := s.slots[at]; i > 0 {
		return int(i - 1)
	}
	size := len(a.Key) + len(a.String) + 8
	if size > s.limit {
		return -1
	}
	s.limit -= size
	s.list = append(s.list, *a)
	s.slots[at] = int32(len(s.list))
	return len(s.list) - 1
}

// slot returns where a is, or where it would be.
func (s *annotationSet) slot(a *Annotation) uint64 {
	h := maphash.String(hashSeed, a.Key) + 3*maphash.String(hashSeed, a.String) + 5*math.Float64bits(a.Number)*0x9e3779b97f4a7c15
	last := uint64(len(s.slots) - 1)
	for at := (h ^ h>>32) & last; ; at = (at + 1) & last {
		i := s.slots[at]
		if i == 0 || s.list[i-1] == *a {
			return at
		}
	}
}

func compareAnnotations(x, y *Annotation) int {
	if c := strings.Compare(x.Key, y.Key); c != 0 {
		return c
	}
	if c := cmp.Compare(x.Type, y.Type); c != 0 {
		return c
	}
	if c := strings.Compare(x.String, y.String); c != 0 {
		return c
	}
	if c := cmp.Compare(x.Number, y.Number); c != 0 {
		return c
	}
	switch {
	case x.Bool == y.Bool:
		return 0
	case x.Bool:
		return 1
	}
	return -1
}

// Below this number of values a search through all of them beats a map: most
// differ in their first word.
const listSearchBelow = 64

// bounded is a list without repetitions that takes no more than limit bytes.
// Values keep the order in which they were added; what does not fit is left out.
type bounded[T comparable] struct {
	list  []T
	limit int
	known map[T]int // index of the values of list, once they are many
}

// add adds v, which counts size bytes, and returns its index, -1 when it does
// not fit.
func (b *bounded[T]) add(v T, size int) int {
	if b.known == nil {
		if i := slices.Index(b.list, v); i >= 0 {
			return i
		}
	} else if i, ok := b.known[v]; ok {
		return i
	}
	if size > b.limit {
		return -1
	}
	b.limit -= size
	if b.list == nil {
		b.list = make([]T, 0, 8)
	}
	b.list = append(b.list, v)
	switch {
	case b.known != nil:
		b.known[v] = len(b.list) - 1
	case len(b.list) > listSearchBelow:
		b.known = make(map[T]int, 4*listSearchBelow)
		for i, v := range b.list {
			b.known[v] = i
		}
	}
	return len(b.list) - 1
}

// cut returns s, or as much of its beginning as fits into limit bytes without
// tearing a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// Nanos returns a time in seconds, as documents and requests write it, in unix
// nanoseconds, cut to the range of int64. The digits that were written count:
// 1790149878.783249 gives ...878783249000, although the nearest float64 lies
// 20 ns beside it, so that bounds of windows compare as people expect. Not a
// number gives 0.
func Nanos(seconds float64) int64 {
	const most = 1 << 43 // seconds whose microseconds a float64 holds exactly
	switch {
	case math.IsNaN(seconds):
		return 0
	case seconds >= math.MaxInt64/1e9:
		return math.MaxInt64
	case seconds <= math.MinInt64/1e9:
		return math.MinInt64
	}
	if math.Abs(seconds) < most/1e3 {
		if micros := math.Round(seconds * 1e6); micros/1e6 == seconds {
			return int64(micros) * 1000
		}
	}
	var buf [64]byte
	text := strconv.AppendFloat(buf[:0], seconds, 'f', -1, 64)
	negative := text[0] == '-'
	if negative {
		text = text[1:]
	}
	var n int64
	digits := -1 // after the point
	for _, c := range text {
		switch {
		case c == '.':
			digits = 0
		case digits < 9:
			n = n*10 + int64(c-'0')
			if digits >= 0 {
				digits++
			}
		}
	}
	for digits = max(digits, 0); digits < 9; digits++ {
		n *= 10
	}
	if negative {
		return -n
	}
	return n
}

// clamp converts f to an int64, cut to its range.
func clamp(f float64) int64 {
	switch {
	case f >= math.MaxInt64:
		return math.MaxInt64
	case f <= math.MinInt64:
		return math.MinInt64
	}
	return int64(f)
}
