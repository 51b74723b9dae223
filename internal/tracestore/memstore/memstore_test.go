package memstore_test

import (
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
	"github.com/roentgen-io/roentgen/internal/tracestore/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) tracestore.Store { return memstore.New() }, storetest.Options{
		Groups: func(_ *testing.T, groups func() []tracestore.Group) tracestore.Store {
			return memstore.New(memstore.WithGroups(groups))
		},
	})
}

func TestClock(t *testing.T) {
	now := time.UnixMilli(1_790_000_123_456)
	s := memstore.New(memstore.WithClock(func() time.Time { return now }))
	d := storetest.Doc{Trace: storetest.TraceNumber(1), ID: 1, Name: "quitte", Start: 1, End: 2}
	// A record without a parsed segment is parsed by the store.
	if err := s.Write(t.Context(), []tracestore.Record{{Data: d.JSON(), Received: 5}}); err != nil {
		t.Fatal(err)
	}
	if got := s.Stats().OldestPart; got != now.UnixMilli() {
		t.Errorf("OldestPart is %d, want the clock's %d", got, now.UnixMilli())
	}
	if err := s.AddDeadLetters([]tracestore.DeadLetter{{Detail: "a"}, {Detail: "b", Time: 7}}); err != nil {
		t.Fatal(err)
	}
	letters, err := s.DeadLetters(t.Context(), 0, 10)
	if err != nil || len(letters) != 2 || letters[0].Time != 7 || letters[1].Time != now.UnixMilli() {
		t.Errorf("letters %+v, error %v; want the times 7 and the clock's", letters, err)
	}
}

func TestUnparsable(t *testing.T) {
	s := memstore.New()
	good := storetest.Doc{Trace: storetest.TraceNumber(1), ID: 1, Name: "quitte", Start: 1, End: 2}
	for _, bad := range []tracestore.Record{{Data: []byte(`{"id":`)}, {Format: tracestore.FormatOTLP, Data: good.JSON()}} {
		if err := s.Write(t.Context(), []tracestore.Record{{Data: good.JSON()}, bad}); err == nil {
			t.Errorf("Write of %q in format %d gave no error", bad.Data, bad.Format)
		}
	}
	if docs, err := s.Documents(t.Context(), good.Trace, 0); err != nil || len(docs) != 0 {
		t.Errorf("%d documents, error %v after refused puts; want none", len(docs), err)
	}
}
