package xrayapi_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
)

// retrievalPage is an answer of ListRetrievedTraces or GetRetrievedTracesGraph.
type retrievalPage struct {
	NextToken       *string
	RetrievalStatus string
	Traces          []struct {
		Id       string
		Duration *float64
		Spans    []struct{ Id, Document string }
	}
	Services []struct {
		Links   []struct{ ReferenceType *string }
		Service struct{ Name string }
	}
}

type retrievalFixture struct {
	*fixture
	now time.Time
}

func serveRetrieval(t *testing.T, store tracestore.Store) *retrievalFixture {
	f := &retrievalFixture{now: time.Unix(1795356000, 0)}
	f.fixture = serve(t, store, func(c *xrayapi.Config) { c.Now = func() time.Time { return f.now } })
	return f
}

func retrievalTrace(n int) string { return fmt.Sprintf("1-6ab38001-%024x", n) }

func (f *retrievalFixture) start(t *testing.T, start, end float64, traces ...int) string {
	t.Helper()
	var ids []string
	for _, n := range traces {
		ids = append(ids, retrievalTrace(n))
	}
	body, _ := json.Marshal(map[string]any{"TraceIds": ids, "StartTime": start, "EndTime": end})
	_, _, answer := f.post(t, "/StartTraceRetrieval", string(body))
	var got struct{ RetrievalToken string }
	if err := json.Unmarshal([]byte(answer), &got); err != nil || got.RetrievalToken == "" {
		t.Fatalf("%v in %s", err, answer)
	}
	if strings.Trim(got.RetrievalToken, "0123456789abcdef") != "" {
		t.Errorf("the token %s may look like a flag to a command line", got.RetrievalToken)
	}
	return got.RetrievalToken
}

func (f *retrievalFixture) page(t *testing.T, path, token, more string) retrievalPage {
	t.Helper()
	status, _, answer := f.post(t, path, `{"RetrievalToken":"`+token+`"`+more+`}`)
	var p retrievalPage
	if err := json.Unmarshal([]byte(answer), &p); err != nil || status != 200 {
		t.Fatalf("%d %v in %s", status, err, answer)
	}
	return p
}

// pages lists all pages: for each, the number of each trace and its spans on it.
func (f *retrievalFixture) pages(t *testing.T, token, more string) (pages []string) {
	t.Helper()
	next := ""
	for {
		p := f.page(t, "/ListRetrievedTraces", token, more+next)
		text := ""
		for _, tr := range p.Traces {
			text += fmt.Sprintf("%s:%d ", strings.TrimLeft(tr.Id[11:], "0"), len(tr.Spans))
		}
		pages = append(pages, strings.TrimSpace(text))
		if p.NextToken == nil {
			return pages
		}
		next = `,"NextToken":"` + *p.NextToken + `"`
	}
}

