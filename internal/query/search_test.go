package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roentgen-io/roentgen/internal/filterexpr"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
	"github.com/roentgen-io/roentgen/segment"
)

// order is a trace of a shop that calls stock, which fails when fault is set.
func order(n int, start float64, fault bool, more string) string {
	return fmt.Sprintf(`{"trace_id":%q,"id":"%016x","name":"shop","start_time":%v,"end_time":%v,"user":"u%d","annotations":{"n":%d%s},
		"http":{"request":{"method":"GET","url":"http://shop/%d"},"response":{"status":200}},
		"subsegments":[{"id":"%016x","name":"stock","namespace":"remote","start_time":%v,"end_time":%v,"fault":%v,
		"http":{"request":{"url":"http://stock/items"}}}]}`,
		traceID(n), 2*n+1, start, start+1, n%3, n, more, n, 2*n+2, start, start+0.25, fault)
}

func TestFilters(t *testing.T) {
	s := memstore.New()
	for i := range 12 {
		write(t, s, 1000, order(i, float64(100+i), i%4 == 0, ""))
	}
	write(t, s, 1000, orphan(12, 112))
	q := New(s)
	for text, want := range map[string][]int{
		`ok AND annotation.n >= 10`:       {11, 10},
		`fault`:                           nil,
		`edge("shop", "stock") { fault }`: {8, 4, 0},
		`service(id(name: "stock", type: "remote")) { !fault }`:    {11, 10, 9, 7, 6, 5, 3, 2, 1},
		`user = "u1" AND !service("stock") { fault }`:              {10, 7, 1},
		`service("stock") { http.url ENDSWITH "items" AND fault }`: {8, 4, 0}, // rows do not hold URLs of calls
		`rootcause.fault.service { name = "stock" }`:               {8, 4, 0},
	} {
		ids, _ := all(t, q, Question{End: 1e12, Filter: filter(t, q, text)}, nil)
		if !slices.Equal(ids, want) {
			t.Errorf("%s: %v, want %v", text, ids, want)
		}
	}
	page, err := q.Summaries(context.Background(), Question{End: 1e12, Filter: filter(t, q, `annotation.n = 3`)})
	if err != nil || page.Examined != 12 || len(page.Rows) != 1 || page.Matched != nil {
		t.Errorf("%+v %v", page, err)
	}
	var syntax *filterexpr.Error
	if _, err := q.Filter("fault AND"); !errors.As(err, &syntax) {
		t.Errorf("%v", err)
	}
}

