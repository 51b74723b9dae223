package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/roentgen-io/roentgen/internal/agent/freelist"
	"github.com/roentgen-io/roentgen/internal/agent/spool"
	"github.com/roentgen-io/roentgen/internal/ingest"
	receiver "github.com/roentgen-io/roentgen/internal/receiver/otlp"
	"github.com/roentgen-io/roentgen/segment"
)

// xrayExporter sends to what speaks the X-Ray API: AWS X-Ray itself, or Roentgen.
type xrayExporter struct {
	cfg    xrayConfig
	client *http.Client
	signer *v4.Signer
	batch  atomic.Int64 // documents in a call; it shrinks when the destination says that it takes fewer
	skew   atomic.Int64 // nanoseconds to add to our clock, as the destination's answers tell
	bodies freelist.List
}

type xrayConfig struct {
	identity  identity
	batch     int
	bytes     int
	linger    time.Duration
	timeout   time.Duration
	transport *http.Transport
	userAgent string
	host      func() hostInfo
	// takesSpans: the destination takes spans as they are, over OTLP on the same port.
	takesSpans bool
}

// identity gives where to send and how to sign. It may have to ask for that, and
// fail for a while.
type identity interface {
	// resolve returns the endpoint, the region, and the credentials; no credentials:
	// requests go unsigned.
	resolve(ctx context.Context) (endpoint *url.URL, region string, credentials *aws.Credentials, err error)
	// rejected tells that the destination did not accept the credentials.
	rejected()
	// target describes the endpoint as far as it is known.
	target() string
}

