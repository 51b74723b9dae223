package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/demo"
	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/test/process"
	"github.com/roentgen-io/roentgen/test/recount"
)

// copier passes on to a server what comes over UDP and HTTP, and keeps the
// documents.
type copier struct {
	udp  net.PacketConn
	http *httptest.Server

	mu              sync.Mutex
	datagrams, puts int // documents that came either way
	imported        int
	docs            []string
}

func newCopier(t *testing.T, s *process.Server) *copier {
	t.Helper()
	c := &copier{}
	var err error
	if c.udp, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	_ = c.udp.(*net.UDPConn).SetReadBuffer(4 << 20)
	out, err := net.Dial("udp", s.Address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1<<16)
		for {
			n, _, err := c.udp.ReadFrom(buf)
			if err != nil {
				return // closed
			}
			if _, doc, ok := bytes.Cut(buf[:n], []byte("\n")); ok {
				c.mu.Lock()
				c.docs = append(c.docs, string(doc))
				c.datagrams++
				c.mu.Unlock()
			}
			if _, err := out.Write(buf[:n]); err != nil && !errors.Is(err, net.ErrClosed) {
				t.Errorf("a datagram could not be passed on: %v", err)
			}
		}
	}()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	c.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var in struct{ TraceSegmentDocuments []string }
		if r.URL.Path == "/v1/traces" {
			c.spans(t, body)
		} else if err := json.Unmarshal(body, &in); err != nil {
			t.Errorf("the demo posted %.200q to %s: %v", body, r.URL, err)
		}
		c.mu.Lock()
		c.docs = append(c.docs, in.TraceSegmentDocuments...)
		if r.URL.Path == "/api/import" {
			c.imported += len(in.TraceSegmentDocuments)
		} else {
			c.puts += len(in.TraceSegmentDocuments)
		}
		c.mu.Unlock()
		r.Body, r.Host = io.NopCloser(bytes.NewReader(body)), u.Host
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		c.http.Close()
		c.udp.Close()
		<-done
		out.Close()
	})
	return c
}

// spans takes a request of spans, as the documents that they stand for.
func (c *copier) spans(t *testing.T, request []byte) {
	var docs []string
	var m otlp.Mapping
	spans := 0
	err := otlp.Walk(request, func(source, data []byte) bool {
		src, err := m.Source(source)
		var span otlp.Span
		if err := errors.Join(err, otlp.ParseSpan(data, &span)); err != nil {
			t.Errorf("the demo sent a span that cannot be read: %v", err)
			return false
		}
		for _, seg := range m.Segments(src, &span) {
			docs = append(docs, string(seg.AppendDocument(nil)))
		}
		spans++
		return true
	})
	if err != nil {
		t.Errorf("the demo sent spans that cannot be read: %v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.docs = append(c.docs, docs...)
	c.puts += spans
}

// serviceGraph asks for the graph of a window and checks that it is in itself
// consistent.
func serviceGraph(t *testing.T, s *process.Server, from, to time.Time, more ...string) *recount.Graph {
	t.Helper()
	in := map[string]any{"StartTime": from.Unix(), "EndTime": to.Unix()}
	for i := 0; i < len(more); i += 2 {
		in[more[i]] = more[i+1]
	}
	status, body := post(http.DefaultClient, s.URL+"/ServiceGraph", in)
	if status != http.StatusOK {
		t.Fatalf("GetServiceGraph: %d %.300s", status, body)
	}
	g, err := recount.Read([]byte(body))
	if err != nil {
		t.Fatalf("GetServiceGraph answers nonsense: %v\n%s", err, body)
	}
	return g
}

// awaitGraph asks for the graph of a window until it is as wanted.
func awaitGraph(t *testing.T, s *process.Server, want *recount.Graph, from, to time.Time, more ...string) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		diff := recount.Diff(serviceGraph(t, s, from, to, more...), want)
		if diff == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the service graph differs from the recount:\n%s", diff)
		}
	}
}

// TestDemoGraph holds the service graph of the demo shop, its history and some
// seconds of live traffic, against a recount of all that it sent.
func TestDemoGraph(t *testing.T) {
	s := process.Serve(t, t.TempDir())
	c := newCopier(t, s)
	opts := demo.Options{Seed: 7, Rate: 50, UDPAddr: c.udp.LocalAddr().String(), Endpoint: c.http.URL, History: 4 * time.Minute}
	runner, err := demo.NewRunner(opts)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	go func() { // some seconds at least, and until the history is complete
		for ctx.Err() == nil && (time.Since(began) < 6*time.Second || !runner.Status().Import.Done) {
			time.Sleep(50 * time.Millisecond)
		}
		cancel()
	}()
	if err := runner.Run(ctx); err != nil {
		t.Fatal(err)
	}
	status := runner.Status()
	if status.Import.Err != nil || !status.Import.Done || status.Failed+status.Refused+status.Skipped > 0 {
		t.Fatalf("the demo could not play as it should: %+v", status)
	}
	// Datagrams may be under way still.
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c.mu.Lock()
		live := c.datagrams + c.puts
		c.mu.Unlock()
		if int64(live) == status.Sent {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the demo says that it sent %d documents, %d came", status.Sent, live)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if int64(c.imported) != status.Import.Sent {
		t.Errorf("the demo says that it imported %d documents, %d came", status.Import.Sent, c.imported)
	}
	want, err := recount.Count(c.docs)
	if err != nil {
		t.Fatal(err)
	}
	awaitGraph(t, s, want, began.Add(-time.Hour), time.Now().Add(time.Hour))
	total := 0
	for _, n := range want.Nodes {
		total += n.Total()
	}
	if len(want.Nodes) < 20 || len(want.Edges) < 25 || status.Requests < 100 {
		t.Errorf("%d nodes, %d edges and %d requests are no shop", len(want.Nodes), len(want.Edges), status.Requests)
	}
	t.Logf("%d documents live (%d as datagrams) and %d imported; %d nodes with %d observations, %d edges", c.datagrams+c.puts, c.datagrams, c.imported, len(want.Nodes), total, len(want.Edges))
}
