package config

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"go.yaml.in/yaml/v3"
)

// WriteYAML writes the configuration as a file that Load would read, with the
// origin of each value as a comment beside it.
func (l *Loaded) WriteYAML(w io.Writer) error {
	var lines []string
	width := 0
	for _, s := range settings {
		line := s.Name + ": " + s.yaml(&l.Config)
		lines = append(lines, line)
		width = max(width, len(line))
	}
	for i, s := range settings {
		origin := l.origins[s.Name]
		if quota := s.quota(&l.Config); quota != "" {
			origin += "; " + quota + " by aws-limits"
		}
		if _, err := fmt.Fprintf(w, "%-*s  # %s\n", width, lines[i], origin); err != nil {
			return err
		}
	}
	return nil
}

// yaml returns the value in c as YAML on one line.
func (s *Setting) yaml(c *Config) string {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s.Text(c)}
	switch s.Unit() {
	case "switch":
		n.Tag = "!!bool"
	case "number":
		n.Tag = "!!int"
	case "list":
		n = &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, e := range s.field(c).(manyValue).elements() {
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: e})
		}
	}
	out, err := yaml.Marshal(n)
	if err != nil {
		panic("config: a plain node does not fail to encode: " + err.Error())
	}
	return strings.TrimSpace(string(out))
}

// InForce is a setting, its value and where that came from.
type InForce struct {
	*Setting
	Value  string // in the form in which it is read
	Origin string // "default", "file:line", "$VARIABLE", "--flag" or "aws-limits"
}

// InForce lists all settings in their order.
func (l *Loaded) InForce() []InForce {
	list := make([]InForce, len(settings))
	for i, s := range settings {
		list[i] = InForce{s, s.Text(&l.Config), l.origins[s.Name]}
		if quota := s.quota(&l.Config); quota != "" {
			list[i].Value, list[i].Origin = quota, "aws-limits"
		}
	}
	return list
}

// WriteTable writes the configuration as a table of setting, value and origin.
func (l *Loaded) WriteTable(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SETTING\tVALUE\tFROM")
	for _, s := range l.InForce() {
		text := s.Value
		if text == "" {
			text = `""`
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\n", s.Name, text, s.Origin)
	}
	return tw.Flush()
}

// Markdown returns the page docs/config.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString(`# Settings of roentgen serve

<!-- Made by "go generate ./internal/config" from internal/config/settings.go. Change it there. -->

Nothing has to be set: ` + "`roentgen serve`" + ` alone is a working server for this machine.

Each setting has a default and can be said in three places, under one name. Where several say it, the last one in this list wins:

1. the default;
2. a YAML file, ` + "`listen: 127.0.0.1:2001`" + `: the one that ` + "`--config FILE`" + ` or ` + "`ROENTGEN_CONFIG`" + ` names, otherwise
   ` + "`" + DefaultFile + "`" + ` in the working directory when there is one (` + "`--config \"\"`" + ` reads none);
3. the environment, ` + "`ROENTGEN_LISTEN=127.0.0.1:2001`" + `; an empty variable counts as not set;
4. the command line, ` + "`--listen 127.0.0.1:2001`" + `.

` + "`roentgen serve --print-config`" + ` shows every value and where it came from, in a form that can serve as a file;
` + "`--print-config=table`" + ` shows a table.

Units: a duration is written as ` + "`30d`, `12h`, `1m30s`" + ` (w, d, h, m, s, ms); a size as ` + "`64MB`" + ` (thousands) or ` + "`1GiB`" + ` (1,024s), a bare
number is bytes; a number is whole; a switch is ` + "`true` or `false`" + `; a list is a YAML list or its parts with commas between them.

A mistake in a file, an unknown key among them, stops the start and names file and line. ` + "`SIGHUP`" + ` makes a running server read
its settings again and take over those marked *reload*.

The variable ` + "`AWS_XRAY_DAEMON_ADDRESS`" + ` is read by X-Ray SDKs, not by ` + "`serve`" + `: it tells them where this server is.
`)
	group := ""
	for _, s := range settings {
		if s.Group != group {
			group = s.Group
			fmt.Fprintf(&b, "\n## %s\n\n| Setting | Environment | Kind | Default | Meaning |\n|---|---|---|---|---|\n", group)
		}
		def := "`" + s.Default + "`"
		if s.Default == "" {
			def = "(empty)"
		}
		meaning := strings.ToUpper(s.Summary[:1]) + s.Summary[1:] + "."
		if s.AWS != "" {
			meaning += " With `aws-limits` " + s.AWS + "."
		}
		if s.Detail != "" {
			meaning += " " + s.Detail
		}
		kind := s.Unit()
		if s.Reloadable {
			kind += ", *reload*"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s |\n", s.Name, s.Env(), kind, def, meaning)
	}
	return b.String()
}
