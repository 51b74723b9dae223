// Package query answers questions over a store: traces by id, and summaries by
// window, page by page.
//
// # Pages
//
// The first page of a question fixes which documents count: all up to the seq
// that was durable then. Its token carries that seq and the place of the last
// row given, so a trace is on exactly one page however much arrives meanwhile.
// A token belongs to its question (clock, window, filter, sampling) and to
// nothing else; it holds no secret and is good for as long as the data is kept,
// on any node and over restarts.
//
// A page ends when it is full, and also after a number of rows examined or some
// time, so that a filter which matches next to nothing gives short pages with
// tokens rather than a call that lasts for minutes.
package query

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/roentgen-io/roentgen/internal/filterexpr"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

const (
	// DefaultPageRows is how many summaries a page holds when a question does
	// not say. The X-Ray service does not say either; 200 summaries are some
	// 200 KB, and a reader of a million traces needs 5,000 calls.
	DefaultPageRows = 200
	// MaxPageRows is the most a question may ask for.
	MaxPageRows = 10_000
	// pageExamined ends a page that a filter leaves nearly empty.
	pageExamined = 100_000
	// pageTime ends a page that takes long for any other reason.
	pageTime = 2 * time.Second
)

// Service answers questions. It may be used by many goroutines.
type Service struct {
	store   tracestore.Store
	groups  func(name, arn string) (expression string, found bool)
	changes func() Changes
	// annotations, when not 0, is how many of a trace count.
	annotations int
	now         func() time.Time // measures pageTime

	// Lowered by tests.
	maxExamined int
	maxTime     time.Duration
}

// New returns a Service over store.
func New(store tracestore.Store) *Service {
	none := func(string, string) (string, bool) { return "", false }
	return &Service{store: store, groups: none, now: time.Now, maxExamined: pageExamined, maxTime: pageTime}
}

// UseGroups tells the expressions of groups, which filters may name; "" is the
// expression of a group that holds every trace. It is called before the first question.
func (q *Service) UseGroups(expression func(name, arn string) (expression string, found bool)) {
	q.groups = expression
}

// LimitAnnotations makes summaries show, and filters find, no more than the first
// max annotations of a trace, by key and value; 0 sets no bound. It is called before
// the first question.
func (q *Service) LimitAnnotations(max int) { q.annotations = max }

// limited returns a row in which no more annotations are than may count.
func (q *Service) limited(row *trace.Row) *trace.Row {
	if q.annotations > 0 && len(row.Annotations) > q.annotations {
		row = row.Clone() // it is the store's
		row.LimitAnnotations(q.annotations)
	}
	return row
}

// Trace returns the assembled trace, nil when no document of it is stored.
// Stored bytes that do not parse give an error that matches
// tracestore.ErrCorrupt.
func (q *Service) Trace(ctx context.Context, id segment.TraceID) (*trace.Trace, error) {
	return q.traceAsOf(ctx, id, 0)
}

// traceAsOf is Trace by the documents up to a seq; 0 means all.
func (q *Service) traceAsOf(ctx context.Context, id segment.TraceID, asOf uint64) (*trace.Trace, error) {
	t, _, err := q.read(ctx, id, asOf)
	return t, err
}

// read returns the assembled trace and the documents that it is made of.
func (q *Service) read(ctx context.Context, id segment.TraceID, asOf uint64) (*trace.Trace, []tracestore.Stored, error) {
	docs, err := q.store.Documents(ctx, id, asOf)
	if err != nil {
		return nil, nil, fmt.Errorf("read documents of trace %s: %w", id, err)
	}
	if len(docs) == 0 {
		return nil, nil, nil
	}
	parsed := make([]trace.Document, 0, len(docs))
	for _, d := range docs {
		s, err := d.Segment(true)
		if err != nil {
			return nil, nil, fmt.Errorf("trace %s: document %d does not parse (%w): %w", id, d.Seq, err, tracestore.ErrCorrupt)
		}
		parsed = append(parsed, trace.Document{Seq: d.Seq, Put: d.Put, Received: d.Received, Segment: s})
	}
	return trace.Assemble(id, parsed), docs, nil
}

// Question asks for the summaries of the traces in a window.
type Question struct {
	Clock      tracestore.Clock
	Start, End int64 // unix nanoseconds, half-open; equal bounds give nothing

	// Filter, when not nil, keeps the traces that it matches.
	Filter *Filter
	// Rate, when HasRate, keeps about this share of the traces, 0 to 1, the same
	// ones for every question.
	Rate    float64
	HasRate bool
	// Orphans also gives traces that are nothing but orphan subsegments, which
	// the X-Ray API hides.
	Orphans bool

	// Need, of Each alone, is what every trace that is wanted has: see tracestore.Scan.
	Need trace.Need

	Rows  int    // at most so many; 0: DefaultPageRows
	Token string // of the page before; "" for the first
}

// Page is a part of an answer.
type Page struct {
	Rows []*trace.Row // newest first by the question's clock
	// Matched says, row by row, which segment or call met the filter's first
	// condition on services or edges. It is nil unless the clock is ClockEnd.
	Matched  []filterexpr.Matched
	Examined int    // visible traces looked at for this page, matching the filter or not
	Next     string // token of the next page, "" on the last
}

