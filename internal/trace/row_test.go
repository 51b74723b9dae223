package trace

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/segment"
)

// checkCodec holds decode(encode(r)) against r.
func checkCodec(t testing.TB, r *Row) {
	t.Helper()
	data, err := r.AppendBinary([]byte("before"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(data, []byte("before")) {
		t.Fatal("AppendBinary changed what was there")
	}
	data = data[len("before"):]
	var got Row
	if err := got.UnmarshalBinary(data); err != nil {
		t.Fatalf("decode: %v\nrow %+v", err, r)
	}
	for i := range data {
		data[i] = 0xff // the row must not refer to it
	}
	want := withoutSegments(r)
	if !reflect.DeepEqual(&got, want) {
		t.Fatalf("decoded\n%+v, encoded\n%+v", got, *want)
	}
	data, _ = r.AppendBinary(nil)
	read, err := theReader.Read(data)
	if err != nil {
		t.Fatalf("read: %v\nrow %+v", err, r)
	}
	clear(data)
	if !sameRows(read, want) {
		t.Fatalf("read\n%+v, encoded\n%+v", *read, *want)
	}
}

// theReader is one for all, so that each row finds what those before it left.
var theReader RowReader

// withoutSegments returns the row as it is after decoding.
func withoutSegments(r *Row) *Row {
	c := *r
	c.Segments, c.Calls = slices.Clone(r.Segments), slices.Clone(r.Calls)
	for i := range c.Segments {
		c.Segments[i].Segment = nil
	}
	for i := range c.Calls {
		c.Calls[i].Segment = nil
	}
	return &c
}

// sameRows compares rows in which lists may be nil or empty.
func sameRows(x, y *Row) bool {
	var same func(x, y reflect.Value) bool
	same = func(x, y reflect.Value) bool {
		switch x.Kind() {
		case reflect.Struct:
			for i := range x.NumField() {
				if !same(x.Field(i), y.Field(i)) {
					return false
				}
			}
			return true
		case reflect.Slice:
			if x.Len() != y.Len() {
				return false
			}
			for i := range x.Len() {
				if !same(x.Index(i), y.Index(i)) {
					return false
				}
			}
			return true
		}
		return reflect.DeepEqual(x.Interface(), y.Interface())
	}
	return same(reflect.ValueOf(*x), reflect.ValueOf(*y))
}

// randomRow returns a row whose fields are drawn without regard to each other.
func randomRow(rng *rand.Rand) *Row {
	text := func() string {
		b := make([]byte, rng.IntN(4)*rng.IntN(40))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return string(b)
	}
	flag := func() bool { return rng.IntN(2) == 0 }
	number := func() int64 { return int64(rng.Uint64()>>rng.IntN(64)) * int64(1-2*rng.IntN(2)) }
	float := func() float64 {
		if flag() {
			return float64(rng.IntN(1e9)) / 1e6
		}
		for {
			if f := math.Float64frombits(rng.Uint64()); !math.IsNaN(f) && !math.IsInf(f, 0) {
				return f
			}
		}
	}
	service := func() ServiceID { return ServiceID{text(), text(), text()} }
	texts := func() (list []string) {
		for range rng.IntN(3) {
			list = append(list, text())
		}
		return list
	}
	r := &Row{
		FirstSeq: rng.Uint64(), LastSeq: rng.Uint64(), Revision: int(number()), Changed: number(), Start: number(),
		HasDuration: flag(), HasResponseTime: flag(), HasRoot: flag(), HasError: flag(), HasFault: flag(),
		HasThrottle: flag(), Partial: flag(), OrphanOnly: flag(), InProgress: flag(), Entities: int(number()),
		Users: texts(), ResourceARNs: texts(), InstanceIDs: texts(), Zones: texts(),
	}
	for i := range r.ID {
		r.ID[i] = byte(rng.Uint32())
	}
	for range rng.IntN(5) {
		r.Ends = append(r.Ends, number())
	}
	if r.HasDuration {
		r.Duration = float()
	}
	if r.HasResponseTime {
		r.ResponseTime = float()
	}
	if r.HasRoot {
		r.Root = service()
	}
	if flag() {
		r.Method, r.URL, r.UserAgent, r.ClientIP, r.Status = text(), text(), text(), text(), int(number())
	}
	for range rng.IntN(4) {
		r.Services = append(r.Services, service())
	}
	for range rng.IntN(4) {
		a := Annotation{Key: text(), Attribute: rng.IntN(3) == 0}
		switch rng.IntN(3) {
		case 0:
			a.Type, a.String = segment.TypeString, text()
		case 1:
			a.Type, a.Number = segment.TypeNumber, float()
		case 2:
			a.Type, a.Bool = segment.TypeBool, flag()
		}
		r.Annotations = append(r.Annotations, a)
	}
	r.Cut = flag()
	entry := func() (e SegmentEntry) {
		e.Flags = Flags(rng.IntN(flagsAll + 1))
		if e.Flags&FlagInProgress == 0 {
			if e.End = number(); flag() {
				e.End = r.Start + rng.Int64N(1e9)*1000
			}
		}
		if e.HasDuration = flag(); e.HasDuration {
			e.Duration = float()
		}
		if flag() {
			e.Status = int(number())
		}
		for range rng.IntN(4) {
			if n := len(r.Annotations); n > 0 {
				e.Annotations = append(e.Annotations, rng.IntN(n))
			}
		}
		return e
	}
	node := func() int { return rng.IntN(len(r.Services)) }
	for range rng.IntN(4) * min(1, len(r.Services)) {
		e := entry()
		e.Service = node()
		r.Segments = append(r.Segments, e)
	}
	for range rng.IntN(4) * min(1, len(r.Services)) {
		e := entry()
		r.Calls = append(r.Calls, CallEntry{
			From: node(), To: node(), Flags: e.Flags, Status: e.Status, End: e.End,
			Duration: e.Duration, HasDuration: e.HasDuration, Annotations: e.Annotations,
		})
	}
	causes := func() (list []RootCause) {
		for range rng.IntN(3) {
			c := RootCause{ClientImpacting: flag()}
			for range rng.IntN(3) {
				s := RootCauseService{Service: service(), Inferred: flag()}
				for range rng.IntN(3) {
					e := RootCauseEntity{Name: text(), Remote: flag()}
					if flag() {
						e.Coverage = float()
					}
					for range rng.IntN(3) {
						e.Exceptions = append(e.Exceptions, RootCauseException{text(), text()})
					}
					s.Entities = append(s.Entities, e)
				}
				c.Services = append(c.Services, s)
			}
			list = append(list, c)
		}
		return list
	}
	r.FaultCauses, r.ErrorCauses, r.ResponseTimeCauses = causes(), causes(), causes()
	return r
}

func TestRowCodec(t *testing.T) {
	checkCodec(t, &Row{})
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		checkCodec(t, randomRow(rng))
	}
}

func TestRowCodecRefuses(t *testing.T) {
	if _, err := (&Row{Annotations: []Annotation{{Key: "k", Type: segment.TypeArray}}}).AppendBinary(nil); err == nil {
		t.Error("an annotation that is an array was encoded")
	}
	for _, bad := range []*Row{
		{Segments: []SegmentEntry{{}}},
		{Calls: []CallEntry{{}}},
		{Services: make([]ServiceID, 1), Segments: []SegmentEntry{{Service: -1}}},
		{Services: make([]ServiceID, 1), Segments: []SegmentEntry{{Flags: flagsAll + 1}}},
		{Services: make([]ServiceID, 1), Segments: []SegmentEntry{{Annotations: []int{0}}}},
		{Services: make([]ServiceID, 1), Calls: []CallEntry{{From: 1}}},
		{Services: make([]ServiceID, 1), Calls: []CallEntry{{To: 1}}},
	} {
		if _, err := bad.AppendBinary(nil); err == nil {
			t.Errorf("%+v was encoded", bad)
		}
	}
	good := &Row{
		FirstSeq: 300, LastSeq: 301, Revision: 1, Ends: []int64{5, 6}, HasDuration: true, Duration: 1.5, HasRoot: true,
		Root: ServiceID{Name: "shop"}, Services: []ServiceID{{Name: "shop"}}, Users: []string{"ada"}, Method: "GET",
		Annotations: []Annotation{{Key: "k", Type: segment.TypeBool, Bool: true}, {Key: "s", Type: segment.TypeString, String: "v"}},
		Segments:    []SegmentEntry{{Flags: FlagRoot, End: 1, Status: 200, Annotations: []int{1}}},
		Calls:       []CallEntry{{HasDuration: true, Duration: 2}},
		FaultCauses: []RootCause{{Services: []RootCauseService{{Entities: []RootCauseEntity{{Name: "x", Exceptions: []RootCauseException{{"e", "m"}}}}}}}},
	}
	data, err := good.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range data {
		r := Row{Revision: 77}
		if err := r.UnmarshalBinary(data[:n]); !errors.Is(err, ErrRow) {
			t.Errorf("the first %d of %d bytes: error %v, want ErrRow", n, len(data), err)
		}
		if !reflect.DeepEqual(r, Row{Revision: 77}) {
			t.Errorf("the first %d bytes: the row was changed: %+v", n, r)
		}
	}
	var r Row
	if err := r.UnmarshalBinary(append(data, 0)); !errors.Is(err, ErrRow) || !strings.Contains(err.Error(), "1 bytes too many") {
		t.Errorf("one byte too many: error %v", err)
	}
	data[0] = 1
	if err := r.UnmarshalBinary(data); !errors.Is(err, ErrRow) || !strings.Contains(err.Error(), "version 1") {
		t.Errorf("version 1: error %v", err)
	}
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		odd, err := (&Row{HasDuration: true, Duration: f}).AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := new(RowReader).Read(odd); !errors.Is(err, ErrRow) {
			t.Errorf("duration %v: Read gives %v, want ErrRow", f, err)
		}
		if err := r.UnmarshalBinary(odd); !errors.Is(err, ErrRow) {
			t.Errorf("duration %v: error %v, want ErrRow", f, err)
		}
	}
	// A list of 2^62 end minutes must be refused before room is made for it.
	huge := append([]byte{rowVersion}, make([]byte, 16)...)
	huge = append(huge, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f)
	if err := r.UnmarshalBinary(huge); !errors.Is(err, ErrRow) {
		t.Errorf("huge list: error %v, want ErrRow", err)
	}
}

