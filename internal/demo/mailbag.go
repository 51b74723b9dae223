package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/roentgen-io/roentgen/segment"
)

// mailbag hands documents to the server: each service has a socket of its own
// for datagrams, or a batch of its own for HTTP.
type mailbag struct {
	udpAddr, target string
	spans           string // where spans are sent to
	client          *http.Client

	sent, refused, failed atomic.Int64

	mu struct {
		sync.Mutex
		lastError string
		sockets   map[string]net.Conn // by service
		batches   map[string]*batcher // by service
		buffer    []byte
		closed    bool
	}
	wg sync.WaitGroup
}

func newMailbag(udpAddr, target, spans string, client *http.Client) *mailbag {
	m := &mailbag{udpAddr: udpAddr, target: target, spans: spans, client: client}
	m.mu.sockets = make(map[string]net.Conn)
	m.mu.batches = make(map[string]*batcher)
	return m
}

func (m *mailbag) counts() (sent, refused, failed int64, lastError string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sent.Load(), m.refused.Load(), m.failed.Load(), m.mu.lastError
}

// trouble counts n documents that did not arrive.
func (m *mailbag) trouble(n int, err error) {
	m.failed.Add(int64(n))
	m.mu.Lock()
	m.mu.lastError = err.Error()
	m.mu.Unlock()
}

// send lets go of one document. It never waits for the server.
func (m *mailbag) send(d Delivery) {
	if d.Road != UDP || m.udpAddr == "" {
		if d.Road == OTLP && d.Stage == Begun {
			return // OpenTelemetry tells of spans when they are over
		}
		m.mu.Lock()
		key := d.Service
		if d.Road == OTLP {
			key = "otlp " + key
		}
		b := m.mu.batches[key]
		if b == nil && !m.mu.closed {
			b = &batcher{bag: m, parcels: make(chan parcel, 2000), stop: make(chan struct{})}
			if d.Road == OTLP {
				b.instruments = newInstruments(d.Service, func(s sdk.ReadOnlySpan) { b.put(parcel{span: s}) })
			}
			m.mu.batches[key] = b
			m.wg.Go(b.run)
		}
		m.mu.Unlock()
		switch {
		case b == nil:
		case b.instruments == nil:
			b.put(parcel{document: d.Document})
		default:
			if err := b.instruments.play(d.Document); err != nil {
				m.trouble(1, err)
			}
		}
		return
	}
	if err := m.datagram(d); err != nil {
		m.trouble(1, err)
		return
	}
	m.sent.Add(1)
}

func (m *mailbag) datagram(d Delivery) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		return net.ErrClosed
	}
	conn := m.mu.sockets[d.Service]
	if conn == nil {
		var dialer net.Dialer
		var err error
		if conn, err = dialer.DialContext(context.Background(), "udp", m.udpAddr); err != nil { // nothing to wait for
			return err
		}
		m.mu.sockets[d.Service] = conn
	}
	b := append(m.mu.buffer[:0], d.Header...)
	b = append(b, '\n')
	b = append(b, d.Document...)
	m.mu.buffer = b
	_, err := conn.Write(b)
	return err
}

// close sends what is waiting, within seconds, and closes the sockets.
func (m *mailbag) close() {
	m.mu.Lock()
	m.mu.closed = true
	for _, b := range m.mu.batches {
		close(b.stop)
	}
	for _, c := range m.mu.sockets {
		_ = c.Close()
	}
	m.mu.Unlock()
	m.wg.Wait()
}

// batcher collects one sender's documents and posts them by fifty or four
// times a second, much as the daemon and OpenTelemetry's exporters do.
type batcher struct {
	bag         *mailbag
	instruments *instruments // of a service that has OpenTelemetry's SDK; nil: it sends documents
	parcels     chan parcel  // at most this many wait
	stop        chan struct{}
}

// parcel is a document, or a span.
type parcel struct {
	document []byte
	span     sdk.ReadOnlySpan
}

// put adds one to the batch. It never waits: the newest is dropped, as OpenTelemetry's
// exporters do, when too many wait.
func (b *batcher) put(p parcel) {
	select {
	case b.parcels <- p:
	default:
		b.bag.trouble(1, errors.New("the server takes documents slower than they come"))
	}
}

