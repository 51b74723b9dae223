package control

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxViews is how many saved views there may be, and MaxViewsOfKey how many of them
// one key may have saved.
const (
	MaxViews      = 2000
	MaxViewsOfKey = 200

	maxViewName  = 100  // characters
	maxViewQuery = 4096 // bytes
)

// ErrOwner reports a change of a view that belongs to somebody else.
var ErrOwner = errors.New("control: the view belongs to another key")

// View is a place of the page that somebody saved under a name.
type View struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Page    string `json:"page"`            // "traces", "trace/1-…"
	Query   string `json:"query,omitempty"` // what follows the question mark in its address
	Owner   string `json:"owner,omitempty"` // id of the key it was saved with; "" when keys were not asked for
	Created int64  `json:"created"`         // unix milliseconds
	Changed int64  `json:"changed"`
}

// Editor is who changes views.
type Editor struct {
	Key   string // id of the key, "" when keys are not asked for
	Admin bool   // may change everybody's
}

func (e Editor) may(v *View) bool { return e.Admin || v.Owner == e.Key }

// MayChange reports whether an editor may change or delete the view.
func (v *View) MayChange(e Editor) bool { return e.may(v) }

var (
	viewID   = regexp.MustCompile(`\A[a-z0-9]{4,40}\z`)
	viewPage = regexp.MustCompile(`\A[a-z][a-z-]{0,30}(/[A-Za-z0-9-]{1,64})?\z`)
)

// CheckView says what is wrong with the name and place of a view, for people.
func CheckView(v *View) error {
	switch {
	case strings.TrimSpace(v.Name) == "" || strings.TrimSpace(v.Name) != v.Name:
		return errors.New("the name of a view must not be empty, nor begin or end with a space")
	case !utf8.ValidString(v.Name) || utf8.RuneCountInString(v.Name) > maxViewName || strings.ContainsFunc(v.Name, unicode.IsControl):
		return fmt.Errorf("the name of a view is one line of at most %d characters", maxViewName)
	}
	return checkPlace("view", v.Page, v.Query, maxViewQuery)
}

// checkPlace says what is wrong with a place of the page that a view or a link leads
// to. What it lets pass has no scheme, host or fragment, and does not lead upwards.
func checkPlace(what, page, query string, most int) error {
	switch {
	case !viewPage.MatchString(page):
		return fmt.Errorf(`the page of a %s is a place of the page such as "traces"`, what)
	case len(query) > most:
		return fmt.Errorf("the address of the %s has more than %d bytes", what, most)
	case !utf8.ValidString(query) || strings.ContainsFunc(query, func(r rune) bool { return r <= ' ' || r == '#' || unicode.IsControl(r) }):
		return fmt.Errorf("the query of a %s is written as in an address", what)
	}
	return nil
}

func compareViews(a, b View) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) }

// checkViews refuses what no edit can have made.
func checkViews(list []View) error {
	if len(list) > MaxViews {
		return fmt.Errorf("there are %d views", len(list))
	}
	ids := make(map[string]bool, len(list))
	for i := range list {
		v := &list[i]
		if err := CheckView(v); err != nil {
			return fmt.Errorf("view %.200q: %w", v.Name, err)
		}
		switch {
		case !viewID.MatchString(v.ID) || ids[v.ID]:
			return fmt.Errorf("view %q has the id %.80q", v.Name, v.ID)
		case len(v.Owner) > 128 || strings.ContainsFunc(v.Owner, func(r rune) bool { return r <= ' ' || r > '~' }):
			return fmt.Errorf("view %q has the owner %.200q", v.Name, v.Owner)
		case i > 0 && list[i-1].Name >= v.Name:
			return fmt.Errorf("view %q follows %q", v.Name, list[i-1].Name)
		}
		ids[v.ID] = true
	}
	return nil
}

// Views returns the saved views by name. The slice is shared and must not be changed.
func (s *Store) Views() []View { return s.current.Load().state.Views }

// SaveView saves a place under a name that is not taken; name, page and query are those
// of v. Errors match ErrExists, ErrTooMany or those of tracestore.
func (s *Store) SaveView(ctx context.Context, by Editor, v View) (View, error) {
	now := s.opts.Now().UnixMilli()
	v = View{ID: strings.ToLower(rand.Text()[:12]), Name: v.Name, Page: v.Page, Query: v.Query, Owner: by.Key, Created: now, Changed: now}
	err := s.update(ctx, func(st *state) error {
		own := 0
		for i := range st.Views {
			if st.Views[i].Owner == by.Key {
				own++
			}
		}
		switch {
		case findView(st.Views, func(o *View) bool { return o.Name == v.Name }) != nil:
			return ErrExists
		case len(st.Views) >= MaxViews, by.Key != "" && own >= MaxViewsOfKey:
			return ErrTooMany
		}
		st.Views = append(st.Views, v)
		slices.SortFunc(st.Views, compareViews)
		return CheckView(&v)
	})
	if err != nil {
		return View{}, err
	}
	return v, nil
}

// ChangeView gives a view another name or place. Errors match ErrNotFound, ErrOwner,
// ErrExists or those of tracestore.
func (s *Store) ChangeView(ctx context.Context, by Editor, id string, edit func(v *View)) (View, error) {
	var changed View
	err := s.update(ctx, func(st *state) error {
		v := findView(st.Views, func(o *View) bool { return o.ID == id })
		switch {
		case v == nil:
			return ErrNotFound
		case !by.may(v):
			return ErrOwner
		}
		before := *v
		edit(v)
		v.ID, v.Owner, v.Created = before.ID, before.Owner, before.Created
		changed = *v
		if *v == before {
			return errUnchanged
		}
		if findView(st.Views, func(o *View) bool { return o.Name == changed.Name && o.ID != id }) != nil {
			return ErrExists
		}
		v.Changed = s.opts.Now().UnixMilli()
		changed = *v
		slices.SortFunc(st.Views, compareViews)
		return CheckView(&changed)
	})
	if err != nil {
		return View{}, err
	}
	return changed, nil
}

// DeleteView deletes a view. Errors match ErrNotFound, ErrOwner or those of tracestore.
func (s *Store) DeleteView(ctx context.Context, by Editor, id string) error {
	return s.update(ctx, func(st *state) error {
		at := slices.IndexFunc(st.Views, func(v View) bool { return v.ID == id })
		switch {
		case at < 0:
			return ErrNotFound
		case !by.may(&st.Views[at]):
			return ErrOwner
		}
		st.Views = slices.Delete(st.Views, at, at+1)
		return nil
	})
}

func findView(list []View, is func(v *View) bool) *View {
	for i := range list {
		if is(&list[i]) {
			return &list[i]
		}
	}
	return nil
}

// takeViews makes the views those of from.
func takeViews(st, from *state) []Change {
	var changes []Change
	tell := func(name, what string) {
		changes = append(changes, Change{Section: "views", Name: name, What: what})
	}
	find := func(list []View, name string) *View {
		return findView(list, func(v *View) bool { return v.Name == name })
	}
	for i := range st.Views {
		if name := st.Views[i].Name; find(from.Views, name) == nil {
			tell(name, ChangeRemoved)
		}
	}
	for i := range from.Views {
		v := &from.Views[i]
		switch old := find(st.Views, v.Name); {
		case old == nil:
			tell(v.Name, ChangeMade)
		case *old != *v:
			tell(v.Name, ChangeChanged)
		}
	}
	st.Views = slices.Clone(from.Views)
	return changes
}
