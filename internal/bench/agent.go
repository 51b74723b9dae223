package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// AgentCase is a load on an agent, or on the X-Ray daemon in its place.
type AgentCase struct {
	Way       string // udp or http
	Size      int
	Clients   int
	Rate      int // documents/s; 0: as fast as they are taken
	Documents int // 0: by time
	Duration  time.Duration
	Latency   time.Duration // of each call to the API behind the agent
	Outage    time.Duration // the API refuses connections for so long from the middle of the load on
	SpoolSize string
}

func (c AgentCase) String() string {
	pace := "unpaced"
	if c.Rate > 0 {
		pace = fmt.Sprintf("%d/s", c.Rate)
	}
	text := fmt.Sprintf("%s, %d B, %s, API %s", strings.ToUpper(c.Way), c.Size, pace, c.Latency)
	if c.Documents > 0 {
		text += fmt.Sprintf(", burst of %d", c.Documents)
	}
	if c.Outage > 0 {
		text += fmt.Sprintf(", away for %s", c.Outage)
	}
	return text
}

// AgentResult is what a case came to.
type AgentResult struct {
	Case         AgentCase
	Sent         int     // by the generator: taken by the kernel, or acknowledged
	Delivered    int     // to the API
	PerSecond    float64 // delivered, until the last one, outage left out
	PerCPUSecond float64 // delivered per second of the agent's CPU
	IdleBytes    int64
	PeakBytes    int64         // resident
	CatchUp      time.Duration // from the end of the load, or of the outage, to the last document
	Added        time.Duration // median time from sending to the API's having read it, of single documents at rest
	AddedMost    time.Duration
}

// AgentBench measures agents.
type AgentBench struct {
	Binary  string // roentgen
	Daemon  string // the X-Ray daemon's binary, "": roentgen agent
	Type    string // destination of roentgen agent: aws or roentgen
	Scratch string
	Log     io.Writer
}

// AgentMatrix is the standard set of cases.
func AgentMatrix(d time.Duration) []AgentCase {
	var cases []AgentCase
	for _, latency := range []time.Duration{0, 40 * time.Millisecond} {
		for _, rate := range []int{20_000, 40_000, 60_000, 80_000, 100_000} {
			cases = append(cases, AgentCase{Way: "udp", Size: 600, Clients: 2, Rate: rate, Duration: d, Latency: latency})
		}
	}
	return append(cases,
		AgentCase{Way: "udp", Size: 600, Clients: 1, Rate: 100_000, Documents: 50_000},
		AgentCase{Way: "udp", Size: 600, Clients: 1, Documents: 50_000},
		AgentCase{Way: "http", Size: 1000, Clients: 8, Duration: d},
		AgentCase{Way: "udp", Size: 600, Clients: 2, Rate: 20_000, Duration: max(d, 15*time.Second), Outage: 5 * time.Second},
	)
}

// api is a stand-in for the API behind an agent: it counts documents and can be away.
type api struct {
	latency time.Duration
	count   atomic.Int64
	last    atomic.Int64 // unix nanoseconds of the last document's arrival
	address string
	server  *http.Server
	mu      sync.Mutex
	waiting map[string]chan time.Time // by a text that a document holds
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	buf := apiBuffers.Get().(*bytes.Buffer)
	buf.Reset()
	defer apiBuffers.Put(buf)
	if _, err := buf.ReadFrom(r.Body); err != nil {
		return
	}
	now := time.Now()
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path != "/TraceSegments" {
		io.WriteString(w, "{}")
		return
	}
	// Every document of the generator has one trace id; nested ones have none.
	n := bytes.Count(buf.Bytes(), []byte(`trace_id\":`))
	if n > 0 && n < 10 {
		a.mu.Lock()
		for text, c := range a.waiting {
			if bytes.Contains(buf.Bytes(), []byte(text)) {
				c <- now
				delete(a.waiting, text)
			}
		}
		a.mu.Unlock()
	}
	if a.latency > 0 {
		time.Sleep(a.latency)
	}
	a.count.Add(int64(n))
	a.last.Store(now.UnixNano())
	io.WriteString(w, `{"UnprocessedTraceSegments":[]}`)
}

var apiBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func (a *api) start() error {
	ln, err := net.Listen("tcp4", a.address)
	if err != nil {
		return err
	}
	a.address = ln.Addr().String()
	a.server = &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second}
	go a.server.Serve(ln)
	return nil
}

func (a *api) stop() { a.server.Close() }

