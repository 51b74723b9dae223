package filterexpr

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tokEnd     tokenKind = iota
	tokBad               // nothing that the language knows; problem says more
	tokWord              // text is as written
	tokText              // a quoted string; value is decoded
	tokNumber            // number
	tokJSON              // '#' and an array; value is the array, compact
	tokSymbol            // ( ) { } , : !
	tokCompare           // = == != < <= > >=
	tokAnd               // &&
	tokOr                // ||
)

type token struct {
	kind       tokenKind
	start, end int    // bytes of the text
	text       string // as written
	lower      string // of words: in small letters
	value      string
	number     float64 // of a duration: seconds
	unit       bool    // the number has a unit
	problem    string  // of tokBad: what should have stood there
}

func (t token) is(symbol string) bool { return t.kind == tokSymbol && t.text == symbol }

// lexer cuts a text into tokens, one at a time: the first mistake of a text is
// then the first one in it.
type lexer struct {
	text string
	pos  int
	// A text that is still being written ends where it is to be completed: what
	// touches its end may go on, so that it is set aside, and is not there for the
	// parser.
	writing bool
	partial token
	inKey   bool // partial is the key of an annotation, in brackets
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// wordRune returns the size of the rune that s begins with when it may be part
// of a word, else 0.
func wordRune(s string) int {
	if s == "" {
		return 0
	}
	c := s[0]
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', isDigit(c), c == '_', c == '.':
		return 1
	case c < utf8.RuneSelf:
		return 0
	}
	r, size := utf8.DecodeRuneInString(s)
	if unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) {
		return size
	}
	return 0
}

func (l *lexer) skipSpace() {
	for l.pos < len(l.text) && isSpace(l.text[l.pos]) {
		l.pos++
	}
}

func (l *lexer) next() token {
	l.skipSpace()
	start := l.pos
	t := l.scan()
	if l.writing && t.end == len(l.text) && t.end > start &&
		(t.kind == tokWord || t.kind == tokNumber || t.kind == tokBad && (isQuote(t.text[0]) || l.text[start] == '.')) {
		l.partial = t
		return token{kind: tokEnd, start: start, end: start}
	}
	return t
}

func isQuote(c byte) bool { return c == '"' || c == '\'' }

// scan reads the token that begins here.
func (l *lexer) scan() token {
	start := l.pos
	if start >= len(l.text) {
		return token{kind: tokEnd, start: start, end: start}
	}
	rest := l.text[start:]
	c := rest[0]
	two := rest[:min(2, len(rest))]
	switch {
	case two == "&&":
		return l.take(tokAnd, 2)
	case two == "||":
		return l.take(tokOr, 2)
	case two == "==" || two == "!=" || two == "<=" || two == ">=":
		return l.take(tokCompare, 2)
	case c == '=' || c == '<' || c == '>':
		return l.take(tokCompare, 1)
	case strings.IndexByte("(){},:!", c) >= 0:
		return l.take(tokSymbol, 1)
	case isQuote(c):
		return l.quoted(c)
	case c == '#':
		return l.json()
	case isDigit(c), (c == '-' || c == '+' || c == '.') && startsNumber(rest):
		return l.number()
	}
	if n := wordEnd(rest); n > 0 && c != '.' {
		t := l.take(tokWord, n)
		t.lower = lowerASCII(t.text)
		return t
	}
	_, size := utf8.DecodeRuneInString(rest)
	return l.take(tokBad, size)
}

// take makes a token of the next n bytes.
func (l *lexer) take(kind tokenKind, n int) token {
	t := token{kind: kind, start: l.pos, end: l.pos + n, text: l.text[l.pos : l.pos+n]}
	l.pos += n
	return t
}

func (l *lexer) bad(n int, problem string) token {
	t := l.take(tokBad, n)
	t.problem = problem
	return t
}

// wordEnd returns how many bytes of s are a word.
func wordEnd(s string) int {
	n := 0
	for {
		size := wordRune(s[n:])
		if size == 0 {
			return n
		}
		n += size
	}
}

func startsNumber(s string) bool {
	s = s[1:]
	return s != "" && (isDigit(s[0]) || s[0] == '.' && len(s) > 1 && isDigit(s[1]))
}

// units are the suffixes of durations, in seconds as a fraction.
var units = map[string][2]float64{"ms": {1, 1000}, "s": {1, 1}, "m": {60, 1}, "h": {3600, 1}}

