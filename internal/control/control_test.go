package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/roentgen-io/roentgen/internal/sampling"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/crashtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

var errBad = errors.New("bad expression")

// compileWords stands in for the filter language. An expression is words: a trace
// matches when its user agent contains one of them; "@g" stands for the
// expression of group g, or refuses when there is none; "!" is a mistake.
func compileWords(expression string, lookup Lookup) (Match, error) {
	var words []string
	var inners []Match
	for _, w := range strings.Fields(expression) {
		switch {
		case w == "!":
			return nil, errBad
		case w[0] == '@':
			inner, found := lookup(w[1:], "")
			if !found {
				return nil, fmt.Errorf("no group %s", w[1:])
			}
			if inner == "" {
				inners = append(inners, func(*trace.Row, func() *trace.Row) bool { return true })
				continue
			}
			m, err := compileWords(inner, lookup)
			if err != nil {
				return nil, err
			}
			inners = append(inners, m)
		default:
			words = append(words, w)
		}
	}
	return func(row *trace.Row, full func() *trace.Row) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(row.UserAgent, w) }) ||
			slices.ContainsFunc(inners, func(m Match) bool { return m(row, full) })
	}, nil
}

type fakeClock struct{ ms atomic.Int64 }

func (c *fakeClock) now() time.Time { return time.UnixMilli(c.ms.Load()) }

