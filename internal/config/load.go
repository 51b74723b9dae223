package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// DefaultFile is read from the working directory when no other file is named.
const DefaultFile = "roentgen.yaml"

// Flags collects what the command line says. The zero value is ready for use.
type Flags struct {
	file    string
	fileSet bool
	texts   map[string]string // by setting name
}

// Register adds a flag for every setting, and --config, to fs.
func (f *Flags) Register(fs *pflag.FlagSet) {
	f.texts = make(map[string]string)
	defaults := NewDefault()
	for _, s := range settings {
		fl := fs.VarPF(&flagValue{flags: f, setting: s, text: s.Text(defaults)}, s.Name, "", s.Summary)
		fl.DefValue = s.Text(defaults)
		if s.Unit() == "switch" {
			fl.NoOptDefVal = "true"
		}
	}
	fs.Var((*fileValue)(f), "config", `YAML file with settings (default `+DefaultFile+` when there is one; "" reads none)`)
}

// flagValue checks a flag's text at once, so that the complaint names the flag,
// and remembers it for Load.
type flagValue struct {
	flags   *Flags
	setting *Setting
	text    string
}

func (v *flagValue) Set(text string) error {
	if err := v.setting.set(new(Config), text); err != nil {
		return err
	}
	if before := v.flags.texts[v.setting.Name]; before != "" && text != "" && v.setting.Unit() == "list" {
		text = before + "," + text // a list may be said piece by piece
	}
	v.text = text
	v.flags.texts[v.setting.Name] = text
	return nil
}
func (v *flagValue) String() string   { return v.text }
func (v *flagValue) Type() string     { return v.setting.Unit() }
func (v *flagValue) IsBoolFlag() bool { return v.setting.Unit() == "switch" }

type fileValue Flags

func (v *fileValue) Set(name string) error { v.file, v.fileSet = name, true; return nil }
func (v *fileValue) String() string        { return v.file }
func (v *fileValue) Type() string          { return "file" }

// Sources says where Load looks.
type Sources struct {
	Flags    *Flags                            // nil: none
	Getenv   func(string) string               // nil: no environment
	Environ  func() []string                   // like os.Environ; finds misspelt variables; nil: does not look
	ReadFile func(name string) ([]byte, error) // nil: os.ReadFile
}

// Loaded is a configuration and where it came from.
type Loaded struct {
	Config
	File     string   // the file that was read, "" for none
	Warnings []string // what looks like a mistake and does no harm, whole sentences

	origins map[string]string
}

// Origin returns where a setting's value came from: "default", "file:line",
// "$VARIABLE" or "--flag".
func (l *Loaded) Origin(name string) string { return l.origins[name] }

// Load puts the configuration together. Its errors name the place of the
// mistake; they are the user's, never Roentgen's.
func Load(src Sources) (*Loaded, error) {
	if src.ReadFile == nil {
		src.ReadFile = os.ReadFile
	}
	if src.Getenv == nil {
		src.Getenv = func(string) string { return "" }
	}
	if src.Flags == nil {
		src.Flags = new(Flags)
	}
	l := &Loaded{Config: *NewDefault(), origins: make(map[string]string)}
	for _, s := range settings {
		l.origins[s.Name] = "default"
	}
	if err := l.readFile(src); err != nil {
		return nil, err
	}
	for _, s := range settings {
		if text := src.Getenv(s.Env()); text != "" {
			if err := s.set(&l.Config, text); err != nil {
				return nil, fmt.Errorf("$%s: %w", s.Env(), err)
			}
			l.origins[s.Name] = "$" + s.Env()
		}
		if text, ok := src.Flags.texts[s.Name]; ok {
			if err := s.set(&l.Config, text); err != nil {
				return nil, fmt.Errorf("--%s: %w", s.Name, err)
			}
			l.origins[s.Name] = "--" + s.Name
		}
	}
	if src.Environ != nil {
		l.warnOfVariables(src.Environ())
	}
	if p := l.validate(); p != nil {
		if p.setting == "udp-listen" && l.UDPListen == "" {
			p.setting = "listen"
		}
		origin := l.origins[p.setting]
		if origin == "default" || strings.HasSuffix(origin, p.setting) {
			return nil, fmt.Errorf("%s: %w", p.setting, p.err)
		}
		return nil, fmt.Errorf("%s: %s: %w", origin, p.setting, p.err)
	}
	return l, nil
}

func (l *Loaded) readFile(src Sources) error {
	name, named := src.Flags.file, src.Flags.fileSet
	if !named {
		name = src.Getenv(envPrefix + "CONFIG")
		named = name != ""
	}
	if !named {
		name = DefaultFile
	}
	if name == "" {
		return nil
	}
	data, err := src.ReadFile(name)
	if !named && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read the configuration: %w", err)
	}
	l.File = name
	return l.parseYAML(name, data)
}

