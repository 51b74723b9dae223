package otlp

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/roentgen-io/roentgen/internal/sharedtest"
	"github.com/roentgen-io/roentgen/segment"
)

// message reads a request with the generated code.
func generated(t testing.TB, data []byte) *traces.TracesData {
	t.Helper()
	m := &traces.TracesData{}
	if err := proto.Unmarshal(data, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// requireSame fails unless two messages say the same to the generated code.
func requireSame(t testing.TB, got, want []byte) {
	t.Helper()
	if g, w := generated(t, got), generated(t, want); !proto.Equal(g, w) {
		t.Errorf("the messages differ:\n%s\n%s", protojson.Format(g), protojson.Format(w))
	}
}

func str(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}
}

// everything is a request in which every field of a span is set.
func everything() *traces.TracesData {
	list := func(values ...*common.AnyValue) *common.AnyValue {
		return &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: &common.ArrayValue{Values: values}}}
	}
	integer := &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: -1 << 62}}
	attributes := []*common.KeyValue{
		str("text", "a \"quoted\" text\nwith \x01 and ü"), str("empty", ""),
		{Key: "int", Value: integer},
		{Key: "double", Value: &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: 2.5e-9}}},
		{Key: "bool", Value: &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: false}}},
		{Key: "bytes", Value: &common.AnyValue{Value: &common.AnyValue_BytesValue{BytesValue: []byte{0, 1, 255}}}},
		{Key: "list", Value: list(integer, list(), str("", "x").Value)},
		{Key: "map", Value: &common.AnyValue{Value: &common.AnyValue_KvlistValue{KvlistValue: &common.KeyValueList{Values: []*common.KeyValue{str("k", "v"), {Key: "none"}}}}}},
	}
	id := func(n int) []byte { return bytes.Repeat([]byte{byte(n)}, n) }
	return &traces.TracesData{ResourceSpans: []*traces.ResourceSpans{{
		Resource:  &resource.Resource{Attributes: append([]*common.KeyValue{str("service.name", "shop")}, attributes...), DroppedAttributesCount: 3},
		SchemaUrl: "https://example.com/r",
		ScopeSpans: []*traces.ScopeSpans{{
			Scope:     &common.InstrumentationScope{Name: "lib", Version: "1", Attributes: attributes, DroppedAttributesCount: 1},
			SchemaUrl: "https://example.com/s",
			Spans: []*traces.Span{{
				TraceId: id(16), SpanId: id(8), ParentSpanId: []byte("parentid"), TraceState: "a=b", Flags: 0x301, Name: "GET /x",
				Kind: traces.Span_SPAN_KIND_SERVER, StartTimeUnixNano: 1795338448561000000, EndTimeUnixNano: 1795338448561753557,
				Attributes: attributes, DroppedAttributesCount: 1, DroppedEventsCount: 2, DroppedLinksCount: 3,
				Events: []*traces.Span_Event{{TimeUnixNano: 1795338448561000001, Name: "e", Attributes: attributes, DroppedAttributesCount: 9}, {}},
				Links:  []*traces.Span_Link{{TraceId: id(16), SpanId: id(8), TraceState: "c=d", Attributes: attributes, DroppedAttributesCount: 8, Flags: 1}},
				Status: &traces.Status{Code: traces.Status_STATUS_CODE_ERROR, Message: "no"},
			}, {TraceId: id(16), SpanId: []byte("spanspan")}},
		}, {Spans: []*traces.Span{{TraceId: id(16), SpanId: []byte("spanspa2"), Name: "z"}}}},
	}, {}}}
}

