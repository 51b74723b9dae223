package udp

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/internal/telemetry"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

// Sink takes what arrives; *ingest.Ingester is one.
type Sink interface {
	Put(ctx context.Context, from ingest.Origin, docs [][]byte) ([]*segment.Refusal, error)
	Malformed(from ingest.Origin, data []byte, reason string)
}

// Config sets up a Receiver.
type Config struct {
	Conn *net.UDPConn // bound; the Receiver closes it
	Sink Sink
	// Direct, when set, takes documents in place of Sink.Put, right where they were
	// read, and returns how many it could not take. They are valid until it returns,
	// and nothing is read meanwhile: the kernel's buffer is the only queue.
	Direct     func(docs [][]byte) (dropped int)
	Allow      []netip.Prefix        // networks that may send; empty: all
	QueueBytes int64                 // memory of segments that wait for Sink; 0: 64 MiB
	Logger     *slog.Logger          // nil: discard
	Registerer prometheus.Registerer // nil: no metrics are shown
}

const (
	// lanes is how many puts can be under way. More than the machine's two or
	// four cores keep busy, since a put spends most of its time waiting for the disk.
	lanes = 4
	// A put takes at most so many documents and bytes, so that the store sees
	// pieces of a size that it handles well.
	maxPutDocs  = 500
	maxPutBytes = 4 << 20
	// itemOverhead is what a queued document costs besides its own bytes.
	itemOverhead = 96
	// maxFailures is how often a put is tried again after an error that the
	// store does not declare as passing.
	maxFailures = 5
	// drainTime bounds the reading of what lies in the socket at Close, for
	// senders that never stop.
	drainTime = time.Second
)

var errShutdown = errors.New("udp: the time for shutting down is over")

// Receiver reads datagrams from one socket and puts their documents into a Sink.
type Receiver struct {
	cfg         Config
	logger      *slog.Logger
	metrics     *metrics
	reader      batchReader
	bufferBytes int

	queued atomic.Int64 // bytes of documents read and not yet stored, with their overhead
	lanes  [lanes]lane
	// gathered belongs to the reading goroutine: the documents of one batch.
	gathered [lanes][]item
	direct   [][]byte // of the reading goroutine, too

	ctx      context.Context // of puts; it ends when Close runs out of time
	cancel   context.CancelCauseFunc
	stopping atomic.Bool
	readers  sync.WaitGroup
	workers  sync.WaitGroup
	watcher  sync.WaitGroup
	stopOnce sync.Once
	stopped  chan struct{} // closed by the first Close

	drops struct {
		sync.Mutex
		last  uint32
		total uint64
	}
	limitRefused, limitMalformed, limitFull, limitRetry, limitDropped, limitRead telemetry.Limiter
}

// lane is a queue between the reader and one worker.
type lane struct {
	wake chan struct{} // capacity 1: there is something to do, or the end was reached
	mu   struct {
		sync.Mutex
		items []item
		ended bool // the reader adds nothing any more
	}
}

type item struct {
	doc  []byte
	peer netip.AddrPort
}

// New prepares a Receiver on a bound socket, whose buffer it enlarges: what
// arrives from now on waits there. Nothing is read before Start.
func New(cfg Config) *Receiver {
	if cfg.QueueBytes <= 0 {
		cfg.QueueBytes = 64 << 20
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Receiver{cfg: cfg, logger: cfg.Logger.With(slog.String("component", "udp")), stopped: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	for i := range r.lanes {
		r.lanes[i].wake = make(chan struct{}, 1)
	}
	var err error
	if r.bufferBytes, err = growBuffer(cfg.Conn); err != nil {
		r.logger.Warn("socket buffer not enlarged", slog.Any("err", err))
	}
	r.reader = newBatchReader(cfg.Conn)
	r.metrics = newMetrics(cfg.Registerer, r)
	return r
}

// TryBuffer returns how large a Receiver's buffer can become for this process, and
// how to get a larger one; "" when it is as large as is wanted.
func TryBuffer() (size int, hint string, err error) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, "", err
	}
	defer conn.Close()
	size, err = growBuffer(conn)
	return size, bufferHint(size), err
}

// Addr returns the address of the socket.
func (r *Receiver) Addr() *net.UDPAddr { return r.cfg.Conn.LocalAddr().(*net.UDPAddr) }

// Start begins to read. The goroutines end with Close.
func (r *Receiver) Start() {
	r.readers.Go(r.readLoop)
	for i := range r.lanes {
		r.workers.Go(func() { r.work(&r.lanes[i]) })
	}
	r.watcher.Go(r.watchDrops)
	attrs := []slog.Attr{slog.String("address", r.Addr().String()), slog.Int("socket_buffer_bytes", r.bufferBytes)}
	if hint := bufferHint(r.bufferBytes); hint != "" {
		attrs = append(attrs, slog.String("for_longer_bursts", hint))
	}
	r.logger.LogAttrs(r.ctx, slog.LevelInfo, "udp receiver started", attrs...)
}

