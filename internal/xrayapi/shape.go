package xrayapi

import (
	"errors"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
)

// kind is the type of a member in the service model.
type kind uint8

const (
	kString kind = iota
	kInt
	kDouble
	kBool
	kTime // epoch seconds
	kList
	kMap // of texts to what elem says
	kStruct
)

// shape is a type of the service model with its constraints, as far as they are
// enforced on requests.
type shape struct {
	kind    kind
	min     float64 // least value of a number, length of a string, list or map; meaningful when hasMin
	max     float64
	hasMin  bool
	hasMax  bool
	enum    []string // in the order in which the service lists them
	pattern *pattern // of a string
	elem    *shape   // of a list; of a map its values
	key     *shape   // of a map, a string
	members []member // of a structure, in the order in which violations are told
}

type member struct {
	name     string
	required bool
	shape    *shape
}

// pattern is a regular expression that a whole string has to match.
type pattern struct {
	text  string
	whole *regexp.Regexp
}

func patternOf(text string) *pattern {
	return &pattern{text: text, whole: regexp.MustCompile(`\A(?:` + text + `)\z`)}
}

// value is a decoded member. A nil *value stands for an absent or null one.
type value struct {
	s    string
	f    float64
	b    bool
	list []*value // elements of a list, values of a map
	keys []string // of a map, each once, in the order of the request
	n    int      // elements of the list or map; more than len(list) when the rest was not kept
	m    []*value
}

// keepElements bounds the elements of a list or map that are kept. No operation takes
// more than a fraction, and a body full of "" must not become a giant tree.
const keepElements = 20_000

// get returns a member of a structure of type sh, nil when absent.
func (v *value) get(sh *shape, name string) *value {
	if v == nil {
		return nil
	}
	for i, m := range sh.members {
		if m.name == name {
			return v.m[i]
		}
	}
	panic("xrayapi: no member " + name)
}

// text returns a string, "" when v is absent.
func (v *value) text() string {
	if v == nil {
		return ""
	}
	return v.s
}

// typeError is a value of the wrong JSON type; its text is the service's.
type typeError string

func (e typeError) Error() string { return string(e) }

// The texts for structures and lists where others are wanted were seen with
// other AWS services that have the same front end.
const (
	errWantList   = typeError("Expected list or null")
	errWantStruct = typeError("Expected null")
	errNoList     = typeError("Start of list found where not expected")
	errNoStruct   = typeError("Start of structure or map found where not expected.")
)

// javaType names a scalar type as the service's texts do.
func (k kind) javaType() string {
	switch k {
	case kString:
		return "a String"
	case kInt:
		return "an Integer"
	case kDouble:
		return "a Double"
	case kBool:
		return "a Boolean"
	}
	return "milliseconds since epoch"
}

// decode reads a request body of type sh, which is a structure. Absent members
// and unknown keys are fine; of members with one name the last counts. The
// error is an *apierr.Error.
func decode(body []byte, sh *shape) (*value, error) {
	s := &scanner{b: body}
	if s.space(); s.i == len(body) {
		return &value{m: make([]*value, len(sh.members))}, nil
	}
	v, err := decodeValue(s, sh, 0)
	if err == nil {
		err = s.end()
	}
	var syntax *syntaxError
	var wrong typeError
	switch {
	case errors.As(err, &syntax):
		return nil, apierr.New(apierr.Serialization, "The request body is not valid JSON: %v", syntax)
	case errors.As(err, &wrong):
		return nil, apierr.New(apierr.Serialization, "%s", wrong)
	case err != nil:
		return nil, err
	}
	if v == nil { // the body was null
		v = &value{m: make([]*value, len(sh.members))}
	}
	return v, nil
}

