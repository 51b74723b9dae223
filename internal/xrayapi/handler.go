package xrayapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/control"
	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/internal/query"
	"github.com/roentgen-io/roentgen/internal/servicegraph"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

// The limits of a handler without Config.AWSLimits, and with it.
const (
	defaultBodyBytes    = 64 << 20
	awsBodyBytes        = 8 << 20 // AWS does not say; 50 documents of 64 KB, escaped, fit well
	defaultBodiesBytes  = 128 << 20
	readBodyBytes       = 4 << 20 // for everything but PutTraceSegments
	defaultDocuments    = 10_000
	awsDocuments        = 50
	defaultTraceIDs     = 100
	awsTraceIDs         = 5
	awsDocumentsPerTime = 2600 // a second
	defaultTimeout      = 60 * time.Second
)

// Config sets up a Handler.
type Config struct {
	Ingester *ingest.Ingester
	Query    *query.Service
	// Graph reads the service graph; nil: it is not kept.
	Graph tracestore.GraphReader
	// Group finds the groups other than Default; nil: there are none.
	Group GroupFinder
	// Selector reads an EntitySelectorExpression; the text of its errors goes to
	// the caller. nil: expressions are refused as not built yet.
	Selector func(text string) (servicegraph.Selection, error)
	// Control holds the groups; nil: there is only the Default one.
	Control *control.Store

	AWSLimits bool  // AWS's quotas and refusals instead of the generous ones
	BodyBytes int64 // largest request body; 0: 64 MB, with AWSLimits 8 MB
	// Bodies bounds all request bodies together; nil: 128 MB for this handler.
	Bodies *Bodies
	// Timeout ends a call that the store does not answer; 0: 60 s.
	Timeout time.Duration

	Region    string // in ARNs; "": us-east-1
	AccountID string // in ARNs; "": 000000000000

	Logger     *slog.Logger          // nil: discard
	Registerer prometheus.Registerer // nil: no metrics are shown
	Now        func() time.Time      // nil: time.Now
}

// Handler serves the X-Ray API.
type Handler struct {
	cfg        Config
	documents  int // at most, in a PutTraceSegments
	traceIDs   int // at most, in a BatchGetTraces
	answerPage int // bytes after which an answer of BatchGetTraces ends
	rate       *bucket
	metrics    *metrics
	telemetry  telemetry
	sampling   *sampling
	logged     atomic.Int64 // unix seconds of the last logged server error
}

// New returns the handler of the X-Ray API.
func New(cfg Config) *Handler {
	h := &Handler{documents: defaultDocuments, traceIDs: defaultTraceIDs, answerPage: defaultAnswerPage}
	body := int64(defaultBodyBytes)
	if cfg.AWSLimits {
		h.documents, h.traceIDs, body = awsDocuments, awsTraceIDs, awsBodyBytes
	}
	if cfg.BodyBytes <= 0 {
		cfg.BodyBytes = body
	}
	if cfg.Bodies == nil {
		cfg.Bodies = NewBodies(defaultBodiesBytes)
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	if cfg.AccountID == "" {
		cfg.AccountID = "000000000000"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Logger = cfg.Logger.With(slog.String("component", "xrayapi"))
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Control == nil {
		// In memory, without a file to read, it opens always.
		cfg.Control, _ = control.Open(control.Options{Region: cfg.Region, AccountID: cfg.AccountID, Logger: cfg.Logger})
	}
	h.cfg = cfg
	if cfg.AWSLimits {
		h.rate = newBucket(awsDocumentsPerTime, cfg.Now)
	}
	h.sampling = newSampling(cfg.Now)
	h.metrics = newMetrics(cfg.Registerer, cfg.Bodies)
	return h
}

// operation is one operation of the API.
type operation struct {
	name  string
	input *shape
	// serve answers a decoded and validated request.
	serve func(h *Handler, c *call, in *value) error
	// serveBody, when set, takes the raw body instead.
	serveBody func(h *Handler, c *call, body *Body) error
}

// call is a request under way.
type call struct {
	w  http.ResponseWriter
	r  *http.Request
	op *operation
	id string // x-amzn-RequestId
	// ctx has a deadline, and ends some time after the client closed its half of
	// the connection: it may still wait for the answer.
	ctx     context.Context
	started bool // the status line is on its way
}

// IsOperation reports whether path, with any prefix and a trailing slash or
// not, is the path of an operation of the X-Ray API.
func IsOperation(path string) bool {
	_, known := lookup(path)
	return known
}

// lookup finds the operation of a path. Clients append it to whatever base path
// their endpoint has, so the last element decides. A modelled operation that is
// not built gives nil and true.
func lookup(path string) (*operation, bool) {
	path = strings.TrimRight(path, "/")
	name := path[strings.LastIndexByte(path, '/')+1:]
	if op, ok := operations[name]; ok {
		return op, true
	}
	_, ok := notImplemented[name]
	return nil, ok
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	op, known := lookup(r.URL.Path)
	c := &call{w: w, r: r, op: op, id: newRequestID()}
	name := "unknown"
	if known {
		name = "not_implemented"
	}
	if op != nil {
		name = op.name
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header["x-amzn-RequestId"] = []string{c.id} // the service's own spelling
	header.Set("X-Content-Type-Options", "nosniff")

	err := h.serve(c, known)
	code := "ok"
	if err != nil {
		code = h.fail(c, err)
	}
	h.metrics.done(name, code, time.Since(begin))
	if err != nil && code == codeAborted {
		panic(http.ErrAbortHandler) // closes the connection without an answer
	}
}

func (h *Handler) serve(c *call, known bool) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				err = http.ErrAbortHandler
				return
			}
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if !known {
		return apierr.New(apierr.UnknownOperation,
			"There is no operation %s %.100s; the operations of the X-Ray API are POST requests, e.g. POST /TraceSegments", c.r.Method, c.r.URL.Path)
	}
	if c.r.Method != http.MethodPost {
		c.w.Header().Set("Allow", http.MethodPost)
		return apierr.New(apierr.MethodNotAllowed, "Use POST with a JSON body instead of %.20s", c.r.Method)
	}
	if c.op == nil {
		path := strings.TrimRight(c.r.URL.Path, "/")
		name := notImplemented[path[strings.LastIndexByte(path, '/')+1:]]
		return apierr.New(apierr.NotImplemented, "%s is not built yet in this version of Roentgen", name)
	}
	linger := lingerTime
	if c.op.serveBody != nil {
		linger = h.cfg.Timeout // what a client sent is stored, whether it waits or not
	}
	ctx, cancel := callContext(c.r, h.cfg.Timeout, linger)
	defer cancel()
	c.ctx = ctx

	limit := min(h.cfg.BodyBytes, readBodyBytes)
	if c.op.serveBody != nil {
		limit = h.cfg.BodyBytes
	}
	body, err := h.cfg.Bodies.Read(c.r, limit)
	if err != nil {
		return err
	}
	defer body.Free()
	if c.op.serveBody != nil {
		return c.op.serveBody(h, c, body)
	}
	in, err := decode(body.Data, c.op.input)
	if err != nil {
		return err
	}
	if err := validate(in, c.op.input); err != nil {
		return err
	}
	body.Free()
	return c.op.serve(h, c, in)
}

// reply sends a whole answer.
func (c *call) reply(body []byte) error {
	c.started = true
	c.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	c.w.Write(body) // an error means that the client is gone
	return nil
}

// codeAborted stands in metrics for a call that gets no answer.
const codeAborted = "aborted"

// fail answers a call with an error and returns its code for the metrics,
// codeAborted when the connection has to be cut instead.
func (h *Handler) fail(c *call, err error) string {
	e := toAPI(err, c.id)
	if e == nil || c.started {
		if !errors.Is(err, http.ErrAbortHandler) {
			h.log(c, err)
		}
		return codeAborted
	}
	if e.Status >= 500 && e.Status != http.StatusNotImplemented {
		h.log(c, err)
	}
	c.started = true
	WriteError(c.w, e)
	return string(e.Code)
}

// log reports trouble of ours, at most once a second: what remote peers can
// cause for each request must not fill a disk. The metrics count them all.
func (h *Handler) log(c *call, err error) {
	now := h.cfg.Now().Unix()
	if last := h.logged.Load(); last == now || !h.logged.CompareAndSwap(last, now) {
		return
	}
	h.cfg.Logger.Error("request failed", slog.String("path", c.r.URL.Path), slog.String("peer", c.r.RemoteAddr),
		slog.String("request_id", c.id), slog.Any("err", err))
}

// toAPI finds or makes what the caller gets to see of err, nil for nothing.
func toAPI(err error, requestID string) *apierr.Error {
	var e *apierr.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, http.ErrAbortHandler), errors.Is(err, context.Canceled):
		return nil
	}
	return StoreError(err, requestID)
}

