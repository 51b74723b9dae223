package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/roentgen-io/roentgen/internal/agent/spool"
	"github.com/roentgen-io/roentgen/internal/receiver/udp"
	"github.com/roentgen-io/roentgen/internal/telemetry"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
)

// Options set up an Agent.
type Options struct {
	Config *Config // completed
	Build  telemetry.Build
	Logger *slog.Logger // nil: discard
	Getenv func(string) string
}

// Agent is a running agent.
type Agent struct {
	outbox
	opts  Options
	cfg   atomic.Pointer[Config] // Reload replaces it
	start time.Time

	registry *prometheus.Registry
	health   *telemetry.Health
	intake   *intake
	handler  *handler
	receiver *udp.Receiver
	udp      atomic.Pointer[udp.Receiver] // receiver, for those who ask while it starts
	udpAddr  *net.UDPAddr
	own      []net.Addr // where TCP is served
	fronts   []*front
	http     *http.Server
	serving  sync.WaitGroup
	host     hostInfo

	streamCtx  context.Context
	endStreams context.CancelFunc
	udpCtx     context.Context
	endUDP     context.CancelFunc

	reporting  sync.WaitGroup
	reportCtx  context.Context
	endReports context.CancelFunc
	failed     chan error

	once     sync.Once
	closeErr error
}

// agentRemembered is for how many documents that came by calls an agent may know that
// it sent them. What comes as datagrams cannot come back as such.
const agentRemembered = 1 << 16

// Start binds the addresses, opens the spool and begins to take and deliver. When
// it fails nothing is left running.
func Start(ctx context.Context, opts Options) (*Agent, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Getenv == nil {
		opts.Getenv = os.Getenv
	}
	a := &Agent{opts: opts, start: time.Now(), registry: telemetry.NewRegistry(opts.Build), failed: make(chan error, 4)}
	logger := opts.Logger.With(slog.String("component", "agent"))
	a.outbox = outbox{
		loops: newLoops(newID(), agentRemembered, logger), logger: logger, version: opts.Build.Version, getenv: opts.Getenv, localMode: opts.Config.LocalMode,
		host: a.hostInfo, report: a.report, pressed: func() bool { return a.intake.pressed() },
	}
	a.cfg.Store(opts.Config)
	a.health = telemetry.NewHealth(a.degraded)
	a.streamCtx, a.endStreams = context.WithCancel(context.Background())
	a.udpCtx, a.endUDP = context.WithCancel(context.Background())
	a.reportCtx, a.endReports = context.WithCancel(context.Background())
	sockets, err := a.listen(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.open(); err != nil {
		sockets.close()
		return nil, err
	}
	if err := a.serve(sockets); err != nil {
		sockets.close()
		return nil, errors.Join(err, a.spool.Close())
	}
	return a, nil
}

// sockets are what an agent listens on.
type sockets struct {
	udp       *net.UDPConn
	listeners []net.Listener
}

func (s *sockets) close() {
	if s.udp != nil {
		s.udp.Close()
	}
	for _, l := range s.listeners {
		l.Close()
	}
}

// samePortTries is how often a free TCP port is looked for whose UDP twin is free too.
const samePortTries = 50

// listen binds everything. With port 0 for both, UDP gets the port of TCP.
func (a *Agent) listen(ctx context.Context) (*sockets, error) {
	for try := 1; ; try++ {
		s, err := a.bind(ctx)
		_, port, splitErr := net.SplitHostPort(a.cfg.Load().TCPAddress)
		if err == nil || splitErr != nil || port != "0" || try == samePortTries || !errors.Is(err, syscall.EADDRINUSE) {
			return s, err
		}
	}
}

func (a *Agent) bind(ctx context.Context) (*sockets, error) {
	var lc net.ListenConfig
	s := &sockets{}
	udpAddress := a.cfg.Load().UDPAddress
	if a.cfg.Load().TCPAddress != "" {
		ln, err := lc.Listen(ctx, "tcp", a.cfg.Load().TCPAddress)
		if err != nil {
			return nil, listenError("TCP", a.cfg.Load().TCPAddress, "--bind-tcp", err)
		}
		s.listeners = append(s.listeners, ln)
		if _, port, _ := net.SplitHostPort(udpAddress); port == "0" && udpAddress == a.cfg.Load().TCPAddress {
			udpAddress = ln.Addr().String()
		}
	}
	if udpAddress != "" {
		pc, err := lc.ListenPacket(ctx, "udp", udpAddress)
		if err != nil {
			s.close()
			return nil, listenError("UDP", udpAddress, "--bind", err)
		}
		s.udp = pc.(*net.UDPConn)
		a.udpAddr = s.udp.LocalAddr().(*net.UDPAddr)
	}
	if path := a.cfg.Load().UnixSocket; path != "" {
		ln, err := listenUnix(ctx, path)
		if err != nil {
			s.close()
			return nil, err
		}
		s.listeners = append(s.listeners, ln)
	}
	return s, nil
}

func listenError(network, address, flag string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("cannot listen on %s (%s): %w: another process, perhaps the X-Ray daemon, has the port; stop it, or choose another port with %s", address, network, syscall.EADDRINUSE, flag)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("cannot listen on %s (%s): the system keeps this port for privileged processes; choose one above 1023 with %s", address, network, flag)
	}
	return fmt.Errorf("cannot listen on %s (%s): %w", address, network, err)
}

