package pebblestore

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

// window is a scan's window in the unit of its clock, both ends in it.
type window struct{ lo, hi int64 }

func windowOf(scan tracestore.Scan) (w window, ok bool) {
	if scan.Start >= scan.End {
		return w, false
	}
	switch scan.Clock {
	case tracestore.ClockStart:
		w = window{scan.Start, scan.End - 1}
	case tracestore.ClockChanged: // a millisecond is in when its first nanosecond is
		w = window{ceilDiv(scan.Start, 1e6), ceilDiv(scan.End, 1e6) - 1}
	case tracestore.ClockEnd: // a minute is in when any of its nanoseconds is
		w = window{floorDiv(scan.Start, minute), floorDiv(scan.End-1, minute)}
	default:
		return w, false
	}
	return w, w.lo <= w.hi
}

// position returns where a row stands in a window.
func (w window) position(row *trace.Row, clock tracestore.Clock) (at int64, ok bool) {
	switch clock {
	case tracestore.ClockStart:
		at = row.Start
	case tracestore.ClockChanged:
		at = row.Changed
	case tracestore.ClockEnd:
		for i := len(row.Ends) - 1; i >= 0; i-- {
			if m := row.Ends[i]; w.lo <= m && m <= w.hi {
				return m, true
			}
		}
		return 0, false
	}
	return at, w.lo <= at && at <= w.hi
}

// compareCursors orders as scans do: below 0 when a comes first, newest first.
func compareCursors(a, b tracestore.Cursor) int {
	if c := cmp.Compare(b.Time, a.Time); c != 0 {
		return c
	}
	return compareIDs(b.ID, a.ID)
}

// scanner is one run of Scan.
//
// Rows come from two sources. The rows in Pebble serve for the traces whose
// documents up to asOf are exactly those that the row was made of. All other
// traces that began by asOf are assembled: those with documents in the tail
// by asOf, and those that the roller gave a new row since asOf. Their positions
// are found first and merged in.
type scanner struct {
	s       *Store
	ctx     context.Context
	r       *reading
	scan    tracestore.Scan
	win     window
	asOf    uint64
	after   *tracestore.Cursor
	emit    func(c tracestore.Cursor, row *trace.Row) bool
	tail    map[segment.TraceID][]tailDoc // traces with documents in the tail by asOf
	held    map[segment.TraceID]uint64    // of traces put off, the first seq that is not in their row
	extra   []tracestore.Cursor           // positions of assembled rows, next first
	reader  trace.RowReader
	words   *trace.Dictionary // of the part wordsOf, nil: of none yet
	wordsOf uint16
	texts   []byte           // scratch space
	docs    *pebble.Iterator // for documents
	rows    *pebble.Iterator // for rows of other indexes
	narrow  narrowing
	done    bool
	looked  int
	unseen  int // rows left out one by one
}

// Scan implements tracestore.Searcher.
func (s *Store) Scan(ctx context.Context, scan tracestore.Scan, fn func(c tracestore.Cursor, row *trace.Row) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	win, ok := windowOf(scan)
	x := &scanner{s: s, ctx: ctx, scan: scan, win: win, after: scan.After, emit: fn, tail: make(map[segment.TraceID][]tailDoc)}
	var err error
	x.r, err = s.read(func(t *tail) {
		x.asOf = t.last
		if scan.AsOf != 0 && scan.AsOf < x.asOf {
			x.asOf = scan.AsOf
		}
		if ok {
			x.takeTail(t)
		}
	})
	if err != nil {
		return err
	}
	defer x.r.release()
	if !ok {
		return nil
	}
	defer func() {
		for _, it := range []*pebble.Iterator{x.docs, x.rows, x.narrow.it} {
			if it != nil {
				_ = it.Close() // errors showed where it was used
			}
		}
	}()
	if x.docs, err = x.r.snap.NewIter(nil); err != nil {
		return x.r.inst.readError("scan", err)
	}
	if x.rows, err = x.r.snap.NewIter(nil); err != nil {
		return x.r.inst.readError("scan", err)
	}
	if len(scan.Need) > 0 {
		if x.narrow.it, err = x.r.snap.NewIter(nil); err != nil {
			return x.r.inst.readError("scan", err)
		}
	}
	if err := x.findExtra(); err != nil {
		return err
	}
	if scan.Clock == tracestore.ClockEnd {
		err = x.byMinute()
	} else {
		err = x.byTime()
	}
	if err != nil {
		return err
	}
	if x.done {
		return nil
	}
	return ctx.Err()
}

