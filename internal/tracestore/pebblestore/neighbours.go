package pebblestore

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/trace"
)

const (
	// hotBlocks is how many blocks of terms are kept in memory, so that terms that
	// they have already are not written again.
	hotBlocks = 8
	// hotRows is how many rows of a step make a block worth keeping.
	hotRows = 16
	// hotChanges is after how many changes such a block is written as a whole.
	hotChanges = 256
	// divideTime is how long one step divides blocks that grew too large; what is
	// left waits for the next.
	divideTime = 50 * time.Millisecond
)

// neighbours keeps the blocks of terms (B keys). One goroutine, the roller, uses it.
//
// The blocks of a part divide it by place, without gaps: the key of a block is the
// last place that belongs to it, and the last block goes on for ever. The roller
// writes changes to a block, which Pebble adds up; it reads blocks of which
// many rows change, and divides those that have twice the rows they should.
type neighbours struct {
	inst    *instance
	open    *openTraces
	words   *dictionaries
	rows    int64 // that a block should have
	section int64 // that a section should have
	divided prometheus.Counter
	// parts are those that rows came to since the start.
	parts    map[uint16][]*blockState
	hot      []*blockState
	touched  []*blockState
	overfull []*blockState
	step     uint64

	// seen drops the terms that row after row has.
	seen [1 << 12]struct {
		block *blockState
		step  uint64
		spot  spot
	}
	spots   []spot
	scratch []trace.Term
	list    []byte
	key     []byte
	value   []byte
}

// blockState is what the roller knows of a block of terms.
type blockState struct {
	part  uint16
	last  place
	rows  int64
	ends  []int64 // of its sections but the last
	queue bool    // it is in overfull

	// changed and spots are the changes of the step at hand.
	touched bool
	came    int
	changed termBlock
	spots   []spot

	hot     *termBlock // all of it, nil: not kept
	changes int        // written since it was written as a whole
	used    uint64     // step
}

func newNeighbours(inst *instance, open *openTraces, words *dictionaries, cfg *Config, divided prometheus.Counter) *neighbours {
	return &neighbours{
		inst: inst, open: open, words: words, rows: cfg.blockRows, section: cfg.sectionRows, divided: divided, parts: make(map[uint16][]*blockState),
	}
}

// forget drops what is known of a part that is removed.
func (n *neighbours) forget(part uint16) {
	gone := func(b *blockState) bool { return b.part == part }
	delete(n.parts, part)
	n.hot = slices.DeleteFunc(n.hot, gone)
	n.overfull = slices.DeleteFunc(n.overfull, gone)
	n.touched = slices.DeleteFunc(n.touched, gone)
}

// blocks returns the blocks of a part, in order.
func (n *neighbours) blocks(part uint16) ([]*blockState, error) {
	if list := n.parts[part]; list != nil {
		return list, nil
	}
	lower, upper := partSpan(tagTerms, part)
	it, err := n.inst.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, n.inst.readError("read terms", err)
	}
	defer it.Close()
	var list []*blockState
	for ok := it.First(); ok; ok = it.Next() {
		last, t, err := blockAt(n.inst, it)
		if err != nil {
			return nil, err
		}
		list = append(list, &blockState{part: part, last: last, rows: t.rows, ends: t.ends})
	}
	if err := it.Error(); err != nil {
		return nil, n.inst.readError("read terms", err)
	}
	if len(list) == 0 || list[len(list)-1].last != lastPlace {
		list = append(list, &blockState{part: part, last: lastPlace})
	}
	n.parts[part] = list
	return list, nil
}

// blockAt decodes the block at an iterator.
func blockAt(inst *instance, it *pebble.Iterator) (last place, t termBlock, err error) {
	_, start, id, ok := decodeIndexKey(it.Key())
	if !ok {
		return last, t, corrupt(it.Key(), fmt.Errorf("key of %d bytes", len(it.Key())))
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return last, t, inst.readError("read terms", err)
	}
	if t, err = decodeTerms(value); err != nil {
		return last, t, corrupt(it.Key(), err)
	}
	return place{start, id}, t, nil
}

// at returns the block of a place, ready to be changed.
func (n *neighbours) at(part uint16, at place) (*blockState, error) {
	list, err := n.blocks(part)
	if err != nil {
		return nil, err
	}
	i := len(list) - 1
	if i > 0 && at.compare(list[i-1].last) <= 0 {
		i, _ = slices.BinarySearchFunc(list, at, func(b *blockState, at place) int { return b.last.compare(at) })
	}
	b := list[i]
	if !b.touched {
		b.touched, b.came = true, 0
		b.changed, b.spots = termBlock{starts: noSpan, tallies: b.changed.tallies[:0]}, b.spots[:0]
		n.touched = append(n.touched, b)
	}
	return b, nil
}

// tallied says how a row with these flags counts in its section.
func tallied(flags byte) (visible, spread int64) {
	if flags&rowHidden != 0 {
		return 0, 0
	}
	if flags&(rowEndsAtStart|rowSeveralEnds) != rowEndsAtStart {
		spread = 1
	}
	return 1, spread
}

