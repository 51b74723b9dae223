package pebblestore

import (
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roentgen-io/roentgen/internal/trace"
)

// narrowing is what a scan with Need knows of the blocks of terms.
type narrowing struct {
	it *pebble.Iterator // over B keys; nil: nothing is needed
	// decided are the blocks asked so far, of each part in order of place.
	decided map[uint16][]*termDecision
	blocks  int
	// gone are the places of rows that do not count, because the tail has
	// documents that change them.
	gone map[uint16][]goneRow
}

// maxDecided bounds the blocks that a scan remembers.
const maxDecided = 1 << 15

// goneRow is a row that the tail replaces.
type goneRow struct {
	place
	flags byte
}

// termDecision is whether a block of terms may have what is needed.
type termDecision struct {
	above   place // the last place before the block
	lowest  bool  // there is none
	last    place
	lacks   bool
	cut     bool
	visible int64
	starts  span
	lastSeq uint64
}

func (d *termDecision) holds(at place) bool {
	return at.compare(d.last) <= 0 && (d.lowest || d.above.compare(at) < 0)
}

// stale notes a kept row that is not the row of its trace any more.
func (n *narrowing) stale(list []part, row *trace.Row) {
	i, ok := partOf(list, row.FirstSeq)
	if !ok {
		return
	}
	if n.gone == nil {
		n.gone = make(map[uint16][]goneRow)
	}
	part := list[i].id
	n.gone[part] = append(n.gone[part], goneRow{place{row.Start, row.ID}, keysOf(row).flags})
}

// decide returns the block of a place and whether its rows may have what is needed.
func (x *scanner) decide(part uint16, at place) (*termDecision, error) {
	n := &x.narrow
	list := n.decided[part]
	i, _ := slices.BinarySearchFunc(list, at, func(d *termDecision, at place) int { return d.last.compare(at) })
	if i < len(list) && list[i].holds(at) {
		return list[i], nil
	}
	lower, upper := partSpan(tagTerms, part)
	n.it.SetBounds(lower, upper)
	if !n.it.SeekGE(appendPlaceKey(nil, tagTerms, part, at)) {
		if err := n.it.Error(); err != nil {
			return nil, x.r.inst.readError("scan", err)
		}
		return &termDecision{last: at, above: at}, nil // no block: nothing is known of the row
	}
	last, t, err := blockAt(x.r.inst, n.it)
	if err != nil {
		return nil, err
	}
	x.s.metrics.blocksRead.Inc()
	d := &termDecision{
		last: last, lacks: !t.mayHave(x.scan.Need), cut: t.cut, visible: t.visible, starts: t.starts, lastSeq: t.lastSeq,
	}
	if n.it.Prev() {
		_, start, id, ok := decodeIndexKey(n.it.Key())
		if !ok {
			return nil, corrupt(n.it.Key(), errTermsKey)
		}
		d.above = place{start, id}
	} else if err := n.it.Error(); err != nil {
		return nil, x.r.inst.readError("scan", err)
	} else {
		d.lowest = true
	}
	if n.blocks++; n.blocks > maxDecided || n.decided == nil {
		n.decided, n.blocks, list, i = make(map[uint16][]*termDecision), 1, nil, 0
	}
	n.decided[part] = slices.Insert(list, i, d)
	return d, nil
}

// lacks returns the block of a row when nothing in it has what is needed, and nil
// when the row must be looked at.
func (x *scanner) lacks(e *ending) (*termDecision, error) {
	if x.narrow.it == nil || e.flags&rowCut != 0 {
		return nil, nil
	}
	d, err := x.decide(e.part, place{e.start, e.id})
	if err != nil || !d.lacks {
		return nil, err
	}
	return d, nil
}

// leftOut reports whether the row at a source of byTime is left out, and counts
// it when it is the row as of asOf.
func (x *scanner) leftOut(src *source, e *ending) (bool, error) {
	d, err := x.lacks(e)
	if err != nil || d == nil || x.showAnyway() {
		return false, err
	}
	if d.lastSeq > x.asOf && e.flags&rowHidden == 0 {
		// Its block got documents since: the row says whether it is one of those.
		if _, ok, err := x.rowAt(e.part, e.start, e.id, false); !ok || err != nil {
			return true, err
		}
	}
	x.skip(e.flags)
	return true, nil
}

// skip counts a row that is left out.
func (x *scanner) skip(flags byte) {
	if flags&rowHidden == 0 {
		x.skipRows(1)
	}
}

func (x *scanner) skipRows(visible int64) {
	if visible <= 0 {
		return
	}
	x.s.metrics.rowsSkipped.Add(float64(visible))
	if x.scan.Skipped != nil {
		x.scan.Skipped(int(visible))
	}
}

// jump passes over the whole block of terms that a source has come to, if none of
// its rows can match, all lie in the window and behind the cursor, all are as
// of asOf, and no other row comes between them. It reports whether it did, and
// whether the source has more.
func (x *scanner) jump(src *source, sources []*source) (jumped, more bool, err error) {
	at := place{src.at.Time, src.at.ID}
	if src.block == nil || !src.block.holds(at) {
		if src.block, err = x.decide(src.part, at); err != nil {
			return false, false, err
		}
		src.whole = true
	}
	d := src.block
	whole := src.whole
	src.whole = false
	if !whole || !d.lacks || d.cut || d.lastSeq > x.asOf || d.starts.from < x.win.lo || d.starts.to > x.win.hi ||
		x.after != nil && d.starts.to >= x.after.Time || len(x.extra) > 0 && x.extra[0].Time >= d.starts.from {
		return false, false, nil
	}
	for _, other := range sources {
		if other != src && other.at.Time >= d.starts.from {
			return false, false, nil
		}
	}
	visible := d.visible
	for _, g := range x.narrow.gone[src.part] {
		if d.holds(g.place) && g.flags&rowHidden == 0 {
			visible--
		}
	}
	x.s.metrics.blocksSkipped.Inc()
	x.skipRows(visible)
	if d.lowest {
		return true, false, nil
	}
	return true, src.it.SeekLT(append(appendPlaceKey(nil, tagRow, src.part, d.above), 0)), nil
}
