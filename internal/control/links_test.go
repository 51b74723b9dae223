package control

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roentgen-io/roentgen/internal/tracestore"
)

func makeLink(t *testing.T, s *Store, page, query string) Link {
	t.Helper()
	l, err := s.MakeLink(t.Context(), page, query)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLinks(t *testing.T) {
	clock := &fakeClock{}
	clock.ms.Store(1_795_356_000_000)
	mem := vfs.NewMem()
	s := open(t, Options{Dir: "/", FS: mem, Now: clock.now})
	revision := func() uint64 { return s.current.Load().state.Revision }
	a := makeLink(t, s, "traces", "q=fault&range=1h")
	b := makeLink(t, s, "trace/1-58406520-a006649127e371903a2de979", "entry=53995c3f42cd8ad8")
	if len(a.ID) != minLinkID || a.ID == b.ID || a.Made != 1_795_356_000_000 || a.Used != a.Made {
		t.Errorf("made %+v and %+v", a, b)
	}
	// Where one part ends and the other begins counts.
	if c := makeLink(t, s, "map", ""); c.ID == makeLink(t, s, "ma", "p").ID {
		t.Errorf("two states have the id %s", c.ID)
	}
	before := revision()
	clock.ms.Add(time.Hour.Milliseconds())
	if again := makeLink(t, s, "traces", "q=fault&range=1h"); again != a || revision() != before {
		t.Errorf("the same state: %+v, was %+v", again, a)
	}
	if got, err := s.OpenLink(a.ID); err != nil || got != a || revision() != before {
		t.Errorf("opened %+v, %v, %d changes", got, err, revision()-before)
	}
	for _, id := range []string{"", "aaaaaaaaaa", a.ID[:9], a.ID + "a", strings.ToUpper(a.ID), "../" + a.ID} {
		if _, err := s.OpenLink(id); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
	// The use of a day is written once, whoever uses it in whichever way.
	clock.ms.Add(linkUseEvery.Milliseconds())
	for range 5 {
		if got, err := s.OpenLink(a.ID); err != nil || got.Query != a.Query {
			t.Errorf("opened %+v, %v", got, err)
		}
		makeLink(t, s, "traces", "q=fault&range=1h")
	}
	if revision() != before+1 {
		t.Errorf("%d changes for the uses of a day", revision()-before)
	}
	clock.ms.Add(-30 * linkUseEvery.Milliseconds()) // a clock that was set back
	if _, err := s.OpenLink(a.ID); err != nil || revision() != before+1 {
		t.Errorf("after the clock was set back: %v, %d changes", err, revision()-before)
	}
	r := open(t, Options{Dir: "/", FS: mem})
	if got, err := r.OpenLink(a.ID); err != nil || got.Page != "traces" || got.Used != a.Used+25*time.Hour.Milliseconds() {
		t.Errorf("after a restart: %+v, %v", got, err)
	}
}

func TestLinksToElsewhere(t *testing.T) {
	s := open(t, Options{})
	for _, state := range [][2]string{
		{"", ""}, {"/map", ""}, {"//evil.example", ""}, {"https://evil.example/map", ""}, {"javascript:alert(1)", ""}, {"map\\evil", ""},
		{"../map", ""}, {"trace/..", ""}, {"trace/a/b", ""}, {"map?q", ""}, {"map#a", ""}, {"MAP", ""}, {"map%2f", ""}, {"map\n", ""}, {"trace/" + strings.Repeat("a", 65), ""},
		{"map", "a b"}, {"map", "a#b"}, {"map", "a\nb"}, {"map", "a\x00"}, {"map", "\xff"}, {"map", "a\u0085b"}, {"map", strings.Repeat("x", maxLinkQuery+1)},
	} {
		if l, err := s.MakeLink(t.Context(), state[0], state[1]); err == nil {
			t.Errorf("made %+v", l)
		}
	}
	if n := len(s.current.Load().state.Links); n != 0 {
		t.Errorf("%d links", n)
	}
	makeLink(t, s, "trace/"+strings.Repeat("a", 64), strings.Repeat("x", maxLinkQuery))
}

// TestLinksAreBounded fills the links up in one step, as an import would, and makes more.
func TestLinksAreBounded(t *testing.T) {
	clock := &fakeClock{}
	clock.ms.Store(1_795_356_000_000)
	fill := func(s *Store, n int, query string) []string {
		t.Helper()
		var ids []string
		if err := s.update(t.Context(), func(st *state) error {
			for i := range n {
				q := fmt.Sprint("n=", i, query)
				id := linkHash("traces", q)[:minLinkID]
				st.Links = append(st.Links, Link{ID: id, Page: "traces", Query: q, Made: 1, Used: clock.now().UnixMilli() + int64(i)})
				ids = append(ids, id)
			}
			slices.SortFunc(st.Links, func(a, b Link) int { return cmp.Compare(a.ID, b.ID) })
			return st.check()
		}); err != nil {
			t.Fatal(err)
		}
		return ids
	}
	opens := func(s *Store, id string) bool {
		_, err := s.OpenLink(id)
		return err == nil
	}

	s := open(t, Options{Dir: "/", FS: vfs.NewMem(), Now: clock.now})
	ids := fill(s, MaxLinks, "")
	// The first are the oldest until they are used, also when that is not written down yet.
	clock.ms.Add(2 * linkUseEvery.Milliseconds())
	if !opens(s, ids[5]) || !opens(s, ids[0]) || s.current.Load().state.Revision != 2 {
		t.Fatal("the oldest is gone before its time")
	}
	one := makeLink(t, s, "map", "n=1")
	if n := len(s.current.Load().state.Links); n != MaxLinks || !opens(s, ids[0]) || opens(s, ids[1]) || !opens(s, ids[2]) || !opens(s, one.ID) {
		t.Errorf("%d links; used %t, oldest %t, next %t, new %t", n, opens(s, ids[0]), opens(s, ids[1]), opens(s, ids[2]), opens(s, one.ID))
	}
	// Even a clock that was set back does not drop what is just made.
	clock.ms.Store(1000)
	two := makeLink(t, s, "map", "n=2")
	if n := len(s.current.Load().state.Links); n != MaxLinks || !opens(s, two.ID) {
		t.Errorf("%d links, the new one %t", n, opens(s, two.ID))
	}
	if err := s.current.Load().state.check(); err != nil {
		t.Error(err)
	}

	// Together they have their bound, too.
	clock.ms.Store(1_795_356_000_000)
	s = open(t, Options{Now: clock.now})
	long := strings.Repeat("x", maxLinkQuery-100)
	ids = fill(s, maxLinkBytes/maxLinkQuery, long)
	clock.ms.Add(1_000_000)
	kept := len(ids)
	for i := range 20 {
		makeLink(t, s, "map", fmt.Sprint(i, long))
	}
	if n := len(s.current.Load().state.Links); n < kept || n > kept+20 || opens(s, ids[0]) || !opens(s, ids[len(ids)-1]) {
		t.Errorf("%d links, oldest %t, newest %t", n, opens(s, ids[0]), opens(s, ids[len(ids)-1]))
	}
	if err := s.current.Load().state.check(); err != nil {
		t.Error(err)
	}
}

// TestLinkIDsGrow gives a state an id that another has the beginning of.
func TestLinkIDsGrow(t *testing.T) {
	hash := linkHash("map", "x")
	list := []Link{{ID: hash[:minLinkID], Page: "traces"}, {ID: hash[:minLinkID+1], Page: "traces", Query: "y"}}
	at, id, found := linkTo(list, "map", "x")
	if at != 2 || id != hash[:minLinkID+2] || found {
		t.Errorf("place %d, id %q, found %t", at, id, found)
	}
	// It keeps it when the others are gone.
	list = []Link{{ID: id, Page: "map", Query: "x"}}
	if at, same, found := linkTo(list, "map", "x"); at != 0 || same != id || !found {
		t.Errorf("place %d, id %q, found %t", at, same, found)
	}
}

// TestLinksOpenWithoutADisk opens links when their use cannot be written down.
func TestLinksOpenWithoutADisk(t *testing.T) {
	clock := &fakeClock{}
	clock.ms.Store(1_795_356_000_000)
	mem := vfs.NewMem()
	s := open(t, Options{Dir: "/", FS: mem, Now: clock.now})
	a := makeLink(t, s, "map", "")
	create(t, open(t, Options{Dir: "/", FS: mem}), "other", "x") // somebody else changes the file
	clock.ms.Add(2 * linkUseEvery.Milliseconds())
	for range 3 {
		if got, err := s.OpenLink(a.ID); err != nil || got != a {
			t.Errorf("opened %+v, %v", got, err)
		}
	}
	if _, err := s.MakeLink(t.Context(), "map", "range=6h"); !errors.Is(err, ErrChanged) {
		t.Errorf("made one: %v", err)
	}
	// Nor does anybody wait for somebody else's change.
	other := open(t, Options{Now: clock.now})
	b := makeLink(t, other, "map", "")
	clock.ms.Add(2 * linkUseEvery.Milliseconds())
	other.turn <- struct{}{}
	if _, err := other.OpenLink(b.ID); err != nil {
		t.Error(err)
	}
	other.done()
	makeLink(t, other, "map", "range=6h")
	if got, err := other.OpenLink(b.ID); err != nil || got.Used != clock.now().UnixMilli() {
		t.Errorf("opened %+v, %v", got, err)
	}
}

// TestUsesOfLinks: many links that are used after a day are written at once, and none is forgotten.
func TestUsesOfLinks(t *testing.T) {
	clock := &fakeClock{}
	clock.ms.Store(1_795_356_000_000)
	s := open(t, Options{Dir: "/", FS: vfs.NewMem(), Now: clock.now})
	var ids []string
	for i := range 20 {
		ids = append(ids, makeLink(t, s, "map", fmt.Sprint(i)).ID)
	}
	revision := func() uint64 { return s.current.Load().state.Revision }
	before := revision()
	use := func() {
		t.Helper()
		for _, id := range ids {
			clock.ms.Add(1000)
			if _, err := s.OpenLink(id); err != nil {
				t.Error(err)
			}
		}
	}
	written := func() (n int) {
		for _, l := range s.current.Load().state.Links {
			if l.Used-l.Made >= linkUseEvery.Milliseconds() {
				n++
			}
		}
		return n
	}
	clock.ms.Add(linkUseEvery.Milliseconds())
	use()
	use()
	if revision() != before+1 || written() != 1 || len(s.uses.at) != 19 {
		t.Errorf("%d changes with %d uses, %d remembered", revision()-before, written(), len(s.uses.at))
	}
	clock.ms.Add(linkUsesWrite.Milliseconds())
	use()
	if revision() != before+2 || written() != 20 || len(s.uses.at) != 0 {
		t.Errorf("%d changes with %d uses, %d remembered", revision()-before, written(), len(s.uses.at))
	}
}

// TestLinksAtOnce makes the same links from many sides.
func TestLinksAtOnce(t *testing.T) {
	s := open(t, Options{Dir: "/", FS: vfs.NewMem()})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 20 {
				l, err := s.MakeLink(t.Context(), "map", fmt.Sprint(i))
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := s.OpenLink(l.ID); err != nil || got != l {
					t.Errorf("made %+v, opened %+v, %v", l, got, err)
				}
			}
		})
	}
	wg.Wait()
	if st := s.current.Load().state; len(st.Links) != 20 || st.Revision != 20 {
		t.Errorf("%d links in %d changes", len(st.Links), st.Revision)
	}
}

