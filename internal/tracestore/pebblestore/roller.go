package pebblestore

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roentgen-io/roentgen/internal/servicegraph"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

const (
	rollInterval = 250 * time.Millisecond
	// rollDocs is how many documents start a step before its time. It bounds the
	// step's batch and what a scan has to assemble from the tail.
	rollDocs = 8192
	// A trace of more than largeTrace entities is assembled at most once in largeInterval.
	largeTrace    = 10_000
	largeInterval = 2 * time.Second
	// openBytes bounds the traces that are kept parsed because more of them is to come.
	openBytes = 24 << 20
	// termBytes is what a term of an open trace takes.
	termBytes = 8
	// reloadDocs bounds how many documents are read again at a time.
	reloadDocs = 20_000
)

// wakeRoller starts a step of the roller now.
func (s *Store) wakeRoller() {
	s.tail.mu.RLock()
	defer s.tail.mu.RUnlock()
	if v := s.tail.view; v != nil {
		select {
		case v.wake <- struct{}{}:
		default:
		}
	}
}

// rowKeys are what the keys of a trace in S, E and V are made of.
type rowKeys struct {
	start   int64
	changed int64
	minutes []int64 // end minutes but that of the start: those are in V
	flags   byte
}

// indexValue appends the value of an E or V key.
func (k *rowKeys) indexValue(dst []byte) []byte {
	return append(binary.BigEndian.AppendUint64(dst, ordered(k.start)), k.flags)
}

const minute = int64(time.Minute)

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func ceilDiv(a, b int64) int64 {
	q := a / b
	if a%b > 0 {
		q++
	}
	return q
}

// Flags of a row, in the first byte of its S value and the last of its E and V
// values: what must be known of a row without reading it.
const (
	// rowEndsAtStart tells that the minute of the start is an end minute, for
	// which there is no key in V.
	rowEndsAtStart = 1 << iota
	rowHidden      // OrphanOnly: summaries do not count it
	rowCut         // Cut
	rowSeveralEnds // there is more than one end minute
	rowFlagsEnd
)

// keysOf returns the keys of a row.
func keysOf(row *trace.Row) rowKeys {
	k := rowKeys{start: row.Start, changed: row.Changed}
	if row.OrphanOnly {
		k.flags |= rowHidden
	}
	if row.Cut {
		k.flags |= rowCut
	}
	if len(row.Ends) > 1 {
		k.flags |= rowSeveralEnds
	}
	at := floorDiv(row.Start, minute)
	if len(row.Ends) == 1 && row.Ends[0] == at {
		k.flags |= rowEndsAtStart // the usual case
		return k
	}
	for _, m := range row.Ends {
		if m == at {
			k.flags |= rowEndsAtStart
		} else {
			k.minutes = append(k.minutes, m)
		}
	}
	return k
}

// openTrace is a trace as of W, kept because documents often follow soon.
type openTrace struct {
	id     segment.TraceID
	home   uint16
	hasRow bool
	linked bool // an L key says that documents lie beyond the home part
	keys   rowKeys
	terms  []trace.Term
	docs   []trace.Document
	bytes  int64

	lastSeq uint64 // of the row

	entities int

	newer, older *openTrace
}

// openTraces are the open traces used last, bounded by their bytes.
type openTraces struct {
	byID   map[segment.TraceID]*openTrace
	newest *openTrace
	oldest *openTrace
	bytes  int64
}

func (o *openTraces) unlink(t *openTrace) {
	if t.newer != nil {
		t.newer.older = t.older
	} else {
		o.newest = t.older
	}
	if t.older != nil {
		t.older.newer = t.newer
	} else {
		o.oldest = t.newer
	}
	t.newer, t.older = nil, nil
}

// take removes a trace and returns it, nil when it is not there.
func (o *openTraces) take(id segment.TraceID) *openTrace {
	t := o.byID[id]
	if t != nil {
		o.drop(t)
	}
	return t
}

func (o *openTraces) drop(t *openTrace) {
	o.unlink(t)
	delete(o.byID, t.id)
	o.bytes -= t.bytes
}

func (o *openTraces) put(t *openTrace) {
	o.byID[t.id] = t
	o.bytes += t.bytes
	t.older = o.newest
	if o.newest != nil {
		o.newest.newer = t
	} else {
		o.oldest = t
	}
	o.newest = t
	for o.bytes > openBytes && o.oldest != nil {
		o.drop(o.oldest)
	}
}

