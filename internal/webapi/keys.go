package webapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/roentgen-io/roentgen/internal/config"
	"github.com/roentgen-io/roentgen/internal/keys"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
)

// keyAnswer is a key as the answers show it, without its secret.
type keyAnswer struct {
	BytesPerSecond     int64 // 0: as much as the server's settings say
	Created            *float64
	DocumentsPerSecond int64
	Expires            *float64 // null: never
	ID                 string
	LastUsed           *float64 // null: not since UsedSince of the list
	Name               *string
	Revoked            *float64
	Roles              []keys.Role
	Sessions           int // of the page, under way
	State              string
}

type keysAnswer struct {
	Authentication bool
	BytesPerSecond int64 // of keys that do not say, 0: no limit
	// Changeable tells whether this server may write the file, else Why not.
	Changeable         bool
	DocumentsPerSecond int64
	File               *string
	Keys               []keyAnswer // by time, the newest first
	UsedSince          *float64    // since when it is known that a key was used
	Why                *string
}

type newKey struct {
	Name               string
	Roles              []string
	ExpiresIn          string // an age such as "90d"; "": never
	DocumentsPerSecond int64
	BytesPerSecond     int64
}

type madeKey struct {
	Bearer          string
	Key             keyAnswer
	SecretAccessKey string
}

// keys answers GET /api/keys with the keys, and POST /api/keys by making one:
//
//	{"Name":"shop","Roles":["write"],"ExpiresIn":"90d","DocumentsPerSecond":0,"BytesPerSecond":0}
//
// Its secret is in that answer and nowhere else.
func (h *handler) keys(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	if r.Method == http.MethodPost {
		return h.makeKey(w, r)
	}
	a := keysAnswer{Authentication: h.cfg.Keys != nil, Keys: []keyAnswer{}}
	if h.cfg.Keys == nil {
		return replyJSON(w, a)
	}
	path := h.cfg.Keys.Path()
	a.File, a.UsedSince = &path, seconds(h.cfg.Used.Since())
	a.DocumentsPerSecond, a.BytesPerSecond = h.cfg.Keys.Standard()
	err := keys.Writable(path)
	if a.Changeable = err == nil; err != nil {
		a.Why = textOrNull(err.Error())
	}
	list, err := keys.Read(path)
	if err != nil {
		return apierr.Wrap(err, apierr.Unavailable, "%v", err)
	}
	h.cfg.Used.Keep(list)
	sessions := h.cfg.Sessions.ByKey()
	for i := range list {
		a.Keys = append(a.Keys, h.tellKey(&list[i], sessions))
	}
	slices.SortStableFunc(a.Keys, func(x, y keyAnswer) int {
		at := func(k keyAnswer) float64 {
			if k.Created == nil {
				return 0
			}
			return *k.Created
		}
		return cmp.Compare(at(y), at(x))
	})
	return replyJSON(w, a)
}

func (h *handler) tellKey(k *keys.Key, sessions map[string]int) keyAnswer {
	return keyAnswer{
		BytesPerSecond: k.BytesPerSecond, Created: seconds(k.Created), DocumentsPerSecond: k.DocumentsPerSecond, Expires: seconds(k.Expires), ID: k.ID,
		LastUsed: seconds(h.cfg.Used.Last(k.ID)), Name: textOrNull(k.Name), Revoked: seconds(k.Revoked), Roles: k.Roles, Sessions: sessions[k.ID],
		State: k.State(h.cfg.Now()),
	}
}

