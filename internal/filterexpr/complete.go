package filterexpr

import (
	"strings"
	"unicode/utf8"
)

// CompletionKind says what may stand at the cursor.
type CompletionKind string

const (
	CompleteNothing         CompletionKind = ""         // the text before the cursor is wrong
	CompleteKeyword         CompletionKind = "keyword"  // a condition, or what joins two
	CompleteOperator        CompletionKind = "operator" // what follows a keyword
	CompleteServiceName     CompletionKind = "service_name"
	CompleteServiceType     CompletionKind = "service_type"
	CompleteAccount         CompletionKind = "account"
	CompleteAnnotationKey   CompletionKind = "annotation_key"
	CompleteAnnotationValue CompletionKind = "annotation_value" // of Key
	CompleteUser            CompletionKind = "user"
	CompleteURL             CompletionKind = "url"
	CompleteMethod          CompletionKind = "method"
	CompleteUserAgent       CompletionKind = "user_agent"
	CompleteClientIP        CompletionKind = "client_ip"
	CompleteStatus          CompletionKind = "status"
	CompleteZone            CompletionKind = "zone"
	CompleteInstance        CompletionKind = "instance"
	CompleteARN             CompletionKind = "arn"
	CompleteGroupName       CompletionKind = "group_name"
	CompleteGroupARN        CompletionKind = "group_arn"
	CompleteEntityName      CompletionKind = "entity_name"
	CompleteExceptionName   CompletionKind = "exception_name"
	CompleteMessage         CompletionKind = "exception_message"
	CompleteNumber          CompletionKind = "number"
	CompleteBool            CompletionKind = "bool"
	CompleteJSON            CompletionKind = "json"
)

// Completion is what may stand at the cursor by the grammar. Which services,
// keys and values there are is not known here: the caller fills them in by Kind,
// those that begin with Prefix, and writes them with Quote or AnnotationText.
type Completion struct {
	Kind CompletionKind `json:"Kind"`
	Key  string         `json:"Key,omitempty"` // of the annotation whose value is asked for
	// Prefix is what was written of the name or value before the cursor, without
	// quotes and escapes.
	Prefix string `json:"Prefix"`
	// Start and End enclose what is to be replaced, in bytes: all of a text with
	// its quotes, all of an annotation's name.
	Start int `json:"Start"`
	End   int `json:"End"`
	// Keywords are the words and signs of the language that may stand there.
	Keywords []Suggestion `json:"Keywords,omitempty"`
}

// Suggestion is a word of the language.
type Suggestion struct {
	Text   string `json:"Text"` // to be inserted
	Detail string `json:"Detail"`
}

// Complete says what may stand at the cursor, a number of bytes of the text.
func Complete(text string, cursor int) Completion {
	cursor = max(0, min(cursor, len(text)))
	for cursor > 0 && cursor < len(text) && !utf8.RuneStart(text[cursor]) {
		cursor--
	}
	c := Completion{Start: cursor, End: cursor}
	if cursor > MaxLength {
		return c
	}
	p := parser{lex: lexer{text: text[:cursor], writing: true}, place: inTrace}
	if _, err := p.parse(); err != nil && (p.tok.kind != tokEnd || p.tok.problem != "") && !p.lex.inKey {
		return c
	}
	part := p.lex.partial
	c.Prefix = part.text
	quoted := part.text != "" && isQuote(part.text[0])
	if part.text != "" {
		c.Start = part.start
	}
	switch {
	case p.lex.inKey:
		c.Kind = CompleteAnnotationKey
		c.Start = strings.LastIndex(lowerASCII(text[:part.start]), wordAnnotation)
		key := strings.TrimLeft(part.text[1:], " \t\r\n\f\v")
		if key != "" && isQuote(key[0]) {
			key = unquotePart(key)
		}
		c.Prefix, c.End = key, endOf(text, cursor, ']')
		return c
	case quoted:
		c.Prefix, c.End = unquotePart(part.text), endOf(text, cursor, part.text[0])
	case part.text != "":
		c.End = cursor + wordEnd(text[cursor:])
	}
	if part.kind == tokWord && p.want.wants&wantTerm != 0 && p.want.place&(inTrace|inElement) != 0 {
		if strings.HasPrefix(part.lower, wordAnnotation+".") {
			c.Kind, c.Prefix = CompleteAnnotationKey, part.text[len(wordAnnotation)+1:]
			return c
		}
	}
	c.Kind, c.Key = p.want.completes()
	if quoted {
		switch {
		case p.want.wants&(wantValue|wantEntity) == 0:
			return Completion{Start: cursor, End: cursor}
		case c.Kind == CompleteBool || c.Kind == CompleteNumber || c.Kind == CompleteStatus:
			c.Kind = CompleteNothing
		}
		return c
	}
	for _, s := range p.want.suggestions() {
		if len(s.Text) >= len(c.Prefix) && strings.EqualFold(s.Text[:len(c.Prefix)], c.Prefix) {
			c.Keywords = append(c.Keywords, s)
		}
	}
	if c.Kind == CompleteKeyword && part.kind == tokNumber {
		c.Kind = CompleteNothing
	}
	return c
}

