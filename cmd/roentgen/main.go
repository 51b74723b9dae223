// Command roentgen is a self-hosted tracing system that speaks AWS X-Ray.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/roentgen-io/roentgen/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := cli.Main(ctx, &cli.Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv}, os.Args[1:])
	stop()
	os.Exit(status)
}
