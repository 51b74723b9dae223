package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/roentgen-io/roentgen/internal/agent"
	"github.com/roentgen-io/roentgen/internal/config"
)

// agentFlags are the flags of the agent: those of the X-Ray daemon first.
type agentFlags struct {
	resourceARN, region, bind, bindTCP, roleARN, file, logFile, logLevel, proxy string
	bufferMemory                                                                int
	localMode, version                                                          bool

	to                                  []string
	unix, spoolDir, spoolSize, spoolAge string
	samplingFrom, logFormat             string
	hosts                               []string
	set                                 *pflag.FlagSet
}

func (f *agentFlags) register(fs *pflag.FlagSet) {
	f.set = fs
	fs.StringVarP(&f.resourceARN, "resource-arn", "a", "", "ARN of the AWS resource that the agent runs on, for telemetry")
	fs.BoolVarP(&f.localMode, "local-mode", "o", false, "do not ask EC2 instance metadata")
	fs.IntVarP(&f.bufferMemory, "buffer-memory", "m", 0, "memory in MB for documents that wait for the disk (at least 3; 0: 4)")
	fs.StringVarP(&f.region, "region", "n", "", "region of AWS X-Ray")
	fs.StringVarP(&f.bind, "bind", "b", "", "UDP address to take documents at (default 127.0.0.1:2000)")
	fs.StringVarP(&f.bindTCP, "bind-tcp", "t", "", "TCP address to take documents and calls at (default 127.0.0.1:2000)")
	fs.StringVarP(&f.roleARN, "role-arn", "r", "", "role to assume for AWS")
	fs.StringVarP(&f.file, "config", "c", "", "configuration file (default /etc/amazon/xray/cfg.yaml, then cfg.yaml)")
	fs.StringVarP(&f.logFile, "log-file", "f", "", "log file (default: standard output)")
	fs.StringVarP(&f.logLevel, "log-level", "l", "", "dev, debug, info, warn, error or prod (default prod, which is info)")
	fs.StringVarP(&f.proxy, "proxy-address", "p", "", "HTTPS proxy to reach destinations through")
	fs.BoolVarP(&f.version, "version", "v", false, "print the version")

	fs.StringArrayVar(&f.to, "to", nil, "`destination`, may be repeated: aws, aws:REGION, http://ROENTGEN:2000, otlp, otlp:http://HOST:4318, grpc://HOST:4317, each with NAME= in front (default aws)")
	fs.StringVar(&f.unix, "unix-socket", "", "path of a Unix socket to take documents and calls at, too")
	fs.StringVar(&f.spoolDir, "spool-dir", "", "folder for documents under way (default $STATE_DIRECTORY, else $XDG_STATE_HOME/roentgen-agent, else ~/.local/state/roentgen-agent)")
	fs.StringVar(&f.spoolSize, "spool-size", "", "how much may wait on the disk, the oldest goes first (default 1GiB)")
	fs.StringVar(&f.spoolAge, "spool-age", "", "how long documents may wait (default 7d)")
	fs.StringVar(&f.samplingFrom, "sampling-from", "", "name of the destination that answers sampling and all other calls (default: the first)")
	fs.StringSliceVar(&f.hosts, "hosts", nil, "`names` under which web browsers may reach the agent's pages")
	fs.StringVar(&f.logFormat, "log-format", "", "daemon, text or json (default daemon)")
	fs.SortFlags = false
}

