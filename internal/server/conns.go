package server

import (
	"container/list"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
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
	// What one connection of HTTP/2 may ask for at a time, and send ahead of the
	// handlers; many connections must not fill the memory.
	maxStreams   = 64
	connBuffer   = 512 << 10
	streamBuffer = 256 << 10
)

// limitListener bounds the open connections. For one that comes on top makeRoom
// closes one that rests. When none does, the newcomer is told so and closed, rather
// than left to wait for somebody else's connection to end.
type limitListener struct {
	net.Listener
	max      int
	makeRoom func() bool // closes a connection and reports whether there was one to close
	open     prometheus.Gauge
	refused  prometheus.Counter
	closed   prometheus.Counter
	abused   prometheus.Counter

	turns chan struct{} // see takeTurn

	mu    sync.Mutex
	count int
}

func newLimitListener(l net.Listener, most int, makeRoom func() bool, reg prometheus.Registerer) *limitListener {
	ll := &limitListener{
		Listener: l, max: most, makeRoom: makeRoom, turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/4)),
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "roentgen_http_connections", Help: "Open TCP connections.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "roentgen_http_connections_refused_total", Help: "TCP connections that were closed at once because too many were open.",
		}),
		closed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "roentgen_http_connections_closed_for_others_total", Help: "TCP connections without a request under way that were closed to make room for new ones.",
		}),
		abused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "roentgen_http2_connections_abused_total", Help: "Connections of HTTP/2 that were closed because their clients took back most requests, or sent much from which nothing followed.",
		}),
	}
	if reg != nil {
		reg.MustRegister(ll.open, ll.refused, ll.closed, ll.abused)
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
		fits := l.enter()
		// What rests may have been closed already, by its peer say, and left no room.
		for !fits && l.makeRoom() {
			l.closed.Inc()
			fits = l.enter()
		}
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

// enter counts a new connection, unless there are too many.
func (l *limitListener) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count >= l.max {
		return false
	}
	l.count++
	return true
}

type countedConn struct {
	net.Conn
	l    *limitListener
	once sync.Once
	use  connUse

	closed atomic.Bool
	cut    sync.Once // for harm
}

// errAbused ends the reads of a connection that was closed by abort.
var errAbused = errors.New("server: too much was sent from which nothing followed")

// Read implements net.Conn.
func (c *countedConn) Read(p []byte) (int, error) {
	c.endTurn()
	n, err := c.Conn.Read(p)
	if n == 0 || c.use.http1.Load() {
		return n, err
	}
	if !c.use.spend(n, time.Now()) {
		c.abort()
		return 0, errAbused
	}
	if c.use.fruitless > suspectBytes {
		c.takeTurn()
	}
	return n, err
}

// abort closes a connection of HTTP/2 that is used for harm.
func (c *countedConn) abort() {
	c.cut.Do(c.l.abused.Inc)
	_ = c.Close() // it is of no use to anybody
}

func (c *countedConn) Close() error {
	c.once.Do(func() {
		c.l.mu.Lock()
		c.l.count--
		c.l.mu.Unlock()
		c.l.open.Dec()
	})
	c.closed.Store(true)
	c.endTurn()
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

// restingConns remembers the connections on which no request is under way, in the
// order in which they came to rest: those on which none has begun, whose head of a
// request may be arriving ever so slowly, and those that wait for the next one.
type restingConns struct {
	mu        sync.Mutex
	conns     map[net.Conn]*restingConn
	new, idle list.List // of net.Conn, the longest first
}

type restingConn struct {
	in      *list.List
	element *list.Element
}

// state is the ConnState of the server.
func (n *restingConns) state(c net.Conn, s http.ConnState) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.forget(c)
	var in *list.List
	switch s {
	case http.StateNew:
		in = &n.new
	case http.StateIdle:
		in = &n.idle
	default:
		return
	}
	if n.conns == nil {
		n.conns = make(map[net.Conn]*restingConn)
	}
	n.conns[c] = &restingConn{in, in.PushBack(c)}
}

func (n *restingConns) forget(c net.Conn) {
	if r := n.conns[c]; r != nil {
		r.in.Remove(r.element)
		delete(n.conns, c)
	}
}

// closeOne closes the connection that has rested longest, one without any request
// before one that had some. It reports whether there was one. A client that was about
// to send a request on it connects anew, as after any time of rest.
func (n *restingConns) closeOne() bool {
	n.mu.Lock()
	e := n.new.Front()
	if e == nil {
		e = n.idle.Front()
	}
	if e == nil {
		n.mu.Unlock()
		return false
	}
	c := e.Value.(net.Conn)
	n.forget(c)
	n.mu.Unlock()
	// TLS would say goodbye, and wait for a peer that does not listen.
	underneath(c).Close()
	return true
}

// closeNew closes the connections on which no request has begun. At shutdown net/http
// would wait 5 s for them.
func (n *restingConns) closeNew() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for e := n.new.Front(); e != nil; e = e.Next() {
		e.Value.(net.Conn).Close()
	}
}

