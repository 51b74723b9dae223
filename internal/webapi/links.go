package webapi

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/roentgen-io/roentgen/internal/control"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
)

// linkAnswer is a short link as the answers show it.
type linkAnswer struct {
	ID    string `json:"Id"`
	Path  string
	Query string
	URL   string `json:"Url"` // below the page's folder
}

const linkExample = `{"Path":"traces","Query":"q=responsetime+%3E+5"}`

// links answers POST /api/links with the short link to a state of the page, which is
// the same for the same state:
//
//	{"Id":"k3...","Path":"traces","Query":"q=responsetime+%3E+5","Url":"l/k3..."}
//
// Whoever may look at traces may make links and open those of everybody.
func (h *handler) links(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	var ask struct{ Path, Query string }
	if err := h.readJSON(r, &ask, linkExample); err != nil {
		return err
	}
	path := strings.TrimPrefix(ask.Path, "/")
	first, _, _ := strings.Cut(path, "/")
	if !slices.Contains(h.cfg.LinkPlaces, first) {
		return apierr.New(apierr.InvalidRequest, `a link leads to a place of the page such as "traces", not to %.100q`, ask.Path)
	}
	query := strings.TrimPrefix(ask.Query, "?")
	if err := control.CheckLink(path, query); err != nil {
		return apierr.New(apierr.InvalidRequest, "%v", err)
	}
	ctx, cancel := h.context(r)
	defer cancel()
	l, err := h.cfg.Control.MakeLink(ctx, path, query)
	if err != nil {
		return err
	}
	return replyJSON(w, tellLink(&l))
}

// link answers GET /api/links/{id}.
func (h *handler) link(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	l, err := h.cfg.Control.OpenLink(strings.TrimPrefix(strings.TrimSuffix(r.URL.Path, "/"), "/api/links/"))
	if errors.Is(err, control.ErrNotFound) {
		return apierr.New(apierr.ResourceNotFound, "there is no such link; links that nobody uses make room for new ones")
	}
	if err != nil {
		return err
	}
	return replyJSON(w, tellLink(&l))
}

func tellLink(l *control.Link) linkAnswer {
	return linkAnswer{ID: l.ID, Path: l.Page, Query: l.Query, URL: "l/" + l.ID}
}
