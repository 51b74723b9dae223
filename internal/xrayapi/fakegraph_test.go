package xrayapi

import (
	"context"
	"slices"

	"github.com/roentgen-io/roentgen/internal/servicegraph"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
)

// FakeGraph is a GraphReader that adds up what it was told, each time anew.
type FakeGraph struct {
	Err  error
	told map[tracestore.GroupRef][]servicegraph.Contribution
}

// Tell files the contributions of a trace under a group.
func (f *FakeGraph) Tell(of tracestore.GroupRef, t *trace.Trace) {
	if f.told == nil {
		f.told = make(map[tracestore.GroupRef][]servicegraph.Contribution)
	}
	f.told[of] = servicegraph.Contributions(f.told[of], t)
}

func (f *FakeGraph) Graph(_ context.Context, of []tracestore.GroupRef, start, end int64, most int) (servicegraph.Cells, bool, error) {
	cells := servicegraph.Cells{}
	for _, ref := range of {
		for i := range f.told[ref] {
			if c := &f.told[ref][i]; c.At >= start*1000 && c.At < end*1000 {
				cells.Add(c, 1)
			}
		}
	}
	return cells, cells.Cut(most), f.Err
}

func (f *FakeGraph) Minutes(ctx context.Context, of []tracestore.GroupRef, start, end int64, fn func(int64, servicegraph.Cells) bool) error {
	var stamps []int64
	for _, ref := range of {
		for _, c := range f.told[ref] {
			if stamp := (c.At/60_000 + 1) * 60; stamp >= start && stamp < end {
				stamps = append(stamps, stamp)
			}
		}
	}
	slices.Sort(stamps)
	stamps = slices.Compact(stamps)
	for _, stamp := range slices.Backward(stamps) {
		cells, _, err := f.Graph(ctx, of, stamp-60, stamp, 0)
		if err != nil {
			return err
		}
		if !fn(stamp, cells) {
			return nil
		}
	}
	return f.Err
}
