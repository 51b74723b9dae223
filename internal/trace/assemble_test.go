package trace

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/segment"
)

func TestAssembleNothing(t *testing.T) {
	if got := Assemble(propertyTrace, nil); got != nil {
		t.Errorf("Assemble of nothing = %+v, want nil", got)
	}
}

// independent makes a complete independent subsegment.
func independent(id, parent segment.SegmentID) *segment.Segment {
	return &segment.Segment{
		Kind: segment.KindSubsegment, TraceID: propertyTrace, ID: id, ParentID: parent, HasParent: true,
		Name: "s", StartTime: 1, EndTime: 2,
	}
}

func root(id segment.SegmentID) *segment.Segment {
	return &segment.Segment{TraceID: propertyTrace, ID: id, Name: "root", StartTime: 1, EndTime: 2}
}

// depths returns how many entities lie on each level, from 1.
func depths(entities []*Entity) []int {
	var counts []int
	for _, e := range entities {
		depth := 0
		for ; e != nil; e = e.Parent {
			depth++
		}
		for len(counts) <= depth {
			counts = append(counts, 0)
		}
		counts[depth]++
	}
	return counts
}

// TestDepthIsBounded chains more independent subsegments than any tree may have
// levels, in every order of arrival: all are there, the deep ones on the lowest
// level.
func TestDepthIsBounded(t *testing.T) {
	const n = 20_000
	for _, order := range []string{"down", "up", "middle out"} {
		var h history
		for i := range n {
			id := i + 1
			switch order {
			case "up":
				id = n - i
			case "middle out":
				id = (i+n/2)%n + 1
			}
			if id == 1 {
				h.add(0, root(1))
			} else {
				h.add(0, independent(segment.SegmentID(id), segment.SegmentID(id-1)))
			}
		}
		tr := Assemble(propertyTrace, h.docs)
		if len(tr.visible) != n || len(tr.hidden) != 0 {
			t.Fatalf("%s: %d entities and %d orphans, want %d", order, len(tr.visible), len(tr.hidden), n)
		}
		counts := depths(tr.visible)
		want := slices.Repeat([]int{1}, maxDepth+1)
		want[0], want[maxDepth] = 0, n-maxDepth+1
		if !slices.Equal(counts, want) {
			t.Errorf("%s: %v entities on each level", order, counts)
		}
		docs := tr.Documents(false)
		if len(docs) != 1 || !json.Valid(docs[0].Document) || strings.Count(string(docs[0].Document), `"id":`) != n {
			t.Errorf("%s: the document does not hold all entities", order)
		}
		if _, err := segment.Parse(docs[0].Document, segment.Limits{}); err != nil {
			t.Errorf("%s: the document given back is refused: %v", order, err)
		}
	}
}

// TestDeepOrphansAndLoops does the same to trees that hang nowhere.
func TestDeepOrphansAndLoops(t *testing.T) {
	const n = 5000
	for _, closed := range []bool{false, true} {
		var h history
		last := segment.SegmentID(0)
		if closed {
			last = n
		}
		h.add(0, independent(1, last))
		for id := segment.SegmentID(n); id > 1; id-- {
			h.add(0, independent(id, id-1))
		}
		tr := Assemble(propertyTrace, h.docs)
		if len(tr.Orphans) != 1 || tr.Orphans[0].Segment.ID != 1 || len(tr.hidden) != n || len(tr.visible) != 0 {
			t.Fatalf("closed %t: %d orphans, %d hidden", closed, len(tr.Orphans), len(tr.hidden))
		}
		if counts := depths(tr.hidden); len(counts) != maxDepth+1 || counts[maxDepth] != n-maxDepth+1 {
			t.Errorf("closed %t: %v entities on each level", closed, counts)
		}
		if docs := tr.Documents(true); len(docs) != 1 || strings.Count(string(docs[0].Document), `"id":`) != n {
			t.Errorf("closed %t: the document does not hold all entities", closed)
		}
	}
}

// holding makes an unfinished root that holds steps below each other, the first
// one on top.
func holding(first, levels segment.SegmentID) *segment.Segment {
	s := root(1)
	s.InProgress, s.EndTime = true, 0
	at := s
	for id := first; id < first+levels; id++ {
		sub := &segment.Segment{Kind: segment.KindNested, ID: id, Name: "s", StartTime: 1, EndTime: 2}
		at.Subsegments = []*segment.Segment{sub}
		at = sub
	}
	return s
}