func encoded(t testing.TB, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// collect takes a request apart.
func collect(t testing.TB, request []byte) (spans []SourcedSpan) {
	t.Helper()
	err := Walk(request, func(source, span []byte) bool {
		spans = append(spans, SourcedSpan{source, span})
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return spans
}

func TestTakenApartAndPutTogether(t *testing.T) {
	request := encoded(t, everything())
	spans := collect(t, request)
	if len(spans) != 3 {
		t.Fatalf("got %d spans, want 3", len(spans))
	}
	got := AppendTraces(nil, spans)
	// A ResourceSpans with two scopes comes back as two of them.
	want := everything()
	second := proto.Clone(want.ResourceSpans[0]).(*traces.ResourceSpans)
	second.ScopeSpans, want.ResourceSpans[0].ScopeSpans = second.ScopeSpans[1:], want.ResourceSpans[0].ScopeSpans[:1]
	want.ResourceSpans = []*traces.ResourceSpans{want.ResourceSpans[0], second}
	requireSame(t, got, encoded(t, want))
}

func TestJSONBothWays(t *testing.T) {
	request := encoded(t, everything())
	text := AppendJSON(nil, request)
	if !json.Valid(text) {
		t.Fatalf("no JSON: %s", text)
	}
	back, err := FromJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	requireSame(t, back, request)
	// What generated code writes is read too: ids in base64, enums as words.
	generic, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(everything())
	if err != nil {
		t.Fatal(err)
	}
	if back, err = FromJSON(generic); err != nil {
		t.Fatal(err)
	}
	requireSame(t, back, request)
}

func TestJSONRefused(t *testing.T) {
	span := func(member string) string {
		return `{"resourceSpans":[{"scopeSpans":[{"spans":[{` + member + `}]}]}]}`
	}
	for _, c := range []struct{ name, text, want string }{
		{"no JSON", `{"resourceSpans":`, "unexpected end"},
		{"an array", `[]`, "an array, not an object"},
		{"list", `{"resourceSpans":{}}`, "resourceSpans is an object, want an array"},
		{"id", span(`"traceId":"xyz!"`), "traceId is a string, want hexadecimal"},
		{"time", span(`"startTimeUnixNano":"soon"`), "startTimeUnixNano is a string, want an integer"},
		{"kind", span(`"kind":"SERVER"`), "kind is a string, want an integer"},
		{"name", span(`"name":7`), "name is a number, want a string"},
		{"value", span(`"attributes":[{"key":"a","value":7}]`), "value is a number, want an object"},
		{"deep", span(`"attributes":[{"key":"a","value":` + strings.Repeat(`{"arrayValue":{"values":[`, 500) + strings.Repeat(`]}}`, 500) + `}]`), "too deep"},
	} {
		_, err := FromJSON([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), ErrJSON.Error()) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
	for _, text := range []string{`{}`, ` {"resourceSpans":[]} `, `{"resourceSpans":null,"more":1}`, span(`"kind":"SPAN_KIND_UNSPECIFIED","startTimeUnixNano":1.5e9`)} {
		if _, err := FromJSON([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestCorpusExporters reads what the exporters of OpenTelemetry for JavaScript sent,
// in both forms.
func TestCorpusExporters(t *testing.T) {
	dir := sharedtest.Path(t, "corpus/otlp/opentelemetry-js")
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", dir, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var capture struct {
			Format   string `json:"format"`
			Requests []struct {
				Body string `json:"body_base64"`
			} `json:"requests"`
		}
		if err := json.Unmarshal(text, &capture); err != nil {
			t.Fatal(err)
		}
		for _, r := range capture.Requests {
			body, err := base64.StdEncoding.DecodeString(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			if capture.Format == "json" {
				if body, err = FromJSON(body); err != nil {
					t.Fatal(err)
				}
			}
			spans := collect(t, body)
			if len(spans) < 2 {
				t.Errorf("%s: %d spans", file, len(spans))
			}
			var m Mapping
			for _, s := range spans {
				src, err := m.Source(s.Source)
				if err != nil {
					t.Fatal(err)
				}
				var span Span
				if err := ParseSpan(s.Span, &span); err != nil {
					t.Fatal(err)
				}
				seg := m.Segment(src, &span, true)
				if src.Service() != "otel-orders" || seg.Origin != "AWS::ECS::Fargate" {
					t.Errorf("%s: service %q, origin %q", file, src.Service(), seg.Origin)
				}
			}
		}
	}
}

func FuzzRequest(f *testing.F) {
	f.Add(encoded(f, everything()))
	f.Add([]byte{0x0a, 0x80})
	f.Add([]byte("st"))           // an empty group
	f.Add([]byte("s\x08\x01{|t")) // groups in each other
	f.Fuzz(func(t *testing.T, data []byte) {
		m := &traces.TracesData{}
		sound := proto.Unmarshal(data, m) == nil
		var spans []SourcedSpan
		var mapping Mapping
		var s Span
		read := 0
		err := Walk(data, func(source, span []byte) bool {
			spans = append(spans, SourcedSpan{source, span})
			src, err := mapping.Source(source)
			if err == nil && ParseSpan(span, &s) == nil {
				read++
				for _, seg := range mapping.Segments(src, &s) {
					doc := seg.AppendDocument(nil)
					if !json.Valid(doc) || seg.ID == 0 {
						t.Fatalf("document %s", doc)
					}
					if seg.Attributes == nil {
						continue
					}
					seg.Attributes.Each(func(a *segment.Attribute) {
						if !utf8.ValidString(a.Name) || !utf8.ValidString(a.Text) || math.IsNaN(a.Number) || math.IsInf(a.Number, 0) {
							t.Fatalf("attribute %+v", a)
						}
					})
				}
			}
			return true
		})
		if text := AppendJSON(nil, data); !json.Valid(text) {
			t.Fatalf("no JSON: %s", text)
		}
		if !sound {
			return
		}
		if err != nil {
			t.Fatalf("%v, and the generated code reads it", err)
		}
		n, good := 0, 0
		for _, rs := range m.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					n++
					zero := func(b []byte, want int) bool { return len(b) != want || bytes.Count(b, []byte{0}) == want }
					if !zero(s.TraceId, 16) && !zero(s.SpanId, 8) {
						good++
					}
				}
			}
		}
		if n != len(spans) || good != read {
			t.Fatalf("%d spans, %d of them readable; the generated code has %d and %d", len(spans), read, n, good)
		}
		again := collect(t, AppendTraces(nil, spans))
		if len(again) != len(spans) {
			t.Fatalf("%d spans became %d", len(spans), len(again))
		}
		for i := range again {
			if !bytes.Equal(again[i].Span, spans[i].Span) {
				t.Fatalf("span %d changed", i)
			}
		}
	})
}

func FuzzJSON(f *testing.F) {
	f.Add(AppendJSON(nil, encoded(f, everything())))
	f.Add([]byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"00","kind":"SPAN_KIND_SERVER"}]}]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		request, err := FromJSON(text)
		if err != nil {
			return
		}
		_ = collect(t, request)
		if err := proto.Unmarshal(request, &traces.TracesData{}); err != nil && !strings.Contains(err.Error(), "UTF-8") {
			t.Fatalf("%v in what %q gave", err, text)
		}
		back, err := FromJSON(AppendJSON(nil, request))
		if err != nil {
			t.Fatal(err)
		}
		if a, b := AppendJSON(nil, request), AppendJSON(nil, back); !bytes.Equal(a, b) {
			t.Fatalf("%s came back as %s", a, b)
		}
	})
}

