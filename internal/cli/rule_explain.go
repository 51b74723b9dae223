package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// explainRuleAnswer is the answer of POST /api/sampling/explain.
type explainRuleAnswer struct {
	RuleName        string
	XRaySDKRuleName string
	Rules           []struct {
		RuleName      string
		Priority      int
		FixedRate     float64
		ReservoirSize int
		Matches       bool
		Mismatches    []struct{ Field, Pattern, Value string }
		SDKsIgnore    string
	}
}

func newRuleExplainCommand(env *Env) *cobra.Command {
	var f ruleFlags
	var asJSON bool
	var columns int
	var colour string
	cmd := &cobra.Command{
		Use:   "explain [METHOD] [URL]",
		Short: "Tell which rule decides on a request, and why the others do not",
		Long: `Tell which sampling rule decides on a request, and why the others do not. What is
not said of the request is not known of it, and matches every rule, as in X-Ray's
SDKs. The URL gives host and path.`,
		Example: `  roentgen rule explain --service till GET http://shop.example.com/cart/7
  roentgen rule explain --service till --attribute tenant=acme`,
		Args: argsUpTo(2),
	}
	endpoint := endpointFlag(cmd.Flags(), env)
	f.flags = cmd.Flags()
	f.texts = make(map[string]*string)
	for _, m := range ruleMembers {
		f.texts[m.member] = f.flags.String(m.flag, "", strings.TrimSuffix(m.help, "; X-Ray SDKs pass over rules with another one than *"))
	}
	f.flags.StringArrayVar(&f.attributes, "attribute", nil, "`KEY=VALUE`, an attribute of the request (may be repeated)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the server's answer as JSON")
	cmd.Flags().IntVar(&columns, "width", 0, "columns to fill (default: those of the terminal)")
	colourFlag(cmd, &colour)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		question := map[string]any{}
		for member, text := range f.texts {
			if *text != "" {
				question[member] = *text
			}
		}
		attributes, err := parseAttributes(f.attributes)
		if err != nil {
			return err
		}
		if len(attributes) > 0 {
			question["Attributes"] = attributes
		}
		if err := requestArgs(question, args); err != nil {
			return err
		}
		c, err := newClient(*endpoint)
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if err := c.post(cmd.Context(), "/api/sampling/explain", question, &raw); err != nil {
			return c.samplingError(err)
		}
		if asJSON {
			return printIndented(env.Stdout, raw)
		}
		var answer explainRuleAnswer
		if err := json.Unmarshal(raw, &answer); err != nil {
			return fmt.Errorf("the answer of %s is not what this version of roentgen expects: %w", c.endpoint, err)
		}
		var b bytes.Buffer
		var unknown []string
		for _, m := range ruleMembers[:5] { // of the resource hardly anybody knows anything
			if question[m.member] == nil {
				unknown = append(unknown, m.shown)
			}
		}
		answer.print(&b, newTerminal(env.Stdout, env, colour, columns), unknown)
		_, err = b.WriteTo(env.Stdout)
		return err
	}
	return cmd
}

// requestArgs takes a method and a URL, in this order, either of which may be missing.
func requestArgs(question map[string]any, args []string) error {
	set := func(member, value string) error {
		if _, twice := question[member]; twice {
			return &exitError{2, fmt.Errorf("%s is given twice", member)}
		}
		question[member] = value
		return nil
	}
	for i, arg := range args {
		if i == 0 && isMethod(arg) {
			if err := set("HTTPMethod", arg); err != nil {
				return err
			}
			continue
		}
		u, err := url.Parse(arg)
		if err != nil || i < len(args)-1 || u.Host == "" && !strings.HasPrefix(arg, "/") {
			return &exitError{2, fmt.Errorf("%q is no URL; write GET http://shop.example.com/cart, or a path such as /cart", clean(arg))}
		}
		if u.Host != "" {
			if err := set("Host", u.Host); err != nil {
				return err
			}
		}
		path := u.EscapedPath()
		if path == "" {
			path = "/"
		}
		if err := set("URLPath", path); err != nil {
			return err
		}
	}
	return nil
}

func isMethod(s string) bool {
	for _, c := range []byte(s) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '-') {
			return false
		}
	}
	return s != ""
}

func printIndented(out io.Writer, raw json.RawMessage) error {
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := b.WriteTo(out)
	return err
}

// samplingError tells of a server that has nothing at /api/sampling/.
func (c *client) samplingError(err error) error {
	var refusal *apiError
	if errors.As(err, &refusal) && refusal.Status == http.StatusNotFound && strings.Contains(refusal.Message, "/api/sampling/") {
		return fmt.Errorf("%s does not explain sampling; it is no Roentgen, or an older one", c.endpoint)
	}
	return err
}