const (
	batchDocuments = 50
	batchBytes     = 1 << 20
	batchEvery     = 250 * time.Millisecond
)

func (b *batcher) run() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	watch := make(chan struct{})
	defer func() { <-watch }()
	done := make(chan struct{})
	defer close(done)
	go func() { // at the end, what is under way has two more seconds
		defer close(watch)
		select {
		case <-done:
			return
		case <-b.stop:
		}
		t := time.NewTimer(2 * time.Second)
		defer t.Stop()
		select {
		case <-done:
		case <-t.C:
			cancel()
		}
	}()

	tick := time.NewTicker(batchEvery)
	defer tick.Stop()
	var docs [][]byte
	var spans []sdk.ReadOnlySpan
	size := 0
	flush := func() {
		if n := len(docs) + len(spans); n > 0 {
			var refused int
			var err error
			if len(spans) > 0 {
				refused, err = patiently(ctx, 5*time.Second, func() (int, error) { return export(ctx, b.bag.client, b.bag.spans, spans) })
			} else {
				refused, err = postPatiently(ctx, b.bag.client, b.bag.target, docs, 5*time.Second)
			}
			if err != nil {
				b.bag.trouble(n, err)
			} else {
				b.bag.sent.Add(int64(n))
				b.bag.refused.Add(int64(refused))
			}
		}
		docs, spans, size = nil, nil, 0
	}
	add := func(p parcel) {
		if p.span != nil {
			spans = append(spans, p.span)
		} else {
			docs = append(docs, p.document)
		}
		if size += len(p.document); len(docs)+len(spans) == batchDocuments || size >= batchBytes {
			flush()
		}
	}
	for {
		select {
		case p := <-b.parcels:
			add(p)
		case <-tick.C:
			flush()
		case <-b.stop:
			for {
				select {
				case p := <-b.parcels:
					add(p)
					continue
				default:
				}
				break
			}
			flush()
			return
		}
	}
}

// statusError is an answer other than 200.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("the server answered %d: %s", e.status, e.text)
}

// temporary reports whether trying again may help.
func (e *statusError) temporary() bool { return e.status == 429 || e.status >= 500 }

// postPatiently posts documents and tries again for as long as patience lasts
// when the server is busy or away. It returns how many documents were refused.
func postPatiently(ctx context.Context, client *http.Client, target string, docs [][]byte, patience time.Duration) (refused int, err error) {
	body := appendDocuments(nil, docs)
	return patiently(ctx, patience, func() (int, error) { return post(ctx, client, target, body) })
}

// patiently calls try until it succeeds, fails for good, or patience ends.
func patiently(ctx context.Context, patience time.Duration, try func() (int, error)) (refused int, err error) {
	begun, pause := time.Now(), 50*time.Millisecond
	for {
		refused, err = try()
		var answer *statusError
		if err == nil || ctx.Err() != nil || errors.As(err, &answer) && !answer.temporary() || time.Since(begun)+pause > patience {
			return refused, err
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return 0, err
		case <-t.C:
		}
		pause = min(2*pause, 5*time.Second)
	}
}

func post(ctx context.Context, client *http.Client, target string, body []byte) (refused int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "roentgen-demo")
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		text := bytes.TrimSpace(answer)
		return 0, &statusError{status: resp.StatusCode, text: string(text[:min(len(text), 200)])}
	}
	var out struct {
		UnprocessedTraceSegments []json.RawMessage
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return 0, fmt.Errorf("the server's answer is no JSON: %w", err)
	}
	return len(out.UnprocessedTraceSegments), nil
}

// appendDocuments writes the body of PutTraceSegments.
func appendDocuments(b []byte, docs [][]byte) []byte {
	size := 64
	for _, d := range docs {
		size += len(d) + len(d)/8 + 3
	}
	b = slices.Grow(b, size)
	b = append(b, `{"TraceSegmentDocuments":[`...)
	for i, d := range docs {
		if i > 0 {
			b = append(b, ',')
		}
		b = segment.AppendStringBytes(b, d)
	}
	return append(b, "]}"...)
}
