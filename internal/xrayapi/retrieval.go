package xrayapi

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/internal/servicegraph"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

var retrievalToken = lengths(0, 1020)

var startTraceRetrievalInput = &shape{kind: kStruct, members: []member{
	{name: "TraceIds", required: true, shape: &shape{kind: kList, elem: lengths(1, 35), hasMax: true, max: 100}},
	{name: "StartTime", required: true, shape: timeShape},
	{name: "EndTime", required: true, shape: timeShape},
}}

var listRetrievedTracesInput = &shape{kind: kStruct, members: []member{
	{name: "RetrievalToken", required: true, shape: retrievalToken},
	{name: "TraceFormat", shape: &shape{kind: kString, enum: []string{formatXRay, formatOTEL}}},
	{name: "NextToken", shape: stringShape},
}}

var getRetrievedTracesGraphInput = &shape{kind: kStruct, members: []member{
	{name: "RetrievalToken", required: true, shape: retrievalToken},
	{name: "NextToken", shape: stringShape},
}}

var cancelTraceRetrievalInput = &shape{kind: kStruct, members: []member{
	{name: "RetrievalToken", required: true, shape: retrievalToken},
}}

// The values of TraceFormat.
const (
	formatXRay = "XRAY"
	formatOTEL = "OTEL"
)

const (
	// maxRetrievals bounds the retrievals that are remembered: a hundred ids each,
	// 2 MB in all. The one that was longest not asked for makes room.
	maxRetrievals = 1_000
	// retrievalLife is how long a retrieval can be read, and how long afterwards
	// it is known to have timed out.
	retrievalLife = 60 * time.Minute

	pageTraces    = 5   // of a page of ListRetrievedTraces
	pageSpans     = 100 // of one trace on a page
	pageServices  = 1_000
	maxGraphLinks = 100
)

// The values of RetrievalStatus that there are here. SCHEDULED and RUNNING are
// for work that takes a while: what is asked for here is read when it is asked for.
const (
	retrievalReady     = "COMPLETE"
	retrievalFailed    = "FAILED"
	retrievalCancelled = "CANCELLED"
	retrievalTimeout   = "TIMEOUT"
)

// retrieval is what StartTraceRetrieval began. It holds no traces: pages are read
// from the store, as of the moment in which it began, so that they fit together.
type retrieval struct {
	token      string
	ids        []segment.TraceID
	start, end float64
	asOf       uint64
	begun      time.Time

	// What follows is guarded by the lock of retrievals.
	asked  time.Time // when somebody asked for it last
	status string    // "" until somebody has asked for it
}

// retrievals holds those that began lately.
type retrievals struct {
	now func() time.Time

	mu struct {
		sync.Mutex
		byToken map[string]*retrieval
	}
}

func newRetrievals(now func() time.Time) *retrievals {
	rs := &retrievals{now: now}
	rs.mu.byToken = make(map[string]*retrieval)
	return rs
}

// add takes up a retrieval and gives it its token.
func (rs *retrievals) add(r *retrieval) {
	var random [24]byte
	rand.Read(random[:])                    // never fails
	r.token = hex.EncodeToString(random[:]) // a token that begins with a dash is a flag to command lines
	rs.mu.Lock()
	defer rs.mu.Unlock()
	now := rs.now()
	r.begun, r.asked = now, now
	if len(rs.mu.byToken) >= maxRetrievals {
		var oldest *retrieval
		for token, other := range rs.mu.byToken {
			switch {
			case now.Sub(other.begun) >= 2*retrievalLife:
				delete(rs.mu.byToken, token)
			case oldest == nil || other.asked.Before(oldest.asked):
				oldest = other
			}
		}
		if len(rs.mu.byToken) >= maxRetrievals {
			delete(rs.mu.byToken, oldest.token)
		}
	}
	rs.mu.byToken[r.token] = r
}