// apply sets what flags and, for our own settings, the environment say.
func (f *agentFlags) apply(c *agent.Config, getenv func(string) string) error {
	text := func(name, value string, into *string) {
		if !f.set.Changed(name) {
			if value = getenv(envName(name)); value == "" {
				return
			}
		}
		*into = value
	}
	daemon := func(name, value string, into *string) { // the daemon knows no variables for these
		if f.set.Changed(name) {
			*into = value
		}
	}
	daemon("resource-arn", f.resourceARN, &c.ResourceARN)
	daemon("region", f.region, &c.Region)
	daemon("bind", f.bind, &c.UDPAddress)
	daemon("bind-tcp", f.bindTCP, &c.TCPAddress)
	daemon("role-arn", f.roleARN, &c.RoleARN)
	daemon("log-file", f.logFile, &c.LogPath)
	daemon("log-level", f.logLevel, &c.LogLevel)
	daemon("proxy-address", f.proxy, &c.ProxyAddress)
	if f.set.Changed("local-mode") {
		c.LocalMode = f.localMode
	}
	if f.set.Changed("buffer-memory") {
		c.BufferMB = f.bufferMemory
	}
	text("unix-socket", f.unix, &c.UnixSocket)
	text("spool-dir", f.spoolDir, &c.SpoolDir)
	text("sampling-from", f.samplingFrom, &c.SamplingFrom)
	text("log-format", f.logFormat, &c.LogFormat)
	var size, age string
	text("spool-size", f.spoolSize, &size)
	text("spool-age", f.spoolAge, &age)
	if size != "" {
		n, err := config.ParseBytes(size)
		if err != nil {
			return fmt.Errorf("--spool-size: %w", err)
		}
		c.SpoolSize = int64(n)
	}
	if age != "" {
		d, err := config.ParseDuration(age)
		if err != nil {
			return fmt.Errorf("--spool-age: %w", err)
		}
		c.SpoolAge = d
	}
	hosts := f.hosts
	if v := getenv(envName("hosts")); !f.set.Changed("hosts") && v != "" {
		hosts = strings.Split(v, ",")
	}
	if len(hosts) > 0 {
		c.Hosts = hosts
	}
	to := f.to
	if v := getenv(envName("to")); len(to) == 0 && v != "" {
		to = strings.Fields(strings.ReplaceAll(v, ",", " "))
	}
	if len(to) > 0 {
		c.Destinations = nil
	}
	for _, text := range to {
		d, err := agent.ParseDestination(text)
		if err != nil {
			return fmt.Errorf("--to: %w", err)
		}
		c.Destinations = append(c.Destinations, d)
	}
	return nil
}

func envName(flag string) string {
	return "ROENTGEN_AGENT_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// load puts the settings together: defaults, file, environment, flags.
func (f *agentFlags) load(getenv func(string) string) (c *agent.Config, file string, warnings []string, err error) {
	c = agent.NewDefault()
	if file = agent.FindFile(f.file); file != "" {
		if warnings, err = c.ReadFile(file); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				err = fmt.Errorf("there is no configuration file %s", file)
			}
			return nil, file, nil, err
		}
	}
	if err := f.apply(c, getenv); err != nil {
		return nil, file, nil, err
	}
	if err := c.Complete(getenv); err != nil {
		return nil, file, nil, err
	}
	return c, file, warnings, nil
}

func newAgentCommand(env *Env) *cobra.Command {
	var flags agentFlags
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Stand where the X-Ray daemon stood: take documents in, deliver them, lose none",
		Long: `Take documents from X-Ray SDKs on the daemon's port, keep them on the disk, and
deliver them to AWS X-Ray, to Roentgen, to OpenTelemetry (OTLP), or to several
destinations at once.

The X-Ray daemon's flags, its cfg.yaml and its environment variables mean what
they mean to the daemon; called under the name xray the program is this command.
What comes is synced to the disk before it is sent, and stays there until every
destination has it: over restarts, crashes and outages.

SIGTERM and Ctrl-C stop it; what was not delivered is there at the next start.
SIGHUP reads the settings again: destinations, processing and the log level
change at once, and the log file is opened anew.`,
		Example: `  roentgen agent --region eu-west-1
  roentgen agent --to http://roentgen:2000
  roentgen agent --to aws:eu-west-1 --to http://roentgen:2000     to both
  roentgen agent --to grpc://collector:4317                       as OpenTelemetry spans
  roentgen agent doctor                                           check the set-up
  roentgen agent status                                           rates, queue, errors`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if flags.version {
				return printAgentVersion(env)
			}
			return runAgent(cmd.Context(), env, &flags)
		},
	}
	flags.register(cmd.Flags())
	cmd.AddCommand(newAgentStatusCommand(env), newAgentDoctorCommand(env))
	return cmd
}

