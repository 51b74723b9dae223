package otlp

import (
	"testing"

	traces "go.opentelemetry.io/proto/otlp/trace/v1"
)

// BenchmarkSegment reads a span of some 260 bytes and maps it as the way in does.
func BenchmarkSegment(b *testing.B) {
	var m Mapping
	request := encoded(b, &traces.TracesData{ResourceSpans: []*traces.ResourceSpans{{
		Resource: everything().ResourceSpans[0].Resource,
		ScopeSpans: []*traces.ScopeSpans{{Spans: []*traces.Span{{
			TraceId: []byte("0123456789abcdef"), SpanId: []byte("01234567"), ParentSpanId: []byte("parentid"), Name: "GET /api/orders/{id}",
			Kind: traces.Span_SPAN_KIND_CLIENT, StartTimeUnixNano: 1795338448561000000, EndTimeUnixNano: 1795338448561753557,
			Attributes: append(everything().ResourceSpans[0].ScopeSpans[0].Spans[0].Attributes[:2], str("http.request.method", "GET"),
				str("url.full", "http://orders.example.com/api/orders/1711"), str("server.address", "orders.example.com")),
		}}}},
	}}})
	spans := collect(b, request)
	src, err := m.Source(spans[0].Source)
	if err != nil {
		b.Fatal(err)
	}
	var s Span
	b.SetBytes(int64(len(spans[0].Span)))
	b.ReportAllocs()
	for b.Loop() {
		if err := ParseSpan(spans[0].Span, &s); err != nil {
			b.Fatal(err)
		}
		m.Segment(src, &s, false)
	}
}
