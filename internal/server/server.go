package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/config"
	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/internal/query"
	"github.com/roentgen-io/roentgen/internal/receiver/udp"
	"github.com/roentgen-io/roentgen/internal/telemetry"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/webapi"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

// startWait is how long a request waits for the store to open before it is told
// to come again.
const startWait = 5 * time.Second

// Config sets up a Server.
type Config struct {
	Settings    *config.Config
	Build       telemetry.Build
	WriteConfig func(w io.Writer) error // for /debug/config; nil: nothing is shown
	Logger      *slog.Logger            // nil: discard

	// OpenStore opens the store; nil: the embedded engine in Settings.DataDir.
	// groups gives the versions of groups that traces are filed under.
	OpenStore func(ctx context.Context, c *config.Config, groups func() []tracestore.Group, logger *slog.Logger, reg prometheus.Registerer) (tracestore.Store, error)
}

// Server is a running Roentgen.
type Server struct {
	cfg     Config
	logger  *slog.Logger
	sockets *sockets
	health  *telemetry.Health
	http    *http.Server
	fresh   newConns
	failed  chan error    // one value: how Serve ended, when by itself
	served  chan struct{} // closed when Serve has ended

	store    tracestore.Store
	stats    atomic.Pointer[func() tracestore.Stats]
	ingester *ingest.Ingester
	receiver *udp.Receiver

	// stopping ends, by endStreams, when the server begins to stop.
	stopping   context.Context
	endStreams context.CancelFunc

	opened  chan struct{} // closed when the API can answer, or never will
	api     atomic.Pointer[http.Handler]
	page    pageData
	metrics http.Handler

	close struct {
		sync.Once
		err error
	}
}

// Start binds the sockets, opens the store and starts to serve; it returns when
// the server is ready. When it fails nothing is left running. ctx bounds the
// start only.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.OpenStore == nil {
		cfg.OpenStore = openStore
	}
	if cfg.WriteConfig == nil {
		cfg.WriteConfig = func(io.Writer) error { return nil }
	}
	s := &Server{
		cfg: cfg, logger: cfg.Logger.With(slog.String("component", "server")),
		opened: make(chan struct{}), failed: make(chan error, 1), served: make(chan struct{}),
	}
	s.stopping, s.endStreams = context.WithCancel(context.Background())
	var err error
	if s.sockets, err = listen(ctx, cfg.Settings.Listen, cfg.Settings.UDPAddress()); err != nil {
		return nil, err
	}
	reg := telemetry.NewRegistry(cfg.Build)
	s.startHTTP(reg)
	if err := s.startRest(ctx, reg); err != nil {
		close(s.opened)
		stop, cancel := context.WithCancel(context.Background())
		cancel() // whoever waits for the store gets no more time
		return nil, errors.Join(err, s.Close(stop))
	}
	return s, nil
}

// startHTTP serves health and metrics; the API waits.
func (s *Server) startHTTP(reg *prometheus.Registry) {
	s.health = telemetry.NewHealth(func() string {
		if why := s.storeStats().Unavailable; why != "" {
			return "documents are refused: " + why
		}
		return ""
	})
	s.health.Await("store", "being opened")
	s.metrics = telemetry.Pages{
		Registry: reg, Health: s.health, Build: s.cfg.Build, Config: s.cfg.WriteConfig,
		Store: func() any { return s.storeStats() },
	}.Handler()
	reg.MustRegister(newStoreCollector(s.storeStats))
	s.page = pageData{Version: s.cfg.Build.Version, Region: s.cfg.Settings.Region}
	guarded := xrayapi.Guard(http.HandlerFunc(s.route), xrayapi.GuardConfig{Hosts: s.cfg.Settings.Hosts, API: openToAnyName})
	s.http = &http.Server{
		Handler:           patient(guarded, graceTime, minRate),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnState:         s.fresh.state,
		ErrorLog:          log.New(&httpLog{logger: s.logger}, "", 0),
	}
	listener := newLimitListener(s.sockets.tcp, maxConns, reg)
	go func() {
		defer close(s.served)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	}()
}

