package webapi_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type columns struct {
	head struct {
		ID       string `json:"Id"`
		Revision int
		Duration *float64
		Entries  int
		Texts    []string
		Services []struct{ Name, Type string }
		Requests []struct {
			Entry       int
			Method, URL string
			Status      *float64
			User        string
		}
		Links []struct {
			Entry     int
			TraceID   string `json:"TraceId"`
			ID        string `json:"Id"`
			Reference string
			Received  *float64
			Dwelt     *float64
		}
	}
	ids, ups                    []uint64
	starts, ends                []float64
	parents, names, details, of []uint32
	marks                       []uint16
}

// readColumns reads columns as docs/api.md describes them, and nothing may be left.
func readColumns(t *testing.T, data []byte) *columns {
	t.Helper()
	le := binary.LittleEndian
	size := le.Uint32(data)
	if (size+4)%8 != 0 {
		t.Errorf("arrays begin at %d", size+4)
	}
	var c columns
	if err := json.Unmarshal(data[4:4+size], &c.head); err != nil {
		t.Fatalf("%v: %s", err, data[4:4+size])
	}
	data = data[4+size:]
	n := c.head.Entries
	take := func(width int) (part []byte) {
		part, data = data[:n*width], data[n*width:]
		return part
	}
	u64 := func() (out []uint64) {
		for part := take(8); len(part) > 0; part = part[8:] {
			out = append(out, le.Uint64(part))
		}
		return out
	}
	u32 := func() (out []uint32) {
		for part := take(4); len(part) > 0; part = part[4:] {
			out = append(out, le.Uint32(part))
		}
		return out
	}
	floats := func() (out []float64) {
		for _, bits := range u64() {
			out = append(out, math.Float64frombits(bits))
		}
		return out
	}
	c.ids, c.ups, c.starts, c.ends = u64(), u64(), floats(), floats()
	c.parents, c.names, c.details, c.of = u32(), u32(), u32(), u32()
	for part := take(2); len(part) > 0; part = part[2:] {
		c.marks = append(c.marks, le.Uint16(part))
	}
	if len(data) > 0 {
		t.Errorf("%d bytes are left", len(data))
	}
	return &c
}

func (f *fixture) raw(t *testing.T, path, header, value string) (*http.Response, []byte) {
	t.Helper()
	req, _ := http.NewRequest(http.MethodGet, f.URL+path, nil)
	if header != "" {
		req.Header.Set(header, value)
	}
	resp, err := f.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, data
}

const (
	shopTrace = "1-6ab38001-00000000000000000000aaaa"
	shopRoot  = `{"trace_id":"` + shopTrace + `","id":"00000000000000a1","name":"shop","start_time":1795355000,"end_time":1795355002,"fault":true,"user":"ada",
 "http":{"request":{"method":"POST","url":"https://shop.example/orders?x=1#frag"},"response":{"status":502}},"annotations":{"tenant":"acme"},
 "links":[{"trace_id":"1-6ab38001-00000000000000000000bbbb","id":"00000000000000b1","attributes":{"aws.xray.reserved.reference_type":"parent","aws.xray.reserved.received_event_end_time":1795354990.5,"aws.xray.reserved.dwell_end_time":1795355000}},{"trace_id":"nonsense"},7],
 "subsegments":[{"id":"00000000000000a2","name":"DynamoDB","namespace":"aws","start_time":1795355000.5,"end_time":1795355001,"aws":{"operation":"GetItem","table_name":"carts"},
   "subsegments":[{"id":"00000000000000a4","name":"marshal","start_time":1795355000.5,"end_time":1795355000.6,"metadata":{"notes":{"note":"Needle in here"}}}]},
  {"id":"00000000000000a3","name":"db","namespace":"remote","start_time":1795355001,"in_progress":true,"sql":{"sanitized_query":"SELECT *\n  FROM   orders"},"cause":{"exceptions":[{"id":"00000000000000e1","message":"timeout"}]}}]}`
	shopAnswer = `{"trace_id":"` + shopTrace + `","id":"00000000000000a9","name":"orphan","type":"subsegment","parent_id":"00000000000000ff","start_time":1795355000,"end_time":1795355001}`
)