// roller derives the views. One goroutine uses it.
type roller struct {
	s       *Store
	inst    *instance
	w       uint64
	put     uint64 // a put number that all later ones exceed
	seconds int64  // from this second on, cells of seconds are kept
	open    openTraces
	near    *neighbours
	big     map[segment.TraceID]time.Time // when large traces were rolled last
	wake    chan struct{}

	housekeeping time.Time
	reclaim      reclaim
	removed      []removedPart
	reclaiming   chan struct{} // closed when the compaction that reclaims room has ended, nil: none runs

	// graph is what the step at hand adds to the graph, by the groups as they were
	// when it began.
	graph  graphAdder
	groups []tracestore.Group

	// scratch space
	before, after         []servicegraph.Contribution
	refsBefore, refsAfter []tracestore.GroupRef
	work                  []*rollItem
	key                   []byte
	terms                 []trace.Term
	arena                 []byte
}

// rollItem is a trace in a step.
type rollItem struct {
	id    segment.TraceID
	docs  []tailDoc
	open  *openTrace
	fresh bool // no document of it was rolled before

	had   bool
	old   rowKeys
	row   *trace.Row
	value [2]int // of the row, in the arena
	link  bool
}

func newRoller(s *Store, inst *instance, mark rolledMark) *roller {
	r := &roller{
		s: s, inst: inst, w: mark.w, put: mark.put, seconds: mark.seconds,
		open:  openTraces{byID: make(map[segment.TraceID]*openTrace)},
		graph: graphAdder{changes: make(graphChanges)},
		big:   make(map[segment.TraceID]time.Time),
		wake:  make(chan struct{}, 1),
	}
	r.near = newNeighbours(inst, &r.open, &s.words, &s.cfg, s.metrics.blocksDivided)
	return r
}

// run takes steps until the instance fails or, after a last one, stop is closed.
func (r *roller) run(stop <-chan struct{}) {
	tick := time.NewTicker(rollInterval)
	defer tick.Stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer func() {
		cancel()
		if r.reclaiming != nil {
			<-r.reclaiming
		}
	}()
	for last := false; !last; {
		select {
		case <-tick.C:
		case <-r.wake:
		case <-stop:
			last = true
		case <-r.inst.failed:
			return
		}
		if err := r.step(last); err != nil {
			return
		}
		if err := r.keepHouse(ctx, last); err != nil && r.inst.err() == nil {
			r.s.log.Error("housekeeping failed", "err", err)
		}
	}
}

// show makes the state of Pebble, in which the views hold everything up to w, what readers see.
func (r *roller) show(w uint64, held traceMap) error {
	v := &view{inst: r.inst, snap: r.inst.db.NewSnapshot(), w: w, seconds: r.seconds, parts: r.s.parts.copy(), wake: r.wake}
	v.refs.Store(1)
	if err := r.inst.err(); err != nil {
		v.release()
		return err
	}
	r.w = w
	r.s.tail.show(v, held)
	return nil
}

// step takes what is in the tail into the views. With force, nothing is put off.
// A step that fails leaves the tail and the open traces half-way, so it ends the
// instance, whoever asked for it: the next one reads the tail again.
func (r *roller) step(force bool) error {
	err := r.alone(func() error { return r.takeStep(force) })
	if err != nil && r.inst.err() == nil {
		r.s.log.Error("views could not be derived", "err", err)
		r.inst.fail(err)
	}
	return err
}

// alone runs fn, which derives views, while nobody changes the groups.
func (r *roller) alone(fn func() error) error {
	r.s.stepping <- struct{}{}
	defer func() { <-r.s.stepping }()
	if r.s.cfg.Groups != nil {
		r.groups = r.s.cfg.Groups()
	}
	return fn()
}