// ask returns a retrieval and its status, "" when nobody has asked for it yet.
func (rs *retrievals) ask(token string) (*retrieval, string, error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	now := rs.now()
	r := rs.mu.byToken[token]
	if r == nil || now.Sub(r.begun) >= 2*retrievalLife {
		return nil, "", notFound(token, "Retrieval token %s not found", shorten(token))
	}
	r.asked = now
	if now.Sub(r.begun) >= retrievalLife {
		r.status = retrievalTimeout
	}
	return r, r.status, nil
}

// end gives a retrieval that nobody has ended the status that it ends with, and
// returns the one that it has then.
func (rs *retrievals) end(r *retrieval, status string) string {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r.status == "" || r.status == retrievalReady && status == retrievalFailed {
		r.status = status
	}
	return r.status
}

func (h *Handler) startTraceRetrieval(c *call, in *value) error {
	sh := startTraceRetrievalInput
	list := in.get(sh, "TraceIds")
	r := &retrieval{start: in.get(sh, "StartTime").number(), end: in.get(sh, "EndTime").number()}
	if r.end < r.start {
		return apierr.New(apierr.InvalidRequest, "End time cannot be earlier than start time")
	}
	if list.n == 0 {
		return apierr.New(apierr.InvalidRequest, "Zero trace ids provided")
	}
	var err error
	if r.ids, err = distinctTraceIDs(list); err != nil {
		return err
	}
	r.asOf = h.cfg.Query.LastSeq()
	h.retrievals.add(r)
	dst := segment.AppendString([]byte(`{"RetrievalToken":`), r.token)
	return c.reply(append(dst, '}'))
}

func (h *Handler) cancelTraceRetrieval(c *call, in *value) error {
	r, _, err := h.retrievals.ask(in.get(cancelTraceRetrievalInput, "RetrievalToken").text())
	if err != nil {
		return err
	}
	// A retrieval is at its end from the first look at it.
	h.retrievals.mu.Lock()
	before := r.status
	if before == "" {
		r.status = retrievalCancelled
	}
	h.retrievals.mu.Unlock()
	if before != "" {
		return apierr.New(apierr.InvalidRequest, "The trace retrieval cannot be cancelled: its status is %s", before)
	}
	return c.reply([]byte(`{}`))
}

// retrieved reads a trace of a retrieval, nil when it is none of the window, and what of it
// came as spans.
func (h *Handler) retrieved(c *call, r *retrieval, id segment.TraceID) (*trace.Trace, map[uint64]otlp.SourcedSpan, error) {
	t, spans, err := h.cfg.Query.TraceAndSpans(c.ctx, id, r.asOf)
	if err != nil || t == nil {
		return nil, nil, err
	}
	first, last := math.Inf(1), math.Inf(-1)
	var span func(e *trace.Entity)
	span = func(e *trace.Entity) {
		s := e.Segment
		first, last = min(first, s.StartTime), max(last, s.StartTime)
		if !s.InProgress {
			last = max(last, s.EndTime)
		}
		for _, child := range e.Children { // no more than 500 levels
			span(child)
		}
	}
	for _, e := range t.Segments {
		span(e)
	}
	if first > r.end || last < r.start { // also without any segment
		return nil, nil, nil
	}
	return t, spans, nil
}

// failed turns an error of reading into the status of the retrieval, when it is
// one that stays.
func (h *Handler) failedRetrieval(r *retrieval, err error) error {
	if !errors.Is(err, tracestore.ErrCorrupt) {
		return err
	}
	h.retrievals.end(r, retrievalFailed)
	return nil
}

