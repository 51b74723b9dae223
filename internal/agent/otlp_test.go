package agent

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// stock is a receiver of spans as the libraries of gRPC and OpenTelemetry make it.
type stock struct {
	address string
	// answer may refuse the n-th call, or reject some of its spans.
	answer func(n int, req *traces.TracesData) (*partial, error)

	mu    sync.Mutex
	calls int
	spans map[string]string // name of the service, by span id
	times map[string]int    // deliveries
	asked []metadata.MD
	stop  func()
}

func newStock() *stock { return &stock{spans: map[string]string{}, times: map[string]int{}} }

// take takes an ExportTraceServiceRequest, which is a TracesData by another name, and
// returns an ExportTraceServiceResponse.
func (s *stock) take(md metadata.MD, req *traces.TracesData) (proto.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	s.asked = append(s.asked, md)
	resp := &emptypb.Empty{}
	if s.answer != nil {
		left, err := s.answer(s.calls, req)
		if err != nil {
			return nil, err
		}
		if left != nil {
			message := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(left.rejected))
			message = protowire.AppendString(protowire.AppendTag(message, 2, protowire.BytesType), left.text)
			resp.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), message))
		}
	}
	for _, rs := range req.ResourceSpans {
		service := ""
		for _, a := range rs.GetResource().GetAttributes() {
			if a.Key == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, ss := range rs.ScopeSpans {
			for _, span := range ss.Spans {
				id := hex.EncodeToString(span.SpanId)
				s.spans[id] = service
				s.times[id]++
			}
		}
	}
	return resp, nil
}

// overGRPC serves with grpc-go.
func (s *stock) overGRPC(t *testing.T, address string, opts ...grpc.ServerOption) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	server := grpc.NewServer(opts...)
	server.RegisterService(&grpc.ServiceDesc{ServiceName: "opentelemetry.proto.collector.trace.v1.TraceService", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
		MethodName: "Export", Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			req := &traces.TracesData{}
			if err := decode(req); err != nil {
				return nil, err
			}
			md, _ := metadata.FromIncomingContext(ctx)
			return s.take(md, req)
		},
	}}}, s)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	s.stop = sync.OnceFunc(func() { server.Stop(); <-done })
	t.Cleanup(s.stop)
}

// overHTTP serves protobuf over HTTP.
func (s *stock) overHTTP(t *testing.T) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fail := func(code int, err error) {
			if errors.Is(err, errRetryLater) {
				w.Header().Set("Retry-After", "1")
			}
			w.Header().Set("Content-Type", "application/x-protobuf")
			w.WriteHeader(code)
			data, _ := proto.Marshal(status.New(codes.Unknown, err.Error()).Proto())
			w.Write(data)
		}
		md := metadata.MD{}
		for name, values := range r.Header {
			md[strings.ToLower(name)] = values
		}
		var body io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				fail(400, err)
				return
			}
			body = z
		}
		data, err := io.ReadAll(body)
		req := &traces.TracesData{}
		if err == nil {
			err = proto.Unmarshal(data, req)
		}
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			fail(400, fmt.Errorf("%s %s: %v", r.URL.Path, r.Header.Get("Content-Type"), err))
			return
		}
		resp, err := s.take(md, req)
		if err != nil {
			var code httpError
			errors.As(err, &code)
			fail(int(code), err)
			return
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
		data, _ = proto.Marshal(resp)
		w.Write(data)
	}))
	s.address = server.Listener.Addr().String()
	t.Cleanup(server.Close)
}

var errRetryLater = errors.New("later")

type httpError int

func (e httpError) Error() string { return fmt.Sprintf("status %d", int(e)) }

// await waits until n spans arrived.
func (s *stock) await(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		have := len(s.spans)
		s.mu.Unlock()
		if have >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d spans arrived, want %d", have, n)
		}
	}
}

// idle waits until nothing waits in the spool.
func idle(t *testing.T, a *Agent) Status {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		st := a.Status()
		if !slices.ContainsFunc(st.Destinations, func(d DestinationStatus) bool { return d.Waiting > 0 }) {
			return st
		}
		if time.Now().After(deadline) {
			t.Fatalf("documents still wait: %+v", st.Destinations)
		}
	}
}

