package query

import (
	"context"
	"fmt"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
)

// Each calls fn with the row of every trace in the window of ask, newest first by
// its clock, until fn returns false. The row is fn's until it returns. Rows that lack
// what Need of ask asks for may be left out. Filter, Rows and Token do not count: it is for those who look at everything, and see to
// it themselves that this ends.
func (q *Service) Each(ctx context.Context, ask Question, fn func(row *trace.Row) bool) error {
	scan := tracestore.Scan{Clock: ask.Clock, Start: ask.Start, End: ask.End, AsOf: q.store.LastSeq(), Need: ask.Need, Reuse: true}
	if ask.Start >= ask.End || scan.AsOf == 0 {
		return nil
	}
	err := q.store.Scan(ctx, scan, func(_ tracestore.Cursor, row *trace.Row) bool {
		return !ask.visible(row) || fn(row)
	})
	if err != nil {
		return fmt.Errorf("scan traces: %w", err)
	}
	return nil
}
