package webapi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/internal/otlp"
)

type traceEvent struct {
	Entry, Kind, Name, Message string
	Time                       *float64
}

type traceEvents struct {
	Events   []traceEvent
	More     bool
	Revision int
}

func (e traceEvent) String() string {
	at := "-"
	if e.Time != nil {
		at = fmt.Sprintf("%.3f", *e.Time)
	}
	return fmt.Sprintf("%s %s %s %q %q", e.Entry[14:], e.Kind, at, e.Name, e.Message)
}

func (f *fixture) events(t *testing.T, id string) traceEvents {
	t.Helper()
	status, got := f.get(t, "/api/traces/"+id+"/events")
	var answer traceEvents
	if err := json.Unmarshal([]byte(got), &answer); err != nil || status != 200 {
		t.Fatalf("%d %s", status, got)
	}
	return answer
}

func (f *fixture) putSpans(t *testing.T, request string) {
	t.Helper()
	data, err := otlp.FromJSON([]byte(request))
	if err != nil {
		t.Fatal(err)
	}
	if report, err := f.in.PutSpans(t.Context(), ingest.Origin{Source: ingest.SourceOTLP, Peer: "10.0.0.9:4000"}, data); err != nil || report.Rejected > 0 {
		t.Fatalf("%+v %v", report, err)
	}
}

func compareEvents(t *testing.T, got []traceEvent, want ...string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(want):
			t.Errorf("event %d: %v, which nobody expects", i, got[i])
		case i >= len(got):
			t.Errorf("event %d: nothing, want %s", i, want[i])
		case got[i].String() != want[i]:
			t.Errorf("event %d:\n got %v\nwant %s", i, got[i], want[i])
		}
	}
}

// TestEventsOfDocuments lists the exceptions of X-Ray documents, which have no times.
func TestEventsOfDocuments(t *testing.T) {
	f := serve(t)
	f.put(t, shopRoot)
	f.put(t, `{"trace_id":"`+shopTrace+`","id":"00000000000000a9","name":"orphan","type":"subsegment","parent_id":"00000000000000ff","start_time":1795355000,"end_time":1795355001,
 "cause":{"exceptions":[{"id":"00000000000000e1","type":"Refused","message":"an id  that is\n taken"},7,{"id":"00000000000000e3","type":"Long","message":"`+strings.Repeat("é", 400)+`"}]},
 "metadata":{"otel":{"events":[{"time":"soon","name":["x",1],"attributes":{"n":{"a":[1,null]},"text":"one\ttwo"}},"no event",{"name":"bare","time":-1}]}}}`)
	f.put(t, `{"trace_id":"`+shopTrace+`","id":"00000000000000b1","name":"other","start_time":1795355000,"end_time":1795355001,"cause":"00000000000000e1"}`)
	answer := f.events(t, shopTrace)
	compareEvents(t, answer.Events,
		`a3 exception - "" "timeout"`,
		`a9 exception - "Refused" "an id that is taken"`,
		`a9 exception - "" ""`,
		`a9 exception - "Long" "`+strings.Repeat("é", 299)+`…"`,
		`a9 event - "[\"x\",1]" "n={\"a\":[1,null]} text=one two"`,
		`a9 event - "bare" ""`,
	)
	if answer.More {
		t.Error("there are no more")
	}
}

