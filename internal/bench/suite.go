package bench

import (
	"bufio"
	"context"
	"encoding/json"
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
	"syscall"
	"time"
)

// Suite measures a server binary over a matrix of loads. Each case runs on a
// server of its own with an empty folder, next to a sink that discards the same
// load right before it, so that the two can be compared as a ratio.
type Suite struct {
	Binary   string        // roentgen, which can serve and be the sink
	Scratch  string        // folder for data
	Duration time.Duration // of one load
	Sink     time.Duration // of the sink's load; 0: no sink
	Cases    []Case
	Log      io.Writer // progress for people
	// Compact, when set, brings the folder of a stopped server to its final size.
	Compact func(dir string) error
}

// Case is a cell of the matrix.
type Case struct {
	UDP       bool
	Size      int
	Batch     int
	Clients   int
	Documents int // UDP: how many to send; 0: by time
	Rate      int // 0: unpaced
}

func (c Case) String() string {
	if c.UDP {
		pace := "unpaced"
		if c.Rate > 0 {
			pace = fmt.Sprintf("%d/s", c.Rate)
		}
		return fmt.Sprintf("UDP, %d B, %d clients, %s", c.Size, c.Clients, pace)
	}
	return fmt.Sprintf("HTTP, %d B, batches of %d, %d clients", c.Size, c.Batch, c.Clients)
}

// Matrix is the standard set of cases: documents of 0.3, 1 and 10 KB, batches
// of 1 and 50, and 1, 8 and 64 clients over HTTP; paced and unpaced datagrams.
func Matrix() []Case {
	var cases []Case
	for _, size := range []int{300, 1000, 10000} {
		for _, batch := range []int{1, 50} {
			for _, clients := range []int{1, 8, 64} {
				cases = append(cases, Case{Size: size, Batch: batch, Clients: clients})
			}
		}
	}
	for _, size := range []int{300, 1000, 10000} {
		for _, clients := range []int{1, 8, 64} {
			cases = append(cases, Case{UDP: true, Size: size, Batch: 1, Clients: clients})
		}
	}
	return append(cases, Case{UDP: true, Size: 600, Batch: 1, Clients: 1, Documents: 50000, Rate: 100000})
}

// CaseResult is what a case came to. Rates are documents.
type CaseResult struct {
	Case             Case
	PerSecond        float64
	PerCPUSecond     float64 // per second of server CPU, with the work after the load
	P50, P99, Max    time.Duration
	PeakBytes        int64
	DiskPerDocument  float64 // after compaction
	Stored           int     // documents in the store
	Sent             int
	Throttled        int
	Errors           int
	FirstErr         string
	SinkPerSecond    float64
	SinkPerCPUSecond float64
	SinkReceived     int // UDP: datagrams that reached the sink
	SinkSent         int
}

