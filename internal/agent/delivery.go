package agent

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/roentgen-io/roentgen/internal/agent/spool"
	"github.com/roentgen-io/roentgen/internal/telemetry"
)

// delivery brings the records of the spool to one destination: it takes batches
// in order, has several on their way at once, and tries each again until the
// destination has it. The position in the spool moves over what was delivered
// without a gap.
type delivery struct {
	name    string
	export  Exporter
	reader  *spool.Reader
	gate    *gate
	budget  *semaphore.Weighted // bytes on their way
	most    int64               // of budget
	letters *letters
	logger  *slog.Logger
	figures *figures
	loops   *loops
	pressed func() bool // whether arriving documents need the processor more

	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	mu struct {
		sync.Mutex
		under   []*consignment          // taken from the spool, in order
		latest  map[uint64]*consignment // by orderKey: the last one under way that has such a document
		lastErr string
		errAt   time.Time
		sentAt  time.Time
	}
	// arrived counts calls that brought something home; condemned counts documents
	// given up one after the other, with none that was taken in between.
	arrived, condemned atomic.Int64

	limitSent, limitFail, limitRefused telemetry.Limiter
}

const (
	// maxUnder bounds the batches between the position and the last one taken. One
	// that does not get through would otherwise let them become ever more.
	maxUnder = 1024
	// stubborn is how often a call may fail while others succeed until what it
	// carries is held to be the reason.
	stubborn = 20
	// maxCondemned is how many documents in a row may be given up because calls
	// with them alone are refused. When that goes on it is the destination, or what
	// answers in its place, that is to blame.
	maxCondemned = 20
)

// consignment is a batch on its way.
type consignment struct {
	end      uint64
	received time.Time
	keys     []uint64       // in delivery.mu.latest
	after    []*consignment // that have to arrive before
	done     bool
	arrived  chan struct{} // closed when done
}

// figures count what became of documents at one destination.
type figures struct {
	sent, bytes, calls atomic.Uint64
	refused, retried   atomic.Uint64
	failures           [CauseOther + 1]atomic.Uint64
	throttled          atomic.Uint64
	lag                atomic.Int64 // nanoseconds, of the last batch delivered
	latency            latencies
}

var errStopped = errors.New("agent: stopped")

func (d *delivery) start() {
	d.ctx, d.cancel = context.WithCancelCause(context.Background())
	d.wg.Go(d.run)
}

// stop ends calls under way and waits. What was not delivered stays in the spool.
func (d *delivery) stop() {
	d.cancel(errStopped)
	d.wg.Wait()
	d.reader.Close()
	d.export.Close()
}

// run takes batches from the spool as fast as the gate lets them through.
func (d *delivery) run() {
	var limit telemetry.Limiter
	for {
		for d.underWay() >= maxUnder && d.ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		lim := d.export.Limits()
		err := d.reader.Await(d.ctx, lim)
		// Even then a batch goes now and again: a flood may have no end.
		for i := 0; i < 10 && err == nil && d.pressed(); i++ {
			time.Sleep(2 * time.Millisecond)
		}
		var b *spool.Batch
		if err == nil {
			lim.Linger = 0
			b, err = d.reader.Next(d.ctx, lim)
		}
		if err != nil {
			if d.ctx.Err() != nil || errors.Is(err, spool.ErrClosed) {
				return
			}
			limit.Log(d.logger, slog.LevelError, "spool not read, trying again", slog.Any("err", err))
			select {
			case <-time.After(time.Second):
			case <-d.ctx.Done():
				return
			}
			continue
		}
		// The place at the gate comes last: whoever has it makes a call at once.
		cost := min(d.export.Weight()*int64(b.Size), d.most)
		if d.budget.Acquire(d.ctx, cost) != nil {
			b.Free()
			return
		}
		load, marks := parcels(b, d.loops.id)
		c := d.enlist(b, load)
		var begun time.Time
		if len(c.after) == 0 {
			if begun, err = d.gate.enter(d.ctx, false); err != nil {
				b.Free()
				return
			}
		}
		d.wg.Go(func() {
			defer d.budget.Release(cost)
			if len(c.after) > 0 {
				if begun, err = d.follow(c); err != nil {
					return
				}
			}
			d.loops.sent.add(marks) // they may come back before the answer does
			if !d.deliver(load, begun) {
				return
			}
			b.Free()
			d.finish(c)
		})
	}
}

// enlist notes a batch that is taken from the spool, and which of those before it
// have to arrive first.
func (d *delivery) enlist(b *spool.Batch, load []Parcel) *consignment {
	c := &consignment{end: b.End, received: b.Received, keys: make([]uint64, 0, len(b.Records)), arrived: make(chan struct{})}
	for i := range load {
		for k := range load[i].Records {
			if key, ok := load[i].key(k); ok {
				c.keys = append(c.keys, key)
			}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.under = append(d.mu.under, c)
	if d.mu.latest == nil {
		d.mu.latest = make(map[uint64]*consignment)
	}
	for _, key := range c.keys {
		before := d.mu.latest[key]
		if before != nil && before != c && !slices.Contains(c.after, before) {
			c.after = append(c.after, before)
		}
		d.mu.latest[key] = c
	}
	return c
}

// follow waits for those that have to arrive before c, and then at the gate.
func (d *delivery) follow(c *consignment) (begun time.Time, err error) {
	t := time.NewTimer(orderPatience)
	defer t.Stop()
	late := false
	for _, before := range c.after {
		for !late && !closed(before.arrived) {
			select {
			case <-before.arrived:
			case <-t.C:
				late = true
			case <-d.ctx.Done():
				return begun, context.Cause(d.ctx)
			}
		}
	}
	c.after = nil // they need not be kept
	return d.gate.enter(d.ctx, false)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// lag returns how long documents take from their arrival here to that at the
// destination: those of the last batch, or those that still wait when it is longer.
func (d *delivery) lag(now time.Time) time.Duration {
	lag := time.Duration(d.figures.lag.Load())
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.mu.under) > 0 {
		lag = max(lag, now.Sub(d.mu.under[0].received))
	}
	return lag
}

func (d *delivery) underWay() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.mu.under)
}

