package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/roentgen-io/roentgen/internal/bench"
	"github.com/roentgen-io/roentgen/internal/keys"
	"github.com/roentgen-io/roentgen/test/process"
)

const (
	// siege is how long an attack goes on, at least.
	siege = 1200 * time.Millisecond
	// residentBound is the most memory that the server may ever hold: max-in-flight,
	// 128 MiB, for bodies and for documents on their way into the store, and what it
	// holds at full load without large bodies. Seen were up to 273 MB.
	residentBound = 350 << 20
)

// besieged is a server that attacks run against.
type besieged struct {
	*process.Server
	t      *testing.T
	bearer string // of a key with all roles; "" when the server wants none
	keyID  string
}

// TestHostileClients runs one attack after the other against a server, while a good
// neighbour puts traces and reads them back. Every request of the neighbour has to be
// answered as in peace, and the server's memory stays within its bound. How long the
// neighbour waited is logged, not judged: the machine has other work.
func TestHostileClients(t *testing.T) {
	t.Run("open", func(t *testing.T) {
		b := &besieged{Server: process.Serve(t, t.TempDir()), t: t}
		b.run()
	})
	t.Run("keys", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "keys.json")
		k := keys.New("neighbour", []keys.Role{keys.RoleAdmin}, time.Now())
		if err := keys.Update(file, true, func([]keys.Key) ([]keys.Key, error) { return []keys.Key{k}, nil }); err != nil {
			t.Fatal(err)
		}
		b := &besieged{Server: process.Serve(t, t.TempDir(), "--keys", file), t: t, bearer: "Bearer " + k.Bearer(), keyID: k.ID}
		b.run()
	})
}

// attacks are run in this order. An attack ends when its context does; it returns what
// the server did wrong.
var attacks = []struct {
	name string
	run  func(b *besieged, ctx context.Context) error
}{
	{"peace", func(_ *besieged, ctx context.Context) error { <-ctx.Done(); return nil }},
	{"slow headers", (*besieged).slowHeaders},
	{"slow bodies", (*besieged).slowBodies},
	{"slow readers", (*besieged).slowReaders},
	{"header floods", (*besieged).headerFloods},
	{"lengths that lie", (*besieged).lyingLengths},
	{"path tricks", (*besieged).pathTricks},
	{"giant numbers", (*besieged).giantNumbers},
	{"deep nesting", (*besieged).deepNesting},
	{"what grows when it is read", (*besieged).bombs},
	{"wide requests", (*besieged).wideRequests},
	{"floods of tags and rules", (*besieged).settingsFloods},
	{"large bodies", (*besieged).largeBodies},
	{"wrong signatures", (*besieged).wrongSignatures},
	{"idle connections", (*besieged).idleConnections},
	{"streams of HTTP/2", (*besieged).streamFloods},
	{"datagrams", (*besieged).datagrams},
	{"listeners that do not listen", (*besieged).deafListeners},
}

func (b *besieged) run() {
	for _, a := range attacks {
		b.t.Run(a.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), siege)
			defer cancel()
			n := &neighbour{b: b}
			done := make(chan error, 1)
			go func() { done <- a.run(b, ctx) }()
			var attackErr error
			running := true
			for begin := time.Now(); running || time.Since(begin) < siege; {
				n.visit(t)
				select {
				case attackErr = <-done:
					running = false
				default:
				}
			}
			if attackErr != nil {
				t.Error(attackErr)
			}
			rss, peak := b.memory(t)
			t.Logf("%d calls of the neighbour, %d of them tried again; took %v in the middle, %v at most; %d MB resident, %d MB at most",
				len(n.took), n.again, n.quantile(0.5), n.quantile(1), rss>>20, peak>>20)
			if peak > residentBound {
				t.Errorf("the server held %d MB", peak>>20)
			}
		})
		select {
		case <-b.Exited():
			b.t.Fatalf("the server is gone:\n%s", b.Output)
		default:
		}
	}
	b.Signal(b.t, syscall.SIGTERM)
	if state := b.Wait(b.t); !state.Success() {
		b.t.Errorf("the server ended with %v:\n%s", state, b.Output)
	}
	for line := range strings.Lines(b.Output.String()) {
		if strings.Contains(line, "level=ERROR") || strings.Contains(line, "panic") {
			b.t.Errorf("in the log: %s", line)
		}
	}
}

