package neighbours

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/internal/otlp"
	store "github.com/roentgen-io/roentgen/internal/query"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// fixture is a server with three traces: 1 and 2 came as spans, of which 2 failed,
// and 3 as an X-Ray document.
func fixture(t *testing.T) *httptest.Server {
	t.Helper()
	s := memstore.New()
	in := ingest.New(ingest.Config{Store: s})
	h := New(Config{Query: store.New(s), Graph: s, Version: "v0-test", Now: func() time.Time { return noon }})
	server := httptest.NewServer(h)
	t.Cleanup(func() { server.Close(); in.Close(); s.Close() })
	for i := 1; i <= 2; i++ {
		start := uint64(noon.Add(-time.Duration(i) * time.Minute).UnixNano())
		span := func(id, parent, name string, kind, status int, took time.Duration) string {
			return fmt.Sprintf(`{"traceId":"%032x","spanId":%q,"parentSpanId":%q,"name":%q,"kind":%d,"startTimeUnixNano":"%d","endTimeUnixNano":"%d","status":{"code":%d},`+
				`"events":[{"timeUnixNano":"%d","name":"cache miss"}],"attributes":[{"key":"http.response.status_code","value":{"intValue":%d}},{"key":"tenant","value":{"stringValue":"acme"}},{"key":"ok","value":{"boolValue":true}}]}`,
				i, id, parent, name, kind, start, start+uint64(took), status, start, 200+i)
		}
		request, err := otlp.FromJSON([]byte(`{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeSpans":[{"scope":{"name":"lib"},"spans":[` +
			span("00000000000000a1", "", "GET /cart", 2, i%2*0+(i-1)*2, 200*time.Millisecond) + "," + span("00000000000000a2", "00000000000000a1", "SELECT", 3, 0, time.Duration(i)*20*time.Millisecond) + `]}]}]}`))
		if err != nil {
			t.Fatal(err)
		}
		if report, err := in.PutSpans(t.Context(), ingest.Origin{Source: ingest.SourceOTLP}, request); err != nil || report.Accepted != 2 {
			t.Fatalf("%+v, %v", report, err)
		}
	}
	at := float64(noon.Add(-3 * time.Minute).Unix())
	doc := fmt.Sprintf(`{"trace_id":"1-00000000-000000000000000000000003","id":"00000000000000b1","name":"till","start_time":%f,"end_time":%f,"annotations":{"tenant":"acme"}}`, at, at+1)
	if refused, err := in.Put(t.Context(), ingest.Origin{}, [][]byte{[]byte(doc)}); err != nil || len(refused) != 0 {
		t.Fatal(refused, err)
	}
	return server
}

