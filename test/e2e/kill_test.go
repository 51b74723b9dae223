package e2e

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/tracestore/pebblestore"
	"github.com/roentgen-io/roentgen/segment"
	"github.com/roentgen-io/roentgen/test/process"
)

// sentDoc is a document that was sent.
type sentDoc struct {
	trace, id string
	payload   string // comes back in its metadata
	text      string
	acked     bool
}

// ledger is what was sent and what was acknowledged.
type ledger struct {
	mu     sync.Mutex
	docs   map[string]*sentDoc   // by segment id, which is unique
	traces map[string][]*sentDoc // by trace id
	calls  [][]*sentDoc
	acks   int
}

// writer makes documents for one writer and sends them.
type writer struct {
	rng    *rand.Rand
	book   *ledger
	client *http.Client
	roots  []*sentDoc // acknowledged ones, to which later subsegments are sent
}

func (w *writer) hex(digits int) string {
	b := make([]byte, digits/2)
	for i := range b {
		b[i] = byte(w.rng.Uint32())
	}
	return hex.EncodeToString(b)
}

func (w *writer) document(parent *sentDoc) *sentDoc {
	size := 2 * w.rng.IntN(600)
	if w.rng.IntN(20) == 0 {
		size = 2 * w.rng.IntN(20_000)
	}
	d := &sentDoc{id: w.hex(16), payload: w.hex(size)}
	begin := float64(time.Now().UnixMilli()) / 1000
	o := map[string]any{
		"id": d.id, "name": "kelter", "start_time": begin, "end_time": begin + w.rng.Float64(),
		"metadata": map[string]any{"probe": map[string]any{"payload": d.payload}},
	}
	if parent != nil {
		d.trace = parent.trace
		o["type"], o["parent_id"] = "subsegment", parent.id
	} else {
		d.trace = "1-" + w.hex(8) + "-" + w.hex(24)
	}
	o["trace_id"] = d.trace
	text, err := json.Marshal(o)
	if err != nil {
		panic(err) // strings and finite numbers only
	}
	d.text = string(text)
	return d
}

// writeOn has writers put documents at a server, each until it is gone or stop is
// called. stop returns what a writer found wrong.
func writeOn(writers []*writer, url string) (stop func() error) {
	var group sync.WaitGroup
	var bad atomic.Pointer[error]
	ctx, cancel := context.WithCancel(context.Background())
	for _, w := range writers {
		group.Go(func() {
			for ctx.Err() == nil {
				ok, err := w.put(url)
				if err != nil {
					bad.CompareAndSwap(nil, &err)
				}
				if !ok {
					return
				}
			}
		})
	}
	return func() error {
		cancel()
		group.Wait()
		if err := bad.Load(); err != nil {
			return *err
		}
		return nil
	}
}

// put sends one call of up to eight documents. It returns false when the server
// is gone.
func (w *writer) put(url string) (bool, error) {
	var docs []*sentDoc
	for range 1 + w.rng.IntN(8) {
		var parent *sentDoc
		if len(w.roots) > 0 && w.rng.IntN(3) == 0 {
			parent = w.roots[w.rng.IntN(len(w.roots))]
		}
		docs = append(docs, w.document(parent))
	}
	texts := make([]string, len(docs))
	w.book.mu.Lock()
	w.book.calls = append(w.book.calls, docs)
	for i, d := range docs {
		texts[i] = d.text
		w.book.docs[d.id] = d
		w.book.traces[d.trace] = append(w.book.traces[d.trace], d)
	}
	w.book.mu.Unlock()
	var answer struct{ UnprocessedTraceSegments []any }
	status, err := call(w.client, url+"/TraceSegments", map[string]any{"TraceSegmentDocuments": texts}, &answer)
	switch {
	case err != nil:
		return false, nil // the process was killed: what became of the call nobody knows
	case status == http.StatusTooManyRequests:
		return true, nil
	case status != http.StatusOK || len(answer.UnprocessedTraceSegments) > 0:
		return false, fmt.Errorf("PutTraceSegments answered %d, unprocessed %v", status, answer.UnprocessedTraceSegments)
	}
	w.book.mu.Lock()
	defer w.book.mu.Unlock()
	w.book.acks++
	for i, d := range docs {
		d.acked = true
		var o struct{ Type string }
		if err := json.Unmarshal([]byte(texts[i]), &o); err != nil {
			return false, err
		}
		if o.Type == "" {
			w.roots = append(w.roots, d)
		}
	}
	if len(w.roots) > 200 {
		w.roots = w.roots[100:]
	}
	return true, nil
}