// FuzzRow holds that decoding never panics and that what decodes comes back
// the same after encoding it again.
func FuzzRow(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 8 {
		data, err := randomRow(rng).AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte{})
	f.Add([]byte{rowVersion})
	f.Fuzz(func(t *testing.T, data []byte) {
		var r Row
		if err := r.UnmarshalBinary(data); err != nil {
			if !errors.Is(err, ErrRow) {
				t.Fatalf("error %v, want ErrRow", err)
			}
			return
		}
		checkCodec(t, &r)
	})
}

func TestNanos(t *testing.T) {
	for _, c := range []struct {
		seconds float64
		want    int64
	}{
		{0, 0},
		{1, 1e9},
		{-1, -1e9},
		{-1.5, -1500000000},
		{1790149878.783249, 1790149878783249000},
		{1790149878.8832488, 1790149878883248800},
		{1.478293361271e9, 1478293361271000000},
		{1e-9, 1},
		{1.5e-10, 0},
		{0.1234567894, 123456789},
		{9223372036, 9223372036000000000},
		{9223372037, math.MaxInt64},
		{1e300, math.MaxInt64},
		{-1e300, math.MinInt64},
		{math.Inf(1), math.MaxInt64},
		{math.NaN(), 0},
		{5e-324, 0},
	} {
		if got := Nanos(c.seconds); got != c.want {
			t.Errorf("Nanos(%v) = %d, want %d", c.seconds, got, c.want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		s     string
		limit int
		want  string
	}{
		{"", 3, ""}, {"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"aéb", 2, "a"}, {"aéb", 3, "aé"}, {"日本", 5, "日"}, {"\x80\x80\x80", 2, ""},
	} {
		if got := cut(c.s, c.limit); got != c.want {
			t.Errorf("cut(%q, %d) = %q, want %q", c.s, c.limit, got, c.want)
		}
	}
}

// TestRowBytes holds the example of docs/format/row.md.
func TestRowBytes(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "format", "row.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(page), "## Example")
	_, example, _ = strings.Cut(example, "```\n")
	example, _, _ = strings.Cut(example, "```")
	var want []byte
	for line := range strings.Lines(example) {
		digits, _, _ := strings.Cut(line, "   ")
		digits, _, _ = strings.Cut(digits, "  ")
		b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(digits), " ", ""))
		if err != nil {
			t.Fatalf("%s: %q: %v", path, line, err)
		}
		want = append(want, b...)
	}
	s := parse(t, `{"trace_id":"1-5f84c7a1-6b1d0e0aa3c94f0d8b7e2f11","id":"a000000000000001","name":"api","start_time":1.0,"end_time":1.5,`+
		`"http":{"request":{"method":"GET"},"response":{"status":200}}}`)
	got, err := Assemble(s.TraceID, []Document{{Seq: 7, Put: 3, Received: 2000, Segment: s}}).Row().AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if segment.TypeBool != 2 || segment.TypeNumber != 3 || segment.TypeString != 4 {
		t.Errorf("the types of annotation values are numbered otherwise than %s says", path)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s shows\n% x, the row is encoded as\n% x", path, want, got)
	}
}

// TestRowClone holds that a copy outlives the row that it was made of.
func TestRowClone(t *testing.T) {
	first := AssembleRow(propertyTrace, manyDocuments(t, 40))
	other := AssembleRow(propertyTrace, oneDocument(t))
	data, _ := first.AppendBinary(nil)
	next, _ := other.AppendBinary(nil)
	var reader RowReader
	row, err := reader.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	own := row.Clone()
	if _, err := reader.Read(next); err != nil {
		t.Fatal(err)
	}
	if got, _ := own.AppendBinary(nil); string(got) != string(data) {
		t.Errorf("the copy changed with the reader's next row:\n%+v\nwant\n%+v", own, first)
	}
	if own = first.Clone(); own.Segments[0].Segment == nil || own.Segments[0].Segment != first.Segments[0].Segment {
		t.Error("the copy of a row made of documents has lost its segments")
	}
}