func (l *lexer) number() token {
	s, i := l.text[l.pos:], 0
	if s[0] == '-' || s[0] == '+' {
		i++
	}
	digits := func() {
		for i < len(s) && isDigit(s[i]) {
			i++
		}
	}
	digits()
	if i < len(s) && s[i] == '.' {
		i++
		digits()
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		j := i + 1
		if j < len(s) && (s[j] == '-' || s[j] == '+') {
			j++
		}
		if j < len(s) && isDigit(s[j]) {
			i = j
			digits()
		}
	}
	end := i + wordEnd(s[i:])
	unit, hasUnit := units[lowerASCII(s[i:end])]
	if end > i && !hasUnit {
		return l.bad(end, "a number, or a text in quotes")
	}
	f, err := strconv.ParseFloat(s[:i], 64)
	if err != nil {
		return l.bad(end, "a number that is not too large")
	}
	if hasUnit {
		f = f * unit[0] / unit[1]
		if f > 1e300 || f < -1e300 {
			return l.bad(end, "a duration that is not too large")
		}
	}
	t := l.take(tokNumber, end)
	t.number, t.unit = f, hasUnit
	return t
}

// quoted reads a string in double or single quotes, with the escapes of JSON.
func (l *lexer) quoted(quote byte) token {
	s := l.text[l.pos:]
	end := 1
	escaped := false
	for {
		if end >= len(s) {
			return l.bad(len(s), "the closing quote of this text")
		}
		if s[end] == quote {
			break
		}
		if s[end] == '\\' {
			escaped = true
			end++
		}
		end++
	}
	value := s[1:end]
	if escaped {
		var at int
		if value, at = unescape(value); at >= 0 {
			l.pos += 1 + at
			_, size := utf8.DecodeRuneInString(l.text[l.pos+1:])
			return l.bad(1+size, `an escape as JSON has them: \" \\ \/ \b \f \n \r \t \u0041`)
		}
	}
	t := l.take(tokText, end+1)
	t.value = value
	return t
}

// unescape decodes the escapes of s. The place of the first wrong one comes
// second, -1 when all are right.
func unescape(s string) (string, int) {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		at := i
		if i++; i >= len(s) {
			return "", at
		}
		switch s[i] {
		case '"', '\\', '/', '\'':
			b.WriteByte(s[i])
		case 'b':
			b.WriteByte('\b')
		case 'f':
			b.WriteByte('\f')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'u':
			r, ok := hex4(s[i+1:])
			if !ok {
				return "", at
			}
			i += 4
			if utf16.IsSurrogate(r) {
				low, ok := rune(0), false
				if strings.HasPrefix(s[i+1:], `\u`) {
					low, ok = hex4(s[i+3:])
				}
				r = utf16.DecodeRune(r, low) // U+FFFD for what is no pair
				if ok && r != utf8.RuneError {
					i += 6
				}
			}
			b.WriteRune(r)
		default:
			return "", at
		}
	}
	return b.String(), -1
}

func hex4(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(s[:4], 16, 16) // takes no sign and no underscore
	return rune(n), err == nil
}

// json reads '#' and a JSON array.
func (l *lexer) json() token {
	rest := l.text[l.pos+1:]
	d := json.NewDecoder(strings.NewReader(rest))
	var raw json.RawMessage
	if err := d.Decode(&raw); err != nil || len(raw) == 0 || raw[0] != '[' {
		return l.bad(1, "# and a JSON array")
	}
	n := 1 + int(d.InputOffset())
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return l.bad(1, "# and a JSON array")
	}
	t := l.take(tokJSON, n)
	t.value = compact.String()
	return t
}

// key reads the key of an annotation in brackets, when one comes next: bare
// text up to the bracket, or quoted text.
func (l *lexer) key() (key string, t token, ok bool) {
	from := l.pos
	l.skipSpace()
	if l.pos >= len(l.text) || l.text[l.pos] != '[' {
		l.pos = from
		return "", token{}, false
	}
	start := l.pos
	l.pos++
	l.skipSpace()
	if l.pos < len(l.text) && isQuote(l.text[l.pos]) {
		t = l.quoted(l.text[l.pos])
		if t.kind == tokBad {
			l.setKey(start, t.end)
			return "", t, true
		}
		key = t.value
		l.skipSpace()
		if l.pos >= len(l.text) || l.text[l.pos] != ']' {
			t = l.next()
			if t.kind != tokEnd {
				t.kind = tokBad
			}
			t.problem = "']' after the key"
			return "", t, true
		}
		l.pos++
	} else {
		n := strings.IndexByte(l.text[l.pos:], ']')
		if n < 0 {
			l.pos = len(l.text)
			l.setKey(start, l.pos)
			return "", token{kind: tokEnd, start: l.pos, end: l.pos, problem: "']' after the key"}, true
		}
		key = strings.TrimRight(l.text[l.pos:l.pos+n], " \t\r\n\f\v")
		l.pos += n + 1
	}
	t = token{kind: tokWord, start: start, end: l.pos, text: l.text[start:l.pos]}
	if key == "" {
		t.kind, t.problem = tokBad, "the key of an annotation"
	}
	return key, t, true
}

// setKey sets a key aside that is still being written.
func (l *lexer) setKey(start, end int) {
	if l.writing && end == len(l.text) {
		l.partial, l.inKey = token{kind: tokWord, start: start, end: end, text: l.text[start:end]}, true
	}
}
