package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"

	"github.com/roentgen-io/roentgen/internal/config"
	"github.com/roentgen-io/roentgen/internal/keys"
	"github.com/roentgen-io/roentgen/internal/receiver/otlp"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
)

// Spans may be sent to the port of everything else, and to the two ports that
// OpenTelemetry names, which take nothing else. One HTTP server serves all of them:
// connections, TLS, keys and slow peers are the same matter everywhere.

// listenOTLP binds the ports of OpenTelemetry. One that stands at its default and is
// taken, by a collector say, is left out with a warning: a server must not fail to start
// for a port that nobody asked for.
func (s *Server) listenOTLP(ctx context.Context) error {
	c := s.cfg.Settings
	var lc net.ListenConfig
	for _, p := range []struct{ setting, address, standard string }{
		{"otlp-grpc", c.OTLPGRPC, config.DefaultOTLPGRPC},
		{"otlp-http", c.OTLPHTTP, config.DefaultOTLPHTTP},
	} {
		if p.address == "" || p.address == "off" {
			continue
		}
		l, err := lc.Listen(ctx, "tcp", p.address)
		if err == nil {
			s.sockets.otlp = append(s.sockets.otlp, l)
			s.logger.Info("spans are taken", slog.String("setting", p.setting), slog.String("address", l.Addr().String()))
			continue
		}
		failed := newListenError("TCP", p.address, p.setting, err)
		if p.address != p.standard || !errors.Is(err, syscall.EADDRINUSE) {
			return failed
		}
		s.logger.Warn("a port of OpenTelemetry is taken; spans sent to it go elsewhere",
			slog.String("setting", p.setting), slog.String("address", p.address), slog.String("holder", failed.Holder))
	}
	return nil
}

// OTLPAddrs returns the addresses that take spans and nothing else.
func (s *Server) OTLPAddrs() (addrs []net.Addr) {
	for _, l := range s.sockets.otlp {
		addrs = append(addrs, l.Addr())
	}
	return addrs
}

type spansOnly struct{}

// markConn remembers a connection, and of one that came to a port for spans that it did.
func (s *Server) markConn(ctx context.Context, c net.Conn) context.Context {
	ctx = context.WithValue(ctx, connKey{}, underneath(c))
	for _, l := range s.sockets.otlp {
		if local, ok := c.LocalAddr().(*net.TCPAddr); ok && local.Port == l.Addr().(*net.TCPAddr).Port {
			return context.WithValue(ctx, spansOnly{}, true)
		}
	}
	return ctx
}

// takesSpansOnly reports whether a request came to a port for spans.
func takesSpansOnly(r *http.Request) bool { return r.Context().Value(spansOnly{}) != nil }

// pathOTLP is where spans are sent to, and whatever else is sent to a port for spans.
const pathOTLP = otlp.PathHTTP

// isOTLPPath reports whether a path is one of OpenTelemetry's: of its HTTP exporters, which
// add to a base that some configure with a path of their own, or of its gRPC services.
func isOTLPPath(path string) bool {
	return otlp.IsPath(path) || path == "/v1/metrics" || path == "/v1/logs" || strings.HasPrefix(path, "/opentelemetry.proto.collector.")
}

// newOTLP returns the handler of spans.
func (s *Server) newOTLP() *otlp.Handler {
	return otlp.New(otlp.Config{
		Sink: s.ingester, BodyBytes: int64(s.cfg.Settings.MaxBody),
		Hold:   func() otlp.Held { return s.bodies.Hold() },
		Admit:  func(ctx context.Context, spans, bytes int) bool { return keys.Of(ctx).Take(spans, bytes) },
		Logger: s.cfg.Logger,
	})
}

// joined is a listener that accepts for several.
type joined struct {
	net.Listener // the first
	all          []net.Listener
	accepted     chan accepted
	closed       chan struct{}
	close        sync.Once
	wg           sync.WaitGroup
}

type accepted struct {
	conn net.Conn
	err  error
}

// join returns a listener over all of list, which it owns from now on.
func join(list ...net.Listener) net.Listener {
	if len(list) == 1 {
		return list[0]
	}
	j := &joined{Listener: list[0], all: list, accepted: make(chan accepted), closed: make(chan struct{})}
	for _, l := range list {
		j.wg.Go(func() { j.accept(l) })
	}
	return j
}

func (j *joined) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		select {
		case j.accepted <- accepted{c, err}:
		case <-j.closed:
			if c != nil {
				c.Close()
			}
			return
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

func (j *joined) Accept() (net.Conn, error) {
	select {
	case a := <-j.accepted:
		return a.conn, a.err
	case <-j.closed:
		return nil, net.ErrClosed
	}
}

// Close closes all listeners and waits for what accepts on them.
func (j *joined) Close() error {
	var errs []error
	j.close.Do(func() {
		close(j.closed)
		for _, l := range j.all {
			errs = append(errs, l.Close())
		}
	})
	j.wg.Wait()
	return errors.Join(errs...)
}

var _ otlp.Held = (*xrayapi.Body)(nil)