func newXRayExporter(cfg xrayConfig) *xrayExporter {
	e := &xrayExporter{cfg: cfg, signer: v4.NewSigner(), client: &http.Client{
		Transport: cfg.transport,
		// A redirect says that the endpoint is wrong. Following it would send signed
		// documents somewhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	e.bodies = freelist.List{Most: 16, Bytes: 256 << 10}
	e.batch.Store(int64(cfg.batch))
	return e
}

func (e *xrayExporter) Limits() spool.Limits {
	return spool.Limits{Records: int(e.batch.Load()), Bytes: e.cfg.bytes, Linger: e.cfg.linger}
}

// Weight is that of a batch and the body that is made of it.
func (e *xrayExporter) Weight() int64 { return 2 }

func (e *xrayExporter) Target() string { return e.cfg.identity.target() }

func (e *xrayExporter) Close() { e.cfg.transport.CloseIdleConnections() }

// Send uploads documents with PutTraceSegments, and spans as spans where these are
// taken, or as the documents that they become.
func (e *xrayExporter) Send(ctx context.Context, p Parcel) Outcome {
	if !e.cfg.takesSpans {
		p.Via = "" // which concerns nobody else
	}
	if p.Form == FormXRay {
		return e.put(ctx, p.Via, p.Records)
	}
	if e.cfg.takesSpans {
		spans, refused := p.spans()
		return sendSpans(&e.bodies, spans, refused, len(p.Records), func(message []byte) (answer, Outcome) {
			a := e.call(ctx, receiver.PathHTTP, "application/x-protobuf", p.Via, message)
			out := judgeOTLP(&a)
			if a.status == http.StatusUnauthorized || a.status == http.StatusForbidden {
				e.adjustClock(&a)
				e.cfg.identity.rejected()
			}
			return a, out
		})
	}
	docs, at, refused := p.documents()
	if len(docs) == 0 {
		return Outcome{Refused: refused}
	}
	out := e.put(ctx, p.Via, docs)
	for i := range out.Retry {
		out.Retry[i] = at[out.Retry[i]]
	}
	for i := range out.Refused {
		if r := &out.Refused[i]; r.Index >= 0 {
			r.Index = at[r.Index]
		}
	}
	if out.Verdict == Delivered {
		out.Refused = append(out.Refused, refused...)
	}
	return out
}

// put uploads documents.
func (e *xrayExporter) put(ctx context.Context, via string, docs [][]byte) Outcome {
	size := 64
	for _, doc := range docs {
		size += len(doc) + len(doc)/8 + 32 // most documents have a quote every ten characters or so
	}
	body := appendPutBody(e.bodies.Get(size), docs)
	a := e.call(ctx, "/TraceSegments", jsonType, via, body)
	if a.read {
		// Only when the answer came is it sure that the transport has let go of it.
		e.bodies.Put(body)
	}
	return e.judge(&a, docs)
}

const jsonType = "application/json"

func appendPutBody(dst []byte, records [][]byte) []byte {
	dst = append(dst, `{"TraceSegmentDocuments":[`...)
	for i, r := range records {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = segment.AppendStringBytes(dst, r)
	}
	return append(dst, "]}"...)
}

// answer is the answer to a call.
type answer struct {
	err    error // of the connection, or of finding out where to send
	status int
	header http.Header
	body   []byte
	read   bool // the answer was read to its end

	trailer http.Header // of gRPC
	partial partial     // of OTLP
}

// maxAnswer bounds how much of an answer is read.
const maxAnswer = 4 << 20

// slowLink is how many bytes a second a connection may be as slow as: large
// calls get that much more time.
const slowLink = 64 << 10

// call posts a body. The deadline covers everything, reading the answer included.
func (e *xrayExporter) call(ctx context.Context, path, contentType, via string, body []byte) answer {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.timeout+time.Duration(len(body))*time.Second/slowLink)
	defer cancel()
	endpoint, region, credentials, err := e.cfg.identity.resolve(ctx)
	if err != nil {
		return answer{err: err}
	}
	req, err := newRequest(ctx, http.MethodPost, endpoint.JoinPath(path).String(), body)
	if err != nil {
		return answer{err: err}
	}
	now := time.Now()
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", e.cfg.userAgent)
	if via != "" {
		req.Header.Set(ingest.HeaderVia, via)
	}
	req.Header.Set("X-Amzn-Xray-Timestamp", fmt.Sprintf("%d.%09d", now.Unix(), now.Nanosecond()))
	if credentials != nil {
		if err := e.sign(ctx, req, body, *credentials, region); err != nil {
			return answer{err: err}
		}
	}
	a, err := readAnswer(e.client, req)
	a.err = err
	return a
}

// readAnswer sends a request and reads the answer.
func readAnswer(client *http.Client, req *http.Request) (answer, error) {
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, plainError(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return answer{status: resp.StatusCode, header: resp.Header}, fmt.Errorf("read the answer: %w", err)
	}
	return answer{status: resp.StatusCode, header: resp.Header, trailer: resp.Trailer, body: data, read: true}, nil
}

func (e *xrayExporter) sign(ctx context.Context, req *http.Request, body []byte, c aws.Credentials, region string) error {
	sum := sha256.Sum256(body)
	at := time.Now().Add(time.Duration(e.skew.Load()))
	return e.signer.SignHTTP(ctx, c, req, hex.EncodeToString(sum[:]), "xray", region, at)
}

// judge says what an answer means for the records.
func (e *xrayExporter) judge(a *answer, records [][]byte) Outcome {
	if a.err != nil {
		return Outcome{Verdict: Again, Cause: causeOf(a.err), Err: a.err}
	}
	if a.status == http.StatusOK {
		return e.judgeAccepted(a, records)
	}
	code, message := errorOf(a)
	err := fmt.Errorf("%d %s: %s", a.status, code, message)
	if code == "" {
		err = fmt.Errorf("%d %s", a.status, strings.TrimSpace(http.StatusText(a.status)+" "+message))
	}
	out := Outcome{Verdict: Again, Cause: Cause4xx, Err: err, RetryAfter: retryAfter(a.header, time.Now())}
	if a.status >= 500 {
		out.Cause = Cause5xx
	}
	switch {
	case a.status == http.StatusTooManyRequests || strings.Contains(code, "Throttl") || code == "TooManyRequestsException" || code == "RequestLimitExceeded":
		out.Throttled = true
	case a.status >= 500 || a.status == http.StatusRequestTimeout || a.status < 400:
		// It passes, or the endpoint is a wrong one, which somebody has to correct.
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden || credentialCodes[code]:
		e.adjustClock(a)
		e.cfg.identity.rejected()
	case a.status == http.StatusRequestEntityTooLarge:
		out.Verdict = Divide
	case a.status == http.StatusBadRequest:
		if most, ok := fewerDocuments(message); ok && most < len(records) {
			e.batch.Store(int64(most))
		}
		out.Verdict = Divide
	}
	return out
}

// credentialCodes are errors that other credentials, or another clock, would not meet.
var credentialCodes = map[string]bool{
	"ExpiredTokenException": true, "ExpiredToken": true, "UnrecognizedClientException": true, "InvalidSignatureException": true,
	"IncompleteSignatureException": true, "MissingAuthenticationTokenException": true, "MissingAuthenticationToken": true,
	"AccessDeniedException": true, "InvalidClientTokenId": true, "RequestExpired": true, "SignatureDoesNotMatch": true,
	"OptInRequired": true, "NotAuthorized": true,
}

// fewerDocuments reads "Exceeding maximum segment count: 50".
func fewerDocuments(message string) (int, bool) {
	_, n, ok := strings.Cut(message, "maximum segment count: ")
	if !ok {
		return 0, false
	}
	most, err := strconv.Atoi(strings.TrimSpace(n))
	return most, err == nil && most > 0
}

// skewBound is the difference of clocks that signatures bear.
const skewBound = 4 * time.Minute

// adjustClock takes over the destination's time when ours is so far off that
// signatures are refused for it.
func (e *xrayExporter) adjustClock(a *answer) {
	theirs, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return
	}
	off := time.Until(theirs)
	if off.Abs() < skewBound {
		off = 0
	}
	e.skew.Store(int64(off))
}

