package demo

import (
	"errors"
	"math"
	"time"
)

// Config says what to simulate.
type Config struct {
	Seed uint64
	// Rate is the number of requests a second, averaged over a day; evenings have
	// up to one and a half times as many, nights half. Each request makes about
	// four documents.
	Rate float64
	// Start is the first moment at which requests come, Until the first at which
	// none come any more (zero: they never end). Both are rounded up to a whole
	// second. Work that a request began goes on after Until.
	Start, Until time.Time
}

// Stage is what a document says about its entity.
type Stage uint8

const (
	Complete Stage = iota // a finished segment with what is nested in it
	Begun                 // an entity that is in progress
	Part                  // a finished subsegment on its own
)

// Delivery is one document with the moment at which its sender lets go of it.
type Delivery struct {
	At       time.Time
	Service  string // who sends it
	Road     Road
	Header   string // the first line of its datagram, without the newline
	Document []byte // not to be changed: one that is sent twice is shared
	Stage    Stage
	Trace    string // the trace id

	// Of Complete segments.
	Root                   bool // the segment of a request at the edge of the shop
	Fault, Error, Throttle bool
}

// Generator yields the documents of the shop in the order in which they are
// sent. It is not safe for concurrent use.
type Generator struct {
	cfg    Config
	cast   *cast
	random *random
	writer writer
	rate   uint64 // the rate's bits, a part of every seed

	next, until int64 // seconds of the epoch: the next to be told; the first not told
	waiting     deliveries
	told        uint64 // deliveries made so far, which orders those of one moment
	queue       []message

	weatherCell int64
	weatherNow  weather
}

// NewGenerator returns a Generator at the start of cfg.
func NewGenerator(cfg Config) (*Generator, error) {
	if !(cfg.Rate >= 0 && cfg.Rate <= 100_000) {
		return nil, errors.New("demo: rate must be between 0 and 100000 requests a second")
	}
	g := &Generator{cfg: cfg, cast: newCast(cfg.Seed), random: newRandom(), rate: math.Float64bits(cfg.Rate), weatherCell: math.MinInt64}
	g.next, g.until = ceilSecond(cfg.Start), math.MaxInt64
	if !cfg.Until.IsZero() {
		g.until = ceilSecond(cfg.Until)
	}
	return g, nil
}

func ceilSecond(t time.Time) int64 {
	s := t.Unix()
	if t.Nanosecond() > 0 {
		s++
	}
	return s
}

// Next returns the next document. ok is false when there is none left, which
// only happens with an Until.
func (g *Generator) Next() (d Delivery, ok bool) {
	// What a second's stories send is never sent before that second, so
	// everything before the next untold second is settled.
	for g.next < g.until && (len(g.waiting.list) == 0 || g.waiting.list[0].at >= g.next*second) {
		g.tell(g.next)
		g.next++
	}
	if len(g.waiting.list) == 0 {
		return Delivery{}, false
	}
	return g.waiting.pop().Delivery, true
}

// tell tells the stories that begin in one second.
func (g *Generator) tell(s int64) {
	r := g.random
	r.reseed(g.cfg.Seed, g.rate, uint64(s))
	for range r.poisson(g.cfg.Rate * traffic(s*second)) {
		st := &story{g: g, r: r}
		st.request(s*second + r.span(0, second))
	}
	// Reports come seldom, but often enough that one is always under way.
	if g.cfg.Rate > 0 && r.chance(min(max(g.cfg.Rate*0.0012, 1.0/25), 1)) {
		st := &story{g: g, r: r}
		st.report(s*second + r.span(0, second))
	}
	g.workQueue()
}

// maxDatagram is the longest document that goes out over UDP. A datagram holds
// 65,507 bytes with its header; SDKs stay well below.
const maxDatagram = 60_000

// deliver hands a finished entity to its sender. Some senders are unlucky.
func (st *story) deliver(f *frame, e *entity, as form) {
	r := st.r
	at := e.end + 300 + r.Int64N(4*millisecond)
	d := Delivery{Service: f.from.service.name, Road: f.from.road, Header: f.from.header, Stage: Part, Trace: st.trace}
	if as == asSegment {
		d.Stage, d.Fault, d.Error, d.Throttle = Complete, e.fault, e.err, e.throttle
		d.Root = e.parent == 0 && !e.bare
	}
	d.Document = st.g.document(e, st.trace, f.from, as, false)
	if d.Road == UDP && len(d.Document) > maxDatagram {
		d.Road = HTTP
	}
	luck := r.Float64()
	switch {
	case luck < 0.0004 && e.parent != 0 && d.Road == UDP:
		return // lost on the way
	case luck < 0.0012:
		st.g.schedule(at+r.span(20*millisecond, 400*millisecond), d) // sent twice
	case luck < 0.0030:
		at += r.span(2*second, 40*second) // a host with a full queue
	case luck < 0.0038 && as == asSegment:
		st.stray(f, e, at)
	}
	st.g.schedule(at, d)
}

// announce sends an unfinished entity.
func (st *story) announce(f *frame, e *entity, as form) {
	st.g.schedule(e.start+300+st.r.Int64N(millisecond), Delivery{
		Service: f.from.service.name, Road: f.from.road, Header: f.from.header, Stage: Begun, Trace: st.trace,
		Document: st.g.document(e, st.trace, f.from, as, true),
	})
}

// stray sends a subsegment whose parent nobody ever reports: a background task
// that kept the context of a request that was over.
func (st *story) stray(f *frame, e *entity, at micros) {
	s := &entity{id: st.newID(), parent: st.newID(), name: "flush audit log", start: e.end, end: e.end + st.r.latency(30, 0.5)}
	st.g.schedule(max(at, s.end)+millisecond, Delivery{
		Service: f.from.service.name, Road: UDP, Header: f.from.header, Stage: Part, Trace: st.trace,
		Document: st.g.document(s, st.trace, f.from, asIndependent, false),
	})
}

func (g *Generator) schedule(at micros, d Delivery) {
	d.At = time.UnixMicro(at).UTC()
	g.told++
	g.waiting.push(&waiting{at: at, order: g.told, Delivery: d})
}

// waiting is a delivery with its place in the order of sending.
type waiting struct {
	at    micros
	order uint64
	Delivery
}

func (a *waiting) before(b *waiting) bool { return a.at < b.at || a.at == b.at && a.order < b.order }

// deliveries is a binary heap, the earliest first.
type deliveries struct{ list []*waiting }

func (h *deliveries) push(d *waiting) {
	h.list = append(h.list, d)
	for i := len(h.list) - 1; i > 0; {
		up := (i - 1) / 2
		if !h.list[i].before(h.list[up]) {
			return
		}
		h.list[i], h.list[up] = h.list[up], h.list[i]
		i = up
	}
}

func (h *deliveries) pop() *waiting {
	top, last := h.list[0], len(h.list)-1
	h.list[0], h.list[last] = h.list[last], nil
	h.list = h.list[:last]
	for i := 0; ; {
		least := i
		for down := 2*i + 1; down <= 2*i+2 && down < last; down++ {
			if h.list[down].before(h.list[least]) {
				least = down
			}
		}
		if least == i {
			return top
		}
		h.list[i], h.list[least] = h.list[least], h.list[i]
		i = least
	}
}