// patient bounds how long a slow peer can hold a request: see the package
// comment. A handler may set deadlines of its own; the next read or write
// replaces them.
func patient(next http.Handler, grace time.Duration, rate int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		pw := &patientWriter{ResponseWriter: w, rc: rc, deadlines: rc, conn: connOf(r.Context()), grace: grace, rate: rate}
		if r.ProtoMajor == 2 {
			pw.stream = &streamDeadlines{rc: rc}
			pw.deadlines = pw.stream
			defer pw.stream.end()
		} else {
			// A deadline of the request before on this connection must not hit this one's
			// "100 Continue".
			_ = pw.SetWriteDeadline(time.Now().Add(grace))
		}
		if r.Body != nil && r.Body != http.NoBody {
			pw.body = &patientBody{ReadCloser: r.Body, deadlines: pw.deadlines, stream: pw.stream != nil, conn: pw.conn, left: grace, rate: rate}
			r.Body = pw.body
		}
		next.ServeHTTP(pw, r)
		if pw.lingers {
			pw.linger()
		}
		if pw.stream == nil {
			pw.extend(0) // for what net/http still has to send, and to read
		} else if pw.wrote {
			pw.Flush() // while there is a deadline; what net/http sends after it is no more than an end
		}
	})
}

type patientBody struct {
	io.ReadCloser
	deadlines
	stream bool          // of HTTP/2
	conn   *countedConn  // nil: not known
	left   time.Duration // that reads may still wait
	rate   int64
	ended  atomic.Bool
}

func (b *patientBody) Read(p []byte) (int, error) {
	begin := time.Now()
	_ = b.SetReadDeadline(begin.Add(b.left))
	n, err := b.ReadCloser.Read(p)
	if n > 0 && b.conn != nil {
		b.conn.use.fruitful.Store(true)
	}
	if b.stream {
		_ = b.SetReadDeadline(time.Time{}) // it would hit while the handler works
	}
	b.left += time.Duration(n)*time.Second/time.Duration(b.rate) - time.Since(begin)
	if errors.Is(err, io.EOF) {
		// net/http reads on at the end of the body, to learn whether the client
		// leaves; that read has no deadline.
		b.ended.Store(true)
		_ = b.SetReadDeadline(time.Time{})
	}
	return n, err
}

type patientWriter struct {
	http.ResponseWriter
	deadlines
	rc     *http.ResponseController
	conn   *countedConn     // nil: not known
	stream *streamDeadlines // the deadlines of a request of HTTP/2, nil for others
	body   *patientBody     // nil: none
	grace  time.Duration
	rate   int64

	wrote   bool // something that may have to wait for the client
	lingers bool // the answer is that nobody wants the body
}

// extend gives the peer time for n more bytes. Before net/http sends a header it
// reads what the handler left of the body, past our wrapper; that gets half of
// the grace, so that the other half is there for the answer.
func (w *patientWriter) extend(n int) {
	now := time.Now()
	_ = w.SetWriteDeadline(now.Add(w.grace + time.Duration(n)*time.Second/time.Duration(w.rate)))
	if w.stream == nil && w.body != nil && !w.body.ended.Load() {
		_ = w.SetReadDeadline(now.Add(w.grace / 2))
	}
}

func (w *patientWriter) WriteHeader(status int) {
	if w.stream == nil {
		w.extend(0)
	}
	switch status {
	case http.StatusRequestEntityTooLarge, http.StatusUnauthorized, http.StatusForbidden:
		// HTTP/2 can tell a client that the rest is not wanted.
		if w.stream == nil && w.body != nil && !w.body.ended.Load() {
			// Without full duplex net/http lets nobody read behind the answer.
			w.lingers = w.rc.EnableFullDuplex() == nil
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *patientWriter) Write(p []byte) (int, error) {
	w.extend(len(p))
	w.wrote = true
	n, err := w.ResponseWriter.Write(p)
	w.written(err)
	return n, err
}

// linger sends the answer and reads on for a while. A connection that is closed
// while its client still sends is reset, and the client then sees a broken
// connection instead of the answer.
func (w *patientWriter) linger() {
	if w.rc.Flush() != nil {
		return
	}
	_ = w.SetReadDeadline(time.Now().Add(lingerTime))
	if _, err := io.Copy(io.Discard, w.body.ReadCloser); err == nil {
		w.body.ended.Store(true)
	}
}

// written ends the deadline of a write to a stream of HTTP/2: it would hit while the
// handler works.
func (w *patientWriter) written(err error) {
	if w.stream == nil {
		return
	}
	_ = w.SetWriteDeadline(time.Time{})
	if err == nil && w.conn != nil {
		w.conn.use.fruitful.Store(true)
	}
}

// Flush satisfies http.Flusher.
func (w *patientWriter) Flush() { _ = w.FlushError() }

// FlushError is http.ResponseController's.
func (w *patientWriter) FlushError() error {
	w.extend(0)
	err := w.rc.Flush()
	w.written(err)
	return err
}

// Unwrap is for http.ResponseController.
func (w *patientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
