package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

// benchDoc makes a segment document of about size bytes, with the spread of
// values that a service has. perTrace documents in a row share a trace.
func benchDoc(rng *rand.Rand, id segment.TraceID, n, perTrace, size int) []byte {
	start := 1.7e9 + float64(n)/1000
	doc := fmt.Appendf(nil, `{"trace_id":"%s","id":"%016x","name":"svc-%d","start_time":%.6f,"end_time":%.6f,`, id, rng.Uint64(), rng.IntN(20), start, start+rng.ExpFloat64()*0.05)
	if n%perTrace != 0 {
		doc = fmt.Appendf(doc, `"parent_id":"%016x",`, rng.Uint64())
	}
	doc = fmt.Appendf(doc, `"http":{"request":{"method":"GET","url":"https://shop.example.test/api/v1/items/%d?page=%d","client_ip":"10.%d.%d.7"},"response":{"status":200,"content_length":%d}},`,
		rng.IntN(100000), rng.IntN(9), rng.IntN(256), rng.IntN(256), rng.IntN(60000))
	doc = fmt.Appendf(doc, `"annotations":{"customer":"c%d","plan":"gold","shard":%d},"metadata":{"default":{"note":"`, rng.IntN(5000), rng.IntN(64))
	for i := 0; len(doc) < size-6; i++ {
		if i%4 == 3 {
			doc = strconv.AppendUint(doc, rng.Uint64N(1e9), 16)
		} else {
			doc = append(doc, [...]string{"checked the basket ", "asked the warehouse for stock ", "wrote the ledger ", "took the price from the cache "}[rng.IntN(4)]...)
		}
	}
	return append(doc, `"}}}`...)
}

// benchBatches makes batches of records whose data and segments are used for
// every write: a store changes neither.
func benchBatches(tb testing.TB, batches, batch, perTrace, size int) [][]tracestore.Record {
	rng := rand.New(rand.NewPCG(1, 2))
	out := make([][]tracestore.Record, batches)
	var id segment.TraceID
	n := 0
	for i := range out {
		for range batch {
			if n%perTrace == 0 {
				for k := range id {
					id[k] = byte(rng.Uint32())
				}
			}
			doc := benchDoc(rng, id, n, perTrace, size)
			seg, err := segment.Parse(doc, segment.Limits{})
			if err != nil {
				tb.Fatalf("%v: %s", err, doc)
			}
			out[i] = append(out[i], tracestore.Record{Data: doc, Segment: seg, Received: 1.7e12 + int64(n)})
			n++
		}
	}
	return out
}

