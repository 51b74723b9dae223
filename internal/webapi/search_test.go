package webapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/internal/query"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
	"github.com/roentgen-io/roentgen/internal/webapi"
)

// order is a trace of a till that calls a bank, which fails when fault is set.
func order(n int, fault bool) string {
	return fmt.Sprintf(`{"trace_id":"1-6ab38001-%024x","id":"00000000000000aa","name":"till","start_time":1795355000,"end_time":1795355001.5,
		"user":"u%d","annotations":{"paid":%v,"note":"a \"b\""},"http":{"request":{"method":"POST","url":"http://till/pay"},"response":{"status":200}},
		"subsegments":[{"id":"00000000000000bb","name":"bank","namespace":"remote","start_time":1795355000,"end_time":1795355001,"fault":%v}]}`, n, n, !fault, fault)
}

func TestFilteredTraces(t *testing.T) {
	f := serve(t)
	f.put(t, order(1, false), order(2, true))
	status, got := f.get(t, "/api/traces?filter="+url.QueryEscape(`service("bank") { fault }`))
	if status != 200 || strings.Count(got, `"EntryPoint"`) != 1 || !strings.Contains(got, `1-6ab38001-000000000000000000000002`) || !strings.Contains(got, `"TracesProcessedCount":2`) {
		t.Errorf("%d %s", status, got)
	}
	status, got = f.get(t, "/api/traces?filter="+url.QueryEscape(`fault AND (madeup = 7)`))
	if want := `{"Message":"Error Location: line 1, position 12 : Invalid input symbol: 'ma'"}`; status != 400 || got != want {
		t.Errorf("%d %s, want %s", status, got, want)
	}
	if status, got := f.get(t, "/api/traces?filter=+"); status != 200 || strings.Count(got, `"EntryPoint"`) != 2 {
		t.Errorf("white space is no filter: %d %s", status, got)
	}
}

func TestExplain(t *testing.T) {
	f := serve(t)
	f.put(t, order(2, true))
	type explanation struct {
		Text, Meaning, Truth, Found string
		Parts                       []explanation
	}
	type answer struct {
		Valid       bool
		Expression  string
		Matches     *bool
		Explanation *explanation
		Error       *struct {
			Message, Found, Suggestion string
			Line, Position             int
			Expected                   []string
		}
	}
	ask := func(body string, want int) (a answer, text string) {
		t.Helper()
		status, text := f.do(t, http.MethodPost, "/api/explain", "application/json", strings.NewReader(body))
		if err := json.Unmarshal([]byte(text), &a); err != nil || status != want {
			t.Fatalf("%s: %d %s, want %d", body, status, text, want)
		}
		return a, text
	}
	const id = `,"TraceId":"1-6ab38001-000000000000000000000002"}`
	a, text := ask(`{"Expression":"http.status >= 400 and service(\"bank\"){fault}"`+id, 200)
	if !a.Valid || a.Matches == nil || *a.Matches || a.Explanation == nil || len(a.Explanation.Parts) != 2 || a.Error != nil {
		t.Fatalf("%s", text)
	}
	if p := a.Explanation.Parts; p[0].Truth != "false" || p[1].Truth != "true" || !strings.Contains(p[0].Found, "200") || p[0].Meaning == "" {
		t.Errorf("%s", text)
	}
	a, text = ask(`{"Expression":"service(\"bank\"){fault}"`+id, 200)
	if a.Matches == nil || !*a.Matches {
		t.Errorf("%s", text)
	}
	a, text = ask(`{"Expression":"ok duration<3"}`, 200)
	if a.Matches != nil || a.Expression != "ok AND duration < 3" || a.Explanation.Truth != "" || !strings.Contains(text, `"Matches":null`) {
		t.Errorf("%s", text)
	}
	a, text = ask(`{"Expression":"fautl"}`, 200)
	if a.Valid || a.Error == nil || a.Error.Suggestion != "fault" || a.Error.Position != 1 || len(a.Error.Expected) == 0 || a.Explanation != nil {
		t.Errorf("%s", text)
	}
	ask(`{"Expression":"ok","TraceId":"1-6ab38001-ffffffffffffffffffffffff"}`, 404)
	ask(`{"Expression":"ok","TraceId":"x"}`, 400)
	ask(`{"Expression":" "}`, 400)
	ask(`{"Expression":`, 400)
	ask(`{"Expression":"group.name = \"none\""}`, 400)
	ask(`{"Expression":"`+strings.Repeat("(", 300<<10)+`"}`, 413)
	if status, _ := f.get(t, "/api/explain"); status != 405 {
		t.Errorf("GET: %d", status)
	}
}

