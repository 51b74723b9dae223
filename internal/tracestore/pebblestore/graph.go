package pebblestore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"

	"github.com/roentgen-io/roentgen/internal/servicegraph"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
)

// tier is a length of time into which observations are summed up.
type tier uint8

const (
	tierSecond tier = iota
	tierMinute
	tierHour
	tierDay
	tiersEnd
)

// seconds returns the length of the tier's buckets.
func (t tier) seconds() int64 { return [...]int64{1, 60, 3600, 86400}[t] }

// unit returns how exactly the cells of a tier say when roots began.
func (t tier) unit() servicegraph.Unit {
	return [...]servicegraph.Unit{servicegraph.Second, servicegraph.Second, servicegraph.Minute, servicegraph.Hour}[t]
}

func (t tier) floor(second int64) int64 { return floorDiv(second, t.seconds()) * t.seconds() }

const (
	// secondsKept is how long the cells of single seconds are kept at least;
	// secondsSlack is by how much longer, so that they are removed many at a time.
	secondsKept  = 2 * time.Hour
	secondsSlack = 10 * time.Minute
)

// secondsFrom returns the first second, a whole minute, of which cells are kept.
func secondsFrom(now time.Time) int64 { return tierMinute.floor(now.Add(-secondsKept).Unix()) }

// bucketRef names the cells of a group in a bucket of a part.
type bucketRef struct {
	part   uint16
	tier   tier
	bucket int64 // its first second
	ref    tracestore.GroupRef
}

// graphChanges are what a step adds to the cells, by seconds.
type graphChanges map[bucketRef]servicegraph.Cells

// graphAdder adds to graphChanges. It remembers cells that it added to: the same
// few services contribute again and again, and to find a cell by the texts of its
// key costs more than to add to it.
type graphAdder struct {
	changes graphChanges
	known   [256]knownCell // by a hash of key and bucket
}

type knownCell struct {
	at   bucketRef
	key  servicegraph.Key
	cell *servicegraph.Cell // nil: none is known here
}

func (g *graphAdder) add(part uint16, c *servicegraph.Contribution, sign int64, refs []tracestore.GroupRef) {
	b := bucketRef{part: part, bucket: floorDiv(c.At, 1000)}
	hash := xxhash.Sum64String(c.Key.From.Name) + uint64(b.bucket)
	if c.Key.IsEdge() {
		hash += 31 * xxhash.Sum64String(c.Key.To.Name)
	}
	for _, b.ref = range refs {
		k := &g.known[(hash+17*uint64(b.ref.Group))%uint64(len(g.known))]
		if k.cell == nil || k.at != b || k.key != c.Key {
			cells := g.changes[b]
			if cells == nil {
				cells = make(servicegraph.Cells)
				g.changes[b] = cells
			}
			*k = knownCell{at: b, key: c.Key, cell: cells.Of(&c.Key)}
		}
		k.cell.Add(c, sign)
	}
}

// clear makes the adder ready for another step, when the changes were used.
func (g *graphAdder) clear() {
	clear(g.changes)
	clear(g.known[:])
}

// each calls fn for the changes of the cells of all tiers, tier by tier in the
// order of keys. Cells of seconds before from are not kept. The changes are used up.
func (g graphChanges) each(from int64, fn func(key []byte, cell *servicegraph.Cell)) {
	type change struct {
		key  []byte
		cell *servicegraph.Cell
	}
	var list []change
	var arena []byte
	for t := tierSecond; t < tiersEnd; t++ {
		if t > tierSecond {
			wider := make(graphChanges, len(g))
			for at, cells := range g {
				at.tier, at.bucket = t, t.floor(at.bucket)
				if sum := wider[at]; sum != nil {
					sum.Merge(cells)
				} else {
					wider[at] = cells // those of the tier below are done with
				}
			}
			g = wider
		}
		for at, cells := range g {
			for k, c := range cells {
				if t.unit() != servicegraph.Second {
					c.Coarsen(t.unit())
				}
				if c.IsZero() || t == tierSecond && at.bucket < from {
					continue
				}
				n := len(arena)
				arena = appendGroupKey(arena, at.part, t, at.bucket, at.ref)
				arena = k.AppendBinary(arena)
				list = append(list, change{arena[n:len(arena):len(arena)], c})
			}
		}
		slices.SortFunc(list, func(a, b change) int { return bytes.Compare(a.key, b.key) })
		for _, c := range list {
			fn(c.key, c.cell)
		}
		list, arena = list[:0], arena[:0]
	}
}

