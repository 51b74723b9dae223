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
	rows    int64 // that a block should have
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
		term  trace.Term
	}
	terms   []trace.Term
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
	queue bool // it is in overfull

	// changed and terms are the changes of the step at hand.
	touched bool
	came    int
	changed termBlock
	terms   []trace.Term

	hot     *termBlock // all of it, nil: not kept
	changes int        // written since it was written as a whole
	used    uint64     // step
}

func newNeighbours(inst *instance, open *openTraces, rows int64, divided prometheus.Counter) *neighbours {
	return &neighbours{inst: inst, open: open, rows: rows, divided: divided, parts: make(map[uint16][]*blockState)}
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
		list = append(list, &blockState{part: part, last: last, rows: t.rows})
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
		b.changed, b.terms = termBlock{starts: noSpan}, b.terms[:0]
		n.touched = append(n.touched, b)
	}
	return b, nil
}

// add notes that a row stands at a place: a new one, or with had one that
// stood there before, visible or not as was says.
func (n *neighbours) add(part uint16, at place, row *trace.Row, terms []trace.Term, had, was bool) error {
	b, err := n.at(part, at)
	if err != nil {
		return err
	}
	visible := int64(1)
	if row.OrphanOnly {
		visible = 0
	}
	o := termBlock{rows: 1, visible: visible, cut: row.Cut, starts: span{at.start, at.start}, lastSeq: row.LastSeq}
	if had {
		o.rows = 0
		if was {
			o.visible--
		}
	}
	b.changed.count(&o)
	b.came++
	for _, t := range terms {
		if s := &n.seen[t>>52]; s.term != t || s.block != b || s.step != n.step {
			s.block, s.step, s.term = b, n.step, t
			b.terms = append(b.terms, t)
		}
	}
	return nil
}

// remove notes that a row left a place.
func (n *neighbours) remove(part uint16, at place, visible bool) error {
	b, err := n.at(part, at)
	if err != nil {
		return err
	}
	b.changed.rows--
	if visible {
		b.changed.visible--
	}
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
		slices.Sort(b.terms)
		b.terms = slices.Compact(b.terms)
		n.list = n.list[:0]
		for _, t := range b.terms {
			if b.hot == nil || !b.hot.has(t) {
				n.list = appendTerms(n.list, []trace.Term{t})
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
		if cap(b.terms) > 1<<10 {
			b.terms = nil
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
	n.terms = n.terms[:0]
	var last place
	finish := func(at place) {
		slices.Sort(n.terms)
		n.terms = slices.Compact(n.terms)
		t.filter, t.listed, t.added = nil, nil, 0
		if at == lastPlace && len(n.terms) <= maxTerms {
			t.listed = appendTerms(nil, n.terms) // more is to come
		} else {
			t.filter, t.added = newFilter(len(n.terms)), uint64(len(n.terms))
			for _, term := range n.terms {
				setTerm(t.filter, term)
			}
		}
		must(batch.Set(appendPlaceKey(nil, tagTerms, b.part, at), t.append(nil), nil))
		state := &blockState{part: b.part, last: at, rows: t.rows}
		if b.hot != nil && at == b.last {
			hot := t
			state.hot, state.used = &hot, n.step
		}
		made = append(made, state)
		t, n.terms = termBlock{starts: noSpan}, n.terms[:0]
		n.step++ // what was seen was seen in another block
	}
	var reader trace.RowReader
	compact := maxTerms * 2
	for ok := it.First(); ok; ok = it.Next() {
		_, start, id, ok := decodeIndexKey(it.Key())
		if !ok {
			return corrupt(it.Key(), fmt.Errorf("key of %d bytes", len(it.Key())))
		}
		if t.rows >= size || len(n.terms) >= compact {
			slices.Sort(n.terms)
			n.terms = slices.Compact(n.terms)
			compact = len(n.terms) + maxTerms
			if t.rows >= size || len(n.terms) >= maxTerms {
				finish(last)
				compact = maxTerms * 2
			}
		}
		last = place{start, id}
		o := termBlock{rows: 1, visible: 1, starts: span{start, start}}
		var terms []trace.Term
		if open := n.open.byID[id]; open != nil && open.hasRow && open.home == b.part && open.keys.start == start {
			terms, o.lastSeq, o.cut = open.terms, open.lastSeq, open.keys.flags&rowCut != 0
			if open.keys.flags&rowHidden != 0 {
				o.visible = 0
			}
		} else {
			value, err := it.ValueAndErr()
			if err != nil {
				return n.inst.readError("divide a block of terms", err)
			}
			if len(value) < 1 {
				return corrupt(it.Key(), fmt.Errorf("a row of no bytes"))
			}
			row, err := reader.Read(value[1:])
			if err != nil {
				return corrupt(it.Key(), err)
			}
			n.scratch = row.AppendTerms(n.scratch[:0])
			terms, o.lastSeq, o.cut = n.scratch, row.LastSeq, row.Cut
			if row.OrphanOnly {
				o.visible = 0
			}
		}
		t.count(&o)
		for _, term := range terms {
			if s := &n.seen[term>>52]; s.term != term || s.block != b || s.step != n.step {
				s.block, s.step, s.term = b, n.step, term
				n.terms = append(n.terms, term)
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