// TestOTLPDestinations sends documents to receivers over both protocols, with and
// without compression.
func TestOTLPDestinations(t *testing.T) {
	for _, protocol := range []string{protocolGRPC, protocolHTTP} {
		for _, compression := range []string{"gzip", "none"} {
			t.Run(protocol+" "+compression, func(t *testing.T) {
				s := newStock()
				if protocol == protocolGRPC {
					s.overGRPC(t, "127.0.0.1:0")
				} else {
					s.overHTTP(t)
				}
				a := start(t, &Config{LogFormat: "text", Destinations: []Destination{{Type: TypeOTLP, Endpoint: "http://" + s.address, Protocol: protocol, Compression: compression, Headers: map[string]string{"x-tenant": "blue"}}}})
				const n = 120
				for i := range n {
					putDocument(t, a, i)
				}
				s.await(t, n)
				idle(t, a)
				s.mu.Lock()
				defer s.mu.Unlock()
				for i := range n {
					id := fmt.Sprintf("%016x", i+1)
					if s.spans[id] != "desk" || s.times[id] != 1 {
						t.Fatalf("span %s: service %q, %d deliveries", id, s.spans[id], s.times[id])
					}
				}
				for _, md := range s.asked {
					encoding := slices.Concat(md.Get("grpc-encoding"), md.Get("content-encoding"), md.Get("grpc-accept-encoding"))
					// grpc-go takes grpc-encoding out once it is used.
					if protocol == protocolHTTP && slices.Contains(encoding, "gzip") != (compression == "gzip") {
						t.Errorf("encoding %q", encoding)
					}
					if got := md.Get("x-tenant"); !slices.Equal(got, []string{"blue"}) || !strings.HasPrefix(md.Get("user-agent")[0], "roentgen-agent/v1") {
						t.Errorf("headers %v", md)
					}
				}
			})
		}
	}
}

// TestOTLPTroubles has receivers refuse calls in every way that passes: all spans
// arrive, and nothing becomes a dead letter.
func TestOTLPTroubles(t *testing.T) {
	fail := func(err func() error) func(int, *traces.TracesData) (*partial, error) {
		return func(n int, _ *traces.TracesData) (*partial, error) {
			if n%3 == 1 {
				return nil, err()
			}
			return nil, nil
		}
	}
	retryInfo := func(code codes.Code) func() error {
		return func() error {
			st, err := status.New(code, "later").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(80 * time.Millisecond)})
			if err != nil {
				t.Error(err)
			}
			return st.Err()
		}
	}
	plain := func(code codes.Code) func() error { return func() error { return status.Error(code, "no 100% luck") } }
	for name, err := range map[string]func() error{
		"UNAVAILABLE": plain(codes.Unavailable), "UNAVAILABLE with RetryInfo": retryInfo(codes.Unavailable), "RESOURCE_EXHAUSTED with RetryInfo": retryInfo(codes.ResourceExhausted),
		"RESOURCE_EXHAUSTED": plain(codes.ResourceExhausted), "ABORTED": plain(codes.Aborted), "CANCELLED": plain(codes.Canceled), "DEADLINE_EXCEEDED": plain(codes.DeadlineExceeded),
		"OUT_OF_RANGE": plain(codes.OutOfRange), "DATA_LOSS": plain(codes.DataLoss), "UNAUTHENTICATED": plain(codes.Unauthenticated), "INTERNAL": plain(codes.Internal), "UNIMPLEMENTED": plain(codes.Unimplemented),
		"429": func() error { return fmt.Errorf("%w: %w", httpError(429), errRetryLater) }, "502": func() error { return httpError(502) }, "503": func() error { return httpError(503) },
		"504": func() error { return httpError(504) }, "500": func() error { return httpError(500) }, "401": func() error { return httpError(401) }, "404": func() error { return httpError(404) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStock()
			s.answer = fail(err)
			scheme := "grpc://"
			if _, isStatus := status.FromError(err()); isStatus {
				s.overGRPC(t, "127.0.0.1:0")
			} else {
				s.overHTTP(t)
				scheme = "http://"
			}
			a := start(t, &Config{LogFormat: "text", Destinations: []Destination{{Type: TypeOTLP, Endpoint: scheme + s.address, Batch: 5}}})
			for i := range 20 {
				putDocument(t, a, i)
			}
			s.await(t, 20)
			st := idle(t, a)
			if st.DeadLetters != 0 || st.Destinations[0].Calls == st.Destinations[0].Sent/5 {
				t.Errorf("%+v", st.Destinations[0])
			}
		})
	}
}

