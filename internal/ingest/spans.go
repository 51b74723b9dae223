package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

// maxSource bounds what spans share, their resource and scope, which is kept with
// each of them while it waits for the views, and once in every block. X-Ray takes 16 KiB.
const maxSource = 256 << 10

// readableSpan is the size up to which a refused span is kept as JSON, which people can read.
const readableSpan = 64 << 10

// maxRecords is for how many spans room is made at once: a message of empty ones has millions.
const maxRecords = 10_000

// maxRefusals bounds how many refused spans of one request are told apart.
const maxRefusals = 1000

// SpanReport tells what became of the spans of a request.
type SpanReport struct {
	Accepted int    // durable now
	Rejected int    // refused, and kept as dead letters, the first of them at least
	Reason   string // why the first of the rejected ones was, in plain words
}

// PutSpans stores the spans of an OTLP request, an ExportTraceServiceRequest message,
// as one put, and returns when those that are accepted are durable. It takes over
// the memory of request. The error matches otlp.ErrMessage when request is no such
// message, and is one of the store's otherwise; either way nothing of the call
// counts as stored.
func (in *Ingester) PutSpans(ctx context.Context, from Origin, request []byte) (SpanReport, error) {
	begin := time.Now()
	m := in.metrics.source(from.Source)
	size := int64(len(request))
	spans := 0
	if err := otlp.Walk(request, func(_, _ []byte) bool { spans++; return true }); err != nil {
		m.malformed.Inc()
		return SpanReport{}, err
	}
	if !in.admit(size) {
		m.overloaded.Inc()
		return SpanReport{}, tracestore.ErrOverloaded
	}
	defer in.leave(size)
	if !in.waitForRoom(ctx, spans, size) {
		m.overloaded.Inc()
		return SpanReport{}, tracestore.ErrOverloaded
	}

	now := in.cfg.Now().UnixMilli()
	most := in.cfg.Limits.DocumentBytes
	var (
		report  Report
		rejects SpanReport
		refused []tracestore.DeadLetter
		span    otlp.Span
		mapper  = in.cfg.Spans
		records []tracestore.Record
		latest  []byte // the source that src is of
		src     *otlp.Source
		bad     error // what is wrong with it
		failed  error
	)
	records = make([]tracestore.Record, 0, min(spans, maxRecords))
	refuse := func(data []byte, err error) {
		rejects.Rejected++
		if rejects.Reason == "" {
			rejects.Reason = err.Error()
		}
		if len(refused) >= maxRefusals {
			return
		}
		r := &segment.Refusal{Code: segment.CodeInvalidSegment, Message: err.Error(), Detail: err.Error()}
		switch {
		case errors.Is(err, otlp.ErrTraceID):
			r.Code = segment.CodeInvalidTraceID
		case errors.Is(err, otlp.ErrSpanID):
			r.Code = segment.CodeInvalidID
		}
		if span.ID != 0 {
			r.ID, r.HasID = span.ID.String(), true
		}
		report.Refusals = append(report.Refusals, r)
		l := newLetter(now, from, data, r)
		if len(data) <= readableSpan {
			l.Document = beginning(otlp.AppendSpanJSON(nil, data))
		}
		refused = append(refused, l)
	}
	err := otlp.Walk(request, func(source, data []byte) bool {
		if src == nil && bad == nil || &latest[0] != &source[0] {
			latest = source
			if src, bad = mapper.Source(source); bad == nil && len(source) > maxSource {
				bad = fmt.Errorf("resource and scope have %d bytes, more than %d", len(source), maxSource)
			}
		}
		span.ID = 0
		switch err := otlp.ParseSpan(data, &span); {
		case bad != nil:
			refuse(data, bad)
		case err != nil:
			refuse(data, err)
		case most > 0 && len(data) > most:
			refuse(data, fmt.Errorf("the span has %d bytes, more than %d", len(data), most))
		default:
			seg := mapper.Segment(src, &span, false)
			if ok, err := in.sizes.take(ctx, seg.TraceID, len(data)); err != nil {
				failed = err
				return false
			} else if !ok {
				refuse(data, errors.New(in.sizes.refusal(seg).Detail))
				return true
			}
			records = append(records, tracestore.Record{
				Format: tracestore.FormatOTLP, Data: data, Source: source, Received: now,
				Segment: seg,
			})
		}
		return true
	})
	if err != nil {
		in.sizes.giveBack(records)
		m.malformed.Inc()
		return SpanReport{}, err
	}
	if failed != nil {
		in.sizes.giveBack(records)
		m.failed.Add(float64(len(records)))
		return SpanReport{}, failed
	}
	if err := in.store(ctx, from, m, byTrace(records), &report, refused); err != nil {
		return SpanReport{}, err
	}
	if further := rejects.Rejected - len(report.Refusals); further > 0 {
		m.refused.Add(float64(further))
		in.letters.add(nil, further) // which counts them as dropped
	}
	m.bytes.Add(float64(size))
	m.seconds.Observe(time.Since(begin).Seconds())
	rejects.Accepted = len(records)
	return rejects, nil
}

const (
	// roomWait is how long spans wait for room in the store, which it makes every quarter of a
	// second: whoever is told to come again comes soon, and sends everything anew.
	roomWait = 200 * time.Millisecond
	// waitingBytes bounds what is under way while something waits.
	waitingBytes = 16 << 20
)

// waitForRoom waits until the store is likely to take spans of so many bytes. It
// reports whether it is.
func (in *Ingester) waitForRoom(ctx context.Context, spans int, bytes int64) bool {
	for until := time.Now().Add(roomWait); !in.hasRoom(spans, bytes); {
		if in.inFlight.Load() > waitingBytes || time.Now().After(until) {
			return false
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// byTrace returns records with those of each trace together, in the order in which they
// came. Batches are by resource and scope; the store keeps together what comes together,
// and reads traces.
func byTrace(records []tracestore.Record) []tracestore.Record {
	type group struct{ n, at int }
	groups := make(map[segment.TraceID]*group)
	var order []*group
	of := make([]*group, len(records))
	moved := false
	for i := range records {
		id := records[i].Segment.TraceID
		if i > 0 && id == records[i-1].Segment.TraceID {
			of[i] = of[i-1]
			of[i].n++
			continue
		}
		g := groups[id]
		if g == nil {
			g = &group{}
			groups[id] = g
			order = append(order, g)
		} else {
			moved = true
		}
		g.n++
		of[i] = g
	}
	if !moved {
		return records
	}
	at := 0
	for _, g := range order {
		g.at = at
		at += g.n
	}
	grouped := make([]tracestore.Record, len(records))
	for i := range records {
		grouped[of[i].at] = records[i]
		of[i].at++
	}
	return grouped
}
