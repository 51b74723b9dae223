package trace

import (
	"math"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/roentgen-io/roentgen/segment"
)

// Term is something that a row has, hashed: a service, an annotation, a flag.
// Engines keep the terms of many rows in a small filter, and skip those rows
// when none of them can have what a question needs.
type Term uint64

// Need says which terms every match has: of each clause at least one. A nil Need
// asks for nothing.
type Need [][]Term

// Kinds of terms. Terms may be kept on disk, so that a kind keeps its number.
const (
	termService = 1 + iota
	termServiceType
	termEdge
	termKey
	termValue
	termUser
	termMethod
	termURL
	termStatus
	termClientIP
	termZone
	termInstance
	termARN
	termAccount
	termMark
)

func term(kind byte, parts ...string) Term {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.Write([]byte{kind})
	for _, p := range parts {
		_, _ = d.WriteString(p)
		_, _ = d.Write([]byte{0xff}) // no UTF-8 text has it
	}
	return Term(d.Sum64())
}

// TermService is had by rows with a node of that name.
func TermService(name string) Term { return term(termService, name) }

// TermServiceType is had by rows with a node of that type.
func TermServiceType(typ string) Term { return term(termServiceType, typ) }

// TermAccount is had by rows with a node of that account.
func TermAccount(id string) Term { return term(termAccount, id) }

// TermEdge is had by rows in which a node of one name calls one of another.
func TermEdge(from, to string) Term { return term(termEdge, from, to) }

// TermKey is had by rows with an annotation of that key, in either of its forms.
func TermKey(key string) Term { return term(termKey, key) }

// TermValue is had by rows with an annotation of that key, in either of its
// forms, and that value.
func TermValue(a Annotation) Term {
	switch a.Type {
	case segment.TypeNumber:
		bits := math.Float64bits(a.Number + 0) // -0 is the same value as 0
		var b [8]byte
		for i := range b {
			b[i] = byte(bits >> (8 * i))
		}
		return term(termValue, a.Key, "n", string(b[:]))
	case segment.TypeBool:
		if a.Bool {
			return term(termValue, a.Key, "true")
		}
		return term(termValue, a.Key, "false")
	}
	return term(termValue, a.Key, "s", a.String)
}

// TermUser, TermMethod, TermURL and so on are had by rows with that whole value.
func TermUser(s string) Term     { return term(termUser, s) }
func TermMethod(s string) Term   { return term(termMethod, s) }
func TermURL(s string) Term      { return term(termURL, s) }
func TermClientIP(s string) Term { return term(termClientIP, s) }
func TermZone(s string) Term     { return term(termZone, s) }
func TermInstance(s string) Term { return term(termInstance, s) }
func TermARN(s string) Term      { return term(termARN, s) }

// TermStatus is had by rows whose root answered with that status.
func TermStatus(status int) Term {
	return term(termStatus, string([]byte{byte(status), byte(status >> 8), byte(status >> 16), byte(status >> 24)}))
}

// Mark is something that a row has or has not.
type Mark byte

// Marks of the root, and of anything in the trace.
const (
	MarkError Mark = iota
	MarkFault
	MarkThrottle
	MarkPartial
	MarkInferred
	MarkInProgress
	MarkAnyError // of any segment or call
	MarkAnyFault
	MarkAnyThrottle
	MarkFaultCause // there is a root cause of that kind
	MarkErrorCause
	MarkResponseTimeCause
)

// TermMark is had by rows with that mark.
func TermMark(m Mark) Term { return term(termMark, string([]byte{byte(m)})) }

// AliasKey returns the form of an annotation key in which everything but ASCII
// letters and digits is an underscore: annotation.aws_local_service finds the
// key aws.local.service too.
func AliasKey(key string) string {
	odd := func(c byte) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_')
	}
	for i := range len(key) {
		if odd(key[i]) {
			var b strings.Builder
			for _, r := range key {
				if r >= 0x80 || odd(byte(r)) {
					r = '_'
				}
				b.WriteRune(r)
			}
			return b.String()
		}
	}
	return key
}
