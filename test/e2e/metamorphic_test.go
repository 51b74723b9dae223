package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/config"
	"github.com/roentgen-io/roentgen/internal/server"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
	"github.com/roentgen-io/roentgen/test/process"
	"github.com/roentgen-io/roentgen/test/recount"
)

// A teller makes up the documents of traces: services that call each other,
// tables, queues and databases, failures, streamed and lost documents. Any order
// of them tells the same: each entity has one complete version at most, and one
// unfinished one.
type teller struct {
	rng  *rand.Rand
	base float64 // seconds; starts are at it or some minutes before
	// coarse times are often equal, and some traces have several roots: what is
	// chosen then must not depend on the order of arrival either.
	coarse bool
	docs   []string
	ids    []string // of the traces
}

func (w *teller) hex(digits int) string {
	b := make([]byte, digits)
	for i := range b {
		b[i] = "0123456789abcdef"[w.rng.IntN(16)]
	}
	return string(b)
}

func (w *teller) one(list ...string) string { return list[w.rng.IntN(len(list))] }

// chance is true in one of n cases.
func (w *teller) chance(n int) bool { return w.rng.IntN(n) == 0 }

// time rounds to milliseconds, or to what is coarse.
func (w *teller) time(f float64) float64 {
	if w.coarse {
		return math.Floor(f*2) / 2
	}
	return math.Floor(f*1000) / 1000
}

func (w *teller) send(doc map[string]any) {
	text, err := json.Marshal(doc)
	if err != nil {
		panic(err) // strings and finite numbers only
	}
	w.docs = append(w.docs, string(text))
}

// flags gives an entity its outcome, and an exception at times.
func (w *teller) flags(doc map[string]any) {
	switch w.rng.IntN(8) {
	case 0:
		doc["fault"] = true
	case 1:
		doc["error"] = true
	case 2:
		doc["error"], doc["throttle"] = true, true
	default:
		return
	}
	if w.chance(2) {
		doc["cause"] = map[string]any{"exceptions": []any{map[string]any{
			"id": w.hex(16), "type": w.one("TimeoutError", "KeyError"), "message": w.one("took too long", "no such key", "denied by policy"),
		}}}
	}
}

func (w *teller) trace() {
	id := fmt.Sprintf("1-%08x-%s", int64(w.base), w.hex(24))
	w.ids = append(w.ids, id)
	start := w.base - w.rng.Float64()*200
	if w.chance(10) {
		w.segment(id, w.hex(16), "web", start, 2) // its parent never comes
		return
	}
	w.segment(id, "", "web", start, 0)
	for w.coarse && w.chance(5) {
		w.segment(id, "", w.one("web", "cart"), start, 2)
	}
}

func (w *teller) segment(trace, parent, name string, start float64, depth int) {
	end := start + 0.05 + w.rng.Float64()*3
	doc := map[string]any{"trace_id": trace, "id": w.hex(16), "name": name, "start_time": w.time(start), "end_time": w.time(end)}
	if parent != "" {
		doc["parent_id"] = parent
	}
	switch name {
	case "web":
		doc["origin"] = "AWS::EC2::Instance"
		doc["aws"] = map[string]any{"ec2": map[string]any{"instance_id": w.one("i-1", "i-2"), "availability_zone": w.one("eu-west-1a", "eu-west-1b")}}
		doc["http"] = map[string]any{
			"request":  map[string]any{"method": w.one("GET", "POST"), "url": "https://shop.example/" + w.one("cart", "pay", "list?page=2"), "user_agent": "probe", "client_ip": "10.0.0." + strconv.Itoa(w.rng.IntN(9))},
			"response": map[string]any{"status": []int{200, 200, 404, 429, 500}[w.rng.IntN(5)]},
		}
	case "pay":
		doc["origin"] = "AWS::Lambda::Function"
		doc["aws"] = map[string]any{"account_id": "123456789012"}
	}
	if w.chance(2) {
		doc["user"] = w.one("ann", "bob", "cleo")
	}
	if w.chance(2) {
		doc["annotations"] = map[string]any{"tier": w.one("gold", "silver"), "items": w.rng.IntN(5), "gift": w.chance(2), "note." + name: "x"}
	}
	w.flags(doc)
	doc["subsegments"] = w.subsegments(trace, doc["id"].(string), start, end, depth, 0)
	w.release(doc)
}

// release sends a document as senders do: at once, unfinished before, or not at all.
func (w *teller) release(doc map[string]any) {
	if w.chance(5) {
		open := maps.Clone(doc)
		delete(open, "end_time")
		delete(open, "subsegments")
		delete(open, "fault")
		delete(open, "error")
		delete(open, "throttle")
		delete(open, "cause")
		open["in_progress"] = true
		w.send(open)
		if w.chance(4) {
			return // it never ends
		}
	} else if w.chance(25) {
		return // lost
	}
	w.send(doc)
}

