package trace

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/roentgen-io/roentgen/segment"
)

// parse reads one document that must be good.
func parse(t testing.TB, doc string) *segment.Segment {
	t.Helper()
	s, err := segment.Parse([]byte(doc), segment.Limits{})
	if err != nil {
		t.Fatalf("parse %s: %v", doc, err)
	}
	return s
}

// history collects the documents of puts as a store would.
type history struct {
	docs []Document
	put  uint64
}

// add appends one put. The receipt of put n is n*1000 unless received is given.
func (h *history) add(received int64, segments ...*segment.Segment) {
	h.put++
	if received == 0 {
		received = int64(h.put) * 1000
	}
	for _, s := range segments {
		h.docs = append(h.docs, Document{
			Seq:      uint64(len(h.docs) + 1),
			Put:      h.put,
			Received: received,
			Segment:  s,
		})
	}
}

// of returns the documents of one trace.
func (h *history) of(id segment.TraceID) []Document {
	var docs []Document
	for _, d := range h.docs {
		if d.Segment.TraceID == id {
			docs = append(docs, d)
		}
	}
	return docs
}

// TestGolden runs the histories under testdata. The commands:
//
//	new                      forget all documents
//	put [received=MS]        one put; the documents, one a line, beneath. In them 1-8-24 trace ids
//	                         and the key trace_id may be left out: T stands for the trace id used throughout
//	trace [orphans]          the trace as BatchGetTraces gives it, and its bookkeeping
//	tree                     what hangs where, without the documents
//	row                      the summary, zero values left out
//	causes                   the root causes alone
func TestGolden(t *testing.T) {
	datadriven.Walk(t, "testdata/golden", func(t *testing.T, path string) {
		var h history
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			const id = "1-5f84c7a1-6b1d0e0aa3c94f0d8b7e2f11"
			assembled := func() *Trace {
				tid, err := segment.ParseTraceID(id)
				if err != nil {
					t.Fatal(err)
				}
				return Assemble(tid, h.of(tid))
			}
			var out strings.Builder
			switch d.Cmd {
			case "new":
				h = history{}
			case "put":
				var received int64
				d.MaybeScanArgs(t, "received", &received)
				var segments []*segment.Segment
				for line := range strings.Lines(d.Input) {
					line = strings.TrimSpace(line)
					line = `{"trace_id":"` + id + `",` + strings.TrimPrefix(line, "{")
					segments = append(segments, parse(t, line))
				}
				h.add(received, segments...)
				if tr := assembled(); tr != nil {
					fmt.Fprintf(&out, "revision %d\n", tr.Revision)
				}
			case "trace":
				tr := assembled()
				printBooks(&out, tr)
				for _, doc := range tr.Documents(d.HasArg("orphans")) {
					if !json.Valid(doc.Document) {
						t.Errorf("%s: not JSON: %s", d.Pos, doc.Document)
					}
					if want := `{"id":"` + doc.ID + `"`; !strings.HasPrefix(string(doc.Document), want) {
						t.Errorf("%s: document does not begin with %s: %s", d.Pos, want, doc.Document)
					}
					text := strings.ReplaceAll(string(doc.Document), id, "T")
					fmt.Fprintf(&out, "%s\n", text)
				}
			case "tree":
				printTree(&out, assembled())
			case "row":
				row := assembled().Row()
				printRow(&out, row)
				checkCodec(t, row)
			case "causes":
				row := assembled().Row()
				printCauses(&out, row)
				checkCodec(t, row)
				if out.Len() == 0 {
					return "none\n"
				}
			default:
				t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
			}
			if out.Len() == 0 {
				return "ok\n"
			}
			return out.String()
		})
	})
}

func printBooks(out *strings.Builder, t *Trace) {
	duration := "null"
	if d, ok := t.Duration(); ok {
		duration = strconv.FormatFloat(d, 'f', -1, 64)
	}
	fmt.Fprintf(out, "duration %s, revision %d, changed %d, seq %d to %d\n",
		duration, t.Revision, t.Changed, t.FirstSeq, t.LastSeq)
}

func printTree(out *strings.Builder, t *Trace) {
	printBooks(out, t)
	var entity func(e *Entity, depth int)
	entity = func(e *Entity, depth int) {
		fmt.Fprintf(out, "%s%s %s", strings.Repeat("  ", depth), e.Segment.ID, e.Segment.Name)
		if e.Segment.InProgress {
			out.WriteString(" (in progress)")
		}
		fmt.Fprintf(out, " seq %d\n", e.Seq)
		for _, c := range e.Children {
			if c.Parent != e {
				out.WriteString("WRONG PARENT ")
			}
			entity(c, depth+1)
		}
	}
	for _, e := range t.Segments {
		entity(e, 0)
	}
	for _, s := range t.Inferred {
		fmt.Fprintf(out, "inferred: %s for %s\n", s.Name, s.ParentID)
	}
	for _, e := range t.Orphans {
		out.WriteString("orphan:\n")
		entity(e, 1)
	}
}