func TestComplete(t *testing.T) {
	f := serve(t)
	f.put(t, order(1, false), order(2, true), order(3, false))
	for _, c := range []struct {
		query url.Values
		want  string // part of the answer
	}{
		{url.Values{"text": {`service("`}}, `{"Kind":"service_name","Start":8,"End":9,"Items":[{"Text":"\"bank\"","Count":3},{"Text":"\"till\"","Count":3}],"Traces":3,"Partial":false}`},
		{url.Values{"text": {`ok and http.sta`}}, `{"Kind":"keyword","Start":7,"End":15,"Items":[{"Text":"http.status",`},
		{url.Values{"text": {`annotation.pa`}}, `"Items":[{"Text":"annotation.paid","Count":3}]`},
		{url.Values{"text": {`annotation.note = `}}, `{"Text":"\"a \\\"b\\\"\"","Count":3}`},
		{url.Values{"text": {`annotation.paid = `}}, `{"Text":"true","Count":2}`},
		{url.Values{"text": {`user = "u2" AND ok`}, "cursor": {"10"}}, `{"Kind":"user","Start":7,"End":11,"Items":[{"Text":"\"u2\"","Count":1}]`},
		{url.Values{"kind": {"user"}, "limit": {"2"}}, `{"Kind":"user","Start":0,"End":0,"Items":[{"Text":"u1","Count":1},{"Text":"u2","Count":1}],"Traces":3,"Partial":false}`},
		{url.Values{"kind": {"annotation_value"}, "key": {"paid"}}, `"Items":[{"Text":"true","Count":2},{"Text":"false","Count":1}]`},
		{url.Values{"kind": {"service_name"}, "end": {"1795350000"}}, `"Items":[],"Traces":0`},
	} {
		if status, got := f.get(t, "/api/complete?"+c.query.Encode()); status != 200 || !strings.Contains(got, c.want) {
			t.Errorf("%v: %d %s\nwant %s", c.query, status, got, c.want)
		}
	}
	for _, bad := range []string{"kind=keyword", "text=ok&cursor=3", "text=ok&cursor=-1", "limit=0", "what=1", "start=x"} {
		if status, got := f.get(t, "/api/complete?"+bad); status != 400 {
			t.Errorf("%s: %d %s", bad, status, got)
		}
	}
}

// TestTail follows over a real connection: what matches comes, the rest does
// not, and a server that stops ends the stream.
func TestTail(t *testing.T) {
	store := memstore.New()
	in := ingest.New(ingest.Config{Store: store})
	q := query.New(store)
	q.UseChanges(func() query.Changes { return query.Changes(in.Subscribe()) })
	stopping, stop := context.WithCancel(context.Background())
	srv := httptest.NewServer(webapi.New(webapi.Config{Ingester: in, Query: q, DeadLetters: store, Stopping: stopping}))
	t.Cleanup(func() { stop(); srv.Close(); in.Close(); store.Close() })
	follow := func(accept string) (*http.Response, *bufio.Scanner) {
		t.Helper()
		req, _ := http.NewRequest(http.MethodGet, srv.URL+"/api/tail?filter="+url.QueryEscape(`service("bank") { fault }`), nil)
		req.Header.Set("Accept", accept)
		resp, err := srv.Client().Do(req)
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20)
		if !lines.Scan() { // the first sign of life says that the feed has begun
			t.Fatal(lines.Err())
		}
		return resp, lines
	}
	resp, lines := follow("*/*")
	events, eventLines := follow("text/event-stream")
	if got := resp.Header.Get("Content-Type"); got != "application/x-ndjson" {
		t.Errorf("content type %s", got)
	}
	if got := events.Header.Get("Content-Type"); got != "text/event-stream" || eventLines.Text() != ":" {
		t.Errorf("content type %s, first line %q", got, eventLines.Text())
	}
	for n := range 4 {
		if _, err := in.Put(context.Background(), ingest.Origin{Source: ingest.SourceHTTP}, [][]byte{[]byte(order(n, n%2 == 1))}); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]bool{}
	for len(got) < 2 && lines.Scan() {
		var s struct {
			Id                     string
			OrphanOnly, InProgress *bool
		}
		if len(lines.Bytes()) == 0 {
			continue
		}
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil || s.OrphanOnly == nil || s.InProgress == nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		got[s.Id] = true
	}
	if !got["1-6ab38001-000000000000000000000001"] || !got["1-6ab38001-000000000000000000000003"] || len(got) != 2 {
		t.Errorf("%v %v", got, lines.Err())
	}
	seen := false
	for !seen && eventLines.Scan() {
		seen = strings.HasPrefix(eventLines.Text(), `data: {"Annotations":`)
	}
	if !seen {
		t.Error("no event came")
	}
	stop()
	ended := make(chan struct{})
	go func() {
		for lines.Scan() {
		}
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatal("the stream goes on though the server stops")
	}
}

func TestTailRefusals(t *testing.T) {
	f := serve(t)
	for path, want := range map[string]int{"/api/tail?filter=fautl": 400, "/api/tail?orphans=2": 400, "/api/tail?x=1": 400} {
		if status, got := f.get(t, path); status != want {
			t.Errorf("%s: %d %s", path, status, got)
		}
	}
}