// openToAnyName reports whether a path may be asked for under any host name by
// clients that are no browsers: SDKs and probes reach a server under the name of
// its container or service. Metrics are not among them: a page of another site
// that rebinds its name to this address can send a GET without any sign of a
// browser, and read the answer.
func openToAnyName(path string) bool {
	return xrayapi.IsOperation(path) || strings.HasPrefix(path, "/-/")
}

// startRest opens the store and starts what needs it.
func (s *Server) startRest(ctx context.Context, reg *prometheus.Registry) error {
	c, logger := s.cfg.Settings, s.cfg.Logger
	state, err := openControl(c, logger)
	if err != nil {
		return storeError(c.DataDir, err)
	}
	store, err := s.cfg.OpenStore(ctx, c, state.StoreGroups, logger, reg)
	if err != nil {
		return storeError(c.DataDir, err)
	}
	state.Attach(store)
	s.store = store
	stats := store.Stats
	s.stats.Store(&stats)
	s.ingester = ingest.New(ingest.Config{
		Store:         store,
		Limits:        segment.Limits{DocumentBytes: int(c.MaxDocument), RefuseArrays: c.AWSLimits},
		InFlightBytes: int64(c.MaxInFlight),
		Retention:     c.Retention,
		Logger:        logger, Registerer: reg,
	})
	questions := query.New(store)
	questions.UseGroups(state.Expression)
	questions.UseChanges(func() query.Changes { return query.Changes(s.ingester.Subscribe()) })
	bodies := xrayapi.NewBodies(int64(c.MaxInFlight))
	bodyBytes := int64(c.MaxBody)
	if c.AWSLimits && c.MaxBody == config.NewDefault().MaxBody {
		bodyBytes = 0 // the API knows AWS's
	}
	api := xrayapi.New(xrayapi.Config{
		Ingester: s.ingester, Query: questions, Control: state, Graph: store,
		Group: state.Resolve, Selector: readSelector,
		AWSLimits: c.AWSLimits, BodyBytes: bodyBytes, Bodies: bodies,
		Region: c.Region, AccountID: c.Account,
		Logger: logger, Registerer: reg,
	})
	own := webapi.New(webapi.Config{
		Ingester: s.ingester, Query: questions, DeadLetters: store, Stopping: s.stopping,
		BodyBytes: int64(c.MaxBody), Bodies: bodies, Logger: logger,
	})
	if s.sockets.udp != nil {
		s.receiver = udp.New(udp.Config{
			Conn: s.sockets.udp, Sink: s.ingester, QueueBytes: int64(c.UDPQueue), Logger: logger, Registerer: reg,
		})
		s.receiver.Start()
	}
	var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") && !xrayapi.IsOperation(r.URL.Path) {
			own.ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r)
	})
	s.api.Store(&handler)
	close(s.opened)
	s.health.Ready("store")
	return nil
}

// route sends a request to its handler. It compares paths by hand, since
// http.ServeMux redirects unclean ones, which no SDK follows with a POST.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	switch {
	case xrayapi.IsOperation(path):
	case path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		d := s.page
		d.URL = "http://" + r.Host
		if r.Host == "" {
			d.URL = s.URL()
		}
		if u := s.UDPAddr(); u != nil {
			d.UDP = reachable(u, d.URL)
		}
		servePage(w, r, d)
		return
	case path == "/metrics", strings.HasPrefix(path, "/-/"), path == "/debug", strings.HasPrefix(path, "/debug/"):
		s.metrics.ServeHTTP(w, r)
		return
	}
	select {
	case <-s.opened:
	default:
		t := time.NewTimer(startWait)
		defer t.Stop()
		select {
		case <-s.opened:
		case <-t.C:
		}
	}
	if h := s.api.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	xrayapi.WriteError(w, apierr.New(apierr.Unavailable, "The server is starting or stopping; try again in a moment"))
}

// reachable returns the address to send datagrams to, for a caller who reached us
// by url. Whoever listens on all addresses has to be told by which one he is
// known: "all" leads nowhere.
func reachable(u *net.UDPAddr, byURL string) string {
	if parsed, err := url.Parse(byURL); err == nil && u.IP.IsUnspecified() {
		return net.JoinHostPort(parsed.Hostname(), strconv.Itoa(u.Port))
	}
	return u.String()
}

