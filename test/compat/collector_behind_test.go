package compat

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/test/process"
)

// protocols are those that a Collector is spoken to by, and speaks.
var protocols = []string{"gRPC", "HTTP"}

// exportTo returns the exporters of a Collector that passes spans on to a server, set up as
// the documentation says: it answers when the server has them.
func exportTo(t *testing.T, protocol, address string) string {
	t.Helper()
	text := strings.Replace(documented(t, "A Collector answers when spans are in its memory."), "127.0.0.1:4317", address, 1)
	if protocol == "HTTP" {
		text = strings.NewReplacer("otlp:\n", "otlphttp:\n", "exporters: [otlp]", "exporters: [otlphttp]", address, "http://"+address, "    tls: {insecure: true}\n", "").Replace(text)
	}
	return text
}

// destination is how --to and --forward name a Collector.
func (c *collectorRun) destination(protocol string) string {
	if protocol == "gRPC" {
		return "grpc://" + c.addresses[0]
	}
	return "otlp:http://" + c.addresses[1]
}

// work is what a program did: its documents, in which spans have part, too.
type work struct {
	trace     string // as X-Ray writes it
	documents []string
	spans     string // an ExportTraceServiceRequest, JSON
}

// workBegan is when all pieces of work began.
var workBegan = time.Now().Unix() - 60

// alone is the id of a subsegment that came by itself.
const alone = "00000000000000a4"

// someWork returns the i-th piece of work: a front that is instrumented with X-Ray calls
// orders, which is with OpenTelemetry.
func someWork(i int) work {
	begin := workBegan
	id := fmt.Sprintf("%08x%024x", begin, i+1)
	w := work{trace: "1-" + id[:8] + "-" + id[8:]}
	w.documents = []string{
		fmt.Sprintf(`{"trace_id":"%s","id":"00000000000000a1","name":"front","start_time":%d.125,"end_time":%d.75,"fault":true,"user":"ada","origin":"AWS::EC2::Instance",`+
			`"http":{"request":{"method":"POST","url":"https://front.example.com/buy?n=%d","client_ip":"192.0.2.7"},"response":{"status":502}},`+
			`"annotations":{"number":%d,"tier":"gold","new":true},"metadata":{"default":{"basket":[1,2,{"deep":null}]}},`+
			`"cause":{"working_directory":"/srv","exceptions":[{"id":"00000000000000e1","type":"Refused","message":"no stock","stack":[{"path":"buy.py","line":7,"label":"buy"}]}]},`+
			`"subsegments":[{"id":"00000000000000a2","name":"orders","namespace":"remote","start_time":%d.25,"end_time":%d.5,"http":{"request":{"method":"GET","url":"http://orders/"},"response":{"status":200}}},`+
			`{"id":"00000000000000a3","name":"shop@db","namespace":"remote","start_time":%d.5,"end_time":%d.625,"sql":{"url":"jdbc:postgresql://db/shop","database_type":"PostgreSQL","sanitized_query":"select ?"}}]}`,
			w.trace, begin, begin, i, i, begin, begin, begin, begin),
		fmt.Sprintf(`{"trace_id":"%s","id":"`+alone+`","parent_id":"00000000000000a1","type":"subsegment","name":"render","start_time":%d.625,"end_time":%d.6875}`, w.trace, begin, begin),
		fmt.Sprintf(`{"trace_id":"%s","id":"00000000000000a5","parent_id":"00000000000000b2","name":"stock","start_time":%d.25,"in_progress":true}`, w.trace, begin),
	}
	w.spans = fmt.Sprintf(`{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"orders"}},{"key":"host.name","value":{"stringValue":"h%d"}}]},"scopeSpans":[{"scope":{"name":"lib","version":"1.2"},"spans":[`+
		`{"traceId":"%s","spanId":"00000000000000b1","parentSpanId":"00000000000000a2","traceState":"a=b","name":"GET /orders","kind":2,"startTimeUnixNano":"%d300000001","endTimeUnixNano":"%d400000009",`+
		`"attributes":[{"key":"http.response.status_code","value":{"intValue":"200"}},{"key":"ratio","value":{"doubleValue":0.1}},{"key":"list","value":{"arrayValue":{"values":[{"stringValue":"x"},{"boolValue":true}]}}}],`+
		`"events":[{"timeUnixNano":"%d310000000","name":"cache.miss"}],"links":[{"traceId":"%s","spanId":"00000000000000c1"}],"status":{"code":2,"message":"late"}},`+
		`{"traceId":"%s","spanId":"00000000000000b2","parentSpanId":"00000000000000b1","name":"reserve","kind":3,"startTimeUnixNano":"%d310000000","endTimeUnixNano":"%d390000000","attributes":[{"key":"peer.service","value":{"stringValue":"stock"}}]}]}]}]}`,
		i, id, begin, begin, begin, id, id, begin, begin)
	return w
}

