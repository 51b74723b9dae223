package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/roentgen-io/roentgen/internal/config"
	"github.com/roentgen-io/roentgen/internal/otlp"
	receiver "github.com/roentgen-io/roentgen/internal/receiver/otlp"
)

const mixedTrace = "6741a0c3000000000000000000000abc"

// mixed is a trace of four services: an X-Ray segment calls a service whose spans
// are OpenTelemetry's, which calls one that has an X-Ray SDK again.
func mixed() (documents []string, requests []string) {
	document := func(id, rest string) string {
		return fmt.Sprintf(`{"trace_id":"1-%s-%s","id":"%s",%s}`, mixedTrace[:8], mixedTrace[8:], id, rest)
	}
	span := func(service, id, parent, name string, kind int, attributes string) string {
		return fmt.Sprintf(`{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"%s"}}]},"scopeSpans":[{"scope":{"name":"test"},"spans":[`+
			`{"traceId":"%s","spanId":"%s","parentSpanId":"%s","name":"%s","kind":%d,"startTimeUnixNano":"1732354243100000000","endTimeUnixNano":"1732354243900000000","attributes":[%s]}]}]}]}`,
			service, mixedTrace, id, parent, name, kind, attributes)
	}
	documents = []string{
		document("0000000000000001", `"name":"front","start_time":1732354243,"end_time":1732354244,"subsegments":[{"id":"0000000000000002","name":"orders","namespace":"remote","start_time":1732354243.05,"end_time":1732354243.95}]`),
		document("0000000000000006", `"name":"stock","start_time":1732354243.4,"end_time":1732354243.6,"parent_id":"0000000000000005"`),
	}
	requests = []string{
		span("orders", "0000000000000003", "0000000000000002", "POST /orders", 2, `{"key":"http.response.status_code","value":{"intValue":"201"}}`),
		span("orders", "0000000000000004", "0000000000000003", "check", 1, ``),
		span("orders", "0000000000000005", "0000000000000004", "GET", 3, `{"key":"server.address","value":{"stringValue":"stock"}}`),
	}
	return documents, requests
}

