package pebblestore

import (
	"math"
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
	// part is the one that it is bounded to, once ready. With next set it stands at
	// the block below the one that was read last, which is asked next as a rule.
	part  uint16
	ready bool
	next  bool
	below place // of next, the last place of that block
	// latest is the decision that was given last, on a block of latestPart.
	latest     *termDecision
	latestPart uint16
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

// termDecision is which rows of a block of terms may have what is needed.
type termDecision struct {
	above   place // the last place before the block
	lowest  bool  // there is none
	last    place
	may     sections // whose rows may have what is needed
	cut     sections // that may have rows with Cut set
	ends    []int64
	tallies []tally
	starts  span
	lastSeq uint64
}

func (d *termDecision) holds(at place) bool {
	return at.compare(d.last) <= 0 && (d.lowest || d.above.compare(at) < 0)
}

// lacks reports whether the row of a place in the block, unless its Cut is set, has
// not what is needed.
func (d *termDecision) lacks(at place) bool { return !d.may.has(sectionOf(d.ends, at.start)) }

// from returns the lowest start that rows of a section may have.
func (d *termDecision) from(section int) int64 {
	switch {
	case section > 0:
		return max(d.starts.from, d.ends[section-1]+1)
	case d.lowest:
		return d.starts.from
	}
	return max(d.starts.from, d.above.start)
}

// to returns the highest start that rows of a section may have.
func (d *termDecision) to(section int) int64 {
	if section == len(d.ends) {
		return min(d.starts.to, d.last.start)
	}
	return min(d.starts.to, d.ends[section])
}

// count returns what is counted of the sections from through to, without the rows
// in gone.
func (d *termDecision) count(from, to int, gone []goneRow) (visible, spread int64) {
	for _, t := range d.tallies {
		if from <= t.section && t.section <= to {
			visible, spread = visible+t.visible, spread+t.spread
		}
	}
	for i := range gone {
		if g := &gone[i]; d.holds(g.place) {
			if at := sectionOf(d.ends, g.start); from <= at && at <= to {
				v, s := tallied(g.flags)
				visible, spread = visible-v, spread-s
			}
		}
	}
	return visible, spread
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

// decide returns the block of a place and which of its rows may have what is needed.
func (x *scanner) decide(part uint16, at place) (*termDecision, error) {
	n := &x.narrow
	if n.latest != nil && n.latestPart == part && n.latest.holds(at) {
		return n.latest, nil
	}
	list := n.decided[part]
	i, _ := slices.BinarySearchFunc(list, at, func(d *termDecision, at place) int { return d.last.compare(at) })
	if i < len(list) && list[i].holds(at) {
		n.latest, n.latestPart = list[i], part
		return list[i], nil
	}
	if !n.ready || n.part != part {
		lower, upper := partSpan(tagTerms, part)
		n.it.SetBounds(lower, upper)
		n.part, n.ready, n.next = part, true, false
	}
	var d *termDecision
	var err error
	if n.next && at.compare(n.below) <= 0 {
		if d, err = x.readDecision(); err != nil {
			return nil, err
		}
	}
	if d == nil || !d.holds(at) {
		n.next = false
		if !n.it.SeekGE(appendPlaceKey(nil, tagTerms, part, at)) {
			if err := n.it.Error(); err != nil {
				return nil, x.r.inst.readError("scan", err)
			}
			return &termDecision{last: at, above: at, may: allSections}, nil // no block: nothing is known of the row
		}
		if d, err = x.readDecision(); err != nil {
			return nil, err
		}
	}
	if n.blocks++; n.blocks > maxDecided || n.decided == nil {
		n.decided, n.blocks, list, i = make(map[uint16][]*termDecision), 1, nil, 0
	}
	n.decided[part] = slices.Insert(list, i, d)
	n.latest, n.latestPart = d, part
	return d, nil
}

// readDecision decides on the block at the iterator, which it moves to the one below.
func (x *scanner) readDecision() (*termDecision, error) {
	n := &x.narrow
	last, t, err := blockAt(x.r.inst, n.it)
	if err != nil {
		return nil, err
	}
	x.s.metrics.blocksRead.Inc()
	d := &termDecision{
		last: last, may: t.whereAll(x.scan.Need), cut: t.cut, ends: t.ends, tallies: t.tallies, starts: t.starts, lastSeq: t.lastSeq,
	}
	if n.next = n.it.Prev(); n.next {
		_, start, id, ok := decodeIndexKey(n.it.Key())
		if !ok {
			return nil, corrupt(n.it.Key(), errTermsKey)
		}
		d.above = place{start, id}
		n.below = d.above
	} else if err := n.it.Error(); err != nil {
		return nil, x.r.inst.readError("scan", err)
	} else {
		d.lowest = true
	}
	return d, nil
}

// lacks returns the block of a row when nothing in its section has what is needed,
// and nil when the row must be looked at.
func (x *scanner) lacks(e *ending) (*termDecision, error) {
	if x.narrow.it == nil || e.flags&rowCut != 0 {
		return nil, nil
	}
	at := place{e.start, e.id}
	d, err := x.decide(e.part, at)
	if err != nil || !d.lacks(at) {
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

// jump passes over the sections of blocks of terms that a source has come to, as
// far down as none of their rows can match, all lie in the window and behind the cursor,
// all are as of asOf, and no other row comes between them. It reports whether it did,
// and whether the source has more.
func (x *scanner) jump(src *source, sources []*source) (jumped, more bool, err error) {
	at := place{src.at.Time, src.at.ID}
	if src.block == nil || !src.block.holds(at) {
		if src.block, err = x.decide(src.part, at); err != nil {
			return false, false, err
		}
		src.section = -1
	}
	d := src.block
	i := sectionOf(d.ends, at.start)
	if i == src.section { // rows of it were passed already
		return false, false, nil
	}
	src.section = i
	if d.to(i) > x.win.hi || x.after != nil && d.to(i) >= x.after.Time {
		return false, false, nil
	}
	lowest := x.win.lo // of the starts that may be passed over
	above := func(t int64) {
		if t >= lowest {
			lowest = t
			if t < math.MaxInt64 {
				lowest++
			}
		}
	}
	if len(x.extra) > 0 {
		above(x.extra[0].Time)
	}
	for _, other := range sources {
		if other != src {
			above(other.at.Time)
		}
	}
	for {
		top, j := i, i
		if d.lastSeq <= x.asOf {
			for j >= 0 && !(d.may | d.cut).has(j) && d.from(j) >= lowest {
				j--
			}
		}
		if i = j; j < top {
			jumped = true
			visible, _ := d.count(j+1, top, x.narrow.gone[src.part])
			x.skipRows(visible)
			if j < 0 && top == len(d.ends) {
				x.s.metrics.blocksSkipped.Inc()
			}
		}
		if j >= 0 || d.lowest {
			break
		}
		if err := x.check(); err != nil {
			return false, false, err
		}
		if d, err = x.decide(src.part, d.above); err != nil {
			return false, false, err
		}
		i = len(d.ends)
	}
	switch {
	case !jumped:
		return false, false, nil
	case i < 0:
		return true, false, nil
	case i == len(d.ends):
		return true, src.it.SeekLT(append(appendPlaceKey(nil, tagRow, src.part, d.last), 0)), nil
	default:
		return true, src.it.SeekLT(afterNano(src.part, d.ends[i])), nil
	}
}