// listenUnix listens on a Unix socket. A file that a process left behind when it
// was killed is replaced; one that somebody serves is not.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "unix", path)
	if errors.Is(err, syscall.EADDRINUSE) {
		if c, dialErr := net.DialTimeout("unix", path, time.Second); dialErr == nil {
			c.Close()
			return nil, fmt.Errorf("cannot listen on %s: another process does", path)
		}
		if info, statErr := os.Lstat(path); statErr == nil && info.Mode()&fs.ModeSocket != 0 {
			if err = os.Remove(path); err == nil {
				ln, err = lc.Listen(ctx, "unix", path)
			}
		}
	}
	if err == nil {
		// Every program on the machine may send, as it may to the port.
		err = os.Chmod(path, 0o666)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	return ln, nil
}

// open opens what is on disk.
func (a *Agent) open() error {
	cfg := a.cfg.Load()
	var dir string
	var first, err error
	for i, folder := range cfg.spoolFolders() {
		if i > 0 {
			if err = ownFolder(filepath.Dir(folder)); err != nil {
				continue
			}
		}
		dir = folder
		a.spool, err = spool.Open(spool.Options{
			Dir: dir, MaxBytes: cfg.SpoolSize, MaxAge: cfg.SpoolAge,
			PendingBytes: int64(cfg.BufferMB) << 20, Logger: a.opts.Logger,
		})
		if i == 0 {
			first = err
		}
		if !forbidden(err) {
			break
		}
	}
	if forbidden(err) {
		err = first
	}
	if err == nil && first != nil {
		a.logger.Warn("spool kept elsewhere, since its folder cannot be used; name one with --spool-dir that outlives a restart of the machine",
			slog.String("folder", dir), slog.Any("err", first))
	}
	if err != nil {
		if errors.Is(err, spool.ErrLocked) {
			return fmt.Errorf("another agent uses the spool %s; give this one its own with --spool-dir", dir)
		}
		if errors.Is(err, spool.ErrFormat) {
			return fmt.Errorf("%w; go back to that version, or let this one begin in another folder with --spool-dir", err)
		}
		if forbidden(err) {
			return fmt.Errorf("%w; name a folder that this user may write with --spool-dir", err)
		}
		return err
	}
	a.letters = newLetters(dir, a.logger)
	a.intake = &intake{spool: a.spool, outbox: &a.outbox, letters: a.letters, logger: a.logger}
	return nil
}