func (h *handler) makeKey(w http.ResponseWriter, r *http.Request) error {
	if h.cfg.Keys == nil {
		return noKeys()
	}
	var ask newKey
	if err := h.readJSON(r, &ask, `{"Name":"...","Roles":["read"],"ExpiresIn":"90d"}`); err != nil {
		return err
	}
	var roles []keys.Role
	for _, name := range ask.Roles {
		role, err := keys.ParseRole(name)
		if err != nil {
			return apierr.New(apierr.InvalidRequest, "Roles: %v", err)
		}
		if !slices.Contains(roles, role) {
			roles = append(roles, role)
		}
	}
	if len(roles) == 0 {
		return apierr.New(apierr.InvalidRequest, "say what the key may be used for: the role write, read or admin")
	}
	name := strings.TrimSpace(ask.Name)
	if err := keys.CheckName(name); err != nil {
		return apierr.New(apierr.InvalidRequest, "Name: %v", err)
	}
	k := keys.New(name, roles, h.cfg.Now())
	if ask.ExpiresIn != "" {
		age, err := config.ParseDuration(ask.ExpiresIn)
		if err != nil || age <= 0 {
			return apierr.New(apierr.InvalidRequest, "ExpiresIn is %.40q; write an age such as 90d, or nothing", ask.ExpiresIn)
		}
		k.Expires = k.Created.Add(age)
	}
	if ask.DocumentsPerSecond < 0 || ask.BytesPerSecond < 0 {
		return apierr.New(apierr.InvalidRequest, "a limit must not be less than 0")
	}
	k.DocumentsPerSecond, k.BytesPerSecond = ask.DocumentsPerSecond, ask.BytesPerSecond
	if err := h.updateKeys(r.Context(), "key made", k.ID, func(list []keys.Key) ([]keys.Key, error) { return append(list, k), nil }); err != nil {
		return err
	}
	return replyJSON(w, madeKey{Bearer: k.Bearer(), Key: h.tellKey(&k, nil), SecretAccessKey: k.Secret})
}

func noKeys() error {
	return apierr.New(apierr.InvalidRequest, "this server asks nobody for a key; start it with --keys FILE, which roentgen key create makes")
}

// revokeKey answers DELETE /api/keys/{id} with the key as it is then. The last valid
// key of an admin stays: without one nobody could make another through the server.
func (h *handler) revokeKey(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	if h.cfg.Keys == nil {
		return noKeys()
	}
	id := strings.TrimPrefix(strings.TrimSuffix(r.URL.Path, "/"), "/api/keys/")
	var revoked keys.Key
	now := h.cfg.Now()
	err := h.updateKeys(r.Context(), "key revoked", id, func(list []keys.Key) ([]keys.Key, error) {
		i := slices.IndexFunc(list, func(k keys.Key) bool { return k.ID == id })
		switch {
		case i < 0:
			return nil, apierr.New(apierr.ResourceNotFound, "there is no key %.128s", id)
		case list[i].IsRevoked():
			return nil, apierr.New(apierr.InvalidRequest, "key %s was revoked already", id)
		case lastAdmin(list, i, now):
			return nil, apierr.New(apierr.InvalidRequest, "key %s is the last one with the role admin; make another first, or use roentgen key revoke on the server's machine", id)
		}
		list[i].Revoke(now)
		revoked = list[i]
		return list, nil
	})
	if err != nil {
		return err
	}
	return replyJSON(w, h.tellKey(&revoked, nil))
}

// lastAdmin reports whether a key is the only valid one with the role admin.
func lastAdmin(list []keys.Key, at int, now time.Time) bool {
	admin := func(k *keys.Key) bool {
		return slices.Contains(k.Roles, keys.RoleAdmin) && k.State(now) == keys.StateValid
	}
	if !admin(&list[at]) {
		return false
	}
	for i := range list {
		if i != at && admin(&list[i]) {
			return false
		}
	}
	return true
}

// updateKeys changes the file as roentgen key does, and has the change count at once.
func (h *handler) updateKeys(ctx context.Context, what, id string, change func(list []keys.Key) ([]keys.Key, error)) error {
	path := h.cfg.Keys.Path()
	err := keys.Update(path, false, change)
	var own *apierr.Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EBUSY):
		return apierr.Wrap(err, apierr.InvalidRequest, "this server may not write %s; use roentgen key on the machine that may (%v)", path, err)
	case err != nil:
		return apierr.Wrap(err, apierr.Unavailable, "the file of keys was not changed: %v", err)
	}
	if err := h.cfg.Keys.Reload(); err != nil {
		return apierr.Wrap(err, apierr.Unavailable, "the file of keys was changed and cannot be read: %v", err)
	}
	by := ""
	if k := keys.Of(ctx); k != nil {
		by = k.ID
	}
	h.cfg.Logger.Info(what, slog.String("key", fmt.Sprintf("%.128s", id)), slog.String("by", by))
	return nil
}