func TestRetrievalPages(t *testing.T) {
	f := serveRetrieval(t, nil)
	for n := 1; n <= 12; n++ {
		f.put(t, fmt.Sprintf(`{"trace_id":%q,"id":"%016x","name":"x","start_time":%d,"end_time":%d}`, retrievalTrace(n), n, n, n+1))
	}
	var docs []string
	for i := range 250 {
		docs = append(docs, fmt.Sprintf(`{"trace_id":%q,"id":"%016x","name":"s%d","start_time":100,"end_time":101}`, retrievalTrace(0xb), 0x1000+i, i%3))
	}
	f.put(t, docs...)
	f.put(t, fmt.Sprintf(`{"trace_id":%q,"id":"00000000000000ff","parent_id":"00000000000000fe","type":"subsegment","name":"orphan","start_time":5,"end_time":6}`, retrievalTrace(0xdd)))

	all := []int{1, 2, 3, 0xee, 4, 5, 6, 0xb, 7, 0xdd, 8}
	token := f.start(t, 0, 1000, all...)
	want := []string{"1:1 2:1 3:1 4:1 5:1", "6:1 b:100", "b:100", "b:51 7:1 8:1"}
	if got := f.pages(t, token, ""); !slices.Equal(got, want) {
		t.Errorf("pages %q", got)
	}
	// What comes afterwards is not in it, however late it is read.
	f.put(t, fmt.Sprintf(`{"trace_id":%q,"id":"00000000000000aa","name":"late","start_time":5,"end_time":6}`, retrievalTrace(1)))
	if got := f.pages(t, token, ""); !slices.Equal(got, want) {
		t.Errorf("pages later %q", got)
	}
	// The graph has them all; nodes are sorted.
	var names []string
	for _, s := range f.page(t, "/GetRetrievedTracesGraph", token, "").Services {
		names = append(names, s.Service.Name)
	}
	if !slices.Equal(names, []string{"s0", "s0", "s1", "s1", "s2", "s2", "x", "x"}) && !slices.Equal(names, []string{"s0", "s0", "s1", "s2", "x", "x"}) {
		t.Errorf("nodes %q", names)
	}

	// The window is inclusive, and touches what a trace does between its ends.
	for _, c := range []struct {
		start, end float64
		want       string
	}{{4, 4, "3:1 4:1"}, {4.5, 4.5, "4:1"}, {0, 0.9, ""}, {101, 200, "b:100"}} {
		if got := f.pages(t, f.start(t, c.start, c.end, 3, 4, 0xb), "")[0]; got != c.want {
			t.Errorf("window %v to %v: %q, want %q", c.start, c.end, got, c.want)
		}
	}

	// Tokens belong to their retrieval and format.
	next := *f.page(t, "/ListRetrievedTraces", token, "").NextToken
	other := f.start(t, 0, 1000, all...)
	for _, c := range []struct{ path, token, more string }{
		{"/ListRetrievedTraces", other, ""}, {"/ListRetrievedTraces", token, `,"TraceFormat":"OTEL"`}, {"/GetRetrievedTracesGraph", token, ""},
	} {
		if _, _, answer := f.post(t, c.path, `{"RetrievalToken":"`+c.token+`","NextToken":"`+next+`"`+c.more+`}`); answer != `{"Message":"Invalid token `+next+`"}` {
			t.Errorf("%s%s: %s", c.path, c.more, answer)
		}
	}
}

func TestRetrievalLife(t *testing.T) {
	f := serveRetrieval(t, nil)
	f.put(t, fmt.Sprintf(`{"trace_id":%q,"id":"00000000000000a1","name":"x","start_time":1,"end_time":2}`, retrievalTrace(1)))
	unknown := func(token string) string {
		return `{"Message":"Retrieval token ` + token + ` not found","ResourceName":"` + token + `"}`
	}
	cannot := func(status string) string {
		return `{"Message":"The trace retrieval cannot be cancelled: its status is ` + status + `"}`
	}
	token, cancelled := f.start(t, 0, 9, 1), f.start(t, 0, 9, 1)
	of := func(token string) string { return `{"RetrievalToken":"` + token + `"}` }
	const nothing = `{"NextToken":null,"RetrievalStatus":"%s","TraceFormat":"XRAY","Traces":[]}`
	f.exchanges(t, []wireExchange{
		{"cancel", "/CancelTraceRetrieval", of(cancelled), "", `{}`},
		{"cancelled", "/ListRetrievedTraces", of(cancelled), "", fmt.Sprintf(nothing, "CANCELLED")},
		{"graph of cancelled", "/GetRetrievedTracesGraph", of(cancelled), "", `{"NextToken":null,"RetrievalStatus":"CANCELLED","Services":[]}`},
		{"cancel again", "/CancelTraceRetrieval", of(cancelled), invalidRequest, cannot("CANCELLED")},
		{"unknown", "/ListRetrievedTraces", of("x"), notFound, unknown("x")},
		{"empty", "/CancelTraceRetrieval", of(""), notFound, `{"Message":"Retrieval token  not found"}`},
		{"no ids", "/StartTraceRetrieval", `{"TraceIds":[],"StartTime":1,"EndTime":2}`, invalidRequest, `{"Message":"Zero trace ids provided"}`},
		{"backwards", "/StartTraceRetrieval", `{"TraceIds":["` + retrievalTrace(1) + `"],"StartTime":2,"EndTime":1}`, invalidRequest, `{"Message":"End time cannot be earlier than start time"}`},
		{"no id", "/StartTraceRetrieval", `{"TraceIds":["x"],"StartTime":1,"EndTime":2}`, invalidRequest, `{"Message":"Invalid trace id x: incorrect id format"}`},
		{"twice", "/StartTraceRetrieval", `{"TraceIds":["` + retrievalTrace(1) + `","` + strings.ReplaceAll(retrievalTrace(1)[2:], "-", "") + `"],"StartTime":1,"EndTime":2}`, invalidRequest, `{"Message":"Containing duplicate trace ids"}`},
	})
	if got := f.pages(t, token, ""); !slices.Equal(got, []string{"1:1"}) {
		t.Errorf("pages %q", got)
	}
	f.exchanges(t, []wireExchange{{"cancel what was read", "/CancelTraceRetrieval", of(token), invalidRequest, cannot("COMPLETE")}})
	f.now = f.now.Add(time.Hour)
	f.exchanges(t, []wireExchange{
		{"too late", "/ListRetrievedTraces", of(token), "", fmt.Sprintf(nothing, "TIMEOUT")},
		{"cancel too late", "/CancelTraceRetrieval", of(token), invalidRequest, cannot("TIMEOUT")},
	})
	f.now = f.now.Add(time.Hour)
	f.exchanges(t, []wireExchange{{"forgotten", "/ListRetrievedTraces", of(token), notFound, unknown(token)}})
}

