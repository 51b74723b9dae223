package server

import (
	_ "embed"
	"html/template"
	"net/http"
	"strings"
	texttemplate "text/template"
)

//go:embed page.html
var pageHTML string

//go:embed page.txt
var pageText string

var (
	htmlPage = template.Must(template.New("page.html").Parse(pageHTML))
	textPage = texttemplate.Must(texttemplate.New("page.txt").Parse(pageText))
)

// pageData is what the first page tells about the running server.
type pageData struct {
	Version string
	URL     string // as the caller reached us, "http://127.0.0.1:2000"
	UDP     string // "127.0.0.1:2000", "" when no datagrams are taken
	Region  string
}

// servePage answers GET /: a page for browsers, text for everything else.
func servePage(w http.ResponseWriter, r *http.Request, d pageData) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Vary", "Accept")
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		textPage.Execute(w, d)
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	htmlPage.Execute(w, d)
}
