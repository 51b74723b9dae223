package segment

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
)

// A document that is well but for what a test puts into it.
func documentWith(members string) string {
	return `{"id":"00000000000000aa","name":"shop","trace_id":"1-6921c0de-0123456789abcdef01234567","start_time":10,"end_time":11.5` + members + `}`
}

const nestedDocument = `{"id":"00000000000000bb","name":"call","start_time":10,"in_progress":true`

func TestDeepNesting(t *testing.T) {
	for name, open := range map[string]string{
		"arrays": "[", "objects": `{"a":`, "subsegments": `{"subsegments":[`, "arrays in metadata": `{"metadata":[[[[`, "mixed": `[{"a":`,
	} {
		for _, lim := range []Limits{{}, {Depth: 1}, {Depth: 7}, {Depth: math.MaxInt}} {
			doc := []byte(strings.Repeat(open, 1_000_000))
			r := refusal(t, string(doc), lim)
			if r.Code != CodeParseError || r.HasID || !strings.Contains(r.Detail, "too deeply") {
				t.Errorf("%s, %+v: %+v", name, lim, *r)
			}
			// The place is that of the first bracket too many.
			if level := depthOf(doc[:r.Offset]); level != lim.depth() {
				t.Errorf("%s, %+v: refused after %d levels", name, lim, level)
			}
		}
	}
}

func TestDepthThatIsAllowed(t *testing.T) {
	inner := nestedDocument
	depth := 1
	for ; depth+2 <= 999; depth += 2 {
		inner = nestedDocument + `,"subsegments":[` + inner + `}]`
	}
	doc := documentWith(`,"subsegments":[` + inner + `}]`)
	depth += 2
	if depth != depthOf([]byte(doc))-(strings.Count(doc, "[")-strings.Count(doc, `"subsegments"`)) {
		t.Fatalf("the test built %d levels", depthOf([]byte(doc)))
	}
	r := refusal(t, doc, Limits{Depth: depth - 1})
	if r.Code != CodeParseError {
		t.Errorf("got %+v", *r)
	}
	s, err := Parse([]byte(doc), Limits{Depth: depth})
	if err != nil {
		t.Fatalf("%d levels: %+v", depth, *err.(*Refusal))
	}
	requireRoundTrip(t, s)
	// The deepest one is bad: the path of the refusal stays readable.
	bad := strings.Replace(doc, nestedDocument+"}", `{"id":"00000000000000bb"}`, 1)
	r = refusal(t, bad, Limits{Depth: depth})
	if r.Code != CodeMissingName || r.ID != "00000000000000aa" || len(r.Path) > 2000 || bad[r.Offset:r.Offset+6] != `{"id":` {
		t.Errorf("got %+v", *r)
	}

	deep := strings.Repeat("[", 998) + strings.Repeat("]", 998)
	requireRoundTrip(t, parse(t, documentWith(`,"metadata":{"a":`+deep+`}`)))
	deepest := strings.Repeat(`{"a":`, maxDepth-1) + "1" + strings.Repeat("}", maxDepth-1)
	s, err = Parse([]byte(documentWith(`,"metadata":`+deepest)), Limits{Depth: maxDepth})
	if err != nil {
		t.Fatal(*err.(*Refusal))
	}
	requireRoundTrip(t, s)
}

func TestHugeString(t *testing.T) {
	const n = 16<<20 - 200
	doc := documentWith(`,"metadata":"` + strings.Repeat("x", n) + `"`)
	s := parse(t, doc)
	if len(s.Metadata) != n+2 {
		t.Errorf("metadata of %d bytes", len(s.Metadata))
	}
	r := refusal(t, documentWith(`,"metadata":"`+strings.Repeat("x", n+200)+`"`), Limits{})
	if r.Code != CodeInvalidSegment || r.ID != "00000000000000aa" || !r.HasID {
		t.Errorf("got %+v", *r)
	}
	torn := doc[:len(doc)-2]
	if r := refusal(t, torn, Limits{}); r.Code != CodeParseError || r.Offset != len(torn) {
		t.Errorf("got %+v", *r)
	}
	// What is padding does not count.
	padded := documentWith("") + strings.Repeat("\x00\n", 16<<20)
	if _, err := Parse([]byte(padded), Limits{DocumentBytes: 200}); err != nil {
		t.Errorf("padded document: %v", *err.(*Refusal))
	}
	long := refusal(t, strings.Replace(documentWith(""), "00000000000000aa", strings.Repeat("é", 100_000), 1), Limits{})
	if long.Code != CodeInvalidID || len(long.ID) != 200_000 || len(long.Detail) > 300 {
		t.Errorf("code %s, id of %d bytes, detail %s", long.Code, len(long.ID), long.Detail)
	}
	number := parse(t, strings.Replace(documentWith(""), "11.5", "11."+strings.Repeat("5", 1_000_000), 1))
	if number.EndTime < 11.55 || number.EndTime > 11.56 {
		t.Errorf("end_time %v", number.EndTime)
	}
}

