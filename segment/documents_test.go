package segment

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestGolden runs the files testdata/*.golden, which hold documents and their
// fate. The commands are
//
//	parse [quoted] [depth=N] [bytes=N]                  the document beneath
//	parse-all [quoted] [refuse-arrays] [depth=N] [bytes=N]
//	file name=FILE                                      parse-all of testdata/documents/FILE
//	raw [quoted]                                        the value beneath, in strict form
//
// With quoted the text beneath is a Go string literal, for bytes that an editor
// would spoil.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			datadriven.RunTest(t, file, runGolden)
		})
	}
}

// TestEveryDocumentIsGolden keeps documents without an expected outcome away.
func TestEveryDocumentIsGolden(t *testing.T) {
	golden, err := os.ReadFile("testdata/documents.golden")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/documents/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no documents: %v", err)
	}
	for _, file := range files {
		if !strings.Contains(string(golden), "file name="+filepath.Base(file)+"\n") {
			t.Errorf("%s is not in documents.golden", file)
		}
	}
}

func runGolden(t *testing.T, d *datadriven.TestData) string {
	text := []byte(d.Input)
	var lim Limits
	name := ""
	for _, arg := range d.CmdArgs {
		number := func() int {
			n, err := strconv.Atoi(arg.Vals[0])
			if err != nil {
				d.Fatalf(t, "%s: %v", arg.Key, err)
			}
			return n
		}
		switch arg.Key {
		case "quoted":
			s, err := strconv.Unquote(d.Input)
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			text = []byte(s)
		case "depth":
			lim.Depth = number()
		case "bytes":
			lim.DocumentBytes = number()
		case "refuse-arrays":
			lim.RefuseArrays = true
		case "any-type":
			lim.AnyType = true
		case "name":
			name = arg.Vals[0]
		default:
			d.Fatalf(t, "unknown argument %s", arg.Key)
		}
	}
	var b strings.Builder
	accepted := func(s *Segment) {
		requireRoundTrip(t, s)
		fmt.Fprintf(&b, "accepted %s\n%s\n", kindName(s.Kind), s.AppendDocument(nil))
	}
	refused := func(r *Refusal) {
		checkRefusal(t, text, r)
		id := "null"
		if r.HasID {
			id = strconv.Quote(r.ID)
		}
		line, column := Position(text, r.Offset)
		fmt.Fprintf(&b, "refused %s id=%s\n%s\n%d:%d %s: %s; %s\n", r.Code, id, r.Message, line, column, r.Path, r.Detail, r.Remedy)
	}
	switch d.Cmd {
	case "parse":
		if s, err := Parse(text, lim); err != nil {
			refused(err.(*Refusal))
		} else {
			accepted(s)
		}
	case "file":
		var err error
		if text, err = os.ReadFile(filepath.Join("testdata/documents", name)); err != nil {
			d.Fatalf(t, "%v", err)
		}
		fallthrough
	case "parse-all":
		ParseAll(text, lim, func(_ []byte, s *Segment) { accepted(s) }, func(_ []byte, r *Refusal) { refused(r) })
	case "raw":
		out := Raw(text).AppendTo(nil)
		fmt.Fprintf(&b, "%s\n", out)
	default:
		d.Fatalf(t, "unknown command")
	}
	return b.String()
}

func kindName(k Kind) string {
	switch k {
	case KindSegment:
		return "segment"
	case KindSubsegment:
		return "subsegment"
	}
	return "nested"
}
