package agent

import (
	"bytes"
	"hash/maphash"
	"time"
)

// Of two versions of an entity that are both unfinished a store keeps the one that
// came last, of two that are both complete the one that came first; so these must
// not overtake each other on their way. A complete version replaces an unfinished
// one whichever comes first, and documents of different entities never meet. So a
// batch waits for an earlier one only when both hold versions of the same entity of
// the same sort, which is seldom, and all others go side by side.

// orderPatience is how long a batch waits for an earlier one. What keeps that one may
// be something in it that makes the destination fail, which shows only when others succeed.
const orderPatience = 5 * time.Minute

var orderSeed = maphash.MakeSeed()

// orderKey returns the same number for documents that have to arrive in their order.
// It looks for the ids without parsing; what hides them may be overtaken.
func orderKey(doc []byte) (key uint64, ok bool) {
	trace, id := outerIDs(doc)
	if len(id) == 0 {
		return 0, false
	}
	return keyOf(trace, id, bytes.Contains(doc, []byte(`"in_progress"`))), true
}

// keyOf is the key of a version of an entity.
func keyOf(trace, id []byte, unfinished bool) uint64 {
	var h maphash.Hash
	h.SetSeed(orderSeed)
	h.Write(trace)
	h.WriteByte(0)
	h.Write(id)
	if unfinished {
		h.WriteByte(1)
	}
	return h.Sum64()
}

// outerIDs finds the trace and entity id of a document, passing over those of what
// it holds. It never fails: a text that is no JSON may have none, or wrong ones.
func outerIDs(doc []byte) (trace, id []byte) {
	depth := 0
	for at := 0; at < len(doc); {
		switch doc[at] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			text, after := cutText(doc[at+1:])
			at = len(doc) - len(after)
			if depth != 1 {
				continue
			}
			isID := string(text) == "id"
			if !isID && string(text) != "trace_id" {
				continue
			}
			after = bytes.TrimLeft(after, " \t\r\n")
			if len(after) == 0 || after[0] != ':' {
				continue // it was a value
			}
			after = bytes.TrimLeft(after[1:], " \t\r\n")
			if len(after) == 0 || after[0] != '"' {
				continue
			}
			text, after = cutText(after[1:])
			at = len(doc) - len(after)
			if isID {
				id = text
			} else {
				trace = text
			}
			if len(id) > 0 && len(trace) > 0 {
				return trace, id
			}
			continue
		}
		at++
	}
	return trace, id
}

// cutText returns a JSON text, whose first quote is gone already, and what follows
// its last one.
func cutText(s []byte) (text, after []byte) {
	for at := 0; ; {
		n := bytes.IndexByte(s[at:], '"')
		if n < 0 {
			return s, nil
		}
		at += n
		escapes := 0
		for at-escapes > 0 && s[at-escapes-1] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return s[:at], s[at+1:]
		}
		at++
	}
}
