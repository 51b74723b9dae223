package server

import (
	"context"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/xrayapi"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
)

const (
	// maxOpenStreams is how many requests of HTTP/2 may be under way over all
	// connections. The last half of them is for connections that have no more than
	// fewStreams.
	maxOpenStreams = 1024
	fewStreams     = 8
	// A connection of HTTP/2 whose client took back so many requests, and more than
	// were answered, is closed.
	maxTakenBack = 100
	// A connection of HTTP/2 may send fruitlessBytes from which nothing follows, and
	// fruitlessRate more each second: pings, settings, heads of requests that are
	// refused or never end. Each read counts as readCost bytes at least, since small
	// frames cost the most. It is more than what may lie before handlers that are slow,
	// connBuffer, and than what opening maxStreams takes.
	fruitlessBytes = 1 << 20
	fruitlessRate  = 64 << 10
	readCost       = 2 << 10
	// From suspectBytes on connections take turns, and between two turns lets everybody
	// else work. turnWait is in case that one of them does not end its turn.
	suspectBytes = 64 << 10
	turnWait     = time.Second
)

// past is a deadline that is over.
var past = time.Unix(1, 0)

// deadlines bound how long reads and writes of a request may take.
type deadlines interface {
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}

// streamDeadlines are deadlines of a request of HTTP/2. Those of net/http are messages
// to the goroutine of the connection; when one arrives after the client has taken the
// request back, it sets a timer that nobody stops and that holds on to the connection,
// with all its buffers, until it ends. These end with the handler.
type streamDeadlines struct {
	rc *http.ResponseController

	mu          sync.Mutex
	read, write *time.Timer // nil: not set yet
	ended       bool
}

// SetReadDeadline is http.ResponseController's.
func (d *streamDeadlines) SetReadDeadline(t time.Time) error {
	d.set(&d.read, t, d.rc.SetReadDeadline)
	return nil
}

// SetWriteDeadline is http.ResponseController's.
func (d *streamDeadlines) SetWriteDeadline(t time.Time) error {
	d.set(&d.write, t, d.rc.SetWriteDeadline)
	return nil
}

// set lets expire run at t, with a time at which net/http acts at once.
func (d *streamDeadlines) set(timer **time.Timer, t time.Time, expire func(time.Time) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.ended:
	case t.IsZero():
		if *timer != nil {
			(*timer).Stop()
		}
	case *timer != nil:
		(*timer).Reset(time.Until(t))
	default:
		*timer = time.AfterFunc(time.Until(t), func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			if !d.ended { // the ResponseWriter is good until the handler ends
				_ = expire(past) // it is HTTP/2, which can
			}
		})
	}
}

// end stops the deadlines for good.
func (d *streamDeadlines) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	for _, t := range []*time.Timer{d.read, d.write} {
		if t != nil {
			t.Stop()
		}
	}
}

// connKey finds in the context of a request the connection on which it came.
type connKey struct{}

func connOf(ctx context.Context) *countedConn {
	c, _ := ctx.Value(connKey{}).(*countedConn)
	return c
}

// underneath returns the connection below TLS.
func underneath(c net.Conn) net.Conn {
	if under, ok := c.(interface{ NetConn() net.Conn }); ok {
		return under.NetConn()
	}
	return c
}

// streams bounds the requests of HTTP/2, of which one connection can have many at
// once and take back as many as it likes.
type streams struct {
	most    int64 // open ones
	open    atomic.Int64
	refused prometheus.Counter
}

func newStreams(most int64, reg prometheus.Registerer) *streams {
	s := &streams{most: most, refused: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "roentgen_http2_requests_refused_total", Help: "Requests of HTTP/2 that were refused because too many were under way.",
	})}
	if reg != nil {
		reg.MustRegister(s.refused)
	}
	return s
}

// bound hands requests to next, of those of HTTP/2 as many as may be.
func (s *streams) bound(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := connOf(r.Context())
		if c == nil {
			next.ServeHTTP(w, r)
			return
		}
		if r.ProtoMajor != 2 {
			c.use.http1.Store(true)
			next.ServeHTTP(w, r)
			return
		}
		refused := false
		all, own := s.open.Add(1), c.use.open.Add(1)
		defer func() {
			s.open.Add(-1)
			c.use.open.Add(-1)
			if refused {
				return
			}
			if r.Context().Err() == nil {
				c.use.answered.Add(1)
				c.use.fruitful.Store(true)
			} else if n := c.use.takenBack.Add(1); n >= maxTakenBack && n > c.use.answered.Load() {
				c.abort()
			}
		}()
		if all > s.most || all > s.most/2 && own > fewStreams {
			refused = true
			s.refused.Inc()
			xrayapi.WriteError(w, apierr.New(apierr.Unavailable, "Too many requests are under way; try again in a bit"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// connUse is what came of a connection. What it says of HTTP/2 holds as long as no
// request of HTTP/1 came.
type connUse struct {
	http1     atomic.Bool
	open      atomic.Int64
	answered  atomic.Int64
	takenBack atomic.Int64
	fruitful  atomic.Bool // since the last read
	turn      atomic.Bool // it has one

	// The goroutine that reads has these.
	fruitless int64
	last      time.Time
}

// spend counts a read of so many bytes, and reports whether there may be more.
func (u *connUse) spend(bytes int, now time.Time) bool {
	if u.fruitful.Swap(false) {
		u.fruitless = 0
	}
	u.fruitless = max(0, u.fruitless-int64(now.Sub(u.last).Seconds()*fruitlessRate))
	u.last = now
	u.fruitless += int64(max(bytes, readCost))
	return u.fruitless <= fruitlessBytes
}

// takeTurn waits until it is the turn of a suspect connection to have worked on what
// it sent. It ends with endTurn, at the next read.
func (c *countedConn) takeTurn() {
	runtime.Gosched()
	select {
	case c.l.turns <- struct{}{}:
	default:
		t := time.NewTimer(turnWait)
		defer t.Stop()
		select {
		case c.l.turns <- struct{}{}:
		case <-t.C:
			return
		}
	}
	c.use.turn.Store(true)
	if c.closed.Load() {
		c.endTurn()
	}
}

func (c *countedConn) endTurn() {
	if c.use.turn.CompareAndSwap(true, false) {
		<-c.l.turns
	}
}
