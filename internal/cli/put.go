package cli

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/roentgen-io/roentgen/segment"
)

// unprocessed is an UnprocessedTraceSegments entry.
type unprocessed struct {
	ID        *string `json:"Id"`
	ErrorCode string
	Message   string
}

func newPutCommand(env *Env) *cobra.Command {
	var imported, quiet bool
	var batch int
	var colour string
	cmd := &cobra.Command{
		Use:   "put FILE...",
		Short: "Upload segment documents and report each refusal",
		Long: `Upload segment documents with PutTraceSegments.

Files may hold one document, JSON lines, an array of documents, UDP datagrams of
the daemon's protocol, the body of PutTraceSegments or the answer of
BatchGetTraces; "-" reads standard input. Every refused document is reported with
its place in the file, the reason and the remedy.

With --import the documents are history: each counts as received when it ended,
not now, so that windows by receipt time find it where it belongs.

The exit status is 0 when every document was accepted, 1 when one was refused or
something failed, and 2 for wrong usage.`,
		Example: `  roentgen put order.json
  roentgen put --import last-week.jsonl
  aws xray batch-get-traces --trace-ids 1-… | roentgen put --import -`,
		Args: needArgs(1, "name the files to upload, or - for standard input"),
	}
	endpoint := endpointFlag(cmd.Flags(), env)
	cmd.Flags().BoolVar(&imported, "import", false, "store as history: receipt time is the document's own end")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print refusals and errors only")
	cmd.Flags().IntVar(&batch, "batch", 500, "documents in one call at most")
	colourFlag(cmd, &colour)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if batch < 1 {
			return &exitError{2, fmt.Errorf("--batch must be at least 1")}
		}
		c, err := newClient(*endpoint)
		if err != nil {
			return err
		}
		docs, err := readInputs(env.Stdin, args)
		if err != nil {
			return err
		}
		if len(docs) == 0 {
			return noDocument(args)
		}
		path := "/TraceSegments"
		if imported {
			path = "/api/import"
		}
		t := newTerminal(env.Stdout, env, colour, 0)
		began := time.Now()
		refused := 0
		// traces are named in the order in which they first appear.
		seen := map[segment.TraceID]bool{}
		var traces []segment.TraceID
		const maxBytes = 8 << 20
		for from := 0; from < len(docs); {
			to, size := from, 0
			for to < len(docs) && to-from < batch && (to == from || size+len(docs[to].text) <= maxBytes) {
				size += len(docs[to].text)
				to++
			}
			texts := make([]string, 0, to-from)
			for _, d := range docs[from:to] {
				texts = append(texts, string(d.text))
			}
			var answer struct{ UnprocessedTraceSegments []unprocessed }
			err := c.post(cmd.Context(), path, map[string]any{"TraceSegmentDocuments": texts}, &answer)
			if err != nil {
				if imported && isStatus(err, http.StatusNotFound) {
					err = fmt.Errorf("%s has no import: --import works with Roentgen servers only", c.endpoint)
				}
				if limit, ok := strings.CutPrefix(messageOf(err), "Exceeding maximum segment count: "); ok {
					err = fmt.Errorf("%s takes %s documents in a call; --batch %s sends no more", c.endpoint, limit, limit)
				}
				if from > 0 {
					return fmt.Errorf("%w; the first %s were stored", err, plural(from-refused, "document"))
				}
				return err
			}
			refused += len(answer.UnprocessedTraceSegments)
			left := answer.UnprocessedTraceSegments
			for i := range docs[from:to] {
				d := &docs[from+i]
				left = reportRefusals(env, t, d, left, func(id segment.TraceID) {
					if !seen[id] {
						seen[id] = true
						traces = append(traces, id)
					}
				})
			}
			for _, u := range left {
				// The server refused what this version would accept.
				id := "a document without id"
				if u.ID != nil {
					id = "document " + clean(*u.ID)
				}
				fmt.Fprintf(env.Stdout, "%s refused: %s\n", id, clean(u.Message))
			}
			from = to
		}
		if !quiet {
			took := time.Since(began).Round(time.Millisecond)
			fmt.Fprintf(env.Stdout, "%s sent in %s, %s refused, %s\n", plural(len(docs), "document"), took, group(refused), plural(len(traces), "trace"))
			for i, id := range traces {
				if i == 5 {
					fmt.Fprintf(env.Stdout, "  and %s more\n", group(len(traces)-i))
					break
				}
				fmt.Fprintf(env.Stdout, "  roentgen trace %s\n", id)
			}
		}
		if refused > 0 {
			return &exitError{status: 1}
		}
		return nil
	}
	return cmd
}

// messageOf returns what the server said, when err is its answer.
func messageOf(err error) string {
	var e *apiError
	if errors.As(err, &e) {
		return e.Message
	}
	return ""
}

func isStatus(err error, status int) bool {
	e, ok := err.(*apiError)
	return ok && e.Status == status
}

// reportRefusals prints why d was refused, if the server refused it: the server
// gives the documents of a call in order, so its refusals are met in order when
// each document is checked here as the server did. It returns the refusals that
// belong to later documents.
func reportRefusals(env *Env, t terminal, d *inputDocument, left []unprocessed, accepted func(segment.TraceID)) []unprocessed {
	segment.ParseAll(d.text, segment.Limits{}, func(_ []byte, s *segment.Segment) {
		accepted(s.TraceID)
	}, func(_ []byte, r *segment.Refusal) {
		if len(left) == 0 || left[0].ErrorCode != string(r.Code) {
			return
		}
		left = left[1:]
		f := refusalFinding(d, r)
		f.print(env.Stdout, t)
	})
	return left
}
