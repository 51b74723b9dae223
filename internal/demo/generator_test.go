package demo

import (
	"bytes"
	"errors"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/segment"
)

// noon is where the tests begin.
var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

// drain calls fn for every delivery of cfg.
func drain(t testing.TB, cfg Config, fn func(Delivery)) {
	t.Helper()
	g, err := NewGenerator(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for {
		d, ok := g.Next()
		if !ok {
			return
		}
		fn(d)
	}
}

func all(t testing.TB, cfg Config) (list []Delivery) {
	t.Helper()
	drain(t, cfg, func(d Delivery) { list = append(list, d) })
	return list
}

func TestSameSeedSameDocuments(t *testing.T) {
	cfg := Config{Seed: 7, Rate: 20, Start: noon, Until: noon.Add(2 * time.Minute)}
	a, b := all(t, cfg), all(t, cfg)
	if len(a) < 5_000 || len(a) != len(b) {
		t.Fatalf("got %d and %d documents, want the same number, over 5000", len(a), len(b))
	}
	for i := range a {
		if !a[i].At.Equal(b[i].At) || a[i].Service != b[i].Service || a[i].Road != b[i].Road || !bytes.Equal(a[i].Document, b[i].Document) {
			t.Fatalf("document %d differs:\n%v %s %s\n%v %s %s", i, a[i].At, a[i].Service, a[i].Document, b[i].At, b[i].Service, b[i].Document)
		}
	}
	cfg.Seed = 8
	known := documentSet(a)
	for _, d := range all(t, cfg) {
		if known[string(d.Document)] {
			t.Fatalf("seeds 7 and 8 both made %s", d.Document)
		}
	}
}

func documentSet(list []Delivery) map[string]bool {
	set := make(map[string]bool, len(list))
	for _, d := range list {
		set[string(d.Document)] = true
	}
	return set
}

// A history and the live traffic after it, or a longer history, agree on what
// both contain: a second import of the same hours adds nothing.
func TestDocumentsDoNotDependOnTheStart(t *testing.T) {
	whole := all(t, Config{Seed: 3, Rate: 15, Start: noon, Until: noon.Add(4 * time.Minute)})
	early := all(t, Config{Seed: 3, Rate: 15, Start: noon, Until: noon.Add(90 * time.Second)})
	late := all(t, Config{Seed: 3, Rate: 15, Start: noon.Add(89*time.Second + time.Millisecond), Until: noon.Add(4 * time.Minute)})
	parts := documentSet(append(early, late...))
	if !maps.Equal(documentSet(whole), parts) {
		t.Errorf("4 minutes at once made %d documents, in two parts %d, and they differ", len(documentSet(whole)), len(parts))
	}
}

func TestOrderOfSending(t *testing.T) {
	last := time.Time{}
	n := 0
	drain(t, Config{Seed: 2, Rate: 30, Start: noon, Until: noon.Add(3 * time.Minute)}, func(d Delivery) {
		n++
		if d.At.Before(last) {
			t.Fatalf("document %d is sent at %v, the one before it at %v", n, d.At, last)
		}
		last = d.At
		s, err := segment.Parse(d.Document, segment.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		// Nothing is sent before it happened, by the clock of the host, of which
		// one goes wrong.
		happened := s.EndTime
		if s.InProgress {
			happened = s.StartTime
		}
		if strings.Contains(string(d.Document), `"name":"payments"`) {
			happened -= 0.64
		}
		if at := float64(d.At.UnixMicro()) / 1e6; at < happened-0.001 {
			t.Errorf("sent %.6f, %.3f s before it happened: %s", at, happened-at, d.Document)
		}
	})
	if n < 10_000 {
		t.Errorf("only %d documents", n)
	}
}

// counts is what a history consists of.
type counts struct {
	documents, bytes                     int
	requests, faults, errors, throttles  int
	begun, parts, linked, overHTTP, long int
	services, origins, namespaces        map[string]int
	sdks                                 map[string]int
	sql, users, exceptions, references   int
	annotations, metadata                map[string]int
	tables, operations                   map[string]int
	versions                             map[string]map[string]bool
	randomEpochs                         int
	odd                                  []string // messages of exceptions that are no good
	perHour                              map[int]int
}

func (c *counts) add(t testing.TB, d Delivery) {
	c.documents++
	c.bytes += len(d.Document)
	s, err := segment.Parse(d.Document, segment.Limits{RefuseArrays: true})
	if err != nil {
		var r *segment.Refusal
		errors.As(err, &r)
		t.Fatalf("%v (%s at %d): %s", err, r.Detail, r.Offset, d.Document)
	}
	if d.Root {
		c.requests++
		c.perHour[d.At.Hour()]++
		for flag, n := range map[bool]*int{d.Fault: &c.faults, d.Throttle: &c.throttles, d.Error && !d.Throttle: &c.errors} {
			if flag {
				*n++
			}
		}
		epoch := int64(s.TraceID[0])<<24 | int64(s.TraceID[1])<<16 | int64(s.TraceID[2])<<8 | int64(s.TraceID[3])
		if math.Abs(float64(epoch)-s.StartTime) > 3600 {
			c.randomEpochs++
		}
	}
	switch d.Stage {
	case Begun:
		c.begun++
		if !s.InProgress {
			t.Errorf("announced but not in progress: %s", d.Document)
		}
	case Part:
		c.parts++
		if s.Kind != segment.KindSubsegment {
			t.Errorf("a part but no subsegment: %s", d.Document)
		}
	case Complete:
		if s.Kind != segment.KindSegment || s.InProgress {
			t.Errorf("complete but no finished segment: %s", d.Document)
		}
	}
	if d.Road != UDP {
		c.overHTTP++
	} else if len(d.Document)+len(d.Header)+1 > 65_507 {
		t.Errorf("%d bytes do not fit a datagram", len(d.Document))
	}
	if len(d.Document) > maxDatagram {
		c.long++
	}
	if s.Kind == segment.KindSegment {
		c.services[s.Name]++
		c.origins[s.Origin]++
		c.sdks[s.AWS.Get("xray", "sdk").String()]++
		if v := s.Service.Get("version").String(); v != "" {
			if c.versions[s.Name] == nil {
				c.versions[s.Name] = map[string]bool{}
			}
			c.versions[s.Name][v] = true
		}
	}
	if s.Links != nil {
		c.linked++
	}
	if s.User != "" {
		c.users++
	}
	c.walk(s)
}

func (c *counts) walk(s *segment.Segment) {
	if s.Kind != segment.KindSegment {
		c.namespaces[s.Namespace]++
	}
	if s.SQL != nil {
		c.sql++
	}
	switch s.Cause.Type() {
	case segment.TypeObject:
		c.exceptions++
		s.Cause.Get("exceptions").Elements(func(x segment.Raw) bool {
			if m := x.Get("message").String(); m == "" || strings.Contains(m, "%s") {
				c.odd = append(c.odd, m)
			}
			return true
		})
	case segment.TypeString:
		c.references++
	}
	s.Annotations.Members(func(k string, _ segment.Raw) bool { c.annotations[k]++; return true })
	s.Metadata.Members(func(k string, _ segment.Raw) bool { c.metadata[k]++; return true })
	if table := s.AWS.Get("table_name").String(); table != "" {
		c.tables[table]++
	}
	if op := s.AWS.Get("operation").String(); op != "" {
		c.operations[s.Name+" "+op]++
	}
	for _, sub := range s.Subsegments {
		c.walk(sub)
	}
}

func count6h(t testing.TB, cfg Config) *counts {
	c := &counts{perHour: map[int]int{}, versions: map[string]map[string]bool{}}
	for _, m := range []*map[string]int{&c.services, &c.origins, &c.namespaces, &c.sdks, &c.annotations, &c.metadata, &c.tables, &c.operations} {
		*m = map[string]int{}
	}
	drain(t, cfg, func(d Delivery) { c.add(t, d) })
	return c
}

// Six hours of the shop are what six hours of a shop are like, and every single
// document is accepted.
func TestMix(t *testing.T) {
	// A tenth of the demo's usual rate has the same mix, but for the reports; all
	// of it, two million documents, takes most of a minute.
	cfg := Config{Seed: 1, Rate: 2, Start: noon, Until: noon.Add(6 * time.Hour)}
	if text := os.Getenv("ROENTGEN_DEMO_TEST_RATE"); text != "" {
		rate, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Rate = rate
	} else if raceEnabled {
		cfg.Until = noon.Add(time.Hour) // one goroutine: there is no race to be found
	}
	whole := cfg.Until.Sub(cfg.Start) > time.Hour
	c := count6h(t, cfg)
	t.Logf("%d documents, %d MB, %d requests: %d faults, %d errors, %d throttles; %d begun, %d parts, %d linked, %d over HTTP, %d long",
		c.documents, c.bytes>>20, c.requests, c.faults, c.errors, c.throttles, c.begun, c.parts, c.linked, c.overHTTP, c.long)
	t.Log("services", c.services)
	t.Log("operations", c.operations)
	t.Log("annotations", c.annotations)

	share := func(what string, part, of int, low, high float64) {
		t.Helper()
		if got := float64(part) / float64(of); got < low || got > high {
			t.Errorf("%s: %d of %d, %.5f, want %v to %v", what, part, of, got, low, high)
		}
	}
	seconds := int(cfg.Until.Sub(cfg.Start).Seconds())
	share("requests a second over the rate, at noon and in the afternoon", c.requests, seconds*int(cfg.Rate), 1.15, 1.6)
	share("documents a request", c.documents, c.requests, 2.5, 6)
	share("bytes a document", c.bytes, c.documents, 700, 3000)
	share("faults", c.faults, c.requests, 0.001, 0.02)
	share("errors that are no throttles", c.errors, c.requests, 0.01, 0.06)
	share("throttles", c.throttles, c.requests, 0.003, 0.03)
	share("linked", c.linked, c.documents, 0.001, 0.03)
	share("over HTTP", c.overHTTP, c.documents, 0.1, 0.35)
	share("independent subsegments", c.parts, c.documents, 0.02, 0.4)
	share("W3C trace ids", c.randomEpochs, c.requests, 0.15, 0.5)
	share("signed in", c.users, c.requests, 0.4, 0.8)
	share("reports and their steps announced, a minute", c.begun, seconds/60, 2, 60)
	share("exceptions", c.exceptions, c.documents, 0.0005, 0.03)
	share("references to exceptions", c.references, c.exceptions, 0.2, 5)
	if len(c.odd) > 0 {
		t.Errorf("messages that nobody would write: %q", c.odd)
	}
	if c.long == 0 && whole {
		t.Error("no document is too long for a datagram")
	}

	wantAtLeast := func(what string, got map[string]int, want ...string) {
		t.Helper()
		for _, w := range want {
			if got[w] == 0 {
				t.Errorf("no %s %q among %v", what, w, slices.Sorted(maps.Keys(got)))
			}
		}
	}
	if len(c.services) < 10 {
		t.Errorf("%d services, want 10 or more: %v", len(c.services), c.services)
	}
	wantAtLeast("service", c.services, "gateway", "web", "mobile-api", "catalogue", "search", "cart", "checkout", "payments",
		"orders", "recommendations", "reports", "order-worker", "confirmation-mailer")
	wantAtLeast("origin", c.origins, "AWS::ECS::Fargate", "AWS::ECS::Container", "AWS::EC2::Instance", "AWS::EKS::Container",
		"AWS::ElasticBeanstalk::Environment", "AWS::Lambda", "AWS::Lambda::Function")
	wantAtLeast("namespace", c.namespaces, "aws", "remote", "")
	wantAtLeast("SDK", c.sdks, "X-Ray for Go", "X-Ray for Java", "X-Ray for Node.js", "X-Ray for Python", "X-Ray for .NET Core",
		"opentelemetry for ruby", "opentelemetry for java")
	wantAtLeast("table", c.tables, "products", "prices", "carts", "stock", "payment-attempts", "affinities", "sessions", "shipments")
	wantAtLeast("operation", c.operations, "DynamoDB GetItem", "DynamoDB Query", "DynamoDB BatchGetItem", "DynamoDB UpdateItem",
		"DynamoDB PutItem", "DynamoDB TransactWriteItems", "S3 GetObject", "S3 PutObject", "SQS SendMessage", "SNS Publish")
	wantAtLeast("annotation", c.annotations, "tenant", "plan", "version", "deploy_id", "flag_new_ranking", "order_value", "region", "order_id")
	wantAtLeast("metadata", c.metadata, "default", "checkout", "reports")
	if c.sql < c.requests/100 {
		t.Errorf("%d SQL calls in %d requests", c.sql, c.requests)
	}
	deployed := 0
	for _, v := range c.versions {
		if len(v) > 1 {
			deployed++
		}
	}
	if deployed < 4 && whole {
		t.Errorf("new versions of %d services in six hours, want 4 or more: %v", deployed, c.versions)
	}
	if c.perHour[12] >= c.perHour[16] && whole {
		t.Errorf("as many requests at noon, %d, as in the afternoon, %d", c.perHour[12], c.perHour[16])
	}
}

// Every incident leaves its mark on the requests of its minutes.
func TestIncidents(t *testing.T) {
	// The share of requests with this mark, calm and troubled.
	marks := map[incident]func(doc []byte) bool{
		slowPayments:   contains("TaskCanceledException", "ProviderUnavailableException"),
		lockedOrders:   contains("OrderNotSaved"),
		throttledCarts: contains("for the table carts was exceeded"),
		badRelease:     contains("embedding_v3"),
		searchNodeDown: contains("Connection reset by peer"),
		busyCatalogue:  contains("LoadSheddingException"),
		queueBacklog:   waited(15 * time.Second),
	}
	seen := map[incident]bool{}
	for cell := noon.UnixMicro() / incidentCell; len(seen) < incidentKinds-1; cell++ {
		w := weatherOf(5, cell)
		if w.kind == calm || seen[w.kind] {
			continue
		}
		seen[w.kind] = true
		marked := marks[w.kind]
		rate := func(from, to micros) (n int) {
			drain(t, Config{Seed: 5, Rate: 15, Start: time.UnixMicro(from), Until: time.UnixMicro(to)}, func(d Delivery) {
				if marked(d.Document) {
					n++
				}
			})
			return n
		}
		third := (w.to - w.from) / 3
		during := rate(w.from+third, w.to-third)
		before := rate(w.from-third-10*second, w.from-10*second)
		if during < 3 || during < 3*before {
			t.Errorf("incident %d: %d marks in its middle third, %d in as long before it", w.kind, during, before)
		}
	}
}

// waited marks the order worker's invocations whose messages had waited so long.
func waited(limit time.Duration) func([]byte) bool {
	return func(doc []byte) bool {
		s, err := segment.Parse(doc, segment.Limits{})
		long := false
		if err == nil {
			s.Links.Elements(func(l segment.Raw) bool {
				from, _ := l.Get("attributes", "aws.xray.reserved.received_event_end_time").Number()
				to, _ := l.Get("attributes", "aws.xray.reserved.dwell_end_time").Number()
				long = to-from > limit.Seconds()
				return true
			})
		}
		return long
	}
}

func contains(any ...string) func([]byte) bool {
	return func(doc []byte) bool {
		return slices.ContainsFunc(any, func(s string) bool { return bytes.Contains(doc, []byte(s)) })
	}
}

// Traces hang together: almost every parent is there, and what is not is one of
// the oddities that are meant to be.
func TestTracesHangTogether(t *testing.T) {
	type key struct {
		trace segment.TraceID
		id    segment.SegmentID
	}
	present := map[key]bool{}
	var wanted []key
	links, doubled := []key{}, 0
	drain(t, Config{Seed: 11, Rate: 40, Start: noon, Until: noon.Add(5 * time.Minute)}, func(d Delivery) {
		s, err := segment.Parse(d.Document, segment.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if d.Stage != Begun && present[key{s.TraceID, s.ID}] {
			doubled++
		}
		var walk func(*segment.Segment)
		walk = func(sub *segment.Segment) {
			if d.Stage != Begun {
				present[key{s.TraceID, sub.ID}] = true
			}
			for _, n := range sub.Subsegments {
				walk(n)
			}
		}
		walk(s)
		if s.HasParent && d.Stage != Begun {
			wanted = append(wanted, key{s.TraceID, s.ParentID})
		}
		s.Links.Elements(func(l segment.Raw) bool {
			id, err := segment.ParseTraceID(l.Get("trace_id").String())
			if err != nil {
				t.Fatal(err)
			}
			sub, err := segment.ParseSegmentID(l.Get("id").String())
			if err != nil {
				t.Fatal(err)
			}
			links = append(links, key{id, sub})
			return true
		})
	})
	missing := 0
	for _, w := range wanted {
		if !present[w] {
			missing++
		}
	}
	if lo, hi := len(wanted)/5000, len(wanted)/200; missing < lo || missing > hi {
		t.Errorf("%d of %d parents are missing, want %d to %d", missing, len(wanted), lo, hi)
	}
	if doubled == 0 || doubled > len(wanted)/300 {
		t.Errorf("%d documents came twice, want a few", doubled)
	}
	if len(links) < 50 {
		t.Fatalf("only %d links", len(links))
	}
	lost := 0
	for _, l := range links {
		if !present[l] {
			lost++
		}
	}
	if lost > len(links)/100+1 {
		t.Errorf("%d of %d links lead nowhere", lost, len(links))
	}
}

// One host's clock is ahead, so that its segments lie outside the calls that
// caused them.
func TestClockSkew(t *testing.T) {
	ahead, right := 0, 0
	starts := map[segment.SegmentID]float64{}
	drain(t, Config{Seed: 1, Rate: 40, Start: noon, Until: noon.Add(5 * time.Minute)}, func(d Delivery) {
		s, err := segment.Parse(d.Document, segment.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for _, sub := range s.Subsegments {
			starts[sub.ID] = sub.StartTime
		}
		if s.Name == "payments" {
			starts[s.ID] = s.StartTime
			switch late := float64(d.At.UnixMicro())/1e6 - s.EndTime; {
			case late < -0.5:
				ahead++
			case late > -0.1:
				right++
			}
		}
	})
	if ahead < 20 || right < 20 {
		t.Errorf("%d segments of payments by the wrong clock, %d by the right one, want both", ahead, right)
	}
}

func TestTimeForms(t *testing.T) {
	at := micros(1_760_000_000_120_456)
	for form, want := range map[timeForm]string{
		timeMicros: "1760000000.120456", timeMillis: "1760000000.120", timeExponent: "1.76000000012E9",
	} {
		if got := string(appendTime(nil, at, form)); got != want {
			t.Errorf("form %d: got %s, want %s", form, got, want)
		}
	}
	if got := string(appendTime(nil, 1_760_000_000_000_000, timeExponent)); got != "1.76E9" {
		t.Errorf("got %s, want 1.76E9", got)
	}
}

func TestRateIsChecked(t *testing.T) {
	for _, rate := range []float64{-1, math.NaN(), math.Inf(1), 1e9} {
		if _, err := NewGenerator(Config{Rate: rate}); err == nil {
			t.Errorf("rate %v was accepted", rate)
		}
	}
	if list := all(t, Config{Rate: 0, Start: noon, Until: noon.Add(time.Hour)}); len(list) != 0 {
		t.Errorf("rate 0 made %d documents", len(list))
	}
}

func BenchmarkGenerator(b *testing.B) {
	g, err := NewGenerator(Config{Seed: 1, Rate: 20, Start: noon})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		d, _ := g.Next()
		n += len(d.Document)
	}
	b.SetBytes(int64(n / b.N))
}
