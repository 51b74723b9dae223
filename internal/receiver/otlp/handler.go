package otlp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

const (
	// PathHTTP and PathGRPC are where spans are sent to.
	PathHTTP = "/v1/traces"
	PathGRPC = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

	grpcType     = "application/grpc"
	protobufType = "application/x-protobuf"
	jsonType     = "application/json"
)

// Sink is where spans go: an *ingest.Ingester.
type Sink interface {
	PutSpans(ctx context.Context, from ingest.Origin, request []byte) (ingest.SpanReport, error)
}

// Config sets up a handler.
type Config struct {
	Sink      Sink
	BodyBytes int64       // largest request after decompression; 0: 64 MiB
	Hold      func() Held // counts the memory of requests; nil: it is not bounded
	// Admit is asked whether the sender of a request may send so many spans and bytes
	// now; nil: it may.
	Admit   func(ctx context.Context, spans, bytes int) bool
	Timeout time.Duration // ends a call that the store does not answer; 0: 60 s
	Logger  *slog.Logger  // nil: discard
}

// Handler answers requests of senders of spans. Wants tells which are.
type Handler struct{ cfg Config }

// New returns a handler.
func New(cfg Config) *Handler {
	if cfg.BodyBytes <= 0 {
		cfg.BodyBytes = 64 << 20
	}
	if cfg.Hold == nil {
		cfg.Hold = func() Held { return unbounded{} }
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 60 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Logger = cfg.Logger.With(slog.String("component", "otlp"))
	return &Handler{cfg}
}

type unbounded struct{}

func (unbounded) Grow(int) error { return nil }
func (unbounded) Free()          {}

// Wants reports whether a request is one of a sender of spans.
func Wants(r *http.Request) bool { return IsPath(r.URL.Path) || isGRPC(r) }

// IsPath reports whether senders of spans, and nobody else, use the path.
func IsPath(path string) bool { return path == PathHTTP || path == PathGRPC }

func isGRPC(r *http.Request) bool {
	return r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), grpcType)
}

// refusal is an answer that tells the sender what is wrong.
type refusal struct {
	status  int // of HTTP
	code    int // of gRPC
	message string
	retry   bool // the sender may send the same again, later
	err     error
}

func (r *refusal) Error() string { return r.message }

// Codes of gRPC.
const (
	codeInvalidArgument   = 3
	codeResourceExhausted = 8
	codeUnimplemented     = 12
	codeInternal          = 13
	codeUnavailable       = 14
)

func badRequest(format string, args ...any) *refusal {
	return &refusal{status: http.StatusBadRequest, code: codeInvalidArgument, message: fmt.Sprintf(format, args...)}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if isGRPC(r) {
		h.serveGRPC(w, r)
		return
	}
	h.serveHTTP(w, r)
}

func (h *Handler) serveHTTP(w http.ResponseWriter, r *http.Request) {
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	inJSON := mediaType == jsonType
	fail := func(e *refusal) { h.fail(w, r, e, inJSON) }
	switch {
	case r.URL.Path == "/v1/metrics" || r.URL.Path == "/v1/logs" || strings.HasPrefix(r.URL.Path, "/v1development/"):
		fail(&refusal{status: http.StatusNotFound, message: "Roentgen keeps traces only; set OTEL_METRICS_EXPORTER=none and OTEL_LOGS_EXPORTER=none, or send these elsewhere"})
		return
	case r.URL.Path == PathGRPC:
		fail(badRequest("this is a gRPC method; send Content-Type application/grpc over HTTP/2, or POST to %s", PathHTTP))
		return
	case r.URL.Path != PathHTTP:
		fail(&refusal{status: http.StatusNotFound, message: fmt.Sprintf("there is nothing at %.100s; spans go to %s", r.URL.Path, PathHTTP)})
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		fail(&refusal{status: http.StatusMethodNotAllowed, message: "use POST for " + PathHTTP})
		return
	case mediaType != protobufType && mediaType != jsonType && mediaType != "application/protobuf":
		fail(&refusal{status: http.StatusUnsupportedMediaType, message: fmt.Sprintf("Content-Type %.60q is not supported; send %s or %s", r.Header.Get("Content-Type"), protobufType, jsonType)})
		return
	}
	held := h.cfg.Hold()
	defer held.Free()
	request, err := readBody(marked{r.Body}, strings.ToLower(r.Header.Get("Content-Encoding")), r.ContentLength, h.cfg.BodyBytes, held)
	if err != nil {
		fail(h.bodyRefusal(err))
		return
	}
	if inJSON {
		// The message is smaller than its JSON, and takes memory of its own.
		if err := held.Grow(len(request)); err != nil {
			fail(h.bodyRefusal(overload{err}))
			return
		}
		if request, err = otlp.FromJSON(request); err != nil {
			fail(badRequest("%s", err))
			return
		}
	}
	report, e := h.put(r, request)
	if e != nil {
		fail(e)
		return
	}
	if inJSON {
		w.Header().Set("Content-Type", jsonType)
		w.Write(responseJSON(report))
		return
	}
	w.Header().Set("Content-Type", protobufType)
	w.Write(response(report))
}

