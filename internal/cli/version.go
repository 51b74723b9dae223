package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/roentgen-io/roentgen/internal/telemetry"
)

// build says what this binary is.
func build(env *Env) telemetry.Build { return telemetry.ReadBuild(env.Version) }

func newVersionCommand(env *Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version, and what it was built from",
		Example: `  roentgen version
  roentgen version --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := build(env)
			if asJSON {
				enc := json.NewEncoder(env.Stdout)
				enc.SetIndent("", "  ")
				return enc.Encode(b)
			}
			commit := b.Commit
			if b.Time != "" {
				commit += " of " + b.Time
			}
			_, err := fmt.Fprintf(env.Stdout, "roentgen %s\ncommit   %s\ngo       %s\nplatform %s\n", b.Version, commit, b.Go, b.Platform)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
