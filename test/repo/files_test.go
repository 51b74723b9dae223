package repo

import (
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/internal/sharedtest"
)

// TestNothingOfOneMachine holds that no tracked file names a folder of the
// machine it was written on, or the host of a package registry: a clone must
// work elsewhere, with the registries that are set up there.
func TestNothingOfOneMachine(t *testing.T) {
	// The parts are joined here so that this file does not name them either.
	bad := []string{
		"/" + "root/",
		"/" + "work/main",
		"/" + "work/shared",
		"/" + "tmp/go-build",
		"/" + "tmp/brief",
		"registry." + "npmjs.org",
		"registry." + "yarnpkg.com",
		"pypi." + "org",
		"files." + "pythonhosted.org",
		"proxy." + "golang.org",
		"sum." + "golang.org",
		"repo1." + "maven.org",
		"repo." + "maven.apache.org",
		"deb." + "debian.org",
		"static." + "crates.io",
	}
	if home, err := os.UserHomeDir(); err == nil && len(home) > 1 {
		bad = append(bad, home+"/")
	}
	for _, name := range tracked(t) {
		text := read(t, name)
		for _, b := range bad {
			if i := strings.Index(text, b); i >= 0 {
				t.Errorf("%s:%d contains %q", name, 1+strings.Count(text[:i], "\n"), b)
			}
		}
	}
}

// TestLockFiles holds that npm's lock files say which package and which
// checksum, but not from where.
func TestLockFiles(t *testing.T) {
	found := 0
	for _, name := range tracked(t) {
		if path.Base(name) != "package-lock.json" {
			continue
		}
		found++
		var lock struct {
			Packages map[string]struct {
				Resolved, Integrity string
				Link                bool
			}
		}
		if err := json.Unmarshal([]byte(read(t, name)), &lock); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for pkg, p := range lock.Packages {
			if p.Resolved != "" && !p.Link {
				t.Errorf("%s: %s has a download address; write the file again beside an .npmrc with omit-lockfile-registry-resolved=true", name, pkg)
			}
			if p.Integrity == "" && pkg != "" && !p.Link {
				t.Errorf("%s: %s has no checksum", name, pkg)
			}
		}
	}
	if found == 0 {
		t.Error("no package-lock.json is tracked")
	}
}

// TestPythonRequirements holds that every Python package is pinned.
func TestPythonRequirements(t *testing.T) {
	pinned := regexp.MustCompile(`^[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*$`)
	for _, name := range tracked(t) {
		if path.Base(name) != "requirements.txt" {
			continue
		}
		for i, line := range strings.Split(read(t, name), "\n") {
			line = strings.TrimSpace(line)
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			if !pinned.MatchString(line) {
				t.Errorf("%s:%d: %q is not name==version", name, i+1, line)
			}
		}
	}
}

// TestCommandsOfReadme holds that a newcomer and CI are sent to the same commands.
func TestCommandsOfReadme(t *testing.T) {
	readme := read(t, "README.md")
	for _, command := range []string{"make demo", "make test"} {
		if !strings.Contains(readme, command) {
			t.Errorf("README.md does not name %s", command)
		}
	}
	if !regexp.MustCompile(`(?m)^\s*make test$`).MatchString(read(t, ".ci/run")) {
		t.Error(".ci/run does not call make test")
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`^#{1,6}\s+(.*?)\s*$`)
)

// prose returns a Markdown text with its code blocks and code spans blanked,
// line for line.
func prose(text string) []string {
	span := regexp.MustCompile("`[^`]*`")
	fenced := false
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
			lines[i] = ""
			continue
		}
		if fenced {
			lines[i] = ""
			continue
		}
		lines[i] = span.ReplaceAllString(line, "``")
	}
	return lines
}

// anchors returns the fragments that the headings of a Markdown text answer to.
func anchors(text string) map[string]bool {
	found := make(map[string]bool)
	fenced := false
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		}
		m := heading.FindStringSubmatch(line)
		if fenced || m == nil {
			continue
		}
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r > 127 || '0' <= r && r <= '9' || 'a' <= r && r <= 'z':
				return r
			}
			return -1
		}, strings.ToLower(m[1]))
		found[slug] = true
	}
	return found
}

// TestLinks follows every link between the documents of the repository.
func TestLinks(t *testing.T) {
	dir := sharedtest.Root(t)
	for _, name := range tracked(t) {
		if path.Ext(name) != ".md" {
			continue
		}
		for i, line := range prose(read(t, name)) {
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				target, fragment, _ := strings.Cut(m[1], "#")
				if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
					continue
				}
				to := name
				if target != "" {
					to = path.Join(path.Dir(name), target)
					if strings.HasPrefix(to, "..") {
						t.Errorf("%s:%d links out of the repository: %s", name, i+1, m[1])
						continue
					}
				}
				if _, err := os.Stat(filepath.Join(dir, to)); err != nil {
					t.Errorf("%s:%d links to %s, which is not there", name, i+1, m[1])
					continue
				}
				if fragment != "" && path.Ext(to) == ".md" && !anchors(read(t, to))[fragment] {
					t.Errorf("%s:%d links to %s, but %s has no such heading", name, i+1, m[1], to)
				}
			}
		}
	}
}

func TestProseAndAnchors(t *testing.T) {
	text := "# One, two `three`\n```\n# no heading [x](nowhere)\n```\n`[y](code)` [z](real.md#a)\n"
	if got := anchors(text); !got["one-two-three"] || len(got) != 1 {
		t.Errorf("anchors = %v", got)
	}
	var links []string
	for _, line := range prose(text) {
		for _, m := range link.FindAllStringSubmatch(line, -1) {
			links = append(links, m[1])
		}
	}
	if len(links) != 1 || links[0] != "real.md#a" {
		t.Errorf("links = %q", links)
	}
}
