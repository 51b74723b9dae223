package otlp

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/segment"
)

func TestStacks(t *testing.T) {
	for _, c := range []struct{ language, text, want string }{
		{"java", "java.lang.IllegalStateException: no such order\n\tat com.example.Orders.find(Orders.java:37)\n\tat java.base/java.lang.Thread.run(Thread.java:840)\n\tat Native.call(Native Method)\n" +
			"Caused by: java.io.IOException: closed: by peer\n\tat com.example.Store.read(Store.java)\n\t... 12 more\nCaused by: a.B\n",
			"T|M[com.example.Orders.find Orders.java:37, java.lang.Thread.run Thread.java:840, Native.call Native Method:0] java.io.IOException|closed: by peer[com.example.Store.read Store.java:0] a.B|[]"},
		{"java", "A: m\n\tat x.Y.f(Y.java:1)\n\tSuppressed: B: n\n\t\tat x.Z.g(Z.java:2)\n\tCaused by: C: o\n\t\tat x.Z.h(Z.java:3)\nCaused by: D: p\n\tat x.V.i(V.java:4)\n\tSuppressed: E\n\t\tat x.W.j(W.java:5)\n",
			"T|M[x.Y.f Y.java:1] D|p[x.V.i V.java:4]"},
		{"python", "Traceback (most recent call last):\n  File \"store.py\", line 4, in read\n    raise OSError()\nOSError: closed\n\nDuring handling of the above exception, another exception occurred:\n\n" +
			"Traceback (most recent call last):\n  File \"main.py\", line 9, in main\n    find()\n  File \"orders.py\", line 37, in find\n    raise\nKeyError: '17'\n",
			"T|M[find orders.py:37, main main.py:9] OSError|closed[read store.py:4]"},
		{"nodejs", "TypeError: no such order\n    at find (/app/orders.js:37:9)\n    at /app/main.js:4:1\n    at new Promise (<anonymous>)\n",
			"T|M[find /app/orders.js:37,  /app/main.js:4, new Promise <anonymous>:0]"},
		{"dotnet", "System.FormatException: no such order\n   at Shop.Orders.Find(String id) in /app/Orders.cs:line 37\n   at Shop.Main()\n",
			"T|M[Shop.Orders.Find(String id) /app/Orders.cs:37, Shop.Main() :0]"},
		{"go", "goroutine 19 [running]:\nmain.find(0x0)\n\t/app/orders.go:37 +0x11\ncreated by main.main\n\t/app/main.go:9 +0x2\n",
			"T|M[main.find(0x0) /app/orders.go:37, main.main /app/main.go:9]"},
		{"cobol", "anything", "T|M[]"},
	} {
		var got []string
		for _, e := range parseStack(c.language, c.text, thrown{typ: "T", message: "M"}) {
			var frames []string
			for _, f := range e.stack {
				frames = append(frames, fmt.Sprintf("%s %s:%d", f.label, f.path, f.line))
			}
			got = append(got, fmt.Sprintf("%s|%s[%s]", e.typ, e.message, strings.Join(frames, ", ")))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.language, s, c.want)
		}
	}
	for language := range map[string]bool{"java": true, "python": true, "go": true, "nodejs": true, "dotnet": true} {
		for _, text := range []string{"", "\n", "Caused by: ", "  File ", "at ", "\tat (", "\tat x(", strings.Repeat("Caused by: x: y\n\tat a(b:c)\n", 200)} {
			if n := len(parseStack(language, text, thrown{})); n < 1 || n > maxChain {
				t.Errorf("%s: %d exceptions in %q", language, n, text)
			}
		}
	}
}

// TestBriefRows compares the row of a trace whose spans were read in full with that of
// one in which parts were left out: searches must not depend on how a span was read.
func TestBriefRows(t *testing.T) {
	request := everything()
	span := request.ResourceSpans[0].ScopeSpans[0].Spans[0]
	span.ParentSpanId = nil
	request.ResourceSpans[0].Resource.Attributes = append(request.ResourceSpans[0].Resource.Attributes, str("telemetry.sdk.language", "java"), str("host.id", "i-1"), str("cloud.availability_zone", "z"))
	span.Events = append(span.Events, &traces.Span_Event{Name: "exception", Attributes: []*common.KeyValue{
		str("exception.type", "A"), str("exception.message", "m"), str("exception.stacktrace", "A: m\n\tat x.Y(Z.java:1)\nCaused by: B: n\n\tat x.Y(Z.java:2)\n"),
	}})
	span.Kind = traces.Span_SPAN_KIND_CLIENT
	var m Mapping
	var rows [2]*trace.Row
	for i, full := range []bool{false, true} {
		var docs []trace.Document
		for _, s := range collect(t, encoded(t, request)) {
			src, err := m.Source(s.Source)
			if err != nil {
				t.Fatal(err)
			}
			var sp Span
			if err := ParseSpan(s.Span, &sp); err != nil {
				t.Fatal(err)
			}
			docs = append(docs, trace.Document{Seq: uint64(len(docs) + 1), Put: 1, Segment: m.Segment(src, &sp, full)})
		}
		rows[i] = trace.AssembleRow(docs[0].Segment.TraceID, docs)
		for k := range rows[i].Segments {
			rows[i].Segments[k].Segment = nil
		}
		for k := range rows[i].Calls {
			rows[i].Calls[k].Segment = nil
		}
	}
	if !reflect.DeepEqual(rows[0], rows[1]) {
		t.Errorf("the rows differ:\n%+v\n%+v", rows[0], rows[1])
	}
	if len(rows[0].FaultCauses) == 0 || len(rows[0].InstanceIDs) != 1 || len(rows[0].Annotations) < 5 {
		t.Errorf("the row has too little: %+v", rows[0])
	}
}

// TestLongNames cuts names as the X-Ray service does, and keeps them valid.
func TestLongNames(t *testing.T) {
	for in, want := range map[string]string{
		"": "span", "\xff*?": "span", "a*b(c)": "abc", "GET /x": "GET /x", strings.Repeat("ü", 150): strings.Repeat("ü", 100), strings.Repeat("x", 300): strings.Repeat("x", 200),
	} {
		if got := cleanName(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
	var m Mapping
	src := &Source{service: strings.Repeat("ü", 300)}
	seg := m.Segment(src, &Span{TraceID: segment.TraceID{1}, ID: 1, Kind: KindServer}, true)
	if seg.Name != strings.Repeat("ü", 200) {
		t.Errorf("the name has %d bytes", len(seg.Name))
	}
	for in, want := range map[string]string{
		"jdbc:mysql://u:p@db:3306/x?y": "db", "postgresql://[::1]:5432/x": "::1", "mssql://host;database=x": "host", "nothing": "", "//": "",
	} {
		if got := hostOf(in); got != want {
			t.Errorf("host of %q is %q, want %q", in, got, want)
		}
	}
}
