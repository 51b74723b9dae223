package pebblestore

import "context"

// KindSize is what the keys of a kind take.
type KindSize struct {
	Kind  string
	Keys  int
	Bytes int64 // of keys and values, as they are given to Pebble
	Disk  int64 // in its tables, about
}

var kindNames = []struct {
	tag  byte
	name string
}{
	{tagDocs, "documents"}, {tagTrace, "where the documents of a trace are"}, {tagRow, "rows"}, {tagWord, "words of rows"}, {tagChange, "traces by change"},
	{tagEnd, "traces by end"}, {tagTerms, "blocks of terms"}, {tagGraph, "cells of the graph"}, {tagLink, "links"},
}

// Sizes returns what each kind of key takes. It reads everything; like Compact, before
// which it says little, it is for measurements.
func (s *Store) Sizes(ctx context.Context) ([]KindSize, error) {
	r, err := s.read(nil)
	if err != nil {
		return nil, err
	}
	defer r.release()
	it, err := r.snap.NewIter(nil)
	if err != nil {
		return nil, r.inst.readError("measure", err)
	}
	defer it.Close()
	var sizes []KindSize
	for _, k := range kindNames {
		size := KindSize{Kind: k.name}
		lower, upper := tagSpan(k.tag)
		it.SetBounds(lower, upper)
		for ok := it.First(); ok; ok = it.Next() {
			if size.Keys++; size.Keys%4096 == 0 && ctx.Err() != nil {
				return nil, ctx.Err()
			}
			value, err := it.ValueAndErr()
			if err != nil {
				return nil, r.inst.readError("measure", err)
			}
			size.Bytes += int64(len(it.Key()) + len(value))
		}
		if err := it.Error(); err != nil {
			return nil, r.inst.readError("measure", err)
		}
		disk, err := r.inst.db.EstimateDiskUsage(lower, upper)
		if err != nil {
			return nil, r.inst.readError("measure", err)
		}
		size.Disk = int64(disk)
		sizes = append(sizes, size)
	}
	return sizes, nil
}