// TestLinksAreRead holds that links are there without the rest of what only readers of whole
// documents look at: searches find traces by them.
func TestLinksAreRead(t *testing.T) {
	message, err := FromJSON([]byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"6ab38001000000000000000000000001","spanId":"00000000000000a1",
		"name":"take","kind":5,"startTimeUnixNano":"1795355000000000000","endTimeUnixNano":"1795355001000000000",
		"links":[{"traceId":"6ab3800100000000000000000000bbbb","spanId":"00000000000000b1"}]}]}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	err = Walk(message, func(source, data []byte) bool {
		var m Mapping
		src, err := m.Source(source)
		if err != nil {
			t.Fatal(err)
		}
		var span Span
		if err := ParseSpan(data, &span); err != nil {
			t.Fatal(err)
		}
		if got := string(m.Segment(src, &span, false).Links); !strings.Contains(got, `"trace_id":"1-6ab38001-00000000000000000000bbbb"`) {
			t.Errorf("links %s", got)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNamesOfFirstSpans holds that what begins the work of a service is named after it,
// whatever the span says of others.
func TestNamesOfFirstSpans(t *testing.T) {
	for _, c := range []struct {
		span string // members of the span
		name string
		kind segment.Kind
	}{
		{`"kind":5,"attributes":[{"key":"aws.remote.service","value":{"stringValue":"parcels"}}]`, "depot", segment.KindSegment},
		{`"kind":5,"parentSpanId":"00000000000000a0","flags":768,"attributes":[{"key":"peer.service","value":{"stringValue":"parcels"}}]`, "depot", segment.KindSegment},
		{`"kind":5,"parentSpanId":"00000000000000a0","attributes":[{"key":"aws.remote.service","value":{"stringValue":"parcels"}}]`, "parcels", segment.KindSubsegment},
		{`"kind":1,"attributes":[{"key":"aws.remote.service","value":{"stringValue":"parcels"}}]`, "depot", segment.KindSegment},
		{`"kind":3,"attributes":[{"key":"aws.remote.service","value":{"stringValue":"parcels"}}]`, "depot", segment.KindSegment},
	} {
		message, err := FromJSON([]byte(`{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"depot"}}]},
			"scopeSpans":[{"spans":[{"traceId":"6ab38001000000000000000000000001","spanId":"00000000000000a1","name":"take",` + c.span + `}]}]}]}`))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range collect(t, message) {
			var m Mapping
			src, err := m.Source(s.Source)
			if err != nil {
				t.Fatal(err)
			}
			var span Span
			if err := ParseSpan(s.Span, &span); err != nil {
				t.Fatal(err)
			}
			if seg := m.Segment(src, &span, true); seg.Name != c.name || seg.Kind != c.kind {
				t.Errorf("%s: got %q of kind %v, want %q of kind %v", c.span, seg.Name, seg.Kind, c.name, c.kind)
			}
		}
	}
}
