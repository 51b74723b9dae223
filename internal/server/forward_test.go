package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/agent"
	"github.com/roentgen-io/roentgen/internal/config"
	receiver "github.com/roentgen-io/roentgen/internal/receiver/otlp"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
)

func forwardStatus(t *testing.T, s *Server) (st agent.ForwardStatus) {
	t.Helper()
	status, body, _ := do(t, "GET", s.URL()+pathForward, "")
	if status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if err := json.Unmarshal([]byte(body), &st); err != nil {
		t.Fatal(err)
	}
	return st
}

// passedOn waits until nothing waits to be passed on.
func passedOn(t *testing.T, s *Server) agent.ForwardStatus {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		st, waiting := forwardStatus(t, s), uint64(0)
		for _, d := range st.Destinations {
			waiting += d.Waiting
		}
		if waiting == 0 {
			return st
		}
		if time.Now().After(deadline) {
			t.Fatalf("still waiting: %+v", st)
		}
	}
}

// forwardTo returns settings with which a server passes on.
func forwardTo(t *testing.T, to ...string) func(c *config.Config) {
	dir := t.TempDir()
	return func(c *config.Config) { c.DataDir, c.Forward, c.ForwardSize, c.ForwardAge = dir, to, 64<<20, time.Hour }
}

// TestForwardEverything sends documents and spans in every way to a server that passes
// them on to a second one, and that one to a third. Each answers like the first.
func TestForwardEverything(t *testing.T) {
	last := start(t, nil, nil)
	middle := start(t, nil, forwardTo(t, last.URL()))
	first := start(t, nil, forwardTo(t, "home="+middle.URL()))
	documents, requests := mixed()
	do(t, "POST", first.URL()+"/TraceSegments", putBody(documents...))
	for _, r := range requests {
		if status, body, _ := do(t, "POST", first.URL()+receiver.PathHTTP, r, "Content-Type", "application/json"); status != 200 || body != "{}" {
			t.Errorf("%d %s", status, body)
		}
	}
	c, err := net.Dial("udp", first.UDPAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "{\"format\":\"json\",\"version\":1}\n%s", document(77))
	const udp = `/api/traces/1-6741a0c3-00000000000000000000004d`
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if status, _, _ := do(t, "GET", last.URL()+udp, ""); status == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("what came over UDP was not passed on")
		}
	}
	passedOn(t, first)
	passedOn(t, middle)
	if a, b := requireMixed(t, first), requireMixed(t, last); a != b {
		t.Errorf("the first server shows\n%s\nand the last\n%s", a, b)
	}
	const asSpans = "/api/traces/1-" + "6741a0c3-000000000000000000000abc?format=otlp"
	_, a, _ := do(t, "GET", first.URL()+asSpans, "")
	_, b, _ := do(t, "GET", last.URL()+asSpans, "")
	if a != b || !strings.Contains(a, `"POST /orders"`) {
		t.Errorf("as spans the first server shows\n%s\nand the last\n%s", a, b)
	}
	_, metrics, _ := do(t, "GET", first.URL()+"/metrics", "")
	for _, want := range []string{`roentgen_forward_sent_total{destination="home"} 6`, `roentgen_forward_waiting{destination="home"} 0`, "roentgen_forward_looped_total 0"} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("metrics without %s", want)
		}
	}
	// What is imported is history, and stays here.
	if status, body, _ := do(t, "POST", first.URL()+"/api/import", putBody(document(88))); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	passedOn(t, first)
	if status, _, _ := do(t, "GET", last.URL()+"/api/traces/1-6741a0c3-000000000000000000000058", ""); status != 404 {
		t.Errorf("an imported trace was passed on: %d", status)
	}
}

// TestForwardRound has two servers pass on to each other: each has everything, and
// nothing goes round.
func TestForwardRound(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	one := start(t, nil, forwardTo(t, "http://"+address))
	change := forwardTo(t, one.URL())
	two := start(t, nil, func(c *config.Config) { change(c); c.Listen, c.UDPListen = address, "off" })
	do(t, "POST", one.URL()+"/TraceSegments", putBody(document(1)))
	do(t, "POST", two.URL()+"/TraceSegments", putBody(document(2)))
	_, requests := mixed()
	do(t, "POST", one.URL()+receiver.PathHTTP, requests[0], "Content-Type", "application/json")
	for deadline := time.Now().Add(20 * time.Second); forwardStatus(t, one).Looped != 2 || forwardStatus(t, two).Looped != 1; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v\n%+v", forwardStatus(t, one), forwardStatus(t, two))
		}
	}
	a, b := passedOn(t, one), passedOn(t, two)
	if a.Destinations[0].Sent != 3 || b.Destinations[0].Sent != 3 {
		t.Errorf("%d and %d were passed on, want 3 and 3", a.Destinations[0].Sent, b.Destinations[0].Sent)
	}
	for _, s := range []*Server{one, two} {
		for i := 1; i <= 2; i++ {
			if status, body, _ := do(t, "GET", fmt.Sprintf("%s/api/traces/1-6741a0c3-%024x", s.URL(), i), ""); status != 200 {
				t.Errorf("trace %d: %d %s", i, status, body)
			}
		}
	}
}