func TestColumns(t *testing.T) {
	f := serve(t)
	f.put(t, shopRoot)
	f.put(t, shopAnswer)
	resp, data := f.raw(t, "/api/traces/"+shopTrace+"/columns", "", "")
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/octet-stream" {
		t.Fatalf("%d %s", resp.StatusCode, data)
	}
	c := readColumns(t, data)
	text := func(n uint32) string { return c.head.Texts[n] }
	var lines []string
	for i := range c.ids {
		service := "-"
		if c.of[i] != math.MaxUint32 {
			s := c.head.Services[c.of[i]]
			service = s.Name + "/" + s.Type
		}
		lines = append(lines, fmt.Sprintf("%x up=%x parent=%d %.1f..%.1f %q %q %s %#x", c.ids[i], c.ups[i], int32(c.parents[i]), c.starts[i]-1795355000, c.ends[i]-1795355000, text(c.names[i]), text(c.details[i]), service, c.marks[i]))
	}
	// Everything but the inferred callees, whose ids are made up.
	var got []string
	inferred := 0
	for i, line := range lines {
		if c.marks[i]&16 != 0 {
			inferred++
			if c.ups[i] != 0xa2 || c.head.Services[c.of[i]].Name != "carts" {
				t.Errorf("an inferred callee: %s", line)
			}
			continue
		}
		got = append(got, line)
	}
	want := []string{
		`a1 up=0 parent=-1 0.0..2.0 "shop" "POST /orders?x=1 · 502" shop/ 0x1842`,
		`a2 up=0 parent=0 0.5..1.0 "DynamoDB" "GetItem carts" - 0x100`,
		`a4 up=0 parent=1 0.5..0.6 "marshal" "" - 0x0`,
		`a3 up=0 parent=0 1.0..NaN "db" "SELECT * FROM orders" - 0x688`,
		`a9 up=ff parent=-1 0.0..1.0 "orphan" "" orphan/ 0x20`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") || inferred != 1 {
		t.Errorf("got\n%s\nwant\n%s\nand %d inferred", strings.Join(got, "\n"), strings.Join(want, "\n"), inferred)
	}
	if r := c.head.Requests; len(r) != 1 || r[0].Entry != 0 || r[0].Method != "POST" || r[0].URL != "https://shop.example/orders?x=1#frag" || *r[0].Status != 502 || r[0].User != "ada" {
		t.Errorf("requests %+v", c.head.Requests)
	}
	if l := c.head.Links; len(l) != 1 || l[0].Entry != 0 || l[0].TraceID != "1-6ab38001-00000000000000000000bbbb" || l[0].ID != "00000000000000b1" || l[0].Reference != "parent" || *l[0].Received != 1795354990.5 || *l[0].Dwelt != 1795355000 {
		t.Errorf("links %+v", c.head.Links)
	}
	if c.head.ID != shopTrace || *c.head.Duration != 2 || c.head.Revision != 2 {
		t.Errorf("head %+v", c.head)
	}

	// Who has it already need not read it again, until it changes.
	tag := resp.Header.Get("ETag")
	if resp, data := f.raw(t, "/api/traces/"+shopTrace+"/columns", "If-None-Match", tag); resp.StatusCode != 304 || len(data) != 0 {
		t.Errorf("unchanged: %d, %d bytes", resp.StatusCode, len(data))
	}
	f.put(t, `{"trace_id":"`+shopTrace+`","id":"00000000000000c1","name":"later","parent_id":"00000000000000a2","start_time":1795355000,"end_time":1795355001}`)
	if resp, _ := f.raw(t, "/api/traces/"+shopTrace+"/columns", "If-None-Match", tag); resp.StatusCode != 200 || resp.Header.Get("ETag") == tag {
		t.Errorf("changed: %d", resp.StatusCode)
	}
}

// TestColumnsAreTheDocuments holds columns and entries against the documents.
func TestColumnsAreTheDocuments(t *testing.T) {
	f := serve(t)
	f.put(t, shopRoot)
	f.put(t, shopAnswer)
	_, whole := f.get(t, "/api/traces/"+shopTrace)
	type document map[string]any
	var trace struct{ Segments, Orphans []struct{ Document document } }
	if err := json.Unmarshal([]byte(whole), &trace); err != nil {
		t.Fatal(err)
	}
	want := make(map[string]document)
	var flatten func(d document)
	flatten = func(d document) {
		if subs, ok := d["subsegments"].([]any); ok {
			for _, s := range subs {
				flatten(s.(map[string]any))
			}
		}
		delete(d, "subsegments")
		want[d["id"].(string)] = d
	}
	for _, s := range append(trace.Segments, trace.Orphans...) {
		flatten(s.Document)
	}
	_, data := f.raw(t, "/api/traces/"+shopTrace+"/columns", "", "")
	c := readColumns(t, data)
	if len(c.ids) != len(want) {
		t.Errorf("%d entries, but %d documents", len(c.ids), len(want))
	}
	for _, id := range c.ids {
		id := fmt.Sprintf("%016x", id)
		status, got := f.get(t, "/api/traces/"+shopTrace+"/entries/"+id)
		text, _ := json.Marshal(want[id])
		var d document
		if err := json.Unmarshal([]byte(got), &d); err != nil {
			t.Fatal(err)
		}
		back, _ := json.Marshal(d)
		if status != 200 || string(back) != string(text) {
			t.Errorf("%s: %d %s\nwant %s", id, status, back, text)
		}
	}
	for path, want := range map[string]int{
		shopTrace + "/entries/00000000000000d0": 404, shopTrace + "/entries/x": 400, shopTrace + "/entries": 400, shopTrace + "/elsewhere": 404,
		"1-6ab38001-0000000000000000ffffffff/columns": 404, "nonsense/columns": 400, "1-6ab38001-0000000000000000ffffffff/entries/00000000000000d0": 404,
	} {
		if status, got := f.get(t, "/api/traces/"+path); status != want || !strings.HasPrefix(got, `{"Message":"`) {
			t.Errorf("%s: %d %s, want %d", path, status, got, want)
		}
	}
}

