package webapi

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"

	"github.com/roentgen-io/roentgen/internal/keys"
	"github.com/roentgen-io/roentgen/internal/session"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
)

// About is what the page has to know of its server.
type About struct {
	Region  string
	UDP     string // where datagrams are taken, as the caller can reach it; "": nowhere
	Version string
}

type sessionKey struct {
	ID   string
	Name *string
}

// sessionAnswer is the answer of /api/session.
type sessionAnswer struct {
	Authentication bool        // keys are asked for
	Began          *float64    // null: by no session
	Expires        *float64    // null: never
	Idle           *float64    // seconds without a request after which it ends
	Key            *sessionKey // null: of nobody
	Roles          []keys.Role // what may be done, roles within others included
	Server         *About      // null for nobody
}

type signIn struct {
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string
	Path            string // the page's folder in the browser's eyes; "": "/"
}

// session answers GET /api/session: who asks, as whom and for how long.
//
//	{"Authentication":true,"Began":1.79E9,"Expires":1.79E9,"Idle":28800,"Key":{"ID":"RGEN...","Name":"laptop"},
//	"Roles":["read"],"Server":{"Region":"us-east-1","UDP":"","Version":"v1"}}
//
// POST signs in, with {"AccessKeyId":"...","SecretAccessKey":"...","Path":"/"}, and
// answers the same; the token goes into a cookie. DELETE ?path= signs out.
func (h *handler) session(w http.ResponseWriter, r *http.Request) error {
	switch r.Method {
	case http.MethodPost:
		return h.signIn(w, r)
	case http.MethodDelete:
		return h.signOut(w, r)
	}
	if _, err := parameters(r); err != nil {
		return err
	}
	return replyJSON(w, h.tellSession(r, session.Of(r.Context()), keys.Of(r.Context())))
}

func (h *handler) tellSession(r *http.Request, s *session.Session, k *keys.Holder) *sessionAnswer {
	a := &sessionAnswer{Authentication: h.cfg.Keys != nil, Roles: []keys.Role{}}
	switch {
	case h.cfg.Keys == nil:
		a.Roles = keys.Roles
	case k == nil:
		return a
	default:
		a.Key = &sessionKey{ID: k.ID, Name: textOrNull(k.Name)}
		for _, role := range keys.Roles {
			if k.Has(role) {
				a.Roles = append(a.Roles, role)
			}
		}
		if !k.Expires.IsZero() {
			a.Expires = seconds(k.Expires)
		}
	}
	if s != nil {
		idle := s.Idle.Seconds()
		a.Began, a.Expires, a.Idle = seconds(s.Began), seconds(s.Ends), &idle
	}
	if h.cfg.About != nil {
		about := h.cfg.About(r)
		a.Server = &about
	}
	return a
}

func textOrNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// peer returns the address that a request comes from.
func peer(r *http.Request) netip.Addr {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	addr, _ := netip.ParseAddr(host)
	return addr
}

func (h *handler) signIn(w http.ResponseWriter, r *http.Request) error {
	if h.cfg.Sessions == nil {
		return apierr.New(apierr.InvalidRequest, "this server asks nobody for a key, so there is nothing to sign in to")
	}
	if _, err := parameters(r); err != nil { // a secret does not belong into an address
		return err
	}
	var ask signIn
	if err := h.readJSON(r, &ask, `{"AccessKeyId":"...","SecretAccessKey":"...","Path":"/"}`); err != nil {
		return err
	}
	if ask.Path == "" {
		ask.Path = "/"
	}
	if err := session.CheckPath(ask.Path); err != nil {
		return apierr.New(apierr.InvalidRequest, "%v", err)
	}
	token, s, err := h.cfg.Sessions.SignIn(ask.AccessKeyID, ask.SecretAccessKey, peer(r), session.Tokens(r)...)
	if err == nil && !s.Key.Has(keys.RoleRead) {
		h.cfg.Sessions.End(token)
		return apierr.New(apierr.AccessDenied, "key %s may send traces and not look at them: the page needs a key with the role read or admin", s.Key.ID)
	}
	if err != nil {
		return h.signInError(w, r, &ask, err)
	}
	h.cfg.Logger.Info("signed in", slog.String("key", s.Key.ID), slog.String("peer", r.RemoteAddr))
	now := h.cfg.Now()
	session.SetCookie(w, r, ask.Path, token, s.Ends, now)
	return replyJSON(w, h.tellSession(r, s, s.Key))
}

func (h *handler) signInError(w http.ResponseWriter, r *http.Request, ask *signIn, err error) error {
	refuse := func(code apierr.Code, status int, format string, args ...any) error {
		e := apierr.New(code, format, args...)
		e.Status = status
		h.signInsRefused.Log(h.cfg.Logger, slog.LevelWarn, "sign-in refused",
			slog.String("peer", r.RemoteAddr), slog.String("key", fmt.Sprintf("%.128s", ask.AccessKeyID)), slog.String("reason", e.Message))
		return e
	}
	var limit *session.LimitError
	switch {
	case errors.As(err, &limit):
		wait := int(math.Ceil(limit.Wait.Seconds()))
		w.Header().Set("Retry-After", strconv.Itoa(wait))
		from := "from this address"
		if limit.Key {
			from = "with this key"
		}
		return refuse(apierr.Throttled, http.StatusTooManyRequests, "Too many attempts to sign in %s failed; try again in %d seconds", from, wait)
	case errors.Is(err, session.ErrExpired):
		return refuse(apierr.AccessDenied, http.StatusUnauthorized, "This key has expired; whoever runs the server makes another one")
	}
	return refuse(apierr.AccessDenied, http.StatusUnauthorized, "There is no such key, or its secret is another, or it was revoked")
}

func (h *handler) signOut(w http.ResponseWriter, r *http.Request) error {
	q, err := parameters(r, "path")
	if err != nil {
		return err
	}
	path := q.Get("path")
	if path == "" {
		path = "/"
	}
	if err := session.CheckPath(path); err != nil {
		return apierr.New(apierr.InvalidRequest, "%v", err)
	}
	// The cookie alone proves too little: another site's page must not end it.
	if !xrayapi.FromOwnPage(r) {
		return apierr.New(apierr.AccessDenied, "A session is ended by the server's own page alone")
	}
	if h.cfg.Sessions != nil {
		for _, token := range session.Tokens(r) {
			h.cfg.Sessions.End(token)
		}
		session.ClearCookie(w, r, path)
	}
	return replyJSON(w, h.tellSession(r, nil, nil))
}

// editor returns who asks, for what belongs to somebody.
func (h *handler) editor(r *http.Request) (id string, admin bool) {
	k := keys.Of(r.Context())
	if k == nil {
		return "", h.cfg.Keys == nil
	}
	return k.ID, slices.Contains(k.Roles, keys.RoleAdmin)
}
