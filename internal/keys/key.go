package keys

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Role is what a key may be used for.
type Role string

// The roles. RoleAdmin includes the others.
const (
	RoleWrite Role = "write"
	RoleRead  Role = "read"
	RoleAdmin Role = "admin"
)

// Roles holds every role.
var Roles = []Role{RoleWrite, RoleRead, RoleAdmin}

// ParseRole reads the name of a role.
func ParseRole(s string) (Role, error) {
	if r := Role(s); slices.Contains(Roles, r) {
		return r, nil
	}
	return "", fmt.Errorf("%q is no role; there are write, read and admin", s)
}

// Key is one access key.
type Key struct {
	ID     string `json:"access_key_id"`
	Secret string `json:"secret_access_key,omitempty"` // none once it is revoked
	Name   string `json:"name,omitempty"`              // for people
	Roles  []Role `json:"roles"`

	Created time.Time `json:"created,omitzero"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
	Revoked time.Time `json:"revoked,omitzero"` // zero: it is not

	// What may be sent with the key in a second; 0: as much as the server's settings say.
	DocumentsPerSecond int64 `json:"documents_per_second,omitempty"`
	BytesPerSecond     int64 `json:"bytes_per_second,omitempty"`
}

// Has reports whether the key has a role, by itself or because it is an admin's.
func (k *Key) Has(r Role) bool {
	return slices.Contains(k.Roles, r) || slices.Contains(k.Roles, RoleAdmin)
}

// Expired reports whether the key is out of date.
func (k *Key) Expired(now time.Time) bool { return !k.Expires.IsZero() && !now.Before(k.Expires) }

// IsRevoked reports whether the key was taken back.
func (k *Key) IsRevoked() bool { return !k.Revoked.IsZero() }

// The states of a key.
const (
	StateValid   = "valid"
	StateExpired = "expired"
	StateRevoked = "revoked"
)

// State tells whether the key works, in a word.
func (k *Key) State(now time.Time) string {
	switch {
	case k.IsRevoked():
		return StateRevoked
	case k.Expired(now):
		return StateExpired
	}
	return StateValid
}

// Revoke takes the key back for good.
func (k *Key) Revoke(now time.Time) { k.Secret, k.Revoked = "", now.UTC().Truncate(time.Second) }

// String returns the id alone, so that no secret gets into a log by mistake.
func (k Key) String() string { return k.ID }

// LogValue satisfies slog.LogValuer.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.ID) }

// Bearer returns the key as one text, for programs that send a token instead of
// signing: Authorization: Bearer ID.SECRET.
func (k *Key) Bearer() string { return k.ID + "." + k.Secret }

// SplitBearer takes a bearer token apart. Ids have no dot.
func SplitBearer(token string) (id, secret string, ok bool) { return strings.Cut(token, ".") }

// IsSecret reports whether text is the key's secret, in a time that tells nothing
// about where they differ.
func (k *Key) IsSecret(text string) bool {
	have, given := sha256.Sum256([]byte(k.Secret)), sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(have[:], given[:]) == 1 && k.Secret != ""
}

const (
	idPrefix = "RGEN"
	idLength = 20 // AWS's are as long
	// A secret has 5 bits a letter.
	secretLength = 40

	minID, maxID         = 4, 128
	minSecret, maxSecret = 16, 256
	maxName              = 128
)

// New makes a key.
func New(name string, roles []Role, now time.Time) Key {
	return Key{
		ID:     idPrefix + rand.Text()[:idLength-len(idPrefix)],
		Secret: (rand.Text() + rand.Text())[:secretLength],
		Name:   name, Roles: slices.Clone(roles), Created: now.UTC().Truncate(time.Second),
	}
}

// check says what is wrong with a key, for the person who wrote it into a file.
func (k *Key) check() error {
	switch {
	case len(k.ID) < minID || len(k.ID) > maxID || strings.ContainsFunc(k.ID, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}):
		return fmt.Errorf("access_key_id %.40q: write %d to %d letters, digits, _ or -", k.ID, minID, maxID)
	case strings.EqualFold(k.ID, Unsigned):
		return fmt.Errorf("access_key_id %s: SDKs that have no key use this one; take another", k.ID)
	case k.IsRevoked() && k.Secret != "":
		return fmt.Errorf("key %s is revoked and has a secret; remove one or the other", k.ID)
	case !k.IsRevoked() && (len(k.Secret) < minSecret || len(k.Secret) > maxSecret):
		return fmt.Errorf("secret_access_key of %s: write %d to %d characters", k.ID, minSecret, maxSecret)
	case strings.ContainsFunc(k.Secret, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fmt.Errorf("secret_access_key of %s: write printable ASCII without spaces", k.ID)
	case len(k.Roles) == 0:
		return fmt.Errorf("key %s has no roles; there are write, read and admin", k.ID)
	case k.DocumentsPerSecond < 0 || k.BytesPerSecond < 0:
		return fmt.Errorf("key %s has a limit below 0", k.ID)
	}
	for _, r := range k.Roles {
		if _, err := ParseRole(string(r)); err != nil {
			return fmt.Errorf("key %s: %w", k.ID, err)
		}
	}
	return CheckName(k.Name)
}

// CheckName says what is wrong with the name of a key.
func CheckName(name string) error {
	if len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return errors.New("the name of a key is one line of at most 128 bytes")
	}
	return nil
}

// Unsigned is the access key id of SDKs that sign although they have no key: the
// X-Ray SDK for Ruby.
const Unsigned = "dummy"
