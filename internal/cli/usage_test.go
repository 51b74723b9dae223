package cli

import (
	"testing"

	"github.com/spf13/cobra"
)

// TestExamples holds every command to what the README promises of its help.
func TestExamples(t *testing.T) {
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		if cmd.Example == "" && cmd.Name() != "help" {
			t.Errorf("%s --help shows no example", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			check(sub)
		}
	}
	check(newRoot(&Env{Getenv: func(string) string { return "" }}))
}