func (w *teller) subsegments(trace, parent string, start, end float64, depth, level int) []any {
	list := []any{}
	for range w.rng.IntN(4) {
		from := start + w.rng.Float64()*(end-start)/2
		to := from + w.rng.Float64()*(end-from)
		sub := map[string]any{"id": w.hex(16), "start_time": w.time(from), "end_time": w.time(to) + 0.5}
		w.flags(sub)
		id := sub["id"].(string)
		switch w.rng.IntN(6) {
		case 0, 1:
			sub["name"] = w.one("render", "validate")
			if w.chance(3) {
				sub["annotations"] = map[string]any{"step": w.rng.IntN(3)}
			}
			if level < 3 {
				sub["subsegments"] = w.subsegments(trace, id, from, to, depth, level+1)
			}
			if depth < 2 && w.chance(6) {
				w.segment(trace, id, "stock", from, depth+1) // called by local work
			}
		case 2:
			sub["name"], sub["namespace"] = "DynamoDB", "aws"
			sub["aws"] = map[string]any{"operation": w.one("GetItem", "PutItem"), "table_name": w.one("carts", "orders")}
			sub["http"] = map[string]any{"response": map[string]any{"status": []int{200, 400}[w.rng.IntN(2)]}}
		case 3:
			sub["name"], sub["namespace"] = w.one("SQS", "S3", "Kinesis"), "aws"
			sub["aws"] = map[string]any{"operation": "SendMessage", "queue_url": "https://sqs.example/1/jobs", "bucket_name": "attic"}
		case 4:
			sub["name"], sub["namespace"] = "orders@db.example", "remote"
			sub["sql"] = map[string]any{"database_type": "PostgreSQL", "sanitized_query": "select 1"}
		default:
			callee := w.one("cart", "pay", "stock")
			sub["name"], sub["namespace"] = callee+".example", "remote"
			for depth < 3 && !w.chance(3) { // retries reach the same service again
				w.segment(trace, id, callee, from+(to-from)/10, depth+1)
				if !w.chance(8) {
					break
				}
			}
		}
		if w.chance(5) {
			sub["trace_id"], sub["parent_id"], sub["type"] = trace, parent, "subsegment"
			w.release(sub)
			continue
		}
		list = append(list, sub)
	}
	return list
}

// questions are filters that together look at all that a trace has.
var questions = []string{
	`ok`, `fault`, `error`, `throttle`, `!ok`, `partial`, `inferred`, `root`,
	`duration > 2`, `responsetime <= 1.5 AND responsetime > 300ms`, `!duration`,
	`http.status = 404`, `http.status != 200`, `http.url CONTAINS "pay"`, `http.method = "POST" AND NOT fault`, `http.clientip BEGINSWITH "10.0.0.3"`,
	`annotation.tier = "gold"`, `annotation.items >= 3`, `annotation.gift = true`, `annotation[note.pay]`, `!annotation.tier`, `annotation.step = 1`,
	`user = "ann"`, `user = "ann" AND user = "bob"`, `availabilityzone = "eu-west-1b"`, `instance.id = "i-1"`,
	`service("pay")`, `service("pay") { fault OR error }`, `service("stock") { responsetime > 1 }`, `service() { throttle }`, `service(id(name: "carts", type: "AWS::DynamoDB::Table")) { error }`,
	`service(id(account.id: "123456789012"))`, `!service("stock")`, `service("cart") { annotation.tier = "silver" }`,
	`edge("web", "cart")`, `edge("web", "pay") { fault }`, `edge("web", id(type: "Database::SQL")) { ok }`, `edge("cart", "stock") OR edge("stock", "orders")`,
	`rootcause.fault.exception { message CONTAINS "denied" }`, `rootcause.error.entity { name = "validate" }`, `rootcause.fault.service { name = "pay" }`, `rootcause.responsetime.entity { coverage > 0.8 }`,
	`group.name = "golden"`, `NOT group.name = "golden" AND (fault OR service("pay"))`,
}

// house is a server in this process.
type house struct {
	t        *testing.T
	settings *config.Config
	memory   bool
	*server.Server
}

func newHouse(t *testing.T, memory bool) *house {
	t.Helper()
	h := &house{t: t, settings: config.NewDefault(), memory: memory}
	h.settings.DataDir, h.settings.Listen, h.settings.UDPListen = t.TempDir(), process.FreeAddress(t), "off"
	h.settings.OTLPGRPC, h.settings.OTLPHTTP = "", ""
	h.open()
	t.Cleanup(h.shut)
	return h
}