// takeTail notes the traces with documents in the tail by asOf. The tail's lock is held.
func (x *scanner) takeTail(t *tail) {
	if len(t.held) > 0 {
		x.held = make(map[segment.TraceID]uint64, len(t.held))
		for id, tt := range t.held {
			x.held[id] = tt.docs[0].Seq
		}
	}
	for _, m := range [...]traceMap{t.held, t.rolling, t.current} {
		for id, tt := range m {
			if docs, ok := x.tail[id]; ok {
				x.tail[id] = append(docs[:len(docs):len(docs)], tt.docs...)
			} else if tt.docs[0].Seq <= x.asOf {
				x.tail[id] = tt.docs
			}
		}
	}
}

// check reports, now and then, whether the scan should end.
func (x *scanner) check() error {
	if x.looked++; x.looked%32 != 0 {
		return nil
	}
	if err := x.ctx.Err(); err != nil {
		return err
	}
	if x.s.isClosing() {
		return tracestore.ErrClosed
	}
	return x.r.inst.err()
}

// findExtra finds the positions of the rows that must be assembled.
func (x *scanner) findExtra() error {
	add := func(id segment.TraceID, waiting []tailDoc) error {
		if err := x.check(); err != nil {
			return err
		}
		docs, kept, err := x.s.documentsOf(x.r, x.docs, id, waiting, x.asOf)
		if err != nil || len(docs) == 0 {
			return err
		}
		x.addExtra(id, trace.AssembleRow(id, docs))
		if x.narrow.it != nil && len(waiting) > 0 && kept > 0 {
			x.narrow.stale(x.r.parts, trace.AssembleRow(id, docs[:kept]))
		}
		return nil
	}
	for id, docs := range x.tail {
		if err := add(id, docs); err != nil {
			return err
		}
	}
	if x.asOf < x.r.w {
		changes, ok := x.s.history.since(x.asOf, x.r.w)
		if !ok {
			ids, err := x.changedSince()
			if err != nil {
				return err
			}
			for _, id := range ids {
				if err := add(id, nil); err != nil {
					return err
				}
			}
		}
		seen := make(map[segment.TraceID]bool, len(changes))
		for i := range changes {
			c := &changes[i]
			if seen[c.id] || x.tail[c.id] != nil {
				continue
			}
			seen[c.id] = true
			if c.oldLast <= x.asOf && x.asOf < c.newFirst && x.scan.Clock != tracestore.ClockEnd {
				// The row before is the row as of asOf: only its place is needed.
				x.addExtra(c.id, &trace.Row{Start: c.start, Changed: c.changed})
				continue
			}
			if err := add(c.id, nil); err != nil {
				return err
			}
		}
	}
	slices.SortFunc(x.extra, compareCursors)
	return nil
}

func (x *scanner) addExtra(id segment.TraceID, row *trace.Row) {
	at, ok := x.win.position(row, x.scan.Clock)
	if !ok {
		return
	}
	c := tracestore.Cursor{Time: at, ID: id}
	if x.after == nil || compareCursors(*x.after, c) < 0 {
		x.extra = append(x.extra, c)
	}
}

// changedSince finds, without the history, the traces that began by asOf and
// have a row with later documents: they have documents after asOf in the part
// of asOf, or a link from that part or an earlier one.
func (x *scanner) changedSince() ([]segment.TraceID, error) {
	list := x.r.parts
	home, ok := partOf(list, x.asOf)
	if !ok {
		return nil, nil // everything of that time is gone
	}
	var ids []segment.TraceID
	it := x.docs
	lower, upper := partSpan(tagTrace, list[home].id)
	it.SetBounds(lower, upper)
	var latest segment.TraceID
	var low, high, any bool
	last := x.r.w
	note := func() {
		if any && low && high && x.tail[latest] == nil {
			ids = append(ids, latest)
		}
	}
	var seqs []uint64
	for ok := it.First(); ok; ok = it.Next() {
		if err := x.check(); err != nil {
			return nil, err
		}
		_, id, first, ok := decodeTraceKey(it.Key())
		if !ok {
			return nil, corrupt(it.Key(), fmt.Errorf("key of %d bytes", len(it.Key())))
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, x.r.inst.readError("scan", err)
		}
		if seqs, err = decodeSeqs(seqs[:0], first, value); err != nil {
			return nil, corrupt(it.Key(), err)
		}
		if id != latest || !any {
			note()
			latest, low, high, any = id, false, false, true
			last = x.rolledUpTo(id)
		}
		for _, seq := range seqs {
			low = low || seq <= x.asOf
			high = high || seq > x.asOf && seq <= last
		}
	}
	note()
	if err := it.Error(); err != nil {
		return nil, x.r.inst.readError("scan", err)
	}
	for _, p := range list[:home+1] {
		lower, upper := partSpan(tagLink, p.id)
		x.rows.SetBounds(lower, upper)
		for ok := x.rows.First(); ok; ok = x.rows.Next() {
			if err := x.check(); err != nil {
				return nil, err
			}
			_, id, ok := decodeLinkKey(x.rows.Key())
			if !ok {
				return nil, corrupt(x.rows.Key(), fmt.Errorf("key of %d bytes", len(x.rows.Key())))
			}
			if x.tail[id] != nil {
				continue
			}
			refs, err := findDocs(x.r.inst, it, list, id, x.rolledUpTo(id))
			if err != nil {
				return nil, err
			}
			if len(refs) > 0 && refs[0].seq <= x.asOf && refs[len(refs)-1].seq > x.asOf {
				ids = append(ids, id)
			}
		}
		if err := x.rows.Error(); err != nil {
			return nil, x.r.inst.readError("scan", err)
		}
	}
	slices.SortFunc(ids, compareIDs)
	return slices.Compact(ids), nil
}

