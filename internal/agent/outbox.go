package agent

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/roentgen-io/roentgen/internal/agent/spool"
)

const (
	// inFlightBytes bounds the memory of batches that are on their way. Destinations
	// share it evenly: what one that is away holds must not be missing to another.
	inFlightBytes = 6 << 20
	// leastInFlight is the least that one gets.
	leastInFlight = 1 << 20
	// keepPiece is how much is put into the spool at once: a large put must not
	// have its size in memory again.
	keepPiece = 1 << 20
)

// outbox is the way out of an Agent and of a Forwarder: the spool, and a delivery
// from it to each destination.
type outbox struct {
	spool     *spool.Spool
	letters   *letters
	loops     *loops
	logger    *slog.Logger
	version   string
	getenv    func(string) string
	localMode bool
	host      func() hostInfo
	report    func(*running) // begins what else runs for a destination; nil: nothing
	pressed   func() bool    // whether what arrives needs the processor more; nil: never
	tooLarge  atomic.Uint64  // records that the spool does not take

	mu struct {
		sync.Mutex
		deliveries []*running
	}
}

// running is a destination that is being served.
type running struct {
	cfg      Destination
	delivery *delivery
	cancel   context.CancelFunc // ends what report began
}

// newExporter builds the exporter of a destination.
func (o *outbox) newExporter(d Destination) (Exporter, error) {
	opts := d.options(o.localMode, o.getenv)
	environment := o.getenv("AWS_EXECUTION_ENV")
	if environment == "" {
		environment = "UNKNOWN"
	}
	userAgent := fmt.Sprintf("roentgen-agent/%s exec-env/%s OS/%s-%s", o.version, environment, runtime.GOOS, runtime.GOARCH)
	if d.Type == TypeOTLP {
		return newOTLPExporter(d, opts, userAgent)
	}
	tr, err := opts.transport(d.Connections)
	if err != nil {
		return nil, err
	}
	id, err := newAWSIdentity(opts)
	if err != nil {
		return nil, err
	}
	return newXRayExporter(xrayConfig{
		identity: id, batch: d.Batch, bytes: d.BatchBytes, linger: defaultLinger, timeout: d.Timeout, transport: tr,
		userAgent: userAgent, host: o.host, takesSpans: d.Type == TypeRoentgen,
	}), nil
}

// serve makes the served destinations those of list: new ones start, those that are
// gone or changed end, and the others go on undisturbed. A changed one goes on where
// it was.
func (o *outbox) serve(list []Destination) error {
	exporters := make(map[string]Exporter)
	o.mu.Lock()
	old := o.mu.deliveries
	o.mu.Unlock()
	var keep, stop []*running
	for _, r := range old {
		if slices.ContainsFunc(list, func(d Destination) bool { return reflect.DeepEqual(d, r.cfg) }) {
			keep = append(keep, r)
		} else {
			stop = append(stop, r)
		}
	}
	for _, d := range list {
		if slices.ContainsFunc(keep, func(r *running) bool { return r.cfg.Name == d.Name }) {
			continue
		}
		e, err := o.newExporter(d)
		if err != nil {
			return fmt.Errorf("destination %s: %w", d.Name, err)
		}
		exporters[d.Name] = e
	}
	for _, r := range stop {
		r.stop()
	}
	var now []*running
	for _, d := range list {
		if i := slices.IndexFunc(keep, func(r *running) bool { return r.cfg.Name == d.Name }); i >= 0 {
			now = append(now, keep[i])
			continue
		}
		now = append(now, o.begin(d, exporters[d.Name], max(inFlightBytes/int64(len(list)), leastInFlight)))
	}
	for _, name := range o.spool.Known() {
		if !slices.ContainsFunc(list, func(d Destination) bool { return d.Name == name }) {
			o.logger.Warn("position of a former destination given up", slog.String("destination", name))
			o.spool.Forget(name)
		}
	}
	o.mu.Lock()
	o.mu.deliveries = now
	o.mu.Unlock()
	return nil
}

