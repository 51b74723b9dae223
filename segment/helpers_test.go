package segment

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// describe tells two entities apart: what differs between them, "" when nothing
// does. Parts compare as they are written again, and of nested subsegments the
// parent_id does not count, since the service does not give it back.
func describe(a, b *Segment) string {
	var diffs []string
	add := func(name string, x, y any) {
		if x != y {
			diffs = append(diffs, fmt.Sprintf("%s: %v, %v", name, x, y))
		}
	}
	add("Kind", a.Kind, b.Kind)
	add("TraceID", a.TraceID, b.TraceID)
	add("ID", a.ID, b.ID)
	if a.Kind != KindNested {
		add("ParentID", a.ParentID, b.ParentID)
		add("HasParent", a.HasParent, b.HasParent)
	}
	add("Name", a.Name, b.Name)
	add("StartTime", a.StartTime, b.StartTime)
	add("EndTime", a.EndTime, b.EndTime)
	add("InProgress", a.InProgress, b.InProgress)
	add("Error", a.Error, b.Error)
	add("Fault", a.Fault, b.Fault)
	add("Throttle", a.Throttle, b.Throttle)
	add("Inferred", a.Inferred, b.Inferred)
	add("Namespace", a.Namespace, b.Namespace)
	add("Origin", a.Origin, b.Origin)
	add("User", a.User, b.User)
	add("ResourceARN", a.ResourceARN, b.ResourceARN)
	part := func(name string, x, y Raw, where place) {
		add(name+" absent", x == nil, y == nil)
		add(name, string(appendRaw(nil, x, where)), string(appendRaw(nil, y, where)))
	}
	part("HTTP", a.HTTP, b.HTTP, inHTTP)
	part("AWS", a.AWS, b.AWS, plain)
	part("Service", a.Service, b.Service, plain)
	part("SQL", a.SQL, b.SQL, plain)
	part("Cause", a.Cause, b.Cause, inCause)
	part("Annotations", a.Annotations, b.Annotations, plain)
	part("Metadata", a.Metadata, b.Metadata, plain)
	part("Links", a.Links, b.Links, plain)
	part("PrecursorIDs", a.PrecursorIDs, b.PrecursorIDs, plain)
	add("Subsegments", len(a.Subsegments), len(b.Subsegments))
	if len(a.Subsegments) == len(b.Subsegments) {
		for i := range a.Subsegments {
			if d := describe(a.Subsegments[i], b.Subsegments[i]); d != "" {
				diffs = append(diffs, fmt.Sprintf("Subsegments[%d]: %s", i, d))
			}
		}
	}
	return strings.Join(diffs, "; ")
}

// requireRoundTrip checks what must hold for every document that Parse accepts:
// it is written as strict JSON, read back it is the same, and written again it
// is the same text.
func requireRoundTrip(t *testing.T, s *Segment) {
	t.Helper()
	out := s.AppendDocument(nil)
	if !json.Valid(out) {
		t.Fatalf("encoding/json refuses what was written: %q", out)
	}
	if !utf8.Valid(out) {
		t.Fatalf("what was written is not UTF-8: %q", out)
	}
	again, err := Parse(out, Limits{DocumentBytes: maxDocumentBytes, Depth: maxDepth})
	if err != nil {
		t.Fatalf("what was written is refused: %v\n%q", *err.(*Refusal), out)
	}
	if d := describe(s, again); d != "" {
		t.Fatalf("read back it differs: %s\n%q", d, out)
	}
	if twice := again.AppendDocument(nil); !bytes.Equal(out, twice) {
		t.Fatalf("written twice it differs:\n%q\n%q", out, twice)
	}
	if prefixed := s.AppendDocument([]byte("before")); string(prefixed) != "before"+string(out) {
		t.Fatalf("appended to other text it differs:\n%q\n%q", prefixed, out)
	}
}

// parse parses a document that must be accepted.
func parse(t *testing.T, doc string) *Segment {
	t.Helper()
	s, err := Parse([]byte(doc), Limits{})
	if err != nil {
		t.Fatalf("refused: %+v\n%s", *err.(*Refusal), doc)
	}
	return s
}

// refusal parses a document that must be refused.
func refusal(t *testing.T, doc string, lim Limits) *Refusal {
	t.Helper()
	s, err := Parse([]byte(doc), lim)
	if err == nil {
		t.Fatalf("accepted: %s", s.AppendDocument(nil))
	}
	return err.(*Refusal)
}
