package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/roentgen-io/roentgen/internal/agent/spool"
	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/internal/telemetry"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

const (
	// maxBody bounds a request: a document of the largest size, every character of
	// which is escaped.
	maxBody = 2*MaxDocument + 64<<10
	// maxBodies bounds all requests under way.
	maxBodies = 12 << 20
	// maxPutting bounds the calls of PutTraceSegments being worked on: each counts
	// twice its body, for the documents that are taken from it. Others wait.
	maxPutting = 6 << 20
	// putPatience is how long they do.
	putPatience = 5 * time.Second
	// maxCall is how many documents one PutTraceSegments may carry.
	maxCall = 10_000
	// proxyPatience bounds a proxied call.
	proxyPatience = 30 * time.Second
)

// forwarder is an Exporter that other calls can be passed on to.
type forwarder interface {
	Forward(ctx context.Context, method, path string, query url.Values, header http.Header, body []byte) (answer, error)
}

// handler serves HTTP on the agent's port: documents are taken, the agent shows
// itself, and everything else is signed and passed on.
type handler struct {
	in        *intake
	bodies    *xrayapi.Bodies
	putting   *semaphore.Weighted // bytes, up to maxPutting
	sampling  *samplingCache
	proxy     atomic.Pointer[forwarderBox]
	own       http.Handler // pages
	logger    *slog.Logger
	limit     telemetry.Limiter
	fromCache atomic.Int64
	proxied   atomic.Int64
}

type forwarderBox struct {
	forwarder
	name string
}

// isOwn reports whether a path is one of the agent's own pages.
func isOwn(path string) bool {
	return path == "/" || path == "/metrics" || path == "/status" || path == "/dead-letters" ||
		strings.HasPrefix(path, "/-/") || path == "/debug" || strings.HasPrefix(path, "/debug/")
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if (r.Method == http.MethodGet || r.Method == http.MethodHead || strings.HasPrefix(r.URL.Path, "/debug/")) && isOwn(r.URL.Path) {
		h.own.ServeHTTP(w, r)
		return
	}
	if r.Method == http.MethodPost && r.URL.Path == "/TraceSegments" {
		done, err := h.awaitTurn(r)
		if err != nil {
			h.fail(w, err)
			return
		}
		defer done()
	}
	body, err := h.bodies.Read(r, maxBody)
	if err != nil {
		h.fail(w, err)
		return
	}
	defer body.Free()
	if r.Method == http.MethodPost {
		switch r.URL.Path {
		case "/TraceSegments":
			h.putTraceSegments(w, r, body)
			return
		case rulesPath, targetsPath:
			h.serveSampling(w, r, body.Data)
			return
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), proxyPatience)
	defer cancel()
	a, err := h.forward(ctx, r, body.Data)
	h.pass(w, a, err)
}

// awaitTurn waits until there is memory for a PutTraceSegments call.
func (h *handler) awaitTurn(r *http.Request) (done func(), err error) {
	size := r.ContentLength
	if size < 0 || r.Header.Get("Content-Encoding") != "" {
		size = 1 << 20 // nobody knows
	}
	cost := min(2*size+4096, maxPutting)
	ctx, cancel := context.WithTimeout(r.Context(), putPatience)
	defer cancel()
	if err := h.putting.Acquire(ctx, cost); err != nil {
		return nil, apierr.New(apierr.Throttled, "Too many calls at once; try again later")
	}
	return func() { h.putting.Release(cost) }, nil
}

func (h *handler) fail(w http.ResponseWriter, err error) {
	var api *apierr.Error
	if errors.As(err, &api) {
		xrayapi.WriteError(w, api)
		return
	}
	panic(http.ErrAbortHandler) // the client is gone
}