func printAgentVersion(env *Env) error {
	_, err := fmt.Fprintf(env.Stdout, "roentgen agent %s, in place of the AWS X-Ray daemon\n", build(env).Version)
	return err
}

// agentMemory is where the garbage collector begins to work harder. 4 MB of it are
// buffers for datagrams of 64 KB, of which only what smaller ones fill is resident.
// Beside it there is the program itself, with some 16 MB.
const agentMemory = 20 << 20

func runAgent(ctx context.Context, env *Env, flags *agentFlags) error {
	cfg, file, warnings, err := flags.load(env.Getenv)
	if err != nil {
		return usageError(err)
	}
	out := env.Stdout
	var logFile *agent.LogFile
	if cfg.LogPath != "" {
		if logFile, err = agent.OpenLogFile(cfg.LogPath, cfg.LogRotation); err != nil {
			return &exitError{1, fmt.Errorf("open the log file: %w", err)}
		}
		defer logFile.Close()
		out = logFile
	}
	level := new(slog.LevelVar)
	level.Set(cfg.Level())
	logger := agent.NewLogger(out, cfg.LogFormat, level)
	logger.Info("Initializing roentgen agent " + build(env).Version + " in place of the AWS X-Ray daemon")
	if file != "" {
		logger.Info("settings read", slog.String("file", file))
		// When the settings are read again it has to be there: without it all
		// destinations would be given up, and what waits for them with them.
		flags.file = file
	}
	for _, w := range warnings {
		logger.Warn("settings look wrong", slog.String("problem", w))
	}
	if env.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(agentMemory + int64(max(0, cfg.BufferMB-4))<<20)
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	a, err := agent.Start(ctx, agent.Options{
		Config: cfg, Build: build(env), Logger: logger, Getenv: env.Getenv,
	})
	if err != nil {
		if logFile != nil {
			logger.Error("agent not started", slog.Any("err", err))
		}
		return &exitError{1, err}
	}
	logger.Info("agent started", slog.String("udp", a.UDPAddr()), slog.String("tcp", a.TCPAddr()), slog.String("spool", a.SpoolFolder()))
	settleMemory()
	releaseCode()
	var failure error
	for stop := false; !stop; {
		select {
		case <-ctx.Done():
			logger.Info("Got shutdown signal")
			stop = true
		case failure = <-a.Failed():
			failure = fmt.Errorf("the agent stopped taking connections: %w", failure)
			stop = true
		case <-hup:
			if logFile != nil {
				if err := logFile.Reopen(); err != nil {
					logger.Error("log file not opened anew", slog.Any("err", err))
				}
			}
			reloadAgent(a, flags, env, level, logger)
		}
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := errors.Join(failure, a.Close(stopCtx)); err != nil {
		return &exitError{1, err}
	}
	return nil
}

func reloadAgent(a *agent.Agent, flags *agentFlags, env *Env, level *slog.LevelVar, logger *slog.Logger) {
	cfg, _, warnings, err := flags.load(env.Getenv)
	if err != nil {
		logger.Error("settings not read again", slog.Any("err", err))
		return
	}
	for _, w := range warnings {
		logger.Warn("settings look wrong", slog.String("problem", w))
	}
	later, err := a.Reload(cfg)
	if err != nil {
		logger.Error("settings not taken over", slog.Any("err", err))
		return
	}
	level.Set(cfg.Level())
	attrs := []slog.Attr{slog.Int("destinations", len(cfg.Destinations)), slog.Int("rules", len(cfg.Processing))}
	if len(later) > 0 {
		attrs = append(attrs, slog.String("after_a_restart", strings.Join(later, ", ")))
	}
	logger.LogAttrs(context.Background(), slog.LevelInfo, "settings read again", attrs...)
}

func newAgentStatusCommand(env *Env) *cobra.Command {
	var endpoint, file string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what a running agent does: rates, queue, spool, lag and errors",
		Long: `Show what a running agent does: rates, queue, spool, lag and errors.

The exit status is 0 when all is well, 1 when there is trouble or no agent.`,
		Example: `  roentgen agent status
  roentgen agent status --endpoint http://127.0.0.1:2001
  roentgen agent status --json | jq .destinations`,
		Args: noArgs,
	}
	cmd.Flags().StringVar(&endpoint, "endpoint", "", "`address` of the agent (default: what its configuration file says, else http://127.0.0.1:2000)")
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration file of the agent")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print all figures as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if endpoint == "" {
			c := agent.NewDefault()
			if path := agent.FindFile(file); path != "" {
				if _, err := c.ReadFile(path); err != nil {
					return usageError(err)
				}
			}
			endpoint = c.PagesURL()
		}
		c, err := newClient(connection{endpoint: endpoint}) // the agent asks for no key
		if err != nil {
			return err
		}
		var first, st agent.Status
		if err := c.get(cmd.Context(), "/status", &first); err != nil {
			var api *apiError
			if errors.Is(err, errNobody) {
				return fmt.Errorf("no agent answers at %s; start one with `roentgen agent`, or name another one with --endpoint", c.endpoint)
			}
			if errors.As(err, &api) {
				return fmt.Errorf("%s is no agent: %w", c.endpoint, err)
			}
			return err
		}
		if asJSON {
			e := json.NewEncoder(env.Stdout)
			e.SetIndent("", "  ")
			return e.Encode(first)
		}
		// Rates need a second look.
		select {
		case <-time.After(time.Second):
		case <-cmd.Context().Done():
			return cmd.Context().Err()
		}
		if err := c.get(cmd.Context(), "/status", &st); err != nil {
			return err
		}
		printStatus(env.Stdout, &first, &st)
		if st.Degraded != "" {
			return &exitError{status: 1}
		}
		return nil
	}
	return cmd
}

