package agent

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

func TestOuterIDs(t *testing.T) {
	for _, c := range []struct{ doc, trace, id string }{
		{`{"trace_id":"1-a-b","id":"c","name":"n"}`, "1-a-b", "c"},
		{" {\n\t\"name\" : \"id\", \"id\" : \"c\" , \"trace_id\" : \"t\"}", "t", "c"},
		{`{"subsegments":[{"id":"x","trace_id":"y"}],"metadata":{"id":"z"},"id":"c","trace_id":"t"}`, "t", "c"},
		{`{"name":"a \"id\":\"x\" \\","id":"c","trace_id":"t"}`, "t", "c"},
		{`{"name":"\\\"","id":"c"}`, "", "c"},
		{`{"id":7,"trace_id":null}`, "", ""},
		{`{"id`, "", ""},
		{`{"id"`, "", ""},
		{`{"id":`, "", ""},
		{`{"id":"`, "", ""},
		{`{"id":"c\`, "", `c\`},
		{`}}}"id":"c"`, "", ""},
		{`"`, "", ""},
		{"", "", ""},
	} {
		if trace, id := outerIDs([]byte(c.doc)); string(trace) != c.trace || string(id) != c.id {
			t.Errorf("%s: %q, %q", c.doc, trace, id)
		}
	}
}

func TestOrderKey(t *testing.T) {
	key := func(doc string) uint64 {
		k, ok := orderKey([]byte(doc))
		if !ok {
			t.Errorf("%s has no key", doc)
		}
		return k
	}
	complete := key(`{"id":"a","trace_id":"t","end_time":2}`)
	if key(`{"trace_id":"t","id":"a","end_time":3}`) != complete {
		t.Error("two complete versions may overtake each other")
	}
	if key(`{"trace_id":"t","id":"a","in_progress":true}`) == complete {
		t.Error("a complete version waits for an unfinished one")
	}
	if key(`{"trace_id":"u","id":"a"}`) == complete || key(`{"trace_id":"ta","id":"\u0000"}`) == complete {
		t.Error("entities of other traces wait")
	}
	if _, ok := orderKey([]byte(`{"trace_id":"t"}`)); ok {
		t.Error("a document without an id has a key")
	}
}

func BenchmarkOrderKey(b *testing.B) {
	doc := []byte(document(1))
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		orderKey(doc)
	}
}

// TestVersionsKeepTheirOrder sends many versions of few entities to a destination
// that answers when it likes, and fails now and then: each entity's come in order.
func TestVersionsKeepTheirOrder(t *testing.T) {
	var mu sync.Mutex
	got := map[string][]int{}
	atOnce, most := 0, 0
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ TraceSegmentDocuments []string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			return
		}
		mu.Lock()
		atOnce++
		most = max(most, atOnce)
		mu.Unlock()
		time.Sleep(rand.N(10 * time.Millisecond))
		mu.Lock()
		defer mu.Unlock()
		atOnce--
		if rand.N(20) == 0 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		for _, d := range in.TraceSegmentDocuments {
			var v struct {
				ID      string
				Version int
			}
			if err := json.Unmarshal([]byte(d), &v); err != nil {
				t.Error(err)
			}
			got[v.ID] = append(got[v.ID], v.Version)
		}
		io.WriteString(w, `{"UnprocessedTraceSegments":[]}`)
	}))
	t.Cleanup(backend.Close)
	a := start(t, &Config{LogFormat: "text", Destinations: []Destination{{Endpoint: backend.URL, Batch: 3, Connections: 16}}})
	const entities, versions = 20, 30
	for v := range versions {
		for e := range entities {
			doc := fmt.Sprintf(`{"trace_id":"1-67412345-%024x","id":"%016x","in_progress":true,"version":%d}`, e, e+1, v)
			if err := a.intake.put(t.Context(), wayHTTP, [][]byte{[]byte(doc)}, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := a.spool.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(60 * time.Second); a.Status().Destinations[0].Waiting > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("documents still wait")
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(got) != entities {
		t.Fatalf("%d entities arrived", len(got))
	}
	for id, list := range got {
		if len(list) != versions {
			t.Errorf("%d versions of %s arrived", len(list), id)
		}
		for i, v := range list {
			if v != i {
				t.Fatalf("versions of %s arrived as %v", id, list)
			}
		}
	}
	if most < 2 {
		t.Error("calls did not go side by side")
	}
	a.mu.Lock()
	d := a.mu.deliveries[0].delivery
	a.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.mu.latest) > 0 {
		t.Errorf("%d keys are kept of what arrived", len(d.mu.latest))
	}
}
