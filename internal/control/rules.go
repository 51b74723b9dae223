package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/roentgen-io/roentgen/internal/sampling"
)

// Rule is a sampling rule. What it refers to is shared and must not be changed.
type Rule struct {
	sampling.Rule
	Tags    []Tag `json:"tags,omitempty"` // in order of their keys, each key once
	Created int64 `json:"created"`        // unix milliseconds; 0 for the Default rule
	Changed int64 `json:"changed"`        // 0 for a Default rule that never changed

	ARN string `json:"-"`
}

// ruleState is the section of sampling rules.
type ruleState struct {
	Changed int64        `json:"changed"`           // latest change of any rule, a deletion too; unix milliseconds
	Default *defaultRule `json:"default,omitempty"` // absent: it never changed
	Rules   []Rule       `json:"rules"`             // by name, without the Default rule
}

// defaultRule is what can change of the Default rule.
type defaultRule struct {
	FixedRate float64 `json:"fixed_rate"`
	Reservoir int     `json:"reservoir"`
	Changed   int64   `json:"changed"`
}

func (rs *ruleState) clone() ruleState {
	return ruleState{Changed: rs.Changed, Default: rs.Default, Rules: slices.Clone(rs.Rules)}
}

// search returns where the rule of that name is, or belongs, in Rules.
func (rs *ruleState) search(name string) (int, bool) {
	return slices.BinarySearchFunc(rs.Rules, name, func(r Rule, name string) int { return cmp.Compare(r.Name, name) })
}

// defaultRule returns the Default rule as it is now.
func (rs *ruleState) defaultRule() Rule {
	r := Rule{Rule: sampling.Default()}
	if d := rs.Default; d != nil {
		r.FixedRate, r.Reservoir, r.Changed = d.FixedRate, d.Reservoir, d.Changed
	}
	return r
}

// check refuses what no edit can have made.
func (rs *ruleState) check() error {
	last := ""
	for i := range rs.Rules {
		r := &rs.Rules[i]
		if err := r.Check(); err != nil {
			return fmt.Errorf("rule %.80q: %w", r.Name, err)
		}
		if err := checkTags(fmt.Sprintf("rule %.80q", r.Name), r.Tags); err != nil {
			return err
		}
		if r.Name == sampling.DefaultName {
			return fmt.Errorf("the Default rule is among the others")
		}
		if r.Name <= last {
			return fmt.Errorf("rule %.80q follows rule %.80q", r.Name, last)
		}
		last = r.Name
	}
	d := rs.defaultRule()
	return d.Check()
}

// ruleIndex is what is derived from the section of rules.
type ruleIndex struct {
	list    []Rule // by name, then the Default rule
	changed time.Time
}

func (s *Store) indexRules(rs *ruleState) ruleIndex {
	x := ruleIndex{list: append(slices.Clone(rs.Rules), rs.defaultRule())}
	for i := range x.list {
		x.list[i].ARN = s.ruleARNPrefix() + x.list[i].Name
	}
	if rs.Changed != 0 {
		x.changed = time.UnixMilli(rs.Changed)
	}
	return x
}

func (s *Store) ruleARNPrefix() string {
	return s.resourcePrefix() + "sampling-rule/"
}

// RuleName returns the name of the rule that has, or could have, an ARN.
func (s *Store) RuleName(arn string) (name string, ok bool) {
	name, ok = strings.CutPrefix(arn, s.ruleARNPrefix())
	if !ok || name == "" {
		return "", false
	}
	return name, true
}

// Rules returns the sampling rules by name, the Default rule last, and the time of
// the latest change, zero when there was none. The slice is shared and must not be
// changed; it is the same one until the control state changes.
func (s *Store) Rules() ([]Rule, time.Time) {
	x := &s.current.Load().rules
	return x.list, x.changed
}

// Rule returns the sampling rule of that name or ARN (the other one is ""), or
// ErrNotFound.
func (s *Store) Rule(name, arn string) (Rule, error) {
	if r := FindRule(s.current.Load().rules.list, s.ruleName(name, arn)); r != nil {
		return *r, nil
	}
	return Rule{}, ErrNotFound
}

// ruleName returns the name that a rule is asked for by, "" when it is none.
func (s *Store) ruleName(name, arn string) string {
	if name == "" {
		name, _ = s.RuleName(arn)
	}
	return name
}

// FindRule returns the rule of that name in a list as Rules gives it, nil when
// there is none.
func FindRule(rules []Rule, name string) *Rule {
	others := len(rules) - 1
	if name == sampling.DefaultName {
		return &rules[others]
	}
	i, found := slices.BinarySearchFunc(rules[:others], name, func(r Rule, name string) int { return cmp.Compare(r.Name, name) })
	if !found {
		return nil
	}
	return &rules[i]
}