// judgeAccepted reads which documents were left out.
func (e *xrayExporter) judgeAccepted(a *answer, records [][]byte) Outcome {
	if bytes.Equal(a.body, nothingLeftOut) {
		return Outcome{}
	}
	var in struct {
		UnprocessedTraceSegments []struct {
			Id        *string
			ErrorCode *string
			Message   *string
		}
		Output *struct {
			Type string `json:"__type"`
		}
	}
	if err := json.Unmarshal(a.body, &in); err != nil || in.Output != nil {
		// Somebody else answers here, or half of an answer came. Nobody knows
		// whether the documents are safe.
		return Outcome{Verdict: Again, Cause: CauseOther, Err: fmt.Errorf("the answer is none of the X-Ray API: %.100q", a.body)}
	}
	var out Outcome
	if len(in.UnprocessedTraceSegments) == 0 {
		return out
	}
	m := newMatcher(records)
	for _, u := range in.UnprocessedTraceSegments {
		r := Refused{ID: aws.ToString(u.Id), Code: aws.ToString(u.ErrorCode), Message: aws.ToString(u.Message)}
		r.Index = m.find(u.Id)
		if passing(r.Code) && r.Index >= 0 {
			out.Retry = append(out.Retry, r.Index)
			out.Throttled = true
			out.Err = fmt.Errorf("%s: %s", r.Code, r.Message)
			continue
		}
		out.Refused = append(out.Refused, r)
	}
	return out
}

var nothingLeftOut = []byte(`{"UnprocessedTraceSegments":[]}`)

// passing reports whether the code of an unprocessed document says that it may
// be taken another time.
func passing(code string) bool {
	for _, s := range []string{"Throttl", "Internal", "Unavailable", "Timeout", "TooManyRequests", "LimitExceeded", "SlowDown", "ServiceFailure"} {
		if strings.Contains(code, s) {
			return true
		}
	}
	return false
}

// matcher finds the documents that unprocessed entries mean.
type matcher struct {
	records  [][]byte
	byID     map[string][]int
	nameless []int // documents whose id cannot be read
}

func newMatcher(records [][]byte) *matcher {
	m := &matcher{records: records, byID: make(map[string][]int, len(records))}
	for i, doc := range records {
		s, err := segment.Parse(doc, segment.Limits{})
		var r *segment.Refusal
		switch {
		case err == nil:
			m.byID[s.ID.String()] = append(m.byID[s.ID.String()], i)
		case errors.As(err, &r) && r.HasID:
			m.byID[strings.ToLower(r.ID)] = append(m.byID[strings.ToLower(r.ID)], i)
		default:
			m.nameless = append(m.nameless, i)
		}
	}
	return m
}

// find returns the index of the document with an id, or of the next without a
// readable one, -1 when there is none. It gives each only once.
func (m *matcher) find(id *string) int {
	list := &m.nameless
	if id != nil {
		l := m.byID[strings.ToLower(*id)]
		if len(l) == 0 {
			return -1
		}
		m.byID[strings.ToLower(*id)] = l[1:]
		return l[0]
	}
	if len(*list) == 0 {
		return -1
	}
	i := (*list)[0]
	*list = (*list)[1:]
	return i
}

// errorOf reads an error's code and text.
func errorOf(a *answer) (code, message string) {
	code = a.header.Get("x-amzn-errortype")
	// Names are matched without regard to case, so Message and message both land here.
	var body struct {
		Message string
		Code    string
		Type    string `json:"__type"`
	}
	if json.Unmarshal(a.body, &body) != nil {
		body.Message = strings.ToValidUTF8(string(a.body[:min(200, len(a.body))]), "�")
	}
	for _, other := range []string{body.Code, body.Type} {
		if code == "" {
			code = other
		}
	}
	code, _, _ = strings.Cut(code, ":")
	if i := strings.LastIndexByte(code, '#'); i >= 0 {
		code = code[i+1:]
	}
	return code, body.Message
}

// retryAfter reads the header of that name, in seconds or as a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		if n > 0 && n < 1e6 {
			return time.Duration(n * float64(time.Second))
		}
		return 0
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// causeOf sorts errors of connections.
func causeOf(err error) Cause {
	var dns *net.DNSError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return CauseTimeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return CauseRefused
	case errors.As(err, &dns):
		return CauseUnknownHost
	}
	return CauseOther
}

// plainError leaves out what the log line says already.
func plainError(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("%s did not answer in time: %w", u.URL, context.DeadlineExceeded)
		}
		return fmt.Errorf("%s: %w", u.URL, u.Err)
	}
	return err
}