// memory returns what the server holds now, and what it held at most.
func (b *besieged) memory(t *testing.T) (rss, peak int64) {
	t.Helper()
	rss, peak, err := bench.Memory(b.PID())
	if err != nil {
		t.Skipf("SKIPPED: memory of a process cannot be read here: %v", err)
	}
	return rss, peak
}

// neighbour is a client with good manners.
type neighbour struct {
	b     *besieged
	took  []time.Duration
	again int
}

// visit puts a document and reads it back over a connection of its own, and asks for
// the newest traces. A 429 or 503 is tried again, as every SDK does, for ten seconds.
func (n *neighbour) visit(t *testing.T) {
	t.Helper()
	doc, trace, id := plainDocument()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	put := n.call(t, client, "/TraceSegments", map[string]any{"TraceSegmentDocuments": []string{doc}})
	if put != `{"UnprocessedTraceSegments":[]}` {
		t.Errorf("put: %.300s", put)
	}
	if got := n.call(t, client, "/Traces", map[string]any{"TraceIds": []string{trace}}); !strings.Contains(got, id) {
		t.Errorf("trace %s: %.300s", trace, got)
	}
	now := time.Now().Unix()
	if got := n.call(t, client, "/TraceSummaries", map[string]any{"StartTime": now - 60, "EndTime": now + 60}); !strings.Contains(got, `"TraceSummaries":[{`) {
		t.Errorf("summaries: %.300s", got)
	}
}

func (n *neighbour) call(t *testing.T, client *http.Client, path string, body any) string {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); ; {
		start := time.Now()
		status, text, err := n.b.post(client, path, bytes.NewReader(data), nil)
		n.took = append(n.took, time.Since(start))
		if err == nil && status == 200 {
			return text
		}
		if time.Since(begin) > 10*time.Second || status != 429 && status != 503 {
			t.Fatalf("%s: %d %.300s %v", path, status, text, err)
		}
		n.again++
		time.Sleep(20 * time.Millisecond)
	}
}

func (n *neighbour) quantile(q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(n.took))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(q*float64(len(sorted)-1))].Round(10 * time.Microsecond)
}

// post sends a request with the key, when there is one.
func (b *besieged) post(client *http.Client, path string, body io.Reader, header http.Header) (int, string, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, b.URL+path, body)
	if err != nil {
		return 0, "", err
	}
	if b.bearer != "" {
		r.Header.Set("Authorization", b.bearer)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, string(text), err
}

// head returns the lines of a request up to its last header, without the empty line.
func (b *besieged) head(method, path string) string {
	text := method + " " + path + " HTTP/1.1\r\nHost: " + b.Address + "\r\n"
	if b.bearer != "" {
		text += "Authorization: " + b.bearer + "\r\n"
	}
	return text
}

// dial opens connections until there are n, or the server or this machine gives no more.
func (b *besieged) dial(n int) (conns []net.Conn, closeAll func()) {
	for range n {
		c, err := net.DialTimeout("tcp", b.Address, 5*time.Second)
		if err != nil {
			break
		}
		c.SetDeadline(time.Now().Add(time.Minute))
		conns = append(conns, c)
	}
	return conns, func() {
		for _, c := range conns {
			c.Close()
		}
	}
}

