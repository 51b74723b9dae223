package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

// root returns a complete root segment that starts sec seconds after Epoch and
// takes two seconds.
func root(n uint64, sec float64) Doc {
	return Doc{Trace: TraceNumber(n), ID: segment.SegmentID(0xa000 + n), Name: "quitte", Start: Epoch + sec, End: Epoch + sec + 2}
}

// sub returns a complete independent subsegment of trace n.
func sub(n uint64, id, parent segment.SegmentID, start, end float64) Doc {
	return Doc{Trace: TraceNumber(n), ID: id, Parent: parent, Subsegment: true, Name: "render", Start: Epoch + start, End: Epoch + end}
}

func testVisible(t *testing.T, s *suite) {
	store := s.open(t)
	// Enough of them that some meet every state of the roller.
	for n := range uint64(60) {
		d := root(n, float64(n))
		received := ReceivedBase + int64(n)
		write(t, store, received, d)
		sameData(t, documents(t, store, d.Trace, 0), d.JSON())
		start := int64(d.Start * 1e9)
		for _, scan := range []tracestore.Scan{
			{Clock: tracestore.ClockStart, Start: start, End: start + 1},
			{Clock: tracestore.ClockChanged, Start: received * 1e6, End: received*1e6 + 1},
			{Clock: tracestore.ClockEnd, Start: int64(d.End * 1e9), End: int64(d.End*1e9) + 1},
		} {
			if !slices.Contains(ids(scanAll(t, store, scan)), d.Trace) {
				t.Fatalf("trace %d is not in Scan(%s) right after its Write", n, scanText(scan))
			}
		}
	}
}

func testFaithful(t *testing.T, s *suite) {
	store := s.open(t)
	id := TraceNumber(1)
	head := fmt.Sprintf(`{"trace_id":%q,"id":"00000000000000`, TraceText(id))
	texts := [][]byte{
		[]byte(head + `01","name":"a","start_time":1.79E9,"end_time":1790000001.250}`),
		[]byte(" \t" + head + `02" , "name":"a","start_time":1790000000,"end_time":1790000001, "own key":[1,{"x":null}]}` + "\n"),
		[]byte(head + `03","name":"a","start_time":1790000000,"end_time":1790000001,"name":"zwölf \u00e4","metadata":{"d":"\ud83d\ude00"}}`),
		[]byte(head + `04","name":"a","start_time":1790000000,"end_time":1790000001,"metadata":{"d":{"bytes":"` + "\xff\xfe" + `","n":NaN}}}`),
		[]byte(head + `05","name":"a","start_time":0,"end_time":-1,"metadata":{"d":{"e":"` + strings.Repeat(`\n\"`, 500) + `"}}}`),
	}
	var records []tracestore.Record
	for i, text := range texts {
		// The clone makes sure that a store which changes Data is noticed.
		records = append(records, Rec(t, bytes.Clone(text), ReceivedBase-int64(i)*86_400_000))
	}
	if err := store.Write(soon(t), records); err != nil {
		t.Fatal(err)
	}
	docs := documents(t, store, id, 0)
	sameData(t, docs, texts...)
	for i, d := range docs {
		if d.Received != ReceivedBase-int64(i)*86_400_000 || d.Format != tracestore.FormatXRay {
			t.Errorf("document %d: received %d, format %d; want %d, %d", i, d.Received, d.Format, ReceivedBase-int64(i)*86_400_000, tracestore.FormatXRay)
		}
	}
	for i, r := range records {
		if !bytes.Equal(r.Data, texts[i]) {
			t.Errorf("Write changed Data of record %d", i)
		}
	}
}

func testCopies(t *testing.T, s *suite) {
	store := s.open(t)
	d := root(1, 0)
	write(t, store, ReceivedBase, d)
	for range 2 { // before and after the views were brought up to date
		docs := documents(t, store, d.Trace, 0)
		clear(docs[0].Data)
		sameData(t, documents(t, store, d.Trace, 0), d.JSON())
		if err := store.WaitRolled(soon(t)); err != nil {
			t.Fatal(err)
		}
	}
	if row := one(t, store, d.Trace); row.Root.Name != "quitte" {
		t.Errorf("root is %q after a reader changed its copy, want quitte", row.Root.Name)
	}
}

func testUnknownTrace(t *testing.T, s *suite) {
	store := s.open(t)
	for range 2 {
		for _, asOf := range []uint64{0, 1, 1 << 60} {
			if docs := documents(t, store, TraceNumber(77), asOf); len(docs) != 0 {
				t.Errorf("%d documents of a trace that was never written", len(docs))
			}
		}
		write(t, store, ReceivedBase, root(76, 0), root(78, 0)) // neighbours
	}
}

