package compat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// outline renders a trace for golden files: a line for each entity, indented by
// depth, with everything on it that is the same in every run. Siblings are
// sorted by their text, since the order of an answer means nothing.
func outline(t *testing.T, trace traceAnswer) string {
	t.Helper()
	names := make(map[string]string) // of subsegments, for the inferred segments
	var docs []object
	for _, s := range trace.Segments {
		v, err := parseJSON([]byte(s.Document))
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, v.(object))
		collect(v.(object), names)
	}
	var parts []string
	for _, doc := range docs {
		parts = append(parts, entityLines(doc, names, 0))
	}
	slices.Sort(parts)
	return strings.Join(parts, "")
}

func collect(doc object, names map[string]string) {
	names[doc["id"].(string)] = doc["name"].(string)
	subs, _ := doc["subsegments"].([]any)
	for _, sub := range subs {
		collect(sub.(object), names)
	}
}

// sameEveryRun replaces what depends on the run or on the machine.
var sameEveryRun = []struct {
	re *regexp.Regexp
	by string
}{
	{regexp.MustCompile(`127\.0\.0\.1:[0-9]+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`port=[0-9]+`), "port=PORT"},
	{regexp.MustCompile(`0x[0-9a-f]{6,}`), "0xADDRESS"},
}

// varying are the keys whose values are only noted as present.
var varying = map[string]bool{
	"id":    true, // of an exception
	"stack": true, "working_directory": true, "paths": true, "runtime_version": true, "database_version": true,
	"truncated": true, "skipped": true,
}

func entityLines(doc object, names map[string]string, depth int) string {
	var b strings.Builder
	indent := strings.Repeat("    ", depth)
	fmt.Fprintf(&b, "%s%s", indent, steady(doc["name"].(string)))
	if doc["inferred"] == true {
		fmt.Fprintf(&b, " (inferred for %s)", steady(names[doc["parent_id"].(string)]))
	} else if depth == 0 && doc["parent_id"] != nil {
		if caller, ok := names[doc["parent_id"].(string)]; ok {
			fmt.Fprintf(&b, " (called by %s)", steady(caller))
		} else {
			b.WriteString(" (called by somebody)")
		}
	}
	for _, flag := range []string{"in_progress", "error", "throttle", "fault"} {
		if v, ok := doc[flag]; ok {
			b.WriteString(" " + flag)
			if v != true {
				fmt.Fprintf(&b, "=%v", v)
			}
		}
	}
	b.WriteByte('\n')
	for _, key := range []string{"namespace", "origin", "user", "annotations", "metadata", "http", "aws", "sql", "service", "cause"} {
		if v, ok := doc[key]; ok {
			fmt.Fprintf(&b, "%s  %s: %s\n", indent, key, compact(v))
		}
	}
	subs, _ := doc["subsegments"].([]any)
	var parts []string
	for _, sub := range subs {
		parts = append(parts, entityLines(sub.(object), names, depth+1))
	}
	slices.Sort(parts)
	for _, part := range parts {
		b.WriteString(part)
	}
	return b.String()
}

func steady(text string) string {
	for _, s := range sameEveryRun {
		text = s.re.ReplaceAllString(text, s.by)
	}
	return text
}

// compact is v as JSON on one line, its varying parts replaced by "...".
func compact(v any) string {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(blank(v)); err != nil {
		return err.Error()
	}
	return steady(strings.TrimSuffix(out.String(), "\n"))
}

func blank(v any) any {
	switch v := v.(type) {
	case object:
		out := object{}
		for key, value := range v {
			if varying[key] {
				out[key] = "..."
			} else {
				out[key] = blank(value)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = blank(v[i])
		}
		return out
	}
	return v
}