func get(t *testing.T, url string, accept ...string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(accept) > 0 {
		r.Header.Set("Accept", accept[0])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

func getJSON(t *testing.T, url string, into any) {
	t.Helper()
	status, body, _ := get(t, url)
	if status != 200 {
		t.Fatalf("%s: %d %s", url, status, body)
	}
	if err := json.Unmarshal([]byte(body), into); err != nil {
		t.Fatalf("%s: %v in %s", url, err, body)
	}
}

// TestTempoSearch asks as Grafana does and compares the ids of the traces found.
func TestTempoSearch(t *testing.T) {
	s := fixture(t)
	window := fmt.Sprintf("&start=%d&end=%d", noon.Add(-time.Hour).Unix(), noon.Unix())
	for _, c := range []struct{ q, want string }{
		{``, "1 2 3"},
		{`{}`, "1 2 3"},
		{`{ resource.service.name = "shop" }`, "1 2"},
		{`{resource.service.name="till"}`, "3"},
		{`{ .tenant = "acme" }`, "1 2 3"},
		{`{ span.tenant = "acme" && name = "SELECT" }`, "1 2"},
		{`{ status = error }`, "2"},
		{`{ status = error && name = "SELECT" }`, ""},
		{`{ status = error } && { name = "SELECT" }`, "2"},
		{`{ status = error } || { resource.service.name = "till" }`, "2 3"},
		{`{ kind = client && duration > 30ms }`, "2"},
		{`{ duration >= 1s }`, "3"},
		{`{ traceDuration < 1s && (span.http.response.status_code = 201 || span.http.response.status_code > 300) }`, "1"},
		{`{ name =~ "GET .*" }`, "1 2"},
		{`{ name !~ "GET .*|till" && kind = client }`, "1 2"},
		{`{ span.ok }`, "1 2"},
		{`{ span.ok = false }`, ""},
		{`{ span."tenant" != "acme" }`, ""},
		{`{ span.none = nil && name = "SELECT" }`, "1 2"},
		{`{ span.tenant != nil && rootServiceName = "shop" }`, "1 2"},
		{`{ rootName = "GET /cart" }`, "1 2"},
		{`{ true && kind = server }`, "1 2 3"},
	} {
		var answer struct {
			Traces []struct {
				TraceID  string `json:"traceID"`
				Service  string `json:"rootServiceName"`
				Name     string `json:"rootTraceName"`
				Duration int    `json:"durationMs"`
				SpanSets []struct {
					Matched int
					Spans   []struct{ SpanID string }
				}
			}
		}
		getJSON(t, s.URL+"/tempo/api/search?q="+url.QueryEscape(c.q)+window+"&limit=20&spss=1", &answer)
		var ids []string
		for _, found := range answer.Traces {
			ids = append(ids, strings.TrimLeft(found.TraceID, "0"))
			if found.Service == "" || found.Name == "" || found.Duration == 0 || len(found.SpanSets) != 1 || len(found.SpanSets[0].Spans) != 1 || found.SpanSets[0].Matched < 1 {
				t.Errorf("%s: %+v", c.q, found)
			}
		}
		if got := strings.Join(ids, " "); got != c.want {
			t.Errorf("%s finds %q, want %q", c.q, got, c.want)
		}
	}
	for _, q := range []string{`{`, `{ nope = 1 }`, `{ .a = }`, `{ .a = b }`, `{ .a =~ "(" }`, `{} | count() > 1`, `{} >> {}`, `{ "a" = "b" }`, `{ .a = "b`, strings.Repeat("(", 100) + "{}", "{" + strings.Repeat("(", 100)} {
		if status, body, _ := get(t, s.URL+"/tempo/api/search?q="+url.QueryEscape(q)); status != 400 || !strings.Contains(body, "traceql") {
			t.Errorf("%s: %d %s", q, status, body)
		}
	}
	var answer struct{ Traces []struct{ TraceID string } }
	getJSON(t, s.URL+"/tempo/api/search?tags="+url.QueryEscape(`service.name=shop name="GET /cart" status=error`)+window, &answer)
	if len(answer.Traces) != 1 {
		t.Errorf("tags find %v", answer.Traces)
	}
	getJSON(t, s.URL+"/tempo/api/search?limit=1&minDuration=100ms&maxDuration=500ms"+window, &answer)
	if len(answer.Traces) != 1 {
		t.Errorf("durations find %v", answer.Traces)
	}
}

func TestTempo(t *testing.T) {
	s := fixture(t)
	if status, body, _ := get(t, s.URL+"/tempo/api/echo"); status != 200 || body != "echo" {
		t.Errorf("echo: %d %s", status, body)
	}
	for id, spans := range map[string]int{"1": 2, "00000000000000000000000000000002": 2, "3": 1} {
		for _, v := range []string{"traces", "v2/traces"} {
			_, body, header := get(t, s.URL+"/tempo/api/"+v+"/"+id, "application/protobuf")
			data := []byte(body)
			if v == "v2/traces" {
				if data[0] != 0x0a {
					t.Fatalf("%x", data[:4])
				}
				for data = data[1:]; data[0] >= 0x80; data = data[1:] {
				}
				data = data[1:]
			}
			var got traces.TracesData
			if err := proto.Unmarshal(data, &got); err != nil || header.Get("Content-Type") != "application/protobuf" {
				t.Fatalf("%s: %v, %s", v, err, header.Get("Content-Type"))
			}
			n := 0
			for _, rs := range got.ResourceSpans {
				for _, ss := range rs.ScopeSpans {
					n += len(ss.Spans)
				}
			}
			if n != spans {
				t.Errorf("%s of %s: %d spans, want %d", v, id, n, spans)
			}
		}
	}
	var batches struct {
		Batches []struct{ ScopeSpans []any }
	}
	if getJSON(t, s.URL+"/tempo/api/traces/1", &batches); len(batches.Batches) != 1 {
		t.Errorf("%+v", batches)
	}
	for path, want := range map[string]int{"/tempo/api/traces/99": 404, "/tempo/api/traces/xyz": 400, "/tempo/nothing": 404, "/tempo/api/search?limit=x": 400, "/tempo/api/search?minDuration=x": 400} {
		if status, body, _ := get(t, s.URL+path); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	var tags struct {
		Scopes []struct {
			Name string
			Tags []string
		}
		TagNames []string
	}
	getJSON(t, s.URL+"/tempo/api/v2/search/tags", &tags)
	if len(tags.Scopes) != 3 || strings.Join(tags.Scopes[1].Tags, " ") != "aws.xray.annotations http.response.status_code ok tenant" {
		t.Errorf("tags %+v", tags)
	}
	if getJSON(t, s.URL+"/tempo/api/search/tags", &tags); len(tags.TagNames) < 5 {
		t.Errorf("tags %+v", tags)
	}
	for path, want := range map[string]string{
		"resource.service.name": "[{string shop} {string till}]", "span.http.response.status_code": "[{int 201} {int 202}]",
		"name": "[{string GET /cart} {string SELECT} {string till}]", "status": "[{keyword error} {keyword ok} {keyword unset}]", ".ok": "[{bool true}]",
	} {
		var values struct {
			TagValues []struct{ Type, Value string }
		}
		getJSON(t, s.URL+"/tempo/api/v2/search/tag/"+path+"/values", &values)
		if got := fmt.Sprint(values.TagValues); got != want {
			t.Errorf("%s has %s, want %s", path, got, want)
		}
	}
}

func TestJaeger(t *testing.T) {
	s := fixture(t)
	var names struct{ Data, Services []string }
	getJSON(t, s.URL+"/jaeger/api/services", &names)
	getJSON(t, s.URL+"/jaeger/api/v3/services", &names)
	if fmt.Sprint(names.Data, names.Services) != "[shop till] [shop till]" {
		t.Errorf("services %+v", names)
	}
	getJSON(t, s.URL+"/jaeger/api/services/shop/operations", &names)
	if fmt.Sprint(names.Data) != "[GET /cart SELECT]" {
		t.Errorf("operations %+v", names)
	}
	var ops struct{ Operations []operation }
	getJSON(t, s.URL+"/jaeger/api/v3/operations?service=shop", &ops)
	if fmt.Sprint(ops.Operations) != "[{GET /cart server} {SELECT client}]" {
		t.Errorf("operations %+v", ops)
	}
	window := fmt.Sprintf("&start=%d&end=%d", noon.Add(-time.Hour).UnixMicro(), noon.UnixMicro())
	for ask, want := range map[string]int{
		"service=shop":         2,
		"service=shop&limit=1": 1,
		"service=shop&operation=SELECT&minDuration=30ms":           1,
		"service=shop&maxDuration=1ms":                             0,
		"service=till":                                             1,
		"service=shop&tags=" + url.QueryEscape(`{"error":"true"}`): 1,
		"service=shop&tags=" + url.QueryEscape(`{"http.response.status_code":"201","ok":"true"}`): 1,
	} {
		var found struct{ Data []jaegerTrace }
		getJSON(t, s.URL+"/jaeger/api/traces?"+ask+window, &found)
		if len(found.Data) != want {
			t.Errorf("%s finds %d, want %d", ask, len(found.Data), want)
		}
	}
	var one struct{ Data []jaegerTrace }
	getJSON(t, s.URL+"/jaeger/api/traces/2", &one)
	tr := one.Data[0]
	if len(tr.Spans) != 2 || tr.Processes[tr.Spans[0].ProcessID].ServiceName != "shop" || tr.Spans[1].References[0].SpanID != tr.Spans[0].SpanID ||
		tr.Spans[0].Duration != 200_000 || len(tr.Spans[0].Logs) != 1 || tr.Spans[0].Logs[0].Fields[0].Value != "cache miss" {
		t.Errorf("%+v", tr)
	}
	var v3 struct {
		Result struct{ ResourceSpans []any }
	}
	getJSON(t, s.URL+"/jaeger/api/v3/traces/00000000000000000000000000000002", &v3)
	if len(v3.Result.ResourceSpans) != 1 {
		t.Errorf("%+v", v3)
	}
	getJSON(t, s.URL+"/jaeger/api/v3/traces?query.service_name=shop&query.start_time_min="+noon.Add(-time.Hour).Format(time.RFC3339)+"&query.start_time_max="+noon.Format(time.RFC3339), &v3)
	if len(v3.Result.ResourceSpans) != 1 { // the two traces share it
		t.Errorf("%d resources", len(v3.Result.ResourceSpans))
	}
	for path, want := range map[string]int{
		"/jaeger/api/traces/77": 404, "/jaeger/": 404, "/jaeger/api/traces?start=x": 400, "/jaeger/api/traces?limit=0": 400, "/jaeger/api/traces?tags=x": 400,
		"/jaeger/api/v3/traces?query.start_time_min=x": 400,
	} {
		if status, body, _ := get(t, s.URL+path); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

func FuzzQuery(f *testing.F) {
	for _, q := range []string{`{ .a = "b" && (span.c > 1s || status = error) } && {}`, `{ name =~ "x" }`, "{ span.`", `{{{`} {
		f.Add(q)
	}
	view := viewOf(nil)
	view.spans = []span{{in: view, source: &otlp.Source{}}}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := parseQuery(text)
		if err != nil {
			if !errors.Is(err, ErrQuery) {
				t.Fatalf("%v does not match ErrQuery", err)
			}
			return
		}
		q.match(view)
	})
}