// TestEventsOfSpans lists the events of spans and their exceptions, with the times that they have.
func TestEventsOfSpans(t *testing.T) {
	f := serve(t)
	attribute := func(key, value string) string {
		return `{"key":"` + key + `","value":{"stringValue":"` + value + `"}}`
	}
	f.putSpans(t, `{"resourceSpans":[{"resource":{"attributes":[`+attribute("service.name", "shop")+`,`+attribute("telemetry.sdk.language", "java")+`]},"scopeSpans":[{"spans":[
 {"traceId":"6ab3800100000000000000000000aaaa","spanId":"00000000000000c1","name":"GET /cart","kind":2,"startTimeUnixNano":"1795355000000000000","endTimeUnixNano":"1795355002000000000","events":[
  {"timeUnixNano":"1795355000250000000","name":"cache miss","attributes":[`+attribute("key", "cart:7")+`,{"key":"tries","value":{"intValue":"3"}}]},
  {"timeUnixNano":"1795355000500000000","name":"exception","attributes":[`+attribute("exception.type", "java.io.IOException")+`,`+attribute("exception.message", "reset")+`,`+attribute("exception.stacktrace", `java.io.IOException: reset\n\tat a.B.c(B.java:1)\nCaused by: java.net.SocketException: gone\n\tat d.E.f(E.java:2)\n`)+`]},
  {"timeUnixNano":"1795355000750000000","name":"exception","attributes":[`+attribute("exception.type", "Late")+`]},
  {"timeUnixNano":"0","name":"no time"}]},
 {"traceId":"6ab3800100000000000000000000aaaa","spanId":"00000000000000c2","name":"charge","kind":3,"startTimeUnixNano":"1795355001000000000","endTimeUnixNano":"1795355001500000000","status":{"code":2,"message":"declined"}},
 {"traceId":"6ab3800100000000000000000000aaaa","spanId":"00000000000000c3","name":"PUT","kind":3,"startTimeUnixNano":"1795355001000000000","endTimeUnixNano":"1795355001500000000","attributes":[`+attribute("peer.service", "bank")+`],"events":[
  {"timeUnixNano":"1795355001250000000","name":"exception","attributes":[`+attribute("exception.type", "Refused")+`]}]}]}]}]}`)
	answer := f.events(t, "6ab3800100000000000000000000aaaa")
	compareEvents(t, answer.Events,
		`c1 exception 1795355000.500 "java.io.IOException" "reset"`,
		`c1 exception 1795355000.500 "java.net.SocketException" "gone"`,
		`c1 exception 1795355000.750 "Late" ""`,
		`c1 event 1795355000.250 "cache miss" "key=cart:7 tries=3"`,
		`c1 event - "no time" ""`,
		// The calls without parent are a segment and a subsegment, which both have the exception.
		`c2 exception - "" "declined"`,
		`c3 exception 1795355001.250 "Refused" ""`,
	)
}

func TestEventsAreBounded(t *testing.T) {
	f := serve(t)
	list := strings.TrimSuffix(strings.Repeat(`{"type":"T","message":"m"},`, 4000), ",")
	for i := range 3 {
		f.put(t, fmt.Sprintf(`{"trace_id":"%s","id":"00000000000000a%d","name":"shop","start_time":1795355000,"end_time":1795355002,"cause":{"exceptions":[%s]}}`, shopTrace, i, list))
	}
	answer := f.events(t, shopTrace)
	if len(answer.Events) != 10_000 || !answer.More {
		t.Errorf("%d events, more: %v", len(answer.Events), answer.More)
	}
}

func TestEventsAnswers(t *testing.T) {
	f := serve(t)
	f.put(t, root)
	path := "/api/traces/" + traceID + "/events"
	resp, data := f.raw(t, path, "", "")
	if want := `{"Events":[],"More":false,"Revision":1}`; resp.StatusCode != 200 || strings.TrimSpace(string(data)) != want {
		t.Errorf("%d %s, want %s", resp.StatusCode, data, want)
	}
	tag := resp.Header.Get("ETag")
	if resp, data := f.raw(t, path, "If-None-Match", tag); resp.StatusCode != 304 || len(data) != 0 {
		t.Errorf("unchanged: %d %s", resp.StatusCode, data)
	}
	f.put(t, lost)
	if resp, _ := f.raw(t, path, "If-None-Match", tag); resp.StatusCode != 200 || resp.Header.Get("ETag") == tag {
		t.Errorf("changed: %d", resp.StatusCode)
	}
	for path, want := range map[string]int{
		"1-6ab38001-0000000000000000ffffffff/events": 404, "nonsense/events": 400, traceID + "/events?limit=1": 400, traceID + "/events/1": 404, traceID + "/events/": 200,
	} {
		if status, got := f.get(t, "/api/traces/"+path); status != want {
			t.Errorf("%s: %d %s, want %d", path, status, got, want)
		}
	}
	if status, _ := f.do(t, "POST", path, "", nil); status != 405 {
		t.Errorf("POST: %d", status)
	}
}