// call sends a request of the X-Ray API. The error is one of the connection, an
// answer that breaks off included.
func call(client *http.Client, url string, request, answer any) (status int, err error) {
	body, err := json.Marshal(request)
	if err != nil {
		return 0, err
	}
	resp, err := client.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(data, answer); err != nil {
			return 0, fmt.Errorf("answer %q: %w", data, err)
		}
	}
	return resp.StatusCode, nil
}

// entity is a segment or subsegment of an answer.
type entity struct {
	ID          string `json:"id"`
	Inferred    bool   `json:"inferred"`
	Metadata    map[string]map[string]string
	Subsegments []entity
}

// verify reads traces back and checks that every acknowledged document is there
// once with its own content, and that nothing else is but what was under way
// when a process was killed.
func (l *ledger) verify(client *http.Client, url string, traces []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(traces) > 0 {
		batch := traces[:min(50, len(traces))]
		traces = traces[len(batch):]
		var answer struct {
			Traces []struct {
				Id       string
				Segments []struct{ Id, Document string }
			}
		}
		status, err := call(client, url+"/Traces", map[string]any{"TraceIds": batch}, &answer)
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("BatchGetTraces: status %d, error %v", status, err)
		}
		seen := map[string]int{}
		var walk func(trace string, list []entity) error
		walk = func(trace string, list []entity) error {
			for _, e := range list {
				d := l.docs[e.ID]
				if d == nil || d.trace != trace || e.Inferred {
					return fmt.Errorf("trace %s has an entity %q (inferred %v) that was never sent", trace, e.ID, e.Inferred)
				}
				if got := e.Metadata["probe"]["payload"]; got != d.payload {
					return fmt.Errorf("trace %s, %s (acknowledged %v) is torn: its content has %d characters, want %d", trace, e.ID, d.acked, len(got), len(d.payload))
				}
				seen[e.ID]++
				if err := walk(trace, e.Subsegments); err != nil {
					return err
				}
			}
			return nil
		}
		for _, tr := range answer.Traces {
			for _, s := range tr.Segments {
				var e entity
				if err := json.Unmarshal([]byte(s.Document), &e); err != nil {
					return fmt.Errorf("trace %s, document of %s does not parse: %w", tr.Id, s.Id, err)
				}
				if err := walk(tr.Id, []entity{e}); err != nil {
					return err
				}
			}
		}
		for _, trace := range batch {
			for _, d := range l.traces[trace] {
				switch n := seen[d.id]; {
				case n > 1:
					return fmt.Errorf("trace %s, %s is there %d times", trace, d.id, n)
				case n == 0 && d.acked:
					return fmt.Errorf("LOST: trace %s, %s was acknowledged and is not there", trace, d.id)
				}
			}
		}
	}
	return nil
}

