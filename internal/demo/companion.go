package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Companion is a program that runs beside the shop and sends segments of its
// own, for instance one that is instrumented with a real SDK.
//
// It finds the server through AWS_XRAY_DAEMON_ADDRESS and the shop's seed in
// ROENTGEN_DEMO_SEED. Its standard input is a pipe that nothing is written to:
// it ends when the parent does, however that dies, and a companion should end
// with it.
type Companion struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines sync.WaitGroup
	done  chan struct{} // closed when the program has ended
	err   error         // how; read after done
}

// companionGrace is how long a companion may take to end by itself.
const companionGrace = 3 * time.Second

// StartCompanion starts a command line (words separated by spaces). daemon is
// the host:port of the server. What the program prints goes to out, a line at a
// time, with the program's name in front.
func StartCompanion(command, daemon string, seed uint64, out io.Writer) (*Companion, error) {
	words := strings.Fields(command)
	if len(words) == 0 {
		return nil, errors.New("demo: a companion's command is empty")
	}
	c := &Companion{name: filepath.Base(words[0]), done: make(chan struct{})}
	c.cmd = exec.CommandContext(context.Background(), words[0], words[1:]...) // Close ends it
	c.cmd.Env = append(os.Environ(),
		"AWS_XRAY_DAEMON_ADDRESS="+daemon, "ROENTGEN_DEMO_SEED="+strconv.FormatUint(seed, 10))
	c.cmd.WaitDelay = companionGrace // a grandchild may hold the pipes open
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	c.cmd.Stdout, c.cmd.Stderr = w, w
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("demo: start companion: %w", err)
	}
	c.lines.Go(func() {
		s := bufio.NewScanner(r)
		for s.Scan() {
			fmt.Fprintf(out, "%s: %s\n", c.name, s.Text())
		}
		_, _ = io.Copy(io.Discard, r) // after an overlong line
	})
	go func() {
		c.err = c.cmd.Wait()
		_ = w.Close()
		c.lines.Wait()
		close(c.done)
	}()
	return c, nil
}

// Name returns the program's name.
func (c *Companion) Name() string { return c.name }

// Done is closed when the program has ended.
func (c *Companion) Done() <-chan struct{} { return c.done }

// Err returns how the program ended, nil when well. It may be called after Done.
func (c *Companion) Err() error { return c.err }

// Close ends the program and waits for that: it closes its standard input, then
// interrupts it, then kills it.
func (c *Companion) Close() {
	_ = c.stdin.Close()
	for _, end := range []func() error{
		func() error { return c.cmd.Process.Signal(os.Interrupt) },
		c.cmd.Process.Kill,
	} {
		t := time.NewTimer(companionGrace)
		select {
		case <-c.done:
			t.Stop()
			return
		case <-t.C:
			_ = end()
		}
	}
	<-c.done
}
