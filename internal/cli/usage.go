package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// plainUsage makes the help of root and its commands show a switch as --json
// rather than --json[=true|false], which pflag prints and nobody types.
func plainUsage(root *cobra.Command) {
	cobra.AddTemplateFunc("flagUsages", flagUsages)
	root.SetUsageTemplate(strings.NewReplacer(
		".LocalFlags.FlagUsages", "flagUsages .LocalFlags",
		".InheritedFlags.FlagUsages", "flagUsages .InheritedFlags",
	).Replace(root.UsageTemplate()))
}

func flagUsages(flags *pflag.FlagSet) string {
	shown := pflag.NewFlagSet("", pflag.ContinueOnError)
	shown.SortFlags = flags.SortFlags
	flags.VisitAll(func(f *pflag.Flag) {
		plain := *f
		if f.NoOptDefVal == "true" {
			plain.Value = plainSwitch{f.Value}
		}
		shown.AddFlag(&plain)
	})
	return shown.FlagUsages()
}

// plainSwitch is a switch of the one type for which pflag shows the name alone.
type plainSwitch struct{ pflag.Value }

func (plainSwitch) Type() string     { return "boolfunc" }
func (plainSwitch) IsBoolFlag() bool { return true }