// write adds the changes of the cells to a batch and returns how many they are.
func (g graphChanges) write(b *pebble.Batch, from int64) (cells int) {
	var value []byte
	g.each(from, func(key []byte, cell *servicegraph.Cell) {
		value = cell.AppendBinary(value[:0])
		must(b.Merge(key, value, nil))
		cells++
	})
	return cells
}

// belongs appends the groups that a trace belongs to: the Default group first.
func belongs(dst []tracestore.GroupRef, groups []tracestore.Group, t *trace.Trace, row *trace.Row) []tracestore.GroupRef {
	dst = append(dst, tracestore.GroupRef{})
	var whole *trace.Row
	full := func() *trace.Row {
		if whole == nil {
			whole = t.FullRow()
		}
		return whole
	}
	for i := range groups {
		g := &groups[i]
		if g.From < t.ChangedSeq && (g.Until == 0 || t.ChangedSeq <= g.Until) && g.Ref != (tracestore.GroupRef{}) && g.Match(row, full) {
			dst = append(dst, g.Ref)
		}
	}
	return dst
}

// contribute adds to the changes of the step what a trace, as it now is, adds to
// the graph, less what it added before. old are the documents from before.
func (r *roller) contribute(it *rollItem, t *trace.Trace, old []trace.Document) {
	part := it.open.home
	if it.had && t.ChangedSeq <= old[len(old)-1].Seq {
		return // the new documents are all ignored
	}
	r.after = servicegraph.Contributions(r.after[:0], t)
	r.refsAfter = belongs(r.refsAfter[:0], r.groups, t, it.row)
	if !it.had {
		for i := range r.after {
			r.graph.add(part, &r.after[i], 1, r.refsAfter)
		}
		return
	}
	was := trace.AssembleBrief(it.id, old)
	r.before = servicegraph.Contributions(r.before[:0], was)
	r.refsBefore = r.refsBefore[:0]
	if len(r.groups) == 0 {
		r.refsBefore = append(r.refsBefore, tracestore.GroupRef{})
	} else {
		r.refsBefore = belongs(r.refsBefore, r.groups, was, was.Row())
	}
	// Groups that the trace left or came to get all of it, the others the difference.
	var both, left, came []tracestore.GroupRef
	if slices.Equal(r.refsBefore, r.refsAfter) {
		both = r.refsAfter
	} else {
		for _, ref := range r.refsBefore {
			if slices.Contains(r.refsAfter, ref) {
				both = append(both, ref)
			} else {
				left = append(left, ref)
			}
		}
		for _, ref := range r.refsAfter {
			if !slices.Contains(r.refsBefore, ref) {
				came = append(came, ref)
			}
		}
	}
	for i := range r.before {
		r.graph.add(part, &r.before[i], -1, left)
	}
	for i := range r.after {
		r.graph.add(part, &r.after[i], 1, came)
	}
	difference(r.before, r.after, func(c *servicegraph.Contribution, sign int64) { r.graph.add(part, c, sign, both) })
}

// difference calls fn for what must be taken away from before and added to make
// it after.
func difference(before, after []servicegraph.Contribution, fn func(c *servicegraph.Contribution, sign int64)) {
	// Mostly one goes on where the other ends.
	for len(before) > 0 && len(after) > 0 && before[0] == after[0] {
		before, after = before[1:], after[1:]
	}
	if len(before) == 0 {
		for i := range after {
			fn(&after[i], 1)
		}
		return
	}
	counts := make(map[servicegraph.Contribution]int, len(before))
	for _, c := range before {
		counts[c]++
	}
	for i := range after {
		if counts[after[i]] > 0 {
			counts[after[i]]--
			continue
		}
		fn(&after[i], 1)
	}
	for c, n := range counts {
		for range n {
			fn(&c, -1)
		}
	}
}

