package cli

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
)

// TestClientScripts runs testdata/client/*.txt, client commands against a fake
// server whose answers stand in the script.
func TestClientScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/client",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("TZ", "UTC")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": scriptStatus,
			"fake":   scriptFake,
			"await":  scriptAwait,
		},
	})
}

// scriptFake starts a server that gives the answers of a file: fake FILE. It
// becomes $ROENTGEN_ENDPOINT. Each answer begins with a line
//
//	> METHOD PATH STATUS
//
// Several answers of a path are given in turn, and the last one from then on.
// A line "@hold" in an answer waits until the client goes, "@pause" a moment, and
// "@cut" breaks the connection. The requests are listed in the file requests.
func scriptFake(ts *testscript.TestScript, neg bool, args []string) {
	answers := map[string][]string{}
	for part := range strings.SplitSeq("\n"+ts.ReadFile(args[0]), "\n> ") {
		head, body, _ := strings.Cut(part, "\n")
		fields := strings.Fields(head)
		if len(fields) != 3 {
			if strings.TrimSpace(part) != "" {
				ts.Fatalf("%s: %q is no METHOD PATH STATUS", args[0], head)
			}
			continue
		}
		key := fields[0] + " " + fields[1]
		answers[key] = append(answers[key], fields[2]+"\n"+body)
	}
	log, err := os.Create(ts.MkAbs("requests"))
	ts.Check(err)
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		query, _ := url.QueryUnescape(r.URL.RawQuery)
		key := r.Method + " " + r.URL.Path
		mu.Lock()
		fmt.Fprintf(log, "%s?%s %s\n", key, query, body)
		list := answers[key]
		if len(list) > 1 {
			answers[key] = list[1:]
		}
		mu.Unlock()
		if len(list) == 0 {
			w.WriteHeader(404)
			fmt.Fprintf(w, `{"Message":"nothing at %s"}`, r.URL.Path)
			return
		}
		var status int
		head, text, _ := strings.Cut(list[0], "\n")
		fmt.Sscan(head, &status)
		if status >= 400 && !strings.HasPrefix(r.URL.Path, "/api/") {
			w.Header().Set("x-amzn-errortype", "InvalidRequestException")
		}
		w.WriteHeader(status)
		for line := range strings.Lines(text) {
			switch strings.TrimSpace(line) {
			case "@hold":
				http.NewResponseController(w).Flush()
				<-r.Context().Done()
			case "@pause":
				http.NewResponseController(w).Flush()
				time.Sleep(50 * time.Millisecond)
			case "@cut":
				http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			default:
				io.WriteString(w, line)
			}
		}
	}))
	ts.Defer(func() {
		server.Close()
		ts.Check(log.Close())
	})
	ts.Setenv("ROENTGEN_ENDPOINT", server.URL)
}

// scriptAwait waits until a file holds a text: await FILE TEXT.
func scriptAwait(ts *testscript.TestScript, neg bool, args []string) {
	for range 1000 {
		if text, err := os.ReadFile(ts.MkAbs(args[0])); err == nil && strings.Contains(string(text), args[1]) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("%s does not hold %q", args[0], args[1])
}

// TestExportToPipe writes to what is no file, which must not be replaced by one.
func TestExportToPipe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skipf("SKIPPED: no pipes here: %v", err)
	}
	got := make(chan string, 1)
	go func() {
		data, err := os.ReadFile(name)
		got <- fmt.Sprint(string(data), err)
	}()
	if err := replaceFile(name, []byte("all")); err != nil {
		t.Fatal(err)
	}
	if text := <-got; text != "all<nil>" {
		t.Errorf("read %q", text)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().IsRegular() {
		t.Errorf("it is %v now, %v", info.Mode(), err)
	}
}

// TestWrongScheme asks with TLS where there is none, and the other way round.
func TestWrongScheme(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	for _, c := range []struct{ endpoint, want string }{
		{strings.Replace(plain.URL, "http:", "https:", 1), " answers without TLS; write http:// in place of https://"},
		{strings.Replace(secure.URL, "https:", "http:", 1), " speaks TLS alone; write https:// in place of http://"},
	} {
		client, err := newClient(connection{endpoint: c.endpoint, getenv: func(string) string { return "" }})
		if err != nil {
			t.Fatal(err)
		}
		if err := client.get(t.Context(), "/api/traces", new(any)); err == nil || err.Error() != c.endpoint+c.want {
			t.Errorf("%s: %v, want %q", c.endpoint, err, c.endpoint+c.want)
		}
	}
}

// TestRefusalsOfKeys words what a server says of a key.
func TestRefusalsOfKeys(t *testing.T) {
	for code, want := range map[apierr.Code]string{
		apierr.MissingAuthenticationToken: "the server asks for a key: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile with --profile",
		apierr.UnrecognizedClient:         "the server does not know this key; perhaps it was revoked, or AWS_ACCESS_KEY_ID is that of something else",
		apierr.ExpiredToken:               "the key has expired; roentgen key create makes another one",
		apierr.AccessDenied:               "this key may not do that, it lacks a role; roentgen key --help tells what each role may do (why)",
		apierr.InvalidSignature:           "the server answered InvalidSignatureException: why",
	} {
		if got := (&apiError{Status: 403, Code: string(code), Message: "why"}).Error(); got != want {
			t.Errorf("%s: %s", code, got)
		}
	}
}
