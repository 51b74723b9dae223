package compat

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/test/process"
	"github.com/roentgen-io/roentgen/test/recount"
)

// sdk is a program instrumented with one of the X-Ray SDKs.
type sdk struct {
	name      string
	command   func(t *testing.T) []string
	scenarios []string
}

var sdks = []sdk{
	{
		name: "go",
		command: func(t *testing.T) []string {
			path, err := goSDK()
			if err != nil {
				t.Fatalf("building test/compat/go-sdk: %v", err)
			}
			return []string{path}
		},
		scenarios: []string{"nested", "values", "exception", "flags", "http-client", "http-server", "sql", "aws", "streaming", "cancelled"},
	},
	{
		name:      "node",
		command:   func(t *testing.T) []string { return []string{node(t), "node/sdk.js"} },
		scenarios: []string{"nested", "values", "exception", "flags", "http-client", "http-server", "sql", "aws", "streaming", "in-progress"},
	},
	{
		name:      "python",
		command:   func(t *testing.T) []string { return []string{python(t), "python/sdk.py"} },
		scenarios: []string{"nested", "values", "exception", "flags", "http-client", "http-server", "sql", "aws", "streaming", "in-progress"},
	},
}

// run starts the program for some scenarios and returns the trace ids that it
// reports, by scenario.
func (k sdk) run(t *testing.T, env []string, scenarios ...string) map[string]string {
	t.Helper()
	command := k.command(t)
	ids := make(map[string]string)
	for line := range strings.Lines(program(t, env, command[0], append(command[1:], scenarios...)...)) {
		if !strings.HasPrefix(line, "{") {
			continue // a library that talks
		}
		var r struct {
			Scenario string
			TraceID  string `json:"trace_id"`
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		ids[r.Scenario] = r.TraceID
	}
	for _, scenario := range scenarios {
		if !strings.HasPrefix(ids[scenario], "1-") {
			t.Fatalf("the program did not report scenario %s", scenario)
		}
	}
	return ids
}

// TestSDKs runs the instrumented programs and compares every trace that the
// server gives back with what the SDK sent.
func TestSDKs(t *testing.T) {
	for _, k := range sdks {
		t.Run(k.name, func(t *testing.T) {
			k.command(t) // a missing tool skips before a server is started
			s := serve(t)
			r := newRelay(t, s.Address)
			env := environment(
				"AWS_XRAY_DAEMON_ADDRESS=tcp:"+s.Address+" udp:"+r.addr,
				"AWS_XRAY_COLLECT_SQL_QUERIES=1", "SAMPLE_ALL=1", "STUB="+stub(t))
			began := time.Now().Add(-time.Minute)
			ids := k.run(t, env, k.scenarios...)

			for _, scenario := range k.scenarios {
				t.Run(scenario, func(t *testing.T) {
					s.check(t, r, ids[scenario])
					datagrams := r.of(ids[scenario])
					trace, _ := s.get(t, ids[scenario])
					golden(t, filepath.Join("testdata", "golden", k.name, scenario+".txt"), outline(t, trace))
					if *update {
						capture(t, k.name+"-"+scenario, datagrams)
					}
				})
			}
			t.Run("summaries", func(t *testing.T) {
				summaries := s.summaries(t, began, time.Now().Add(time.Minute))
				for _, scenario := range k.scenarios {
					checkSummary(t, scenario, summaries[ids[scenario]], documents(t, r.of(ids[scenario])))
				}
			})
			t.Run("graph", func(t *testing.T) { s.checkGraph(t, r, k.name, began) })
		})
	}
}

// checkGraph holds the service graph against a recount of all that the SDK sent,
// and against the golden file with the nodes and edges one expects of the
// scenarios.
func (s *server) checkGraph(t *testing.T, r *relay, name string, began time.Time) {
	t.Helper()
	var docs []string
	for _, doc := range documents(t, r.of("trace_id")) {
		docs = append(docs, string(doc))
	}
	want, err := recount.Count(docs)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := json.Marshal(map[string]any{"StartTime": began.Unix(), "EndTime": time.Now().Add(time.Minute).Unix()})
	var got *recount.Graph
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		status, _, answer := s.call(t, "/ServiceGraph", string(body))
		if status != http.StatusOK {
			t.Fatalf("GetServiceGraph: %d %s", status, answer)
		}
		if got, err = recount.Read([]byte(answer)); err != nil {
			t.Fatalf("%v\n%s", err, answer)
		}
		diff := recount.Diff(got, want)
		if diff == "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the service graph differs from the recount:\n%s", diff)
		}
	}
	// Ports, which differ from run to run, are parts of names.
	lines := strings.SplitAfter(newNormaliser().apply(got.String()), "\n")
	slices.Sort(lines)
	golden(t, filepath.Join("testdata", "golden", name, "graph.txt"), strings.Join(lines, ""))
}