// serve starts everything that runs.
func (a *Agent) serve(s *sockets) error {
	p, err := newProcessor(a.cfg.Load().Processing)
	if err != nil {
		return err
	}
	a.intake.rules.Store(p)
	a.host = hostInfo{ResourceARN: a.cfg.Load().ResourceARN}
	a.handler = &handler{
		in: a.intake, bodies: xrayapi.NewBodies(maxBodies), putting: semaphore.NewWeighted(maxPutting), sampling: newSamplingCache(a.spool, a.logger), logger: a.logger,
	}
	for _, ln := range s.listeners {
		a.own = append(a.own, ln.Addr())
	}
	if err := a.serveDestinations(a.cfg.Load().Destinations); err != nil {
		return err
	}
	a.registry.MustRegister(&collector{a})
	a.handler.own = a.pages()
	if s.udp != nil {
		sink := udpSink{a.intake, a.udpCtx}
		a.receiver = udp.New(udp.Config{Conn: s.udp, Sink: sink, Direct: sink.take, Logger: a.opts.Logger, Registerer: a.registry})
		a.udp.Store(a.receiver)
		a.receiver.Start()
	}
	streams := &stream{in: a.intake, ctx: a.streamCtx, large: semaphore.NewWeighted(maxLarge)}
	a.http = &http.Server{
		Handler:           xrayapi.Guard(a.handler, xrayapi.GuardConfig{Hosts: a.cfg.Load().Hosts, API: func(path string) bool { return !isOwn(path) || strings.HasPrefix(path, "/-/") }}),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second, // a sender that stalls holds memory that others wait for
		WriteTimeout:      2 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		ConnState:         connState,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          log.New(&debugLog{logger: a.logger}, "", 0),
	}
	for _, ln := range s.listeners {
		f := newFront(ln, a.logger, streams.serve)
		f.start()
		a.fronts = append(a.fronts, f)
		a.serving.Go(func() {
			if err := a.http.Serve(f); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				a.failed <- err
			}
		})
	}
	// Instance metadata may take its time where there is none.
	a.reporting.Go(func() {
		h := discoverHost(a.reportCtx, a.cfg.Load().ResourceARN, a.cfg.Load().LocalMode, a.opts.Getenv)
		a.mu.Lock()
		a.host = h
		a.mu.Unlock()
	})
	return nil
}

// debugLog takes what net/http logs, which is what peers do.
type debugLog struct {
	logger *slog.Logger
	limit  telemetry.Limiter
}

func (l *debugLog) Write(p []byte) (int, error) {
	level := slog.LevelDebug
	if strings.Contains(string(p), "panic serving") {
		level = slog.LevelError
	}
	l.limit.Log(l.logger, level, "http connection failed", slog.String("text", strings.TrimSpace(string(p))))
	return len(p), nil
}

// hostInfo returns what telemetry tells about the machine.
func (a *Agent) hostInfo() hostInfo {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.host
}

// report begins to send the agent's own figures to a destination.
func (a *Agent) report(r *running) {
	ctx, cancel := context.WithCancel(a.reportCtx)
	r.cancel = cancel
	name := r.cfg.Name
	rep := &reporter{export: r.delivery.export, figures: r.delivery.figures, intake: a.intake, logger: a.logger, every: telemetryEvery, lost: func() int64 {
		return int64(a.kernelDropped() + a.spool.Stats().Places[name].Lost)
	}}
	a.reporting.Go(func() { rep.run(ctx) })
}

// serveDestinations has the outbox serve list, and the proxy pass calls on to the
// one that is to answer them.
func (a *Agent) serveDestinations(list []Destination) error {
	for i := range list {
		if list[i].LeadsTo(a.reportCtx, a.own) {
			return list[i].IsSelf("agent")
		}
	}
	if err := a.outbox.serve(list); err != nil {
		return err
	}
	a.mu.Lock()
	now := a.mu.deliveries
	a.mu.Unlock()
	var box *forwarderBox
	for _, r := range now {
		if f, ok := r.delivery.export.(forwarder); ok && r.cfg.Name == a.cfg.Load().SamplingFrom {
			box = &forwarderBox{f, r.cfg.Name}
		}
	}
	a.handler.proxy.Store(box)
	return nil
}

