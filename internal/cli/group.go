package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// traceGroup is a group as the X-Ray API gives it.
type traceGroup struct {
	GroupName        string
	GroupARN         string
	FilterExpression *string
}

func newGroupCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "group",
		Short: "Manage groups of traces",
		Long: `Manage groups: names for filter expressions. Each trace is filed under the groups
whose expression it matches when it arrives; roentgen graph --group NAME and the
service graphs of the X-Ray API count by that. In a filter, group.name = "NAME"
stands for the group's present expression.`,
		Example: `  roentgen group list
  roentgen group create slow-orders 'service("orders") AND responsetime > 2'
  roentgen graph --group slow-orders`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newGroupListCommand(env),
		newGroupWriteCommand(env, "create", "/CreateGroup", "Make a group", "made group %s\n"),
		newGroupWriteCommand(env, "update", "/UpdateGroup", "Give a group another expression", "changed group %s; traces that arrive from now on are filed by the new expression\n"),
		newGroupDeleteCommand(env),
	)
	return cmd
}

func newGroupListCommand(env *Env) *cobra.Command {
	var asJSON bool
	var columns int
	var colour string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the groups",
		Example: `  roentgen group list`,
		Args:    noArgs,
	}
	endpoint := endpointFlag(cmd.Flags(), env)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one group a line, as JSON")
	cmd.Flags().IntVar(&columns, "width", 0, "columns to fill (default: those of the terminal)")
	colourFlag(cmd, &colour)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := newClient(*endpoint)
		if err != nil {
			return err
		}
		var groups []json.RawMessage
		question := map[string]any{}
		for {
			var page struct {
				Groups    []json.RawMessage
				NextToken *string
			}
			if err := c.post(cmd.Context(), "/Groups", question, &page); err != nil {
				return err
			}
			groups = append(groups, page.Groups...)
			if page.NextToken == nil || *page.NextToken == "" || question["NextToken"] == *page.NextToken {
				break
			}
			question["NextToken"] = *page.NextToken
		}
		var b bytes.Buffer
		if asJSON {
			for _, raw := range groups {
				fmt.Fprintf(&b, "%s\n", raw)
			}
			_, err := b.WriteTo(env.Stdout)
			return err
		}
		t := newTerminal(env.Stdout, env, colour, columns)
		list := make([]traceGroup, len(groups))
		width := len("GROUP")
		for i, raw := range groups {
			if err := json.Unmarshal(raw, &list[i]); err != nil {
				return fmt.Errorf("the answer of %s is not what this version of roentgen expects: %w", c.endpoint, err)
			}
			width = max(width, cells(clean(list[i].GroupName)))
		}
		width = min(width, t.width/3)
		if len(list) == 0 {
			fmt.Fprintln(&b, "there are no groups; roentgen group create NAME EXPRESSION makes one")
		} else {
			fmt.Fprintln(&b, t.paint(styleDim, t.fit("GROUP", width, true)+"  EXPRESSION"))
		}
		for _, g := range list {
			name := t.paint(styleBold, t.fit(clean(g.GroupName), width, true))
			if g.FilterExpression == nil || *g.FilterExpression == "" {
				fmt.Fprintln(&b, name+"  "+t.paint(styleDim, "(every trace)"))
				continue
			}
			for i, line := range wrap(clean(*g.FilterExpression), t.width-width-2) {
				if i > 0 {
					name = strings.Repeat(" ", width)
				}
				fmt.Fprintln(&b, name+"  "+line)
			}
		}
		_, err = b.WriteTo(env.Stdout)
		return err
	}
	return cmd
}

// newGroupWriteCommand returns the command that makes or changes a group.
func newGroupWriteCommand(env *Env, verb, path, short, done string) *cobra.Command {
	var colour string
	cmd := &cobra.Command{
		Use:     verb + " NAME EXPRESSION",
		Short:   short,
		Example: "  roentgen group " + verb + " failed-orders 'service(\"orders\") { fault }'",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 || strings.TrimSpace(strings.Join(args[1:], "")) == "" {
				return &exitError{2, fmt.Errorf("name the group and its filter expression, in quotation marks; see roentgen group %s --help", verb)}
			}
			return nil
		},
	}
	endpoint := endpointFlag(cmd.Flags(), env)
	colourFlag(cmd, &colour)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := newClient(*endpoint)
		if err != nil {
			return err
		}
		expression := strings.Join(args[1:], " ")
		var answer struct{ Group traceGroup }
		err = c.post(cmd.Context(), path, map[string]string{"GroupName": args[0], "FilterExpression": expression}, &answer)
		if err != nil {
			if noSuchGroup(err) {
				return fmt.Errorf("there is no group %s; roentgen group create makes it", clean(args[0]))
			}
			return c.filterError(cmd.Context(), newTerminal(env.Stderr, env, colour, 0), expression, err)
		}
		fmt.Fprintf(env.Stdout, done, clean(args[0]))
		return nil
	}
	return cmd
}

func newGroupDeleteCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "delete NAME",
		Short:   "Remove a group; its traces stay",
		Example: `  roentgen group delete slow-orders`,
		Args:    oneArg("name the group"),
	}
	endpoint := endpointFlag(cmd.Flags(), env)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := newClient(*endpoint)
		if err != nil {
			return err
		}
		var answer struct{}
		if err := c.post(cmd.Context(), "/DeleteGroup", map[string]string{"GroupName": args[0]}, &answer); err != nil {
			if noSuchGroup(err) {
				return fmt.Errorf("there is no group %s; roentgen group list shows those that there are", clean(args[0]))
			}
			return err
		}
		fmt.Fprintf(env.Stdout, "removed group %s\n", clean(args[0]))
		return nil
	}
	return cmd
}

func noSuchGroup(err error) bool {
	var refusal *apiError
	return errors.As(err, &refusal) && strings.HasPrefix(refusal.Message, "Group not found")
}
