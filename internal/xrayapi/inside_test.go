package xrayapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

// TestAnswersCanonical checks the form of all answers: keys in alphabetical
// order at every level.
func TestAnswersCanonical(t *testing.T) {
	for path, list := range sampleAnswers(t) {
		for _, answer := range list {
			d := json.NewDecoder(strings.NewReader(answer))
			d.UseNumber()
			var v any
			if err := d.Decode(&v); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			var b bytes.Buffer
			e := json.NewEncoder(&b) // writes keys in order
			e.SetEscapeHTML(false)
			e.Encode(v)
			if got := strings.TrimSpace(b.String()); got != answer {
				t.Errorf("%s:\n%s\nin order:\n%s", path, answer, got)
			}
		}
	}
}

func TestErrorTable(t *testing.T) {
	for code, info := range apierr.Table {
		if info.Status < 400 || info.Status > 599 {
			t.Errorf("%s has status %d", code, info.Status)
		}
		w := httptest.NewRecorder()
		WriteError(w, apierr.Wrap(errors.New("secret"), code, "why \"%s\"", code))
		want := `{"` + code.MessageKey() + `":"why \"` + string(code) + `\""}`
		if w.Code != info.Status || w.Body.String() != want || w.Header()["x-amzn-errortype"][0] != string(code) {
			t.Errorf("%s: %d %v %s, want %s", code, w.Code, w.Header(), w.Body, want)
		}
	}
}

