// Package cli holds the commands of the roentgen binary, one file each.
package cli

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Env is what a command may touch of the world: its streams and the environment.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Environ        func() []string // like os.Environ; nil: unknown
	Version        string          // set by the linker, "" otherwise
}

// exitError carries an exit status through cobra.
type exitError struct {
	status int
	err    error // nil: everything was said already
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usageError is an error for which the command line is to blame: exit status 2.
func usageError(err error) error { return &exitError{2, err} }

// newRoot returns the root command with every subcommand. Each file of the
// package adds its own constructor here.
func newRoot(env *Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "roentgen",
		Short: "A self-hosted tracing system that speaks AWS X-Ray",
		Long: `Roentgen is a self-hosted tracing system that speaks AWS X-Ray: programs with an
X-Ray SDK send it their segments unchanged, and the AWS CLI and SDKs read traces
from it. Everything is in this one program.`,
		Example: `  roentgen serve                  run a server on this machine, port 2000
  roentgen put order.json         send it a document
  roentgen traces                 list the newest traces
  roentgen traces fault           list those with a fault
  roentgen trace 1-67412345-…     show one
  roentgen tail                   watch them arrive
  roentgen graph                  show who calls whom`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Version:       build(env).Version,
	}
	root.SetVersionTemplate("roentgen {{.Version}}\n")
	plainUsage(root, helpWidth(env))
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if errors.Is(err, pflag.ErrHelp) {
			return err
		}
		// A flag of a command that is misspelt is unknown to the one above it.
		if args := cmd.Flags().Args(); len(args) > 0 && cmd.HasAvailableSubCommands() {
			return unknownCommand(cmd, args[0])
		}
		return usageError(&hintError{suggestFlag(cmd, err), cmd})
	})
	root.AddCommand(
		newAgentCommand(env),
		newControlCommand(env),
		newDemoCommand(env),
		newExplainCommand(env),
		newGraphCommand(env),
		newGroupCommand(env),
		newHealthCommand(env),
		newKeyCommand(env),
		newLintCommand(env),
		newPutCommand(env),
		newRuleCommand(env),
		newServeCommand(env),
		newTailCommand(env),
		newTelemetryCommand(env),
		newTraceCommand(env),
		newTracesCommand(env),
		newBenchCommand(env),
		newVersionCommand(env),
	)
	root.SetHelpCommand(newHelpCommand())
	return root
}

// hintError adds where to read on to an error about the command line.
type hintError struct {
	err error
	cmd *cobra.Command
}

func (e *hintError) Error() string {
	return e.err.Error() + "\n  " + e.cmd.CommandPath() + " --help tells more"
}

func (e *hintError) Unwrap() error { return e.err }

// Main runs the command line args (without the program's name) and returns the
// exit status: 0 success, 1 failure, 2 wrong usage.
func Main(ctx context.Context, env *Env, args []string) int {
	out := &output{Writer: env.Stdout}
	told := *env
	told.Stdout = out
	env = &told
	root := newRoot(env)
	if len(args) > 0 && args[0] == "agent" {
		args = daemonArgs(args)
	}
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	status := 0
	if err != nil {
		status = 1
		var exit *exitError
		if errors.As(err, &exit) {
			status = exit.status
		}
	}
	// A command that ends well, or has said already why not, may not have been heard.
	if err == nil || err.Error() == "" {
		if lost := out.failure(); lost != nil {
			err, status = lost, max(status, 1)
		}
	}
	if err == nil {
		return status
	}
	if text := err.Error(); text != "" {
		io.WriteString(env.Stderr, "roentgen: "+strings.TrimSpace(text)+"\n")
	}
	return status
}
