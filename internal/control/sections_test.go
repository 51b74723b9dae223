package control

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roentgen-io/roentgen/internal/sampling"
	"github.com/roentgen-io/roentgen/internal/tracestore"
)

func TestPolicies(t *testing.T) {
	clock := &fakeClock{}
	clock.ms.Store(1_795_356_000_000)
	mem := vfs.NewMem()
	s := open(t, Options{Dir: "/", FS: mem, Now: clock.now})
	put := func(name, document, revision string) (Policy, error) {
		return s.PutPolicy(t.Context(), name, document, revision)
	}
	for i, step := range []struct {
		name, document, revision string
		want                     uint64
		err                      error
	}{
		{"b", "{}", "", 1, nil},
		{"b", "{}", "", 2, nil}, // equal content still raises the revision
		{"b", "{}", "0", 0, ErrRevision},
		{"b", "{}", "1", 0, ErrRevision},
		{"b", "{}", "02", 0, ErrRevision},
		{"b", "[]", "2", 3, nil},
		{"a", "{}", "1", 0, ErrRevision},
		{"a", "{}", "0", 1, nil},
		{"c", "{}", "", 1, nil}, {"d", "{}", "", 1, nil}, {"e", "{}", "", 1, nil},
		{"f", "{}", "", 0, ErrTooMany},
		{"a", "{}", "", 2, nil},
	} {
		p, err := put(step.name, step.document, step.revision)
		if !errors.Is(err, step.err) || p.Revision != step.want {
			t.Errorf("step %d: revision %d, %v", i, p.Revision, err)
		}
	}
	if _, err := put("bad name", "{}", ""); err == nil {
		t.Error("a name with a space was taken")
	}
	if _, err := put("a", strings.Repeat("x", MaxPolicy+1), ""); err == nil {
		t.Error("a large document was taken")
	}
	for _, step := range []struct {
		name, revision string
		err            error
	}{{"z", "", ErrNotFound}, {"z", "1", ErrRevision}, {"b", "2", ErrRevision}, {"b", "3", nil}, {"c", "", nil}} {
		if err := s.DeletePolicy(t.Context(), step.name, step.revision); !errors.Is(err, step.err) {
			t.Errorf("delete %s at %q: %v", step.name, step.revision, err)
		}
	}
	var names []string
	for _, p := range open(t, Options{Dir: "/", FS: mem}).Policies() {
		names = append(names, fmt.Sprintf("%s %s %s %d", p.Name, p.RevisionID(), p.Document, p.Updated))
	}
	if want := []string{"a 2 {} 1795356000000", "d 1 {} 1795356000000", "e 1 {} 1795356000000"}; !slices.Equal(names, want) {
		t.Errorf("after a restart: %q", names)
	}
}