// forgetSeconds removes cells of seconds that are too old. Readers must not see
// the batch without the new r.seconds.
func (r *roller) forgetSeconds(b *pebble.Batch) {
	from := secondsFrom(r.s.cfg.Now())
	if from < r.seconds+int64(secondsSlack/time.Second) {
		return
	}
	for _, p := range r.s.parts.copy() {
		lower := appendBucketKey(nil, p.id, tierSecond, math.MinInt64)
		must(b.DeleteRange(lower, appendBucketKey(nil, p.id, tierSecond, from), nil))
	}
	r.seconds = from
}

// BetweenSteps implements tracestore.Grouper.
func (s *Store) BetweenSteps(ctx context.Context, fn func(last uint64) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.stepping <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closing:
		return tracestore.ErrClosed
	}
	defer func() { <-s.stepping }()
	// While no session runs, the latest document is not known for sure.
	r, err := s.read(nil)
	if err != nil {
		return err
	}
	defer r.release()
	return fn(s.last.Load())
}

// graphReader is a run of Graph or Minutes.
type graphReader struct {
	s      *Store
	ctx    context.Context
	r      *reading
	it     *pebble.Iterator
	refs   []tracestore.GroupRef
	key    []byte
	looked int
}

func (s *Store) readGraph(ctx context.Context, of []tracestore.GroupRef) (*graphReader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	g := &graphReader{s: s, ctx: ctx, refs: slices.Clone(of)}
	slices.SortFunc(g.refs, func(a, b tracestore.GroupRef) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Version, b.Version))
	})
	g.refs = slices.Compact(g.refs)
	var err error
	if g.r, err = s.read(nil); err != nil {
		return nil, err
	}
	if g.it, err = g.r.snap.NewIter(nil); err != nil {
		g.r.release()
		return nil, g.r.inst.readError("read the graph", err)
	}
	return g, nil
}

func (g *graphReader) close() {
	_ = g.it.Close() // errors showed where it was used
	g.r.release()
}

// check reports, now and then, whether the reading should end.
func (g *graphReader) check() error {
	if g.looked++; g.looked%64 != 0 {
		return nil
	}
	if err := g.ctx.Err(); err != nil {
		return err
	}
	if g.s.isClosing() {
		return tracestore.ErrClosed
	}
	return g.r.inst.err()
}

// each calls fn for the cells, zero or not, of the groups in the buckets [from, to) of a tier
// and part, in order of time. What fn is given is good until it returns.
func (g *graphReader) each(part uint16, t tier, from, to int64, fn func(at bucketRef, cell, value []byte) error) error {
	lower, upper := appendBucketKey(nil, part, t, from), appendBucketKey(nil, part, t, to)
	g.it.SetBounds(lower, upper)
	if len(g.refs) == 0 {
		return nil
	}
	bucket, i := from, 0
	for {
		g.key = appendGroupKey(g.key[:0], part, t, bucket, g.refs[i])
		ok := g.it.SeekGE(g.key)
		for ; ok; ok = g.it.Next() {
			if err := g.check(); err != nil {
				return err
			}
			_, _, at, ref, cell, ok := decodeGraphKey(g.it.Key())
			if !ok {
				return corrupt(g.it.Key(), errGraphKey)
			}
			if at != bucket {
				bucket, i = at, 0
				if ref != g.refs[0] {
					break // to the first group in this bucket
				}
			}
			if ref != g.refs[i] {
				break
			}
			value, err := g.it.ValueAndErr()
			if err != nil {
				return g.r.inst.readError("read the graph", err)
			}
			if err := fn(bucketRef{part, t, at, ref}, cell, value); err != nil {
				return err
			}
		}
		if !ok {
			if err := g.it.Error(); err != nil {
				return g.r.inst.readError("read the graph", err)
			}
			return nil
		}
		// The iterator stands behind what was sought: at another group or bucket.
		_, _, at, ref, _, _ := decodeGraphKey(g.it.Key())
		if at != bucket {
			bucket, i = at, 0
		}
		less := func(a, b tracestore.GroupRef) bool {
			return a.Group < b.Group || a.Group == b.Group && a.Version < b.Version
		}
		for i < len(g.refs) && less(g.refs[i], ref) {
			i++
		}
		if i == len(g.refs) {
			if bucket >= to-t.seconds() {
				return nil
			}
			bucket, i = bucket+t.seconds(), 0
		}
	}
}

