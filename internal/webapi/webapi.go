// Package webapi serves Roentgen's own endpoints, for the page and the command
// line: what the X-Ray API hides or cannot do.
//
//	GET  /api/traces/{id}     one trace, orphan subsegments included; ?format=otlp: as OpenTelemetry spans
//	GET  /api/traces/{id}/columns       what a picture of a trace is drawn from, compact
//	GET  /api/traces/{id}/entries/{id}  one segment or subsegment
//	GET  /api/traces/{id}/events        exceptions and events of spans, with their times
//	GET  /api/traces/{id}/find          which entries hold a text
//	GET  /api/traces          summaries of a window, orphan-only traces included
//	GET  /api/counts          the traces of a window by time, duration and values
//	GET  /api/dead-letters    refused documents, newest first
//	GET  /api/forward/dead-letters  documents that could not be passed on, newest first
//	GET  /api/tail            traces as they change, for as long as the client listens
//	POST /api/explain         how a filter expression is understood, and decides on a trace
//	GET  /api/complete        what may follow in a filter expression, with counts from traces
//	POST /api/import          store history: receipt time is the document's own end
//	GET  /api/sampling/clients   what clients reported of sampling, and were given
//	POST /api/sampling/explain   which sampling rule decides on a request, and why
//	POST /api/sampling/simulate  what sampling rules would have kept of stored traces
//	GET  /api/telemetry       what daemons and agents tell about themselves
//	GET  /api/control         the control state as a file
//	POST /api/control         makes the control state what a file says
//	GET  /api/session         who asks; POST signs in, DELETE signs out
//	GET  /api/keys            the access keys; POST makes one
//	DELETE /api/keys/{id}     revokes one
//	GET  /api/views           saved views of the page; POST saves one
//	PUT  /api/views/{id}      renames or moves one; DELETE deletes it
//	POST /api/links           the short link to a state of the page
//	GET  /api/links/{id}      the state that a link leads to
//	GET  /api/server          how the server is, and what it keeps
//	GET  /api/settings        the settings in force
//
// Answers are JSON with keys in alphabetical order, in the words of the X-Ray
// API where it has words. Errors are {"Message":"..."}, in plain words.
package webapi

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/roentgen-io/roentgen/internal/config"
	"github.com/roentgen-io/roentgen/internal/control"
	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/internal/keys"
	"github.com/roentgen-io/roentgen/internal/query"
	"github.com/roentgen-io/roentgen/internal/reports"
	"github.com/roentgen-io/roentgen/internal/sampling"
	"github.com/roentgen-io/roentgen/internal/session"
	"github.com/roentgen-io/roentgen/internal/telemetry"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

// Config sets up the handler.
type Config struct {
	Ingester    *ingest.Ingester
	Query       *query.Service
	DeadLetters tracestore.DeadLetters
	Control     *control.Store  // nil: an empty one in memory
	Reports     *reports.Keeper // nil: an empty one in memory
	// Sampler knows the clients that take their sampling from here; nil: there is no
	// /api/sampling/clients.
	Sampler *sampling.Sampler
	// Keys are the keys of the server, Sessions who is signed in with them and Used
	// when each was used last; nil: nobody is asked for a key.
	Keys     *keys.Ring
	Sessions *session.Store
	Used     *keys.Usage
	// About tells the page of its server; Status how that is; Settings what is set. nil: nothing.
	About    func(r *http.Request) About
	Status   func(ctx context.Context) (*ServerStatus, error)
	Settings func() []config.InForce
	// Undelivered returns up to n of the documents that could not be passed on, newest first, and where
	// to go on, as its before; errors that match ErrPlace are the caller's. nil: nothing is passed on.
	Undelivered func(before string, n int) (list []Undelivered, next string, err error)
	// LinkPlaces are the first parts of the paths that short links may lead to; nil: there are none.
	LinkPlaces []string
	// SimulateTraces is how many traces a simulation of sampling looks at, more or
	// less; 0: a million.
	SimulateTraces int64

	BodyBytes int64           // largest JSON body of an import, and line of JSON lines; 0: 64 MB
	Bodies    *xrayapi.Bodies // bounds all bodies together; nil: 128 MB for this handler

	// Stopping ends when the server is about to stop: streams end then. nil: never.
	Stopping context.Context

	Timeout time.Duration    // ends a call that the store does not answer; 0: 60 s
	Logger  *slog.Logger     // nil: discard
	Now     func() time.Time // nil: time.Now
}

type handler struct {
	cfg     Config
	streams atomic.Int32 // under way

	simulations atomic.Int32 // likewise

	signInsRefused telemetry.Limiter
}

