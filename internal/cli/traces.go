package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// summary is what the table of traces shows of a TraceSummary.
type summary struct {
	ID           string `json:"Id"`
	StartTime    *float64
	Duration     *float64
	ResponseTime *float64
	HasFault     bool
	HasError     bool
	HasThrottle  bool
	IsPartial    bool
	InProgress   bool // these two are Roentgen's own
	OrphanOnly   bool // only subsegments without their segments have arrived
	Revision     int
	HTTP         struct {
		HTTPMethod *string `json:"HttpMethod"`
		HTTPURL    *string `json:"HttpURL"`
		HTTPStatus *int    `json:"HttpStatus"`
	} `json:"Http"`
	EntryPoint *struct{ Name string }
	ServiceIDs []struct {
		Name string
		Type *string
	} `json:"ServiceIds"`
}

type summariesAnswer struct {
	TraceSummaries       []json.RawMessage
	TracesProcessedCount int64
	NextToken            *string
}

// clocks are the values of --clock and what the server calls them.
var clocks = map[string]string{"start": "start", "received": "changed", "end": "end"}

func newTracesCommand(env *Env) *cobra.Command {
	var since, until, clock, colour string
	var limit, columns int
	var asJSON, utc, follow bool
	cmd := &cobra.Command{
		Use:   "traces [EXPRESSION]",
		Short: "Find traces, or list the newest",
		Long: `List the traces of a window, newest first: all of them, or those that match a
filter expression of X-Ray's language. roentgen explain tells how an expression is
understood.

--since and --until take a time ago (90s, 15m, 36h, 7d) or a time such as
2026-11-22T14:00:00Z or, today, 14:00. --clock says which time of a trace must lie
in the window: when its work started, when its latest document was received, or
when a part of it ended.

With --follow the traces of the window come oldest first, and after them those
that arrive, as roentgen tail shows them.`,
		Example: `  roentgen traces
  roentgen traces 'service("orders") { fault }' --since 6h
  roentgen traces 'annotation.tenant = "acme" AND responsetime > 2' --limit 100
  roentgen traces 'http.url CONTAINS "/cart"' --since 10m --follow
  roentgen traces --since 2h --until 1h --clock received --json`,
	}
	endpoint := endpointFlag(cmd.Flags(), env)
	cmd.Flags().StringVar(&since, "since", "1h", "beginning of the window: a time ago, or a time")
	cmd.Flags().StringVar(&until, "until", "", "end of the window: a time ago, or a time (default: a minute ahead, for clocks that run fast)")
	cmd.Flags().StringVar(&clock, "clock", "start", "the time that counts: start, received or end")
	cmd.Flags().IntVarP(&limit, "limit", "n", 20, "how many traces to list")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with the traces that arrive, until Ctrl-C")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one trace summary a line, as JSON")
	cmd.Flags().BoolVar(&utc, "utc", false, "show times in UTC")
	cmd.Flags().IntVar(&columns, "width", 0, "columns to fill (default: those of the terminal)")
	colourFlag(cmd, &colour)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := newClient(*endpoint)
		if err != nil {
			return err
		}
		if follow && until != "" {
			return &exitError{2, errors.New("--follow has no end; leave out --until")}
		}
		now := time.Now()
		start, end, err := parseWindow(since, until, now, now.Add(time.Minute))
		if err != nil {
			return &exitError{2, err}
		}
		if clocks[clock] == "" {
			return &exitError{2, fmt.Errorf("--clock is start, received or end, not %q", clock)}
		}
		if limit < 1 {
			return &exitError{2, fmt.Errorf("--limit must be at least 1")}
		}
		t := newTerminal(env.Stdout, env, colour, columns)
		location := time.Local
		if utc {
			location = time.UTC
		}
		status := newStatusLine(env)
		search := &traceSearch{
			c:          c,
			query:      url.Values{"start": {formatEpoch(start)}, "end": {formatEpoch(end)}, "clock": {clocks[clock]}},
			expression: strings.TrimSpace(strings.Join(args, " ")),
			limit:      limit,
			progress: func(examined int64) {
				if status.width > 0 {
					status.show(fmt.Sprintf("searching: %s examined", plural(int(examined), "trace")))
				}
			},
		}
		errTerminal := newTerminal(env.Stderr, env, colour, columns)
		if follow {
			f := newFollower(env, c, t, errTerminal, followOptions{
				expression: search.expression, json: asJSON, orphans: true, location: location,
			})
			return f.run(cmd.Context(), func() error {
				var rows []json.RawMessage
				err := search.run(cmd.Context(), func(raw json.RawMessage) error {
					rows = append(rows, raw)
					return nil
				})
				status.clear()
				for i := len(rows) - 1; i >= 0 && err == nil; i-- {
					err = f.line(rows[i])
				}
				return err
			})
		}
		err = search.run(cmd.Context(), func(raw json.RawMessage) error {
			status.clear()
			if asJSON {
				_, err := fmt.Fprintf(env.Stdout, "%s\n", raw)
				return err
			}
			var s summary
			if err := json.Unmarshal(raw, &s); err != nil {
				return fmt.Errorf("the answer of %s is not what this version of roentgen expects: %w", c.endpoint, err)
			}
			if search.found == 1 {
				fmt.Fprintln(env.Stdout, t.paint(styleDim, tracesRow(t, "TIME", "DURATION", "STATUS", "ENTRY", "REQUEST", "SERVICES", "TRACE", "")))
			}
			_, err := fmt.Fprintln(env.Stdout, s.row(t, now, location))
			return err
		})
		status.clear()
		if err != nil {
			if cmd.Context().Err() != nil {
				return fmt.Errorf("interrupted; %s examined", plural(int(search.examined), "trace"))
			}
			return c.filterError(cmd.Context(), errTerminal, search.expression, err)
		}
		if !asJSON {
			if search.found == 0 {
				window := fmt.Sprintf("between %s and %s", start.In(location).Format("2006-01-02 15:04:05"), end.In(location).Format("2006-01-02 15:04:05 MST"))
				if search.expression == "" {
					fmt.Fprintf(env.Stdout, "no traces %s; --since looks further back\n", window)
				} else {
					fmt.Fprintf(env.Stdout, "none of %s %s matches; --since looks further back, and roentgen explain EXPRESSION ID tells why a trace does not match\n",
						plural(int(search.examined), "trace"), window)
				}
			} else if closing := search.closing(); closing != "" {
				fmt.Fprintln(env.Stdout, t.paint(styleDim, closing))
			}
		}
		return nil
	}
	return cmd
}