// span of seconds [from, to) that is read from one tier.
type tierSpan struct {
	tier     tier
	from, to int64
}

// cutWindow divides [start, end) into whole days, hours, minutes and seconds.
func cutWindow(dst []tierSpan, t tier, start, end int64) []tierSpan {
	if start >= end {
		return dst
	}
	if t == tierSecond {
		return append(dst, tierSpan{t, start, end})
	}
	from, to := -t.floor(-start), t.floor(end)
	if from >= to {
		return cutWindow(dst, t-1, start, end)
	}
	dst = cutWindow(dst, t-1, start, from)
	dst = append(dst, tierSpan{t, from, to})
	return cutWindow(dst, t-1, to, end)
}

// maxSecond bounds windows, so that they can be counted with.
const maxSecond = int64(1) << 40

func clampSecond(s int64) int64 { return min(max(s, -maxSecond), maxSecond) }

// Graph implements tracestore.GraphReader. Bounds of windows that lie before the
// seconds that are kept, two hours, are widened to whole minutes.
func (s *Store) Graph(ctx context.Context, of []tracestore.GroupRef, start, end int64, most int) (servicegraph.Cells, bool, error) {
	g, err := s.readGraph(ctx, of)
	if err != nil {
		return nil, false, err
	}
	defer g.close()
	start, end = clampSecond(start), clampSecond(end)
	if start >= end {
		return servicegraph.Cells{}, false, nil
	}
	if start < g.r.seconds {
		start = tierMinute.floor(start)
	}
	if end < g.r.seconds {
		end = -tierMinute.floor(-end)
	}
	read := 0
	defer func() { s.metrics.graphCells.Add(float64(read)) }()
	spans := cutWindow(nil, tierDay, start, end)
	all := func(fn func(at bucketRef, key, value []byte) error) error {
		for _, p := range g.r.parts {
			for _, w := range spans {
				err := g.each(p.id, w.tier, w.from, w.to, func(at bucketRef, key, value []byte) error {
					read++
					return fn(at, key, value)
				})
				if err != nil {
					return err
				}
			}
		}
		return nil
	}
	sum := newGraphSum()
	sum.width = servicegraph.NewWidth(most)
	err = all(sum.add)
	cut := errors.Is(err, errTooWide)
	if cut {
		sum = newGraphSum()
		if sum.only, err = busiest(all, most); err == nil {
			if cut = sum.only.Cuts(); !cut {
				sum.only = nil // the rest was cells of nothing
			}
			err = all(sum.add)
		}
	}
	if err != nil {
		return nil, false, err
	}
	if err := sum.sharpen(g); err != nil {
		return nil, false, err
	}
	read += sum.sharpened
	return sum.result(), cut, nil
}

// errTooWide ends a reading that found more nodes or edges than are wanted.
var errTooWide = errors.New("pebblestore: the graph is too wide")

// busiest finds the nodes and edges of which most was observed.
func busiest(all func(func(at bucketRef, key, value []byte) error) error, nodes int) (*servicegraph.Busiest, error) {
	b := servicegraph.NewBusiest(nodes)
	return b, all(func(at bucketRef, key, value []byte) error {
		k, err := servicegraph.DecodeKey(key)
		if err != nil {
			return corrupt(appendCellKey(at, key), err)
		}
		n, err := servicegraph.EncodedTotal(value)
		if err != nil {
			return corrupt(appendCellKey(at, key), err)
		}
		b.Add(&k, n)
		return nil
	})
}