// TestCutRows holds that a search finds what a row has no room for.
func TestCutRows(t *testing.T) {
	s := memstore.New()
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, `,"key%04d":"%030d"`, i, i)
	}
	write(t, s, 1000, order(1, 100, false, b.String()), order(2, 101, false, ""))
	q := New(s)
	for text, want := range map[string][]int{
		`annotation.key4999 = "` + fmt.Sprintf("%030d", 4999) + `"`: {1},
		`!annotation.key4999`:             {2},
		`annotation.key4999 = "x"`:        nil,
		`annotation.key0001`:              {1},
		`user BEGINSWITH "u" AND !fault `: {2, 1},
	} {
		ids, _ := all(t, q, Question{End: 1e12, Filter: filter(t, q, text)}, nil)
		if !slices.Equal(ids, want) {
			t.Errorf("%s: %v, want %v", text, ids, want)
		}
	}
	err := s.Scan(context.Background(), tracestore.Scan{End: 1e12}, func(_ tracestore.Cursor, row *trace.Row) bool {
		if row.ID[15] == 1 && !row.Cut {
			t.Error("the row is not cut: this test tests nothing")
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestServiceWindow holds that with a service() the matched element itself ends
// in the window.
func TestServiceWindow(t *testing.T) {
	s := memstore.New()
	write(t, s, 1000, order(1, 100, false, ""), order(2, 110, false, ""))
	q := New(s)
	window := func(text string, start, end float64) Question {
		return Question{Clock: tracestore.ClockEnd, Start: trace.Nanos(start), End: trace.Nanos(end), Filter: filter(t, q, text)}
	}
	for _, c := range []struct {
		text       string
		start, end float64
		want       []int
	}{
		{`service("stock")`, 100, 101, []int{1}}, // the call ends at 100.25
		{`service("stock")`, 100.5, 101.5, nil},
		{`service("shop")`, 100.5, 101.5, []int{1}},
		{`edge("shop", "stock")`, 110, 111, []int{2}},
		{`service("shop") AND !fault`, 60, 180, []int{2, 1}},
		{`ok`, 60, 180, []int{2, 1}},
	} {
		ids, _ := all(t, q, window(c.text, c.start, c.end), nil)
		slices.Sort(ids)
		slices.Sort(c.want)
		if !slices.Equal(ids, c.want) {
			t.Errorf("%s in [%v, %v): %v, want %v", c.text, c.start, c.end, ids, c.want)
		}
	}
	page, err := q.Summaries(context.Background(), window(`edge("shop", "stock")`, 100, 101))
	if err != nil || len(page.Matched) != 1 || !page.Matched[0].Edge || page.Matched[0].Call == nil || page.Matched[0].Call.Duration != 0.25 {
		t.Errorf("%+v %v", page, err)
	}
}

func TestGroupsInFilters(t *testing.T) {
	s := memstore.New()
	for i := range 4 {
		write(t, s, 1000, order(i, float64(100+i), i == 2, ""))
	}
	q := New(s)
	groups := map[string]string{"Default": "", "broken": `edge("shop", "stock") { fault }`, "a": `group.name = "b"`, "b": `group.name = "a"`}
	q.UseGroups(func(name, _ string) (string, bool) { text, ok := groups[name]; return text, ok })
	for text, want := range map[string][]int{
		`group.name = "broken"`:                {2},
		`group.name != "broken"`:               {3, 1, 0},
		`group.name = "Default" AND user="u0"`: {3, 0},
	} {
		ids, _ := all(t, q, Question{End: 1e12, Filter: filter(t, q, text)}, nil)
		if !slices.Equal(ids, want) {
			t.Errorf("%s: %v, want %v", text, ids, want)
		}
	}
	var unknown *GroupError
	if _, err := q.Filter(`group.name = "none"`); !errors.As(err, &unknown) {
		t.Errorf("%v", err)
	}
	if _, err := q.Filter(`group.name = "a"`); !errors.Is(err, filterexpr.ErrGroups) {
		t.Errorf("%v", err)
	}
}

func TestVocabulary(t *testing.T) {
	s := memstore.New()
	for i := range 12 {
		write(t, s, 1000, order(i, float64(100+i), i%4 == 0, `,"paid":true,"Paid.At":"noon"`))
	}
	q := New(s)
	ask := func(kind Kind, key, text string, limit int) string {
		words, err := q.Vocabulary(context.Background(), kind, key, text, 0, 1e12, limit)
		if err != nil || words.Traces != 12 || words.Partial {
			t.Fatal(words, err)
		}
		var out []string
		for _, w := range words.Words {
			out = append(out, fmt.Sprint(w.Text, ":", w.Count))
		}
		return strings.Join(out, " ")
	}
	for _, c := range []struct {
		kind      Kind
		key, text string
		want      string
	}{
		{filterexpr.CompleteServiceName, "", "", "shop:12 stock:12"},
		{filterexpr.CompleteServiceName, "", "STO", "stock:12"},
		{filterexpr.CompleteServiceType, "", "", "client:12 remote:12"},
		{filterexpr.CompleteAnnotationKey, "", "", "Paid.At:12 n:12 paid:12"},
		{filterexpr.CompleteAnnotationValue, "paid", "", "true:12"},
		{filterexpr.CompleteAnnotationValue, "Paid_At", "", "noon:12"},
		{filterexpr.CompleteAnnotationValue, "n", "11", "11:1"},
		{filterexpr.CompleteUser, "", "", "u0:4 u1:4 u2:4"},
		{filterexpr.CompleteStatus, "", "", "200:12"},
		{filterexpr.CompleteMethod, "", "", "GET:12"},
		{filterexpr.CompleteURL, "", "/11", "http://shop/11:1"},
		{filterexpr.CompleteEntityName, "", "", "stock:3"},
	} {
		if got := ask(c.kind, c.key, c.text, 10); got != c.want {
			t.Errorf("%s %q %q: %s, want %s", c.kind, c.key, c.text, got, c.want)
		}
	}
	if got := ask(filterexpr.CompleteUser, "", "", 1); got != "u0:4" {
		t.Errorf("limit: %s", got)
	}
}

// TestFollow gives traces to someone who follows, once they have come to rest.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		defer s.Close()
		q := New(s)
		c := make(chan []segment.TraceID, 10)
		var missed atomic.Int64
		cancelled := false
		q.UseChanges(func() Changes {
			return Changes{C: c, Missed: func() int { return int(missed.Swap(0)) }, Cancel: func() { cancelled = true }}
		})
		put := func(n int, fault bool) {
			write(t, s, 1000, order(n, float64(100+n), fault, ""))
			id, _ := segment.ParseTraceID(traceID(n))
			c <- []segment.TraceID{id, id}
		}
		type told struct {
			n      int
			missed int
		}
		var got []told
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		begun := time.Now()
		var first time.Duration
		go func() {
			done <- q.Follow(ctx, filter(t, q, `edge("shop", "stock") { fault }`), false, time.Minute, func(row *trace.Row, missed int) error {
				n := -1
				if row != nil {
					fmt.Sscanf(row.ID.String(), "1-6ab38001-%x", &n)
				}
				if len(got) == 0 {
					first = time.Since(begun)
				}
				got = append(got, told{n, missed})
				return nil
			})
		}()
		synctest.Wait()
		if len(got) != 1 || got[0] != (told{-1, 0}) || first != 0 {
			t.Errorf("%v after %v, where the feed should say that it has begun", got, first)
		}
		got = nil
		put(1, true)
		put(2, false)
		time.Sleep(settleTime / 2)
		put(1, true) // the same document again keeps it waiting, and changes nothing
		time.Sleep(3 * settleTime)
		synctest.Wait()
		if len(got) != 1 || got[0] != (told{1, 0}) || first < settleTime*3/2 {
			t.Errorf("%v, the first after %v", got, first)
		}
		missed.Store(7)
		time.Sleep(2 * followTick)
		time.Sleep(2 * time.Minute) // signs of life
		synctest.Wait()
		if len(got) < 3 || got[1] != (told{-1, 7}) || got[2] != (told{-1, 0}) {
			t.Errorf("%v", got)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) || !cancelled {
			t.Errorf("%v %v", err, cancelled)
		}
	})
	if err := New(memstore.New()).Follow(context.Background(), nil, false, time.Second, nil); err == nil {
		t.Error("nobody tells of changes, and nobody says so")
	}
}

