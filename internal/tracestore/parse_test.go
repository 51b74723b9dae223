package tracestore

import (
	"testing"

	"github.com/roentgen-io/roentgen/segment"
)

// What is refused today may have been accepted when it was stored.
func TestStoredDocumentOfOddTypeIsRead(t *testing.T) {
	data := []byte(`{"type":5,"id":"00000000000000aa","name":"shop",` +
		`"trace_id":"1-6921c0de-0123456789abcdef01234567","start_time":10,"end_time":11.5}`)
	if _, err := segment.Parse(data, segment.Limits{}); err == nil {
		t.Fatal("such a document is accepted")
	}
	stored := Stored{Format: FormatXRay, Data: data}
	s, err := stored.Segment(true)
	if err != nil {
		t.Fatal(err)
	}
	if s.Kind != segment.KindSegment || s.Name != "shop" {
		t.Errorf("read as %v %q, want a segment named shop", s.Kind, s.Name)
	}
}
