package cli

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"golang.org/x/text/width"
)

// terminal says how to write for a stream.
type terminal struct {
	colour bool
	ascii  bool // plain ASCII instead of box and block characters
	width  int
}

// newTerminal looks at the stream, the environment and the flags. colour is
// "auto", "always" or "never"; width 0 means the terminal's.
func newTerminal(w io.Writer, env *Env, colour string, columns int) terminal {
	t := terminal{width: columns}
	isTerm := false
	if f := fileOf(w); f != nil && term.IsTerminal(int(f.Fd())) {
		isTerm = true
		if t.width == 0 {
			t.width, _, _ = term.GetSize(int(f.Fd()))
		}
	}
	if t.width == 0 {
		t.width, _ = strconv.Atoi(env.Getenv("COLUMNS"))
	}
	if t.width == 0 {
		t.width = 100
	}
	t.width = max(40, min(t.width, 400))
	switch colour {
	case "always":
		t.colour = true
	case "never":
	default:
		t.colour = isTerm && env.Getenv("NO_COLOR") == "" && env.Getenv("TERM") != "dumb"
	}
	locale := env.Getenv("LC_ALL")
	if locale == "" {
		locale = env.Getenv("LC_CTYPE")
	}
	if locale == "" {
		locale = env.Getenv("LANG")
	}
	// Only a terminal that says it is something else than UTF-8 gets ASCII: pipes
	// and bare environments nearly always end in UTF-8 these days.
	up := strings.ToUpper(locale)
	t.ascii = isTerm && locale != "" && !strings.Contains(up, "UTF-8") && !strings.Contains(up, "UTF8")
	return t
}

// colourFlag adds the flag that says when to write in colour.
func colourFlag(cmd *cobra.Command, colour *string) {
	*colour = "auto"
	cmd.Flags().Var((*colourValue)(colour), "color", "colours: auto, always or never")
}

// colourValue is the value of --color.
type colourValue string

func (v *colourValue) String() string { return string(*v) }
func (v *colourValue) Type() string   { return "when" }

func (v *colourValue) Set(text string) error {
	switch text {
	case "auto", "always", "never":
		*v = colourValue(text)
		return nil
	}
	return errors.New("it is auto, always or never")
}

// The colours, chosen to read on dark and on light grounds.
const (
	styleBold   = "1"
	styleDim    = "2"
	styleRed    = "31"
	styleGreen  = "32"
	styleYellow = "33"
	styleBlue   = "34"
	styleViolet = "35"
	styleCyan   = "36"
)

// paint wraps s in an SGR style when the terminal has colours.
func (t terminal) paint(style, s string) string {
	if !t.colour || s == "" || style == "" {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

// clean makes foreign text safe to print: control characters, which could drive
// the terminal, and direction overrides become visible stand-ins.
func clean(s string) string {
	ok := true
	for _, r := range s {
		if unsafeRune(r) {
			ok = false
			break
		}
	}
	if ok {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r == '\r' {
			return ' '
		}
		if unsafeRune(r) {
			return '\ufffd'
		}
		return r
	}, s)
}

func unsafeRune(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' ||
		(r >= '\u202a' && r <= '\u202e') || (r >= '\u2066' && r <= '\u2069') || r == '\u200e' || r == '\u200f'
}

// cells returns how many columns s takes in a terminal.
func cells(s string) int {
	n := 0
	for _, r := range s {
		n += runeCells(r)
	}
	return n
}

// runeCells follows the East Asian Width property: wide characters take two
// columns, marks and joiners none.
func runeCells(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me) || r == 0x200d || (r >= 0xfe00 && r <= 0xfe0f):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// fit cuts s to so many columns, marking the cut, and pads it when pad is set.
func (t terminal) fit(s string, columns int, pad bool) string {
	if columns <= 0 {
		return ""
	}
	n := cells(s)
	if n > columns {
		mark := "…"
		if t.ascii {
			mark = "~"
		}
		var b strings.Builder
		n = 0
		for _, r := range s {
			c := runeCells(r)
			if n+c > columns-1 {
				break
			}
			b.WriteRune(r)
			n += c
		}
		b.WriteString(mark)
		n++
		s = b.String()
	}
	if pad && n < columns {
		s += strings.Repeat(" ", columns-n)
	}
	return s
}