// put stores the spans of a request.
func (h *Handler) put(r *http.Request, request []byte) (ingest.SpanReport, *refusal) {
	if h.cfg.Admit != nil {
		n := 0
		if err := otlp.Walk(request, func(_, _ []byte) bool { n++; return true }); err == nil && !h.cfg.Admit(r.Context(), n, len(request)) {
			return ingest.SpanReport{}, &refusal{status: http.StatusTooManyRequests, code: codeUnavailable, message: "this key sends more than it may; try again later", retry: true}
		}
	}
	// A sender that has gone is no reason to stop: what it sent may be stored already.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), h.cfg.Timeout)
	defer cancel()
	report, err := h.cfg.Sink.PutSpans(ctx, ingest.Origin{Source: ingest.SourceOTLP, Peer: r.RemoteAddr, Via: r.Header.Get(ingest.HeaderVia)}, request)
	switch {
	case err == nil:
		return report, nil
	case errors.Is(err, otlp.ErrMessage):
		return report, badRequest("the body is no ExportTraceServiceRequest")
	case errors.Is(err, tracestore.ErrOverloaded):
		return report, &refusal{status: http.StatusTooManyRequests, code: codeUnavailable, message: "too much is under way; try again later", retry: true}
	case errors.Is(err, tracestore.ErrNoSpace):
		return report, &refusal{status: http.StatusServiceUnavailable, code: codeUnavailable, message: "the server has no space left on its disk", retry: true, err: err}
	}
	return report, &refusal{status: http.StatusServiceUnavailable, code: codeUnavailable, message: "the store cannot take spans at the moment", retry: true, err: err}
}

func (h *Handler) bodyRefusal(err error) *refusal {
	var full overload
	switch {
	case errors.Is(err, errTooLarge):
		return &refusal{status: http.StatusRequestEntityTooLarge, code: codeResourceExhausted,
			message: fmt.Sprintf("the request is larger than %d bytes; send smaller batches", h.cfg.BodyBytes)}
	case errors.As(err, &full):
		return &refusal{status: http.StatusTooManyRequests, code: codeUnavailable, message: "too many large requests at once; try again later", retry: true}
	case errors.Is(err, errEncoding):
		return &refusal{status: http.StatusUnsupportedMediaType, code: codeUnimplemented, message: err.Error()}
	case errors.Is(err, errBroken):
		return badRequest("%s", err)
	}
	return badRequest("the request body did not arrive whole")
}

// fail answers with a google.rpc.Status in the form of the request.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, e *refusal, inJSON bool) {
	h.log(r, e)
	if e.retry {
		w.Header().Set("Retry-After", "1")
	}
	code := e.code
	if code == 0 {
		code = codeUnimplemented
	}
	var body []byte
	if inJSON || r.Header.Get("Content-Type") == "" || r.Method != http.MethodPost {
		w.Header().Set("Content-Type", jsonType)
		body = append(body, `{"code":`...)
		body = strconv.AppendInt(body, int64(code), 10)
		body = append(body, `,"message":`...)
		body = segment.AppendString(body, e.message)
		body = append(body, '}')
	} else {
		w.Header().Set("Content-Type", protobufType)
		body = append(body, 1<<3, byte(code))
		body = appendText(body, 2, e.message)
	}
	w.WriteHeader(e.status)
	w.Write(body)
}

