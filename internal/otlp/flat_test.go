package otlp

import (
	"encoding/json"
	"math"
	"testing"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// requireFlat holds that every span of a request comes back whole from its flat form.
func requireFlat(t *testing.T, request []byte) (spans int) {
	t.Helper()
	err := Walk(request, func(source, span []byte) bool {
		spans++
		one := SourcedSpan{source, span}
		text := AppendFlat(nil, one)
		if !json.Valid(text) {
			t.Fatalf("%s", text)
		}
		back, err := ParseFlat(text)
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		requireSame(t, withStatus(t, back), withStatus(t, AppendTraces(nil, []SourcedSpan{one})))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return spans
}

// withStatus gives spans a status that have none: it says no more than an empty one.
func withStatus(t *testing.T, data []byte) []byte {
	t.Helper()
	m := generated(t, data)
	for _, rs := range m.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, span := range ss.Spans {
				if span.Status == nil {
					span.Status = &traces.Status{}
				}
			}
		}
	}
	return encoded(t, m)
}

func TestFlatCorpus(t *testing.T) {
	for _, file := range pairFiles(t) {
		if _, request := readPair(t, file); requireFlat(t, request) == 0 {
			t.Errorf("%s has no span", file)
		}
	}
}

// TestFlat writes a span that has everything, and looks at the text.
func TestFlat(t *testing.T) {
	text := func(s string) *common.AnyValue {
		return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
	}
	double := func(f float64) *common.AnyValue {
		return &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: f}}
	}
	raw := func(b ...byte) *common.AnyValue {
		return &common.AnyValue{Value: &common.AnyValue_BytesValue{BytesValue: b}}
	}
	dict := func(list ...*common.KeyValue) *common.AnyValue {
		return &common.AnyValue{Value: &common.AnyValue_KvlistValue{KvlistValue: &common.KeyValueList{Values: list}}}
	}
	list := func(values ...*common.AnyValue) *common.AnyValue {
		return &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: &common.ArrayValue{Values: values}}}
	}
	pair := func(key string, v *common.AnyValue) *common.KeyValue { return &common.KeyValue{Key: key, Value: v} }
	attributes := []*common.KeyValue{
		pair("s", text("x")), pair("empty", text("")), pair("i", &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: -1 << 63}}),
		pair("b", &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: false}}), pair("d", double(3)), pair("e", double(1e300)), pair("nan", double(math.Inf(-1))),
		pair("raw", raw(1, 2)), pair("nothing", &common.AnyValue{}), pair("list", list(text("a"), double(0.5), list(), dict(pair("k", raw())))),
		pair("map", dict(pair("k", text("v")), pair("l", text("v2")))), pair("mistakable", dict(pair("bytesValue", text("AQI=")))), pair("again", dict(pair("kvlistValue", dict()))),
		pair("no map", dict()),
	}
	request, err := proto.Marshal(&traces.TracesData{ResourceSpans: []*traces.ResourceSpans{{
		Resource:  &resource.Resource{Attributes: []*common.KeyValue{pair("service.name", text("shop"))}, DroppedAttributesCount: 2},
		SchemaUrl: "https://opentelemetry.io/schemas/1.37.0",
		ScopeSpans: []*traces.ScopeSpans{{
			Scope: &common.InstrumentationScope{Name: "lib", Version: "1", Attributes: attributes[:1], DroppedAttributesCount: 1}, SchemaUrl: "u",
			Spans: []*traces.Span{{
				TraceId: []byte{0: 1, 15: 2}, SpanId: []byte{0: 3, 7: 4}, ParentSpanId: []byte{0: 5, 7: 6}, TraceState: "a=b", Flags: 0x301, Name: "GET /",
				Kind: traces.Span_SPAN_KIND_CONSUMER, StartTimeUnixNano: 1_700_000_000_123_456_789, EndTimeUnixNano: 1_700_000_000_123_456_999,
				Attributes: attributes, DroppedAttributesCount: 1, DroppedEventsCount: 2, DroppedLinksCount: 3,
				Events: []*traces.Span_Event{{TimeUnixNano: 7, Name: "e", Attributes: attributes, DroppedAttributesCount: 9}, {Name: "none"}},
				Links:  []*traces.Span_Link{{TraceId: []byte{0: 1, 15: 9}, SpanId: []byte{0: 1, 7: 1}, TraceState: "c=d", Flags: 0x100, Attributes: attributes[:2]}},
				Status: &traces.Status{Code: traces.Status_STATUS_CODE_ERROR, Message: "no"},
			}, {TraceId: []byte{0: 1, 15: 2}, SpanId: []byte{0: 9, 7: 4}, Kind: 77}},
		}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if n := requireFlat(t, request); n != 2 {
		t.Fatalf("%d spans", n)
	}
	var flat struct {
		Resource, Scope struct{ Attributes map[string]any }
		Kind            string
		Start           json.Number `json:"startTimeUnixNano"`
		Duration        int         `json:"durationNano"`
		Attributes      map[string]any
		Status          struct{ Code, Message string }
	}
	err = Walk(request, func(source, span []byte) bool {
		if err := json.Unmarshal(AppendFlat(nil, SourcedSpan{source, span}), &flat); err != nil {
			t.Fatal(err)
		}
		return false
	})
	if err != nil || flat.Resource.Attributes["service.name"] != "shop" || flat.Scope.Attributes["s"] != "x" || flat.Kind != "CONSUMER" || flat.Start != "1700000000123456789" ||
		flat.Duration != 210 || flat.Attributes["d"] != 3.0 || flat.Attributes["b"] != false || flat.Status.Code != "ERROR" || flat.Status.Message != "no" {
		t.Errorf("%v: %+v", err, flat)
	}
}
