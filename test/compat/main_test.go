package compat

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/test/process"
)

var update = flag.Bool("update", false, "write golden files and captured datagrams anew")

var scratch string // a folder that TestMain removes

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "roentgen-compat-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	scratch = dir
	return process.Main(m)
}

// missing ends a test that lacks a client: as a failure in CI, where everything
// must have been installed, as a skipped test elsewhere.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing, and CI is true: run `make tools`", what)
	}
	t.Skipf("SKIPPED: %s is missing; install it with `make tools`", what)
}

// python returns the interpreter that has the Python clients.
func python(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		missing(t, "the virtual environment .venv with the Python clients")
	}
	return path
}

// node returns the interpreter of JavaScript, once its packages are there.
func node(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		missing(t, "node")
	}
	if _, err := os.Stat("node_modules/aws-xray-sdk-core"); err != nil {
		missing(t, "test/compat/node_modules with the Node clients")
	}
	return path
}

// goSDK builds the program that uses the X-Ray SDK for Go, once.
var goSDK = builds("go-sdk", ".", "go-sdk")

// builds returns what builds a program of a module beside the tests, once, and tells its path.
func builds(module, pkg, name string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		path := filepath.Join(scratch, name)
		build := exec.Command("go", "build", "-trimpath", "-o", path, pkg)
		build.Dir = module
		if out, err := build.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%w\n%s", err, out)
		}
		return path, nil
	})
}

// environment is the environment of a client: that of the test, less what would
// lead an AWS client elsewhere, with credentials that mean nothing.
func environment(more ...string) []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "AWS_") || name == "_X_AMZN_TRACE_ID" || name == "LAMBDA_TASK_ROOT" ||
			strings.HasSuffix(strings.ToLower(name), "_proxy") {
			continue
		}
		env = append(env, kv)
	}
	env = append(env,
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_REGION=eu-west-1", "AWS_DEFAULT_REGION=eu-west-1",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"PYTHONDONTWRITEBYTECODE=1", "NODE_NO_WARNINGS=1")
	return append(env, more...)
}

// server is a running roentgen.
type server struct {
	*process.Server
	bearer string // the token of a key to read with; "" when the server wants none
}

// serve starts a server on a free port and stops it when the test ends. It fails
// the test if the server does not become ready or does not end well.
func serve(t *testing.T, flags ...string) *server {
	t.Helper()
	return stopped(t, process.Serve(t, t.TempDir(), flags...))
}

// stopped stops a server when the test ends, and fails the test if it does not
// end well.
func stopped(t *testing.T, s *process.Server) *server {
	t.Cleanup(func() {
		s.Signal(t, syscall.SIGTERM)
		if state := s.Wait(t); !state.Success() {
			t.Errorf("the server ended with %v", state)
		}
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.Output)
		}
	})
	return &server{Server: s}
}

// call posts a JSON body to a path of the API and returns status, headers and body.
func (s *server) call(t *testing.T, path, body string, header ...string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(answer)
}

// traceAnswer is a trace as BatchGetTraces gives it.
type traceAnswer struct {
	ID            string `json:"Id"`
	Duration      *float64
	LimitExceeded *bool
	Segments      []struct {
		ID       string `json:"Id"`
		Document string
	}
}

// get reads one trace; ok is false when the server does not know it.
func (s *server) get(t *testing.T, id string) (trace traceAnswer, ok bool) {
	t.Helper()
	body, _ := json.Marshal(map[string]any{"TraceIds": []string{id}})
	status, _, answer := s.call(t, "/Traces", string(body), "Content-Type", "application/json")
	if status != http.StatusOK {
		t.Fatalf("BatchGetTraces: %d %s", status, answer)
	}
	var out struct{ Traces []traceAnswer }
	if err := json.Unmarshal([]byte(answer), &out); err != nil {
		t.Fatal(err)
	}
	if len(out.Traces) == 0 {
		return traceAnswer{}, false
	}
	return out.Traces[0], true
}

// eventually calls done until it is true, for things that arrive by UDP.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	within(t, 20*time.Second, what, done)
}

func within(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// program runs a client to its end and returns what it printed. What it says on
// standard error is logged when it fails.
func program(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = env
	// What the program itself started may outlive it and hold its output open.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String()
}
