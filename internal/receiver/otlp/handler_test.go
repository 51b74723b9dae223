package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/internal/tracestore"
)

// fakeSink remembers requests and answers as it is told.
type fakeSink struct {
	mu       sync.Mutex
	requests [][]byte
	report   ingest.SpanReport
	err      error
}

func (s *fakeSink) PutSpans(_ context.Context, from ingest.Origin, request []byte) (ingest.SpanReport, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from.Source != ingest.SourceOTLP || from.Peer == "" {
		return ingest.SpanReport{}, fmt.Errorf("origin %+v", from)
	}
	s.requests = append(s.requests, request)
	return s.report, s.err
}

// last returns the latest request and forgets all.
func (s *fakeSink) last(t *testing.T) []byte {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests) != 1 {
		t.Fatalf("the sink got %d requests, want 1", len(s.requests))
	}
	r := s.requests[0]
	s.requests = nil
	return r
}

// budget is a Held over a bound that all of them share.
type budget struct {
	mu        sync.Mutex
	left, all int
}

type heldBytes struct {
	b *budget
	n int
}

func (h *heldBytes) Grow(n int) error {
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	if n > h.b.left {
		return errors.New("too much")
	}
	h.b.left -= n
	h.n += n
	return nil
}

func (h *heldBytes) Free() {
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	h.b.left += h.n
	h.n = 0
}

type fixture struct {
	sink   *fakeSink
	budget *budget
	addr   string
}

const testBody = 1 << 20

func serve(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{sink: &fakeSink{}, budget: &budget{left: 8 << 20, all: 8 << 20}}
	h := New(Config{Sink: f.sink, BodyBytes: testBody, Hold: func() Held { return &heldBytes{b: f.budget} }})
	server := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		<-done
		if f.budget.left != f.budget.all {
			t.Errorf("%d bytes are still held", f.budget.all-f.budget.left)
		}
	})
	f.addr = l.Addr().String()
	return f
}

// post returns the status and the body of the answer.
func (f *fixture) post(t *testing.T, contentType, contentEncoding string, body []byte) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://"+f.addr+PathHTTP, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	if contentEncoding != "" {
		r.Header.Set("Content-Encoding", contentEncoding)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer), resp.Header
}

func someTraces(spans int) *traces.TracesData {
	var list []*traces.Span
	for i := range spans {
		id := binary.BigEndian.AppendUint64(nil, uint64(i+1))
		list = append(list, &traces.Span{TraceId: append(id, id...), SpanId: id, Name: fmt.Sprintf("work %d", i)})
	}
	return &traces.TracesData{ResourceSpans: []*traces.ResourceSpans{{ScopeSpans: []*traces.ScopeSpans{{Spans: list}}}}}
}

func marshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func zipped(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(data)
	w.Close()
	return b.Bytes()
}

func zstandard(data []byte) []byte {
	w, _ := zstd.NewWriter(nil)
	defer w.Close()
	return w.EncodeAll(data, nil)
}

func TestHTTP(t *testing.T) {
	f := serve(t)
	data := marshal(t, someTraces(100))
	text := otlp.AppendJSON(nil, data)
	for _, c := range []struct{ name, contentType, contentEncoding, answer string }{
		{"protobuf", "application/x-protobuf", "", ""},
		{"json", "application/json; charset=utf-8", "", "{}"},
		{"gzip", "application/x-protobuf", "gzip", ""},
		{"zstd", "application/x-protobuf", "zstd", ""},
		{"json gzip", "application/json", "gzip", "{}"},
		{"identity", "application/protobuf", "identity", ""},
	} {
		body := data
		if strings.Contains(c.contentType, "json") {
			body = text
		}
		switch c.contentEncoding {
		case "gzip":
			body = zipped(body)
		case "zstd":
			body = zstandard(body)
		}
		code, answer, header := f.post(t, c.contentType, c.contentEncoding, body)
		if code != http.StatusOK || answer != c.answer {
			t.Errorf("%s: %d %q", c.name, code, answer)
			continue
		}
		if got, _, _ := strings.Cut(c.contentType, ";"); !strings.HasSuffix(header.Get("Content-Type"), strings.TrimPrefix(got, "application/")) && got != "application/protobuf" {
			t.Errorf("%s: Content-Type %q", c.name, header.Get("Content-Type"))
		}
		if got := f.sink.last(t); !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes arrived, %d were sent", c.name, len(got), len(data))
		}
	}
}