// check waits until the server gives back a trace as the oracle wants it.
func (s *server) check(t *testing.T, r *relay, id string, more ...[]byte) {
	t.Helper()
	var problems []string
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(25 * time.Millisecond) {
		docs := slices.Concat(documents(t, r.of(id)), more)
		problems = []string{"the SDK sent nothing"}
		if len(docs) > 0 {
			if got, ok := s.get(t, id); ok {
				problems = compare(t, got, docs)
			} else {
				problems = []string{"the server does not know the trace"}
			}
		}
		if len(problems) == 0 {
			return
		}
		if time.Now().After(deadline) {
			break
		}
	}
	t.Errorf("trace %s:\n%s", id, strings.Join(problems, "\n"))
}

// TestLambda runs the SDKs as they are inside AWS Lambda: they send independent
// subsegments alone, which stay hidden until the function's segment arrives.
func TestLambda(t *testing.T) {
	for i, k := range sdks {
		t.Run(k.name, func(t *testing.T) {
			k.command(t)
			s := serve(t)
			r := newRelay(t, s.Address)
			id := fmt.Sprintf("1-%08x-00000000000000000a3bda0%x", time.Now().Unix(), i)
			const function = "fa1cade0fa1cade0"
			k.run(t, environment(
				"AWS_XRAY_DAEMON_ADDRESS=tcp:"+s.Address+" udp:"+r.addr, "STUB="+stub(t), "LAMBDA_TASK_ROOT=/var/task",
				"_X_AMZN_TRACE_ID=Root="+id+";Parent="+function+";Sampled=1;Lineage=25:ab5d7e91:0"), "lambda")
			s.check(t, r, id)
			if got, _ := s.get(t, id); len(got.Segments) != 0 || got.Duration != nil {
				t.Errorf("orphans are shown: %+v", got)
			}
			now := float64(time.Now().UnixMicro()) / 1e6
			segment := fmt.Sprintf(`{"trace_id":%q,"id":%q,"name":"resize","origin":"AWS::Lambda::Function","start_time":%f,"end_time":%f}`, id, function, now-1, now)
			body, _ := json.Marshal(map[string]any{"TraceSegmentDocuments": []string{segment}})
			if status, _, answer := s.call(t, "/TraceSegments", string(body)); status != http.StatusOK || !strings.Contains(answer, `"UnprocessedTraceSegments":[]`) {
				t.Fatalf("PutTraceSegments: %d %s", status, answer)
			}
			s.check(t, r, id, []byte(segment))
			got, _ := s.get(t, id)
			if len(got.Segments) != 1 || !strings.Contains(got.Segments[0].Document, `"name":"handler"`) {
				t.Errorf("the subsegments were not attached: %+v", got)
			}
			golden(t, filepath.Join("testdata", "golden", k.name, "lambda.txt"), outline(t, got))
			if *update {
				capture(t, k.name+"-lambda", r.of(id))
			}
		})
	}
}

// TestDefaultAddress is the first minute of a developer: the server and the
// program are started with nothing set at all, and find each other on port 2000.
func TestDefaultAddress(t *testing.T) {
	const addr = "127.0.0.1:2000"
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Skipf("SKIPPED: port 2000 is taken on this machine: %v", err)
	}
	conn, err := net.ListenPacket("udp", addr)
	ln.Close()
	if err != nil {
		t.Skipf("SKIPPED: UDP port 2000 is taken on this machine: %v", err)
	}
	conn.Close()
	s := serveDefault(t, addr)
	for _, k := range sdks {
		t.Run(k.name, func(t *testing.T) {
			id := k.run(t, environment(), "nested")["nested"]
			eventually(t, "the trace arrived", func() bool {
				got, ok := s.get(t, id)
				return ok && len(got.Segments) == 1
			})
			got, _ := s.get(t, id)
			var names []string
			var walk func(doc object)
			walk = func(doc object) {
				names = append(names, doc["name"].(string))
				subs, _ := doc["subsegments"].([]any)
				for _, sub := range subs {
					walk(sub.(object))
				}
			}
			v, err := parseJSON([]byte(got.Segments[0].Document))
			if err != nil {
				t.Fatal(err)
			}
			walk(v.(object))
			if want := []string{"orders-nested", "validate", "load basket", "price", "discount"}; !slices.Equal(names, want) {
				t.Errorf("names = %q, want %q", names, want)
			}
		})
	}
}

// summary is what GetTraceSummaries says of a trace, as far as it is compared.
type summary struct {
	ID                            string `json:"Id"`
	Duration, ResponseTime        *float64
	HasFault, HasError, IsPartial *bool
	HasThrottle                   *bool
	EntryPoint                    *struct{ Name string }
	HTTP                          *struct {
		HTTPMethod, HTTPURL *string
		HTTPStatus          *int
	} `json:"Http"`
	Users       []struct{ UserName string }
	Annotations map[string][]struct{ AnnotationValue map[string]any }
	ServiceIDs  []struct {
		Name string
		Type *string
	} `json:"ServiceIds"`
}