func TestLinksInFiles(t *testing.T) {
	id := linkHash("map", "")[:minLinkID]
	link := func(id, page, query string, made, used int) string {
		return fmt.Sprintf(`{"id":%q,"page":%q,"query":%q,"made":%d,"used":%d}`, id, page, query, made, used)
	}
	good := link(id, "map", "", 1, 2)
	for name, tt := range map[string]struct {
		links string
		want  error
	}{
		"good":        {good, nil},
		"none":        {"", nil},
		"twice":       {good + "," + good, tracestore.ErrCorrupt},
		"other state": {link(id, "map", "q", 1, 2), tracestore.ErrCorrupt},
		"short id":    {link(id[:9], "map", "", 1, 2), tracestore.ErrCorrupt},
		"no id":       {link("", "map", "", 1, 2), tracestore.ErrCorrupt},
		"elsewhere":   {link(linkHash("//evil.example", "")[:minLinkID], "//evil.example", "", 1, 2), tracestore.ErrCorrupt},
		"times":       {link(id, "map", "", 2, 1), tracestore.ErrCorrupt},
		"before 1970": {link(id, "map", "", -1, 1), tracestore.ErrCorrupt},
		"later key":   {`{"id":"","colour":1}`, tracestore.ErrFormat},
	} {
		_, err := decode(sealed(`{"revision":1,"saved":1,"groups":{"last_id":0,"groups":[]},"links":[` + tt.links + `]}`))
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// TestImportedLinks: what was used here since the export was made stays used.
func TestImportedLinks(t *testing.T) {
	clock := &fakeClock{}
	clock.ms.Store(1_795_356_000_000)
	s := open(t, Options{Now: clock.now})
	a := makeLink(t, s, "map", "")
	file := export(t, s)
	clock.ms.Add(2 * linkUseEvery.Milliseconds())
	if _, err := s.OpenLink(a.ID); err != nil {
		t.Fatal(err)
	}
	if changes := mustImport(t, s, file); len(changes) != 0 {
		t.Errorf("what was only used since changes %v", changes)
	}
	b := makeLink(t, s, "traces", "")
	if changes := mustImport(t, s, file); len(changes) != 1 || changes[0] != (Change{"links", "", ChangeChanged}) {
		t.Errorf("changes %v", changes)
	}
	if _, err := s.OpenLink(b.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("one that the file does not have: %v", err)
	}
	if l := s.current.Load().state.Links; len(l) != 1 || l[0].Used != a.Used+2*linkUseEvery.Milliseconds() || l[0].Made != a.Made {
		t.Errorf("links %+v", l)
	}
}