// TestOTLPRefusals has receivers refuse what a call carries: the document to blame
// becomes a dead letter.
func TestOTLPRefusals(t *testing.T) {
	bad := fmt.Sprintf("%016x", 4)
	for name, err := range map[string]error{
		"INVALID_ARGUMENT": status.Error(codes.InvalidArgument, "a bad span"), "FAILED_PRECONDITION": status.Error(codes.FailedPrecondition, "a bad span"), "400": httpError(400), "422": httpError(422),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStock()
			s.answer = func(_ int, req *traces.TracesData) (*partial, error) {
				for _, rs := range req.ResourceSpans {
					for _, ss := range rs.ScopeSpans {
						for _, span := range ss.Spans {
							if hex.EncodeToString(span.SpanId) == bad {
								return nil, err
							}
						}
					}
				}
				return nil, nil
			}
			scheme := "grpc://"
			if _, isStatus := status.FromError(err); isStatus {
				s.overGRPC(t, "127.0.0.1:0")
			} else {
				s.overHTTP(t)
				scheme = "http://"
			}
			a := start(t, &Config{LogFormat: "text", Destinations: []Destination{{Type: TypeOTLP, Endpoint: scheme + s.address}}})
			for i := range 20 {
				putDocument(t, a, i)
			}
			s.await(t, 19)
			idle(t, a)
			letters, err := a.letters.newest(10)
			if err != nil || len(letters) != 1 || letters[0].Document != document(3) || letters[0].Code != "Undeliverable" {
				t.Errorf("%+v, %v", letters, err)
			}
		})
	}
}

// TestOTLPPartialSuccess has receivers take a call but for some of its spans.
func TestOTLPPartialSuccess(t *testing.T) {
	for _, overGRPC := range []bool{true, false} {
		for _, all := range []bool{true, false} {
			t.Run(fmt.Sprint("gRPC ", overGRPC, ", all ", all), func(t *testing.T) {
				s := newStock()
				s.answer = func(_ int, req *traces.TracesData) (*partial, error) {
					n := int64(1)
					if all {
						n = 0
						for _, rs := range req.ResourceSpans {
							for _, ss := range rs.ScopeSpans {
								n += int64(len(ss.Spans))
							}
						}
					}
					return &partial{n, "too old"}, nil
				}
				scheme := "grpc://"
				if overGRPC {
					s.overGRPC(t, "127.0.0.1:0")
				} else {
					s.overHTTP(t)
					scheme = "http://"
				}
				a := start(t, &Config{LogFormat: "text", Destinations: []Destination{{Type: TypeOTLP, Endpoint: scheme + s.address}}})
				docs := [][]byte{[]byte(document(0)), []byte(document(1)), []byte(document(2))}
				if err := a.intake.put(t.Context(), wayHTTP, docs, true); err != nil {
					t.Fatal(err)
				}
				st := idle(t, a)
				s.mu.Lock()
				calls := s.calls
				s.mu.Unlock()
				letters, err := a.letters.newest(10)
				if err != nil {
					t.Fatal(err)
				}
				if all {
					if len(letters) != 3 || letters[2].Document != document(2) || letters[2].Message != "too old" || st.Destinations[0].Refused != 3 {
						t.Errorf("%+v; %+v", letters, st.Destinations[0])
					}
					return
				}
				// They came in one call, or in two or three.
				if len(letters) != calls || st.Destinations[0].Refused != uint64(calls) || !strings.Contains(letters[0].Message+letters[0].Document, "too old") || letters[0].Code != "PartialSuccess" {
					t.Errorf("%d calls: %+v; %+v", calls, letters, st.Destinations[0])
				}
				for _, times := range s.times {
					if times != 1 {
						t.Error("a span of a call that was taken was sent again")
					}
				}
			})
		}
	}
}

// TestOTLPOutage takes one of two receivers away: the other is not delayed, and what
// waits arrives when it is back, each span once.
func TestOTLPOutage(t *testing.T) {
	one, two := newStock(), newStock()
	one.overGRPC(t, "127.0.0.1:0")
	two.overGRPC(t, "127.0.0.1:0")
	a := start(t, &Config{LogFormat: "text", Destinations: []Destination{{Name: "one", Type: TypeOTLP, Endpoint: "grpc://" + one.address}, {Name: "two", Type: TypeOTLP, Endpoint: "grpc://" + two.address}}})
	putDocument(t, a, 0)
	one.await(t, 1)
	two.await(t, 1)
	two.stop()
	for i := range 200 {
		putDocument(t, a, i+1)
	}
	one.await(t, 201)
	if st := a.Status(); st.Destinations[1].Waiting != 200 || !strings.Contains(a.degraded()+"two: ", "two: ") {
		t.Errorf("%+v", st.Destinations[1])
	}
	back := newStock()
	back.overGRPC(t, two.address)
	back.await(t, 200)
	idle(t, a)
	for id, times := range back.times {
		if times != 1 {
			t.Errorf("%s came %d times", id, times)
		}
	}
}