// TestForwardRing has a server whose destination gives everything back, as a Collector does
// that exports to it: without the header that tells where it comes from.
func TestForwardRing(t *testing.T) {
	back := make(chan string, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		url := <-back
		back <- url
		req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, url+receiver.PathHTTP, r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		for _, name := range []string{"Content-Type", "Content-Encoding"} {
			req.Header.Set(name, r.Header.Get(name))
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return // the server has stopped
		}
		defer resp.Body.Close()
		w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
		w.WriteHeader(resp.StatusCode)
		io.Copy(w, resp.Body)
	}))
	defer collector.Close()
	s := start(t, nil, forwardTo(t, "otlp:"+collector.URL))
	back <- s.URL()
	documents, requests := mixed()
	do(t, "POST", s.URL()+"/TraceSegments", putBody(documents...))
	for _, r := range requests {
		do(t, "POST", s.URL()+receiver.PathHTTP, r, "Content-Type", "application/json")
	}
	// The two documents and three spans become six spans. The one that was inside a document is
	// new to the server when it comes back: it goes round once more.
	for deadline := time.Now().Add(20 * time.Second); forwardStatus(t, s).Repeated < 6; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", forwardStatus(t, s))
		}
	}
	st := passedOn(t, s)
	if sent := st.Destinations[0].Sent; sent != 6 || st.Repeated != 6 || st.DeadLetters != 0 {
		t.Errorf("%+v", st)
	}
	requireMixed(t, s)
	_, metrics, _ := do(t, "GET", s.URL()+"/metrics", "")
	if want := fmt.Sprintf("roentgen_forward_repeated_total %d\n", st.Repeated); !strings.Contains(metrics, want) {
		t.Errorf("metrics without %s", want)
	}
}

func TestForwardRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	for want, to := range map[string][]string{
		"is this server itself":  {"http://" + address},
		"is this server itself;": {"otlp:http://" + strings.Replace(address, "127.0.0.1", "localhost", 1)},
		"is no destination":      {"nowhere"},
	} {
		change := forwardTo(t, to...)
		s, err := Start(t.Context(), Config{Settings: settings(func(c *config.Config) { change(c); c.Listen, c.UDPListen = address, "off" }), OpenStore: opener(memstore.New())})
		if err == nil {
			s.Close(context.Background())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", to, err)
		}
	}
	s := start(t, nil, nil)
	if st := forwardStatus(t, s); len(st.Destinations) != 0 {
		t.Errorf("a server that passes nothing on has destinations: %+v", st)
	}
}

// TestForwardAway has a destination that is not there: the server takes what comes,
// says so, and brings it there when it is.
func TestForwardAway(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	change := forwardTo(t, "http://"+address)
	one := start(t, nil, change)
	for i := range 20 {
		if status, body, _ := do(t, "POST", one.URL()+"/TraceSegments", putBody(document(i+1))); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, body, _ := do(t, "GET", one.URL()+"/-/ready", "")
		if strings.Contains(body, "degraded: passing on: "+address+": ") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not degraded: %s", body)
		}
	}
	if err := one.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	one = start(t, nil, change)
	if st := forwardStatus(t, one); st.Destinations[0].Waiting != 20 {
		t.Errorf("after a restart %d wait", st.Destinations[0].Waiting)
	}
	two := start(t, nil, func(c *config.Config) { c.Listen, c.UDPListen = address, "off" })
	passedOn(t, one)
	for i := range 20 {
		if status, body, _ := do(t, "GET", fmt.Sprintf("%s/api/traces/1-6741a0c3-%024x", two.URL(), i+1), ""); status != 200 {
			t.Errorf("trace %d: %d %s", i+1, status, body)
		}
	}
}

// TestForwardUndelivered has a destination that refuses one of three documents: it is
// listed with the reason, after a restart too.
func TestForwardUndelivered(t *testing.T) {
	last := start(t, nil, func(c *config.Config) { c.MaxDocument = 1000 })
	change := forwardTo(t, "home="+last.URL())
	first := start(t, nil, change)
	large := strings.Replace(document(2), "{", `{"metadata":{"a":"`+strings.Repeat("x", 2000)+`"},`, 1)
	if status, body, _ := do(t, "POST", first.URL()+"/TraceSegments", putBody(document(1), large, document(3))); status != 200 || strings.Contains(body, "ErrorCode") {
		t.Fatalf("%d %s", status, body)
	}
	if st := passedOn(t, first); st.Destinations[0].Refused != 1 || st.DeadLetters != 1 {
		t.Errorf("%+v", st)
	}
	if err := first.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	// What was refused is still there when nothing is passed on any more.
	first = start(t, nil, func(c *config.Config) { change(c); c.Forward = nil })
	status, body, _ := do(t, "GET", first.URL()+"/api/forward/dead-letters", "")
	var page struct {
		DeadLetters []struct {
			Code, Destination, Document, Message, Remedy string
			Size                                         int
			Time                                         float64
		}
		Next *string
	}
	if err := json.Unmarshal([]byte(body), &page); status != 200 || err != nil || len(page.DeadLetters) != 1 || page.Next != nil {
		t.Fatalf("%d %s", status, body)
	}
	l := page.DeadLetters[0]
	if l.Destination != "home" || l.Document != large || l.Size != len(large) || l.Code == "" || l.Message == "" || l.Remedy == "" || time.Since(time.UnixMilli(int64(l.Time*1e3))).Abs() > time.Minute {
		t.Errorf("%+v", l)
	}
	for query, want := range map[string]int{"?limit=1": 200, "?before=nonsense": 400, "?limit=0": 400, "?after=1": 400} {
		if status, body, _ := do(t, "GET", first.URL()+"/api/forward/dead-letters"+query, ""); status != want {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
	if _, body, _ := do(t, "GET", last.URL()+"/api/forward/dead-letters", ""); body != `{"DeadLetters":[],"Next":null}` {
		t.Errorf("a server that passes nothing on: %s", body)
	}
}