// putDocuments sends documents with PutTraceSegments.
func (s *server) putDocuments(t *testing.T, documents []string) {
	t.Helper()
	body, _ := json.Marshal(map[string]any{"TraceSegmentDocuments": documents})
	if status, _, answer := s.call(t, "/TraceSegments", string(body), "Content-Type", "application/json"); status != http.StatusOK || answer != `{"UnprocessedTraceSegments":[]}` {
		t.Fatalf("PutTraceSegments: %d %s", status, answer)
	}
}

// putSpans sends spans over HTTP, in JSON.
func (s *server) putSpans(t *testing.T, spans string) {
	t.Helper()
	if status, _, answer := s.call(t, "/v1/traces", spans, "Content-Type", "application/json"); status != http.StatusOK || answer != "{}" {
		t.Fatalf("spans: %d %s", status, answer)
	}
}

// spans returns the spans of a trace by their ids, each with its resource and scope; none when there is
// no such trace.
func (s *server) spans(t *testing.T, trace string) map[string]string {
	t.Helper()
	resp, err := http.Get(s.URL + "/api/traces/" + trace + "?format=otlp")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode == http.StatusNotFound {
		return nil
	}
	var in struct {
		ResourceSpans []struct {
			Resource   any
			ScopeSpans []struct {
				Scope any
				Spans []map[string]any
			}
		}
	}
	if err := json.Unmarshal(body, &in); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %v: %s", resp.Status, err, body)
	}
	all := make(map[string]string)
	for _, rs := range in.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, span := range ss.Spans {
				id := span["spanId"].(string)
				whole := map[string]any{"resource": rs.Resource, "scope": ss.Scope, "span": span}
				if id == alone {
					delete(whole, "resource") // its segment was not known where it became a span
				}
				text, _ := json.MarshalIndent(withoutEmpty(whole), "", " ")
				all[id] = string(text)
			}
		}
	}
	return all
}

// withoutEmpty removes members that say nothing: protobuf has them or not.
func withoutEmpty(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			member = withoutEmpty(member)
			if m, ok := member.(map[string]any); ok && len(m) == 0 || member == nil || member == "" {
				delete(v, name)
			}
		}
	case []any:
		for _, element := range v {
			withoutEmpty(element)
		}
	}
	return v
}

// outline returns what the X-Ray view has of a trace, as far as OpenTelemetry has words for it, by what
// entities hang under and their names.
func (s *server) outline(t *testing.T, trace string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for place, e := range entities(t, s.URL, trace) {
		shown := *e
		shown.Subsegments = nil // they have places of their own
		shown.Cause.Exceptions = slices.Clone(e.Cause.Exceptions)
		for i := range shown.Cause.Exceptions {
			shown.Cause.Exceptions[i].Stack = nil
		}
		all[place] = fmt.Sprintf("%+v", shown)
	}
	return all
}

