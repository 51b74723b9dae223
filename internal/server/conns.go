package server

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
	maxConns       = 4096
	// A peer may keep us waiting for graceTime, and a second more for each
	// minRate bytes.
	graceTime = 30 * time.Second
	minRate   = 16 << 10
	// lingerTime is how long the rest of a body that is too large is read and
	// thrown away after the answer. Many clients send all of it before they read.
	lingerTime = 5 * time.Second
)

// limitListener bounds the open connections. What comes on top is told so and
// closed, rather than left to wait for somebody else's connection to end.
type limitListener struct {
	net.Listener
	max     int
	open    prometheus.Gauge
	refused prometheus.Counter

	mu    sync.Mutex
	count int
}

func newLimitListener(l net.Listener, max int, reg prometheus.Registerer) *limitListener {
	ll := &limitListener{
		Listener: l, max: max,
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "roentgen_http_connections", Help: "Open TCP connections.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "roentgen_http_connections_refused_total", Help: "TCP connections that were closed at once because too many were open.",
		}),
	}
	if reg != nil {
		reg.MustRegister(ll.open, ll.refused)
	}
	return ll
}

const tooManyConns = "HTTP/1.1 503 Service Unavailable\r\n" +
	"Content-Type: application/json\r\nx-amzn-errortype: ServiceUnavailableException\r\n" +
	"Retry-After: 1\r\nConnection: close\r\nContent-Length: 54\r\n\r\n" +
	`{"Message":"Too many connections; try again in a bit"}`

func (l *limitListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		fits := l.count < l.max
		if fits {
			l.count++
		}
		l.mu.Unlock()
		if fits {
			l.open.Inc()
			return &countedConn{Conn: c, l: l}, nil
		}
		l.refused.Inc()
		// It fits into the empty buffer of a new connection, so this does not block.
		c.SetWriteDeadline(time.Now().Add(time.Second))
		io.WriteString(c, tooManyConns)
		c.Close()
	}
}

type countedConn struct {
	net.Conn
	l    *limitListener
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() {
		c.l.mu.Lock()
		c.l.count--
		c.l.mu.Unlock()
		c.l.open.Dec()
	})
	return c.Conn.Close()
}

// CloseWrite lets net/http close its half first, so that the client reads an
// answer to the end even when it has more to send.
func (c *countedConn) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

// newConns remembers connections on which no request has begun. At shutdown
// net/http would wait 5 s for them.
type newConns struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

func (n *newConns) state(c net.Conn, s http.ConnState) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s != http.StateNew {
		delete(n.conns, c)
		return
	}
	if n.conns == nil {
		n.conns = make(map[net.Conn]struct{})
	}
	n.conns[c] = struct{}{}
}

func (n *newConns) closeAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		c.Close()
	}
}

// patient bounds how long a slow peer can hold a request: see the package
// comment. A handler may set deadlines of its own; the next read or write
// replaces them.
func patient(next http.Handler, grace time.Duration, rate int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		// A deadline of the request before on this connection must not hit this one's
		// "100 Continue".
		rc.SetWriteDeadline(time.Now().Add(grace))
		pw := &patientWriter{ResponseWriter: w, rc: rc, grace: grace, rate: rate}
		if r.Body != nil && r.Body != http.NoBody {
			pw.body = &patientBody{ReadCloser: r.Body, rc: rc, left: grace, rate: rate}
			r.Body = pw.body
		}
		next.ServeHTTP(pw, r)
		if pw.lingers {
			pw.linger()
		}
		pw.extend(0) // for what net/http still has to send, and to read
	})
}

type patientBody struct {
	io.ReadCloser
	rc    *http.ResponseController
	left  time.Duration // that reads may still wait
	rate  int64
	ended atomic.Bool
}

func (b *patientBody) Read(p []byte) (int, error) {
	begin := time.Now()
	b.rc.SetReadDeadline(begin.Add(b.left))
	n, err := b.ReadCloser.Read(p)
	b.left += time.Duration(n)*time.Second/time.Duration(b.rate) - time.Since(begin)
	if errors.Is(err, io.EOF) {
		// net/http reads on at the end of the body, to learn whether the client
		// leaves; that read has no deadline.
		b.ended.Store(true)
		b.rc.SetReadDeadline(time.Time{})
	}
	return n, err
}

type patientWriter struct {
	http.ResponseWriter
	rc    *http.ResponseController
	body  *patientBody // nil: none
	grace time.Duration
	rate  int64

	lingers bool // the answer is that the body is too large
}

// extend gives the peer time for n more bytes. Before net/http sends a header it
// reads what the handler left of the body, past our wrapper; that gets half of
// the grace, so that the other half is there for the answer.
func (w *patientWriter) extend(n int) {
	now := time.Now()
	w.rc.SetWriteDeadline(now.Add(w.grace + time.Duration(n)*time.Second/time.Duration(w.rate)))
	if w.body != nil && !w.body.ended.Load() {
		w.rc.SetReadDeadline(now.Add(w.grace / 2))
	}
}

func (w *patientWriter) WriteHeader(status int) {
	w.extend(0)
	if status == http.StatusRequestEntityTooLarge && w.body != nil && !w.body.ended.Load() {
		// Without full duplex net/http lets nobody read behind the answer.
		w.lingers = w.rc.EnableFullDuplex() == nil
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *patientWriter) Write(p []byte) (int, error) {
	w.extend(len(p))
	return w.ResponseWriter.Write(p)
}

// linger sends the answer and reads on for a while. A connection that is closed
// while its client still sends is reset, and the client then sees a broken
// connection instead of the answer.
func (w *patientWriter) linger() {
	if w.rc.Flush() != nil {
		return
	}
	w.rc.SetReadDeadline(time.Now().Add(lingerTime))
	if _, err := io.Copy(io.Discard, w.body.ReadCloser); err == nil {
		w.body.ended.Store(true)
	}
}

// Flush satisfies http.Flusher.
func (w *patientWriter) Flush() {
	w.extend(0)
	w.rc.Flush()
}

// Unwrap is for http.ResponseController.
func (w *patientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
