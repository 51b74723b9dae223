package segment

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// addDocuments seeds a fuzz target with the documents of testdata.
func addDocuments(f *testing.F) {
	files, err := filepath.Glob("testdata/documents/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no documents in testdata: %v", err)
	}
	for _, file := range files {
		doc, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc)
	}
	for _, doc := range []string{
		"", "{", "{}", "[]", "[[]]", "null", "\"text\"", "12", "-0", "1e5", "NaN", "-Infinity", "\xef\xbb\xbf{}", "{}\x00\x00\n",
		`{"id":"\ud83d\ude00"}`, `{"id":"\ud83d"}`, `{"id":"` + "\xff" + `"}`, `{"\u0069d":"1"}`, `{"id":1,"id":"x"}`,
		`{"id":"00000000000000aa","name":"n","start_time":1,"in_progress":true,"trace_id":"1-00000000-000000000000000000000000","subsegments":[5],"subsegments":[]}`,
		`{"id":"00000000000000aa","name":"n","start_time":1E2,"end_time":-0,"trace_id":"1-00000000-000000000000000000000000","cause":{"exceptions":[{"stack":[]}]},"http":{"request":{"traced":true}},"metadata":{"a":1,"\u0061":[2]}}`,
	} {
		f.Add([]byte(doc))
	}
}

// FuzzParse checks that no text makes the parser panic, that it calls JSON what
// encoding/json calls JSON, and that what it accepts goes round.
func FuzzParse(f *testing.F) {
	addDocuments(f)
	f.Fuzz(func(t *testing.T, doc []byte) {
		before := bytes.Clone(doc)
		lim := Limits{Depth: 200}
		s, err := Parse(doc, lim)
		if err == nil {
			requireRoundTrip(t, s)
		} else {
			checkRefusal(t, doc, err.(*Refusal))
		}
		calls := 0
		ParseAll(doc, lim, func(text []byte, s *Segment) {
			calls++
			alone, err := Parse(text, lim)
			if err != nil {
				t.Fatalf("refused alone: %v: %q", err, text)
			}
			if d := describe(s, alone); d != "" {
				t.Fatalf("alone it differs: %s: %q", d, text)
			}
		}, func(text []byte, r *Refusal) {
			calls++
			checkRefusal(t, doc, r)
			if s, err := Parse(text, lim); err == nil && len(text) > 0 && text[0] != '[' {
				t.Fatalf("accepted alone: %s", s.AppendDocument(nil))
			}
		})
		if calls == 0 {
			t.Fatal("ParseAll told nothing")
		}

		// The service's words for what is no JSON are "Invalid segment" with ParseError.
		isJSON := err == nil || err.Error() != "Invalid segment. ErrorCode: ParseError"
		odd := bytes.ContainsAny(doc, "NI\x00\ufeff") || depthOf(doc) > 200
		if !odd && isJSON != json.Valid(doc) {
			t.Fatalf("taken for JSON: %v, by encoding/json: %v: %q", isJSON, json.Valid(doc), doc)
		}
		if !bytes.Equal(doc, before) {
			t.Fatal("the document was changed")
		}
	})
}

func depthOf(doc []byte) int { return bytes.Count(doc, []byte("{")) + bytes.Count(doc, []byte("[")) }

func checkRefusal(t *testing.T, doc []byte, r *Refusal) {
	t.Helper()
	switch {
	case r.Code == "" || r.Message == "" || r.Detail == "" || r.Remedy == "":
		t.Fatalf("a refusal without words: %+v", *r)
	case r.Code != CodeInvalidSegment && !strings.Contains(r.Message, " ErrorCode: "+string(r.Code)):
		t.Fatalf("code and message disagree: %+v", *r)
	case r.Offset < 0 || r.Offset > len(doc):
		t.Fatalf("offset %d is not within %d bytes", r.Offset, len(doc))
	case !utf8.ValidString(r.ID + r.Detail + r.Remedy):
		t.Fatalf("not UTF-8: %+v", *r)
	case len(r.Path) > 5000 || len(r.Detail) > 1000:
		t.Fatalf("too many words: %+v", *r)
	}
}

// FuzzSyntax checks the scanner and its slow double, explainer, against each
// other: they must agree about where a text goes wrong.
func FuzzSyntax(f *testing.F) {
	addDocuments(f)
	f.Fuzz(func(t *testing.T, doc []byte) {
		const depth = 50
		e := explainer{data: doc}
		got, want := scanValue(doc, 0, depth), e.value(0, depth)
		if want < 0 {
			want = ^e.offset
		}
		if got != want {
			t.Fatalf("scanValue %d, explainer %d (%s): %q", got, want, e.detail, doc)
		}
		if got >= 0 {
			if end := skipValue(doc[:got], 0); end != got {
				t.Fatalf("scanValue ends at %d, skipValue at %d: %q", got, end, doc)
			}
		}
	})
}

