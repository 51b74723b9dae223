package ingest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/roentgen-io/roentgen/internal/tracestore"
)

// fakeForwarder remembers what it is given, unless it fails.
type fakeForwarder struct {
	store  *fakeStore
	stored int // writes of the store at each call
	via    []string
	docs   []string
	err    error
}

func (f *fakeForwarder) Forward(_ context.Context, via string, records []tracestore.Record) error {
	f.stored = len(f.store.mu.writes)
	f.via = append(f.via, via)
	if f.err != nil {
		return f.err
	}
	for _, r := range records {
		f.docs = append(f.docs, string(r.Data))
	}
	return nil
}

// TestForward holds that only what is durable is passed on, that nothing is
// acknowledged which is not on its way, and that history stays.
func TestForward(t *testing.T) {
	s := &fakeStore{}
	f := &fakeForwarder{store: s}
	in, _ := newIngester(t, s, func(c *Config) { c.Forward = f })
	from := Origin{Source: SourceHTTP, Via: "aa"}
	if _, err := in.Put(t.Context(), from, [][]byte{doc(1, done), []byte("{"), doc(2, done)}); err != nil {
		t.Fatal(err)
	}
	if want := []string{string(doc(1, done)), string(doc(2, done))}; !slices.Equal(f.docs, want) || f.stored != 1 || !slices.Equal(f.via, []string{"aa"}) {
		t.Errorf("%q via %q after %d writes", f.docs, f.via, f.stored)
	}
	if _, err := in.Put(t.Context(), from, [][]byte{[]byte("{")}); err != nil || len(f.via) != 1 {
		t.Errorf("%v; nothing was passed on %d times", err, len(f.via)-1)
	}
	if _, err := in.Import(t.Context(), Origin{Source: SourceImport}, [][]byte{doc(3, done)}); err != nil || len(f.via) != 1 {
		t.Errorf("%v; history was passed on %d times", err, len(f.via)-1)
	}
	f.err = tracestore.ErrNoSpace
	if _, err := in.Put(t.Context(), from, [][]byte{doc(4, done)}); !errors.Is(err, tracestore.ErrNoSpace) {
		t.Errorf("acknowledged although it is not on its way: %v", err)
	}
}