// TestOTLPLargeDocument sends a document whose spans are more than a gRPC server takes
// in a call, beside small ones.
func TestOTLPLargeDocument(t *testing.T) {
	s := newStock()
	s.overGRPC(t, "127.0.0.1:0")
	a := start(t, &Config{LogFormat: "text", Destinations: []Destination{{Type: TypeOTLP, Endpoint: "grpc://" + s.address, Compression: "none"}}})
	var doc strings.Builder
	doc.WriteString(`{"trace_id":"1-67412345-000000000000000000000001","id":"00000000000000ff","name":"big","start_time":1,"end_time":2,"subsegments":[`)
	const subs = 60
	for i := range subs {
		if i > 0 {
			doc.WriteByte(',')
		}
		fmt.Fprintf(&doc, `{"id":"%016x","name":"call","start_time":1,"end_time":2,"metadata":{"x":{"filler":"%s"}}}`, 0x100+i, strings.Repeat("x", 64<<10))
	}
	doc.WriteString("]}")
	if err := a.intake.put(t.Context(), wayHTTP, [][]byte{[]byte(document(0)), []byte(doc.String()), []byte(document(1))}, true); err != nil {
		t.Fatal(err)
	}
	s.await(t, subs+3)
	if st := idle(t, a); st.DeadLetters != 0 {
		t.Errorf("%d dead letters", st.DeadLetters)
	}
}

// TestOTLPNotASpan holds that a document that cannot be read is a dead letter, and
// that others are not held up by it.
func TestOTLPNotASpan(t *testing.T) {
	s := newStock()
	s.overHTTP(t)
	a := start(t, &Config{LogFormat: "text", Destinations: []Destination{{Type: TypeOTLP, Endpoint: "http://" + s.address}}})
	if err := a.intake.put(t.Context(), wayUDP, [][]byte{[]byte(`{"id":"nonsense"}`), []byte(document(0)), []byte(`[` + document(1) + `,` + document(2) + `]`)}, true); err != nil {
		t.Fatal(err)
	}
	s.await(t, 3)
	idle(t, a)
	letters, err := a.letters.newest(10)
	if err != nil || len(letters) != 1 || letters[0].Document != `{"id":"nonsense"}` {
		t.Errorf("%+v, %v", letters, err)
	}
}

