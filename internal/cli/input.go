package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/roentgen-io/roentgen/segment"
)

// inputDocument is one document text found in a file.
type inputDocument struct {
	file string
	line int    // line of the file on which text begins, from 1
	col  int    // column (bytes) at which text begins, from 1
	text []byte // as it stands in the file, or decoded from a JSON string
	// decoded is set when text was a JSON string in the file: positions inside it
	// then have no line and column in the file.
	decoded bool
}

// position returns the file position of a byte offset inside the document.
func (d *inputDocument) position(offset int) (line, col int) {
	if d.decoded {
		return d.line, d.col
	}
	l, c := segment.Position(d.text, offset)
	if l == 1 {
		return d.line, d.col + c - 1
	}
	return d.line + l - 1, c
}

// readInputs reads all documents of the named files, "-" being stdin.
func readInputs(stdin io.Reader, files []string) ([]inputDocument, error) {
	var docs []inputDocument
	for _, name := range files {
		var data []byte
		var err error
		if name == "-" {
			data, err = io.ReadAll(stdin)
			name = "stdin"
		} else {
			data, err = os.ReadFile(name)
		}
		if err != nil {
			var perr *os.PathError
			if errors.As(err, &perr) {
				err = fmt.Errorf("%s: %w", name, perr.Err)
			}
			return nil, err
		}
		docs = append(docs, splitDocuments(name, data)...)
	}
	return docs, nil
}

// noDocument says that none of the inputs holds a document.
func noDocument(files []string) error {
	names := slices.Clone(files)
	for i, name := range names {
		if name == "-" {
			names[i] = "standard input"
		}
	}
	return &exitError{1, fmt.Errorf("no document found in %s", strings.Join(names, ", "))}
}

// splitDocuments finds the documents in a file. It understands one document on
// one or many lines, JSON lines, documents one after the other, an array of
// documents, the daemon's datagrams (a header line before the document), JSON
// strings that hold documents or datagrams, the body of PutTraceSegments and
// the answer of BatchGetTraces. Whatever it cannot make out is given whole, so
// that the parser can say what is wrong with it.
func splitDocuments(file string, data []byte) []inputDocument {
	var docs []inputDocument
	pos := 0
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	lines := lineCounter{data: data}
	for {
		for pos < len(data) && isSpace(data[pos]) {
			pos++
		}
		if pos == len(data) {
			return docs
		}
		end := valueEnd(data, pos)
		text := data[pos:end]
		line, col := lines.at(pos)
		docs = append(docs, expand(inputDocument{file: file, line: line, col: col, text: text})...)
		pos = end
	}
}

// expand takes containers of documents apart and drops the daemon's header.
func expand(d inputDocument) []inputDocument {
	raw := segment.Raw(bytes.TrimSpace(d.text))
	switch {
	case len(raw) == 0:
		return nil
	case raw[0] == '"' && json.Valid(raw):
		inner := d
		inner.text, inner.decoded = []byte(raw.String()), true
		docs := splitDocuments(d.file, inner.text)
		for i := range docs {
			docs[i].line, docs[i].col, docs[i].decoded = d.line, d.col, true
		}
		if len(docs) == 0 {
			return []inputDocument{inner}
		}
		return docs
	case raw[0] == '{' && json.Valid(raw):
		if isDatagramHeader(raw) {
			return nil
		}
		var docs []inputDocument
		collect := func(v segment.Raw) {
			docs = append(docs, expand(inputDocument{file: d.file, line: d.line, col: d.col, text: v, decoded: true})...)
		}
		if list := raw.Get("TraceSegmentDocuments"); list.Type() == segment.TypeArray {
			list.Elements(func(v segment.Raw) bool { collect(v); return true })
			return docs
		}
		if list := raw.Get("Traces"); list.Type() == segment.TypeArray {
			list.Elements(func(t segment.Raw) bool {
				t.Get("Segments").Elements(func(s segment.Raw) bool {
					if doc := s.Get("Document"); doc != nil {
						collect(doc)
					}
					return true
				})
				return true
			})
			return docs
		}
	}
	return []inputDocument{d}
}

func isDatagramHeader(raw segment.Raw) bool {
	n := 0
	raw.Members(func(string, segment.Raw) bool { n++; return n <= 2 })
	return n == 2 && raw.Get("format") != nil && raw.Get("version") != nil
}

// valueEnd returns where the JSON value that begins at pos ends. A value that is
// never closed ends with the data; anything that is no value ends with its line.
func valueEnd(data []byte, pos int) int {
	switch data[pos] {
	case '{', '[', '"':
	default:
		if i := bytes.IndexByte(data[pos:], '\n'); i >= 0 {
			return pos + i
		}
		return len(data)
	}
	depth := 0
	for i := pos; i < len(data); i++ {
		switch data[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		default:
			continue
		}
		if depth <= 0 {
			return min(i+1, len(data))
		}
	}
	return len(data)
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == 0 || c == 0x1e
}

// lineCounter finds lines of growing offsets without starting over.
type lineCounter struct {
	data      []byte
	pos, line int
	lineStart int
}

func (l *lineCounter) at(pos int) (line, col int) {
	for ; l.pos < pos; l.pos++ {
		if l.data[l.pos] == '\n' {
			l.line++
			l.lineStart = l.pos + 1
		}
	}
	return l.line + 1, pos - l.lineStart + 1
}

// plural returns "1 thing" or "n things", with thousands separated.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	switch {
	case strings.HasSuffix(thing, "y"):
		return group(n) + " " + strings.TrimSuffix(thing, "y") + "ies"
	case strings.HasSuffix(thing, "ch"):
		return group(n) + " " + thing + "es"
	}
	return group(n) + " " + thing + "s"
}

// group formats n with thousands separated by commas.
func group(n int) string {
	s := strconv.Itoa(n)
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 && c != '-' && s[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}