func printStatus(w io.Writer, first, st *agent.Status) {
	seconds := max(st.Now.Sub(first.Now).Seconds(), 0.1)
	rate := func(now, before uint64) string {
		return group(int(float64(now-min(before, now))/seconds)) + "/s" // it may be another agent by now
	}
	total := func(in agent.Intake) uint64 { return uint64(in.UDP + in.Stream + in.HTTP) }
	fmt.Fprintf(w, "agent %s, up %s\n", st.Version, st.Now.Sub(st.Started).Round(time.Second))
	if st.Degraded != "" {
		fmt.Fprintf(w, "TROUBLE: %s\n", st.Degraded)
	}
	fmt.Fprintf(w, "in     %s now; %s over UDP, %s framed, %s over HTTP since the start; %s rejected\n",
		rate(total(st.Intake), total(first.Intake)), group(int(st.Intake.UDP)), group(int(st.Intake.Stream)), group(int(st.Intake.HTTP)), group(int(st.Intake.Rejected)))
	if n := int(st.Intake.KernelDropped) + int(st.Intake.QueueDropped); n > 0 {
		fmt.Fprintf(w, "       %s dropped by the kernel's buffer, %s since the disk was too slow or full\n", group(int(st.Intake.KernelDropped)), group(int(st.Intake.QueueDropped)))
	}
	if st.Intake.DroppedByRule > 0 {
		fmt.Fprintf(w, "       %s dropped by rules\n", group(int(st.Intake.DroppedByRule)))
	}
	if n := int(st.Intake.CameBack()); n > 0 {
		fmt.Fprintf(w, "       %s came back from where they were sent, or came twice\n", group(n))
	}
	fmt.Fprintf(w, "spool  %.1f of %.0f MB in %s\n", float64(st.Spool.Bytes)/1e6, float64(st.Spool.Limit)/1e6, st.Spool.Folder)
	if st.Spool.Dropped > 0 {
		fmt.Fprintf(w, "       %s removed by the limits of the spool\n", group(int(st.Spool.Dropped)))
	}
	if n := int(st.Spool.DamagedFiles); n > 0 {
		fmt.Fprintf(w, "       %s could not be read at the start, put aside there as *.damaged\n", plural(n, "file"))
	}
	for i, d := range st.Destinations {
		sent := d.Sent
		if i < len(first.Destinations) && first.Destinations[i].Name == d.Name {
			sent = first.Destinations[i].Sent
		}
		fmt.Fprintf(w, "to     %s (%s)\n", d.Name, d.Endpoint)
		fmt.Fprintf(w, "       %s now; %s sent, %s waiting, lag %s\n", rate(d.Sent, sent), group(int(d.Sent)), group(int(d.Waiting)), time.Duration(d.LagSeconds*1e9).Round(time.Millisecond))
		fmt.Fprintf(w, "       %s, %.0f ms each, %d at once; %s throttled\n", plural(int(d.Calls), "call"), d.CallSeconds*1e3, d.MostCalls, group(int(d.Throttled)))
		if d.Refused+d.Lost+d.Damaged > 0 {
			fmt.Fprintf(w, "       %s refused (dead letters), %s lost to the spool's limits, %s damaged on the disk\n", group(int(d.Refused)), group(int(d.Lost)), group(int(d.Damaged)))
		}
		if d.LastError != "" {
			fmt.Fprintf(w, "       last error, %s ago: %s\n", st.Now.Sub(d.LastErrorAt).Round(time.Second), d.LastError)
		}
		if d.Failures > 0 {
			fmt.Fprintf(w, "       %s in a row, next try in %s\n", plural(d.Failures, "failure"), time.Duration(d.ShutSeconds*1e9).Round(time.Millisecond))
		}
	}
}

