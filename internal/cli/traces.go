package cli

import (
	"encoding/json"
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
	var asJSON, utc bool
	cmd := &cobra.Command{
		Use:   "traces",
		Short: "List the newest traces",
		Long: `List the traces of a window, newest first.

--since and --until take a time ago (90s, 15m, 36h, 7d) or a time such as
2026-11-22T14:00:00Z or, today, 14:00. --clock says which time of a trace must lie
in the window: when its work started, when its latest document was received, or
when a part of it ended.`,
		Example: `  roentgen traces
  roentgen traces --since 15m --limit 100
  roentgen traces --since 2h --until 1h --clock received --json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &exitError{2, fmt.Errorf("filter expressions are not built yet; roentgen traces lists by window only")}
			}
			return nil
		},
	}
	endpoint := endpointFlag(cmd.Flags(), env)
	cmd.Flags().StringVar(&since, "since", "1h", "beginning of the window: a time ago, or a time")
	cmd.Flags().StringVar(&until, "until", "", "end of the window: a time ago, or a time (default: a minute ahead, for clocks that run fast)")
	cmd.Flags().StringVar(&clock, "clock", "start", "the time that counts: start, received or end")
	cmd.Flags().IntVarP(&limit, "limit", "n", 20, "how many traces to list")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one trace summary a line, as JSON")
	cmd.Flags().BoolVar(&utc, "utc", false, "show times in UTC")
	cmd.Flags().IntVar(&columns, "width", 0, "columns to fill (default: those of the terminal)")
	colourFlag(cmd, &colour)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := newClient(*endpoint)
		if err != nil {
			return err
		}
		now := time.Now()
		start, err := parseTime(since, now)
		if err != nil {
			return &exitError{2, fmt.Errorf("--since: %w", err)}
		}
		end := now.Add(time.Minute)
		if until != "" {
			if end, err = parseTime(until, now); err != nil {
				return &exitError{2, fmt.Errorf("--until: %w", err)}
			}
		}
		if !start.Before(end) {
			return &exitError{2, fmt.Errorf("the window ends (%s) before it begins (%s)", end.Format(time.RFC3339), start.Format(time.RFC3339))}
		}
		if clocks[clock] == "" {
			return &exitError{2, fmt.Errorf("--clock is start, received or end, not %q", clock)}
		}
		if limit < 1 {
			return &exitError{2, fmt.Errorf("--limit must be at least 1")}
		}
		q := url.Values{
			"start": {formatEpoch(start)}, "end": {formatEpoch(end)},
			"clock": {clocks[clock]}, "limit": {strconv.Itoa(min(limit, 1000))},
		}
		t := newTerminal(env.Stdout, env, colour, columns)
		location := time.Local
		if utc {
			location = time.UTC
		}
		shown, more := 0, false
		for {
			var page summariesAnswer
			if err := c.get(cmd.Context(), "/api/traces?"+q.Encode(), &page); err != nil {
				return err
			}
			for _, raw := range page.TraceSummaries {
				if shown == limit {
					more = true
					break
				}
				if asJSON {
					fmt.Fprintf(env.Stdout, "%s\n", raw)
				} else {
					var s summary
					if err := json.Unmarshal(raw, &s); err != nil {
						return fmt.Errorf("the answer of %s is not what this version of roentgen expects: %w", c.endpoint, err)
					}
					if shown == 0 {
						fmt.Fprintln(env.Stdout, t.paint(styleDim, tracesRow(t, "TIME", "DURATION", "STATUS", "ENTRY", "REQUEST", "SERVICES", "TRACE", "")))
					}
					fmt.Fprintln(env.Stdout, s.row(t, now, location))
				}
				shown++
			}
			if page.NextToken == nil || *page.NextToken == "" || more {
				break
			}
			if shown == limit {
				more = true
				break
			}
			q.Set("token", *page.NextToken)
		}
		if !asJSON {
			switch {
			case shown == 0:
				fmt.Fprintf(env.Stdout, "no traces between %s and %s; --since looks further back\n",
					start.In(location).Format("2006-01-02 15:04:05"), end.In(location).Format("2006-01-02 15:04:05 MST"))
			case more:
				fmt.Fprintln(env.Stdout, t.paint(styleDim, fmt.Sprintf("the newest %s of more; -n shows more", group(shown))))
			}
		}
		return nil
	}
	return cmd
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
	case s.EntryPoint == nil:
		mark, style = "partial", styleBlue
	case s.ResponseTime == nil:
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
