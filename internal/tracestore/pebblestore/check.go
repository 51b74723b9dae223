package pebblestore

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roentgen-io/roentgen/internal/servicegraph"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

// CheckViews derives every view again from the documents and compares: the
// row, the index entries and the link of each trace and the cells of the graph,
// nothing more and nothing less than those; the bounds of the parts; and the
// blocks of terms, which must count the rows rightly and have at least their
// terms. It returns the first difference. It reads everything that is stored and keeps
// all trace ids and cells in memory; it is for tests and for the curious.
//
// Groups are those of the moment: while they change, traces that no view had
// taken in when they did may show as a difference.
func (s *Store) CheckViews(ctx context.Context) error {
	held := make(map[segment.TraceID]uint64) // seq of the first document that was put off
	r, err := s.read(func(t *tail) {
		for id, tt := range t.held {
			held[id] = tt.docs[0].Seq
		}
	})
	if err != nil {
		return err
	}
	defer r.release()
	it, err := r.snap.NewIter(nil)
	if err != nil {
		return r.inst.readError("check", err)
	}
	defer it.Close()

	ids := make(map[segment.TraceID]bool)
	lower, upper := tagSpan(tagTrace)
	it.SetBounds(lower, upper)
	for ok := it.First(); ok; ok = it.Next() {
		_, id, seq, ok := decodeTraceKey(it.Key())
		if !ok {
			return corrupt(it.Key(), fmt.Errorf("key of %d bytes", len(it.Key())))
		}
		if seq <= r.w {
			ids[id] = true
		}
	}
	if err := it.Error(); err != nil {
		return r.inst.readError("check", err)
	}
	c := &viewCheck{
		s: s, r: r, it: it, keys: map[byte]int{tagRow: 0, tagChange: 0, tagEnd: 0, tagLink: 0},
		graph: graphAdder{changes: make(graphChanges)}, rows: make(map[uint16][]checkedRow),
	}
	if s.cfg.Groups != nil {
		c.groups = s.cfg.Groups()
	}
	for id := range ids {
		if err := ctx.Err(); err != nil {
			return err
		}
		last := r.w
		if from, ok := held[id]; ok {
			last = min(last, from-1)
		}
		if err := c.trace(id, last); err != nil {
			return fmt.Errorf("trace %s as of %d: %w", id, last, err)
		}
	}
	for tag, n := range c.keys {
		lower, upper := tagSpan(tag)
		it.SetBounds(lower, upper)
		got := 0
		for ok := it.First(); ok; ok = it.Next() {
			got++
		}
		if err := it.Error(); err != nil {
			return r.inst.readError("check", err)
		}
		if got != n {
			return fmt.Errorf("there are %d keys of %c, the documents make %d", got, tag, n)
		}
	}
	if err := c.terms(); err != nil {
		return err
	}
	if err := c.cells(); err != nil {
		return err
	}
	return ctx.Err()
}

// viewCheck is a run of CheckViews.
type viewCheck struct {
	s      *Store
	r      *reading
	it     *pebble.Iterator
	groups []tracestore.Group
	keys   map[byte]int // that there should be, by tag
	graph  graphAdder
	rows   map[uint16][]checkedRow
}

// checkedRow is a row as blocks of terms see it.
type checkedRow struct {
	place
	flags   byte
	lastSeq uint64
	terms   []trace.Term
}

// terms compares the blocks of terms with the rows.
func (c *viewCheck) terms() error {
	it := c.it
	for _, p := range c.r.parts {
		rows := c.rows[p.id]
		delete(c.rows, p.id)
		slices.SortFunc(rows, func(a, b checkedRow) int { return a.compare(b.place) })
		lower, upper := partSpan(tagTerms, p.id)
		it.SetBounds(lower, upper)
		for ok := it.First(); ok; ok = it.Next() {
			last, t, err := blockAt(c.r.inst, it)
			if err != nil {
				return err
			}
			n := 0
			var tallies termBlock
			for ; n < len(rows) && rows[n].compare(last) <= 0; n++ {
				row := &rows[n]
				section := sectionOf(t.ends, row.start)
				visible, spread := tallied(row.flags)
				tallies.tally(section, visible, spread)
				if row.flags&rowCut != 0 && !t.cut.has(section) || row.lastSeq > t.lastSeq || !t.starts.meets(row.start, row.start) {
					return fmt.Errorf("block of terms %v: row of trace %s lies outside of its bounds", keyFormatter(it.Key()), row.id)
				}
				for _, term := range row.terms {
					if !t.has(spotOf(term, section)) || !t.where(term).has(section) {
						return fmt.Errorf("block of terms %v: term %x of trace %s is missing", keyFormatter(it.Key()), term, row.id)
					}
				}
			}
			if t.rows != int64(n) || !slices.Equal(t.tallies, tallies.tallies) {
				return fmt.Errorf("block of terms %v counts %d rows and in its sections %v, there are %d and %v", keyFormatter(it.Key()), t.rows, t.tallies, n, tallies.tallies)
			}
			rows = rows[n:]
		}
		if err := it.Error(); err != nil {
			return c.r.inst.readError("check", err)
		}
		if len(rows) > 0 {
			return fmt.Errorf("part %d: the row of trace %s is in no block of terms", p.id, rows[0].id)
		}
	}
	for part := range c.rows {
		return fmt.Errorf("there are rows in part %d, which is gone", part)
	}
	return nil
}

