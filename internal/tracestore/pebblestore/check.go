package pebblestore

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/segment"
)

// CheckViews derives every view again from the documents and compares: the
// row, the index entries and the link of each trace, nothing more and nothing
// less than those, and the bounds of the parts. It returns the first
// difference. It reads everything that is stored and keeps all trace ids in
// memory; it is for tests and for the curious.
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
	want := map[byte]int{tagRow: 0, tagChange: 0, tagEnd: 0, tagLink: 0}
	for id := range ids {
		if err := ctx.Err(); err != nil {
			return err
		}
		last := r.w
		if from, ok := held[id]; ok {
			last = min(last, from-1)
		}
		if err := s.checkTrace(r, it, id, last, want); err != nil {
			return fmt.Errorf("trace %s as of %d: %w", id, last, err)
		}
	}
	for tag, n := range want {
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
	return ctx.Err()
}

func (s *Store) checkTrace(r *reading, it *pebble.Iterator, id segment.TraceID, last uint64, want map[byte]int) error {
	refs, err := findDocs(r.inst, it, r.parts, id, last)
	if err != nil {
		return err
	}
	var docs []trace.Document
	err = readDocs(s, r.inst, it, refs, func(d *blockDoc) error {
		if td, ok := s.parse(d); ok {
			docs = append(docs, td.Document)
		}
		return nil
	})
	if err != nil || len(docs) == 0 {
		return err
	}
	row := trace.Assemble(id, docs).Row()
	keys, flags := keysOf(row)
	value, err := row.AppendBinary([]byte{flags})
	if err != nil {
		return err
	}
	i, ok := partOf(r.parts, docs[0].Seq)
	if !ok {
		return fmt.Errorf("document %d is in no part", docs[0].Seq)
	}
	home := r.parts[i]
	expect := func(key, value []byte) error {
		want[key[0]]++
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
		if !bytes.Equal(got, value) {
			return fmt.Errorf("key %v has the value %x, the documents make %x", keyFormatter(key), got, value)
		}
		return nil
	}
	start := binary.BigEndian.AppendUint64(nil, ordered(keys.start))
	if err := expect(appendIndexKey(nil, tagRow, home.id, keys.start, id), value); err != nil {
		return err
	}
	if err := expect(appendIndexKey(nil, tagChange, home.id, keys.changed, id), start); err != nil {
		return err
	}
	if !home.starts.meets(keys.start, keys.start) || !home.changes.meets(keys.changed, keys.changed) {
		return fmt.Errorf("start %d or change %d lies outside of the bounds of part %d: %v, %v", keys.start, keys.changed, home.id, home.starts, home.changes)
	}
	for _, m := range keys.minutes {
		if err := expect(appendIndexKey(nil, tagEnd, home.id, m, id), start); err != nil {
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
