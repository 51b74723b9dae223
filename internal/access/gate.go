package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/keys"
	"github.com/roentgen-io/roentgen/internal/session"
	"github.com/roentgen-io/roentgen/internal/telemetry"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/internal/xrayapi/sigv4"
)

const service = "xray"

// Need says which keys may do something.
type Need uint8

// The needs. The zero value asks for most, so that what nobody thought of is closed.
const (
	Admin       Need = iota // a key with the role admin
	Read                    // read, or admin
	Write                   // write, or admin
	ReadOrWrite             // any
	Optional                // none, but the handler gets to know the one there is
	Open                    // no key at all
)

// metBy reports whether a key has one of the roles that are needed.
func (n Need) metBy(k *keys.Holder) bool {
	switch n {
	case Admin:
		return k.Has(keys.RoleAdmin)
	case Read:
		return k.Has(keys.RoleRead)
	case Write:
		return k.Has(keys.RoleWrite)
	case ReadOrWrite, Optional, Open:
		return true
	}
	return false
}

func (n Need) String() string {
	switch n {
	case Admin:
		return "admin"
	case Read:
		return "read"
	case Write:
		return "write"
	case ReadOrWrite:
		return "read or write"
	}
	return "no"
}

// Rule says what a request needs.
type Rule struct {
	Need      Need
	Operation string // of the X-Ray API, "" for everything else
	Sampling  bool   // one of the two calls that SDKs make without a key
	BodyBytes int64  // the largest body
}

// Config sets up a Gate.
type Config struct {
	Keys *keys.Ring
	// Sessions knows who is signed in at the page; nil: nobody is.
	Sessions *session.Store
	// Rule finds what a request needs.
	Rule   func(r *http.Request) Rule
	Bodies *xrayapi.Bodies // in which bodies are read that have to be hashed
	// UnsignedSampling lets calls of Rule.Sampling in that are not signed.
	UnsignedSampling bool
	AccountID        string // in the names of keys that errors tell
	// Page answers a GET of "/" without a valid key; nil: an error.
	Page http.Handler
	Used *keys.Usage // told of every key that lets somebody in; nil: nobody is told

	Logger     *slog.Logger          // nil: discard
	Registerer prometheus.Registerer // nil: no metrics are shown
	Now        func() time.Time      // nil: time.Now
}

// Gate lets requests with a valid key through to a handler.
type Gate struct {
	cfg      Config
	next     http.Handler
	requests *prometheus.CounterVec
	refused  telemetry.Limiter
}

// New returns a Gate before next. The key of a request is in its context (keys.Of).
func New(next http.Handler, cfg Config) *Gate {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Logger = cfg.Logger.With(slog.String("component", "access"))
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	g := &Gate{cfg: cfg, next: next, requests: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "roentgen_access_requests_total",
		Help: "Requests that needed a key, by result: ok, unsigned (a sampling call that was let in without a key), or the code of the refusal.",
	}, []string{"result"})}
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(g.requests)
	}
	return g
}

func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rule := g.cfg.Rule(r)
	if rule.Need == Open {
		g.next.ServeHTTP(w, r)
		return
	}
	v := visit{g: g, r: r, rule: rule}
	defer v.free()
	err := v.admit()
	if rule.Need == Optional && isRefusal(err, apierr.MissingAuthenticationToken, apierr.ExpiredToken, apierr.UnrecognizedClient) {
		g.next.ServeHTTP(w, r)
		return
	}
	if err != nil {
		g.refuse(w, &v, err)
		return
	}
	if v.key == nil {
		g.requests.WithLabelValues("unsigned").Inc()
	} else {
		g.requests.WithLabelValues("ok").Inc()
		g.cfg.Used.Note(v.key.ID)
		ctx := keys.With(r.Context(), v.key, v.holds)
		if v.session != nil {
			ctx = session.With(ctx, v.session)
		}
		r = r.WithContext(ctx)
	}
	g.next.ServeHTTP(w, r)
}