// putTraceSegments takes documents and answers when they are on the disk. What
// every destination would refuse is refused at once, with the same words.
func (h *handler) putTraceSegments(w http.ResponseWriter, r *http.Request, body *xrayapi.Body) {
	docs, err := xrayapi.SegmentDocuments(body.Data, maxCall)
	if err != nil {
		h.fail(w, err)
		return
	}
	body.Free()
	out := []byte(`{"UnprocessedTraceSegments":[`)
	put := call{via: r.Header.Get(ingest.HeaderVia)}
	refused := 0
	for _, doc := range docs {
		segment.ParseAll(doc, segment.Limits{DocumentBytes: MaxDocument}, func(text []byte, s *segment.Segment) {
			put.docs, put.marks = append(put.docs, text), append(put.marks, markOf(s, text))
		}, func(_ []byte, u *segment.Refusal) {
			if refused > 0 {
				out = append(out, ',')
			}
			refused++
			out = append(out, `{"ErrorCode":`...)
			out = segment.AppendString(out, string(u.Code))
			out = append(out, `,"Id":`...)
			if u.HasID {
				out = segment.AppendString(out, u.ID)
			} else {
				out = append(out, "null"...)
			}
			out = append(out, `,"Message":`...)
			out = append(segment.AppendString(out, u.Message), '}')
		})
	}
	h.in.rejected.http.Add(int64(refused))
	if err := h.in.putCall(r.Context(), put); err != nil {
		switch {
		case r.Context().Err() != nil:
			panic(http.ErrAbortHandler)
		case errors.Is(err, spool.ErrClosed):
			xrayapi.WriteError(w, apierr.New(apierr.Unavailable, "The agent is stopping; try again in a moment"))
		default:
			h.limit.Log(h.logger, slog.LevelError, "documents refused", slog.Any("err", err))
			xrayapi.WriteError(w, apierr.Wrap(err, apierr.Unavailable, "The spool takes nothing at the moment (%v); try again later", err))
		}
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(out, "]}"...)) // the client may be gone
}

var errRound = errors.New("it came back from where this agent passes calls on to; a destination leads back here")

var errNowhere = errors.New("no destination answers calls; name one of the X-Ray API")

// forward passes a request on and reads the answer.
func (h *handler) forward(ctx context.Context, r *http.Request, body []byte) (answer, error) {
	p := h.proxy.Load()
	if p == nil {
		return answer{}, errNowhere
	}
	via, back := h.in.outbox.loops.through(r.Header.Get(ingest.HeaderVia))
	if back {
		return answer{}, errRound
	}
	r.Header.Set(ingest.HeaderVia, via)
	h.proxied.Add(1)
	return p.Forward(ctx, r.Method, r.URL.Path, r.URL.Query(), r.Header, body)
}

// pass gives the destination's answer to the client, unchanged.
func (h *handler) pass(w http.ResponseWriter, a answer, err error) {
	if err != nil {
		level := slog.LevelWarn
		if errors.Is(err, errNowhere) {
			level = slog.LevelDebug // it is meant so
		}
		h.limit.Log(h.logger, level, "call not passed on", slog.Any("err", err))
		xrayapi.WriteError(w, &apierr.Error{Code: apierr.Unavailable, Status: http.StatusBadGateway,
			Message: fmt.Sprintf("The agent could not pass the call on: %v", err)})
		return
	}
	header := w.Header()
	for name, values := range a.header {
		if !hopByHop[name] {
			header[name] = values
		}
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the client may be gone
}

// hopByHop are headers that concern one connection only.
var hopByHop = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Authenticate": true, "Proxy-Authorization": true, "Proxy-Connection": true,
	"Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true, "Content-Length": true,
}

// Forward sends a request with this destination's signature in place of the
// sender's. As with the X-Ray daemon a path in the endpoint plays no part.
func (e *xrayExporter) Forward(ctx context.Context, method, path string, query url.Values, header http.Header, body []byte) (answer, error) {
	a, err := e.forward(ctx, method, path, query, header, body)
	if err == nil && a.status == http.StatusForbidden {
		if code, _ := errorOf(&a); credentialCodes[code] {
			// Perhaps the destination was not known to ask for a signature, or the
			// credentials were changed.
			e.adjustClock(&a)
			e.cfg.identity.rejected()
			return e.forward(ctx, method, path, query, header, body)
		}
	}
	return a, err
}

func (e *xrayExporter) forward(ctx context.Context, method, path string, query url.Values, header http.Header, body []byte) (answer, error) {
	endpoint, region, credentials, err := e.cfg.identity.resolve(ctx)
	if err != nil {
		return answer{}, err
	}
	u := *endpoint
	u.Path, u.RawPath, u.RawQuery = path, "", query.Encode()
	req, err := newRequest(ctx, method, u.String(), body)
	if err != nil {
		return answer{}, err
	}
	for name, values := range header {
		// What belongs to the sender's signature or connection stays behind.
		if hopByHop[name] || name == "Authorization" || name == "Accept-Encoding" || name == "Content-Encoding" ||
			name == ingest.HeaderVia && !e.cfg.takesSpans || // which concerns nobody else
			strings.HasPrefix(name, "X-Amz-") || name == "Forwarded" || strings.HasPrefix(name, "X-Forwarded-") {
			continue
		}
		req.Header[name] = values
	}
	if _, ok := req.Header["User-Agent"]; !ok {
		req.Header.Set("User-Agent", e.cfg.userAgent)
	}
	if credentials != nil {
		if err := e.sign(ctx, req, body, *credentials, region); err != nil {
			return answer{}, err
		}
	}
	return readAnswer(e.client, req)
}
