package compat

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/segment"
	"github.com/roentgen-io/roentgen/test/process"
)

// otelProgram is a program that an OpenTelemetry SDK instruments, the same in every
// language: a SERVER span of the service orders, in it the span check, which meets an
// exception, and in that a CLIENT span that calls stock.
type otelProgram struct {
	name      string
	protocols []string
	command   func(t *testing.T) []string
}

var otelPrograms = []otelProgram{
	{"go", []string{"grpc", "grpc+gzip", "http/protobuf"}, func(t *testing.T) []string {
		path, err := goOtel()
		if err != nil {
			t.Fatalf("building test/compat/go-otel: %v", err)
		}
		return []string{path}
	}},
	{"node", []string{"grpc", "http/protobuf", "http/json"}, func(t *testing.T) []string {
		path := node(t)
		if _, err := os.Stat("node_modules/@opentelemetry/sdk-trace-node"); err != nil {
			missing(t, "test/compat/node_modules with the OpenTelemetry SDK for Node")
		}
		return []string{path, "node/otel.cjs"}
	}},
	{"python", []string{"grpc", "http/protobuf"}, func(t *testing.T) []string {
		path := python(t)
		if err := exec.Command(path, "-c", "import opentelemetry.sdk, opentelemetry.exporter.otlp.proto.grpc").Run(); err != nil {
			missing(t, "the OpenTelemetry SDK for Python in .venv")
		}
		return []string{path, "python/otel.py"}
	}},
	{"java", []string{"grpc", "http/protobuf"}, func(t *testing.T) []string {
		command := java(t, "Otel")
		if jars, _ := filepath.Glob("java/lib/opentelemetry-sdk-trace-*.jar"); len(jars) == 0 {
			missing(t, "test/compat/java/lib with the OpenTelemetry SDK for Java")
		}
		return command
	}},
}

// goOtel builds the program that uses the OpenTelemetry SDK for Go, once.
var goOtel = builds("go-otel", ".", "go-otel")

// otelRun is what such a program reports.
type otelRun struct {
	TraceID string `json:"trace_id"`
	Client  string // id of the CLIENT span
}

func (p otelProgram) run(t *testing.T, protocol, server, traceparent string, variables ...string) otelRun {
	t.Helper()
	command := append(p.command(t), protocol, server)
	if traceparent != "" {
		command = append(command, traceparent)
	}
	out := program(t, environment(variables...), command[0], command[1:]...)
	var r otelRun
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &r) == nil && r.TraceID != "" {
			return r
		}
	}
	t.Fatalf("%s reported nothing:\n%s", p.name, out)
	return r
}

// entity is a segment or subsegment as the API gives it back.
type entity struct {
	ID, Name, Namespace string
	Parent              string `json:"parent_id"`
	HTTP                struct {
		Request  struct{ Method, URL string }
		Response struct{ Status int }
	}
	Fault bool
	Cause struct {
		Exceptions []struct {
			Type, Message string
			Stack         []struct {
				Path, Label string
				Line        int
			}
		}
	}
	Subsegments []*entity
}

// entities returns all of a trace by what they hang under and their names.
func entities(t *testing.T, endpoint, traceID string) map[string]*entity {
	t.Helper()
	id, err := segment.ParseAnyTraceID(traceID)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Segments, Orphans []struct{ Document *entity }
	}
	getJSON(t, endpoint+"/api/traces/"+id.String(), &answer)
	all := make(map[string]*entity)
	names := make(map[string]string)
	var see func(e *entity)
	see = func(e *entity) {
		names[e.ID] = e.Name
		for _, sub := range e.Subsegments {
			sub.Parent = e.ID
			see(sub)
		}
	}
	for _, list := range [][]struct{ Document *entity }{answer.Segments, answer.Orphans} {
		for _, d := range list {
			see(d.Document)
		}
	}
	var list func(e *entity)
	list = func(e *entity) {
		all[names[e.Parent]+">"+e.Name] = e
		for _, sub := range e.Subsegments {
			list(sub)
		}
	}
	for _, l := range [][]struct{ Document *entity }{answer.Segments, answer.Orphans} {
		for _, d := range l {
			list(d.Document)
		}
	}
	return all
}

