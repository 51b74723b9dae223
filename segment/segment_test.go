package segment

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/build"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
)

func TestTraceID(t *testing.T) {
	const text, w3c = "1-6921c0de-0123456789abcdef01234567", "6921c0de0123456789abcdef01234567"
	for _, s := range []string{text, "1-6921C0DE-0123456789ABCDEF01234567"} {
		id, err := ParseTraceID(s)
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		if id.String() != text || id.W3C() != w3c || id.IsZero() {
			t.Errorf("%s: String %s, W3C %s, IsZero %v", s, id, id.W3C(), id.IsZero())
		}
		if id[0] != 0x69 || id[3] != 0xde || id[4] != 0x01 || id[15] != 0x67 {
			t.Errorf("%s: bytes %x", s, id[:])
		}
		for _, other := range []string{s, w3c, strings.ToUpper(w3c)} {
			if again, err := ParseAnyTraceID(other); err != nil || again != id {
				t.Errorf("ParseAnyTraceID(%s) = %v, %v", other, again, err)
			}
		}
	}
	for _, s := range []string{
		"", "1", w3c, "2-6921c0de-0123456789abcdef01234567", "1-6921c0de-0123456789abcdef0123456", "1-6921c0de-0123456789abcdef012345678",
		"1-6921c0d-e0123456789abcdef01234567", "1-6921c0deg0123456789abcdef01234567", "1-6921c0dg-0123456789abcdef01234567",
		"1-6921c0de-0123456789abcdef0123456g", " 1-6921c0de-0123456789abcdef0123456", "1_6921c0de-0123456789abcdef01234567", "1-é921c0d-0123456789abcdef01234567",
	} {
		if id, err := ParseTraceID(s); !errors.Is(err, ErrTraceID) || !id.IsZero() {
			t.Errorf("ParseTraceID(%q) = %v, %v", s, id, err)
		}
	}
	for _, s := range []string{"", w3c[1:], w3c + "0", "g" + w3c[1:], "1-" + w3c} {
		if id, err := ParseAnyTraceID(s); !errors.Is(err, ErrTraceID) || !id.IsZero() {
			t.Errorf("ParseAnyTraceID(%q) = %v, %v", s, id, err)
		}
	}
	if zero, err := ParseTraceID("1-00000000-000000000000000000000000"); err != nil || !zero.IsZero() {
		t.Errorf("all zeros: %v, %v", zero, err)
	}
}

func TestSegmentID(t *testing.T) {
	for s, want := range map[string]SegmentID{
		"0000000000000000": 0, "00000000000000ff": 255, "8000000000000001": 1<<63 + 1, "FFFFFFFFFFFFFFFF": math.MaxUint64, "0123456789abcDEF": 0x0123456789abcdef,
	} {
		id, err := ParseSegmentID(s)
		if err != nil || id != want || id.String() != strings.ToLower(s) {
			t.Errorf("ParseSegmentID(%s) = %v, %v", s, id, err)
		}
	}
	for _, s := range []string{"", "1", "00000000000000f", "00000000000000fff", "00000000000000fg", "+000000000000001", "0x00000000000001"} {
		if id, err := ParseSegmentID(s); !errors.Is(err, ErrSegmentID) || id != 0 {
			t.Errorf("ParseSegmentID(%q) = %v, %v", s, id, err)
		}
	}
}