func TestFindInTrace(t *testing.T) {
	f := serve(t)
	f.put(t, shopRoot)
	f.put(t, shopAnswer)
	_, data := f.raw(t, "/api/traces/"+shopTrace+"/columns", "", "")
	c := readColumns(t, data)
	for text, want := range map[string]string{
		"needle": "a4", "NEEDLE+in": "a4", "timeout": "a3", "acme+ada": "a1", "getitem": "a2", "fault": "a1", "progress": "a3",
		"nothing": "", "orders": "a1,a3", "orphan": "a9", "%22id%22": "a1,a2,a4,a3,a9", "needle+acme": "", "shop+marshal": "a4",
	} {
		status, got := f.get(t, "/api/traces/"+shopTrace+"/find?text="+text)
		var answer struct {
			Revision, Entries int
			Matches           []byte
		}
		if err := json.Unmarshal([]byte(got), &answer); err != nil || status != 200 || answer.Entries != len(c.ids) || answer.Revision != c.head.Revision {
			t.Fatalf("%s: %d %s", text, status, got)
		}
		var found []string
		for i, id := range c.ids {
			if answer.Matches[i/8]&(1<<(i%8)) != 0 && c.marks[i]&16 == 0 {
				found = append(found, fmt.Sprintf("%x", id))
			}
		}
		if strings.Join(found, ",") != want {
			t.Errorf("%s: found %v, want %s", text, found, want)
		}
	}
	for _, query := range []string{"", "?text=", "?text=+", "?text=a&x=1", "?text=" + strings.Repeat("a+", 30)} {
		if status, got := f.get(t, "/api/traces/"+shopTrace+"/find"+query); status != 400 {
			t.Errorf("%s: %d %s", query, status, got)
		}
	}
}

// TestLinksAreFound finds traces by the traces that they have links to.
func TestLinksAreFound(t *testing.T) {
	f := serve(t)
	f.put(t, shopRoot)
	f.put(t, root)
	status, got := f.get(t, "/api/traces?filter="+`annotation%5Blink.trace_id%5D%20%3D%20%221-6ab38001-00000000000000000000bbbb%22`)
	if status != 200 || strings.Count(got, `"Id":"1-`) != 1 || !strings.Contains(got, shopTrace) {
		t.Errorf("%d %s", status, got)
	}
	if strings.Contains(got, "link.trace_id") {
		t.Errorf("a summary shows the link as an annotation: %s", got)
	}
}

func TestShape(t *testing.T) {
	f := serve(t)
	f.put(t, `{"trace_id":"`+shopTrace+`","id":"00000000000000a1","name":"shop","start_time":1795355000,"end_time":1795355002,"fault":true,
 "subsegments":[{"id":"00000000000000a2","name":"DynamoDB","namespace":"aws","start_time":1795355000.5,"end_time":1795355001.25,"aws":{"operation":"GetItem","table_name":"carts"}}]}`)
	_, got := f.get(t, "/api/traces?shape=true")
	var page struct {
		TraceSummaries []struct {
			Shape      [][4]float64
			ServiceIds []struct{ Name string }
		}
	}
	if err := json.Unmarshal([]byte(got), &page); err != nil || len(page.TraceSummaries) != 1 {
		t.Fatalf("%v %s", err, got)
	}
	s := page.TraceSummaries[0]
	if len(s.Shape) != 2 || s.Shape[0] != [4]float64{0, 0, 2, 2} || s.Shape[1][1] != 0.5 || s.Shape[1][2] != 0.75 || s.ServiceIds[int(s.Shape[1][0])].Name != "carts" {
		t.Errorf("%+v", s)
	}
	if _, got := f.get(t, "/api/traces"); strings.Contains(got, "Shape") {
		t.Errorf("not asked for: %s", got)
	}
	if status, _ := f.get(t, "/api/traces?shape=x"); status != 400 {
		t.Errorf("shape=x: %d", status)
	}
}

var rewrite = flag.Bool("rewrite", false, "write the files in testdata anew")

// TestColumnsGolden keeps a trace as documents and as columns, which the tests of the
// page read: both sides have to agree on the format.
func TestColumnsGolden(t *testing.T) {
	f := serve(t)
	f.put(t, shopRoot)
	f.put(t, shopAnswer)
	f.put(t, `{"trace_id":"`+shopTrace+`","id":"00000000000000c1","name":"called","origin":"AWS::ECS::Container","parent_id":"00000000000000a3","start_time":1795355001.1,"end_time":1795355001.9,"error":true,"throttle":true,"http":{"request":{"method":"GET","url":"http://db/x?y#z"}}}`)
	for file, path := range map[string]string{"columns.json": "", "columns.bin": "/columns"} {
		_, data := f.raw(t, "/api/traces/"+shopTrace+path, "", "")
		name := filepath.Join("testdata", file)
		if *rewrite {
			if err := os.WriteFile(name, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(data, want) {
			t.Errorf("%s is not what the server answers (%v); run with -rewrite and look at the difference", name, err)
		}
	}
}
