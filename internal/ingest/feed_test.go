package ingest

import (
	"context"
	"fmt"
	"testing"

	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

func feedDoc(n int) []byte {
	return []byte(fmt.Sprintf(`{"trace_id":"1-6ab38001-%024x","id":"00000000000000aa","name":"s","start_time":1,"end_time":2}`, n))
}

func TestFeed(t *testing.T) {
	s := &fakeStore{}
	in, _ := newIngester(t, s, nil)
	put := func(docs ...[]byte) {
		t.Helper()
		if _, err := in.Put(context.Background(), Origin{Source: SourceHTTP}, docs); err != nil {
			t.Fatal(err)
		}
	}
	put(feedDoc(0)) // nobody listens yet
	one, other := in.Subscribe(), in.Subscribe()
	put(feedDoc(1), feedDoc(1), []byte("{"), feedDoc(2))
	put([]byte("{"))
	for _, f := range []Feed{one, other} {
		ids := <-f.C
		if len(ids) != 2 || ids[0] == ids[1] || len(f.C) != 0 {
			t.Errorf("got %v and %d more batches, want the ids of two traces", ids, len(f.C))
		}
	}
	other.Cancel()
	other.Cancel()
	s.mu.Lock()
	s.err = tracestore.ErrNoSpace
	s.mu.Unlock()
	if _, err := in.Put(context.Background(), Origin{}, [][]byte{feedDoc(3)}); err == nil {
		t.Fatal("the put should have failed")
	}
	s.mu.Lock()
	s.err = nil
	s.mu.Unlock()
	put(feedDoc(4))
	want, _ := segment.ParseTraceID("1-6ab38001-000000000000000000000004")
	if ids := <-one.C; len(ids) != 1 || ids[0] != want {
		t.Errorf("got %v: what was not stored, or nothing", ids)
	}
	if len(other.C) != 0 {
		t.Error("a cancelled feed still gets ids")
	}
	for range feedLen + 3 {
		put(feedDoc(5), feedDoc(6))
	}
	if n := one.Missed(); n != 6 || len(one.C) != feedLen {
		t.Errorf("missed %d with %d waiting, want 6 ids of three batches", n, len(one.C))
	}
	if n := one.Missed(); n != 0 {
		t.Errorf("missed %d again", n)
	}
	one.Cancel()
}
