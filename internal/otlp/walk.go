package otlp

import "bytes"

// Walk takes an ExportTraceServiceRequest or TracesData message apart: fn is
// called for every span with its source and its own bytes, until it returns
// false. The bytes of a span refer to request; those of a source are new, and are
// the same slice for all spans that came under one scope. The error matches
// ErrMessage; fn may have been called before.
func Walk(request []byte, fn func(source, span []byte) bool) error {
	f := fields{b: request}
	for f.next() {
		if f.num != requestResourceSpans || f.typ != wireBytes {
			continue
		}
		if more, err := walkResource(f.s, fn); err != nil || !more {
			return err
		}
	}
	if f.bad {
		return ErrMessage
	}
	return nil
}

// walkResource takes a ResourceSpans message apart.
func walkResource(message []byte, fn func(source, span []byte) bool) (more bool, err error) {
	// The schema may stand behind the spans that it is about.
	var head []byte
	f := fields{b: message}
	for f.next() {
		if f.num != resourceSpansScopes {
			head = append(head, f.all...)
		}
	}
	if f.bad {
		return false, ErrMessage
	}
	f = fields{b: message}
	for f.next() {
		if f.num != resourceSpansScopes || f.typ != wireBytes {
			continue
		}
		var scope []byte
		g := fields{b: f.s}
		for g.next() {
			if g.num != scopeSpansSpans {
				scope = append(scope, g.all...)
			}
		}
		if g.bad {
			return false, ErrMessage
		}
		source := make([]byte, 0, len(head)+len(scope)+8)
		source = append(source, head...)
		source = appendBytesField(source, resourceSpansScopes, scope)
		g = fields{b: f.s}
		for g.next() {
			if g.num == scopeSpansSpans && g.typ == wireBytes && !fn(source, g.s) {
				return false, nil
			}
		}
	}
	return true, nil
}

// SourcedSpan is a span with its source, both as bytes.
type SourcedSpan struct{ Source, Span []byte }

// AppendTraces appends a TracesData message (an ExportTraceServiceRequest is the
// same) of spans. Spans that follow each other with equal sources share one
// ResourceSpans.
func AppendTraces(dst []byte, spans []SourcedSpan) []byte {
	for len(spans) > 0 {
		n := 1
		for n < len(spans) && bytes.Equal(spans[n].Source, spans[0].Source) {
			n++
		}
		dst = appendMessage(dst, requestResourceSpans, func(dst []byte) []byte {
			return appendResourceSpans(dst, spans[0].Source, spans[:n])
		})
		spans = spans[n:]
	}
	return dst
}

func appendResourceSpans(dst, source []byte, spans []SourcedSpan) []byte {
	f := fields{b: source}
	var scope []byte
	for f.next() {
		if f.num == resourceSpansScopes {
			scope = f.bytes()
			continue
		}
		dst = append(dst, f.all...)
	}
	return appendMessage(dst, resourceSpansScopes, func(dst []byte) []byte {
		dst = append(dst, scope...)
		for i := range spans {
			dst = appendBytesField(dst, scopeSpansSpans, spans[i].Span)
		}
		return dst
	})
}

// Identity returns the ids of a Span message, and whether the span has ended,
// without reading the rest of it; ok is false when it has no ids.
func Identity(span []byte) (trace, id []byte, ended, ok bool) {
	f := fields{b: span}
	for f.next() {
		switch f.num {
		case spanTraceID:
			trace = f.bytes()
		case spanSpanID:
			id = f.bytes()
		case spanEnd:
			ended = f.fixed64() != 0
		}
	}
	return trace, id, ended, !f.bad && len(trace) > 0 && len(id) > 0
}
