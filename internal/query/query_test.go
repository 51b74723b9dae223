package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
	"github.com/roentgen-io/roentgen/segment"
)

func write(t *testing.T, s tracestore.Store, received int64, docs ...string) {
	t.Helper()
	var records []tracestore.Record
	for _, d := range docs {
		parsed, err := segment.Parse([]byte(d), segment.Limits{})
		if err != nil {
			t.Fatalf("%s: %v", d, err)
		}
		records = append(records, tracestore.Record{Data: []byte(d), Segment: parsed, Received: received})
	}
	if err := s.Write(context.Background(), records); err != nil {
		t.Fatal(err)
	}
}

func filter(t *testing.T, q *Service, text string) *Filter {
	t.Helper()
	f, err := q.Filter(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return f
}

func traceID(n int) string { return fmt.Sprintf("1-6ab38001-%024x", n) }

// simple is a trace of one segment that begins at start seconds.
func simple(n int, start float64) string {
	return fmt.Sprintf(`{"trace_id":%q,"id":"%016x","name":"s%d","start_time":%v,"end_time":%v}`, traceID(n), n+1, n, start, start+1)
}

func orphan(n int, start float64) string {
	return fmt.Sprintf(`{"trace_id":%q,"id":"%016x","parent_id":"00000000000000ff","type":"subsegment","name":"o","start_time":%v,"end_time":%v}`, traceID(n), n+1, start, start+1)
}

// all reads every page of a question and returns the traces in their order.
func all(t *testing.T, q *Service, ask Question, between func(page int)) (ids []int, pages int) {
	t.Helper()
	for {
		page, err := q.Summaries(context.Background(), ask)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Rows {
			var n int
			fmt.Sscanf(r.ID.String(), "1-6ab38001-%x", &n)
			ids = append(ids, n)
		}
		pages++
		if page.Next == "" {
			return ids, pages
		}
		if page.Next == ask.Token {
			t.Fatal("a page gave its own token")
		}
		ask.Token = page.Next
		if between != nil {
			between(pages)
		}
	}
}

func TestTrace(t *testing.T) {
	s := memstore.New()
	q := New(s)
	write(t, s, 5000, simple(1, 10))
	id, _ := segment.ParseTraceID(traceID(1))
	tr, err := q.Trace(context.Background(), id)
	if err != nil || tr == nil || len(tr.Segments) != 1 || tr.Changed != 5000 {
		t.Errorf("%+v %v", tr, err)
	}
	other, _ := segment.ParseTraceID(traceID(2))
	if tr, err := q.Trace(context.Background(), other); tr != nil || err != nil {
		t.Errorf("an unknown trace: %v %v", tr, err)
	}
}

// corruptStore gives documents back changed.
type corruptStore struct {
	tracestore.Store
	change func(*tracestore.Stored)
}

func (s corruptStore) Documents(ctx context.Context, id segment.TraceID, asOf uint64) ([]tracestore.Stored, error) {
	docs, err := s.Store.Documents(ctx, id, asOf)
	for i := range docs {
		s.change(&docs[i])
	}
	return docs, err
}

func TestCorrupt(t *testing.T) {
	s := memstore.New()
	write(t, s, 5000, simple(1, 10))
	id, _ := segment.ParseTraceID(traceID(1))
	for _, change := range []func(*tracestore.Stored){
		func(d *tracestore.Stored) { d.Data = d.Data[:len(d.Data)-1] },
		func(d *tracestore.Stored) { d.Data = nil },
		func(d *tracestore.Stored) { d.Format = 99 },
	} {
		_, err := New(corruptStore{s, change}).Trace(context.Background(), id)
		if !errors.Is(err, tracestore.ErrCorrupt) || !strings.Contains(err.Error(), traceID(1)) {
			t.Errorf("%v", err)
		}
	}
}

// TestPages reads the traces of a window through every clock, while new traces
// begin and old ones change, and wants each once and newest first.
func TestPages(t *testing.T) {
	for _, clock := range []tracestore.Clock{tracestore.ClockStart, tracestore.ClockChanged, tracestore.ClockEnd} {
		s := memstore.New()
		for i := range 25 {
			write(t, s, int64(100_000+i*1000), simple(i, float64(100+i)))
		}
		q := New(s)
		ask := Question{Clock: clock, Start: 0, End: 1e12, Rows: 7}
		ids, pages := all(t, q, ask, func(page int) {
			write(t, s, 200_000, simple(100+page, 150), fmt.Sprintf(`{"trace_id":%q,"id":"00000000000000cc","name":"late","start_time":200,"end_time":201}`, traceID(page*5)))
		})
		want := make([]int, 25)
		for i := range want {
			want[i] = 24 - i
		}
		if clock == tracestore.ClockEnd { // in minutes: traces of one minute are in no order
			slices.Sort(ids)
			slices.Sort(want)
		}
		if !slices.Equal(ids, want) || pages != 4 {
			t.Errorf("clock %d: %v on %d pages", clock, ids, pages)
		}
		// A new question sees what arrived.
		if ids, _ := all(t, q, ask, nil); len(ids) != 28 {
			t.Errorf("clock %d: %d traces afterwards", clock, len(ids))
		}
	}
}

func TestPageSizes(t *testing.T) {
	s := memstore.New()
	for i := range 20 {
		write(t, s, 1000, simple(i, float64(100+i)))
	}
	q := New(s)
	for _, c := range []struct{ rows, pages int }{{1, 20}, {7, 3}, {10, 2}, {20, 1}, {21, 1}, {0, 1}, {-1, 1}} {
		ids, pages := all(t, q, Question{End: 1e12, Rows: c.rows}, nil)
		if len(ids) != 20 || pages != c.pages {
			t.Errorf("%d rows a page: %d traces on %d pages, want %d", c.rows, len(ids), pages, c.pages)
		}
	}
}

func TestWindow(t *testing.T) {
	s := memstore.New()
	write(t, s, 1000, simple(1, 1790149878.783249))
	q := New(s)
	at := trace.Nanos(1790149878.783249)
	for _, c := range []struct {
		start, end int64
		want       int
	}{{at, at + 1, 1}, {at - 1, at, 0}, {at + 1, at + 2, 0}, {at, at, 0}, {at + 1, at - 1, 0}, {-1 << 63, 1<<63 - 1, 1}} {
		page, err := q.Summaries(context.Background(), Question{Start: c.start, End: c.end})
		if err != nil || len(page.Rows) != c.want || page.Next != "" {
			t.Errorf("[%d, %d): %+v %v", c.start-at, c.end-at, page, err)
		}
	}
	if page, err := New(memstore.New()).Summaries(context.Background(), Question{End: 1e18}); err != nil || len(page.Rows) != 0 || page.Next != "" {
		t.Errorf("an empty store: %+v %v", page, err)
	}
}

func TestOrphans(t *testing.T) {
	s := memstore.New()
	write(t, s, 1000, simple(1, 100), orphan(2, 101), simple(3, 102))
	q := New(s)
	if ids, _ := all(t, q, Question{End: 1e12, Rows: 1}, nil); !slices.Equal(ids, []int{3, 1}) {
		t.Errorf("without orphans: %v", ids)
	}
	if ids, _ := all(t, q, Question{End: 1e12, Rows: 1, Orphans: true}, nil); !slices.Equal(ids, []int{3, 2, 1}) {
		t.Errorf("with orphans: %v", ids)
	}
	page, _ := q.Summaries(context.Background(), Question{End: 1e12})
	if page.Examined != 2 {
		t.Errorf("%d examined", page.Examined)
	}
}

// TestShortPages checks that a filter which matches next to nothing gives short
// pages instead of a long call.
func TestShortPages(t *testing.T) {
	s := memstore.New()
	for i := range 300 {
		write(t, s, 1000, simple(i, float64(100+i)))
	}
	q := New(s)
	only := filter(t, q, `service("s17") OR responsetime < 0`) // the store cannot narrow this one down
	q.maxExamined = 100
	ids, pages := all(t, q, Question{End: 1e12, Filter: only}, nil)
	if !slices.Equal(ids, []int{17}) || pages != 3 {
		t.Errorf("%v on %d pages", ids, pages)
	}
	q = New(s)
	now := time.Unix(0, 0)
	q.now = func() time.Time { now = now.Add(time.Second); return now }
	ids, pages = all(t, q, Question{End: 1e12, Filter: only}, nil)
	if !slices.Equal(ids, []int{17}) || pages < 2 {
		t.Errorf("by time: %v on %d pages", ids, pages)
	}
}

func TestTokens(t *testing.T) {
	s := memstore.New()
	for i := range 4 {
		write(t, s, 1000, simple(i, float64(100+i)))
	}
	q := New(s)
	asked := Question{Clock: tracestore.ClockChanged, End: 1e12, Rows: 2, Rate: 0.999, HasRate: true, Filter: filter(t, q, "ok")}
	page, err := q.Summaries(context.Background(), asked)
	if err != nil || page.Next == "" {
		t.Fatal(page, err)
	}
	asked.Token = page.Next
	if page, err := q.Summaries(context.Background(), asked); err != nil || len(page.Rows) != 2 {
		t.Errorf("%+v %v", page, err)
	}
	// The page size may change on the way, nothing else.
	for name, change := range map[string]func(*Question){
		"clock":          func(a *Question) { a.Clock = tracestore.ClockStart },
		"start":          func(a *Question) { a.Start-- },
		"end":            func(a *Question) { a.End++ },
		"orphans":        func(a *Question) { a.Orphans = true },
		"rate":           func(a *Question) { a.Rate = 0.998 },
		"no rate":        func(a *Question) { a.HasRate = false },
		"filter":         func(a *Question) { a.Filter = filter(t, q, "!fault") },
		"no filter":      func(a *Question) { a.Filter = nil },
		"foreign":        func(a *Question) { a.Token = "nonsense" },
		"short":          func(a *Question) { a.Token = a.Token[:len(a.Token)-1] },
		"long":           func(a *Question) { a.Token += "A" },
		"newline inside": func(a *Question) { a.Token = a.Token[:9] + "\n" + a.Token[10:] },
		"empty window":   func(a *Question) { a.Start = a.End },
	} {
		ask := asked
		change(&ask)
		if _, err := q.Summaries(context.Background(), ask); !errors.Is(err, ErrToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ask := asked
	ask.Rows = 1
	if page, err := q.Summaries(context.Background(), ask); err != nil || len(page.Rows) != 1 {
		t.Errorf("another page size: %+v %v", page, err)
	}
	for i := range asked.Token {
		for _, c := range []byte{'A', 'Q', '_', '='} {
			b := []byte(asked.Token)
			if b[i] == c {
				continue
			}
			b[i] = c
			ask := asked
			ask.Token = string(b)
			if _, err := q.Summaries(context.Background(), ask); !errors.Is(err, ErrToken) {
				t.Fatalf("altered at %d: %v", i, err)
			}
		}
	}
}

func TestCancelled(t *testing.T) {
	s := memstore.New()
	write(t, s, 1000, simple(1, 100))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := New(s).Summaries(ctx, Question{End: 1e12}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func FuzzToken(f *testing.F) {
	ask := &Question{Start: 1, End: 2}
	f.Add(encodeToken(token{asOf: 7, after: tracestore.Cursor{Time: -5, ID: segment.TraceID{1, 2, 3}}}, ask))
	f.Add("")
	f.Add(strings.Repeat("A", 55))
	f.Fuzz(func(t *testing.T, text string) {
		got, err := decodeToken(text, ask)
		if err == nil && encodeToken(got, ask) != text {
			t.Fatalf("%q was taken for %+v", text, got)
		}
	})
}