// TestKill kills the serving process again and again while writers send to it.
// ROENTGEN_KILLS sets how often, ROENTGEN_SEED repeats the documents and pauses.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED under -short: kills a server fifty times, which takes a minute or two")
	}
	kills := setting(t, "ROENTGEN_KILLS", 50)
	seed := anySeed(t)
	t.Logf("seed: run again with ROENTGEN_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	process.Binary(t) // built before anything is timed
	dataDir := t.TempDir()
	book := &ledger{docs: map[string]*sentDoc{}, traces: map[string][]*sentDoc{}}
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer client.CloseIdleConnections()
	var writers []*writer
	for i := range 6 {
		writers = append(writers, &writer{rng: rand.New(rand.NewPCG(seed, uint64(1+i))), book: book, client: client})
	}
	var slowest time.Duration
	for kill := range kills {
		begin := time.Now()
		s := process.Serve(t, dataDir)
		slowest = max(slowest, time.Since(begin))
		// What earlier lives left: a sample, most of it of the last ones.
		if err := book.verify(client, s.URL, book.sample(rng, 150)); err != nil {
			t.Fatalf("seed %d, after kill %d: %v\n%s", seed, kill, err, s.Output)
		}
		stop := writeOn(writers, s.URL)
		time.Sleep(time.Duration(50+rng.IntN(350)) * time.Millisecond)
		s.Kill()
		if err := stop(); err != nil {
			t.Fatalf("seed %d, before kill %d: %v\n%s", seed, kill+1, err, s.Output)
		}
		client.CloseIdleConnections()
	}
	s := process.Serve(t, dataDir)
	var all []string
	for trace := range book.traces {
		all = append(all, trace)
	}
	if err := book.verify(client, s.URL, all); err != nil {
		t.Fatalf("seed %d, after all kills: %v\n%s", seed, err, s.Output)
	}
	s.Kill()
	if book.acks < kills {
		t.Errorf("only %d calls were acknowledged in %d lives: too little was tested", book.acks, kills)
	}
	if err := book.verifyStored(dataDir); err != nil {
		t.Errorf("seed %d, in the data folder after all kills: %v", seed, err)
	}
	acked := 0
	for _, d := range book.docs {
		if d.acked {
			acked++
		}
	}
	t.Logf("%d kills, %d calls and %d documents acknowledged, %d sent; slowest start %v", kills, book.acks, acked, len(book.docs), slowest.Round(time.Millisecond))
}

// sample returns up to n trace ids.
func (l *ledger) sample(rng *rand.Rand, n int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []string
	for trace := range l.traces { // map order is a sample of its own
		if list = append(list, trace); len(list) == n {
			break
		}
	}
	rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// verifyStored reads the folder itself, where the answers of the API cannot
// hide a document that is stored twice.
func (l *ledger) verifyStored(dataDir string) error {
	s, err := pebblestore.Open(pebblestore.Config{Dir: dataDir})
	if err != nil {
		return err
	}
	defer s.Close()
	ctx := context.Background()
	stored := map[string]int{}
	for trace, docs := range l.traces {
		id, err := segment.ParseTraceID(trace)
		if err != nil {
			return err
		}
		texts := map[string]*sentDoc{}
		for _, d := range docs {
			texts[d.text] = d
		}
		list, err := s.Documents(ctx, id, 0)
		if err != nil {
			return fmt.Errorf("trace %s: %w", trace, err)
		}
		for _, found := range list {
			d := texts[string(found.Data)]
			if d == nil {
				return fmt.Errorf("trace %s, seq %d: a document of %d bytes that was never sent: %.200q", trace, found.Seq, len(found.Data), found.Data)
			}
			if stored[d.id]++; stored[d.id] > 1 {
				return fmt.Errorf("trace %s, %s is stored twice", trace, d.id)
			}
		}
		for _, d := range docs {
			if d.acked && stored[d.id] == 0 {
				return fmt.Errorf("LOST: trace %s, %s was acknowledged and is not stored", trace, d.id)
			}
		}
	}
	// A call is stored as a whole or not at all.
	for _, call := range l.calls {
		n := 0
		for _, d := range call {
			n += stored[d.id]
		}
		if n != 0 && n != len(call) {
			return fmt.Errorf("of a call with %d documents %d are stored", len(call), n)
		}
	}
	return s.CheckViews(ctx)
}