// print draws an answer; unknown are the parts of the request that were not said.
func (a *explainRuleAnswer) print(out io.Writer, t terminal, unknown []string) {
	verdict := "no rule decides"
	for _, r := range a.Rules {
		if r.RuleName == a.RuleName {
			verdict = fmt.Sprintf("rule %s decides; it takes %s", clean(r.RuleName), takes(r.ReservoirSize, r.FixedRate, false, sharePercent(r.FixedRate)))
		}
	}
	writeWrapped(out, t, styleBold, "", verdict)
	if a.XRaySDKRuleName != a.RuleName {
		writeWrapped(out, t, styleYellow, "", "for X-Ray SDKs, which pass over that one, rule "+clean(a.XRaySDKRuleName)+" decides")
	}
	if len(unknown) > 0 {
		writeWrapped(out, t, styleDim, "", "not said, and so taken as matching: "+strings.Join(unknown, ", "))
	}
	fmt.Fprintln(out)
	rows := [][]string{{"PRIORITY", "RULE", ""}}
	styles := []string{}
	decided := false
	for _, r := range a.Rules {
		var why []string
		style := styleDim
		switch {
		case r.RuleName == a.RuleName:
			style = styleGreen
			why = append(why, "matches")
			decided = true
		case r.Matches && decided:
			why = append(why, "would match, comes later")
		case r.Matches:
			why = append(why, "matches")
		default:
			style = ""
			for _, m := range r.Mismatches {
				field, pattern, value := clean(m.Field), clean(m.Pattern), clean(m.Value)
				if key, isAttribute := strings.CutPrefix(field, "Attributes."); isAttribute && value == "" {
					why = append(why, "attribute "+key+" is not there")
					continue
				} else if isAttribute {
					field = "attribute " + key
				}
				why = append(why, field+" "+value+" is not "+pattern)
			}
		}
		if r.SDKsIgnore != "" {
			why = append(why, "X-Ray SDKs pass over it: "+clean(r.SDKsIgnore))
		}
		rows = append(rows, []string{strconv.Itoa(r.Priority), clean(r.RuleName), strings.Join(why, "; ")})
		styles = append(styles, style)
	}
	printTable(out, t, rows, "r..", func(row, column int) string {
		if column == 0 {
			return ""
		}
		return styles[row]
	})
}

// ruleTally is what a rule would have kept.
type ruleTally struct {
	RuleName      string
	Priority      int
	FixedRate     float64
	ReservoirSize int
	Traces        int64
	FailedTraces  int64
	Kept          float64
	FailedKept    float64
}

// simulateAnswer is the answer of POST /api/sampling/simulate.
type simulateAnswer struct {
	Start, End float64
	Traces     int64
	Rootless   int64
	Partial    bool
	Rules      []ruleTally
	Now        []ruleTally
}

func newRuleSimulateCommand(env *Env) *cobra.Command {
	var f ruleFlags
	var since, until, colour string
	var asJSON, remove bool
	var columns int
	cmd := &cobra.Command{
		Use:   "simulate [NAME]",
		Short: "Tell what rules would have kept of the traces that are stored",
		Long: `Tell what the sampling rules would have kept of the traces that are stored. With a
name and flags, tell it for rules among which that one is changed so, or is new,
beside the rules that are in force. Nothing is changed.

Only what was traced is stored: where rules took a share of the requests, there were
more than is shown here, and a larger rate would have kept more.`,
		Example: `  roentgen rule simulate
  roentgen rule simulate cart --rate 1% --reservoir 2 --since 7d
  roentgen rule simulate health --path /healthz --priority 1 --reservoir 0 --rate 0
  roentgen rule simulate cart --delete`,
		Args: argsUpTo(1),
	}
	endpoint := endpointFlag(cmd.Flags(), env)
	f.add(cmd, "")
	f.noDefaults()
	cmd.Flags().BoolVar(&remove, "delete", false, "as if there were no such rule")
	cmd.Flags().StringVar(&since, "since", "24h", "beginning of the window: a time ago, or a time")
	cmd.Flags().StringVar(&until, "until", "", "end of the window: a time ago, or a time (default: now)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the server's answer as JSON")
	cmd.Flags().IntVar(&columns, "width", 0, "columns to fill (default: those of the terminal)")
	colourFlag(cmd, &colour)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		edit, err := f.members(false)
		if err != nil {
			return err
		}
		switch {
		case len(args) == 0 && (len(edit) > 0 || remove):
			return &exitError{2, errors.New("name the rule that is to be so; see roentgen rule simulate --help")}
		case remove && len(edit) > 0:
			return &exitError{2, errors.New("--delete goes without flags of the rule")}
		}
		now := time.Now()
		start, end, err := parseWindow(since, until, now, now)
		if err != nil {
			return &exitError{2, err}
		}
		question := map[string]any{"Start": float64(start.UnixMilli()) / 1e3, "End": float64(end.UnixMilli()) / 1e3}
		c, err := newClient(*endpoint)
		if err != nil {
			return err
		}
		name := ""
		if len(args) == 1 {
			name = args[0]
			if len(edit) == 0 && !remove {
				// A misspelt name must not be simulated as a new rule.
				_, rules, err := c.samplingRules(cmd)
				if err != nil {
					return err
				}
				known := false
				for i := range rules {
					known = known || rules[i].RuleName == name
				}
				if !known {
					return fmt.Errorf("there is no rule %s; give it flags to try it as a new one", clean(name))
				}
			} else {
				edit["RuleName"] = name
				if remove {
					edit["Delete"] = true
				}
				question["Rules"] = []any{edit}
			}
		}
		var raw json.RawMessage
		if err := c.post(cmd.Context(), "/api/sampling/simulate", question, &raw); err != nil {
			return c.samplingError(err)
		}
		if asJSON {
			return printIndented(env.Stdout, raw)
		}
		var answer simulateAnswer
		if err := json.Unmarshal(raw, &answer); err != nil {
			return fmt.Errorf("the answer of %s is not what this version of roentgen expects: %w", c.endpoint, err)
		}
		var b bytes.Buffer
		answer.print(&b, newTerminal(env.Stdout, env, colour, columns), name)
		_, err = b.WriteTo(env.Stdout)
		return err
	}
	return cmd
}

