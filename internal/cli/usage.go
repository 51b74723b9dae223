package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// helpWidth returns the columns that help may fill; 0, where nobody looks at it in a
// terminal, sets no bound, so that a search for a flag finds all of its line.
func helpWidth(env *Env) int {
	if f := fileOf(env.Stdout); f != nil && term.IsTerminal(int(f.Fd())) {
		return newTerminal(env.Stdout, env, "never", 0).width
	}
	return 0
}

// plainUsage makes the help of root and its commands show a switch as --json
// rather than --json[=true|false], which pflag prints and nobody types, and break
// what does not fit into so many columns.
func plainUsage(root *cobra.Command, columns int) {
	cobra.AddTemplateFunc("flagUsages", func(flags *pflag.FlagSet) string { return flagUsages(flags, columns) })
	root.SetUsageTemplate(strings.NewReplacer(
		".LocalFlags.FlagUsages", "flagUsages .LocalFlags",
		".InheritedFlags.FlagUsages", "flagUsages .InheritedFlags",
	).Replace(root.UsageTemplate()))
}

func flagUsages(flags *pflag.FlagSet, columns int) string {
	shown := pflag.NewFlagSet("", pflag.ContinueOnError)
	shown.SortFlags = flags.SortFlags
	flags.VisitAll(func(f *pflag.Flag) {
		plain := *f
		if f.NoOptDefVal == "true" {
			plain.Value = plainSwitch{f.Value}
		}
		shown.AddFlag(&plain)
	})
	return shown.FlagUsagesWrapped(columns)
}

// plainSwitch is a switch of the one type for which pflag shows the name alone.
type plainSwitch struct{ pflag.Value }

func (plainSwitch) Type() string     { return "boolfunc" }
func (plainSwitch) IsBoolFlag() bool { return true }
