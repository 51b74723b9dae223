package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// samplingRule is a sampling rule as the X-Ray API gives it.
type samplingRule struct {
	RuleName      string
	Priority      int
	FixedRate     float64
	ReservoirSize int
	ServiceName   string
	ServiceType   string
	Host          string
	HTTPMethod    string
	URLPath       string
	ResourceARN   string
	Attributes    map[string]string
	Boost         *rateBoost `json:"SamplingRateBoost"`
}

type rateBoost struct {
	MaxRate               float64
	CooldownWindowMinutes int
}

func newRuleCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rule",
		Short: "Manage sampling rules, and see what they do",
		Long: `Manage sampling rules. X-Ray SDKs and OpenTelemetry's X-Ray samplers ask for them
and decide by them which requests are traced: the rule with the lowest priority
that matches takes the first requests of each second up to its reservoir, over all
clients together, and its rate of the others. What no rule matches is the Default
rule's.`,
		Example: `  roentgen rule list
  roentgen rule create cart --service till --path '/cart/*' --priority 100 --reservoir 5 --rate 10%
  roentgen rule explain --service till GET http://shop.example.com/cart/7
  roentgen rule simulate cart --rate 1%
  roentgen rule clients`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newRuleListCommand(env),
		newRuleCreateCommand(env),
		newRuleUpdateCommand(env),
		newRuleDeleteCommand(env),
		newRuleExplainCommand(env),
		newRuleSimulateCommand(env),
		newRuleClientsCommand(env),
	)
	return cmd
}

// ruleFlags are the flags that tell of a rule.
type ruleFlags struct {
	flags      *pflag.FlagSet
	texts      map[string]*string // by member of the rule
	attributes []string
	rate       string
	reservoir  int
	priority   int
	boost      string
	cooldown   int
}

// ruleMembers are the flags of patterns, in the order in which they are shown.
var ruleMembers = []struct{ flag, member, shown, help string }{
	{"service", "ServiceName", "service", "name of the service (segment)"},
	{"type", "ServiceType", "type", "type of the service (origin), e.g. AWS::EC2::Instance"},
	{"host", "Host", "host", "host that was asked"},
	{"method", "HTTPMethod", "method", "HTTP method"},
	{"path", "URLPath", "path", "path of the URL"},
	{"resource", "ResourceARN", "resource", "ARN of the resource; X-Ray SDKs pass over rules with another one than *"},
}

func (f *ruleFlags) add(cmd *cobra.Command, def string) {
	f.flags = cmd.Flags()
	f.texts = make(map[string]*string)
	for _, m := range ruleMembers {
		f.texts[m.member] = f.flags.String(m.flag, def, m.help+"; * and ? are wildcards")
	}
	f.flags.StringArrayVar(&f.attributes, "attribute", nil, "`KEY=VALUE` that must be there; X-Ray SDKs pass over such rules (may be repeated)")
	f.flags.StringVar(&f.rate, "rate", "5%", "share of requests beyond the reservoir, 0.05 or 5%")
	f.flags.IntVar(&f.reservoir, "reservoir", 1, "requests a second that are taken first")
	f.flags.IntVar(&f.priority, "priority", 1000, "from 1 to 9999; rules are tried in this order")
}

func (f *ruleFlags) addBoost() {
	f.flags.StringVar(&f.boost, "boost", "", "largest rate while clients report anomalies, 0.5 or 50%; none: never raise it")
	f.flags.IntVar(&f.cooldown, "cooldown", 10, "minutes from the beginning of one boost to the next")
}

// noDefaults keeps help from showing defaults: what is not given stays as it is.
func (f *ruleFlags) noDefaults() {
	f.flags.Lookup("rate").DefValue = "" // what pflag takes for no default of a text
	for _, name := range []string{"reservoir", "priority"} {
		f.flags.Lookup(name).DefValue = "0" // and of a number
	}
}

// members returns the members of the rule that the flags tell, all of them or those
// that were given.
func (f *ruleFlags) members(all bool) (map[string]any, error) {
	rule := map[string]any{}
	given := func(flag string) bool { return all || f.flags.Changed(flag) }
	for _, m := range ruleMembers {
		if given(m.flag) {
			rule[m.member] = *f.texts[m.member]
		}
	}
	if given("rate") {
		rate, err := parseShare("--rate", f.rate)
		if err != nil {
			return nil, err
		}
		rule["FixedRate"] = rate
	}
	if given("reservoir") {
		rule["ReservoirSize"] = f.reservoir
	}
	if given("priority") {
		rule["Priority"] = f.priority
	}
	if given("attribute") {
		attributes, err := parseAttributes(f.attributes)
		if err != nil {
			return nil, err
		}
		rule["Attributes"] = attributes
	}
	return rule, nil
}