// ErrToken reports a page token that is damaged or belongs to another question.
var ErrToken = errors.New("query: invalid token")

// Summaries returns a page of the answer to a question. It returns ErrToken for
// a token that was not made by this question.
func (q *Service) Summaries(ctx context.Context, ask Question) (*Page, error) {
	limit := ask.Rows
	if limit <= 0 {
		limit = DefaultPageRows
	}
	page := &Page{}
	err := q.walk(ctx, &ask, min(limit, MaxPageRows), q.maxExamined, page, func(m matched, row *trace.Row) {
		if m.row == row { // which is the store's again when this returns
			m = m.keep()
		}
		page.Rows = append(page.Rows, m.row)
		if ask.Clock == tracestore.ClockEnd {
			page.Matched = append(page.Matched, m.by)
		}
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// Count calls fn for the row of every trace that answers a question, for as long as
// a page may take, and returns how many visible traces it looked at and the token of
// the rest, "" when that was all. The row is fn's until it returns. Rows of ask does
// not count.
func (q *Service) Count(ctx context.Context, ask Question, fn func(row *trace.Row)) (examined int, next string, err error) {
	var page Page
	err = q.walk(ctx, &ask, math.MaxInt, math.MaxInt, &page, func(m matched, _ *trace.Row) { fn(m.row) })
	return page.Examined, page.Next, err
}

// walk calls take for the traces that answer a question, limit of them at most, after having looked
// at maxExamined rows at most, and fills in Examined and Next of page. What take is given
// besides is the store's row, which is good until take returns.
func (q *Service) walk(ctx context.Context, ask *Question, limit, maxExamined int, page *Page, take func(m matched, row *trace.Row)) error {
	scan := tracestore.Scan{Clock: ask.Clock, Start: ask.Start, End: ask.End, Reuse: true}
	if ask.Token != "" {
		t, err := decodeToken(ask.Token, ask)
		if err != nil {
			return err
		}
		scan.AsOf, scan.After = t.asOf, &t.after
	} else {
		scan.AsOf = q.store.LastSeq()
	}
	ask.Filter = ask.Filter.until(ctx)
	if ask.Start >= ask.End || scan.AsOf == 0 { // an empty window, or an empty store
		return nil
	}

	var last tracestore.Cursor // of the last row that this page looked at
	scanned, taken, more := 0, 0, false
	skipped := 0 // rows left out since the last one looked at
	// What the store would leave out it judges by all annotations.
	if ask.Filter != nil && !ask.HasRate && q.annotations == 0 {
		// Rows that are left out are counted, and of a share nobody knows how many
		// of them it holds.
		scan.Need = ask.Filter.need
		if ask.Filter.expr.Glances() {
			scan.Glance = ask.Filter.expr.Glance
		}
		scan.Skipped = func(visible int) { skipped += visible }
	}
	var failed error
	slow := false // look at the clock at every row
	deadline := q.now().Add(q.maxTime)
	err := q.store.Scan(ctx, scan, func(c tracestore.Cursor, row *trace.Row) bool {
		// The page ends when one more row shows up, so that the last page of an
		// answer is known to be the last. Rows skipped before it are skipped, and
		// counted, by the next page.
		if taken >= limit || scanned >= maxExamined ||
			scanned > 0 && (scanned%64 == 0 || skipped > 0 || slow) && q.now().After(deadline) {
			more = true
			return false
		}
		last = c
		scanned++
		page.Examined += skipped
		skipped = 0
		if !ask.visible(row) {
			return true
		}
		page.Examined++
		given := q.limited(row)
		m, err := q.match(ctx, ask, scan.AsOf, given)
		if err != nil {
			failed = err
			return false
		}
		slow = slow || m.row != given // it took the documents to decide
		if m.ok {
			taken++
			take(m, given)
		}
		return true
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("scan traces: %w", err)
	}
	if !more {
		page.Examined += skipped
	}
	if more {
		page.Next = encodeToken(token{asOf: scan.AsOf, after: last}, ask)
	}
	return nil
}

// visible reports whether the row is there at all for who asks.
func (ask *Question) visible(row *trace.Row) bool {
	if row.OrphanOnly && !ask.Orphans {
		return false
	}
	return !ask.HasRate || sampled(row.ID, ask.Rate)
}

// sampled reports whether id is in the share rate of all traces. The ids are
// hashed: parts of them are times, and clients may make them up.
func sampled(id segment.TraceID, rate float64) bool {
	if rate >= 1 {
		return true
	}
	return float64(xxhash.Sum64(id[:])>>11)/(1<<53) < rate
}

// appendQuestion appends all that a token is bound to.
func (ask *Question) appendQuestion(dst []byte) []byte {
	dst = append(dst, byte(ask.Clock))
	dst = binary.BigEndian.AppendUint64(dst, uint64(ask.Start))
	dst = binary.BigEndian.AppendUint64(dst, uint64(ask.End))
	dst = appendBool(dst, ask.Orphans)
	dst = appendBool(dst, ask.HasRate)
	if ask.HasRate {
		dst = binary.BigEndian.AppendUint64(dst, math.Float64bits(ask.Rate))
	}
	dst = appendBool(dst, ask.Filter != nil)
	if ask.Filter != nil {
		dst = append(dst, ask.Filter.text...)
	}
	return dst
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}
