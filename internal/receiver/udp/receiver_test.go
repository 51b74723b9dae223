package udp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeSink keeps what it is given. fail, when set, decides about each put.
type fakeSink struct {
	mu        sync.Mutex
	docs      []string
	puts      []int
	peers     []string
	malformed []string
	fail      func(attempt int) error
	attempts  int
	gate      chan struct{} // when not nil, each put waits for it or for its context
}

func (s *fakeSink) Put(ctx context.Context, from ingest.Origin, docs [][]byte) ([]*segment.Refusal, error) {
	if s.gate != nil {
		select {
		case <-s.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts++
	if s.fail != nil {
		if err := s.fail(s.attempts); err != nil {
			clear(docs) // a sink may do with the slice what it likes
			return nil, err
		}
	}
	for _, d := range docs {
		s.docs = append(s.docs, string(d))
	}
	s.puts = append(s.puts, len(docs))
	s.peers = append(s.peers, from.Peer)
	if from.Source != ingest.SourceUDP {
		s.malformed = append(s.malformed, "wrong source "+string(from.Source))
	}
	return nil, nil
}

func (s *fakeSink) Malformed(from ingest.Origin, data []byte, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.malformed = append(s.malformed, reason)
}

func (s *fakeSink) stored() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.docs)
}

type rig struct {
	*Receiver
	sink *fakeSink
	reg  *prometheus.Registry
	conn net.Conn
}

func newRig(t *testing.T, sink *fakeSink, queue int64) *rig {
	t.Helper()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	r := New(Config{Conn: socket, Sink: sink, QueueBytes: queue, Registerer: reg})
	conn, err := net.Dial("udp4", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); r.Close(context.Background()) })
	return &rig{Receiver: r, sink: sink, reg: reg, conn: conn}
}

func (r *rig) send(t *testing.T, datagram string) {
	t.Helper()
	if _, err := r.conn.Write([]byte(datagram)); err != nil {
		t.Fatal(err)
	}
}

