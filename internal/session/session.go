// Package session keeps who is signed in at the page.
//
// A person gives the id and the secret of a key once, and gets a token that stands
// for the key from then on: in a cookie that scripts cannot read. The secret itself
// is kept by nobody.
//
// # Life of a session
//
// A token is 256 random bits. The store knows its hash alone, in memory: a restart of
// the server ends all sessions, and nobody can make a token of what the server holds.
// A session ends
//
//   - when no request was made with it for Options.Idle,
//   - when it is Options.Max old, however much it is used,
//   - with its key: when that is revoked, expires, or gets another secret. Every
//     request looks for the key anew, so this needs no notice,
//   - when its holder signs out, or signs in again with the same browser,
//   - when there are too many: the one of that key that has rested longest makes room.
//
// # Guessing
//
// Attempts to sign in that fail are counted for the address they come from and for
// the key they name. An attempt is counted before the secret is looked at, and taken
// back when it was right, so that many at once are no way around the limits.
package session

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/keys"
)

var (
	// ErrWrong reports that there is no such key, or that the secret is another.
	ErrWrong = errors.New("session: the key or its secret is wrong")
	// ErrExpired reports that the secret is right and the key's end has come.
	ErrExpired = errors.New("session: the key has expired")
)

// LimitError reports that there were too many attempts.
type LimitError struct {
	Key  bool          // to sign in with this key; else from this address
	Wait time.Duration // until the next one is looked at
}

func (e *LimitError) Error() string {
	if e.Key {
		return "session: too many attempts to sign in with this key"
	}
	return "session: too many attempts to sign in from this address"
}

// The bounds of a Store.
const (
	// maxOfKey sessions may belong to one key, and maxSessions there may be in all.
	maxOfKey    = 100
	maxSessions = 10_000

	// Of attempts that fail, so many are looked at at once, and then one in each interval.
	addressBurst, addressInterval = 10, 6 * time.Second
	keyBurst, keyInterval         = 20, 15 * time.Second
)

// Options sets up a Store.
type Options struct {
	Keys *keys.Ring
	Idle time.Duration // 0: 8 hours
	Max  time.Duration // 0: 7 days

	Registerer prometheus.Registerer // nil: no metrics are shown
	Now        func() time.Time      // nil: time.Now
}

// Store holds the sessions of a server. Its methods may be called from many goroutines.
type Store struct {
	opts      Options
	addresses *attempts
	ids       *attempts
	signIns   *prometheus.CounterVec

	mu struct {
		sync.Mutex
		sessions map[digest]*held
	}
}

// digest is the hash of a token or of a secret.
type digest = [sha256.Size]byte

// held is a session as the store holds it.
type held struct {
	key         string // id
	secret      digest // of the key, as it was when the session began
	began, used time.Time
}

// Session is what may be known of a session.
type Session struct {
	Key   *keys.Holder
	Began time.Time
	Ends  time.Time // at the latest: the session's own end or that of its key
	Idle  time.Duration
}

// New returns a Store without sessions.
func New(opts Options) *Store {
	if opts.Idle <= 0 {
		opts.Idle = 8 * time.Hour
	}
	if opts.Max <= 0 {
		opts.Max = 7 * 24 * time.Hour
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Store{
		opts:      opts,
		addresses: newAttempts(addressBurst, addressInterval, opts.Now),
		ids:       newAttempts(keyBurst, keyInterval, opts.Now),
		signIns: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "roentgen_session_sign_ins_total",
			Help: "Attempts to sign in at the page, by result: ok, wrong, expired, or limited (too many attempts).",
		}, []string{"result"}),
	}
	s.mu.sessions = make(map[digest]*held)
	if opts.Registerer != nil {
		opts.Registerer.MustRegister(s.signIns, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "roentgen_sessions", Help: "Sessions of the page that have not ended.",
		}, func() float64 { return float64(s.Len()) }))
	}
	return s
}

// SignIn begins a session for whoever knows a key's secret. address is that of the
// client. Errors are ErrWrong, ErrExpired or a *LimitError. A session with a token in
// before ends when a new one begins: a browser has one at a time, under a token that
// nobody knew before.
func (s *Store) SignIn(id, secret string, address netip.Addr, before ...string) (token string, _ *Session, err error) {
	key, err := s.prove(id, secret, address)
	result := "ok"
	var limit *LimitError
	switch {
	case errors.As(err, &limit):
		result = "limited"
	case errors.Is(err, ErrExpired):
		result = "expired"
	case err != nil:
		result = "wrong"
	}
	s.signIns.WithLabelValues(result).Inc()
	if err != nil {
		return "", nil, err
	}
	token = rand.Text() + rand.Text() // 260 bits
	now := s.opts.Now()
	h := &held{key: id, secret: sha256.Sum256([]byte(key.Secret)), began: now, used: now}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, old := range before {
		delete(s.mu.sessions, sha256.Sum256([]byte(old)))
	}
	s.makeRoom(id)
	s.mu.sessions[sha256.Sum256([]byte(token))] = h
	return token, s.tell(h, key), nil
}

