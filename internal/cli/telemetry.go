package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// telemetryCounts are the counts of a sender as /api/telemetry gives them.
type telemetryCounts struct {
	Timestamp                                                                               float64
	SegmentsReceivedCount, SegmentsSentCount, SegmentsSpilloverCount, SegmentsRejectedCount int64
	BackendConnectionErrors                                                                 struct {
		TimeoutCount, ConnectionRefusedCount, HTTPCode4XXCount, HTTPCode5XXCount, UnknownHostCount, OtherCount int64
	}
}

func (c *telemetryCounts) failures() int64 {
	e := &c.BackendConnectionErrors
	return e.TimeoutCount + e.ConnectionRefusedCount + e.HTTPCode4XXCount + e.HTTPCode5XXCount + e.UnknownHostCount + e.OtherCount
}

type telemetrySender struct {
	Hostname, EC2InstanceId, ResourceARN, Host *string
	FirstSeen, LastSeen                        float64
	Count                                      int64
	Total                                      telemetryCounts
	Latest                                     *telemetryCounts
}

// name returns the best name of a sender that there is.
func (s *telemetrySender) name() string {
	for _, n := range []*string{s.Hostname, s.EC2InstanceId, s.ResourceARN, s.Host} {
		if n != nil && *n != "" {
			return *n
		}
	}
	return "?"
}

func newTelemetryCommand(env *Env) *cobra.Command {
	var asJSON, latest bool
	var columns int
	var colour string
	cmd := &cobra.Command{
		Use:   "telemetry",
		Short: "List the daemons and agents that report, and what they lost",
		Long: `List the X-Ray daemons and agents that send telemetry records, the one heard last
first, with the segments that they received, sent on, dropped for lack of room
(SPILLED) and saw refused (REJECTED), and their failed calls to this server. Figures
cover all records of a sender, with --latest the latest one: a minute, as a rule.`,
		Example: `  roentgen telemetry
  roentgen telemetry --latest
  roentgen telemetry --json | jq 'select(.Total.SegmentsSpilloverCount > 0)'`,
		Args: noArgs,
	}
	endpoint := endpointFlag(cmd.Flags(), env)
	cmd.Flags().BoolVar(&latest, "latest", false, "figures of the latest record instead of all")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one sender a line, as JSON, with its latest records")
	cmd.Flags().IntVar(&columns, "width", 0, "columns to fill (default: those of the terminal)")
	colourFlag(cmd, &colour)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := newClient(*endpoint)
		if err != nil {
			return err
		}
		path := "/api/telemetry"
		if asJSON {
			path += "?records=true"
		}
		var answer struct{ Senders []json.RawMessage }
		if err := c.get(cmd.Context(), path, &answer); err != nil {
			if isStatus(err, http.StatusNotFound) {
				return fmt.Errorf("%s cannot do that: it is no Roentgen server, or one of an earlier version", c.endpoint)
			}
			return err
		}
		var b bytes.Buffer
		if asJSON {
			for _, raw := range answer.Senders {
				fmt.Fprintf(&b, "%s\n", raw)
			}
			_, err := b.WriteTo(env.Stdout)
			return err
		}
		senders := make([]telemetrySender, len(answer.Senders))
		for i, raw := range answer.Senders {
			if err := json.Unmarshal(raw, &senders[i]); err != nil {
				return fmt.Errorf("the answer of %s is not what this version of roentgen expects: %w", c.endpoint, err)
			}
		}
		writeTelemetry(&b, newTerminal(env.Stdout, env, colour, columns), senders, latest, time.Now())
		_, err = b.WriteTo(env.Stdout)
		return err
	}
	return cmd
}

func writeTelemetry(b *bytes.Buffer, t terminal, senders []telemetrySender, latest bool, now time.Time) {
	if len(senders) == 0 {
		fmt.Fprintln(b, "nobody has reported yet; an X-Ray daemon or roentgen agent that sends to this server does so once a minute")
		return
	}
	heads := []string{"HEARD", "RECEIVED", "SENT", "SPILLED", "REJECTED", "FAILED CALLS"}
	rows := make([][]string, len(senders))
	widths := make([]int, len(heads))
	for i, h := range heads {
		widths[i] = len(h)
	}
	nameWidth := len("SENDER")
	for i := range senders {
		s := &senders[i]
		counts := &s.Total
		if latest && s.Latest != nil {
			counts = s.Latest
		}
		rows[i] = []string{
			heard(now, s.LastSeen), grouped(counts.SegmentsReceivedCount), grouped(counts.SegmentsSentCount),
			grouped(counts.SegmentsSpilloverCount), grouped(counts.SegmentsRejectedCount), grouped(counts.failures()),
		}
		for j, cell := range rows[i] {
			widths[j] = max(widths[j], len(cell))
		}
		nameWidth = max(nameWidth, cells(clean(s.name())))
	}
	left := t.width
	for _, w := range widths {
		left -= w + 2
	}
	nameWidth = min(nameWidth, max(left, 12))
	line := func(cells []string, style func(column int) string) {
		for j, cell := range cells {
			b.WriteString("  ")
			b.WriteString(strings.Repeat(" ", widths[j]-len(cell)))
			b.WriteString(t.paint(style(j), cell))
		}
		b.WriteByte('\n')
	}
	b.WriteString(t.paint(styleDim, t.fit("SENDER", nameWidth, true)))
	line(heads, func(int) string { return styleDim })
	for i := range senders {
		b.WriteString(t.paint(styleBold, t.fit(clean(senders[i].name()), nameWidth, true)))
		line(rows[i], func(column int) string {
			if column >= 3 && rows[i][column] != "0" {
				return styleRed // something was lost
			}
			return ""
		})
	}
}

// heard says how long ago a time was, in one unit.
func heard(now time.Time, at float64) string {
	ago := float64(now.UnixMilli())/1e3 - at
	for _, u := range []struct {
		seconds float64
		name    string
	}{{86400, "d"}, {3600, "h"}, {60, "m"}} {
		if ago >= u.seconds {
			return strconv.FormatFloat(math.Floor(ago/u.seconds), 'f', 0, 64) + u.name + " ago"
		}
	}
	return strconv.FormatFloat(math.Floor(max(ago, 0)), 'f', 0, 64) + "s ago"
}
