package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/roentgen-io/roentgen/internal/config"
	"github.com/roentgen-io/roentgen/internal/demo"
	"github.com/roentgen-io/roentgen/internal/server"
)

// demoFlags is what the command line says about the shop.
type demoFlags struct {
	settings config.Flags
	rate     float64
	seed     uint64
	history  string
	duration string
	with     []string
}

func newDemoCommand(env *Env) *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the server with a simulated shop that sends segments to it",
		Long: `Run the server, as serve does, together with a simulated shop of thirteen
services. They send their segments and spans to it over UDP and HTTP for as long as it runs:
pages and orders, an outside payment provider, an SQL database, DynamoDB tables,
S3, a queue with a Lambda worker, slow reports that are visible while they run,
and the errors, throttles and faults of real life.

The shop exists already when it opens: the last hour of it, or what --history
says, is imported while the live traffic begins. The same seed makes the same
documents for the same times, so that a demo that is started again on the same
--data-dir adds only what is new.

Data lies in a temporary folder that is removed at the end, unless --data-dir
names one. All settings of serve apply; data-dir is taken from the command line
only, so that a demo never writes to the data of a real server.`,
		Example: `  roentgen demo
  roentgen demo --listen 127.0.0.1:2100 --rate 100 --history 6h
  roentgen demo --data-dir ./demo-data --history 2d --rate 5
  roentgen demo --duration 30s --history 0
  roentgen demo --with "./my-service --port 8080"   # a program of yours joins in`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError(errors.New("demo takes no arguments, only flags; see roentgen demo --help"))
			}
			return nil
		},
	}
	fs := cmd.Flags()
	fs.Float64Var(&f.rate, "rate", 20, "requests a second, averaged over a day; each makes about four documents")
	fs.StringVar(&f.history, "history", "1h", "how much of the shop's past to import; 0 for none")
	fs.Uint64Var(&f.seed, "seed", 1, "what happens in the shop derives from this `number`")
	fs.StringVar(&f.duration, "duration", "0", "end after this time; 0 runs until interrupted")
	fs.StringArrayVar(&f.with, "with", nil, "a `command` to run beside the shop, told by AWS_XRAY_DAEMON_ADDRESS where to send; it should end when its standard input does; may be repeated")
	f.settings.Register(fs)
	// What holds when nobody says these is another thing than with serve.
	dir, level := fs.Lookup("data-dir"), fs.Lookup("log-level")
	dir.Usage, dir.DefValue = "folder that keeps all data (default: a temporary one, removed at the end)", ""
	level.DefValue = "warn"
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d, err := f.check(env)
		if err != nil {
			return err
		}
		return d.run(cmd.Context(), cmd.Flags().Set)
	}
	return cmd
}

// demoRun is a demo with everything known that the user said.
type demoRun struct {
	*demoFlags
	env               *Env
	status            *statusLine
	history, duration time.Duration
	dir               string // of the data
	temporary         bool   // dir is made for this run and removed at the end
	quiet             bool   // nobody asked for a log level
}

func (f *demoFlags) check(env *Env) (*demoRun, error) {
	usage := func(flag string, err error) error { return usageError(fmt.Errorf("--%s: %w", flag, err)) }
	d := &demoRun{demoFlags: f}
	var err error
	if d.history, err = config.ParseDuration(f.history); err != nil {
		return nil, usage("history", err)
	}
	if d.duration, err = config.ParseDuration(f.duration); err != nil {
		return nil, usage("duration", err)
	}
	if !(f.rate >= 0.01 && f.rate <= 5000) {
		return nil, usage("rate", fmt.Errorf("%v requests a second cannot be; give a number from 0.01 to 5000", f.rate))
	}
	settings, err := loadConfig(env, &f.settings)
	if err != nil {
		return nil, err
	}
	if settings.Retention > 0 && d.history > settings.Retention {
		return nil, usage("history", fmt.Errorf("%s is longer than the server keeps traces; add --retention %s", f.history, f.history))
	}
	for _, lock := range []string{"keys", "tls-cert"} {
		if settings.Origin(lock) != "default" {
			return nil, usage(lock, errors.New("the shop has no key and speaks no TLS; use roentgen serve for a server that asks for them"))
		}
	}
	if settings.UDPAddress() == "" && len(f.with) > 0 {
		return nil, usage("with", errors.New("such programs send over UDP, and udp-listen is off"))
	}
	d.dir, d.temporary = settings.DataDir, settings.Origin("data-dir") != "--data-dir"
	d.quiet = settings.Origin("log-level") == "default"
	d.status = newStatusLine(env)
	// What the server logs goes above the line of status.
	own := *env
	own.Stderr = d.status
	d.env = &own
	return d, nil
}

