package udp

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/internal/sharedtest"
)

const doc = `{"trace_id":"1-6741a0c3-0123456789abcdef01234567","id":"00f067aa0ba902b7","name":"kiosk","start_time":1,"end_time":2}`

func TestParseDatagram(t *testing.T) {
	const header = `{"format":"json","version":1}`
	for _, tt := range []struct {
		name, data string
		document   string
		why        reason
	}{
		{"plain", header + "\n" + doc, doc, ""},
		{"spaces", `{"format": "json", "version": 1}` + "\n" + doc, doc, ""},
		{"more spaces", "  { \"format\" : \"json\" ,\t\"version\" : 1 }\t\n" + doc, doc, ""},
		{"carriage return", header + "\r\n" + doc, doc, ""},
		{"format in capitals", `{"format":"JSON","version":1}` + "\n" + doc, doc, ""},
		{"format in both", `{"format":"jSoN","version":1}` + "\n" + doc, doc, ""},
		{"other order", `{"version":1,"format":"json"}` + "\n" + doc, doc, ""},
		{"further keys", `{"format":"json","version":1,"by":"kiosk"}` + "\n" + doc, doc, ""},
		{"newline at the end", header + "\n" + doc + "\n", doc + "\n", ""},
		{"newlines in the document", header + "\n{\n}\n", "{\n}\n", ""},
		{"document of any kind", header + "\n\x00\xff", "\x00\xff", ""},
		{"document of one newline", header + "\n\n", "\n", ""},
		{"empty", "", "", reasonEmpty},
		{"document alone", doc, "", reasonNoHeader},
		{"header alone", header, "", reasonNoHeader},
		{"no newline between", header + doc, "", reasonNoHeader},
		{"newline first", "\n" + header + "\n" + doc, "", reasonBadHeader},
		{"header and newline", header + "\n", "", reasonNoDocument},
		{"no JSON", "format=json\n" + doc, "", reasonBadHeader},
		{"half a header", `{"format":"json","vers` + "\n" + doc, "", reasonBadHeader},
		{"two objects", header + header + "\n" + doc, "", reasonBadHeader},
		{"an array", `["json",1]` + "\n" + doc, "", reasonBadHeader},
		{"null", "null\n" + doc, "", reasonFormat},
		{"empty object", "{}\n" + doc, "", reasonFormat},
		{"xml", `{"format":"xml","version":1}` + "\n" + doc, "", reasonFormat},
		{"no format", `{"version":1}` + "\n" + doc, "", reasonFormat},
		{"format of a wrong type", `{"format":1,"version":1}` + "\n" + doc, "", reasonBadHeader},
		{"version 2", `{"format":"json","version":2}` + "\n" + doc, "", reasonVersion},
		{"version 20", `{"format":"json","version":20}` + "\n" + doc, "", reasonVersion},
		{"no version", `{"format":"json"}` + "\n" + doc, "", reasonVersion},
		{"version in quotes", `{"format":"json","version":"1"}` + "\n" + doc, "", reasonBadHeader},
		{"long header", `{"format":"json","version":1,"x":"` + strings.Repeat("x", maxHeader) + "\"}\n" + doc, "", reasonBadHeader},
	} {
		got, why := parseDatagram([]byte(tt.data))
		if string(got) != tt.document || why != tt.why {
			t.Errorf("%s: got %q, %q, want %q, %q", tt.name, got, why, tt.document, tt.why)
		}
	}
}

func TestReasonsHaveWords(t *testing.T) {
	seen := make(map[string]bool)
	for _, r := range reasons {
		d := r.detail()
		if d == string(r) || seen[d] {
			t.Errorf("%q: detail %q", r, d)
		}
		seen[d] = true
	}
}