// rolledUpTo returns the seq up to which the documents of a trace are in its row.
func (x *scanner) rolledUpTo(id segment.TraceID) uint64 {
	if from, ok := x.held[id]; ok {
		return min(x.r.w, from-1)
	}
	return x.r.w
}

// give hands a row to the caller.
func (x *scanner) give(c tracestore.Cursor, row *trace.Row) {
	if !x.emit(c, row) {
		x.done = true
	}
}

// giveExtra assembles and hands over the next of the extra rows.
func (x *scanner) giveExtra() error {
	c := x.extra[0]
	x.extra = x.extra[1:]
	docs, _, err := x.s.documentsOf(x.r, x.docs, c.ID, x.tail[c.ID], x.asOf)
	if err != nil {
		return err
	}
	if len(docs) > 0 {
		x.give(c, trace.AssembleRow(c.ID, docs))
	}
	return nil
}

// showEvery is how many rows are left out before one is given nevertheless: so
// the caller gets to look at the clock, and can end the scan.
const showEvery = 1024

// showAnyway reports whether a row that could be left out is to be given.
func (x *scanner) showAnyway() bool {
	x.unseen++
	return x.unseen%showEvery == 0
}

// useWords makes words those of a part.
func (x *scanner) useWords(part uint16) error {
	if x.words != nil && x.wordsOf == part {
		return nil
	}
	words, err := x.s.words.decoding(x.r.inst, x.r.snap, part)
	if err != nil {
		return err
	}
	x.words, x.wordsOf = words, part
	return nil
}

// glance asks the scan's glance about a row of the part of words.
func (x *scanner) glance(row []byte) bool {
	x.texts = x.words.AppendTexts(x.texts[:0], row)
	return x.scan.Glance(x.texts)
}

// usable decodes a row as it is stored and reports whether it is the row as of
// asOf and, with glance, whether the scan's glance lets it pass. One that it does
// not is counted as left out.
func (x *scanner) usable(key, value []byte, glance bool) (*trace.Row, bool, error) {
	if len(value) < 1 {
		return nil, false, corrupt(key, fmt.Errorf("a row of no bytes"))
	}
	part, _, _, ok := decodeIndexKey(key)
	if !ok {
		return nil, false, corrupt(key, fmt.Errorf("key of %d bytes", len(key)))
	}
	if err := x.useWords(part); err != nil {
		return nil, false, err
	}
	if glance && x.scan.Glance != nil && value[0]&rowCut == 0 && !x.glance(value[1:]) && !x.showAnyway() {
		head, ok := trace.ReadRowHead(value[1:])
		if !ok {
			return nil, false, corrupt(key, trace.ErrRow)
		}
		if head.LastSeq <= x.asOf {
			x.skip(value[0])
		}
		return nil, false, nil
	}
	var row *trace.Row
	var err error
	if x.scan.Reuse {
		row, err = x.reader.ReadWith(value[1:], x.words)
	} else {
		row = new(trace.Row)
		err = row.UnmarshalWith(value[1:], x.words)
	}
	if err != nil {
		return nil, false, corrupt(key, err)
	}
	return row, row.LastSeq <= x.asOf, nil
}

// rowAt reads the row of a trace with its start.
func (x *scanner) rowAt(part uint16, start int64, id segment.TraceID, glance bool) (*trace.Row, bool, error) {
	key := appendIndexKey(nil, tagRow, part, start, id)
	x.rows.SetBounds(nil, nil)
	if !x.rows.SeekGE(key) || string(x.rows.Key()) != string(key) {
		if err := x.rows.Error(); err != nil {
			return nil, false, x.r.inst.readError("scan", err)
		}
		return nil, false, corrupt(key, fmt.Errorf("the row that an index names is missing"))
	}
	value, err := x.rows.ValueAndErr()
	if err != nil {
		return nil, false, x.r.inst.readError("scan", err)
	}
	return x.usable(key, value, glance)
}

