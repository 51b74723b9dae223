package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/roentgen-io/roentgen/internal/agent/freelist"
	"github.com/roentgen-io/roentgen/internal/agent/spool"
	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/internal/otlp"
	receiver "github.com/roentgen-io/roentgen/internal/receiver/otlp"
	"github.com/roentgen-io/roentgen/segment"
)

// Protocols of OTLP destinations, by the names of OTEL_EXPORTER_OTLP_PROTOCOL.
const (
	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"
)

const (
	// maxMessage is the size from which on the spans of a parcel go in several calls:
	// gRPC servers refuse more than 4 MiB unless told otherwise.
	maxMessage = 3 << 20
	// smallSpan is a size that no receiver refuses, so that one which refuses it has
	// another reason.
	smallSpan = 64 << 10
	// zippers bounds the memory of compression.
	zippers = 4
)

// otlpExporter sends spans to what speaks OTLP, by the OpenTelemetry protocol's
// specification 1.x. Over gRPC it makes the one unary call that there is on net/http:
// connections, proxies, TLS and memory are then those of all other destinations.
type otlpExporter struct {
	url    string
	target string
	grpc   bool
	header http.Header
	batch  int
	bytes  int

	timeout   time.Duration
	transport *http.Transport
	client    *http.Client
	bodies    freelist.List
	zip       chan *gzip.Writer
	plain     atomic.Bool // bodies are not compressed
}

func newOTLPExporter(d Destination, opts awsOptions, userAgent string) (*otlpExporter, error) {
	u, err := parseOTLPEndpoint(d.Endpoint)
	if err != nil {
		return nil, err
	}
	tr, err := opts.transport(d.Connections)
	if err != nil {
		return nil, err
	}
	if d.Certificate != "" {
		cert, err := tls.LoadX509KeyPair(d.Certificate, d.Key)
		if err != nil {
			return nil, fmt.Errorf("the certificate to show: %w", err)
		}
		if tr.TLSClientConfig == nil {
			tr.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		tr.TLSClientConfig.Certificates = []tls.Certificate{cert}
	}
	e := &otlpExporter{
		grpc: d.Protocol == protocolGRPC, batch: d.Batch, bytes: d.BatchBytes, timeout: d.Timeout,
		transport: tr, header: make(http.Header), zip: make(chan *gzip.Writer, zippers), target: u.Redacted(),
		client: &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	e.bodies = freelist.List{Most: 16, Bytes: 256 << 10}
	for range zippers {
		e.zip <- nil // made when it is first used
	}
	e.plain.Store(d.Compression != "gzip")
	e.header.Set("User-Agent", userAgent)
	for name, value := range d.Headers {
		e.header.Set(name, value)
	}
	if !e.grpc {
		e.header.Set("Content-Type", "application/x-protobuf")
		e.url = u.String()
		return e, nil
	}
	e.header.Set("Content-Type", "application/grpc")
	e.header.Set("Te", "trailers")
	e.header.Set("Grpc-Accept-Encoding", "gzip")
	e.target += " (gRPC)"
	u.Path, u.RawPath = receiver.PathGRPC, ""
	e.url = u.String()
	tr.Protocols = new(http.Protocols)
	tr.Protocols.SetHTTP2(u.Scheme == "https")
	tr.Protocols.SetUnencryptedHTTP2(u.Scheme == "http")
	// A connection that is dead without a word would hold every call until its deadline.
	tr.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second}
	return e, nil
}

// parseOTLPEndpoint reads an endpoint that completeOTLP let through.
func parseOTLPEndpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is no endpoint of OTLP; write it like http://collector:4318, or grpc://collector:4317", text)
	}
	return u, nil
}

func (e *otlpExporter) Limits() spool.Limits {
	return spool.Limits{Records: e.batch, Bytes: e.bytes, Linger: defaultLinger}
}

// Weight is that of a batch, its spans, the message and the body.
func (e *otlpExporter) Weight() int64 { return 4 }

func (e *otlpExporter) Target() string { return e.target }

func (e *otlpExporter) Close() { e.transport.CloseIdleConnections() }

// Telemetry does nothing: OTLP has no place for the records.
func (e *otlpExporter) Telemetry(context.Context, []TelemetryRecord) error { return nil }

