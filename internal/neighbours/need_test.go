package neighbours

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/internal/otlp"
	store "github.com/roentgen-io/roentgen/internal/query"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
)

// randomTraces stores traces of spans and of X-Ray documents, some of them of both, with
// spans whose parents are missing and services that no segment is named after.
func randomTraces(t *testing.T, in *ingest.Ingester, rng *rand.Rand, n int) {
	t.Helper()
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	for i := 1; i <= n; i++ {
		id := fmt.Sprintf("%032x", i)
		var scopes []string
		for j := range rng.IntN(4) {
			start := uint64(noon.Add(-time.Duration(i) * time.Second).UnixNano())
			parent := ""
			if j > 0 {
				parent = fmt.Sprintf("%016x", pick("1", "99")[0]-'0'+byte(rng.IntN(j)))
			}
			attributes := []string{fmt.Sprintf(`{"key":"service.name","value":{"stringValue":%q}}`, pick("shop", "stock", "till"))}
			var own []string
			if rng.IntN(2) == 0 {
				own = append(own, fmt.Sprintf(`{"key":"tenant","value":{"stringValue":%q}}`, pick("acme", "init")))
			}
			if rng.IntN(2) == 0 {
				own = append(own, fmt.Sprintf(`{"key":"http.response.status_code","value":{"intValue":%s}}`, pick("200", "404", "503")))
			}
			if rng.IntN(4) == 0 {
				own = append(own, fmt.Sprintf(`{"key":"peer.service","value":{"stringValue":%q}}`, pick("shop", "bank")), `{"key":"ok","value":{"boolValue":true}}`)
			}
			if rng.IntN(6) == 0 {
				own = append(own, `{"key":"aws.local.service","value":{"stringValue":"local"}}`)
			}
			scopes = append(scopes, fmt.Sprintf(`{"resource":{"attributes":[%s]},"scopeSpans":[{"spans":[{"traceId":%q,"spanId":"%016x","parentSpanId":%q,"flags":%s,"name":%q,"kind":%d,`+
				`"startTimeUnixNano":"%d","endTimeUnixNano":"%d","status":{"code":%d},"attributes":[%s]}]}]}`,
				strings.Join(attributes, ","), id, j+1, parent, pick("0", "256", "768"), pick("GET /cart", "SELECT"), rng.IntN(7), start, start+uint64(rng.IntN(300))*1e6, rng.IntN(3), strings.Join(own, ",")))
		}
		if len(scopes) > 0 {
			request, err := otlp.FromJSON([]byte(`{"resourceSpans":[` + strings.Join(scopes, ",") + `]}`))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := in.PutSpans(t.Context(), ingest.Origin{Source: ingest.SourceOTLP}, request); err != nil {
				t.Fatal(err)
			}
		}
		if len(scopes) == 0 || rng.IntN(3) == 0 {
			at := float64(noon.Add(-time.Duration(i) * time.Second).Unix())
			doc := fmt.Sprintf(`{"trace_id":"1-%s-%s","id":"00000000000000b1","name":%q,"start_time":%f,"end_time":%f,"annotations":{"tenant":%q},"http":{"response":{"status":%s}},`+
				`"subsegments":[{"id":"00000000000000b2","name":"SELECT","start_time":%f,"end_time":%f,"fault":%s}]}`,
				id[:8], id[8:], pick("shop", "till"), at, at+rng.Float64(), pick("acme", "init"), pick("200", "503"), at, at+0.1, pick("true", "false"))
			if refused, err := in.Put(t.Context(), ingest.Origin{}, [][]byte{[]byte(doc)}); err != nil || len(refused) > 0 {
				t.Fatal(refused, err)
			}
		}
	}
}