// isRefusal reports whether an error is one with one of the codes.
func isRefusal(err error, codes ...apierr.Code) bool {
	var e *apierr.Error
	return errors.As(err, &e) && slices.Contains(codes, e.Code)
}

// visit is a request at the gate.
type visit struct {
	g    *Gate
	r    *http.Request
	rule Rule

	claimed string // id of the key that the request names, proved or not
	key     *keys.Holder
	kept    *xrayapi.Body

	bySession bool // the request bears the cookie of a session, good or not
	session   *session.Session
	holds     func() bool
}

func (v *visit) free() {
	if v.kept != nil {
		v.kept.Free()
	}
}

// admit finds out whether the request may pass. On success v.key is its key, nil for
// a sampling call that needs none.
func (v *visit) admit() error {
	lines := v.r.Header["Authorization"]
	scheme, token, _ := strings.Cut(strings.TrimSpace(strings.Join(lines, "")), " ")
	switch {
	case len(lines) == 1 && strings.EqualFold(scheme, "Bearer"):
		return v.admitBearer(strings.TrimSpace(token))
	case len(lines) == 0 && !sigv4.IsPresigned(v.r):
		if tokens := session.Tokens(v.r); len(tokens) > 0 && v.g.cfg.Sessions != nil {
			return v.admitSession(tokens)
		}
		if v.unsignedAllowed() {
			return nil
		}
	}
	return v.admitSigned()
}

// admitSession lets in who is signed in at the page. Browsers send cookies whoever
// asks them to: that other sites cannot is up to SameSite and to xrayapi.Guard, which
// refuse what a browser says comes from elsewhere. Here what may change something has
// to say besides that it comes from the page.
func (v *visit) admitSession(tokens []string) error {
	v.bySession = true
	if v.r.Method != http.MethodGet && v.r.Method != http.MethodHead && !xrayapi.FromOwnPage(v.r) {
		return apierr.New(apierr.AccessDenied, "A session is good for requests by the server's own page alone")
	}
	for _, token := range tokens {
		s := v.g.cfg.Sessions.Find(token)
		if s == nil {
			continue
		}
		v.claimed, v.session = s.Key.ID, s
		v.holds = func() bool { return v.g.cfg.Sessions.Lives(token) }
		return v.admitKey(s.Key)
	}
	return apierr.New(apierr.ExpiredToken, "The session has ended; sign in again")
}

func (v *visit) unsignedAllowed() bool { return v.rule.Sampling && v.g.cfg.UnsignedSampling }

func unrecognized() error {
	return apierr.New(apierr.UnrecognizedClient, "The security token included in the request is invalid.")
}

func (v *visit) admitBearer(token string) error {
	id, secret, _ := keys.SplitBearer(token)
	v.claimed = id
	k := v.g.cfg.Keys.Find(id)
	if k == nil {
		new(keys.Key).IsSecret(secret) // takes as long as for a key that exists
		return unrecognized()
	}
	if !k.IsSecret(secret) {
		return unrecognized()
	}
	return v.admitKey(k)
}

// admitKey lets the holder of a key in who proved it.
func (v *visit) admitKey(k *keys.Holder) error {
	if k.Expired(v.g.cfg.Now()) {
		return apierr.New(apierr.ExpiredToken, "The security token included in the request is expired")
	}
	if !v.rule.Need.metBy(k) {
		return v.denied(k)
	}
	v.key = k
	if v.holds == nil {
		g := v.g
		v.holds = func() bool {
			now := g.cfg.Keys.Find(k.ID)
			return now != nil && now.IsSecret(k.Secret) && !now.Expired(g.cfg.Now())
		}
	}
	return nil
}

// denied words the refusal of a key that lacks a role.
func (v *visit) denied(k *keys.Holder) error {
	if v.rule.Operation == "" {
		return apierr.New(apierr.AccessDenied, "This needs a key with the role %v; key %s does not have it", v.rule.Need, k.ID)
	}
	name := k.Name
	if name == "" {
		name = k.ID
	}
	return apierr.New(apierr.AccessDenied, "User: arn:aws:iam::%s:user/%s is not authorized to perform: xray:%s because no identity-based policy allows the xray:%[3]s action",
		v.g.cfg.AccountID, name, v.rule.Operation)
}

