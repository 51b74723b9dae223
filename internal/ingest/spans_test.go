package ingest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

func request(t testing.TB, text string) []byte {
	t.Helper()
	data, err := otlp.FromJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

const (
	goodSpan = `{"traceId":"5759e988bd862e3fe1be46a994272793","spanId":"53995c3f42cd8ad8","name":"GET /cart","kind":2,"startTimeUnixNano":"1000000000","endTimeUnixNano":"2000000000"}`
	noTrace  = `{"spanId":"53995c3f42cd8ad8","name":"lost"}`
	noSpan   = `{"traceId":"5759e988bd862e3fe1be46a994272793","spanId":"0000000000000000","name":"zero"}`
)

func batch(service string, spans ...string) string {
	return `{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"` + service + `"}}]},"scopeSpans":[{"spans":[` + strings.Join(spans, ",") + `]}]}`
}

func TestPutSpans(t *testing.T) {
	s := &fakeStore{}
	in, _ := newIngester(t, s, nil)
	from := Origin{Source: SourceOTLP, Peer: "10.0.0.1:5"}
	report, err := in.PutSpans(t.Context(), from, request(t, `{"resourceSpans":[`+batch("shop", goodSpan, noTrace, noSpan, goodSpan)+`,`+batch("till", goodSpan)+`]}`))
	if err != nil || report.Accepted != 3 || report.Rejected != 2 || !strings.Contains(report.Reason, "trace id") {
		t.Fatalf("got %+v, %v", report, err)
	}
	records := s.mu.writes[0]
	if len(s.mu.writes) != 1 || len(records) != 3 {
		t.Fatalf("%d writes, %d records", len(s.mu.writes), len(records))
	}
	for i, name := range []string{"shop", "shop", "till"} {
		r := &records[i]
		if r.Format != tracestore.FormatOTLP || r.Segment.Name != name || r.Segment.TraceID.W3C() != "5759e988bd862e3fe1be46a994272793" {
			t.Errorf("record %d is %+v", i, r.Segment)
		}
		again, err := (*tracestore.SpanReader)(nil).Read(r.Source, r.Data, false)
		if err != nil || again.Name != name || again.ID != r.Segment.ID {
			t.Errorf("record %d reads as %+v, %v", i, again, err)
		}
	}
	if &records[0].Source[0] != &records[1].Source[0] || bytes.Equal(records[0].Source, records[2].Source) {
		t.Error("spans of one batch do not share their source, or those of two do")
	}
	in.Close()
	if len(s.mu.letters) != 2 || s.mu.letters[0].Code != "InvalidTraceId" || s.mu.letters[1].Code != "InvalidId" || s.mu.letters[0].Source != "otlp" {
		t.Fatalf("letters %+v", s.mu.letters)
	}
	if got := string(s.mu.letters[0].Document); !strings.Contains(got, `"name":"lost"`) {
		t.Errorf("letter %s", got)
	}
}

func TestPutSpansFails(t *testing.T) {
	s := &fakeStore{}
	in, _ := newIngester(t, s, func(c *Config) { c.Limits.DocumentBytes = 200 })
	from := Origin{Source: SourceOTLP}
	if _, err := in.PutSpans(t.Context(), from, []byte{0x0a, 0xff}); !errors.Is(err, otlp.ErrMessage) {
		t.Errorf("no message: %v", err)
	}
	if report, err := in.PutSpans(t.Context(), from, nil); err != nil || report != (SpanReport{}) {
		t.Errorf("nothing: %+v, %v", report, err)
	}
	long := strings.Replace(goodSpan, "GET /cart", strings.Repeat("x", 300), 1)
	report, err := in.PutSpans(t.Context(), from, request(t, `{"resourceSpans":[`+batch("shop", long, goodSpan)+`,`+batch(strings.Repeat("y", maxSource), goodSpan, goodSpan)+`]}`))
	if err != nil || report.Accepted != 1 || report.Rejected != 3 || !strings.Contains(report.Reason, "more than 200") {
		t.Errorf("too large: %+v, %v", report, err)
	}
	s.err = tracestore.ErrNoSpace
	if _, err := in.PutSpans(t.Context(), from, request(t, `{"resourceSpans":[`+batch("shop", goodSpan)+`]}`)); !errors.Is(err, tracestore.ErrNoSpace) {
		t.Errorf("no space: %v", err)
	}
	s.err = nil
	report, err = in.PutSpans(t.Context(), from, request(t, `{"resourceSpans":[`+batch("shop", strings.Split(strings.Repeat(noTrace+" ", 3*maxRefusals), " ")[:3*maxRefusals]...)+`]}`))
	if err != nil || report.Rejected != 3*maxRefusals {
		t.Errorf("many: %+v, %v", report, err)
	}
}

// TestSpansByTrace holds that the spans of a trace are stored together, in the order in
// which they came, and that none is lost or doubled.
func TestSpansByTrace(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		records := make([]tracestore.Record, rng.IntN(50))
		for i := range records {
			records[i] = tracestore.Record{Received: int64(i), Segment: &segment.Segment{TraceID: segment.TraceID{byte(rng.IntN(8))}}}
		}
		grouped := byTrace(slices.Clone(records))
		if len(grouped) != len(records) {
			t.Fatalf("%d records became %d", len(records), len(grouped))
		}
		seen := make(map[segment.TraceID]bool)
		all := make(map[int64]bool)
		for i, r := range grouped {
			all[r.Received] = true
			switch id := r.Segment.TraceID; {
			case i > 0 && id == grouped[i-1].Segment.TraceID:
				if r.Received < grouped[i-1].Received {
					t.Fatalf("of trace %s, record %d comes before %d", id, grouped[i-1].Received, r.Received)
				}
			case seen[id]:
				t.Fatalf("the records of trace %s are apart", id)
			default:
				seen[id] = true
			}
		}
		if len(all) != len(records) {
			t.Fatalf("%d of %d records are there", len(all), len(records))
		}
	}
}