// finish moves the position.
func (d *delivery) finish(c *consignment) {
	now := time.Now()
	d.figures.lag.Store(int64(max(0, now.Sub(c.received))))
	d.mu.Lock()
	defer d.mu.Unlock()
	c.done = true
	close(c.arrived)
	for _, key := range c.keys {
		if d.mu.latest[key] == c {
			delete(d.mu.latest, key)
		}
	}
	c.keys = nil
	d.mu.sentAt = now
	for len(d.mu.under) > 0 && d.mu.under[0].done {
		d.reader.Done(d.mu.under[0].end)
		d.mu.under = slices.Delete(d.mu.under, 0, 1)
	}
}

// deliver sends what a batch holds until the destination has or refuses every
// record. The first call's place at the gate is taken already. It returns false when
// the agent stops before.
func (d *delivery) deliver(load []Parcel, begun time.Time) bool {
	parts := slices.Clone(load) // the last one is next
	slices.Reverse(parts)
	entered := true
	failed, others := 0, d.arrived.Load() // failures while others arrived
	for len(parts) > 0 {
		p := parts[len(parts)-1]
		if !entered {
			var err error
			if begun, err = d.gate.enter(d.ctx, true); err != nil {
				return false
			}
		}
		entered = false
		at := time.Now()
		out := d.export.Send(d.ctx, p)
		if d.ctx.Err() != nil && out.Verdict != Delivered {
			out = Outcome{Verdict: Abandoned}
		}
		if out.Verdict == Again && !out.Throttled && out.Cause != Cause4xx {
			// Something in it may make the destination fail, or take too long.
			if now := d.arrived.Load(); now > others {
				failed, others = failed+1, now
			}
			if failed >= stubborn {
				failed = 0
				out.Verdict = Divide
			}
		}
		if out.Verdict == Divide && len(p.Records) == 1 && d.condemned.Add(1) > maxCondemned {
			out.Verdict = Again
		}
		d.gate.leave(begun, &out)
		d.note(&out, p.Records, time.Since(at))
		switch out.Verdict {
		case Abandoned:
			return false
		case Again:
			d.figures.retried.Add(uint64(len(p.Records)))
		case Divide:
			parts = parts[:len(parts)-1]
			if n := len(p.Records); n > 1 {
				parts = append(parts, p.with(p.Records[n/2:]), p.with(p.Records[:n/2]))
				continue
			}
			d.refuse(p, []Refused{{Index: 0, Code: codeUndeliverable, Message: out.Err.Error()}})
		case Delivered:
			parts = parts[:len(parts)-1]
			left := len(out.Retry)
			for i := range out.Refused {
				left += out.Refused[i].count()
			}
			if left < len(p.Records) {
				d.arrived.Add(1)
				d.condemned.Store(0)
			}
			d.refuse(p, out.Refused)
			if len(out.Retry) > 0 {
				d.figures.retried.Add(uint64(len(out.Retry)))
				again := make([][]byte, 0, len(out.Retry))
				for _, i := range out.Retry {
					again = append(again, p.Records[i])
				}
				parts = append(parts, p.with(again))
			}
		}
	}
	return true
}

// note counts and logs a call.
func (d *delivery) note(out *Outcome, records [][]byte, took time.Duration) {
	f := d.figures
	f.calls.Add(1)
	if out.Throttled {
		f.throttled.Add(1)
	}
	if out.Cause != CauseNone {
		f.failures[out.Cause].Add(1)
	}
	if out.Verdict == Delivered {
		f.latency.add(took)
		size := 0
		for _, r := range records {
			size += len(r)
		}
		f.sent.Add(uint64(len(records) - len(out.Retry)))
		f.bytes.Add(uint64(size))
		d.limitSent.Log(d.logger, slog.LevelInfo, successText(len(records), took), slog.String("destination", d.name))
		return
	}
	if out.Err == nil {
		return
	}
	d.mu.Lock()
	d.mu.lastErr, d.mu.errAt = out.Err.Error(), time.Now()
	d.mu.Unlock()
	if out.Verdict == Again {
		_, _, failures, wait := d.gate.state()
		d.limitFail.Log(d.logger, slog.LevelError, "Sending segment batch failed with: "+out.Err.Error(),
			slog.String("destination", d.name), slog.Int("in_a_row", failures), slog.Duration("next_in", wait.Round(time.Millisecond)))
	}
}

// refuse keeps what the destination will never take.
func (d *delivery) refuse(p Parcel, list []Refused) {
	if len(list) == 0 {
		return
	}
	now := time.Now()
	kept := make([]Letter, 0, len(list))
	refused := 0
	for _, r := range list {
		refused += r.count()
		l := Letter{Time: now, Destination: d.name, ID: r.ID, Code: r.Code, Message: r.Message}
		switch {
		case r.Index >= 0 && r.Index < len(p.Records):
			l.Document = p.text(r.Index)
		case r.Count > 0:
			l.Document = p.joined() // they are among these
		}
		kept = append(kept, l)
	}
	d.figures.refused.Add(uint64(refused))
	d.letters.add(kept)
	d.limitRefused.Log(d.logger, slog.LevelWarn, "segments refused, kept as dead letters", slog.String("destination", d.name),
		slog.Int("segments", refused), slog.String("code", list[0].Code), slog.String("message", list[0].Message))
}