// requireSame holds that two servers have the same of a trace.
func requireSame(t *testing.T, what string, want, got map[string]string) {
	t.Helper()
	for _, id := range slices.Sorted(maps.Keys(want)) {
		if got[id] != want[id] {
			t.Errorf("%s %s is\n%s\nwant\n%s", what, id, got[id], want[id])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: there are %d, want %d", what, len(got), len(want))
	}
}

// waiting returns how much a server has still to pass on.
func (s *server) waiting(t *testing.T) (n uint64) {
	t.Helper()
	for _, d := range s.forwardStatus(t).Destinations {
		n += d.Waiting
	}
	return n
}

type forwardStatus struct {
	Destinations []struct{ Waiting, Sent, Refused, Lost uint64 }
	Looped       uint64
	Repeated     uint64
}

func (s *server) forwardStatus(t *testing.T) (st forwardStatus) {
	t.Helper()
	getJSON(t, s.URL+"/-/forward", &st)
	return st
}

// TestCollectorBehindServer passes documents and spans on through a Collector to another
// server, over both protocols. The Collector is killed in between and started again, and so is the
// other server.
func TestCollectorBehindServer(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			address, dir := process.FreeAddress(t), t.TempDir()
			last := func() *process.Server {
				return process.Start(t, address, "serve", "--listen", address, "--data-dir", dir)
			}
			second := last()
			c := newCollector(t, exportTo(t, protocol, address))
			c.start(t)
			first := serve(t, "--forward", c.destination(protocol))
			const n = 60
			for i := range n {
				switch i {
				case n / 5:
					c.kill()
				case 2 * n / 5:
					c.start(t)
				case 3 * n / 5:
					second.Kill()
				case 4 * n / 5:
					second = last()
				}
				w := someWork(i)
				first.putDocuments(t, w.documents[:1])
				first.putSpans(t, w.spans)
				first.putDocuments(t, w.documents[1:])
			}
			within(t, 2*time.Minute, "everything is passed on", func() bool { return first.waiting(t) == 0 })
			there := stopped(t, second)
			for i := range n {
				trace := someWork(i).trace
				spans := first.spans(t, trace)
				if len(spans) != 7 {
					t.Fatalf("the first server has %d spans of a trace", len(spans))
				}
				requireSame(t, "span", spans, there.spans(t, trace))
				requireSame(t, "entity", first.outline(t, trace), there.outline(t, trace))
				if t.Failed() {
					return
				}
			}
			if st := first.forwardStatus(t); st.Destinations[0].Refused+st.Destinations[0].Lost+st.Repeated != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// TestCollectorBehindAgent has an agent deliver datagrams to a Collector and on to a server,
// which then has the same as one that got them itself.
func TestCollectorBehindAgent(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			second, direct := serve(t), serve(t)
			c := newCollector(t, exportTo(t, protocol, second.Address))
			c.start(t)
			address := process.FreeAddress(t)
			a := process.Await(t, process.Launch(t, "agent", "--local-mode", "--bind", address, "--bind-tcp", address, "--spool-dir", t.TempDir(), "--to", c.destination(protocol)), address)
			socket, err := net.Dial("udp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()
			const n = 60
			for i := range n {
				switch i {
				case n / 3:
					c.kill()
				case 2 * n / 3:
					c.start(t)
				}
				w := someWork(i)
				direct.putDocuments(t, w.documents)
				for _, document := range w.documents {
					fmt.Fprintf(socket, "{\"format\":\"json\",\"version\":1}\n%s", document)
				}
			}
			within(t, 2*time.Minute, "everything is delivered", func() bool {
				var st struct {
					Intake       struct{ UDP int }
					Destinations []struct{ Waiting uint64 }
				}
				getJSON(t, "http://"+address+"/status", &st)
				return st.Intake.UDP == 3*n && st.Destinations[0].Waiting == 0
			})
			for i := range n {
				trace := someWork(i).trace
				spans := direct.spans(t, trace)
				if len(spans) != 5 {
					t.Fatalf("without a Collector there are %d spans of a trace", len(spans))
				}
				requireSame(t, "span", spans, second.spans(t, trace))
				requireSame(t, "entity", direct.outline(t, trace), second.outline(t, trace))
				if t.Failed() {
					return
				}
			}
			a.Signal(t, syscall.SIGTERM)
			if state := a.Wait(t); !state.Success() {
				t.Errorf("the agent ended with %v\n%s", state, a.Output)
			}
		})
	}
}

// TestCollectorRing has a server pass on to a Collector that exports to the server: what goes
// round ends.
func TestCollectorRing(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			address := process.FreeAddress(t)
			c := newCollector(t, exportTo(t, protocol, address))
			c.start(t)
			s := stopped(t, process.Start(t, address, "serve", "--listen", address, "--data-dir", t.TempDir(), "--forward", c.destination(protocol)))
			const n = 20
			for i := range n {
				w := someWork(i)
				s.putDocuments(t, w.documents)
				s.putSpans(t, w.spans)
			}
			// Of seven spans three are others when they come back, and go round once more: two were inside a
			// document, and the text of an unfinished one is not what it was.
			eventually(t, "nothing goes round any more", func() bool { return s.forwardStatus(t).Repeated == 7*n && s.waiting(t) == 0 })
			if st := s.forwardStatus(t); st.Destinations[0].Sent != 8*n || st.Looped != 0 {
				t.Errorf("%+v", st)
			}
			if log := s.Output.String(); !strings.Contains(log, "documents came again that were passed on shortly before") {
				t.Errorf("the log says nothing of it:\n%s", log)
			}
		})
	}
}
