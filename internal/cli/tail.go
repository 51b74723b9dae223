package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

const (
	// streamSilence is how long a stream may say nothing, not even that it lives,
	// before the connection counts as lost. The server gives a sign every 10 s.
	streamSilence = 35 * time.Second
	// maxStreamLine bounds a line of a stream.
	maxStreamLine = 16 << 20
	// maxFollowed bounds the traces whose state is remembered. A trace that changes
	// after so many others is shown as if it were new.
	maxFollowed = 20_000
	// maxCatchUp bounds the traces that are shown after an interruption.
	maxCatchUp = 200
)

func newTailCommand(env *Env) *cobra.Command {
	var o followOptions
	var colour string
	var columns int
	var utc bool
	cmd := &cobra.Command{
		Use:   "tail [EXPRESSION]",
		Short: "Show traces as they arrive",
		Long: `Show traces as they arrive, those that match EXPRESSION when one is given, until
Ctrl-C. A trace that was shown while it was in progress or incomplete is shown
again when it is done, and any trace when an error, a fault or a throttle comes
to light later: such lines begin with a sign of their own (↻).

When the server goes away, tail waits for it and then shows what changed in the
meantime. Traces of which only subsegments have arrived are left out unless
--orphans is given: most of them wait a moment for their segment, but functions
on Lambda may send nothing else.`,
		Example: `  roentgen tail
  roentgen tail fault
  roentgen tail 'service("orders") AND responsetime > 1'
  roentgen tail --json -n 1 'annotation.tenant = "acme"' | jq .`,
	}
	endpoint := endpointFlag(cmd.Flags(), env)
	cmd.Flags().IntVarP(&o.limit, "limit", "n", 0, "end after so many lines (0: never)")
	cmd.Flags().BoolVar(&o.orphans, "orphans", false, "show traces of which only subsegments have arrived, too")
	cmd.Flags().BoolVar(&o.json, "json", false, "print one trace summary a line, as JSON")
	cmd.Flags().BoolVar(&utc, "utc", false, "show times in UTC")
	cmd.Flags().IntVar(&columns, "width", 0, "columns to fill (default: those of the terminal)")
	colourFlag(cmd, &colour)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if o.limit < 0 {
			return &exitError{2, errors.New("--limit must be at least 1, or 0 for no end")}
		}
		c, err := newClient(*endpoint)
		if err != nil {
			return err
		}
		o.expression = strings.TrimSpace(strings.Join(args, " "))
		o.location = time.Local
		if utc {
			o.location = time.UTC
		}
		f := newFollower(env, c, newTerminal(env.Stdout, env, colour, columns), newTerminal(env.Stderr, env, colour, columns), o)
		return f.run(cmd.Context(), nil)
	}
	return cmd
}

type followOptions struct {
	expression    string
	json, orphans bool
	limit         int // lines after which to end; 0: none
	location      *time.Location
}

// follower prints traces as they change.
type follower struct {
	followOptions
	env    *Env
	c      *client
	t, err terminal // of standard output and of standard error
	seen   map[string]*followed
	// order has the keys of seen, oldest first; its front is forgotten first.
	order []string

	printed int
	lastRow time.Time // when a line came last from the server
}

// followed is a trace that was shown.
type followed struct {
	revision int
	open     int // what was still to come when it was shown
	flags    int // what had gone wrong when it was shown
}

// state returns, as sets, for which reasons more of s is to come and what went
// wrong.
func (s *summary) state() (open, flags int) {
	set := func(bits ...bool) (n int) {
		for i, bit := range bits {
			n |= boolInt(bit) << i
		}
		return n
	}
	return set(s.InProgress, s.IsPartial, s.EntryPoint == nil || s.OrphanOnly), set(s.HasFault, s.HasError, s.HasThrottle)
}

func newFollower(env *Env, c *client, out, err terminal, o followOptions) *follower {
	return &follower{followOptions: o, env: env, c: c, t: out, err: err, seen: map[string]*followed{}}
}

// note tells the user something that is no part of the output.
func (f *follower) note(text string) {
	fmt.Fprintln(f.env.Stderr, f.err.paint(styleDim, text))
}

var (
	errFollowed = errors.New("the limit is reached")
	errLine     = errors.New("a line of the answer cannot be read")
	errSilence  = errors.New("nothing came for a while")
)

// writeError is a failure to print. No other connection helps.
type writeError struct{ error }

func (e writeError) Unwrap() error { return e.error }

