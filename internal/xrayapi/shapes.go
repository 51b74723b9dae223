package xrayapi

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"github.com/roentgen-io/roentgen/internal/trace"
)

// maxBars is how many bars the small picture of a trace has.
const maxBars = 12

// bar is a segment, or a call to what sends none itself, in the small picture of a trace.
type bar struct {
	service     int // index of ServiceIds
	start, took float64
	flags       trace.Flags
}

// barsOf returns the longest segments and inferred calls of a trace, in the order of
// their starts. What is unfinished has no length, and is left out.
func barsOf(r *trace.Row) []bar {
	bars := make([]bar, 0, maxBars+1)
	longer := func(a, b bar) int { return cmp.Or(cmp.Compare(b.took, a.took), cmp.Compare(a.start, b.start)) }
	add := func(b bar, end int64) {
		if len(bars) == maxBars && b.took <= bars[maxBars-1].took {
			return
		}
		b.start = math.Round((float64(end-r.Start)/1e9-b.took)*1e6) / 1e6
		at, _ := slices.BinarySearchFunc(bars, b, longer)
		bars = slices.Insert(bars, at, b)
		bars = bars[:min(len(bars), maxBars)]
	}
	for i := range r.Segments {
		if s := &r.Segments[i]; s.HasDuration {
			add(bar{service: s.Service, took: s.Duration, flags: s.Flags}, s.End)
		}
	}
	for i := range r.Calls {
		if c := &r.Calls[i]; c.HasDuration && c.Flags&trace.FlagInferred != 0 {
			add(bar{service: c.To, took: c.Duration, flags: c.Flags}, c.End)
		}
	}
	slices.SortStableFunc(bars, func(a, b bar) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.took, a.took))
	})
	return bars
}

// appendShape appends the bars of a trace: for each the index of its service in
// ServiceIds, the seconds from the trace's start to its own, how long it took, and its
// marks: 1 error, 2 fault, 4 throttle.
func appendShape(dst []byte, r *trace.Row) []byte {
	dst = append(dst, '[')
	for i, b := range barsOf(r) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '[')
		dst = appendInt(dst, b.service)
		for _, f := range [...]float64{b.start, b.took} {
			dst = strconv.AppendFloat(append(dst, ','), f, 'f', -1, 64)
		}
		dst = appendInt(append(dst, ','), int(b.flags&(trace.FlagError|trace.FlagFault|trace.FlagThrottle)))
		dst = append(dst, ']')
	}
	return append(dst, ']')
}