func (c *fakeClock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// fakeSteps is a store whose roller is at a seq.
type fakeSteps struct {
	last atomic.Uint64
	err  error // instead of a call
}

func (f *fakeSteps) BetweenSteps(_ context.Context, fn func(uint64) error) error {
	if f.err != nil {
		return f.err
	}
	return fn(f.last.Load())
}

func open(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Compile == nil {
		o.Compile = compileWords
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func create(t testing.TB, s *Store, name, expression string) Group {
	t.Helper()
	g, err := s.CreateGroup(t.Context(), NewGroup{Name: name, Expression: expression})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func update(t testing.TB, s *Store, name, expression string) Group {
	t.Helper()
	g, err := s.UpdateGroup(t.Context(), name, "", GroupChange{Expression: expression})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func remove(t testing.TB, s *Store, name string) {
	t.Helper()
	if err := s.DeleteGroup(t.Context(), name, ""); err != nil {
		t.Fatal(err)
	}
}

// versions describes what the store is given, one line each.
func versions(s *Store) string {
	var b strings.Builder
	for _, g := range s.StoreGroups() {
		fmt.Fprintf(&b, "%d.%d (%d,%d]\n", g.Ref.Group, g.Ref.Version, g.From, g.Until)
	}
	return b.String()
}

func wantVersions(t *testing.T, s *Store, want string) {
	t.Helper()
	if got := versions(s); got != want {
		t.Errorf("versions:\n%swant:\n%s", got, want)
	}
}

func TestVersions(t *testing.T) {
	clock, steps := &fakeClock{}, &fakeSteps{}
	clock.ms.Store(1_795_356_000_000)
	s := open(t, Options{Now: clock.now, Keep: 30 * 24 * time.Hour})
	s.Attach(steps)

	steps.last.Store(10)
	a := create(t, s, "a", "x")
	if a.ID != 1 || a.Created != clock.ms.Load() || !regexp.MustCompile(`^arn:aws:xray:us-east-1:000000000000:group/a/[A-Z2-7]{52}$`).MatchString(a.ARN) {
		t.Errorf("made %+v", a)
	}
	steps.last.Store(20)
	update(t, s, "a", "x") // the same text
	wantVersions(t, s, "1.1 (10,0]\n")
	update(t, s, "a", "y")
	wantVersions(t, s, "1.1 (10,20]\n1.2 (20,0]\n")
	update(t, s, "a", "z") // no document came in between
	wantVersions(t, s, "1.1 (10,20]\n1.3 (20,0]\n")

	current, older, found := s.Resolve("", a.ARN)
	if !found || current != (tracestore.GroupRef{Group: 1, Version: 3}) || !slices.Equal(older, []tracestore.GroupRef{{Group: 1, Version: 1}}) {
		t.Errorf("resolved %v %v %t", current, older, found)
	}
	if _, _, found := s.Resolve("a", a.ARN); !found {
		t.Error("name and ARN of one group do not find it")
	}
	if _, _, found := s.Resolve("Default", a.ARN); found {
		t.Error("the name of one group and the ARN of another find one of them")
	}
	if current, older, found := s.Resolve("Default", ""); !found || current != (tracestore.GroupRef{}) || older != nil {
		t.Errorf("resolved %v %v %t", current, older, found)
	}

	// A deleted group stays in the store's list, and its name is free.
	steps.last.Store(30)
	remove(t, s, "a")
	if _, _, found := s.Resolve("a", ""); found {
		t.Error("resolved a deleted group")
	}
	b := create(t, s, "a", "x")
	if b.ID != 2 || b.ARN == a.ARN {
		t.Errorf("made again: %+v", b)
	}
	wantVersions(t, s, "1.1 (10,20]\n1.3 (20,30]\n2.1 (30,0]\n")

	// A group that held for no document leaves nothing but its id.
	create(t, s, "gone", "x")
	remove(t, s, "gone")
	if g := create(t, s, "next", "x"); g.ID != 4 {
		t.Errorf("id %d, want 4", g.ID)
	}

	// What ended longer ago than data lives is forgotten with the next change.
	clock.advance(31*24*time.Hour + time.Minute)
	steps.last.Store(40)
	update(t, s, "a", "y")
	wantVersions(t, s, "2.1 (30,40]\n2.2 (40,0]\n4.1 (30,0]\n")
}

func TestVersionsAreBounded(t *testing.T) {
	steps := &fakeSteps{}
	s := open(t, Options{})
	s.Attach(steps)
	create(t, s, "a", "x")
	for i := range 150 {
		steps.last.Add(1)
		update(t, s, "a", fmt.Sprint("x", i))
	}
	list := s.StoreGroups()
	if len(list) != maxVersions || list[0].Ref.Version != 52 || list[maxVersions-1].Ref.Version != 151 {
		t.Errorf("%d versions from %v to %v", len(list), list[0].Ref, list[len(list)-1].Ref)
	}
	for range maxDeletedVersions + 50 {
		create(t, s, "b", "x")
		steps.last.Add(1)
		remove(t, s, "b")
	}
	list = s.StoreGroups()
	if len(list) != maxVersions+maxDeletedVersions || list[len(list)-1].Ref.Group != 1+maxDeletedVersions+50 {
		t.Errorf("%d versions, the last %v", len(list), list[len(list)-1].Ref)
	}
	if err := s.current.Load().state.check(); err != nil {
		t.Error(err)
	}
}

// TestReferences wants versions to mean the same for ever: what they refer to is
// bound when they begin, and they end when that changes.
func TestReferences(t *testing.T) {
	steps := &fakeSteps{}
	s := open(t, Options{})
	s.Attach(steps)
	create(t, s, "base", "x")
	create(t, s, "mid", "@base")
	create(t, s, "top", "@mid q")
	matches := func(ref tracestore.GroupRef, agent string) bool {
		t.Helper()
		for _, g := range s.StoreGroups() {
			if g.Ref == ref {
				return g.Match(&trace.Row{UserAgent: agent}, nil)
			}
		}
		t.Fatalf("no version %v", ref)
		return false
	}
	steps.last.Store(10)
	update(t, s, "base", "y")
	wantVersions(t, s, "1.1 (0,10]\n1.2 (10,0]\n2.1 (0,10]\n2.2 (10,0]\n3.1 (0,10]\n3.2 (10,0]\n")
	for _, tt := range []struct {
		ref  tracestore.GroupRef
		x, y bool
	}{{tracestore.GroupRef{Group: 1, Version: 1}, true, false}, {tracestore.GroupRef{Group: 1, Version: 2}, false, true}, {tracestore.GroupRef{Group: 2, Version: 1}, true, false}, {tracestore.GroupRef{Group: 2, Version: 2}, false, true}} {
		if x, y := matches(tt.ref, "x"), matches(tt.ref, "y"); x != tt.x || y != tt.y {
			t.Errorf("%v matches x %t and y %t", tt.ref, x, y)
		}
	}
	if !matches(tracestore.GroupRef{Group: 3, Version: 2}, "q") {
		t.Error("top lost its own word")
	}

	// Circles are refused and leave everything as it was.
	before := versions(s)
	for name, expression := range map[string]string{"base": "@top", "mid": "@mid", "top": "z @top"} {
		_, err := s.UpdateGroup(t.Context(), name, "", GroupChange{Expression: expression})
		var bad *ExpressionError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), "its own group "+name) {
			t.Errorf("%s = %s: %v", name, expression, err)
		}
	}
	wantVersions(t, s, before)

	// Without its base a group matches nothing, until there is one again; which
	// must not close a circle.
	steps.last.Store(20)
	remove(t, s, "base")
	if matches(tracestore.GroupRef{Group: 2, Version: 3}, "y") {
		t.Error("mid matches without its base")
	}
	steps.last.Store(30)
	if _, err := s.CreateGroup(t.Context(), NewGroup{Name: "base", Expression: "@top"}); err == nil {
		t.Error("made a circle")
	}
	create(t, s, "base", "z")
	if !matches(tracestore.GroupRef{Group: 2, Version: 4}, "z") || matches(tracestore.GroupRef{Group: 2, Version: 4}, "y") || !matches(tracestore.GroupRef{Group: 1, Version: 2}, "y") {
		t.Error("mid does not follow the new base")
	}
	if e, found := s.Expression("base", ""); !found || e != "z" {
		t.Errorf("expression %q %t", e, found)
	}
	if e, found := s.Expression("Default", ""); !found || e != "" {
		t.Errorf("expression of Default %q %t", e, found)
	}

	// Groups that each name the next one many times are refused in time.
	create(t, s, "l0", "x")
	var last error
	for i := 1; i < 10 && last == nil; i++ {
		_, last = s.CreateGroup(t.Context(), NewGroup{Name: fmt.Sprint("l", i), Expression: strings.Repeat(fmt.Sprintf("@l%d ", i-1), 10)})
	}
	var bad *ExpressionError
	if !errors.As(last, &bad) || !strings.Contains(last.Error(), "more than 1000 times") {
		t.Errorf("a laugh: %v", last)
	}
}

func TestRefusals(t *testing.T) {
	s := open(t, Options{Dir: "/", FS: vfs.NewMem()})
	a := create(t, s, "a", "x")
	ctx := t.Context()
	createErr := func(n NewGroup) error { _, err := s.CreateGroup(ctx, n); return err }
	updateErr := func(name, expression string) error {
		_, err := s.UpdateGroup(ctx, name, "", GroupChange{Expression: expression})
		return err
	}
	refused := errors.New("refused")
	_, insights := s.UpdateGroup(ctx, "", a.ARN, GroupChange{Expression: "y", Insights: func(Insights) (Insights, error) { return Insights{}, refused }})
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for name, tt := range map[string]struct{ got, want error }{
		"taken":          {createErr(NewGroup{Name: "a", Expression: "x"}), ErrExists},
		"reserved":       {createErr(NewGroup{Name: "Default", Expression: "x"}), ErrExists},
		"limit":          {createErr(NewGroup{Name: "b", Expression: "x", Max: 1}), ErrTooMany},
		"mistake":        {createErr(NewGroup{Name: "b", Expression: "!"}), errBad},
		"update mistake": {updateErr("a", "!"), errBad},
		"update unknown": {updateErr("b", "x"), ErrNotFound},
		"update default": {updateErr("Default", "x"), ErrDefault},
		"delete unknown": {s.DeleteGroup(ctx, "", "arn"), ErrNotFound},
		"delete default": {s.DeleteGroup(ctx, "Default", ""), ErrDefault},
		"insights":       {insights, refused},
		"ended context":  {s.DeleteGroup(ended, "a", ""), context.Canceled},
		"too large":      {createErr(NewGroup{Name: "b", Expression: strings.Repeat("x", maxFile)}), ErrTooLarge},
	} {
		if !errors.Is(tt.got, tt.want) {
			t.Errorf("%s: %v, want %v", name, tt.got, tt.want)
		}
	}
	for _, name := range []string{"", "a b", "a_b", "a/b", "é", strings.Repeat("a", 33)} {
		if err := createErr(NewGroup{Name: name, Expression: "x"}); err == nil {
			t.Errorf("made a group %q", name)
		}
	}
	for _, expression := range []string{"", " \t\n"} {
		if createErr(NewGroup{Name: "b", Expression: expression}) == nil || updateErr("a", expression) == nil {
			t.Errorf("took the expression %q", expression)
		}
	}
	steps := &fakeSteps{err: tracestore.ErrClosed}
	s.Attach(steps)
	if err := updateErr("a", "y"); !errors.Is(err, tracestore.ErrClosed) {
		t.Errorf("store closed: %v", err)
	}
	if got, err := s.Group("a", ""); err != nil || got.Expression() != "x" || len(s.Groups()) != 2 {
		t.Errorf("after refusals: %+v, %v", got, err)
	}
}

// TestBadStoredExpression wants a group whose stored expression cannot be used
// any more to match nothing, to be logged once, and to disturb nobody.
func TestBadStoredExpression(t *testing.T) {
	mem := vfs.NewMem()
	s := open(t, Options{Dir: "/", FS: mem})
	create(t, s, "a", "x")
	create(t, s, "b", "y")
	var log strings.Builder
	s = open(t, Options{Dir: "/", FS: mem, Logger: slog.New(slog.NewTextHandler(&log, nil)), Compile: func(e string, l Lookup) (Match, error) {
		if e == "x" {
			return nil, errBad
		}
		return compileWords(e, l)
	}})
	update(t, s, "b", "z")
	row := &trace.Row{UserAgent: "x y z"}
	for _, g := range s.StoreGroups() {
		if got := g.Match(row, nil); got != (g.Ref.Group == 2) {
			t.Errorf("%v matches: %t", g.Ref, got)
		}
	}
	if n := strings.Count(log.String(), "group matched nothing"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, log.String())
	}
}

// history makes changes until the first one fails, and returns the states that
// were acknowledged, the empty one first, and the error.
func history(s *Store, steps *fakeSteps) (acked []*state, err error) {
	acked = []*state{s.current.Load().state}
	ctx := context.Background()
	for i, change := range []func() error{
		func() error {
			_, err := s.CreateGroup(ctx, NewGroup{Name: "a", Expression: "x", Tags: []Tag{{"k", "v"}}})
			return err
		},
		func() error { _, err := s.CreateGroup(ctx, NewGroup{Name: "b", Expression: "@a é<&>"}); return err },
		func() error { _, err := s.UpdateGroup(ctx, "a", "", GroupChange{Expression: "y"}); return err },
		func() error { return s.DeleteGroup(ctx, "a", "") },
		func() error { _, err := s.CreateGroup(ctx, NewGroup{Name: "a", Expression: "z"}); return err },
		func() error { return s.SetEncryption(ctx, EncryptionKMS, "arn:aws:kms:x") },
		func() error { _, err := s.PutPolicy(ctx, "p", `{"Statement":[]}`, "0"); return err },
		func() error { return s.Tag(ctx, s.resourcePrefix()+defaultRuleResource, []Tag{{"k", "é<&>"}}) },
		func() error { _, err := s.SetIndexing(ctx, 12.5); return err },
		func() error { _, err := s.CreateRule(ctx, NewRule{Rule: samplingRule("r")}); return err },
		func() error { _, err := s.CreateRule(ctx, NewRule{Rule: samplingRule("q")}); return err },
		func() error {
			_, err := s.UpdateRule(ctx, "Default", "", func(r *sampling.Rule) error { r.FixedRate = 0.5; return nil })
			return err
		},
		func() error { _, err := s.DeleteRule(ctx, "r", ""); return err },
		func() error { _, err := s.SetDestination(ctx, DestinationCloudWatchLogs); return err },
		func() error { _, err := s.Import(ctx, []byte(exported), false); return err },
	} {
		steps.last.Store(uint64(i * 10))
		if err := change(); err != nil {
			return acked, err
		}
		acked = append(acked, s.current.Load().state)
	}
	return acked, nil
}

// exported is a file that takes everything away that history made and makes one group.
const exported = `{"format":"roentgen-control","version":1,"state":{"revision":1,"saved":1,"groups":{"last_id":7,"groups":[
	{"id":7,"name":"c","arn":"arn:aws:xray:eu-west-1:111122223333:group/c/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
	"insights":{"enabled":true,"notifications":false},"created":5,"changed":6,"versions":[{"version":9,"expression":"x","from":77,"began":5}]}]}}}`

func same(a, b *state) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// TestFaults lets every operation on the file system fail in turn, once or from
// then on, and the machine crash afterwards. What is there then is what was
// acknowledged last, or, when the disk went on failing, the change that failed.
func TestFaults(t *testing.T) {
	const changes = 15
	for _, forever := range []bool{false, true} {
		for _, cause := range []error{syscall.ENOSPC, syscall.EIO} {
			for i := int64(0); ; i++ {
				mem := vfs.NewCrashableMem()
				faults := crashtest.NewFaults(mem)
				// Reads fail too: that of the folder for syncing it, say.
				faults.Arm(crashtest.Plan{Index: i, Forever: forever, Err: cause, Match: func(o crashtest.Op) bool { return true }})
				s, err := Open(Options{Dir: "/", FS: faults, Compile: compileWords})
				if err != nil {
					if faults.Fired() == nil {
						t.Fatal(err)
					}
					continue // the only read of Open
				}
				steps := &fakeSteps{}
				s.Attach(steps)
				acked, failure := history(s, steps)
				fired := faults.Fired()
				if fired == nil {
					if failure != nil || len(acked) != changes+1 {
						t.Fatalf("without a fault: %d changes, %v", len(acked)-1, failure)
					}
					break
				}
				name := fmt.Sprintf("forever %t, %v at %d (%v)", forever, cause, i, fired)
				if failure == nil && len(acked) != changes+1 {
					t.Fatalf("%s: %d changes", name, len(acked)-1)
				}
				if failure != nil {
					want := tracestore.ErrUnavailable
					if cause == syscall.ENOSPC {
						want = tracestore.ErrNoSpace
					}
					if !errors.Is(failure, want) || !errors.Is(failure, cause) {
						t.Errorf("%s: %v", name, failure)
					}
				}
				last := acked[len(acked)-1]
				if !same(s.current.Load().state, last) {
					t.Errorf("%s: the state in force is not the one acknowledged last", name)
				}
				// The machine crashes with some of what was not synced on disk.
				for seed := range uint64(8) {
					left := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(seed) * 14, RNG: rand.New(rand.NewPCG(seed, 1))})
					r, err := Open(Options{Dir: "/", FS: left, Compile: compileWords})
					if err != nil {
						t.Fatalf("%s, crash %d: %v", name, seed, err)
					}
					got := r.current.Load().state
					failed := failure != nil && forever && got.Revision == last.Revision+1
					if !same(got, last) && !failed {
						t.Fatalf("%s, crash %d: revision %d, acknowledged %d", name, seed, got.Revision, last.Revision)
					}
					// And it goes on from there.
					if _, err := r.CreateGroup(context.Background(), NewGroup{Name: "later", Expression: "x"}); err != nil {
						t.Fatalf("%s, crash %d: %v", name, seed, err)
					}
				}
				// The process lives on, and so does its state.
				faults.Disarm()
				if _, err := s.CreateGroup(context.Background(), NewGroup{Name: "later", Expression: "x"}); err != nil {
					t.Fatalf("%s: afterwards: %v", name, err)
				}
				r := open(t, Options{Dir: "/", FS: mem.CrashClone(vfs.CrashCloneCfg{})})
				if !same(r.current.Load().state, s.current.Load().state) {
					t.Errorf("%s: what was acknowledged after the fault is not there", name)
				}
			}
		}
	}
}

