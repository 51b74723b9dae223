package pebblestore

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/crashtest"
	"github.com/roentgen-io/roentgen/internal/tracestore/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// engine is this package as the crash laboratory sees it.
var engine = crashtest.Engine{
	Open: func(fs vfs.FS) (tracestore.Store, error) {
		s, err := Open(Config{Dir: "data", FS: fs, CacheBytes: 1 << 20, blockRows: 3, sectionRows: 1, Groups: someGroups})
		if err != nil {
			return nil, err
		}
		return s, nil
	},
	Check: func(ctx context.Context, s tracestore.Store) error { return s.(*Store).CheckViews(ctx) },
	Flush: func(s tracestore.Store) error { return s.(*Store).flush() },
}

// someGroups are groups that hold for parts of a history.
func someGroups() []tracestore.Group {
	group := func(n, version uint32, from, until uint64, match func(row *trace.Row) bool) tracestore.Group {
		return tracestore.Group{
			Ref: tracestore.GroupRef{Group: n, Version: version}, From: from, Until: until,
			Match: func(row *trace.Row, _ func() *trace.Row) bool { return match(row) },
		}
	}
	fault := func(row *trace.Row) bool { return row.HasFault }
	return []tracestore.Group{
		group(1, 1, 0, 20, fault), group(1, 2, 20, 0, func(row *trace.Row) bool { return row.Revision > 1 }), group(2, 1, 7, 0, fault),
	}
}

func TestCrashes(t *testing.T) { crashtest.Run(t, engine) }

// openDir opens a store that is closed at the end of the test.
func openDir(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func checkViews(ctx context.Context, s tracestore.Store) error { return s.(*Store).CheckViews(ctx) }

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) tracestore.Store {
		return openDir(t, Config{Dir: t.TempDir(), blockRows: 4, sectionRows: 2})
	}, storetest.Options{
		Reopen: func(t *testing.T, s tracestore.Store) tracestore.Store {
			cfg := s.(*Store).cfg
			if err := s.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			return openDir(t, Config{Dir: cfg.Dir, blockRows: 4, sectionRows: 2, Groups: cfg.Groups})
		},
		Groups: func(t *testing.T, groups func() []tracestore.Group) tracestore.Store {
			return openDir(t, Config{Dir: t.TempDir(), blockRows: 4, sectionRows: 2, Groups: groups})
		},
		Check: checkViews,
	})
}