// TestNeeds holds that leaving out what the index tells to leave out changes no answer, and
// that it leaves something out.
func TestNeeds(t *testing.T) {
	s := memstore.New()
	in := ingest.New(ingest.Config{Store: s})
	t.Cleanup(func() { in.Close(); s.Close() })
	h := New(Config{Query: store.New(s), Now: func() time.Time { return noon }})
	randomTraces(t, in, rand.New(rand.NewPCG(3, 4)), 400)
	window := look{start: noon.Add(-time.Hour), end: noon}
	for _, q := range []string{
		`{}`, `{resource.service.name="shop"}`, `{.service.name="stock"}`, `{resource.service.name="local"}`, `{rootServiceName="till"}`, `{resource.service.name=~"shop|till"}`,
		`{name="SELECT"}`, `{rootName="GET /cart"}`, `{kind=producer}`, `{kind=unspecified}`, `{status=error}`, `{status=ok}`, `{status!=error}`,
		`{span.tenant="acme"}`, `{span.tenant!="acme"}`, `{span.tenant=nil}`, `{span.tenant!=nil}`, `{span.tenant=~"a.*"}`, `{span.tenant=~"acme|other"}`, `{.tenant="init"}`,
		`{span.http.response.status_code=503}`, `{span.http.response.status_code>=404 && resource.service.name="stock"}`, `{span.ok}`, `{span.ok=false}`, `{span.none="x"}`,
		`{duration>200ms}`, `{duration<5ms}`, `{traceDuration>=250ms}`, `{duration=100ms}`, `{span.tenant="acme" || status=error}`, `{span.tenant="acme"} && {kind=client}`,
		`{span.tenant="none"} || {span.peer.service="bank"}`, `{(name="SELECT" || kind=server) && span.tenant="acme" && duration>100ms}`, `{span.peer.service="shop"}`,
	} {
		parsed, err := parseQuery(q)
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		ask := func(n needs) (ids []string, read int) {
			l := window
			l.needs = n
			seen, err := h.scan(t.Context(), l, func(v *traceView) bool {
				if len(parsed.match(v)) > 0 {
					ids = append(ids, v.id.W3C())
				}
				return true
			})
			if err != nil || !seen.all {
				t.Fatalf("%s: %+v, %v", q, seen, err)
			}
			return ids, seen.traces
		}
		all, every := ask(needs{})
		some, read := ask(parsed.needs())
		if strings.Join(all, " ") != strings.Join(some, " ") {
			t.Errorf("%s finds %d traces, of %d without the index", q, len(some), len(all))
		}
		t.Logf("%s: %d of %d traces read, %d match", q, read, every, len(all))
		if strings.HasPrefix(q, "{span.none") && read > 0 {
			orphans := 0
			l := look{start: window.start, end: window.end, needs: one(trace.TermMark(trace.MarkOrphans))}
			if _, err := h.scan(t.Context(), l, func(*traceView) bool { orphans++; return true }); err != nil {
				t.Fatal(err)
			}
			if read != orphans {
				t.Errorf("%s reads %d traces, %d have orphans", q, read, orphans)
			}
		}
	}
}

// TestIncomplete holds that a search that ran out of time says so.
func TestIncomplete(t *testing.T) {
	s := memstore.New()
	in := ingest.New(ingest.Config{Store: s})
	t.Cleanup(func() { in.Close(); s.Close() })
	h := New(Config{Query: store.New(s), Now: func() time.Time { return noon }})
	randomTraces(t, in, rand.New(rand.NewPCG(3, 4)), 50)
	seen, err := h.scan(t.Context(), look{start: noon.Add(-time.Hour), end: noon, time: time.Nanosecond}, func(*traceView) bool { return true })
	if err != nil || seen.all {
		t.Errorf("%+v, %v", seen, err)
	}
	seen, err = h.scan(t.Context(), look{start: noon.Add(-time.Hour), end: noon, most: 10}, func(*traceView) bool { return true })
	if err != nil || seen.all || seen.traces != 10 {
		t.Errorf("%+v, %v", seen, err)
	}
	seen, err = h.scan(t.Context(), look{start: noon.Add(-time.Hour), end: noon}, func(*traceView) bool { return false })
	if err != nil || !seen.all || seen.traces != 1 {
		t.Errorf("%+v, %v", seen, err)
	}
}
