package servicegraph

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/segment"
)

// The rules of the service graph once more, from the raw documents: slow, for
// the eye, and with nothing of this package or of assembly.

// version is a segment or subsegment as one document has it.
type version struct {
	*segment.Segment
	received int64
	holder   *version // that nests it
	order    int
}

// archive is what is known of a trace.
type archive struct {
	valid map[segment.SegmentID]*version
	aside map[segment.SegmentID]*version // while a document is read: what the one it replaces nested
	order int
}

func newArchive(docs []trace.Document) *archive {
	a := &archive{valid: map[segment.SegmentID]*version{}}
	for _, d := range docs {
		old := a.valid[d.Segment.ID]
		if old != nil && (!old.InProgress || reflect.DeepEqual(old.Segment, d.Segment) && a.untouched(old)) {
			continue // complete ones never change; the same again is no news
		}
		a.aside = map[segment.SegmentID]*version{}
		a.file(d.Segment, d.Received, nil, nil)
	}
	return a
}

// untouched reports whether all that v nests is what is valid.
func (a *archive) untouched(v *version) bool {
	for _, sub := range v.Subsegments {
		w := a.valid[sub.ID]
		if w == nil || w.Segment != sub || w.holder != v || !a.untouched(w) {
			return false
		}
	}
	return true
}

func (a *archive) nestedIn(v *version, in map[segment.SegmentID]*version) []*version {
	var list []*version
	for _, w := range in {
		if w.holder == v {
			list = append(list, w)
		}
	}
	return list
}

func (a *archive) putAside(v *version) {
	for _, w := range a.nestedIn(v, a.valid) {
		delete(a.valid, w.ID)
		a.aside[w.ID] = w
		a.putAside(w)
	}
}

func (a *archive) bringBack(v *version) {
	delete(a.aside, v.ID)
	a.valid[v.ID] = v
	for _, w := range a.nestedIn(v, a.aside) {
		a.bringBack(w)
	}
}

func (a *archive) file(s *segment.Segment, received int64, holder *version, above []segment.SegmentID) {
	if old := a.valid[s.ID]; old != nil {
		a.putAside(old)
	}
	delete(a.aside, s.ID)
	v := &version{Segment: s, received: received, holder: holder, order: a.order}
	a.order++
	a.valid[s.ID] = v
	above = append(slices.Clone(above), s.ID)
	for _, sub := range s.Subsegments {
		if slices.Contains(above, sub.ID) {
			continue
		}
		now, before := a.valid[sub.ID], a.aside[sub.ID]
		switch {
		case now != nil && !now.InProgress:
		case now == nil && before != nil && !before.InProgress:
			before.holder = v
			a.bringBack(before)
		default:
			a.file(sub, received, v, above)
		}
	}
}

// up returns what v hangs under, nil when that is nothing.
func (a *archive) up(v *version) *version {
	switch v.Kind {
	case segment.KindNested:
		return v.holder
	case segment.KindSubsegment:
		return a.valid[v.ParentID]
	}
	return nil
}

// path returns v and all that it hangs under, up to its segment; nil when it
// hangs under none.
func (a *archive) path(v *version) []*version {
	var list []*version
	for v != nil && len(list) <= len(a.valid) {
		list = append(list, v)
		if v.Kind == segment.KindSegment {
			return list
		}
		v = a.up(v)
	}
	return nil
}

// sight is one observation.
type sight struct {
	at       int64
	from, to string // nodes; to is empty when it is of from alone
	outcome  string
	root     bool
	took     float64 // seconds
	whole    float64 // with subsegments
	start    float64
	alias    string
}

func (s sight) String() string {
	return fmt.Sprintf("%d %s -> %s: %s root=%t %.3f %.3f from %.0f alias %q", s.at, s.from, s.to, s.outcome, s.root, s.took, s.whole, s.start, s.alias)
}

func sightedNode(name, typ, account, state string) string {
	return fmt.Sprintf("%s|%s|%s|%s", name, typ, account, state)
}

