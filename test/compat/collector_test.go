package compat

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/roentgen-io/roentgen/test/process"
)

// collector builds the OpenTelemetry Collector, once.
var collector = builds("collector", ".", "collector")

// documented returns the first block of YAML below a line of docs/opentelemetry.md.
func documented(t *testing.T, line string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/opentelemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), line)
	_, rest, begun := strings.Cut(rest, "```yaml\n")
	block, _, ended := strings.Cut(rest, "```")
	if !found || !begun || !ended {
		t.Fatalf("docs/opentelemetry.md has no YAML below %q", line)
	}
	return block
}

// collectorRun is a Collector that takes OTLP, and may be started again and again.
type collectorRun struct {
	addresses [2]string // for gRPC and HTTP
	args      []string

	cmd   *exec.Cmd
	log   *process.Output
	ended chan error
}

// newCollector sets up a Collector with exporters and the pipelines for them, in YAML.
func newCollector(t *testing.T, exporters string) *collectorRun {
	t.Helper()
	path, err := collector()
	if err != nil {
		t.Fatalf("building test/compat/collector: %v", err)
	}
	dir := t.TempDir()
	c := &collectorRun{addresses: [2]string{process.FreeAddress(t), process.FreeAddress(t)}, args: []string{path}}
	rest := fmt.Sprintf("receivers:\n  otlp:\n    protocols:\n      grpc: {endpoint: %q}\n      http: {endpoint: %q}\nservice:\n  telemetry: {metrics: {level: none}}\n", c.addresses[0], c.addresses[1])
	for name, text := range map[string]string{"exporter.yaml": exporters, "rest.yaml": rest} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c.args = append(c.args, "--config", "file:"+file)
	}
	t.Cleanup(func() { c.stop(t) })
	return c
}

// start runs it and waits until it is ready.
func (c *collectorRun) start(t *testing.T) {
	t.Helper()
	c.log, c.ended = &process.Output{}, make(chan error, 1)
	c.cmd = exec.Command(c.args[0], c.args[1:]...)
	c.cmd.Stdout, c.cmd.Stderr, c.cmd.Env = c.log, c.log, environment()
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { c.ended <- c.cmd.Wait() }()
	eventually(t, "the collector is ready", func() bool { return strings.Contains(c.log.String(), "Everything is ready") })
}

// stop has it end in good order, if it runs.
func (c *collectorRun) stop(t *testing.T) {
	t.Helper()
	if c.ended == nil {
		return
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	if err := <-c.ended; err != nil {
		t.Errorf("the collector ended with %v", err)
	}
	if t.Failed() {
		t.Logf("the collector's log:\n%s", c.log.String())
	}
	c.ended = nil
}

// kill ends it as kill -9 does.
func (c *collectorRun) kill() {
	_ = c.cmd.Process.Kill()
	_ = <-c.ended
	c.ended = nil
}

// TestCollectorInFront has a Collector take spans of the SDK and send them on, set up as the
// documentation says: over gRPC, and over HTTP to a server with TLS and keys.
func TestCollectorInFront(t *testing.T) {
	program := otelPrograms[0]
	ports := []string{process.FreeAddress(t), process.FreeAddress(t)}
	plain := serve(t, "--otlp-grpc", ports[0])
	f := makeKeys(t)
	locked, ca := serveTLS(t, "--keys", f.path, "--otlp-http", ports[1])
	for _, c := range []struct {
		name, exporter string
		into           *server
	}{
		{"gRPC", strings.NewReplacer("127.0.0.1:4317", ports[0]).Replace(documented(t, "In front of Roentgen, with OTLP:")), plain},
		{"HTTP", strings.NewReplacer("roentgen:4318", ports[1], "/etc/roentgen/ca.crt", ca.File, "ID.SECRET", f.keys["writer"].Bearer).Replace(documented(t, "Over HTTP, to a server with TLS and keys:")), locked},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := newCollector(t, c.exporter)
			in.start(t)
			for i, protocol := range []string{"grpc", "http/protobuf"} {
				r := program.run(t, protocol, in.addresses[i], "")
				eventually(t, "the trace is stored", func() bool {
					return strings.Contains(c.into.traceText(t, ca.Client(), f.keys["reader"].Bearer, r.TraceID), `"stock"`)
				})
			}
		})
	}
}
