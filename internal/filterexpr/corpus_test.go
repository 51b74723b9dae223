package filterexpr

import (
	"os"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/internal/sharedtest"
)

// TestCorpus reads the expressions of the corpus, which is kept beside the
// repository and not in it.
func TestCorpus(t *testing.T) {
	all, err := os.ReadFile(sharedtest.Path(t, "corpus/filter-expressions.txt"))
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for line := range strings.Lines(string(all)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		cells := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(cells) < 2 {
			continue
		}
		counts[cells[1]]++
		e, err := Parse(cells[0])
		if cells[1] != "unsure" && (err == nil) != (cells[1] == "valid") {
			t.Errorf("%s: error %v; the corpus says %s", cells[0], err, cells[1])
		}
		if err == nil {
			requireRoundTrip(t, e)
		}
		// What the corpus calls an entity selector is one.
		if strings.Contains(line, "\tentity selector") && cells[1] == "valid" {
			if _, err := ParseSelector(cells[0]); err != nil {
				t.Errorf("selector %s: %v", cells[0], err)
			}
		}
	}
	if counts["valid"] < 50 || counts["invalid"] < 10 {
		t.Errorf("only %v expressions tested", counts)
	}
}
