package webapi_test

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/control"
	"github.com/roentgen-io/roentgen/internal/reports"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/webapi"
)

// serveControl serves a control state whose groups may have any expression but
// "bad", and reports.
func serveControl(t *testing.T) (*fixture, *control.Store, *reports.Keeper) {
	t.Helper()
	state, err := control.Open(control.Options{Compile: func(expression string, _ control.Lookup) (control.Match, error) {
		if expression == "bad" {
			return nil, errors.New("it is bad")
		}
		return func(*trace.Row, func() *trace.Row) bool { return true }, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	keeper := reports.Open(reports.Options{Now: func() time.Time { return time.UnixMilli(1_795_356_000_500) }})
	s := httptest.NewServer(webapi.New(webapi.Config{Control: state, Reports: keeper}))
	t.Cleanup(s.Close)
	return &fixture{Server: s}, state, keeper
}

func TestControl(t *testing.T) {
	f, state, _ := serveControl(t)
	if _, err := state.CreateGroup(t.Context(), control.NewGroup{Name: "slow", Expression: "x"}); err != nil {
		t.Fatal(err)
	}
	status, file := f.do(t, "GET", "/api/control", "", nil)
	if status != 200 || !strings.Contains(file, `"name": "slow"`) {
		t.Fatalf("%d %s", status, file)
	}
	post := func(path, body string) (int, string) {
		return f.do(t, "POST", path, "application/json", strings.NewReader(body))
	}
	if status, answer := post("/api/control", file); status != 200 || answer != `{"Changes":[],"Checked":false}` {
		t.Errorf("the same again: %d %s", status, answer)
	}
	if err := state.DeleteGroup(t.Context(), "slow", ""); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, want string }{
		{"/api/control?check=true", `{"Changes":[{"Change":"made","Name":"slow","Section":"groups"}],"Checked":true}`},
		{"/api/control/?check=1", `{"Changes":[{"Change":"made","Name":"slow","Section":"groups"}],"Checked":true}`},
		{"/api/control", `{"Changes":[{"Change":"made","Name":"slow","Section":"groups"}],"Checked":false}`},
	} {
		if status, answer := post(c.path, file); status != 200 || answer != c.want {
			t.Errorf("%s: %d %s", c.path, status, answer)
		}
	}
	if len(state.Groups()) != 2 {
		t.Errorf("groups %+v", state.Groups())
	}
	unsealed := strings.Join(deleteLine(strings.Split(file, "\n"), `"checksum"`), "\n")
	for _, c := range []struct{ name, method, path, body, want string }{
		{"nothing", "POST", "/api/control", "", "nothing was imported: the file is none that an export gives: offset 0: unexpected end of JSON input"},
		{"edited", "POST", "/api/control", strings.Replace(file, "slow", "fast", 1), "nothing was imported: the file was damaged, or edited without taking out its checksum: "},
		{"later", "POST", "/api/control", strings.Replace(file, `"version": 1`, `"version": 9`, 1), "nothing was imported: the file is of a later version of Roentgen: "},
		{"expression", "POST", "/api/control", strings.NewReplacer(`"expression": "x"`, `"expression": "bad"`).Replace(unsealed), "nothing was imported: group slow: filter expression: it is bad"},
		{"check", "POST", "/api/control?check=maybe", file, `check is true or false, not "maybe"`},
		{"parameter", "GET", "/api/control?check=true", "", `unknown parameter "check"; there are none`},
		{"method", "DELETE", "/api/control", "", "use GET or POST for /api/control"},
	} {
		status, answer := f.do(t, c.method, c.path, "", strings.NewReader(c.body))
		var m struct{ Message string }
		if err := json.Unmarshal([]byte(answer), &m); err != nil || status/100 != 4 || !strings.HasPrefix(m.Message, c.want) {
			t.Errorf("%s: %d %s\nwant %s", c.name, status, answer, c.want)
		}
	}
	if status, answer := post("/api/control", unsealed); status != 200 {
		t.Errorf("without checksum: %d %s", status, answer)
	}
}

func deleteLine(lines []string, with string) []string {
	var left []string
	for _, l := range lines {
		if !strings.Contains(l, with) {
			left = append(left, l)
		}
	}
	return left
}

func TestTelemetry(t *testing.T) {
	f, _, keeper := serveControl(t)
	if status, answer := f.do(t, "GET", "/api/telemetry", "", nil); status != 200 || answer != `{"Senders":[]}` {
		t.Errorf("%d %s", status, answer)
	}
	keeper.Add(reports.ID{Hostname: `ho"st`, Host: "10.0.0.7:1"}, []reports.Record{
		{Timestamp: 1.5, Counts: reports.Counts{Received: 1, Sent: 2, Spillover: 3, Rejected: 4, Timeouts: 5, ConnectionsRefused: 6, HTTP4XX: 7, HTTP5XX: 8, UnknownHosts: 9, OtherErrors: 10}},
		{Timestamp: 2, Counts: reports.Counts{Received: 100}},
	})
	const (
		latest = `{"BackendConnectionErrors":{"ConnectionRefusedCount":0,"HTTPCode4XXCount":0,"HTTPCode5XXCount":0,"OtherCount":0,"TimeoutCount":0,"UnknownHostCount":0},"SegmentsReceivedCount":100,"SegmentsRejectedCount":0,"SegmentsSentCount":0,"SegmentsSpilloverCount":0,"Timestamp":2.0}`
		first  = `{"BackendConnectionErrors":{"ConnectionRefusedCount":6,"HTTPCode4XXCount":7,"HTTPCode5XXCount":8,"OtherCount":10,"TimeoutCount":5,"UnknownHostCount":9},"SegmentsReceivedCount":1,"SegmentsRejectedCount":4,"SegmentsSentCount":2,"SegmentsSpilloverCount":3,"Timestamp":1.5}`
		head   = `{"Senders":[{"Count":2,"EC2InstanceId":null,"FirstSeen":1.7953560005E9,"Host":"10.0.0.7","Hostname":"ho\"st","LastSeen":1.7953560005E9,"Latest":` + latest
		tail   = `,"ResourceARN":null,"Total":{"BackendConnectionErrors":{"ConnectionRefusedCount":6,"HTTPCode4XXCount":7,"HTTPCode5XXCount":8,"OtherCount":10,"TimeoutCount":5,"UnknownHostCount":9},"SegmentsReceivedCount":101,"SegmentsRejectedCount":4,"SegmentsSentCount":2,"SegmentsSpilloverCount":3}}]}`
	)
	for path, want := range map[string]string{
		"/api/telemetry":               head + tail,
		"/api/telemetry?records=false": head + tail,
		"/api/telemetry?records=true":  head + `,"Records":[` + latest + `,` + first + `]` + tail,
	} {
		if status, answer := f.do(t, "GET", path, "", nil); status != 200 || answer != want {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	if status, _ := f.do(t, "GET", "/api/telemetry?records=perhaps", "", nil); status != 400 {
		t.Errorf("records=perhaps: %d", status)
	}
	if status, _ := f.do(t, "POST", "/api/telemetry", "", nil); status != 405 {
		t.Errorf("POST: %d", status)
	}
}