// graphSum adds up cells.
type graphSum struct {
	cells     map[string]*sumCell   // by encoded key
	width     *servicegraph.Width   // nil: as many as there are
	only      *servicegraph.Busiest // what is added up; nil: everything
	sharpened int                   // cells that were read once more
}

func newGraphSum() *graphSum { return &graphSum{cells: make(map[string]*sumCell)} }

// sumCell is the sum of the cells of a key. The starts that bound it may be known
// to the hour only; then the cells say where to look for what they are exactly.
type sumCell struct {
	key  servicegraph.Key
	cell servicegraph.Cell
	// The first start is firstBy or before, the last is lastBy or behind.
	firstBy, lastBy int64
	vague           []vagueStart
}

// vagueStart is a start that is not known to the second, and the cell that has it.
type vagueStart struct {
	in    bucketRef
	start servicegraph.Start
}

func (v *vagueStart) end() int64 { return v.start.At + v.start.Unit.Seconds() - 1 }

func (g *graphSum) add(at bucketRef, key, value []byte) error {
	c := g.cells[string(key)]
	if c == nil {
		k, err := servicegraph.DecodeKey(key)
		if err != nil {
			return corrupt(appendCellKey(at, key), err)
		}
		if g.only != nil && !g.only.Keeps(&k) {
			return nil
		}
		if g.width != nil && g.width.Add(&k) {
			return errTooWide
		}
		c = &sumCell{key: k, firstBy: math.MaxInt64, lastBy: math.MinInt64}
		g.cells[string(key)] = c
	}
	if err := c.cell.MergeBinary(value); err != nil {
		return corrupt(appendCellKey(at, key), err)
	}
	if at.tier.unit() == servicegraph.Second {
		return nil
	}
	var first, last servicegraph.Start
	err := servicegraph.EncodedStarts(value, func(s servicegraph.Start) bool {
		if first.N == 0 {
			first = s
		}
		last = s
		return true
	})
	if err != nil {
		return corrupt(appendCellKey(at, key), err)
	}
	if first.N != 0 {
		c.note(at, first)
		if last != first {
			c.note(at, last)
		}
	}
	return nil
}

func appendCellKey(at bucketRef, key []byte) []byte {
	return append(appendGroupKey(nil, at.part, at.tier, at.bucket, at.ref), key...)
}

// note takes a start into account, which is known as exactly as a cell has it.
func (c *sumCell) note(in bucketRef, s servicegraph.Start) {
	v := vagueStart{in, s}
	c.firstBy, c.lastBy = min(c.firstBy, v.end()), max(c.lastBy, s.At)
	if s.Unit != servicegraph.Second {
		c.vague = append(c.vague, v)
	}
	c.prune()
}

// prune drops what cannot be the first or the last start.
func (c *sumCell) prune() {
	c.vague = slices.DeleteFunc(c.vague, func(v vagueStart) bool { return v.start.At >= c.firstBy && v.end() <= c.lastBy })
}

