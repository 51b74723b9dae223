package webapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/roentgen-io/roentgen/internal/filterexpr"
	"github.com/roentgen-io/roentgen/internal/keys"
	"github.com/roentgen-io/roentgen/internal/query"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

// filterParameter reads the parameter filter; nil when it is empty.
func (h *handler) filterParameter(q url.Values) (*query.Filter, error) {
	text := q.Get("filter")
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	f, err := h.cfg.Query.Filter(text)
	if err != nil {
		return nil, xrayapi.FilterError(err)
	}
	return f, nil
}

const (
	// keepAlive is how often a stream that has nothing to say shows that it lives.
	keepAlive = 10 * time.Second
	// maxStreams bounds the streams that run at a time.
	maxStreams = 64
)

// tail answers GET /api/tail?filter=&orphans=&shape= for as long as the client listens,
// one JSON object a line: the summary of a trace that changed and matches, in
// the form of /api/traces, or {"Missed":n}, the number of changed traces that
// could not be looked at because too many change. Empty lines come every 10 s
// while there is nothing to tell. With Accept: text/event-stream the same objects come
// as server-sent events.
func (h *handler) tail(w http.ResponseWriter, r *http.Request) error {
	q, err := parameters(r, "filter", "orphans", "shape")
	if err != nil {
		return err
	}
	shape, err := boolParameter(q, "shape")
	if err != nil {
		return err
	}
	own := xrayapi.Own
	if shape {
		own = xrayapi.OwnWithShape
	}
	orphans, err := boolParameter(q, "orphans")
	if err != nil {
		return err
	}
	f, err := h.filterParameter(q)
	if err != nil {
		return err
	}
	if n := h.streams.Add(1); n > maxStreams {
		h.streams.Add(-1)
		return apierr.New(apierr.Throttled, "%d clients follow already; try again when one has gone", maxStreams)
	}
	defer h.streams.Add(-1)
	out := &stream{w: w, rc: http.NewResponseController(w), events: strings.Contains(r.Header.Get("Accept"), "text/event-stream")}
	contentType := "application/x-ndjson"
	if out.events {
		contentType = "text/event-stream"
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Accel-Buffering", "no") // proxies are not to collect lines
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if h.cfg.Stopping != nil {
		defer context.AfterFunc(h.cfg.Stopping, cancel)()
	}
	err = h.cfg.Query.Follow(ctx, f, orphans, keepAlive, func(row *trace.Row, missed int) error {
		if !keys.Holds(ctx) {
			return errNoLongerAdmitted
		}
		if missed > 0 {
			if err := out.send(append(strconv.AppendInt([]byte(`{"Missed":`), int64(missed), 10), '}')); err != nil {
				return err
			}
		}
		if row == nil {
			if missed > 0 {
				return nil
			}
			return out.send(nil)
		}
		return out.send(xrayapi.AppendSummary(nil, row, own))
	})
	if ctx.Err() == nil {
		h.cfg.Logger.Debug("stream ended", "peer", r.RemoteAddr, "err", err)
	}
	return http.ErrAbortHandler // the answer has begun: the end of the connection is its end
}

// errNoLongerAdmitted ends a stream whose key was revoked, or whose session ended.
var errNoLongerAdmitted = errors.New("whoever asked may no longer")

// stream writes objects to a client as they come.
type stream struct {
	w      http.ResponseWriter
	rc     *http.ResponseController
	events bool
	buf    []byte
}

// send writes one object, or nothing but a sign of life.
func (s *stream) send(object []byte) error {
	s.buf = s.buf[:0]
	switch {
	case s.events && object == nil:
		s.buf = append(s.buf, ":\n\n"...)
	case s.events:
		s.buf = append(append(append(s.buf, "data: "...), object...), "\n\n"...)
	default:
		s.buf = append(append(s.buf, object...), '\n')
	}
	if _, err := s.w.Write(s.buf); err != nil {
		return err
	}
	return s.rc.Flush()
}

// maxQuestion bounds the body of an explanation: an expression and an id.
const maxQuestion = 256 << 10

type explainQuestion struct {
	Expression string
	TraceID    string `json:"TraceId"`
}

// explainAnswer is the answer of /api/explain.
type explainAnswer struct {
	Valid       bool
	Error       *filterexpr.Error       `json:",omitempty"`
	Expression  string                  `json:",omitempty"`
	Matches     *bool                   // null without a trace, or when it would take too long to tell
	Explanation *filterexpr.Explanation `json:",omitempty"`
}

// explain answers POST /api/explain with {"Expression":"...","TraceId":"1-..."}:
// how an expression is understood and, when a trace is named, which part of it is
// true there and why. An expression that is none is an answer too: Valid is
// false, and Error tells where, what was expected, and what may have been meant.
func (h *handler) explain(w http.ResponseWriter, r *http.Request) error {
	body, err := h.cfg.Bodies.Read(r, maxQuestion)
	if err != nil {
		return err
	}
	defer body.Free()
	var ask explainQuestion
	if err := json.Unmarshal(body.Data, &ask); err != nil {
		return apierr.New(apierr.InvalidRequest, `send {"Expression":"...","TraceId":"1-..."}; TraceId may be left out (%v)`, err)
	}
	if strings.TrimSpace(ask.Expression) == "" {
		return apierr.New(apierr.InvalidRequest, "Expression is empty")
	}
	var row *trace.Row
	if ask.TraceID != "" {
		id, err := segment.ParseAnyTraceID(ask.TraceID)
		if err != nil {
			return apierr.New(apierr.InvalidRequest, "%.100q is no trace id; write it like 1-58406520-a006649127e371903a2de979, or as 32 hexadecimal digits", ask.TraceID)
		}
		ctx, cancel := h.context(r)
		defer cancel()
		t, err := h.cfg.Query.Trace(ctx, id)
		if err != nil {
			return err
		}
		if t == nil {
			return apierr.New(apierr.ResourceNotFound, "no document of trace %s is stored", id)
		}
		row = t.FullRow()
	}
	f, err := h.cfg.Query.Filter(ask.Expression)
	if err != nil {
		var syntax *filterexpr.Error
		if !errors.As(err, &syntax) {
			return xrayapi.FilterError(err)
		}
		return replyJSON(w, explainAnswer{Error: syntax})
	}
	answer := explainAnswer{Valid: true, Expression: f.Expr().String(), Explanation: f.Expr().Explain(row)}
	matches := answer.Explanation.Truth == filterexpr.True.String()
	if matches || answer.Explanation.Truth == filterexpr.False.String() {
		answer.Matches = &matches
	}
	return replyJSON(w, answer)
}

func replyJSON(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return reply(w, body)
}

const (
	defaultWords = 50
	maxWords     = 1000
)

// completeAnswer is the answer of /api/complete.
type completeAnswer struct {
	Kind       string // what may stand at the cursor
	Start, End int    // bytes of the text that an item replaces
	Items      []completeItem
	Traces     int  // whose words were counted
	Partial    bool // more traces, or more words, were there than were looked at
}

type completeItem struct {
	Text   string // what to put in place, quoted where it must be
	Detail string `json:",omitempty"`
	Count  *int   // traces that have the word; null for words of the language
}

// complete answers
//
//	GET /api/complete?text=&cursor=&start=&end=&limit=
//	GET /api/complete?kind=&key=&prefix=&start=&end=&limit=
//
// The first form completes an expression at a place (in bytes; the end of the text
// when it is left out): keywords and operators by the grammar, names, keys and
// values from the traces of the window (by default the last hour), most frequent
// first. The second lists words of one kind, for menus: service_name, service_type,
// annotation_key, annotation_value (of key), user, url, method, status, and so on.
func (h *handler) complete(w http.ResponseWriter, r *http.Request) error {
	q, err := parameters(r, "text", "cursor", "kind", "key", "prefix", "start", "end", "limit")
	if err != nil {
		return err
	}
	end := float64(h.cfg.Now().UnixMilli())/1e3 + 60
	if end, err = timeParameter(q, "end", end); err != nil {
		return err
	}
	start, err := timeParameter(q, "start", end-3600)
	if err != nil {
		return err
	}
	limit, err := intParameter(q, "limit", defaultWords, maxWords)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(r)
	defer cancel()
	answer := completeAnswer{Items: []completeItem{}}
	kind, key, prefix := query.Kind(q.Get("kind")), q.Get("key"), q.Get("prefix")
	write := func(word query.Word) string { return word.Text }
	if kind == "" {
		text := q.Get("text")
		cursor := len(text)
		if q.Get("cursor") != "" {
			n, err := strconv.Atoi(q.Get("cursor"))
			if err != nil || n < 0 || n > len(text) {
				return apierr.New(apierr.InvalidRequest, "cursor is %.40q; give a place in text, from 0 to %d", q.Get("cursor"), len(text))
			}
			cursor = n
		}
		c := filterexpr.Complete(text, cursor)
		answer.Start, answer.End = c.Start, c.End
		for _, k := range c.Keywords {
			answer.Items = append(answer.Items, completeItem{Text: k.Text, Detail: k.Detail})
		}
		kind, key, prefix = c.Kind, c.Key, c.Prefix
		write = func(word query.Word) string {
			switch {
			case kind == filterexpr.CompleteAnnotationKey:
				return filterexpr.AnnotationText(word.Text)
			case word.Type == segment.TypeString:
				return filterexpr.Quote(word.Text)
			}
			return word.Text
		}
	} else {
		answer.End = len(prefix)
		if !query.Counted(kind) {
			return apierr.New(apierr.InvalidRequest, "there are no words of the kind %.40q; kinds are service_name, service_type, annotation_key, annotation_value, user, url, method, status and those that an answer without kind names", kind)
		}
	}
	answer.Kind = string(kind)
	if query.Counted(kind) {
		words, err := h.cfg.Query.Vocabulary(ctx, kind, key, prefix, trace.Nanos(start), trace.Nanos(end), int(limit))
		if err != nil {
			return err
		}
		answer.Traces, answer.Partial = words.Traces, words.Partial
		for _, word := range words.Words {
			n := word.Count
			answer.Items = append(answer.Items, completeItem{Text: write(word), Count: &n})
		}
	}
	answer.Items = answer.Items[:min(len(answer.Items), int(limit))]
	return replyJSON(w, answer)
}

func boolParameter(q url.Values, name string) (bool, error) {
	switch text := q.Get(name); text {
	case "", "0", "false":
		return false, nil
	case "1", "true":
		return true, nil
	default:
		return false, apierr.New(apierr.InvalidRequest, "%s is %.40q; give true or false", name, text)
	}
}
