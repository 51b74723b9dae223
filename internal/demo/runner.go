package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// Options says where the shop sends its documents and how much of its past it brings.
type Options struct {
	Seed uint64
	Rate float64 // as in Config

	UDPAddr  string // host:port of the receiver of datagrams; "": everything goes over HTTP
	Endpoint string // URL of the X-Ray API, "http://127.0.0.1:2000"

	// History is how far back the shop has existed when it opens. These documents
	// go through the server's import, oldest first, beside the live traffic.
	History time.Duration

	// Now is the clock that documents are dated by; nil: time.Now.
	Now func() time.Time
}

// Status is what a Runner has done so far.
type Status struct {
	Requests, Faults, Throttles int64 // at the edge of the shop, live
	Sent                        int64 // live documents that were handed over
	Refused                     int64 // documents that the server would not take
	Failed                      int64 // live documents that could not be delivered
	Skipped                     int64 // live documents that were too late to send
	LastError                   string
	Examples                    Examples

	Import ImportStatus
}

// Examples are ids of traces worth a look, each "" as long as there is none.
type Examples struct {
	Order  string // an order that was placed lately
	Failed string // a request that ended in a fault
	// Running is a report that is in progress, unless its program died.
	Running string
	begun   time.Time // Running
}

// reportTime is the longest that a report takes.
const reportTime = 95 * time.Second

// note takes a document's trace in when it is a good example.
func (x *Examples) note(d Delivery) {
	switch {
	case d.Service == "checkout" && d.Stage == Complete && !d.Error && !d.Fault:
		x.Order = d.Trace
	case d.Root && d.Fault:
		x.Failed = d.Trace
	case d.Service == "reports" && d.Stage == Begun:
		x.Running, x.begun = d.Trace, d.At
	case d.Service == "reports" && d.Stage == Complete && d.Trace == x.Running:
		x.Running = ""
	}
}

// ImportStatus is how far the back-fill has come.
type ImportStatus struct {
	From, To time.Time // what is imported
	At       time.Time // how far it is
	Sent     int64
	Took     time.Duration
	Done     bool
	Err      error // why it ended early
}

// Fraction returns how much of the time to import is done, from 0 to 1.
func (s *ImportStatus) Fraction() float64 {
	if s.Done && s.Err == nil {
		return 1
	}
	all := s.To.Sub(s.From)
	if all <= 0 || s.At.IsZero() {
		return 0
	}
	return min(max(float64(s.At.Sub(s.From))/float64(all), 0), 1)
}

// Runner plays the shop against a server. It is made by NewRunner and run once.
type Runner struct {
	opts   Options
	begun  time.Time // by opts.Now: where history ends and live traffic begins
	out    *mailbag
	client *http.Client

	requests, faults, throttles atomic.Int64
	skipped                     atomic.Int64

	mu struct {
		sync.Mutex
		imported ImportStatus
		started  time.Time
		live     Examples
		past     Examples
	}
}

// NewRunner checks opts and opens the sockets.
func NewRunner(opts Options) (*Runner, error) {
	u, err := url.Parse(opts.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("demo: endpoint %q is not a URL such as http://127.0.0.1:2000", opts.Endpoint)
	}
	if opts.History < 0 {
		return nil, fmt.Errorf("demo: history of %v lies in the future", opts.History)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if _, err := NewGenerator(Config{Rate: opts.Rate}); err != nil {
		return nil, err
	}
	r := &Runner{opts: opts, client: &http.Client{
		Timeout: 30 * time.Second,
		// The server is named by its address; a proxy would only be in the way.
		Transport: &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second},
	}}
	r.out = newMailbag(opts.UDPAddr, u.JoinPath("/TraceSegments").String(), u.JoinPath("/v1/traces").String(), r.client)
	return r, nil
}

// Run plays until ctx is done. What goes wrong on the way to the server is
// counted in Status and ends nothing; the error is nil.
func (r *Runner) Run(ctx context.Context) error {
	defer r.client.CloseIdleConnections()
	defer r.out.close()
	r.begun = time.Unix(ceilSecond(r.opts.Now()), 0)
	var wg sync.WaitGroup
	if r.opts.History > 0 {
		wg.Go(func() { r.history(ctx) })
	}
	wg.Go(func() { r.live(ctx, r.begun) })
	wg.Wait()
	return nil
}

// Status returns what has been done so far. It may be called at any time.
func (r *Runner) Status() Status {
	s := Status{
		Requests: r.requests.Load(), Faults: r.faults.Load(), Throttles: r.throttles.Load(), Skipped: r.skipped.Load(),
	}
	s.Sent, s.Refused, s.Failed, s.LastError = r.out.counts()
	r.mu.Lock()
	s.Import = r.mu.imported
	s.Examples = Examples{
		Order:  cmp.Or(r.mu.live.Order, r.mu.past.Order),
		Failed: cmp.Or(r.mu.live.Failed, r.mu.past.Failed),
	}
	for _, x := range []*Examples{&r.mu.past, &r.mu.live} {
		if r.opts.Now().Sub(x.begun) < reportTime && (x != &r.mu.past || s.Import.Done) {
			s.Examples.Running = x.Running
		}
	}
	if !s.Import.Done && !r.mu.started.IsZero() {
		s.Import.Took = time.Since(r.mu.started)
	}
	r.mu.Unlock()
	return s
}

