// Package cli holds the commands of the roentgen binary, one file each.
package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"
)

// Env is what a command may touch of the world: its streams and the environment.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
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

// newRoot returns the root command with every subcommand. Each file of the
// package adds its own constructor here.
func newRoot(env *Env) *cobra.Command {
	root := &cobra.Command{
		Use:           "roentgen",
		Short:         "A self-hosted tracing system that speaks AWS X-Ray",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.AddCommand(
		newLintCommand(env),
		newPutCommand(env),
		newTraceCommand(env),
		newTracesCommand(env),
	)
	return root
}

// Main runs the command line args (without the program's name) and returns the
// exit status: 0 success, 1 failure, 2 wrong usage.
func Main(ctx context.Context, env *Env, args []string) int {
	root := newRoot(env)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if e, ok := err.(*exitError); ok {
		if e.err != nil {
			io.WriteString(env.Stderr, "roentgen: "+e.err.Error()+"\n")
		}
		return e.status
	}
	io.WriteString(env.Stderr, "roentgen: "+err.Error()+"\n")
	return 1
}