// boosted returns the SamplingRateBoost that the flags tell, nil for none.
func (f *ruleFlags) boosted() (*rateBoost, error) {
	if f.boost == "" || f.boost == "none" {
		if f.flags.Changed("cooldown") {
			return nil, &exitError{2, errors.New("--cooldown goes with --boost")}
		}
		return nil, nil
	}
	rate, err := parseShare("--boost", f.boost)
	if err != nil {
		return nil, err
	}
	return &rateBoost{rate, f.cooldown}, nil
}

// parseShare reads a share such as 0.05 or 5%.
func parseShare(flag, text string) (float64, error) {
	number, percent := strings.CutSuffix(strings.TrimSpace(text), "%")
	share, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if percent {
		// 5% is to be 0.05, which 5/100 gives and 5*0.01 does not always.
		share /= 100
	}
	if err != nil || !(share >= 0 && share <= 1) {
		return 0, &exitError{2, fmt.Errorf("%s is %q; give a share from 0 to 1, or from 0%% to 100%%", flag, text)}
	}
	return share, nil
}

func parseAttributes(list []string) (map[string]string, error) {
	attributes := map[string]string{}
	for _, text := range list {
		if text == "" { // --attribute '' takes them away
			continue
		}
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return nil, &exitError{2, fmt.Errorf("--attribute is %q; write it like tenant=acme", text)}
		}
		attributes[key] = value
	}
	return attributes, nil
}

// ruleName wants one argument, the name of a rule.
func ruleName(verb string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 || strings.TrimSpace(args[0]) == "" {
			return &exitError{2, fmt.Errorf("name one rule; see roentgen rule %s --help", verb)}
		}
		return nil
	}
}

func newRuleListCommand(env *Env) *cobra.Command {
	var asJSON bool
	var columns int
	var colour string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the rules, in the order in which they are tried",
		Example: `  roentgen rule list`,
		Args:    noArgs,
	}
	endpoint := endpointFlag(cmd.Flags(), env)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one rule a line, as JSON")
	cmd.Flags().IntVar(&columns, "width", 0, "columns to fill (default: those of the terminal)")
	colourFlag(cmd, &colour)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := newClient(*endpoint)
		if err != nil {
			return err
		}
		records, rules, err := c.samplingRules(cmd)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if asJSON {
			for _, raw := range records {
				fmt.Fprintf(&b, "%s\n", raw)
			}
		} else {
			printRules(&b, newTerminal(env.Stdout, env, colour, columns), rules)
		}
		_, err = b.WriteTo(env.Stdout)
		return err
	}
	return cmd
}

// samplingRules asks for the rules; they come in the order in which they are tried,
// and the records of the X-Ray API with them.
func (c *client) samplingRules(cmd *cobra.Command) ([]json.RawMessage, []samplingRule, error) {
	type record struct {
		raw  json.RawMessage
		rule samplingRule
	}
	var list []record
	question := map[string]any{}
	for {
		var page struct {
			SamplingRuleRecords []json.RawMessage
			NextToken           *string
		}
		if err := c.post(cmd.Context(), "/GetSamplingRules", question, &page); err != nil {
			return nil, nil, err
		}
		for _, raw := range page.SamplingRuleRecords {
			var r struct{ SamplingRule samplingRule }
			if err := json.Unmarshal(raw, &r); err != nil {
				return nil, nil, fmt.Errorf("the answer of %s is not what this version of roentgen expects: %w", c.endpoint, err)
			}
			list = append(list, record{raw, r.SamplingRule})
		}
		if page.NextToken == nil || *page.NextToken == "" || question["NextToken"] == *page.NextToken {
			break
		}
		question["NextToken"] = *page.NextToken
	}
	slices.SortStableFunc(list, func(a, b record) int {
		if a.rule.Priority != b.rule.Priority {
			return a.rule.Priority - b.rule.Priority
		}
		return strings.Compare(a.rule.RuleName, b.rule.RuleName)
	})
	records, rules := make([]json.RawMessage, len(list)), make([]samplingRule, len(list))
	for i := range list {
		records[i], rules[i] = list[i].raw, list[i].rule
	}
	return records, rules, nil
}