// TestRestoredTreesPileUp lets each unfinished version of the same segment hold
// the whole of the one before, further down. What is held so is deeper than any
// document.
func TestRestoredTreesPileUp(t *testing.T) {
	const versions, levels = 12, 100
	var h history
	for i := range segment.SegmentID(versions) {
		h.add(0, holding(2+(versions-1-i)*(levels-1), levels))
	}
	tr := Assemble(propertyTrace, h.docs)
	if want := 2 + versions*(levels-1); len(tr.visible) != want || tr.Revision != versions {
		t.Fatalf("%d entities, want %d; revision %d", len(tr.visible), want, tr.Revision)
	}
	counts := depths(tr.visible)
	if len(counts) != maxDepth+1 || counts[maxDepth] != len(tr.visible)-maxDepth+1 {
		t.Errorf("%v entities on each level", counts)
	}
	h.add(0, root(1))
	if tr := Assemble(propertyTrace, h.docs); len(tr.visible) != 1 {
		t.Errorf("%d entities after the complete version that holds nothing, want 1", len(tr.visible))
	}
}

// TestRestoringIsBounded does the same with 20,000 small documents. Bringing the
// whole pile back each time would be 200 million steps; the test is there to
// hang if that bound is lost. What the last document holds is there anyway.
func TestRestoringIsBounded(t *testing.T) {
	const versions = 20_000
	var h history
	for i := range segment.SegmentID(versions) {
		h.add(0, holding(2+versions-i, 2))
	}
	tr := Assemble(propertyTrace, h.docs)
	if tr.Revision != versions || len(tr.visible) < 3 || tr.visible[0].Children == nil {
		t.Errorf("%d entities, revision %d", len(tr.visible), tr.Revision)
	}
	last := []*Entity{tr.Segments[0], tr.Segments[0].Children[0], tr.Segments[0].Children[0].Children[0]}
	for i, id := range []segment.SegmentID{1, 3, 4} {
		if last[i].Segment.ID != id {
			t.Errorf("level %d is %s, want %s", i+1, last[i].Segment.ID, id)
		}
	}
}

// TestInferredIDsKeepClear takes the ids that callees would get for entities of
// the trace: the callees get others, always the same.
func TestInferredIDsKeepClear(t *testing.T) {
	call := independent(5, 1)
	call.Name, call.Namespace = "SQS", "aws"
	call.AWS = segment.Raw(`{"operation":"SendMessage"}`)
	var h history
	h.add(0, root(1), call)
	seen := map[segment.SegmentID]bool{}
	for range 4 {
		tr := Assemble(propertyTrace, h.docs)
		if len(tr.Inferred) != 1 || len(tr.Inferred[0].Subsegments) != 1 {
			t.Fatalf("inferred %+v", tr.Inferred)
		}
		checkTrace(t, tr)
		again := Assemble(propertyTrace, h.docs)
		for i, s := range []*segment.Segment{tr.Inferred[0], tr.Inferred[0].Subsegments[0]} {
			other := []*segment.Segment{again.Inferred[0], again.Inferred[0].Subsegments[0]}[i]
			if s.ID != other.ID {
				t.Errorf("id %s the first time, %s the second", s.ID, other.ID)
			}
			if seen[s.ID] {
				t.Errorf("id %s was taken", s.ID)
			}
			seen[s.ID] = true
			h.add(0, independent(s.ID, 1))
		}
	}
	other := propertyTrace
	other[15]++
	if a, b := Assemble(propertyTrace, h.docs[:2]).Inferred[0].ID, Assemble(other, h.docs[:2]).Inferred[0].ID; a == b {
		t.Errorf("two traces give one id, %s", a)
	}
}

