package trace

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/internal/sharedtest"
	"github.com/roentgen-io/roentgen/segment"
)

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// TestRecordedReads replays recorded exchanges with the real service: what was
// put is put, and what was read must come out, byte for byte.
func TestRecordedReads(t *testing.T) {
	dir := sharedtest.Path(t, "corpus/native-aws")
	var exchanges []struct {
		Operation string
		Request   struct {
			TraceSegmentDocuments []string
			TraceIds              []string
		}
		Response struct {
			Body struct {
				Traces []struct {
					ID       string `json:"Id"`
					Duration *float64
					Segments []struct{ ID, Document string }
				}
			}
		}
	}
	readJSON(t, filepath.Join(dir, "batchgettraces-assembly-and-in-progress-sequence.json"), &exchanges)
	var h history
	compared := 0
	for i, x := range exchanges {
		switch x.Operation {
		case "PutTraceSegments":
			var segments []*segment.Segment
			for _, doc := range x.Request.TraceSegmentDocuments {
				segments = append(segments, parse(t, doc))
			}
			h.add(0, segments...)
		case "BatchGetTraces":
			traces := x.Response.Body.Traces
			for _, id := range x.Request.TraceIds {
				tid, err := segment.ParseTraceID(id)
				if err != nil {
					t.Fatal(err)
				}
				got := Assemble(tid, h.of(tid))
				if got == nil {
					continue // the recorded answer has none either, or some trace is left over below
				}
				if len(traces) == 0 || traces[0].ID != id {
					t.Fatalf("exchange %d: trace %s was not answered", i, id)
				}
				want := traces[0]
				traces = traces[1:]
				duration, ok := got.Duration()
				if ok != (want.Duration != nil) || ok && duration != *want.Duration {
					t.Errorf("exchange %d, %s: duration %v, %t", i, id, duration, ok)
				}
				docs := got.Documents(false)
				if len(docs) != len(want.Segments) {
					t.Fatalf("exchange %d, %s: %d documents, want %d", i, id, len(docs), len(want.Segments))
				}
				for j, doc := range docs {
					if doc.ID != want.Segments[j].ID || string(doc.Document) != want.Segments[j].Document {
						t.Errorf("exchange %d, %s: document\n%s\nwant\n%s", i, id, doc.Document, want.Segments[j].Document)
					}
					compared++
				}
			}
			if len(traces) != 0 {
				t.Errorf("exchange %d: %d more traces were answered", i, len(traces))
			}
		}
	}
	if compared != 4 {
		t.Errorf("%d documents compared, want 4", compared)
	}
}

// TestRecordedSummary compares the fields of a recorded summary.
func TestRecordedSummary(t *testing.T) {
	dir := sharedtest.Path(t, "corpus/native-aws")
	var x struct {
		Put     []string
		Summary struct {
			ID                              string `json:"Id"`
			Duration, ResponseTime          float64
			IsPartial                       bool
			HasError, HasFault, HasThrottle bool
			Revision                        int
			ServiceIDs                      []struct {
				AccountID, Type *string
				Name            string
			} `json:"ServiceIds"`
		} `json:"real_summary_extract"`
	}
	readJSON(t, filepath.Join(dir, "traced-downstream-missing-summary-and-graph.json"), &x)
	var h history
	for _, doc := range x.Put {
		h.add(0, parse(t, doc))
	}
	want := x.Summary
	got := Assemble(h.docs[0].Segment.TraceID, h.docs).Row()
	if got.ID.String() != want.ID || !got.HasDuration || got.Duration != want.Duration ||
		!got.HasResponseTime || got.ResponseTime != want.ResponseTime || got.Partial != want.IsPartial ||
		got.HasError != want.HasError || got.HasFault != want.HasFault || got.HasThrottle != want.HasThrottle ||
		got.Revision != want.Revision {
		t.Errorf("row %+v, want %+v", got, want)
	}
	null := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	if len(got.Services) != len(want.ServiceIDs) {
		t.Fatalf("services %v, want %d", got.Services, len(want.ServiceIDs))
	}
	for i, s := range want.ServiceIDs {
		if got.Services[i] != (ServiceID{s.Name, null(s.Type), null(s.AccountID)}) {
			t.Errorf("service %d is %v, want %v", i, got.Services[i], s)
		}
	}
	checkCodec(t, got)
}

