package webapi

import (
	"context"
	"mime"
	"net/http"
	"strings"

	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/segment"
)

// spans answers GET /api/traces/{id}?format=otlp with a TracesData message, in JSON, or
// in protobuf for those who accept it:
//
//	{"resourceSpans":[{"resource":{"attributes":[...]},"scopeSpans":[{"spans":[...]}]}]}
func (h *handler) spans(ctx context.Context, w http.ResponseWriter, r *http.Request, id segment.TraceID) error {
	spans, err := h.cfg.Query.Spans(ctx, id)
	if err != nil {
		return err
	}
	if len(spans) == 0 {
		return notStored(id)
	}
	data := otlp.AppendTraces(nil, spans)
	w.Header().Add("Vary", "Accept")
	if acceptsProtobuf(r) {
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, err = w.Write(data)
		return err
	}
	return reply(w, otlp.AppendJSON(nil, data))
}

// acceptsProtobuf reports whether the client asks for protobuf by name.
func acceptsProtobuf(r *http.Request) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header["Accept"], ","), ",") {
		switch t, _, _ := mime.ParseMediaType(part); t {
		case "application/x-protobuf", "application/protobuf":
			return true
		case "application/json":
			return false
		}
	}
	return false
}