func TestScanSegments(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       []string // nil: goes the general way
	}{
		{"one", `{"TraceSegmentDocuments":["{\"id\":\"1\"}"]}`, []string{`{"id":"1"}`}},
		{"spaces", " {\n\"TraceSegmentDocuments\" : [ \"a\" ,\t\"b\" ] } \r\n", []string{"a", "b"}},
		{"escapes", `{"TraceSegmentDocuments":["\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac\ud83d\ude00"]}`, []string{"\"\\/\b\f\n\r\tAé€😀"}},
		{"lone surrogates", `{"TraceSegmentDocuments":["\ud83dx\ude00\ud83d\u0041"]}`, []string{"\uFFFDx\uFFFD\uFFFDA"}},
		{"empty document", `{"TraceSegmentDocuments":["",""]}`, []string{"", ""}},
		{"invalid UTF-8 passes", "{\"TraceSegmentDocuments\":[\"\xff\xfe0123456789\"]}", []string{"\xff\xfe0123456789"}},
		{"mostly escapes", `{"TraceSegmentDocuments":["` + strings.Repeat(`\u0041`, 100) + `","x"]}`, []string{strings.Repeat("A", 100), "x"}},
		{"empty list", `{"TraceSegmentDocuments":[]}`, nil},
		{"other key", `{"X":1,"TraceSegmentDocuments":["a"]}`, nil},
		{"key after", `{"TraceSegmentDocuments":["a"],"X":1}`, nil},
		{"number", `{"TraceSegmentDocuments":["a",1]}`, nil},
		{"null", `{"TraceSegmentDocuments":null}`, nil},
		{"escaped key", `{"TraceSegmentDocument\u0073":["a"]}`, nil},
		{"control character", "{\"TraceSegmentDocuments\":[\"a\nb\"]}", nil},
		{"bad escape", `{"TraceSegmentDocuments":["\x"]}`, nil},
		{"bad hex", `{"TraceSegmentDocuments":["\u00g0"]}`, nil},
		{"torn", `{"TraceSegmentDocuments":["abcdefghijklmnop`, nil},
		{"torn escape", `{"TraceSegmentDocuments":["abc\`, nil},
		{"comma at the end", `{"TraceSegmentDocuments":["a",]}`, nil},
		{"more", `{"TraceSegmentDocuments":["a"]}{}`, nil},
		{"empty", ``, nil},
	} {
		docs, ok := scanSegments([]byte(c.body), 100)
		if ok != (c.want != nil) {
			t.Errorf("%s: ok %t", c.name, ok)
			continue
		}
		if ok && !equalTexts(docs, c.want) {
			t.Errorf("%s: %q, want %q", c.name, docs, c.want)
		}
	}
	// The list is cut where it is too long in any case.
	docs, ok := scanSegments([]byte(`{"TraceSegmentDocuments":["a","b","c","d","e`), 3)
	if !ok || len(docs) != 4 {
		t.Errorf("%q %t", docs, ok)
	}
}

// TestScanPieces decodes bodies whose documents do not fit into one piece of memory,
// with escapes at all places, and counts what a document shares its memory with.
func TestScanPieces(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	alphabet := []string{`"`, `\`, "\n", "\u00e4", "plain text ", "x", "é", "😀", "\x01"}
	for _, sizes := range [][]int{
		{arenaBytes - 30, 1, 100, arenaBytes},
		{3 * arenaBytes, 0, 5, 2*arenaBytes + 7},
		slices.Repeat([]int{777}, 1000),
		slices.Repeat([]int{0, 9, 70_000, 15_000}, 20),
	} {
		var want []string
		for _, size := range sizes {
			var text strings.Builder
			for plain := random.IntN(2) == 0; text.Len() < size; {
				if plain {
					text.WriteByte('a')
				} else {
					text.WriteString(alphabet[random.IntN(len(alphabet))])
				}
			}
			want = append(want, text.String())
		}
		body, err := json.Marshal(map[string]any{"TraceSegmentDocuments": want})
		if err != nil {
			t.Fatal(err)
		}
		for range 8 { // other places of words
			docs, ok := scanSegments(body, len(sizes))
			if !ok || !equalTexts(docs, want) {
				t.Fatalf("documents of %d bytes and so on are not what was sent", sizes[0])
			}
			body = append([]byte(" "), body...)
		}
		for cut := range 100 {
			if docs, ok := scanSegments(body[:len(body)-1-cut*(len(body)/100)], len(sizes)); ok {
				t.Fatalf("%d documents of a torn body", len(docs))
			}
		}
	}
	kept := make([][]byte, 0, 40)
	var before, after runtime.MemStats
	body := []byte(`{"TraceSegmentDocuments":["` + strings.Repeat(strings.Repeat("x", 1000)+`","`, 5000) + `"]}`)
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range cap(kept) {
		docs, _ := scanSegments(body, 10_000)
		kept = append(kept, docs[2500])
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if held := int64(after.HeapAlloc) - int64(before.HeapAlloc); held > int64(2*arenaBytes*len(kept)) {
		t.Errorf("%d documents of 1 KB hold %d bytes", len(kept), held)
	}
	runtime.KeepAlive(kept)
}

func equalTexts(docs [][]byte, want []string) bool {
	if len(docs) != len(want) {
		return false
	}
	for i := range docs {
		if string(docs[i]) != want[i] {
			return false
		}
	}
	return true
}

// TestDocumentsApart checks that documents of one call share no memory that an
// append to one of them would reach.
func TestDocumentsApart(t *testing.T) {
	for _, body := range []string{`{"TraceSegmentDocuments":["aaaa","bbbb"]}`, `{"TraceSegmentDocuments":["aaaa","bbbb"],"x":1}`, `{"TraceSegmentDocuments":["aaaa","bbbb"` + strings.Repeat(" ", 100) + `]}`} {
		docs, err := SegmentDocuments([]byte(body), 10)
		if err != nil {
			t.Fatal(err)
		}
		_ = append(docs[0], "XXXX"...)
		if string(docs[1]) != "bbbb" {
			t.Errorf("%s: an append to the first document changed the second to %s", body, docs[1])
		}
	}
}

// FuzzSegmentDocuments checks the hand-written scanner against encoding/json
// and the short way against the general one.
func FuzzSegmentDocuments(f *testing.F) {
	for _, seed := range []string{
		`{"TraceSegmentDocuments":["{\"id\":\"1\"}","\u00e9\ud83d\ude00\ud83d"]}`,
		`{"TraceSegmentDocuments":[null,1,true,{"a":[1e5,-0.5E+3]}],"x":"\/"}`,
		`{"TraceSegmentDocuments":["a"],"TraceSegmentDocuments":["b"]}`,
		`[]`, `null`, ` `, `{`, `{"TraceSegmentDocuments":["a\`, "{\"TraceSegmentDocuments\":[\"\xff\"]}", `{"a":01}`, `{"a":1.}`, `{"a":[1,]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		docs, err := SegmentDocuments(body, 1000)
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
		in, generalErr := decode(body, putTraceSegmentsInput)
		// What we take for JSON is JSON, and the other way round, but for an
		// empty body and nesting beyond any use.
		if syntaxOK := generalErr == nil || !strings.Contains(generalErr.Error(), "not valid JSON"); len(bytes.Trim(body, " \t\r\n")) > 0 &&
			syntaxOK != json.Valid(body) && isWholeJSON(generalErr) && !strings.Contains(errText(generalErr), "too deep") {
			t.Fatalf("%q: we say %v, encoding/json says %t", body, generalErr, json.Valid(body))
		}
		if err != nil {
			return
		}
		if generalErr != nil {
			t.Fatalf("%q: the short way took what the general one refuses: %v", body, generalErr)
		}
		list := in.get(putTraceSegmentsInput, "TraceSegmentDocuments").list
		if len(list) != len(docs) {
			t.Fatalf("%q: %d documents, the general way %d", body, len(docs), len(list))
		}
		var std struct{ TraceSegmentDocuments []string }
		var raw map[string]json.RawMessage
		exact := json.Unmarshal(body, &raw) == nil && json.Unmarshal(raw["TraceSegmentDocuments"], &std.TraceSegmentDocuments) == nil
		for i := range docs {
			if string(docs[i]) != list[i].s {
				t.Fatalf("%q: document %d is %q, the general way %q", body, i, docs[i], list[i].s)
			}
			if exact && utf8.Valid(body) && string(docs[i]) != std.TraceSegmentDocuments[i] {
				t.Fatalf("%q: document %d is %q, encoding/json says %q", body, i, docs[i], std.TraceSegmentDocuments[i])
			}
		}
	})
}

// isWholeJSON reports whether decode looked at the whole body before it failed:
// a value of a wrong type ends it early.
func isWholeJSON(err error) bool {
	return err == nil || strings.Contains(err.Error(), "not valid JSON")
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func FuzzBatchToken(f *testing.F) {
	ids := []segment.TraceID{{1}, {2}, {3}}
	f.Add(encodeBatchToken(1, ids))
	f.Add("")
	f.Add("AAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, text string) {
		next, ok := decodeBatchToken(text, ids)
		if ok && encodeBatchToken(next, ids) != text {
			t.Fatalf("%q was taken for %d", text, next)
		}
	})
}

// TestRequestID checks the form of a version 4 UUID.
func TestRequestID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := newRequestID()
		if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[14] != '4' || id[18] != '-' || id[23] != '-' || !strings.ContainsRune("89ab", rune(id[19])) || seen[id] {
			t.Fatalf("%q", id)
		}
		seen[id] = true
	}
}

// TestPromisedBody promises a large body and sends the beginning of it.
func TestPromisedBody(t *testing.T) {
	bodies := NewBodies(1 << 30)
	for _, declared := range []int64{60 << 20, -1} {
		source, client := io.Pipe()
		r := httptest.NewRequest("POST", "/TraceSegments", source)
		r.ContentLength = declared
		done := make(chan error, 1)
		go func() {
			b, err := bodies.Read(r, 64<<20)
			if err == nil {
				b.Free()
			}
			done <- err
		}()
		for range firstRoom - 1 {
			if _, err := client.Write([]byte(" ")); err != nil {
				t.Fatal(err)
			}
		}
		if used := bodies.Used(); used > firstRoom {
			t.Errorf("a body of %d bytes of which %d came counts as %d", declared, firstRoom-1, used)
		}
		client.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if used := bodies.Used(); used != 0 {
			t.Errorf("%d bytes stay charged", used)
		}
	}
}

// TestLeftovers reads large bodies, one after the other, while nothing but their limit
// lets the garbage collector run.
func TestLeftovers(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	const limit = 32 << 20
	bodies := NewBodies(limit)
	text := strings.Repeat(" ", 6<<20)
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	most := uint64(0)
	for range 30 {
		b, err := bodies.Read(httptest.NewRequest("POST", "/TraceSegments", strings.NewReader(text)), 8<<20)
		if err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&now)
		most = max(most, now.HeapAlloc)
		b.Free()
	}
	if most > before.HeapAlloc+limit+4<<20 {
		t.Errorf("%d bytes were held at a time, %d before", most, before.HeapAlloc)
	}
	if now.NumGC-before.NumGC > 15 {
		t.Errorf("%d collections for 30 bodies", now.NumGC-before.NumGC)
	}
}

// TestUnproved lets bodies of senders that are not known take half of the limit.
func TestUnproved(t *testing.T) {
	bodies := NewBodies(100 << 10)
	request := func(size int) *http.Request {
		return httptest.NewRequest("POST", "/TraceSegments", strings.NewReader(strings.Repeat(" ", size)))
	}
	first := request(3000)
	b, err := bodies.Keep(first, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Free()
	var refused *apierr.Error
	if _, err := bodies.Keep(request(60<<10), 1<<20); !errors.As(err, &refused) || refused.Code != apierr.Throttled {
		t.Errorf("more than half: %v", err)
	}
	known, err := bodies.Read(request(60<<10), 1<<20)
	if err != nil {
		t.Fatalf("of a known sender: %v", err)
	}
	known.Free()
	proved, err := bodies.Read(first, 1<<20) // as the handler does
	if err != nil || len(proved.Data) != 3000 {
		t.Fatal(proved, err)
	}
	other, err := bodies.Keep(request(60<<10), 1<<20)
	if err != nil {
		t.Fatalf("when the first is proved: %v", err)
	}
	other.Free()
	proved.Free()
	if bodies.Used() != 0 || bodies.unproved.Load() != 0 {
		t.Errorf("%d bytes stay charged, %d as unproved", bodies.Used(), bodies.unproved.Load())
	}
}

// TestTakeDocuments counts a body, its documents too while they are copied, and then the
// documents alone.
func TestTakeDocuments(t *testing.T) {
	bodies := NewBodies(8 << 10)
	text := `{"TraceSegmentDocuments":["` + strings.Repeat("x", 3000) + `"]}`
	size := int64(len(text))
	read := func() *Body {
		b, err := bodies.Read(httptest.NewRequest("POST", "/TraceSegments", strings.NewReader(text)), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := read()
	if used := bodies.Used(); used < size || used > size+1 {
		t.Errorf("a body of %d bytes counts as %d", size, used)
	}
	docs, err := TakeDocuments(b, 1)
	if err != nil || len(docs) != 1 || len(docs[0]) != 3000 {
		t.Fatal(docs, err)
	}
	if used := bodies.Used(); used != size {
		t.Errorf("documents of a body of %d bytes count as %d", size, used)
	}
	other := read() // there is room for it, not for its documents too
	var refused *apierr.Error
	if _, err := TakeDocuments(other, 1); !errors.As(err, &refused) || refused.Code != apierr.Throttled {
		t.Errorf("beyond the limit: %v", err)
	}
	b.Free()
	b.Free()
	if _, err := TakeDocuments(other, 1); err != nil {
		t.Error(err)
	}
	other.Free()
	other.Drop(1)
	if used := bodies.Used(); used != 0 {
		t.Errorf("%d bytes stay charged", used)
	}
}
