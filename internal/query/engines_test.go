package query

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
	"github.com/roentgen-io/roentgen/internal/tracestore/pebblestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/storetest"
	"github.com/roentgen-io/roentgen/segment"
)

// TestEnginesFindTheSame asks an engine that passes over rows, by terms and by a glance at
// rows whose words are elsewhere, and one that looks at everything.
func TestEnginesFindTheSame(t *testing.T) {
	engine, err := pebblestore.Open(pebblestore.Config{Dir: "data", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	reference := memstore.New()
	stores := []tracestore.Store{engine, reference}
	gen := storetest.NewGenerator(rand.New(rand.NewPCG(1, 2)))
	put := func(text []byte) {
		for _, s := range stores {
			if err := s.Write(t.Context(), []tracestore.Record{storetest.Rec(t, text, storetest.ReceivedBase)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	var linked segment.TraceID
	for i := range 400 {
		id, texts := gen.Trace()
		for _, text := range texts {
			put(text)
		}
		switch {
		case i == 7:
			linked = id
		case i%100 == 50:
			put(fmt.Appendf(nil, `{"trace_id":%q,"id":"%016x","name":"consumer","start_time":%d,"end_time":%d,"links":[{"trace_id":%q,"id":"0000000000000001"}]}`,
				storetest.TraceText(storetest.TraceNumber(uint64(i))), i, storetest.Epoch, storetest.Epoch+1, storetest.TraceText(linked)))
		}
	}
	if err := engine.WaitRolled(t.Context()); err != nil {
		t.Fatal(err)
	}
	window := Question{Start: math.MinInt64, End: math.MaxInt64}
	for _, text := range []string{
		`annotation[service.name] = "quitte"`,
		`annotation.service_name = "dachs/worker"`,
		`annotation[service.name] CONTAINS "lorbeer"`,
		fmt.Sprintf(`annotation[link.trace_id] = %q`, storetest.TraceText(linked)),
		`annotation[span.name] = "zoll.invalid"`,
		`annotation.span_kind = "CONSUMER" AND annotation[http.response.status_code] = 500`,
		`annotation.http_response_status_code = 404 AND !fault`,
		`annotation[note] BEGINSWITH "lang j"`,
		`annotation.hot = true AND annotation.ratio < 0`,
		`service("übermut") { annotation[url.path] ENDSWITH "x=1" }`,
		`service("Amselfeld") AND user = "ida"`,
		`name = "fernweh" OR annotation[server.address] = "S3"`,
		`edge("quitte", "S3")`,
		`http.status >= 400 AND http.status < 600`,
		`duration >= 2 OR responsetime > 0.3`,
	} {
		for _, clock := range []tracestore.Clock{tracestore.ClockStart, tracestore.ClockChanged, tracestore.ClockEnd} {
			ask := window
			ask.Clock = clock
			var found [2]map[segment.TraceID]bool
			for i, s := range stores {
				q := New(s)
				found[i] = make(map[segment.TraceID]bool)
				ask.Filter = filter(t, q, text)
				ask.Token = ""
				for {
					_, next, err := q.Count(t.Context(), ask, func(row *trace.Row) { found[i][row.ID] = true })
					if err != nil {
						t.Fatalf("%s: %v", text, err)
					}
					if ask.Token = next; next == "" {
						break
					}
				}
			}
			if len(found[1]) == 0 || len(found[1]) == 400 {
				t.Errorf("%s tells nothing apart: %d", text, len(found[1]))
			}
			for id := range found[1] {
				if !found[0][id] {
					t.Errorf("%s, clock %d: trace %s was passed over", text, clock, storetest.TraceText(id))
				}
			}
			if len(found[0]) != len(found[1]) {
				t.Errorf("%s, clock %d: found %d traces, want %d", text, clock, len(found[0]), len(found[1]))
			}
		}
	}
}