// Run measures one case.
func (b *AgentBench) Run(ctx context.Context, c AgentCase) (*AgentResult, error) {
	dir, err := os.MkdirTemp(b.Scratch, "bench-agent-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	back := &api{latency: c.Latency, address: "127.0.0.1:0", waiting: make(map[string]chan time.Time)}
	if err := back.start(); err != nil {
		return nil, err
	}
	defer func() { back.stop() }()
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	address := "127.0.0.1:" + strconv.Itoa(port)
	cmd, err := b.command(ctx, dir, address, back.address, c)
	if err != nil {
		return nil, err
	}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ends is no figure
		close(ended)
	}()
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-ended:
		case <-time.After(15 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	}()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp4", address)
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("the agent does not listen:\n%s", output.String())
		}
	}
	pid := cmd.Process.Pid
	out := &AgentResult{Case: c}
	time.Sleep(time.Second)
	out.IdleBytes, _, _ = Memory(pid)
	if out.Added, out.AddedMost, err = b.added(back, address); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, output.String())
	}
	time.Sleep(c.Latency + 200*time.Millisecond) // the last of them is counted after its answer
	base := back.count.Load()
	before, err := CPU(pid)
	if err != nil {
		return nil, err
	}
	ResetPeak(pid)
	l := Load{Endpoint: "http://" + address, UDP: c.Way == "udp", Size: c.Size, Batch: 50, Clients: c.Clients, Rate: c.Rate, Documents: c.Documents, Seed: 1}
	if c.Documents == 0 {
		l.Duration = c.Duration
	}
	var outage sync.WaitGroup
	back2 := make(chan error, 1)
	var returned time.Time
	if c.Outage > 0 {
		outage.Go(func() {
			time.Sleep(c.Duration / 3)
			back.stop()
			time.Sleep(c.Outage)
			back2 <- back.start()
			returned = time.Now()
		})
	}
	began := time.Now()
	r, err := Run(ctx, l)
	if err != nil {
		return nil, err
	}
	end := time.Now()
	outage.Wait()
	if c.Outage > 0 {
		if err := <-back2; err != nil {
			return nil, err
		}
		if returned.After(end) {
			end = returned
		}
	}
	out.Sent = r.Documents
	// The agent may wait up to 10 s until it tries again whether the API is back.
	for seen, quiet := int64(-1), time.Now(); ; time.Sleep(20 * time.Millisecond) {
		n := back.count.Load() - base
		if n != seen {
			seen, quiet = n, time.Now()
		}
		if n >= int64(out.Sent) || time.Since(quiet) > 12*time.Second || ctx.Err() != nil {
			break
		}
	}
	last := time.Unix(0, back.last.Load())
	out.Delivered = int(back.count.Load() - base)
	out.CatchUp = max(0, last.Sub(end))
	out.PerSecond = float64(out.Delivered) / (last.Sub(began) - c.Outage).Seconds()
	after, err := CPU(pid)
	if err != nil {
		return nil, err
	}
	out.PerCPUSecond = float64(out.Delivered) / (after - before).Seconds()
	_, out.PeakBytes, _ = Memory(pid)
	if b.Log != nil && (out.Delivered != out.Sent || out.CatchUp > 10*time.Second) {
		fmt.Fprintf(b.Log, "the agent said:\n%s", output.String())
	}
	return out, ctx.Err()
}

func (b *AgentBench) command(ctx context.Context, dir, address, behind string, c AgentCase) (*exec.Cmd, error) {
	environment := append(os.Environ(), "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=bench", "AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true")
	file := filepath.Join(dir, "cfg.yaml")
	text := fmt.Sprintf("Version: 2\nEndpoint: http://%s\nLocalMode: true\n", behind)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	args := []string{"-c", file, "-b", address, "-t", address, "-o"}
	if b.Daemon != "" {
		cmd := exec.CommandContext(ctx, b.Daemon, append(args, "-l", "error")...)
		cmd.Env, cmd.Dir = environment, dir
		return cmd, nil
	}
	args = append([]string{"agent"}, args...)
	args = append(args, "--spool-dir", filepath.Join(dir, "spool"))
	if c.SpoolSize != "" {
		args = append(args, "--spool-size", c.SpoolSize)
	}
	if b.Type == "roentgen" {
		args = append(args, "--to", "http://"+behind)
	}
	cmd := exec.CommandContext(ctx, b.Binary, args...)
	cmd.Env, cmd.Dir = environment, dir
	return cmd, nil
}

// added measures single documents at rest, from sending to the API's having them.
func (b *AgentBench) added(back *api, address string) (median, most time.Duration, err error) {
	conn, err := net.Dial("udp4", address)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	var list []time.Duration
	for i := range 20 {
		text := fmt.Sprintf("probe-%d-%d", i, time.Now().UnixNano())
		c := make(chan time.Time, 1)
		back.mu.Lock()
		back.waiting[text] = c
		back.mu.Unlock()
		now := time.Now()
		doc := fmt.Sprintf("{\"format\":\"json\",\"version\":1}\n{\"trace_id\":\"1-%08x-%024x\",\"id\":\"%016x\",\"name\":%q,\"start_time\":%d,\"end_time\":%d.5}", now.Unix(), i, i+1, text, now.Unix(), now.Unix())
		if _, err := conn.Write([]byte(doc)); err != nil {
			return 0, 0, err
		}
		select {
		case at := <-c:
			list = append(list, at.Sub(now))
		case <-time.After(10 * time.Second):
			return 0, 0, errors.New("a single document does not arrive")
		}
	}
	p50, _, most := percentiles(list)
	return p50, most, nil
}

// AgentMarkdown writes results as a table.
func AgentMarkdown(w io.Writer, results []AgentResult) {
	fmt.Fprintln(w, "| load | sent | delivered | lost | delivered/s | per agent CPU s | catching up | idle memory | peak memory | latency added, median (most) |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|")
	for _, r := range results {
		lost := 100 * float64(r.Sent-r.Delivered) / float64(max(1, r.Sent))
		fmt.Fprintf(w, "| %s | %d | %d | %.2f %% | %.1f k | %.1f k | %.2f s | %.1f MB | %.1f MB | %.1f (%.1f) ms |\n", r.Case, r.Sent, r.Delivered, lost,
			r.PerSecond/1e3, r.PerCPUSecond/1e3, r.CatchUp.Seconds(), float64(r.IdleBytes)/1e6, float64(r.PeakBytes)/1e6, r.Added.Seconds()*1e3, r.AddedMost.Seconds()*1e3)
	}
}