// Send exports the spans of a parcel.
func (e *otlpExporter) Send(ctx context.Context, p Parcel) Outcome {
	spans, refused := p.spans()
	return sendSpans(&e.bodies, spans, refused, len(p.Records), func(message []byte) (answer, Outcome) {
		a := e.call(ctx, p.Via, message)
		if e.grpc {
			return a, judgeGRPC(&a, len(message))
		}
		out := judgeOTLP(&a)
		if a.status == http.StatusUnsupportedMediaType && e.plain.CompareAndSwap(false, true) {
			out.Verdict, out.Throttled = Again, false // perhaps it does not take gzip
		}
		return a, out
	})
}

// sendSpans sends spans of so many records with call, in as many calls as their size
// asks for, and puts together what became of them. Messages are made in memory of
// bodies.
func sendSpans(bodies *freelist.List, spans []otlp.SourcedSpan, refused []Refused, records int, call func(message []byte) (answer, Outcome)) Outcome {
	all := Outcome{Refused: refused}
	whole := len(spans)
	for len(spans) > 0 {
		n, size := 0, 0
		for n < len(spans) {
			size += len(spans[n].Span) + 16
			if n == 0 || !bytes.Equal(spans[n].Source, spans[n-1].Source) {
				size += len(spans[n].Source) + 16
			}
			if n > 0 && size > maxMessage {
				break
			}
			n++
		}
		message := otlp.AppendTraces(bodies.Get(size), spans[:n])
		a, out := call(message)
		if a.read {
			bodies.Put(message)
		}
		if out.Verdict != Delivered {
			return out // what was sent before is sent again with it
		}
		rejected, text := a.partial.rejected, a.partial.text
		switch {
		case rejected <= 0:
		case n == whole && rejected >= int64(n):
			known := make(map[int]bool, len(refused))
			for _, r := range refused {
				known[r.Index] = true
			}
			for i := range records {
				if !known[i] {
					all.Refused = append(all.Refused, Refused{Index: i, Code: codePartialSuccess, Message: text})
				}
			}
		default:
			// Which ones they are it does not say, and what it took must not be sent again.
			all.Refused = append(all.Refused, Refused{Index: -1, Count: min(int(min(rejected, math.MaxInt32)), max(1, records-len(refused))), Code: codePartialSuccess,
				Message: fmt.Sprintf("%d of %d spans were rejected, it is not said which of these: %s", rejected, n, text)})
		}
		spans = spans[n:]
	}
	return all
}

// spans returns a parcel as spans, those of one source next to each other, and the
// records that none can be made of.
func (p *Parcel) spans() (list []otlp.SourcedSpan, refused []Refused) {
	for i, record := range p.Records {
		if p.Form == FormSpan {
			s, ok := cutSpan(record)
			if !ok {
				refused = append(refused, Refused{Index: i, Code: codeInvalidSpan, Message: "the record is damaged"})
				continue
			}
			list = append(list, s)
			continue
		}
		// An array counts as one record.
		bad := false
		segment.ParseAll(record, segment.Limits{}, func(_ []byte, s *segment.Segment) {
			list = otlp.AppendDocumentSpans(list, nil, s)
		}, func(_ []byte, r *segment.Refusal) {
			if bad {
				return
			}
			bad = true
			u := Refused{Index: i, Code: string(r.Code), Message: r.Message}
			if r.HasID {
				u.ID = r.ID
			}
			refused = append(refused, u)
		})
	}
	slices.SortStableFunc(list, func(a, b otlp.SourcedSpan) int { return bytes.Compare(a.Source, b.Source) })
	return list, refused
}

// documents returns the spans of a parcel as segment documents, those that are none
// as refused. at are the indexes of the documents' records.
func (p *Parcel) documents() (docs [][]byte, at []int, refused []Refused) {
	var m otlp.Mapping
	var span otlp.Span
	var source []byte
	var src *otlp.Source
	for i, record := range p.Records {
		s, ok := cutSpan(record)
		err := otlp.ErrMessage
		if ok {
			err = nil
			if src == nil || !bytes.Equal(source, s.Source) {
				source = s.Source
				src, err = m.Source(source)
			}
		}
		if err == nil {
			err = otlp.ParseSpan(s.Span, &span)
		}
		if err != nil {
			src = nil
			refused = append(refused, Refused{Index: i, Code: codeInvalidSpan, Message: err.Error()})
			continue
		}
		docs, at = append(docs, m.Segment(src, &span, true).AppendDocument(nil)), append(at, i)
	}
	return docs, at, refused
}