// New returns the handler of everything below /api/.
func New(cfg Config) http.Handler {
	if cfg.BodyBytes <= 0 {
		cfg.BodyBytes = 64 << 20
	}
	if cfg.Bodies == nil {
		cfg.Bodies = xrayapi.NewBodies(128 << 20)
	}
	if cfg.SimulateTraces <= 0 {
		cfg.SimulateTraces = simulateTraces
	}
	if cfg.Control == nil {
		cfg.Control, _ = control.Open(control.Options{}) // fails on files only
	}
	if cfg.Reports == nil {
		cfg.Reports = reports.Open(reports.Options{})
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 60 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Logger = cfg.Logger.With(slog.String("component", "webapi"))
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &handler{cfg: cfg}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	if err := h.serve(w, r); err != nil {
		h.fail(w, r, err)
	}
}

// serve picks the endpoint. It does so by hand: http.ServeMux answers unclean
// paths with redirects and errors with text.
func (h *handler) serve(w http.ResponseWriter, r *http.Request) error {
	rt := find(r.URL.Path)
	if rt == nil {
		return h.notFound(w, r)
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if !slices.Contains(strings.Split(rt.methods, ", "), method) {
		w.Header().Set("Allow", rt.methods)
		return apierr.New(apierr.MethodNotAllowed, "use %s for %s", strings.ReplaceAll(rt.methods, ", ", " or "), strings.TrimSuffix(r.URL.Path, "/"))
	}
	return rt.serve(h, w, r)
}

// route is an endpoint. A path that ends in a slash stands for all below it.
type route struct {
	path    string
	methods string // with ", " between them
	serve   func(*handler, http.ResponseWriter, *http.Request) error
}

var routes = []route{
	{"/api/traces", http.MethodGet, (*handler).traces},
	{"/api/traces/", http.MethodGet, (*handler).trace},
	{"/api/counts", http.MethodGet, (*handler).counts},
	{"/api/dead-letters", http.MethodGet, (*handler).deadLetters},
	{"/api/forward/dead-letters", http.MethodGet, (*handler).undelivered},
	{"/api/tail", http.MethodGet, (*handler).tail},
	{"/api/complete", http.MethodGet, (*handler).complete},
	{"/api/explain", http.MethodPost, (*handler).explain},
	{"/api/import", http.MethodPost, (*handler).imports},
	{"/api/telemetry", http.MethodGet, (*handler).telemetry},
	{"/api/control", "GET, POST", (*handler).control},
	{"/api/session", "GET, POST, DELETE", (*handler).session},
	{"/api/keys", "GET, POST", (*handler).keys},
	{"/api/keys/", http.MethodDelete, (*handler).revokeKey},
	{"/api/views", "GET, POST", (*handler).views},
	{"/api/views/", "PUT, DELETE", (*handler).view},
	{"/api/links", http.MethodPost, (*handler).links},
	{"/api/links/", http.MethodGet, (*handler).link},
	{"/api/server", http.MethodGet, (*handler).status},
	{"/api/settings", http.MethodGet, (*handler).settings},
	{"/api/sampling/clients", http.MethodGet, (*handler).samplingClients},
	{"/api/sampling/explain", http.MethodPost, (*handler).explainRule},
	{"/api/sampling/simulate", http.MethodPost, (*handler).simulateRules},
}

func find(path string) *route {
	path = strings.TrimSuffix(path, "/")
	for i := range routes {
		rt := &routes[i]
		if path == rt.path || strings.HasSuffix(rt.path, "/") && strings.HasPrefix(path, rt.path) {
			return rt
		}
	}
	return nil
}

// Paths returns the endpoints; one that ends in a slash stands for all below it.
func Paths() []string {
	var paths []string
	for i := range routes {
		paths = append(paths, routes[i].path)
	}
	return paths
}

// Path returns which of Paths a request for path asks for, "" for none.
func Path(path string) string {
	if rt := find(path); rt != nil {
		return rt.path
	}
	return ""
}

func (h *handler) notFound(_ http.ResponseWriter, r *http.Request) error {
	return apierr.New(apierr.ResourceNotFound, "there is nothing at %.100s", r.URL.Path)
}

// fail answers with an error, or cuts the connection when there is nobody to
// answer.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	var e *apierr.Error
	if !errors.As(err, &e) {
		if errors.Is(err, http.ErrAbortHandler) || errors.Is(err, context.Canceled) {
			panic(http.ErrAbortHandler)
		}
		e = xrayapi.StoreError(err, r.URL.Path)
	}
	if e.Status >= 500 {
		h.cfg.Logger.Error("request failed", slog.String("path", r.URL.Path), slog.String("peer", r.RemoteAddr), slog.Any("err", err))
	}
	xrayapi.WriteError(w, plain(e))
}

// plain gives all errors of these endpoints the same key for their message.
func plain(e *apierr.Error) *apierr.Error {
	if e.Code.MessageKey() == "Message" {
		return e
	}
	code := apierr.InvalidRequest
	if e.Status >= 500 {
		code = apierr.Unavailable
	}
	return &apierr.Error{Code: code, Status: e.Status, Message: e.Message, Err: e.Err}
}

// context returns the context of a call.
func (h *handler) context(r *http.Request) (context.Context, context.CancelFunc) {
	return xrayapi.CallContext(r, h.cfg.Timeout)
}

// trace answers GET /api/traces/{id}:
//
//	{"Duration":0.5,"Id":"1-...","Orphans":[...],"Revision":1,"Segments":[{"Document":{...},"Id":"..."}]}
func (h *handler) trace(w http.ResponseWriter, r *http.Request) error {
	text, part, _ := strings.Cut(strings.TrimPrefix(strings.TrimSuffix(r.URL.Path, "/"), "/api/traces/"), "/")
	id, err := segment.ParseAnyTraceID(text)
	if err != nil {
		return apierr.New(apierr.InvalidRequest, "%.100q is no trace id; write it like 1-58406520-a006649127e371903a2de979, or as 32 hexadecimal digits", text)
	}
	ctx, cancel := h.context(r)
	defer cancel()
	switch kind, rest, _ := strings.Cut(part, "/"); {
	case part == "":
	case part == "columns":
		return h.columns(ctx, w, r, id)
	case part == "events":
		return h.events(ctx, w, r, id)
	case part == "find":
		return h.find(ctx, w, r, id)
	case kind == "entries":
		return h.entry(ctx, w, id, rest)
	default:
		return h.notFound(w, r)
	}
	switch format := r.URL.Query().Get("format"); format {
	case "", "xray":
	case "otlp":
		return h.spans(ctx, w, r, id)
	default:
		return apierr.New(apierr.InvalidRequest, "there is no format %.100q; use xray or otlp", format)
	}
	t, err := h.stored(ctx, id)
	if err != nil {
		return err
	}
	dst := append([]byte(nil), `{"Duration":`...)
	if d, ok := t.Duration(); ok {
		dst = segment.AppendJavaDouble(dst, d)
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"Id":"`...)
	dst = append(append(dst, id.String()...), `","Orphans":`...)
	docs := t.Documents(true)
	orphans := len(docs) - len(t.Orphans) // they come last
	dst = appendDocuments(dst, docs[orphans:])
	dst = append(dst, `,"Revision":`...)
	dst = strconv.AppendInt(dst, int64(t.Revision), 10)
	dst = append(dst, `,"Segments":`...)
	dst = appendDocuments(dst, docs[:orphans])
	return reply(w, append(dst, '}'))
}

func appendDocuments(dst []byte, docs []trace.SegmentDocument) []byte {
	dst = append(dst, '[')
	for i, d := range docs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"Document":`...)
		dst = append(dst, d.Document...)
		dst = append(dst, `,"Id":`...)
		dst = append(segment.AppendString(dst, d.ID), '}')
	}
	return append(dst, ']')
}

func reply(w http.ResponseWriter, body []byte) error {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body) // an error means that the client is gone
	return nil
}

// clocks are the values of the parameter clock.
var clocks = map[string]tracestore.Clock{
	"":        tracestore.ClockStart,
	"start":   tracestore.ClockStart,
	"changed": tracestore.ClockChanged,
	"end":     tracestore.ClockEnd,
}

// traces answers GET /api/traces?filter=&start=&end=&clock=&limit=&token= as
// GetTraceSummaries does, with InProgress and OrphanOnly in each summary. Times
// are epoch seconds or RFC 3339; by default the last hour.
func (h *handler) traces(w http.ResponseWriter, r *http.Request) error {
	q, err := parameters(r, "filter", "start", "end", "clock", "limit", "token", "shape")
	if err != nil {
		return err
	}
	shape, err := boolParameter(q, "shape")
	if err != nil {
		return err
	}
	start, end, err := h.window(q)
	if err != nil {
		return err
	}
	clock, ok := clocks[q.Get("clock")]
	if !ok {
		return apierr.New(apierr.InvalidRequest, "clock is start, changed or end, not %.40q", q.Get("clock"))
	}
	limit, err := intParameter(q, "limit", query.DefaultPageRows, query.MaxPageRows)
	if err != nil {
		return err
	}
	filter, err := h.filterParameter(q)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(r)
	defer cancel()
	page, err := h.cfg.Query.Summaries(ctx, query.Question{
		Clock: clock, Filter: filter, Start: trace.Nanos(start), End: trace.Nanos(end), Orphans: true,
		Rows: int(limit), Token: q.Get("token"),
	})
	if errors.Is(err, query.ErrToken) {
		return apierr.New(apierr.InvalidRequest, "the token does not belong to this question; begin again without one")
	}
	if err != nil {
		return err
	}
	own := xrayapi.Own
	if shape {
		own = xrayapi.OwnWithShape
	}
	return reply(w, xrayapi.AppendSummaries(nil, page, clock, start, own))
}

// window reads the parameters start and end, in epoch seconds; by default the last hour.
func (h *handler) window(q url.Values) (start, end float64, err error) {
	if end, err = timeParameter(q, "end", float64(h.cfg.Now().UnixMilli())/1e3); err != nil {
		return 0, 0, err
	}
	if start, err = timeParameter(q, "start", end-3600); err != nil {
		return 0, 0, err
	}
	if end < start {
		return 0, 0, apierr.New(apierr.InvalidRequest, "end is earlier than start")
	}
	return start, end, nil
}

// parameters returns the query of r and refuses names that mean nothing here: a
// misspelt bound must not give an answer to another question.
func parameters(r *http.Request, names ...string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, apierr.New(apierr.InvalidRequest, "the parameters after ? cannot be read: %v", err)
	}
next:
	for name := range q {
		for _, known := range names {
			if name == known {
				continue next
			}
		}
		have := strings.Join(names, ", ")
		if have == "" {
			have = "none"
		}
		return nil, apierr.New(apierr.InvalidRequest, "unknown parameter %.40q; there are %s", name, have)
	}
	return q, nil
}

func timeParameter(q url.Values, name string, def float64) (float64, error) {
	text := q.Get(name)
	if text == "" {
		return def, nil
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
		return f, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return float64(t.UnixMicro()) / 1e6, nil
	}
	return 0, apierr.New(apierr.InvalidRequest, "%s is %.40q; give epoch seconds or a time like 2026-11-22T14:00:00Z", name, text)
}

// intParameter returns a number from 1 to max.
func intParameter(q url.Values, name string, def, max uint64) (uint64, error) {
	text := q.Get(name)
	if text == "" {
		return def, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n < 1 || n > max {
		return 0, apierr.New(apierr.InvalidRequest, "%s is %.40q; give a number from 1 to %d", name, text, max)
	}
	return n, nil
}

const (
	defaultLetters = 100
	maxLetters     = 1000
)

// deadLetters answers GET /api/dead-letters?before=&limit=, newest first:
//
//	{"DeadLetters":[{"Code":"MissingId","Detail":"...","Document":"{...","Id":"...","Message":"...",
//	"N":7,"Peer":"127.0.0.1:5000","Remedy":"...","Size":1000,"Source":"udp","Time":1.79E9}],"Next":7}
//
// Document is the beginning of the document, Size the bytes of all of it, Time
// its receipt in epoch seconds. Next is the before of the next page, null on the last.
func (h *handler) deadLetters(w http.ResponseWriter, r *http.Request) error {
	q, err := parameters(r, "before", "limit")
	if err != nil {
		return err
	}
	before, err := intParameter(q, "before", 0, math.MaxUint64)
	if err != nil {
		return err
	}
	limit, err := intParameter(q, "limit", defaultLetters, maxLetters)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(r)
	defer cancel()
	// One more than wanted tells whether there is another page.
	letters, err := h.cfg.DeadLetters.DeadLetters(ctx, before, int(limit)+1)
	if err != nil {
		return err
	}
	more := len(letters) > int(limit)
	if more {
		letters = letters[:limit]
	}
	dst := append([]byte(nil), `{"DeadLetters":[`...)
	for i := range letters {
		l := &letters[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		text := func(key, value string) {
			dst = append(append(append(dst, `,"`...), key...), `":`...)
			if value == "" {
				dst = append(dst, "null"...)
			} else {
				dst = segment.AppendString(dst, value)
			}
		}
		dst = append(dst, `{"Code":`...)
		dst = segment.AppendString(dst, l.Code)
		text("Detail", l.Detail)
		dst = append(dst, `,"Document":`...)
		dst = segment.AppendStringBytes(dst, l.Document)
		text("Id", l.ID)
		text("Message", l.Message)
		dst = append(dst, `,"N":`...)
		dst = strconv.AppendUint(dst, l.N, 10)
		text("Peer", l.Peer)
		text("Remedy", l.Remedy)
		dst = append(dst, `,"Size":`...)
		dst = strconv.AppendInt(dst, int64(l.Size), 10)
		text("Source", l.Source)
		dst = append(dst, `,"Time":`...)
		dst = append(segment.AppendJavaDouble(dst, float64(l.Time)/1e3), '}')
	}
	dst = append(dst, `],"Next":`...)
	if more {
		dst = strconv.AppendUint(dst, letters[len(letters)-1].N, 10)
	} else {
		dst = append(dst, "null"...)
	}
	return reply(w, append(dst, '}'))
}
