package storetest_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/roentgen-io/roentgen/internal/servicegraph"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
	"github.com/roentgen-io/roentgen/internal/tracestore/storetest"
	"github.com/roentgen-io/roentgen/segment"
)

// broken is a memstore with one mistake.
type broken struct {
	*memstore.Store
	defect string

	mu     sync.Mutex
	shared map[segment.TraceID][]tracestore.Stored // handed out to everybody
}

func (b *broken) Write(ctx context.Context, records []tracestore.Record) error {
	switch b.defect {
	case "drops duplicates":
		records = slices.DeleteFunc(records, func(r tracestore.Record) bool {
			docs, _ := b.Store.Documents(ctx, r.Segment.TraceID, 0)
			return slices.ContainsFunc(docs, func(d tracestore.Stored) bool { return bytes.Equal(d.Data, r.Data) })
		})
	case "one put for each record":
		for _, r := range records {
			if err := b.Store.Write(ctx, []tracestore.Record{r}); err != nil {
				return err
			}
		}
		return nil
	case "reverses a put":
		slices.Reverse(records)
	case "trims documents":
		for i := range records {
			records[i].Data = bytes.TrimSpace(records[i].Data)
		}
	case "receipt is now":
		for i := range records {
			records[i].Received = 1
		}
	}
	return b.Store.Write(ctx, records)
}

func (b *broken) Documents(ctx context.Context, id segment.TraceID, asOf uint64) ([]tracestore.Stored, error) {
	switch b.defect {
	case "shares its memory":
		b.mu.Lock()
		defer b.mu.Unlock()
		if docs := b.shared[id]; len(docs) > 0 {
			return docs, nil
		}
		docs, err := b.Store.Documents(ctx, id, asOf)
		b.shared[id] = docs
		return docs, err
	case "documents ignore as-of":
		asOf = 0
	case "never cancelled":
		ctx = context.WithoutCancel(ctx)
	}
	return b.Store.Documents(ctx, id, asOf)
}

func (b *broken) Scan(ctx context.Context, scan tracestore.Scan, fn func(tracestore.Cursor, *trace.Row) bool) error {
	switch b.defect {
	case "window with its end":
		scan.End++
	case "window without its start":
		scan.Start++
	case "cursor gives its row again":
		if scan.After != nil {
			after := *scan.After
			after.ID[15]++
			scan.After = &after
		}
	case "cursor skips the rest of its time":
		if scan.After != nil {
			scan.After = &tracestore.Cursor{Time: scan.After.Time}
		}
	case "needs hide a match":
		inner, n := fn, 0
		if len(scan.Need) > 0 {
			fn = func(c tracestore.Cursor, row *trace.Row) bool {
				n++
				return n%5 == 0 || inner(c, row)
			}
		}
	case "skipped rows are told late", "skipped rows are hidden ones too":
		if skipped, late, inner := scan.Skipped, 0, fn; skipped != nil && b.defect == "skipped rows are told late" {
			scan.Skipped = func(n int) { late += n }
			defer func() {
				if late > 0 {
					skipped(late)
				}
			}()
		} else if skipped != nil {
			fn = func(c tracestore.Cursor, row *trace.Row) bool {
				if row.OrphanOnly {
					skipped(1)
				}
				return inner(c, row)
			}
		}
	case "scan ignores as-of":
		scan.AsOf = 0
	case "scan lags behind":
		if n := b.Store.LastSeq(); scan.AsOf == 0 && n > 0 {
			scan.AsOf = max(1, n-1)
		}
	case "never cancelled":
		ctx = context.WithoutCancel(ctx)
	case "goes on after false":
		inner := fn
		stopped := false
		fn = func(c tracestore.Cursor, row *trace.Row) bool {
			if !inner(c, row) {
				defer func() { stopped = true }()
				return !stopped
			}
			return true
		}
	case "oldest first":
		var hits []storetest.Hit
		if err := b.Store.Scan(ctx, scan, func(c tracestore.Cursor, row *trace.Row) bool {
			hits = append(hits, storetest.Hit{Cursor: c, Row: row})
			return true
		}); err != nil {
			return err
		}
		for _, h := range slices.Backward(hits) {
			if !fn(h.Cursor, h.Row) {
				break
			}
		}
		return nil
	case "hides orphans":
		inner := fn
		fn = func(c tracestore.Cursor, row *trace.Row) bool { return row.OrphanOnly || inner(c, row) }
	case "leaves the old place":
		// A trace that moved is also given where its first document stood.
		if scan.Clock == tracestore.ClockStart && scan.AsOf == 0 {
			old := scan
			old.AsOf = 2
			var stale []storetest.Hit
			if err := b.Store.Scan(ctx, old, func(c tracestore.Cursor, row *trace.Row) bool {
				stale = append(stale, storetest.Hit{Cursor: c, Row: row})
				return true
			}); err != nil {
				return err
			}
			for _, h := range stale {
				if !fn(h.Cursor, h.Row) {
					return nil
				}
			}
			inner := fn
			fn = func(c tracestore.Cursor, row *trace.Row) bool {
				return slices.ContainsFunc(stale, func(h storetest.Hit) bool { return h.Cursor.ID == c.ID }) || inner(c, row)
			}
		}
	}
	return b.Store.Scan(ctx, scan, fn)
}

func (b *broken) Graph(ctx context.Context, of []tracestore.GroupRef, start, end int64, most int) (servicegraph.Cells, bool, error) {
	switch b.defect {
	case "graph with the end of its window":
		end++
	case "graph of all groups":
		of = append(of, tracestore.GroupRef{})
	case "never cancelled":
		ctx = context.WithoutCancel(ctx)
	}
	if b.defect == "graph is never cut" {
		most = 0
	}
	cells, cut, err := b.Store.Graph(ctx, of, start, end, most)
	if b.defect == "graph without roots" {
		for _, c := range cells {
			c.Roots = 0
		}
	}
	return cells, cut, err
}