func (h *house) open() {
	h.t.Helper()
	cfg := server.Config{Settings: h.settings}
	if h.memory {
		cfg.OpenStore = func(_ context.Context, _ *config.Config, groups func() []tracestore.Group, _ *slog.Logger, _ prometheus.Registerer) (tracestore.Store, error) {
			return memstore.New(memstore.WithGroups(groups)), nil
		}
	}
	var err error
	if h.Server, err = server.Start(h.t.Context(), cfg); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) shut() {
	h.t.Helper()
	if err := h.Server.Close(context.Background()); err != nil {
		h.t.Error(err)
	}
}

// ask calls an operation and returns the answer.
func (h *house) ask(path string, in map[string]any) string {
	h.t.Helper()
	status, body := post(http.DefaultClient, h.URL()+path, in)
	if status != http.StatusOK {
		h.t.Fatalf("%s %v: %d %.500s", path, in, status, body)
	}
	return body
}

func (h *house) put(docs []string) {
	h.t.Helper()
	if body := h.ask("/TraceSegments", map[string]any{"TraceSegmentDocuments": docs}); body != `{"UnprocessedTraceSegments":[]}` {
		h.t.Fatalf("PutTraceSegments: %.500s", body)
	}
}

// summaries reads all pages.
func (h *house) summaries(in map[string]any) map[string]map[string]any {
	h.t.Helper()
	all := map[string]map[string]any{}
	in = maps.Clone(in)
	for {
		var page struct {
			NextToken      *string
			TraceSummaries []map[string]any
		}
		body := h.ask("/TraceSummaries", in)
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			h.t.Fatal(err)
		}
		for _, s := range page.TraceSummaries {
			id := s["Id"].(string)
			if all[id] != nil {
				h.t.Errorf("%v gives trace %s twice", in, id)
			}
			all[id] = s
		}
		if page.NextToken == nil {
			return all
		}
		in["NextToken"] = *page.NextToken
	}
}

// ordered lists, of services and entities on a path, mean something by their
// order; that of other lists is free.
var orderedLists = []string{"Services", "EntityPath", "Exceptions"}

// canonical sorts what may come in any order, and writes times as they were meant.
func canonical(v any, name string) any {
	switch v := v.(type) {
	case map[string]any:
		for key, member := range v {
			v[key] = canonical(member, key)
		}
	case []any:
		for i := range v {
			v[i] = canonical(v[i], "")
		}
		if !slices.Contains(orderedLists, name) {
			slices.SortFunc(v, func(a, b any) int { return strings.Compare(text(a), text(b)) })
		}
	}
	return v
}

func text(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // it was JSON
	}
	return string(data)
}

// answers is what a server says of the traces, by question. Revision and receipt
// are left out: they tell how the documents came.
func (h *house) answers(w *teller, from, to time.Time) map[string]string {
	h.t.Helper()
	out := map[string]string{}
	window := map[string]any{"StartTime": w.base - 3600, "EndTime": w.base + 3600}
	for id, s := range h.summaries(window) {
		delete(s, "Revision")
		out["summary "+id] = text(canonical(s, ""))
	}
	for _, kind := range []string{"TraceId", "Service"} {
		for _, q := range questions {
			window["TimeRangeType"], window["FilterExpression"] = kind, q
			out[kind+" "+q] = strings.Join(slices.Sorted(maps.Keys(h.summaries(window))), " ")
		}
	}
	half := map[string]any{"StartTime": w.base - 100, "EndTime": w.base - 30}
	out["half the window"] = strings.Join(slices.Sorted(maps.Keys(h.summaries(half))), " ")
	decoded := func(body string) map[string]any {
		var v map[string]any
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			h.t.Fatal(err)
		}
		return v
	}
	for _, id := range w.ids {
		status, body := post(http.DefaultClient, h.URL()+"/TraceGraph", map[string]any{"TraceIds": []string{id}})
		out["graph "+id] = fmt.Sprint(status, " ", body)
		if status == http.StatusOK {
			out["graph "+id] = text(canonical(decoded(body), ""))
		}
		traces := decoded(h.ask("/Traces", map[string]any{"TraceIds": []string{id}}))["Traces"].([]any)
		for _, tr := range traces {
			for _, s := range tr.(map[string]any)["Segments"].([]any) {
				s := s.(map[string]any)
				s["Document"] = decoded(s["Document"].(string))
			}
		}
		out["trace "+id] = text(canonical(traces, ""))
	}
	for _, group := range []string{"Default", "golden"} {
		out["service graph of "+group] = text(canonical(decoded(h.ask("/ServiceGraph",
			map[string]any{"StartTime": from.Unix(), "EndTime": to.Unix(), "GroupName": group})), ""))
	}
	return out
}

