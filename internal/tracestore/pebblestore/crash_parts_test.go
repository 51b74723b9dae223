package pebblestore

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/crashtest"
)

// agingStore lets two hours pass with every Write.
type agingStore struct {
	*Store
	now *atomic.Int64 // unix milliseconds
}

func (s agingStore) Write(ctx context.Context, records []tracestore.Record) error {
	s.now.Add(2 * time.Hour.Milliseconds())
	return s.Store.Write(ctx, records)
}

// aging is an engine whose parts follow each other every few Writes. How far
// its clock has come it takes from the parts that are there.
func aging(retention time.Duration) crashtest.Engine {
	const begin = 1_790_000_000_000
	return crashtest.Engine{
		Open: func(fs vfs.FS) (tracestore.Store, error) {
			now := new(atomic.Int64)
			now.Store(begin)
			s, err := Open(Config{Dir: "data", FS: fs, CacheBytes: 1 << 20, Retention: retention, Now: func() time.Time { return time.UnixMilli(now.Load()) }})
			if err != nil {
				return nil, err
			}
			if p, ok := s.parts.newest(); ok {
				now.Store(max(now.Load(), p.created))
			}
			return agingStore{s, now}, nil
		},
		Check: func(ctx context.Context, s tracestore.Store) error { return s.(agingStore).CheckViews(ctx) },
		Flush: func(s tracestore.Store) error { return s.(agingStore).flush() },
	}
}

// TestCrashesOverParts runs the parts of the laboratory that go through every
// operation on a store that begins a part every third Write and keeps them all.
func TestCrashesOverParts(t *testing.T) {
	e := aging(32 * 6 * time.Hour)
	t.Run("CrashEverywhere", func(t *testing.T) { crashtest.CrashEverywhere(t, e) })
	t.Run("FaultEverywhere", func(t *testing.T) { crashtest.FaultEverywhere(t, e, "IO-once", "Read-once") })
}

// TestCrashesUnderRetention does so on a store that keeps the last few Writes,
// each in a part of its own, and removes the others while it runs.
func TestCrashesUnderRetention(t *testing.T) {
	e := aging(8 * time.Hour)
	e.Forgets = true
	t.Run("CrashEverywhere", func(t *testing.T) { crashtest.CrashEverywhere(t, e) })
	t.Run("FaultEverywhere", func(t *testing.T) { crashtest.FaultEverywhere(t, e, "IO-once", "Read-once") })
}
