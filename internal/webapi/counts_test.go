package webapi_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"testing"
)

type counts struct {
	Traces, Failed, Examined int
	NextToken                *string
	Cells                    [][4]int
	Facets                   []struct {
		Key      string
		Distinct int
		Values   []struct {
			Value         any
			Count, Failed int
			Series        []int
			Steps         [][2]int
		}
	}
	Partial bool
	Message string
}

func (f *fixture) counts(t *testing.T, query string) (int, counts) {
	t.Helper()
	status, text := f.get(t, "/api/counts"+query)
	var c counts
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return status, c
}

func TestCounts(t *testing.T) {
	f := serve(t)
	// Ten traces, a minute apart from 1795355000 on: the k-th takes 10^(k%3) ms, every fifth fails.
	for k := range 10 {
		start := 1795355000 + 60*k
		took := []string{".001", ".01", ".1"}[k%3]
		f.put(t, fmt.Sprintf(`{"trace_id":"1-%08x-%024x","id":"%016x","name":"api-%d","start_time":%d,"end_time":%d%s,"user":"u",%s"annotations":{"tenant":"t%d","size":%d,"vip":true},"http":{"request":{"method":"GET"},"response":{"status":%d}}}`,
			start, k, k+1, k%2, start, start, took, map[bool]string{true: `"fault":true,`}[k%5 == 0], k%3, k%2, 200+300*map[bool]int{true: 1}[k%5 == 0]))
	}
	// One that is not over has no duration, and no cell.
	f.put(t, `{"trace_id":"1-6ab38001-0000000000000000000000ff","id":"00000000000000ff","name":"slow","start_time":1795355599,"in_progress":true}`)
	status, c := f.counts(t, "?start=1795355000&end=1795355600&columns=10")
	if status != 200 || c.Traces != 11 || c.Failed != 2 || c.Examined != 11 || c.NextToken != nil || c.Partial {
		t.Errorf("%d %+v", status, c)
	}
	var cells [][4]int
	for k := range 10 {
		failed := 0
		if k%5 == 0 {
			failed = 1
		}
		cells = append(cells, [4]int{k, 12 + 12*(k%3), 1, failed}) // 1 ms is the end of the first power of ten
	}
	if !reflect.DeepEqual(c.Cells, cells) {
		t.Errorf("cells %v\nwant  %v", c.Cells, cells)
	}
	facets := make(map[string]map[any]int)
	for _, v := range c.Facets {
		facets[v.Key] = make(map[any]int)
		for _, x := range v.Values {
			facets[v.Key][x.Value] = x.Count
			sum := 0
			for _, n := range x.Series {
				sum += n
			}
			if len(x.Series) != 24 || sum != x.Count {
				t.Errorf("%s %v: series %v", v.Key, x.Value, x.Series)
			}
			if v.Key == "outcome" && x.Value == "fault" && (x.Failed != 2 || x.Series[0] != 1 || x.Series[12] != 1) {
				t.Errorf("faults: %+v", x)
			}
		}
	}
	want := map[string]map[any]int{
		"outcome": {"ok": 9, "fault": 2}, "service": {"api-0": 5, "api-1": 5, "slow": 1}, "entry": {"api-0": 5, "api-1": 5, "slow": 1},
		"status": {200.0: 8, 500.0: 2}, "method": {"GET": 10}, "user": {"u": 10},
		"annotation.tenant": {"t0": 4, "t1": 3, "t2": 3}, "annotation.size": {0.0: 5, 1.0: 5}, "annotation.vip": {true: 10},
	}
	if !reflect.DeepEqual(facets, want) {
		t.Errorf("facets %v\nwant   %v", facets, want)
	}
	if _, c := f.counts(t, "?start=1795355000&end=1795355600&filter="+url.QueryEscape(`annotation.tenant = "t0" AND fault`)); c.Traces != 1 || c.Failed != 1 || c.Examined != 11 {
		t.Errorf("filtered: %+v", c)
	}
	if _, c := f.counts(t, "?start=1795355000&end=1795355600&key=status&key=annotation.tenant&values=1"); len(c.Facets) != 2 || len(c.Facets[0].Values) != 1 || c.Facets[0].Distinct != 3 ||
		!reflect.DeepEqual(c.Facets[0].Values[0].Steps, [][2]int{{12, 4}}) {
		t.Errorf("two keys: %+v", c)
	}
	// Values are looked for among all that were counted, not among those that are listed.
	if _, c := f.counts(t, "?start=1795355000&end=1795355600&values=1&find=LO"); c.Traces != 11 || len(c.Facets) != 2 ||
		c.Facets[0].Key != "entry" || c.Facets[0].Distinct != 1 || c.Facets[0].Values[0].Value != "slow" || c.Facets[1].Key != "service" {
		t.Errorf("looked for: %+v", c)
	}
	if _, c := f.counts(t, "?start=1795355000&end=1795355600&values=1&find=t"); len(c.Facets) != 4 || c.Facets[0].Key != "annotation.tenant" || c.Facets[0].Distinct != 3 || len(c.Facets[0].Values) != 1 {
		t.Errorf("more found than listed: %+v", c)
	}
	if _, c := f.counts(t, "?start=1795355000&end=1795355000"); c.Traces != 0 || c.Cells == nil || c.Facets == nil {
		t.Errorf("an empty window: %+v", c)
	}
	for _, query := range []string{"?start=x", "?start=2&end=1", "?columns=0", "?columns=481", "?values=501", "?filter=madeup", "?token=x", "?limit=1"} {
		if status, c := f.counts(t, query); status != 400 || c.Message == "" {
			t.Errorf("%s: %d %+v", query, status, c)
		}
	}
}