// TestSDKStreams assembles what the X-Ray SDKs send for large and open
// segments: a tree each, nothing lost and nothing left over.
func TestSDKStreams(t *testing.T) {
	dir := sharedtest.Path(t, "corpus/sdk-output")
	for _, c := range []struct {
		file            string
		docs, entities  int
		depth, inferred int
	}{
		{"go/aws-sdk-v1-s3-sqs-lambda.datagrams.jsonl", 7, 27, 5, 4},
		{"go/streaming-nested-open-parent.datagrams.jsonl", 12, 32, 3, 0},
		{"java/streaming-over-100.datagrams.jsonl", 102, 131, 2, 0},
		{"node/in-progress-subsegment-independent.datagrams.jsonl", 2, 2, 2, 0},
		{"python/streaming-over-30-threshold.datagrams.jsonl", 94, 121, 2, 0},
		{"ruby/in-progress-then-complete.datagrams.jsonl", 2, 1, 1, 0},
		{"ruby/streaming-nested-open-parent.datagrams.jsonl", 18, 26, 4, 0},
	} {
		data, err := os.ReadFile(filepath.Join(dir, c.file))
		if err != nil {
			t.Error(err)
			continue
		}
		var h history
		ids := map[string]bool{}
		for line := range bytes.Lines(data) {
			var datagram string
			if err := json.Unmarshal(line, &datagram); err != nil {
				t.Fatal(err)
			}
			_, doc, _ := strings.Cut(datagram, "\n")
			h.add(0, parse(t, doc))
			var value any
			if err := json.Unmarshal([]byte(doc), &value); err != nil {
				t.Fatal(err)
			}
			collectIDs(value, ids)
		}
		tr := Assemble(h.docs[0].Segment.TraceID, h.docs)
		depth := 0
		for _, e := range tr.visible {
			n := 0
			for p := e; p != nil; p = p.Parent {
				n++
			}
			depth = max(depth, n)
		}
		if len(h.docs) != c.docs || len(tr.visible) != c.entities || depth != c.depth || len(tr.Inferred) != c.inferred {
			t.Errorf("%s: %d documents, %d entities, depth %d, %d inferred; want %+v",
				c.file, len(h.docs), len(tr.visible), depth, len(tr.Inferred), c)
		}
		// The recorded Ruby program sent its open segment twice and never closed it.
		open := strings.HasPrefix(c.file, "ruby/in-progress")
		revision := len(h.docs)
		if open {
			revision = 1
		}
		if len(tr.Segments) != 1 || len(tr.Orphans) != 0 || tr.Revision != revision {
			t.Errorf("%s: %d segments, %d orphans, revision %d", c.file, len(tr.Segments), len(tr.Orphans), tr.Revision)
		}
		for _, e := range tr.visible {
			delete(ids, e.Segment.ID.String())
		}
		if len(ids) != 0 {
			t.Errorf("%s: %v are missing", c.file, ids)
		}
		row := tr.Row()
		if row.HasDuration == open || !row.HasRoot || row.InProgress != open {
			t.Errorf("%s: row %+v", c.file, row)
		}
		checkCodec(t, row)
	}
}

func collectIDs(v any, ids map[string]bool) {
	o, ok := v.(map[string]any)
	if !ok {
		return
	}
	if id, ok := o["id"].(string); ok {
		ids[id] = true
	}
	if subs, ok := o["subsegments"].([]any); ok {
		for _, s := range subs {
			collectIDs(s, ids)
		}
	}
}

// TestCorpus makes a trace of each document of the corpus by itself, and of
// each file of datagrams, and puts what is given back once more.
func TestCorpus(t *testing.T) {
	dir := sharedtest.Path(t, "corpus")
	traces := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var docs [][]byte
		switch {
		case strings.HasSuffix(path, ".datagrams.jsonl"):
			for line := range bytes.Lines(data) {
				var datagram string
				if err := json.Unmarshal(line, &datagram); err != nil {
					return err
				}
				_, doc, _ := strings.Cut(datagram, "\n")
				docs = append(docs, []byte(doc))
			}
		case strings.HasSuffix(path, ".udp"):
			_, doc, _ := bytes.Cut(data, []byte("\n"))
			docs = append(docs, doc)
		default:
			docs = append(docs, data)
		}
		byTrace := map[segment.TraceID]*history{}
		for _, doc := range docs {
			segment.ParseAll(doc, segment.Limits{}, func(_ []byte, s *segment.Segment) {
				h := byTrace[s.TraceID]
				if h == nil {
					h = &history{}
					byTrace[s.TraceID] = h
				}
				h.add(0, s)
			}, func([]byte, *segment.Refusal) {})
		}
		for id, h := range byTrace {
			tr := Assemble(id, h.docs)
			checkPutBack(t, tr, tr.Documents(true))
			checkCodec(t, tr.Row())
			traces++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if traces < 80 {
		t.Errorf("only %d traces were made of the corpus", traces)
	}
}
