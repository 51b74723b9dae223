package crashtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/storetest"
	"github.com/roentgen-io/roentgen/segment"
)

// outcome is what a Write said about a put.
type outcome uint8

const (
	unknown outcome = iota // under way, or failed in a way that leaves it open
	acked                  // Write returned nil: all of it is there for ever
	refused                // none of it may ever be seen
)

func (o outcome) String() string { return [...]string{"unknown", "acknowledged", "refused"}[o] }

// put is one Write.
type put struct {
	n        int
	texts    [][]byte
	traces   []segment.TraceID // of each text
	received int64
	outcome  outcome
	err      error
}

// model is what a store was told, and what it said.
type model struct {
	mu     sync.Mutex
	rng    *rand.Rand
	gen    *storetest.Generator
	puts   []*put
	byText map[string]place
	traces []segment.TraceID
	known  map[segment.TraceID]bool
	queue  []text // generated, not sent yet
	now    int64
	docs   int

	forgets bool // the oldest puts may be gone, as long as the newest is there
	forgot  int  // how many were seen to be gone
}

type place struct{ put, index int }

type text struct {
	trace segment.TraceID
	data  []byte
}

func newModel(rng *rand.Rand) *model {
	return &model{
		rng: rng, gen: storetest.NewGenerator(rng), now: storetest.ReceivedBase,
		byText: map[string]place{}, known: map[segment.TraceID]bool{},
	}
}

// newPut takes up to max documents for a new put. No two documents of a model
// have the same text, so that one that is stored twice is noticed.
func (m *model) newPut(max int) *put {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now += m.rng.Int64N(1000)
	p := &put{n: len(m.puts), received: m.now}
	for range 1 + m.rng.IntN(max) {
		for len(m.queue) < 8 {
			id, docs := m.gen.Trace()
			for _, d := range docs {
				m.queue = append(m.queue, text{id, d})
			}
		}
		k := 0
		if m.rng.IntN(3) == 0 {
			k = m.rng.IntN(8)
		}
		t := m.queue[k]
		m.queue = slices.Delete(m.queue, k, k+1)
		var noise []byte
		if m.rng.IntN(40) == 0 {
			noise = m.noise(100_000 + m.rng.IntN(200_000))
		}
		data, stored, err := storetest.Mark(t.data, m.docs, noise)
		if err != nil {
			panic(err) // of a generated document
		}
		m.docs++
		m.byText[string(stored)] = place{p.n, len(p.texts)}
		p.texts = append(p.texts, data)
		p.traces = append(p.traces, t.trace)
		if !m.known[t.trace] {
			m.known[t.trace] = true
			m.traces = append(m.traces, t.trace)
		}
	}
	m.puts = append(m.puts, p)
	return p
}

func (m *model) noise(n int) []byte {
	b := make([]byte, n)
	for i := 0; i < n; i += 8 {
		v := m.rng.Uint64()
		for k := i; k < min(i+8, n); k++ {
			b[k] = "0123456789abcdefghijklmnopqrstuv"[v%32]
			v >>= 8
		}
	}
	return b
}

// write stores a new put and notes what became of it.
func (m *model) write(ctx context.Context, s tracestore.Store, max int) (*put, error) {
	p := m.newPut(max)
	records := make([]tracestore.Record, len(p.texts))
	for i, text := range p.texts {
		var err error
		if records[i], err = storetest.NewRecord(bytes.Clone(text), p.received); err != nil {
			return p, fmt.Errorf("test document is refused: %w", err)
		}
	}
	err := s.Write(ctx, records)
	m.mu.Lock()
	defer m.mu.Unlock()
	p.err = err
	switch {
	case err == nil:
		p.outcome = acked
	case errors.Is(err, tracestore.ErrClosed), errors.Is(err, tracestore.ErrNoSpace),
		errors.Is(err, tracestore.ErrOverloaded), errors.Is(err, tracestore.ErrUnavailable):
		p.outcome = refused
	}
	return p, err
}

// outcomes returns how things stand: what must be there from now on.
func (m *model) outcomes() []outcome {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]outcome, len(m.puts))
	for i, p := range m.puts {
		list[i] = p.outcome
	}
	return list
}

