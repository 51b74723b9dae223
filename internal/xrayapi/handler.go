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
	"github.com/roentgen-io/roentgen/internal/ratelimit"
	"github.com/roentgen-io/roentgen/internal/reports"
	"github.com/roentgen-io/roentgen/internal/sampling"
	"github.com/roentgen-io/roentgen/internal/servicegraph"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

// The bounds on bodies without Config.AWSLimits, and with it, and those that are
// always the same.
const (
	defaultBodyBytes   = 64 << 20
	awsBodyBytes       = 8 << 20 // AWS does not say; 50 documents of 64 KB, escaped, fit well
	defaultBodiesBytes = 128 << 20
	readBodyBytes      = 4 << 20 // for everything but PutTraceSegments
	defaultTimeout     = 60 * time.Second
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
	// the caller. nil: expressions are refused (501).
	Selector func(text string) (servicegraph.Selection, error)
	// Control holds the groups; nil: there is only the Default one.
	Control *control.Store
	// Sampler knows the clients that take their sampling from here; nil: the handler
	// has its own.
	Sampler *sampling.Sampler

	// Reports keeps what daemons tell about themselves; nil: in memory.
	Reports *reports.Keeper

	AWSLimits bool   // AWS's quotas and refusals instead of the generous ones
	Limits    Limits // in place of these, where not 0
	BodyBytes int64  // largest request body; 0: 64 MB, with AWSLimits 8 MB
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
	limits     Limits
	answerPage int // bytes after which an answer of BatchGetTraces ends
	rate       *ratelimit.Bucket
	metrics    *metrics
	rules      atomic.Pointer[rulesAnswer]
	retrievals *retrievals
	logged     atomic.Int64 // unix seconds of the last logged server error
}

// New returns the handler of the X-Ray API.
func New(cfg Config) *Handler {
	h := &Handler{limits: cfg.Limits.or(defaultLimits), answerPage: defaultAnswerPage}
	body := int64(defaultBodyBytes)
	if cfg.AWSLimits {
		h.limits, body = cfg.Limits.or(awsLimits), awsBodyBytes
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
		cfg.Control, _ = control.Open(control.Options{Region: cfg.Region, AccountID: cfg.AccountID, Logger: cfg.Logger, Now: cfg.Now})
	}
	if cfg.Reports == nil {
		cfg.Reports = reports.Open(reports.Options{Now: cfg.Now})
	}
	if cfg.Sampler == nil {
		cfg.Sampler = sampling.New()
	}
	h.cfg = cfg
	h.rate = ratelimit.New(int64(h.limits.DocumentRate), cfg.Now)
	h.metrics = newMetrics(cfg.Registerer, cfg.Bodies, cfg.Sampler)
	h.retrievals = newRetrievals(cfg.Now)
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
	return lookup(path) != nil
}

// lookup finds the operation of a path. Clients append it to whatever base path
// their endpoint has, so the last element decides. It is nil when there is none.
func lookup(path string) *operation {
	path = strings.TrimRight(path, "/")
	name := path[strings.LastIndexByte(path, '/')+1:]
	return operations[name]
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	op := lookup(r.URL.Path)
	c := &call{w: w, r: r, op: op, id: newRequestID()}
	name := "unknown"
	if op != nil {
		name = op.name
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header["x-amzn-RequestId"] = []string{c.id} // the service's own spelling
	header.Set("X-Content-Type-Options", "nosniff")

	err := h.serve(c)
	code := "ok"
	if err != nil {
		code = h.fail(c, err)
	}
	h.metrics.done(name, code, time.Since(begin))
	if err != nil && code == codeAborted {
		panic(http.ErrAbortHandler) // closes the connection without an answer
	}
}

func (h *Handler) serve(c *call) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				err = http.ErrAbortHandler
				return
			}
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if c.op == nil {
		return apierr.New(apierr.UnknownOperation,
			"There is no operation %s %.100s; the operations of the X-Ray API are POST requests, e.g. POST /TraceSegments", c.r.Method, c.r.URL.Path)
	}
	if c.r.Method != http.MethodPost {
		c.w.Header().Set("Allow", http.MethodPost)
		return apierr.New(apierr.MethodNotAllowed, "Use POST with a JSON body instead of %.20s", c.r.Method)
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
func WriteError(w http.ResponseWriter, e *apierr.Error) { WriteErrorAs(w, e, e.Code.MessageKey()) }

// WriteErrorAs writes an error answer with the given key for its message.
func WriteErrorAs(w http.ResponseWriter, e *apierr.Error, messageKey string) {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("X-Content-Type-Options", "nosniff")
	header["x-amzn-errortype"] = []string{string(e.Code)}
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if header.Get("Retry-After") == "" { // the caller may know better
			header.Set("Retry-After", "1")
		}
	case http.StatusRequestEntityTooLarge, http.StatusRequestTimeout:
		header.Set("Connection", "close") // the rest of the body is not wanted
	}
	body := append([]byte(`{"`), messageKey...)
	body = append(body, `":`...)
	body = segment.AppendString(body, e.Message)
	if e.Resource != "" {
		body = segment.AppendString(append(body, `,"ResourceName":`...), e.Resource)
	}
	body = append(body, '}')
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
