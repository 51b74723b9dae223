package tracestore

import (
	"bytes"
	"fmt"
	"math"
	"sync/atomic"

	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/segment"
)

// limits are those for reading back: what was once accepted is read, even when
// the server is stricter today.
var limits = segment.Limits{DocumentBytes: math.MaxInt, Depth: 1 << 20, AnyType: true}

// SpanReader reads stored spans as segments. Stores give it to what they return; nil reads
// as the zero otlp.Mapping has it.
type SpanReader struct {
	mapping otlp.Mapping
	// latest is the source parsed last: spans of one source mostly come together.
	latest atomic.Pointer[knownSource]
}

// NewSpanReader returns a reader by a mapping, nil for the zero one.
func NewSpanReader(m otlp.Mapping) *SpanReader {
	if m.IsZero() {
		return nil
	}
	return &SpanReader{mapping: m}
}

var standard SpanReader // the one that nil stands for

// Segment reads a stored document as a segment, which refers to its bytes. Without
// full, parts that no view and no search looks at may be missing, which is faster.
// The error says what is wrong with the document; it matches no error of this package.
func (d *Stored) Segment(full bool) (*segment.Segment, error) {
	switch d.Format {
	case FormatXRay:
		return segment.Parse(d.Data, limits)
	case FormatOTLP:
		return d.Reader.Read(d.Source, d.Data, full)
	}
	return nil, fmt.Errorf("unknown format %d", d.Format)
}

// Read reads a span. The result refers to the bytes of both.
func (r *SpanReader) Read(source, span []byte, full bool) (*segment.Segment, error) {
	if r == nil {
		r = &standard
	}
	src, err := r.source(source)
	if err != nil {
		return nil, err
	}
	var s otlp.Span
	if err := otlp.ParseSpan(span, &s); err != nil {
		return nil, err
	}
	return r.mapping.Segment(src, &s, full), nil
}

// knownSource is a source that was parsed, and its bytes.
type knownSource struct {
	bytes  []byte
	source *otlp.Source
}

func (r *SpanReader) source(data []byte) (*otlp.Source, error) {
	if k := r.latest.Load(); k != nil && bytes.Equal(k.bytes, data) {
		return k.source, nil
	}
	own := bytes.Clone(data) // not to keep alive what the slice is a part of
	src, err := r.mapping.Source(own)
	if err != nil {
		return nil, err
	}
	r.latest.Store(&knownSource{own, src})
	return src, nil
}
