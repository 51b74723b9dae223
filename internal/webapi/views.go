package webapi

import (
	"errors"
	"net/http"
	"strings"

	"github.com/roentgen-io/roentgen/internal/control"
	"github.com/roentgen-io/roentgen/internal/keys"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
)

// viewAnswer is a saved view as the answers show it.
type viewAnswer struct {
	Changed   *float64
	Created   *float64
	ID        string
	MayChange bool // by whoever asks
	Name      string
	Owner     *sessionKey // whose key saved it; null when nobody was asked for a key
	Page      string
	Query     string
}

type savedView struct {
	Name  *string // null, or left out, in a PUT: as it is
	Page  *string
	Query *string
}

const viewExample = `{"Name":"slow checkouts","Page":"traces","Query":"q=responsetime+%3E+5"}`

// views answers GET /api/views with the saved views by name, and POST /api/views with
// the one that it saves:
//
//	{"Views":[{"Changed":1.79E9,"Created":1.79E9,"ID":"k3...","MayChange":true,"Name":"slow checkouts",
//	"Owner":{"ID":"RGEN...","Name":"laptop"},"Page":"traces","Query":"q=responsetime+%3E+5"}]}
//
// Whoever may look at traces may save views, and change or delete his own; the role
// admin changes everybody's.
func (h *handler) views(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	by := h.viewEditor(r)
	if r.Method != http.MethodPost {
		list := []viewAnswer{}
		for _, v := range h.cfg.Control.Views() {
			list = append(list, h.tellView(&v, by))
		}
		return replyJSON(w, struct{ Views []viewAnswer }{list})
	}
	var ask savedView
	if err := h.readJSON(r, &ask, viewExample); err != nil {
		return err
	}
	var v control.View
	if err := ask.apply(&v); err != nil {
		return err
	}
	ctx, cancel := h.context(r)
	defer cancel()
	saved, err := h.cfg.Control.SaveView(ctx, by, v)
	if err != nil {
		return viewError(err, v.Name)
	}
	return replyJSON(w, h.tellView(&saved, by))
}

// view answers PUT and DELETE /api/views/{id}.
func (h *handler) view(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	by := h.viewEditor(r)
	id := strings.TrimPrefix(strings.TrimSuffix(r.URL.Path, "/"), "/api/views/")
	ctx, cancel := h.context(r)
	defer cancel()
	if r.Method == http.MethodDelete {
		if err := h.cfg.Control.DeleteView(ctx, by, id); err != nil {
			return viewError(err, "")
		}
		return replyJSON(w, struct{}{})
	}
	var ask savedView
	if err := h.readJSON(r, &ask, viewExample); err != nil {
		return err
	}
	var name string
	var bad error
	saved, err := h.cfg.Control.ChangeView(ctx, by, id, func(v *control.View) {
		before := *v
		if bad = ask.apply(v); bad != nil {
			*v = before
		}
		name = v.Name
	})
	if bad != nil && err == nil {
		err = bad
	}
	if err != nil {
		return viewError(err, name)
	}
	return replyJSON(w, h.tellView(&saved, by))
}

// apply puts what is asked for into a view.
func (s *savedView) apply(v *control.View) error {
	if s.Name != nil {
		v.Name = strings.TrimSpace(*s.Name)
	}
	if s.Page != nil {
		v.Page = *s.Page
	}
	if s.Query != nil {
		v.Query = *s.Query
	}
	if err := control.CheckView(v); err != nil {
		return apierr.New(apierr.InvalidRequest, "%v", err)
	}
	return nil
}

func (h *handler) viewEditor(r *http.Request) control.Editor {
	id, admin := h.editor(r)
	return control.Editor{Key: id, Admin: admin}
}

func (h *handler) tellView(v *control.View, by control.Editor) viewAnswer {
	a := viewAnswer{
		Changed: millis(v.Changed), Created: millis(v.Created), ID: v.ID, MayChange: v.MayChange(by), Name: v.Name, Page: v.Page, Query: v.Query,
	}
	if v.Owner != "" {
		a.Owner = &sessionKey{ID: v.Owner}
		if k := h.key(v.Owner); k != nil {
			a.Owner.Name = textOrNull(k.Name)
		}
	}
	return a
}

// key returns the key with an id, nil when there is none.
func (h *handler) key(id string) *keys.Holder {
	if h.cfg.Keys == nil {
		return nil
	}
	return h.cfg.Keys.Find(id)
}

// millis returns unix milliseconds as the answers have times.
func millis(ms int64) *float64 {
	if ms == 0 {
		return nil
	}
	s := float64(ms) / 1e3
	return &s
}

func viewError(err error, name string) error {
	switch {
	case errors.Is(err, control.ErrNotFound):
		return apierr.New(apierr.ResourceNotFound, "there is no such view; it may have been deleted")
	case errors.Is(err, control.ErrOwner):
		return apierr.New(apierr.AccessDenied, "this view was saved with another key: that key and those with the role admin may change it")
	case errors.Is(err, control.ErrExists):
		return apierr.New(apierr.InvalidRequest, "there is a view with the name %.100q already", name)
	case errors.Is(err, control.ErrTooMany):
		return apierr.New(apierr.InvalidRequest, "there are %d views, or %d with this key; delete one that is no longer needed", control.MaxViews, control.MaxViewsOfKey)
	}
	return err
}
