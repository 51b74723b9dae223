package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/roentgen-io/roentgen/internal/config"
	"github.com/roentgen-io/roentgen/internal/server"
	"github.com/roentgen-io/roentgen/internal/telemetry"
)

func newServeCommand(env *Env) *cobra.Command {
	var flags config.Flags
	var printAs string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server: take segments in, keep them, give traces out",
		Long: `Run the server. One port, 2000 unless told otherwise, takes everything:

  UDP   segments from X-Ray SDKs, as the X-Ray daemon takes them
  TCP   the X-Ray API (for AWS SDKs and the AWS CLI), metrics, health, this server's page

Without any flags it serves this machine alone and keeps its data in
./roentgen-data for 30 days. Every flag can also be said by the environment
(--data-dir: ROENTGEN_DATA_DIR) and in a YAML file (data-dir: FOLDER); flags go
before the environment, the environment before the file.

SIGTERM and Ctrl-C stop it: what has arrived is stored first. A second one ends
it at once. SIGHUP reads the settings again and takes over the log level, and reads
keys and certificates again.

With --forward it passes on everything that it receives, to another Roentgen, to AWS
X-Ray, or as OpenTelemetry spans; what waits for one that is away is on the disk.

Where other machines can reach it, it asks everyone for a key: roentgen key create
makes them, --keys names their file.

The exit status is 0 after a stop by signal, 1 when something failed, and 2 when
a flag, a variable or the file is wrong.`,
		Example: `  roentgen serve
  roentgen serve --listen 127.0.0.1:2001 --data-dir /var/lib/roentgen --retention 7d
  roentgen serve --listen 0.0.0.0:2000 --keys keys.json --tls-cert tls.crt --tls-key tls.key
  roentgen serve --forward http://central:2000 --forward grpc://collector:4317
  roentgen serve --config roentgen.yaml --print-config
  ROENTGEN_LOG_FORMAT=json roentgen serve`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if printAs == "" {
				return runServer(cmd.Context(), env, &flags, nil)
			}
			l, err := loadConfig(env, &flags)
			if err != nil {
				return err
			}
			switch printAs {
			case "yaml":
				return l.WriteYAML(env.Stdout)
			case "table":
				return l.WriteTable(env.Stdout)
			}
			return usageError(fmt.Errorf("--print-config=%s: it prints yaml or table", printAs))
		},
	}
	flags.Register(cmd.Flags())
	cmd.Flags().StringVar(&printAs, "print-config", "", "print every setting, its value and where it comes from, as `yaml` or table, and exit")
	cmd.Flags().Lookup("print-config").NoOptDefVal = "yaml"
	cmd.Flags().SortFlags = false
	return cmd
}

func loadConfig(env *Env, flags *config.Flags) (*config.Loaded, error) {
	l, err := config.Load(config.Sources{Flags: flags, Getenv: env.Getenv, Environ: env.Environ})
	if err != nil {
		return nil, usageError(err)
	}
	return l, nil
}

// runServer runs a server until ctx is done. started, when not nil, is called
// once the server is ready, with a context that ends when the server begins to
// stop; the server stops early when it returns an error, and stops as on a
// signal only after it has returned.
func runServer(ctx context.Context, env *Env, flags *config.Flags, started func(ctx context.Context, s *server.Server) error) error {
	l, err := loadConfig(env, flags)
	if err != nil {
		return err
	}
	level := new(slog.LevelVar)
	setLevel(level, l)
	logger := telemetry.NewLogger(env.Stderr, l.LogFormat, level)
	if l.File != "" {
		logger.Info("settings read", slog.String("file", l.File))
	}
	for _, w := range l.Warnings {
		logger.Warn("environment looks wrong", slog.String("problem", w))
	}
	// Before the server can be found ready: SIGHUP would end the process otherwise.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	tuneMemory(env.Getenv, &l.Config)
	s, err := server.Start(ctx, server.Config{Settings: &l.Config, Build: build(env), WriteConfig: l.WriteYAML, InForce: l.InForce, Logger: logger})
	if err != nil {
		if ctx.Err() != nil {
			return nil // stopped while starting, as it was told to
		}
		return &exitError{1, err}
	}
	if _, err := io.WriteString(env.Stdout, s.ReadyText()+"\n"); err != nil {
		logger.Warn("ready line not written", slog.Any("err", err))
	}
	settleMemory()

	run, stopRun := context.WithCancel(ctx)
	defer stopRun()
	guest := make(chan error, 1)
	if started != nil {
		go func() { guest <- started(run, s) }()
	}
	var failure error
	guestRuns := started != nil
	for stop := false; !stop; {
		select {
		case <-ctx.Done():
			stop = true
		case failure = <-s.Failed():
			failure = fmt.Errorf("the server stopped taking connections: %w", failure)
			stop = true
		case err := <-guest:
			guestRuns = false
			failure, stop = err, err != nil
		case <-hup:
			reload(env, flags, l, level, logger)
			s.Reload()
		}
	}
	stopRun()
	if guestRuns {
		if err := <-guest; failure == nil && !errors.Is(err, context.Canceled) {
			failure = err
		}
	}
	logger.Info("server stopping", slog.Duration("within", l.ShutdownTimeout))
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.ShutdownTimeout)
	defer cancel()
	if err := errors.Join(failure, s.Close(stopCtx)); err != nil {
		return &exitError{1, err}
	}
	return nil
}

func setLevel(v *slog.LevelVar, l *config.Loaded) {
	level, err := telemetry.ParseLevel(l.LogLevel)
	if err != nil {
		panic("cli: the configuration let through: " + err.Error())
	}
	v.Set(level)
}

// reload reads the settings again. What a running server cannot take over is
// named and left as it was.
func reload(env *Env, flags *config.Flags, l *config.Loaded, level *slog.LevelVar, logger *slog.Logger) {
	again, err := loadConfig(env, flags)
	if err != nil {
		logger.Error("settings not read again", slog.Any("err", err))
		return
	}
	var later []string
	for _, s := range config.Settings() {
		if !s.Reloadable && s.Text(&again.Config) != s.Text(&l.Config) {
			later = append(later, s.Name)
		}
	}
	setLevel(level, again)
	attrs := []slog.Attr{slog.String("log_level", again.LogLevel)}
	if len(later) > 0 {
		attrs = append(attrs, slog.String("after_a_restart", strings.Join(later, ", ")))
	}
	logger.LogAttrs(context.Background(), slog.LevelInfo, "settings read again", attrs...)
}
