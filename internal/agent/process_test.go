package agent

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/segment"
)

// doc makes a document with more members.
func doc(members string) string {
	text := `{"trace_id":"1-67412345-aaaaaaaaaaaaaaaaaaaaaaaa","id":"1111111111111111","name":"desk","start_time":1,"end_time":2`
	if members != "" {
		text += "," + members
	}
	return text + "}"
}

func TestRules(t *testing.T) {
	whole := func(field string) []RuleConfig { return []RuleConfig{{Redact: &FieldConfig{Field: field}}} }
	for _, test := range []struct {
		name  string
		rules []RuleConfig
		in    string
		want  string // "": dropped
	}{
		{"drop", []RuleConfig{{Drop: `http.url CONTAINS "/health"`}}, doc(`"http":{"request":{"url":"http://x/health"}}`), ""},
		{"not dropped", []RuleConfig{{Drop: `http.url CONTAINS "/health"`}}, doc(`"http":{"request":{"url":"http://x/pay"}}`), doc(`"http":{"request":{"url":"http://x/pay"}}`)},
		{"keep", []RuleConfig{{Keep: `annotation.tier = "gold"`}}, doc(`"annotations":{"tier":"gold"}`), doc(`"annotations":{"tier":"gold"}`)},
		{"not kept", []RuleConfig{{Keep: `annotation.tier = "gold"`}}, doc(""), ""},
		{"drop by service", []RuleConfig{{Drop: `service("desk") { fault }`}}, doc(`"fault":true`), ""},
		{"redact", whole("user"), doc(`"user":"jane"`), doc(`"user":"[redacted]"`)},
		{"redact deep", whole("metadata.**.password"), doc(`"metadata":{"a":{"b":[{"password":"x","c":1}],"password":7}}`), doc(`"metadata":{"a":{"b":[{"password":"[redacted]","c":1}],"password":"[redacted]"}}`)},
		{"redact anywhere", whole("**.password"), doc(`"password":"a","metadata":{"password":{"x":1}}`), doc(`"password":"[redacted]","metadata":{"password":"[redacted]"}`)},
		{"redact any name", whole("annotations.*"), doc(`"annotations":{"a":1,"b":true}`), doc(`"annotations":{"a":"[redacted]","b":"[redacted]"}`)},
		{"in subsegments", whole("http.request.url"), doc(`"subsegments":[{"id":"2222222222222222","name":"x","start_time":1,"end_time":2,"http":{"request":{"url":"secret"}}}]`),
			doc(`"subsegments":[{"id":"2222222222222222","name":"x","start_time":1,"end_time":2,"http":{"request":{"url":"[redacted]"}}}]`)},
		{"ids stay", whole("*"), doc(`"user":"jane"`), strings.ReplaceAll(doc(`"user":"[redacted]"`), `"name":"desk"`, `"name":"[redacted]"`)},
		{"pattern", []RuleConfig{{Redact: &FieldConfig{Field: "http.request.url", Pattern: `token=[^&]*`, With: "token=x"}}},
			doc(`"http":{"request":{"url":"http://x/?token=\u0061bc&n=1"}}`), doc(`"http":{"request":{"url":"http://x/?token=x&n=1"}}`)},
		{"pattern in an array", []RuleConfig{{Redact: &FieldConfig{Field: "metadata.list", Pattern: `\d+`, With: "#"}}}, doc(`"metadata":{"list":["a1",2,["b22"],{"c":"3"}]}`), doc(`"metadata":{"list":["a#",2,["b#"],{"c":"3"}]}`)},
		{"hash", []RuleConfig{{Hash: &FieldConfig{Field: "user", Key: "k"}}}, doc(`"user":"jane"`), doc(`"user":"` + hashed("k")("jane") + `"`)},
		{"annotate", []RuleConfig{{Annotate: map[string]any{"env": "prod", "n": 3}}}, doc(`"annotations":{"env":"own"}`), doc(`"annotations":{"env":"own","n":3}`)},
		{"annotate where there are none", []RuleConfig{{Annotate: map[string]any{"env": "prod"}}}, doc(`"user":"j"`), doc(`"user":"j","annotations":{"env":"prod"}`)},
		{"annotate where they are empty", []RuleConfig{{Annotate: map[string]any{"env": "prod"}}}, doc(`"annotations":{ },"user":"j"`), doc(`"user":"j","annotations":{"env":"prod"}`)},
		{"one after the other", []RuleConfig{{Annotate: map[string]any{"env": "test"}}, {Drop: `annotation.env = "test"`}}, doc(""), ""},
		{"what cannot be read is dropped by a rule that changes", whole("user"), `{"user":"jane"`, ""},
		{"and stays with one that does not", []RuleConfig{{Drop: "fault"}}, `{"user":"jane"`, `{"user":"jane"`},
		{"NaN", whole("user"), doc(`"user":"j","metadata":{"n":NaN,"m":-Infinity}`), doc(`"user":"[redacted]","metadata":{"n":NaN,"m":-Infinity}`)},
		{"white space", whole("user"), " {\"user\" : \"j\" ,\n " + doc("")[1:], `{"user":"[redacted]",` + doc("")[1:]},
	} {
		p, err := newProcessor(test.rules)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		before := strings.Clone(test.in)
		kept, dropped := p.apply([][]byte{[]byte(test.in)})
		got := ""
		if len(kept) > 0 {
			got = string(kept[0])
		}
		if got != test.want || dropped != 1-len(kept) || test.in != before {
			t.Errorf("%s: %d dropped, got\n%s\nwant\n%s", test.name, dropped, got, test.want)
		}
	}
}

