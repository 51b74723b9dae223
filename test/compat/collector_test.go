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

// TestCollectorInFront has a Collector take spans of the SDK and send them on, set up as the
// documentation says: over gRPC, and over HTTP to a server with TLS and keys.
func TestCollectorInFront(t *testing.T) {
	path, err := collector()
	if err != nil {
		t.Fatalf("building test/compat/collector: %v", err)
	}
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
			dir := t.TempDir()
			in := []string{process.FreeAddress(t), process.FreeAddress(t)}
			rest := fmt.Sprintf("receivers:\n  otlp:\n    protocols:\n      grpc: {endpoint: %q}\n      http: {endpoint: %q}\nservice:\n  telemetry: {metrics: {level: none}}\n", in[0], in[1])
			args := []string{}
			for name, text := range map[string]string{"exporter.yaml": c.exporter, "rest.yaml": rest} {
				file := filepath.Join(dir, name)
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "--config", "file:"+file)
			}
			var log process.Output
			cmd := exec.Command(path, args...)
			cmd.Stdout, cmd.Stderr, cmd.Env = &log, &log, environment()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			t.Cleanup(func() {
				_ = cmd.Process.Signal(syscall.SIGTERM)
				if err := <-ended; err != nil {
					t.Errorf("the collector ended with %v", err)
				}
				if t.Failed() {
					t.Logf("the collector's log:\n%s", log.String())
				}
			})
			eventually(t, "the collector is ready", func() bool { return strings.Contains(log.String(), "Everything is ready") })
			for i, protocol := range []string{"grpc", "http/protobuf"} {
				r := program.run(t, protocol, in[i], "")
				eventually(t, "the trace is stored", func() bool {
					return strings.Contains(c.into.traceText(t, ca.Client(), f.keys["reader"].Bearer, r.TraceID), `"stock"`)
				})
			}
		})
	}
}