// parseYAML reads a file's settings. It walks the nodes itself, since only they
// know their lines.
func (l *Loaded) parseYAML(name string, data []byte) error {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil // nothing but comments
		}
		return yamlError(name, err)
	}
	var more yaml.Node
	if err := dec.Decode(&more); err == nil {
		return fmt.Errorf("%s:%d: a second YAML document begins here; put all settings into one", name, more.Line)
	} else if !errors.Is(err, io.EOF) {
		return yamlError(name, err)
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil
	}
	if root.Kind != yaml.MappingNode {
		return fmt.Errorf("%s:%d: this is no list of settings; write lines such as listen: 127.0.0.1:2000", name, root.Line)
	}
	lines := make(map[string]int)
	for i := 0; i < len(root.Content); i += 2 {
		key, val := root.Content[i], root.Content[i+1]
		s := find(key.Value)
		if key.Kind != yaml.ScalarNode || s == nil {
			return fmt.Errorf("%s:%d: there is no setting %q%s", name, key.Line, key.Value, suggestion(key.Value))
		}
		if first := lines[s.Name]; first != 0 {
			return fmt.Errorf("%s:%d: %s was set in line %d already", name, key.Line, s.Name, first)
		}
		lines[s.Name] = key.Line
		text, err := nodeText(s, val)
		if err == nil {
			err = s.set(&l.Config, text)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %s: %w", name, val.Line, s.Name, err)
		}
		l.origins[s.Name] = fmt.Sprintf("%s:%d", name, key.Line)
	}
	return nil
}

// nodeText returns the text form of a YAML value.
func nodeText(s *Setting, val *yaml.Node) (string, error) {
	if val.Kind == yaml.AliasNode {
		val = val.Alias
	}
	isList := s.Unit() == "list"
	switch val.Kind {
	case yaml.ScalarNode:
		if val.Tag == "!!null" {
			return "", errors.New("has no value; leave the line out for the default")
		}
		return val.Value, nil
	case yaml.SequenceNode:
		if !isList {
			return "", errNoList
		}
		var parts []string
		for _, e := range val.Content {
			if e.Kind != yaml.ScalarNode || e.Tag == "!!null" || strings.Contains(e.Value, ",") {
				return "", fmt.Errorf("%q %s", e.Value, s.field(new(Config)).(manyValue).badElement())
			}
			parts = append(parts, e.Value)
		}
		return strings.Join(parts, ","), nil
	}
	return "", errors.New("holds further settings; they all stand at the top, without nesting")
}

// yamlError gives the library's message the form file:line: text.
func yamlError(name string, err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	var line int
	if n, _ := fmt.Sscanf(text, "line %d:", &line); n == 1 {
		_, text, _ = strings.Cut(text, ": ")
		return fmt.Errorf("%s:%d: this is no YAML: %s", name, line, text)
	}
	return fmt.Errorf("%s: this is no YAML: %s", name, text)
}

// otherVariables are those that commands other than serve read.
var otherVariables = []string{"ROENTGEN_CONFIG", "ROENTGEN_ENDPOINT", "ROENTGEN_ACCESS_KEY_ID", "ROENTGEN_SECRET_ACCESS_KEY", "ROENTGEN_PROFILE", "ROENTGEN_CA_BUNDLE"}

// warnOfVariables finds variables that look like settings and are none. They
// are no errors: Kubernetes, for one, sets ROENTGEN_PORT and
// ROENTGEN_SERVICE_HOST in every pod beside a service called roentgen.
func (l *Loaded) warnOfVariables(environ []string) {
	slices.Sort(environ)
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		rest, ok := strings.CutPrefix(name, envPrefix)
		if !ok || value == "" || slices.Contains(otherVariables, name) || rest == "PORT" || strings.HasPrefix(rest, "PORT_") || strings.HasPrefix(rest, "SERVICE_") {
			continue
		}
		if slices.ContainsFunc(settings, func(s *Setting) bool { return s.Env() == name }) {
			continue
		}
		text := "$" + name + " sets nothing"
		if near := nearest(strings.ToLower(strings.ReplaceAll(rest, "_", "-"))); near != nil {
			text += "; did you mean $" + near.Env() + "?"
		}
		l.Warnings = append(l.Warnings, text)
	}
}

func suggestion(key string) string {
	if s := nearest(key); s != nil {
		return fmt.Sprintf("; did you mean %q?", s.Name)
	}
	return "; roentgen serve --help lists them"
}

// nearest returns the setting whose name is at most two typing errors, or a
// different spelling, away.
func nearest(key string) *Setting {
	plain := func(s string) string {
		return strings.NewReplacer("-", "", "_", "", ".", "").Replace(strings.ToLower(s))
	}
	var best *Setting
	bestDistance := 3
	for _, s := range settings {
		if d := distance(plain(key), plain(s.Name)); d < bestDistance && d < len(plain(s.Name))/2+1 {
			best, bestDistance = s, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete or replace to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
