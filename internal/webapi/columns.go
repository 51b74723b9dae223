package webapi

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

// Marks of entries in columns. They are part of the answer, and keep their numbers.
const (
	entryError = 1 << iota
	entryFault
	entryThrottle
	entryInProgress
	entryInferred
	entryOrphan
	entrySegment
	entryRemote
	entryAWS
	entrySQL
	entryException
	entryAnnotated
	entryLinked
)

const (
	// maxDetail bounds what an entry is about, in characters.
	maxDetail = 160
	// maxHeads bounds the requests, and the links, that columns list.
	maxHeads = 1000
	// noService stands for the service of what is nested in a segment.
	noService = math.MaxUint32
)

// columnsHead is what comes before the arrays.
type columnsHead struct {
	ID       string `json:"Id"`
	Revision int
	Duration *float64
	Entries  int
	Texts    []string
	Services []columnsService
	Requests []columnsRequest // of tops
	Links    []columnsLink
}

type columnsService struct{ Name, Type string }

type columnsRequest struct {
	Entry       int
	Method, URL string
	Status      *float64
	User        string
}

type columnsLink struct {
	Entry     int
	TraceID   string `json:"TraceId"`
	ID        string `json:"Id"`
	Reference string // parent or child, "" when it is not said
	// Received and Dwelt are when what was waited for was received and when waiting
	// was over, in epoch seconds; null when it is not said.
	Received, Dwelt *float64
}

// columns answers GET /api/traces/{id}/columns with what a picture of the trace is drawn
// from, some 50 bytes an entry however large its documents are:
//
//	u32 length of the head in bytes, a multiple of 8 less 4
//	head, JSON, filled up with spaces
//	n x u64 id, n x u64 id of what a top hangs under (0: nothing)
//	n x f64 start, n x f64 end (NaN: in progress), epoch seconds
//	n x i32 number of the entry that it is nested in (-1: none)
//	n x u32 name, n x u32 detail: numbers of texts
//	n x u32 service (4294967295: that of what it is nested in)
//	n x u16 marks
//
// Numbers are little endian. The answer has an ETag: who has it already asks with
// If-None-Match and gets 304.
func (h *handler) columns(ctx context.Context, w http.ResponseWriter, r *http.Request, id segment.TraceID) error {
	t, err := h.stored(ctx, id)
	if err != nil {
		return err
	}
	if unchanged(w, r, t) {
		return nil
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	body, err := columnsOf(t)
	if err != nil {
		return err
	}
	return reply(w, body)
}

// unchanged tells which state of the trace is given, and answers who has it already.
func unchanged(w http.ResponseWriter, r *http.Request, t *trace.Trace) bool {
	tag := `"` + strconv.Itoa(t.Revision) + "-" + strconv.FormatUint(t.LastSeq, 10) + `"`
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") != tag {
		return false
	}
	w.WriteHeader(http.StatusNotModified)
	return true
}

// stored returns a trace, or the answer that there is none.
func (h *handler) stored(ctx context.Context, id segment.TraceID) (*trace.Trace, error) {
	t, err := h.cfg.Query.Trace(ctx, id)
	if err == nil && t == nil {
		err = notStored(id)
	}
	return t, err
}

func notStored(id segment.TraceID) error {
	return apierr.New(apierr.ResourceNotFound, "no document of trace %s is stored", id)
}

// interner gives each value a number.
type interner[T comparable] struct {
	list    []T
	numbers map[T]uint32
}

func (in *interner[T]) number(v T) uint32 {
	n, ok := in.numbers[v]
	if !ok {
		if in.numbers == nil {
			in.numbers = make(map[T]uint32)
		}
		n = uint32(len(in.list))
		in.numbers[v] = n
		in.list = append(in.list, v)
	}
	return n
}

