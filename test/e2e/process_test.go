package e2e

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

var build struct {
	sync.Once
	path string
	err  error
}

// binary builds cmd/roentgen once for all tests of the package and returns its path.
func binary(t testing.TB) string {
	t.Helper()
	build.Do(func() {
		dir, err := os.MkdirTemp("", "roentgen-e2e-")
		if err != nil {
			build.err = err
			return
		}
		build.path = filepath.Join(dir, "roentgen")
		cmd := exec.Command("go", "build", "-o", build.path, "github.com/roentgen-io/roentgen/cmd/roentgen")
		if out, err := cmd.CombinedOutput(); err != nil {
			build.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if build.err != nil {
		t.Fatal(build.err)
	}
	return build.path
}

func TestMain(m *testing.M) {
	status := m.Run()
	if build.path != "" {
		os.RemoveAll(filepath.Dir(build.path))
	}
	os.Exit(status)
}

// server is a running `roentgen serve`.
type server struct {
	cmd    *exec.Cmd
	url    string
	output *lockedBuffer
	exited chan struct{} // closed when the process is gone
}

// lockedBuffer collects what a process says while a test may read it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// freeAddress returns a loopback address whose port is free for TCP and UDP.
func freeAddress(t testing.TB) string {
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

// start runs `roentgen serve` over a data folder and waits until it is ready.
// The process is ended with the test.
func start(t testing.TB, dataDir string, flags ...string) *server {
	t.Helper()
	address := freeAddress(t)
	s := &server{url: "http://" + address, output: &lockedBuffer{}, exited: make(chan struct{})}
	s.cmd = exec.Command(binary(t), append([]string{"serve", "--listen", address, "--data-dir", dataDir}, flags...)...)
	home := t.TempDir() // nothing of the user's settings
	s.cmd.Dir = home
	s.cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir()}
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.cmd.Wait()
		close(s.exited)
	}()
	t.Cleanup(s.kill)
	for begin := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		select {
		case <-s.exited:
			t.Fatalf("roentgen serve ended before it was ready: %v\n%s", s.cmd.ProcessState, s.output)
		default:
		}
		if s.ready() {
			return s
		}
		if time.Since(begin) > 30*time.Second {
			s.cmd.Process.Signal(syscall.SIGQUIT) // shows where it hangs
			time.Sleep(time.Second)
			t.Fatalf("roentgen serve is not ready after 30 s:\n%s", s.output)
		}
	}
}

func (s *server) ready() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/-/ready", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// kill ends the process as kill -9 does, and waits until it is gone.
func (s *server) kill() {
	s.cmd.Process.Kill()
	<-s.exited
}