func (r *roller) takeStep(force bool) error {
	t := &r.s.tail
	force = t.force.Swap(false) || force
	t.mu.Lock()
	rolling, held, n := t.current, t.held, t.last
	if n == r.w && len(held) == 0 {
		// Nothing to do: those who wait look again.
		close(t.progress)
		t.progress = make(chan struct{})
		t.mu.Unlock()
		return r.divideRest()
	}
	t.rolling, t.current = rolling, make(traceMap, len(rolling)/2)
	t.waits.Store(0)
	t.mu.Unlock()
	begun := time.Now()

	var hold traceMap
	mark := rolledMark{w: n, put: r.put}
	r.work = r.work[:0]
	add := func(id segment.TraceID, docs []tailDoc) {
		if at, large := r.big[id]; large && !force && begun.Sub(at) < largeInterval {
			if hold == nil {
				hold = make(traceMap)
			}
			hold[id] = &tailTrace{docs: docs}
			mark.held = append(mark.held, heldMark{id, docs[0].Seq})
			return
		}
		r.work = append(r.work, &rollItem{id: id, docs: docs})
	}
	for id, tt := range rolling {
		docs := tt.docs
		if h := held[id]; h != nil {
			docs = append(h.docs[:len(h.docs):len(h.docs)], docs...)
		}
		add(id, docs)
	}
	for id, h := range held {
		if rolling[id] == nil {
			add(id, h.docs)
		}
	}
	if len(r.work) == 0 && n == r.w {
		t.mu.Lock()
		t.rolling = nil
		t.mu.Unlock()
		return nil
	}
	// In order of arrival the traces that follow each other touch the same blocks, and
	// their keys by time are in order.
	slices.SortFunc(r.work, func(a, b *rollItem) int { return cmp.Compare(a.docs[0].Seq, b.docs[0].Seq) })
	b := r.inst.db.NewBatchWithSize(min(len(r.work)*700, 8<<20) + 1024)
	defer b.Close()
	bytes, err := r.rows(r.work, n)
	if err != nil {
		return err
	}
	r.forgetSeconds(b)
	if err := r.write(b, r.work); err != nil {
		return err
	}
	r.s.history.add(r.work, n)
	mark.seconds = r.seconds
	must(b.Set(rolledKey, mark.append(nil), nil))
	if err := r.inst.apply(b, false); err != nil {
		return err
	}
	for _, it := range r.work {
		r.open.put(it.open)
	}
	if err := r.near.divide(); err != nil {
		return err
	}
	r.s.pending.tail.Add(-bytes) // before those who wait for the view wake up
	if err := r.show(n, hold); err != nil {
		return err
	}
	r.s.metrics.rolledTraces.Add(float64(len(r.work)))
	r.s.metrics.rollSeconds.Observe(time.Since(begun).Seconds())
	clear(r.work)
	return nil
}

// divideRest divides blocks of terms that the steps before did not get to.
func (r *roller) divideRest() error {
	if len(r.near.overfull) == 0 {
		return nil
	}
	if err := r.near.divide(); err != nil {
		return err
	}
	return r.show(r.w, nil)
}

// rows finds or reads the open trace of each item, adds its documents and
// assembles its row. It returns the bytes of the tail that are done with.
func (r *roller) rows(work []*rollItem, n uint64) (bytes int64, err error) {
	list := r.s.parts.copy()
	var reload []*rollItem
	for _, it := range work {
		if it.open = r.open.take(it.id); it.open != nil {
			continue
		}
		if r.s.filter.has(it.id) {
			reload = append(reload, it)
		} else {
			it.open, it.fresh = &openTrace{id: it.id}, true
		}
	}
	if err := r.reload(reload, list); err != nil {
		return 0, err
	}
	r.arena = r.arena[:0]
	now := time.Now()
	for _, it := range work {
		o := it.open
		if o.hasRow {
			it.had, it.old = true, o.keys
		}
		for i := range it.docs {
			d := &it.docs[i]
			bytes += d.size()
			o.bytes += d.size()
			o.docs = append(o.docs, d.Document)
		}
		if !o.hasRow {
			i, ok := partOf(list, o.docs[0].Seq)
			if !ok {
				return 0, fmt.Errorf("document %d is in no part", o.docs[0].Seq)
			}
			o.home = list[i].id
		}
		if !o.linked {
			if i, ok := partOf(list, o.docs[len(o.docs)-1].Seq); ok && list[i].id != o.home {
				o.linked, it.link = true, true
			}
		}
		if err := r.row(it, now); err != nil {
			return 0, err
		}
	}
	return bytes, nil
}