// Run measures every case and calls done after each.
func (s *Suite) Run(ctx context.Context, done func(CaseResult)) error {
	for _, c := range s.Cases {
		fmt.Fprintf(s.Log, "%s\n", c)
		r, err := s.run(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
		done(*r)
	}
	return nil
}

func (s *Suite) load(c Case, endpoint string, d time.Duration) Load {
	l := Load{Endpoint: endpoint, UDP: c.UDP, Size: c.Size, Batch: max(1, c.Batch), Clients: c.Clients, Documents: c.Documents, Rate: c.Rate, Seed: 1}
	if c.Documents == 0 {
		l.Duration = d
	}
	return l
}

func (s *Suite) run(ctx context.Context, c Case) (*CaseResult, error) {
	out := &CaseResult{Case: c}
	if s.Sink > 0 {
		p, err := startProcess(ctx, s.Binary, "bench", "sink", "--listen", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		before, _ := CPU(p.pid())
		r, err := Run(ctx, s.load(c, p.endpoint, s.Sink))
		if err != nil {
			p.stop()
			return nil, err
		}
		time.Sleep(100 * time.Millisecond)
		after, _ := CPU(p.pid())
		lines := p.stop()
		out.SinkPerSecond = r.PerSecond()
		received := r.Documents
		if c.UDP {
			received = sinkCount(lines)
			out.SinkPerSecond = float64(received) / r.Elapsed.Seconds()
		}
		out.SinkSent, out.SinkReceived = r.Documents, received
		out.SinkPerCPUSecond = float64(received) / (after - before).Seconds()
	}
	dir, err := os.MkdirTemp(s.Scratch, "bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	p, err := startProcess(ctx, s.Binary, "serve", "--listen", "127.0.0.1:"+strconv.Itoa(port), "--otlp-grpc", "", "--otlp-http", "", "--data-dir", filepath.Join(dir, "data"))
	if err != nil {
		return nil, err
	}
	defer p.stop()
	before, err := CPU(p.pid())
	if err != nil {
		return nil, err
	}
	r, err := Run(ctx, s.load(c, p.endpoint, s.Duration))
	if err != nil {
		return nil, err
	}
	if err := Settle(ctx, p.pid(), time.Minute); err != nil {
		return nil, err
	}
	after, err := CPU(p.pid())
	if err != nil {
		return nil, err
	}
	_, out.PeakBytes, _ = Memory(p.pid())
	out.Stored = r.Documents
	if c.UDP {
		n, err := Metric(p.endpoint, `roentgen_ingest_documents_total{`, `source="udp"`, `result="accepted"`)
		if err != nil {
			return nil, err
		}
		out.Stored = int(n)
	}
	p.stop()
	if s.Compact != nil {
		if err := s.Compact(filepath.Join(dir, "data")); err != nil {
			return nil, err
		}
	}
	disk, err := FolderBytes(dir)
	if err != nil {
		return nil, err
	}
	out.Sent = r.Documents
	out.PerSecond = float64(out.Stored) / r.Elapsed.Seconds()
	out.PerCPUSecond = float64(out.Stored) / (after - before).Seconds()
	out.P50, out.P99, out.Max = r.P50, r.P99, r.Max
	out.DiskPerDocument = float64(disk) / float64(max(1, out.Stored))
	out.Throttled, out.Errors, out.FirstErr = r.Throttled, r.Errors, r.FirstErr
	return out, nil
}

// Settle waits until the process does next to nothing, so that the work after a
// load (views, compactions) counts too, or until the time is up.
func Settle(ctx context.Context, pid int, most time.Duration) error {
	deadline := time.Now().Add(most)
	quiet := 0
	last, err := CPU(pid)
	if err != nil {
		return err
	}
	for time.Now().Before(deadline) && quiet < 3 {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(500 * time.Millisecond):
		}
		now, err := CPU(pid)
		if err != nil {
			return err
		}
		if now-last <= 20*time.Millisecond {
			quiet++
		} else {
			quiet = 0
		}
		last = now
	}
	return nil
}

// Metric returns the sum of a server's samples whose line starts with name and
// holds every one of the labels.
func Metric(endpoint, name string, labels ...string) (float64, error) {
	resp, err := http.Get(endpoint + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	sum, found := 0.0, false
	sc := bufio.NewScanner(resp.Body)
	sc.Buffer(nil, 1<<20)
next:
	for sc.Scan() {
		line := sc.Text()
		if !strings.HasPrefix(line, name) {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(line, l) {
				continue next
			}
		}
		v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			return 0, err
		}
		sum, found = sum+v, true
	}
	if !found {
		return 0, fmt.Errorf("no metric %s%s at %s", name, strings.Join(labels, ","), endpoint)
	}
	return sum, sc.Err()
}

// process is a child that serves.
type process struct {
	cmd      *exec.Cmd
	endpoint string
	lines    []string
	read     chan struct{}
	stopped  bool
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// startProcess starts the binary and waits until it names its address.
func startProcess(ctx context.Context, binary string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, binary, args...), read: make(chan struct{})}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 20 * time.Second
	if err := p.cmd.Start(); err != nil {
		r.Close()
		w.Close()
		return nil, err
	}
	w.Close()
	found := make(chan string, 1)
	go func() {
		defer close(p.read)
		defer r.Close()
		sc := bufio.NewScanner(r)
		for sc.Scan() {
			line := sc.Text()
			p.lines = append(p.lines, line)
			if i := strings.Index(line, "http://127.0.0.1:"); i >= 0 {
				end := i + len("http://127.0.0.1:")
				for end < len(line) && line[end] >= '0' && line[end] <= '9' {
					end++
				}
				select {
				case found <- line[i:end]:
				default:
				}
			}
		}
	}()
	select {
	case p.endpoint = <-found:
		return p, nil
	case <-p.read:
		p.stop()
		return nil, fmt.Errorf("%s %s ended at once: %s", filepath.Base(binary), args[0], strings.Join(p.lines, " | "))
	case <-time.After(30 * time.Second):
		p.stop()
		return nil, errors.New("the server did not name its address within 30 s")
	}
}

// stop ends the child and returns what it printed.
func (p *process) stop() []string {
	if !p.stopped {
		p.stopped = true
		p.cmd.Process.Signal(syscall.SIGTERM)
		<-p.read
		p.cmd.Wait()
	}
	return p.lines
}

func sinkCount(lines []string) int {
	for _, l := range lines {
		var v struct{ Datagrams *int }
		if json.Unmarshal([]byte(l), &v) == nil && v.Datagrams != nil {
			return *v.Datagrams
		}
	}
	return 0
}

func freePort() (int, error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}

// Markdown writes results as a table.
func Markdown(w io.Writer, results []CaseResult) {
	fmt.Fprintln(w, "| way | document | batch | clients | documents/s | per server CPU s | p50 | p99 | longest | peak memory | disk B/document | kept | discarding server: documents/s | per CPU s |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
	for _, r := range results {
		way, batch := "HTTP", strconv.Itoa(r.Case.Batch)
		ack := []string{ms(r.P50), ms(r.P99), ms(r.Max)}
		kept := "all"
		sinkKept := ""
		if r.Case.UDP {
			way, batch = "UDP", "-"
			if r.Case.Rate > 0 {
				way = fmt.Sprintf("UDP at %d/s", r.Case.Rate)
			}
			ack = []string{"-", "-", "-"}
			kept = percent(r.Stored, r.Sent)
			if r.SinkSent > 0 {
				sinkKept = fmt.Sprintf(" (%s kept)", percent(r.SinkReceived, r.SinkSent))
			}
		}
		if r.Errors > 0 {
			kept = fmt.Sprintf("%d calls failed", r.Errors)
		}
		sink, sinkCPU := "-", "-"
		if r.SinkSent > 0 {
			sink, sinkCPU = thousands(r.SinkPerSecond)+sinkKept, thousands(r.SinkPerCPUSecond)
		}
		fmt.Fprintf(w, "| %s | %s | %s | %d | %s | %s | %s | %s | %.0f MB | %.0f | %s | %s | %s |\n", way, size(r.Case.Size), batch, r.Case.Clients,
			thousands(r.PerSecond), thousands(r.PerCPUSecond), ack[0], strings.Join(ack[1:], " | "), float64(r.PeakBytes)/1e6, r.DiskPerDocument, kept, sink, sinkCPU)
	}
}

func size(n int) string { return strconv.FormatFloat(float64(n)/1000, 'g', 3, 64) + " KB" }

func percent(part, whole int) string {
	if part == whole {
		return "100 %"
	}
	return fmt.Sprintf("%.2f %%", 100*float64(part)/float64(max(1, whole)))
}

func thousands(f float64) string {
	if f >= 10000 {
		return fmt.Sprintf("%.1f k", f/1000)
	}
	return fmt.Sprintf("%.2f k", f/1000)
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", d.Seconds()*1e3) }
