package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/access"
	"github.com/roentgen-io/roentgen/internal/agent"
	"github.com/roentgen-io/roentgen/internal/config"
	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/internal/keys"
	"github.com/roentgen-io/roentgen/internal/neighbours"
	"github.com/roentgen-io/roentgen/internal/query"
	"github.com/roentgen-io/roentgen/internal/receiver/udp"
	"github.com/roentgen-io/roentgen/internal/reports"
	"github.com/roentgen-io/roentgen/internal/sampling"
	"github.com/roentgen-io/roentgen/internal/session"
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
	InForce     func() []config.InForce // for /api/settings; nil: nothing is shown
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
	keys    *keys.Ring // nil: nobody needs a key
	signed  *session.Store
	used    *keys.Usage
	cert    *certificate // nil: no TLS
	bodies  *xrayapi.Bodies
	health  *telemetry.Health
	http    *http.Server
	resting restingConns
	failed  chan error    // one value: how Serve ended, when by itself
	served  chan struct{} // closed when Serve has ended

	store   tracestore.Store
	stats   atomic.Pointer[func() tracestore.Stats]
	forward *agent.Forwarder // nil: nothing is passed on
	// forwarding is forward, for those who ask while the server starts or stops.
	forwarding atomic.Pointer[agent.Forwarder]
	ingester   *ingest.Ingester
	receiver   *udp.Receiver
	reports    *reports.Keeper

	// stopping ends, by endStreams, when the server begins to stop.
	stopping   context.Context
	endStreams context.CancelFunc

	started time.Time
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
	if cfg.InForce == nil {
		cfg.InForce = func() []config.InForce { return nil }
	}
	s := &Server{
		cfg: cfg, logger: cfg.Logger.With(slog.String("component", "server")),
		started: time.Now(), opened: make(chan struct{}), failed: make(chan error, 1), served: make(chan struct{}),
	}
	s.stopping, s.endStreams = context.WithCancel(context.Background())
	if err := s.openLocks(); err != nil {
		return nil, err
	}
	s.bodies = xrayapi.NewBodies(int64(cfg.Settings.MaxInFlight))
	var err error
	if s.sockets, err = listen(ctx, cfg.Settings.Listen, cfg.Settings.UDPAddress()); err != nil {
		return nil, err
	}
	if err := s.listenOTLP(ctx); err != nil {
		s.sockets.close()
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

// openLocks reads the files of keys and certificates that the settings name.
func (s *Server) openLocks() (err error) {
	c := s.cfg.Settings
	if c.Keys != "" {
		s.keys, err = keys.OpenRing(keys.RingOptions{
			Path: c.Keys, DocumentsPerSecond: int64(c.KeyDocuments), BytesPerSecond: int64(c.KeyBytes), Logger: s.cfg.Logger,
		})
		if err != nil {
			return err
		}
		if s.keys.Len() == 0 {
			s.logger.Warn("no key is in force, so every request will be refused", slog.String("file", c.Keys))
		}
	}
	if c.TLSCert != "" {
		s.cert, err = openCertificate(c.TLSCert, c.TLSKey, s.logger)
	}
	return err
}

// Reload reads keys and certificates again at once; they are followed anyway. What
// cannot be read is logged, and stays as it was.
func (s *Server) Reload() {
	if s.keys != nil {
		_ = s.keys.Reload() // logged by the ring
	}
	if s.cert != nil {
		_ = s.cert.value.Reload() // logged by the certificate
	}
}

// startHTTP serves health and metrics; the API waits.
func (s *Server) startHTTP(reg *prometheus.Registry) {
	s.health = telemetry.NewHealth(s.degraded)
	s.health.Await("store", "being opened")
	s.metrics = telemetry.Pages{
		Registry: reg, Health: s.health, Build: s.cfg.Build, Config: s.cfg.WriteConfig,
		Store: func() any { return s.storeStats() }, Remote: s.keys != nil,
	}.Handler()
	reg.MustRegister(newStoreCollector(s.storeStats))
	s.page = pageData{Version: s.cfg.Build.Version, Region: s.cfg.Settings.Region, Keys: s.keys != nil}
	var handler http.Handler = http.HandlerFunc(s.route)
	if s.keys != nil {
		s.signed = session.New(session.Options{
			Keys: s.keys, Idle: s.cfg.Settings.SessionIdle, Max: s.cfg.Settings.SessionMax, Registerer: reg,
		})
		s.used = keys.OpenUsage(keys.UsageOptions{Dir: s.cfg.Settings.DataDir, Logger: s.cfg.Logger})
		handler = access.New(handler, access.Config{
			Keys: s.keys, Sessions: s.signed, Used: s.used, Rule: s.rule, Bodies: s.bodies, UnsignedSampling: s.cfg.Settings.UnsignedSampling,
			AccountID: s.cfg.Settings.Account, Page: http.HandlerFunc(s.serveLocked), Logger: s.cfg.Logger, Registerer: reg,
		})
	}
	guarded := xrayapi.Guard(handler, xrayapi.GuardConfig{Hosts: s.cfg.Settings.Hosts, API: openToAnyName})
	s.http = &http.Server{
		Handler:           newStreams(maxOpenStreams, reg).bound(patient(guarded, graceTime, minRate)),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnState:         s.resting.state,
		ConnContext:       s.markConn,
		ErrorLog:          log.New(&httpLog{logger: s.logger}, "", 0),
		// OPTIONS * is nobody's business but the gate's.
		DisableGeneralOptionsHandler: true,

		Protocols: new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: connBuffer,
			MaxReceiveBufferPerStream:     streamBuffer,
			WriteByteTimeout:              graceTime, // of ends and control frames, which no request waits for
		},
	}
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetHTTP2(true)
	s.http.Protocols.SetUnencryptedHTTP2(s.cert == nil)
	serve := s.http.Serve
	if s.cert != nil {
		s.http.TLSConfig = s.cert.config()
		serve = func(l net.Listener) error { return s.http.ServeTLS(l, "", "") }
	}
	listener := newLimitListener(join(append([]net.Listener{s.sockets.tcp}, s.sockets.otlp...)...), maxConns, s.resting.closeOne, reg)
	go func() {
		defer close(s.served)
		if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
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
	return xrayapi.IsOperation(path) || strings.HasPrefix(path, "/-/") && path != pathForward || isOTLPPath(path)
}

// startRest opens the store and starts what needs it.
func (s *Server) startRest(ctx context.Context, reg *prometheus.Registry) error {
	c, logger := s.cfg.Settings, s.cfg.Logger
	limits := limitsOf(c)
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
	if err := s.openForwarder(ctx, reg); err != nil {
		return err
	}
	var forward ingest.Forwarder
	if s.forward != nil {
		forward = s.forward
	}
	s.ingester = ingest.New(ingest.Config{
		Store:         store,
		Spans:         spanMapping(c),
		Forward:       forward,
		Limits:        segment.Limits{DocumentBytes: limits.documentBytes, RefuseArrays: c.AWSLimits},
		TraceBytes:    limits.traceBytes,
		InFlightBytes: int64(c.MaxInFlight),
		Retention:     c.Retention,
		Logger:        logger, Registerer: reg,
	})
	questions := query.New(store)
	questions.UseGroups(state.Expression)
	questions.LimitAnnotations(limits.annotations)
	questions.UseChanges(func() query.Changes { return query.Changes(s.ingester.Subscribe()) })
	s.reports = reports.Open(reports.Options{Dir: c.DataDir, Logger: logger})
	sampler := sampling.New()
	api := xrayapi.New(xrayapi.Config{
		Ingester: s.ingester, Query: questions, Control: state, Sampler: sampler, Graph: store,
		Group: state.Resolve, Selector: readSelector, Reports: s.reports,
		AWSLimits: c.AWSLimits, Limits: limits.api, BodyBytes: limits.bodyBytes, Bodies: s.bodies,
		Region: c.Region, AccountID: c.Account,
		Logger: logger, Registerer: reg,
	})
	own := webapi.New(webapi.Config{
		Keys: s.keys, Sessions: s.signed, Used: s.used, About: s.about, Status: s.status, Settings: s.cfg.InForce,
		Ingester: s.ingester, Query: questions, DeadLetters: store, Control: state, Sampler: sampler, Reports: s.reports,
		Undelivered: s.undelivered, LinkPlaces: linkPlaces(),
		Stopping:  s.stopping,
		BodyBytes: int64(c.MaxBody), Bodies: s.bodies, Logger: logger,
	})
	if s.sockets.udp != nil {
		s.receiver = udp.New(udp.Config{
			Conn: s.sockets.udp, Sink: s.ingester, Allow: c.UDPNetworks(), QueueBytes: int64(c.UDPQueue), Logger: logger, Registerer: reg,
		})
		if addr := s.UDPAddr(); s.keys != nil && len(c.UDPAllow) == 0 && !addr.IP.IsLoopback() {
			s.logger.Info("datagrams are taken from this machine alone; udp-allow names other networks", slog.String("address", addr.String()))
		}
		s.receiver.Start()
	}
	spans := s.newOTLP()
	others := neighbours.New(neighbours.Config{Query: questions, Graph: store, Version: s.cfg.Build.Version, Logger: logger})
	var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isOTLPPath(r.URL.Path) || takesSpansOnly(r) {
			spans.ServeHTTP(w, r)
			return
		}
		if place := placeOf(r.URL.Path); place == neighbours.PrefixTempo || place == neighbours.PrefixJaeger {
			others.ServeHTTP(w, r)
			return
		}
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
	switch place := placeOf(r.URL.Path); {
	case takesSpansOnly(r) && place != pathHealth:
	case place == pathPage:
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			break // the API says what it thinks of that
		}
		if isPageFile(r.URL.Path) {
			servePageFile(w, r)
			return
		}
		d := s.page
		d.URL, d.UDP = s.callersURL(r), s.about(r).UDP
		servePage(w, r, d)
		return
	case place == pathForward:
		s.serveForward(w, r)
		return
	case place == pathMetrics, place == pathHealth, place == pathDebug:
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

// about tells the page what it has to know of the server.
func (s *Server) about(r *http.Request) webapi.About {
	a := webapi.About{Region: s.cfg.Settings.Region, Version: s.cfg.Build.Version}
	if u := s.UDPAddr(); u != nil {
		a.UDP = reachable(u, s.callersURL(r))
	}
	return a
}

// status tells how the server is.
func (s *Server) status(ctx context.Context) (*webapi.ServerStatus, error) {
	c := s.cfg.Settings
	st := &webapi.ServerStatus{
		Build: s.cfg.Build, Missing: s.health.Missing(), Degraded: s.health.Degraded(), Started: float64(s.started.UnixMilli()) / 1e3,
		Stats: s.storeStats(), DiskBudget: int64(c.DiskBudget), Retention: c.Retention.Seconds(), DataDir: c.DataDir,
	}
	if dir, err := filepath.Abs(c.DataDir); err == nil {
		st.DataDir = dir
	}
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		st.MemoryLimit = limit
	}
	if in, ok := s.store.(tracestore.Inspector); ok {
		found, err := in.Inspect(ctx)
		if err != nil && !errors.Is(err, tracestore.ErrUnavailable) {
			return nil, err
		}
		if err == nil {
			st.Store = &found
		}
	}
	return st, nil
}

// callersURL returns the address of this server as its caller knows it.
func (s *Server) callersURL(r *http.Request) string {
	if r.Host == "" {
		return s.URL()
	}
	return s.scheme() + "://" + r.Host
}

func (s *Server) scheme() string {
	if s.cert != nil {
		return "https"
	}
	return "http"
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
	return s.scheme() + "://" + net.JoinHostPort(host, strconv.Itoa(a.Port))
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
		s.resting.closeNew()
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
	if s.forward != nil {
		if err := s.forward.Close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop passing on: %w", err))
		}
		s.forwarding.Store(nil)
	}
	if s.reports != nil {
		if err := s.reports.Close(); err != nil { // too little to fail for
			s.logger.Warn("reports of daemons were not saved", slog.Any("err", err))
		}
	}
	if err := s.used.Close(); err != nil { // too little to fail for
		s.logger.Warn("when keys were last used was not saved", slog.Any("err", err))
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
