package xrayapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/internal/query"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
)

// discard is a store that forgets what it is given.
type discard struct{ tracestore.Store }

func (discard) Write(context.Context, []tracestore.Record) error { return nil }

// document returns a document of about 1 KB, as SDKs write them.
func document(i int) string {
	return fmt.Sprintf(`{"trace_id":"1-6ab38001-%024x","id":"%016x","name":"checkout","start_time":1795356000.123,"end_time":1795356000.456,`+
		`"http":{"request":{"method":"POST","url":"https://shop.example/api/checkout","user_agent":"Mozilla/5.0 (X11; Linux x86_64)","client_ip":"203.0.113.7"},"response":{"status":200,"content_length":512}},`+
		`"aws":{"ec2":{"instance_id":"i-0b5a4678fc325bg98","availability_zone":"us-west-2c"},"xray":{"sdk_version":"2.11.0","sdk":"X-Ray for Go"}},`+
		`"annotations":{"customer":"c-%d","tier":"gold","items":3},"metadata":{"debug":{"cart":["a","b","c"],"note":"%s"}},`+
		`"subsegments":[{"id":"%016x","name":"payments","namespace":"remote","start_time":1795356000.2,"end_time":1795356000.3,"http":{"request":{"method":"GET","url":"https://pay.example/x"},"response":{"status":200}}}]}`,
		i, i, i, strings.Repeat("n", 120), i+1<<40)
}

func benchmarkBody(n int) []byte {
	docs := make([]string, n)
	for i := range docs {
		docs[i] = document(i)
	}
	body, _ := json.Marshal(map[string]any{"TraceSegmentDocuments": docs})
	return body
}

// BenchmarkPutTraceSegments measures a call of 50 documents of 1 KB from the
// handler's door to a store that discards them.
func BenchmarkPutTraceSegments(b *testing.B) {
	store := discard{memstore.New()}
	in := ingest.New(ingest.Config{Store: store})
	defer in.Close()
	h := xrayapi.New(xrayapi.Config{Ingester: in, Query: query.New(store)})
	body := benchmarkBody(50)
	r := httptest.NewRequest(http.MethodPost, "/TraceSegments", nil)
	r.ContentLength = int64(len(body))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		r.Body = newBody(body)
		w := recorder{h: http.Header{}}
		h.ServeHTTP(&w, r)
		if w.n != len(`{"UnprocessedTraceSegments":[]}`) {
			b.Fatal(w.status, w.n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/50, "ns/document")
}

// BenchmarkSegmentDocuments measures the request scanner alone.
func BenchmarkSegmentDocuments(b *testing.B) {
	body := benchmarkBody(50)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if docs, err := xrayapi.SegmentDocuments(body, 50); err != nil || len(docs) != 50 {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/50, "ns/document")
}

// BenchmarkBatchGetTraces measures reading 5 traces of one document each.
func BenchmarkBatchGetTraces(b *testing.B) {
	f := serve(b, nil, nil)
	var ids []string
	for i := range 5 {
		f.put(b, document(i))
		ids = append(ids, fmt.Sprintf("1-6ab38001-%024x", i))
	}
	body, _ := json.Marshal(map[string]any{"TraceIds": ids})
	r := httptest.NewRequest(http.MethodPost, "/Traces", nil)
	b.ReportAllocs()
	for b.Loop() {
		r.Body = newBody(body)
		w := recorder{h: http.Header{}}
		f.handler.ServeHTTP(&w, r)
		if w.n < 5000 {
			b.Fatal(w.status, w.n)
		}
	}
}

func newBody(b []byte) *readCloser { return &readCloser{*bytes.NewReader(b)} }

type readCloser struct{ bytes.Reader }

func (*readCloser) Close() error { return nil }

// recorder is an http.ResponseWriter that counts.
type recorder struct {
	h      http.Header
	status int
	n      int
}

func (w *recorder) Header() http.Header         { return w.h }
func (w *recorder) WriteHeader(status int)      { w.status = status }
func (w *recorder) Write(p []byte) (int, error) { w.n += len(p); return len(p), nil }
