package access

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/keys"
)

// signIn begins a session and returns its cookie, as a browser sends it.
func (d *door) signIn(t *testing.T, k keys.Key) string {
	t.Helper()
	token, _, err := d.sessions.SignIn(k.ID, k.Secret, netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	name := "roentgen-session-" + d.URL[strings.LastIndexByte(d.URL, ':')+1:]
	if strings.HasPrefix(d.URL, "https:") {
		name = "__Host-" + name
	}
	return name + "=" + token
}

func TestSessions(t *testing.T) {
	for _, tls := range []bool{false, true} {
		d := open(t, tls, true)
		reader, admin := d.signIn(t, d.reader), d.signIn(t, d.admin)
		own := []string{"Cookie", reader, "Origin", d.URL}
		const ended = "The session has ended; sign in again"
		for _, c := range []struct {
			name   string
			ask    ask
			status int
			text   string // beginning
		}{
			{"reads", ask{method: "GET", path: "/api/traces", header: []string{"Cookie", reader}}, 200, d.reader.ID},
			{"asks an operation", ask{path: "/Traces", header: own}, 200, d.reader.ID},
			{"by fetch metadata alone", ask{path: "/Traces", header: []string{"Cookie", reader, "Sec-Fetch-Site", "same-origin"}}, 200, d.reader.ID},
			{"asks for sampling rules, which nobody needs a key for", ask{path: "/GetSamplingRules", header: own}, 200, d.reader.ID},
			{"writes with the key of a reader", ask{path: "/TraceSegments", header: own}, 403, `{"Message":"User: arn:aws:iam::123456789012:user/reader is not authorized`},
			{"a place for admins", ask{method: "GET", path: "/new", header: own}, 403, `{"Message":"This needs a key with the role admin; key ` + d.reader.ID},
			{"a place for admins, by one", ask{method: "GET", path: "/new", header: []string{"Cookie", admin}}, 200, d.admin.ID},
			{"among other cookies", ask{method: "GET", path: "/api/traces", header: []string{"Cookie", "a=b; " + reader + "; c=d"}}, 200, d.reader.ID},
			{"behind a stale one", ask{method: "GET", path: "/api/traces", header: []string{"Cookie", strings.Split(reader, "=")[0] + "=STALE; " + reader}}, 200, d.reader.ID},

			{"tampered", ask{method: "GET", path: "/api/traces", header: []string{"Cookie", reader + "A"}}, 401, `{"Message":"` + ended},
			{"tampered, an operation", ask{path: "/Traces", header: []string{"Cookie", reader + "A", "Origin", d.URL}}, 401, `{"message":"` + ended},
			{"of another port", ask{method: "GET", path: "/api/traces", header: []string{"Cookie", strings.Replace(reader, "session-", "session-9", 1)}}, 401, `{"Message":"Missing`},

			// What other sites could have a browser do, were it not for SameSite.
			{"a form elsewhere", ask{path: "/Traces", header: []string{"Cookie", reader, "Origin", "https://evil.example"}}, 403, `{"Message":"A session is good for`},
			{"another port of this machine", ask{path: "/Traces", header: []string{"Cookie", reader, "Origin", "http://127.0.0.1:1"}}, 403, `{"Message":"A session is good for`},
			{"a sandboxed frame", ask{path: "/Traces", header: []string{"Cookie", reader, "Origin", "null"}}, 403, `{"Message":"A session is good for`},
			{"our page in another's frame", ask{path: "/Traces", header: []string{"Cookie", reader, "Origin", d.URL, "Sec-Fetch-Site", "cross-site"}}, 403, `{"Message":"A session is good for`},
			{"no origin at all", ask{path: "/Traces", header: []string{"Cookie", reader}}, 403, `{"Message":"A session is good for`},
			{"delete without origin", ask{method: "DELETE", path: "/new", header: []string{"Cookie", admin}}, 403, `{"Message":"A session is good for`},

			// A token goes before a cookie, a wrong one too.
			{"with a bearer token", ask{method: "GET", path: "/new", header: []string{"Cookie", reader, "Authorization", "Bearer " + d.admin.Bearer()}}, 200, d.admin.ID},
			{"with a wrong bearer token", ask{method: "GET", path: "/api/traces", header: []string{"Cookie", reader, "Authorization", "Bearer x.y"}}, 401, `{"Message":"The security token`},

			{"who am I", ask{method: "GET", path: "/api/session", header: []string{"Cookie", reader}}, 200, d.reader.ID},
			{"who am I, with a token", ask{method: "GET", path: "/api/session", header: []string{"Authorization", "Bearer " + d.writer.Bearer()}}, 200, d.writer.ID},
			{"who am I: nobody", ask{method: "GET", path: "/api/session"}, 200, "nobody"},
			{"who am I: nobody any more", ask{method: "GET", path: "/api/session", header: []string{"Cookie", reader + "A"}}, 200, "nobody"},
			{"who am I, asked by another site", ask{path: "/api/session", header: []string{"Cookie", reader, "Origin", "https://evil.example"}}, 403, `{"Message":"A session is good for`},
		} {
			status, _, text, _ := d.send(t, c.ask)
			if status != c.status || !strings.HasPrefix(text, c.text) {
				t.Errorf("TLS %t: %s: %d %s, want %d %s", tls, c.name, status, text, c.status, c.text)
			}
		}
		if d.used.Last(d.reader.ID).IsZero() || !d.used.Last(d.old.ID).IsZero() {
			t.Error("it is not known which keys were used")
		}
	}
}

// TestSessionsEnd revokes a key, and lets time pass, under sessions in use.
func TestSessionsEnd(t *testing.T) {
	d := open(t, false, false)
	reader, admin := d.signIn(t, d.reader), d.signIn(t, d.admin)
	ask := func(cookie string) int {
		status, _, _, _ := d.send(t, ask{method: http.MethodGet, path: "/api/traces", header: []string{"Cookie", cookie}})
		return status
	}
	if ask(reader) != 200 || ask(admin) != 200 {
		t.Fatal("a session is not taken")
	}
	err := keys.Update(d.path, false, func(list []keys.Key) ([]keys.Key, error) {
		for i := range list {
			if list[i].ID == d.reader.ID {
				list[i].Revoke(d.now)
			}
		}
		return list, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	d.now = d.now.Add(2 * time.Second)
	if status := ask(reader); status != 401 {
		t.Errorf("with a revoked key: %d", status)
	}
	if status := ask(admin); status != 200 {
		t.Errorf("with another key: %d", status)
	}
	d.now = d.now.Add(9 * time.Hour)
	if status := ask(admin); status != 401 {
		t.Errorf("after nine hours: %d", status)
	}
}

// TestHolds holds that an answer under way gets to know that its key was revoked.
func TestHolds(t *testing.T) {
	d := open(t, false, false)
	var holds []func() bool
	d.Config.Handler.(*Gate).next = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		holds = append(holds, func() bool { return keys.Holds(ctx) })
	})
	cookie := d.signIn(t, d.reader)
	d.send(t, ask{method: http.MethodGet, path: "/api/traces", header: []string{"Cookie", cookie}})
	d.send(t, ask{method: http.MethodGet, path: "/api/traces", key: d.reader})
	d.send(t, ask{method: http.MethodGet, path: "/-/ready"})
	for i, want := range []bool{true, true, true} {
		if holds[i]() != want {
			t.Errorf("request %d: %t", i, !want)
		}
	}
	_, token, _ := strings.Cut(cookie, "=")
	d.sessions.End(token)
	if holds[0]() || !holds[1]() {
		t.Error("signed out: the wrong request ends")
	}
	if err := keys.Update(d.path, false, func(list []keys.Key) ([]keys.Key, error) { return list[:2], nil }); err != nil {
		t.Fatal(err)
	}
	d.now = d.now.Add(2 * time.Second)
	if holds[1]() || !holds[2]() {
		t.Error("the key is gone: the wrong request ends")
	}
}
