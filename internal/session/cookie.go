package session

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	cookieName   = "roentgen-session"
	prefixHost   = "__Host-"   // browsers take it with Secure and the path / alone
	prefixSecure = "__Secure-" // browsers take it with Secure alone

	// maxTokens bounds how many cookies of one request are looked at: a browser may
	// send several, those of longer paths first.
	maxTokens = 8
)

// name is the cookie's name without prefix. Cookies know no ports: two servers on one
// machine would otherwise overwrite each other's.
func name(r *http.Request) string {
	if _, port, err := net.SplitHostPort(r.Host); err == nil && port != "" {
		return cookieName + "-" + port
	}
	return cookieName
}

// Tokens returns the tokens that a request bears, the likeliest first. Over TLS only
// cookies with a prefix count, which nobody can have put there from a place without TLS.
func Tokens(r *http.Request) []string {
	names := []string{prefixHost + name(r), prefixSecure + name(r)}
	if r.TLS == nil {
		names = append(names, name(r))
	}
	var tokens []string
	for _, n := range names {
		for _, c := range r.CookiesNamed(n) {
			if c.Value != "" && len(tokens) < maxTokens {
				tokens = append(tokens, c.Value)
			}
		}
	}
	return tokens
}

// CheckPath says what is wrong with the folder of the page, for which a cookie is set.
func CheckPath(path string) error {
	if !strings.HasPrefix(path, "/") || !strings.HasSuffix(path, "/") || len(path) > 1024 || strings.ContainsFunc(path, func(r rune) bool {
		return r <= ' ' || r > '~' || r == ';' || r == ',' || r == '"' || r == '\\'
	}) {
		return errors.New(`the folder of the page is a path such as "/" or "/tracing/"`)
	}
	return nil
}

// SetCookie gives the token of a session to a browser. path is the page's folder, as
// the browser sees it: a proxy may have put a prefix before it.
func SetCookie(w http.ResponseWriter, r *http.Request, path, token string, ends, now time.Time) {
	c := cookie(r, path)
	c.Value = token
	c.MaxAge = max(1, int(ends.Sub(now)/time.Second))
	http.SetCookie(w, c)
}

// ClearCookie takes the cookie from a browser.
func ClearCookie(w http.ResponseWriter, r *http.Request, path string) {
	c := cookie(r, path)
	c.MaxAge = -1
	http.SetCookie(w, c)
}

func cookie(r *http.Request, path string) *http.Cookie {
	c := &http.Cookie{Name: name(r), Path: path, HttpOnly: true, SameSite: http.SameSiteStrictMode}
	// A proxy may speak TLS where we do not; the browser says what it sees.
	if c.Secure = r.TLS != nil || strings.HasPrefix(r.Header.Get("Origin"), "https://"); c.Secure {
		if path == "/" {
			c.Name = prefixHost + c.Name
		} else {
			c.Name = prefixSecure + c.Name
		}
	}
	return c
}