// parseWindow reads --since and --until; end is the end when there is no --until.
func parseWindow(since, until string, now, end time.Time) (time.Time, time.Time, error) {
	start, err := parseTime(since, now)
	if err != nil {
		return start, end, fmt.Errorf("--since: %w", err)
	}
	if until != "" {
		if end, err = parseTime(until, now); err != nil {
			return start, end, fmt.Errorf("--until: %w", err)
		}
	}
	if !start.Before(end) {
		return start, end, fmt.Errorf("the window ends (%s) before it begins (%s)", end.Format(time.RFC3339), start.Format(time.RFC3339))
	}
	return start, end, nil
}

// traceSearch reads the pages of a search.
type traceSearch struct {
	c          *client
	query      url.Values // the window
	expression string     // "": every trace of the window
	limit      int
	progress   func(examined int64) // nil: nobody wants to know

	found    int   // traces that were handed out
	examined int64 // traces that the server looked at
	more     bool  // there may be more than limit
}

// run calls fn for the matches, newest first. The server answers long searches in
// pieces, which may hold nothing but where to go on.
func (s *traceSearch) run(ctx context.Context, fn func(json.RawMessage) error) error {
	q := s.query
	q.Set("limit", strconv.Itoa(min(s.limit, 1000)))
	if s.expression != "" {
		q.Set("filter", s.expression)
	}
	began := time.Now()
	for {
		var page summariesAnswer
		if err := s.c.get(ctx, "/api/traces?"+q.Encode(), &page); err != nil {
			return err
		}
		s.examined += page.TracesProcessedCount
		for _, raw := range page.TraceSummaries {
			if s.found == s.limit {
				s.more = true
				return nil
			}
			s.found++
			if err := fn(raw); err != nil {
				return err
			}
		}
		if page.NextToken == nil || *page.NextToken == "" {
			return nil
		}
		if s.found == s.limit {
			s.more = true
			return nil
		}
		if q.Get("token") == *page.NextToken {
			return fmt.Errorf("%s sends the same page again and again; the list is not complete", s.c.endpoint)
		}
		q.Set("token", *page.NextToken)
		if s.progress != nil && time.Since(began) > time.Second {
			s.progress(s.examined)
		}
	}
}