// run runs the server and the shop. set changes a flag of the command line.
func (d *demoRun) run(ctx context.Context, set func(flag, value string) error) error {
	if d.temporary {
		var err error
		if d.dir, err = os.MkdirTemp(d.env.Getenv("TMPDIR"), "roentgen-demo-"); err != nil {
			return fmt.Errorf("make a folder for the demo's data: %w; name one with --data-dir", err)
		}
		defer func() {
			if err := os.RemoveAll(d.dir); err != nil {
				d.status.printf("The data could not be removed: %v", err)
			}
		}()
		if err := set("data-dir", d.dir); err != nil {
			return err
		}
	}
	if d.quiet {
		if err := set("log-level", "warn"); err != nil { // the shop's own lines tell enough
			return err
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	return runServer(ctx, d.env, &d.settings, func(ctx context.Context, s *server.Server) error {
		defer stop() // the server ends with the shop
		return d.play(ctx, s)
	})
}

// play runs the shop until ctx or its time ends.
func (d *demoRun) play(ctx context.Context, srv *server.Server) error {
	udp, daemon := "", ""
	if a := srv.UDPAddr(); a != nil {
		if a.IP.IsUnspecified() {
			a = &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: a.Port}
		}
		udp = a.String()
		// The form that names both, as the two may differ.
		daemon = "tcp:" + strings.TrimPrefix(srv.URL(), "http://") + " udp:" + udp
	}
	runner, err := demo.NewRunner(demo.Options{Seed: d.seed, Rate: d.rate, UDPAddr: udp, Endpoint: srv.URL(), History: d.history})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if d.duration > 0 {
		ctx, cancel = context.WithTimeout(ctx, d.duration)
		defer cancel()
	}
	env, status := d.env, d.status

	fmt.Fprint(env.Stdout, demoGreeting(d.rate, d.temporary))
	var companions []*demo.Companion
	ended := make(chan *demo.Companion, len(d.with))
	closeAll := func() {
		var wg sync.WaitGroup
		for _, c := range companions {
			wg.Go(c.Close)
		}
		wg.Wait()
	}
	defer closeAll()
	for _, command := range d.with {
		c, err := demo.StartCompanion(command, daemon, d.seed, status)
		if err != nil {
			return fmt.Errorf("--with: %w", err)
		}
		companions = append(companions, c)
		go func() {
			<-c.Done()
			ended <- c
		}()
	}

	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = runner.Run(ctx) // its troubles are in its status
	}()
	begun := time.Now()
	tick := time.NewTicker(status.every())
	defer tick.Stop()
	hint := time.NewTicker(250 * time.Millisecond)
	defer hint.Stop()
	importing := d.history > 0
	for running := true; running; {
		select {
		case <-ctx.Done():
			running = false
		case c := <-ended:
			// When all are told to end at once, as by Ctrl-C, it is no news.
			select {
			case <-ctx.Done():
				continue
			case <-time.After(300 * time.Millisecond):
			}
			how := "well"
			if c.Err() != nil {
				how = "with " + c.Err().Error()
			}
			status.printf("%s ended %s; the shop goes on without it", c.Name(), how)
		case <-hint.C:
			// Traces to look at make the best beginning; they take a moment.
			s := runner.Status()
			if x := s.Examples; x.Order != "" && x.Failed != "" && x.Running != "" && (!importing || s.Import.Done) || time.Since(begun) > 4*time.Second {
				hint.Stop()
				fmt.Fprint(env.Stdout, demoHints(program(), srv.URL(), x, time.Now()))
			}
		case <-tick.C:
			s := runner.Status()
			if importing && s.Import.Done {
				importing = false
				status.printf("%s", importResult(s.Import))
			}
			status.show(demoStatus(s))
		}
	}
	status.clear()
	closeAll()
	cancel()
	<-done
	s := runner.Status()
	if importing {
		status.printf("%s", importResult(s.Import))
	}
	end := "The shop is closed: " + demoStatus(s) + "."
	if d.temporary {
		end += " Its data is removed."
	} else {
		end += " Its data stays in " + d.dir + "; roentgen serve --data-dir " + d.dir + " shows it again."
	}
	status.printf("%s", end)
	return nil
}

// demoGreeting says what runs; the server has said where.
func demoGreeting(rate float64, temporary bool) string {
	text := fmt.Sprintf("The demo shop is open: 13 services send what about %s requests a second cause.\n", trimFloat(rate))
	if temporary {
		text += "Its data is removed at the end; --data-dir DIR keeps it.\n"
	}
	return text
}

// program returns how the user calls this binary.
func program() string {
	if name := os.Args[0]; strings.ContainsRune(name, os.PathSeparator) && !strings.ContainsAny(name, " \t'\"$`\\") {
		return name
	}
	return "roentgen"
}

