package otlp

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/internal/sharedtest"
	"github.com/roentgen-io/roentgen/segment"
)

// pair is a span and the documents that the collector's exporter makes of it.
type pair struct {
	IndexAll  bool              `json:"index_all_attributes"`
	Indexed   []string          `json:"indexed_attributes"`
	LogGroups []string          `json:"log_group_names"`
	Error     string            `json:"error"`
	OTLP      json.RawMessage   `json:"otlp"`
	Protobuf  string            `json:"otlp_proto_base64"`
	Segments  []json.RawMessage `json:"segments"`
}

// TestCorpusPairs holds the mapping against the collector's exporter. Where they
// differ, the difference is one of these, and each is taken back before the comparison:
//
//   - metadata.otel is ours: it keeps what an X-Ray document has no place for.
//   - Annotations keep the names of their attributes, where the exporter writes
//     underscores; searches find both.
//   - The ids of exceptions and of the segment beside a call are hashes here and
//     random there.
//   - A trace id with any epoch is taken; the exporter had its check switched on
//     for the pair that has an error.
//   - A span that begins the work of a service is named after it, not after what it
//     calls; no pair has such a span and a service name.
func TestCorpusPairs(t *testing.T) {
	for _, file := range pairFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			p, request := readPair(t, file)
			requirePair(t, p, request)
			fromJSON, err := FromJSON(p.OTLP)
			if err != nil {
				t.Fatal(err)
			}
			requirePair(t, p, fromJSON)
			requireSame(t, fromJSON, request)
			back, err := FromJSON(AppendJSON(nil, request))
			if err != nil {
				t.Fatal(err)
			}
			requireSame(t, back, request)
		})
	}
}

// pairFiles returns the files of the corpus that hold pairs.
func pairFiles(t *testing.T) []string {
	t.Helper()
	dir := sharedtest.Path(t, "corpus/otlp/collector-awsxrayexporter")
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no pairs in %s: %v", dir, err)
	}
	return files
}

// readPair reads a pair, and its request as protobuf.
func readPair(t *testing.T, file string) (*pair, []byte) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var p pair
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	request, err := base64.StdEncoding.DecodeString(p.Protobuf)
	if err != nil {
		t.Fatal(err)
	}
	return &p, request
}

func requirePair(t *testing.T, p *pair, request []byte) {
	t.Helper()
	m := &Mapping{Indexed: p.Indexed, IndexAll: p.IndexAll, LogGroups: p.LogGroups}
	spans := 0
	err := Walk(request, func(source, data []byte) bool {
		spans++
		src, err := m.Source(source)
		if err != nil {
			t.Fatal(err)
		}
		var s Span
		if err := ParseSpan(data, &s); err != nil {
			t.Fatal(err)
		}
		got := m.Segments(src, &s)
		if p.Error != "" {
			if len(got) == 0 || !strings.Contains(p.Error, "trace") {
				t.Errorf("got %d documents for a span that the exporter refuses: %s", len(got), p.Error)
			}
			return true
		}
		if len(p.Segments) == 1 && len(got) == 2 {
			// A step of the exporter was recorded, not what it sends: the span as the
			// call that it is, without the segment beside it.
			mk := maker{Mapping: m, src: src, s: &s, full: true}
			mk.look()
			mk.first, mk.marked = false, false
			seg := mk.segment(roleSpan)
			if s.Kind != KindClient && seg.Namespace == namespaceRemote {
				seg.Namespace = "" // it comes with a later step
			}
			got = []*segment.Segment{seg}
		}
		if len(got) != len(p.Segments) {
			t.Fatalf("got %d documents, want %d", len(got), len(p.Segments))
		}
		if len(got) == 2 && (got[0].ParentID != got[1].ID || got[1].ID == got[0].ID) {
			t.Errorf("the call %s names %s as its parent, and the segment is %s", got[0].ID, got[0].ParentID, got[1].ID)
		}
		var wantIDs, gotIDs []string
		for i, want := range p.Segments {
			w, g := normal(t, want), normal(t, got[i].AppendDocument(nil))
			wantIDs, gotIDs = append(wantIDs, w["id"].(string)), append(gotIDs, g["id"].(string))
			if m, ok := g["metadata"].(map[string]any); ok {
				delete(m, "otel")
				if len(m) == 0 {
					delete(g, "metadata")
				}
			}
			if i == 1 { // the segment beside the call
				delete(w, "id")
				delete(g, "id")
			} else if len(got) == 2 {
				delete(w, "parent_id")
				delete(g, "parent_id")
			}
			for _, d := range differ(w, g) {
				t.Errorf("document %d: %s", i, d)
			}
		}
		if wantIDs[0] != gotIDs[0] {
			t.Errorf("got id %s, want %s", gotIDs[0], wantIDs[0])
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if spans == 0 {
		t.Fatal("no span")
	}
}

// normal returns a document with what may differ taken out.
func normal(t *testing.T, doc []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(doc, &m); err != nil {
		t.Fatalf("%v in %s", err, doc)
	}
	if a, ok := m["annotations"].(map[string]any); ok {
		for key, v := range a {
			delete(a, key)
			a[underscores(key)] = v
		}
	}
	if c, ok := m["cause"].(map[string]any); ok {
		for _, e := range c["exceptions"].([]any) {
			e := e.(map[string]any)
			if id, _ := e["id"].(string); len(id) != 16 {
				t.Errorf("exception with id %q", id)
			}
			delete(e, "id")
		}
	}
	return m
}

func underscores(key string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, key)
}

// differ lists the members in which two objects differ.
func differ(want, got map[string]any) (list []string) {
	for key, w := range want {
		g, ok := got[key]
		wm, isMap := w.(map[string]any)
		gm, gotMap := g.(map[string]any)
		switch {
		case !ok:
			list = append(list, fmt.Sprintf("%s: missing, want %v", key, w))
		case isMap && gotMap:
			for _, d := range differ(wm, gm) {
				list = append(list, key+"."+d)
			}
		case !reflect.DeepEqual(w, g):
			list = append(list, fmt.Sprintf("%s: got %v, want %v", key, g, w))
		}
	}
	for key, g := range got {
		if _, ok := want[key]; !ok {
			list = append(list, fmt.Sprintf("%s: got %v, want nothing", key, g))
		}
	}
	return list
}
