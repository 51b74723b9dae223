package pebblestore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/servicegraph"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/storetest"
)

// BenchmarkAsk asks a store of 30 days, in 24 parts, with 100,000 traces
// (ROENTGEN_BENCH_TRACES sets another number) of one segment and two calls among 20
// services, of which one in 20,000 has a rare annotation.
func BenchmarkAsk(b *testing.B) {
	traces := int64(100_000)
	if text := os.Getenv("ROENTGEN_BENCH_TRACES"); text != "" {
		var err error
		if traces, err = strconv.ParseInt(text, 10, 64); err != nil {
			b.Fatal(err)
		}
	}
	const day = int64(86_400_000)
	clock := &testClock{}
	clock.ms.Store(1_790_000_000_000)
	s, err := Open(Config{Dir: b.TempDir(), Retention: 40 * 24 * time.Hour, Now: clock.now})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(1, 1))
	base := clock.ms.Load()
	begun := time.Now()
	for i := int64(0); i < traces; {
		var records []tracestore.Record
		for ; i < traces && len(records) < 500; i++ {
			at := base + i*30*day/traces
			clock.ms.Store(at)
			note := ""
			if i%20_000 == 10_000 {
				note = fmt.Sprintf(`,"needle":%d`, i/20_000)
			}
			start := float64(at)/1000 - rng.ExpFloat64()*2
			name := i * i % 20
			r, err := storetest.NewRecord(fmt.Appendf(nil, `{"trace_id":"%s","id":"%016x","name":"svc-%d","start_time":%.3f,"end_time":%.3f,"user":"u%d","http":{"request":{"url":"https://shop.test/%d"},"response":{"status":200}},`+
				`"annotations":{"customer":"c%d"%s},"subsegments":[{"id":"%016x","name":"db-%d","namespace":"remote","start_time":%.3f,"end_time":%.3f},{"id":"%016x","name":"cache","namespace":"remote","start_time":%.3f,"end_time":%.3f}]}`,
				storetest.TraceText(storetest.TraceNumber(uint64(i))), i+1, name, start, float64(at)/1000, rng.IntN(1000), rng.IntN(100_000), rng.IntN(5000), note,
				rng.Uint64(), name%4, start, start+rng.Float64(), rng.Uint64(), start, start+rng.Float64()/10), at)
			if err != nil {
				b.Fatal(err)
			}
			records = append(records, r)
		}
		for s.Write(ctx, records) != nil {
			time.Sleep(time.Millisecond)
		}
	}
	if err := s.WaitRolled(ctx); err != nil {
		b.Fatal(err)
	}
	b.Logf("%d traces in %d parts in %v, %d MB", traces, s.Stats().Parts, time.Since(begun), s.Stats().DiskBytes>>20)
	now := clock.ms.Load() / 1000
	for name, need := range map[string]trace.Need{
		"needle": {{trace.TermKey("needle")}}, "nothing": {{trace.TermService("nobody")}}, "user": {{trace.TermUser("u7")}}, "all": nil,
	} {
		for _, c := range []tracestore.Clock{tracestore.ClockStart, tracestore.ClockChanged, tracestore.ClockEnd} {
			b.Run(fmt.Sprintf("Scan/%s/clock=%d", name, c), func(b *testing.B) {
				var rows, skipped int
				b.ReportAllocs()
				for b.Loop() {
					rows, skipped = 0, 0
					err := s.Scan(ctx, tracestore.Scan{Clock: c, End: 1 << 62, Need: need, Reuse: true, Skipped: func(n int) { skipped += n }}, func(tracestore.Cursor, *trace.Row) bool {
						rows++
						return true
					})
					if err != nil || rows+skipped != int(traces) {
						b.Fatalf("%d rows, %d skipped, %v", rows, skipped, err)
					}
				}
				b.ReportMetric(float64(rows), "rows")
			})
		}
	}
	for _, w := range []struct {
		name string
		len  int64
	}{{"5m", 300}, {"6h", 6 * 3600}, {"30d", 30 * 86400}} {
		of := []tracestore.GroupRef{{}}
		b.Run("Graph/"+w.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := s.Graph(ctx, of, now-w.len, now+1, 10_000); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("Graph/whole/"+w.name, func(b *testing.B) { // both ends on whole days
			for b.Loop() {
				end := now - now%86400
				if _, _, err := s.Graph(ctx, of, end-w.len, end, 10_000); err != nil {
					b.Fatal(err)
				}
			}
		})
		if w.len > 86400 {
			continue
		}
		b.Run("Minutes/"+w.name, func(b *testing.B) {
			for b.Loop() {
				if err := s.Minutes(ctx, of, now-w.len, now+60, func(int64, servicegraph.Cells) bool { return true }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
