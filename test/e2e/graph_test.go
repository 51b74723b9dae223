package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/test/process"
	"github.com/roentgen-io/roentgen/test/recount"
)

// TestFreshness measures how long after its acknowledgement a document counts in
// the service graph, on a server at rest and on one with something to do. The
// promise is two seconds; a busy machine gets more before the test fails.
func TestFreshness(t *testing.T) {
	const deadline = 10 * time.Second
	s := process.Serve(t, t.TempDir())
	began := time.Now()
	measure := func(t *testing.T, what string) {
		var all []time.Duration
		for i := range 15 {
			name := fmt.Sprintf("%s-%d", what, i)
			now := float64(time.Now().UnixMilli()) / 1e3
			doc := fmt.Sprintf(`{"trace_id":"1-%08x-%024x","id":"%016x","name":%q,"start_time":%f,"end_time":%f}`, time.Now().Unix(), rand.Uint64(), rand.Uint64(), name, now-1, now)
			if status, body := post(http.DefaultClient, s.URL+"/TraceSegments", map[string]any{"TraceSegmentDocuments": []string{doc}}); status != http.StatusOK {
				t.Fatalf("PutTraceSegments: %d %s", status, body)
			}
			acked := time.Now()
			for {
				g := serviceGraph(t, s, began.Add(-time.Minute), time.Now().Add(time.Minute))
				took := time.Since(acked)
				if n := g.Nodes[name+"|"]; n != nil && n.OK == 1 && g.Edges[name+"|client -> "+name+"|"] != nil {
					all = append(all, took)
					break
				}
				if took > deadline {
					t.Fatalf("a document does not count %v after its acknowledgement", took)
				}
				time.Sleep(5 * time.Millisecond)
			}
			time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond) // so as not to keep step with the server
		}
		slices.Sort(all)
		t.Logf("a document counts %v after its acknowledgement (median of %d), %v at most; promised are 2 s", all[len(all)/2].Round(time.Millisecond), len(all), all[len(all)-1].Round(time.Millisecond))
	}
	t.Run("at rest", func(t *testing.T) { measure(t, "calm") })
	t.Run("while others write", func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for ctx.Err() == nil {
					var docs []string
					for range 50 {
						text, _, _ := plainDocument()
						docs = append(docs, text)
					}
					post(http.DefaultClient, s.URL+"/TraceSegments", map[string]any{"TraceSegmentDocuments": docs})
				}
			})
		}
		measure(t, "busy")
		stop()
		wg.Wait()
	})
}

// A told call is one PutTraceSegments of whole traces.
type toldCall struct {
	docs  []string
	gold  []string // those of the docs that belong to the group
	id    string   // of one of its traces
	acked bool
}

