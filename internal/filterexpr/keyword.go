package filterexpr

import (
	"strings"
	"unicode/utf8"
)

// place is where a term stands: what it is asked about.
type place uint8

const (
	inTrace      place = 1 << iota // the trace as its caller saw it
	inService                      // a segment of a service, or the call to an inferred one
	inEdge                         // a call
	inCause                        // a service of a root cause
	inEntity                       // an entity of a root cause of faults or errors
	inTimeEntity                   // an entity of a root cause of response times
	inException                    // an exception of a root cause

	inElement  = inService | inEdge
	inAnyCause = inCause | inEntity | inTimeEntity | inException
)

// String names the place in plain words.
func (p place) String() string {
	switch p {
	case inTrace:
		return "a condition on the trace"
	case inService:
		return "the braces of service()"
	case inEdge:
		return "the braces of edge()"
	case inCause:
		return "the braces of a root cause's services"
	case inEntity, inTimeEntity:
		return "the braces of a root cause's entities"
	case inException:
		return "the braces of a root cause's exceptions"
	}
	return "several places"
}

// valueType is the type that the values of a keyword have.
type valueType uint8

const (
	typeNone valueType = iota
	typeBool
	typeNumber
	typeText
)

// operator compares a keyword with a value.
type operator uint8

const (
	opNone operator = iota // the keyword alone
	opEqual
	opNotEqual
	opLess
	opLessEqual
	opGreater
	opGreaterEqual
	opContains
	opBeginsWith
	opEndsWith
)

var operatorTexts = [...]string{
	opEqual: "=", opNotEqual: "!=",
	opLess: "<", opLessEqual: "<=", opGreater: ">", opGreaterEqual: ">=",
	opContains: "CONTAINS", opBeginsWith: "BEGINSWITH", opEndsWith: "ENDSWITH",
}

// fits reports whether values of a type can be compared that way.
func (op operator) fits(t valueType) bool {
	switch op {
	case opEqual, opNotEqual:
		return true
	case opLess, opLessEqual, opGreater, opGreaterEqual:
		return t == typeNumber
	case opContains, opBeginsWith, opEndsWith:
		return t == typeText
	}
	return false
}

// keyword is a word that stands for a value of the trace, or of an element of it.
type keyword uint8

const (
	kwOK keyword = iota
	kwError
	kwThrottle
	kwFault
	kwPartial
	kwInferred
	kwFirst
	kwLast
	kwRemote
	kwRoot
	kwResponseTime
	kwDuration
	kwStatus
	kwIndex
	kwCoverage
	kwURL
	kwMethod
	kwUserAgent
	kwClientIP
	kwUser
	kwName
	kwType
	kwMessage
	kwZone
	kwInstance
	kwARN
	kwAccount
)