func TestArraysAreTakenApart(t *testing.T) {
	p, err := newProcessor([]RuleConfig{{Drop: "fault"}})
	if err != nil {
		t.Fatal(err)
	}
	kept, dropped := p.apply([][]byte{[]byte("[" + doc("") + "," + doc(`"fault":true`) + "]")})
	if len(kept) != 1 || string(kept[0]) != doc("") || dropped != 1 {
		t.Errorf("%q, %d dropped", kept, dropped)
	}
}

func TestSampleByTrace(t *testing.T) {
	for _, rate := range []float64{0, 0.1, 0.5, 1} {
		p, err := newProcessor([]RuleConfig{{Sample: &rate}})
		if err != nil {
			t.Fatal(err)
		}
		kept := 0
		const n = 20_000
		for i := range n {
			text := []byte(document(i))
			k, _ := p.apply([][]byte{text})
			again, _ := p.apply([][]byte{text})
			if len(k) != len(again) {
				t.Fatal("two answers about one trace")
			}
			kept += len(k)
		}
		if got := float64(kept) / n; got < rate-0.015 || got > rate+0.015 {
			t.Errorf("rate %v keeps %v", rate, got)
		}
	}
}

func TestWrongRules(t *testing.T) {
	for want, r := range map[string]RuleConfig{
		"drop me":         {Drop: "drop me"},
		"is no path":      {Redact: &FieldConfig{Field: "a..b"}},
		"put together by": {Hash: &FieldConfig{Field: "trace_id"}},
		"missing closing": {Redact: &FieldConfig{Field: "a", Pattern: "("}},
		"no text, number": {Annotate: map[string]any{"a": []any{1}}},
		"exactly one":     {Drop: "fault", Keep: "error"},
	} {
		if _, err := newProcessor([]RuleConfig{r}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

// FuzzRules has rules that change documents work on any document: what comes out
// is a document again, of the same trace and id, and holds nothing that was to be
// redacted.
func FuzzRules(f *testing.F) {
	for _, members := range []string{"", `"user":"secret"`, `"metadata":{"a":[{"user":"secret"},[[]]],"n":NaN}`, `"annotations":null`, `"subsegments":[{"id":"2222222222222222","name":"x","start_time":1,"end_time":2,"user":"secret"}]`,
		`"user":{"a":"secret"},"us\u0065r":"secret"`, `"annotations":{"a":1},"annotations":{}`} {
		f.Add([]byte(doc(members)))
	}
	p, err := newProcessor([]RuleConfig{{Redact: &FieldConfig{Field: "**.user"}}, {Annotate: map[string]any{"env": "prod"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		in, err := segment.Parse(text, segment.Limits{})
		if err != nil {
			return
		}
		kept, _ := p.apply([][]byte{text})
		if len(kept) != 1 {
			t.Fatalf("%q was dropped", text)
		}
		out, err := segment.Parse(kept[0], segment.Limits{})
		if err != nil {
			t.Fatalf("%q became %q: %v", text, kept[0], err)
		}
		if out.TraceID != in.TraceID || out.ID != in.ID || out.StartTime != in.StartTime || len(out.Subsegments) != len(in.Subsegments) || out.Kind != in.Kind {
			t.Fatalf("%q became %q", text, kept[0])
		}
		if out.Annotations.Get("env") == nil {
			t.Fatalf("%q became %q, without the annotation", text, kept[0])
		}
		var any map[string]any
		if json.Unmarshal(kept[0], &any) == nil {
			if found := find(any); found != "" {
				t.Fatalf("%q became %q, with %s", text, kept[0], found)
			}
		}
	})
}

// find returns a member "user" that was not redacted.
func find(v any) string {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if k == "user" && !reflect.DeepEqual(x, "[redacted]") {
				return fmt.Sprint(x)
			}
			if s := find(x); s != "" {
				return s
			}
		}
	case []any:
		for _, x := range v {
			if s := find(x); s != "" {
				return s
			}
		}
	}
	return ""
}