// add notes that a row stands at a place, with these flags: a new one, or with
// had one that stood there before with the flags was.
func (n *neighbours) add(part uint16, at place, row *trace.Row, terms []trace.Term, flags byte, had bool, was byte) error {
	b, err := n.at(part, at)
	if err != nil {
		return err
	}
	section := sectionOf(b.ends, at.start)
	visible, spread := tallied(flags)
	o := termBlock{rows: 1, starts: span{at.start, at.start}, lastSeq: row.LastSeq}
	if had {
		o.rows = 0
		v, s := tallied(was)
		visible, spread = visible-v, spread-s
	}
	if row.Cut {
		o.cut = 1 << section
	}
	b.changed.count(&o)
	b.changed.tally(section, visible, spread)
	b.came++
	for _, t := range terms {
		spot := spotOf(t, section)
		if s := &n.seen[t>>52]; s.spot != spot || s.block != b || s.step != n.step {
			s.block, s.step, s.spot = b, n.step, spot
			b.spots = append(b.spots, spot)
		}
	}
	return nil
}

// remove notes that a row with these flags left a place.
func (n *neighbours) remove(part uint16, at place, flags byte) error {
	b, err := n.at(part, at)
	if err != nil {
		return err
	}
	b.changed.rows--
	visible, spread := tallied(flags)
	b.changed.tally(sectionOf(b.ends, at.start), -visible, -spread)
	return nil
}

// write adds what the step changed to its batch.
func (n *neighbours) write(batch *pebble.Batch) error {
	slices.SortFunc(n.touched, func(a, b *blockState) int {
		if c := cmp.Compare(a.part, b.part); c != 0 {
			return c
		}
		return a.last.compare(b.last)
	})
	for _, b := range n.touched {
		if b.hot == nil && b.came >= hotRows {
			if err := n.heat(b); err != nil {
				return err
			}
		}
		slices.Sort(b.spots)
		b.spots = slices.Compact(b.spots)
		n.list = n.list[:0]
		for i, s := range b.spots {
			if b.hot == nil || !b.hot.has(s) {
				n.list = appendSpots(n.list, b.spots[i:i+1])
			}
		}
		n.key = appendPlaceKey(n.key[:0], tagTerms, b.part, b.last)
		whole := false
		if b.hot != nil {
			b.used = n.step
			b.hot.count(&b.changed)
			b.hot.list(n.list)
			b.changes++
			whole = b.changes >= hotChanges
		}
		if whole {
			b.changes = 0
			b.hot.fold()
			n.value = b.hot.append(n.value[:0])
			must(batch.Set(n.key, n.value, nil))
		} else {
			b.changed.listed = n.list
			n.value = b.changed.append(n.value[:0])
			must(batch.Merge(n.key, n.value, nil))
		}
		b.changed.listed = nil
		b.rows += b.changed.rows
		b.touched = false
		if cap(b.spots) > 1<<10 {
			b.spots = nil
		}
		crowded := b.hot != nil && len(b.hot.listed)/8 > maxTerms/2 && b.rows > n.rows/8
		if (crowded || b.rows > 2*n.rows) && !b.queue {
			b.queue = true
			n.overfull = append(n.overfull, b)
		}
	}
	n.touched = n.touched[:0]
	n.step++
	n.cool()
	return nil
}

// heat reads a block so that it is kept.
func (n *neighbours) heat(b *blockState) error {
	hot := &termBlock{starts: noSpan}
	value, closer, err := n.inst.db.Get(appendPlaceKey(nil, tagTerms, b.part, b.last))
	switch {
	case err == nil:
		defer closer.Close()
		if *hot, err = decodeTerms(value); err != nil {
			return corrupt(appendPlaceKey(nil, tagTerms, b.part, b.last), err)
		}
		hot.own()
	case !errors.Is(err, pebble.ErrNotFound):
		return n.inst.readError("read terms", err)
	}
	b.hot, b.changes = hot, hotChanges/2
	n.hot = append(n.hot, b)
	return nil
}

// cool lets go of the blocks that were not used for longest.
func (n *neighbours) cool() {
	for len(n.hot) > hotBlocks {
		oldest := 0
		for i, b := range n.hot {
			if b.used < n.hot[oldest].used {
				oldest = i
			}
		}
		n.hot[oldest].hot = nil
		n.hot = slices.Delete(n.hot, oldest, oldest+1)
	}
}

// divide divides blocks that have too many rows, as many as it gets to. The rows
// that the batches before wrote must be in Pebble.
func (n *neighbours) divide() error {
	if len(n.overfull) == 0 {
		return nil
	}
	batch := n.inst.db.NewBatch()
	defer batch.Close()
	begun := time.Now()
	for len(n.overfull) > 0 && time.Since(begun) < divideTime {
		b := n.overfull[0]
		n.overfull = n.overfull[1:]
		b.queue = false
		if err := n.divideBlock(batch, b); err != nil {
			return err
		}
	}
	return n.inst.apply(batch, false)
}

