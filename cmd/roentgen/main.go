// Command roentgen is a self-hosted tracing system that speaks AWS X-Ray.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/roentgen-io/roentgen/internal/cli"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks; with the default restored, the second one ends the process.
	context.AfterFunc(ctx, stop)
	status := cli.Main(ctx, &cli.Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Getenv: os.Getenv, Environ: os.Environ, Version: version,
	}, cli.AgentArgs(os.Args[0], os.Args[1:]))
	stop()
	os.Exit(status)
}