func testSeq(t *testing.T, s *suite) {
	store := s.open(t)
	var lastSeq uint64
	puts := map[uint64]int{}
	for i := range 20 {
		// Three documents of two traces in one put.
		n := uint64(2 * i)
		write(t, store, ReceivedBase, root(n, 0), root(n+1, 0), sub(n, 7, root(n, 0).ID, 0, 1))
		first, second := documents(t, store, TraceNumber(n), 0), documents(t, store, TraceNumber(n+1), 0)
		if len(first) != 2 || len(second) != 1 {
			t.Fatalf("put %d: %d and %d documents, want 2 and 1", i, len(first), len(second))
		}
		sameData(t, first, root(n, 0).JSON(), sub(n, 7, root(n, 0).ID, 0, 1).JSON())
		order := []uint64{lastSeq, first[0].Seq, second[0].Seq, first[1].Seq}
		for k := 1; k < len(order); k++ {
			if order[k] <= order[k-1] {
				t.Fatalf("put %d: seqs %v do not grow in the order of arrival", i, order)
			}
		}
		lastSeq = first[1].Seq
		if got := store.LastSeq(); got != lastSeq {
			t.Fatalf("put %d: LastSeq is %d, the latest document has %d", i, got, lastSeq)
		}
		if first[0].Put != first[1].Put || first[0].Put != second[0].Put {
			t.Fatalf("documents of one Write have puts %d, %d, %d", first[0].Put, second[0].Put, first[1].Put)
		}
		if before, ok := puts[first[0].Put]; ok {
			t.Fatalf("Write %d has the put number %d of Write %d", i, first[0].Put, before)
		}
		puts[first[0].Put] = i
	}
}

func testEmptyWrite(t *testing.T, s *suite) {
	store := s.open(t)
	for _, records := range [][]tracestore.Record{nil, {}} {
		if err := store.Write(soon(t), records); err != nil {
			t.Errorf("Write of nothing: %v", err)
		}
	}
	if got := store.LastSeq(); got != 0 {
		t.Errorf("LastSeq of an empty store is %d, want 0", got)
	}
	for _, clock := range clocks {
		if hits := scanAll(t, store, everything(clock)); len(hits) != 0 {
			t.Errorf("%d rows in an empty store", len(hits))
		}
	}
	write(t, store, ReceivedBase, root(1, 0))
	if err := store.Write(soon(t), nil); err != nil {
		t.Errorf("Write of nothing: %v", err)
	}
	sameData(t, documents(t, store, TraceNumber(1), 0), root(1, 0).JSON())
}

func testManyTraces(t *testing.T, s *suite) {
	store := s.open(t)
	const traces = 1500
	var records []tracestore.Record
	var all []segment.TraceID
	for n := range uint64(traces) {
		records = append(records, Rec(t, root(n, float64(n%97)).JSON(), ReceivedBase))
		all = append(all, TraceNumber(n))
	}
	// Each trace has its subsegment far behind its segment.
	for n := range uint64(traces) {
		records = append(records, Rec(t, sub(n, 7, root(n, 0).ID, float64(n%97), float64(n%97)+3).JSON(), ReceivedBase))
	}
	if err := store.Write(soon(t), records); err != nil {
		t.Fatal(err)
	}
	for _, n := range []uint64{0, 1, traces / 2, traces - 1} {
		sameData(t, documents(t, store, TraceNumber(n), 0),
			root(n, float64(n%97)).JSON(), sub(n, 7, root(n, 0).ID, float64(n%97), float64(n%97)+3).JSON())
	}
	hits := scanAll(t, store, everything(tracestore.ClockStart))
	if len(hits) != traces {
		t.Fatalf("%d rows, want %d", len(hits), traces)
	}
	for _, h := range hits {
		if h.Row.Revision != 1 || h.Row.Entities != 2 {
			t.Fatalf("trace %s of one put has revision %d and %d entities, want 1 and 2", TraceText(h.Row.ID), h.Row.Revision, h.Row.Entities)
		}
	}
	agree(t, store, all)
}