// Close reads what lies in the socket, closes it, and returns when everything
// that was read is stored, or ctx is done; then the rest is dropped and counted,
// and Close returns the context's error. It is safe to call twice; the second
// call waits too. A Receiver that was never started closes its socket only.
func (r *Receiver) Close(ctx context.Context) error {
	r.stopOnce.Do(func() {
		r.stopping.Store(true)
		r.cfg.Conn.SetReadDeadline(time.Now()) // ends a read under way
		close(r.stopped)
	})
	stop := context.AfterFunc(ctx, func() { r.cancel(errShutdown) })
	defer stop()
	r.readers.Wait()
	for i := range r.lanes {
		r.lanes[i].end()
	}
	r.workers.Wait()
	r.watcher.Wait()
	r.KernelDrops() // a last look, for those who read the metric afterwards
	r.cfg.Conn.Close()
	if r.ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// readLoop reads until Close, and then what still lies in the socket.
func (r *Receiver) readLoop() {
	pause := time.Duration(0)
	for !r.stopping.Load() {
		batch, err := r.reader.read(true)
		if err == nil {
			pause = 0
			r.take(batch)
			continue
		}
		if r.stopping.Load() {
			break
		}
		if errors.Is(err, net.ErrClosed) {
			r.logger.Error("udp socket was closed", slog.Any("err", err))
			return
		}
		r.metrics.readErrors.Inc()
		r.limitRead.Log(r.logger, slog.LevelWarn, "udp read failed", slog.Any("err", err))
		// Errors here are rare and pass (no memory, an ICMP message); waiting a
		// little keeps one that does not pass from eating a core.
		pause = min(max(2*pause, time.Millisecond), 100*time.Millisecond)
		r.wait(pause, r.stopped)
	}
	<-r.stopped // Close has set its deadline, which this one replaces
	end := time.Now().Add(drainTime)
	r.cfg.Conn.SetReadDeadline(end)
	for time.Now().Before(end) {
		batch, err := r.reader.read(false)
		if err != nil || len(batch) == 0 {
			return
		}
		r.take(batch)
	}
}

// wait returns after d, or earlier when done is closed.
func (r *Receiver) wait(d time.Duration, done <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-done:
	}
}

// take checks the framing of a batch and queues the documents.
func (r *Receiver) take(batch []message) {
	m := r.metrics
	m.reads.Inc()
	m.datagrams.Add(float64(len(batch)))
	size, good, full := 0, 0, 0
	for i := range batch {
		msg := &batch[i]
		size += len(msg.data)
		if !r.allowed(msg.peer.Addr()) {
			// Not a dead letter either: strangers shall not push those of others out.
			m.refused.Inc()
			r.limitRefused.Log(r.logger, slog.LevelWarn, "datagram dropped, since its network may not send",
				slog.String("peer", peerText(msg.peer)), slog.String("remedy", "add its network to udp-allow"))
			continue
		}
		doc, why := parseDatagram(msg.data)
		if msg.truncated {
			why = reasonTruncated
		}
		if why != "" {
			m.malformed[why].Inc()
			r.cfg.Sink.Malformed(ingest.Origin{Source: ingest.SourceUDP, Peer: peerText(msg.peer)}, msg.data, why.detail())
			r.limitMalformed.Log(r.logger, slog.LevelWarn, "malformed datagram refused",
				slog.String("peer", peerText(msg.peer)), slog.String("reason", string(why)))
			continue
		}
		good++
		if r.cfg.Direct != nil {
			r.direct = append(r.direct, doc)
			continue
		}
		cost := int64(len(doc) + itemOverhead)
		if r.queued.Add(cost) > r.cfg.QueueBytes {
			r.queued.Add(-cost)
			full++
			continue
		}
		l := laneOf(doc, lanes)
		r.gathered[l] = append(r.gathered[l], item{doc: bytes.Clone(doc), peer: msg.peer})
	}
	m.bytes.Add(float64(size))
	m.segments.Add(float64(good))
	if len(r.direct) > 0 {
		full = r.cfg.Direct(r.direct)
		clear(r.direct)
		r.direct = r.direct[:0]
	}
	for l, items := range r.gathered {
		if len(items) > 0 {
			r.lanes[l].add(items)
			clear(items)
			r.gathered[l] = items[:0]
		}
	}
	if full > 0 {
		m.dropped[dropQueueFull].Add(float64(full))
		r.limitFull.Log(r.logger, slog.LevelWarn, "segments dropped, since the queue for the store is full",
			slog.Int("segments", full), slog.Int64("queue_bytes", r.cfg.QueueBytes))
	}
}

// allowed reports whether a peer may send. One whose address is not known may not,
// when there is a list.
func (r *Receiver) allowed(peer netip.Addr) bool {
	if len(r.cfg.Allow) == 0 {
		return true
	}
	peer = peer.WithZone("") // which no prefix has
	return slices.ContainsFunc(r.cfg.Allow, func(p netip.Prefix) bool { return p.Contains(peer) })
}