func printRules(out io.Writer, t terminal, rules []samplingRule) {
	rows := [][]string{{"PRIORITY", "RULE", "RESERVOIR", "RATE", "REQUESTS"}}
	for i := range rules {
		r := &rules[i]
		rows = append(rows, []string{strconv.Itoa(r.Priority), clean(r.RuleName), perSecond(r.ReservoirSize), ruleRate(r), ruleText(r)})
	}
	printTable(out, t, rows, "r.rr.", func(row, column int) string {
		if column == 1 {
			return styleBold
		}
		return ""
	})
}

func perSecond(n int) string { return group(n) + "/s" }

// ruleRate is the rate of a rule and how far it may be raised.
func ruleRate(r *samplingRule) string {
	text := sharePercent(r.FixedRate)
	if r.Boost != nil {
		text += " to " + sharePercent(r.Boost.MaxRate)
	}
	return text
}

// sharePercent writes a share exactly, without digits that mean nothing.
func sharePercent(share float64) string {
	return strconv.FormatFloat(math.Round(share*1e8)/1e6, 'f', -1, 64) + "%"
}

const everyRequest = "(all)"

// ruleText says which requests a rule is for.
func ruleText(r *samplingRule) string {
	values := map[string]string{
		"ServiceName": r.ServiceName, "ServiceType": r.ServiceType, "Host": r.Host,
		"HTTPMethod": r.HTTPMethod, "URLPath": r.URLPath, "ResourceARN": r.ResourceARN,
	}
	var parts []string
	for _, m := range ruleMembers {
		if v := values[m.member]; v != "*" {
			if v == "" {
				v = `""`
			}
			parts = append(parts, m.shown+" "+clean(v))
		}
	}
	for _, key := range sortedKeys(r.Attributes) {
		parts = append(parts, "attribute "+clean(key)+"="+clean(r.Attributes[key]))
	}
	if len(parts) == 0 {
		return everyRequest
	}
	return strings.Join(parts, ", ")
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// printTable prints rows, the first of which is the heading. align has a letter for
// each column: r stands for numbers. The last column is wrapped where the line ends.
func printTable(out io.Writer, t terminal, rows [][]string, align string, style func(row, column int) string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], cells(cell))
		}
	}
	last := len(widths) - 1
	used := 0
	for i := range last {
		if align[i] != 'r' {
			widths[i] = min(widths[i], max(8, t.width/3))
		}
		used += widths[i] + 2
	}
	room := max(12, t.width-used)
	for n, row := range rows {
		var lead strings.Builder
		paint := func(column int, text string) string {
			if n == 0 {
				return t.paint(styleDim, text)
			}
			return t.paint(style(n-1, column), text)
		}
		for i := range last {
			cell := t.fit(row[i], widths[i], false)
			pad := strings.Repeat(" ", widths[i]-cells(cell))
			if align[i] == 'r' {
				lead.WriteString(pad + paint(i, cell) + "  ")
			} else {
				lead.WriteString(paint(i, cell) + pad + "  ")
			}
		}
		if align[last] == 'r' {
			fmt.Fprintln(out, lead.String()+strings.Repeat(" ", widths[last]-cells(row[last]))+paint(last, row[last]))
			continue
		}
		lines := wrap(row[last], room)
		if len(lines) == 0 {
			lines = []string{""}
		}
		for i, line := range lines {
			text := lead.String()
			if i > 0 {
				text = strings.Repeat(" ", used)
			}
			fmt.Fprintln(out, strings.TrimRight(text+paint(last, line), " "))
		}
	}
}

func newRuleCreateCommand(env *Env) *cobra.Command {
	var f ruleFlags
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a rule",
		Long: `Make a sampling rule. What no flag narrows matches every request. Clients hear of
the rule within some ten seconds; some SDKs (Java, Node) only within five minutes.`,
		Example: `  roentgen rule create health --path /healthz --priority 1 --reservoir 0 --rate 0
  roentgen rule create cart --service till --path '/cart/*' --priority 100 --reservoir 5 --rate 10% --boost 50%`,
		Args: ruleName("create"),
	}
	endpoint := endpointFlag(cmd.Flags(), env)
	f.add(cmd, "*")
	f.addBoost()
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		rule, err := f.members(true)
		if err != nil {
			return err
		}
		boost, err := f.boosted()
		if err != nil {
			return err
		}
		if boost != nil {
			rule["SamplingRateBoost"] = boost
		}
		rule["RuleName"], rule["Version"] = args[0], 1
		return writeRule(cmd, env, *endpoint, "/CreateSamplingRule", "SamplingRule", rule, "made")
	}
	return cmd
}