// crashPoints calls a function before each operation that changes the disk.
type crashPoints struct {
	*vfs.MemFS
	at func(op string)
}

func (c crashPoints) Create(name string, k vfs.DiskWriteCategory) (vfs.File, error) {
	c.at("create")
	f, err := c.MemFS.Create(name, k)
	return crashPointFile{f, c}, err
}
func (c crashPoints) Rename(from, to string) error { c.at("rename"); return c.MemFS.Rename(from, to) }
func (c crashPoints) Remove(name string) error     { c.at("remove"); return c.MemFS.Remove(name) }
func (c crashPoints) OpenDir(name string) (vfs.File, error) {
	f, err := c.MemFS.OpenDir(name)
	return crashPointFile{f, c}, err
}

type crashPointFile struct {
	vfs.File
	c crashPoints
}

func (f crashPointFile) Write(p []byte) (int, error) { f.c.at("write"); return f.File.Write(p) }
func (f crashPointFile) Sync() error                 { f.c.at("sync"); return f.File.Sync() }

// TestCrashes crashes the machine before each operation, and wants the state that
// was acknowledged last or the one under way.
func TestCrashes(t *testing.T) {
	mem := vfs.NewCrashableMem()
	rng := rand.New(rand.NewPCG(1, 2))
	var disks []*vfs.MemFS
	var points []uint64 // revision in force at the crash
	var s *Store
	fs := crashPoints{mem, func(string) {
		for _, percent := range []int{0, 30, 70, 100} {
			disks = append(disks, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}))
			points = append(points, s.current.Load().state.Revision)
		}
	}}
	s = open(t, Options{Dir: "/", FS: fs})
	steps := &fakeSteps{}
	s.Attach(steps)
	acked, err := history(s, steps)
	if err != nil {
		t.Fatal(err)
	}
	if len(disks) < 15*4*5 {
		t.Fatalf("only %d crashes", len(disks))
	}
	for i, disk := range disks {
		r, err := Open(Options{Dir: "/", FS: disk, Compile: compileWords})
		if err != nil {
			t.Fatalf("crash %d: %v", i, err)
		}
		got := r.current.Load().state
		if got.Revision < points[i] || got.Revision > points[i]+1 || !same(got, acked[got.Revision]) {
			t.Errorf("crash %d: revision %d, in force was %d", i, got.Revision, points[i])
		}
	}
}

