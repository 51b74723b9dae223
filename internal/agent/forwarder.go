package agent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/agent/spool"
	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/internal/tracestore"
)

// ForwarderOptions set up a Forwarder.
type ForwarderOptions struct {
	Dir          string // of the spool, made if need be
	Destinations []Destination
	MaxBytes     int64         // of the spool; 0: 1 GiB
	MaxAge       time.Duration // of what is in it; 0: 7 days
	Version      string
	Getenv       func(string) string   // nil: os.Getenv
	Logger       *slog.Logger          // nil: discard
	Registerer   prometheus.Registerer // nil: no metrics are shown
}

// Forwarder passes on what a server received: it keeps it in a spool of its own and
// brings it to each destination as an Agent does. It implements ingest.Forwarder.
type Forwarder struct {
	outbox

	once     sync.Once
	closeErr error
}

const (
	// forwardPending bounds what waits for the spool's disk.
	forwardPending = 8 << 20
	// forwardRemembered is for how many records a server may know that it sent them, with
	// 8 bytes each. What is on its way to where it comes back from should have a quarter of
	// it: 20,000 a second for 13 seconds.
	forwardRemembered = 1 << 20
)

// CompleteForwards returns the destinations that texts such as those of --to name, and
// those of a file when it is not "".
func CompleteForwards(texts []string, file string, getenv func(string) string) ([]Destination, error) {
	c := NewDefault()
	for _, text := range texts {
		d, err := ParseDestination(text)
		if err != nil {
			return nil, err
		}
		c.Destinations = append(c.Destinations, d)
	}
	if file != "" {
		list, err := ReadDestinations(file)
		if err != nil {
			return nil, err
		}
		c.Destinations = append(c.Destinations, list...)
	}
	for i := range c.Destinations {
		c.Destinations[i].nameByPlace()
	}
	if err := c.completeDestinations(getenv); err != nil {
		return nil, err
	}
	return c.Destinations, nil
}

// OpenForwarder opens the spool and begins to deliver what is in it.
func OpenForwarder(opts ForwarderOptions) (*Forwarder, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Getenv == nil {
		opts.Getenv = os.Getenv
	}
	f := &Forwarder{}
	f.outbox = outbox{
		logger: opts.Logger.With(slog.String("component", "forward")), version: opts.Version, getenv: opts.Getenv,
		host: func() hostInfo { return hostInfo{} },
	}
	var err error
	f.spool, err = spool.Open(spool.Options{Dir: opts.Dir, MaxBytes: opts.MaxBytes, MaxAge: opts.MaxAge, PendingBytes: forwardPending, Logger: opts.Logger})
	if err != nil {
		return nil, fmt.Errorf("open what is to be passed on: %w", err)
	}
	f.letters = newLetters(opts.Dir, f.logger)
	id, err := serverID(opts.Dir)
	if err == nil {
		f.loops = newLoops(id, forwardRemembered, f.logger)
		err = f.serve(opts.Destinations)
	}
	if err != nil {
		f.stopDeliveries()
		return nil, errors.Join(err, f.spool.Close())
	}
	if opts.Registerer != nil {
		opts.Registerer.MustRegister(&forwardCollector{f})
	}
	most := uint64(0)
	st := f.spool.Stats()
	for _, p := range st.Places {
		most = max(most, st.Synced-min(p.Done, st.Synced))
	}
	if most > 0 {
		f.logger.Info("documents of the last run wait to be passed on", slog.Uint64("documents", most))
	}
	return f, nil
}

