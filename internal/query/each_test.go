package query

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
)

func TestEach(t *testing.T) {
	s := memstore.New()
	q := New(s)
	each := func(ctx context.Context, ask Question, most int) (starts []int64, err error) {
		err = q.Each(ctx, ask, func(row *trace.Row) bool {
			starts = append(starts, row.Start/1e9)
			return len(starts) < most
		})
		return starts, err
	}
	ask := Question{Clock: tracestore.ClockStart, Start: 10e9, End: 20e9}
	if got, err := each(t.Context(), ask, 9); got != nil || err != nil {
		t.Errorf("of an empty store: %v %v", got, err)
	}
	write(t, s, 1, simple(1, 9), simple(2, 10), simple(3, 15), simple(4, 19.5), simple(5, 20), orphan(6, 12))
	for _, c := range []struct {
		ask  Question
		most int
		want []int64
	}{
		{ask, 9, []int64{19, 15, 10}},
		{ask, 2, []int64{19, 15}},
		{Question{Clock: ask.Clock, Start: 10e9, End: 20e9, Orphans: true}, 9, []int64{19, 15, 12, 10}},
		{Question{Clock: ask.Clock, Start: 20e9, End: 10e9}, 9, nil},
	} {
		if got, err := each(t.Context(), c.ask, c.most); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v %v, want %v", c.ask, got, err, c.want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := each(ended, ask, 9); !errors.Is(err, context.Canceled) {
		t.Errorf("without time: %v", err)
	}
}