func printRow(out *strings.Builder, r *Row) {
	line := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	line("seq %d to %d, revision %d, changed %d, entities %d", r.FirstSeq, r.LastSeq, r.Revision, r.Changed, r.Entities)
	line("start %d, ends %v", r.Start, r.Ends)
	null := func(v float64, ok bool) string {
		if !ok {
			return "null"
		}
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	line("duration %s, response %s", null(r.Duration, r.HasDuration), null(r.ResponseTime, r.HasResponseTime))
	var flags []string
	for _, f := range []struct {
		name string
		on   bool
	}{
		{"error", r.HasError}, {"fault", r.HasFault}, {"throttle", r.HasThrottle}, {"partial", r.Partial},
		{"orphan-only", r.OrphanOnly}, {"in-progress", r.InProgress},
	} {
		if f.on {
			flags = append(flags, f.name)
		}
	}
	if flags != nil {
		line("flags: %s", strings.Join(flags, " "))
	}
	if r.Method != "" || r.URL != "" || r.UserAgent != "" || r.ClientIP != "" || r.Status != 0 {
		line("http: %q %q %q %q %d", r.Method, r.URL, r.UserAgent, r.ClientIP, r.Status)
	}
	service := func(s ServiceID) string { return fmt.Sprintf("%q %q %q", s.Name, s.Type, s.AccountID) }
	if r.HasRoot {
		line("root: %s", service(r.Root))
	}
	for _, s := range r.Services {
		line("service: %s", service(s))
	}
	for _, a := range r.Annotations {
		switch a.Type {
		case segment.TypeString:
			line("annotation: %q = %q", a.Key, a.String)
		case segment.TypeNumber:
			line("annotation: %q = %v", a.Key, a.Number)
		case segment.TypeBool:
			line("annotation: %q = %v", a.Key, a.Bool)
		}
	}
	for _, l := range []struct {
		name string
		list []string
	}{{"users", r.Users}, {"arns", r.ResourceARNs}, {"instances", r.InstanceIDs}, {"zones", r.Zones}} {
		if l.list != nil {
			line("%s: %q", l.name, l.list)
		}
	}
	entry := func(flags Flags, status int, end int64, duration float64, has bool, annotations []int) string {
		var b strings.Builder
		for i, name := range []string{"error", "fault", "throttle", "in-progress", "inferred", "root"} {
			if flags&(1<<i) != 0 {
				b.WriteString(" " + name)
			}
		}
		if status != 0 {
			fmt.Fprintf(&b, " %d", status)
		}
		if flags&FlagInProgress == 0 {
			fmt.Fprintf(&b, ", %s to %v", null(duration, has), float64(end)/1e9)
		}
		for _, i := range annotations {
			fmt.Fprintf(&b, ", %s", r.Annotations[i].Key)
		}
		return b.String()
	}
	for _, e := range r.Segments {
		line("segment: %d%s", e.Service, entry(e.Flags, e.Status, e.End, e.Duration, e.HasDuration, e.Annotations))
	}
	for _, e := range r.Calls {
		line("call: %d to %d%s", e.From, e.To, entry(e.Flags, e.Status, e.End, e.Duration, e.HasDuration, e.Annotations))
	}
	printCauses(out, r)
	if r.Cut {
		line("cut")
	}
}

func printCauses(out *strings.Builder, r *Row) {
	for _, c := range []struct {
		name string
		list []RootCause
	}{{"response time", r.ResponseTimeCauses}, {"fault", r.FaultCauses}, {"error", r.ErrorCauses}} {
		for _, cause := range c.list {
			fmt.Fprintf(out, "%s cause:%s\n", c.name, causeText(cause))
		}
	}
}

func causeText(c RootCause) string {
	var b strings.Builder
	if c.ClientImpacting {
		b.WriteString(" client")
	}
	for _, s := range c.Services {
		fmt.Fprintf(&b, " [%s", s.Service.Name)
		if s.Service.Type != "" {
			b.WriteString(" " + s.Service.Type)
		}
		if s.Inferred {
			b.WriteString(" inferred")
		}
		b.WriteString(":")
		for _, e := range s.Entities {
			b.WriteString(" " + e.Name)
			if e.Coverage != 0 {
				fmt.Fprintf(&b, " %v", e.Coverage)
			}
			if e.Remote {
				b.WriteString(" remote")
			}
			for _, x := range e.Exceptions {
				fmt.Fprintf(&b, " %s(%s)", x.Name, x.Message)
			}
			b.WriteString(",")
		}
		b.WriteString("]")
	}
	return b.String()
}