// divideBlock makes several blocks of one. Their filters are made of the terms
// that the rows have now.
func (n *neighbours) divideBlock(batch *pebble.Batch, b *blockState) error {
	list, err := n.blocks(b.part)
	if err != nil {
		return err
	}
	i := slices.Index(list, b)
	if i < 0 {
		return nil
	}
	lower, upper := partSpan(tagRow, b.part)
	if i > 0 {
		lower = append(appendPlaceKey(nil, tagRow, b.part, list[i-1].last), 0)
	}
	if b.last != lastPlace {
		upper = append(appendPlaceKey(nil, tagRow, b.part, b.last), 0)
	}
	it, err := n.inst.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return n.inst.readError("divide a block of terms", err)
	}
	defer it.Close()
	pieces := max(2, (b.rows+n.rows/2)/n.rows)
	size := (b.rows + pieces - 1) / pieces
	var made []*blockState
	t := termBlock{starts: noSpan}
	n.spots = n.spots[:0]
	var last place
	inSection := int64(0) // rows of the section at hand
	finish := func(at place) {
		if at == lastPlace { // more is to come: it would all be in the last section
			for i, s := range n.spots {
				n.spots[i] = s.term()
			}
			whole := tally{}
			for _, s := range t.tallies {
				whole.visible, whole.spread = whole.visible+s.visible, whole.spread+s.spread
			}
			t.ends, t.tallies, t.cut = nil, nil, min(t.cut, 1)
			t.tally(0, whole.visible, whole.spread)
		}
		slices.Sort(n.spots)
		n.spots = slices.Compact(n.spots)
		if at == lastPlace && len(n.spots) <= maxTerms {
			t.listed = appendSpots(nil, n.spots)
		} else {
			t.fill(n.spots)
		}
		must(batch.Set(appendPlaceKey(nil, tagTerms, b.part, at), t.append(nil), nil))
		state := &blockState{part: b.part, last: at, rows: t.rows, ends: t.ends}
		if b.hot != nil && at == b.last {
			hot := t
			state.hot, state.used = &hot, n.step
		}
		made = append(made, state)
		t, n.spots, inSection = termBlock{starts: noSpan}, n.spots[:0], 0
		n.step++ // what was seen was seen in another block
	}
	var reader trace.RowReader
	compact := maxTerms * 2
	for ok := it.First(); ok; ok = it.Next() {
		_, start, id, ok := decodeIndexKey(it.Key())
		if !ok {
			return corrupt(it.Key(), fmt.Errorf("key of %d bytes", len(it.Key())))
		}
		if t.rows >= size || len(n.spots) >= compact {
			slices.Sort(n.spots)
			n.spots = slices.Compact(n.spots)
			compact = len(n.spots) + maxTerms
			if t.rows >= size || len(n.spots) >= maxTerms {
				finish(last)
				compact = maxTerms * 2
			}
		}
		if inSection >= n.section && start > last.start && len(t.ends) < maxSections-1 {
			t.ends, inSection = append(t.ends, last.start), 0
		}
		last = place{start, id}
		inSection++
		section := len(t.ends)
		o := termBlock{rows: 1, starts: span{start, start}}
		var terms []trace.Term
		var flags byte
		if open := n.open.byID[id]; open != nil && open.hasRow && open.home == b.part && open.keys.start == start {
			terms, o.lastSeq, flags = open.terms, open.lastSeq, open.keys.flags
		} else {
			value, err := it.ValueAndErr()
			if err != nil {
				return n.inst.readError("divide a block of terms", err)
			}
			if len(value) < 1 {
				return corrupt(it.Key(), fmt.Errorf("a row of no bytes"))
			}
			words, err := n.words.decoding(n.inst, n.inst.db, b.part)
			if err != nil {
				return err
			}
			row, err := reader.ReadWith(value[1:], words)
			if err != nil {
				return corrupt(it.Key(), err)
			}
			n.scratch = row.AppendTerms(n.scratch[:0])
			terms, o.lastSeq, flags = n.scratch, row.LastSeq, value[0]
		}
		if flags&rowCut != 0 {
			o.cut = 1 << section
		}
		t.count(&o)
		visible, spread := tallied(flags)
		t.tally(section, visible, spread)
		for _, term := range terms {
			spot := spotOf(term, section)
			if s := &n.seen[term>>52]; s.spot != spot || s.block != b || s.step != n.step {
				s.block, s.step, s.spot = b, n.step, spot
				n.spots = append(n.spots, spot)
			}
		}
	}
	if err := it.Error(); err != nil {
		return n.inst.readError("divide a block of terms", err)
	}
	finish(b.last)
	n.hot = slices.DeleteFunc(n.hot, func(h *blockState) bool { return h == b })
	for _, state := range made {
		if state.hot != nil {
			n.hot = append(n.hot, state)
		}
	}
	n.parts[b.part] = slices.Replace(list, i, i+1, made...)
	n.divided.Inc()
	return nil
}