func (h *Handler) log(r *http.Request, e *refusal) {
	if e.err != nil {
		h.cfg.Logger.Error("spans were not stored", slog.String("peer", r.RemoteAddr), slog.Any("err", e.err))
	}
}

func appendText(dst []byte, field int, text string) []byte {
	dst = append(dst, byte(field<<3|2))
	dst = binary.AppendUvarint(dst, uint64(len(text)))
	return append(dst, text...)
}

// response is an ExportTraceServiceResponse: empty when all is well.
func response(report ingest.SpanReport) []byte {
	if report.Rejected == 0 {
		return nil
	}
	partial := binary.AppendUvarint([]byte{1 << 3}, uint64(report.Rejected))
	partial = appendText(partial, 2, strings.ToValidUTF8(report.Reason, "\ufffd"))
	return append(binary.AppendUvarint([]byte{1<<3 | 2}, uint64(len(partial))), partial...)
}

func responseJSON(report ingest.SpanReport) []byte {
	if report.Rejected == 0 {
		return []byte("{}")
	}
	dst := append([]byte(nil), `{"partialSuccess":{"rejectedSpans":"`...)
	dst = strconv.AppendInt(dst, int64(report.Rejected), 10)
	dst = append(dst, `","errorMessage":`...)
	dst = segment.AppendString(dst, report.Reason)
	return append(dst, "}}"...)
}

// serveGRPC answers a unary call.
func (h *Handler) serveGRPC(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Type", grpcType)
	header.Set("Grpc-Accept-Encoding", "identity,gzip,zstd")
	header.Set("Trailer", "Grpc-Status, Grpc-Message")
	message, e := h.call(r)
	if e == nil {
		w.WriteHeader(http.StatusOK)
		frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
		w.Write(append(frame, message...))
		header.Set("Grpc-Status", "0")
		return
	}
	h.log(r, e)
	if e.retry {
		header.Set("Grpc-Retry-Pushback-Ms", "1000")
	}
	w.WriteHeader(http.StatusOK)
	header.Set("Grpc-Status", strconv.Itoa(e.code))
	header.Set("Grpc-Message", percentEncoded(e.message))
}

func (h *Handler) call(r *http.Request) ([]byte, *refusal) {
	if r.URL.Path != PathGRPC {
		return nil, &refusal{code: codeUnimplemented, message: fmt.Sprintf("unknown method %.100s; Roentgen keeps traces only", r.URL.Path)}
	}
	var head [5]byte
	if _, err := io.ReadFull(r.Body, head[:]); err != nil {
		return nil, badRequest("there is no message")
	}
	size := int64(binary.BigEndian.Uint32(head[1:]))
	if size > h.cfg.BodyBytes {
		return nil, h.bodyRefusal(errTooLarge)
	}
	encoding := ""
	switch head[0] {
	case 0:
	case 1:
		if encoding = strings.ToLower(r.Header.Get("Grpc-Encoding")); encoding == "" || encoding == "identity" {
			return nil, &refusal{code: codeInternal, message: "the message is compressed, and grpc-encoding does not say how"}
		}
	default:
		return nil, badRequest("the message has no gRPC frame")
	}
	held := h.cfg.Hold()
	defer held.Free()
	body := &io.LimitedReader{R: r.Body, N: size}
	declared := int64(-1)
	if encoding == "" {
		declared = size
	}
	request, err := readBody(marked{body}, encoding, declared, h.cfg.BodyBytes, held)
	if err != nil {
		return nil, h.bodyRefusal(err)
	}
	if body.N != 0 {
		return nil, badRequest("the message ended before it was complete")
	}
	if n, _ := r.Body.Read(head[:1]); n != 0 {
		return nil, badRequest("the call has more than one message")
	}
	report, e := h.put(r, request)
	if e != nil {
		return nil, e
	}
	return response(report), nil
}

// percentEncoded writes a text as grpc-message has it.
func percentEncoded(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