// serverID reads the id of this server, or gives it one.
func serverID(dir string) (string, error) {
	path := filepath.Join(dir, "server-id")
	data, err := os.ReadFile(path)
	if id := strings.TrimSpace(string(data)); err == nil && len(id) == 16 && validVia(id) {
		return id, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	id := newID()
	return id, spool.ReplaceFile(vfs.Default, dir, path, []byte(id+"\n"))
}

// newID returns an id to pass on in ingest.HeaderVia.
func newID() string {
	random := make([]byte, 8)
	rand.Read(random)
	return hex.EncodeToString(random)
}

// Forward keeps records to be passed on, and returns when they are durable. via are
// the ids of the servers and agents that they came through, as ingest.HeaderVia tells. What has
// been here before is not passed on again. The error matches tracestore.ErrNoSpace or
// tracestore.ErrUnavailable, or is the context's.
func (f *Forwarder) Forward(ctx context.Context, via string, records []tracestore.Record) error {
	now, back := f.loops.through(via)
	if back {
		f.loops.noteLooped(len(records), via)
		return nil
	}
	marks := make([]uint64, len(records))
	for i := range records {
		marks[i] = markOf(records[i].Segment, records[i].Data)
	}
	list := make([]tagged, 0, len(records))
	for i, known := range f.loops.sent.has(marks) {
		if known {
			continue
		}
		r := &records[i]
		t := tagged{form: FormXRay, mark: marks[i], data: r.Data}
		if r.Format == tracestore.FormatOTLP {
			t.form, t.source = FormSpan, r.Source
		}
		list = append(list, t)
	}
	f.loops.noteRepeated(len(records) - len(list))
	return forwardError(f.keep(ctx, now, list))
}

func forwardError(err error) error {
	switch {
	case errors.Is(err, spool.ErrNoSpace):
		return fmt.Errorf("%w: keep documents to pass on: %w", tracestore.ErrNoSpace, err)
	case errors.Is(err, spool.ErrFailed), errors.Is(err, spool.ErrClosed):
		return fmt.Errorf("%w: keep documents to pass on: %w", tracestore.ErrUnavailable, err)
	}
	return err
}

// Close goes on delivering for a moment, and stops. What is left is delivered after
// the next start. It is safe to call twice.
func (f *Forwarder) Close(ctx context.Context) error {
	f.once.Do(func() {
		f.drain(ctx)
		left := f.stopDeliveries()
		f.closeErr = errors.Join(f.spool.Close(), f.letters.close())
		f.logger.Info("passing on stopped", slog.Uint64("documents_kept_for_the_next_start", left))
	})
	return f.closeErr
}

// Troubles says what works less well than it should, "" when all is well.
func (f *Forwarder) Troubles() string { return f.troubles() }

// ForwardStatus is what a Forwarder tells of itself.
type ForwardStatus struct {
	ServerID     string              `json:"server_id"`
	Spool        Spooled             `json:"spool"`
	Destinations []DestinationStatus `json:"destinations"`
	DeadLetters  uint64              `json:"dead_letters"` // since the start
	Looped       uint64              `json:"looped"`       // documents that came with this server's id
	Repeated     uint64              `json:"repeated"`     // documents that were sent lately and came again
	Degraded     string              `json:"degraded,omitempty"`
}

// Status returns the state.
func (f *Forwarder) Status() ForwardStatus {
	sp := f.spool.Stats()
	return ForwardStatus{
		ServerID: f.loops.id, Spool: f.spooled(&sp), Destinations: f.destinations(&sp), DeadLetters: f.letters.kept.Load(),
		Looped: f.loops.looped.Load(), Repeated: f.loops.repeated.Load(), Degraded: f.troubles(),
	}
}

var (
	descTooLarge = prometheus.NewDesc("roentgen_forward_too_large_total", "Documents that are too large to be passed on.", nil, nil)

	forwardOutbox = newOutboxDescs("roentgen_forward")
)

// forwardCollector shows the figures of a Forwarder as metrics.
type forwardCollector struct{ f *Forwarder }

// Describe leaves the description to Collect.
func (c *forwardCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *forwardCollector) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(descTooLarge, prometheus.CounterValue, float64(c.f.tooLarge.Load()))
	c.f.collect(ch, forwardOutbox)
}

var _ ingest.Forwarder = (*Forwarder)(nil)

// IsSelf says that a destination is the process itself, which is a server or an agent.
func (d *Destination) IsSelf(what string) error {
	return fmt.Errorf("%s is this %s itself; everything would go round for ever", d.Endpoint, what)
}

// LeadsTo reports whether a destination is one of the addresses of this process. A name
// that cannot be resolved now leads elsewhere.
func (d *Destination) LeadsTo(ctx context.Context, own []net.Addr) bool {
	u, err := url.Parse(d.Endpoint)
	if err != nil || u.Host == "" {
		return false
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	var ips []netip.Addr
	samePort := func(a net.Addr) bool {
		at, err := netip.ParseAddrPort(a.String())
		return err == nil && fmt.Sprint(at.Port()) == port
	}
	if !slices.ContainsFunc(own, samePort) {
		return false // whatever the name stands for
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		ips = []netip.Addr{ip}
	} else {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		if ips, err = net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname()); err != nil {
			return false
		}
	}
	for _, addr := range own {
		listening, err := netip.ParseAddrPort(addr.String())
		if err != nil || !samePort(addr) {
			continue
		}
		at := listening.Addr().Unmap()
		for _, ip := range ips {
			ip = ip.Unmap()
			if ip == at || at.IsUnspecified() && isOurs(ip) || ip.IsUnspecified() && isOurs(at) {
				return true
			}
		}
	}
	return false
}

// isOurs reports whether an address is one of this machine.
func isOurs(ip netip.Addr) bool {
	if ip.IsLoopback() || ip.IsUnspecified() {
		return true
	}
	list, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(list, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && p.Addr().Unmap() == ip
	})
}
