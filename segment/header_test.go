package segment

import (
	"errors"
	"strings"
	"testing"
)

// traceHeaders are headers and what they are written as again; "" stands for
// those that are refused.
var traceHeaders = []struct{ name, header, want string }{
	{"whole", "Root=1-65a1b2c3-0123456789abcdef01234567;Parent=00c0ffee00c0ffee;Sampled=1", "Root=1-65a1b2c3-0123456789abcdef01234567;Parent=00c0ffee00c0ffee;Sampled=1"},
	{"not sampled", "Root=1-65a1b2c3-0123456789abcdef01234567;Sampled=0", "Root=1-65a1b2c3-0123456789abcdef01234567;Sampled=0"},
	{"asks for a decision", "Root=1-65a1b2c3-0123456789abcdef01234567;Sampled=?", "Root=1-65a1b2c3-0123456789abcdef01234567;Sampled=?"},
	{"root alone", "Root=1-65a1b2c3-0123456789abcdef01234567", "Root=1-65a1b2c3-0123456789abcdef01234567"},
	{"any order", "Sampled=1;Parent=00c0ffee00c0ffee;Root=1-65a1b2c3-0123456789abcdef01234567", "Root=1-65a1b2c3-0123456789abcdef01234567;Parent=00c0ffee00c0ffee;Sampled=1"},
	{"white space", " Root = 1-65a1b2c3-0123456789abcdef01234567 ;\tParent= 00c0ffee00c0ffee ; Sampled =1 ", "Root=1-65a1b2c3-0123456789abcdef01234567;Parent=00c0ffee00c0ffee;Sampled=1"},
	{"upper case", "ROOT=1-65A1B2C3-0123456789ABCDEF01234567;PARENT=00C0FFEE00C0FFEE;SAMPLED=1", "Root=1-65a1b2c3-0123456789abcdef01234567;Parent=00c0ffee00c0ffee;Sampled=1"},
	{"trailing semicolon", "Root=1-65a1b2c3-0123456789abcdef01234567;", "Root=1-65a1b2c3-0123456789abcdef01234567"},
	{"parts that say nothing", ";;=;x;=y;Root=1-65a1b2c3-0123456789abcdef01234567;;", "Root=1-65a1b2c3-0123456789abcdef01234567"},
	{"lineage in lower case", "Root=1-65a1b2c3-0123456789abcdef01234567;lineage=ab12:1|cd34:2", "Root=1-65a1b2c3-0123456789abcdef01234567;Lineage=ab12:1|cd34:2"},
	{"self is left out", "Self=1-65a1b2c4-00000000000000000000beef;Root=1-65a1b2c3-0123456789abcdef01234567", "Root=1-65a1b2c3-0123456789abcdef01234567"},
	{"extra fields", "Root=1-65a1b2c3-0123456789abcdef01234567;Tenant=blue;Empty=;CalledFrom=a=b", "Root=1-65a1b2c3-0123456789abcdef01234567;Tenant=blue;Empty=;CalledFrom=a=b"},
	{"last of two", "Root=1-65a1b2c3-0123456789abcdef01234567;Sampled=0;k=1;Sampled=1;k=2", "Root=1-65a1b2c3-0123456789abcdef01234567;Sampled=1;k=2"},
	{"short epoch", "Root=1-1f-0123456789abcdef01234567", "Root=1-0000001f-0123456789abcdef01234567"},
	{"empty parent", "Root=1-65a1b2c3-0123456789abcdef01234567;Parent=;Sampled=", "Root=1-65a1b2c3-0123456789abcdef01234567"},
	{"unknown decision", "Root=1-65a1b2c3-0123456789abcdef01234567;Sampled=maybe", "Root=1-65a1b2c3-0123456789abcdef01234567"},
	{"all zeros", "Root=1-00000000-000000000000000000000000;Parent=0000000000000000", "Root=1-00000000-000000000000000000000000;Parent=0000000000000000"},

	{"empty", "", ""},
	{"no pairs", "hello", ""},
	{"no root", "Parent=00c0ffee00c0ffee;Sampled=1", ""},
	{"empty root", "Root=;Sampled=1", ""},
	{"bad parent", "Root=1-65a1b2c3-0123456789abcdef01234567;Parent=foo", ""},
	{"long parent", "Root=1-65a1b2c3-0123456789abcdef01234567;Parent=00c0ffee00c0ffee0", ""},
	{"number for a decision", "Root=1-65a1b2c3-0123456789abcdef01234567;Sampled=2", ""},
	{"other version", "Root=2-65a1b2c3-0123456789abcdef01234567", ""},
	{"w3c id", "Root=65a1b2c30123456789abcdef01234567", ""},
	{"long epoch", "Root=1-65a1b2c30-0123456789abcdef01234567", ""},
	{"no epoch", "Root=1--0123456789abcdef01234567", ""},
	{"one dash", "Root=1-0123456789abcdef01234567", ""},
	{"short rest", "Root=1-65a1b2c3-0123456789abcdef0123456", ""},
	{"not hexadecimal", "Root=1-65a1b2c3-0123456789abcdef0123456g", ""},
	{"signed epoch", "Root=1--1-0123456789abcdef01234567", ""},
}

func TestParseTraceHeader(t *testing.T) {
	for _, c := range traceHeaders {
		t.Run(c.name, func(t *testing.T) {
			h, err := ParseTraceHeader(c.header)
			if c.want == "" {
				if !errors.Is(err, ErrTraceHeader) {
					t.Fatalf("got %+v, error %v, want ErrTraceHeader", h, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := h.String(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestParseTraceHeaderFields(t *testing.T) {
	h, err := ParseTraceHeader("Root=1-65a1b2c3-0123456789abcdef01234567;Parent=00c0ffee00c0ffee;Sampled=?;Lineage=a:1;Self=1-2-3;K=V;k=w")
	if err != nil {
		t.Fatal(err)
	}
	if h.Root.String() != "1-65a1b2c3-0123456789abcdef01234567" || !h.HasParent || h.Parent != 0x00c0ffee00c0ffee ||
		h.Sampled != SampledRequested || h.Lineage != "a:1" || h.Self != "1-2-3" {
		t.Errorf("got %+v", h)
	}
	if len(h.Extra) != 2 || h.Extra[0] != (HeaderField{"K", "V"}) || h.Extra[1] != (HeaderField{"k", "w"}) {
		t.Errorf("extra fields: %+v", h.Extra)
	}
}

func TestParseTraceHeaderOfManyParts(t *testing.T) {
	var b strings.Builder
	for i := range 100_000 {
		b.WriteString("key")
		b.WriteString(SegmentID(i).String())
		b.WriteString("=x;")
	}
	b.WriteString("Root=1-65a1b2c3-0123456789abcdef01234567")
	h, err := ParseTraceHeader(b.String())
	if err != nil || len(h.Extra) != 64 {
		t.Errorf("%d extra fields, error %v; want 64", len(h.Extra), err)
	}
}
