package query

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/roentgen-io/roentgen/internal/filterexpr"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

// Kind is a kind of words that filter expressions are made of. They are called
// as filterexpr.Complete calls what may stand at a place.
type Kind = filterexpr.CompletionKind

const (
	// vocabularyRows and vocabularyTime bound what a call of Vocabulary looks at.
	vocabularyRows = 20_000
	vocabularyTime = 300 * time.Millisecond
	// vocabularyWords bounds the different words that are counted.
	vocabularyWords = 50_000
)

// Word is a word found in traces.
type Word struct {
	Text  string
	Type  segment.Type // string, number or boolean
	Count int          // traces that have it
}

// Words are the words of one kind in the newest traces of a window.
type Words struct {
	Words   []Word // most frequent first
	Traces  int    // that were looked at
	Partial bool   // the window holds more traces, or more words, than were looked at
}

// Vocabulary counts the words of a kind, those that contain text without regard
// to case, in the newest traces that started in [start, end), unix nanoseconds.
// key is the annotation key whose values are asked for. At most limit words come back.
func (q *Service) Vocabulary(ctx context.Context, kind Kind, key, text string, start, end int64, limit int) (Words, error) {
	var out Words
	text = strings.ToLower(text)
	counts := make(map[Word]*int)
	seen := make(map[Word]bool) // in the trace at hand
	add := func(w Word) {
		if seen[w] || text != "" && !strings.Contains(strings.ToLower(w.Text), text) {
			return
		}
		n := counts[w]
		if n == nil && len(counts) == vocabularyWords {
			out.Partial = true
			return
		}
		seen[w] = true
		if n == nil {
			n = new(int)
			w.Text = strings.Clone(w.Text) // the row's own goes with it
			counts[w] = n
		}
		// Not counts[w]++: that would put the row's own text in place of the clone, since
		// a map takes over the key of every assignment when keys have texts in them.
		*n++
	}
	if start >= end {
		return out, nil
	}
	deadline := q.now().Add(vocabularyTime)
	scan := tracestore.Scan{Clock: tracestore.ClockStart, Start: start, End: end, Reuse: true}
	err := q.store.Scan(ctx, scan, func(_ tracestore.Cursor, row *trace.Row) bool {
		if out.Traces == vocabularyRows || out.Traces%64 == 63 && q.now().After(deadline) {
			out.Partial = true
			return false
		}
		out.Traces++
		clear(seen)
		wordsOf(row, kind, key, add)
		return true
	})
	if err != nil {
		return Words{}, err
	}
	for w, n := range counts {
		w.Count = *n
		out.Words = append(out.Words, w)
	}
	slices.SortFunc(out.Words, func(a, b Word) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Text, b.Text), cmp.Compare(a.Type, b.Type))
	})
	out.Words = out.Words[:min(limit, len(out.Words))]
	return out, nil
}

// wordsOf gives the words of a kind that a row has.
func wordsOf(row *trace.Row, kind Kind, key string, add func(Word)) {
	text := func(s string) {
		if s != "" {
			add(Word{Text: s, Type: segment.TypeString})
		}
	}
	texts := func(list []string) {
		for _, s := range list {
			text(s)
		}
	}
	causes := func(each func(*trace.RootCauseEntity)) {
		for _, list := range [...][]trace.RootCause{row.FaultCauses, row.ErrorCauses, row.ResponseTimeCauses} {
			for i := range list {
				for j := range list[i].Services {
					for k := range list[i].Services[j].Entities {
						each(&list[i].Services[j].Entities[k])
					}
				}
			}
		}
	}
	switch kind {
	case filterexpr.CompleteServiceName:
		for _, s := range row.Services {
			text(s.Name)
		}
	case filterexpr.CompleteServiceType:
		for _, s := range row.Services {
			text(s.Type)
		}
	case filterexpr.CompleteAccount:
		for _, s := range row.Services {
			text(s.AccountID)
		}
	case filterexpr.CompleteAnnotationKey:
		for i := range row.Annotations {
			text(row.Annotations[i].Key)
		}
	case filterexpr.CompleteAnnotationValue:
		for i := range row.Annotations {
			a := &row.Annotations[i]
			if a.Key != key && trace.AliasKey(a.Key) != key {
				continue
			}
			w := Word{Type: a.Type, Text: a.String}
			switch a.Type {
			case segment.TypeNumber:
				w.Text = strconv.FormatFloat(a.Number, 'g', -1, 64)
			case segment.TypeBool:
				w.Text = strconv.FormatBool(a.Bool)
			}
			add(w)
		}
	case filterexpr.CompleteUser:
		texts(row.Users)
	case filterexpr.CompleteURL:
		text(row.URL)
	case filterexpr.CompleteMethod:
		text(row.Method)
	case filterexpr.CompleteUserAgent:
		text(row.UserAgent)
	case filterexpr.CompleteClientIP:
		text(row.ClientIP)
	case filterexpr.CompleteStatus:
		if row.Status != 0 {
			add(Word{Text: strconv.Itoa(row.Status), Type: segment.TypeNumber})
		}
	case filterexpr.CompleteZone:
		texts(row.Zones)
	case filterexpr.CompleteInstance:
		texts(row.InstanceIDs)
	case filterexpr.CompleteARN:
		texts(row.ResourceARNs)
	case filterexpr.CompleteEntityName:
		causes(func(e *trace.RootCauseEntity) { text(e.Name) })
	case filterexpr.CompleteExceptionName:
		causes(func(e *trace.RootCauseEntity) {
			for _, x := range e.Exceptions {
				text(x.Name)
			}
		})
	case filterexpr.CompleteMessage:
		causes(func(e *trace.RootCauseEntity) {
			for _, x := range e.Exceptions {
				text(x.Message)
			}
		})
	}
}

// Counted reports whether Vocabulary knows words of a kind.
func Counted(kind Kind) bool {
	switch kind {
	case filterexpr.CompleteServiceName, filterexpr.CompleteServiceType, filterexpr.CompleteAccount,
		filterexpr.CompleteAnnotationKey, filterexpr.CompleteAnnotationValue, filterexpr.CompleteUser,
		filterexpr.CompleteURL, filterexpr.CompleteMethod, filterexpr.CompleteUserAgent, filterexpr.CompleteClientIP,
		filterexpr.CompleteStatus, filterexpr.CompleteZone, filterexpr.CompleteInstance, filterexpr.CompleteARN,
		filterexpr.CompleteEntityName, filterexpr.CompleteExceptionName, filterexpr.CompleteMessage:
		return true
	}
	return false
}