// prove returns the key when the secret is its.
func (s *Store) prove(id, secret string, address netip.Addr) (*keys.Holder, error) {
	from := network(address)
	if wait := s.addresses.take(from); wait > 0 {
		return nil, &LimitError{Wait: wait}
	}
	key := s.opts.Keys.Find(id)
	if key == nil {
		new(keys.Key).IsSecret(secret) // takes as long as for a key that exists
		return nil, ErrWrong
	}
	// Keys that do not exist have no attempts of their own: there is no end of them.
	if wait := s.ids.take(id); wait > 0 {
		return nil, &LimitError{Key: true, Wait: wait}
	}
	if !key.IsSecret(secret) {
		return nil, ErrWrong
	}
	s.addresses.giveBack(from)
	s.ids.giveBack(id)
	if key.Expired(s.opts.Now()) {
		return nil, ErrExpired
	}
	return key, nil
}

// network is what attempts from an address are counted for: those of IPv6 come by
// the network, of which one machine has a whole one.
func network(a netip.Addr) string {
	a = a.Unmap()
	if a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// makeRoom ends sessions until there is room for one more of a key.
func (s *Store) makeRoom(id string) {
	now := s.opts.Now()
	ofKey := 0
	for d, h := range s.mu.sessions {
		switch {
		case s.key(h, now) == nil:
			delete(s.mu.sessions, d)
		case h.key == id:
			ofKey++
		}
	}
	for ; ofKey >= maxOfKey; ofKey-- {
		s.endLongestResting(func(h *held) bool { return h.key == id })
	}
	for len(s.mu.sessions) >= maxSessions {
		s.endLongestResting(func(*held) bool { return true })
	}
}

func (s *Store) endLongestResting(of func(h *held) bool) {
	var at digest
	var longest *held
	for d, h := range s.mu.sessions {
		if of(h) && (longest == nil || h.used.Before(longest.used)) {
			at, longest = d, h
		}
	}
	delete(s.mu.sessions, at)
}

// key returns the key of a session, nil when the session has ended.
func (s *Store) key(h *held, now time.Time) *keys.Holder {
	if now.Sub(h.used) >= s.opts.Idle || now.Sub(h.began) >= s.opts.Max {
		return nil
	}
	k := s.opts.Keys.Find(h.key)
	if k == nil || k.Expired(now) || sha256.Sum256([]byte(k.Secret)) != h.secret {
		return nil
	}
	return k
}

func (s *Store) tell(h *held, k *keys.Holder) *Session {
	out := &Session{Key: k, Began: h.began, Ends: h.began.Add(s.opts.Max), Idle: s.opts.Idle}
	if !k.Expires.IsZero() && k.Expires.Before(out.Ends) {
		out.Ends = k.Expires
	}
	return out
}

// Find returns the session with a token, nil when there is none or it has ended. It
// counts as use.
func (s *Store) Find(token string) *Session { return s.find(token, true) }

// Lives reports whether there is a session with a token. It does not count as use.
func (s *Store) Lives(token string) bool { return s.find(token, false) != nil }

func (s *Store) find(token string, use bool) *Session {
	if token == "" {
		return nil
	}
	d := sha256.Sum256([]byte(token)) // so a look into the map tells nothing of tokens
	now := s.opts.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.mu.sessions[d]
	if h == nil {
		return nil
	}
	k := s.key(h, now)
	if k == nil {
		delete(s.mu.sessions, d)
		return nil
	}
	if use && now.After(h.used) {
		h.used = now
	}
	return s.tell(h, k)
}

// End ends the session with a token.
func (s *Store) End(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.sessions, sha256.Sum256([]byte(token)))
}

// Len returns the number of sessions that have not ended.
func (s *Store) Len() int {
	n := 0
	for _, of := range s.ByKey() {
		n += of
	}
	return n
}

// ByKey returns how many sessions there are of each key.
func (s *Store) ByKey() map[string]int {
	now := s.opts.Now()
	counts := make(map[string]int)
	s.mu.Lock()
	defer s.mu.Unlock()
	for d, h := range s.mu.sessions {
		if s.key(h, now) == nil {
			delete(s.mu.sessions, d)
			continue
		}
		counts[h.key]++
	}
	return counts
}

type contextKey struct{}

// With returns a context of a request made within a session.
func With(ctx context.Context, s *Session) context.Context {
	return context.WithValue(ctx, contextKey{}, s)
}

// Of returns the session that a request was made within, nil when there is none.
func Of(ctx context.Context) *Session {
	s, _ := ctx.Value(contextKey{}).(*Session)
	return s
}