// FuzzRaw checks that the methods of Raw do no harm whatever the bytes are, and
// that they agree with encoding/json where the bytes are JSON.
func FuzzRaw(f *testing.F) {
	addDocuments(f)
	for _, text := range []string{
		`{"a":1,"b":[1,2,{"c":"\u00e9"}],"a":2}`, `[1,"x",null,true]`, `"\ud800x"`, `{"a`, `[,]`, `{"a":}`, `{"a":1 "b"}`, `-`, `1.5e300`, `1e999`, `nul`, ` {"a" : [ ] } `, `}`, `[}`, `"`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		raw := Raw(text)
		_, isText := raw.Text()
		number, isNumber := raw.Number()
		_, isBool := raw.Bool()
		typ := raw.Type()
		if isText && typ != TypeString || isNumber && typ != TypeNumber || isBool && typ != TypeBool {
			t.Fatalf("type is %v: %q", typ, text)
		}
		if math.IsNaN(number) || math.IsInf(number, 0) {
			t.Fatalf("number is %v: %q", number, text)
		}
		keys := map[string]bool{}
		raw.Members(func(key string, value Raw) bool {
			if keys[key] {
				t.Fatalf("key %q came twice: %q", key, text)
			}
			keys[key] = true
			if got := raw.Get(key); string(got) != string(value) {
				t.Fatalf("Get(%q) = %q, Members gave %q: %q", key, got, value, text)
			}
			return true
		})
		elements := 0
		raw.Elements(func(value Raw) bool { elements++; return true })

		out := raw.AppendTo(nil)
		if !json.Valid(out) || !utf8.Valid(out) {
			t.Fatalf("written as %q: %q", out, text)
		}
		if twice := Raw(out).AppendTo(nil); !bytes.Equal(out, twice) {
			t.Fatalf("written twice as %q, then %q", out, twice)
		}
		if !json.Valid(text) || depthOf(text) > maxDepth {
			return
		}
		var want any
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&want); err != nil {
			return
		}
		switch v := want.(type) {
		case map[string]any:
			if len(v) != len(keys) {
				t.Fatalf("%d members, encoding/json has %d: %q", len(keys), len(v), text)
			}
		case []any:
			if len(v) != elements {
				t.Fatalf("%d elements, encoding/json has %d: %q", elements, len(v), text)
			}
		case string:
			if raw.String() != v {
				t.Fatalf("text %q, encoding/json has %q", raw.String(), v)
			}
		}
		// Both forms mean the same to encoding/json; it sorts keys and so compares well.
		var got any
		d = json.NewDecoder(bytes.NewReader(out))
		d.UseNumber()
		if err := d.Decode(&got); err != nil {
			t.Fatalf("%v: %q", err, out)
		}
		a, _ := json.Marshal(want)
		b, _ := json.Marshal(got)
		if !bytes.Equal(a, b) {
			t.Fatalf("means %s, written again %s: %q", a, b, text)
		}
	})
}

// FuzzTraceHeader checks that no header makes the parser panic and that what it
// accepts goes round.
func FuzzTraceHeader(f *testing.F) {
	for _, c := range traceHeaders {
		f.Add(c.header)
	}
	f.Add("Root=1-00000000-000000000000000000000000;;=;a=b;A=c;a=d; = ;x")
	f.Add(";;;;;===\x00")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ParseTraceHeader(text)
		if err != nil {
			if h.HasParent || h.Extra != nil || !h.Root.IsZero() {
				t.Fatalf("an error and a header: %+v", h)
			}
			return
		}
		again, err := ParseTraceHeader(h.String())
		if err != nil {
			t.Fatalf("%q became %q: %v", text, h.String(), err)
		}
		if again.String() != h.String() || again.Root != h.Root || again.Parent != h.Parent || again.HasParent != h.HasParent ||
			again.Sampled != h.Sampled || again.Lineage != h.Lineage || len(again.Extra) != len(h.Extra) {
			t.Fatalf("%q read as %+v, then as %+v", text, h, again)
		}
	})
}

func FuzzAppendString(f *testing.F) {
	f.Add("plain")
	f.Add("q\"\\\n\x00\x1f\u20ac\U0001F600\xff\xc3")
	f.Add(strings.Repeat("x", 17) + "\x80")
	f.Add("seven..\"eight...\\nine....\x1f\x7f")
	f.Fuzz(func(t *testing.T, s string) {
		got := AppendString(nil, s)
		var back string
		if !utf8.Valid(got) {
			t.Fatalf("%q gives invalid UTF-8", s)
		}
		if err := json.Unmarshal(got, &back); err != nil || back != strings.ToValidUTF8(s, "\uFFFD") && back != string([]rune(s)) {
			t.Fatalf("%q gives %s, read back as %q (%v)", s, got, back, err)
		}
	})
}