func newRuleUpdateCommand(env *Env) *cobra.Command {
	var f ruleFlags
	cmd := &cobra.Command{
		Use:   "update NAME",
		Short: "Change a rule",
		Long: `Change a sampling rule: what flags say; all else stays. Of the Default rule only the
reservoir and the rate can change. --attribute '' takes the attributes away, --boost none the boost.`,
		Example: `  roentgen rule update Default --rate 1%
  roentgen rule update cart --reservoir 0 --rate 0`,
		Args: ruleName("update"),
	}
	endpoint := endpointFlag(cmd.Flags(), env)
	f.add(cmd, "")
	f.addBoost()
	f.noDefaults()
	f.flags.Lookup("cooldown").DefValue = "0" // as it is
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		rule, err := f.members(false)
		if err != nil {
			return err
		}
		boost, err := f.boosted()
		if err != nil {
			return err
		}
		if len(rule) == 0 && !cmd.Flags().Changed("boost") {
			return &exitError{2, errors.New("nothing is to change; see roentgen rule update --help")}
		}
		newRate, newCooldown := cmd.Flags().Changed("boost"), cmd.Flags().Changed("cooldown")
		if !newRate || boost != nil && !newCooldown {
			// The API takes away what an update of a boost does not repeat.
			c, err := newClient(*endpoint)
			if err != nil {
				return err
			}
			_, rules, err := c.samplingRules(cmd)
			if err != nil {
				return err
			}
			for _, r := range rules {
				switch {
				case r.RuleName != args[0] || r.Boost == nil:
				case !newRate:
					boost = r.Boost
				default:
					boost.CooldownWindowMinutes = r.Boost.CooldownWindowMinutes
				}
			}
		}
		if boost != nil {
			rule["SamplingRateBoost"] = boost
		}
		rule["RuleName"] = args[0]
		return writeRule(cmd, env, *endpoint, "/UpdateSamplingRule", "SamplingRuleUpdate", rule, "changed")
	}
	return cmd
}

// writeRule makes or changes a rule and shows what it has become.
func writeRule(cmd *cobra.Command, env *Env, endpoint connection, path, member string, rule map[string]any, done string) error {
	c, err := newClient(endpoint)
	if err != nil {
		return err
	}
	var answer struct {
		SamplingRuleRecord struct{ SamplingRule samplingRule }
	}
	if err := c.post(cmd.Context(), path, map[string]any{member: rule}, &answer); err != nil {
		return ruleError(err, rule["RuleName"].(string))
	}
	r := &answer.SamplingRuleRecord.SamplingRule
	of := ruleText(r)
	if of == everyRequest {
		of = "all requests"
	}
	_, err = fmt.Fprintf(env.Stdout, "%s rule %s: it takes %s of %s\n", done, clean(r.RuleName), takes(r.ReservoirSize, r.FixedRate, r.Boost != nil, ruleRate(r)), of)
	return err
}

// takes says how many requests a rule takes.
func takes(reservoir int, rate float64, boosted bool, rateText string) string {
	switch {
	case reservoir == 0 && rate == 0 && !boosted:
		return "none"
	case reservoir == 0:
		return rateText
	case rate == 0 && !boosted:
		return perSecond(reservoir)
	}
	return perSecond(reservoir) + " and " + rateText + " of the rest"
}

// ruleError says in plain words why a rule was refused.
func ruleError(err error, name string) error {
	var refusal *apiError
	if !errors.As(err, &refusal) {
		return err
	}
	switch {
	case strings.HasPrefix(refusal.Message, "Sampling rule does not exist"):
		return fmt.Errorf("there is no rule %s; roentgen rule list shows those that there are", clean(name))
	case strings.HasPrefix(refusal.Message, "Sampling rule already exists"):
		return fmt.Errorf("there is a rule %s already; roentgen rule update changes it", clean(name))
	}
	return err
}

func newRuleDeleteCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "delete NAME",
		Short:   "Remove a rule; its requests are the next rule's that matches",
		Example: `  roentgen rule delete cart`,
		Args:    ruleName("delete"),
	}
	endpoint := endpointFlag(cmd.Flags(), env)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := newClient(*endpoint)
		if err != nil {
			return err
		}
		var answer struct{}
		if err := c.post(cmd.Context(), "/DeleteSamplingRule", map[string]string{"RuleName": args[0]}, &answer); err != nil {
			return ruleError(err, args[0])
		}
		_, err = fmt.Fprintf(env.Stdout, "removed rule %s\n", clean(args[0]))
		return err
	}
	return cmd
}
