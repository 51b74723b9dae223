package bench

import (
	"strings"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/segment"
)

// TestDocuments holds that the documents of a load are what they are taken for:
// valid, of fresh ids, and of the time at which they are sent, inside and out.
func TestDocuments(t *testing.T) {
	now := time.Unix(1795356000, 0)
	for _, size := range []int{300, 1000, 10_000} {
		src := newSource(Templates(8, size, false, 1), 1, nil)
		src.rare = rareSet(size, false, 1)
		ids := map[segment.SegmentID]bool{}
		traces := map[segment.TraceID]int{}
		for range 500 {
			text := src.append(nil, now)
			s, err := segment.Parse(text, segment.Limits{})
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if len(text) < size-50 || len(text) > size+500 {
				t.Errorf("a document of %d bytes, want about %d", len(text), size)
			}
			if strings.Contains(string(text), "1000000000.") || strings.Contains(string(text), markNested) {
				t.Fatalf("something was left as in the template: %s", text)
			}
			traces[s.TraceID]++
			for _, e := range append([]*segment.Segment{s}, s.Subsegments...) {
				if ids[e.ID] {
					t.Fatalf("id %v twice", e.ID)
				}
				ids[e.ID] = true
				if e.EndTime < e.StartTime || e.StartTime < s.StartTime || e.EndTime > s.EndTime || e.EndTime > 1795356000 || e.StartTime < 1795355999 {
					t.Fatalf("from %v to %v in %s", e.StartTime, e.EndTime, text)
				}
			}
		}
		if len(traces) != 500/DocumentsPerTrace {
			t.Errorf("%d traces", len(traces))
		}
	}
}
