package pebblestore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/storetest"
)

// BenchmarkImport writes traces of one segment whose starts and receipts lie
// anywhere in 30 days: an operation is a trace, its views included.
func BenchmarkImport(b *testing.B) {
	s, err := Open(Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(1, 1))
	b.ReportAllocs()
	b.StopTimer()
	var spent time.Duration
	for n := 0; n < b.N; {
		var records []tracestore.Record
		for ; n < b.N && len(records) < 500; n++ {
			start := 1_790_000_000 + rng.Float64()*30*86400
			r, err := storetest.NewRecord(fmt.Appendf(nil, `{"trace_id":"%s","id":"%016x","name":"svc-%d","start_time":%.3f,"end_time":%.3f,"user":"u%d","annotations":{"customer":"c%d"}}`,
				storetest.TraceText(storetest.TraceNumber(uint64(n))), n+1, n%20, start, start+rng.Float64(), rng.IntN(100_000), rng.IntN(5000)), int64(start*1000)+2000)
			if err != nil {
				b.Fatal(err)
			}
			records = append(records, r)
		}
		b.StartTimer()
		begun := cpu()
		for s.Write(ctx, records) != nil {
			time.Sleep(time.Millisecond)
		}
		if n == b.N {
			if err := s.WaitRolled(ctx); err != nil {
				b.Fatal(err)
			}
		}
		spent += cpu() - begun
		b.StopTimer()
	}
	b.ReportMetric(float64(b.N)/spent.Seconds(), "traces/cpu-s")
	s.settleDown()
	b.ReportMetric(float64(s.Stats().DiskBytes)/float64(b.N), "disk-B/trace")
}
