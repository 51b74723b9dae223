package server

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// get answers a GET the way route does for the page and its files.
func getPage(path string, headers ...string) *http.Response {
	r := httptest.NewRequest("GET", path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	if isPageFile(r.URL.Path) {
		servePageFile(w, r)
	} else if isPage(r.URL.Path) {
		servePage(w, r, pageData{Version: `1 "<script>`, UDP: "127.0.0.1:2000", Region: "eu-north-1"})
	} else {
		w.WriteHeader(http.StatusNotFound)
	}
	return w.Result()
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestPageFindsItsFolder(t *testing.T) {
	for path, want := range map[string]string{
		"/":                  `<base href="./">`,
		"/map":               `<base href="./">`,
		"/trace/1-00000000-": `<base href="./../">`,
		"/trace/a/b":         `<base href="./../../">`,
		"/l/%2e%2e%2Fmap":    `<base href="./../">`,
	} {
		res := getPage(path, "Accept", "text/html")
		if text := body(t, res); !strings.Contains(text, want) {
			t.Errorf("%s: no %s in\n%s", path, want, text)
		}
	}
	for _, path := range []string{"/maps", "/Traces", "/api/traces", "/assets/", "/index.html", "/assets/../index.html"} {
		if isPage(path) || isPageFile(path) {
			t.Errorf("%s is served as part of the page", path)
		}
	}
}

func TestPageTellsOfTheServer(t *testing.T) {
	res := getPage("/", "Accept", "text/html")
	text := body(t, res)
	if want := `content="{&#34;keys&#34;:false,&#34;region&#34;:&#34;eu-north-1&#34;,&#34;udp&#34;:&#34;127.0.0.1:2000&#34;,&#34;version&#34;:&#34;1 \&#34;\u003cscript\u003e&#34;}"`; !strings.Contains(text, want) {
		t.Errorf("the page does not say %s:\n%s", want, text)
	}
	policy := res.Header.Get("Content-Security-Policy")
	if strings.Contains(policy, "unsafe") || !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("Content-Security-Policy is %q", policy)
	}
	if got := res.Header.Get("Cache-Control"); got != "no-cache" {
		t.Errorf("Cache-Control is %q", got)
	}
	if again := getPage("/", "Accept", "text/html", "If-None-Match", res.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
		t.Errorf("asked again with its ETag: %s", again.Status)
	}
}

// TestPageFiles follows what index.html loads, and loads it.
func TestPageFiles(t *testing.T) {
	index := strings.Join(pageHTML(), "")
	links := regexp.MustCompile(`(?:src|href)="\./([^"]+)"`).FindAllStringSubmatch(index, -1)
	if len(links) < 4 {
		t.Fatalf("index.html loads only %q", links)
	}
	for _, link := range links {
		path := "/" + link[1]
		res := getPage(path)
		plain := body(t, res)
		if res.StatusCode != 200 || plain == "" {
			t.Errorf("%s: %s, %d bytes", path, res.Status, len(plain))
			continue
		}
		if got := strings.Contains(res.Header.Get("Cache-Control"), "immutable"); got != strings.HasPrefix(path, "/assets/") {
			t.Errorf("%s: Cache-Control is %q", path, res.Header.Get("Cache-Control"))
		}
		packed := getPage(path, "Accept-Encoding", "gzip")
		if packed.Header.Get("Content-Encoding") != "gzip" {
			continue
		}
		z, err := gzip.NewReader(packed.Body)
		if err != nil {
			t.Fatal(err)
		}
		if unpacked, err := io.ReadAll(z); err != nil || string(unpacked) != plain {
			t.Errorf("%s: compressed and plain differ (%v)", path, err)
		}
	}
}

// TestPageBudget holds the page to what it may weigh: 100 KB of script before
// anything is seen, 600 KB in all, as they travel.
func TestPageBudget(t *testing.T) {
	size := func(f *pageFile) int {
		if f.gzip != nil {
			return len(f.gzip)
		}
		return len(f.plain)
	}
	all, first := 0, 0
	index := strings.Join(pageHTML(), "")
	for name, f := range pageFiles() {
		all += size(f)
		if strings.HasSuffix(name, ".js") && strings.Contains(index, name) {
			first += size(f)
		}
	}
	t.Logf("%d bytes in all, %d of script at first", all, first)
	if all > 600_000 || first > 100_000 {
		t.Errorf("the page has grown to %d bytes, %d of them script that is loaded at first", all, first)
	}
}

// TestPagePlaces compares the places of the page with those that the page itself
// knows.
func TestPagePlaces(t *testing.T) {
	source, err := os.ReadFile("../../ui/src/lib/place.ts")
	if err != nil {
		t.Fatal(err)
	}
	list := regexp.MustCompile(`PAGES = \[([^\]]*)\]`).FindSubmatch(source)
	if list == nil {
		t.Fatal("place.ts has no list of pages")
	}
	var known []string
	for _, quoted := range regexp.MustCompile(`'([^']*)'`).FindAllSubmatch(list[1], -1) {
		if name := string(quoted[1]); name != "" {
			known = append(known, name)
		}
	}
	if !slices.Equal(known, pagePlaces) {
		t.Errorf("the page knows %q, the server %q", known, pagePlaces)
	}
}