func (v *version) outcome() string {
	switch {
	case v.Throttle.True():
		return "throttle"
	case v.Fault.True():
		return "fault"
	case v.Error.True():
		return "error"
	}
	return "ok"
}

func (v *version) took() float64 { return max(0, v.EndTime-v.StartTime) }

func (v *version) node() string {
	account := ""
	if v.Origin == "AWS::Lambda::Function" {
		account = v.AWS.Get("account_id").String()
	}
	return sightedNode(v.Name, v.Origin, account, "active")
}

// inferredNode names the callee that nobody reported.
func (v *version) inferredNode() string {
	if v.Namespace == "remote" {
		if v.SQL != nil {
			return sightedNode(v.Name, "Database::SQL", "", "unknown")
		}
		return sightedNode(v.Name, "remote", "", "passive")
	}
	if v.AWS.Get("operation").String() != "" {
		for _, r := range [][3]string{
			{"DynamoDB", "table_name", "AWS::DynamoDB::Table"},
			{"S3", "bucket_name", "AWS::S3::Bucket"},
			{"SQS", "queue_url", "AWS::SQS::Queue"},
			{"SNS", "topic_arn", "AWS::SNS"},
			{"Lambda", "function_name", "AWS::Lambda"},
		} {
			if resource := v.AWS.Get(r[1]).String(); v.Name == r[0] && resource != "" {
				return sightedNode(resource, r[2], "", "unknown")
			}
		}
	}
	return sightedNode(v.Name, "AWS::"+v.Name, "", "unknown")
}

// recount returns all observations of a trace.
func recount(docs []trace.Document) []sight {
	a := newArchive(docs)
	all := slices.SortedFunc(maps.Values(a.valid), func(x, y *version) int { return cmp.Compare(x.order, y.order) })
	var attached []*version
	for _, v := range all {
		if a.path(v) != nil {
			attached = append(attached, v)
		}
	}
	start, rooted := math.Inf(1), false
	for _, v := range attached {
		if v.Kind == segment.KindSegment && !v.HasParent {
			start, rooted = min(start, v.StartTime), true
		}
	}
	for _, v := range attached {
		if v.Kind == segment.KindSegment && !rooted {
			start = min(start, v.StartTime)
		}
	}
	start = math.Floor(start)

	var sights []sight
	counted := map[string]bool{} // calls that were counted already, by id and target
	answered := map[segment.SegmentID]bool{}
	call := func(entity *version, numbers *version, to, alias string, at int64) {
		path := a.path(entity)
		caller := path[len(path)-1]
		if caller.InProgress || numbers.InProgress {
			return
		}
		for _, v := range path {
			at = max(at, v.received)
		}
		sights = append(sights, sight{at: at, from: caller.node(), to: to, outcome: numbers.outcome(), root: !caller.HasParent,
			took: numbers.took(), whole: numbers.took(), start: start, alias: alias})
	}
	for _, v := range attached {
		if v.Kind != segment.KindSegment {
			continue
		}
		if !v.InProgress {
			from, to := v.StartTime, v.EndTime
			for _, w := range attached {
				if path := a.path(w); w != v && path[len(path)-1] == v {
					from = min(from, w.StartTime)
					if !w.InProgress {
						to = max(to, w.EndTime)
					}
				}
			}
			seen := sight{at: v.received, from: v.node(), outcome: v.outcome(), root: !v.HasParent, took: v.took(), whole: max(0, to-from), start: start}
			sights = append(sights, seen)
			if !v.HasParent {
				seen.from, seen.to, seen.root, seen.whole = sightedNode(v.Name, "client", "", "unknown"), v.node(), false, v.took()
				sights = append(sights, seen)
			}
		}
		parent := a.valid[v.ParentID]
		if !v.HasParent || parent == nil || a.path(parent) == nil {
			continue
		}
		answered[parent.ID] = true
		if path := a.path(parent); path[len(path)-1] == v {
			continue // itself
		}
		if parent.Kind == segment.KindSegment || parent.Namespace != "aws" && parent.Namespace != "remote" {
			call(parent, v, v.node(), "", v.received)
			continue
		}
		alias := ""
		if parent.Namespace == "remote" {
			alias = parent.Name
		}
		if key := fmt.Sprint(parent.ID, v.node()); !counted[key] {
			counted[key] = true
			call(parent, parent, v.node(), alias, 0)
		}
	}
	for _, v := range attached {
		if v.Kind == segment.KindSegment || answered[v.ID] || v.Namespace != "aws" && v.Namespace != "remote" {
			continue
		}
		n := len(sights)
		call(v, v, v.inferredNode(), "", 0)
		if len(sights) > n {
			seen := sights[n]
			seen.from, seen.to, seen.root = seen.to, "", false
			sights = append(sights, seen)
		}
	}
	return sights
}