func decodeValue(s *scanner, sh *shape, depth int) (*value, error) {
	if depth > maxDepth {
		return nil, s.fail("nesting too deep")
	}
	var token string
	switch c := s.peek(); c {
	case 'n':
		return nil, s.literal("null")
	case '{':
		if sh.kind == kMap {
			return decodeMap(s, sh, depth)
		}
		if sh.kind != kStruct {
			return nil, errNoStruct
		}
		v := &value{m: make([]*value, len(sh.members))}
		err := s.object(func(key []byte) error {
			for i := range sh.members {
				if string(key) == sh.members[i].name {
					mv, err := decodeValue(s, sh.members[i].shape, depth+1)
					v.m[i] = mv
					return err
				}
			}
			return s.skip(depth + 1)
		})
		return v, err
	case '[':
		if sh.kind != kList {
			return nil, errNoList
		}
		v := &value{}
		err := s.array(func() error {
			v.n++
			if v.n > keepElements {
				return s.skip(depth + 1)
			}
			e, err := decodeValue(s, sh.elem, depth+1)
			v.list = append(v.list, e)
			return err
		})
		return v, err
	case '"':
		text, err := s.str(nil)
		if err != nil {
			return nil, err
		}
		if sh.kind == kString {
			// The text is ours alone: str copied it out of the body.
			return &value{s: unsafe.String(unsafe.SliceData(text), len(text))}, nil
		}
		token = "STRING_VALUE"
	case 't':
		if err := s.literal("true"); err != nil {
			return nil, err
		}
		if sh.kind == kBool {
			return &value{b: true}, nil
		}
		token = "TRUE_VALUE"
	case 'f':
		if err := s.literal("false"); err != nil {
			return nil, err
		}
		if sh.kind == kBool {
			return &value{}, nil
		}
		token = "FALSE_VALUE"
	default:
		text, err := s.number()
		if err != nil {
			return nil, err
		}
		switch sh.kind {
		case kInt, kDouble, kTime:
			f, _ := strconv.ParseFloat(string(text), 64)
			if !math.IsInf(f, 0) {
				if sh.kind == kInt {
					f = math.Trunc(f)
				}
				return &value{f: f}, nil
			}
		}
		token = "NUMBER_VALUE"
	}
	switch sh.kind {
	case kList:
		return nil, errWantList
	case kStruct, kMap:
		return nil, errWantStruct
	}
	return nil, typeError(token + " can not be converted to " + sh.kind.javaType())
}

// decodeMap reads a map. Of values with one key the last counts.
func decodeMap(s *scanner, sh *shape, depth int) (*value, error) {
	v := &value{}
	at := make(map[string]int)
	err := s.object(func(key []byte) error {
		i, seen := at[string(key)]
		if !seen {
			v.n++
		}
		if !seen && v.n > keepElements {
			return s.skip(depth + 1)
		}
		e, err := decodeValue(s, sh.elem, depth+1)
		if seen {
			v.list[i] = e
			return err
		}
		at[string(key)] = len(v.list)
		v.keys, v.list = append(v.keys, string(key)), append(v.list, e)
		return err
	})
	return v, err
}

// The bounds of an answer to a request full of violations.
const (
	maxViolations   = 100
	maxEchoedValue  = 2_000
	maxEchoedInList = 20
)

// validate checks the constraints of the model. The error is an *apierr.Error
// that tells all violations together.
func validate(v *value, sh *shape) error {
	var c checker
	c.check(v, sh, "")
	if c.count == 0 {
		return nil
	}
	plural := "s"
	if c.count == 1 {
		plural = ""
	}
	return apierr.New(apierr.Validation, "%d validation error%s detected: %s", c.count, plural, strings.Join(c.texts, "; "))
}

type checker struct {
	count int
	texts []string
}

func (c *checker) add(v *value, sh *shape, path, rule string) {
	c.count++
	if len(c.texts) == maxViolations {
		return
	}
	shown := "null"
	if v != nil {
		shown = "'" + echo(v, sh) + "'"
	}
	c.texts = append(c.texts, "Value "+shown+" at '"+path+"' failed to satisfy constraint: "+rule)
}

func (c *checker) check(v *value, sh *shape, path string) {
	if v == nil {
		return
	}
	bounds := func(n float64, what string) {
		for _, rule := range sh.brokenByNumber(n, what) {
			c.add(v, sh, path, rule)
		}
	}
	switch sh.kind {
	case kString:
		for _, rule := range sh.brokenByText(v.s) {
			c.add(v, sh, path, rule)
		}
	case kInt, kDouble:
		bounds(v.f, "value")
	case kList:
		bounds(float64(v.n), "length")
		for i, e := range v.list {
			at := path + "." + strconv.Itoa(i+1) + ".member"
			if e == nil {
				c.add(nil, sh.elem, at, "Member must not be null")
				continue
			}
			c.check(e, sh.elem, at)
		}
	case kMap:
		bounds(float64(v.n), "length")
		c.checkMap(v, sh, path)
	case kStruct:
		for i, m := range sh.members {
			at := lowerFirst(m.name)
			if path != "" {
				at = path + "." + at
			}
			if v.m[i] == nil {
				if m.required {
					c.add(nil, m.shape, at, "Member must not be null")
				}
				continue
			}
			c.check(v.m[i], m.shape, at)
		}
	}
}

