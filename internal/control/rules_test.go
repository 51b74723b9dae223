package control

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roentgen-io/roentgen/internal/sampling"
)

func samplingRule(name string, edit ...func(*sampling.Rule)) sampling.Rule {
	r := sampling.Default()
	r.Name, r.Priority = name, 100
	for _, e := range edit {
		e(&r)
	}
	return r
}

func createRule(t testing.TB, s *Store, name string, edit ...func(*sampling.Rule)) Rule {
	t.Helper()
	r, err := s.CreateRule(t.Context(), NewRule{Rule: samplingRule(name, edit...)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// names lists the rules, each with its reservoir.
func names(s *Store) string {
	list, _ := s.Rules()
	var b strings.Builder
	for _, r := range list {
		fmt.Fprintf(&b, "%s=%d ", r.Name, r.Reservoir)
	}
	return b.String()
}

// TestRules leads rules through their life, and through restarts.
func TestRules(t *testing.T) {
	fs, clock := vfs.NewMem(), &fakeClock{}
	clock.ms.Store(1_795_356_000_700)
	s := open(t, Options{Dir: "/", FS: fs, Now: clock.now, Region: "eu-west-1", AccountID: "123456789012"})
	if got := names(s); got != "Default=1 " {
		t.Errorf("at first there is %s", got)
	}
	if _, changed := s.Rules(); !changed.IsZero() {
		t.Errorf("changed at %v", changed)
	}
	d, err := s.Rule("Default", "")
	if err != nil || d.Created != 0 || d.Changed != 0 || d.Priority != 10000 || d.FixedRate != 0.05 || d.ARN != "arn:aws:xray:eu-west-1:123456789012:sampling-rule/Default" {
		t.Errorf("%+v %v", d, err)
	}

	b := createRule(t, s, "b")
	clock.advance(time.Second)
	full, err := s.CreateRule(t.Context(), NewRule{
		Rule: samplingRule("a/:é", func(r *sampling.Rule) {
			r.Attributes, r.Boost = map[string]string{"k": "v*"}, &sampling.Boost{MaxRate: 0.5, CooldownMinutes: 3}
			r.ServiceName, r.Host = "t\xffll", ""
		}),
		Tags: []Tag{{"team", "x"}, {"a", ""}, {"team", "till"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if full.ServiceName != "t\uFFFDll" || full.Created != clock.ms.Load() || full.Changed != full.Created || !reflect.DeepEqual(full.Tags, []Tag{{"a", ""}, {"team", "till"}}) {
		t.Errorf("made %+v", full)
	}
	if got := names(s); got != "a/:é=1 b=1 Default=1 " {
		t.Errorf("now there are %s", got)
	}
	if name, ok := s.RuleName(full.ARN); !ok || name != "a/:é" {
		t.Errorf("%q of %s", name, full.ARN)
	}
	if _, ok := s.RuleName(strings.Replace(full.ARN, "eu-west-1", "eu-west-2", 1)); ok {
		t.Error("the ARN of another region has a name")
	}

	clock.advance(time.Second)
	changed, err := s.UpdateRule(t.Context(), "", full.ARN, func(r *sampling.Rule) error {
		r.Name, r.Reservoir, r.Boost = "other", 7, nil
		r.Attributes["k"] = "changed"
		return nil
	})
	if err != nil || changed.Name != "a/:é" || changed.Reservoir != 7 || changed.Boost != nil || changed.Created != full.Created || changed.Changed != clock.ms.Load() || len(changed.Tags) != 2 {
		t.Errorf("%+v %v", changed, err)
	}
	if full.Attributes["k"] != "v*" {
		t.Error("the old rule was changed")
	}
	clock.advance(time.Second)
	if d, err = s.UpdateRule(t.Context(), "Default", "", func(r *sampling.Rule) error { r.FixedRate, r.Reservoir = 1, 0; return nil }); err != nil || d.Changed != clock.ms.Load() || d.Created != 0 || d.Reservoir != 0 {
		t.Errorf("%+v %v", d, err)
	}
	if _, at := s.Rules(); at.UnixMilli() != clock.ms.Load() {
		t.Errorf("changed at %v", at)
	}

	// A deletion is a change too, also with a clock that was set back.
	latest := clock.ms.Load()
	clock.advance(-time.Hour)
	if gone, err := s.DeleteRule(t.Context(), "b", ""); err != nil || !reflect.DeepEqual(gone, b) {
		t.Errorf("%+v %v, want %+v", gone, err, b)
	}
	if _, at := s.Rules(); at.UnixMilli() != latest {
		t.Errorf("changed at %v after a deletion with a clock that was set back", at)
	}
	clock.advance(2 * time.Hour)
	createRule(t, s, "c")
	if _, err := s.DeleteRule(t.Context(), "", "arn:aws:xray:eu-west-1:123456789012:sampling-rule/c"); err != nil {
		t.Error(err)
	}

	again := open(t, Options{Dir: "/", FS: fs, Region: "eu-west-1", AccountID: "123456789012"})
	want, wantAt := s.Rules()
	got, gotAt := again.Rules()
	if !reflect.DeepEqual(got, want) || !gotAt.Equal(wantAt) || gotAt.UnixMilli() != clock.ms.Load() {
		t.Errorf("after a restart %+v at %v, want %+v at %v", got, gotAt, want, wantAt)
	}
}

func TestRuleRefusals(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, Options{Dir: "/", FS: fs})
	createRule(t, s, "a")
	before, at := s.Rules()
	ctx := t.Context()
	createErr := func(max int, r sampling.Rule) error {
		_, err := s.CreateRule(ctx, NewRule{Rule: r, Max: max})
		return err
	}
	updateErr := func(name, arn string, edit func(*sampling.Rule)) error {
		_, err := s.UpdateRule(ctx, name, arn, func(r *sampling.Rule) error { edit(r); return nil })
		return err
	}
	deleteErr := func(name, arn string) error { _, err := s.DeleteRule(ctx, name, arn); return err }
	refused := errors.New("refused")
	_, own := s.UpdateRule(ctx, "a", "", func(r *sampling.Rule) error { r.Attributes = nil; return refused })
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, late := s.CreateRule(ended, NewRule{Rule: samplingRule("b")})
	none := func(*sampling.Rule) {}
	for name, tt := range map[string]struct{ got, want error }{
		"taken":               {createErr(0, samplingRule("a")), ErrExists},
		"reserved":            {createErr(0, sampling.Default()), ErrExists},
		"limit":               {createErr(1, samplingRule("b")), ErrTooMany},
		"late":                {late, context.Canceled},
		"update unknown":      {updateErr("b", "", none), ErrNotFound},
		"update no ARN":       {updateErr("", "a", none), ErrNotFound},
		"update other ARN":    {updateErr("", "arn:aws:xray:us-east-1:111111111111:sampling-rule/a", none), ErrNotFound},
		"update case":         {updateErr("A", "", none), ErrNotFound},
		"update refused":      {own, refused},
		"default's path":      {updateErr("Default", "", func(r *sampling.Rule) { r.URLPath = "/x" }), ErrDefault},
		"default's priority":  {updateErr("Default", "", func(r *sampling.Rule) { r.Priority = 1 }), ErrDefault},
		"default's boost":     {updateErr("Default", "", func(r *sampling.Rule) { r.Boost = &sampling.Boost{MaxRate: 1, CooldownMinutes: 1} }), ErrDefault},
		"delete unknown":      {deleteErr("b", ""), ErrNotFound},
		"delete default":      {deleteErr("Default", ""), ErrDefault},
		"delete default, ARN": {deleteErr("", "arn:aws:xray:us-east-1:000000000000:sampling-rule/Default"), ErrDefault},
	} {
		if !errors.Is(tt.got, tt.want) {
			t.Errorf("%s: %v, want %v", name, tt.got, tt.want)
		}
	}
	for name, err := range map[string]error{
		"create": createErr(0, samplingRule("b", func(r *sampling.Rule) { r.FixedRate = math.Inf(1) })),
		"update": updateErr("a", "", func(r *sampling.Rule) { r.Reservoir = -1 }),
	} {
		if err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	after, then := s.Rules()
	if !reflect.DeepEqual(before, after) || !at.Equal(then) {
		t.Errorf("refusals changed %+v to %+v", before, after)
	}
	// What cannot be saved is not in force.
	f, err := fs.Create("/control.json", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := createErr(0, samplingRule("b")); !errors.Is(err, ErrChanged) {
		t.Errorf("over a file of somebody else: %v", err)
	}
	if got := names(s); got != "a=1 Default=1 " {
		t.Errorf("now there are %s", got)
	}
}

// TestRulesFile holds that a state without rules is written as before there were
// any, and what cannot be in a file.
func TestRulesFile(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, Options{Dir: "/", FS: fs})
	create(t, s, "g", "x")
	if strings.Contains(string(s.onDisk), "rules") {
		t.Errorf("without rules the file is\n%s", s.onDisk)
	}
	createRule(t, s, "a")
	for name, edit := range map[string]func(*ruleState){
		"order":         func(rs *ruleState) { rs.Rules = append(rs.Rules, Rule{Rule: samplingRule("A")}) },
		"twice":         func(rs *ruleState) { rs.Rules = append(rs.Rules, rs.Rules[0]) },
		"default":       func(rs *ruleState) { rs.Rules = []Rule{{Rule: sampling.Default()}} },
		"rate":          func(rs *ruleState) { rs.Rules[0].FixedRate = 2 },
		"default's":     func(rs *ruleState) { rs.Default = &defaultRule{FixedRate: -1} },
		"no name":       func(rs *ruleState) { rs.Rules[0].Name = "" },
		"long patterns": func(rs *ruleState) { rs.Rules[0].Host = strings.Repeat("x", 65) },
	} {
		st := s.current.Load().state.clone()
		edit(&st.Rules)
		data, err := encode(st)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decode(data); err == nil {
			t.Errorf("%s: decoded", name)
		}
	}
	if st, err := decode(s.onDisk); err != nil || !reflect.DeepEqual(st, s.current.Load().state) {
		t.Errorf("%+v %v", st, err)
	}
}

// TestRulesConcurrently changes rules from many sides while others read.
func TestRulesConcurrently(t *testing.T) {
	s := open(t, Options{Dir: "/", FS: vfs.NewMem()})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name := fmt.Sprintf("r%d", i)
			for range 20 {
				createRule(t, s, name)
				if _, err := s.UpdateRule(t.Context(), "Default", "", func(r *sampling.Rule) error { r.Reservoir++; return nil }); err != nil {
					t.Error(err)
				}
				list, at := s.Rules()
				if list[len(list)-1].Name != "Default" || at.IsZero() || FindRule(list, name) == nil || FindRule(list, "r9") != nil {
					t.Errorf("%v at %v", list, at)
				}
				if _, err := s.DeleteRule(t.Context(), name, ""); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := names(s); got != "Default=161 " {
		t.Errorf("at the end there is %s", got)
	}
}