// TestMetamorphic sends one set of documents in many ways: in any order, in
// other batches, twice, with restarts, into either engine. All answers are the
// same. ROENTGEN_SEED repeats a run, ROENTGEN_ROUNDS makes more.
func TestMetamorphic(t *testing.T) {
	rounds := setting(t, "ROENTGEN_ROUNDS", 2)
	seed := anySeed(t)
	for round := range rounds {
		seed := seed + uint64(round)
		t.Run(fmt.Sprint(seed), func(t *testing.T) { metamorphose(t, seed) })
	}
}

func metamorphose(t *testing.T, seed uint64) {
	t.Logf("run again with ROENTGEN_SEED=%d ROENTGEN_ROUNDS=1", seed)
	w := &teller{rng: rand.New(rand.NewPCG(seed, 1)), base: float64(time.Now().Unix() - 300)}
	for i := range 150 {
		w.coarse = i >= 75
		w.trace()
	}
	want, err := recount.Count(w.docs)
	if err != nil {
		t.Fatal(err)
	}
	var first map[string]string
	for _, way := range []struct {
		name     string
		memory   bool
		batch    int // documents in a put, at most
		shuffle  bool
		twice    int // one document in so many comes again, some time later
		restarts int
	}{
		{name: "in order, one by one", batch: 1},
		{name: "in order, one by one, in memory", memory: true, batch: 1},
		{name: "all at once", batch: 10_000},
		{name: "shuffled, in batches", batch: 20, shuffle: true},
		{name: "shuffled, twice, with restarts", batch: 20, shuffle: true, twice: 3, restarts: 3},
		{name: "shuffled, one by one, twice, in memory", memory: true, batch: 1, shuffle: true, twice: 3},
		{name: "shuffled, all at once, twice", batch: 10_000, shuffle: true, twice: 2},
	} {
		t.Run(way.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 2))
			docs := slices.Clone(w.docs)
			if way.shuffle {
				rng.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
			}
			if way.twice > 0 {
				for i := 0; i < len(docs); i++ {
					if rng.IntN(way.twice) == 0 {
						docs = slices.Insert(docs, i+rng.IntN(len(docs)-i)+1, docs[i])
						i++
					}
				}
			}
			h := newHouse(t, way.memory)
			began := time.Now().Add(-5 * time.Second)
			h.ask("/CreateGroup", map[string]any{"GroupName": "golden", "FilterExpression": `annotation.tier = "gold"`})
			var restart []int
			for range way.restarts {
				restart = append(restart, rng.IntN(len(docs)))
			}
			for i := 0; i < len(docs); {
				n := min(1+rng.IntN(way.batch), len(docs)-i)
				if way.batch == 10_000 {
					n = len(docs)
				}
				h.put(docs[i : i+n])
				for _, at := range restart {
					if at >= i && at < i+n {
						h.shut()
						h.open()
					}
				}
				i += n
			}
			until := time.Now().Add(5 * time.Second)
			for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(50 * time.Millisecond) {
				g, err := recount.Read([]byte(h.ask("/ServiceGraph", map[string]any{"StartTime": began.Unix(), "EndTime": until.Unix()})))
				if err != nil {
					t.Fatal(err)
				}
				diff := recount.Diff(g, want)
				if diff == "" {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("the service graph differs from the recount:\n%s", diff)
				}
			}
			got := h.answers(w, began, until)
			if first == nil {
				first = got
				checkQuestions(t, w, got)
				return
			}
			wrong := 0
			for _, key := range union(got, first) {
				if got[key] != first[key] {
					if wrong++; wrong <= 5 {
						t.Errorf("%s:\n  got  %s\n  want %s", key, cut(got[key], first[key]), cut(first[key], got[key]))
					}
				}
			}
			if wrong > 5 {
				t.Errorf("%d of %d answers differ", wrong, len(first))
			}
		})
		if t.Failed() {
			return
		}
	}
}

// checkQuestions holds that the questions tell traces apart.
func checkQuestions(t *testing.T, w *teller, got map[string]string) {
	t.Helper()
	all := 0
	for key := range got {
		if strings.HasPrefix(key, "summary ") {
			all++
		}
	}
	idle := 0
	for _, q := range questions {
		n := len(strings.Fields(got["TraceId "+q]))
		if n == 0 || n == all {
			idle++
			t.Logf("%s finds %d of %d traces", q, n, all)
		}
	}
	if idle > len(questions)/4 {
		t.Errorf("%d of %d questions find all or nothing: too little is tested", idle, len(questions))
	}
	t.Logf("%d documents of %d traces, %d of which have summaries; %d answers", len(w.docs), len(w.ids), all, len(got))
}

func union(a, b map[string]string) []string {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	return slices.Compact(keys)
}

// cut shows a from shortly before where it begins to differ from b.
func cut(a, b string) string {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	i = max(0, i-150)
	var out bytes.Buffer
	if i > 0 {
		out.WriteString("...")
	}
	out.WriteString(a[i:min(len(a), i+500)])
	return out.String()
}
