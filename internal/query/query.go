// Package query answers questions over a store: traces by id, and summaries by
// window, page by page.
package query

import (
	"context"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

// Service answers questions. It may be used by many goroutines.
type Service struct{ store tracestore.Store }

// New returns a Service over store.
func New(store tracestore.Store) *Service { return &Service{store: store} }

// Trace returns the assembled trace, nil when no document of it is stored.
func (q *Service) Trace(ctx context.Context, id segment.TraceID) (*trace.Trace, error) {
	panic("query: to be written")
}
