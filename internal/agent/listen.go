package agent

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/roentgen-io/roentgen/internal/telemetry"
)

const (
	// maxConns bounds open connections. A new one takes the place of the one that has
	// rested longest; when none rests, it is closed at once.
	maxConns = 512
	// firstByteWithin is how long a connection may say nothing at all.
	firstByteWithin = 30 * time.Second
)

// front accepts connections of one listener and tells HTTP from framed
// documents by the first byte: documents begin with a header, and so with a
// brace; no HTTP request does.
type front struct {
	ln     net.Listener
	logger *slog.Logger
	stream func(net.Conn) // serves a framed connection and closes it
	limit  telemetry.Limiter

	http      chan net.Conn
	wg        sync.WaitGroup
	closeOnce sync.Once
	closeErr  error
	mu        struct {
		sync.Mutex
		conns  map[net.Conn]struct{} // whose kind is not known yet, or that are framed
		open   int
		closed bool
		// resting are connections on which nothing is under way, by when they came to rest:
		// those that have said nothing yet, and those between two requests.
		resting map[*countedConn]uint64
		rests   uint64
	}
	done chan struct{}
}

func newFront(ln net.Listener, logger *slog.Logger, stream func(net.Conn)) *front {
	f := &front{ln: ln, logger: logger, stream: stream, http: make(chan net.Conn), done: make(chan struct{})}
	f.mu.conns = make(map[net.Conn]struct{})
	f.mu.resting = make(map[*countedConn]uint64)
	return f
}

func (f *front) start() { f.wg.Go(f.acceptLoop) }

func (f *front) acceptLoop() {
	for {
		c, err := f.ln.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			f.limit.Log(f.logger, slog.LevelWarn, "connection not accepted", slog.Any("err", err))
			select {
			case <-time.After(10 * time.Millisecond): // out of file descriptors, say
			case <-f.done:
				return
			}
			continue
		}
		f.makeRoom()
		counted := &countedConn{Conn: c, f: f}
		f.mu.Lock()
		fits := f.mu.open < maxConns && !f.mu.closed
		if fits {
			f.mu.open++
			f.mu.conns[c] = struct{}{}
			f.rest(counted)
		}
		f.mu.Unlock()
		if !fits {
			f.limit.Log(f.logger, slog.LevelWarn, "connection closed, since too many are open", slog.Int("most", maxConns))
			c.Close()
			continue
		}
		f.wg.Go(func() { f.sort(counted) })
	}
}

// rest notes that nothing is under way on a connection. The caller holds mu.
func (f *front) rest(c *countedConn) {
	f.mu.rests++
	f.mu.resting[c] = f.mu.rests
}

// makeRoom closes the connection that has rested longest when there is no room for
// another one. Every program that is traced may keep one, to ask for sampling rules.
func (f *front) makeRoom() {
	f.mu.Lock()
	var longest *countedConn
	if f.mu.open >= maxConns {
		for c, at := range f.mu.resting {
			if longest == nil || at < f.mu.resting[longest] {
				longest = c
			}
		}
	}
	f.mu.Unlock()
	if longest != nil {
		_ = longest.Close() // it rests
	}
}

// connState learns from net/http which connections rest.
func connState(c net.Conn, state http.ConnState) {
	counted, ok := c.(*countedConn)
	if !ok {
		return
	}
	f := counted.f
	f.mu.Lock()
	defer f.mu.Unlock()
	switch state {
	case http.StateIdle:
		if !counted.closed { // by makeRoom, say
			f.rest(counted)
		}
	case http.StateActive, http.StateClosed, http.StateHijacked:
		delete(f.mu.resting, counted)
	}
}

// sort finds out what a connection speaks.
func (f *front) sort(counted *countedConn) {
	c := counted.Conn
	first := make([]byte, 1)
	c.SetReadDeadline(time.Now().Add(firstByteWithin))
	if _, err := c.Read(first); err != nil {
		_ = counted.Close() // nothing was said on it
		return
	}
	c.SetReadDeadline(time.Time{})
	counted.first = first
	f.mu.Lock()
	delete(f.mu.resting, counted)
	f.mu.Unlock()
	if first[0] == '{' {
		f.stream(counted)
		return
	}
	f.mu.Lock()
	delete(f.mu.conns, c) // it is net/http's from now on
	f.mu.Unlock()
	select {
	case f.http <- counted:
	case <-f.done:
		_ = counted.Close() // nothing was said on it
	}
}

// shut stops accepting. Framed connections learn that they have to end; those of
// HTTP are left to their server.
func (f *front) shut() {
	f.mu.Lock()
	if !f.mu.closed {
		f.mu.closed = true
		close(f.done)
		_ = f.Close() // it may be closed already
		for c := range f.mu.conns {
			c.SetReadDeadline(time.Now()) // ends a read under way
		}
	}
	f.mu.Unlock()
	f.wg.Wait()
}

// Accept, Close and Addr make the HTTP half a net.Listener.
func (f *front) Accept() (net.Conn, error) {
	select {
	case c := <-f.http:
		return c, nil
	case <-f.done:
		return nil, net.ErrClosed
	}
}

// Close stops accepting. net/http calls it, too, when it shuts down.
func (f *front) Close() error {
	f.closeOnce.Do(func() { f.closeErr = f.ln.Close() })
	return f.closeErr
}

// Addr implements net.Listener.
func (f *front) Addr() net.Addr { return f.ln.Addr() }

// countedConn gives back the first byte, and its place when it closes.
type countedConn struct {
	net.Conn
	f      *front
	first  []byte
	once   sync.Once
	closed bool // guarded by f.mu
}

func (c *countedConn) Read(p []byte) (int, error) {
	if len(c.first) > 0 && len(p) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

func (c *countedConn) Close() error {
	c.once.Do(func() {
		c.f.mu.Lock()
		c.closed = true
		c.f.mu.open--
		delete(c.f.mu.conns, c.Conn)
		delete(c.f.mu.resting, c)
		c.f.mu.Unlock()
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