// verify checks what a store holds against outcomes, those of the first puts;
// later ones are unknown. It returns which puts are there.
//
// Nobody may write to the store meanwhile.
func (m *model) verify(ctx context.Context, s tracestore.Store, outcomes []outcome) (there []bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := make([]int, len(m.puts))
	numbers := make([]uint64, len(m.puts)) // put numbers in the store
	type at struct {
		seq uint64
		place
	}
	var all []at
	for _, id := range m.traces {
		docs, err := s.Documents(ctx, id, 0)
		if err != nil {
			return nil, fmt.Errorf("documents of trace %s: %w", storetest.TraceText(id), err)
		}
		seen := map[place]uint64{}
		for i, d := range docs {
			p, ok := m.byText[string(d.Data)]
			if !ok {
				return nil, fmt.Errorf("trace %s, seq %d: torn or foreign document of %d bytes: %.200q", storetest.TraceText(id), d.Seq, len(d.Data), d.Data)
			}
			put := m.puts[p.put]
			if put.traces[p.index] != id {
				return nil, fmt.Errorf("a document of trace %s is found under %s", storetest.TraceText(put.traces[p.index]), storetest.TraceText(id))
			}
			if seq, ok := seen[p]; ok {
				return nil, fmt.Errorf("put %d (%v), document %d is there twice, with seqs %d and %d", p.put, put.outcome, p.index, seq, d.Seq)
			}
			seen[p] = d.Seq
			if i > 0 && docs[i-1].Seq >= d.Seq {
				return nil, fmt.Errorf("trace %s: seq %d after %d", storetest.TraceText(id), d.Seq, docs[i-1].Seq)
			}
			if d.Received != put.received {
				return nil, fmt.Errorf("put %d, document %d: received %d, want %d", p.put, p.index, d.Received, put.received)
			}
			if found[p.put] > 0 && numbers[p.put] != d.Put {
				return nil, fmt.Errorf("put %d has the numbers %d and %d", p.put, numbers[p.put], d.Put)
			}
			numbers[p.put] = d.Put
			found[p.put]++
			all = append(all, at{d.Seq, p})
		}
	}
	there = make([]bool, len(m.puts))
	// Where retention is at work, the puts before the first that is there may
	// have gone, but not the newest that was acknowledged.
	kept := 0
	if m.forgets {
		newest := len(outcomes) - 1
		for newest > 0 && outcomes[newest] != acked {
			newest--
		}
		for kept < newest && found[kept] == 0 {
			kept++
		}
	}
	m.forgot = max(m.forgot, kept)
	for i, p := range m.puts {
		there[i] = found[i] > 0
		o := unknown
		if i < len(outcomes) {
			o = outcomes[i]
		}
		switch {
		case o == acked && found[i] == 0 && i < kept:
		case o == acked && found[i] != len(p.texts):
			return nil, fmt.Errorf("LOST: put %d was acknowledged, %d of its %d documents are there", i, found[i], len(p.texts))
		case o == refused && found[i] != 0:
			return nil, fmt.Errorf("put %d was refused (%v), %d of its %d documents are there", i, p.err, found[i], len(p.texts))
		case found[i] != 0 && found[i] != len(p.texts):
			return nil, fmt.Errorf("put %d is torn: %d of its %d documents are there (%v)", i, found[i], len(p.texts), p.err)
		}
	}
	slices.SortFunc(all, func(a, b at) int { return int(int64(a.seq) - int64(b.seq)) })
	byNumber := map[uint64]int{}
	for i, a := range all {
		if i > 0 && all[i-1].seq == a.seq {
			return nil, fmt.Errorf("put %d and put %d share the seq %d", all[i-1].put, a.put, a.seq)
		}
		if i > 0 && all[i-1].put == a.put && all[i-1].index > a.index {
			return nil, fmt.Errorf("put %d: documents %d and %d have changed places", a.put, a.index, all[i-1].index)
		}
		if other, ok := byNumber[numbers[a.put]]; ok && other != a.put {
			return nil, fmt.Errorf("puts %d and %d share the number %d", other, a.put, numbers[a.put])
		}
		byNumber[numbers[a.put]] = a.put
	}
	if n := len(all); n > 0 && s.LastSeq() < all[n-1].seq {
		return nil, fmt.Errorf("LastSeq is %d, a document has %d", s.LastSeq(), all[n-1].seq)
	}
	if err := storetest.Agree(ctx, s, m.traces); err != nil {
		return nil, err
	}
	return there, nil
}

// settle makes what a store was seen to hold after a crash the rule for its
// further life: what is there stays, what is not never comes.
func (m *model) settle(there []bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, ok := range there {
		m.puts[i].outcome = refused
		if ok {
			m.puts[i].outcome = acked
		}
	}
}

// patience bounds every call, so that one that hangs fails with all stacks.
const patience = 60 * time.Second

// within runs f and gives up on it with every goroutine's stack when it takes too long.
func within(what string, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		buf := make([]byte, 1<<20)
		return &brokenError{fmt.Sprintf("%s hangs for %v:\n%s", what, patience, buf[:runtime.Stack(buf, true)])}
	}
}

// brokenError reports what no fault excuses: a call that does not come back, a
// document that was acknowledged and cannot be seen.
type brokenError struct{ text string }

func (e *brokenError) Error() string { return e.text }
