package repo

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnitFile has systemd look at the unit of the agent, with a program in place of
// ours that is sure to be there.
func TestUnitFile(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("SKIPPED: there is no systemd-analyze here")
	}
	const name = "roentgen-agent.service"
	text := read(t, "deploy/"+name)
	const ours = "ExecStart=/usr/local/bin/roentgen agent"
	if !strings.Contains(text, ours+"\n") {
		t.Fatalf("the unit does not say %s", ours)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(strings.Replace(text, ours, "ExecStart=/bin/true agent", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(analyze, "verify", path).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