// TestKillGraph kills the server while traces are counted and groups are made
// and changed. After each restart the service graph, of all and of a group, is
// the recount of what was acknowledged, and of those calls under way at the kill
// that are there. Writers repeat such calls, as SDKs do, and nothing counts twice.
func TestKillGraph(t *testing.T) {
	kills := 12
	if testing.Short() {
		kills = 3
	}
	kills = setting(t, "ROENTGEN_GRAPH_KILLS", kills)
	seed := anySeed(t)
	t.Logf("seed: run again with ROENTGEN_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	began := time.Now().Add(-5 * time.Second)
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer client.CloseIdleConnections()

	var mu sync.Mutex
	var calls []*toldCall
	var acks, unsure int
	groups := &groupBook{filters: map[string][]string{}}

	s := process.Serve(t, dir)
	if status, body := post(client, s.URL+"/CreateGroup", map[string]any{"GroupName": "golden", "FilterExpression": `annotation.kill = "gold"`}); status != http.StatusOK {
		t.Fatalf("CreateGroup: %d %s", status, body)
	}
	writers := make([]*rand.Rand, 4)
	for i := range writers {
		writers[i] = rand.New(rand.NewPCG(seed, uint64(1+i)))
	}
	again := make([]*toldCall, len(writers)) // the call that each writer knows nothing of
	for kill := range kills {
		var wg sync.WaitGroup
		var stopped atomic.Bool
		for i, rng := range writers {
			wg.Go(func() {
				for !stopped.Load() {
					call := again[i]
					if call == nil {
						call = tell(rng)
						mu.Lock()
						calls = append(calls, call)
						mu.Unlock()
					}
					status, body := post(client, s.URL+"/TraceSegments", map[string]any{"TraceSegmentDocuments": call.docs})
					switch {
					case status == 0: // killed
						again[i] = nil
						if rng.IntN(3) > 0 {
							again[i] = call
						}
						return
					case status == http.StatusTooManyRequests:
						again[i] = call
					case status != http.StatusOK || body != `{"UnprocessedTraceSegments":[]}`:
						t.Errorf("PutTraceSegments: %d %.300s", status, body)
						return
					default:
						again[i] = nil
						mu.Lock()
						call.acked = true
						acks++
						mu.Unlock()
					}
				}
			})
		}
		wg.Go(func() {
			for n := 0; !stopped.Load(); n++ {
				if !groups.change(t, client, s.URL, rng, fmt.Sprintf("g%d", rng.IntN(6)), fmt.Sprintf(`annotation.n = %d`, kill*100_000+n)) {
					return
				}
			}
		})
		time.Sleep(time.Duration(50+writers[0].IntN(400)) * time.Millisecond)
		s.Kill()
		stopped.Store(true)
		wg.Wait()
		client.CloseIdleConnections()
		s = process.Serve(t, dir)
		if t.Failed() {
			t.Fatalf("seed %d, kill %d:\n%s", seed, kill+1, s.Output)
		}
		groups.check(t, client, s.URL)
		var docs, gold []string
		for _, c := range calls {
			if !c.acked {
				status, body := post(client, s.URL+"/Traces", map[string]any{"TraceIds": []string{c.id}})
				if status != http.StatusOK {
					t.Fatalf("Traces: %d %s", status, body)
				}
				var answer struct{ Traces []json.RawMessage }
				if err := json.Unmarshal([]byte(body), &answer); err != nil {
					t.Fatal(err)
				}
				if len(answer.Traces) == 0 {
					continue
				}
				unsure++
			}
			docs, gold = append(docs, c.docs...), append(gold, c.gold...)
		}
		for group, list := range map[string][]string{"Default": docs, "golden": gold} {
			want, err := recount.Count(list)
			if err != nil {
				t.Fatal(err)
			}
			awaitGraph(t, s, want, began, time.Now().Add(time.Minute), "GroupName", group)
		}
		if t.Failed() {
			t.Fatalf("seed %d, after kill %d", seed, kill+1)
		}
	}
	if acks < kills || groups.acked < kills {
		t.Errorf("only %d calls and %d changes of groups were acknowledged in %d lives: too little was tested", acks, groups.acked, kills)
	}
	t.Logf("%d kills, %d calls acknowledged, %d found that were not (counted at each kill), %d changes of groups acknowledged", kills, acks, unsure, groups.acked)
}

// tell makes a call of some traces: one service calls another, and a table.
func tell(rng *rand.Rand) *toldCall {
	call := &toldCall{}
	id := func() string { return fmt.Sprintf("%016x", rng.Uint64()) }
	flags := func() string {
		return []string{"", "", "", `,"fault":true`, `,"error":true`, `,"error":true,"throttle":true`}[rng.IntN(6)]
	}
	for range 1 + rng.IntN(5) {
		trace := fmt.Sprintf("1-%08x-%08x%s", time.Now().Unix(), rng.Uint32(), id())
		call.id = trace
		start := float64(time.Now().UnixMilli()) / 1e3
		root, sub, kill := id(), id(), []string{"gold", "lead"}[rng.IntN(2)]
		docs := []string{
			fmt.Sprintf(`{"trace_id":%q,"id":%q,"name":"gate","start_time":%.3f,"in_progress":true,"annotations":{"kill":%q}}`, trace, root, start, kill),
			fmt.Sprintf(`{"trace_id":%q,"id":%q,"name":"mill-%d","parent_id":%q,"start_time":%.3f,"end_time":%.3f%s}`, trace, id(), rng.IntN(4), sub, start, start+0.25, flags()),
			fmt.Sprintf(`{"trace_id":%q,"id":%q,"name":"gate","start_time":%.3f,"end_time":%.3f,"annotations":{"kill":%q}%s,"subsegments":[{"id":%q,"name":"mill.example","namespace":"remote","start_time":%.3[3]f,"end_time":%.3[4]f%[8]s}]}`,
				trace, root, start, start+0.5, kill, flags(), sub, flags()),
			fmt.Sprintf(`{"trace_id":%q,"id":%q,"type":"subsegment","parent_id":%q,"name":"DynamoDB","namespace":"aws","aws":{"operation":"GetItem","table_name":"t%d"},"start_time":%.3f,"end_time":%.3f%s}`,
				trace, id(), root, rng.IntN(3), start, start+0.125, flags()),
		}
		if rng.IntN(5) == 0 {
			docs = append(docs[:2], docs[3]) // it never ends
		}
		rng.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
		call.docs = append(call.docs, docs...)
		if kill == "gold" {
			call.gold = append(call.gold, docs...)
		}
	}
	return call
}

// groupBook knows what the filter of each group may be: more than one when the
// server was killed during a change; "" stands for no such group.
type groupBook struct {
	filters map[string][]string
	acked   int
}

// change makes, changes or deletes a group. It returns false when the server is gone.
func (b *groupBook) change(t *testing.T, client *http.Client, url string, rng *rand.Rand, name, filter string) bool {
	path, in := "/CreateGroup", map[string]any{"GroupName": name, "FilterExpression": filter}
	if now := b.filters[name]; len(now) == 0 {
		b.filters[name] = []string{""}
	} else if now[0] != "" {
		path = "/UpdateGroup"
		if rng.IntN(3) == 0 {
			path, in, filter = "/DeleteGroup", map[string]any{"GroupName": name}, ""
		}
	}
	switch status, body := post(client, url+path, in); status {
	case 0:
		b.filters[name] = append(b.filters[name], filter)
		return false
	case http.StatusOK:
		b.filters[name] = []string{filter}
		b.acked++
		return true
	default:
		t.Errorf("%s of %s: %d %s", path, name, status, body)
		return false
	}
}

// check reads the groups and takes note of what became of changes under way.
func (b *groupBook) check(t *testing.T, client *http.Client, url string) {
	t.Helper()
	status, body := post(client, url+"/Groups", map[string]any{})
	var answer struct {
		Groups []struct{ GroupName, FilterExpression string }
	}
	if err := json.Unmarshal([]byte(body), &answer); status != http.StatusOK || err != nil {
		t.Fatalf("GetGroups: %d %s", status, body)
	}
	got := map[string]string{}
	for _, g := range answer.Groups {
		got[g.GroupName] = g.FilterExpression
	}
	if got["golden"] == "" {
		t.Errorf("the group golden is gone: %s", body)
	}
	for name, may := range b.filters {
		if !slices.Contains(may, got[name]) {
			t.Errorf("group %s is %q, want one of %q", name, got[name], may)
		}
		b.filters[name] = []string{got[name]}
	}
}