// TestRetrievalBounds begins more retrievals than are kept.
func TestRetrievalBounds(t *testing.T) {
	f := serveRetrieval(t, nil)
	kept := f.start(t, 0, 9, 1)
	second := f.start(t, 0, 9, 1)
	tokens := map[string]bool{}
	for range 1100 {
		f.now = f.now.Add(time.Millisecond)
		tokens[f.start(t, 0, 9, 1)] = true
		f.page(t, "/ListRetrievedTraces", kept, "")
	}
	if len(tokens) != 1100 {
		t.Errorf("%d tokens", len(tokens))
	}
	if _, code, _ := f.post(t, "/ListRetrievedTraces", `{"RetrievalToken":"`+second+`"}`); code != notFound {
		t.Errorf("the oldest that nobody asks for is still there: %q", code)
	}
}

// TestRetrievalTrouble wants damage to end a retrieval, and trouble that passes not to.
func TestRetrievalTrouble(t *testing.T) {
	s := &faultyStore{Store: memstore.New()}
	f := serveRetrieval(t, s)
	f.put(t, fmt.Sprintf(`{"trace_id":%q,"id":"00000000000000a1","name":"x","start_time":1,"end_time":2}`, retrievalTrace(1)))
	token := f.start(t, 0, 9, 1)
	s.read = tracestore.ErrUnavailable
	for _, path := range []string{"/ListRetrievedTraces", "/GetRetrievedTracesGraph"} {
		if status, _, answer := f.post(t, path, `{"RetrievalToken":"`+token+`"}`); status != 503 {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	s.read = nil
	if p := f.page(t, "/ListRetrievedTraces", token, ""); p.RetrievalStatus != "COMPLETE" || len(p.Traces) != 1 {
		t.Errorf("afterwards %+v", p)
	}
	s.read = fmt.Errorf("torn: %w", tracestore.ErrCorrupt)
	for _, path := range []string{"/GetRetrievedTracesGraph", "/ListRetrievedTraces"} {
		if p := f.page(t, path, token, ""); p.RetrievalStatus != "FAILED" || len(p.Traces)+len(p.Services) != 0 {
			t.Errorf("%s: %+v", path, p)
		}
	}
}

// TestRetrievedSpans translates documents to spans.
func TestRetrievedSpans(t *testing.T) {
	f := serveRetrieval(t, nil)
	f.put(t, `{"trace_id":"`+retrievalTrace(1)+`","id":"00000000000000a1","name":"shop","origin":"AWS::ECS::Container","start_time":1000.5,"end_time":1002,"fault":true,"user":"ada",`+
		`"service":{"version":"7"},"resource_arn":"arn:x","aws":{"account_id":"111122223333","region":"eu-west-1","ecs":{"container":"c1"},"xray":{"sdk":"X-Ray for Go","sdk_version":"1"}},`+
		`"http":{"request":{"method":"GET","url":"http://shop/?a=<b>","client_ip":"10.0.0.1"},"response":{"status":502,"content_length":12}},`+
		`"annotations":{"n":1.5,"b":true,"s":"x"},"metadata":{"default":{"k":[1]}},"cause":{"exceptions":[{"id":"00000000000000e1","type":"E","message":"m"}]},`+
		`"links":[{"trace_id":"`+retrievalTrace(2)+`","id":"00000000000000f1","attributes":{"a":NaN}},{"trace_id":"no"}],`+
		`"subsegments":[{"id":"00000000000000a2","name":"DynamoDB","namespace":"aws","start_time":1001,"end_time":1001.25,"aws":{"operation":"Query","table_name":"t"}},`+
		`{"id":"00000000000000a3","name":"work","start_time":1001,"in_progress":true,"cause":"00000000000000e1"}]}`,
		`{"trace_id":"`+retrievalTrace(1)+`","id":"00000000000000b1","parent_id":"00000000000000a3","name":"bank","start_time":1001,"end_time":1000}`)
	p := f.page(t, "/ListRetrievedTraces", f.start(t, 0, 5000, 1), `,"TraceFormat":"OTEL"`)
	want := []string{
		`{"resource":{"attributes":{"aws.xray.origin":"AWS::ECS::Container","aws.xray.resource_arn":"arn:x","cloud.account.id":"111122223333","cloud.provider":"aws","cloud.region":"eu-west-1","container.name":"c1","service.name":"shop","service.version":"7","telemetry.sdk.name":"X-Ray for Go","telemetry.sdk.version":"1"}},` +
			`"scope":{"name":"xray"},"traceId":"6ab38001000000000000000000000001","spanId":"00000000000000a1","name":"shop","kind":"SERVER","startTimeUnixNano":1000500000000,"endTimeUnixNano":1002000000000,"durationNano":1500000000,` +
			`"attributes":{"aws.xray.metadata.default":"{\"k\":[1]}","b":true,"client.address":"10.0.0.1","enduser.id":"ada","http.request.method":"GET","http.response.body.size":12,"http.response.status_code":502,"n":1.5,"s":"x","url.full":"http://shop/?a=<b>"},` +
			`"events":[{"name":"exception","timeUnixNano":1002000000000,"attributes":{"aws.xray.exception.id":"00000000000000e1","exception.message":"m","exception.type":"E"}}],` +
			`"links":[{"traceId":"6ab38001000000000000000000000002","spanId":"00000000000000f1","attributes":{"a":null}}],"status":{"code":"ERROR"}}`,
		`"spanId":"00000000000000a2","parentSpanId":"00000000000000a1","name":"DynamoDB","kind":"CLIENT","startTimeUnixNano":1001000000000,"endTimeUnixNano":1001250000000,"durationNano":250000000,"attributes":{"aws.dynamodb.table_names":"t","rpc.method":"Query","rpc.service":"DynamoDB","rpc.system":"aws-api"},"status":{"code":"UNSET"}}`,
		`"spanId":"00000000000000a3","parentSpanId":"00000000000000a1","name":"work","kind":"INTERNAL","startTimeUnixNano":1001000000000,"attributes":{"aws.xray.inprogress":true},"status":{"code":"UNSET","message":"00000000000000e1"}}`,
		`{"resource":{"attributes":{"service.name":"bank"}},"scope":{"name":"xray"},"traceId":"6ab38001000000000000000000000001","spanId":"00000000000000b1","parentSpanId":"00000000000000a3","name":"bank","kind":"SERVER","startTimeUnixNano":1001000000000,"endTimeUnixNano":1000000000000,"attributes":{},"status":{"code":"UNSET"}}`,
	}
	if len(p.Traces) != 1 || len(p.Traces[0].Spans) != len(want) {
		t.Fatalf("%+v", p)
	}
	for i, s := range p.Traces[0].Spans {
		if !strings.HasSuffix(s.Document, want[i]) || !json.Valid([]byte(s.Document)) {
			t.Errorf("span %d:\n got %s\nwant %s", i, s.Document, want[i])
		}
	}
}
