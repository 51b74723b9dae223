package control

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestViews(t *testing.T) {
	clock := &fakeClock{}
	clock.ms.Store(1_795_356_000_000)
	mem := vfs.NewMem()
	s := open(t, Options{Dir: "/", FS: mem, Now: clock.now})
	ann, ben, boss, nobody := Editor{Key: "ANN1"}, Editor{Key: "BEN1"}, Editor{Key: "BOSS", Admin: true}, Editor{Admin: true}
	save := func(by Editor, name string) View {
		t.Helper()
		v, err := s.SaveView(t.Context(), by, View{ID: "forged", Owner: "forged", Name: name, Page: "traces", Query: "q=fault&range=1h"})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	b, a, free := save(ann, "b"), save(ben, "a"), save(nobody, "free")
	if b.ID == "forged" || b.ID == a.ID || b.Owner != "ANN1" || free.Owner != "" || b.Created != 1_795_356_000_000 {
		t.Errorf("saved %+v and %+v", b, free)
	}
	if _, err := s.SaveView(t.Context(), ben, View{Name: "b", Page: "map"}); !errors.Is(err, ErrExists) {
		t.Errorf("a name that is taken: %v", err)
	}
	clock.ms.Add(1000)
	rename := func(by Editor, id, to string) error {
		_, err := s.ChangeView(t.Context(), by, id, func(v *View) { v.Name, v.Owner, v.ID = to, "forged", "forged" })
		return err
	}
	for _, step := range []struct {
		what string
		err  error
		want error
	}{
		{"somebody else's", rename(ben, b.ID, "mine"), ErrOwner},
		{"nobody's, by somebody", rename(ben, free.ID, "mine"), ErrOwner},
		{"one that is not there", rename(boss, "absent", "mine"), ErrNotFound},
		{"to a name that is taken", rename(ann, b.ID, "a"), ErrExists},
		{"his own", rename(ann, b.ID, "z"), nil},
		{"by an admin", rename(boss, free.ID, "freed"), nil},
		{"deletes somebody else's", s.DeleteView(t.Context(), ann, a.ID), ErrOwner},
		{"deletes one that is not there", s.DeleteView(t.Context(), boss, "absent"), ErrNotFound},
		{"deletes his own", s.DeleteView(t.Context(), ben, a.ID), nil},
	} {
		if !errors.Is(step.err, step.want) {
			t.Errorf("%s: %v, want %v", step.what, step.err, step.want)
		}
	}
	revision := s.current.Load().state.Revision
	if err := rename(ann, b.ID, "z"); err != nil || s.current.Load().state.Revision != revision {
		t.Errorf("what changes nothing was written: %v", err)
	}
	var list []string
	for _, v := range open(t, Options{Dir: "/", FS: mem}).Views() {
		list = append(list, fmt.Sprint(v.Name, " ", v.Owner, " ", v.Page, "?", v.Query, " ", v.Changed-v.Created))
	}
	if got, want := strings.Join(list, ", "), "freed  traces?q=fault&range=1h 1000, z ANN1 traces?q=fault&range=1h 1000"; got != want {
		t.Errorf("after a restart: %s, want %s", got, want)
	}
}

func TestViewsThatAreNone(t *testing.T) {
	s := open(t, Options{})
	for _, v := range []View{
		{Name: "", Page: "map"}, {Name: " x", Page: "map"}, {Name: "x\ny", Page: "map"}, {Name: strings.Repeat("ä", maxViewName+1), Page: "map"}, {Name: "\xff", Page: "map"},
		{Name: "x", Page: ""}, {Name: "x", Page: "/map"}, {Name: "x", Page: "https://evil.example"}, {Name: "x", Page: "javascript:alert(1)"}, {Name: "x", Page: "../map"}, {Name: "x", Page: "trace/a/b"},
		{Name: "x", Page: "map", Query: strings.Repeat("x", maxViewQuery+1)}, {Name: "x", Page: "map", Query: "q=a b"}, {Name: "x", Page: "map", Query: "a#b"}, {Name: "x", Page: "map", Query: "\xff"},
	} {
		if _, err := s.SaveView(t.Context(), Editor{}, v); err == nil {
			t.Errorf("saved %+v", v)
		}
	}
	if len(s.Views()) != 0 {
		t.Errorf("views %+v", s.Views())
	}
	good, err := s.SaveView(t.Context(), Editor{}, View{Name: strings.Repeat("ä", maxViewName), Page: "trace/1-58406520-a006649127e371903a2de979", Query: strings.Repeat("x", maxViewQuery)})
	if err != nil {
		t.Error(err)
	}
	if _, err := s.ChangeView(t.Context(), Editor{}, good.ID, func(v *View) { v.Page = "//" }); err == nil || s.Views()[0] != good {
		t.Errorf("changed to a bad place: %v", err)
	}
}

func TestTooManyViews(t *testing.T) {
	s := open(t, Options{})
	for i := range MaxViewsOfKey {
		if _, err := s.SaveView(t.Context(), Editor{Key: "ANN1"}, View{Name: fmt.Sprint(i), Page: "map"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.SaveView(t.Context(), Editor{Key: "ANN1"}, View{Name: "more", Page: "map"}); !errors.Is(err, ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	if _, err := s.SaveView(t.Context(), Editor{Key: "BEN1"}, View{Name: "more", Page: "map"}); err != nil {
		t.Errorf("by another: %v", err)
	}
}
