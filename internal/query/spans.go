package query

import (
	"context"

	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

// TraceAndSpans returns the trace by the documents up to a seq (0: all), and by the Seq of
// their entities those of it that came as spans, as they came. Its results and errors are
// otherwise those of Trace.
func (q *Service) TraceAndSpans(ctx context.Context, id segment.TraceID, asOf uint64) (*trace.Trace, map[uint64]otlp.SourcedSpan, error) {
	t, docs, err := q.read(ctx, id, asOf)
	if err != nil || t == nil {
		return nil, nil, err
	}
	spans := make(map[uint64]otlp.SourcedSpan)
	for i := range docs {
		if d := &docs[i]; d.Format == tracestore.FormatOTLP {
			spans[d.Seq] = otlp.SourcedSpan{Source: d.Source, Span: d.Data}
		}
	}
	return t, spans, nil
}

// Spans returns the trace as OpenTelemetry spans, none when no document of it is
// stored: what came as spans as it came, and what came as X-Ray documents as the
// spans that these become. Of what was sent more than once the version in force is
// given. Its errors are those of Trace.
func (q *Service) Spans(ctx context.Context, id segment.TraceID) ([]otlp.SourcedSpan, error) {
	t, asSpan, err := q.TraceAndSpans(ctx, id, 0)
	if err != nil || t == nil {
		return nil, err
	}
	given := make(map[uint64]bool)
	spans := make([]otlp.SourcedSpan, 0, len(asSpan))
	var latest *trace.Entity // whose source that is
	var source []byte
	t.Each(func(e, owner *trace.Entity, parent segment.SegmentID, hasParent bool) {
		if span, ok := asSpan[e.Seq]; ok {
			// One span may be a segment and a subsegment.
			if !given[e.Seq] {
				spans = append(spans, span)
				given[e.Seq] = true
			}
			return
		}
		if owner != latest {
			latest, source = owner, otlp.AppendSource(nil, owner.Segment)
		}
		spans = append(spans, otlp.SourcedSpan{Source: source, Span: otlp.AppendSpan(nil, e.Segment, id, parent, hasParent)})
	})
	return spans, nil
}
