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

	"github.com/roentgen-io/roentgen/segment"
)

// mailbag hands documents to the server: each service has a socket of its own
// for datagrams, or a batch of its own for HTTP.
type mailbag struct {
	udpAddr, target string
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

func newMailbag(udpAddr, target string, client *http.Client) *mailbag {
	m := &mailbag{udpAddr: udpAddr, target: target, client: client}
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
	if d.Road == HTTP || m.udpAddr == "" {
		m.mu.Lock()
		b := m.mu.batches[d.Service]
		if b == nil && !m.mu.closed {
			b = &batcher{bag: m, documents: make(chan []byte, 2000), stop: make(chan struct{})}
			m.mu.batches[d.Service] = b
			m.wg.Go(b.run)
		}
		m.mu.Unlock()
		if b == nil {
			return
		}
		select {
		case b.documents <- d.Document:
		default: // the newest is dropped, as OpenTelemetry's exporters do
			m.trouble(1, errors.New("the server takes documents slower than they come"))
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
	bag       *mailbag
	documents chan []byte // at most this many wait
	stop      chan struct{}
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
	size := 0
	flush := func() {
		if len(docs) > 0 {
			refused, err := postPatiently(ctx, b.bag.client, b.bag.target, docs, 5*time.Second)
			if err != nil {
				b.bag.trouble(len(docs), err)
			} else {
				b.bag.sent.Add(int64(len(docs)))
				b.bag.refused.Add(int64(refused))
			}
		}
		docs, size = nil, 0
	}
	add := func(d []byte) {
		docs = append(docs, d)
		if size += len(d); len(docs) == batchDocuments || size >= batchBytes {
			flush()
		}
	}
	for {
		select {
		case d := <-b.documents:
			add(d)
		case <-tick.C:
			flush()
		case <-b.stop:
			for {
				select {
				case d := <-b.documents:
					add(d)
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
	begun, pause := time.Now(), 50*time.Millisecond
	for {
		refused, err = post(ctx, client, target, body)
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
