package xrayapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/internal/query"
	"github.com/roentgen-io/roentgen/internal/reports"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
	"github.com/roentgen-io/roentgen/segment"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// fixture is a server of the X-Ray API over a store in memory.
type fixture struct {
	*httptest.Server
	store   tracestore.Store
	handler *xrayapi.Handler
	reports *reports.Keeper
}

// faultyStore answers with errors when told to.
type faultyStore struct {
	tracestore.Store
	write, read error
}

func (s *faultyStore) Write(ctx context.Context, records []tracestore.Record) error {
	if s.write != nil {
		return s.write
	}
	return s.Store.Write(ctx, records)
}

func (s *faultyStore) Documents(ctx context.Context, id segment.TraceID, asOf uint64) ([]tracestore.Stored, error) {
	if s.read != nil {
		return nil, s.read
	}
	return s.Store.Documents(ctx, id, asOf)
}

// serve starts a server. Its clock stands at the end of 2026-11-22 14:00 UTC
// unless edit sets another.
func serve(t testing.TB, store tracestore.Store, edit func(*xrayapi.Config)) *fixture {
	t.Helper()
	if store == nil {
		store = memstore.New()
	}
	now := func() time.Time { return time.Unix(1795356000, 0) }
	cfg := xrayapi.Config{Now: now, Query: query.New(store), Reports: reports.Open(reports.Options{Now: now})}
	if edit != nil {
		edit(&cfg)
	}
	in := ingest.New(ingest.Config{Store: store, Now: cfg.Now, Limits: segment.Limits{RefuseArrays: cfg.AWSLimits}})
	cfg.Ingester = in
	h := xrayapi.New(cfg)
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.Close()
		in.Close()
		store.Close()
	})
	return &fixture{Server: s, store: store, handler: h, reports: cfg.Reports}
}

// post sends a body and returns status, error type and body of the answer.
func (f *fixture) post(t testing.TB, path, body string) (status int, code, answer string) {
	t.Helper()
	resp, err := f.Client().Post(f.URL+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("x-amzn-errortype"), string(text)
}

// put stores documents and fails the test when one is refused.
func (f *fixture) put(t testing.TB, docs ...string) {
	t.Helper()
	if _, _, answer := f.post(t, "/TraceSegments", putBody(docs...)); answer != `{"UnprocessedTraceSegments":[]}` {
		t.Fatalf("put answered %s", answer)
	}
}

func putBody(docs ...string) string {
	body, err := json.Marshal(map[string]any{"TraceSegmentDocuments": docs})
	if err != nil {
		panic(err)
	}
	return string(body)
}

// compact removes white space from JSON without touching numbers or order.
func compact(t testing.TB, raw []byte) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return b.String()
}

var _ http.Handler = (*xrayapi.Handler)(nil)
