package filterexpr

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error says where a text is no expression, and why.
type Error struct {
	Line     int `json:"Line"`     // from 1
	Position int `json:"Position"` // character of the line, from 1
	Offset   int `json:"Offset"`   // bytes before it in the whole text
	// Message is what the X-Ray service answers.
	Message string `json:"Message"`
	// Found is what stands there, as it was written; "" at the end of the text.
	Found string `json:"Found"`
	// Expected is what could have stood there, in plain words.
	Expected []string `json:"Expected,omitempty"`
	// Suggestion is the word that was perhaps meant; "" when there is none.
	Suggestion string `json:"Suggestion,omitempty"`
}

func (e *Error) Error() string { return e.Message }

// Explain says in a sentence or two what is wrong and what would be right.
func (e *Error) Explain() string {
	var b strings.Builder
	if e.Found == "" {
		b.WriteString("The expression ends too early")
	} else {
		fmt.Fprintf(&b, "%s cannot stand here", e.Found)
	}
	if len(e.Expected) > 0 {
		b.WriteString("; expected: " + strings.Join(e.Expected, ", "))
	}
	b.WriteByte('.')
	if e.Suggestion != "" {
		fmt.Fprintf(&b, " Did you mean %s?", e.Suggestion)
	}
	return b.String()
}

const maxSymbol = 200 // bytes of a symbol that an error repeats

func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// errorAt makes the error for a place of the text. symbol is what the service
// calls invalid there.
func errorAt(text string, offset int, symbol, found string) *Error {
	e := &Error{Offset: offset, Found: shorten(found, maxSymbol)}
	e.locate(text)
	e.Message = e.head() + "Invalid input symbol: '" + shorten(symbol, maxSymbol) + "'"
	return e
}

func (e *Error) locate(text string) {
	before := text[:e.Offset]
	e.Line = 1 + strings.Count(before, "\n")
	e.Position = 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
}

func (e *Error) head() string {
	return fmt.Sprintf("Error Location: line %d, position %d : ", e.Line, e.Position)
}

// wants is what may stand at a place of the text: a set of the values below.
type wants uint32

const (
	wantTerm    wants = 1 << iota // a keyword, service(), ...
	wantNot                       // NOT, '!'
	wantOpen                      // '('
	wantClose                     // ')'
	wantAnd                       // AND
	wantOr                        // OR
	wantEnd                       // the end of the text
	wantCompare                   // an operator
	wantValue                     // a value
	wantBraces                    // '{'
	wantUnbrace                   // '}'
	wantComma                     // ','
	wantColon                     // ':'
	wantEntity                    // a name, or id()
	wantIDArg                     // name, type, account.id
	wantJSON                      // '#' and an array
	wantParen                     // '(' after service, edge or id
	wantSelect                    // service() or edge()
)

// expectation is what may stand at a place of the text, and what it is about.
type expectation struct {
	wants wants
	place place
	typ   valueType // of operators and values; typeNone when any
	about about
	kw    keyword // of values, when about is aboutKeyword
	key   string  // of values, when about is aboutAnnotation
	word  string  // of '(': what it follows
}

// about says what a value or an operator belongs to.
type about uint8

const (
	aboutNothing about = iota
	aboutKeyword
	aboutAnnotation
	aboutGroupName
	aboutGroupARN
	aboutID // of id(); kw says which argument
	aboutCauseJSON
)

// list puts an expectation into plain words, the likeliest first: after a whole
// condition what closes, compares or joins it comes before another one.
func (x expectation) list() []string {
	var out []string
	add := func(w wants, text string) {
		if x.wants&w != 0 {
			out = append(out, text)
		}
	}
	terms := func() {
		if x.wants&wantTerm != 0 {
			switch x.place {
			case inTrace:
				out = append(out, "a condition (a keyword, annotation, service, edge, group or rootcause)")
			default:
				var list []string
				for _, def := range keywords {
					if def.places&x.place != 0 {
						list = append(list, def.text)
					}
				}
				text := "a keyword for " + x.place.String() + " (" + strings.Join(list, ", ")
				if x.place&inElement != 0 {
					text += ", annotation"
				}
				out = append(out, text+")")
			}
		}
		add(wantNot, "NOT")
		add(wantOpen, "'('")
	}
	closing := func() {
		add(wantUnbrace, "'}'")
		add(wantClose, "')'")
	}
	whole := x.wants&wantAnd != 0
	if whole {
		closing()
	} else {
		terms()
	}
	if x.wants&wantCompare != 0 {
		var list []string
		for op := opEqual; op <= opEndsWith; op++ {
			if x.allows(op) {
				list = append(list, operatorTexts[op])
			}
		}
		out = append(out, "an operator ("+strings.Join(list, " ")+")")
	}
	if x.wants&wantValue != 0 {
		out = append(out, map[valueType]string{
			typeNone:   "a value: a text in quotes, a number, true or false",
			typeBool:   "true or false",
			typeNumber: "a number",
			typeText:   "a text in quotes",
		}[x.typ])
	}
	add(wantJSON, "# and a JSON array of root causes")
	if x.wants&wantParen != 0 {
		out = append(out, "'(' after "+x.word)
	}
	add(wantEntity, "a name in quotes, or id(...)")
	add(wantIDArg, "name, type or account.id")
	add(wantColon, "':'")
	add(wantComma, "','")
	add(wantSelect, "service(...) or edge(...)")
	add(wantBraces, "'{'")
	if !whole {
		closing()
	}
	add(wantAnd, "AND")
	add(wantOr, "OR")
	add(wantEnd, "the end")
	if whole {
		terms()
	}
	return out
}

// allows reports whether an operator may stand there.
func (x expectation) allows(op operator) bool {
	if x.wants&wantCompare == 0 {
		return false
	}
	switch x.about {
	case aboutGroupName, aboutGroupARN, aboutCauseJSON:
		return op == opEqual || op == opNotEqual
	}
	return x.typ == typeNone || op.fits(x.typ)
}

// fits reports whether a word of the language may stand there.
func (x expectation) fits(word string) bool {
	if op, ok := operatorOf[word]; ok {
		return x.allows(op)
	}
	switch word {
	case wordAnd:
		return x.wants&wantAnd != 0
	case wordOr:
		return x.wants&wantOr != 0
	case wordNot:
		return x.wants&wantNot != 0
	case wordTrue, wordFalse:
		return x.wants&wantValue != 0 && (x.typ == typeNone || x.typ == typeBool)
	case wordID:
		return x.wants&wantEntity != 0
	case wordService, wordEdge:
		return x.wants&wantSelect != 0 || x.wants&wantTerm != 0 && x.place == inTrace
	case wordGroupName, wordGroupARN, wordCauseJSON:
		return x.wants&wantTerm != 0 && x.place == inTrace
	case wordAnnotation:
		return x.wants&wantTerm != 0 && x.place&(inTrace|inElement) != 0
	}
	if _, ok := causeOf[word]; ok {
		return x.wants&wantTerm != 0 && x.place == inTrace
	}
	if kw, ok := keywordOf[word]; ok {
		if x.wants&wantIDArg != 0 {
			return kw == kwName || kw == kwType || kw == kwAccount
		}
		return x.wants&wantTerm != 0 && keywords[kw].places&x.place != 0
	}
	return false
}