// keywords says of each keyword how it is written, what values it has, where it
// may stand, and what it is.
var keywords = [...]struct {
	text   string
	typ    valueType
	places place
	detail string
}{
	kwOK:           {"ok", typeBool, inTrace | inElement, "neither error, fault nor throttle"},
	kwError:        {"error", typeBool, inTrace | inElement, "the client's error (4xx), throttling apart"},
	kwThrottle:     {"throttle", typeBool, inTrace | inElement, "throttled (429)"},
	kwFault:        {"fault", typeBool, inTrace | inElement, "the server's fault (5xx)"},
	kwPartial:      {"partial", typeBool, inTrace | inElement, "a segment's parent is missing from the trace"},
	kwInferred:     {"inferred", typeBool, inTrace | inElement | inAnyCause, "known from its caller alone"},
	kwFirst:        {"first", typeBool, inAnyCause, "the first of its list"},
	kwLast:         {"last", typeBool, inAnyCause, "the last of its list"},
	kwRemote:       {"remote", typeBool, inAnyCause, "a call to another service"},
	kwRoot:         {"root", typeBool, inTrace | inElement, "the entry point of the trace"},
	kwResponseTime: {"responsetime", typeNumber, inTrace | inElement, "seconds until the answer"},
	kwDuration:     {"duration", typeNumber, inTrace | inElement, "seconds with all that went on after the answer"},
	kwStatus:       {"http.status", typeNumber, inTrace | inElement, "status of the response"},
	kwIndex:        {"index", typeNumber, inAnyCause, "place in its list, from 0"},
	kwCoverage:     {"coverage", typeNumber, inTimeEntity, "share of the response time, 0 to 1"},
	kwURL:          {"http.url", typeText, inTrace | inElement, "URL of the request"},
	kwMethod:       {"http.method", typeText, inTrace | inElement, "method of the request"},
	kwUserAgent:    {"http.useragent", typeText, inTrace | inElement, "user agent of the request"},
	kwClientIP:     {"http.clientip", typeText, inTrace | inElement, "address of the client"},
	kwUser:         {"user", typeText, inTrace | inElement, "user that a segment names"},
	kwName:         {"name", typeText, inTrace | inElement | inAnyCause, "name of the service, entity or exception"},
	kwType:         {"type", typeText, inTrace | inElement | inCause, "type of the service"},
	kwMessage:      {"message", typeText, inException, "message of the exception"},
	kwZone:         {"availabilityzone", typeText, inTrace | inElement, "availability zone that a segment names"},
	kwInstance:     {"instance.id", typeText, inTrace | inElement, "EC2 instance that a segment names"},
	kwARN:          {"resource.arn", typeText, inTrace | inElement, "resource that a segment names"},
	kwAccount:      {"account.id", typeText, inTrace | inElement | inCause, "account of a service"},
}

// Words that are no keywords.
const (
	wordAnnotation = "annotation"
	wordService    = "service"
	wordEdge       = "edge"
	wordID         = "id"
	wordGroupName  = "group.name"
	wordGroupARN   = "group.arn"
	wordCauseJSON  = "rootcause.json"
	wordAnd        = "and"
	wordOr         = "or"
	wordNot        = "not"
	wordTrue       = "true"
	wordFalse      = "false"
)

// reserved are words that are no value unless quoted: to leave out a value is a
// likelier mistake than to search for one of these.
var reserved = map[string]bool{
	wordAnd: true, wordOr: true, wordNot: true,
	"contains": true, "beginswith": true, "endswith": true,
}

var (
	keywordOf  = map[string]keyword{}
	causeOf    = map[string]causeTerm{}
	operatorOf = map[string]operator{
		"=": opEqual, "==": opEqual, "!=": opNotEqual,
		"<": opLess, "<=": opLessEqual, ">": opGreater, ">=": opGreaterEqual,
		"contains": opContains, "beginswith": opBeginsWith, "endswith": opEndsWith,
	}
	// words are all that the language knows, in small letters.
	words = []string{
		wordAnnotation, wordAnnotation + ".", wordService, wordEdge, wordID, wordGroupName, wordGroupARN, wordCauseJSON,
		wordAnd, wordOr, wordNot, wordTrue, wordFalse, "contains", "beginswith", "endswith",
	}
	known = map[string]bool{}
)

func init() {
	for kw, def := range keywords {
		keywordOf[def.text] = keyword(kw)
		words = append(words, def.text)
	}
	for _, c := range causeTerms {
		causeOf[c.text] = c
		words = append(words, c.text)
	}
	for _, w := range words {
		known[w] = true
	}
}

// causeKind is a kind of root cause.
type causeKind uint8

const (
	causeFault causeKind = iota
	causeError
	causeResponseTime
)

// causeTerm is a word that asks about root causes.
type causeTerm struct {
	text   string
	kind   causeKind
	inner  place
	detail string
}