func getJSON(t *testing.T, url string, into any) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode == http.StatusOK {
		err = json.Unmarshal(body, into)
	}
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v: %s", url, resp.Status, err, body)
	}
}

// TestOpenTelemetrySDKs runs the programs over every protocol that their exporters
// have, against both ports of OpenTelemetry and the port of everything else.
func TestOpenTelemetrySDKs(t *testing.T) {
	for _, p := range otelPrograms {
		t.Run(p.name, func(t *testing.T) {
			p.command(t) // a missing tool skips before a server is started
			ports := []string{process.FreeAddress(t), process.FreeAddress(t)}
			s := serve(t, "--otlp-grpc", ports[0], "--otlp-http", ports[1])
			servers := append(ports, s.Address)
			for i, protocol := range p.protocols {
				r := p.run(t, protocol, servers[i%len(servers)], "")
				all := entities(t, s.URL, r.TraceID)
				server, check, client := all[">orders"], all["orders>check"], all["check>stock"]
				if server == nil || check == nil || client == nil {
					t.Fatalf("%s: the trace has %v", protocol, all)
				}
				if server.HTTP.Request.Method != "POST" || server.HTTP.Request.URL != "http://orders.example.com/orders" || server.HTTP.Response.Status != 201 {
					t.Errorf("%s: http of the server is %+v", protocol, server.HTTP)
				}
				if client.Namespace != "remote" || client.ID != r.Client || client.HTTP.Request.URL != "http://stock/items" {
					t.Errorf("%s: the client is %+v", protocol, client)
				}
				if !check.Fault || len(check.Cause.Exceptions) != 1 || !strings.Contains(check.Cause.Exceptions[0].Message, "no such voucher") {
					t.Errorf("%s: the exception is %+v", protocol, check.Cause)
				} else if e := check.Cause.Exceptions[0]; e.Type == "" || len(e.Stack) == 0 || e.Stack[0].Path == "" || e.Stack[0].Line == 0 {
					t.Errorf("%s: the exception has type %q and stack %+v", protocol, e.Type, e.Stack)
				}
			}
		})
	}
}

// traceText returns a trace as /api/traces gives it, "" when it is not stored.
func (s *server) traceText(t *testing.T, client *http.Client, token, id string) string {
	t.Helper()
	parsed, err := segment.ParseAnyTraceID(id)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/api/traces/"+parsed.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err == nil && resp.StatusCode == http.StatusOK:
		return string(body)
	case err != nil || resp.StatusCode != http.StatusNotFound:
		t.Fatalf("%s: %v %s", resp.Status, err, body)
	}
	return ""
}

