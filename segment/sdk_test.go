package segment

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestSDKDatagrams reads what the X-Ray SDKs for Go, Node and Python really
// sent: datagrams of the programs in test/compat, captured there with -update,
// in which ids, times, ports and folders were replaced.
func TestSDKDatagrams(t *testing.T) {
	files, err := filepath.Glob("testdata/sdk/*.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 30 {
		t.Fatalf("%d files of captured datagrams; there were 33", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".jsonl"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for line := range bytes.Lines(data) {
				var datagram string
				if err := json.Unmarshal(line, &datagram); err != nil {
					t.Fatal(err)
				}
				_, doc, ok := strings.Cut(datagram, "\n")
				if !ok {
					t.Fatalf("no header in %.80q", datagram)
				}
				checkSDKDocument(t, []byte(doc))
			}
		})
	}
}

// checkSDKDocument parses a document and holds the result against an
// independent reading of the same JSON, and against itself once encoded.
func checkSDKDocument(t *testing.T, doc []byte) {
	t.Helper()
	var found []*Segment
	ParseAll(doc, Limits{}, func(text []byte, s *Segment) {
		found = append(found, s)
		if len(text) != len(bytes.TrimSpace(doc)) {
			t.Errorf("the document's own text has %d bytes of %d", len(text), len(doc))
		}
	}, func(text []byte, r *Refusal) {
		t.Errorf("refused: %v (%s) in %.200s", r, r.Detail, text)
	})
	if len(found) != 1 {
		t.Fatalf("%d segments in one datagram", len(found))
	}
	var want map[string]any
	if err := json.Unmarshal(doc, &want); err != nil {
		t.Fatal(err)
	}
	compareEntity(t, found[0], want, "")

	encoded := found[0].AppendDocument(nil)
	again, err := Parse(encoded, Limits{})
	if err != nil {
		t.Fatalf("the encoded document is refused: %v\n%s", err, encoded)
	}
	if twice := again.AppendDocument(nil); !bytes.Equal(encoded, twice) {
		t.Errorf("encoding is not stable:\n%s\n%s", encoded, twice)
	}
}

// compareEntity compares an entity, and those it nests, with decoded JSON.
func compareEntity(t *testing.T, got *Segment, want map[string]any, path string) {
	t.Helper()
	path += "/" + got.Name
	text := func(key string) string { s, _ := want[key].(string); return s }
	if got.ID.String() != text("id") || got.Name != text("name") || got.Namespace != text("namespace") || got.User != text("user") {
		t.Errorf("%s: id, name, namespace or user differ from %v", path, want)
	}
	if got.StartTime != want["start_time"] {
		t.Errorf("%s: start_time = %v, want %v", path, got.StartTime, want["start_time"])
	}
	if end, ok := want["end_time"]; got.InProgress == ok || ok && got.EndTime != end {
		t.Errorf("%s: end_time = %v, in progress %t, want %v", path, got.EndTime, got.InProgress, end)
	}
	for _, flag := range []struct {
		key string
		got Flag
	}{{"error", got.Error}, {"fault", got.Fault}, {"throttle", got.Throttle}} {
		v, ok := want[flag.key].(bool)
		if flag.got.True() != v || (flag.got == FlagAbsent) == ok {
			t.Errorf("%s: %s = %v, want %v", path, flag.key, flag.got, want[flag.key])
		}
	}
	for _, part := range []struct {
		key string
		got Raw
	}{
		{"http", got.HTTP}, {"aws", got.AWS}, {"service", got.Service}, {"sql", got.SQL}, {"cause", got.Cause},
		{"annotations", got.Annotations}, {"metadata", got.Metadata}, {"precursor_ids", got.PrecursorIDs},
	} {
		v, ok := want[part.key]
		if !ok {
			if part.got != nil {
				t.Errorf("%s: %s = %s, want none", path, part.key, part.got)
			}
			continue
		}
		var decoded any
		if err := json.Unmarshal(part.got, &decoded); err != nil || !reflect.DeepEqual(decoded, v) {
			t.Errorf("%s: %s = %s (%v), want %v", path, part.key, part.got, err, v)
		}
	}
	subs, _ := want["subsegments"].([]any)
	if len(got.Subsegments) != len(subs) {
		t.Fatalf("%s: %d subsegments, want %d", path, len(got.Subsegments), len(subs))
	}
	for i, sub := range got.Subsegments {
		compareEntity(t, sub, subs[i].(map[string]any), path)
	}
}
