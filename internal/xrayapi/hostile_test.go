package xrayapi_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
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

	"github.com/roentgen-io/roentgen/internal/xrayapi"
)

// rawRequest writes bytes to a connection, closes its own half, and returns
// head and body of the answer; both are empty when there is none.
func rawRequest(t *testing.T, f *fixture, request string) (head, body string) {
	t.Helper()
	conn, err := net.Dial("tcp", f.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, request)
	conn.(*net.TCPConn).CloseWrite()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", ""
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", resp.Proto, resp.Status)
	for name, values := range resp.Header {
		switch name { // back to what stands on the wire
		case "X-Amzn-Requestid":
			name = "x-amzn-RequestId"
		case "X-Amzn-Errortype":
			name = "x-amzn-errortype"
		}
		b.WriteString("\n" + name + ": " + strings.Join(values, ", "))
	}
	return b.String(), string(text)
}

// sortedTail sorts all lines but the first.
func sortedTail(lines []string) []string {
	slices.Sort(lines[1:])
	return lines
}

func gzipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, text)
	z.Close()
	return b.String()
}

// TestBodies sends bodies in every way that HTTP knows, complete and not.
func TestBodies(t *testing.T) {
	f := serve(t, nil, func(c *xrayapi.Config) { c.BodyBytes = 1 << 20 })
	good := putBody(`{}`)
	const stored = `{"UnprocessedTraceSegments":[{"ErrorCode":"MissingId","Id":null,"Message":"Invalid segment. ErrorCode: MissingId"}]}`
	withLength := func(headers, body string) string {
		return fmt.Sprintf("POST /TraceSegments HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s", headers, len(body), body)
	}
	chunked := func(body string) string {
		return "POST /TraceSegments HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + body
	}
	half := gzipped(good)
	for _, c := range []struct {
		name, request string
		status, want  string
	}{
		{"plain", withLength("", good), "200 OK", stored},
		{"http/1.0", "POST /TraceSegments HTTP/1.0\r\nContent-Length: " + fmt.Sprint(len(good)) + "\r\n\r\n" + good, "200 OK", stored},
		{"odd content type", withLength("Content-Type: text/html; charset=latin-1\r\n", good), "200 OK", stored},
		{"chunked", chunked(fmt.Sprintf("%x\r\n%s\r\n1;ext=1\r\n%s\r\n0\r\nTrailer: x\r\n\r\n", len(good)-1, good[:len(good)-1], good[len(good)-1:])), "200 OK", stored},
		{"gzip", withLength("Content-Encoding: gzip\r\n", gzipped(good)), "200 OK", stored},
		{"gzip in two members", withLength("Content-Encoding: GZIP\r\n", gzipped(good[:9])+gzipped(good[9:])), "200 OK", stored},
		{"identity", withLength("Content-Encoding: identity\r\n", good), "200 OK", stored},
		{"gzip of nothing", withLength("Content-Encoding: gzip\r\n", ""), "400 Bad Request", "Value null at 'traceSegmentDocuments'"},
		{"no gzip", withLength("Content-Encoding: gzip\r\n", good), "400 Bad Request", "not valid gzip"},
		{"torn gzip", withLength("Content-Encoding: gzip\r\n", half[:len(half)-9]), "400 Bad Request", "ended before it was complete"},
		{"bad sum", withLength("Content-Encoding: gzip\r\n", half[:len(half)-8]+"12345678"), "400 Bad Request", "not valid gzip"},
		{"garbage in gzip", withLength("Content-Encoding: gzip\r\n", half[:14]+"\xff\xff\xff\xff"+half[18:]), "400 Bad Request", "gzip"},
		{"gzip bomb", withLength("Content-Encoding: gzip\r\n", gzipped(`{"TraceSegmentDocuments":["`+strings.Repeat(" ", 8<<20)+`"]}`)), "413 Request Entity Too Large", "larger than 1 MB"},
		{"brotli", withLength("Content-Encoding: br\r\n", good), "415 Unsupported Media Type", "not supported; send the body as it is, or with gzip"},
		{"declared too large", "POST /TraceSegments HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n", "413 Request Entity Too Large", "larger than 1 MB"},
		{"chunked too large", chunked(strings.Repeat("100000\r\n"+strings.Repeat(" ", 1<<20)+"\r\n", 2)), "413 Request Entity Too Large", "larger than 1 MB"},
		{"half closed before the end", "POST /TraceSegments HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"Trace", "400 Bad Request", "ended before it was complete"},
		{"half closed in a chunk", chunked("40\r\n{\"Trace"), "400 Bad Request", "ended before it was complete"},
		{"bad chunk", chunked("zz\r\n{}\r\n"), "400 Bad Request", "not valid chunked"},
		{"wrong method", "PUT /TraceSegments HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", "405 Method Not Allowed", "Use POST with a JSON body instead of PUT"},
		{"long path", "POST /" + strings.Repeat("x", 5000) + " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "404 Not Found", "There is no operation POST /xxx"},
		{"odd path", "POST /%00%ff%22 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "404 Not Found", `POST /\u0000` + "\uFFFD" + `\";`},
	} {
		t.Run(c.name, func(t *testing.T) {
			head, body := rawRequest(t, f, c.request)
			if status, _, _ := strings.Cut(strings.TrimPrefix(head, "HTTP/1.1 "), "\n"); status != c.status && strings.TrimPrefix(status, "HTTP/1.0 ") != c.status || !strings.Contains(body, c.want) {
				t.Errorf("%s\n%s\nwant %s and %s", head, body, c.status, c.want)
			}
		})
	}
}

// TestSlowBody checks that the server's deadline for a request ends a body that
// trickles in, with an answer.
func TestSlowBody(t *testing.T) {
	f := serve(t, nil, nil)
	s := httptest.NewUnstartedServer(f.handler)
	s.Config.ReadTimeout = 100 * time.Millisecond
	s.Start()
	defer s.Close()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, "POST /TraceSegments HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestTimeout || resp.Header.Get("X-Amzn-Errortype") != "RequestTimeoutException" {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
}

// TestBodiesInSum holds several large bodies open: their sum is bounded, those
// beyond are refused at once, and nothing stays charged afterwards.
func TestBodiesInSum(t *testing.T) {
	bodies := xrayapi.NewBodies(4 << 20)
	f := serve(t, nil, func(c *xrayapi.Config) { c.Bodies = bodies })
	var wg sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	release := make(chan struct{})
	for range 8 {
		r, w := io.Pipe()
		wg.Go(func() {
			resp, err := http.Post(f.URL+"/TraceSegments", "", r)
			r.Close()
			if err != nil {
				return // refused while still sending
			}
			resp.Body.Close()
			mu.Lock()
			statuses[resp.StatusCode]++
			mu.Unlock()
		})
		wg.Go(func() {
			defer w.Close()
			if _, err := w.Write([]byte(`{"TraceSegmentDocuments":["` + strings.Repeat("x", 1<<20))); err != nil {
				return
			}
			<-release
			io.WriteString(w, `"]}`)
		})
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		mu.Lock()
		throttled := statuses[http.StatusTooManyRequests]
		mu.Unlock()
		if throttled > 0 || time.Now().After(deadline) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if used := bodies.Used(); used > 4<<20 {
		t.Errorf("%d bytes held", used)
	}
	close(release)
	wg.Wait()
	if statuses[http.StatusTooManyRequests] == 0 {
		t.Errorf("nobody was throttled: %v", statuses)
	}
	for bodies.Used() != 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes stay charged", bodies.Used())
		}
		time.Sleep(time.Millisecond)
	}
	// A body larger than the sum may come alone.
	status, _, answer := f.post(t, "/TraceSegments", `{"TraceSegmentDocuments":["`+strings.Repeat("x", 10<<20)+`"]}`)
	if status != 200 {
		t.Errorf("%d %s", status, answer)
	}
}

// TestRepeatedUse sends requests of all sizes over pooled buffers, at once, and
// checks that none sees bytes of another.
func TestRepeatedUse(t *testing.T) {
	f := serve(t, nil, nil)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 40 {
				id := fmt.Sprintf("%d-%d-%s", g, i, strings.Repeat("é", (i*37)%300))
				_, _, answer := f.post(t, "/TraceSegments", putBody(`{"id":"`+id+`"}`, strings.Repeat(" ", i*1000)+`{"id":"`+id+`"}`))
				entry := `{"ErrorCode":"InvalidId","Id":"` + id + `","Message":"Invalid segment. ErrorCode: InvalidId"}`
				if want := `{"UnprocessedTraceSegments":[` + entry + `,` + entry + `]}`; answer != want {
					t.Errorf("%s\nwant %s", answer, want)
				}
			}
		})
	}
	wg.Wait()
}
