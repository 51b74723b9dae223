package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/roentgen-io/roentgen/internal/demo"
)

func TestDemoScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/demo",
		Setup: func(e *testscript.Env) error {
			dir := e.WorkDir + "/tmp"
			e.Setenv("TMPDIR", dir)
			return os.MkdirAll(dir, 0o755)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"roentgen": func(ts *testscript.TestScript, neg bool, args []string) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				status := Main(ctx, &Env{Stdin: strings.NewReader(""), Stdout: ts.Stdout(), Stderr: ts.Stderr(), Getenv: ts.Getenv}, args)
				if ctx.Err() != nil {
					ts.Fatalf("it did not end")
				}
				if neg && status != 2 || !neg && status != 0 {
					ts.Fatalf("exit status %d", status)
				}
			},
			"empty": func(ts *testscript.TestScript, _ bool, args []string) {
				entries, err := os.ReadDir(args[0])
				ts.Check(err)
				if len(entries) > 0 {
					ts.Fatalf("%s holds %v", args[0], entries)
				}
			},
		},
	})
}

func TestDemoStatus(t *testing.T) {
	noon := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	past := demo.ImportStatus{From: noon.Add(-time.Hour), To: noon, At: noon.Add(-15 * time.Minute), Sent: 300_000, Took: 6 * time.Second}
	for _, c := range []struct {
		status demo.Status
		want   string
	}{
		{demo.Status{}, "0 requests, 0 failed, 0 throttled; 0 documents sent, 0 refused"},
		{demo.Status{Requests: 1240, Faults: 3, Throttles: 9, Sent: 5_310_000, Refused: 2, Import: past},
			"1,240 requests, 3 failed, 9 throttled; 5,310,000 documents sent, 2 refused; history 75 %"},
		{demo.Status{Requests: 12, Sent: 40, Failed: 1000, LastError: "connection refused", Skipped: 1},
			"12 requests, 0 failed, 0 throttled; 40 documents sent, 0 refused, 1,000 not delivered (connection refused); fell behind 1 times"},
	} {
		if got := demoStatus(c.status); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	done := past
	done.Done, done.At = true, noon
	if got, want := importResult(done), "1h of history: 300,000 documents imported in 6.0 s, 50,000 a second"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	past.Done, past.Err = true, errors.New("the server answered 507: disk full")
	if got, want := importResult(past), "1h of history: 300,000 documents imported in 6.0 s, 50,000 a second; the import ended at 75 %: the server answered 507: disk full"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDemoHints(t *testing.T) {
	now := time.Unix(1_773_489_600, 0)
	got := demoHints("bin/roentgen", "http://127.0.0.1:2100", demo.Examples{Order: "1-a", Failed: "1-b", Running: "1-c"}, now)
	for _, want := range []string{
		"bin/roentgen traces --endpoint http://127.0.0.1:2100\n",
		"bin/roentgen trace 1-a --endpoint", "bin/roentgen trace 1-b --endpoint", "bin/roentgen trace 1-c --endpoint",
		`curl -s http://127.0.0.1:2100/Traces -d '{"TraceIds":["1-a"]}'`,
		"AWS_ENDPOINT_URL_XRAY=http://127.0.0.1:2100", "--start-time 1773489000 --end-time 1773493200",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	got = demoHints("roentgen", defaultEndpoint, demo.Examples{}, now)
	if strings.Contains(got, "--endpoint") || strings.Contains(got, "roentgen trace ") || !strings.Contains(got, "roentgen traces\n") {
		t.Errorf("without examples, on the usual port:\n%s", got)
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -999: "-999"} {
		if got := grouped(n); got != want {
			t.Errorf("grouped(%d) = %s, want %s", n, got, want)
		}
	}
}

// What others print goes above the status, which is written anew.
func TestStatusLine(t *testing.T) {
	var out bytes.Buffer
	s := &statusLine{w: &out, width: 30}
	s.show("first")
	fmt.Fprintln(s, "a line of the log")
	s.show("second, which is longer than the terminal")
	s.clear()
	clock := time.Now().Format("15:04:05")
	got := out.String()
	for _, part := range []string{"  first", "\r\x1b[Ka line of the log\n", "  second, which is l…", "\r\x1b[K"} {
		i := strings.Index(got, part)
		if i < 0 {
			t.Fatalf("no %q in the rest of the output: %q (about %s)", part, got, clock)
		}
		got = got[i+len(part):]
	}
	if got != "" {
		t.Errorf("%q is left on the line", got)
	}

	out.Reset()
	s = &statusLine{w: &out}
	s.show("first")
	s.show("second \x1b[31m")
	s.clear()
	if got := out.String(); strings.Count(got, "\n") != 2 || strings.Contains(got, "\x1b") || strings.Contains(got, "\r") {
		t.Errorf("without a terminal: %q", got)
	}
}