// StoreError turns an error of the store into one for the caller. The codes of
// trouble that passes are such that SDKs try again.
func StoreError(err error, requestID string) *apierr.Error {
	switch {
	case errors.Is(err, tracestore.ErrOverloaded):
		return apierr.Wrap(err, apierr.Throttled, "The server has too much to store at the moment; try again later")
	case errors.Is(err, tracestore.ErrNoSpace):
		return apierr.Wrap(err, apierr.Unavailable, "The server's disk is full; try again when there is room")
	case errors.Is(err, tracestore.ErrUnavailable), errors.Is(err, tracestore.ErrClosed):
		return apierr.Wrap(err, apierr.Unavailable, "The store is not available at the moment; try again later")
	case errors.Is(err, context.DeadlineExceeded):
		return apierr.Wrap(err, apierr.Unavailable, "The store did not answer in time; try again later")
	case errors.Is(err, tracestore.ErrCorrupt):
		return apierr.Wrap(err, apierr.InternalFailure, "Stored data is damaged; the server's log tells where (request %s)", requestID)
	}
	return apierr.Wrap(err, apierr.InternalFailure, "Internal failure; the server's log tells more (request %s)", requestID)
}

// WriteError writes an error answer in the form of the X-Ray API.
func WriteError(w http.ResponseWriter, e *apierr.Error) {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("X-Content-Type-Options", "nosniff")
	header["x-amzn-errortype"] = []string{string(e.Code)}
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		header.Set("Retry-After", "1")
	case http.StatusRequestEntityTooLarge, http.StatusRequestTimeout:
		header.Set("Connection", "close") // the rest of the body is not wanted
	}
	body := append([]byte(`{"`), e.Code.MessageKey()...)
	body = append(body, `":`...)
	body = append(segment.AppendString(body, e.Message), '}')
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(e.Status)
	w.Write(body)
}

// newRequestID returns a random UUID. It only has to be unique, not secret.
func newRequestID() string {
	const digits = "0123456789abcdef"
	hi, lo := rand.Uint64(), rand.Uint64()
	hi = hi&^0xf000 | 0x4000   // version 4
	lo = lo&^(3<<62) | 0x8<<60 // variant 10
	var b [36]byte
	for i, n := 0, 0; i < len(b); i++ {
		switch i {
		case 8, 13, 18, 23:
			b[i] = '-'
			continue
		}
		w := hi
		if n >= 16 {
			w = lo
		}
		b[i] = digits[w>>(60-4*uint(n%16))&15]
		n++
	}
	return string(b[:])
}