// row assembles the row of an item's open trace.
func (r *roller) row(it *rollItem, now time.Time) error {
	o := it.open
	words, err := r.s.words.encoding(r.inst, o.home)
	if err != nil {
		return err
	}
	t := trace.AssembleBrief(it.id, o.docs)
	it.row = t.Row()
	r.contribute(it, t, o.docs[:len(o.docs)-len(it.docs)])
	o.keys, o.hasRow, o.lastSeq = keysOf(it.row), true, it.row.LastSeq
	from := len(r.arena)
	arena, err := it.row.AppendWith(append(r.arena, o.keys.flags), words.Dictionary)
	if err != nil {
		return fmt.Errorf("row of trace %s: %w", it.id, err)
	}
	r.arena = arena
	it.value = [2]int{from, len(arena)}
	o.bytes -= termBytes * int64(len(o.terms))
	r.terms = it.row.AppendTermsWith(r.terms[:0], words.Dictionary)
	o.terms = append(o.terms[:0], r.terms...)
	o.bytes += termBytes * int64(len(o.terms))
	if o.entities = it.row.Entities; max(o.entities, len(o.docs)) > largeTrace {
		r.big[it.id] = now
		if len(r.big) > 1000 {
			for id, at := range r.big {
				if now.Sub(at) > largeInterval {
					delete(r.big, id)
				}
			}
		}
	}
	return nil
}