// run follows until ctx is done, the limit is reached or nobody reads the output.
// history, when there is one, is called once the stream is open, so that nothing
// is lost between what it shows and what follows.
func (f *follower) run(ctx context.Context, history func() error) error {
	const firstPause, longestPause = 500 * time.Millisecond, 15 * time.Second
	pause, connected := firstPause, false
	for {
		err := f.follow(ctx, func(resp *http.Response) error {
			if !connected {
				if !f.json {
					f.note("following " + f.c.endpoint + "; Ctrl-C ends")
				}
				if history != nil {
					if err := history(); err != nil {
						return err
					}
				}
				connected, f.lastRow = true, time.Now()
				return nil
			}
			pause = firstPause
			return f.catchUp(ctx, resp)
		})
		var unprintable writeError
		var refusal *apiError
		if ctx.Err() != nil || errors.Is(err, errFollowed) || errors.Is(err, syscall.EPIPE) && errors.As(err, &unprintable) {
			return nil //nolint:nilerr // Ctrl-C, the limit, and a reader who has enough are good ends
		}
		switch {
		case errors.As(err, &unprintable):
			return fmt.Errorf("cannot write the output: %w", unprintable.error)
		case errors.As(err, &refusal) && refusal.Status < 500 && refusal.Status != http.StatusTooManyRequests:
			if refusal.Status == http.StatusNotFound {
				return fmt.Errorf("%s has no stream of traces to follow; it is no Roentgen, or an older one", f.c.endpoint)
			}
			return f.c.filterError(ctx, f.err, f.expression, err)
		case !connected:
			return err
		}
		if pause == firstPause {
			f.note("connection lost, trying again")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
}

// follow reads one stream to its end and says why it ended. opened is called when
// the stream is there.
func (f *follower) follow(ctx context.Context, opened func(*http.Response) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(streamSilence, func() { cancel(errSilence) })
	defer silence.Stop()
	q := url.Values{}
	if f.expression != "" {
		q.Set("filter", f.expression)
	}
	if f.orphans {
		q.Set("orphans", "true")
	}
	path := "/api/tail"
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	resp, err := f.c.stream(ctx, path)
	if err != nil {
		if errors.Is(context.Cause(ctx), errSilence) {
			return fmt.Errorf("%s accepts the connection but does not answer", f.c.endpoint)
		}
		return err
	}
	defer resp.Body.Close()
	silence.Stop()
	if err := opened(resp); err != nil {
		return err
	}
	silence.Reset(streamSilence)
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxStreamLine)
	var unreadable error // the last line, which may only be cut off
	for lines.Scan() {
		silence.Reset(streamSilence)
		f.lastRow = time.Now()
		if unreadable != nil {
			f.note(unreadable.Error())
		}
		unreadable = nil
		err := f.line(lines.Bytes())
		switch {
		case errors.Is(err, errLine):
			unreadable = err
		case err != nil:
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return errors.New("the server ended the stream")
}

// line takes a line of the stream.
func (f *follower) line(line []byte) error {
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return nil
	}
	var s struct {
		summary
		Missed int
	}
	if err := json.Unmarshal(line, &s); err != nil {
		return fmt.Errorf("%w: %w", errLine, err)
	}
	if s.Missed > 0 {
		advice := ""
		if f.expression == "" {
			advice = "; an expression narrows"
		}
		f.note(fmt.Sprintf("%s left out, too many change at a time%s", plural(s.Missed, "changed trace"), advice))
	}
	if s.ID == "" {
		return nil
	}
	return f.trace(&s.summary, line)
}

// trace prints s, whose text is raw, when it is news.
func (f *follower) trace(s *summary, raw []byte) error {
	if s.OrphanOnly && !f.orphans {
		return nil
	}
	open, flags := s.state()
	was := f.seen[s.ID]
	switch {
	case was == nil:
		if len(f.order) >= maxFollowed {
			delete(f.seen, f.order[0])
			f.order = f.order[1:]
		}
		f.order = append(f.order, s.ID)
		f.seen[s.ID] = &followed{s.Revision, open, flags}
	case s.Revision <= was.revision:
		return nil
	default:
		was.revision = s.Revision
		if was.open&^open == 0 && was.flags == flags {
			return nil
		}
		was.open, was.flags = open, flags
	}
	var err error
	switch {
	case f.json:
		_, err = fmt.Fprintf(f.env.Stdout, "%s\n", raw)
	default:
		if f.printed == 0 {
			f.header()
		}
		_, err = fmt.Fprintln(f.env.Stdout, f.row(s, was != nil))
	}
	if err != nil {
		return writeError{err}
	}
	f.printed++
	if f.limit > 0 && f.printed >= f.limit {
		return errFollowed
	}
	return nil
}

// The sign of a trace that was shown before stands in a column of its own.
const signWidth = 2

func (f *follower) header() {
	t := f.t
	t.width -= signWidth
	fmt.Fprintln(f.env.Stdout, t.paint(styleDim, strings.Repeat(" ", signWidth)+tracesRow(t, "TIME", "DURATION", "STATUS", "ENTRY", "REQUEST", "SERVICES", "TRACE", "")))
}

func (f *follower) row(s *summary, again bool) string {
	t := f.t
	t.width -= signWidth
	sign := "  "
	if again {
		sign = "↻ "
		if t.ascii {
			sign = "* "
		}
		sign = t.paint(styleCyan, sign)
	}
	return sign + s.row(t, time.Now(), f.location)
}

// catchUp shows what changed while there was no connection, as far as the server
// still knows it. The window is one of the server's clock, which its answer tells.
func (f *follower) catchUp(ctx context.Context, resp *http.Response) error {
	now := time.Now()
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		now = at
	}
	// Two seconds more than it was, for the whole seconds of the header and for
	// what was on its way.
	start := now.Add(-time.Since(f.lastRow) - 2*time.Second)
	q := url.Values{"start": {formatEpoch(start)}, "end": {formatEpoch(now.Add(2 * time.Second))}, "clock": {"changed"}}
	var rows []json.RawMessage
	search := &traceSearch{c: f.c, query: q, expression: f.expression, limit: maxCatchUp}
	err := search.run(ctx, func(raw json.RawMessage) error {
		rows = append(rows, raw)
		return nil
	})
	if err != nil {
		return err
	}
	f.note("connected again")
	if search.more {
		f.note(fmt.Sprintf("more traces changed in the meantime; here are the newest %d", maxCatchUp))
	}
	for i := len(rows) - 1; i >= 0; i-- {
		if err := f.line(rows[i]); err != nil {
			return err
		}
	}
	return nil
}