func (h *Handler) listRetrievedTraces(c *call, in *value) error {
	sh := listRetrievedTracesInput
	r, status, err := h.retrievals.ask(in.get(sh, "RetrievalToken").text())
	if err != nil {
		return err
	}
	format := formatXRay
	if v := in.get(sh, "TraceFormat"); v != nil {
		format = v.s
	}
	at := place{}
	if v := in.get(sh, "NextToken"); v != nil {
		var ok bool
		if at, ok = r.place(v.s, format); !ok {
			return invalidToken(v.s)
		}
	}
	var page []byte
	next := "null"
	if status == "" || status == retrievalReady {
		var after *place
		page, after, err = h.retrievedPage(c, r, format, at)
		if err != nil {
			if err := h.failedRetrieval(r, err); err != nil {
				return err
			}
			h.log(c, err)
			page, after = nil, nil
		}
		// Somebody may have cancelled it meanwhile.
		if status = h.retrievals.end(r, retrievalReady); status != retrievalReady {
			page, after = nil, nil
		}
		if after != nil {
			next = `"` + r.next(*after, format) + `"`
		}
	}
	dst := append(make([]byte, 0, len(page)+200), `{"NextToken":`...)
	dst = append(append(dst, next...), `,"RetrievalStatus":"`+status+`","TraceFormat":"`+format+`","Traces":[`...)
	return c.reply(append(append(dst, page...), "]}"...))
}

// place is where a page begins: a trace, and a span of it.
type place struct{ trace, span uint32 }

// retrievedPage returns the traces of a page and where the next one begins, nil on
// the last.
func (h *Handler) retrievedPage(c *call, r *retrieval, format string, at place) (page []byte, next *place, err error) {
	for n := 0; int(at.trace) < len(r.ids); at = (place{trace: at.trace + 1}) {
		if n == pageTraces || len(page) >= h.answerPage {
			return page, &at, nil
		}
		t, spans, err := h.retrieved(c, r, r.ids[at.trace])
		if err != nil {
			return nil, nil, err
		}
		if t == nil {
			continue
		}
		if n > 0 {
			page = append(page, ',')
		}
		n++
		var more bool
		if page, more = h.appendRetrieved(page, t, spans, format, &at); more {
			return page, &at, nil
		}
	}
	return page, nil, nil
}

