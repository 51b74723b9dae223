package server

import (
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/internal/trace"
)

// TestGroupIsBounded holds that no group keeps the store busy with one huge
// trace, and that a group of ordinary size judges the same trace to the end.
func TestGroupIsBounded(t *testing.T) {
	row := &trace.Row{Services: []trace.ServiceID{{Name: "desk"}}}
	for range 100_000 {
		row.Segments = append(row.Segments, trace.SegmentEntry{})
	}
	row.Segments[len(row.Segments)-1].Flags = trace.FlagFault
	for text, want := range map[string]bool{
		"service() { " + strings.Repeat("http.status = 1 OR ", 98) + "fault }":    true,
		"service() { " + strings.Repeat("http.status = 1 OR ", 3000) + "fault }":  false, // beyond the bound
		"!service() { " + strings.Repeat("http.status = 1 OR ", 3000) + "fault }": false,
	} {
		match, err := compileGroup(text, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := match(row, func() *trace.Row { return row }); got != want {
			t.Errorf("%.60s…: %t", text, got)
		}
	}
}