// TestOpenTelemetryKeys has the programs send to a server with TLS and keys, as the variables
// of OpenTelemetry tell them: over every protocol, to each of its ports.
func TestOpenTelemetryKeys(t *testing.T) {
	for _, p := range otelPrograms {
		t.Run(p.name, func(t *testing.T) {
			p.command(t)
			f := makeKeys(t)
			ports := []string{process.FreeAddress(t), process.FreeAddress(t)}
			s, ca := serveTLS(t, "--keys", f.path, "--otlp-grpc", ports[0], "--otlp-http", ports[1])
			stored := func(id string) bool {
				return strings.Contains(s.traceText(t, ca.Client(), f.keys["reader"].Bearer, id), `"stock"`)
			}
			variables := func(server, key string) []string {
				// Node's fetch has a list of authorities of its own, and where the last is set
				// Python's HTTP library heeds it alone.
				return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=https://" + server, "OTEL_EXPORTER_OTLP_CERTIFICATE=" + ca.File, "NODE_EXTRA_CA_CERTS=" + ca.File, "REQUESTS_CA_BUNDLE=" + ca.File,
					"OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20" + f.keys[key].Bearer, "OTEL_EXPORTER_OTLP_TIMEOUT=10000"}
			}
			for _, protocol := range p.protocols {
				for _, server := range append(ports, s.Address) {
					if id := p.run(t, protocol, "-", "", variables(server, "writer")...).TraceID; !stored(id) {
						t.Errorf("%s to %s: the trace is not stored", protocol, server)
					}
				}
			}
			for _, key := range []string{"reader", "revoked"} {
				if id := p.run(t, p.protocols[0], "-", "", variables(ports[0], key)...).TraceID; stored(id) {
					t.Errorf("the %s key stored spans", key)
				}
			}
			if p.name != "go" {
				return
			}
			signed := func(server, key string) []string {
				return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=https://" + server, "OTEL_EXPORTER_OTLP_CERTIFICATE=" + ca.File,
					"AWS_ACCESS_KEY_ID=" + f.keys[key].ID, "AWS_SECRET_ACCESS_KEY=" + f.keys[key].Secret, "AWS_REGION=eu-west-1"}
			}
			for _, server := range append(ports, s.Address) {
				if id := p.run(t, "http/protobuf+sigv4", "-", "", signed(server, "writer")...).TraceID; !stored(id) {
					t.Errorf("signed, to %s: the trace is not stored", server)
				}
				if id := p.run(t, "http/protobuf+sigv4", "-", "", signed(server, "reader")...).TraceID; stored(id) {
					t.Errorf("signed with a key that may only read, to %s: the trace is stored", server)
				}
			}
		})
	}
}

// TestMixedTraces lets a program with an X-Ray SDK call one with an OpenTelemetry SDK,
// which calls one with an X-Ray SDK again: one trace and one graph.
func TestMixedTraces(t *testing.T) {
	xray := python(t)
	for _, p := range otelPrograms {
		t.Run(p.name, func(t *testing.T) {
			p.command(t)
			port := process.FreeAddress(t)
			s := serve(t, "--otlp-grpc", port)
			env := environment("AWS_XRAY_DAEMON_ADDRESS=" + s.Address)
			header := strings.TrimSpace(program(t, env, xray, "python/mixed.py", "front"))
			h, err := segment.ParseTraceHeader(header)
			if err != nil {
				t.Fatalf("%q: %v", header, err)
			}
			traceparent, err := h.Traceparent()
			if err != nil {
				t.Fatal(err)
			}
			r := p.run(t, p.protocols[0], port, traceparent)
			if r.TraceID != h.Root.W3C() {
				t.Fatalf("the trace goes on as %s, it was %s", r.TraceID, h.Root.W3C())
			}
			onward, err := segment.ParseTraceparent("00-" + r.TraceID + "-" + r.Client + "-01")
			if err != nil {
				t.Fatal(err)
			}
			program(t, env, xray, "python/mixed.py", "back", onward.String())
			var all map[string]*entity
			eventually(t, "all six are there", func() bool {
				all = entities(t, s.URL, h.Root.String())
				return len(all) == 6
			})
			for _, want := range []string{">front", "front>orders", "orders>orders", "orders>check", "check>stock", "stock>stock"} {
				if all[want] == nil {
					t.Errorf("the trace lacks %s: %v", want, all)
				}
			}
			eventually(t, "the graph is connected", func() bool {
				var graph struct {
					Services []struct {
						Name  string
						Edges []struct{ ReferenceId int }
					}
				}
				_, _, body := s.call(t, "/TraceGraph", `{"TraceIds":["`+h.Root.String()+`"]}`)
				if err := json.Unmarshal([]byte(body), &graph); err != nil {
					t.Fatalf("%v in %s", err, body)
				}
				names := make(map[string]int)
				for _, svc := range graph.Services {
					names[svc.Name] += len(svc.Edges)
				}
				return names["front"] == 2 && names["orders"] == 1 && names["stock"] == 0 && len(names) == 3
			})
		})
	}
}
