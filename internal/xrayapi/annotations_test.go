package xrayapi

import (
	"fmt"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/segment"
)

// TestAnnotationsFirst lists annotations before attributes, and of attributes no more
// than there is room for.
func TestAnnotationsFirst(t *testing.T) {
	text := func(key, value string, attribute bool) trace.Annotation {
		return trace.Annotation{Key: key, Type: segment.TypeString, String: value, Attribute: attribute}
	}
	got := string(appendAnnotations(nil, []trace.Annotation{text("a", "1", true), text("b", "1", true), text("b", "2", false), text("c", "1", false), text("d", "1", true)}))
	order := []string{`"b":[`, `"c":[`, `"a":[`, `"d":[`}
	for i := 1; i < len(order); i++ {
		if a, b := strings.Index(got, order[i-1]), strings.Index(got, order[i]); a < 0 || b < a {
			t.Errorf("%s does not come before %s in %s", order[i-1], order[i], got)
		}
	}
	if strings.Count(got, "StringValue") != 5 || !strings.HasSuffix(got, "]}") {
		t.Errorf("got %s", got)
	}
	var many []trace.Annotation
	for i := range 120 {
		many = append(many, text(fmt.Sprintf("k%03d", i), "v", i >= 60))
	}
	if n := strings.Count(string(appendAnnotations(nil, many)), `"k`); n != 60 {
		t.Errorf("%d keys of 60 annotations and 60 attributes, want all annotations and nothing more", n)
	}
	if n := strings.Count(string(appendAnnotations(nil, many[40:])), `"k`); n != 50 {
		t.Errorf("%d keys of 20 annotations and 60 attributes, want 50", n)
	}
	if got := string(appendAnnotations(nil, nil)); got != "{}" {
		t.Errorf("nothing gives %s", got)
	}
}