// each calls do for all conns, again and again until ctx is done. Errors of single
// connections are what the server does to attackers.
func each(ctx context.Context, conns []net.Conn, do func(i int, c net.Conn)) {
	for ctx.Err() == nil {
		for i, c := range conns {
			do(i, c)
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// crowd runs do in so many goroutines until ctx is done, and returns the first error.
func crowd(ctx context.Context, n int, do func(i int) error) error {
	var wg sync.WaitGroup
	errs := make(chan error, n)
	for worker := range n {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if err := do(worker + i*n); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// slowHeaders sends heads of requests that never end, a few bytes at a time.
func (b *besieged) slowHeaders(ctx context.Context) error {
	conns, closeAll := b.dial(400)
	defer closeAll()
	text := b.head("POST", "/TraceSegments") + strings.Repeat("X-A: b\r\n", 1000)
	at := make([]int, len(conns))
	each(ctx, conns, func(i int, c net.Conn) {
		io.WriteString(c, text[at[i]:at[i]+3])
		at[i] += 3
	})
	return nil
}

// slowBodies promises large bodies and sends them a byte at a time.
func (b *besieged) slowBodies(ctx context.Context) error {
	conns, closeAll := b.dial(400)
	defer closeAll()
	for _, c := range conns {
		io.WriteString(c, b.head("POST", "/TraceSegments")+"Content-Length: 60000000\r\n\r\n"+`{"TraceSegmentDocuments":["`)
	}
	each(ctx, conns, func(_ int, c net.Conn) { io.WriteString(c, "x") })
	return nil
}

// slowReaders asks for much, many times on each connection, and does not read the
// answers.
func (b *besieged) slowReaders(ctx context.Context) error {
	conns, closeAll := b.dial(200)
	defer closeAll()
	for _, c := range conns {
		if err := c.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			return err
		}
		for range 200 {
			io.WriteString(c, b.head("GET", "/metrics")+"\r\n")
		}
	}
	<-ctx.Done()
	return nil
}

// ask writes bytes to a connection of their own, and returns the status of the answer
// and its body; 0 when the server gives none.
func (b *besieged) ask(text string) (int, string) {
	c, err := net.DialTimeout("tcp", b.Address, 10*time.Second)
	if err != nil {
		return 0, ""
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(3 * time.Second)) // the server waits longer for what does not come
	go io.WriteString(c, text)                     // the server may answer, and end, before it has read it all
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, string(body)
}

// headerFloods sends heads that are far too large, in different shapes.
func (b *besieged) headerFloods(ctx context.Context) error {
	authorization := "Authorization: AWS4-HMAC-SHA256 Credential=" + b.keyID + "/20260101/r/xray/aws4_request, SignedHeaders="
	var many strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&many, "X-%d: y\r\n", i)
	}
	shapes := []string{
		"X-Long: " + strings.Repeat("x", 10<<20) + "\r\n",
		strings.Repeat("X-Same: y\r\n", 500_000),
		many.String(),
		strings.Repeat("X", 1<<20) + ": y\r\n",
		authorization + strings.Repeat("host;", 12_000) + ", Signature=00\r\n",
		authorization + "host, Signature=" + strings.Repeat("0", 60_000) + "\r\n",
		"Authorization: " + strings.Repeat("a=b,", 15_000) + "\r\n",
		"Authorization: Bearer " + strings.Repeat("x", 60_000) + "\r\n",
		"Cookie: " + strings.Repeat("a=b; ", 10_000) + "\r\n",
	}
	return crowd(ctx, 8, func(i int) error {
		shape := shapes[i%len(shapes)]
		status, text := b.ask("POST /GetGroup HTTP/1.1\r\nHost: " + b.Address + "\r\n" + shape + "Content-Length: 2\r\n\r\n{}")
		if status != 0 && status != 431 && status != 403 && status != 400 {
			return fmt.Errorf("a head with %.30q...: %d %.200s", shape, status, text)
		}
		return nil
	})
}

// lyingLengths says of bodies what is not so, in ways that make two readers see
// two different requests.
func (b *besieged) lyingLengths(ctx context.Context) error {
	inner := "GET /debug/config HTTP/1.1\r\nHost: " + b.Address + "\r\n\r\n"
	shapes := []string{
		"Content-Length: -1\r\n\r\n",
		"Content-Length: 99999999999999999999999\r\n\r\n",
		"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
		"Content-Length: 2, 2\r\n\r\n{}",
		"Content-Length: +2\r\n\r\n{}",
		"Content-Length: 0x2\r\n\r\n{}",
		"Content-Length : 2\r\n\r\n{}",
		"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nffffffffffffffff\r\n{}",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
		"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + inner,
		"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n" + inner,
		"Transfer-Encoding: chunked\r\n\r\n2;" + strings.Repeat("x", 100_000) + "\r\n{}\r\n0\r\n\r\n",
		"Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\n \r\n", 50_000) + "0\r\n\r\n",
		"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + strings.Repeat("X-Trailer: y\r\n", 50_000) + "\r\n",
		"Content-Length: 1\r\nContent-Encoding: gzip\r\n\r\n\x1f",
	}
	return crowd(ctx, 4, func(i int) error {
		shape := shapes[i%len(shapes)]
		status, text := b.ask(b.head("POST", "/GetGroup") + "Connection: close\r\n" + shape)
		// A body of many small pieces is well-formed; it lacks the name of a group.
		if status != 0 && status != 400 && status != 408 && status != 501 && status != 413 {
			return fmt.Errorf("a body with %.60q: %d %.200s", shape, status, text)
		}
		return nil
	})
}

// pathTricks asks, without a key, for what a key is needed for, by every path that
// somebody might take for another one.
func (b *besieged) pathTricks(ctx context.Context) error {
	var paths []string
	for _, target := range []string{"debug/config", "debug/pprof/cmdline", "api/dead-letters", "metrics", "Groups"} {
		for _, form := range []string{"/%s", "//%s", "/./%s", "/-/../%s", "/-/%%2e%%2e/%s", "/-/..%%2f%s", "/-/ready/../../%s", "/%%2e/%s", "/x/../%s", "/-/;/%s", "/-/%s", "\\%s", "/%s%%00",
			"/%s/", "/%s?", "/%s#/-/ready", "/-/ready#/%s", "/-/ready?/%s", "http://" + b.Address + "/%s", "http://127.0.0.1/-/../%s", "/%%2F%s", "/%s;x=/-/ready", "/%s%%20", "/%s/..;/-/ready"} {
			paths = append(paths, fmt.Sprintf(form, target))
		}
	}
	paths = append(paths, "*", "", "/"+strings.Repeat("a/", 20_000), "/"+strings.Repeat("../", 10_000)+"etc/passwd", "/"+strings.Repeat("%2e%2e%2f", 5_000),
		"/%", "/%zz", "/\x00", "/\xff\xfe", "//////////", "127.0.0.1:22", "/api/traces/"+strings.Repeat("f", 60_000), "/api/traces/1-58406520-a006649127e371903a2de979%0d%0aX: y")
	methods := []string{"GET", "POST", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PUT", "G\x00T", strings.Repeat("M", 10_000)}
	return crowd(ctx, 4, func(i int) error {
		path, method := paths[i%len(paths)], methods[i/len(paths)%len(methods)]
		status, text := b.ask(method + " " + path + " HTTP/1.1\r\nHost: " + b.Address + "\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		if b.bearer != "" {
			ready := strings.HasPrefix(path, "/-/ready") && (text == "ready\n" || method == "HEAD" && text == "")
			if status >= 200 && status < 300 && !ready {
				return fmt.Errorf("%s %.100q without a key: %d %.200s", method, path, status, text)
			}
		}
		if status >= 500 && status != 501 {
			return fmt.Errorf("%s %.100q: %d %.200s", method, path, status, text)
		}
		return nil
	})
}

// bodies posts bodies in turn and checks that each is answered, by one of these
// statuses.
func (b *besieged) bodies(ctx context.Context, workers int, list []request, statuses ...int) error {
	transport := &http.Transport{MaxIdleConnsPerHost: workers}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	return crowd(ctx, workers, func(i int) error {
		r := list[i%len(list)]
		status, text, err := b.post(client, r.path, strings.NewReader(r.body), r.header)
		if err != nil {
			status = 0 // cut off, as is right
		}
		if status == 0 {
			return nil
		}
		if !slices.Contains(statuses, status) {
			return fmt.Errorf("%s with %.80q...: %d %.300s", r.path, r.body, status, text)
		}
		if !json.Valid([]byte(text)) && len(text) < 1<<20 {
			return fmt.Errorf("%s with %.80q...: the answer is no JSON: %.300s", r.path, r.body, text)
		}
		return nil
	})
}

type request struct {
	path, body string
	header     http.Header
}

// document wraps a segment document into a call.
func document(doc string) string {
	body, err := json.Marshal(map[string]any{"TraceSegmentDocuments": []string{doc}})
	if err != nil {
		panic(err) // a string
	}
	return string(body)
}

func (b *besieged) giantNumbers(ctx context.Context) error {
	var list []request
	for _, n := range []string{"1e999999999", "-1e999999999", "1e-999999999", strings.Repeat("9", 1<<20), "0." + strings.Repeat("0", 1<<20) + "1", "1E" + strings.Repeat("9", 1000),
		"-0", "9223372036854775808", "18446744073709551616", "1e400", "NaN", "Infinity", "0x10", "1_000", "+1", ".5", "5."} {
		list = append(list,
			request{path: "/TraceSummaries", body: `{"StartTime":` + n + `,"EndTime":` + n + `}`},
			request{path: "/TimeSeriesServiceStatistics", body: `{"StartTime":1,"EndTime":2,"Period":` + n + `}`},
			request{path: "/ServiceGraph", body: `{"StartTime":` + n + `,"EndTime":2}`},
			request{path: "/InsightSummaries", body: `{"StartTime":1,"EndTime":2,"MaxResults":` + n + `}`},
			request{path: "/SamplingTargets", body: `{"SamplingStatisticsDocuments":[{"RuleName":"Default","ClientID":"0123456789abcdef01234567","Timestamp":` + n + `,"RequestCount":` + n + `,"SampledCount":` + n + `}]}`},
			request{path: "/CreateSamplingRule", body: `{"SamplingRule":{"RuleName":"x","Priority":` + n + `,"FixedRate":` + n + `,"ReservoirSize":` + n + `}}`},
			request{path: "/TelemetryRecords", body: `{"TelemetryRecords":[{"Timestamp":` + n + `,"SegmentsReceivedCount":` + n + `}]}`},
			request{path: "/TraceSegments", body: document(`{"trace_id":"1-58406520-a006649127e371903a2de979","id":"53995c3f42cd8ad8","name":"x","start_time":` + n + `,"end_time":` + n + `,"annotations":{"n":` + n + `},"metadata":{"n":` + n + `}}`)},
			request{path: "/TraceSummaries", body: `{"StartTime":1,"EndTime":2,"FilterExpression":"duration > ` + n + `"}`},
		)
	}
	return b.bodies(ctx, 4, list, 200, 400, 413, 429)
}

func (b *besieged) deepNesting(ctx context.Context) error {
	deep := func(open, close string, n int) string {
		return strings.Repeat(open, n) + "1" + strings.Repeat(close, n)
	}
	var list []request
	for _, n := range []int{1000, 100_000, 1_000_000} {
		objects, arrays := deep(`{"a":`, "}", n), deep("[", "]", n)
		head := `{"trace_id":"1-58406520-a006649127e371903a2de979","id":"53995c3f42cd8ad8","name":"x","start_time":1,"end_time":2,`
		list = append(list,
			request{path: "/Traces", body: objects},
			request{path: "/Traces", body: `{"TraceIds":` + arrays + `}`},
			request{path: "/TraceSummaries", body: strings.Repeat("[", n)},
			request{path: "/TraceSegments", body: arrays},
			request{path: "/TraceSegments", body: document(head + `"metadata":` + objects + `}`)},
			request{path: "/TraceSegments", body: document(head + `"subsegments":` + deep(`[{"id":"53995c3f42cd8ad9","name":"y","start_time":1,"end_time":2,"subsegments":`, "}]", n/20) + `}`)},
			request{path: "/TraceSegments", body: document(arrays)},
			request{path: "/PutResourcePolicy", body: `{"PolicyName":"x","PolicyDocument":` + strconv.Quote(objects) + `}`},
			request{path: "/TraceSummaries", body: `{"StartTime":1,"EndTime":2,"FilterExpression":"` + strings.Repeat("(", n/10) + "fault" + strings.Repeat(")", n/10) + `"}`},
			request{path: "/TraceSummaries", body: `{"StartTime":1,"EndTime":2,"FilterExpression":"` + strings.Repeat("!", n/10) + `fault"}`},
			request{path: "/TraceSummaries", body: `{"StartTime":1,"EndTime":2,"FilterExpression":"` + strings.Repeat("fault AND ", n/10) + `fault"}`},
			request{path: "/api/explain", body: `{"Expression":"` + strings.Repeat("service() { ", n/20) + strings.Repeat("}", n/20) + `"}`},
		)
	}
	return b.bodies(ctx, 4, list, 200, 400, 413, 429)
}

// bombs are small on the wire: zipped nothing, arrays that refuse much, groups that
// name each other so that every level doubles what the one below stands for.
func (b *besieged) bombs(ctx context.Context) error {
	var zipped bytes.Buffer
	z, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	if err != nil {
		return err
	}
	zeros := make([]byte, 1<<20)
	for range 256 {
		if _, err := z.Write(zeros); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	encoded := http.Header{"Content-Encoding": {"gzip"}}
	list := []request{
		{"/TraceSegments", zipped.String(), encoded},
		{"/Traces", zipped.String(), encoded},
		{"/TraceSegments", document("[" + strings.Repeat("0,", 400_000) + "0]"), nil},
		{"/TraceSegments", document("[" + strings.Repeat("[],", 300_000) + "[]]"), nil},
		{"/TraceSegments", `{"TraceSegmentDocuments":[` + strings.Repeat(`"",`, 9_998) + `""]}`, nil},
		{"/Traces", `{"TraceIds":["` + strings.Repeat(`\u0041`, 500_000) + `"]}`, nil},
	}
	for level := range 30 {
		expression := "fault"
		if level > 0 {
			below := fmt.Sprintf(`group.name = \"laugh%d\"`, level-1)
			expression = below + " OR " + below
		}
		list = append(list, request{"/CreateGroup", fmt.Sprintf(`{"GroupName":"laugh%d","FilterExpression":"%s"}`, level, expression), nil})
	}
	list = append(list, request{"/TraceSummaries", `{"StartTime":1,"EndTime":4000000000,"FilterExpression":"group.name = \"laugh29\""}`, nil})
	err = b.bodies(ctx, 2, list, 200, 400, 413, 429)
	for level := range 30 {
		_, _, _ = b.post(http.DefaultClient, "/DeleteGroup", strings.NewReader(fmt.Sprintf(`{"GroupName":"laugh%d"}`, level)), nil) // it may not be there
	}
	return err
}

// wideRequests have one of everything, very often.
func (b *besieged) wideRequests(ctx context.Context) error {
	many := func(n int, part func(i int) string) string {
		var s strings.Builder
		for i := range n {
			if i > 0 {
				s.WriteByte(',')
			}
			s.WriteString(part(i))
		}
		return s.String()
	}
	head := `{"trace_id":"1-58406520-a006649127e371903a2de979","id":"53995c3f42cd8ad8","name":"x","start_time":1,"end_time":2,`
	list := []request{
		{"/Traces", `{"TraceIds":[` + many(100_000, func(i int) string { return fmt.Sprintf(`"1-58406520-%024x"`, i) }) + `]}`, nil},
		{"/Traces", `{"TraceIds":[],` + many(100_000, func(i int) string { return fmt.Sprintf(`"key%d":1`, i) }) + `}`, nil},
		{"/SamplingTargets", `{"SamplingStatisticsDocuments":[` + many(25_000, func(i int) string {
			return fmt.Sprintf(`{"RuleName":"r%d","ClientID":"%024x","Timestamp":1,"RequestCount":1,"SampledCount":1}`, i, i)
		}) + `]}`, nil},
		{"/TraceSegments", document(head + `"annotations":{` + many(50_000, func(i int) string { return fmt.Sprintf(`"a%d":%d`, i, i) }) + `}}`), nil},
		{"/TraceSegments", document(head + `"subsegments":[` + many(20_000, func(i int) string {
			return fmt.Sprintf(`{"id":"%016x","name":"s%d","start_time":1,"end_time":2,"namespace":"remote"}`, i, i)
		}) + `]}`), nil},
		{"/TraceSegments", document(head + `"name":"` + strings.Repeat("n", 1<<20) + `"}`), nil},
	}
	return b.bodies(ctx, 2, list, 200, 400, 413, 429)
}

// settingsFloods makes settings that are kept, as many as it may.
func (b *besieged) settingsFloods(ctx context.Context) error {
	var tags []string
	for i := range 10_000 {
		tags = append(tags, fmt.Sprintf(`{"Key":"k%d","Value":"%s"}`, i, strings.Repeat("v", 200)))
	}
	var list []request
	for i := range 2000 {
		list = append(list,
			request{path: "/CreateSamplingRule", body: fmt.Sprintf(`{"SamplingRule":{"RuleName":"flood%d","ResourceARN":"*","Priority":%d,"FixedRate":0.1,"ReservoirSize":1,"ServiceName":"*","ServiceType":"*","Host":"*","HTTPMethod":"*","URLPath":"*","Version":1}}`, i, 1+i%9999)},
			request{path: "/CreateGroup", body: fmt.Sprintf(`{"GroupName":"flood%d","FilterExpression":"annotation.a%d = %d","Tags":[%s]}`, i, i, i, strings.Join(tags[:50], ","))},
		)
		if i%100 == 0 {
			all := strings.Join(tags, ",")
			list = append(list,
				request{path: "/TagResource", body: `{"ResourceARN":"arn:aws:xray:us-east-1:000000000000:group/Default","Tags":[` + all + `]}`},
				request{path: "/CreateGroup", body: fmt.Sprintf(`{"GroupName":"tags%d","FilterExpression":"fault","Tags":[%s]}`, i, all)},
				request{path: "/PutResourcePolicy", body: fmt.Sprintf(`{"PolicyName":"p%d","PolicyDocument":"%s"}`, i, strings.Repeat("x", 1<<20))},
			)
		}
	}
	return b.bodies(ctx, 4, list, 200, 400, 404, 413, 429)
}

// largeBodies fills what may be held of bodies.
func (b *besieged) largeBodies(ctx context.Context) error {
	var docs []string
	for i := range 50 {
		docs = append(docs, fmt.Sprintf(`{"trace_id":"1-58406520-%024x","id":"53995c3f42cd8ad8","name":"x","start_time":1,"end_time":2,"metadata":{"fill":%q}}`, i, strings.Repeat("x", 400_000)))
	}
	body, err := json.Marshal(map[string]any{"TraceSegmentDocuments": docs})
	if err != nil {
		return err
	}
	list := []request{
		{"/TraceSegments", string(body), nil},
		{"/TraceSegments", strings.Repeat(" ", 60<<20), nil},
		{"/TraceSegments", strings.Repeat(" ", 70<<20), nil},
	}
	return b.bodies(ctx, 8, list, 200, 400, 413, 429, 503)
}

// wrongSignatures names a key that exists and signs wrongly, with and without large
// bodies; a server without keys takes no notice of signatures.
func (b *besieged) wrongSignatures(ctx context.Context) error {
	now := time.Now().UTC()
	authorization := func(id string) http.Header {
		return http.Header{
			"Authorization": {"AWS4-HMAC-SHA256 Credential=" + id + "/" + now.Format("20060102") + "/r/xray/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + strings.Repeat("0", 64)},
			"X-Amz-Date":    {now.Format("20060102T150405Z")},
		}
	}
	list := []request{
		{"/GetGroup", "{}", authorization(b.keyID + "x")},
		{"/GetGroup", "{}", authorization(b.keyID)},
		{"/GetGroup", strings.Repeat(" ", 3<<20), authorization(b.keyID)},
		{"/TraceSegments", strings.Repeat(" ", 30<<20), authorization(b.keyID)},
		{"/TraceSegments", strings.Repeat(" ", 30<<20), authorization("nobody")},
	}
	if b.bearer == "" {
		return b.bodies(ctx, 8, list, 400, 413, 429)
	}
	return b.bodies(ctx, 8, list, 403, 413, 429)
}

// idleConnections takes more connections than the server has, and lets them rest: half
// of them before a request, half of them after one.
func (b *besieged) idleConnections(ctx context.Context) error {
	conns, closeAll := b.dial(5000)
	defer closeAll()
	b.t.Logf("%d connections", len(conns))
	for i, c := range conns {
		if i%2 == 0 {
			io.WriteString(c, "GET /-/healthy HTTP/1.1\r\nHost: "+b.Address+"\r\n\r\n")
		}
	}
	<-ctx.Done()
	return nil
}

// streamFloods opens streams of HTTP/2 and takes them back at once, and sends frames
// that ask for answers.
func (b *besieged) streamFloods(ctx context.Context) error {
	return crowd(ctx, 8, func(i int) error {
		c, err := net.DialTimeout("tcp", b.Address, 5*time.Second)
		if err != nil {
			return nil
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		go io.Copy(io.Discard, c) // ends with the connection
		if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
			return nil
		}
		f := http2.NewFramer(c, nil)
		f.AllowIllegalWrites = true
		if err := f.WriteSettings(); err != nil {
			return nil
		}
		var head bytes.Buffer
		enc := hpack.NewEncoder(&head)
		for _, h := range [][2]string{{":method", "POST"}, {":path", "/TraceSegments"}, {":scheme", "http"}, {":authority", b.Address}} {
			if err := enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}); err != nil {
				return err
			}
		}
		for n := range uint32(2000) {
			stream := 2*n + 1
			switch i % 4 {
			case 0: // opened and taken back
				err = f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head.Bytes(), EndHeaders: true})
				err = errors.Join(err, f.WriteRSTStream(stream, http2.ErrCodeCancel))
			case 1: // opened and left
				err = f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head.Bytes(), EndHeaders: true})
			case 2: // questions
				err = f.WritePing(false, [8]byte{byte(n)})
				err = errors.Join(err, f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: n}))
			case 3: // a head without an end
				if n == 0 {
					err = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes()})
				} else {
					err = f.WriteContinuation(1, false, bytes.Repeat([]byte{0x40, 1, 'a', 1, 'b'}, 1000))
				}
			}
			if err != nil || ctx.Err() != nil {
				return nil
			}
		}
		return nil
	})
}