func TestAppendJavaDouble(t *testing.T) {
	for _, c := range []struct {
		f    float64
		want string
	}{
		{0, "0.0"}, {math.Copysign(0, -1), "-0.0"}, {1, "1.0"}, {-1, "-1.0"}, {4, "4.0"}, {0.5, "0.5"}, {0.1, "0.1"}, {2679001, "2679001.0"},
		{0.001, "0.001"}, {0.00099, "9.9E-4"}, {-0.0001, "-1.0E-4"}, {9999999, "9999999.0"}, {9999999.5, "9999999.5"}, {1e7, "1.0E7"}, {-12345678.9, "-1.23456789E7"},
		{1790149878.8832488, "1.7901498788832488E9"}, {1790159519, "1.790159519E9"}, {1763819742.518, "1.763819742518E9"},
		{1e21, "1.0E21"}, {1e22, "1.0E22"}, {1e23, "1.0E23"}, {2e23, "2.0E23"}, {1.5e-10, "1.5E-10"}, {1e100, "1.0E100"},
		{math.MaxFloat64, "1.7976931348623157E308"}, {math.SmallestNonzeroFloat64, "4.9E-324"}, {1e-323, "9.9E-324"}, {2.2250738585072014e-308, "2.2250738585072014E-308"},
		{math.NaN(), "null"}, {math.Inf(1), "null"}, {math.Inf(-1), "null"},
	} {
		if got := string(AppendJavaDouble([]byte("x"), c.f)); got != "x"+c.want {
			t.Errorf("%g: got %s, want %s", c.f, got[1:], c.want)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		f := math.Float64frombits(rng.Uint64())
		if math.IsNaN(f) || math.IsInf(f, 0) {
			continue
		}
		text := AppendJavaDouble(nil, f)
		if got, err := strconv.ParseFloat(string(text), 64); err != nil || got != f {
			t.Fatalf("%v written as %s, read as %v, %v", f, text, got, err)
		}
		if !json.Valid(text) {
			t.Fatalf("%v written as %s", f, text)
		}
	}
}

func TestAppendString(t *testing.T) {
	for in, want := range map[string]string{
		"":                            `""`,
		"plain":                       `"plain"`,
		"a\"b\\c":                     `"a\"b\\c"`,
		"line\n\ttab\x01":             `"line\n\ttab\u0001"`,
		"\b\f\r\x1f\x7f\u2028</>&":    "\"\\b\\f\\r\\u001F\x7f\u2028</>&\"",
		"née \U0001f6cd":              "\"née \U0001f6cd\"",
		"bad\xff.\xc3":                "\"bad\ufffd.\ufffd\"",
		"torn \xe2\x82, whole \u20ac": "\"torn \ufffd\ufffd, whole \u20ac\"",
		"\ufffd":                      "\"\ufffd\"",
	} {
		// Eight bytes are looked at together: let each stand at every place of them.
		for n := range 17 {
			pad := strings.Repeat("x", n)
			want := `"` + pad + want[1:len(want)-1] + pad + `"`
			if got := string(AppendString(nil, pad+in+pad)); got != want {
				t.Errorf("%q: got %s, want %s", pad+in+pad, got, want)
			}
		}
	}
}

func TestPosition(t *testing.T) {
	doc := []byte("ab\ncd\n\nx")
	for _, c := range []struct{ offset, line, column int }{
		{0, 1, 1}, {1, 1, 2}, {2, 1, 3}, {3, 2, 1}, {5, 2, 3}, {6, 3, 1}, {7, 4, 1}, {8, 4, 2}, {99, 4, 2}, {-1, 1, 1},
	} {
		if line, column := Position(doc, c.offset); line != c.line || column != c.column {
			t.Errorf("offset %d: got %d:%d, want %d:%d", c.offset, line, column, c.line, c.column)
		}
	}
}

func TestRaw(t *testing.T) {
	raw := Raw(`{"a":{"b\u0063":[1,"x",{"d":true}],"e":null},"f":"caf\u00e9","g":-1.5e2,"a ":false,"f":"last","n":NaN,"big":1e999,"i":-Infinity}`)
	text := func(keys ...string) string { return raw.Get(keys...).String() }
	if got := text("f"); got != "last" {
		t.Errorf("of two members: %q", got)
	}
	if got := string(raw.Get("a", "bc")); got != `[1,"x",{"d":true}]` {
		t.Errorf("Get of an escaped key: %s", got)
	}
	if raw.Get("a", "bc", "d") != nil || raw.Get("zz") != nil || raw.Get("f", "x") != nil || Raw(nil).Get("x") != nil || text("g") != "" {
		t.Error("Get found what is not there")
	}
	if string(raw.Get()) != string(raw) {
		t.Error("Get of nothing is the value itself")
	}
	if v, ok := raw.Get("g").Number(); v != -150 || !ok {
		t.Errorf("number: %v %v", v, ok)
	}
	for _, key := range []string{"n", "big", "i", "f", "a", "zz"} {
		if v, ok := raw.Get(key).Number(); ok {
			t.Errorf("%s is the number %v", key, v)
		}
	}
	if v, ok := raw.Get("a ").Bool(); v || !ok {
		t.Errorf("boolean: %v %v", v, ok)
	}
	if _, ok := raw.Get("a", "e").Bool(); ok {
		t.Error("null is a boolean")
	}
	for value, want := range map[string]Type{
		"": TypeAbsent, "null": TypeNull, "true": TypeBool, "false": TypeBool, "0": TypeNumber, "-1": TypeNumber, "NaN": TypeNumber, "Infinity": TypeNumber,
		"-Infinity": TypeNumber, `""`: TypeString, "[]": TypeArray, "{}": TypeObject, "?": TypeAbsent,
	} {
		if got := Raw(value).Type(); got != want {
			t.Errorf("type of %q: %v, want %v", value, got, want)
		}
	}
	var members, elements []string
	raw.Members(func(key string, value Raw) bool {
		members = append(members, key+"="+string(value))
		return key != "n"
	})
	want := []string{`a={"b\u0063":[1,"x",{"d":true}],"e":null}`, "g=-1.5e2", "a =false", `f="last"`, "n=NaN"}
	if fmt.Sprint(members) != fmt.Sprint(want) {
		t.Errorf("members %q, want %q", members, want)
	}
	raw.Get("a", "bc").Elements(func(value Raw) bool {
		elements = append(elements, string(value))
		return len(elements) < 2
	})
	if fmt.Sprint(elements) != `[1 "x"]` {
		t.Errorf("elements %q", elements)
	}
	raw.Elements(func(Raw) bool { t.Error("an object has elements"); return true })
	raw.Get("a", "bc").Members(func(string, Raw) bool { t.Error("an array has members"); return true })
}

// TestHandmadeSegment writes a segment that does not come from Parse: whatever
// is in it, the result is a document.
func TestHandmadeSegment(t *testing.T) {
	s := &Segment{
		Kind: KindSubsegment, ID: 0xabc, TraceID: TraceID{15: 1}, ParentID: 1, HasParent: true,
		Name: "a\xffb\x00\"", StartTime: math.NaN(), EndTime: math.Inf(1), Origin: "\u2028\t", Fault: FlagTrue,
		HTTP: Raw("{"), AWS: Raw{}, Cause: Raw(` "id" `), Metadata: Raw(`[1`),
		Subsegments: []*Segment{{Kind: KindNested, ID: 1, Name: "n", InProgress: true, HasParent: true, ParentID: 5}},
	}
	const want = `{"id":"0000000000000abc","name":"a` + "\ufffd" + `b\u0000\"","start_time":null,"trace_id":"1-00000000-000000000000000000000001","end_time":null,` +
		`"parent_id":"0000000000000001","type":"subsegment","fault":true,"http":null,"aws":null,"origin":"` + "\u2028" + `\t","metadata":null,"cause":"id",` +
		`"subsegments":[{"id":"0000000000000001","name":"n","start_time":0.0,"in_progress":true}]}`
	got := s.AppendDocument(nil)
	if string(got) != want || !json.Valid(got) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestTextRefersToDocument pins the promise about memory that others build on.
func TestTextRefersToDocument(t *testing.T) {
	doc := []byte(`{"id":"00000000000000aa","name":"shop","trace_id":"1-6921c0de-0123456789abcdef01234567","start_time":1,"end_time":2,"user":"u\u0031"}`)
	s, err := Parse(doc, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	copy(doc[strings.Index(string(doc), "shop"):], "SHOP")
	if s.Name != "SHOP" || s.User != "u1" {
		t.Errorf("name %q, user %q", s.Name, s.User)
	}
}

var raceDetector bool // set by race_test.go

// TestAllocations holds Parse to its budget: nothing but what it returns.
func TestAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes pools forget")
	}
	for _, doc := range benchmarkDocuments {
		s, err := Parse(doc.text, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		got := testing.AllocsPerRun(200, func() { s, _ = Parse(doc.text, Limits{}) })
		if got > doc.allocations {
			t.Errorf("%s: %v allocations, want at most %v", doc.name, got, doc.allocations)
		}
		buf := s.AppendDocument(nil)
		if got := testing.AllocsPerRun(200, func() { buf = s.AppendDocument(buf[:0]) }); got > 1 {
			t.Errorf("%s: AppendDocument makes %v allocations", doc.name, got)
		}
	}
}

// TestConcurrentUse is for the race detector: parsers are pooled, and a segment
// is read by several goroutines.
func TestConcurrentUse(t *testing.T) {
	shared := parse(t, string(benchmarkDocuments[2].text))
	want := string(shared.AppendDocument(nil))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				for _, doc := range benchmarkDocuments {
					if _, err := Parse(doc.text, Limits{}); err != nil {
						t.Error(err)
						return
					}
				}
				if _, err := Parse([]byte(`{"subsegments":[{"subsegments":[`), Limits{}); err == nil {
					t.Error("torn document accepted")
				}
				if got := string(shared.AppendDocument(nil)); got != want {
					t.Errorf("got %s, want %s", got, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestImports keeps the package free of everything but the standard library.
func TestImports(t *testing.T) {
	pkg, err := build.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range pkg.Imports {
		if strings.Contains(path, ".") {
			t.Errorf("imports %s", path)
		}
	}
}

// TestGeneratedDocuments takes random documents through everything: valid ones,
// and valid ones with a random edit, which may be refused.
func TestGeneratedDocuments(t *testing.T) {
	const seed = 20261122
	rng := rand.New(rand.NewPCG(seed, 1))
	documents := 4000
	if raceDetector {
		documents = 500
	}
	accepted := 0
	for n := range documents {
		doc := []byte(randomDocument(rng))
		if n%2 == 1 {
			for range 1 + rng.IntN(3) {
				i, j := rng.IntN(len(doc)), rng.IntN(len(doc))
				switch rng.IntN(4) {
				case 0:
					doc[i] = doc[j]
				case 1:
					doc = append(doc[:i], doc[i+1:]...)
				case 2:
					doc[i] = "{}[]\",:\\ 0-\x00\xff"[rng.IntN(13)]
				case 3:
					doc = append(doc[:i:i], append([]byte(`,"subsegments":[{}]`), doc[i:]...)...)
				}
			}
		}
		s, err := Parse(doc, Limits{})
		if err != nil {
			r := err.(*Refusal)
			checkRefusal(t, doc, r)
			if n%2 == 0 {
				t.Fatalf("seed %d, document %d: refused: %+v\n%s", seed, n, *r, doc)
			}
			continue
		}
		accepted++
		requireRoundTrip(t, s)
	}
	if accepted < documents/2 {
		t.Errorf("only %d documents were accepted", accepted)
	}
}

func randomDocument(rng *rand.Rand) string {
	var b strings.Builder
	randomEntity(&b, rng, 0)
	return b.String()
}

func randomEntity(b *strings.Builder, rng *rand.Rand, level int) {
	space := func() string { return []string{"", "", "", " ", "\n\t"}[rng.IntN(5)] }
	id := func() string {
		return []string{"%016x", "%016X"}[rng.IntN(2)]
	}
	var members []string
	add := func(key, value string) {
		if rng.IntN(20) == 0 {
			key = fmt.Sprintf(`\u%04x`, key[0]) + key[1:]
		}
		if rng.IntN(20) == 0 { // the first of two does not count
			members = append(members, `"`+key+`"`+space()+":"+space()+randomValue(rng, 0))
		}
		members = append(members, `"`+key+`"`+space()+":"+space()+value)
	}
	maybe := func(key, value string) {
		if rng.IntN(3) == 0 {
			add(key, value)
		}
	}
	add("id", fmt.Sprintf(`"`+id()+`"`, rng.Uint64()))
	add("name", []string{`"shop"`, `"naïve café"`, `"a\\b/c"`, `"\u30b5"`, `"` + strings.Repeat("é", 205) + `"`}[rng.IntN(5)])
	add("start_time", []string{"0", "-1.5", "1.763819742518E9", "1763819742.5181234567", "1e-400", "12345678901234567890123456789"}[rng.IntN(6)])
	if rng.IntN(4) == 0 {
		add("in_progress", "true")
	} else {
		add("end_time", fmt.Sprint(rng.Float64()*2e9))
	}
	if level == 0 {
		add("trace_id", fmt.Sprintf(`"1-%08x-`+id()+`%08x"`, rng.Uint32(), rng.Uint64(), rng.Uint32()))
		if rng.IntN(3) == 0 {
			add("type", `"subsegment"`)
			add("parent_id", fmt.Sprintf(`"`+id()+`"`, rng.Uint64()))
		}
	}
	for _, key := range []string{"error", "fault", "throttle", "inferred", "user", "origin", "namespace", "resource_arn", "service", "sql", "aws", "links", "precursor_ids", "metadata", "annotations", "unknown", "http", "cause"} {
		maybe(key, randomValue(rng, 0))
	}
	maybe("error", "true")
	maybe("fault", "false")
	maybe("user", `"u\ud83d\ude00"`)
	maybe("http", `{"request":{"traced":true,"url":`+randomValue(rng, 2)+`},"response":`+randomValue(rng, 1)+`}`)
	maybe("cause", `{"exceptions":[{"stack":[ ],"message":`+randomValue(rng, 2)+`},`+randomValue(rng, 1)+`]}`)
	if level < 3 && rng.IntN(2) == 0 {
		var list strings.Builder
		list.WriteByte('[')
		for i := range rng.IntN(4) {
			if i > 0 {
				list.WriteString("," + space())
			}
			randomEntity(&list, rng, level+1)
		}
		list.WriteByte(']')
		add("subsegments", list.String())
	} else {
		maybe("subsegments", `[{},5]`)
		maybe("subsegments", `"none"`)
		if strings.Contains(members[len(members)-1], "{}") {
			add("subsegments", "null")
		}
	}
	b.WriteString("{" + space() + strings.Join(members, space()+","+space()) + space() + "}")
}

func randomValue(rng *rand.Rand, level int) string {
	n := 14
	if level > 3 {
		n = 10
	}
	switch rng.IntN(n) {
	case 0:
		return "null"
	case 1:
		return "true"
	case 2:
		return "NaN"
	case 3:
		return "-Infinity"
	case 4:
		return []string{"0", "-0.0", "1E+5", "1e999", "123456789012345678901234567890", "0.1"}[rng.IntN(6)]
	case 5, 6:
		return []string{`""`, `"x"`, `"\"\\\/\b\f\n\r\t"`, `"\u0000\u001f"`, `"\ud800"`, `"\udc00\ud800"`, "\"\xff\xc3\"", `"日本"`}[rng.IntN(8)]
	case 7:
		return "[]"
	case 8:
		return "{}"
	case 9:
		return `"sixteen bytes or more of text"`
	case 10, 11:
		var parts []string
		for range rng.IntN(4) {
			parts = append(parts, randomValue(rng, level+1))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	var parts []string
	for range rng.IntN(30) {
		key := []string{"a", "b", "c", "request", "traced", "exceptions", "stack", `\u0061`, "\xff", "\xfe", "\ufffd", strconv.Itoa(rng.IntN(100))}[rng.IntN(12)]
		parts = append(parts, `"`+key+`":`+randomValue(rng, level+2))
	}
	return "{" + strings.Join(parts, " ,") + "}"
}