func testManyWrites(t *testing.T, s *suite) {
	store := s.open(t)
	const puts = 300
	d := root(1, 0)
	texts := [][]byte{d.JSON()}
	write(t, store, ReceivedBase, d)
	for i := 1; i < puts; i++ {
		child := sub(1, segment.SegmentID(0xc000+i), d.ID, 0, float64(i)/1000)
		texts = append(texts, child.JSON())
		write(t, store, ReceivedBase+int64(i), child)
		if i == puts/2 {
			if err := store.WaitRolled(soon(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	sameData(t, documents(t, store, d.Trace, 0), texts...)
	for range 2 {
		row := one(t, store, d.Trace)
		if row.Revision != puts || row.Entities != puts || row.Changed != ReceivedBase+puts-1 {
			t.Fatalf("revision %d, %d entities, changed %d; want %d, %d, %d", row.Revision, row.Entities, row.Changed, puts, puts, ReceivedBase+puts-1)
		}
		if err := store.WaitRolled(soon(t)); err != nil {
			t.Fatal(err)
		}
	}
	agree(t, store, []segment.TraceID{d.Trace})
}

func testBigDocuments(t *testing.T, s *suite) {
	store := s.open(t)
	rng := rand.New(rand.NewPCG(1, 2))
	// Text that does not compress, and text that does, among small neighbours.
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"[rng.IntN(64)]
	}
	var docs []Doc
	for i, note := range []string{"", string(noise), "", strings.Repeat("na ", 1<<20), string(noise[:70_000]), ""} {
		d := root(uint64(i), float64(i))
		d.More = map[string]any{"metadata": map[string]any{"default": map[string]any{"note": note}}}
		docs = append(docs, d)
	}
	write(t, store, ReceivedBase, docs...)
	var all []segment.TraceID
	for range 2 {
		for _, d := range docs {
			sameData(t, documents(t, store, d.Trace, 0), d.JSON())
			all = append(all, d.Trace)
		}
		if err := store.WaitRolled(soon(t)); err != nil {
			t.Fatal(err)
		}
	}
	agree(t, store, all[:len(docs)])
	// One put of many megabytes.
	var many []Doc
	for i := range 24 {
		d := root(1, 0)
		d.ID += segment.SegmentID(1 + i)
		d.More = map[string]any{"metadata": map[string]any{"default": map[string]any{"note": string(noise[i:])}}}
		many = append(many, d)
	}
	write(t, store, ReceivedBase, many...)
	if got := documents(t, store, TraceNumber(1), 0); len(got) != 25 {
		t.Fatalf("%d documents after a put of 24 MB, want 25", len(got))
	} else if !bytes.Equal(got[24].Data, many[23].JSON()) {
		t.Error("the last document of a put of 24 MB came back changed")
	}
}

func testAsOfDocuments(t *testing.T, s *suite) {
	store := s.open(t)
	var texts [][]byte
	var seqs []uint64
	for i := range 30 {
		d := root(1, 0)
		d.ID += segment.SegmentID(i)
		texts = append(texts, d.JSON())
		write(t, store, ReceivedBase, d)
		seqs = append(seqs, store.LastSeq())
		write(t, store, ReceivedBase, root(uint64(100+i), 0)) // seqs of others in between
	}
	for range 2 {
		for i, seq := range seqs {
			sameData(t, documents(t, store, TraceNumber(1), seq), texts[:i+1]...)
			sameData(t, documents(t, store, TraceNumber(1), seq-1), docsBefore(texts, seqs, seq)...)
			sameData(t, documents(t, store, TraceNumber(1), seq+1), texts[:i+1]...)
		}
		sameData(t, documents(t, store, TraceNumber(1), 1<<62), texts...)
		sameData(t, documents(t, store, TraceNumber(100), seqs[0]))
		if err := store.WaitRolled(soon(t)); err != nil {
			t.Fatal(err)
		}
	}
}

// docsBefore returns the texts with a seq below seq; all of them when seq-1 is
// 0, since as of 0 means everything.
func docsBefore(texts [][]byte, seqs []uint64, seq uint64) [][]byte {
	if seq == 1 {
		return texts
	}
	n, _ := slices.BinarySearch(seqs, seq)
	return texts[:n]
}

func testWaitRolled(t *testing.T, s *suite) {
	store := s.open(t)
	for n := range uint64(20) {
		write(t, store, ReceivedBase, root(n, 0))
		before := store.LastSeq()
		if err := store.WaitRolled(soon(t)); err != nil {
			t.Fatal(err)
		}
		if st := store.Stats(); st.RolledSeq < before {
			t.Fatalf("RolledSeq is %d after WaitRolled, want at least %d", st.RolledSeq, before)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	write(t, store, ReceivedBase, root(99, 0))
	if err := store.WaitRolled(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("WaitRolled with a cancelled context: %v, want context.Canceled or nil", err)
	}
}
