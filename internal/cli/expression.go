package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// invalidExpression says where an expression goes wrong.
type invalidExpression struct {
	Message    string // X-Ray's own words
	Line       int    // from 1; 0: no place is known
	Position   int    // column in characters, from 1
	Found      string
	Expected   []string
	Suggestion string
}

// explanation tells of a part of an expression. Truth is "true", "false" or
// "unknown", and empty when no trace was looked at.
type explanation struct {
	Text    string
	Meaning string
	Truth   string
	Found   string
	Parts   []explanation
}

// explainAnswer is the answer of POST /api/explain.
type explainAnswer struct {
	Valid       bool
	Expression  string // as the server writes it
	Matches     *bool
	Explanation *explanation
	Error       *invalidExpression
}

type explainQuestion struct {
	Expression string
	TraceID    string `json:"TraceId,omitempty"`
}

// askExplain asks how an expression is understood. The answer comes as it was
// sent, too.
func (c *client) askExplain(ctx context.Context, expression, traceID string) (*explainAnswer, json.RawMessage, error) {
	var raw json.RawMessage
	if err := c.post(ctx, "/api/explain", explainQuestion{expression, traceID}, &raw); err != nil {
		return nil, nil, err
	}
	var answer explainAnswer
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, nil, fmt.Errorf("the answer of %s is not what this version of roentgen expects: %w", c.endpoint, err)
	}
	if !answer.Valid && answer.Error == nil {
		return nil, nil, fmt.Errorf("%s/api/explain: the answer says neither how the expression is understood nor what is wrong with it; is it a Roentgen server?", c.endpoint)
	}
	return &answer, raw, nil
}

// filterError turns the refusal of a request that carried expression into an error
// that points at the mistake. Errors of other kinds come back as they are. t is
// the terminal that the error will be printed on.
func (c *client) filterError(ctx context.Context, t terminal, expression string, err error) error {
	var refusal *apiError
	if expression == "" || !errors.As(err, &refusal) || refusal.Status != http.StatusBadRequest {
		return err
	}
	answer, _, explainErr := c.askExplain(ctx, expression, "")
	switch {
	case explainErr != nil:
		// A server that cannot explain: its message has the place at least.
		wrong, ok := parseLocation(refusal.Message)
		if !ok {
			return err
		}
		return errors.New(wrong.describe(t, expression))
	case answer.Valid:
		return err // something else was wrong with the request
	}
	return errors.New(answer.Error.describe(t, expression))
}

var locationText = regexp.MustCompile(`^Error Location: line (\d+), position (\d+) ?: ?`)

// parseLocation takes the place from X-Ray's message.
func parseLocation(message string) (*invalidExpression, bool) {
	m := locationText.FindStringSubmatch(message)
	if m == nil {
		return nil, false
	}
	e := &invalidExpression{Message: message}
	e.Line, _ = strconv.Atoi(m[1])
	e.Position, _ = strconv.Atoi(m[2])
	return e, true
}

// describe shows the expression with a mark under the mistake, what was expected
// and what was perhaps meant.
func (e *invalidExpression) describe(t terminal, expression string) string {
	var b strings.Builder
	reason := clean(locationText.ReplaceAllString(e.Message, ""))
	if e.Line < 1 || e.Position < 1 {
		fmt.Fprintf(&b, "%s %s", t.paint(styleRed, "the expression cannot be used:"), reason)
	} else {
		place := fmt.Sprintf("at character %d", e.Position)
		if strings.Contains(strings.TrimSpace(expression), "\n") {
			place = fmt.Sprintf("in line %d, %s", e.Line, place)
		}
		const verdict = "the expression is not valid"
		gap := " "
		if cells(verdict+gap+place) > t.width-len("roentgen: ") {
			gap = "\n  "
		}
		fmt.Fprintf(&b, "%s%s%s\n", t.paint(styleRed, verdict), gap, place)
		b.WriteString(e.point(t, expression))
		say := func(label, text string) {
			for i, line := range wrap(clean(text), max(16, t.width-2-cells(label))) {
				if i > 0 {
					label = strings.Repeat(" ", cells(label))
				}
				fmt.Fprintf(&b, "\n  %s%s", t.paint(styleDim, label), line)
			}
		}
		if len(e.Expected) > 0 {
			say("expected ", strings.Join(e.Expected, ", or "))
		} else if reason != "" {
			say("", reason)
		}
	}
	if e.Suggestion != "" {
		fmt.Fprintf(&b, "\n  did you mean %s?", t.paint(styleGreen, clean(e.Suggestion)))
	}
	return b.String()
}

// point returns the line of the expression with the mistake, cut to the terminal
// around it, and a line with a mark under it.
func (e *invalidExpression) point(t terminal, expression string) string {
	lines := strings.Split(expression, "\n")
	line := []rune(clean(lines[min(e.Line, len(lines))-1]))
	at := min(e.Position-1, len(line))
	length := 1
	if found := []rune(e.Found); len(found) > 0 && len(found) <= len(line)-at && strings.EqualFold(string(line[at:at+len(found)]), e.Found) {
		length = len(found)
	}
	mark := "…"
	if t.ascii {
		mark = "~"
	}
	// Keep some of what stands before the mistake, and as much after it as fits.
	room := t.width - 2
	from := 0
	if cells(string(line)) > room {
		for before := cells(string(line[:at])); from < at && before+min(length, room/3) > room*2/3; from++ {
			before -= runeCells(line[from])
		}
	}
	shown, lead := string(line[from:at]), ""
	if from > 0 {
		lead = mark
	}
	bad, rest := string(line[at:min(at+length, len(line))]), string(line[min(at+length, len(line)):])
	used := cells(lead) + cells(shown)
	bad = t.fit(bad, max(1, room-used), false)
	rest = t.fit(rest, room-used-cells(bad), false)
	return "  " + t.paint(styleDim, lead) + shown + t.paint(styleRed, bad) + rest + "\n" +
		"  " + strings.Repeat(" ", used) + t.paint(styleRed, strings.Repeat("^", max(1, cells(bad))))
}

// wrap breaks text at blanks into lines of at most so many columns. Words that are
// longer are broken too.
func wrap(text string, columns int) []string {
	columns = max(2, columns) // room for a wide character
	var lines []string
	line, n := "", 0
	flush := func() {
		if n > 0 {
			lines = append(lines, line)
			line, n = "", 0
		}
	}
	// Blanks in a row stay within a line: they may stand between quotation marks.
	for word := range strings.SplitSeq(strings.TrimSpace(text), " ") {
		w := cells(word)
		if n > 0 && n+1+w <= columns {
			line, n = line+" "+word, n+1+w
			continue
		}
		flush()
		if w <= columns {
			line, n = word, w
			continue
		}
		for _, r := range word {
			c := runeCells(r)
			if n+c > columns {
				flush()
			}
			line, n = line+string(r), n+c
		}
	}
	flush()
	return lines
}
