package neighbours

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// call is a request as a client puts it on the wire, and what its answer must have. from is
// the file of the client that makes it, and the commit at which it was read.
type call struct {
	from, path string
	accept     string
	want       string // parts of the answer, separated by " … ", in order
	protobuf   bool
}

const (
	traceTwo = "00000000000000000000000000000002"

	grafanaTempo       = "grafana pkg/tsdb/tempo/trace.go e75b5e7dd363"
	grafanaTempoSearch = "grafana pkg/tsdb/tempo/search.go 4918a6636637"
	grafanaTempoOld    = "grafana public/app/plugins/datasource/tempo/datasource.ts 54ec49643391"
	grafanaTempoWords  = "grafana public/app/plugins/datasource/tempo/language_provider.ts 04675335cda5"
	grafanaJaeger      = "grafana pkg/tsdb/jaeger/client.go 611dfb8208e5"
	grafanaJaegerV3    = "grafana pkg/tsdb/jaeger/grpc_client.go 08c16ceaf217"
	jaegerPage         = "jaeger-ui packages/jaeger-ui/src/api/jaeger.ts 0215b7d7795e"
	jaegerPageV3       = "jaeger-ui packages/jaeger-ui/src/api/v3/client.ts 0194914ae9f6"
)

// TestCalls makes the calls that Grafana's built-in data sources and Jaeger's page make, as
// they make them.
func TestCalls(t *testing.T) {
	s := fixture(t)
	start, end := noon.Add(-time.Hour), noon
	seconds := fmt.Sprintf("start=%d&end=%d", start.Unix(), end.Unix())
	micros := fmt.Sprintf("start=%d&end=%d", start.UnixMicro(), end.UnixMicro())
	escape := url.QueryEscape
	for _, c := range []call{
		// Tempo: save and test, a trace, search by form and by text, completion.
		{from: grafanaTempoOld, path: "/tempo/api/echo", want: "echo"},
		{from: grafanaTempo, path: "/tempo/api/v2/traces/" + traceTwo + "?" + seconds, accept: "application/protobuf", protobuf: true},
		{from: grafanaTempo, path: "/tempo/api/traces/" + traceTwo + "?" + seconds, accept: "application/protobuf", protobuf: true},
		{from: grafanaTempo, path: "/tempo/api/traces/2", accept: "application/protobuf", protobuf: true},
		{from: grafanaTempoSearch, path: "/tempo/api/search?q=" + escape(`{resource.service.name="shop" && name="GET /cart" && duration>100ms && status=error}`) + "&limit=20&spss=3&" + seconds, accept: "application/json",
			want: `"traceID":"` + traceTwo + `","rootServiceName":"shop","rootTraceName":"GET /cart" … "durationMs":200,"spanSet": … "spanSets":[ … "durationNanos":"200000000"`},
		{from: grafanaTempoSearch, path: "/tempo/api/search?q=" + escape(`{(resource.service.name="shop" || resource.service.name="till") && kind=server}`) + "&limit=20&spss=3&" + seconds, accept: "application/json",
			want: traceTwo},
		{from: grafanaTempoSearch, path: "/tempo/api/search?q=" + escape(`{resource.service.name=~"shop|none" && status="error"}`) + "&limit=20&spss=3&" + seconds, want: traceTwo},
		{from: grafanaTempoSearch, path: "/tempo/api/search?limit=20&" + seconds, want: `"completedJobs":1`},
		{from: grafanaTempoOld, path: "/tempo/api/search?tags=" + escape(` service.name="shop" name="GET /cart"`) + "&minDuration=100ms&maxDuration=1s&limit=20&" + seconds, want: traceTwo},
		{from: grafanaTempoWords, path: "/tempo/api/v2/search/tags?limit=5000&" + seconds, want: `{"scopes":[{"name":"resource","tags":[ … "service.name" … "name":"span","tags":[ … "http.response.status_code","ok","tenant" … "name":"intrinsic"`},
		{from: grafanaTempoWords, path: "/tempo/api/v2/search/tag/resource.service.name/values?limit=5000", want: `[{"type":"string","value":"shop"},{"type":"string","value":"till"}]`},
		{from: grafanaTempoWords, path: "/tempo/api/v2/search/tag/name/values?limit=5000&q=" + escape(`{resource.service.name="shop" && name=}`), want: `"GET /cart" … "SELECT"`},
		{from: grafanaTempoWords, path: "/tempo/api/v2/search/tag/.http.response.status_code/values?limit=5000&q=" + escape(`{status=error}`), want: `{"tagValues":[{"type":"int","value":"202"}]}`},
		{from: grafanaTempoWords, path: "/tempo/api/v2/search/tag/" + escape(escape("span.tenant")) + "/values?limit=1", want: `{"tagValues":[{"type":"string","value":"acme"}]}`},
		{from: grafanaTempoWords, path: "/tempo/api/v2/search/tag/status/values?limit=5000", want: `"keyword","value":"error"`},
		{from: grafanaTempoOld, path: "/tempo/api/search/tags", want: `"tagNames":[ … "tenant"`},
		{from: grafanaTempoOld, path: "/tempo/api/search/tag/service.name/values", want: `{"tagValues":["shop","till"]}`},

		// Jaeger.
		{from: grafanaJaeger, path: "/jaeger/api/services", want: `{"data":["shop","till"],"errors":null … "total":2`},
		{from: grafanaJaeger, path: "/jaeger/api/services/shop/operations", want: `"data":["GET /cart","SELECT"]`},
		{from: grafanaJaeger, path: "/jaeger/api/traces?limit=20&operation=" + escape("GET /cart") + "&service=shop&tags=" + escape(`{"error":"true"}`) + "&minDuration=1ms&maxDuration=1s&" + micros,
			want: `"traceID":"` + traceTwo + `","spans":[ … "operationName":"GET /cart" … "processes":{"p1":{"serviceName":"shop"`},
		{from: grafanaJaeger, path: "/jaeger/api/traces/" + traceTwo + "?" + micros, want: `{"data":[{"traceID":"` + traceTwo},
		{from: grafanaJaeger, path: fmt.Sprintf("/jaeger/api/dependencies?endTs=%d&lookback=3600000", time.Now().Add(time.Minute).UnixMilli()), want: `"data":[{"parent":"shop","child":"SELECT","callCount":2}]`},
		{from: grafanaJaegerV3, path: "/jaeger/api/v3/services", want: `{"services":["shop","till"]}`},
		{from: grafanaJaegerV3, path: "/jaeger/api/v3/operations?service=shop", want: `{"operations":[{"name":"GET /cart","spanKind":"server"},{"name":"SELECT","spanKind":"client"}]}`},
		{from: grafanaJaegerV3, path: "/jaeger/api/v3/traces?query.attributes=" + escape(`{"tenant":"acme"}`) + "&query.duration_max=1s&query.duration_min=100ms&query.operation_name=" + escape("GET /cart") + "&query.service_name=shop" +
			"&query.start_time_min=" + start.Format(time.RFC3339Nano) + "&query.start_time_max=" + end.In(time.FixedZone("", 3600)).Format(time.RFC3339Nano),
			want: `{"result":{"resourceSpans":[{"resource": … "traceId":"` + traceTwo},
		{from: grafanaJaegerV3, path: "/jaeger/api/v3/traces/" + traceTwo + "?start_time=" + start.Format(time.RFC3339Nano) + "&end_time=" + end.Format(time.RFC3339Nano), want: `{"result":{"resourceSpans":[`},
		{from: jaegerPage, path: "/jaeger/api/operations?service=shop&spanKind=server", want: `"data":[{"name":"GET /cart","spanKind":"server"}]`},
		{from: jaegerPage, path: "/jaeger/api/traces/" + traceTwo, want: `"references":[{"refType":"CHILD_OF"`},
		{from: jaegerPage, path: fmt.Sprintf("/jaeger/api/dependencies?endTs=%d&lookback=604800000", time.Now().Add(time.Minute).UnixMilli()), want: `"parent":"shop"`},
		{from: jaegerPageV3, path: "/jaeger/api/v3/trace-summaries?query.service_name=shop&query.span_name=" + escape("GET /cart") + "&query.start_time_min=" + escape(start.Format("2006-01-02T15:04:05.000Z")) +
			"&query.start_time_max=" + escape(end.Format("2006-01-02T15:04:05.000Z")) + "&query.num_traces=1&query.duration_min=1ms&query.attributes=" + escape(`{"span.kind":"server","otel.status_code":"ERROR"}`),
			want: `{"summaries":[{"traceId":"` + traceTwo + `","traceID":"` + traceTwo + `","rootServiceName":"shop","rootOperationName":"GET /cart","minStartTimeUnixNano":"1795694280000000000","maxEndTimeUnixNano":"1795694280200000000",` +
				`"spanCount":2,"errorSpanCount":1,"orphanSpanCount":0,"services":[{"name":"shop","spanCount":2,"errorSpanCount":1}]}]}`},
		{from: jaegerPageV3, path: "/jaeger/api/v3/dependencies?start_time=" + time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), want: `{"dependencies":[`},
	} {
		var accept []string
		if c.accept != "" {
			accept = []string{c.accept}
		}
		status, body, header := get(t, s.URL+c.path, accept...)
		if status != 200 || header.Get(HeaderIncomplete) != "" {
			t.Errorf("%s: %s: %d %s %s", c.from, c.path, status, header.Get(HeaderIncomplete), body)
			continue
		}
		if c.protobuf {
			data := []byte(body)
			if strings.Contains(c.path, "/v2/") {
				_, _, n := protowire.ConsumeTag(data)
				inner, _ := protowire.ConsumeBytes(data[n:])
				data = inner
			}
			var m traces.TracesData
			if err := proto.Unmarshal(data, &m); err != nil || len(m.ResourceSpans) != 1 || len(m.ResourceSpans[0].ScopeSpans[0].Spans) != 2 {
				t.Errorf("%s: %s: %v %v", c.from, c.path, err, &m)
			}
			continue
		}
		if !json.Valid([]byte(body)) && body != "echo" {
			t.Errorf("%s: %s is no JSON: %s", c.from, c.path, body)
		}
		rest := body
		for part := range strings.SplitSeq(c.want, " … ") {
			_, after, ok := strings.Cut(rest, part)
			if !ok {
				t.Errorf("%s: %s lacks %s in %s", c.from, c.path, part, body)
				break
			}
			rest = after
		}
	}
}
