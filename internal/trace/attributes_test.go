package trace

import (
	"reflect"
	"testing"

	"github.com/roentgen-io/roentgen/segment"
)

type attributes []segment.Attribute

func (list attributes) Each(fn func(a *segment.Attribute)) {
	for i := range list {
		fn(&list[i])
	}
}

// TestAttributes holds what a row has of values that are searched for without being
// annotations: an equal annotation goes before, and the segment has both.
func TestAttributes(t *testing.T) {
	id := segment.TraceID{1}
	s := &segment.Segment{
		TraceID: id, ID: 1, Name: "shop", StartTime: 1, EndTime: 2, Annotations: segment.Raw(`{"team":"red"}`),
		Attributes: attributes{
			{Name: "http.status_code", Type: segment.TypeNumber, Number: 200}, {Name: "team", Type: segment.TypeString, Text: "red"},
			{Name: "span.kind", Type: segment.TypeString, Text: "SERVER"},
		},
	}
	sub := &segment.Segment{
		Kind: segment.KindSubsegment, TraceID: id, ID: 2, ParentID: 1, HasParent: true, Name: "db", StartTime: 1, EndTime: 2,
		Attributes: attributes{{Name: "span.kind", Type: segment.TypeString, Text: "CLIENT"}}, Annotations: segment.Raw(`{"http.status_code":"200"}`),
	}
	row := AssembleRow(id, []Document{{Seq: 1, Put: 1, Segment: s}, {Seq: 2, Put: 2, Segment: sub}})
	want := []Annotation{
		{Key: "http.status_code", Type: segment.TypeNumber, Number: 200, Attribute: true},
		{Key: "http.status_code", Type: segment.TypeString, String: "200"},
		{Key: "span.kind", Type: segment.TypeString, String: "CLIENT", Attribute: true},
		{Key: "span.kind", Type: segment.TypeString, String: "SERVER", Attribute: true},
		{Key: "team", Type: segment.TypeString, String: "red"},
	}
	if !reflect.DeepEqual(row.Annotations, want) {
		t.Errorf("got %+v, want %+v", row.Annotations, want)
	}
	if got := row.Segments[0].Annotations; !reflect.DeepEqual(got, []int{0, 1, 2, 3, 4}) {
		t.Errorf("the segment has %v", got)
	}
	if row.Documents || row.Orphans || row.Failed {
		t.Errorf("documents %v, orphans %v, failed %v", row.Documents, row.Orphans, row.Failed)
	}
	data, err := row.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	var back Row
	if err := back.UnmarshalBinary(data); err != nil || !reflect.DeepEqual(back.Annotations, want) {
		t.Errorf("they came back as %+v, %v", back.Annotations, err)
	}
}

// TestSpanService holds that the service of a span is found where no segment bears its
// name, and nowhere else; and what marks a row has of what is in it.
func TestSpanService(t *testing.T) {
	id := segment.TraceID{1}
	span := func(n segment.SegmentID, parent segment.SegmentID, name, service string) *segment.Segment {
		s := &segment.Segment{TraceID: id, ID: n, Name: name, StartTime: 1, EndTime: 2, SpanService: service, Attributes: attributes{{Name: "span.kind", Type: segment.TypeString, Text: "INTERNAL"}}}
		if parent != 0 {
			s.Kind, s.ParentID, s.HasParent = segment.KindSubsegment, parent, true
		}
		return s
	}
	document := &segment.Segment{TraceID: id, ID: 9, Name: "till", StartTime: 1, EndTime: 2}
	failing := span(4, 1, "work", "shop")
	failing.Fault = segment.FlagTrue
	orphan := span(5, 77, "lost", "elsewhere")
	refused := &segment.Segment{TraceID: id, ID: 8, Name: "till", StartTime: 1, EndTime: 2, HTTP: segment.Raw(`{"response":{"status":404}}`)}
	for name, c := range map[string]struct {
		list                       []*segment.Segment
		services                   string
		documents, orphans, failed bool
	}{
		"own":      {list: []*segment.Segment{span(1, 0, "shop", "shop"), span(2, 1, "work", "shop")}},
		"foreign":  {list: []*segment.Segment{span(1, 0, "shop", "shop"), span(2, 1, "work", "queue"), span(3, 2, "more", "queue")}, services: "queue"},
		"renamed":  {list: []*segment.Segment{span(1, 0, "front", "shop")}, services: "shop"},
		"mixed":    {list: []*segment.Segment{span(1, 0, "shop", "shop"), document}, documents: true},
		"failing":  {list: []*segment.Segment{span(1, 0, "shop", "shop"), failing}, failed: true},
		"orphan":   {list: []*segment.Segment{span(1, 0, "shop", "shop"), orphan}, orphans: true},
		"orphans":  {list: []*segment.Segment{orphan}, orphans: true},
		"refused":  {list: []*segment.Segment{refused}, documents: true, failed: true},
		"no spans": {list: []*segment.Segment{document}, documents: true},
	} {
		var docs []Document
		for i, s := range c.list {
			docs = append(docs, Document{Seq: uint64(i + 1), Put: 1, Segment: s})
		}
		row := AssembleRow(id, docs)
		services := ""
		for _, a := range row.Annotations {
			if a.Key == KeyService && a.Attribute {
				services += a.String
			}
		}
		if services != c.services || row.Documents != c.documents || row.Orphans != c.orphans || row.Failed != c.failed {
			t.Errorf("%s: services %q, documents %v, orphans %v, failed %v", name, services, row.Documents, row.Orphans, row.Failed)
		}
		var back Row
		if data, err := row.AppendBinary(nil); err != nil || back.UnmarshalBinary(data) != nil || back.Documents != c.documents || back.Orphans != c.orphans || back.Failed != c.failed {
			t.Errorf("%s: it came back as %+v, %v", name, back, err)
		}
	}
}