// checkMap checks keys and values of a map of strings to strings. The service tells of the
// map as a whole, with all rules for its keys or values.
func (c *checker) checkMap(v *value, sh *shape, path string) {
	badKey, badValue := false, false
	for i, e := range v.list {
		badKey = badKey || len(sh.key.brokenByText(v.keys[i])) > 0
		if e == nil {
			c.add(nil, sh.elem, path+"."+shorten(v.keys[i])+".member", "Member must not be null")
			continue
		}
		badValue = badValue || len(sh.elem.brokenByText(e.s)) > 0
	}
	if badKey {
		c.add(v, sh, path, "Map keys must satisfy constraint: ["+strings.Join(sh.key.rules(), ", ")+"]")
	}
	if badValue {
		c.add(v, sh, path, "Map value must satisfy constraint: ["+strings.Join(sh.elem.rules(), ", ")+"]")
	}
}

// brokenByNumber returns the rules that a number or length breaks.
func (sh *shape) brokenByNumber(n float64, what string) []string {
	var broken []string
	if sh.hasMin && n < sh.min {
		broken = append(broken, sh.minRule(what))
	}
	if sh.hasMax && n > sh.max {
		broken = append(broken, sh.maxRule(what))
	}
	return broken
}

// brokenByText returns the rules that a string breaks.
func (sh *shape) brokenByText(s string) []string {
	broken := sh.brokenByNumber(float64(utf8.RuneCountInString(s)), "length")
	if sh.enum != nil && !slices.Contains(sh.enum, s) {
		broken = append(broken, sh.enumRule())
	}
	if sh.pattern != nil && !sh.pattern.whole.MatchString(s) {
		broken = append(broken, sh.patternRule())
	}
	return broken
}

func (sh *shape) minRule(what string) string {
	return "Member must have " + what + " greater than or equal to " + formatBound(sh.min)
}

func (sh *shape) maxRule(what string) string {
	return "Member must have " + what + " less than or equal to " + formatBound(sh.max)
}

func (sh *shape) enumRule() string {
	return "Member must satisfy enum value set: [" + strings.Join(sh.enum, ", ") + "]"
}

func (sh *shape) patternRule() string {
	return "Member must satisfy regular expression pattern: " + sh.pattern.text
}

// rules returns all rules for a string.
func (sh *shape) rules() []string {
	var rules []string
	if sh.hasMax {
		rules = append(rules, sh.maxRule("length"))
	}
	if sh.hasMin {
		rules = append(rules, sh.minRule("length"))
	}
	if sh.enum != nil {
		rules = append(rules, sh.enumRule())
	}
	if sh.pattern != nil {
		rules = append(rules, sh.patternRule())
	}
	return rules
}

func formatBound(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// lowerFirst is how the service spells a member's name in a path: only the very
// first letter changes (eC2InstanceId).
func lowerFirst(name string) string { return strings.ToLower(name[:1]) + name[1:] }

// echo prints a value as Java would, cut to a bounded length.
func echo(v *value, sh *shape) string {
	var text string
	switch sh.kind {
	case kString:
		text = v.s
	case kInt:
		text = strconv.FormatFloat(v.f, 'f', 0, 64)
	case kDouble, kTime:
		text = string(appendDouble(nil, v.f))
	case kBool:
		text = strconv.FormatBool(v.b)
	case kList:
		var parts []string
		for i, e := range v.list {
			if i == maxEchoedInList {
				parts = append(parts, "...")
				break
			}
			parts = append(parts, echoOrNull(e, sh.elem))
		}
		text = "[" + strings.Join(parts, ", ") + "]"
	case kMap:
		var parts []string
		for i, e := range v.list {
			if i == maxEchoedInList {
				parts = append(parts, "...")
				break
			}
			parts = append(parts, shorten(v.keys[i])+"="+echoOrNull(e, sh.elem))
		}
		text = "{" + strings.Join(parts, ", ") + "}"
	case kStruct:
		var parts []string
		for i, m := range sh.members {
			if v.m[i] != nil {
				parts = append(parts, m.name+"="+echo(v.m[i], m.shape))
			}
		}
		text = "{" + strings.Join(parts, ", ") + "}"
	}
	return shorten(text)
}

// shorten cuts a text of the caller that an answer repeats.
func shorten(text string) string {
	if len(text) > maxEchoedValue {
		text = strings.ToValidUTF8(text[:maxEchoedValue], "") + "..."
	}
	return text
}

func echoOrNull(v *value, sh *shape) string {
	if v == nil {
		return "null"
	}
	return echo(v, sh)
}

// number returns a number, 0 when v is absent.
func (v *value) number() float64 {
	if v == nil {
		return 0
	}
	return v.f
}