func (s *Server) storeStats() tracestore.Stats {
	if f := s.stats.Load(); f != nil {
		return (*f)()
	}
	return tracestore.Stats{}
}

// URL returns where the server answers, such as "http://127.0.0.1:2000". An
// address that stands for all of the machine's is shown as the loopback one.
func (s *Server) URL() string {
	a := s.sockets.tcp.Addr().(*net.TCPAddr)
	host := a.IP.String()
	if a.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(a.Port))
}

// UDPAddr returns the address that takes datagrams, nil when none does.
func (s *Server) UDPAddr() *net.UDPAddr {
	if s.sockets.udp == nil {
		return nil
	}
	return s.sockets.udp.LocalAddr().(*net.UDPAddr)
}

// ReadyText says, for people, where the server is and where its data lies.
func (s *Server) ReadyText() string {
	ways := "TCP only"
	if u := s.UDPAddr(); u != nil {
		ways = "UDP and TCP"
		if t := s.sockets.tcp.Addr().(*net.TCPAddr); t.Port != u.Port || !t.IP.Equal(u.IP) {
			ways = "TCP; UDP on " + u.String()
		}
	}
	return fmt.Sprintf("roentgen is ready on %s (%s), data in %s", s.URL(), ways, s.cfg.Settings.DataDir)
}

// Failed gives the error with which serving ended by itself. It is never given
// after Close.
func (s *Server) Failed() <-chan error { return s.failed }

// Close stops the server: see the package comment for the order. What was read
// is stored and what was asked is answered, until ctx is done; then connections
// are cut and what could not be stored is dropped, counted and logged. The error
// tells about that, or about a store that did not close well. It is safe to call
// twice.
func (s *Server) Close(ctx context.Context) error {
	s.close.Do(func() { s.close.err = s.stop(ctx) })
	return s.close.err
}

func (s *Server) stop(ctx context.Context) error {
	begin := time.Now()
	s.health.Await("server", "shutting down")
	s.endStreams()
	var wg sync.WaitGroup
	var httpErr, udpErr error
	wg.Go(func() {
		s.fresh.closeAll()
		if httpErr = s.http.Shutdown(ctx); httpErr != nil {
			httpErr = fmt.Errorf("requests were cut off: %w", httpErr)
			s.http.Close()
		}
		<-s.served // only then is the listener closed for sure
	})
	wg.Go(func() {
		switch {
		case s.receiver != nil:
			if udpErr = s.receiver.Close(ctx); udpErr != nil {
				udpErr = fmt.Errorf("segments that came over UDP were dropped: %w", udpErr)
			}
		case s.sockets.udp != nil:
			s.sockets.udp.Close()
		}
	})
	wg.Wait()
	errs := []error{httpErr, udpErr}
	if s.ingester != nil {
		errs = append(errs, s.ingester.Close())
	}
	if s.store != nil {
		// From here on figures are those of the closing moment.
		last := s.store.Stats()
		frozen := func() tracestore.Stats { return last }
		s.stats.Store(&frozen)
		if err := s.store.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close the store: %w", err))
		}
	}
	err := errors.Join(errs...)
	if s.store != nil {
		attrs := []slog.Attr{slog.Duration("took", time.Since(begin))}
		if err != nil {
			attrs = append(attrs, slog.Any("err", err))
		}
		s.logger.LogAttrs(context.Background(), slog.LevelInfo, "server stopped", attrs...)
	}
	return err
}

// httpLog takes what net/http logs. Nearly all of it is what peers do, and of
// interest to nobody but a debugging person; a panic is a mistake of ours.
type httpLog struct {
	logger       *slog.Logger
	peers, panic telemetry.Limiter
}

func (l *httpLog) Write(p []byte) (int, error) {
	text := slog.String("text", strings.TrimSpace(string(p)))
	if strings.Contains(string(p), "panic serving") {
		l.panic.Log(l.logger, slog.LevelError, "request handler panicked", text)
	} else {
		l.peers.Log(l.logger, slog.LevelDebug, "http connection failed", text)
	}
	return len(p), nil
}