func newAgentDoctorCommand(env *Env) *cobra.Command {
	var flags agentFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check an agent's set-up and say what to fix",
		Long: `Check what an agent of these flags and this configuration needs: the file, the
ports, the folder of the spool, the size of the socket's buffer, region and
credentials, and whether each destination answers and agrees about the time.

The exit status is 0 when nothing is wrong, 1 when something is.`,
		Example: `  roentgen agent doctor
  roentgen agent doctor --to http://roentgen:2000
  roentgen agent doctor -c /etc/amazon/xray/cfg.yaml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if flags.version {
				return printAgentVersion(env)
			}
			cfg, file, warnings, err := flags.load(env.Getenv)
			if err != nil {
				return usageError(err)
			}
			bad := 0
			for _, c := range agent.Diagnose(cmd.Context(), cfg, file, warnings, env.Getenv) {
				mark := "ok   "
				switch c.Verdict {
				case agent.CheckWarn:
					mark = "warn "
				case agent.CheckBad:
					mark = "BAD  "
					bad++
				}
				fmt.Fprintf(env.Stdout, "%s %s: %s\n", mark, c.Subject, c.Finding)
				if c.Remedy != "" {
					fmt.Fprintf(env.Stdout, "       %s\n", c.Remedy)
				}
			}
			if bad > 0 {
				return &exitError{status: 1}
			}
			return nil
		},
	}
	flags.register(cmd.Flags())
	return cmd
}

// daemonArgs makes command lines of the X-Ray daemon readable. Its flags follow
// Go's flag package: long ones may have one dash, short ones two.
func daemonArgs(args []string) []string {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	new(agentFlags).register(fs)
	out := slices.Clone(args)
	for i, arg := range out {
		if arg == "--" {
			break
		}
		name := strings.TrimLeft(arg, "-")
		dashes := len(arg) - len(name)
		bare, _, _ := strings.Cut(name, "=")
		switch {
		case dashes == 1 && len(bare) > 1 && fs.Lookup(bare) != nil:
			out[i] = "--" + name
		case dashes == 2 && len(bare) == 1 && fs.ShorthandLookup(bare) != nil:
			out[i] = "-" + name
		}
	}
	return out
}

// AgentArgs returns the arguments of roentgen that a command line stands for.
// Under the name of the X-Ray daemon's binary the program is the agent.
func AgentArgs(program string, args []string) []string {
	switch strings.TrimSuffix(filepath.Base(program), ".exe") {
	case "xray", "xray-daemon", "xray_linux", "xray_mac":
		if len(args) > 0 && args[0] == "agent" {
			return args
		}
		return append([]string{"agent"}, args...)
	}
	return args
}