func columnsOf(t *trace.Trace) ([]byte, error) {
	head := columnsHead{ID: t.ID.String(), Revision: t.Revision, Requests: []columnsRequest{}, Links: []columnsLink{}}
	if d, ok := t.Duration(); ok {
		head.Duration = &d
	}
	var texts interner[string]
	var services interner[columnsService]
	var ids, ups, starts, ends, parents, names, details, of, marks []byte
	le := binary.LittleEndian
	t.Entries(func(n int, e *trace.Entry) bool {
		s := e.Segment()
		ids = le.AppendUint64(ids, uint64(s.ID))
		up, _ := e.Up()
		ups = le.AppendUint64(ups, uint64(up))
		starts = le.AppendUint64(starts, math.Float64bits(s.StartTime))
		end := s.EndTime
		if s.InProgress {
			end = math.NaN()
		}
		ends = le.AppendUint64(ends, math.Float64bits(end))
		parents = le.AppendUint32(parents, uint32(int32(e.Parent)))
		names = le.AppendUint32(names, texts.number(s.Name))
		details = le.AppendUint32(details, texts.number(detail(s)))
		service := uint32(noService)
		if e.Parent < 0 {
			id := trace.ServiceOf(s)
			service = services.number(columnsService{id.Name, id.Type})
			if request, ok := topRequest(n, s); ok && len(head.Requests) < maxHeads {
				head.Requests = append(head.Requests, request)
			}
		}
		of = le.AppendUint32(of, service)
		m := marksOf(s)
		if e.Orphan {
			m |= entryOrphan
		}
		if e.Parent < 0 && s.Kind == segment.KindSegment {
			m |= entrySegment
		}
		if s.Links != nil {
			before := len(head.Links)
			head.Links = appendLinks(head.Links, n, s.Links)
			if len(head.Links) > before {
				m |= entryLinked
			}
		}
		marks = le.AppendUint16(marks, m)
		head.Entries++
		return true
	})
	head.Texts, head.Services = texts.list, services.list
	if head.Texts == nil {
		head.Texts, head.Services = []string{}, []columnsService{}
	}
	text, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	for (len(text)+4)%8 != 0 {
		text = append(text, ' ')
	}
	body := append(le.AppendUint32(nil, uint32(len(text))), text...)
	for _, column := range [...][]byte{ids, ups, starts, ends, parents, names, details, of, marks} {
		body = append(body, column...)
	}
	return body, nil
}

func marksOf(s *segment.Segment) (m uint16) {
	set := func(mark uint16, on bool) {
		if on {
			m |= mark
		}
	}
	set(entryError, s.Error.True())
	set(entryFault, s.Fault.True())
	set(entryThrottle, s.Throttle.True())
	set(entryInProgress, s.InProgress)
	set(entryInferred, s.Inferred)
	set(entryRemote, s.Namespace == "remote")
	set(entryAWS, s.Namespace == "aws")
	set(entrySQL, s.SQL != nil)
	set(entryAnnotated, hasMember(s.Annotations))
	if s.Cause != nil {
		exceptions := false
		s.Cause.Get("exceptions").Elements(func(segment.Raw) bool { exceptions = true; return false })
		set(entryException, exceptions)
	}
	return m
}

func hasMember(object segment.Raw) bool {
	found := false
	if object != nil {
		object.Members(func(string, segment.Raw) bool { found = true; return false })
	}
	return found
}

func topRequest(n int, s *segment.Segment) (columnsRequest, bool) {
	r := columnsRequest{Entry: n, User: s.User}
	if s.HTTP != nil {
		request := s.HTTP.Get("request")
		r.Method, r.URL = clip(scalar(request.Get("method")), 256), clip(scalar(request.Get("url")), 2048)
		r.Status = finite(s.HTTP.Get("response", "status"))
	}
	return r, r.Method != "" || r.URL != "" || r.Status != nil || r.User != ""
}

func appendLinks(list []columnsLink, n int, links segment.Raw) []columnsLink {
	links.Elements(func(v segment.Raw) bool {
		id, err := segment.ParseAnyTraceID(v.Get("trace_id").String())
		if err != nil {
			return true
		}
		attributes := v.Get("attributes")
		number := func(key string) *float64 { return finite(attributes.Get(key)) }
		list = append(list, columnsLink{
			Entry: n, TraceID: id.String(), ID: clip(v.Get("id").String(), 64),
			Reference: clip(attributes.Get("aws.xray.reserved.reference_type").String(), 16),
			Received:  number("aws.xray.reserved.received_event_end_time"),
			Dwelt:     number("aws.xray.reserved.dwell_end_time"),
		})
		return len(list) < maxHeads
	})
	return list
}

// finite returns a number, nil for anything else.
func finite(v segment.Raw) *float64 {
	if f, ok := v.Number(); ok && !math.IsInf(f, 0) && !math.IsNaN(f) {
		return &f
	}
	return nil
}

// scalar returns a text or a number as text.
func scalar(v segment.Raw) string {
	switch v.Type() {
	case segment.TypeString:
		return v.String()
	case segment.TypeNumber:
		return string(v)
	}
	return ""
}

func clip(text string, most int) string {
	if len(text) <= most {
		return text // as most texts are, in bytes already
	}
	n := 0
	for i := range text {
		if n++; n == most {
			if _, size := utf8.DecodeRuneInString(text[i:]); i+size < len(text) {
				return text[:i] + "…"
			}
			break
		}
	}
	return text
}

// pathOf returns a URL without scheme and host.
func pathOf(url string) string {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok || scheme == "" || strings.ContainsAny(scheme, "/?#") {
		return url
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest, _, _ = strings.Cut(rest[i:], "#")
	} else {
		rest = ""
	}
	if rest == "" {
		return "/"
	}
	return rest
}