// TestCancelledFilter holds that a filter which is busy with a single large trace
// gives up when the question does, and that this is no failure of the filter.
func TestCancelledFilter(t *testing.T) {
	s := memstore.New()
	var calls strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&calls, `,{"id":"%016x","name":"stock","namespace":"remote","start_time":100,"end_time":101}`, i+100)
	}
	write(t, s, 1000, fmt.Sprintf(`{"trace_id":%q,"id":"0000000000000001","name":"shop","start_time":100,"end_time":101,"subsegments":[%s]}`,
		traceID(1), calls.String()[1:]))
	q := New(s)
	f := filter(t, q, "service() { "+strings.Repeat(`http.status = 1 OR `, 3000)+"fault }")
	id, _ := segment.ParseTraceID(traceID(1))
	large, err := q.Trace(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, row := range []*trace.Row{large.Row(), large.FullRow()} {
		ask := Question{Filter: f.until(ctx)}
		if _, truth := ask.judge(row); truth != filterexpr.Unknown {
			t.Errorf("a filter that was given up says %v", truth)
		}
		if _, err := q.match(ctx, &ask, s.LastSeq(), row); !errors.Is(err, context.Canceled) {
			t.Errorf("match: %v", err)
		}
	}
	if ids, _ := all(t, q, Question{End: 1e12, Filter: f}, nil); len(ids) != 0 {
		t.Errorf("found %v", ids)
	}
	ask := Question{Filter: f}
	if _, truth := ask.judge(large.FullRow()); truth != filterexpr.False {
		t.Errorf("a filter that is waited for says %v", truth)
	}
}