// tooLate is how far behind its time a document may be sent. Further behind, the
// machine slept or cannot keep up, and what was missed is left out.
const tooLate = 15 * time.Second

// live plays everything that begins at from or later.
func (r *Runner) live(ctx context.Context, from time.Time) {
	for ctx.Err() == nil {
		gen, err := NewGenerator(Config{Seed: r.opts.Seed, Rate: r.opts.Rate, Start: from})
		if err != nil {
			return // NewRunner has checked the same
		}
		if r.play(ctx, gen, Delivery{}) {
			return
		}
		from = r.opts.Now() // it fell behind: go on with the present
	}
}

// play sends first, unless it is empty, and the rest of gen's documents, each at
// its time. It returns false when it fell too far behind.
func (r *Runner) play(ctx context.Context, gen *Generator, first Delivery) bool {
	ctx, cancel := context.WithCancel(ctx)
	// Telling a second's stories takes a while at high rates. They are told ahead,
	// so that nothing waits for them.
	ahead := make(chan Delivery, 4096)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		defer close(ahead)
		for d, ok := first, first.Document != nil; ; {
			if ok {
				select {
				case ahead <- d:
				case <-ctx.Done():
					return
				}
			}
			if d, ok = gen.Next(); !ok {
				return
			}
		}
	})
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return true
		case d, ok := <-ahead:
			if !ok {
				return true
			}
			if wait := d.At.Sub(r.opts.Now()); wait > 0 {
				timer.Reset(wait)
				select {
				case <-ctx.Done():
					return true
				case <-timer.C:
				}
			} else if wait < -tooLate {
				r.skipped.Add(1)
				return false
			}
			r.out.send(d)
			r.mu.Lock()
			r.mu.live.note(d)
			r.mu.Unlock()
			if d.Root {
				r.requests.Add(1)
				if d.Fault {
					r.faults.Add(1)
				}
				if d.Throttle {
					r.throttles.Add(1)
				}
			}
		}
	}
}

// history imports the past as fast as the server takes it. What its requests
// still do after the present is reached is played live.
func (r *Runner) history(ctx context.Context) {
	from := r.begun.Add(-r.opts.History)
	r.mu.Lock()
	r.mu.started = time.Now()
	r.mu.imported = ImportStatus{From: from, To: r.begun}
	r.mu.Unlock()
	gen, err := NewGenerator(Config{Seed: r.opts.Seed, Rate: r.opts.Rate, Start: from, Until: r.begun})
	if err == nil {
		var rest Delivery
		rest, err = r.importUntilNow(ctx, gen)
		if err == nil && rest.Document != nil {
			r.finishImport(nil)
			r.play(ctx, gen, rest)
			return
		}
	}
	if ctx.Err() != nil {
		err = errors.New("stopped before it was complete")
	}
	r.finishImport(err)
}

func (r *Runner) finishImport(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.imported.Done {
		return
	}
	r.mu.imported.Done, r.mu.imported.Err = true, err
	r.mu.imported.Took = time.Since(r.mu.started)
}

const (
	importDocuments = 500
	importBytes     = 2 << 20
	importers       = 4 // requests under way at once, which share the server's syncs
)

type importBatch struct {
	docs     [][]byte
	at       time.Time // of the last document
	examples Examples  // found up to here
}

// importUntilNow imports until gen reaches the present and returns the first
// document beyond it.
func (r *Runner) importUntilNow(ctx context.Context, gen *Generator) (rest Delivery, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	batches := make(chan importBatch)
	target := r.opts.Endpoint + "/api/import"
	if u, err := url.Parse(r.opts.Endpoint); err == nil {
		target = u.JoinPath("/api/import").String()
	}
	var wg sync.WaitGroup
	for range importers {
		wg.Go(func() {
			for b := range batches {
				if ctx.Err() != nil {
					continue
				}
				refused, err := postPatiently(ctx, r.client, target, b.docs, time.Minute)
				if err != nil {
					cancel(err)
					continue
				}
				r.out.refused.Add(int64(refused))
				r.mu.Lock()
				r.mu.imported.Sent += int64(len(b.docs))
				if b.at.After(r.mu.imported.At) {
					r.mu.imported.At, r.mu.past = b.at, b.examples
				}
				r.mu.Unlock()
			}
		})
	}
	var b importBatch
	size := 0
	flush := func() {
		if len(b.docs) > 0 {
			select {
			case batches <- b:
			case <-ctx.Done():
			}
		}
		b, size = importBatch{examples: b.examples}, 0
	}
	for ctx.Err() == nil {
		d, ok := gen.Next()
		if !ok {
			break
		}
		if d.At.After(r.opts.Now()) {
			rest = d
			break
		}
		if len(b.docs) == importDocuments || size+len(d.Document) > importBytes {
			flush()
		}
		b.docs, b.at = append(b.docs, d.Document), d.At
		b.examples.note(d)
		size += len(d.Document)
	}
	flush()
	close(batches)
	wg.Wait()
	if ctx.Err() != nil {
		return Delivery{}, context.Cause(ctx)
	}
	return rest, nil
}
