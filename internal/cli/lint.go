package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/spf13/cobra"

	"github.com/roentgen-io/roentgen/segment"
)

// finding is one thing that lint has to say about a document.
type finding struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Level   string `json:"level"` // "refused" or "warning"
	Code    string `json:"code"`
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
	excerpt string
	caret   int // column of the caret inside excerpt, from 0
}

func newLintCommand(env *Env) *cobra.Command {
	var asJSON, strict bool
	var colour string
	cmd := &cobra.Command{
		Use:   "lint FILE...",
		Short: "Say why a segment document would be refused, with line and column",
		Long: `Check segment documents as the server would, without a server.

Files may hold one document, JSON lines, an array of documents, UDP datagrams of
the daemon's protocol, the body of PutTraceSegments or the answer of
BatchGetTraces; "-" reads standard input. Warnings name what is accepted but will
surprise: fields that are dropped, annotations that no search will find.

The exit status is 0 when every document would be accepted, 1 when one would be
refused (with --strict: or earns a warning), 2 for wrong usage.`,
		Example: `  roentgen lint order.json
  tail -n1 segments.jsonl | roentgen lint -
  roentgen lint --json *.json`,
		Args: needArgs(1, "name the files to check, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			docs, err := readInputs(env.Stdin, args)
			if err != nil {
				return err
			}
			var found []finding
			documents, accepted := 0, 0
			for i := range docs {
				r := lintDocument(&docs[i])
				documents += r.documents
				accepted += r.accepted
				found = append(found, r.found...)
			}
			refused := documents - accepted
			warnings := len(found) - refused
			if asJSON {
				enc := json.NewEncoder(env.Stdout)
				enc.SetEscapeHTML(false)
				for _, f := range found {
					if err := enc.Encode(f); err != nil {
						return err
					}
				}
			} else {
				t := newTerminal(env.Stdout, env, colour, 0)
				for _, f := range found {
					f.print(env.Stdout, t)
				}
				switch {
				case len(docs) == 0:
					return noDocument(args)
				case len(found) == 0:
					fmt.Fprintf(env.Stdout, "%s, all would be accepted\n", plural(documents, "document"))
				default:
					fmt.Fprintf(env.Stdout, "%s: %s would be accepted, %s, %s\n", plural(documents, "document"), group(accepted),
						plural(refused, "refusal"), plural(warnings, "warning"))
				}
			}
			if refused > 0 || strict && warnings > 0 {
				return &exitError{status: 1}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object for each finding")
	cmd.Flags().BoolVar(&strict, "strict", false, "exit with status 1 for warnings too")
	colourFlag(cmd, &colour)
	return cmd
}

func (f *finding) print(w io.Writer, t terminal) {
	style, word := styleRed, "refused"
	if f.Level == "warning" {
		style, word = styleYellow, "warning"
	}
	where := fmt.Sprintf("%s:%d:%d:", f.File, f.Line, f.Column)
	path := ""
	if f.Path != "" {
		path = " at " + clean(f.Path)
	}
	fmt.Fprintf(w, "%s %s %s%s: %s\n", t.paint(styleBold, where), t.paint(style, word), t.paint(styleBold, f.Code), path, clean(f.Message))
	if f.excerpt != "" {
		fmt.Fprintf(w, "    %s\n    %s%s\n", f.excerpt, strings.Repeat(" ", f.caret), t.paint(style, "^"))
	}
	if f.Remedy != "" {
		fmt.Fprintf(w, "  %s\n", t.paint(styleGreen, "fix: ")+clean(f.Remedy))
	}
}

// lintResult is what lint has to say about one document text, which may be an
// array of documents.
type lintResult struct {
	documents, accepted int
	found               []finding // in the order of their places
}

func lintDocument(d *inputDocument) lintResult {
	var r lintResult
	add := func(level, code, path, message, remedy string, offset int) {
		f := finding{File: d.file, Level: level, Code: code, Path: path, Message: message, Remedy: remedy}
		f.Line, f.Column = d.position(offset)
		f.excerpt, f.caret = excerpt(d.text, offset)
		r.found = append(r.found, f)
	}
	segment.ParseAll(d.text, segment.Limits{}, func(text []byte, s *segment.Segment) {
		r.documents++
		r.accepted++
		base := offsetIn(d.text, text)
		ws := warnings(text, s)
		slices.SortStableFunc(ws, func(a, b warning) int { return cmp.Compare(a.offset, b.offset) })
		for _, w := range ws {
			add("warning", w.code, w.path, w.message, w.remedy, base+w.offset)
		}
	}, func(_ []byte, ref *segment.Refusal) {
		r.documents++
		f := refusalFinding(d, ref)
		r.found = append(r.found, f)
	})
	return r
}

// refusalFinding puts a refusal in the words and at the place of a finding.
func refusalFinding(d *inputDocument, r *segment.Refusal) finding {
	f := finding{File: d.file, Level: "refused", Code: string(r.Code), Path: r.Path, Message: r.Detail, Remedy: r.Remedy}
	if f.Message == "" {
		f.Message = r.Message
	}
	f.Line, f.Column = d.position(r.Offset)
	f.excerpt, f.caret = excerpt(d.text, r.Offset)
	return f
}

// offsetIn returns where inner, a part of outer's memory, begins in outer; 0 when
// it is no part of it.
func offsetIn(outer, inner []byte) int {
	if len(inner) == 0 || len(outer) == 0 {
		return 0
	}
	d := uintptr(unsafe.Pointer(unsafe.SliceData(inner))) - uintptr(unsafe.Pointer(unsafe.SliceData(outer)))
	if d >= uintptr(len(outer)) {
		return 0
	}
	return int(d)
}

// excerpt returns the line of text around offset, cut to what fits on a screen,
// and the column of offset in it.
func excerpt(text []byte, offset int) (string, int) {
	offset = max(0, min(offset, len(text)))
	start := bytes.LastIndexByte(text[:offset], '\n') + 1
	end := len(text)
	if i := bytes.IndexByte(text[offset:], '\n'); i >= 0 {
		end = offset + i
	}
	const before, after = 40, 40
	if offset-start > before {
		start = offset - before
		for start < offset && !utf8.RuneStart(text[start]) {
			start++
		}
	}
	if end-offset > after {
		end = offset + after
		for end > offset && !utf8.RuneStart(text[end]) {
			end--
		}
	}
	return clean(string(text[start:end])), cells(clean(string(text[start:offset])))
}

type warning struct {
	code, path, message, remedy string
	offset                      int
}

var annotationKey = regexp.MustCompile(`^[A-Za-z0-9_.]{1,500}$`)

// knownKeys are the keys that survive storing; others are dropped from what
// BatchGetTraces gives back.
var knownKeys = map[string]bool{
	"name": true, "id": true, "start_time": true, "end_time": true, "in_progress": true, "trace_id": true, "parent_id": true,
	"type": true, "service": true, "user": true, "origin": true, "resource_arn": true, "http": true, "aws": true,
	"error": true, "throttle": true, "fault": true, "cause": true, "annotations": true, "metadata": true,
	"subsegments": true, "links": true, "inferred": true, "namespace": true, "precursor_ids": true, "sql": true, "traced": true,
}

// warnings lists what is legal in a document but will surprise its sender.
func warnings(text []byte, s *segment.Segment) []warning {
	var ws []warning
	if len(text) > 64<<10 {
		ws = append(ws, warning{code: "TooLargeForUDP",
			message: fmt.Sprintf("the document has %s bytes; a datagram holds 65,507 and AWS documents 65,536 as its limit", group(len(text))),
			remedy:  "send it with PutTraceSegments over HTTP, or send its subsegments as documents of their own"})
	}
	warnEntity(&ws, text, segment.Raw(text), s, "")
	return ws
}

func warnEntity(ws *[]warning, text []byte, raw segment.Raw, s *segment.Segment, path string) {
	at := func(v segment.Raw) int {
		if v == nil {
			v = raw
		}
		return offsetIn(text, v)
	}
	say := func(code, sub, message, remedy string, v segment.Raw) {
		*ws = append(*ws, warning{code: code, path: strings.TrimPrefix(path+"."+sub, "."), message: message, remedy: remedy, offset: at(v)})
	}
	raw.Members(func(key string, v segment.Raw) bool {
		if !knownKeys[key] {
			say("UnknownKey", key, "this key has no meaning and is not given back", "put it under metadata or annotations", v)
		}
		return true
	})
	if !s.InProgress && s.EndTime < s.StartTime {
		say("EndBeforeStart", "end_time", "end_time lies before start_time, so the trace gets no duration", "check the clock or the order of the two", raw.Get("end_time"))
	}
	if name := raw.Get("name").String(); utf8.RuneCountInString(name) > 200 {
		say("NameCut", "name", "the name is longer than 200 characters and is cut", "use a shorter name", raw.Get("name"))
	}
	if ns := s.Namespace; ns != "" && ns != "aws" && ns != "remote" {
		say("UnknownNamespace", "namespace", fmt.Sprintf("namespace %q has no meaning, so no callee is inferred", ns), `use "aws" for AWS calls, "remote" for other calls, or leave it out`, raw.Get("namespace"))
	}
	for _, key := range []string{"http", "aws", "service", "sql", "annotations"} {
		if v := raw.Get(key); v != nil && v.Type() != segment.TypeObject && v.Type() != segment.TypeNull {
			say("WrongType", key, "this is no object and is ignored", "make it an object", v)
		}
	}
	s.Annotations.Members(func(key string, v segment.Raw) bool {
		switch v.Type() {
		case segment.TypeString, segment.TypeNumber, segment.TypeBool, segment.TypeNull:
			if v.Type() == segment.TypeString && utf8.RuneCountInString(v.String()) > 1000 {
				say("AnnotationTooLong", "annotations."+key, "AWS documents 1,000 characters as the limit of an annotation", "move it to metadata", v)
			}
		default:
			say("AnnotationNotSearchable", "annotations."+key, "annotations hold strings, numbers and booleans only; this one is not searchable", "flatten it, or move it to metadata", v)
		}
		if !annotationKey.MatchString(key) {
			say("AnnotationKey", "annotations."+key, "AWS documents letters, digits, _ and . in annotation keys; filters may not find this one", "rename it", v)
		}
		return true
	})
	if list := raw.Get("subsegments"); list.Type() == segment.TypeArray {
		i := 0
		list.Elements(func(v segment.Raw) bool {
			if i < len(s.Subsegments) {
				warnEntity(ws, text, v, s.Subsegments[i], fmt.Sprintf("%s.subsegments[%d]", path, i))
			}
			i++
			return true
		})
	}
}