func TestHugeKey(t *testing.T) {
	for _, key := range []string{strings.Repeat("k", 1<<20), strings.Repeat(`\u006b`, 1<<18), strings.Repeat("\xff", 1<<20)} {
		s := parse(t, documentWith(`,"`+key+`":1,"metadata":{"`+key+`":1,"`+key+`":2}`))
		requireRoundTrip(t, s)
		if got := s.Metadata.AppendTo(nil); !bytes.HasSuffix(got, []byte(`":2}`)) || bytes.Count(got, []byte(":")) != 1 {
			t.Errorf("one of two equal keys should stay: ...%s", got[len(got)-10:])
		}
	}
}

func TestManySubsegments(t *testing.T) {
	const n = 100_000
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"%016x","name":"call","start_time":%d,"end_time":11}`, i, i)
	}
	list := b.String()
	s := parse(t, documentWith(`,"subsegments":[`+list+`]`))
	if len(s.Subsegments) != n {
		t.Fatalf("%d subsegments", len(s.Subsegments))
	}
	for i, sub := range s.Subsegments {
		if sub.ID != SegmentID(i) || sub.StartTime != float64(i) || sub.Kind != KindNested {
			t.Fatalf("subsegment %d is %+v", i, *sub)
		}
	}
	requireRoundTrip(t, s)
	r := refusal(t, documentWith(`,"subsegments":[`+list+`,{}]`), Limits{})
	if r.Code != CodeMissingID || r.Path != "subsegments[100000].id" {
		t.Errorf("got %+v", *r)
	}
	// The last list counts; the others leave nothing behind.
	again := parse(t, documentWith(`,"subsegments":[`+list+`],"subsegments":[5],"subsegments":[`+nestedDocument+`}]`))
	if len(again.Subsegments) != 1 || again.Subsegments[0].ID != 0xbb {
		t.Errorf("%d subsegments", len(again.Subsegments))
	}
}

// TestListsAroundBlockSize reads lists that end just before and after a block.
func TestListsAroundBlockSize(t *testing.T) {
	for _, n := range []int{1, blockSize - 1, blockSize, blockSize + 1, 2 * blockSize, 2*blockSize + 1} {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,{"id":"%016x","name":"call","start_time":1,"end_time":2,"subsegments":[{"id":"%016x","name":"inner","start_time":1,"end_time":2}]}`, i, n+i)
		}
		s := parse(t, documentWith(`,"subsegments":[`+b.String()[1:]+`]`))
		if len(s.Subsegments) != n {
			t.Fatalf("%d subsegments, want %d", len(s.Subsegments), n)
		}
		for i, sub := range s.Subsegments {
			if sub.ID != SegmentID(i) || len(sub.Subsegments) != 1 || sub.Subsegments[0].ID != SegmentID(n+i) {
				t.Fatalf("of %d subsegments number %d is %+v", n, i, *sub)
			}
		}
	}
}

// TestRefusedElementsAreNotKept checks that a list of bad subsegments costs one
// refusal and not one each.
func TestRefusedElementsAreNotKept(t *testing.T) {
	doc := []byte(documentWith(`,"subsegments":[` + strings.Repeat("{},", 1_000_000) + `{}]`))
	allocations := testing.AllocsPerRun(1, func() {
		if _, err := Parse(doc, Limits{}); err == nil {
			t.Error("accepted")
		}
	})
	if allocations > 100 {
		t.Errorf("%v allocations", allocations)
	}
}

func TestManyDocuments(t *testing.T) {
	count := func(doc string) (accepted, refused int, last *Refusal) {
		ParseAll([]byte(doc), Limits{}, func([]byte, *Segment) { accepted++ }, func(_ []byte, r *Refusal) { refused, last = refused+1, r })
		return accepted, refused, last
	}
	if a, r, last := count("[" + strings.Repeat("0,", MaxArrayDocuments-1) + "0]"); a != 0 || r != MaxArrayDocuments || last.Path != "[99999]" {
		t.Errorf("%d accepted, %d refused, the last %+v", a, r, last)
	}
	if a, r, last := count("[" + strings.Repeat("0,", MaxArrayDocuments) + "0]"); a != 0 || r != 1 || last.Code != CodeParseError {
		t.Errorf("%d accepted, %d refused, the last %+v", a, r, last)
	}
	if a, r, _ := count("[" + documentWith("") + strings.Repeat(","+documentWith(""), 5000) + "]"); a != 5001 || r != 0 {
		t.Errorf("%d accepted, %d refused", a, r)
	}
}

func TestManyEqualKeys(t *testing.T) {
	s := parse(t, documentWith(`,"metadata":{`+strings.Repeat(`"k":1,`, 200_000)+`"k":2}`+strings.Repeat(`,"user":"u"`, 100_000)))
	if got := string(s.Metadata.AppendTo(nil)); got != `{"k":2}` {
		t.Errorf("got %.100s", got)
	}
	calls := 0
	s.Metadata.Members(func(string, Raw) bool { calls++; return true })
	if calls != 1 {
		t.Errorf("%d members", calls)
	}
}