// sighted writes a contribution as a sight.
func sighted(c *Contribution) sight {
	node := func(n Node) string {
		if n.Kind == KindNone {
			return ""
		}
		return sightedNode(n.Name, n.Type, n.AccountID, n.Kind.State())
	}
	return sight{
		at: c.At, from: node(c.Key.From), to: node(c.Key.To), root: c.Root, start: float64(c.Start), alias: c.Alias.Name,
		outcome: [...]string{"ok", "error", "throttle", "fault"}[c.Outcome],
		took:    float64(c.Response) / 1e9, whole: float64(c.Envelope) / 1e9,
	}
}

func sightLines(list []sight) string {
	lines := make([]string, len(list))
	for i, s := range list {
		lines[i] = s.String()
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// drawn is the graph of all sights in a window of receipt, in seconds, as text.
func drawn(list []sight, from, to int64) string {
	type numbers struct {
		outcomes   map[string]int
		took       []float64
		whole      []float64
		aliases    map[string]bool
		root       bool
		start, end float64
	}
	nodes, edges := map[string]*numbers{}, map[[2]string]*numbers{}
	fresh := func() *numbers {
		return &numbers{outcomes: map[string]int{}, aliases: map[string]bool{}, start: math.Inf(1), end: math.Inf(-1)}
	}
	// A service that was inferred here and reported there is one node.
	merged := func(node string) string {
		return node[:strings.LastIndex(node, "|")]
	}
	states := map[string]string{}
	for _, s := range list {
		if s.at < from*1000 || s.at >= to*1000 {
			continue
		}
		for _, n := range []string{s.from, s.to} {
			if n == "" {
				continue
			}
			if nodes[merged(n)] == nil {
				nodes[merged(n)] = fresh()
			}
			x := nodes[merged(n)]
			x.start, x.end = min(x.start, s.start), max(x.end, s.start+1)
			if state := n[strings.LastIndex(n, "|")+1:]; states[merged(n)] != "active" {
				states[merged(n)] = state
			}
		}
		x := nodes[merged(s.from)]
		x.root = x.root || s.root
		if s.to != "" {
			key := [2]string{merged(s.from), merged(s.to)}
			if edges[key] == nil {
				edges[key] = fresh()
			}
			x = edges[key]
			if s.alias != "" {
				x.aliases[s.alias] = true
			}
		}
		x.outcomes[s.outcome]++
		x.took, x.whole = append(x.took, s.took), append(x.whole, s.whole)
	}
	histogram := func(list []float64) string {
		counts := map[float64]int{}
		for _, v := range list {
			counts[math.Round(v*1000)/1000]++
		}
		var b strings.Builder
		for _, v := range slices.Sorted(maps.Keys(counts)) {
			fmt.Fprintf(&b, " %g:%d", v, counts[v])
		}
		return b.String()
	}
	sum := func(list []float64) (total float64) {
		for _, v := range list {
			total += v
		}
		return math.Round(total*1000) / 1000
	}
	names := slices.SortedFunc(maps.Keys(nodes), func(x, y string) int {
		return slices.Compare(strings.Split(x, "|"), strings.Split(y, "|"))
	})
	var b strings.Builder
	for _, n := range names {
		x := nodes[n]
		fmt.Fprintf(&b, "%s %s root=%t %.0f-%.0f", n, states[n], x.root, x.start, x.end)
		if !strings.HasSuffix(n, "|client|") {
			fmt.Fprintf(&b, " ok=%d error=%d throttle=%d fault=%d total=%g response%s duration%s", x.outcomes["ok"], x.outcomes["error"],
				x.outcomes["throttle"], x.outcomes["fault"], sum(x.took), histogram(x.took), histogram(x.whole))
		}
		b.WriteByte('\n')
		for _, m := range names {
			if e := edges[[2]string{n, m}]; e != nil {
				fmt.Fprintf(&b, "  -> %s ok=%d error=%d throttle=%d fault=%d total=%g response%s aliases %v\n", m, e.outcomes["ok"], e.outcomes["error"],
					e.outcomes["throttle"], e.outcomes["fault"], sum(e.took), histogram(e.took), slices.Sorted(maps.Keys(e.aliases)))
			}
		}
	}
	return b.String()
}

// drawnGraph writes a Graph in the same form.
func drawnGraph(g *Graph) string {
	histogram := func(list []HistogramEntry) string {
		var b strings.Builder
		for _, e := range list {
			fmt.Fprintf(&b, " %g:%d", e.Value, e.Count)
		}
		return b.String()
	}
	name := func(s *Service) string { return fmt.Sprintf("%s|%s|%s", s.Name, s.Type, s.AccountID) }
	var b strings.Builder
	for i := range g.Services {
		s := &g.Services[i]
		fmt.Fprintf(&b, "%s %s root=%t %d-%d", name(s), s.Kind.State(), s.Root, s.Start, s.End)
		if n := s.Statistics; n != nil {
			fmt.Fprintf(&b, " ok=%d error=%d throttle=%d fault=%d total=%g response%s duration%s", n.OK, n.Error, n.Throttle, n.Fault, n.Seconds,
				histogram(s.ResponseTime), histogram(s.Duration))
		}
		b.WriteByte('\n')
		for _, e := range s.Edges {
			aliases := []string{}
			for _, a := range e.Aliases {
				aliases = append(aliases, a.Name)
			}
			n := e.Statistics
			fmt.Fprintf(&b, "  -> %s ok=%d error=%d throttle=%d fault=%d total=%g response%s aliases %v\n", name(&g.Services[e.To]), n.OK, n.Error, n.Throttle,
				n.Fault, n.Seconds, histogram(e.ResponseTime), aliases)
		}
	}
	return b.String()
}

var testTrace = segment.TraceID{0x5f, 0x84, 0xc7, 0xa1, 1, 2, 3}

// history makes the documents of a trace of some services that call each other:
// complete at once or streamed, nested or split, late, twice, lost, or replaced.
func history(rng *rand.Rand) []trace.Document {
	next := segment.SegmentID(0)
	id := func() segment.SegmentID { next++; return next }
	flag := func() segment.Flag { return segment.Flag([]int{0, 0, 0, 1, 2}[rng.IntN(5)]) }
	// Few different durations, so that histograms stay exact.
	times := func(s *segment.Segment) {
		s.StartTime = 1_700_000_000 + float64(rng.IntN(8))/4
		s.EndTime = s.StartTime + float64(rng.IntN(6))/4 - 0.25
		s.Error, s.Fault, s.Throttle = flag(), flag(), flag()
	}
	var docs []*segment.Segment
	send := func(s *segment.Segment) {
		switch rng.IntN(6) {
		case 0: // streamed first
			open := *s
			open.InProgress, open.EndTime = true, 0
			if rng.IntN(2) == 0 {
				open.Subsegments = nil
			}
			docs = append(docs, &open)
			if rng.IntN(4) == 0 {
				docs = append(docs, &open) // once more
			}
			if rng.IntN(4) == 0 {
				return // and never completed
			}
			docs = append(docs, s)
		case 1: // twice, or replaced by another one
			docs = append(docs, s)
			other := *s
			if rng.IntN(2) == 0 {
				times(&other)
				other.Name = "other"
			}
			docs = append(docs, &other)
		case 2:
			if rng.IntN(4) > 0 { // else lost
				docs = append(docs, s)
			}
		default:
			docs = append(docs, s)
		}
	}
	var service func(depth int, parent segment.SegmentID)
	var subsegments func(s *segment.Segment, depth, level int)
	subsegments = func(s *segment.Segment, depth, level int) {
		for range rng.IntN(3) {
			sub := &segment.Segment{Kind: segment.KindNested, ID: id(), Namespace: []string{"", "aws", "remote", "remote"}[rng.IntN(4)]}
			times(sub)
			switch sub.Namespace {
			case "aws":
				sub.Name = []string{"DynamoDB", "SQS", "S3", "SNS", "Lambda", "Kinesis"}[rng.IntN(6)]
				if rng.IntN(3) > 0 {
					sub.AWS = segment.Raw(`{"operation":"Do","table_name":"t","queue_url":"https://q","bucket_name":"b","topic_arn":"arn","function_name":"fn"}`)
				}
			case "remote":
				sub.Name = []string{"stock", "pay.example.com", "db@host"}[rng.IntN(3)]
				if sub.Name == "db@host" {
					sub.SQL = segment.Raw(`{}`)
				}
			default:
				sub.Name = "local"
			}
			if level < 3 {
				subsegments(sub, depth, level+1)
			}
			for range []int{0, 0, 1, 1, 2, 20}[rng.IntN(6)] {
				if depth < 3 && next < 60 {
					service(depth+1, sub.ID)
				}
			}
			if rng.IntN(4) == 0 {
				sub.InProgress, sub.EndTime = true, 0
			}
			if rng.IntN(3) == 0 {
				sub.Kind, sub.TraceID, sub.ParentID, sub.HasParent = segment.KindSubsegment, testTrace, s.ID, true
				send(sub)
				continue
			}
			s.Subsegments = append(s.Subsegments, sub)
		}
	}
	service = func(depth int, parent segment.SegmentID) {
		s := &segment.Segment{TraceID: testTrace, ID: id(), Name: []string{"shop", "stock", "pay", "fn"}[rng.IntN(4)], ParentID: parent, HasParent: parent != 0}
		s.Origin = []string{"", "", "AWS::EC2::Instance", "AWS::Lambda", "AWS::Lambda::Function", "remote"}[rng.IntN(6)]
		if s.Origin == "AWS::Lambda::Function" {
			s.AWS = segment.Raw(`{"account_id":"123456789012"}`)
		}
		times(s)
		subsegments(s, depth, 0)
		if rng.IntN(5) == 0 && depth < 3 {
			service(depth+1, s.ID) // called without a subsegment
		}
		send(s)
	}
	service(0, 0)
	if rng.IntN(3) == 0 {
		service(1, []segment.SegmentID{0, 999, 3}[rng.IntN(3)]) // a second root, an orphan, another callee
	}
	rng.Shuffle(len(docs), func(i, j int) {
		if rng.IntN(2) == 0 {
			docs[i], docs[j] = docs[j], docs[i]
		}
	})
	list := make([]trace.Document, len(docs))
	now := int64(1_700_000_000_000)
	for i, s := range docs {
		now += []int64{0, 0, 1, 700, 5000, 70_000}[rng.IntN(6)]
		list[i] = trace.Document{Seq: uint64(i + 1), Put: uint64(i + 1), Received: now, Segment: s}
	}
	return list
}

func seeds(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// TestContributionsEqualRecount holds the contributions of every state of a
// trace against a recount of its documents.
func TestContributionsEqualRecount(t *testing.T) {
	total, aliases, late := 0, 0, 0
	for seed := range uint64(seeds(2500)) {
		docs := history(rand.New(rand.NewPCG(seed, 1)))
		if len(docs) == 0 {
			continue
		}
		tr := trace.Assemble(testTrace, docs)
		list := Contributions(nil, tr)
		got := make([]sight, len(list))
		for i := range list {
			got[i] = sighted(&list[i])
			if got[i].alias != "" {
				aliases++
			}
			if list[i].At == docs[len(docs)-1].Received {
				late++
			}
		}
		total += len(list)
		want := recount(docs)
		if g, w := sightLines(got), sightLines(want); g != w {
			for _, d := range docs {
				t.Logf("seq %d at %d: %s", d.Seq, d.Received, d.Segment.AppendDocument(nil))
			}
			t.Fatalf("seed %d: contributions\n%s\nrecount\n%s", seed, g, w)
		}
	}
	if total < 1000 || aliases < 100 || late < 100 {
		t.Errorf("%d contributions, %d with aliases, %d late: the histories say too little", total, aliases, late)
	}
}

// ledger keeps cells as a store does: by second and by minute, as encoded
// changes that are merged.
type ledger map[int64]map[int64]map[string][]byte // length, start, key

func (l ledger) apply(t *testing.T, old, new []Contribution) {
	for _, length := range []int64{1, 60} {
		if l[length] == nil {
			l[length] = map[int64]map[string][]byte{}
		}
		changes := map[int64]Cells{}
		add := func(list []Contribution, sign int64) {
			for i := range list {
				bucket := list[i].At / 1000 / length
				if changes[bucket] == nil {
					changes[bucket] = Cells{}
				}
				changes[bucket].Add(&list[i], sign)
			}
		}
		add(old, -1)
		add(new, 1)
		for bucket, cells := range changes {
			if l[length][bucket] == nil {
				l[length][bucket] = map[string][]byte{}
			}
			for k, c := range cells {
				if c.IsZero() {
					continue
				}
				key := string(k.AppendBinary(nil))
				var sum Cell
				if before, ok := l[length][bucket][key]; ok {
					if err := sum.MergeBinary(before); err != nil {
						t.Fatal(err)
					}
				}
				if err := sum.MergeBinary(c.AppendBinary(nil)); err != nil {
					t.Fatal(err)
				}
				if sum.IsZero() {
					delete(l[length][bucket], key)
					continue
				}
				l[length][bucket][key] = sum.AppendBinary(nil)
			}
		}
	}
}

// window sums up [from, to), of whole minutes where they fit and seconds elsewhere.
func (l ledger) window(t *testing.T, from, to int64) Cells {
	sum := Cells{}
	take := func(length, bucket int64) {
		part := Cells{}
		for key, data := range l[length][bucket] {
			k, err := DecodeKey([]byte(key))
			if err != nil {
				t.Fatal(err)
			}
			c := &Cell{}
			if err := c.UnmarshalBinary(data); err != nil {
				t.Fatal(err)
			}
			part[k] = c
		}
		sum.Merge(part)
	}
	for at := from; at < to; {
		if at%60 == 0 && at+60 <= to {
			take(60, at/60)
			at += 60
			continue
		}
		take(1, at)
		at++
	}
	return sum
}

// TestCellsEqualRecount brings in the documents of several traces one by one,
// each time taking away what its trace contributed before, and holds the graph
// of any window against a recount of all documents.
func TestCellsEqualRecount(t *testing.T) {
	for seed := range uint64(seeds(120)) {
		rng := rand.New(rand.NewPCG(seed, 2))
		traces := make([][]trace.Document, 1+rng.IntN(4))
		for i := range traces {
			traces[i] = history(rng)
		}
		l := ledger{}
		have := make([]int, len(traces)) // documents of each trace that arrived
		kept := make([][]Contribution, len(traces))
		for {
			var left []int
			for i, docs := range traces {
				if have[i] < len(docs) {
					left = append(left, i)
				}
			}
			if len(left) == 0 {
				break
			}
			i := left[rng.IntN(len(left))]
			have[i] = min(have[i]+1+rng.IntN(3), len(traces[i]))
			now := Contributions(nil, trace.Assemble(testTrace, traces[i][:have[i]]))
			l.apply(t, kept[i], now)
			kept[i] = now
		}
		var sights []sight
		for _, docs := range traces {
			sights = append(sights, recount(docs)...)
		}
		for range 5 {
			from := 1_700_000_000 + rng.Int64N(300)
			to := from + rng.Int64N(900)
			if rng.IntN(4) == 0 {
				from, to = 1_700_000_000, 1_700_010_000
			}
			g := l.window(t, from, to).Graph()
			if got, want := drawnGraph(g), drawn(sights, from, to); got != want {
				t.Fatalf("seed %d: the graph of %d to %d is\n%s\nthe recount\n%s", seed, from, to, got, want)
			}
		}
		// What everything leaves behind is nothing.
		for i := range kept {
			l.apply(t, kept[i], nil)
		}
		for length, buckets := range l {
			for bucket, cells := range buckets {
				if len(cells) > 0 {
					t.Fatalf("seed %d: %d cells are left in %d of length %d", seed, len(cells), bucket, length)
				}
			}
		}
	}
}

// TestCellsDoNotDependOnOrder merges the same changes in different orders.
func TestCellsDoNotDependOnOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	var parts [][]byte
	for range 300 {
		var c Cell
		for range 1 + rng.IntN(5) {
			o := randomContribution(rng)
			c.Add(&o, []int64{1, 1, -1}[rng.IntN(3)])
		}
		parts = append(parts, c.AppendBinary(nil))
	}
	var first []byte
	for range 20 {
		rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		var sums [3]Cell
		for _, p := range parts {
			if err := sums[rng.IntN(len(sums))].MergeBinary(p); err != nil {
				t.Fatal(err)
			}
		}
		sums[0].Merge(&sums[1])
		sums[0].Merge(&sums[2])
		data := sums[0].AppendBinary(nil)
		if first == nil {
			first = data
		}
		if !bytes.Equal(data, first) {
			t.Fatalf("orders differ:\n%x\n%x", first, data)
		}
	}
}

// TestManyAnswers brings a trace in which very many segments answer few calls,
// which must not take time that grows with the square.
func TestManyAnswers(t *testing.T) {
	const n = 30_000
	docs := make([]trace.Document, 0, n+1)
	add := func(s *segment.Segment) {
		s.TraceID, s.StartTime, s.EndTime = testTrace, 1, 2
		docs = append(docs, trace.Document{Seq: uint64(len(docs) + 1), Put: 1, Received: 1000, Segment: s})
	}
	root := &segment.Segment{ID: 1, Name: "shop"}
	for i := range segment.SegmentID(10) {
		root.Subsegments = append(root.Subsegments, &segment.Segment{Kind: segment.KindNested, ID: 2 + i, Name: "call", Namespace: "remote", StartTime: 1, EndTime: 2})
	}
	add(root)
	for i := range segment.SegmentID(n) {
		add(&segment.Segment{ID: 100 + i, Name: fmt.Sprint("s", i%5000), ParentID: 2 + i%10, HasParent: true})
	}
	tr := trace.Assemble(testTrace, docs)
	begin := time.Now()
	list := Contributions(nil, tr)
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("%d contributions took %v", len(list), took)
	}
	edges := 0
	for i := range list {
		if list[i].Key.IsEdge() && list[i].Key.From.Kind == KindReported {
			edges++
		}
	}
	if edges != 5000 { // each service answers always the same call
		t.Errorf("%d calls were counted", edges)
	}
}