var causeTerms = [...]causeTerm{
	{"rootcause.fault.service", causeFault, inCause, "a service on the path of a fault"},
	{"rootcause.fault.entity", causeFault, inEntity, "a segment or subsegment on the path of a fault"},
	{"rootcause.fault.exception", causeFault, inException, "an exception on the path of a fault"},
	{"rootcause.error.service", causeError, inCause, "a service on the path of an error"},
	{"rootcause.error.entity", causeError, inEntity, "a segment or subsegment on the path of an error"},
	{"rootcause.error.exception", causeError, inException, "an exception on the path of an error"},
	{"rootcause.responsetime.service", causeResponseTime, inCause, "a service that took most of the response time"},
	{"rootcause.responsetime.entity", causeResponseTime, inTimeEntity, "a segment or subsegment that took most of the response time"},
}

// isKnown reports whether the language knows a word, which is in small letters.
func isKnown(word string) bool {
	return known[word] || strings.HasPrefix(word, wordAnnotation+".")
}

// readSymbol returns what the service's lexer has read of an unknown word, which
// text begins with, when it gives up: the longest beginning that some word of the
// language has too, and one character more, also when that is behind the word.
func readSymbol(text, word string) string {
	lower, longest := lowerASCII(word), 0
	for _, w := range words {
		n := 0
		for n < len(w) && n < len(lower) && w[n] == lower[n] {
			n++
		}
		longest = max(longest, n)
	}
	_, size := utf8.DecodeRuneInString(text[longest:]) // 0 at the end
	return text[:longest+size]
}

// habits are words of other languages, with ours.
var habits = map[string]string{
	"status": "http.status", "status_code": "http.status", "statuscode": "http.status", "http.statuscode": "http.status",
	"http.status_code": "http.status", "url": "http.url", "http.path": "http.url", "path": "http.url", "method": "http.method",
	"useragent": "http.useragent", "user_agent": "http.useragent", "http.user_agent": "http.useragent",
	"clientip": "http.clientip", "client_ip": "http.clientip", "http.client_ip": "http.clientip",
	"latency": "responsetime", "response_time": "responsetime", "time": "duration",
	"like": "CONTAINS", "in": "=", "is": "=", "eq": "=", "ne": "!=", "gt": ">", "lt": "<", "has": "CONTAINS", "includes": "CONTAINS",
	"startswith": "BEGINSWITH", "starts": "BEGINSWITH", "ends": "ENDSWITH", "service.name": "service", "servicename": "service",
	"failed": "fault", "failure": "fault", "throttled": "throttle", "success": "ok", "annotations": wordAnnotation, "tag": wordAnnotation,
	"zone": "availabilityzone", "az": "availabilityzone", "arn": "resource.arn", "instance": "instance.id", "account": "account.id",
	"group": wordGroupName, "groupname": wordGroupName, "region": "availabilityzone", "exists": "",
}

// suggest returns the word of the language that a misspelt one, in any case, is
// nearest to; "" when none is near. Only words that fit are considered.
func suggest(word string, fits func(string) bool) string {
	lower := lowerASCII(word)
	if len(lower) > 40 {
		return ""
	}
	if s, ok := habits[lower]; ok && (s == "" || fits(strings.ToLower(s))) {
		return s
	}
	best, bestDistance := "", 1+min(2, len(lower)/3)
	for _, w := range words {
		if w == wordAnnotation+"." || !fits(w) {
			continue
		}
		if d := distance(lower, w); d < bestDistance {
			best, bestDistance = w, d
		}
	}
	if _, isOp := operatorOf[best]; isOp || reserved[best] {
		return strings.ToUpper(best)
	}
	return best
}

// distance counts the letters to insert, drop, replace or swap with a neighbour
// to get from a to b.
func distance(a, b string) int {
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j]+cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}

// lowerASCII returns s with ASCII letters made small; s itself when it has no
// capital ones.
func lowerASCII(s string) string {
	for i := range len(s) {
		if s[i] >= 'A' && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if b[i] >= 'A' && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