// TestRowIsBounded makes traces whose rows would be huge.
func TestRowIsBounded(t *testing.T) {
	const n = 12_000
	var h history
	for i := range n {
		s := root(segment.SegmentID(i + 1))
		s.Name = fmt.Sprintf("service %d", i)
		s.EndTime = float64(i * 60)
		s.User = fmt.Sprintf("user %d", i)
		s.ResourceARN = fmt.Sprintf("arn:%d", i)
		s.Annotations = segment.Raw(fmt.Sprintf(`{"k%05d":%d,"text":%q,"same":true}`, i, i, strings.Repeat("é", 3000)+fmt.Sprint(i)))
		s.AWS = segment.Raw(fmt.Sprintf(`{"ec2":{"instance_id":"i-%d","availability_zone":"z-%d"}}`, i, i))
		h.add(0, s)
	}
	first := h.docs[0].Segment
	first.StartTime = 0.5 // the root
	first.HTTP = segment.Raw(fmt.Sprintf(`{"request":{"method":%q,"url":%q,"user_agent":%q,"client_ip":%q}}`,
		strings.Repeat("m", 5000), strings.Repeat("ü", 5000), strings.Repeat("a", 5000), strings.Repeat("1", 5000)))
	r := Assemble(propertyTrace, h.docs).Row()
	checkCodec(t, r)
	data, err := r.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 500<<10 {
		t.Errorf("the row takes %d bytes", len(data))
	}
	if !r.Cut {
		t.Error("the row does not say that something is missing")
	}
	if len(r.Segments) < 2000 || len(r.Segments) >= n || len(r.Calls) < 2000 || len(r.Calls) >= n {
		t.Errorf("%d segments, %d calls", len(r.Segments), len(r.Calls))
	}
	full := Assemble(propertyTrace, h.docs).FullRow()
	checkCodec(t, full)
	if full.Cut || len(full.Segments) != n || len(full.Calls) != n || len(full.Services) != n+1 || len(full.Ends) != n || len(full.Users) != n ||
		len(full.Annotations) != 2*n+1 || len(full.URL) != 10000 || len(full.Segments[n-1].Annotations) != 3 {
		t.Errorf("the full row has %d segments, %d calls, %d services, %d users and %d annotations", len(full.Segments), len(full.Calls),
			len(full.Services), len(full.Users), len(full.Annotations))
	}
	if len(r.Ends) != maxEnds || r.Ends[0] != n-maxEnds || r.Ends[maxEnds-1] != n-1 {
		t.Errorf("%d end minutes from %d to %d", len(r.Ends), r.Ends[0], r.Ends[len(r.Ends)-1])
	}
	if len(r.Method) != maxWord || len(r.URL) != maxURL || len(r.UserAgent) != maxUserAgent || len(r.ClientIP) != maxWord {
		t.Errorf("http of %d, %d, %d and %d bytes", len(r.Method), len(r.URL), len(r.UserAgent), len(r.ClientIP))
	}
	if k := len(r.Services); k < 1000 || k == n+1 || r.Services[k-1] != (ServiceID{Name: "service 0", Type: "client"}) || r.Services[0] != r.Root {
		t.Errorf("%d services, the first %v, the last %v", k, r.Services[0], r.Services[k-1])
	}
	if len(r.Users) < 1000 || r.Users[0] != "user 0" || len(r.InstanceIDs) < 1000 || len(r.Zones) < 1000 || len(r.ResourceARNs) < 1000 {
		t.Errorf("%d users, %d instances, %d zones, %d resources", len(r.Users), len(r.InstanceIDs), len(r.Zones), len(r.ResourceARNs))
	}
	keys := map[string]int{}
	for i, a := range r.Annotations {
		if i > 0 && compareAnnotations(&r.Annotations[i-1], &a) >= 0 {
			t.Fatalf("annotation %v is not above %v", a, r.Annotations[i-1])
		}
		if len(a.String) > maxAnnotation {
			t.Errorf("annotation of %d bytes", len(a.String))
		}
		keys[a.Key]++
	}
	// The texts differ only behind the cut.
	if keys["same"] != 1 || keys["text"] != 1 || keys["k00000"] != 1 || keys["k11999"] != 0 || len(keys) < 1000 {
		t.Errorf("%d annotations of %d keys", len(r.Annotations), len(keys))
	}
}

// TestRowWithRootThatComesLast has the entry point arrive when the list of
// services is full already.
func TestRowWithRootThatComesLast(t *testing.T) {
	var h history
	for i := range 100 {
		s := root(segment.SegmentID(i + 10))
		s.Name, s.HasParent, s.ParentID = strings.Repeat("x", 1000)+fmt.Sprint(i), true, 10
		h.add(0, s)
	}
	h.add(0, root(1))
	r := Assemble(propertyTrace, h.docs).Row()
	if k := len(r.Services); k < 50 || k > 70 || r.Services[k-2] != (ServiceID{Name: "root"}) || r.Services[k-1] != (ServiceID{Name: "root", Type: "client"}) {
		t.Errorf("%d services, the last %.20q", k, r.Services[k-1].Name)
	}
	if r.Partial || !r.HasRoot || r.Root.Name != "root" {
		t.Errorf("partial %t, root %t %q", r.Partial, r.HasRoot, r.Root.Name)
	}
}

func TestBetween(t *testing.T) {
	for _, c := range []struct {
		start, end, want float64
		ok               bool
	}{
		{1, 3, 2, true},
		{1, 1, 0, true},
		{3, 1, 0, false},
		{1790149878.783249, 1790149879.283249, 0.5, true},
		{1700000000.1, 1700000000.3, 0.2, true},
		{0.5, 1e15, 1e15 - 0.5, true},
		{-math.MaxFloat64, math.MaxFloat64, 0, false},
		{math.Inf(1), 1, 0, false},
		{1, math.Inf(-1), 0, false},
		{1, math.Inf(1), 0, false},
	} {
		if got, ok := between(c.start, c.end); got != c.want || ok != c.ok {
			t.Errorf("between(%v, %v) = %v, %t; want %v, %t", c.start, c.end, got, ok, c.want, c.ok)
		}
	}
}