// detail says what a segment is about in a few words: its query, AWS operation and
// resource, or request and status.
func detail(s *segment.Segment) string {
	if s.SQL != nil {
		query := scalar(s.SQL.Get("sanitized_query"))
		if query == "" {
			query = scalar(s.SQL.Get("url"))
		}
		if len(query) > 16*maxDetail {
			query = strings.ToValidUTF8(query[:16*maxDetail], "") // enough to fill it, whatever blanks there are
		}
		if query = strings.Join(strings.Fields(query), " "); query != "" {
			return clip(query, maxDetail)
		}
	}
	if s.AWS != nil && s.Namespace == "aws" {
		after := func(text, separator string) string { return text[strings.LastIndex(text, separator)+1:] }
		words := scalar(s.AWS.Get("operation"))
		for _, resource := range [...]string{
			scalar(s.AWS.Get("table_name")), after(scalar(s.AWS.Get("queue_url")), "/"), scalar(s.AWS.Get("bucket_name")),
			scalar(s.AWS.Get("function_name")), after(scalar(s.AWS.Get("topic_arn")), ":"),
		} {
			if resource != "" {
				words = strings.TrimSpace(words + " " + resource)
				break
			}
		}
		if words != "" {
			return clip(words, maxDetail)
		}
	}
	if s.HTTP != nil {
		request := s.HTTP.Get("request")
		line := strings.TrimSpace(scalar(request.Get("method")) + " " + pathOf(scalar(request.Get("url"))))
		status := scalar(s.HTTP.Get("response", "status"))
		switch {
		case line != "" && status != "":
			return clip(line+" · "+status, maxDetail)
		default:
			return clip(line+status, maxDetail)
		}
	}
	return ""
}

// entry answers GET /api/traces/{id}/entries/{id of a segment or subsegment} with its
// document, without what is nested in it.
func (h *handler) entry(ctx context.Context, w http.ResponseWriter, id segment.TraceID, text string) error {
	want, err := segment.ParseSegmentID(text)
	if err != nil {
		return apierr.New(apierr.InvalidRequest, "%.100q is no id of a segment; it has 16 hexadecimal digits", text)
	}
	t, err := h.stored(ctx, id)
	if err != nil {
		return err
	}
	var found []byte
	t.Entries(func(_ int, e *trace.Entry) bool {
		if e.Segment().ID == want {
			found = e.AppendDocument(nil)
		}
		return found == nil
	})
	if found == nil {
		return apierr.New(apierr.ResourceNotFound, "trace %s has no segment or subsegment %s", id, want)
	}
	return reply(w, found)
}

// maxWordsSought bounds the words of a search in a trace.
const maxWordsSought = 20

// findAnswer is the answer of /api/traces/{id}/find.
type findAnswer struct {
	Revision int
	Entries  int
	// Matches has a bit for each entry, in the order of columns, lowest first; in base64.
	Matches []byte
}

// find answers GET /api/traces/{id}/find?text= : which entries hold all words of a text,
// in any case, anywhere in their documents or in what columns say of them.
func (h *handler) find(ctx context.Context, w http.ResponseWriter, r *http.Request, id segment.TraceID) error {
	q, err := parameters(r, "text")
	if err != nil {
		return err
	}
	words := strings.Fields(strings.ToLower(q.Get("text")))
	if len(words) == 0 || len(words) > maxWordsSought {
		return apierr.New(apierr.InvalidRequest, "text has %d words; give 1 to %d", len(words), maxWordsSought)
	}
	t, err := h.stored(ctx, id)
	if err != nil {
		return err
	}
	answer := findAnswer{Revision: t.Revision, Matches: []byte{}}
	var buf []byte
	var service string
	t.Entries(func(n int, e *trace.Entry) bool {
		s := e.Segment()
		if e.Parent < 0 {
			service = trace.ServiceOf(s).Name
		}
		buf = append(buf[:0], service...)
		buf = append(append(buf, ' '), detail(s)...)
		for _, mark := range [...]struct {
			on   bool
			word string
		}{{s.Fault.True(), " fault "}, {s.Error.True(), " error "}, {s.Throttle.True(), " throttle "}, {s.InProgress, " progress "}} {
			if mark.on {
				buf = append(buf, mark.word...)
			}
		}
		buf = e.AppendDocument(append(buf, ' '))
		text := strings.ToLower(string(buf))
		all := true
		for _, word := range words {
			if all = all && strings.Contains(text, word); !all {
				break
			}
		}
		if n%8 == 0 {
			answer.Matches = append(answer.Matches, 0)
		}
		if all {
			answer.Matches[n/8] |= 1 << (n % 8)
		}
		answer.Entries++
		return ctx.Err() == nil
	})
	if err := ctx.Err(); err != nil {
		return err
	}
	return replyJSON(w, answer)
}