func TestRestart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	steps := &fakeSteps{}
	s.Attach(steps)
	if _, err := history(s, steps); err != nil {
		t.Fatal(err)
	}
	r := open(t, Options{Dir: dir})
	if !same(s.current.Load().state, r.current.Load().state) || versions(s) != versions(r) || !reflect.DeepEqual(s.Groups(), r.Groups()) {
		t.Errorf("before:\n%+v\nafter:\n%+v", s.Groups(), r.Groups())
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != FileName {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
}

func TestChangedByOthers(t *testing.T) {
	mem := vfs.NewMem()
	a, b := open(t, Options{Dir: "/", FS: mem}), open(t, Options{Dir: "/", FS: mem})
	create(t, a, "a", "x")
	if _, err := b.CreateGroup(t.Context(), NewGroup{Name: "b", Expression: "x"}); !errors.Is(err, ErrChanged) {
		t.Errorf("a second writer: %v", err)
	}
	if got := open(t, Options{Dir: "/", FS: mem}).Groups(); len(got) != 2 || got[1].Name != "a" {
		t.Errorf("groups %+v", got)
	}
}

// TestConcurrent has writers and readers at once; each reader sees revisions grow,
// and only what is on disk.
func TestConcurrent(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := open(t, Options{Dir: "/", FS: mem})
	steps := &fakeSteps{}
	s.Attach(steps)
	var writers, readers sync.WaitGroup
	var stop atomic.Bool
	for range 4 {
		readers.Go(func() {
			var last uint64
			for !stop.Load() {
				seen := s.current.Load().state.Revision
				if seen < last {
					t.Errorf("revision %d after %d", seen, last)
				}
				last = seen
				s.Resolve("w1", "")
				s.Expression("w2", "")
				for _, g := range s.StoreGroups() {
					g.Match(&trace.Row{UserAgent: "x"}, nil)
				}
				for _, g := range s.Groups() {
					_ = g.Expression()
				}
				r, err := Open(Options{Dir: "/", FS: mem.CrashClone(vfs.CrashCloneCfg{}), Compile: compileWords})
				if err != nil || r.current.Load().state.Revision < seen {
					t.Errorf("saw revision %d which is not on disk: %v", seen, err)
				}
			}
		})
	}
	for w := range 4 {
		writers.Go(func() {
			name := fmt.Sprint("w", w)
			for i := range 10 {
				_, err := s.CreateGroup(context.Background(), NewGroup{Name: name, Expression: "x"})
				if err == nil {
					steps.last.Add(1)
					_, err = s.UpdateGroup(context.Background(), name, "", GroupChange{Expression: fmt.Sprint("y", i)})
				}
				if err == nil {
					err = s.DeleteGroup(context.Background(), name, "")
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	stop.Store(true)
	readers.Wait()
	if r := s.current.Load().state.Revision; r != 4*10*3 {
		t.Errorf("revision %d", r)
	}
}

// sealed returns a file with the text of a state and its right checksum.
func sealed(text string) []byte {
	return fmt.Appendf(nil, `{"format":"roentgen-control","version":1,"checksum":%q,"state":%s}`, checksum([]byte(text)), text)
}

func TestDamagedFiles(t *testing.T) {
	mem := vfs.NewMem()
	s := open(t, Options{Dir: "/", FS: mem})
	steps := &fakeSteps{}
	s.Attach(steps)
	if _, err := history(s, steps); err != nil {
		t.Fatal(err)
	}
	good, err := s.read()
	if err != nil {
		t.Fatal(err)
	}
	text := string(good)
	arn := "arn:aws:xray:r:1:group/a/" + strings.Repeat("A", 52)
	group := `{"revision":1,"saved":1,"groups":{"last_id":%d,"groups":[{"id":1,"name":"%s","arn":"%s","insights":{"enabled":false,"notifications":false},"created":1,"changed":1,"versions":[%s]}]}}`
	version := `{"version":1,"expression":"x","from":1,"began":1}`
	if _, err := decode(sealed(fmt.Sprintf(group, 1, "a", arn, version))); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	for name, tt := range map[string]struct {
		file string
		want error
	}{
		"empty":         {"", tracestore.ErrCorrupt},
		"null":          {"null", tracestore.ErrCorrupt},
		"half":          {text[:len(text)/2], tracestore.ErrCorrupt},
		"twice":         {text + text, tracestore.ErrCorrupt},
		"one letter":    {strings.Replace(text, `"expression": "x"`, `"expression": "w"`, 1), tracestore.ErrCorrupt},
		"other file":    {`{"format":"something","version":1}`, tracestore.ErrCorrupt},
		"no checksum":   {`{"format":"roentgen-control","version":1,"state":{}}`, tracestore.ErrCorrupt},
		"no state":      {`{"format":"roentgen-control","version":1,"checksum":"sha256:"}`, tracestore.ErrCorrupt},
		"version 0":     {`{"format":"roentgen-control"}`, tracestore.ErrCorrupt},
		"deep":          {strings.Repeat("[", 1<<20), tracestore.ErrCorrupt},
		"later":         {`{"format":"roentgen-control","version":2,"state":[]}`, tracestore.ErrFormat},
		"later section": {string(sealed(`{"revision":1,"saved":1,"later":{}}`)), tracestore.ErrFormat},
		"wrong type":    {string(sealed(`{"revision":-1}`)), tracestore.ErrCorrupt},
		"id not given":  {string(sealed(fmt.Sprintf(group, 0, "a", arn, version))), tracestore.ErrCorrupt},
		"name":          {string(sealed(fmt.Sprintf(group, 1, "Default", arn, version))), tracestore.ErrCorrupt},
		"ARN":           {string(sealed(fmt.Sprintf(group, 1, "a", "arn", version))), tracestore.ErrCorrupt},
		"no version":    {string(sealed(fmt.Sprintf(group, 1, "a", arn, ""))), tracestore.ErrCorrupt},
		"version twice": {string(sealed(fmt.Sprintf(group, 1, "a", arn, version+","+version))), tracestore.ErrCorrupt},
		"nothing in it": {string(sealed(fmt.Sprintf(group, 1, "a", arn, `{"version":1,"expression":" ","from":1,"began":1}`))), tracestore.ErrCorrupt},
		"none in force": {string(sealed(fmt.Sprintf(group, 1, "a", arn, `{"version":1,"expression":"x","from":1,"until":5,"began":1}`))), tracestore.ErrCorrupt},
		"overlap":       {string(sealed(fmt.Sprintf(group, 1, "a", arn, `{"version":1,"expression":"x","from":0,"until":9,"began":1},{"version":2,"expression":"x","from":8,"began":1}`))), tracestore.ErrCorrupt},
		"later key":     {string(sealed(fmt.Sprintf(group, 1, "a", arn, `{"version":1,"expression":"x","from":1,"began":1,"colour":1}`))), tracestore.ErrFormat},
	} {
		disk := vfs.NewMem()
		write(t, disk, tt.file)
		_, err := Open(Options{Dir: "/", FS: disk, Compile: compileWords})
		var place *FileError
		if !errors.Is(err, tt.want) || !errors.As(err, &place) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
			continue
		}
		f, err := disk.Open("/" + FileName)
		if err != nil {
			t.Fatal(err)
		}
		if left, err := io.ReadAll(f); err != nil || string(left) != tt.file {
			t.Errorf("%s: the file was changed: %v", name, err)
		}
	}
	// Laid out anew by somebody's editor it is the same state.
	disk := vfs.NewMem()
	write(t, disk, strings.ReplaceAll(text, "\n  ", "\n\t"))
	if r := open(t, Options{Dir: "/", FS: disk}); !same(r.current.Load().state, s.current.Load().state) {
		t.Error("laid out anew it is another state")
	}
}

func write(t testing.TB, fs vfs.FS, text string) {
	t.Helper()
	f, err := fs.Create("/"+FileName, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write([]byte(text))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// FuzzDecode reads hostile files, and such with a right checksum. What is taken
// can be used, changed, and read again.
func FuzzDecode(f *testing.F) {
	mem := vfs.NewMem()
	s, err := Open(Options{Dir: "/", FS: mem, Compile: compileWords})
	if err != nil {
		f.Fatal(err)
	}
	steps := &fakeSteps{}
	s.Attach(steps)
	if _, err := history(s, steps); err != nil {
		f.Fatal(err)
	}
	file, err := s.read()
	if err != nil {
		f.Fatal(err)
	}
	text, err := json.Marshal(s.current.Load().state)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add(text)
	f.Add([]byte(`{}`))
	f.Add([]byte(strings.Replace(string(text), `"uses":[`, `"uses":[{"name":"a","found":true,"expression":"@a"},`, 1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, file := range [][]byte{data, sealed(string(data))} {
			st, err := decode(file)
			if err != nil {
				if !errors.Is(err, tracestore.ErrCorrupt) && !errors.Is(err, tracestore.ErrFormat) {
					t.Fatalf("%v is of no kind", err)
				}
				continue
			}
			again, err := encode(st)
			if err != nil {
				t.Fatal(err)
			}
			second, err := decode(again)
			if err != nil || !same(st, second) {
				t.Fatalf("not the same: %v", err)
			}
			disk := vfs.NewMem()
			write(t, disk, string(file))
			s := open(t, Options{Dir: "/", FS: disk})
			for _, g := range s.StoreGroups() {
				g.Match(&trace.Row{UserAgent: "x"}, nil)
			}
			for _, g := range s.Groups()[1:] {
				_, err := s.UpdateGroup(context.Background(), g.Name, "", GroupChange{Expression: "other"})
				if err == nil {
					err = s.DeleteGroup(context.Background(), g.Name, "")
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := s.current.Load().state.check(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