// call makes one call with an ExportTraceServiceRequest.
func (e *otlpExporter) call(ctx context.Context, via string, message []byte) answer {
	ctx, cancel := context.WithTimeout(ctx, e.timeout+time.Duration(len(message))*time.Second/slowLink)
	defer cancel()
	plain := e.plain.Load()
	body := e.bodies.Get(len(message) + 5)
	if e.grpc {
		body = append(body, 0, 0, 0, 0, 0)
	}
	body, err := e.appendBody(ctx, body, message, plain)
	if err != nil {
		return answer{err: err}
	}
	req, err := newRequest(ctx, http.MethodPost, e.url, body)
	if err != nil {
		return answer{err: err}
	}
	for name, values := range e.header {
		req.Header[name] = values
	}
	if via != "" {
		req.Header.Set(ingest.HeaderVia, via)
	}
	encoding := "Content-Encoding"
	if e.grpc {
		encoding = "Grpc-Encoding"
		binary.BigEndian.PutUint32(body[1:], uint32(len(body)-5))
		if !plain {
			body[0] = 1
		}
		if at, ok := ctx.Deadline(); ok {
			req.Header.Set("Grpc-Timeout", strconv.FormatInt(max(1, time.Until(at).Milliseconds()), 10)+"m")
		}
	}
	if !plain {
		req.Header.Set(encoding, "gzip")
	}
	a, err := readAnswer(e.client, req)
	a.err = err
	if a.trailer.Get("Grpc-Status") == "" {
		a.trailer = a.header // an answer without a message has them there
	}
	if a.read {
		// Only when the answer came is it sure that the transport has let go of it.
		e.bodies.Put(body)
	}
	return a
}