// source is the index of one part, read backwards.
type source struct {
	part uint16
	it   *pebble.Iterator
	at   tracestore.Cursor

	block   *termDecision // that a row came to last; nil: none was asked for yet
	section int           // of it, in which rows were looked at, -1: in none
}

func (x *scanner) sourceError(src *source) error {
	if err := src.it.Error(); err != nil {
		return x.r.inst.readError("scan", err)
	}
	return nil
}

// load sets the place of a source from its key.
func (src *source) load() error {
	_, at, id, ok := decodeIndexKey(src.it.Key())
	if !ok {
		return corrupt(src.it.Key(), fmt.Errorf("key of %d bytes", len(src.it.Key())))
	}
	src.at = tracestore.Cursor{Time: at, ID: id}
	return nil
}

// byTime scans S or E.
func (x *scanner) byTime() (err error) {
	tag := byte(tagRow)
	if x.scan.Clock == tracestore.ClockChanged {
		tag = tagChange
	}
	var sources []*source
	defer func() {
		for _, src := range sources {
			_ = src.it.Close() // errors showed where it was used
		}
	}()
	for _, p := range x.r.parts {
		bounds := p.starts
		if tag == tagChange {
			bounds = p.changes
		}
		if !bounds.meets(x.win.lo, x.win.hi) {
			continue
		}
		lower := appendIndexKey(nil, tag, p.id, x.win.lo, segment.TraceID{})
		_, upper := partSpan(tag, p.id)
		if x.win.hi < math.MaxInt64 {
			upper = appendIndexKey(nil, tag, p.id, x.win.hi+1, segment.TraceID{})
		}
		if x.after != nil && x.after.Time <= x.win.hi {
			upper = appendIndexKey(nil, tag, p.id, x.after.Time, x.after.ID)
		}
		if string(lower) >= string(upper) {
			continue
		}
		it, err := x.r.snap.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
		if err != nil {
			return x.r.inst.readError("scan", err)
		}
		src := &source{part: p.id, it: it}
		sources = append(sources, src)
		if !it.Last() {
			if err := x.sourceError(src); err != nil {
				return err
			}
			_ = it.Close()
			sources = sources[:len(sources)-1]
			continue
		}
		if err := src.load(); err != nil {
			return err
		}
	}
	var next, second *source // second: whose row comes when those of next are through
	for !x.done {
		// Parts are few, and mostly one of them has the next rows: no heap pays here.
		if next == nil || second != nil && compareCursors(second.at, next.at) < 0 {
			next, second = nil, nil
			for _, src := range sources {
				switch {
				case next == nil || compareCursors(src.at, next.at) < 0:
					next, second = src, next
				case second == nil || compareCursors(src.at, second.at) < 0:
					second = src
				}
			}
		}
		if len(x.extra) > 0 && (next == nil || compareCursors(x.extra[0], next.at) < 0) {
			if err := x.check(); err != nil {
				return err
			}
			if err := x.giveExtra(); err != nil {
				return err
			}
			continue
		}
		if next == nil {
			return nil
		}
		if err := x.check(); err != nil {
			return err
		}
		jumped, ok := false, false
		var err error
		if x.narrow.it != nil && tag == tagRow {
			if jumped, ok, err = x.jump(next, sources); err != nil {
				return err
			}
		}
		if !jumped {
			if err := x.giveNext(next, tag); err != nil {
				return err
			}
			ok = !x.done && next.it.Prev()
		}
		if x.done {
			return nil
		}
		if ok {
			if err := next.load(); err != nil {
				return err
			}
			continue
		}
		if err := x.sourceError(next); err != nil {
			return err
		}
		i := slices.Index(sources, next)
		_ = next.it.Close()
		sources = slices.Delete(sources, i, i+1)
		next = nil
	}
	return nil
}

// giveNext hands over the row at a source of byTime, or leaves it out.
func (x *scanner) giveNext(src *source, tag byte) error {
	if _, waiting := x.tail[src.at.ID]; waiting {
		return nil
	}
	value, err := src.it.ValueAndErr()
	if err != nil {
		return x.r.inst.readError("scan", err)
	}
	e := ending{id: src.at.ID, part: src.part, start: src.at.Time}
	if tag == tagChange {
		if e.start, e.flags, err = decodeIndexValue(src.it.Key(), value); err != nil {
			return err
		}
	} else if len(value) > 0 {
		e.flags = value[0]
	}
	if lacks, err := x.leftOut(src, &e); lacks || err != nil {
		return err
	}
	var row *trace.Row
	var ok bool
	if tag == tagRow {
		row, ok, err = x.usable(src.it.Key(), value, true)
	} else {
		row, ok, err = x.rowAt(e.part, e.start, e.id, true)
	}
	if ok && err == nil {
		x.give(src.at, row)
	}
	return err
}