func TestHTTPRefusals(t *testing.T) {
	f := serve(t)
	const pb, js = "application/x-protobuf", "application/json"
	noise := bytes.Repeat([]byte{0}, testBody+1)
	for _, c := range []struct {
		name, contentType, contentEncoding string
		body                               []byte
		status                             int
		message                            string
	}{
		{"type", "text/plain", "", nil, 415, "is not supported"},
		{"no type", "", "", nil, 415, "is not supported"},
		{"encoding", pb, "br", nil, 415, "gzip or zstd"},
		{"not gzip", pb, "gzip", []byte("hello"), 400, "is not what its content encoding says"},
		{"cut gzip", pb, "gzip", zipped(noise)[:50], 400, "is not what its content encoding says"},
		{"not zstd", pb, "zstd", []byte("hello"), 400, "is not what its content encoding says"},
		{"not JSON", js, "", []byte("{"), 400, "not the JSON form"},
		{"large", pb, "", noise, 413, "larger than 1048576 bytes"},
		{"bomb", pb, "gzip", zipped(noise), 413, "larger than 1048576 bytes"},
		{"zstd bomb", pb, "zstd", zstandard(noise), 413, "larger than 1048576 bytes"},
	} {
		code, answer, _ := f.post(t, c.contentType, c.contentEncoding, c.body)
		if code != c.status || !strings.Contains(answer, c.message) {
			t.Errorf("%s: %d %q, want %d with %q", c.name, code, answer, c.status, c.message)
		}
		if c.contentType == js && !json.Valid([]byte(answer)) {
			t.Errorf("%s: %q is no JSON", c.name, answer)
		}
	}
	if len(f.sink.requests) != 0 {
		t.Errorf("%d requests got through", len(f.sink.requests))
	}
	for path, want := range map[string]int{"/v1/metrics": 404, "/v1/logs": 404, "/": 404, PathGRPC: 400} {
		resp, err := http.Post("http://"+f.addr+path, js, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
	resp, err := http.Get("http://" + f.addr + PathHTTP)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 405 || resp.Header.Get("Allow") != "POST" {
		t.Errorf("GET: %d, Allow %q", resp.StatusCode, resp.Header.Get("Allow"))
	}
	f.budget.mu.Lock()
	f.budget.left = 1000
	f.budget.mu.Unlock()
	code, answer, header := f.post(t, pb, "gzip", zipped(noise))
	if code != 429 || header.Get("Retry-After") == "" {
		t.Errorf("too much under way: %d %q, Retry-After %q", code, answer, header.Get("Retry-After"))
	}
	f.budget.mu.Lock()
	f.budget.left = f.budget.all
	f.budget.mu.Unlock()
}

func TestStoreErrorsAndPartialSuccess(t *testing.T) {
	f := serve(t)
	conn := f.dial(t)
	for _, c := range []struct {
		name  string
		err   error
		http  int
		retry bool
		grpc  codes.Code
	}{
		{"bad", fmt.Errorf("%w: x", otlp.ErrMessage), 400, false, codes.InvalidArgument},
		{"overloaded", tracestore.ErrOverloaded, 429, true, codes.Unavailable},
		{"space", tracestore.ErrNoSpace, 503, true, codes.Unavailable},
		{"closed", tracestore.ErrClosed, 503, true, codes.Unavailable},
	} {
		f.sink.err = c.err
		code, answer, header := f.post(t, "application/json", "", []byte("{}"))
		if code != c.http || (header.Get("Retry-After") != "") != c.retry {
			t.Errorf("%s: %d %s, Retry-After %q", c.name, code, answer, header.Get("Retry-After"))
		}
		err := conn.Invoke(t.Context(), PathGRPC, someTraces(1), &emptypb.Empty{})
		if status.Code(err) != c.grpc {
			t.Errorf("%s: gRPC says %v, want %v", c.name, err, c.grpc)
		}
	}
	f.sink.err, f.sink.requests = nil, nil
	f.sink.report = ingest.SpanReport{Accepted: 3, Rejected: 200, Reason: `no "id"`}
	if _, answer, _ := f.post(t, "application/json", "", []byte("{}")); answer != `{"partialSuccess":{"rejectedSpans":"200","errorMessage":"no \"id\""}}` {
		t.Errorf("answer %s", answer)
	}
	want := "\x0a\x0c\x08\xc8\x01\x12\x07no \"id\""
	if _, answer, _ := f.post(t, "application/x-protobuf", "", nil); answer != want {
		t.Errorf("answer %q, want %q", answer, want)
	}
	var resp emptypb.Empty
	if err := conn.Invoke(t.Context(), PathGRPC, someTraces(1), &resp); err != nil || string(resp.ProtoReflect().GetUnknown()) != want {
		t.Errorf("gRPC answers %q, %v", resp.ProtoReflect().GetUnknown(), err)
	}
}

func (f *fixture) dial(t *testing.T) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(f.addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

type zstdCompressor struct{}

func init() { encoding.RegisterCompressor(zstdCompressor{}) }

func (zstdCompressor) Name() string { return "zstd" }
func (zstdCompressor) Compress(w io.Writer) (io.WriteCloser, error) {
	return zstd.NewWriter(w)
}
func (zstdCompressor) Decompress(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) }

// TestGRPC speaks to the handler with the gRPC library.
func TestGRPC(t *testing.T) {
	f := serve(t)
	conn := f.dial(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	want := someTraces(5000)
	for _, name := range []string{"identity", "gzip", "zstd"} {
		if err := conn.Invoke(ctx, PathGRPC, want, &emptypb.Empty{}, grpc.UseCompressor(name)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := &traces.TracesData{}
		if err := proto.Unmarshal(f.sink.last(t), got); err != nil || !proto.Equal(got, want) {
			t.Errorf("%s: another message arrived, %v", name, err)
		}
	}
	// Many calls at once over one connection.
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if err := conn.Invoke(ctx, PathGRPC, someTraces(500), &emptypb.Empty{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(f.sink.requests) != 50 {
		t.Errorf("%d calls arrived", len(f.sink.requests))
	}
	f.sink.requests = nil
	for _, c := range []struct {
		name, method string
		spans        int
		code         codes.Code
		text         string
	}{
		{"metrics", "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", 1, codes.Unimplemented, "traces only"},
		{"large", PathGRPC, 50_000, codes.ResourceExhausted, "larger than"},
	} {
		err := conn.Invoke(ctx, c.method, someTraces(c.spans), &emptypb.Empty{})
		if status.Code(err) != c.code || !strings.Contains(status.Convert(err).Message(), c.text) {
			t.Errorf("%s: %v, want %v with %q", c.name, err, c.code, c.text)
		}
	}
	big := someTraces(50_000)
	if err := conn.Invoke(ctx, PathGRPC, big, &emptypb.Empty{}, grpc.UseCompressor("gzip")); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("large after decompression: %v", err)
	}
	if len(f.sink.requests) != 0 {
		t.Errorf("%d calls got through", len(f.sink.requests))
	}
}

// TestGRPCFrames sends what no library sends.
func TestGRPCFrames(t *testing.T) {
	f := serve(t)
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	frame := func(flag byte, size int, data string) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{flag}, uint32(size)), data...)
	}
	for _, c := range []struct {
		name, encoding string
		body           []byte
		status         string
	}{
		{"nothing", "", nil, "3"},
		{"half a head", "", []byte{0, 0}, "3"},
		{"empty", "", frame(0, 0, ""), "0"},
		{"short", "", frame(0, 10, "abc"), "3"},
		{"long", "", frame(0, 1, "abc"), "3"},
		{"huge", "", frame(0, 1<<31, "abc"), "8"},
		{"flag", "", frame(7, 3, "abc"), "3"},
		{"unsaid compression", "", frame(1, 3, "abc"), "13"},
		{"unknown compression", "snappy", frame(1, 3, "abc"), "12"},
		{"no gzip", "gzip", frame(1, 3, "abc"), "3"},
	} {
		r, err := http.NewRequest(http.MethodPost, "http://"+f.addr+PathGRPC, bytes.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/grpc+proto")
		if c.encoding != "" {
			r.Header.Set("Grpc-Encoding", c.encoding)
		}
		resp, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if got := resp.Trailer.Get("Grpc-Status"); got != c.status || resp.StatusCode != 200 {
			t.Errorf("%s: status %d, grpc-status %q %q, want %q", c.name, resp.StatusCode, got, resp.Trailer.Get("Grpc-Message"), c.status)
		}
	}
}

func TestPercentEncoded(t *testing.T) {
	if got, want := percentEncoded("50 % über\n"), "50 %25 %C3%BCber%0A"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
