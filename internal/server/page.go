package server

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	texttemplate "text/template"

	_ "embed"

	"github.com/roentgen-io/roentgen/ui"
)

//go:embed page.txt
var pageText string

var textPage = texttemplate.Must(texttemplate.New("page.txt").Parse(pageText))

// pageData is what the first page tells about the running server.
type pageData struct {
	Version string
	URL     string // as the caller reached us, "http://127.0.0.1:2000"
	UDP     string // "127.0.0.1:2000", "" when no datagrams are taken
	Region  string
	Keys    bool // requests need a key
}

// pagePolicy is the Content-Security-Policy of the page and of all its files.
// Nothing comes from elsewhere, and nothing that is not a file of ours runs.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; " +
	"connect-src 'self'; worker-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"

// pagePlaces are the first elements of paths under which the page is served. Each
// is a place in the page, which reads the rest of the path itself: lib/place.ts
// has the same list, and a test compares them.
var pagePlaces = []string{"map", "traces", "trace", "compare", "analytics", "groups", "dead-letters", "start", "sampling", "settings", "views", "keys", placeLink}

// placeLink is the place that leads to what a short link stands for.
const placeLink = "l"

// linkPlaces are the places that short links may lead to: all but links themselves.
func linkPlaces() []string {
	return slices.DeleteFunc(slices.Clone(pagePlaces), func(p string) bool { return p == placeLink })
}

// isPage reports whether a GET of a path asks for the page.
func isPage(p string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(p, "/"), "/")
	return p == "/" || slices.Contains(pagePlaces, first)
}

// isPageFile reports whether a GET of a path asks for a file that the page loads.
func isPageFile(p string) bool {
	_, ok := pageFiles()[strings.TrimPrefix(p, "/")]
	return ok
}

// pageFile is a file of the page, compressed once.
type pageFile struct {
	plain, gzip []byte // gzip is nil when it saves nothing
	mediaType   string
	etag        string
}

// pageFiles returns the built page's files by path: "assets/index-….js".
var pageFiles = sync.OnceValue(func() map[string]*pageFile {
	files := make(map[string]*pageFile)
	err := fs.WalkDir(ui.Files(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || name == "index.html" {
			return err
		}
		data, err := fs.ReadFile(ui.Files(), name)
		if err != nil {
			return err
		}
		files[name] = newPageFile(name, data)
		return nil
	})
	if err != nil {
		panic(fmt.Sprintf("server: built page: %v", err)) // it is part of the program
	}
	return files
})

// mediaTypes has the types of the page's files, so that they do not depend on
// what the machine knows.
var mediaTypes = map[string]string{
	".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".html": "text/html; charset=utf-8",
	".svg": "image/svg+xml", ".woff2": "font/woff2", ".json": "application/json", ".txt": "text/plain; charset=utf-8",
}

func newPageFile(name string, data []byte) *pageFile {
	f := &pageFile{plain: data, mediaType: mediaTypes[path.Ext(name)]}
	if f.mediaType == "" {
		f.mediaType = mime.TypeByExtension(path.Ext(name))
	}
	if f.mediaType == "" {
		f.mediaType = "application/octet-stream"
	}
	sum := sha256.Sum256(data)
	f.etag = `"` + hex.EncodeToString(sum[:12]) + `"`
	var packed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression) // the level is a valid one
	_, _ = w.Write(data)                                       // a buffer takes everything
	_ = w.Close()
	if packed.Len() < len(data)*9/10 {
		f.gzip = packed.Bytes()
	}
	return f
}

// pageHTML is index.html, cut where what the server knows is put in.
var pageHTML = sync.OnceValue(func() []string {
	data, err := fs.ReadFile(ui.Files(), "index.html")
	if err != nil {
		panic(fmt.Sprintf("server: built page: %v", err)) // it is part of the program
	}
	parts := []string{string(data)}
	for _, mark := range []string{`<base href="./" />`, `<meta name="roentgen" content="{}" />`} {
		before, after, found := strings.Cut(parts[len(parts)-1], mark)
		if !found {
			panic("server: built page: index.html has no " + mark)
		}
		parts = append(parts[:len(parts)-1], before, after)
	}
	return parts
})

// wantsPage reports whether a request for a place of the page gets the page itself. At
// / everything but a browser gets text.
func wantsPage(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && isPage(r.URL.Path) &&
		(r.URL.Path != "/" || strings.Contains(r.Header.Get("Accept"), "text/html"))
}

// servePage answers a GET of the page: the page itself for browsers, text at / for
// everything else. Of a server with keys the page tells nothing but that: it is the
// same for those who have none, and asks /api/session for the rest.
func servePage(w http.ResponseWriter, r *http.Request, d pageData) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Vary", "Accept, Accept-Encoding")
	h.Set("Cache-Control", "no-cache")
	if !wantsPage(r) {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		textPage.Execute(w, d)
		return
	}
	about := map[string]any{"keys": true}
	if !d.Keys {
		about = map[string]any{"version": d.Version, "udp": d.UDP, "region": d.Region, "keys": false}
	}
	told, err := json.Marshal(about)
	if err != nil {
		panic(err) // strings and a truth value can be written as JSON
	}
	// The page finds its own folder by what is above the place that was asked for,
	// so that a proxy may put it under any prefix. Browsers take an escaped slash for
	// a letter.
	up := "./" + strings.Repeat("../", max(0, strings.Count(r.URL.EscapedPath(), "/")-1))
	parts := pageHTML()
	body := parts[0] + `<base href="` + up + `">` + parts[1] + `<meta name="roentgen" content="` + html.EscapeString(string(told)) + `">` + parts[2]
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Referrer-Policy", "no-referrer")
	newPageFile("index.html", []byte(body)).serve(w, r)
}

// servePageFile answers a GET of a file that the page loads.
func servePageFile(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Vary", "Accept-Encoding")
	h.Set("Content-Security-Policy", pagePolicy) // that of a worker is its own file's
	if strings.HasPrefix(name, "assets/") {
		// A hash of the content is part of the name.
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	pageFiles()[name].serve(w, r)
}

func (f *pageFile) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("ETag", f.etag)
	if match := r.Header.Get("If-None-Match"); match != "" && strings.Contains(match, f.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.mediaType)
	body := f.plain
	if f.gzip != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = f.gzip
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		w.Write(body)
	}
}
