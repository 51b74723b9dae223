package segment

import (
	"errors"
	"strings"
	"testing"
)

const someTraceparent = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"

func TestTraceparent(t *testing.T) {
	for _, c := range []struct{ traceparent, header, back string }{
		{someTraceparent, "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1", someTraceparent},
		{" " + someTraceparent[:53] + "00\t", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0", someTraceparent[:53] + "00"},
		{someTraceparent[:53] + "03", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1", someTraceparent},
		{"cc" + someTraceparent[2:] + "-what-comes", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1", someTraceparent},
	} {
		h, err := ParseTraceparent(c.traceparent)
		if err != nil || h.String() != c.header {
			t.Errorf("%q is read as %q, %v; want %q", c.traceparent, h, err, c.header)
			continue
		}
		same, err := ParseTraceHeader(h.String())
		if err != nil {
			t.Error(err)
		}
		if back, err := same.Traceparent(); err != nil || back != c.back {
			t.Errorf("%q comes back as %q, %v; want %q", c.traceparent, back, err, c.back)
		}
	}
	for _, s := range []string{
		"", "00", someTraceparent[:54], someTraceparent + "-", someTraceparent + "00", "ff" + someTraceparent[2:], "01" + someTraceparent[2:] + "x",
		strings.ToUpper(someTraceparent), strings.Replace(someTraceparent, "-5", "_5", 1), strings.Replace(someTraceparent, "bd86", "bx86", 1),
		"0x" + someTraceparent[2:], someTraceparent[:53] + "zz",
		"00-00000000000000000000000000000000-53995c3f42cd8ad8-01", "00-5759e988bd862e3fe1be46a994272793-0000000000000000-01",
	} {
		if h, err := ParseTraceparent(s); !errors.Is(err, ErrTraceparent) {
			t.Errorf("%q is read as %v, %v", s, h, err)
		}
	}
	id, _ := ParseTraceID("1-5759e988-bd862e3fe1be46a994272793")
	for _, h := range []TraceHeader{{}, {Root: id}, {Root: id, Parent: 1}, {Root: id, HasParent: true}, {Parent: 1, HasParent: true}} {
		if s, err := h.Traceparent(); !errors.Is(err, ErrTraceparent) {
			t.Errorf("%+v gives %q, %v", h, s, err)
		}
	}
	for sampled, want := range map[Sampled]string{SampledUnknown: "00", SampledNo: "00", SampledRequested: "00", SampledYes: "01"} {
		h := TraceHeader{Root: id, Parent: 0x53995c3f42cd8ad8, HasParent: true, Sampled: sampled, Lineage: "a:1", Self: "x"}
		if s, err := h.Traceparent(); err != nil || s != someTraceparent[:53]+want {
			t.Errorf("Sampled %d gives %q, %v", sampled, s, err)
		}
	}
}

func FuzzTraceparent(f *testing.F) {
	f.Add(someTraceparent)
	f.Add("cc" + someTraceparent[2:] + "-x")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseTraceparent(s)
		if err != nil {
			return
		}
		back, err := h.Traceparent()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseTraceparent(back); err != nil || again.Root != h.Root || again.Parent != h.Parent || again.Sampled != h.Sampled {
			t.Fatalf("%q became %q, which reads as %+v, %v", s, back, again, err)
		}
	})
}
