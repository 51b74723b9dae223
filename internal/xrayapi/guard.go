package xrayapi

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
)

// GuardConfig says who may speak to a server through a browser.
type GuardConfig struct {
	// Hosts are the names under which the server is reached, besides the
	// loopback names and IP addresses: "traces.example.com", or "*.example.com"
	// for all names below one.
	Hosts []string
	// API reports whether a path belongs to the plain API that SDKs use, where
	// a request that no browser made may name any host. nil: IsOperation.
	API func(path string) bool
}

// Guard keeps web pages away from next. A server on loopback is within reach
// of every page that its user opens, so two things are checked:
//
//   - Who asks. A browser says so in Origin and Sec-Fetch-Site. Requests by
//     other sites, other ports of this machine included, are refused with 403.
//     A link or a typed address (a GET navigation of a whole window) is none:
//     the page it comes from cannot see what it leads to. Such a link may lead
//     to pages but not to operations.
//   - Under which name. A page may let its own name point to 127.0.0.1 once it
//     is loaded (DNS rebinding); to the browser our answers are then its own.
//     What such a page cannot do is send another Host than its name. So only
//     loopback names, IP addresses (nobody can rebind these) and configured
//     names are served; others are refused with 421. The SDKs' API is open
//     under any name (containers reach it under theirs), unless the request
//     shows signs of a browser: all its operations are POST, and no browser
//     sends a POST without Origin.
//
// Answers outside the API carry Cross-Origin-Resource-Policy, so that a page
// of another site cannot embed them either.
func Guard(next http.Handler, cfg GuardConfig) http.Handler {
	api := cfg.API
	if api == nil {
		api = IsOperation
	}
	var hosts []string
	for _, h := range cfg.Hosts {
		hosts = append(hosts, strings.ToLower(strings.TrimSuffix(h, ".")))
	}
	g := &guard{next: next, api: api, hosts: hosts}
	return g
}

type guard struct {
	next  http.Handler
	api   func(path string) bool
	hosts []string // lower case, no trailing dot
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	api := g.api(r.URL.Path)
	if !api {
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
	}
	if !g.known(r.Host) && (!api || fromBrowser(r.Header)) {
		WriteError(w, apierr.New(apierr.Misdirected,
			"This server does not go by the name %.100q; if it should, start it with --hosts %.100s (web pages could otherwise reach it under names of their own)", r.Host, hostName(r.Host)))
		return
	}
	if crossSite(r) && !isNavigation(r, api) {
		WriteError(w, apierr.New(apierr.AccessDenied, "Requests by web pages of other sites are refused"))
		return
	}
	g.next.ServeHTTP(w, r)
}

// hostName returns the name or address in a Host header, without port.
func hostName(host string) string {
	if strings.HasPrefix(host, "[") {
		if end := strings.IndexByte(host, ']'); end > 0 {
			return host[1:end]
		}
		return host
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host, ':') == i {
		return host[:i]
	}
	return host
}

// known reports whether a Host header names this server for sure. A request
// without Host (HTTP/1.0) comes from no browser.
func (g *guard) known(host string) bool {
	name := strings.ToLower(strings.TrimSuffix(hostName(host), "."))
	if host == "" || name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	for _, h := range g.hosts {
		if h == name || strings.HasPrefix(h, "*.") && len(name) > len(h)-1 && strings.HasSuffix(name, h[1:]) {
			return true
		}
	}
	return false
}

// fromBrowser reports whether a request carries what only browsers send.
func fromBrowser(h http.Header) bool {
	if len(h["Origin"]) > 0 || len(h["Referer"]) > 0 {
		return true
	}
	for name := range h {
		if strings.HasPrefix(name, "Sec-") || strings.HasPrefix(name, "Access-Control-") {
			return true
		}
	}
	return false
}

// crossSite reports whether a browser says that another site's page asks.
func crossSite(r *http.Request) bool {
	for _, site := range r.Header["Sec-Fetch-Site"] {
		if site != "same-origin" && site != "none" {
			return true
		}
	}
	for _, origin := range r.Header["Origin"] {
		if !sameOrigin(origin, r.Host) {
			return true
		}
	}
	return false
}

// FromOwnPage reports whether a browser says that a page of this very server asks. All
// browsers say so of every request but plain reading.
func FromOwnPage(r *http.Request) bool {
	return !crossSite(r) && (len(r.Header["Origin"]) > 0 || r.Header.Get("Sec-Fetch-Site") == "same-origin")
}

// sameOrigin reports whether origin is a page of this very server. The scheme
// plays no part: a proxy in front may speak TLS where we do not.
func sameOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return false // "null" included
	}
	port := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
	return strings.EqualFold(strings.TrimSuffix(u.Host, port), strings.TrimSuffix(host, port))
}

// isNavigation reports whether a browser opens an address in a window, as by a
// click on a link.
func isNavigation(r *http.Request, api bool) bool {
	return r.Method == http.MethodGet && !api && !strings.HasPrefix(r.URL.Path, "/api/") &&
		r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" &&
		len(r.Header["Origin"]) == 0
}