func TestLaneOf(t *testing.T) {
	same := []string{
		doc,
		`{"id":"1111111111111111", "trace_id" : "1-6741a0c3-0123456789abcdef01234567"}`,
		`{"trace_id":"1-6741A0C3-0123456789ABCDEF01234567"`,
	}
	for _, n := range []int{1, 4, 7} {
		for _, d := range same {
			if got, want := laneOf([]byte(d), n), laneOf([]byte(doc), n); got != want {
				t.Errorf("%q takes lane %d of %d, not %d", d, got, n, want)
			}
		}
	}
	used := make(map[int]int)
	for i := range 400 {
		d := strings.Replace(doc, "4567", string("0123456789abcdef"[i%16])+string("0123456789abcdef"[i/16%16])+"67", 1)
		used[laneOf([]byte(d), 4)]++
	}
	for l := range 4 {
		if used[l] < 50 {
			t.Errorf("400 traces share the lanes unevenly: %v", used)
		}
	}
	for _, d := range []string{"", `{"name":"x"}`, `"trace_id"`, `"trace_id":`, `"trace_id":"`, `"trace_id":7`} {
		if got := laneOf([]byte(d), 4); got < 0 || got > 3 {
			t.Errorf("%q takes lane %d", d, got)
		}
	}
}

// datagrams reads *.udp and *.datagrams.jsonl below dir, by file and number.
func datagrams(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	found := make(map[string][]byte)
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		switch {
		case strings.HasSuffix(path, ".udp"):
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			found[name] = data
		case strings.HasSuffix(path, ".datagrams.jsonl"):
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for i, line := range bytes.Split(bytes.TrimSpace(data), []byte("\n")) {
				var text string
				if err := json.Unmarshal(line, &text); err != nil {
					t.Errorf("%s line %d: %v", name, i+1, err)
				}
				found[name+":"+string(rune('0'+i/100%10))+string(rune('0'+i/10%10))+string(rune('0'+i%10))] = []byte(text)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestCorpus reads every datagram that real SDKs sent, and the ones that others
// found to be malformed.
func TestCorpus(t *testing.T) {
	refused := map[string]reason{
		"malformed/udp-empty-datagram.udp":       reasonEmpty,
		"malformed/udp-header-xml-version-2.udp": reasonFormat,
		"malformed/udp-no-separator.udp":         reasonNoHeader,
		"malformed/udp-version-20.udp":           reasonVersion,
	}
	all := datagrams(t, sharedtest.Path(t, "corpus"))
	if len(all) < 150 {
		t.Errorf("only %d datagrams found", len(all))
	}
	for name, data := range all {
		document, why := parseDatagram(data)
		if why != refused[name] {
			t.Errorf("%s: %q, want %q", name, why, refused[name])
		}
		// Some are no strict JSON (NaN); that is for the parser to judge.
		if why == "" && !bytes.HasPrefix(document, []byte("{")) {
			t.Errorf("%s: the document begins %.80q", name, document)
		}
	}
	for name := range refused {
		if _, ok := all[name]; !ok {
			t.Errorf("%s is not there", name)
		}
	}
}

// FuzzDatagram compares parseDatagram with a plain reading of the protocol.
func FuzzDatagram(f *testing.F) {
	f.Add([]byte(`{"format":"json","version":1}` + "\n" + doc))
	f.Add([]byte(`{"format": "JSON", "version": 1} ` + "\n\n"))
	f.Add([]byte("\n"))
	f.Add([]byte(`{"version":1e0}` + "\n{}"))
	for _, data := range datagrams(f, "testdata") {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		document, why := parseDatagram(data)
		if !bytes.Equal(before, data) {
			t.Fatalf("%q was changed", before)
		}
		laneOf(data, lanes)
		i := bytes.IndexByte(data, '\n')
		var h struct {
			Format  string
			Version int
		}
		good := i >= 0 && i <= maxHeader && json.Unmarshal(data[:i], &h) == nil && strings.EqualFold(h.Format, "json") && h.Version == 1 && i+1 < len(data)
		if good != (why == "") {
			t.Fatalf("%q: %q", data, why)
		}
		if good && !bytes.Equal(document, data[i+1:]) {
			t.Fatalf("%q: document %q", data, document)
		}
	})
}