// datagrams sends more rubbish than can be kept.
func (b *besieged) datagrams(ctx context.Context) error {
	shapes := []string{
		"", "x", "{}\n{}", `{"format":"json","version":1}` + "\n", `{"format":"json","version":1}` + "\n[" + strings.Repeat("0,", 30_000) + "0]",
		`{"format":"json","version":1}` + "\n" + strings.Repeat(`{"a":`, 12_000), `{"format":"json","version":1}` + "\n" + strings.Repeat("\xff", 60_000),
		`{"format":"json","version":99999999999999999999}` + "\n{}", strings.Repeat("\n", 60_000),
	}
	return crowd(ctx, 2, func(i int) error {
		c, err := net.Dial("udp", b.Address)
		if err != nil {
			return err
		}
		defer c.Close()
		for n := range 200 {
			_, _ = io.WriteString(c, shapes[(i+n)%len(shapes)]) // lost or not
		}
		time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond)
		return nil
	})
}

// deafListeners follow the live feed and do not read it.
func (b *besieged) deafListeners(ctx context.Context) error {
	conns, closeAll := b.dial(200)
	defer closeAll()
	for _, c := range conns {
		io.WriteString(c, b.head("GET", "/api/tail")+"\r\n")
	}
	<-ctx.Done()
	return nil
}