// cells compares the cells of the graph with those that the documents make.
// Cells of groups that are not known any more are passed over.
func (c *viewCheck) cells() error {
	known := map[tracestore.GroupRef]bool{{}: true}
	for i := range c.groups {
		known[c.groups[i].Ref] = true
	}
	zero := (&servicegraph.Cell{}).AppendBinary(nil)
	want := make(map[string][]byte)
	c.graph.changes.each(c.r.seconds, func(key []byte, cell *servicegraph.Cell) { want[string(key)] = cell.AppendBinary(nil) })
	lower, upper := tagSpan(tagGraph)
	c.it.SetBounds(lower, upper)
	for ok := c.it.First(); ok; ok = c.it.Next() {
		_, _, _, ref, _, ok := decodeGraphKey(c.it.Key())
		if !ok {
			return corrupt(c.it.Key(), errGraphKey)
		}
		if !known[ref] {
			continue
		}
		value, err := c.it.ValueAndErr()
		if err != nil {
			return c.r.inst.readError("check", err)
		}
		if bytes.Equal(value, zero) {
			value = nil // as good as absent
		}
		if !bytes.Equal(value, want[string(c.it.Key())]) {
			return fmt.Errorf("cell %v is %x, the documents make %x", keyFormatter(c.it.Key()), value, want[string(c.it.Key())])
		}
		delete(want, string(c.it.Key()))
	}
	if err := c.it.Error(); err != nil {
		return c.r.inst.readError("check", err)
	}
	for key, value := range want {
		return fmt.Errorf("cell %v is missing, the documents make %x", keyFormatter(key), value)
	}
	return nil
}

func (c *viewCheck) trace(id segment.TraceID, last uint64) error {
	s, r, it := c.s, c.r, c.it
	refs, err := findDocs(r.inst, it, r.parts, id, last)
	if err != nil {
		return err
	}
	var docs []trace.Document
	err = readDocs(s, r.inst, it, refs, true, func(d *blockDoc) error {
		if td, ok := s.parse(d); ok {
			docs = append(docs, td.Document)
		}
		return nil
	})
	if err != nil || len(docs) == 0 {
		return err
	}
	t := trace.Assemble(id, docs)
	row := t.Row()
	keys := keysOf(row)
	value, err := row.AppendBinary([]byte{keys.flags})
	if err != nil {
		return err
	}
	i, ok := partOf(r.parts, docs[0].Seq)
	if !ok {
		return fmt.Errorf("document %d is in no part", docs[0].Seq)
	}
	home := r.parts[i]
	words, err := s.words.decoding(r.inst, r.snap, home.id)
	if err != nil {
		return err
	}
	// Which words a row names by number depends on what came before.
	plain := func(got []byte) ([]byte, error) {
		var row trace.Row
		if len(got) == 0 {
			return nil, trace.ErrRow
		}
		if err := row.UnmarshalWith(got[1:], words); err != nil {
			return nil, err
		}
		return row.AppendBinary(got[:1:1])
	}
	expect := func(key, value []byte) error {
		c.keys[key[0]]++
		it.SetBounds(nil, nil)
		if !it.SeekGE(key) || !bytes.Equal(it.Key(), key) {
			if err := it.Error(); err != nil {
				return r.inst.readError("check", err)
			}
			return fmt.Errorf("key %v is missing", keyFormatter(key))
		}
		got, err := it.ValueAndErr()
		if err != nil {
			return r.inst.readError("check", err)
		}
		if key[0] == tagRow {
			if got, err = plain(got); err != nil {
				return corrupt(key, err)
			}
		}
		if !bytes.Equal(got, value) {
			return fmt.Errorf("key %v has the value %x, the documents make %x", keyFormatter(key), got, value)
		}
		return nil
	}
	c.rows[home.id] = append(c.rows[home.id], checkedRow{
		place: place{row.Start, id}, terms: row.AppendTerms(nil), flags: keys.flags, lastSeq: row.LastSeq,
	})
	groups := belongs(nil, c.groups, t, row)
	for _, o := range servicegraph.Contributions(nil, t) {
		c.graph.add(home.id, &o, 1, groups)
	}
	index := keys.indexValue(nil)
	if err := expect(appendIndexKey(nil, tagRow, home.id, keys.start, id), value); err != nil {
		return err
	}
	if err := expect(appendIndexKey(nil, tagChange, home.id, keys.changed, id), index); err != nil {
		return err
	}
	if !home.starts.meets(keys.start, keys.start) || !home.changes.meets(keys.changed, keys.changed) {
		return fmt.Errorf("start %d or change %d lies outside of the bounds of part %d: %v, %v", keys.start, keys.changed, home.id, home.starts, home.changes)
	}
	for _, m := range keys.minutes {
		if err := expect(appendIndexKey(nil, tagEnd, home.id, m, id), index); err != nil {
			return err
		}
		if !home.ends.meets(m, m) {
			return fmt.Errorf("end minute %d lies outside of the bounds of part %d: %v", m, home.id, home.ends)
		}
	}
	if j, _ := partOf(r.parts, docs[len(docs)-1].Seq); j != i {
		if err := expect(appendLinkKey(nil, home.id, id), []byte{}); err != nil {
			return err
		}
	}
	return nil
}