// ending is a trace that may end in a minute.
type ending struct {
	id    segment.TraceID
	part  uint16
	start int64
	flags byte // of its row; of one that was not read they are rowEndsAtStart
	extra bool // to be assembled
	out   bool // its row has not what is asked for: it is counted
}

// endingsAtOnce bounds how many endings of one minute are in memory.
const endingsAtOnce = 1 << 16

// endingList keeps the endings with the highest ids, sorted from time to time.
type endingList struct {
	list []ending
	// cut is set when some were dropped: all in the list have ids above those.
	cut bool
}

func (l *endingList) sort() {
	slices.SortFunc(l.list, func(a, b ending) int { return compareIDs(b.id, a.id) })
	if len(l.list) > endingsAtOnce {
		l.list, l.cut = l.list[:endingsAtOnce], true
	}
}

func (l *endingList) add(e ending) {
	l.list = append(l.list, e)
	if len(l.list) >= 2*endingsAtOnce {
		l.sort()
	}
}

// byMinute scans by end minute. V holds the end minutes other than that of the
// start; for that one, the rows say it by their first byte. A trace is given at
// its last end minute in the window and passed over at the others.
//
// Within a minute the order is by id, the rows' by start: so a minute is
// taken as a whole, in portions when it is large.
func (x *scanner) byMinute() error {
	type sources struct{ ends, rows *minuteSource }
	var all []*sources
	defer func() {
		for _, p := range all {
			_ = p.ends.it.Close() // errors showed where it was used
			_ = p.rows.it.Close()
		}
	}()
	for _, p := range x.r.parts {
		open := func(tag byte) (*minuteSource, error) {
			lower, upper := partSpan(tag, p.id)
			it, err := x.r.snap.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
			if err != nil {
				return nil, x.r.inst.readError("scan", err)
			}
			return &minuteSource{source: source{part: p.id, it: it}, tag: tag, moved: true}, nil
		}
		lo, _ := minuteStart(x.win.lo)
		_, hi := minuteStart(x.win.hi)
		if !p.ends.meets(x.win.lo, x.win.hi) && !p.starts.meets(lo, hi) {
			continue
		}
		ends, err := open(tagEnd)
		if err != nil {
			return err
		}
		rows, err := open(tagRow)
		if err != nil {
			_ = ends.it.Close()
			return err
		}
		all = append(all, &sources{ends, rows})
	}
	bound := tracestore.Cursor{Time: x.win.hi, ID: maxID}
	whole := true // the id of bound itself is still to come
	if x.after != nil && x.after.Time <= x.win.hi {
		bound, whole = *x.after, false
	}
	for !x.done && bound.Time >= x.win.lo {
		// The latest minute in which anything may end.
		m := int64(math.MinInt64)
		found := false
		if len(x.extra) > 0 {
			m, found = x.extra[0].Time, true
		}
		for _, p := range all {
			for _, src := range []*minuteSource{p.ends, p.rows} {
				if err := x.seekMinute(src, bound.Time); err != nil {
					return err
				}
				if !src.done {
					m, found = max(m, src.minute), true
				}
			}
		}
		if !found || m < x.win.lo {
			return nil
		}
		if m < bound.Time {
			bound, whole = tracestore.Cursor{Time: m, ID: maxID}, true
		}
		below := func(id segment.TraceID) bool {
			c := compareIDs(id, bound.ID)
			return c < 0 || c == 0 && whole
		}
		var list endingList
		for i, c := range x.extra {
			if c.Time != m || i >= endingsAtOnce {
				list.cut = list.cut || c.Time == m
				break
			}
			if below(c.ID) {
				list.add(ending{id: c.ID, extra: true})
			}
		}
		var floor segment.TraceID // endings below this id may be missing from the list
		if list.cut {
			floor = x.extra[endingsAtOnce-1].ID
		}
		var passed []passedRows
		var err error
		for _, p := range all {
			if !p.ends.done && p.ends.minute == m {
				p.ends.moved = true
				if err := x.endsIn(&p.ends.source, m, below, &list, &floor); err != nil {
					return err
				}
			}
			if !p.rows.done && p.rows.minute == m {
				p.rows.moved = true
				if passed, err = x.rowsIn(&p.rows.source, m, below, &list, passed); err != nil {
					return err
				}
			}
		}
		if floor, err = x.giveMinute(m, whole, below, &list, passed, floor); err != nil || x.done {
			return err
		}
		if floor != (segment.TraceID{}) {
			bound, whole = tracestore.Cursor{Time: m, ID: floor}, false
			continue
		}
		if m == math.MinInt64 {
			return nil
		}
		bound, whole = tracestore.Cursor{Time: m - 1, ID: maxID}, true
	}
	return nil
}