// metric returns the sum of a metric's children that carry the label value, or
// of all for "".
func (r *rig) metric(t *testing.T, name, label string) float64 {
	t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum, found := 0.0, false
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.Metric {
			if label == "" || len(m.Label) == 1 && m.Label[0].GetValue() == label {
				found = true
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	if !found {
		t.Errorf("no metric %s %s", name, label)
	}
	return sum
}

func (r *rig) want(t *testing.T, name, label string, want float64) {
	t.Helper()
	if got := r.metric(t, name, label); got != want {
		t.Errorf("%s %s is %v, want %v", name, label, got, want)
	}
}

// eventually waits for cond, which other goroutines make true.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for range 2000 {
		if cond() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

const head = `{"format":"json","version":1}` + "\n"

func numbered(i int) string {
	return fmt.Sprintf(`{"trace_id":"1-6741a0c3-%024x","id":"%016x","name":"kiosk","start_time":1,"end_time":2}`, i%97, i)
}

func TestReceive(t *testing.T) {
	r := newRig(t, &fakeSink{}, 0)
	r.Start()
	long := strings.Repeat("x", 65507-len(head))
	want := []string{numbered(1), numbered(2) + "\n", long}
	for _, d := range want {
		r.send(t, head+d)
	}
	r.send(t, "nonsense")
	r.send(t, "")
	r.send(t, `{"format":"xml","version":1}`+"\n"+doc)
	eventually(t, "3 documents and 3 malformed datagrams", func() bool {
		return len(r.sink.stored()) == 3 && r.metric(t, "roentgen_udp_datagrams_malformed_total", "") == 3
	})
	if err := r.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if err := r.Close(context.Background()); err != nil {
		t.Errorf("second Close: %v", err)
	}
	got := r.sink.stored()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %.300q", got)
	}
	if want := []string{reasonNoHeader.detail(), reasonEmpty.detail(), reasonFormat.detail()}; !slices.Equal(r.sink.malformed, want) {
		t.Errorf("dead letters: %q", r.sink.malformed)
	}
	for _, p := range r.sink.peers {
		if p != r.conn.LocalAddr().String() {
			t.Errorf("peer %q, want %q", p, r.conn.LocalAddr())
		}
	}
	r.want(t, "roentgen_udp_datagrams_received_total", "", 6)
	r.want(t, "roentgen_udp_segments_received_total", "", 3)
	r.want(t, "roentgen_udp_datagrams_malformed_total", "empty", 1)
	r.want(t, "roentgen_udp_datagrams_malformed_total", "no header", 1)
	r.want(t, "roentgen_udp_datagrams_malformed_total", "format", 1)
	r.want(t, "roentgen_udp_segments_dropped_total", "", 0)
	r.want(t, "roentgen_udp_queue_bytes", "", 0)
	if r.metric(t, "roentgen_udp_socket_buffer_bytes", "") <= 0 {
		t.Error("no socket buffer")
	}
}

// TestOrder holds that documents of one trace are stored as they came.
func TestOrder(t *testing.T) {
	r := newRig(t, &fakeSink{}, 0)
	r.Start()
	const n = 3000
	for i := range n {
		r.send(t, head+numbered(i))
		if i%50 == 49 { // the default socket buffer holds a hundred or two
			eventually(t, "the receiver keeps up", func() bool { return r.metric(t, "roentgen_udp_segments_received_total", "") == float64(i+1) })
		}
	}
	r.Close(context.Background())
	got := r.sink.stored()
	if len(got) != n {
		t.Fatalf("%d of %d documents", len(got), n)
	}
	last := make(map[string]string)
	for _, d := range got {
		trace, id := d[13:48], d[54:72]
		if id <= last[trace] {
			t.Fatalf("trace %s: %s came after %s", trace, id, last[trace])
		}
		last[trace] = id
	}
}

// TestGathers holds that what arrives during a put becomes the next one, that a
// put has its bound, and that Close waits for the store.
func TestGathers(t *testing.T) {
	sink := &fakeSink{gate: make(chan struct{})}
	r := newRig(t, sink, 0)
	r.Start()
	const n = 1400
	one := strings.Replace(doc, "kiosk", "%d", 1) // all of one trace, so of one lane
	for i := range n {
		r.send(t, head+fmt.Sprintf(one, i))
		if i%50 == 49 || i == 0 {
			eventually(t, "the receiver keeps up", func() bool { return r.metric(t, "roentgen_udp_segments_received_total", "") == float64(i+1) })
		}
	}
	closed := make(chan error)
	go func() { closed <- r.Close(context.Background()) }()
	select {
	case err := <-closed:
		t.Fatalf("Close did not wait for the store: %v", err)
	case sink.gate <- struct{}{}:
	}
	close(sink.gate)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if got := r.sink.stored(); len(got) != n {
		t.Errorf("%d of %d documents", len(got), n)
	}
	if biggest := slices.Max(sink.puts); biggest != maxPutDocs {
		t.Errorf("puts of %v", sink.puts)
	}
}

func TestPutBytesAreBounded(t *testing.T) {
	sink := &fakeSink{gate: make(chan struct{})}
	r := newRig(t, sink, 0)
	r.Start()
	const n = 150
	big := strings.Replace(doc, "kiosk", strings.Repeat("k", 60000), 1)
	for i := range n {
		r.send(t, head+big)
		eventually(t, "the receiver keeps up", func() bool { return r.metric(t, "roentgen_udp_segments_received_total", "") == float64(i+1) })
	}
	close(sink.gate)
	r.Close(context.Background())
	if got := len(sink.stored()); got != n {
		t.Errorf("%d of %d documents", got, n)
	}
	if biggest := slices.Max(sink.puts); biggest*60000 > maxPutBytes || biggest < 50 {
		t.Errorf("puts of %v", sink.puts)
	}
}

func TestQueueFull(t *testing.T) {
	sink := &fakeSink{gate: make(chan struct{})}
	const room = 20
	size := int64(len(doc) + itemOverhead)
	r := newRig(t, sink, room*size)
	r.Start()
	for i := range 50 {
		r.send(t, head+doc)
		eventually(t, "the receiver keeps up", func() bool { return r.metric(t, "roentgen_udp_segments_received_total", "") == float64(i+1) })
	}
	r.want(t, "roentgen_udp_segments_dropped_total", dropQueueFull, 50-room)
	r.want(t, "roentgen_udp_queue_bytes", "", float64(room*size))
	close(sink.gate)
	eventually(t, "the queue is stored", func() bool { return len(sink.stored()) == room })
	eventually(t, "the queue is empty", func() bool { return r.metric(t, "roentgen_udp_queue_bytes", "") == 0 })
	r.send(t, head+doc)
	eventually(t, "there is room again", func() bool { return len(sink.stored()) == room+1 })
}

func TestRetries(t *testing.T) {
	for _, passing := range []error{tracestore.ErrOverloaded, tracestore.ErrUnavailable, tracestore.ErrNoSpace, fmt.Errorf("write: %w", tracestore.ErrOverloaded)} {
		sink := &fakeSink{fail: func(attempt int) error {
			if attempt <= maxFailures+2 { // more often than errors of another kind are tried
				return passing
			}
			return nil
		}}
		r := newRig(t, sink, 0)
		r.Start()
		r.send(t, head+doc)
		eventually(t, "stored in the end", func() bool { return len(sink.stored()) == 1 })
		r.Close(context.Background())
		if got := sink.stored(); got[0] != doc {
			t.Errorf("%v: stored %q", passing, got)
		}
		r.want(t, "roentgen_udp_put_retries_total", "", maxFailures+2)
		r.want(t, "roentgen_udp_segments_dropped_total", "", 0)
	}
}

func TestGivesUp(t *testing.T) {
	for _, tt := range []struct {
		err      error
		why      string
		attempts int
	}{
		{tracestore.ErrClosed, dropStoreClosed, 1},
		{errors.New("broken"), dropStoreFailed, maxFailures + 1},
	} {
		sink := &fakeSink{fail: func(int) error { return tt.err }}
		r := newRig(t, sink, 0)
		r.Start()
		r.send(t, head+doc)
		eventually(t, "dropped", func() bool { return r.metric(t, "roentgen_udp_segments_dropped_total", tt.why) == 1 })
		r.Close(context.Background())
		if sink.attempts != tt.attempts {
			t.Errorf("%v: %d attempts, want %d", tt.err, sink.attempts, tt.attempts)
		}
		r.want(t, "roentgen_udp_queue_bytes", "", 0)
	}
}

// TestCloseDrainsSocket sends before anything is read: Close must still find it all.
func TestCloseDrainsSocket(t *testing.T) {
	r := newRig(t, &fakeSink{}, 0)
	const n = 70 // more than one system call returns
	for i := range n {
		r.send(t, head+numbered(i))
	}
	r.stopping.Store(true) // as if Close had come before the first read
	r.Start()
	if err := r.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if got := len(r.sink.stored()); got != n {
		t.Errorf("%d of %d documents", got, n)
	}
}

func TestCloseRunsOutOfTime(t *testing.T) {
	for name, sink := range map[string]*fakeSink{
		"stuck store":      {gate: make(chan struct{})},
		"overloaded store": {fail: func(int) error { return tracestore.ErrOverloaded }},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, sink, 0)
			r.Start()
			for range 3 {
				r.send(t, head+doc)
			}
			eventually(t, "read", func() bool { return r.metric(t, "roentgen_udp_segments_received_total", "") == 3 })
			ctx, cancel := context.WithCancelCause(context.Background())
			cause := errors.New("ten seconds are over")
			cancel(cause)
			if err := r.Close(ctx); err != cause {
				t.Errorf("Close: %v", err)
			}
			r.want(t, "roentgen_udp_segments_dropped_total", dropShutdown, 3)
		})
	}
}