func (l *lane) add(items []item) {
	l.mu.Lock()
	l.mu.items = append(l.mu.items, items...)
	l.mu.Unlock()
	l.signal()
}

func (l *lane) end() {
	l.mu.Lock()
	l.mu.ended = true
	l.mu.Unlock()
	l.signal()
}

func (l *lane) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// swap hands over everything that waits and leaves spare, emptied, for what comes.
func (l *lane) swap(spare []item) (items []item, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	items = l.mu.items
	l.mu.items = spare[:0]
	return items, l.mu.ended
}

// work stores what comes through a lane until the lane has ended.
func (r *Receiver) work(l *lane) {
	var spare []item
	for {
		items, ended := l.swap(spare)
		if len(items) == 0 {
			if ended {
				return
			}
			spare = items
			<-l.wake
			continue
		}
		for rest := items; len(rest) > 0; {
			n, size := 0, 0
			for n < len(rest) && n < maxPutDocs && (n == 0 || size+len(rest[n].doc) <= maxPutBytes) {
				size += len(rest[n].doc)
				n++
			}
			r.put(rest[:n])
			r.queued.Add(-int64(size + n*itemOverhead))
			clear(rest[:n]) // the store decides how long the documents stay
			rest = rest[n:]
		}
		spare = items
		if cap(spare) > 4*maxPutDocs { // a burst is no reason to keep its memory
			spare = nil
		}
	}
}

// put stores items as one put. What the store cannot take now is tried again,
// ever more slowly, until it can or the Receiver has to end.
func (r *Receiver) put(items []item) {
	docs := make([][]byte, len(items))
	from := ingest.Origin{Source: ingest.SourceUDP, Peer: commonPeer(items)}
	pause := 2 * time.Millisecond
	for failures := 0; ; {
		for i := range items {
			docs[i] = items[i].doc
		}
		_, err := r.cfg.Sink.Put(r.ctx, from, docs)
		if err == nil {
			r.metrics.putSize.Observe(float64(len(items)))
			return
		}
		why := ""
		passing := errors.Is(err, tracestore.ErrOverloaded) || errors.Is(err, tracestore.ErrUnavailable) || errors.Is(err, tracestore.ErrNoSpace)
		switch {
		case r.ctx.Err() != nil:
			why = dropShutdown
		case errors.Is(err, tracestore.ErrClosed):
			why = dropStoreClosed
		case !passing:
			// Documents that were stored although the store says otherwise come
			// a second time then, which does no harm: the first version wins.
			if failures++; failures > maxFailures {
				why = dropStoreFailed
			}
		}
		if why != "" {
			r.metrics.dropped[why].Add(float64(len(items)))
			r.limitDropped.Log(r.logger, slog.LevelError, "segments dropped", slog.Int("segments", len(items)), slog.String("reason", why), slog.Any("err", err))
			return
		}
		r.metrics.retries.Inc()
		r.limitRetry.Log(r.logger, slog.LevelWarn, "put failed, trying again", slog.Int("segments", len(items)), slog.Any("err", err))
		r.wait(pause+rand.N(pause), r.ctx.Done())
		pause = min(2*pause, 500*time.Millisecond)
		docs = make([][]byte, len(items)) // the last one belongs to the sink
	}
}

// commonPeer returns the address that all items share: with its port when they
// share that too, and "" when they come from different machines.
func commonPeer(items []item) string {
	first := items[0].peer
	samePort := true
	for _, it := range items[1:] {
		if it.peer.Addr() != first.Addr() {
			return ""
		}
		samePort = samePort && it.peer.Port() == first.Port()
	}
	if !samePort && first.IsValid() {
		return first.Addr().String()
	}
	return peerText(first)
}

func peerText(p netip.AddrPort) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}

// KernelDrops returns how many datagrams the kernel dropped at the socket so far
// because its buffer was full; 0 where the system does not tell.
func (r *Receiver) KernelDrops() uint64 {
	r.drops.Lock()
	defer r.drops.Unlock()
	if now, err := kernelDrops(r.cfg.Conn); err == nil {
		r.drops.total += uint64(now - r.drops.last) // the kernel's counter has 32 bits
		r.drops.last = now
	}
	return r.drops.total
}

// watchDrops tells the log when the kernel drops datagrams, which nobody else
// would notice.
func (r *Receiver) watchDrops() {
	t := time.NewTicker(10 * time.Second)
	defer t.Stop()
	seen := uint64(0)
	for {
		select {
		case <-r.stopped:
			return
		case <-t.C:
		}
		now := r.KernelDrops()
		if now == seen {
			continue
		}
		attrs := []slog.Attr{slog.Uint64("datagrams", now-seen), slog.Int("socket_buffer_bytes", r.bufferBytes)}
		if hint := bufferHint(r.bufferBytes); hint != "" {
			attrs = append(attrs, slog.String("remedy", hint))
		}
		r.logger.LogAttrs(r.ctx, slog.LevelWarn, "kernel dropped datagrams, since the socket buffer was full", attrs...)
		seen = now
	}
}