// renamed gives the records traces of their own: as many writes over the same
// documents as one likes never repeat a trace.
func renamed(records []tracestore.Record, round uint64) []tracestore.Record {
	out := make([]tracestore.Record, len(records))
	segs := make([]segment.Segment, len(records))
	for i := range records {
		out[i] = records[i]
		segs[i] = *records[i].Segment
		for k := range 8 {
			segs[i].TraceID[k] ^= byte(round >> (8 * k))
		}
		out[i].Segment = &segs[i]
	}
	return out
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkWrite writes documents of 1 KB, acknowledged, from several writers,
// and waits for views and compactions at the end: an operation is a document.
func BenchmarkWrite(b *testing.B) {
	for _, c := range []struct{ size, batch, perTrace, writers int }{
		{1000, 50, 1, 8}, {1000, 50, 5, 8}, {1000, 500, 1, 4}, {1000, 500, 5, 4}, {300, 500, 5, 4}, {1000, 1, 5, 64},
	} {
		b.Run(fmt.Sprintf("size=%d/batch=%d/trace=%d/writers=%d", c.size, c.batch, c.perTrace, c.writers), func(b *testing.B) {
			batches := benchBatches(b, max(4, 20000/c.batch), c.batch, c.perTrace, c.size)
			dir := b.TempDir()
			if base := os.Getenv("ROENTGEN_BENCH_DIR"); base != "" {
				dir, _ = os.MkdirTemp(base, "bench")
				defer os.RemoveAll(dir)
			}
			adjust = adjustment(b)
			defer func() { adjust = nil }()
			s, err := Open(Config{Dir: dir})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			ctx := context.Background()
			var next atomic.Int64
			var refused atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			begun := cpu()
			var group sync.WaitGroup
			for range c.writers {
				group.Go(func() {
					for {
						n := next.Add(int64(c.batch))
						if n > int64(b.N)+int64(c.batch)-1 {
							return
						}
						k := int(n) / c.batch
						records := renamed(batches[k%len(batches)], uint64(k/len(batches)))
						for {
							err := s.Write(ctx, records)
							if err == nil {
								break
							}
							if !errors.Is(err, tracestore.ErrOverloaded) {
								b.Error(err)
								return
							}
							refused.Add(1)
							time.Sleep(time.Millisecond)
						}
					}
				})
			}
			group.Wait()
			acked := b.Elapsed()
			if err := s.WaitRolled(ctx); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			s.settleDown()
			spent := cpu() - begun
			st := s.Stats()
			b.ReportMetric(float64(b.N)/acked.Seconds(), "docs/s")
			b.ReportMetric(float64(b.N)/spent.Seconds(), "docs/cpu-s")
			b.ReportMetric(float64(st.DiskBytes)/float64(b.N), "disk-B/doc")
			b.ReportMetric(float64(refused.Load()), "refused")
			r, err := s.read(nil)
			if err != nil {
				b.Fatal(err)
			}
			m := r.inst.db.Metrics()
			total := m.Total()
			written := total.TableBytesFlushed + total.TableBytesCompacted + total.BlobBytesFlushed + total.BlobBytesCompacted
			b.ReportMetric(float64(written)/float64(b.N), "written-B/doc")
			b.ReportMetric(float64(m.WAL.BytesWritten)/float64(b.N), "log-B/doc")
			if os.Getenv("ROENTGEN_BENCH_VERBOSE") != "" {
				fmt.Fprintln(os.Stderr, m.String())
			}
			r.release()
		})
	}
}

// adjustment reads from ROENTGEN_BENCH_TUNE, words of "blobs", "none" and "snappy", what
// to change in Pebble's options.
func adjustment(tb testing.TB) func(*pebble.Options) {
	words := strings.Fields(os.Getenv("ROENTGEN_BENCH_TUNE"))
	return func(o *pebble.Options) {
		for _, w := range words {
			switch w {
			case "blobs":
				o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
					return pebble.ValueSeparationPolicy{
						Enabled: true, MinimumSize: 4 << 10, MaxBlobReferenceDepth: 10, RewriteMinimumAge: 15 * time.Minute, TargetGarbageRatio: 0.3,
					}
				}
			case "none", "snappy":
				profile := map[string]*sstable.CompressionProfile{"none": sstable.NoCompression, "snappy": sstable.SnappyCompression}[w]
				for l := range o.Levels {
					o.Levels[l].Compression = func() *sstable.CompressionProfile { return profile }
				}
			default:
				tb.Fatalf("ROENTGEN_BENCH_TUNE: unknown word %q", w)
			}
		}
	}
}