func TestCloseWithoutStart(t *testing.T) {
	r := newRig(t, &fakeSink{}, 0)
	if err := r.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := r.cfg.Conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the socket is open: %v", err)
	}
}

// TestSocketLost holds that the loop ends, and Close returns, when the socket
// goes away under the receiver.
func TestSocketLost(t *testing.T) {
	r := newRig(t, &fakeSink{}, 0)
	r.Start()
	r.cfg.Conn.Close()
	if err := r.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestPeers(t *testing.T) {
	r := newRig(t, &fakeSink{gate: make(chan struct{})}, 0)
	r.Start()
	other, err := net.Dial("udp4", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	r.send(t, head+doc) // the first put; the next two wait together
	eventually(t, "first", func() bool { return r.metric(t, "roentgen_udp_segments_received_total", "") == 1 })
	time.Sleep(20 * time.Millisecond) // the worker takes it
	r.send(t, head+doc)
	fmt.Fprint(other, head+doc)
	eventually(t, "three", func() bool { return r.metric(t, "roentgen_udp_segments_received_total", "") == 3 })
	close(r.sink.gate)
	r.Close(context.Background())
	if got := r.sink.peers[len(r.sink.peers)-1]; len(r.sink.peers) == 2 && got != "127.0.0.1" {
		t.Errorf("peers %q", r.sink.peers)
	}
	for _, tt := range []struct {
		name  string
		peers []string
		want  string
	}{
		{"one", []string{"10.0.0.1:5"}, "10.0.0.1:5"},
		{"same", []string{"10.0.0.1:5", "10.0.0.1:5"}, "10.0.0.1:5"},
		{"ports", []string{"10.0.0.1:5", "10.0.0.1:6", "10.0.0.1:5"}, "10.0.0.1"},
		{"machines", []string{"10.0.0.1:5", "10.0.0.2:5"}, ""},
		{"unknown", []string{""}, ""},
		{"IPv6", []string{"[fe80::1]:5", "[fe80::1]:6"}, "fe80::1"},
	} {
		var items []item
		for _, p := range tt.peers {
			a, _ := net.ResolveUDPAddr("udp", p)
			if p == "" {
				items = append(items, item{})
				continue
			}
			items = append(items, item{peer: addrPort(a)})
		}
		if got := commonPeer(items); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestManySenders runs everything at once, for the race detector.
func TestManySenders(t *testing.T) {
	r := newRig(t, &fakeSink{fail: func(attempt int) error {
		if attempt%3 == 0 {
			return tracestore.ErrOverloaded
		}
		return nil
	}}, 0)
	r.Start()
	var wg sync.WaitGroup
	const senders, each = 8, 100
	for s := range senders {
		wg.Go(func() {
			conn, err := net.Dial("udp4", r.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			for i := range each {
				fmt.Fprint(conn, head+numbered(s*each+i))
				if i%10 == 9 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	r.Close(context.Background())
	got := r.sink.stored()
	if lost := r.KernelDrops(); len(got)+int(lost) != senders*each {
		t.Errorf("%d stored and %d dropped by the kernel, of %d", len(got), lost, senders*each)
	}
	slices.Sort(got)
	if len(slices.Compact(got)) != len(got) {
		t.Error("documents were stored twice")
	}
}

// TestOwnDatagrams sends the datagrams of testdata, which have the shapes that
// SDKs send, and compares what the sink gets.
func TestOwnDatagrams(t *testing.T) {
	r := newRig(t, &fakeSink{}, 0)
	r.Start()
	var want []string
	for name, data := range datagrams(t, "testdata") {
		if !strings.Contains(name, "bad") {
			_, document, _ := bytes.Cut(data, []byte("\n"))
			want = append(want, string(document))
		}
		r.send(t, string(data))
	}
	if len(want) < 4 {
		t.Fatalf("%d documents in testdata", len(want))
	}
	r.Close(context.Background())
	got := r.sink.stored()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if len(r.sink.malformed) != 2 {
		t.Errorf("dead letters %q", r.sink.malformed)
	}
}

// TestAllow holds that datagrams of networks that are not listed leave nothing behind.
func TestAllow(t *testing.T) {
	for _, c := range []struct {
		allow  []string
		stored bool
	}{{nil, true}, {[]string{"127.0.0.0/8"}, true}, {[]string{"10.0.0.0/8", "127.0.0.1/32"}, true}, {[]string{"10.0.0.0/8", "::1/128"}, false}} {
		socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		sink := &fakeSink{}
		cfg := Config{Conn: socket, Sink: sink}
		for _, text := range c.allow {
			cfg.Allow = append(cfg.Allow, netip.MustParsePrefix(text))
		}
		r := New(cfg)
		conn, err := net.Dial("udp4", r.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		for _, datagram := range []string{head + doc, "rubbish"} {
			if _, err := io.WriteString(conn, datagram); err != nil {
				t.Fatal(err)
			}
		}
		conn.Close()
		r.Start()
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		stored, malformed := 0, 0
		if c.stored {
			stored, malformed = 1, 1
		}
		if len(sink.stored()) != stored || len(sink.malformed) != malformed {
			t.Errorf("%v: %d stored, %d malformed", c.allow, len(sink.stored()), len(sink.malformed))
		}
	}
	unknown := &Receiver{cfg: Config{Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}}
	if unknown.allowed(netip.Addr{}) {
		t.Error("a peer without an address was let in")
	}
	linkLocal := &Receiver{cfg: Config{Allow: []netip.Prefix{netip.MustParsePrefix("fe80::/10")}}}
	if !linkLocal.allowed(netip.MustParseAddr("fe80::1%eth0")) {
		t.Error("the zone of an address counts")
	}
}