// NewRule says what a sampling rule is to be.
type NewRule struct {
	Rule sampling.Rule
	Tags []Tag
	// Max, when not 0, is how many rules there may be, the Default one not counted.
	Max int
}

// CreateRule makes a sampling rule. Its errors match ErrExists, ErrTooMany,
// ErrTooLarge, those of tracestore or are those of the rule's Check.
func (s *Store) CreateRule(ctx context.Context, n NewRule) (Rule, error) {
	rule := validRule(n.Rule)
	if rule.Name == sampling.DefaultName {
		return Rule{}, ErrExists
	}
	if err := rule.Check(); err != nil {
		return Rule{}, err
	}
	return s.changeRules(ctx, rule.Name, func(rs *ruleState, now int64) error {
		i, found := rs.search(rule.Name)
		if found {
			return ErrExists
		}
		if n.Max > 0 && len(rs.Rules) >= n.Max {
			return ErrTooMany
		}
		rs.Rules = slices.Insert(rs.Rules, i, Rule{Rule: rule, Tags: tagSet(n.Tags), Created: now, Changed: now})
		return nil
	})
}

// UpdateRule changes the sampling rule of that name or ARN (the other one is ""):
// change gets a copy of it to edit, but its name stays. Of the Default rule only the
// fixed rate and the reservoir can change. Its errors match ErrNotFound,
// ErrDefault, ErrTooLarge, those of tracestore, or are those of change or of the
// rule's Check.
func (s *Store) UpdateRule(ctx context.Context, name, arn string, change func(r *sampling.Rule) error) (Rule, error) {
	name = s.ruleName(name, arn)
	return s.changeRules(ctx, name, func(rs *ruleState, now int64) error {
		old := rs.defaultRule()
		i, found := rs.search(name)
		switch {
		case found:
			old = rs.Rules[i]
		case name != sampling.DefaultName:
			return ErrNotFound
		}
		edited := old.Rule.Clone()
		if err := change(&edited); err != nil {
			return err
		}
		edited.Name = name
		edited = validRule(edited)
		if err := edited.Check(); errors.Is(err, sampling.ErrDefault) {
			return ErrDefault
		} else if err != nil {
			return err
		}
		if found {
			rs.Rules[i] = Rule{Rule: edited, Tags: old.Tags, Created: old.Created, Changed: now}
			return nil
		}
		rs.Default = &defaultRule{FixedRate: edited.FixedRate, Reservoir: edited.Reservoir, Changed: now}
		return nil
	})
}

// DeleteRule deletes the sampling rule of that name or ARN (the other one is "")
// and returns what it was. Its errors match ErrNotFound, ErrDefault or those of
// tracestore.
func (s *Store) DeleteRule(ctx context.Context, name, arn string) (Rule, error) {
	name = s.ruleName(name, arn)
	var deleted Rule
	_, err := s.changeRules(ctx, "", func(rs *ruleState, _ int64) error {
		if name == sampling.DefaultName {
			return ErrDefault
		}
		i, found := rs.search(name)
		if !found {
			return ErrNotFound
		}
		deleted = rs.Rules[i]
		rs.Rules = slices.Delete(rs.Rules, i, i+1)
		return nil
	})
	if err != nil {
		return Rule{}, err
	}
	deleted.ARN = s.ruleARNPrefix() + name
	return deleted, nil
}

// changeRules edits the section of rules and returns the rule of that name
// afterwards. The time of the latest change never goes back.
func (s *Store) changeRules(ctx context.Context, name string, edit func(rs *ruleState, now int64) error) (Rule, error) {
	err := s.update(ctx, func(st *state) error {
		now := s.opts.Now().UnixMilli()
		st.Rules.Changed = max(now, st.Rules.Changed)
		return edit(&st.Rules, now)
	})
	if err != nil {
		return Rule{}, err
	}
	if r := FindRule(s.current.Load().rules.list, name); r != nil {
		return *r, nil
	}
	return Rule{}, nil
}

// validRule returns a rule with its texts as the file holds them.
func validRule(r sampling.Rule) sampling.Rule {
	for _, text := range [...]*string{&r.Name, &r.ServiceName, &r.ServiceType, &r.Host, &r.HTTPMethod, &r.URLPath, &r.ResourceARN} {
		*text = validText(*text)
	}
	var attributes map[string]string
	for k, v := range r.Attributes {
		if attributes == nil {
			attributes = make(map[string]string, len(r.Attributes))
		}
		attributes[validText(k)] = validText(v)
	}
	r.Attributes = attributes
	if r.Boost != nil {
		b := *r.Boost
		r.Boost = &b
	}
	return r
}