// settleDown waits until no compaction runs, and takes the figures.
func (s *Store) settleDown() {
	r, err := s.read(nil)
	if err != nil {
		return
	}
	defer r.release()
	for range 600 {
		m := r.inst.db.Metrics()
		if m.Compact.NumInProgress == 0 && m.Flush.NumInProgress == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	r.inst.look()
	s.disk.Store(int64(r.inst.disk.Load()))
}

// BenchmarkAssembleRow is the part of the roller's work that is not the store's:
// a new trace of one document.
func BenchmarkAssembleRow(b *testing.B) {
	rec := benchBatches(b, 1, 1, 1, 1000)[0][0]
	docs := []trace.Document{{Seq: 1, Put: 1, Received: 1, Segment: rec.Segment}}
	b.ReportAllocs()
	for b.Loop() {
		row := trace.Assemble(rec.Segment.TraceID, docs).Row()
		if _, err := row.AppendBinary(nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead reads from a store of 32 parts with 10,000 traces of two documents each
// (ROENTGEN_BENCH_TRACES sets another number).
func BenchmarkRead(b *testing.B) {
	traces := 10_000
	if text := os.Getenv("ROENTGEN_BENCH_TRACES"); text != "" {
		var err error
		if traces, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	clock := &testClock{}
	clock.ms.Store(1_790_000_000_000)
	cfg := Config{Dir: b.TempDir(), Retention: 33 * time.Hour, Now: clock.now}
	s, err := Open(cfg)
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	var ids []segment.TraceID
	batches := benchBatches(b, 20, 500, 2, 1000)
	n := 0
	for range 32 {
		for i := 0; i < 2*traces; i += 500 {
			records := renamed(batches[n%20], uint64(n/20+1))
			n++
			for {
				err := s.Write(ctx, records)
				if err == nil {
					break
				}
				time.Sleep(time.Millisecond)
			}
			for k := 0; k < 500; k += 50 {
				ids = append(ids, records[k].Segment.TraceID)
			}
		}
		clock.advance(33 * time.Hour / 32)
	}
	if err := s.WaitRolled(ctx); err != nil {
		b.Fatal(err)
	}
	begun := time.Now()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	closed := time.Since(begun)
	for range 2 {
		begun = time.Now()
		if s, err = Open(cfg); err != nil {
			b.Fatal(err)
		}
		b.Logf("opened in %v", time.Since(begun))
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	begun = time.Now()
	if s, err = Open(cfg); err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.Logf("%d documents in %d parts: closed in %v, opened in %v", s.Stats().Documents, s.Stats().Parts, closed, time.Since(begun))
	begun = time.Now()
	for !s.filter.ready.Load() {
		time.Sleep(time.Millisecond)
	}
	b.Logf("filter filled in %v, %d KB", time.Since(begun), s.filter.bytes>>10)
	rng := rand.New(rand.NewPCG(3, 3))
	absent := func() (id segment.TraceID) {
		for k := range id {
			id[k] = byte(rng.Uint32())
		}
		return id
	}
	b.Run("Documents", func(b *testing.B) {
		b.ReportAllocs()
		worst := time.Duration(0)
		for b.Loop() {
			begun := time.Now()
			docs, err := s.Documents(ctx, ids[rng.IntN(len(ids))], 0)
			if err != nil || len(docs) != 2 {
				b.Fatalf("%d documents, %v", len(docs), err)
			}
			worst = max(worst, time.Since(begun))
		}
		b.ReportMetric(float64(worst.Microseconds()), "worst-µs")
	})
	b.Run("DocumentsOfNoTrace", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if docs, err := s.Documents(ctx, absent(), 0); err != nil || len(docs) != 0 {
				b.Fatalf("%d documents, %v", len(docs), err)
			}
		}
	})
	r, err := s.read(nil)
	if err != nil {
		b.Fatal(err)
	}
	defer r.release()
	it, err := r.snap.NewIter(nil)
	if err != nil {
		b.Fatal(err)
	}
	defer it.Close()
	b.Run("IsNew/pebble", func(b *testing.B) {
		for b.Loop() {
			if refs, err := findDocs(r.inst, it, r.parts, absent(), r.w); err != nil || len(refs) != 0 {
				b.Fatal(refs, err)
			}
		}
	})
	b.Run("IsNew/filter", func(b *testing.B) {
		yes := 0
		n := 0
		for b.Loop() {
			if n++; s.filter.has(absent()) {
				yes++
			}
		}
		b.ReportMetric(100*float64(yes)/float64(n), "%yes")
	})
	for clock, name := range []string{"start", "changed", "end"} {
		for _, limit := range []int{20, 100_000} {
			b.Run(fmt.Sprintf("Scan/%s/%d", name, limit), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					n := 0
					err := s.Scan(ctx, tracestore.Scan{Clock: tracestore.Clock(clock), Start: 0, End: 1 << 62}, func(tracestore.Cursor, *trace.Row) bool {
						n++
						return n < limit
					})
					if err != nil || n != limit {
						b.Fatalf("%d rows, %v", n, err)
					}
				}
			})
		}
	}
}