func (a *simulateAnswer) print(out io.Writer, t terminal, name string) {
	at := func(s float64) string { return time.UnixMilli(int64(s * 1e3)).Format("2006-01-02 15:04") }
	head := fmt.Sprintf("%s stored from %s to %s", plural(int(a.Traces), "trace"), at(a.Start), at(a.End))
	if a.Traces == 0 {
		writeWrapped(out, t, "", "", "no "+strings.TrimPrefix(head, "0 ")+"; --since looks further back")
		return
	}
	writeWrapped(out, t, "", "", head)
	if a.Partial {
		writeWrapped(out, t, styleYellow, "", "the window holds more: only the newest were looked at")
	}
	if a.Rootless > 0 {
		writeWrapped(out, t, styleDim, "", plural(int(a.Rootless), "trace")+" without a first segment left out: nobody knows what was decided on")
	}
	fmt.Fprintln(out)
	heading := []string{"PRIORITY", "RULE", "RESERVOIR", "RATE", "TRACES", "KEPT", "SHARE", "FAILED", "KEPT"}
	align := "r.rrrrrrr"
	now := map[string]*ruleTally{}
	var list []ruleTally
	list = append(list, a.Rules...)
	if a.Now != nil {
		heading, align = append(heading, "KEPT NOW"), align+"r"
		for i := range a.Now {
			now[a.Now[i].RuleName] = &a.Now[i]
			gone := true
			for j := range a.Rules {
				gone = gone && a.Rules[j].RuleName != a.Now[i].RuleName
			}
			if gone {
				list = append(list, ruleTally{RuleName: a.Now[i].RuleName, Priority: -1})
			}
		}
	}
	rows := [][]string{heading}
	var total, before ruleTally
	add := func(sum *ruleTally, r *ruleTally) {
		sum.Traces += r.Traces
		sum.FailedTraces += r.FailedTraces
		sum.Kept += r.Kept
		sum.FailedKept += r.FailedKept
	}
	cell := func(r *ruleTally) []string {
		share := ""
		if r.Traces > 0 {
			share = formatShare(r.Kept / float64(r.Traces))
			if r.Kept == 0 {
				share = "0%"
			}
		}
		return []string{formatCount(r.Traces), keptCount(r.Kept), share, formatCount(r.FailedTraces), keptCount(r.FailedKept)}
	}
	for i := range list {
		r := &list[i]
		row := []string{strconv.Itoa(r.Priority), clean(r.RuleName), perSecond(r.ReservoirSize), sharePercent(r.FixedRate)}
		if r.Priority < 0 {
			row = []string{"", clean(r.RuleName), "deleted", "", "", "", "", "", ""}
		} else {
			row = append(row, cell(r)...)
		}
		add(&total, r)
		if a.Now != nil {
			was := "" // a new rule
			if old := now[r.RuleName]; old != nil {
				was = keptCount(old.Kept)
				add(&before, old)
			}
			row = append(row, was)
		}
		rows = append(rows, row)
	}
	sum := append([]string{"", "", "", ""}, cell(&total)...)
	if a.Now != nil {
		sum = append(sum, keptCount(before.Kept))
	}
	rows = append(rows, sum)
	printTable(out, t, rows, align, func(row, column int) string {
		switch {
		case row == len(list):
			return styleBold
		case column == 1 && list[row].RuleName == name:
			return styleGreen
		}
		return ""
	})
	fmt.Fprintln(out)
	writeWrapped(out, t, styleDim, "", "Only what was traced is stored: there were more requests where rules took a share of them.")
}