// sharpen makes the first and the last start of each sum exact, with the cells of
// the tiers below those that were summed up.
func (g *graphSum) sharpen(r *graphReader) error {
	for _, c := range g.cells {
		c.cell.Starts(func(s servicegraph.Start) bool {
			if s.Unit == servicegraph.Second {
				c.firstBy, c.lastBy = min(c.firstBy, s.At), max(c.lastBy, s.At)
			}
			return true
		})
		c.prune()
	}
	refs := r.refs
	defer func() { r.refs = refs }()
	for {
		// What is looked for, by the cell that has it and the key of the sum.
		wanted := make(map[bucketRef]map[string][]servicegraph.Start)
		for key, c := range g.cells {
			for _, v := range c.vague {
				byKey := wanted[v.in]
				if byKey == nil {
					byKey = make(map[string][]servicegraph.Start)
					wanted[v.in] = byKey
				}
				byKey[key] = append(byKey[key], v.start)
			}
			c.vague = c.vague[:0]
		}
		if len(wanted) == 0 {
			return nil
		}
		for in, byKey := range wanted {
			r.refs = []tracestore.GroupRef{in.ref}
			err := r.each(in.part, in.tier-1, in.bucket, in.bucket+in.tier.seconds(), func(at bucketRef, key, value []byte) error {
				vague := byKey[string(key)]
				if vague == nil {
					return nil
				}
				g.sharpened++
				c := g.cells[string(key)]
				err := servicegraph.EncodedStarts(value, func(s servicegraph.Start) bool {
					for _, v := range vague {
						if s.At >= v.At && s.At < v.At+v.Unit.Seconds() {
							c.cell.AddStart(servicegraph.Start{At: v.At, Unit: v.Unit, N: -s.N})
							c.cell.AddStart(s)
							c.note(at, s)
						}
					}
					return true
				})
				if err != nil {
					return corrupt(appendCellKey(at, key), err)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
}

// result returns the cells under their keys.
func (g *graphSum) result() servicegraph.Cells {
	cells := make(servicegraph.Cells, len(g.cells))
	for _, c := range g.cells {
		if !c.cell.IsZero() {
			cells[c.key] = &c.cell
		}
	}
	return cells
}

// pieceOfMinute is how many cells are given out at a time.
const pieceOfMinute = 4096

// errEnough ends a reading of which no more is wanted.
var errEnough = errors.New("pebblestore: enough")

func ignoreEnough(err error) error {
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// Minutes implements tracestore.GraphReader.
func (s *Store) Minutes(ctx context.Context, of []tracestore.GroupRef, start, end int64, fn func(stamp int64, cells servicegraph.Cells) bool) error {
	g, err := s.readGraph(ctx, of)
	if err != nil {
		return err
	}
	defer g.close()
	// The stamps, multiples of a minute, in [start, end); their minutes begin 60 s before.
	from := -tierMinute.floor(-clampSecond(start)) - 60
	to := -tierMinute.floor(-clampSecond(end)) - 60
	if from >= to || len(g.refs) == 0 {
		return nil
	}
	latest := make([]int64, len(g.r.parts)) // of each part, the latest minute below to
	seek := func(i int, to int64) error {
		latest[i] = math.MinInt64
		part := g.r.parts[i].id
		g.it.SetBounds(appendBucketKey(nil, part, tierMinute, from), appendBucketKey(nil, part, tierMinute, to))
		if !g.it.Last() {
			if err := g.it.Error(); err != nil {
				return g.r.inst.readError("read the graph", err)
			}
			return nil
		}
		_, _, at, _, _, ok := decodeGraphKey(g.it.Key())
		if !ok {
			return corrupt(g.it.Key(), errGraphKey)
		}
		latest[i] = at
		return nil
	}
	for i := range latest {
		if err := seek(i, to); err != nil {
			return err
		}
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		m := int64(math.MinInt64)
		for _, at := range latest {
			m = max(m, at)
		}
		if m == math.MinInt64 {
			return nil
		}
		sum := newGraphSum()
		give := func() error {
			if cells := sum.result(); len(cells) > 0 && !fn(m+60, cells) {
				return errEnough
			}
			clear(sum.cells)
			return nil
		}
		read := 0
		for i, at := range latest {
			if at != m {
				continue
			}
			err := g.each(g.r.parts[i].id, tierMinute, m, m+60, func(at bucketRef, key, value []byte) error {
				read++
				err := sum.add(at, key, value)
				if err == nil && len(sum.cells) == pieceOfMinute {
					err = give()
				}
				return err
			})
			if err == nil {
				err = seek(i, m)
			}
			if err != nil {
				return ignoreEnough(err)
			}
		}
		s.metrics.graphCells.Add(float64(read))
		if err := give(); err != nil {
			return ignoreEnough(err)
		}
	}
}