// giveMinute gives the endings of a minute: those in list, and passed rows, which are
// counted. whole says that none was given before. Endings below floor are left to
// the next call, as are those below the floor that it returns.
func (x *scanner) giveMinute(m int64, whole bool, below func(segment.TraceID) bool, list *endingList, passed []passedRows, floor segment.TraceID) (segment.TraceID, error) {
	if whole && floor == (segment.TraceID{}) {
		only, err := x.onlyCounted(list.list)
		if err != nil {
			return floor, err
		}
		if only { // their order does not matter
			for i := range list.list {
				if err := x.giveEnding(&list.list[i], m); err != nil {
					return floor, err
				}
			}
			for i := range passed {
				x.skipRows(passed[i].visible)
			}
			return floor, nil
		}
	}
	list.sort()
	if list.cut && len(list.list) > 0 {
		if last := list.list[len(list.list)-1].id; compareIDs(last, floor) > 0 {
			floor = last
		}
	}
	// The first endings with ids below one.
	belowID := func(id segment.TraceID) int {
		return sort.Search(len(list.list), func(i int) bool { return compareIDs(list.list[i].id, id) < 0 })
	}
	list.list = list.list[:belowID(floor)]
	between := make([]int64, len(list.list)+1) // passed rows before each ending, and behind the last
	for i := range passed {
		err := x.eachPassed(&passed[i], func(id segment.TraceID) {
			if below(id) && compareIDs(id, floor) >= 0 {
				between[belowID(id)]++
			}
		})
		if err != nil {
			return floor, err
		}
	}
	for i := range list.list {
		x.skipRows(between[i])
		if err := x.giveEnding(&list.list[i], m); err != nil || x.done {
			return floor, err
		}
	}
	x.skipRows(between[len(list.list)])
	return floor, nil
}

// minuteSource is a source of byMinute: V or S keys of a part.
type minuteSource struct {
	source
	tag    byte
	minute int64 // of the latest key up to the bound
	done   bool  // there is none, nor will there be
	moved  bool  // the iterator does not stand there any more
}

// seekMinute finds the latest key in a minute up to bound, which only goes down.
func (x *scanner) seekMinute(src *minuteSource, bound int64) error {
	if src.done || !src.moved && src.minute <= bound {
		return nil
	}
	var key []byte
	if src.tag == tagEnd {
		key = afterMinute(tagEnd, src.part, bound)
	} else {
		_, last := minuteStart(bound)
		key = afterNano(src.part, last)
	}
	src.moved = false
	if !src.it.SeekLT(key) {
		src.done = true
		return x.sourceError(&src.source)
	}
	if err := src.load(); err != nil {
		return err
	}
	src.minute = src.at.Time
	if src.tag == tagRow {
		src.minute = floorDiv(src.at.Time, minute)
	}
	return nil
}

// endsIn adds the endings that V has in a minute.
func (x *scanner) endsIn(src *source, m int64, below func(segment.TraceID) bool, list *endingList, floor *segment.TraceID) error {
	n := 0
	ok := src.it.SeekLT(afterMinute(tagEnd, src.part, m))
	for ; ok; ok = src.it.Prev() {
		if err := x.check(); err != nil {
			return err
		}
		if err := src.load(); err != nil {
			return err
		}
		if src.at.Time != m {
			return nil
		}
		if !below(src.at.ID) {
			continue
		}
		if n++; n > endingsAtOnce {
			// src.at.ID is the highest that is left out.
			if above := nextID(src.at.ID); compareIDs(above, *floor) > 0 {
				*floor = above
			}
			return nil
		}
		value, err := src.it.ValueAndErr()
		if err != nil {
			return x.r.inst.readError("scan", err)
		}
		e := ending{id: src.at.ID, part: src.part}
		if e.start, e.flags, err = decodeIndexValue(src.it.Key(), value); err != nil {
			return err
		}
		list.add(e)
	}
	return x.sourceError(src)
}

// passedRows are the rows of neighbouring sections of blocks of terms, none of which has
// what is needed. Those that are visible end in the minute in which they start, and nowhere else.
type passedRows struct {
	src     *source
	top     []byte // a key above theirs and below all that come before
	low     int64  // no start is below it
	start   bool   // that bounds them, and above, the place before their lowest block, does not
	above   place
	stored  int64 // visible rows in Pebble
	visible int64 // of them, those that count
}