// appendBody appends a message, compressed or as it is.
func (e *otlpExporter) appendBody(ctx context.Context, dst, message []byte, plain bool) ([]byte, error) {
	if plain {
		return append(dst, message...), nil
	}
	var z *gzip.Writer
	select {
	case z = <-e.zip:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { e.zip <- z }()
	out := bytes.NewBuffer(dst)
	if z == nil {
		var err error
		if z, err = gzip.NewWriterLevel(out, gzip.BestSpeed); err != nil {
			return nil, err
		}
	} else {
		z.Reset(out)
	}
	if _, err := z.Write(message); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// partial is what an ExportTraceServiceResponse tells.
type partial struct {
	rejected int64
	text     string
}

// parsePartial reads an ExportTraceServiceResponse.
func parsePartial(data []byte) (p partial, ok bool) {
	ok = eachField(data, func(num protowire.Number, value []byte, _ uint64) bool {
		return num != 1 || value == nil || eachField(value, func(num protowire.Number, value []byte, n uint64) bool {
			switch {
			case num == 1 && value == nil:
				p.rejected = int64(n)
			case num == 2:
				p.text = strings.ToValidUTF8(string(value), "\ufffd")
			}
			return true
		})
	})
	return p, ok
}

// eachField calls fn for the fields of a message: value is nil for those that are
// numbers. It returns false when the message is none, or fn did.
func eachField(data []byte, fn func(num protowire.Number, value []byte, n uint64) bool) bool {
	for len(data) > 0 {
		num, typ, used := protowire.ConsumeTag(data)
		if used < 0 {
			return false
		}
		data = data[used:]
		var value []byte
		var n uint64
		switch typ {
		case protowire.VarintType:
			n, used = protowire.ConsumeVarint(data)
		case protowire.BytesType:
			value, used = protowire.ConsumeBytes(data)
		default:
			used = protowire.ConsumeFieldValue(num, typ, data)
		}
		if used < 0 {
			return false
		}
		data = data[used:]
		if typ == protowire.BytesType && value == nil {
			value = []byte{}
		}
		if (typ == protowire.VarintType || typ == protowire.BytesType) && !fn(num, value, n) {
			return false
		}
	}
	return true
}

// judgeOTLP says what an answer over HTTP means. The specification tells clients to
// give up what is answered with 4xx and 5xx but for a few of them. Those that are about
// what was sent are final here, too. Others say that the endpoint, the credentials or
// the destination itself are not in order; who waits until they are loses nothing.
func judgeOTLP(a *answer) Outcome {
	if a.err != nil {
		return Outcome{Verdict: Again, Cause: causeOf(a.err), Err: a.err}
	}
	mediaType, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	if a.status/100 == 2 {
		return judgeExported(a, mediaType)
	}
	err := fmt.Errorf("%d %s", a.status, strings.TrimSpace(http.StatusText(a.status)+" "+statusText(a.body, mediaType)))
	out := Outcome{Verdict: Again, Cause: Cause4xx, Err: err, RetryAfter: retryAfter(a.header, time.Now())}
	if a.status >= 500 {
		out.Cause = Cause5xx
	}
	switch a.status {
	case http.StatusTooManyRequests:
		out.Throttled = true
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusUnsupportedMediaType:
		// Nothing is wrong with the spans.
	default:
		if a.status >= 400 && a.status < 500 {
			out.Verdict = Divide
		}
	}
	return out
}

// judgeExported reads a successful answer.
func judgeExported(a *answer, mediaType string) Outcome {
	ok := true
	switch mediaType {
	case "application/json":
		var in struct {
			PartialSuccess struct {
				RejectedSpans json.Number `json:"rejectedSpans"`
				ErrorMessage  string      `json:"errorMessage"`
			} `json:"partialSuccess"`
		}
		if ok = json.Unmarshal(a.body, &in) == nil; ok {
			a.partial.text = in.PartialSuccess.ErrorMessage
			if in.PartialSuccess.RejectedSpans != "" {
				a.partial.rejected, _ = in.PartialSuccess.RejectedSpans.Int64() // what is no number rejects nothing
			}
		}
	case "application/x-protobuf", "application/protobuf":
		a.partial, ok = parsePartial(a.body)
	case "text/html":
		ok = false // somebody else answers here, and wants a login perhaps
	}
	if !ok {
		return Outcome{Verdict: Again, Cause: CauseOther, Err: fmt.Errorf("the answer is none of OTLP: %.100q", a.body)}
	}
	return Outcome{}
}

// statusText returns what the body of an error says: a google.rpc.Status, or a text.
func statusText(body []byte, mediaType string) string {
	switch mediaType {
	case "application/x-protobuf", "application/protobuf":
		return parseStatus(body).message
	case "application/json":
		var in struct{ Message string }
		if json.Unmarshal(body, &in) == nil && in.Message != "" {
			return in.Message
		}
	}
	return strings.ToValidUTF8(string(body[:min(200, len(body))]), "\ufffd")
}

// rpcStatus is a google.rpc.Status.
type rpcStatus struct {
	message string
	delay   time.Duration // of its RetryInfo
	delayed bool          // it has one
}

const retryInfoType = "google.rpc.RetryInfo"

func parseStatus(data []byte) (s rpcStatus) {
	eachField(data, func(num protowire.Number, value []byte, _ uint64) bool {
		switch num {
		case 2:
			s.message = strings.ToValidUTF8(string(value), "\ufffd")
		case 3: // google.protobuf.Any
			var isRetry bool
			var inner []byte
			eachField(value, func(num protowire.Number, value []byte, _ uint64) bool {
				if num == 1 {
					isRetry = strings.HasSuffix(string(value), "/"+retryInfoType)
				} else if num == 2 {
					inner = value
				}
				return true
			})
			if isRetry {
				s.delayed = true
				s.delay = parseRetryInfo(inner)
			}
		}
		return true
	})
	return s
}

// parseRetryInfo reads a google.rpc.RetryInfo: a google.protobuf.Duration in its first field.
func parseRetryInfo(data []byte) (d time.Duration) {
	eachField(data, func(num protowire.Number, value []byte, _ uint64) bool {
		if num == 1 {
			eachField(value, func(num protowire.Number, value []byte, n uint64) bool {
				switch {
				case value != nil:
				case num == 1:
					d += time.Duration(min(max(int64(n), 0), 1e6)) * time.Second
				case num == 2:
					d += time.Duration(min(max(int64(n), 0), 1e9))
				}
				return true
			})
		}
		return true
	})
	return d
}

// Codes of gRPC, by their names in the specification.
var grpcCodes = []string{"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"}

var errNoGRPC = errors.New("the answer is none of gRPC")

// judgeGRPC is judgeOTLP for gRPC. size is that of the message.
func judgeGRPC(a *answer, size int) Outcome {
	if a.err != nil {
		return Outcome{Verdict: Again, Cause: causeOf(a.err), Err: a.err}
	}
	code, err := strconv.Atoi(a.trailer.Get("Grpc-Status"))
	if err != nil || code < 0 {
		if a.status != http.StatusOK {
			// A proxy in front of the server answers, or there is no gRPC here.
			out := judgeOTLP(a)
			if a.status != http.StatusRequestEntityTooLarge {
				out.Verdict = Again
			}
			return out
		}
		return Outcome{Verdict: Again, Cause: CauseOther, Err: errNoGRPC}
	}
	if code == 0 {
		message, ok := cutMessage(a)
		if ok {
			a.partial, ok = parsePartial(message)
		}
		if !ok {
			return Outcome{Verdict: Again, Cause: CauseOther, Err: errNoGRPC}
		}
		return Outcome{}
	}
	name := strconv.Itoa(code)
	if code < len(grpcCodes) {
		name = grpcCodes[code]
	}
	status := parseDetails(a.trailer.Get("Grpc-Status-Details-Bin"))
	message := percentDecoded(a.trailer.Get("Grpc-Message"))
	out := Outcome{Verdict: Again, Cause: Cause4xx, Err: fmt.Errorf("%s: %s", name, message), RetryAfter: status.delay}
	if ms, err := strconv.Atoi(a.trailer.Get("Grpc-Retry-Pushback-Ms")); err == nil && ms > 0 && out.RetryAfter == 0 {
		out.RetryAfter = time.Duration(min(ms, 1e9)) * time.Millisecond
	}
	switch name {
	case "DEADLINE_EXCEEDED":
		out.Cause = CauseTimeout
	case "CANCELLED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS":
		out.Cause = Cause5xx
	case "UNKNOWN", "INTERNAL":
		out.Cause = Cause5xx // which may be something in the spans; delivery finds out
	case "RESOURCE_EXHAUSTED":
		// With RetryInfo it is throttling. Without, the message is too large; unless it is small.
		out.Throttled = status.delayed
		if !status.delayed {
			out.Verdict = Divide
			if size < smallSpan {
				out.Verdict, out.Throttled = Again, true
			}
		}
	case "NOT_FOUND", "PERMISSION_DENIED", "UNAUTHENTICATED", "UNIMPLEMENTED":
		// Nothing is wrong with the spans.
	default: // INVALID_ARGUMENT, ALREADY_EXISTS, FAILED_PRECONDITION, and codes of nobody's
		out.Verdict = Divide
	}
	return out
}

// cutMessage returns the one message of an answer. Some servers compress as the
// request was, asked or not.
func cutMessage(a *answer) (message []byte, ok bool) {
	if len(a.body) < 5 || int(binary.BigEndian.Uint32(a.body[1:])) != len(a.body)-5 {
		return nil, false
	}
	message = a.body[5:]
	switch {
	case a.body[0] == 0:
		return message, true
	case a.body[0] != 1 || !strings.EqualFold(a.header.Get("Grpc-Encoding"), "gzip"):
		return nil, false
	}
	z, err := gzip.NewReader(bytes.NewReader(message))
	if err != nil {
		return nil, false
	}
	message, err = io.ReadAll(io.LimitReader(z, maxAnswer))
	return message, err == nil
}

// parseDetails reads grpc-status-details-bin: base64, padded or not.
func parseDetails(text string) rpcStatus {
	data, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return rpcStatus{}
	}
	return parseStatus(data)
}

// percentDecoded reads a grpc-message.
func percentDecoded(s string) string {
	if text, err := url.PathUnescape(s); err == nil {
		s = text
	}
	return strings.ToValidUTF8(s, "\ufffd")
}
