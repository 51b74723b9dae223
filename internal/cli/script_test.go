package cli

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/roentgen-io/roentgen/test/process"
)

// TestMain lets scripts run this test binary as roentgen.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"roentgen": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			context.AfterFunc(ctx, stop)
			os.Exit(Main(ctx, &Env{
				Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
				Getenv: os.Getenv, Environ: os.Environ, Version: "v1.2.3-script",
			}, os.Args[1:]))
		},
	})
}

// TestScripts runs testdata/*.txt. $ADDRESS and $OTHER have ports that are free
// for TCP and UDP.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("ADDRESS", process.FreeAddress(t))
			e.Setenv("OTHER", process.FreeAddress(t))
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" { // whom file permissions do not stop
				return os.Geteuid() == 0, nil
			}
			return false, errors.New("unknown condition")
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":   scriptStatus,
			"ready":    scriptReady,
			"occupy":   scriptOccupy,
			"readonly": scriptReadOnly,
		},
	})
}

// scriptStatus runs a command that must end with an exit status: status N COMMAND ARGS...
func scriptStatus(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if neg || err != nil {
		ts.Fatalf("usage: status N COMMAND ARGS...")
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// scriptReady waits until the server at an address is ready.
func scriptReady(ts *testscript.TestScript, neg bool, args []string) {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for range 3000 {
		res, err := client.Get("http://" + args[0] + "/-/ready")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("%s is not ready", args[0])
}

// scriptOccupy takes a port until the script ends: occupy tcp|udp ADDRESS.
func scriptOccupy(ts *testscript.TestScript, neg bool, args []string) {
	if args[0] == "tcp" {
		l, err := net.Listen("tcp", args[1])
		ts.Check(err)
		ts.Defer(func() { l.Close() })
		return
	}
	p, err := net.ListenPacket("udp", args[1])
	ts.Check(err)
	ts.Defer(func() { p.Close() })
}

// scriptReadOnly takes away the permission to write into a folder.
func scriptReadOnly(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.Chmod(dir, 0o555))
	ts.Defer(func() { ts.Check(os.Chmod(dir, 0o755)) })
}
