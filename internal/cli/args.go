package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// noArgs refuses arguments. To a command that holds others they are a command that
// there is not.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 && cmd.HasAvailableSubCommands() {
		return unknownCommand(cmd, args[0])
	}
	return argsUpTo(0)(cmd, args)
}

// unknownCommand says that cmd holds no command of that name, and which was perhaps
// meant.
func unknownCommand(cmd *cobra.Command, name string) error {
	text := fmt.Sprintf("unknown command %q for %q", name, cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usageError(&hintError{errors.New(text), cmd})
}

// suggestFlag adds to err, when a flag that there is not is to blame, which one was
// perhaps meant.
func suggestFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || len(unknown.GetSpecifiedName()) < 2 {
		return err // a letter alone is near to every other letter
	}
	// Cobra finds what is near among commands.
	flags := &cobra.Command{SuggestionsMinimumDistance: 2}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			flags.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
		}
	})
	near := flags.SuggestionsFor(unknown.GetSpecifiedName())
	if len(near) == 0 {
		return err
	}
	return fmt.Errorf("%w; did you mean --%s?", err, strings.Join(near, " or --"))
}

// argsUpTo refuses more than most arguments.
func argsUpTo(most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) <= most {
			return nil
		}
		takes := "no arguments"
		if most > 0 {
			takes = plural(most, "argument") + " at most"
		}
		return usageError(&hintError{fmt.Errorf("%q is one too many: %s takes %s", args[most], cmd.CommandPath(), takes), cmd})
	}
}

// needArgs demands at least n arguments and says which.
func needArgs(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < n {
			return usageError(fmt.Errorf("%s; see %s --help", what, cmd.CommandPath()))
		}
		return nil
	}
}

// oneArg demands one argument and says which.
func oneArg(what string) cobra.PositionalArgs {
	return cobra.MatchAll(needArgs(1, what), argsUpTo(1))
}

// newHelpCommand returns the command that shows the help of another one.
func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help of a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			switch {
			case err != nil:
				return usageError(err)
			case len(rest) > 0 && about.HasAvailableSubCommands():
				return unknownCommand(about, rest[0])
			}
			return about.Help()
		},
	}
}