// summaries reads every summary of a window by event time, page by page.
func (s *server) summaries(t *testing.T, start, end time.Time) map[string]summary {
	t.Helper()
	all := make(map[string]summary)
	token := ""
	for {
		in := map[string]any{"StartTime": start.Unix(), "EndTime": end.Unix(), "TimeRangeType": "Event"}
		if token != "" {
			in["NextToken"] = token
		}
		body, _ := json.Marshal(in)
		status, _, answer := s.call(t, "/TraceSummaries", string(body))
		if status != http.StatusOK {
			t.Fatalf("GetTraceSummaries: %d %s", status, answer)
		}
		var out struct {
			NextToken      *string
			TraceSummaries []summary
		}
		if err := json.Unmarshal([]byte(answer), &out); err != nil {
			t.Fatal(err)
		}
		for _, sum := range out.TraceSummaries {
			all[sum.ID] = sum
		}
		if out.NextToken == nil {
			return all
		}
		token = *out.NextToken
	}
}

// checkSummary compares a summary with the documents of its trace.
func checkSummary(t *testing.T, scenario string, got summary, docs [][]byte) {
	t.Helper()
	reported, _ := wantTrace(t, docs)
	var root object
	users := make(map[string]bool)
	annotations := make(map[string]bool)
	finished := true
	var walk func(doc object)
	walk = func(doc object) {
		if doc["end_time"] == nil {
			finished = false
		}
		if user, ok := doc["user"].(string); ok {
			users[user] = true
		}
		keys, _ := doc["annotations"].(object)
		for key := range keys {
			annotations[key] = true
		}
		subs, _ := doc["subsegments"].([]any)
		for _, sub := range subs {
			walk(sub.(object))
		}
	}
	for _, doc := range reported {
		if doc["parent_id"] == nil {
			root = doc
		}
		walk(doc)
	}
	if root == nil {
		t.Fatalf("%s: no root was sent", scenario)
	}
	if got.EntryPoint == nil || got.EntryPoint.Name != root["name"] {
		t.Errorf("%s: EntryPoint = %+v, want %v", scenario, got.EntryPoint, root["name"])
	}
	throttle := root["throttle"] == true
	for _, flag := range []struct {
		name string
		got  *bool
		want bool
	}{
		{"HasFault", got.HasFault, root["fault"] == true},
		{"HasThrottle", got.HasThrottle, throttle},
		{"HasError", got.HasError, root["error"] == true && !throttle},
		{"IsPartial", got.IsPartial, false},
	} {
		if flag.got == nil || *flag.got != flag.want {
			t.Errorf("%s: %s = %v, want %v", scenario, flag.name, show(flag.got), flag.want)
		}
	}
	if start, end := span([]object{{"start_time": root["start_time"], "end_time": root["end_time"]}}); end != nil {
		if want := end.Sub(end, start); !near(got.ResponseTime, want) {
			t.Errorf("%s: ResponseTime = %v, want %v", scenario, show(got.ResponseTime), want.FloatString(6))
		}
	}
	if start, end := span(reported); finished {
		if want := end.Sub(end, start); !near(got.Duration, want) {
			t.Errorf("%s: Duration = %v, want %v", scenario, show(got.Duration), want.FloatString(6))
		}
	} else if got.Duration != nil {
		t.Errorf("%s: Duration = %v of an unfinished trace, want null", scenario, *got.Duration)
	}
	for _, u := range got.Users {
		if !users[u.UserName] {
			t.Errorf("%s: user %q was not sent", scenario, u.UserName)
		}
		delete(users, u.UserName)
	}
	for user := range users {
		t.Errorf("%s: user %q is missing", scenario, user)
	}
	for key := range annotations {
		if len(got.Annotations[key]) == 0 {
			t.Errorf("%s: annotation %q is missing", scenario, key)
		}
	}
	if len(got.Annotations) != len(annotations) {
		t.Errorf("%s: %d annotations, want %d", scenario, len(got.Annotations), len(annotations))
	}
	if got.HTTP == nil {
		t.Errorf("%s: Http is null", scenario)
	}
}

// capture writes datagrams, with what differs from run to run replaced, where
// the tests of package segment find them: one JSON string a line.
func capture(t *testing.T, name string, datagrams [][]byte) {
	t.Helper()
	n := newNormaliser()
	var out strings.Builder
	for _, d := range datagrams {
		line, err := json.Marshal(n.apply(string(d)))
		if err != nil {
			t.Fatal(err)
		}
		out.Write(line)
		out.WriteByte('\n')
	}
	dir := filepath.Join("..", "..", "segment", "testdata", "sdk")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".jsonl"), []byte(out.String()), 0o666); err != nil {
		t.Fatal(err)
	}
}

// golden compares text with a file, or writes the file with -update.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s\nwant:\n%s", path, got, want)
	}
}

// serveDefault starts the server without a single flag, in a folder of its own.
func serveDefault(t *testing.T, addr string) *server {
	t.Helper()
	return stopped(t, process.Start(t, addr, "serve"))
}
