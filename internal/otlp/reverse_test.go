package otlp

import (
	"bytes"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/roentgen-io/roentgen/internal/sharedtest"
	"github.com/roentgen-io/roentgen/segment"
)

// flatten calls fn for a segment and all that it nests.
func flatten(s *segment.Segment, parent *segment.Segment, fn func(s, parent *segment.Segment)) {
	fn(s, parent)
	for _, sub := range s.Subsegments {
		flatten(sub, s, fn)
	}
}

// there returns a document as a request.
func there(doc *segment.Segment) []byte {
	return AppendTraces(nil, AppendDocumentSpans(nil, nil, doc))
}

// TestThereAndBack turns every document of the corpus into spans and these into
// segments again, and compares what both forms can say.
func TestThereAndBack(t *testing.T) {
	root := sharedtest.Path(t, "corpus")
	documents, entities := 0, 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".json") && !strings.HasSuffix(path, ".jsonl") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for part := range bytes.SplitSeq(text, []byte("\n")) {
			if !strings.HasSuffix(path, ".jsonl") {
				part = text
			}
			if s := segment.Raw(bytes.TrimSpace(part)); s.Type() == segment.TypeString { // a datagram
				_, body, _ := strings.Cut(s.String(), "\n")
				part = []byte(body)
			}
			if doc, err := segment.Parse(part, segment.Limits{}); err == nil && doc.ID != 0 && !doc.TraceID.IsZero() {
				documents++
				entities += requireThereAndBack(t, path, doc)
			}
			if !strings.HasSuffix(path, ".jsonl") {
				break
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if documents < 50 || entities < 150 {
		t.Errorf("only %d documents and %d entities were found", documents, entities)
	}
	t.Logf("%d documents, %d entities", documents, entities)
}

func requireThereAndBack(t *testing.T, path string, doc *segment.Segment) (entities int) {
	t.Helper()
	request := there(doc)
	if err := proto.Unmarshal(request, &traces.TracesData{}); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	var wants []*segment.Segment
	flatten(doc, nil, func(s, _ *segment.Segment) { wants = append(wants, s) })
	var m Mapping
	for i, sp := range collect(t, request) {
		want := wants[i]
		if want.ID == 0 {
			continue // OpenTelemetry has no such id
		}
		src, err := m.Source(sp.Source)
		if err != nil {
			t.Fatal(err)
		}
		var s Span
		if err := ParseSpan(sp.Span, &s); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		got := m.Segments(src, &s)[0]
		entities++
		fail := func(what string, got, want any) {
			t.Helper()
			t.Errorf("%s: %s %s: %s is %v, want %v", filepath.Base(path), want, wants[i].Name, what, got, want)
		}
		if got.ID != want.ID || got.TraceID != doc.TraceID {
			fail("id", got.ID, want.ID)
		}
		if got.Name != cleanName(want.Name) && got.Name != want.Name {
			fail("name", got.Name, want.Name)
		}
		near := func(a, b float64) bool { return math.Abs(a-max(b, 0)) < 2e-6 }
		if !near(got.StartTime, want.StartTime) || got.InProgress != want.InProgress || !want.InProgress && !near(got.EndTime, want.EndTime) {
			fail("time", got.StartTime, want.StartTime)
		}
		if want.Kind == segment.KindSegment && got.Kind != segment.KindSegment {
			fail("kind", got.Kind, want.Kind)
		}
		if want.Kind != segment.KindSegment && (got.Kind != segment.KindSubsegment || got.Namespace != want.Namespace && want.Namespace != "local") {
			fail("namespace", got.Namespace, want.Namespace)
		}
		if want.Fault.True() != got.Fault.True() || want.Error.True() != got.Error.True() || want.Throttle.True() != got.Throttle.True() {
			told := want.Fault.True() || want.Error.True() || want.Throttle.True()
			if told { // otherwise the status of the answer tells more than the flags
				fail("flags", []segment.Flag{got.Error, got.Fault, got.Throttle}, []segment.Flag{want.Error, want.Fault, want.Throttle})
			}
		}
		if got.User != want.User {
			fail("user", got.User, want.User)
		}
		for _, keys := range [][]string{{"request", "method"}, {"request", "url"}, {"request", "user_agent"}, {"response", "status"}} {
			if g, w := got.HTTP.Get(keys...), want.HTTP.Get(keys...); w.String() != g.String() {
				fail(strings.Join(keys, "."), g, w)
			}
		}
		for _, key := range []string{"operation", "region", "request_id", "queue_url", "table_name"} {
			if g, w := got.AWS.Get(key).String(), want.AWS.Get(key).String(); g != w {
				fail(key, g, w)
			}
		}
		if g, w := got.SQL.Get("sanitized_query").String(), want.SQL.Get("sanitized_query").String(); g != w && got.SQL != nil {
			fail("query", g, w)
		}
		want.Annotations.Members(func(key string, v segment.Raw) bool {
			if g := got.Annotations.Get(key); g.String() != v.String() || g.Type() != v.Type() && v.Type() != segment.TypeNull {
				fail("annotation "+key, string(g), string(v))
			}
			return true
		})
		if want.Metadata.Type() == segment.TypeObject {
			want.Metadata.Members(func(space string, v segment.Raw) bool {
				if v.Type() == segment.TypeObject && !strings.EqualFold(space, "default") {
					if g := got.Metadata.Get(space); !bytes.Equal(g.AppendTo(nil), v.AppendTo(nil)) {
						fail("metadata "+space, string(g), string(v))
					}
				}
				return true
			})
		}
		var wantThrown, gotThrown []string
		thrown := func(list *[]string) func(segment.Raw) bool {
			return func(e segment.Raw) bool {
				*list = append(*list, e.Get("type").String()+"|"+e.Get("message").String())
				return true
			}
		}
		want.Cause.Get("exceptions").Elements(thrown(&wantThrown))
		got.Cause.Get("exceptions").Elements(thrown(&gotThrown))
		if len(wantThrown) > 0 && strings.Join(gotThrown, "\n") != strings.Join(wantThrown, "\n") {
			fail("exceptions", gotThrown, wantThrown)
		}
		links := 0
		want.Links.Elements(func(l segment.Raw) bool {
			if _, err := segment.ParseAnyTraceID(l.Get("trace_id").String()); err == nil {
				links++
			}
			return true
		})
		got.Links.Elements(func(segment.Raw) bool { links--; return true })
		if links != 0 {
			fail("links", string(got.Links), string(want.Links))
		}
	}
	return entities
}

// TestWhereItRan turns what a segment tells of its platform into a resource and back.
func TestWhereItRan(t *testing.T) {
	for _, c := range []struct{ members, origin, aws string }{
		{`"origin":"AWS::ElasticBeanstalk::Environment","aws":{"elastic_beanstalk":{"environment_name":"stall","version_label":"v3","deployment_id":32}}`,
			"AWS::ElasticBeanstalk::Environment", `{"environment_name":"stall","version_label":"v3","deployment_id":32}`},
		{`"origin":"AWS::ECS::Fargate","aws":{"ecs":{"container":"stall"}}`, "AWS::ECS::Fargate", `{"container":"stall","launch_type":"fargate"}`},
		{`"origin":"AWS::ECS::EC2","aws":{"xray":{"sdk":"X"}}`, "AWS::ECS::EC2", `{"launch_type":"ec2"}`},
		{`"origin":"AWS::ECS::Container","aws":{"ecs":{"container":"stall"}}`, "AWS::ECS::Container", `{"container":"stall"}`},
		{`"origin":"AWS::EC2::Instance","aws":{"ec2":{"instance_id":"i-5","availability_zone":"z"}}`, "AWS::EC2::Instance", `{"instance_id":"i-5","availability_zone":"z","instance_size":null,"ami_id":null}`},
		{`"origin":"AWS::EKS::Container","aws":{"eks":{"cluster_name":"c","pod":"p"}}`, "AWS::EKS::Container", `{"cluster_name":"c","pod":"p","container_id":null}`},
	} {
		doc, err := segment.Parse([]byte(`{"trace_id":"1-58406520-a006649127e371903a2de979","id":"00000000000000aa","name":"stall","start_time":1,"end_time":2,`+c.members+`}`), segment.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		var m Mapping
		src, err := m.Source(AppendSource(nil, doc))
		if err != nil {
			t.Fatal(err)
		}
		got := m.Segment(src, &Span{TraceID: doc.TraceID, ID: doc.ID, Kind: KindServer}, true)
		if got.Origin != c.origin || !strings.Contains(string(got.AWS), c.aws) {
			t.Errorf("%s: origin %q and aws %s", c.members, got.Origin, got.AWS)
		}
	}
}