func (v *visit) admitSigned() error {
	c, err := sigv4.Parse(v.r, service)
	if c != nil {
		v.claimed = c.AccessKeyID
	}
	if err != nil {
		return err
	}
	if c.AccessKeyID == keys.Unsigned && v.unsignedAllowed() {
		return nil
	}
	if err := c.CheckTime(v.g.cfg.Now()); err != nil {
		return err
	}
	k := v.g.cfg.Keys.Find(c.AccessKeyID)
	if k == nil {
		return unrecognized()
	}
	switch c.PayloadHash {
	case "":
		sum, err := v.bodyHash()
		if err != nil {
			return err
		}
		if err := c.Verify(v.r, k.Secret, sum); err != nil {
			return err
		}
	case sigv4.UnsignedPayload:
		if err := c.Verify(v.r, k.Secret, c.PayloadHash); err != nil {
			return err
		}
		if v.r.TLS == nil {
			return apierr.New(apierr.InvalidSignature, "A body that is not signed (%s) is taken over TLS only", sigv4.UnsignedPayload)
		}
	default:
		if err := c.Verify(v.r, k.Secret, c.PayloadHash); err != nil {
			return err
		}
		sum, err := v.bodyHash()
		if err != nil {
			return err
		}
		if subtle.ConstantTimeCompare([]byte(sum), []byte(strings.ToLower(c.PayloadHash))) != 1 {
			return apierr.New(apierr.InvalidSignature, "The value of 'x-amz-content-sha256' is not the SHA-256 of the request's body")
		}
	}
	return v.admitKey(k)
}

// bodyHash reads the body and returns its SHA-256. The handler finds it again.
func (v *visit) bodyHash() (string, error) {
	if v.r.Body == nil || v.r.Body == http.NoBody || v.r.ContentLength == 0 {
		return sigv4.EmptyHash, nil
	}
	var err error
	if v.kept, err = v.g.cfg.Bodies.Keep(v.r, v.rule.BodyBytes); err != nil {
		return "", err
	}
	sum := sha256.Sum256(v.kept.Data)
	return hex.EncodeToString(sum[:]), nil
}

// refuse answers a request that may not pass.
func (g *Gate) refuse(w http.ResponseWriter, v *visit, err error) {
	var e *apierr.Error
	if !errors.As(err, &e) {
		g.requests.WithLabelValues("aborted").Inc()
		panic(http.ErrAbortHandler) // the client is gone
	}
	g.requests.WithLabelValues(string(e.Code)).Inc()
	g.refused.Log(g.cfg.Logger, slog.LevelWarn, "request refused", slog.String("peer", v.r.RemoteAddr), slog.String("path", cut(v.r.URL.Path)),
		slog.String("key", cut(v.claimed)), slog.String("code", string(e.Code)), slog.String("reason", cut(e.Message)))
	w.Header().Set("Cache-Control", "no-store")
	if v.bySession && e.Code == apierr.ExpiredToken {
		own := *e
		own.Status = http.StatusUnauthorized // of operations, too: no SDK comes with a session
		e = &own
	}
	if v.rule.Operation != "" {
		xrayapi.SetRequestID(w.Header())
		xrayapi.WriteError(w, e)
		return
	}
	if e.Status == http.StatusForbidden && e.Code != apierr.AccessDenied || e.Status == http.StatusUnauthorized {
		own := *e
		own.Status = http.StatusUnauthorized
		e = &own
		w.Header().Set("WWW-Authenticate", `Bearer realm="roentgen"`)
		if v.r.URL.Path == "/" && g.cfg.Page != nil && (v.r.Method == http.MethodGet || v.r.Method == http.MethodHead) {
			g.cfg.Page.ServeHTTP(w, v.r)
			return
		}
	}
	xrayapi.WriteErrorAs(w, e, "Message")
}

// cut bounds what a stranger may put into our log.
func cut(s string) string {
	if len(s) > 200 {
		return s[:200]
	}
	return s
}