// passedAtOnce is how many passed rows make another passedRows of the next section.
const passedAtOnce = 1 << 12

// pass returns the sections that a source of rows has come to, as far as they can be passed
// over unread within a minute, which goes from first through last.
func (x *scanner) pass(src *source, first, last int64) (p passedRows, ok bool, err error) {
	at := place{src.at.Time, src.at.ID}
	if src.block == nil || !src.block.holds(at) {
		if src.block, err = x.decide(src.part, at); err != nil {
			return p, false, err
		}
		src.section = -1
	}
	d := src.block
	i := sectionOf(d.ends, at.start)
	if i == src.section || d.to(i) > last {
		return p, false, nil
	}
	src.section = i
	p.src = src
	if i < len(d.ends) {
		p.top = afterNano(src.part, d.ends[i])
	} else {
		p.top = append(appendPlaceKey(nil, tagRow, src.part, d.last), 0)
	}
	for {
		for ; i >= 0 && !(d.may | d.cut).has(i) && d.lastSeq <= x.asOf && d.from(i) >= first; i-- {
			stored, spread := d.count(i, i, nil)
			if spread != 0 {
				break
			}
			visible, _ := d.count(i, i, x.narrow.gone[src.part])
			p.stored, p.visible = p.stored+stored, p.visible+visible
			p.low, p.start, p.above = d.from(i), d.lowest || i > 0, d.above
			ok = true
		}
		if i >= 0 || d.lowest || p.stored >= passedAtOnce {
			return p, ok, nil
		}
		if err := x.check(); err != nil {
			return p, false, err
		}
		if d, err = x.decide(src.part, d.above); err != nil {
			return p, false, err
		}
		i = len(d.ends)
	}
}

// holds reports whether a row that is not above p lies in it.
func (p *passedRows) holds(at place) bool {
	return at.start >= p.low && (p.start || p.above.compare(at) < 0)
}