// TestMixedTrace puts a trace together from documents and spans, in several orders,
// some of them twice, and looks at it before and after a restart.
func TestMixedTrace(t *testing.T) {
	documents, requests := mixed()
	var all []func(s *Server)
	for _, d := range documents {
		all = append(all, func(s *Server) { do(t, "POST", s.URL()+"/TraceSegments", putBody(d)) })
	}
	for _, r := range requests {
		all = append(all, func(s *Server) {
			if status, body, _ := do(t, "POST", s.URL()+receiver.PathHTTP, r, "Content-Type", "application/json"); status != 200 || body != "{}" {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	var first string
	for _, order := range [][]int{{0, 1, 2, 3, 4}, {4, 3, 2, 1, 0}, {2, 4, 0, 3, 1, 2, 2, 0}} {
		change := func(dir string) func(c *config.Config) {
			return func(c *config.Config) { c.DataDir = dir }
		}
		dir := t.TempDir()
		s := start(t, openStore, change(dir))
		for _, i := range order {
			all[i](s)
		}
		shape := requireMixed(t, s)
		if first == "" {
			first = shape
		} else if shape != first {
			t.Errorf("order %v gives\n%s\nand the first one\n%s", order, shape, first)
		}
		if err := s.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		s = start(t, openStore, change(dir))
		if shape := requireMixed(t, s); shape != first {
			t.Errorf("order %v after a restart gives\n%s\nand the first one\n%s", order, shape, first)
		}
		s.Close(context.Background())
	}
}

// requireMixed checks the trace in all its forms and returns its shape.
func requireMixed(t *testing.T, s *Server) string {
	t.Helper()
	type entity struct {
		ID, Name, Namespace string
		Parent              string `json:"parent_id"`
		Subsegments         []*entity
	}
	status, body, _ := do(t, "POST", s.URL()+"/Traces", `{"TraceIds":["`+mixedTrace+`"]}`)
	var answer struct {
		Traces []struct {
			Segments []struct{ Document string }
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != 200 || len(answer.Traces) != 1 {
		t.Fatalf("%d %s %v", status, body, err)
	}
	shape := map[string]string{}
	var see func(e *entity, above string)
	see = func(e *entity, above string) {
		shape[e.ID] = above + " > " + e.Name + " " + e.Namespace
		for _, sub := range e.Subsegments {
			see(sub, e.ID)
		}
	}
	for _, d := range answer.Traces[0].Segments {
		var e entity
		if err := json.Unmarshal([]byte(d.Document), &e); err != nil {
			t.Fatal(err)
		}
		see(&e, e.Parent)
	}
	text, _ := json.MarshalIndent(shape, "", " ")
	for id, want := range map[string]string{
		"0000000000000001": " > front ",
		"0000000000000002": "0000000000000001 > orders remote",
		"0000000000000003": "0000000000000002 > orders ",
		"0000000000000004": "0000000000000003 > check ",
		"0000000000000005": "0000000000000004 > stock remote",
		"0000000000000006": "0000000000000005 > stock ",
	} {
		if shape[id] != want {
			t.Errorf("%s is %q, want %q", id, shape[id], want)
		}
	}
	if len(shape) != 6 {
		t.Errorf("the trace has %s", text)
	}
	eventually(t, "the graph has all services", func() bool {
		_, body, _ = do(t, "POST", s.URL()+"/TraceGraph", `{"TraceIds":["`+mixedTrace+`"]}`)
		return strings.Count(body, `"Name":"front"`) >= 2 && strings.Contains(body, `"Name":"orders"`) && strings.Contains(body, `"Name":"stock"`)
	})
	for _, filter := range []string{`annotation.http_response_status_code = 201`, `annotation[http.response.status_code] = 201`, `edge("front", "orders")`, `edge("orders", "stock")`} {
		eventually(t, filter, func() bool {
			ask, _ := json.Marshal(map[string]any{"StartTime": 1732354200, "EndTime": 1732354300, "FilterExpression": filter})
			_, body, _ := do(t, "POST", s.URL()+"/TraceSummaries", string(ask))
			return strings.Contains(body, `"Id":"1-`)
		})
	}

	// As spans: those that came as spans are exactly what came.
	_, body, header := do(t, "GET", s.URL()+"/api/traces/"+mixedTrace+"?format=otlp", "", "Accept", "application/x-protobuf")
	if header.Get("Content-Type") != "application/x-protobuf" {
		t.Errorf("Content-Type %q", header.Get("Content-Type"))
	}
	var got traces.TracesData
	if err := proto.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	byID := map[string]*traces.Span{}
	for _, rs := range got.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, span := range ss.Spans {
				byID[fmt.Sprintf("%x", span.SpanId)] = span
			}
		}
	}
	if len(byID) != 6 {
		t.Errorf("%d spans", len(byID))
	}
	_, requests := mixed()
	for _, r := range requests {
		data, err := otlp.FromJSON([]byte(r))
		if err != nil {
			t.Fatal(err)
		}
		var want traces.TracesData
		if err := proto.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
		span := want.ResourceSpans[0].ScopeSpans[0].Spans[0]
		if !proto.Equal(byID[fmt.Sprintf("%x", span.SpanId)], span) {
			t.Errorf("span %x came back as %v", span.SpanId, byID[fmt.Sprintf("%x", span.SpanId)])
		}
	}
	_, body, _ = do(t, "GET", s.URL()+"/api/traces/"+mixedTrace+"?format=otlp", "")
	fromJSON, err := otlp.FromJSON([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	var again traces.TracesData
	if err := proto.Unmarshal(fromJSON, &again); err != nil || !proto.Equal(&again, &got) {
		t.Errorf("JSON and protobuf differ: %v", err)
	}
	return string(text)
}

// TestPortsOfOpenTelemetry sends to the two ports, in both protocols, and asks them
// for what they do not have.
func TestPortsOfOpenTelemetry(t *testing.T) {
	s := start(t, nil, func(c *config.Config) { c.OTLPGRPC, c.OTLPHTTP = "127.0.0.1:0", "127.0.0.1:0" })
	_, requests := mixed()
	data, err := otlp.FromJSON([]byte(requests[0]))
	if err != nil {
		t.Fatal(err)
	}
	var message traces.TracesData
	if err := proto.Unmarshal(data, &message); err != nil {
		t.Fatal(err)
	}
	addrs := append(s.OTLPAddrs(), s.sockets.tcp.Addr())
	if len(addrs) != 3 {
		t.Fatalf("%d addresses", len(addrs))
	}
	for _, a := range addrs {
		url := "http://" + a.String()
		if status, body, _ := do(t, "POST", url+receiver.PathHTTP, requests[0], "Content-Type", "application/json", "Host", "roentgen:4318"); status != 200 {
			t.Errorf("%v: %d %s", a, status, body)
		}
		conn, err := grpc.NewClient(a.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := conn.Invoke(ctx, receiver.PathGRPC, &message, &emptypb.Empty{}); err != nil {
			t.Errorf("%v: gRPC: %v", a, err)
		}
		cancel()
		conn.Close()
	}
	for _, a := range s.OTLPAddrs() {
		for _, path := range []string{"/", "/metrics", "/debug/", "/api/traces", "/Traces", "/TraceSegments"} {
			if status, body, _ := do(t, "POST", "http://"+a.String()+path, `{"TraceIds":["`+mixedTrace+`"]}`, "Content-Type", "application/json"); status != 404 {
				t.Errorf("%v%s: %d %s", a, path, status, body)
			}
		}
		if status, _, _ := do(t, "GET", "http://"+a.String()+"/-/ready", ""); status != 200 {
			t.Errorf("%v: health %d", a, status)
		}
		// No page of another site gets in.
		if status, _, _ := do(t, "POST", "http://"+a.String()+receiver.PathHTTP, requests[0], "Content-Type", "application/json", "Origin", "http://evil.example"); status != http.StatusForbidden {
			t.Errorf("%v: a page of another site gets %d", a, status)
		}
	}
}

// TestSpansNeedAKey sends with keys of each role, and without, in both protocols.
func TestSpansNeedAKey(t *testing.T) {
	k := startKeyed(t, func(c *config.Config) { c.OTLPGRPC, c.KeyDocuments = "127.0.0.1:0", 3 })
	_, requests := mixed()
	data, err := otlp.FromJSON([]byte(requests[0]))
	if err != nil {
		t.Fatal(err)
	}
	var message traces.TracesData
	if err := proto.Unmarshal(data, &message); err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(k.OTLPAddrs()[0].String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, c := range []struct {
		name, bearer string
		http         int
		grpc         codes.Code
	}{
		{"nobody", "", 401, codes.Unauthenticated},
		{"somebody", "AKIA.x", 401, codes.Unauthenticated},
		{"reader", k.reader.Bearer(), 403, codes.PermissionDenied},
		{"writer", k.writer.Bearer(), 200, codes.OK},
		{"admin", k.admin.Bearer(), 200, codes.OK},
	} {
		header := []string{"Content-Type", "application/json"}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if c.bearer != "" {
			header = append(header, "Authorization", "Bearer "+c.bearer)
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.bearer)
		}
		for _, base := range []string{k.URL(), "http://" + k.OTLPAddrs()[0].String()} {
			if got, body, _ := do(t, "POST", base+receiver.PathHTTP, requests[0], header...); got != c.http {
				t.Errorf("%s gets %d %s, want %d", c.name, got, body, c.http)
			}
		}
		if err := conn.Invoke(ctx, receiver.PathGRPC, &message, &emptypb.Empty{}); status.Code(err) != c.grpc {
			t.Errorf("%s gets %v over gRPC, want %v", c.name, err, c.grpc)
		}
		cancel()
	}
	// The writer has sent three spans in this second, which is what a key may.
	limited := false
	for range 20 {
		got, _, h := do(t, "POST", k.URL()+receiver.PathHTTP, requests[0], "Content-Type", "application/json", "Authorization", "Bearer "+k.writer.Bearer())
		limited = limited || got == 429 && h.Get("Retry-After") != ""
	}
	if !limited {
		t.Error("a key may send any number of spans")
	}
}

// TestDefaultPortTaken starts although a default port of OpenTelemetry is taken, and
// does not when the port was chosen.
func TestDefaultPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = Start(t.Context(), Config{Settings: settings(func(c *config.Config) { c.OTLPHTTP = l.Addr().String() }), OpenStore: opener(nil)})
	if err == nil || !strings.Contains(err.Error(), "--otlp-http ") {
		t.Errorf("got %v", err)
	}
}

// TestJoin closes a listener over several while they accept.
func TestJoin(t *testing.T) {
	var list []net.Listener
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, l)
	}
	j := join(list...)
	for i, l := range list {
		go func() {
			c, err := net.Dial("tcp", l.Addr().String())
			if err == nil {
				c.Write([]byte{byte(i)})
				c.Close()
			}
		}()
		c, err := j.Accept()
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		b.ReadFrom(c)
		if b.String() != string([]byte{byte(i)}) {
			t.Errorf("connection %d brings %q", i, b.String())
		}
		c.Close()
	}
	done := make(chan error)
	go func() { _, err := j.Accept(); done <- err }()
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err == nil {
		t.Error("a closed listener accepts")
	}
	if err := j.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

// TestIndexedAttributes holds that the settings for annotations are read as they are
// at the start, for spans that are stored already too.
func TestIndexedAttributes(t *testing.T) {
	dir := t.TempDir()
	const trace = "6741a0c3000000000000000000000def"
	s := start(t, openStore, func(c *config.Config) { c.DataDir = dir })
	put := func(s *Server, id string) {
		request := `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}},{"key":"host.name","value":{"stringValue":"h1"}}]},"scopeSpans":[{"spans":[` +
			`{"traceId":"` + trace + `","spanId":"` + id + `","name":"GET","kind":2,"startTimeUnixNano":"1732354243100000000","endTimeUnixNano":"1732354243900000000","attributes":[{"key":"tenant","value":{"stringValue":"acme"}},{"key":"tier","value":{"stringValue":"gold"}}]}]}]}]}`
		if status, body, _ := do(t, "POST", s.URL()+receiver.PathHTTP, request, "Content-Type", "application/json"); status != 200 || body != "{}" {
			t.Fatalf("%d %s", status, body)
		}
	}
	put(s, "0000000000000001")
	require := func(s *Server, annotations, groups, found string) {
		t.Helper()
		_, body, _ := do(t, "POST", s.URL()+"/Traces", `{"TraceIds":["`+trace+`"]}`)
		body = strings.ReplaceAll(body, `\"`, `"`)
		if got := strings.Contains(body, annotations); got != (annotations != "none") || strings.Contains(body, `"log_group":"`+groups+`"`) != (groups != "") {
			t.Errorf("want annotations %s and groups %q in %s", annotations, groups, body)
		}
		if annotations == "none" && strings.Contains(body, `"annotations"`) {
			t.Errorf("there are annotations: %s", body)
		}
		window := `{"StartTime":1732354200,"EndTime":1732354300,"FilterExpression":"`
		for _, filter := range []string{`annotation.tenant = \"acme\"`, `annotation[otel.resource.host.name] = \"h1\"`} {
			_, body, _ := do(t, "POST", s.URL()+"/TraceSummaries", window+filter+`"}`)
			if got := strings.Contains(body, trace[8:]); got != strings.Contains(found, filter[11:15]) {
				t.Errorf("%s finds %v: %s", filter, got, body)
			}
		}
	}
	require(s, "none", "", "tena")
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = start(t, openStore, func(c *config.Config) {
		c.DataDir, c.OTLPIndexed, c.OTLPLogGroups = dir, []string{"tenant", "otel.resource.host.name"}, []string{"/aws/shop"}
	})
	require(s, `"annotations":{"otel.resource.host.name":"h1","tenant":"acme"}`, "/aws/shop", "tena otel")
	put(s, "0000000000000002")
	require(s, `"annotations":{"otel.resource.host.name":"h1","tenant":"acme"}`, "/aws/shop", "tena otel")
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = start(t, openStore, func(c *config.Config) { c.DataDir, c.OTLPIndexAll = dir, true })
	require(s, `"tier":"gold"`, "", "tena otel")
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestRetrievedSpans holds that the trace format OTEL gives spans back as they came.
func TestRetrievedSpans(t *testing.T) {
	documents, requests := mixed()
	s := start(t, openStore, func(c *config.Config) { c.DataDir = t.TempDir() })
	defer func() { s.Close(context.Background()) }()
	do(t, "POST", s.URL()+"/TraceSegments", putBody(documents[0]))
	sent := make(map[string]*traces.TracesData)
	for _, r := range requests {
		do(t, "POST", s.URL()+receiver.PathHTTP, r, "Content-Type", "application/json")
		data, err := otlp.FromJSON([]byte(r))
		if err != nil {
			t.Fatal(err)
		}
		var m traces.TracesData
		if err := proto.Unmarshal(data, &m); err != nil {
			t.Fatal(err)
		}
		sent[fmt.Sprintf("%x", m.ResourceSpans[0].ScopeSpans[0].Spans[0].SpanId)] = &m
	}
	var begun struct{ RetrievalToken string }
	_, body, _ := do(t, "POST", s.URL()+"/StartTraceRetrieval", `{"TraceIds":["1-`+mixedTrace[:8]+"-"+mixedTrace[8:]+`"],"StartTime":1732354200,"EndTime":1732354300}`)
	if err := json.Unmarshal([]byte(body), &begun); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	_, body, _ = do(t, "POST", s.URL()+"/ListRetrievedTraces", `{"RetrievalToken":"`+begun.RetrievalToken+`","TraceFormat":"OTEL"}`)
	var answer struct {
		Traces []struct {
			Spans []struct{ ID, Document string }
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Traces) != 1 || len(answer.Traces[0].Spans) != 5 {
		t.Fatalf("%v in %s", err, body)
	}
	found := 0
	for _, span := range answer.Traces[0].Spans {
		want := sent[span.ID]
		if want == nil {
			continue // it came as a document
		}
		found++
		data, err := otlp.ParseFlat([]byte(span.Document))
		if err != nil {
			t.Fatalf("%v in %s", err, span.Document)
		}
		var got traces.TracesData
		if err := proto.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		got.ResourceSpans[0].ScopeSpans[0].Spans[0].Status = nil // these have none
		if !proto.Equal(&got, want) {
			t.Errorf("%s came back as\n%v, it was\n%v", span.ID, &got, want)
		}
	}
	if found != len(requests) {
		t.Errorf("%d of %d spans came back: %s", found, len(requests), body)
	}
}