// keep puts records that came through via, which ends with our own id, into the
// spool, and returns when they are durable. It neither keeps nor changes their memory.
func (o *outbox) keep(ctx context.Context, via string, records []tagged) error {
	for len(records) > 0 {
		var buf []byte
		var ends []int
		n := 0
		for n < len(records) && len(buf) < keepPiece {
			begin := len(buf)
			buf = records[n].append(buf, via)
			n++
			if len(buf)-begin > spool.MaxRecord {
				buf = buf[:begin]
				o.tooLarge.Add(1)
				data := records[n-1].data
				o.letters.add([]Letter{{Time: time.Now(), Code: codeTooLarge, Message: fmt.Sprintf("more than %d bytes are not passed on", spool.MaxRecord), Document: string(data[:min(len(data), letterBytes)])}})
				continue
			}
			ends = append(ends, len(buf))
		}
		records = records[n:]
		list := make([][]byte, 0, len(ends))
		begin := 0
		for _, end := range ends {
			list = append(list, buf[begin:end:end])
			begin = end
		}
		// What is synced last is synced behind all that came before.
		last := len(records) == 0
		err := o.spool.Append(ctx, spool.KindTagged, list, last)
		if last && len(list) == 0 {
			err = o.spool.Sync(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// begin starts to deliver to a destination.
func (o *outbox) begin(d Destination, e Exporter, inFlight int64) *running {
	pressed := o.pressed
	if pressed == nil {
		pressed = func() bool { return false }
	}
	r := &running{cfg: d, delivery: &delivery{
		name: d.Name, export: e, reader: o.spool.Reader(d.Name), gate: newGate(d.Connections), budget: semaphore.NewWeighted(inFlight), most: inFlight,
		letters: o.letters, logger: o.logger, figures: &figures{}, loops: o.loops, pressed: pressed,
	}}
	r.delivery.start()
	if o.report != nil {
		o.report(r)
	}
	o.logger.Info("destination served", slog.String("destination", d.Name), slog.String("endpoint", e.Target()))
	return r
}

func (r *running) stop() {
	if r.cancel != nil {
		r.cancel()
	}
	r.delivery.stop()
}

// stopDeliveries ends all of them, and returns how many records wait for the
// destination that has fewest.
func (o *outbox) stopDeliveries() (left uint64) {
	o.mu.Lock()
	deliveries := o.mu.deliveries
	o.mu.Unlock()
	var wg sync.WaitGroup
	for _, r := range deliveries {
		wg.Go(r.stop)
	}
	wg.Wait()
	st := o.spool.Stats()
	for _, p := range st.Places {
		left = max(left, st.Synced-min(p.Done, st.Synced))
	}
	return left
}

// drainTime is how long one that stops goes on delivering. What is left is safe.
const drainTime = 2 * time.Second

// drain waits for deliveries that get on.
func (o *outbox) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	for ctx.Err() == nil {
		busy := false
		st := o.spool.Stats()
		o.mu.Lock()
		for _, r := range o.mu.deliveries {
			_, _, failures, _ := r.delivery.gate.state()
			// One that is away will not be back in so short a time.
			busy = busy || failures == 0 && st.Places[r.cfg.Name].Done < st.Synced
		}
		o.mu.Unlock()
		if !busy {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// troubles says what works less well than it should, "" when all is well.
func (o *outbox) troubles() string {
	var list []string
	if f := o.spool.Stats().Failure; f != "" {
		list = append(list, f)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.mu.deliveries {
		if _, _, failures, _ := r.delivery.gate.state(); failures > 2 {
			r.delivery.mu.Lock()
			list = append(list, fmt.Sprintf("%s: %s", r.cfg.Name, r.delivery.mu.lastErr))
			r.delivery.mu.Unlock()
		}
	}
	return strings.Join(list, "; ")
}