// eachPassed calls fn for the ids of passed rows that count.
func (x *scanner) eachPassed(p *passedRows, fn func(id segment.TraceID)) error {
	src := p.src
	walk := func(fn func() error) error {
		ok := src.it.SeekLT(p.top)
		for ; ok; ok = src.it.Prev() {
			if err := x.check(); err != nil {
				return err
			}
			if err := src.load(); err != nil {
				return err
			}
			if !p.holds(place{src.at.Time, src.at.ID}) {
				return nil
			}
			if err := fn(); err != nil {
				return err
			}
		}
		return x.sourceError(src)
	}
	var ids []segment.TraceID
	if err := walk(func() error { ids = append(ids, src.at.ID); return nil }); err != nil {
		return err
	}
	if int64(len(ids)) != p.stored { // some are hidden: only their values tell
		ids = ids[:0]
		err := walk(func() error {
			value, err := src.it.ValueAndErr()
			if err != nil {
				return x.r.inst.readError("scan", err)
			}
			if len(value) > 0 && value[0]&rowHidden == 0 {
				ids = append(ids, src.at.ID)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, id := range ids {
		if _, waiting := x.tail[id]; !waiting {
			fn(id)
		}
	}
	return nil
}

// rowsIn adds the traces that start and end in a minute. Rows that can be passed over
// are added to passed instead.
func (x *scanner) rowsIn(src *source, m int64, below func(segment.TraceID) bool, list *endingList, passed []passedRows) ([]passedRows, error) {
	first, last := minuteStart(m)
	src.block = nil
	ok := src.it.SeekLT(afterNano(src.part, last))
	for ok {
		if err := x.check(); err != nil {
			return passed, err
		}
		if err := src.load(); err != nil {
			return passed, err
		}
		if src.at.Time < first {
			return passed, nil
		}
		if x.narrow.it != nil {
			p, pass, err := x.pass(src, first, last)
			if err != nil {
				return passed, err
			}
			if pass {
				passed = append(passed, p)
				if p.start {
					ok = src.it.SeekLT(appendIndexKey(nil, tagRow, src.part, p.low, segment.TraceID{}))
				} else {
					ok = src.it.SeekLT(append(appendPlaceKey(nil, tagRow, src.part, p.above), 0))
				}
				continue
			}
		}
		if below(src.at.ID) {
			if err := x.rowIn(src, list); err != nil {
				return passed, err
			}
		}
		ok = src.it.Prev()
	}
	return passed, x.sourceError(src)
}

// rowIn adds the trace at a source of rows, if it may end in the minute in which it starts.
func (x *scanner) rowIn(src *source, list *endingList) error {
	e := ending{id: src.at.ID, part: src.part, start: src.at.Time, flags: rowEndsAtStart}
	if len(x.scan.Need) == 0 && x.scan.Glance == nil {
		list.add(e) // the row will tell, if it comes so far
		return nil
	}
	value, err := src.it.ValueAndErr()
	if err != nil {
		return x.r.inst.readError("scan", err)
	}
	if len(value) == 0 || value[0]&rowEndsAtStart == 0 {
		return nil
	}
	e.flags = value[0]
	if e.flags&(rowSeveralEnds|rowCut) == 0 {
		// Rows come in order here, so that it costs least to look at them.
		lacks, err := x.lacks(&e)
		if err != nil {
			return err
		}
		if e.out = lacks != nil; !e.out && x.scan.Glance != nil {
			if err := x.useWords(src.part); err != nil {
				return err
			}
			e.out = !x.glance(value[1:])
		}
		if e.out && (lacks == nil || lacks.lastSeq > x.asOf) {
			head, ok := trace.ReadRowHead(value[1:])
			if !ok {
				return corrupt(src.it.Key(), trace.ErrRow)
			}
			if head.LastSeq > x.asOf {
				return nil // it is one of those that are assembled
			}
		}
	}
	list.add(e)
	return nil
}

// onlyCounted reports whether all of a minute's endings are certain to be counted, and
// none of them given.
func (x *scanner) onlyCounted(list []ending) (bool, error) {
	if x.unseen%showEvery+len(list) >= showEvery {
		return false, nil // one is to be shown
	}
	for i := range list {
		e := &list[i]
		if e.extra {
			return false, nil
		}
		if !e.out {
			if lacks, err := x.lacks(e); lacks == nil || err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

func (x *scanner) giveEnding(e *ending, m int64) error {
	if err := x.check(); err != nil {
		return err
	}
	at := tracestore.Cursor{Time: m, ID: e.id}
	if e.extra {
		if len(x.extra) > 0 && x.extra[0] == at {
			return x.giveExtra()
		}
		return nil
	}
	if _, waiting := x.tail[e.id]; waiting {
		return nil
	}
	if e.out && !x.showAnyway() {
		x.skip(e.flags)
		return nil
	}
	var lacks *termDecision
	var err error
	if !e.out {
		if lacks, err = x.lacks(e); err != nil {
			return err
		}
	}
	if lacks != nil && (e.flags&rowHidden != 0 || e.flags&rowSeveralEnds == 0 && lacks.lastSeq <= x.asOf) {
		x.skip(e.flags)
		return nil
	}
	// A row with several ends is counted at one of them, and it says at which.
	row, ok, err := x.rowAt(e.part, e.start, e.id, !e.out && e.flags&rowSeveralEnds == 0)
	if err != nil || !ok {
		return err
	}
	if last, ok := x.win.position(row, tracestore.ClockEnd); !ok || last != m {
		return nil
	}
	if lacks != nil {
		x.skip(e.flags)
	} else {
		x.give(at, row)
	}
	return nil
}

// decodeIndexValue decodes an E or V value.
func decodeIndexValue(key, value []byte) (start int64, flags byte, err error) {
	if len(value) != 9 || value[8] >= rowFlagsEnd {
		return 0, 0, corrupt(key, fmt.Errorf("value %x of %d bytes", value[:min(len(value), 9)], len(value)))
	}
	return unordered(binary.BigEndian.Uint64(value)), value[8], nil
}

var maxID = segment.TraceID{
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
}

// nextID returns the id after id; id is not the highest.
func nextID(id segment.TraceID) segment.TraceID {
	for i := len(id) - 1; i >= 0; i-- {
		if id[i]++; id[i] != 0 {
			break
		}
	}
	return id
}

// minuteStart returns the first and the last nanosecond of a minute, cut to
// what there is.
func minuteStart(m int64) (first, last int64) {
	const lowest, highest = math.MinInt64 / minute, math.MaxInt64 / minute // those that fit
	first, last = math.MinInt64, math.MaxInt64
	switch {
	case m > highest:
		first = math.MaxInt64
	case m >= lowest:
		first = m * minute
	}
	switch {
	case m < lowest-1:
		last = math.MinInt64
	case m < highest:
		last = (m+1)*minute - 1
	}
	return first, last
}

// afterMinute returns a key above all V keys of a minute and below those of later ones.
func afterMinute(tag byte, part uint16, m int64) []byte {
	return append(appendIndexKey(nil, tag, part, m, maxID), 0xff)
}

// afterNano returns a key above all S keys of a start and below those of later ones.
func afterNano(part uint16, v int64) []byte { return afterMinute(tagRow, part, v) }