// Reload takes over settings that a running agent can: destinations, processing
// and sampling. It returns the names of changed settings that need a restart.
func (a *Agent) Reload(cfg *Config) (later []string, err error) {
	p, err := newProcessor(cfg.Processing)
	if err != nil {
		return nil, err
	}
	old := a.cfg.Load()
	for _, s := range []struct {
		name     string
		old, now any
	}{
		{"UDPAddress", old.UDPAddress, cfg.UDPAddress}, {"TCPAddress", old.TCPAddress, cfg.TCPAddress},
		{"UnixSocket", old.UnixSocket, cfg.UnixSocket}, {"SpoolDir", old.SpoolDir, cfg.SpoolDir},
		{"SpoolSize", old.SpoolSize, cfg.SpoolSize}, {"SpoolAge", old.SpoolAge, cfg.SpoolAge},
		{"TotalBufferSizeMB", old.BufferMB, cfg.BufferMB}, {"Logging.LogPath", old.LogPath, cfg.LogPath},
		{"LogFormat", old.LogFormat, cfg.LogFormat}, {"LocalMode", old.LocalMode, cfg.LocalMode},
		{"Hosts", strings.Join(old.Hosts, ","), strings.Join(cfg.Hosts, ",")}, {"ResourceARN", old.ResourceARN, cfg.ResourceARN},
	} {
		if s.old != s.now {
			later = append(later, s.name)
		}
	}
	next := *old
	next.Destinations, next.Processing, next.SamplingFrom, next.LogLevel = cfg.Destinations, cfg.Processing, cfg.SamplingFrom, cfg.LogLevel
	a.cfg.Store(&next)
	if err := a.serveDestinations(cfg.Destinations); err != nil {
		a.cfg.Store(old)
		return nil, err
	}
	a.intake.rules.Store(p)
	return later, nil
}

// TCPAddr returns where TCP is served, "" when it is not.
func (a *Agent) TCPAddr() string {
	for _, f := range a.fronts {
		if t, ok := f.Addr().(*net.TCPAddr); ok {
			return t.String()
		}
	}
	return ""
}

// UDPAddr returns where datagrams are taken, "" when they are not.
func (a *Agent) UDPAddr() string {
	if a.udpAddr == nil {
		return ""
	}
	return a.udpAddr.String()
}

// SpoolFolder returns the folder of the spool.
func (a *Agent) SpoolFolder() string { return filepath.Clean(a.spool.Dir()) }

// kernelDropped returns how many datagrams the kernel dropped at the socket.
func (a *Agent) kernelDropped() uint64 {
	if a.udp.Load() == nil {
		return 0
	}
	return a.udp.Load().KernelDrops()
}

// Failed gives an error with which serving ended by itself.
func (a *Agent) Failed() <-chan error { return a.failed }

// Close stops taking documents, makes what was taken durable, gives what is under
// way until ctx is done to arrive, and stops. What was not delivered is in the
// spool for the next start. It is safe to call twice.
func (a *Agent) Close(ctx context.Context) error {
	a.once.Do(func() { a.closeErr = a.stop(ctx) })
	return a.closeErr
}

func (a *Agent) stop(ctx context.Context) error {
	a.health.Await("agent", "shutting down")
	a.endStreams()
	var wg sync.WaitGroup
	var udpErr, httpErr error
	if a.receiver != nil {
		wg.Go(func() {
			stop := context.AfterFunc(ctx, a.endUDP)
			defer stop()
			udpErr = a.receiver.Close(ctx)
		})
	}
	for _, f := range a.fronts {
		wg.Go(f.shut)
	}
	wg.Go(func() {
		if httpErr = a.http.Shutdown(ctx); httpErr != nil {
			httpErr = fmt.Errorf("requests were cut off: %w", httpErr)
			a.http.Close()
		}
	})
	wg.Wait()
	a.serving.Wait()
	syncErr := a.spool.Sync(ctx)
	a.drain(ctx)
	a.endReports()
	left := a.stopDeliveries()
	a.reporting.Wait()
	err := errors.Join(udpErr, httpErr, syncErr, a.spool.Close(), a.letters.close())
	a.logger.Info("agent stopped", slog.Uint64("documents_kept_for_the_next_start", left))
	return err
}

// degraded says what works less well than it should.
func (a *Agent) degraded() string {
	if a.spool == nil {
		return ""
	}
	return a.troubles()
}
