package segment

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// refuseSyntax refuses a text that is no JSON, or is too deep, and says where
// and why. The service never tells an id for it.
func refuseSyntax(d []byte, from, depth int) *Refusal {
	e := explainer{data: d}
	i := e.value(from, depth)
	if i >= 0 {
		// A whole value stands there, so something follows it.
		i = skipSpace(d, i)
		e.fail(i, "after the document comes "+e.seen(i), "send each document on its own")
	}
	return &Refusal{
		Code: CodeParseError, Message: message(segment, CodeParseError),
		Offset: e.offset, Path: e.path(), Detail: e.detail, Remedy: e.remedy,
	}
}

// explainer reads a text that the scanner has refused once more, this time
// keeping track of where it is and of what was expected.
type explainer struct {
	data   []byte
	steps  []string // from the document to the value being read
	offset int
	detail string
	remedy string
}

func (e *explainer) fail(i int, detail, remedy string) int {
	e.offset, e.detail, e.remedy = i, detail, remedy
	return -1
}

func (e *explainer) path() string {
	p := ""
	for _, s := range e.steps {
		if p = joinPath(p, s); len(p) > 200 {
			return p + "..."
		}
	}
	return p
}

// push and pop keep the steps.
func (e *explainer) push(step string) { e.steps = append(e.steps, step) }
func (e *explainer) pop()             { e.steps = e.steps[:len(e.steps)-1] }

// seen describes the character at i.
func (e *explainer) seen(i int) string {
	if i >= len(e.data) {
		return "the end of the text"
	}
	r, n := utf8.DecodeRune(e.data[i:])
	if r == utf8.RuneError && n == 1 {
		return fmt.Sprintf("the byte 0x%02x", e.data[i])
	}
	return quoteRune(r)
}

const aValue = "a value"

const brokenOff = "send the whole document: it seems to have been cut, by a size limit on its way perhaps"

// expected fails with what should stand at i.
func (e *explainer) expected(i int, what string) int {
	if i >= len(e.data) {
		if len(e.steps) == 0 && what == aValue {
			return e.fail(i, "the document is empty", "send one JSON object: a segment or a subsegment")
		}
		return e.fail(i, "the text ends where "+what+" is expected", brokenOff)
	}
	remedy := "write the document with a JSON library"
	switch r, _ := utf8.DecodeRune(e.data[i:]); r {
	case '\'', '“', '”', '„', '‘', '’':
		remedy = `use straight double quotes: "`
	case 'T', 'F', 'U', 'u':
		remedy = "write true, false and null in lower case"
	case '/', '#':
		remedy = "take out the comment: JSON has none"
	case '+':
		remedy = "take out the plus sign"
	case '.':
		remedy = "write a digit before the point, or take out the ellipsis"
	case 0:
		remedy = "take out the NUL bytes within the document"
	}
	return e.fail(i, "found "+e.seen(i)+" where "+what+" is expected", remedy)
}

func (e *explainer) value(i, depth int) int {
	d := e.data
	if i < len(d) {
		switch d[i] {
		case '"':
			return e.text(i)
		case '{', '[':
			if depth <= 0 {
				return e.fail(i, "the document is nested too deeply here", "nest fewer levels, or raise the limit of the receiver")
			}
			if d[i] == '{' {
				return e.object(i, depth)
			}
			return e.array(i, depth)
		}
	}
	end := scanValue(d, i, 0)
	if end >= 0 {
		return end
	}
	at := ^end
	if i < len(d) && (d[i] == '-' || isDigit(d[i])) && at > i {
		return e.expected(at, "a digit of a number")
	}
	return e.expected(at, aValue)
}

func (e *explainer) text(i int) int {
	end := scanString(e.data, i+1)
	if end >= 0 {
		return end
	}
	at := ^end
	switch {
	case at >= len(e.data):
		return e.fail(at, "the text ends within a string", brokenOff)
	case e.data[at] == '\\':
		rest := e.data[at+1:]
		if len(rest) == 0 || rest[0] == 'u' && len(bytes.Trim(rest[1:], "0123456789abcdefABCDEF")) == 0 {
			return e.fail(at, "the text ends within a string", brokenOff)
		}
		if rest[0] == 'u' {
			return e.fail(at, `\u is not followed by four hexadecimal digits`, `write \\ for a backslash`)
		}
		return e.fail(at, "a backslash is followed by "+e.seen(at+1), `write \\ for a backslash`)
	}
	return e.fail(at, fmt.Sprintf("a string holds the control character U+%04X", e.data[at]),
		fmt.Sprintf(`write it as \u%04x`, e.data[at]))
}

func (e *explainer) object(i, depth int) int {
	d := e.data
	i = skipSpace(d, i+1)
	if i < len(d) && d[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(d) || d[i] != '"' {
			if i < len(d) && d[i] == '}' {
				return e.fail(i, "a comma stands before the closing brace", "take out the comma")
			}
			return e.expected(i, "a key in double quotes")
		}
		end := e.text(i)
		if end < 0 {
			return end
		}
		key := decodeString(d[i+1 : end-1])
		if len(key) > 100 {
			key = key[:100]
		}
		i = skipSpace(d, end)
		if i >= len(d) || d[i] != ':' {
			return e.expected(i, "a colon after the key "+quote(key))
		}
		e.push(key)
		if i = e.value(skipSpace(d, i+1), depth-1); i < 0 {
			return i
		}
		e.pop()
		i = skipSpace(d, i)
		switch {
		case i < len(d) && d[i] == ',':
			i = skipSpace(d, i+1)
		case i < len(d) && d[i] == '}':
			return i + 1
		case i < len(d) && d[i] == '"':
			return e.fail(i, "a comma is missing after the value of "+quote(key), "write a comma between the members")
		default:
			return e.expected(i, "a comma or a closing brace")
		}
	}
}

func (e *explainer) array(i, depth int) int {
	d := e.data
	i = skipSpace(d, i+1)
	if i < len(d) && d[i] == ']' {
		return i + 1
	}
	for index := 0; ; index++ {
		if index > 0 && i < len(d) && d[i] == ']' {
			return e.fail(i, "a comma stands before the closing bracket", "take out the comma")
		}
		e.push("[" + strconv.Itoa(index) + "]")
		if i = e.value(i, depth-1); i < 0 {
			return i
		}
		e.pop()
		i = skipSpace(d, i)
		switch {
		case i < len(d) && d[i] == ',':
			i = skipSpace(d, i+1)
		case i < len(d) && d[i] == ']':
			return i + 1
		default:
			return e.expected(i, "a comma or a closing bracket")
		}
	}
}
