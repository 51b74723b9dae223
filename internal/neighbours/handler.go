package neighbours

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/roentgen-io/roentgen/internal/otlp"
	store "github.com/roentgen-io/roentgen/internal/query"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

// The prefixes below which the handler answers.
const (
	PrefixTempo  = "/tempo/"
	PrefixJaeger = "/jaeger/"
)

// Config sets up a Handler.
type Config struct {
	Query   *store.Service
	Graph   tracestore.GraphReader // nil: there is no service graph
	Version string                 // of this program
	Timeout time.Duration          // ends a call that the store does not answer; 0: 60 s
	Logger  *slog.Logger           // nil: discard
	Now     func() time.Time       // nil: time.Now
}

// Handler answers everything below the two prefixes.
type Handler struct{ cfg Config }

// New returns a Handler.
func New(cfg Config) *Handler {
	if cfg.Timeout <= 0 {
		cfg.Timeout = 60 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Logger = cfg.Logger.With(slog.String("component", "neighbours"))
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Handler{cfg}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	ctx, cancel := xrayapi.CallContext(r, h.cfg.Timeout)
	defer cancel()
	err := h.serve(ctx, w, r)
	if err == nil {
		return
	}
	var e *apierr.Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, ErrQuery), errors.Is(err, errParameter):
		e = apierr.New(apierr.InvalidRequest, "%s", err)
	case errors.Is(err, http.ErrAbortHandler), errors.Is(err, context.Canceled):
		panic(http.ErrAbortHandler)
	default:
		e = xrayapi.StoreError(err, r.URL.Path)
	}
	if e.Status >= 500 {
		h.cfg.Logger.Error("request failed", slog.String("path", r.URL.Path), slog.String("peer", r.RemoteAddr), slog.Any("err", err))
	}
	xrayapi.WriteErrorAs(w, e, "message")
}

func notFound(format string, args ...any) error {
	return apierr.New(apierr.ResourceNotFound, format, args...)
}

func (h *Handler) serve(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", http.MethodGet)
		return apierr.New(apierr.MethodNotAllowed, "use GET")
	}
	if path, ok := strings.CutPrefix(r.URL.Path, PrefixTempo); ok {
		return h.tempo(ctx, w, r, strings.Trim(path, "/"))
	}
	path := strings.TrimPrefix(r.URL.Path, PrefixJaeger)
	return h.jaeger(ctx, w, r, strings.Trim(path, "/"))
}

// HeaderIncomplete is the header of an answer that is not all of what was asked for; it says why.
const HeaderIncomplete = "Roentgen-Incomplete"

// incomplete says in the header why an answer is not complete, and returns it; "" when it is.
func (h *Handler) incomplete(w http.ResponseWriter, s seen) string {
	if s.all {
		return ""
	}
	why := "the search ended after " + maxTime.String() + " and " + strconv.Itoa(s.traces) + " traces read; older traces of the window were not looked at"
	w.Header().Set(HeaderIncomplete, why)
	return why
}

func reply(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Write(body) // an error means that the client is gone
	return nil
}

// byID returns the trace with the id in a path, which may lack leading zeros.
func (h *Handler) byID(ctx context.Context, text string) (*traceView, error) {
	if len(text) < 32 {
		text = strings.Repeat("0", 32-len(text)) + text
	}
	id, err := segment.ParseAnyTraceID(strings.ToLower(text))
	if err != nil {
		return nil, apierr.New(apierr.InvalidRequest, "%.100q is no trace id", text)
	}
	raw, err := h.cfg.Query.Spans(ctx, id)
	if err != nil {
		return nil, err
	}
	if len(raw) == 0 {
		return nil, notFound("trace not found")
	}
	t := viewOf(raw)
	t.id = id
	return t, nil
}

// tracesJSON returns the resource spans of a trace as a JSON array.
func tracesJSON(raw []otlp.SourcedSpan) json.RawMessage {
	text := otlp.AppendJSON(nil, otlp.AppendTraces(nil, raw))
	if list := segment.Raw(text).Get("resourceSpans"); list != nil {
		return json.RawMessage(list)
	}
	return json.RawMessage("[]")
}

func acceptsProtobuf(r *http.Request) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header["Accept"], ","), ",") {
		if t, _, _ := mime.ParseMediaType(part); t == "application/protobuf" || t == "application/x-protobuf" {
			return true
		}
	}
	return false
}

var errParameter = errors.New("parameter")

type parameterError struct{ name, value, want string }

func (e *parameterError) Error() string {
	return "parameter " + e.name + ": " + strconv.Quote(e.value) + " is not " + e.want
}
func (e *parameterError) Unwrap() error { return errParameter }

// number reads a parameter, standard when it is not given or 0.
func number(r *http.Request, name string, standard, most int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return standard, nil
	}
	n, err := strconv.Atoi(text)
	switch {
	case err != nil || n < 0:
		return 0, &parameterError{name, text, "a number"}
	case n == 0:
		return standard, nil
	}
	return min(n, most), nil
}

// length reads a duration such as 100ms, 0 when it is not given.
func length(r *http.Request, name string) (time.Duration, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, &parameterError{name, text, "a duration such as 100ms"}
	}
	return d, nil
}