// TestNoRoom holds that what the store has no room for is refused before it is parsed, and
// that anything is let in while nothing waits.
func TestNoRoom(t *testing.T) {
	s := &fakeStore{}
	in, _ := newIngester(t, s, nil)
	message := request(t, `{"resourceSpans":[`+batch("shop", goodSpan, goodSpan)+`]}`)
	need := int64(len(message)) + 2*tracestore.DocumentOverhead
	s.limit.Store(need)
	for _, c := range []struct {
		waiting int64
		room    bool
	}{{0, true}, {1, false}} {
		s.backlog.Store(c.waiting)
		_, err := in.PutSpans(t.Context(), Origin{Source: SourceOTLP}, slices.Clone(message))
		if c.room != (err == nil) || !c.room && !errors.Is(err, tracestore.ErrOverloaded) {
			t.Errorf("spans, %d bytes wait: %v", c.waiting, err)
		}
	}
	s.limit.Store(need + 1)
	if _, err := in.PutSpans(t.Context(), Origin{Source: SourceOTLP}, message); err != nil {
		t.Errorf("spans that fit: %v", err)
	}
	s.limit.Store(100)
	bad := [][]byte{[]byte("no document")}
	if _, err := in.Put(t.Context(), Origin{Source: SourceHTTP}, bad); !errors.Is(err, tracestore.ErrOverloaded) {
		t.Errorf("a document while there is no room: %v", err)
	}
	if _, err := in.Put(t.Context(), Origin{Source: SourceHTTP}, nil); err != nil {
		t.Errorf("no document while there is no room: %v", err)
	}
	s.limit.Store(0)
	if refusals, err := in.Put(t.Context(), Origin{Source: SourceHTTP}, bad); err != nil || len(refusals) != 1 {
		t.Errorf("a document, and the store has no limit: %v, %v", refusals, err)
	}
}