func TestTags(t *testing.T) {
	mem := vfs.NewMem()
	s := open(t, Options{Dir: "/", FS: mem})
	g, err := s.CreateGroup(t.Context(), NewGroup{Name: "a", Expression: "x", Tags: []Tag{{"b", "1"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, arn := range []string{g.ARN, s.resourcePrefix() + defaultGroupResource, s.resourcePrefix() + defaultRuleResource} {
		if err := s.Untag(t.Context(), arn, []string{"b", "absent"}); err != nil {
			t.Fatal(err)
		}
		if err := s.Tag(t.Context(), arn, []Tag{{"k", "v"}, {"K", ""}, {"k", "w"}}); err != nil {
			t.Fatal(err)
		}
		revision := s.current.Load().state.Revision
		if err := s.Tag(t.Context(), arn, []Tag{{"k", "w"}}); err != nil || s.current.Load().state.Revision != revision {
			t.Errorf("what changes nothing was written: %v", err)
		}
		many := make([]Tag, MaxTags-1)
		for i := range many {
			many[i] = Tag{Key: fmt.Sprint("m", i)}
		}
		if err := s.Tag(t.Context(), arn, many); !errors.Is(err, ErrTooMany) {
			t.Errorf("51 tags: %v", err)
		}
		if err := s.Tag(t.Context(), arn, many[1:]); err != nil {
			t.Errorf("50 tags: %v", err)
		}
		keys := make([]string, len(many))
		for i := range many {
			keys[i] = many[i].Key
		}
		if err := s.Untag(t.Context(), arn, keys); err != nil {
			t.Fatal(err)
		}
		for name, s := range map[string]*Store{"now": s, "after a restart": open(t, Options{Dir: "/", FS: mem})} {
			if got, err := s.Tags(arn); err != nil || !slices.Equal(got, []Tag{{"K", ""}, {"k", "w"}}) {
				t.Errorf("%s: tags of %s: %v, %v", name, arn, got, err)
			}
		}
	}
	if err := s.Untag(t.Context(), s.resourcePrefix()+defaultGroupResource, []string{"k", "K"}); err != nil {
		t.Fatal(err)
	}
	if list := s.current.Load().state.Tags; len(list) != 1 {
		t.Errorf("a resource without tags is still listed: %+v", list)
	}
	remove(t, s, "a")
	for _, arn := range []string{g.ARN, "", "arn:aws:xray:us-east-1:000000000000:group/none/x", "arn:aws:xray:eu-west-1:000000000000:group/Default"} {
		if _, err := s.Tags(arn); !errors.Is(err, ErrNotFound) {
			t.Errorf("tags of %q: %v", arn, err)
		}
		if err := s.Tag(t.Context(), arn, nil); !errors.Is(err, ErrNotFound) {
			t.Errorf("tagging %q: %v", arn, err)
		}
	}
	if g := create(t, s, "a", "x"); g.Tags != nil {
		t.Error("a group that was made again has the old tags")
	}
}

func TestSettings(t *testing.T) {
	mem := vfs.NewMem()
	s := open(t, Options{Dir: "/", FS: mem})
	if e := s.Encryption(); e.Type != EncryptionNone || e.KeyID != "" {
		t.Errorf("at first: %+v", e)
	}
	for _, bad := range [][2]string{{"KMS", ""}, {"NONE", "k"}, {"AES", ""}} {
		if err := s.SetEncryption(t.Context(), bad[0], bad[1]); err == nil {
			t.Errorf("took %q", bad)
		}
	}
	if err := s.SetEncryption(t.Context(), EncryptionKMS, "k"); err != nil {
		t.Fatal(err)
	}
	if x := s.Indexing(); x.Percentage != 1 || x.Changed != 0 {
		t.Errorf("at first: %+v", x)
	}
	for _, bad := range []float64{-1, 100.5} {
		if _, err := s.SetIndexing(t.Context(), bad); err == nil {
			t.Errorf("took %v", bad)
		}
	}
	if _, err := s.SetIndexing(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if changed, err := s.SetDestination(t.Context(), DestinationXRay); changed || err != nil {
		t.Errorf("the destination that it is: %t, %v", changed, err)
	}
	if _, err := s.SetDestination(t.Context(), ""); err == nil {
		t.Error("took no destination")
	}
	if changed, err := s.SetDestination(t.Context(), DestinationCloudWatchLogs); !changed || err != nil {
		t.Errorf("another destination: %t, %v", changed, err)
	}
	r := open(t, Options{Dir: "/", FS: mem})
	if e, x := r.Encryption(), r.Indexing(); e.KeyID != "k" || e.Type != EncryptionKMS || x.Percentage != 0 || x.Changed == 0 || r.Destination() != DestinationCloudWatchLogs {
		t.Errorf("after a restart: %+v %+v %s", e, x, r.Destination())
	}
}

// filled returns a store with something in every section of the state.
func filled(t *testing.T) *Store {
	t.Helper()
	s := open(t, Options{})
	steps := &fakeSteps{}
	s.Attach(steps)
	create(t, s, "base", "x")
	create(t, s, "top", "@base q")
	create(t, s, "gone", "x")
	create(t, s, "lame", "@gone")
	steps.last.Store(10)
	update(t, s, "base", "y")
	remove(t, s, "gone")
	for _, err := range []error{
		s.SetEncryption(t.Context(), EncryptionKMS, "k"),
		s.Tag(t.Context(), s.resourcePrefix()+defaultGroupResource, []Tag{{"k", "v"}}),
		s.Tag(t.Context(), s.Groups()[1].ARN, []Tag{{"team", "till"}}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	rule := createRule(t, s, "cart", func(r *sampling.Rule) {
		r.Attributes, r.Boost = map[string]string{"tenant": "acme"}, &sampling.Boost{MaxRate: 1, CooldownMinutes: 2}
	})
	if err := s.Tag(t.Context(), rule.ARN, []Tag{{"team", "till"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UpdateRule(t.Context(), sampling.DefaultName, "", func(r *sampling.Rule) error { r.Reservoir = 7; return nil }); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := s.PutPolicy(t.Context(), "p", "{}", ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.SetIndexing(t.Context(), 50); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SetDestination(t.Context(), DestinationCloudWatchLogs); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SaveView(t.Context(), Editor{Key: "RGENX"}, View{Name: "slow", Page: "traces", Query: "q=fault"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.MakeLink(t.Context(), "traces", "q=fault&range=1h"); err != nil {
		t.Fatal(err)
	}
	st := reflect.ValueOf(*s.current.Load().state)
	for i := range st.NumField() {
		if st.Field(i).IsZero() {
			t.Fatalf("fill the section %s of the state here, so that this test sees whether an import takes it", st.Type().Field(i).Name)
		}
	}
	return s
}

// essence describes all of a state that an import has to carry over.
func essence(s *Store) string {
	st := *s.current.Load().state
	st.Revision, st.Saved = 0, 0
	var b strings.Builder
	for _, g := range s.Groups()[1:] {
		fmt.Fprintf(&b, "%s %s %q %+v %v %v\n", g.Name, g.ARN, g.Expression(), g.Insights, g.Tags, g.current().Uses)
	}
	rules, changed := s.Rules()
	for _, r := range rules {
		fmt.Fprintf(&b, "%s %v %d %v %+v %v %t\n", r.ARN, r.FixedRate, r.Reservoir, r.Attributes, r.Boost, r.Tags, r.Changed == 0)
	}
	fmt.Fprintln(&b, changed.IsZero())
	st.Groups, st.Rules = groupState{}, ruleState{}
	fmt.Fprintf(&b, "%+v", st)
	return b.String()
}

func export(t *testing.T, s *Store) []byte {
	t.Helper()
	file, err := s.Export()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func mustImport(t *testing.T, s *Store, file []byte) []Change {
	t.Helper()
	changes, err := s.Import(t.Context(), file, false)
	if err != nil {
		t.Fatal(err)
	}
	return changes
}

// TestExportImport carries the state of one store over to an empty one, to one that
// holds other things, and back to itself.
func TestExportImport(t *testing.T) {
	from := filled(t)
	file, want := export(t, from), essence(from)
	if changes := mustImport(t, from, file); len(changes) != 0 {
		t.Errorf("an import of what is there changes %v", changes)
	}

	empty := open(t, Options{Dir: t.TempDir()})
	tried, err := empty.Import(t.Context(), file, true)
	if err != nil || len(tried) != 12 || empty.current.Load().state.Revision != 0 {
		t.Errorf("tried: %v, %v", tried, err)
	}
	if changes := mustImport(t, empty, file); !slices.Equal(changes, tried) {
		t.Errorf("tried %v, did %v", tried, changes)
	}
	if got := essence(empty); got != want {
		t.Errorf("imported:\n%s\nwant:\n%s", got, want)
	}
	if got := essence(open(t, Options{Dir: empty.opts.Dir})); got != want {
		t.Errorf("after a restart:\n%s\nwant:\n%s", got, want)
	}

	other := open(t, Options{})
	steps := &fakeSteps{}
	other.Attach(steps)
	for _, g := range [][2]string{{"old", "x"}, {"base", "z"}, {"user", "@base"}} {
		create(t, other, g[0], g[1])
	}
	if _, err := other.PutPolicy(t.Context(), "p", "[]", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := other.PutPolicy(t.Context(), "q", "[]", ""); err != nil {
		t.Fatal(err)
	}
	createRule(t, other, "till")
	createRule(t, other, "cart", func(r *sampling.Rule) { r.Priority = 7 })
	old, err := other.Rule("cart", "")
	if err != nil {
		t.Fatal(err)
	}
	own := export(t, other)
	steps.last.Store(100)
	changes := mustImport(t, other, file)
	if p := other.Policies(); len(p) != 1 || p[0].Document != "{}" || p[0].Revision != 4 {
		t.Errorf("policies %+v", p)
	}
	for _, c := range []Change{{"groups", "old", ChangeRemoved}, {"groups", "base", ChangeRemoved}, {"groups", "base", ChangeMade}, {"policies", "p", ChangeChanged}, {"policies", "q", ChangeRemoved}, {"rules", "till", ChangeRemoved}, {"rules", "cart", ChangeChanged}, {"rules", "Default", ChangeChanged}, {"encryption", "", ChangeChanged}} {
		if !slices.Contains(changes, c) {
			t.Errorf("%v is not among the changes %v", c, changes)
		}
	}
	if r, err := other.Rule("cart", ""); err != nil || r.Priority != 100 || r.Created != old.Created || len(r.Tags) != 1 {
		t.Errorf("rule cart is %+v, %v; it was %+v", r, err, old)
	}
	// Its own groups come back as themselves, with their data.
	refs := versions(other)
	steps.last.Store(200)
	mustImport(t, other, own)
	if got := len(other.Groups()); got != 4 {
		t.Errorf("%d groups", got)
	}
	for _, g := range other.Groups()[1:] {
		_, older, found := other.Resolve(g.Name, "")
		if !found || len(older) != 1 {
			t.Errorf("%s lost its old version: %v", g.Name, older)
		}
	}
	if got := versions(other); got == refs || strings.Count(got, ",0]") != 3 {
		t.Errorf("versions:\n%s", got)
	}
	if err := other.current.Load().state.check(); err != nil {
		t.Error(err)
	}
}

func TestImportRefuses(t *testing.T) {
	s := filled(t)
	before := essence(s)
	group := func(name, expression string) string {
		return fmt.Sprintf(`{"id":%d,"name":%q,"arn":"arn:aws:xray:r:a:group/%s/%s","insights":{"enabled":false,"notifications":false},"created":1,"changed":1,"versions":[{"version":1,"expression":%q,"from":0,"began":1}]}`,
			name[0], name, name, strings.Repeat("A", suffixLetters), expression)
	}
	file := func(sections string) string {
		return `{"format":"roentgen-control","version":1,"state":{"revision":1,"saved":1,` + sections + `}}`
	}
	groups := func(list ...string) string {
		return file(`"groups":{"last_id":200,"groups":[` + strings.Join(list, ",") + `]}`)
	}
	for name, tt := range map[string]struct {
		file string
		want error // nil: an ExpressionError
	}{
		"nothing":        {"", tracestore.ErrCorrupt},
		"other JSON":     {`{"Groups":[]}`, tracestore.ErrCorrupt},
		"wrong checksum": {strings.Replace(file(`"groups":{"last_id":0,"groups":[]}`), `"state"`, `"checksum":"sha256:00","state"`, 1), tracestore.ErrCorrupt},
		"later":          {`{"format":"roentgen-control","version":2,"state":[]}`, tracestore.ErrFormat},
		"later section":  {file(`"frescoes":1`), tracestore.ErrFormat},
		"policies":       {file(`"policies":[{"name":"a b","document":"{}","revision":1,"updated":1}]`), tracestore.ErrCorrupt},
		"rules":          {file(`"rules":{"changed":1,"rules":[{"name":"a"}]}`), tracestore.ErrCorrupt},
		"percentage":     {file(`"indexing":{"percentage":101,"changed":1}`), tracestore.ErrCorrupt},
		"tags":           {file(`"tags":[{"resource":"x","tags":[{"key":"k","value":"v"}]}]`), tracestore.ErrCorrupt},
		"links":          {file(`"links":[{"id":"aaaaaaaaaa","page":"traces","made":1,"used":1}]`), tracestore.ErrCorrupt},
		"bad expression": {groups(group("a", "!")), nil},
		"itself":         {groups(group("a", "@a")), nil},
		"circle":         {groups(group("a", "@b @none"), group("b", "@c"), group("c", "@a")), nil},
	} {
		changes, err := s.Import(t.Context(), []byte(tt.file), false)
		var expression *ExpressionError
		if tt.want == nil && !errors.As(err, &expression) || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, %v", name, changes, err)
		}
		if essence(s) != before {
			t.Fatalf("%s: the state changed", name)
		}
	}
	// What is not refused: a file without checksum, and a group that needs a missing one.
	changes := mustImport(t, s, []byte(groups(group("a", "@none"))))
	if !slices.Contains(changes, Change{"groups", "a", ChangeMade}) || len(s.Groups()) != 2 {
		t.Errorf("changes %v", changes)
	}
	create(t, s, "none", "x")
	if _, err := s.CreateGroup(t.Context(), NewGroup{Name: "b", Expression: "@a"}); err != nil {
		t.Error(err)
	}
}

// TestImportTakesItsPlace has an import wait for the store as any change does.
func TestImportTakesItsPlace(t *testing.T) {
	s := open(t, Options{Keep: time.Hour})
	s.Attach(&fakeSteps{err: tracestore.ErrUnavailable})
	if _, err := s.Import(t.Context(), []byte(exported), false); !errors.Is(err, tracestore.ErrUnavailable) {
		t.Errorf("without the roller: %v", err)
	}
	if _, err := s.Import(t.Context(), []byte(exported), true); err != nil {
		t.Errorf("a try does not need the roller: %v", err)
	}
	if len(s.Groups()) != 1 {
		t.Errorf("groups %+v", s.Groups())
	}
}

// FuzzImport imports hostile files into a store that holds something. A file is
// refused, and nothing changes; or the state is what it says, and can be exported
// and imported again without a change.
func FuzzImport(f *testing.F) {
	s := open(f, Options{})
	s.Attach(&fakeSteps{})
	if _, err := history(s, &fakeSteps{}); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(exported))
	f.Add([]byte(strings.Replace(exported, `"expression":"x"`, `"expression":"@c @d"`, 1)))
	f.Add([]byte(strings.Replace(exported, `"groups":{`, `"policies":[{"name":"p","document":"{}","revision":9,"updated":1}],"tags":[{"resource":"group/Default","tags":[{"key":"k","value":"v"}]}],"groups":{`, 1)))
	f.Add([]byte(`{"format":"roentgen-control","version":1,"state":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := open(t, Options{Dir: "/", FS: vfs.NewMem()})
		steps := &fakeSteps{}
		s.Attach(steps)
		if _, err := history(s, steps); err != nil {
			t.Fatal(err)
		}
		before := s.current.Load().state
		steps.last.Add(10)
		tried, tryErr := s.Import(t.Context(), data, true)
		changes, err := s.Import(t.Context(), data, false)
		if (err == nil) != (tryErr == nil) || len(tried) != len(changes) {
			t.Fatalf("tried %v, %v, did %v, %v", tried, tryErr, changes, err)
		}
		if err != nil || len(changes) == 0 {
			if s.current.Load().state != before {
				t.Fatalf("the state changed: %v", err)
			}
			return
		}
		if err := s.current.Load().state.check(); err != nil {
			t.Fatal(err)
		}
		file, err := s.Export()
		if err != nil {
			t.Fatal(err)
		}
		if changes, err := s.Import(t.Context(), file, false); err != nil || len(changes) != 0 {
			t.Fatalf("the same again: %v, %v", changes, err)
		}
	})
}
