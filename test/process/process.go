// Package process runs the real roentgen for tests: it builds the binary once,
// starts servers on free ports, waits until they are ready, and leaves none
// behind.
package process

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// readyWithin and stoppedWithin are far more than a server needs, for machines
// that are busy with other tests.
const (
	readyWithin   = 30 * time.Second
	stoppedWithin = 30 * time.Second
)

var build struct {
	sync.Once
	dir  string // removed by Main
	path string
	err  error
}

// Main runs the tests of a package, removes the binary that they built and
// returns the status to exit with.
func Main(m *testing.M) int {
	status := m.Run()
	if build.dir != "" {
		_ = os.RemoveAll(build.dir) // what stays is in the temporary folder
	}
	return status
}

// Binary returns the path of roentgen: the one that $ROENTGEN_BINARY names, a
// release say, or else cmd/roentgen, built once for all tests of a package.
func Binary(t testing.TB) string {
	t.Helper()
	build.Do(func() {
		if build.path = os.Getenv("ROENTGEN_BINARY"); build.path != "" {
			return
		}
		if build.dir, build.err = os.MkdirTemp("", "roentgen-test-"); build.err != nil {
			return
		}
		build.path = filepath.Join(build.dir, "roentgen")
		cmd := exec.Command("go", "build", "-o", build.path, "github.com/roentgen-io/roentgen/cmd/roentgen")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			build.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if build.err != nil {
		t.Fatal(build.err)
	}
	return build.path
}

// FreeAddress returns a loopback address whose port is free for TCP and UDP.
func FreeAddress(t testing.TB) string {
	t.Helper()
	for range 50 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		u, err := net.ListenPacket("udp", address)
		l.Close()
		if err == nil {
			u.Close()
			return address
		}
	}
	t.Fatal("no port is free for both TCP and UDP")
	return ""
}

// Output collects what a process says while a test reads it.
type Output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

// String returns all that was written so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// Server is a running `roentgen serve`.
type Server struct {
	Address string // host:port, TCP and UDP
	URL     string
	Output  *Output // what it wrote, both streams

	cmd    *exec.Cmd
	exited chan struct{}
	client *http.Client
}

// Serve runs `roentgen serve` over a data folder on a free port and waits until
// it is ready. The process is killed with the test, if it still lives then.
func Serve(t testing.TB, dataDir string, flags ...string) *Server {
	t.Helper()
	address := FreeAddress(t)
	return Start(t, address, append([]string{"serve", "--listen", address, "--data-dir", dataDir}, flags...)...)
}

// Start runs roentgen with any arguments that make it listen on address, and
// waits as Serve does.
func Start(t testing.TB, address string, args ...string) *Server {
	t.Helper()
	return await(t, Launch(t, args...), http.DefaultClient, "http", address)
}

// ServeTLS is Serve with flags that make the server speak TLS; client trusts its
// certificate.
func ServeTLS(t testing.TB, dataDir string, client *http.Client, flags ...string) *Server {
	t.Helper()
	address := FreeAddress(t)
	return await(t, Launch(t, append([]string{"serve", "--listen", address, "--data-dir", dataDir}, flags...)...), client, "https", address)
}

// Await waits until a launched process is ready at address.
func Await(t testing.TB, s *Server, address string) *Server {
	t.Helper()
	return await(t, s, http.DefaultClient, "http", address)
}

func await(t testing.TB, s *Server, client *http.Client, scheme, address string) *Server {
	t.Helper()
	s.Address, s.URL, s.client = address, scheme+"://"+address, client
	for begin := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		select {
		case <-s.exited:
			t.Fatalf("roentgen ended before it was ready: %v\n%s", s.cmd.ProcessState, s.Output)
		default:
		}
		if s.Ready() {
			return s
		}
		if time.Since(begin) > readyWithin {
			_ = s.cmd.Process.Signal(syscall.SIGQUIT) // shows where it hangs
			time.Sleep(time.Second)
			t.Fatalf("roentgen is not ready after %v:\n%s", readyWithin, s.Output)
		}
	}
}

// Launch runs roentgen with the given arguments in a folder of its own, with
// nothing of the user's settings, and waits for nothing: Address and URL are the
// caller's to set.
func Launch(t testing.TB, args ...string) *Server {
	t.Helper()
	return LaunchWith(t, nil, args...)
}

// LaunchWith is Launch with more variables in the environment, as NAME=VALUE.
func LaunchWith(t testing.TB, env []string, args ...string) *Server {
	t.Helper()
	s := &Server{Output: &Output{}, exited: make(chan struct{}), client: http.DefaultClient}
	s.cmd = exec.Command(Binary(t), args...)
	home := t.TempDir()
	s.cmd.Dir = home
	s.cmd.Env = append([]string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(),
		// The ports of OpenTelemetry are fixed, and tests run side by side: a flag names another one.
		"ROENTGEN_OTLP_GRPC=off", "ROENTGEN_OTLP_HTTP=off"}, env...)
	s.cmd.Stdout, s.cmd.Stderr = s.Output, s.Output
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait() // ProcessState tells how it ended
		close(s.exited)
	}()
	t.Cleanup(s.Kill)
	return s
}

// Ready asks the server whether it is ready.
func (s *Server) Ready() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/-/ready", nil)
	if err != nil {
		return false
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Signal sends the process a signal.
func (s *Server) Signal(t testing.TB, signal os.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		t.Fatalf("%v: %v\n%s", signal, err, s.Output)
	}
}

// PID returns the number of the process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Exited returns a channel that is closed when the process is gone.
func (s *Server) Exited() <-chan struct{} { return s.exited }

// Wait waits for the end of the process and returns how it ended. A process that
// does not end fails the test.
func (s *Server) Wait(t testing.TB) *os.ProcessState {
	t.Helper()
	select {
	case <-s.exited:
	case <-time.After(stoppedWithin):
		t.Fatalf("the process does not end:\n%s", s.Output)
	}
	return s.cmd.ProcessState
}

// Kill ends the process as kill -9 does, and waits until it is gone.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill() // it may have ended already
	<-s.exited
}