// appendRetrieved appends the spans of a trace from a place on, and moves the place
// when there are more.
func (h *Handler) appendRetrieved(dst []byte, t *trace.Trace, spans map[uint64]otlp.SourcedSpan, format string, at *place) (_ []byte, more bool) {
	dst = append(dst, `{"Duration":`...)
	d, ok := t.Duration()
	dst = appendDoubleOrNull(dst, d, ok)
	dst = append(dst, `,"Id":"`...)
	dst = append(append(dst, t.ID.String()...), `","Spans":[`...)
	var docs []trace.SegmentDocument
	var total int
	from := int(at.span)
	if format == formatOTEL {
		docs, total = otelSpans(t, spans, from, pageSpans)
	} else {
		docs = t.Documents(false)
		total = len(docs)
		docs = docs[min(from, total):min(from+pageSpans, total)]
	}
	if more = from+len(docs) < total; more {
		at.span = uint32(from + len(docs))
	}
	begin := len(dst)
	for i, d := range docs {
		if i > 0 && len(dst)-begin >= h.answerPage {
			at.span, more = uint32(from+i), true
			break
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"Document":`...)
		dst = segment.AppendStringBytes(dst, d.Document)
		dst = append(dst, `,"Id":`...)
		dst = append(segment.AppendString(dst, d.ID), '}')
	}
	return append(dst, "]}"...), more
}

// A token of a page is base64 of its place, big endian, four bytes each, and the
// first 8 bytes of SHA-256 over that, the retrieval and what was asked for.
const placeLen = 4 + 4 + 8

func (r *retrieval) next(at place, what string) string {
	b := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, at.trace), at.span)
	return batchTokenEncoding.EncodeToString(append(b, r.sum(b, what)...))
}

func (r *retrieval) sum(b []byte, what string) []byte {
	sum := sha256.New()
	sum.Write(b)
	sum.Write([]byte(r.token + what))
	return sum.Sum(nil)[:placeLen-8]
}

func (r *retrieval) place(text, what string) (place, bool) {
	b, err := batchTokenEncoding.DecodeString(text)
	if err != nil || len(b) != placeLen || len(text) != batchTokenEncoding.EncodedLen(placeLen) || string(b[8:]) != string(r.sum(b[:8], what)) {
		return place{}, false
	}
	return place{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}, true
}

func (h *Handler) getRetrievedTracesGraph(c *call, in *value) error {
	sh := getRetrievedTracesGraphInput
	r, status, err := h.retrievals.ask(in.get(sh, "RetrievalToken").text())
	if err != nil {
		return err
	}
	const what = "graph"
	at := place{}
	if v := in.get(sh, "NextToken"); v != nil {
		var ok bool
		if at, ok = r.place(v.s, what); !ok {
			return invalidToken(v.s)
		}
	}
	var page []byte
	next := "null"
	if status == "" || status == retrievalReady {
		graph, links, err := h.retrievedGraph(c, r)
		if err != nil {
			if err := h.failedRetrieval(r, err); err != nil {
				return err
			}
			h.log(c, err)
		}
		if status = h.retrievals.end(r, retrievalReady); status == retrievalReady {
			last := min(int(at.span)+pageServices, len(graph.Services))
			for i := min(int(at.span), last); i < last; i++ {
				if len(page) > 0 {
					page = append(page, ',')
				}
				page = append(page, `{"Links":`...)
				page = appendLinks(page, links[graph.Services[i].ServiceID])
				page = append(page, `,"Service":`...)
				page = append(appendService(page, graph, i), '}')
			}
			if last < len(graph.Services) {
				next = `"` + r.next(place{span: uint32(last)}, what) + `"`
			}
		}
	}
	dst := append(make([]byte, 0, len(page)+200), `{"NextToken":`...)
	dst = append(append(dst, next...), `,"RetrievalStatus":"`+status+`","Services":[`...)
	return c.reply(append(append(dst, page...), "]}"...))
}

// graphLink is a link between traces, from segments of one service.
type graphLink struct {
	reference string // "parent", "child" or ""
	from      segment.TraceID
	to        []string
}

// retrievedGraph returns the graph of all traces of a retrieval, and the links that
// their services have.
func (h *Handler) retrievedGraph(c *call, r *retrieval) (*servicegraph.Graph, map[trace.ServiceID][]graphLink, error) {
	var g servicegraph.TraceGraph
	links := make(map[trace.ServiceID][]graphLink)
	for _, id := range r.ids {
		t, _, err := h.retrieved(c, r, id)
		if err != nil {
			return &servicegraph.Graph{}, nil, err
		}
		if t == nil {
			continue
		}
		g.Add(t)
		for _, e := range t.Segments {
			service := trace.ServiceOf(e.Segment)
			list := links[service]
			collectLinks(e, t.ID, &list)
			if len(list) > 0 {
				links[service] = list
			}
		}
	}
	return g.Graph(), links, nil
}

// collectLinks adds the links of an entity and of what hangs under it, as long as
// there is room.
func collectLinks(e *trace.Entity, from segment.TraceID, list *[]graphLink) {
	e.Segment.Links.Elements(func(link segment.Raw) bool {
		to, err := segment.ParseAnyTraceID(link.Get("trace_id").String())
		if err != nil {
			return true
		}
		attributes := link.Get("attributes")
		reference := attributes.Get("aws.xray.reserved.reference_type").String()
		for i := range *list {
			l := &(*list)[i]
			if l.reference == reference && l.from == from {
				if len(l.to) < maxGraphLinks {
					l.to = append(l.to, to.String())
				}
				return true
			}
		}
		if len(*list) < maxGraphLinks {
			*list = append(*list, graphLink{reference: shorten(reference), from: from, to: []string{to.String()}})
		}
		return len(*list) < maxGraphLinks
	})
	for _, child := range e.Children {
		collectLinks(child, from, list)
	}
}

func appendLinks(dst []byte, links []graphLink) []byte {
	dst = append(dst, '[')
	for i, l := range links {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"DestinationTraceIds":[`...)
		for j, to := range l.to {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = segment.AppendString(dst, to)
		}
		dst = append(dst, `],"ReferenceType":`...)
		dst = appendStringOrNull(dst, l.reference)
		dst = append(dst, `,"SourceTraceId":"`...)
		dst = append(append(dst, l.from.String()...), `"}`...)
	}
	return append(dst, ']')
}
