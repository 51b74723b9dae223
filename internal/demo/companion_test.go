package demo

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// The test binary stands for the companion when this variable is set.
const companionMode = "ROENTGEN_DEMO_TEST_COMPANION"

func init() {
	switch os.Getenv(companionMode) {
	case "":
		return
	case "fails":
		fmt.Fprintln(os.Stderr, "no stock")
		os.Exit(3)
	case "waits":
		fmt.Println(os.Getenv("AWS_XRAY_DAEMON_ADDRESS"), os.Getenv("ROENTGEN_DEMO_SEED"), os.Args[1:])
		_, _ = io.Copy(io.Discard, os.Stdin)
		fmt.Println("standard input ended")
		os.Exit(0)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestCompanionEndsWithUs(t *testing.T) {
	t.Setenv(companionMode, "waits")
	var out lockedBuffer
	c, err := StartCompanion(os.Args[0]+" one two", "127.0.0.1:2999", 42, &out)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(out.String(), "\n") && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	select {
	case <-c.Done():
		t.Fatalf("it ended early: %v, %s", c.Err(), out.String())
	default:
	}
	c.Close()
	if c.Err() != nil {
		t.Errorf("it ended with %v", c.Err())
	}
	if got, want := out.String(), "demo.test: 127.0.0.1:2999 42 [one two]\ndemo.test: standard input ended\n"; got != want {
		t.Errorf("output %q, want %q", got, want)
	}
}

func TestCompanionFails(t *testing.T) {
	t.Setenv(companionMode, "fails")
	var out lockedBuffer
	c, err := StartCompanion(os.Args[0], "127.0.0.1:2999", 1, &out)
	if err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	c.Close()
	if c.Err() == nil || !strings.Contains(c.Err().Error(), "status 3") || out.String() != "demo.test: no stock\n" {
		t.Errorf("error %v, output %q", c.Err(), out.String())
	}
	if _, err := StartCompanion("/nonexistent/program", "", 1, &out); err == nil {
		t.Error("a program that does not exist was started")
	}
	if _, err := StartCompanion(" ", "", 1, &out); err == nil {
		t.Error("an empty command was started")
	}
}