// unquotePart decodes a text whose closing quote was not written yet.
func unquotePart(s string) string {
	s = s[1:]
	if value, at := unescape(s); at < 0 {
		return value
	} else if value, at := unescape(s[:at]); at < 0 {
		return value
	}
	return s
}

// endOf returns where a text goes on to that the cursor is in: behind its closing
// sign or, when that is not to be seen in the same word, at the cursor.
func endOf(text string, cursor int, closing byte) int {
	for i := cursor; i < len(text) && !isSpace(text[i]); i++ {
		if text[i] == closing {
			return i + 1
		}
	}
	return cursor
}

// completes returns what may stand in a place, and the key of the annotation
// that it is about.
func (x expectation) completes() (CompletionKind, string) {
	switch {
	case x.wants&wantValue != 0:
		switch x.about {
		case aboutAnnotation:
			return CompleteAnnotationValue, x.key
		case aboutGroupName:
			return CompleteGroupName, ""
		case aboutGroupARN:
			return CompleteGroupARN, ""
		}
		return x.values(), ""
	case x.wants&wantEntity != 0:
		return CompleteServiceName, ""
	case x.wants&wantJSON != 0:
		return CompleteJSON, ""
	case x.wants&wantCompare != 0:
		return CompleteOperator, ""
	}
	return CompleteKeyword, ""
}

func (x expectation) values() CompletionKind {
	switch x.kw {
	case kwURL:
		return CompleteURL
	case kwMethod:
		return CompleteMethod
	case kwUserAgent:
		return CompleteUserAgent
	case kwClientIP:
		return CompleteClientIP
	case kwStatus:
		return CompleteStatus
	case kwUser:
		return CompleteUser
	case kwZone:
		return CompleteZone
	case kwInstance:
		return CompleteInstance
	case kwARN:
		return CompleteARN
	case kwType:
		return CompleteServiceType
	case kwAccount:
		return CompleteAccount
	case kwMessage:
		return CompleteMessage
	case kwName:
		switch x.place {
		case inException:
			return CompleteExceptionName
		case inEntity, inTimeEntity:
			return CompleteEntityName
		}
		return CompleteServiceName
	}
	if keywords[x.kw].typ == typeBool {
		return CompleteBool
	}
	return CompleteNumber
}

var operatorDetails = [...]string{
	opEqual: "equal", opNotEqual: "there, and not equal",
	opLess: "less", opLessEqual: "less or equal", opGreater: "greater", opGreaterEqual: "greater or equal",
	opContains: "has it somewhere", opBeginsWith: "begins with it", opEndsWith: "ends with it",
}

// suggestions returns the words and signs that may stand in a place.
func (x expectation) suggestions() []Suggestion {
	var list []Suggestion
	add := func(w wants, text, detail string) {
		if x.wants&w != 0 {
			list = append(list, Suggestion{text, detail})
		}
	}
	for op := opEqual; op <= opEndsWith; op++ {
		if x.allows(op) {
			add(wantCompare, operatorTexts[op], operatorDetails[op])
		}
	}
	if x.typ == typeBool || x.typ == typeNone {
		add(wantValue, wordTrue, "the boolean")
		add(wantValue, wordFalse, "the boolean")
	}
	add(wantEntity, "id(", "a service by name, type and account")
	add(wantIDArg, "name: ", "name of the service")
	add(wantIDArg, "type: ", "type of the service")
	add(wantIDArg, "account.id: ", "account of the service")
	add(wantColon, ":", "before the value")
	add(wantJSON, "#[", "root causes, as JSON")
	add(wantParen, "(", "after "+x.word)
	add(wantBraces, "{", "conditions on a single element")
	add(wantComma, ",", "and the next one")
	add(wantClose, ")", "closes")
	add(wantUnbrace, "}", "closes")
	add(wantAnd, "AND", "both hold")
	add(wantOr, "OR", "one of both holds")
	add(wantNot, "NOT", "does not hold")
	add(wantOpen, "(", "keeps conditions together")
	if x.wants&wantTerm == 0 {
		return list
	}
	for _, def := range keywords {
		if def.places&x.place != 0 {
			add(wantTerm, def.text, def.detail)
		}
	}
	if x.place&(inTrace|inElement) != 0 {
		add(wantTerm, wordAnnotation+".", "an annotation by its key")
		add(wantTerm, wordAnnotation+"[", "an annotation by a key with any characters")
	}
	if x.place == inTrace {
		add(wantTerm, "service(", "a service of the trace")
		add(wantTerm, "edge(", "a call from one service to another")
		add(wantTerm, wordGroupName, "the expression of a group")
		add(wantTerm, wordGroupARN, "the expression of a group")
		for _, c := range causeTerms {
			add(wantTerm, c.text, c.detail)
		}
		add(wantTerm, wordCauseJSON, "root causes of a form")
	}
	return list
}