// TestOTLPWithoutGzip falls back to plain bodies where gzip is not known.
func TestOTLPWithoutGzip(t *testing.T) {
	s := newStock()
	s.overHTTP(t)
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Encoding") != "" {
			w.WriteHeader(http.StatusUnsupportedMediaType)
			return
		}
		http.Redirect(w, r, "http://"+s.address+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer plain.Close()
	e, err := newOTLPExporter(Destination{Type: TypeOTLP, Endpoint: plain.URL + "/v1/traces", Compression: "gzip", Batch: 10, BatchBytes: 1 << 20, Connections: 1, Timeout: time.Second}, awsOptions{getenv: none}, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	p := Parcel{Form: FormXRay, Records: [][]byte{[]byte(document(0))}}
	if out := e.Send(t.Context(), p); out.Verdict != Again || !e.plain.Load() {
		t.Errorf("%+v", out)
	}
	// A redirect says that the endpoint is wrong; it is not followed.
	if out := e.Send(t.Context(), p); out.Verdict != Again || !strings.Contains(out.Err.Error(), "307") {
		t.Errorf("%+v", out)
	}
}

func TestJudgeOTLP(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer answer
		want   Outcome
		text   string
	}{
		{name: "taken", answer: answer{status: 200, header: header("Content-Type", "application/x-protobuf")}},
		{name: "accepted without an answer", answer: answer{status: 202}},
		{name: "JSON", answer: answer{status: 200, header: header("Content-Type", "application/json; charset=utf-8"), body: []byte(`{"partialSuccess":{"rejectedSpans":"0"}}`)}},
		{name: "a login", answer: answer{status: 200, header: header("Content-Type", "text/html"), body: []byte("<html>")}, want: Outcome{Verdict: Again, Cause: CauseOther}, text: "none of OTLP"},
		{name: "half an answer", answer: answer{status: 200, header: header("Content-Type", "application/x-protobuf"), body: []byte{10, 200}}, want: Outcome{Verdict: Again, Cause: CauseOther}, text: "none of OTLP"},
		{name: "a text of JSON", answer: answer{status: 400, header: header("Content-Type", "application/json"), body: []byte(`{"code":3,"message":"bad span"}`)}, want: Outcome{Verdict: Divide, Cause: Cause4xx}, text: "400 Bad Request bad span"},
		{name: "too large", answer: answer{status: 413}, want: Outcome{Verdict: Divide, Cause: Cause4xx}, text: "413"},
		{name: "forbidden", answer: answer{status: 403}, want: Outcome{Verdict: Again, Cause: Cause4xx}, text: "403"},
		{name: "busy", answer: answer{status: 503, header: header("Retry-After", "7")}, want: Outcome{Verdict: Again, Cause: Cause5xx, RetryAfter: 7 * time.Second}, text: "503"},
	} {
		got := judgeOTLP(&test.answer)
		if got.Verdict != test.want.Verdict || got.Cause != test.want.Cause || got.Throttled != test.want.Throttled || got.RetryAfter != test.want.RetryAfter {
			t.Errorf("%s: %+v", test.name, got)
		}
		if text := fmt.Sprint(got.Err); got.Verdict != Delivered && !strings.Contains(text, test.text) {
			t.Errorf("%s: %s", test.name, text)
		}
	}
	for _, test := range []struct {
		name    string
		answer  answer
		size    int
		verdict Verdict
	}{
		{"no gRPC", answer{status: 200, body: []byte("hello")}, 10, Again},
		{"no message", answer{status: 200, trailer: header("Grpc-Status", "0")}, 10, Again},
		{"a proxy", answer{status: 502}, 10, Again},
		{"a proxy that takes no large bodies", answer{status: 413}, 10, Divide},
		{"too large", answer{status: 200, trailer: header("Grpc-Status", "8")}, 1 << 20, Divide},
		{"too busy", answer{status: 200, trailer: header("Grpc-Status", "8")}, 1 << 10, Again},
		{"a code of the future", answer{status: 200, trailer: header("Grpc-Status", "99")}, 10, Divide},
	} {
		if got := judgeGRPC(&test.answer, test.size); got.Verdict != test.verdict {
			t.Errorf("%s: %+v", test.name, got)
		}
	}
}

func FuzzParseStatus(f *testing.F) {
	st, _ := status.New(codes.Unavailable, "x").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)})
	data, _ := proto.Marshal(st.Proto())
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		if s := parseStatus(data); s.delay < 0 {
			t.Errorf("a delay of %v", s.delay)
		}
		parsePartial(data)
	})
}

// BenchmarkExport measures what a call of 200 documents costs before it is sent.
func BenchmarkExport(b *testing.B) {
	var p Parcel
	p.Form = FormXRay
	size := 0
	for i := range 200 {
		doc := fmt.Sprintf(`{"trace_id":"1-67412345-%024x","id":"%016x","name":"desk-%d","start_time":1732354243.123,"end_time":1732354244.456,"http":{"request":{"method":"GET","url":"http://desk/orders/%d","client_ip":"10.0.0.1"},"response":{"status":200,"content_length":1234}},"annotations":{"tenant":"blue","size":%d},"aws":{"xray":{"sdk":"X-Ray for Go","sdk_version":"1.8"}},"subsegments":[{"id":"%016x","name":"db","namespace":"remote","start_time":1732354243.2,"end_time":1732354243.3,"sql":{"sanitized_query":"SELECT * FROM orders WHERE id = ?","database_type":"PostgreSQL"}}]}`, i, i+1, i%3, i, i, i+1000)
		size += len(doc)
		p.Records = append(p.Records, []byte(doc))
	}
	for _, compression := range []string{"none", "gzip"} {
		b.Run(compression, func(b *testing.B) {
			e, err := newOTLPExporter(Destination{Endpoint: "http://127.0.0.1:1/v1/traces", Compression: compression, Connections: 1}, awsOptions{getenv: none}, "")
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				spans, refused := p.spans()
				if len(refused) > 0 {
					b.Fatal(refused)
				}
				out := sendSpans(&e.bodies, spans, nil, len(p.Records), func(message []byte) (answer, Outcome) {
					if buf, err = e.appendBody(b.Context(), buf[:0], message, e.plain.Load()); err != nil {
						b.Fatal(err)
					}
					return answer{read: true}, Outcome{}
				})
				if out.Verdict != Delivered {
					b.Fatal(out)
				}
			}
			b.ReportMetric(float64(len(p.Records))*float64(b.N)/b.Elapsed().Seconds(), "documents/s")
		})
	}
}