// reload reads the traces that were rolled before and are not open any more.
// Documents that lie in one block are read together.
func (r *roller) reload(work []*rollItem, list []part) error {
	if len(work) == 0 {
		return nil
	}
	it, err := r.inst.db.NewIter(nil)
	if err != nil {
		return r.inst.readError("read documents again", err)
	}
	defer it.Close()
	type wanted struct {
		ref  docRef
		item *rollItem
	}
	var want []wanted
	flush := func() error {
		slices.SortFunc(want, func(a, b wanted) int { return cmp.Compare(a.ref.seq, b.ref.seq) })
		refs := make([]docRef, len(want))
		for i := range want {
			refs[i] = want[i].ref
		}
		for i := 0; i < len(want); i++ {
			err := readDocs(r.s, r.inst, it, refs[i:], false, func(d *blockDoc) error {
				item := want[i].item
				i++
				own := *d // the block that d lies in must not stay in memory for its sake
				own.data, own.source = slices.Clone(d.data), slices.Clone(d.source)
				if td, ok := r.s.parse(&own); ok {
					item.open.docs = append(item.open.docs, td.Document)
					item.open.bytes += td.size()
				}
				return nil
			})
			if err == nil {
				break
			}
			// A damaged document must not stop the views of all others for ever: it is
			// left out, as one that does not parse. Reading its trace says so.
			if !errors.Is(err, tracestore.ErrCorrupt) || i == len(want) {
				return err
			}
			r.s.log.Error("a damaged document is left out of the views", "trace_id", want[i].item.id, "seq", want[i].ref.seq, "err", err)
		}
		want = want[:0]
		return nil
	}
	// Part by part, so that what Pebble knows of a part is read once for all.
	byID := slices.Clone(work)
	slices.SortFunc(byID, func(a, b *rollItem) int { return compareIDs(a.id, b.id) })
	for _, item := range byID {
		item.open, item.fresh = &openTrace{id: item.id}, true
	}
	for i := range list {
		for _, item := range byID {
			refs, err := findDocs(r.inst, it, list[i:i+1], item.id, item.docs[0].Seq-1)
			if err != nil {
				return err
			}
			for _, ref := range refs {
				item.fresh = false
				want = append(want, wanted{ref, item})
			}
		}
		if len(want) >= reloadDocs {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	for _, item := range work {
		r.restore(item.open, list)
		if !item.fresh {
			r.s.metrics.reloads.Inc()
		}
	}
	return nil
}

// restore derives, from the documents of a trace as of W, where its row is.
func (r *roller) restore(o *openTrace, list []part) {
	if len(o.docs) == 0 {
		return
	}
	row := trace.AssembleRow(o.id, o.docs)
	o.keys, o.hasRow, o.lastSeq = keysOf(row), true, row.LastSeq
	first, _ := partOf(list, o.docs[0].Seq)
	last, _ := partOf(list, o.docs[len(o.docs)-1].Seq)
	o.home = list[max(first, 0)].id
	o.linked = first != last
}

// write adds the changes of the views to a batch, kind by kind, so that keys
// come in order and are quick to insert.
func (r *roller) write(b *pebble.Batch, work []*rollItem) error {
	r.key = r.s.words.write(b, r.key)
	for _, it := range work {
		o := it.open
		at, was := place{o.keys.start, it.id}, place{it.old.start, it.id}
		moved := it.had && at != was
		if moved {
			must(b.Delete(r.placeKey(o.home, was), nil))
			if err := r.near.remove(o.home, was, it.old.flags); err != nil {
				return err
			}
		}
		must(b.Set(r.placeKey(o.home, at), r.arena[it.value[0]:it.value[1]], nil))
		if err := r.near.add(o.home, at, it.row, o.terms, o.keys.flags, it.had && !moved, it.old.flags); err != nil {
			return err
		}
	}
	if err := r.near.write(b); err != nil {
		return err
	}
	r.s.metrics.cellsChanged.Add(float64(r.graph.changes.write(b, r.seconds)))
	r.graph.clear()
	var value [9]byte
	for _, it := range work {
		o := it.open
		renew := !it.had || it.old.start != o.keys.start || it.old.flags != o.keys.flags
		index := o.keys.indexValue(value[:0])
		if it.had && it.old.changed != o.keys.changed {
			r.key = appendIndexKey(r.key[:0], tagChange, o.home, it.old.changed, it.id)
			must(b.Delete(r.key, nil))
		}
		if renew || it.old.changed != o.keys.changed {
			r.key = appendIndexKey(r.key[:0], tagChange, o.home, o.keys.changed, it.id)
			must(b.Set(r.key, index, nil))
		}
		for _, m := range it.old.minutes {
			if it.had && !slices.Contains(o.keys.minutes, m) {
				r.key = appendIndexKey(r.key[:0], tagEnd, o.home, m, it.id)
				must(b.Delete(r.key, nil))
			}
		}
		for _, m := range o.keys.minutes {
			if renew || !slices.Contains(it.old.minutes, m) {
				r.key = appendIndexKey(r.key[:0], tagEnd, o.home, m, it.id)
				must(b.Set(r.key, index, nil))
			}
		}
		if it.link {
			must(b.Set(appendLinkKey(r.key[:0], o.home, it.id), nil, nil))
		}
	}
	type widening struct {
		traces                uint64
		starts, changes, ends span
	}
	wide := make(map[uint16]*widening)
	for _, it := range work {
		o := it.open
		w := wide[o.home]
		if w == nil {
			w = &widening{0, noSpan, noSpan, noSpan}
			wide[o.home] = w
		}
		if it.fresh {
			r.s.filter.add(it.id)
		}
		if !it.had {
			w.traces++
		}
		w.starts, w.changes = w.starts.with(o.keys.start), w.changes.with(o.keys.changed)
		for _, m := range o.keys.minutes {
			w.ends = w.ends.with(m)
		}
	}
	for id, w := range wide {
		r.s.parts.update(id, func(p *part) {
			p.traces += w.traces
			if w.starts.from <= w.starts.to {
				p.starts = p.starts.with(w.starts.from).with(w.starts.to)
				p.changes = p.changes.with(w.changes.from).with(w.changes.to)
			}
			if w.ends.from <= w.ends.to {
				p.ends = p.ends.with(w.ends.from).with(w.ends.to)
			}
			must(b.Set(appendPartKey(nil, p.id), p.append(nil), nil))
		})
	}
	return nil
}

func (r *roller) placeKey(part uint16, at place) []byte {
	r.key = appendPlaceKey(r.key[:0], tagRow, part, at)
	return r.key
}

// fillFilter puts the ids of all stored traces into the filter. Until that is
// done, the roller asks Pebble about every new trace.
func (s *Store) fillFilter(inst *instance, stop <-chan struct{}) {
	if !inst.acquire() {
		return
	}
	defer inst.release()
	begun := time.Now()
	traces := uint64(0)
	for _, p := range s.parts.copy() {
		traces += p.traces
	}
	s.filter.reserve(int(min(traces, math.MaxInt32)))
	lower, upper := tagSpan(tagTrace)
	it, err := inst.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		s.log.Warn("trace ids could not be read", "err", err)
		return
	}
	defer it.Close()
	var latest segment.TraceID
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if n++; n%4096 == 0 {
			select {
			case <-stop:
				return
			case <-inst.failed:
				return
			default:
			}
		}
		_, id, _, ok := decodeTraceKey(it.Key())
		if ok && id != latest {
			s.filter.add(id)
			latest = id
		}
	}
	if err := it.Error(); err != nil {
		s.log.Warn("trace ids could not be read", "err", err)
		return
	}
	s.filter.ready.Store(true)
	s.log.Debug("trace ids were read", "keys", n, "duration", time.Since(begun))
}