// closing is the line below the table; "" when there is nothing to say.
func (s *traceSearch) closing() string {
	switch {
	case s.expression != "" && s.more:
		return fmt.Sprintf("the newest %s, %s examined; -n shows more", plural(s.found, "match"), plural(int(s.examined), "trace"))
	case s.expression != "":
		return fmt.Sprintf("%s, %s examined", plural(s.found, "match"), plural(int(s.examined), "trace"))
	case s.more:
		return fmt.Sprintf("the newest %s of more; -n shows more", group(s.found))
	}
	return ""
}

func formatEpoch(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64)
}

// parseTime reads a time ago or a time.
func parseTime(s string, now time.Time) (time.Time, error) {
	if s == "now" {
		return now, nil
	}
	text := s
	var days time.Duration
	if d, rest, ok := strings.Cut(s, "d"); ok {
		if n, err := strconv.Atoi(d); err == nil && n >= 0 && n < 100_000 {
			days, text = time.Duration(n)*24*time.Hour, rest
			if text == "" {
				return now.Add(-days), nil
			}
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-days - d), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.Local), nil
		}
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && f > 1e8 && f < 1e11 {
		return time.UnixMilli(int64(f * 1000)), nil
	}
	return time.Time{}, fmt.Errorf("%q is no time; write 15m, 36h, 7d, 14:00 or 2026-11-22T14:00:00Z", s)
}

// tracesRow lays out a line of the table. Columns that a narrow terminal has no
// room for are left out, the id never.
func tracesRow(t terminal, when, took, status, entry, request, services, id, style string) string {
	const idWidth = 35
	cells := t.fit(when, 12, true) + "  " + strings.Repeat(" ", max(0, 8-cells(took))) + took + "  " + t.paint(style, t.fit(status, 7, true))
	left := t.width - 12 - 2 - 8 - 2 - 7 - 2 - idWidth
	if left >= 22 {
		entryWidth := min(24, left/3)
		cells += "  " + t.fit(entry, entryWidth, true)
		left -= entryWidth + 2
		if left >= 34 {
			cells += "  " + strings.Repeat(" ", 8-len(services)) + services
			left -= 10
		}
		cells += "  " + t.fit(request, min(60, left-2), true)
	} else if left >= 8 {
		cells += "  " + t.fit(entry, left-2, true)
	}
	return cells + "  " + id
}

func (s *summary) row(t terminal, now time.Time, location *time.Location) string {
	when := "-"
	if s.StartTime != nil {
		at := time.UnixMicro(int64(*s.StartTime * 1e6)).In(location)
		when = at.Format("15:04:05.000")
		if d := now.Sub(at); d > 20*time.Hour || d < -time.Hour {
			when = at.Format("Jan _2 15:04")
			if d > 300*24*time.Hour || d < -30*24*time.Hour {
				when = at.Format("2006-01-02")
			}
		}
	}
	took := "-"
	if s.Duration != nil {
		took = formatSeconds(*s.Duration)
	}
	g := unicodeGlyphs
	if t.ascii {
		g = asciiGlyphs
	}
	mark, word, style := "ok", "", ""
	switch {
	case s.HasFault:
		mark, word, style = g.fault, " fault", styleRed
	case s.HasThrottle:
		mark, word, style = g.throttle, " 429", styleYellow
	case s.HasError:
		mark, word, style = g.errorMark, " error", styleYellow
	case s.OrphanOnly:
		mark, style = "orphan", styleBlue
	case s.EntryPoint == nil:
		mark, style = "partial", styleBlue
	case s.InProgress || s.ResponseTime == nil:
		mark, word, style = g.running, " runs", styleBlue
	}
	status := mark + word
	if s.HTTP.HTTPStatus != nil {
		status = mark + " " + strconv.Itoa(*s.HTTP.HTTPStatus)
	}
	request := ""
	if s.HTTP.HTTPMethod != nil {
		request = clean(*s.HTTP.HTTPMethod) + " "
	}
	if s.HTTP.HTTPURL != nil {
		path := *s.HTTP.HTTPURL
		if u, err := url.Parse(path); err == nil && u.Path != "" {
			path = u.Path
		}
		request += clean(path)
	}
	entry, services := "", 0
	if s.EntryPoint != nil {
		entry = clean(s.EntryPoint.Name)
	}
	for _, id := range s.ServiceIDs {
		if id.Type == nil || *id.Type != "client" {
			services++
			if entry == "" {
				entry = clean(id.Name)
			}
		}
	}
	return tracesRow(t, when, took, status, entry, strings.TrimSpace(request), strconv.Itoa(services), s.ID, style)
}