func (b *broken) Minutes(ctx context.Context, of []tracestore.GroupRef, start, end int64, fn func(int64, servicegraph.Cells) bool) error {
	if b.defect == "minutes are stamped when they begin" {
		return b.Store.Minutes(ctx, of, start+60, end+60, func(stamp int64, cells servicegraph.Cells) bool { return fn(stamp-60, cells) })
	}
	return b.Store.Minutes(ctx, of, start, end, fn)
}

func (b *broken) DeadLetters(ctx context.Context, before uint64, limit int) ([]tracestore.DeadLetter, error) {
	if b.defect == "letters up to before" && before > 0 {
		before++
	}
	letters, err := b.Store.DeadLetters(ctx, before, limit)
	if b.defect == "oldest letter first" {
		slices.Reverse(letters)
	}
	return letters, err
}

func (b *broken) LastSeq() uint64 {
	if b.defect == "last seq lags behind" {
		return max(1, b.Store.LastSeq()) - 1
	}
	return b.Store.LastSeq()
}

func (b *broken) Close() error {
	if b.defect == "open for ever" {
		return nil
	}
	return b.Store.Close()
}

const brokenVariable = "ROENTGEN_STORETEST_DEFECT"

// TestChild is the suite over a broken store, run by TestDefectsAreFound in a
// process of its own because it has to fail.
func TestChild(t *testing.T) {
	defect := os.Getenv(brokenVariable)
	if defect == "" {
		t.Skip("runs only as a child of TestDefectsAreFound")
	}
	storetest.Run(t, func(*testing.T) tracestore.Store {
		return &broken{Store: memstore.New(), defect: defect, shared: map[segment.TraceID][]tracestore.Stored{}}
	}, storetest.Options{})
}

// TestDefectsAreFound builds one mistake after the other into memstore; each
// must be found by the clause that is about it, and those that a history can
// meet also by the histories.
func TestDefectsAreFound(t *testing.T) {
	for _, c := range []struct {
		defect  string
		clauses string
	}{
		{"", ""},
		{"drops duplicates", "DuplicatesChangeNothing History"},
		{"one put for each record", "SeqGrows ManyTracesInOneWrite History"},
		{"reverses a put", "SeqGrows History"},
		{"trims documents", "DocumentsAsTheyCame History"},
		{"receipt is now", "DocumentsAsTheyCame VisibleAfterWrite History"},
		{"shares its memory", "DocumentsAreCopies"},
		{"documents ignore as-of", "AsOfDocuments History"},
		{"window with its end", "WindowsAreHalfOpen History"},
		{"window without its start", "WindowsAreHalfOpen History"},
		{"cursor gives its row again", "Cursors CursorWithoutRow History"},
		{"cursor skips the rest of its time", "Cursors CursorWithoutRow"},
		{"needs hide a match", "Need History"},
		{"skipped rows are told late", "Need"},
		{"skipped rows are hidden ones too", "Need"},
		{"graph with the end of its window", "GraphSeconds"},
		{"graph of all groups", "Graph"},
		{"graph without roots", "GraphSeconds History"},
		{"graph is never cut", "History"},
		{"minutes are stamped when they begin", "Graph History"},
		{"scan ignores as-of", "AsOfScan History"},
		{"scan lags behind", "VisibleAfterWrite History"},
		{"never cancelled", "Cancel"},
		{"goes on after false", "EarlyStop"},
		{"oldest first", "NewestFirst History"},
		{"hides orphans", "Orphans History"},
		{"leaves the old place", "LateSubsegmentMovesTrace History"},
		{"letters up to before", "DeadLetters"},
		{"oldest letter first", "DeadLetters"},
		{"last seq lags behind", "SeqGrows History"},
		{"open for ever", "Closed"},
	} {
		name := c.defect
		if name == "" {
			name = "none"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, clause := range strings.Fields(c.clauses) {
				out := child(t, c.defect, clause)
				if !regexp.MustCompile(`(?m)^\s*--- FAIL: TestChild/` + clause + ` `).MatchString(out) {
					t.Errorf("%s did not find it:\n%.3000s", clause, out)
				}
			}
			if c.defect == "" {
				// The wrapper alone is no defect.
				if out := child(t, "none", "(SeqGrows|NewestFirst|Cursors|Need|Graph|GraphSeconds|AsOfScan|DeadLetters|Closed)"); strings.Contains(out, "--- FAIL") || !strings.Contains(out, "--- PASS: TestChild/Closed") {
					t.Errorf("a store without a defect fails:\n%.3000s", out)
				}
			}
		})
	}
}

func child(t *testing.T, defect, clause string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$/^"+clause+"$", "-test.v", "-test.short")
	cmd.Env = append(os.Environ(), brokenVariable+"="+defect)
	out, _ := cmd.CombinedOutput() // it fails as a rule
	return string(out)
}

// TestSkip shows that a skipped clause needs a known name, so that a renamed
// one is not passed over in silence.
func TestSkip(t *testing.T) {
	if os.Getenv(brokenVariable) != "" {
		t.Skip("a child")
	}
	ran := false
	storetest.Run(t, func(*testing.T) tracestore.Store { ran = true; return memstore.New() }, storetest.Options{Skip: allBut("UnknownTrace")})
	if !ran {
		t.Error("nothing was run")
	}
}

func allBut(keep string) map[string]string {
	skip := map[string]string{}
	for _, name := range storetest.Names() {
		if name != keep {
			skip[name] = "not asked for"
		}
	}
	return skip
}