// keptCount writes an expected number of traces.
func keptCount(f float64) string {
	if f > 0 && f < 9.95 {
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return formatCount(int64(math.Round(f)))
}

// clientsAnswer is the answer of GET /api/sampling/clients.
type clientsAnswer struct {
	Clients []json.RawMessage
	Refused int64
	Total   int
}

type samplingClient struct {
	RuleName       string
	ClientID       string
	Peer           string
	LastReport     float64
	RequestRate    float64
	RequestCount   int64
	SampledCount   int64
	BorrowCount    int64
	ReservoirQuota *int
	Sharing        bool
}

func newRuleClientsCommand(env *Env) *cobra.Command {
	var asJSON bool
	var columns, limit int
	var colour string
	cmd := &cobra.Command{
		Use:   "clients [RULE]",
		Short: "Show what clients reported of their sampling, and were given",
		Long: `Show the programs that take their sampling from here and reported in the last five
minutes: what their latest report said, and their share of the rule's reservoir.
A client that is new has no share yet. One that was silent for more than half a minute
lost it to the others.`,
		Example: `  roentgen rule clients
  roentgen rule clients cart --json`,
		Args: argsUpTo(1),
	}
	endpoint := endpointFlag(cmd.Flags(), env)
	cmd.Flags().IntVarP(&limit, "limit", "n", 200, "how many clients to show")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one client a line, as JSON")
	cmd.Flags().IntVar(&columns, "width", 0, "columns to fill (default: those of the terminal)")
	colourFlag(cmd, &colour)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if limit < 1 {
			return &exitError{2, errors.New("--limit must be at least 1")}
		}
		c, err := newClient(*endpoint)
		if err != nil {
			return err
		}
		query := url.Values{"limit": {strconv.Itoa(limit)}}
		if len(args) == 1 {
			query.Set("rule", args[0])
		}
		var answer clientsAnswer
		if err := c.get(cmd.Context(), "/api/sampling/clients?"+query.Encode(), &answer); err != nil {
			return c.samplingError(err)
		}
		var b bytes.Buffer
		if asJSON {
			for _, raw := range answer.Clients {
				fmt.Fprintf(&b, "%s\n", raw)
			}
			_, err := b.WriteTo(env.Stdout)
			return err
		}
		if err := answer.print(&b, newTerminal(env.Stdout, env, colour, columns), time.Now()); err != nil {
			return fmt.Errorf("the answer of %s is not what this version of roentgen expects: %w", c.endpoint, err)
		}
		_, err = b.WriteTo(env.Stdout)
		return err
	}
	return cmd
}

func (a *clientsAnswer) print(out io.Writer, t terminal, now time.Time) error {
	if len(a.Clients) == 0 {
		fmt.Fprintln(out, "no client reported in the last five minutes")
		return nil
	}
	rows := [][]string{{"RULE", "CLIENT", "REPORTED", "REQUESTS/S", "SAMPLED", "BORROWED", "QUOTA", "FROM"}}
	var styles []string
	for _, raw := range a.Clients {
		var c samplingClient
		if err := json.Unmarshal(raw, &c); err != nil {
			return err
		}
		quota, style := "new", styleYellow
		if c.ReservoirQuota != nil {
			quota, style = perSecond(*c.ReservoirQuota), ""
			if !c.Sharing {
				quota, style = "lost", styleDim
			}
		}
		ago := max(0, now.Sub(time.UnixMilli(int64(c.LastReport*1e3))).Round(time.Second))
		rows = append(rows, []string{
			clean(c.RuleName), clean(c.ClientID), ago.String() + " ago", formatRate(c.RequestRate),
			formatCount(c.SampledCount), formatCount(c.BorrowCount), quota, clean(c.Peer),
		})
		styles = append(styles, style)
	}
	printTable(out, t, rows, "..rrrrr.", func(row, column int) string { return styles[row] })
	if a.Total > len(a.Clients) {
		fmt.Fprintln(out, t.paint(styleDim, fmt.Sprintf("%s of %s; -n shows more", group(len(a.Clients)), plural(a.Total, "client"))))
	}
	if a.Refused > 0 {
		fmt.Fprintln(out, t.paint(styleYellow, plural(int(a.Refused), "report")+" of clients that there was no room for"))
	}
	return nil
}