// TestSame changes each field of a version in turn: a version that differs in
// any of them counts as a change when it is sent again.
func TestSame(t *testing.T) {
	// Every field has a value, so that none is forgotten when Segment grows one.
	full := segment.Segment{
		Kind: segment.KindSubsegment, TraceID: propertyTrace, ID: 1, ParentID: 2, HasParent: true, Name: "n", StartTime: 1,
		EndTime: 2, InProgress: true, Error: segment.FlagTrue, Fault: segment.FlagFalse, Throttle: segment.FlagTrue,
		Inferred: true, Namespace: "aws", Origin: "o", User: "u", ResourceARN: "arn", HTTP: segment.Raw("{}"),
		AWS: segment.Raw("{}"), Service: segment.Raw("{}"), SQL: segment.Raw("{}"), Cause: segment.Raw("{}"),
		Annotations: segment.Raw("{}"), Metadata: segment.Raw("{}"), Links: segment.Raw("[]"), PrecursorIDs: segment.Raw("[]"),
		Attributes: attributes{{Name: "k"}}, SpanService: "s",
		Subsegments: []*segment.Segment{{Kind: segment.KindNested, ID: 3, Name: "sub"}},
	}
	if !same(&full, clone(&full)) {
		t.Error("a copy is not the same")
	}
	v := reflect.ValueOf(full)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if v.Field(i).IsZero() {
			t.Errorf("the test gives field %s no value", name)
		}
		if name == "TraceID" {
			continue // it is that of the trace, always
		}
		other := full
		reflect.ValueOf(&other).Elem().Field(i).SetZero()
		if same(&full, &other) {
			t.Errorf("without %s it is still the same", name)
		}
	}
	other := clone(&full)
	other.Subsegments[0].Name = "other"
	if same(&full, other) {
		t.Error("a different subsegment is the same")
	}
}

// TestCausesAreLinear makes traces in which careless walks would take a time
// that grows with the square of their size, or a stack that does.
func TestCausesAreLinear(t *testing.T) {
	const n = 50_000
	fault := func(s *segment.Segment, cause string) *segment.Segment {
		s.Fault, s.Error, s.StartTime, s.EndTime = segment.FlagTrue, segment.FlagTrue, 10, 20
		s.Cause = segment.Raw(cause)
		return s
	}
	const named, owned = `"00000000000000ee"`, `{"exceptions":[{"id":"00000000000000ee","type":"T","message":"m"}]}`
	for name, make := range map[string]func(i int) *segment.Segment{
		"segments that call each other in a chain": func(i int) *segment.Segment {
			s := fault(root(segment.SegmentID(i)), "")
			s.ParentID, s.HasParent = segment.SegmentID(i-1), i > 1
			return s
		},
		"a chain of references": func(i int) *segment.Segment {
			s := fault(root(segment.SegmentID(i)), named)
			s.ParentID, s.HasParent = segment.SegmentID(i-1), i > 1
			return s
		},
		"a circle": func(i int) *segment.Segment {
			s := fault(root(segment.SegmentID(i)), named)
			s.ParentID, s.HasParent = segment.SegmentID(1+i%n), true
			return s
		},
		"a star of calls, every one named": func(i int) *segment.Segment {
			if i == 1 {
				return fault(root(1), named)
			}
			s := fault(independent(segment.SegmentID(i), 1), named)
			s.Namespace = "remote"
			return s
		},
		"deep": func(i int) *segment.Segment {
			if i == 1 {
				return fault(root(1), named)
			}
			return fault(independent(segment.SegmentID(i), segment.SegmentID(i-1)), named)
		},
	} {
		var h history
		var all []*segment.Segment
		for i := 1; i <= n; i++ {
			all = append(all, make(i))
		}
		all[n-1].Cause = segment.Raw(owned)
		h.add(0, all...)
		tr := Assemble(propertyTrace, h.docs)
		r := tr.Row()
		if data, err := r.AppendBinary(nil); err != nil || len(data) > 500<<10 {
			t.Errorf("%s: a row of %d bytes, %v", name, len(data), err)
		}
		full := tr.FullRow()
		if len(full.FaultCauses) == 0 || full.Cut || len(full.FaultCauses) != len(full.ErrorCauses) {
			t.Errorf("%s: %d fault and %d error causes", name, len(full.FaultCauses), len(full.ErrorCauses))
		}
	}
}