// demoHints says what to try next.
func demoHints(program, url string, x demo.Examples, now time.Time) string {
	endpoint := ""
	if url != defaultEndpoint {
		endpoint = " --endpoint " + url
	}
	var b strings.Builder
	b.WriteString("\nTry, in another terminal:\n")
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "  # %s\n  %s\n", what, fmt.Sprintf(format, args...))
	}
	line("the newest traces", "%s traces%s", program, endpoint)
	if x.Order != "" {
		line("an order, and all that it took", "%s trace %s%s", program, x.Order, endpoint)
	}
	if x.Failed != "" {
		line("a request that failed, and why", "%s trace %s%s", program, x.Failed, endpoint)
	}
	line("who calls whom, how often, how fast, and what fails", "%s graph%s", program, endpoint)
	line("requests whose payment failed or took long", `%s traces 'edge("checkout", "payments") { fault OR responsetime > 0.3 }'%s`, program, endpoint)
	line("what fails from now on, live", "%s tail 'service() { fault }'%s", program, endpoint)
	if x.Running != "" {
		line("a report that is still being made", "%s trace %s%s", program, x.Running, endpoint)
	}
	if x.Order != "" {
		line("the order again, by X-Ray's API", `curl -s %s/Traces -d '{"TraceIds":["%s"]}'`, url, x.Order)
	}
	line("the last ten minutes by the AWS CLI; any keys will do", "AWS_ENDPOINT_URL_XRAY=%s AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x \\\n    aws xray get-trace-summaries --region us-east-1 --start-time %d --end-time %d --max-items 5",
		url, now.Add(-10*time.Minute).Unix(), now.Add(time.Hour).Unix())
	b.WriteString("Ctrl-C closes the shop.\n\n")
	return b.String()
}

func trimFloat(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// demoStatus is one line about what was done.
func demoStatus(s demo.Status) string {
	b := fmt.Sprintf("%s requests, %s failed, %s throttled; %s documents sent, %s refused",
		grouped(s.Requests), grouped(s.Faults), grouped(s.Throttles), grouped(s.Sent), grouped(s.Refused))
	if s.Failed > 0 {
		b += fmt.Sprintf(", %s not delivered (%s)", grouped(s.Failed), s.LastError)
	}
	if s.Skipped > 0 {
		b += fmt.Sprintf("; fell behind %s times", grouped(s.Skipped))
	}
	if !s.Import.Done && !s.Import.From.IsZero() {
		b += fmt.Sprintf("; history %.0f %%", 100*s.Import.Fraction())
	}
	return b
}

// importResult says how the import of history went.
func importResult(s demo.ImportStatus) string {
	span := config.FormatDuration(s.To.Sub(s.From).Round(time.Second))
	took := s.Took.Seconds()
	text := fmt.Sprintf("%s of history: %s documents imported in %.1f s", span, grouped(s.Sent), took)
	if took > 0.1 {
		text += fmt.Sprintf(", %s a second", grouped(int64(float64(s.Sent)/took)))
	}
	if s.Err != nil {
		text += fmt.Sprintf("; the import ended at %.0f %%: %v", 100*s.Fraction(), s.Err)
	}
	return text
}

// grouped writes 1234567 as 1,234,567.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// statusLine writes messages to standard error, and below them, on a terminal,
// one line that is written anew each time. It may be used by many goroutines.
type statusLine struct {
	mu    sync.Mutex
	w     io.Writer
	width int // of the terminal; 0: no terminal, each status is a line of its own
	shown bool
}

func newStatusLine(env *Env) *statusLine {
	s := &statusLine{w: env.Stderr}
	if f, ok := env.Stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) && env.Getenv("TERM") != "dumb" {
		s.width = newTerminal(env.Stderr, env, "never", 0).width
	}
	return s
}

// every is how often a new status is worth showing.
func (s *statusLine) every() time.Duration {
	if s.width > 0 {
		return time.Second
	}
	return 10 * time.Second
}

// Write prints whole lines, of a log for instance, above the status.
func (s *statusLine) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
	return s.w.Write(p)
}

func (s *statusLine) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(s, format+"\n", args...)
}

func (s *statusLine) show(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text = time.Now().Format("15:04:05") + "  " + clean(text)
	if s.width == 0 {
		fmt.Fprintln(s.w, text)
		return
	}
	s.wipe()
	fmt.Fprint(s.w, terminal{width: s.width}.fit(text, s.width-1, false))
	s.shown = true
}

func (s *statusLine) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
}

// wipe removes the status. s.mu is held.
func (s *statusLine) wipe() {
	if s.shown {
		fmt.Fprint(s.w, "\r\x1b[K")
		s.shown = false
	}
}
