package trace

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/roentgen-io/roentgen/segment"
)

// Bounds of a row, in bytes but for maxEnds. They keep the worst row near
// 300 KiB; that of an ordinary trace has a few hundred bytes.
const (
	maxEnds            = 7 * 24 * 60 // a week of minutes
	maxURL             = 2048
	maxUserAgent       = 1024
	maxWord            = 256  // method, client address
	maxText            = 1024 // names, users, ARNs, ...
	maxKey             = 1024
	maxAnnotation      = 4096
	maxServicesSize    = 64 << 10
	maxAnnotationsSize = 64 << 10
	maxTextsSize       = 16 << 10
)

// roomyRow is a row with room for the lists of an ordinary trace beside it, so
// that making one allocates little more than once.
type roomyRow struct {
	Row
	ends      [1]int64
	services  [2]ServiceID
	users     [1]string
	arns      [1]string
	instances [1]string
	zones     [1]string
}

// Row returns the summary of the trace. Its strings refer to the documents.
func (t *Trace) Row() *Row {
	room := &roomyRow{Row: Row{
		ID:         t.ID,
		FirstSeq:   t.FirstSeq,
		LastSeq:    t.LastSeq,
		Revision:   t.Revision,
		Changed:    t.Changed,
		Partial:    t.partial,
		OrphanOnly: len(t.Segments) == 0,
		Entities:   len(t.visible) + len(t.hidden),
	}}
	r := &room.Row
	r.Ends = room.ends[:0]
	r.Users, r.ResourceARNs = room.users[:0], room.arns[:0]
	r.InstanceIDs, r.Zones = room.instances[:0], room.zones[:0]
	if 1+len(t.calls) <= len(room.services) {
		r.Services = room.services[:0]
	} else {
		r.Services = make([]ServiceID, 0, 2+min(len(t.calls), searchBelow))
	}
	t.rowTimes(r)
	if root := t.root(); root != nil {
		r.setRoot(root)
	}
	t.rowServices(r)
	t.rowTexts(r)
	return r
}

// rowTimes fills what depends on times alone.
func (t *Trace) rowTimes(r *Row) {
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
		r.Ends = r.Ends[max(0, len(r.Ends)-maxEnds):]
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
func (t *Trace) root() *segment.Segment {
	var root *segment.Segment
	for _, e := range t.Segments {
		s := e.Segment
		if s.HasParent {
			continue
		}
		if root == nil || s.StartTime < root.StartTime || s.StartTime == root.StartTime && s.ID < root.ID {
			root = s
		}
	}
	return root
}

func (r *Row) setRoot(root *segment.Segment) {
	r.HasRoot = true
	r.Root = boundService(ServiceOf(root))
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
	r.Method = cut(request[0].String(), maxWord)
	r.URL = cut(request[1].String(), maxURL)
	r.UserAgent = cut(request[2].String(), maxUserAgent)
	r.ClientIP = cut(request[3].String(), maxWord)
	if status, ok := parts[1].Get("status").Number(); ok && math.Abs(status) < 1<<31 {
		r.Status = int(status)
	}
}

func (t *Trace) rowServices(r *Row) {
	services := bounded[ServiceID]{list: r.Services, limit: maxServicesSize}
	add := func(id ServiceID) {
		id = boundService(id)
		services.add(id, len(id.Name)+len(id.Type)+len(id.AccountID)+3)
	}
	for _, e := range t.Segments {
		add(ServiceOf(e.Segment))
	}
	for i := range t.calls {
		if t.calls[i].Inferred() {
			add(t.calls[i].Node)
		}
	}
	if r.HasRoot {
		services.limit = math.MaxInt // always room for the entry point and its client
		add(r.Root)
		add(ServiceID{Name: r.Root.Name, Type: typeClient})
	}
	r.Services = orNil(services.list)
}

// rowTexts fills the lists that are gathered from segments and subsegments.
func (t *Trace) rowTexts(r *Row) {
	annotations := bounded[Annotation]{limit: maxAnnotationsSize}
	users := bounded[string]{list: r.Users, limit: maxTextsSize}
	arns := bounded[string]{list: r.ResourceARNs, limit: maxTextsSize}
	instances := bounded[string]{list: r.InstanceIDs, limit: maxTextsSize}
	zones := bounded[string]{list: r.Zones, limit: maxTextsSize}
	text := func(b *bounded[string], s string) {
		if s != "" {
			s = cut(s, maxText)
			b.add(s, len(s)+1)
		}
	}
	for _, e := range t.visible {
		s := e.Segment
		if s.Annotations != nil && !s.Inferred {
			s.Annotations.Members(func(key string, v segment.Raw) bool {
				if a, ok := annotation(key, v); ok {
					annotations.add(a, len(a.Key)+len(a.String)+8)
				}
				return true
			})
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
	slices.SortFunc(annotations.list, compareAnnotations)
	r.Annotations = annotations.list
	r.Users, r.ResourceARNs = orNil(users.list), orNil(arns.list)
	r.InstanceIDs, r.Zones = orNil(instances.list), orNil(zones.list)
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
	if len(key) > maxKey {
		return a, false
	}
	var ok bool
	switch a.Type {
	case segment.TypeString:
		a.String, ok = v.Text()
		a.String = cut(a.String, maxAnnotation)
	case segment.TypeNumber:
		a.Number, ok = v.Number()
		a.Number += 0 // -0 is the same value as 0
	case segment.TypeBool:
		a.Bool, ok = v.Bool()
	}
	return a, ok
}

func compareAnnotations(x, y Annotation) int {
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
	known map[T]struct{} // of the values of list, once they are many
}

// add adds v, which counts size bytes.
func (b *bounded[T]) add(v T, size int) {
	if b.known == nil {
		if slices.Contains(b.list, v) {
			return
		}
	} else if _, ok := b.known[v]; ok {
		return
	}
	if size > b.limit {
		return
	}
	b.limit -= size
	if b.list == nil {
		b.list = make([]T, 0, 8)
	}
	b.list = append(b.list, v)
	switch {
	case b.known != nil:
		b.known[v] = struct{}{}
	case len(b.list) > listSearchBelow:
		b.known = make(map[T]struct{}, 4*listSearchBelow)
		for _, v := range b.list {
			b.known[v] = struct{}{}
		}
	}
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

func boundService(id ServiceID) ServiceID {
	return ServiceID{Name: cut(id.Name, maxText), Type: cut(id.Type, maxText), AccountID: cut(id.AccountID, maxText)}
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
