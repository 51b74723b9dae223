package filterexpr

import (
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/segment"
)

// Truth is what is known of a condition.
type Truth uint8

const (
	False Truth = iota
	True
	// Unknown says that the row does not hold what is needed to tell: something
	// was cut, or it is not part of rows. Trace.FullRow has it.
	Unknown
)

func (t Truth) String() string {
	switch t {
	case True:
		return "true"
	case Unknown:
		return "unknown"
	}
	return "false"
}

func truth(b bool) Truth {
	if b {
		return True
	}
	return False
}

// negate returns the truth of NOT t.
func (t Truth) negate() Truth {
	switch t {
	case True:
		return False
	case False:
		return True
	}
	return Unknown
}

// absent is the truth of "it is there" when it was not found in a row.
func absent(row *trace.Row) Truth {
	if row.Cut {
		return Unknown
	}
	return False
}

// Matched is what the first service() or edge() of an expression was satisfied
// by: a segment, a call, or neither. It refers to the row.
type Matched struct {
	Segment *trace.SegmentEntry
	Call    *trace.CallEntry
	Edge    bool // the condition was an edge(): the call is meant, not what it stands for
}

// Match reports whether a trace matches the expression. It allocates nothing for
// rows that were decoded.
func (e *Expr) Match(row *trace.Row) Truth {
	s := scope{row: row, place: inTrace, limits: e.limits}
	return e.root.eval(&s, false)
}

// Until returns the expression for a question that nobody waits for any more
// once done is closed: it is then Unknown of rows whose many segments and calls
// it is still occupied with.
func (e *Expr) Until(done <-chan struct{}) *Expr {
	return e.limited(func(l *limits) { l.done = done })
}

// Within returns the expression for those who cannot wait: it is Unknown of rows
// of whose segments, calls and root causes it asks more than about so many
// conditions in all.
func (e *Expr) Within(conditions int64) *Expr {
	return e.limited(func(l *limits) { l.most = conditions })
}

func (e *Expr) limited(set func(*limits)) *Expr {
	c := *e
	c.limits = &limits{}
	if e.limits != nil {
		*c.limits = *e.limits
	}
	set(c.limits)
	return &c
}

// MatchIn is Match for windows of TimeRangeType Service: what satisfies a
// service() or edge() has to end in the window, from startNanos on and before
// endNanos (unix nanoseconds). What is negated is judged without the window. It
// also returns what the first of these conditions was satisfied by, when the
// expression is True.
func (e *Expr) MatchIn(row *trace.Row, startNanos, endNanos int64) (Truth, Matched) {
	s := scope{row: row, place: inTrace, window: true, from: startNanos, to: endNanos, limits: e.limits}
	t := e.root.eval(&s, false)
	if t != True {
		return t, Matched{}
	}
	return t, s.matched
}

// HasElements reports whether the expression has a service() or edge(), which
// makes windows of TimeRangeType Service exact.
func (e *Expr) HasElements() bool {
	found := false
	e.root.walk(func(n *node) {
		found = found || n.kind == nodeService || n.kind == nodeEdge ||
			n.expanded != nil && n.expanded.HasElements()
	})
	return found
}

// scope is what a condition is judged on.
type scope struct {
	row   *trace.Row
	place place

	// in the braces of service() and edge()
	call        bool // the element is a call
	caller      int  // caller of the call, an index into row.Services
	node        int  // the element's node, or the callee
	flags       trace.Flags
	status      int
	duration    float64
	hasDuration bool
	annotations []int
	segment     *segment.Segment
	request     *[4]string           // what the segment says of the request, once it was looked at
	own         *[]*trace.Annotation // what the call is annotated with, once it was looked at

	// in the braces of root causes
	service     *trace.RootCauseService
	entity      *trace.RootCauseEntity
	exception   *trace.RootCauseException
	index, last int

	// of MatchIn
	window   bool
	from, to int64
	matched  Matched

	*limits       // nil: none
	judged  int   // conditions on elements, since the limits were looked at
	spent   int64 // and before
}

// limits say when a judgement is given up.
type limits struct {
	done <-chan struct{}
	most int64 // conditions on elements, 0 for any number
}

// conditionsBetweenLooks is how many conditions on elements are judged before the
// limits are looked at: it takes about a millisecond.
const conditionsBetweenLooks = 1 << 16

// goesOn counts the conditions that an element is about to be judged by, and
// reports whether it may be.
func (s *scope) goesOn(conditions int) bool {
	s.judged += conditions
	return s.judged < conditionsBetweenLooks || s.limits == nil || s.within()
}

// within looks at the limits. Once they are reached, goesOn asks at each element.
func (s *scope) within() bool {
	select {
	case <-s.done: // never, when there is none
		return false
	default:
	}
	if s.most > 0 && s.spent+int64(s.judged) > s.most {
		return false
	}
	s.spent += int64(s.judged)
	s.judged = 0
	return true
}

func (n *node) eval(s *scope, negated bool) Truth {
	switch n.kind {
	case nodeAnd:
		before, all := s.matched, True
		for _, kid := range n.kids {
			switch kid.eval(s, negated) {
			case False:
				s.matched = before
				return False
			case Unknown:
				all = Unknown
			}
		}
		if all != True {
			s.matched = before
		}
		return all
	case nodeOr:
		any := False
		for _, kid := range n.kids {
			switch kid.eval(s, negated) {
			case True:
				return True
			case Unknown:
				any = Unknown
			}
		}
		return any
	case nodeNot:
		return n.kids[0].eval(s, !negated).negate()
	case nodeKeyword:
		switch s.place {
		case inTrace:
			return n.ofTrace(s.row)
		case inService, inEdge:
			return n.ofElement(s)
		}
		return n.ofCause(s)
	case nodeAnnotation:
		return n.ofAnnotations(s)
	case nodeService:
		return n.ofServices(s, negated)
	case nodeEdge:
		return n.ofCalls(s, negated)
	case nodeCause:
		return n.ofCauses(s)
	case nodeCauseJSON:
		return n.ofCauseJSON(s.row)
	case nodeGroup:
		return n.ofGroup(s, negated)
	}
	return False
}

func (n *node) ofGroup(s *scope, negated bool) Truth {
	switch {
	case n.group == (GroupRef{}):
		return False
	case !n.isExpanded:
		return Unknown
	case n.expanded == nil:
		return truth(n.op == opEqual)
	case n.op == opNotEqual:
		return n.expanded.root.eval(s, !negated).negate()
	}
	return n.expanded.root.eval(s, negated)
}

// compareBool judges a keyword whose value is have.
func (n *node) compareBool(have bool) Truth {
	want := true
	switch n.value.typ {
	case typeBool:
		want = n.value.bool
	case typeText:
		switch lowerASCII(n.value.text) {
		case wordTrue:
		case wordFalse:
			want = false
		default:
			return False
		}
	case typeNumber:
		return False
	}
	return truth((have == want) != (n.op == opNotEqual))
}

// compareNumber judges a keyword whose value is have, if it has one.
func (n *node) compareNumber(have float64, ok bool) Truth {
	switch {
	case n.op == opNone:
		return truth(ok)
	case !ok || n.value.typ != typeNumber:
		return False
	}
	return truth(numberIs(have, n.op, n.value.number))
}

func numberIs(have float64, op operator, want float64) bool {
	switch op {
	case opEqual:
		return have == want
	case opNotEqual:
		return have != want
	case opLess:
		return have < want
	case opLessEqual:
		return have <= want
	case opGreater:
		return have > want
	case opGreaterEqual:
		return have >= want
	}
	return false
}

// compareText judges a keyword whose value is have, "" when it has none. cut says
// that have may be the beginning of a longer text.
func (n *node) compareText(have string, cut bool) Truth {
	switch {
	case have == "":
		return False
	case n.op == opNone:
		return True
	case n.value.typ != typeText:
		return False
	case cut:
		return Unknown
	}
	return truth(textIs(have, n.op, n.value.text))
}

func textIs(have string, op operator, want string) bool {
	switch op {
	case opEqual:
		return sameText(have, want)
	case opNotEqual:
		return !sameText(have, want)
	case opContains:
		return strings.Contains(fold(have), fold(want))
	case opBeginsWith:
		return strings.HasPrefix(fold(have), fold(want))
	case opEndsWith:
		return strings.HasSuffix(fold(have), fold(want))
	}
	return false
}

// Bounds at which rows cut texts, in bytes.
const (
	cutURL        = 2048
	cutUserAgent  = 1024
	cutWord       = 256
	cutText       = 1024
	cutAnnotation = 4096
)

// mayBeCut reports whether a row may hold only the beginning of a text, which is
// cut before the character that crosses the bound.
func mayBeCut(row *trace.Row, s string, bound int) bool {
	return row.Cut && len(s) > bound-utf8.UTFMax
}

// ofTrace judges a keyword that stands outside of braces.
func (n *node) ofTrace(row *trace.Row) Truth {
	switch n.kw {
	case kwOK:
		return n.compareBool(!row.HasError && !row.HasFault && !row.HasThrottle)
	case kwError:
		return n.compareBool(row.HasError)
	case kwThrottle:
		return n.compareBool(row.HasThrottle)
	case kwFault:
		return n.compareBool(row.HasFault)
	case kwPartial:
		return n.compareBool(row.Partial)
	case kwRoot:
		return n.compareBool(row.HasRoot)
	case kwInferred:
		have := countInferred(row) > 0
		if !have && row.Cut {
			return Unknown
		}
		return n.compareBool(have)
	case kwResponseTime:
		return n.compareNumber(row.ResponseTime, row.HasResponseTime)
	case kwDuration:
		return n.compareNumber(row.Duration, row.HasDuration)
	case kwStatus:
		return n.compareNumber(float64(row.Status), row.Status != 0)
	case kwURL:
		return n.compareText(row.URL, mayBeCut(row, row.URL, cutURL))
	case kwMethod:
		return n.compareText(row.Method, mayBeCut(row, row.Method, cutWord))
	case kwUserAgent:
		return n.compareText(row.UserAgent, mayBeCut(row, row.UserAgent, cutUserAgent))
	case kwClientIP:
		return n.compareText(row.ClientIP, mayBeCut(row, row.ClientIP, cutWord))
	case kwName:
		return n.compareText(row.Root.Name, mayBeCut(row, row.Root.Name, cutText))
	case kwType:
		return n.compareText(row.Root.Type, mayBeCut(row, row.Root.Type, cutText))
	case kwUser:
		return n.anyText(row, row.Users)
	case kwZone:
		return n.anyText(row, row.Zones)
	case kwInstance:
		return n.anyText(row, row.InstanceIDs)
	case kwARN:
		return n.anyText(row, row.ResourceARNs)
	case kwAccount:
		f := finder{n: n, row: row}
		for i := range row.Services {
			f.text(row.Services[i].AccountID, cutText)
		}
		return f.truth()
	}
	return False
}

// countInferred returns how many elements are known from their callers alone:
// calls that nobody answered, and segments that were sent as inferred.
func countInferred(row *trace.Row) (n int) {
	for i := range row.Calls {
		if row.Calls[i].Flags&trace.FlagInferred != 0 {
			n++
		}
	}
	for i := range row.Segments {
		if row.Segments[i].Flags&trace.FlagInferred != 0 {
			n++
		}
	}
	return n
}

// anyText judges a keyword with several values.
func (n *node) anyText(row *trace.Row, list []string) Truth {
	f := finder{n: n, row: row}
	for _, have := range list {
		f.text(have, cutText)
	}
	return f.truth()
}

// finder judges a condition over several values: one of them must satisfy it,
// but for "!=", which asks for some value and none that is equal.
type finder struct {
	n       *node
	row     *trace.Row
	found   bool // a value of the right type
	met     bool // a value that satisfies the operator; of "!=", one that is equal
	unknown bool
}

func (f *finder) text(have string, bound int) {
	if have == "" {
		return
	}
	f.annotated(have, bound)
}

// annotated is text for values that may be empty.
func (f *finder) annotated(have string, bound int) {
	switch {
	case f.n.op == opNone:
		f.found, f.met = true, true
	case f.n.value.typ != typeText:
	case mayBeCut(f.row, have, bound):
		f.found, f.unknown = true, true
	case f.n.op == opNotEqual:
		f.found = true
		f.met = f.met || sameText(have, f.n.value.text)
	default:
		f.found = true
		f.met = f.met || textIs(have, f.n.op, f.n.value.text)
	}
}

func (f *finder) truth() Truth {
	unknown := f.unknown || f.row.Cut
	switch {
	case f.n.kind == nodeKeyword && f.n.op != opNone && f.n.value.typ != typeText:
		return False // all these keywords are texts
	case f.n.op == opNotEqual:
		switch {
		case f.met:
			return False
		case unknown:
			return Unknown
		}
		return truth(f.found)
	case f.met:
		return True
	case unknown:
		return Unknown
	}
	return False
}

// annotationKey is a key that an expression asks for. It names every annotation
// with that very key, and those whose alias it is.
type annotationKey struct {
	key    string
	prefix string // what all keys that it names begin with
	alias  bool   // keys with other characters for its underscores are named too
}

func newAnnotationKey(key string) annotationKey {
	k := annotationKey{key: key, prefix: key}
	if i := strings.IndexByte(key, '_'); i >= 0 && trace.AliasKey(key) == key {
		k.prefix, k.alias = key[:i], true
	}
	return k
}

// names reports whether the expression's key names the annotation's. It is
// trace.AliasKey(key) == k.key without making the alias.
func (k *annotationKey) names(key string) bool {
	if key == k.key {
		return true
	}
	if !k.alias || len(key) < len(k.key) {
		return false
	}
	i := 0
	for j := range len(k.key) {
		if i >= len(key) {
			return false
		}
		c := key[i]
		if c < utf8.RuneSelf {
			i++
			if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || isDigit(c) {
				if c != k.key[j] {
					return false
				}
				continue
			}
		} else {
			_, size := utf8.DecodeRuneInString(key[i:])
			i += size
		}
		if k.key[j] != '_' {
			return false
		}
	}
	return i == len(key)
}

func (n *node) ofAnnotations(s *scope) Truth {
	f := finder{n: n, row: s.row}
	switch {
	case s.place == inTrace:
		f.allAnnotations()
		return f.truth()
	case s.place == inEdge && s.segment != nil:
		return n.ofCallAnnotations(s)
	}
	for _, i := range s.annotations {
		if i >= 0 && i < len(s.row.Annotations) {
			f.named(&s.row.Annotations[i])
		}
	}
	if s.place == inEdge {
		// Rows do not hold what callers say of their calls. Where nothing in the
		// trace would do, no call has it.
		all := finder{n: n, row: s.row}
		all.allAnnotations()
		f.unknown = f.unknown || all.unknown || all.met || n.op == opNotEqual && all.found
	}
	return f.truth()
}

// ofCallAnnotations is ofAnnotations for a call whose document is there. It is
// apart because it allocates.
func (n *node) ofCallAnnotations(s *scope) Truth {
	f := finder{n: n, row: s.row}
	s.eachAnnotation(f.named)
	return f.truth()
}

// eachAnnotation calls fn with the annotations of an element: those of a segment and its
// subsegments, those that the caller gave a call itself, and those that an inferred callee takes over.
func (s *scope) eachAnnotation(fn func(a *trace.Annotation)) {
	for _, i := range s.annotations {
		if i >= 0 && i < len(s.row.Annotations) {
			fn(&s.row.Annotations[i])
		}
	}
	if s.place != inEdge || s.segment == nil {
		return
	}
	if s.own == nil { // an expression may ask for them thousands of times
		own := new([]*trace.Annotation)
		s.row.AnnotationsOf(s.segment, func(a *trace.Annotation) { *own = append(*own, a) })
		s.own = own
	}
	for _, a := range *s.own {
		fn(a)
	}
}

// named judges an annotation if it has the key that is asked for.
func (f *finder) named(a *trace.Annotation) {
	if f.n.key.names(a.Key) {
		f.annotation(a)
	}
}

// allAnnotations judges the annotations of the trace.
func (f *finder) allAnnotations() {
	// They are sorted by key, so that those with one beginning are neighbours.
	list, key := f.row.Annotations, &f.n.key
	i := sort.Search(len(list), func(i int) bool { return list[i].Key >= key.prefix })
	for ; i < len(list) && strings.HasPrefix(list[i].Key, key.prefix); i++ {
		if key.names(list[i].Key) {
			f.annotation(&list[i])
		} else if !key.alias {
			break
		}
	}
}

func (f *finder) annotation(a *trace.Annotation) {
	if f.n.op == opNone {
		f.found = true
		f.met = f.met || a.Type != segment.TypeBool || a.Bool
		return
	}
	switch {
	case a.Type == segment.TypeString:
		f.annotated(a.String, cutAnnotation)
	case a.Type == segment.TypeNumber && f.n.value.typ == typeNumber:
		f.found = true
		op := f.n.op
		if op == opNotEqual {
			op = opEqual
		}
		f.met = f.met || numberIs(a.Number, op, f.n.value.number)
	case a.Type == segment.TypeBool && f.n.value.typ == typeBool:
		f.found = true
		if f.n.op == opEqual || f.n.op == opNotEqual {
			f.met = f.met || a.Bool == f.n.value.bool
		}
	}
}

// serviceAt returns a node of the row, nil when the index is wrong.
func serviceAt(row *trace.Row, i int) *trace.ServiceID {
	if i < 0 || i >= len(row.Services) {
		return nil
	}
	return &row.Services[i]
}

func (m *matcher) matchAt(row *trace.Row, i int) bool {
	id := serviceAt(row, i)
	return id != nil && m.match(id)
}

func (s *scope) inWindow(flags trace.Flags, end int64) bool {
	return flags&trace.FlagInProgress == 0 && end >= s.from && end < s.to
}

// ofServices judges service(): some segment of a service that is meant, or the
// call to an inferred one, satisfies what is in braces.
func (n *node) ofServices(s *scope, negated bool) Truth {
	row, window := s.row, s.window && !negated
	if len(n.kids) == 0 && !window {
		for i := range row.Services {
			if n.to.match(&row.Services[i]) {
				return True
			}
		}
		return absent(row)
	}
	result := absent(row)
	for i := range row.Segments {
		if !s.goesOn(n.weight) {
			return Unknown
		}
		e := &row.Segments[i]
		if !n.to.matchAt(row, e.Service) || window && !s.inWindow(e.Flags, e.End) {
			continue
		}
		switch n.judgeSegment(row, e) {
		case True:
			if window && s.matched == (Matched{}) {
				s.matched = Matched{Segment: e}
			}
			return True
		case Unknown:
			result = Unknown
		}
	}
	for i := range row.Calls {
		if !s.goesOn(n.weight) {
			return Unknown
		}
		e := &row.Calls[i]
		// The client sends no segments either; its calls stand in for it, but
		// only where a moment is asked for.
		at := e.To
		if e.Flags&trace.FlagInferred == 0 {
			if at = e.From; len(n.kids) > 0 || !isClient(row, at) {
				continue
			}
		}
		if !n.to.matchAt(row, at) || window && !s.inWindow(e.Flags, e.End) {
			continue
		}
		switch n.judgeCall(row, e, inService) {
		case True:
			if window && s.matched == (Matched{}) {
				s.matched = Matched{Call: e}
			}
			return True
		case Unknown:
			result = Unknown
		}
	}
	return result
}

func isClient(row *trace.Row, i int) bool {
	id := serviceAt(row, i)
	return id != nil && id.Type == "client"
}

// ofCalls judges edge(): some call between nodes that are meant satisfies what
// is in braces.
func (n *node) ofCalls(s *scope, negated bool) Truth {
	row, window := s.row, s.window && !negated
	result := absent(row)
	for i := range row.Calls {
		if !s.goesOn(n.weight) {
			return Unknown
		}
		e := &row.Calls[i]
		if !n.from.matchAt(row, e.From) || !n.to.matchAt(row, e.To) || window && !s.inWindow(e.Flags, e.End) {
			continue
		}
		switch n.judgeCall(row, e, inEdge) {
		case True:
			if window && s.matched == (Matched{}) {
				s.matched = Matched{Call: e, Edge: true}
			}
			return True
		case Unknown:
			result = Unknown
		}
	}
	return result
}

func (n *node) judgeSegment(row *trace.Row, e *trace.SegmentEntry) Truth {
	if len(n.kids) == 0 {
		return True
	}
	s := segmentScope(row, e)
	return n.kids[0].eval(&s, false)
}

func (n *node) judgeCall(row *trace.Row, e *trace.CallEntry, in place) Truth {
	if len(n.kids) == 0 {
		return True
	}
	s := callScope(row, e, in)
	return n.kids[0].eval(&s, false)
}

func segmentScope(row *trace.Row, e *trace.SegmentEntry) scope {
	return scope{row: row, place: inService, node: e.Service, caller: -1, flags: e.Flags, status: e.Status,
		duration: e.Duration, hasDuration: e.HasDuration, annotations: e.Annotations, segment: e.Segment}
}

func callScope(row *trace.Row, e *trace.CallEntry, in place) scope {
	return scope{row: row, place: in, call: true, node: e.To, caller: e.From, flags: e.Flags, status: e.Status,
		duration: e.Duration, hasDuration: e.HasDuration, annotations: e.Annotations, segment: e.Segment}
}

// inferred reports whether an element is known from its caller alone. Of the call to a
// callee that was sent as inferred the callee's segments tell.
func (s *scope) inferred() bool {
	if s.flags&trace.FlagInferred != 0 {
		return true
	}
	if !s.call {
		return false
	}
	sent := false
	for i := range s.row.Segments {
		if e := &s.row.Segments[i]; e.Service == s.node {
			if e.Flags&trace.FlagInferred == 0 {
				return false
			}
			sent = true
		}
	}
	return sent
}

// ofElement judges a keyword in the braces of service() or edge().
func (n *node) ofElement(s *scope) Truth {
	const marks = trace.FlagError | trace.FlagFault | trace.FlagThrottle
	switch n.kw {
	case kwOK:
		return n.compareBool(s.flags&marks == 0)
	case kwError:
		return n.compareBool(s.flags&trace.FlagError != 0 && s.flags&trace.FlagThrottle == 0)
	case kwThrottle:
		return n.compareBool(s.flags&trace.FlagThrottle != 0)
	case kwFault:
		return n.compareBool(s.flags&trace.FlagFault != 0)
	case kwPartial:
		return n.compareBool(s.row.Partial)
	case kwInferred:
		if s.call && s.flags&trace.FlagInferred == 0 && s.row.Cut {
			return Unknown // the callee's segments tell
		}
		return n.compareBool(s.inferred())
	case kwRoot:
		if s.call {
			return n.compareBool(s.place == inEdge && isClient(s.row, s.caller))
		}
		return n.compareBool(s.flags&trace.FlagRoot != 0)
	case kwResponseTime, kwDuration:
		return n.compareNumber(s.duration, s.hasDuration && s.flags&trace.FlagInProgress == 0)
	case kwStatus:
		return n.compareNumber(float64(s.status), s.status != 0)
	case kwName, kwType, kwAccount:
		id := serviceAt(s.row, s.node)
		if id == nil {
			return absent(s.row)
		}
		have := id.Name
		if n.kw == kwType {
			have = id.Type
		} else if n.kw == kwAccount {
			have = id.AccountID
		}
		return n.compareText(have, mayBeCut(s.row, have, cutText))
	}
	return n.ofSegment(s)
}

// ofSegment judges a keyword that only the document of an element can answer.
func (n *node) ofSegment(s *scope) Truth {
	if n.op != opNone && n.value.typ != typeText {
		return False
	}
	seg := s.segment
	if seg == nil {
		// Where no segment of the trace has it, this one has not.
		var all []string
		switch n.kw {
		case kwUser:
			all = s.row.Users
		case kwZone:
			all = s.row.Zones
		case kwInstance:
			all = s.row.InstanceIDs
		case kwARN:
			all = s.row.ResourceARNs
		default:
			return Unknown
		}
		if s.row.Cut {
			return Unknown
		}
		for _, have := range all {
			if n.op == opNone || textIs(have, n.op, n.value.text) {
				return Unknown
			}
		}
		return False
	}
	switch n.kw {
	case kwURL, kwMethod, kwUserAgent, kwClientIP:
		return n.compareText(s.ofRequest(n.kw), false)
	}
	if seg.Kind != segment.KindSegment {
		return False // the fields below belong to segments
	}
	f := finder{n: n, row: &fullRow}
	switch n.kw {
	case kwUser:
		f.text(seg.User, cutText)
	case kwZone:
		f.text(seg.AWS.Get("ec2", "availability_zone").String(), cutText)
		f.text(seg.AWS.Get("ecs", "availability_zone").String(), cutText)
	case kwInstance:
		f.text(seg.AWS.Get("ec2", "instance_id").String(), cutText)
	case kwARN:
		f.text(seg.ResourceARN, cutText)
		f.text(seg.AWS.Get("resource_arn").String(), cutText)
	}
	return f.truth()
}

// ofRequest returns what the segment says of the request. The four texts are
// taken out of the document together and kept: an expression may ask for them
// thousands of times.
func (s *scope) ofRequest(kw keyword) string {
	if s.request == nil {
		s.request = new([4]string)
		var values [len(s.request)]segment.Raw
		s.segment.HTTP.Get("request").Find(values[:], "url", "method", "user_agent", "client_ip")
		for i, v := range values {
			s.request[i] = v.String()
		}
	}
	return s.request[kw-kwURL]
}

// fullRow stands for a row that leaves nothing out.
var fullRow trace.Row

func causesOf(row *trace.Row, kind causeKind) []trace.RootCause {
	switch kind {
	case causeFault:
		return row.FaultCauses
	case causeError:
		return row.ErrorCauses
	}
	return row.ResponseTimeCauses
}

// ofCauses judges rootcause.*.*: some element of some root cause of that kind
// satisfies what is in braces.
func (n *node) ofCauses(s *scope) Truth {
	row := s.row
	result := absent(row)
	inner := scope{row: row, place: n.cause.inner}
	causes := causesOf(row, n.cause.kind)
	if len(n.kids) == 0 {
		if len(causes) > 0 {
			return True
		}
		return result
	}
	if row.Cut {
		return Unknown // what is last in a list that was cut may not be
	}
	for i := range causes {
		if !s.goesOn(n.weight) {
			return Unknown
		}
		switch n.ofPath(&inner, &causes[i]) {
		case True:
			return True
		case Unknown:
			result = Unknown
		}
	}
	return result
}

// ofPath judges what is in braces on each element of one root cause. The
// entities of all its services are one list, and so are their exceptions.
func (n *node) ofPath(s *scope, c *trace.RootCause) Truth {
	result := False
	s.index, s.last = 0, len(c.Services)-1
	if n.cause.inner != inCause {
		s.last = -1
		for i := range c.Services {
			entities := c.Services[i].Entities
			if n.cause.inner != inException {
				s.last += len(entities)
				continue
			}
			for j := range entities {
				s.last += len(entities[j].Exceptions)
			}
		}
	}
	judge := func() bool {
		switch n.kids[0].eval(s, false) {
		case True:
			result = True
			return true
		case Unknown:
			result = Unknown
		}
		s.index++
		return false
	}
	for i := range c.Services {
		s.service, s.entity, s.exception = &c.Services[i], nil, nil
		if n.cause.inner == inCause {
			if judge() {
				return True
			}
			continue
		}
		for j := range s.service.Entities {
			s.entity, s.exception = &s.service.Entities[j], nil
			if n.cause.inner != inException {
				if judge() {
					return True
				}
				continue
			}
			for k := range s.entity.Exceptions {
				if s.exception = &s.entity.Exceptions[k]; judge() {
					return True
				}
			}
		}
	}
	return result
}

// ofCause judges a keyword in the braces of a root cause.
func (n *node) ofCause(s *scope) Truth {
	switch n.kw {
	case kwFirst:
		return n.compareBool(s.index == 0)
	case kwLast:
		return n.compareBool(s.index == s.last)
	case kwIndex:
		return n.compareNumber(float64(s.index), true)
	case kwInferred:
		return n.compareBool(s.service.Inferred)
	case kwRemote:
		if s.entity == nil {
			return n.compareBool(s.service.Service.Type == "remote")
		}
		return n.compareBool(s.entity.Remote)
	case kwCoverage:
		return n.compareNumber(s.entity.Coverage, true)
	case kwMessage:
		return n.compareText(s.exception.Message, mayBeCut(s.row, s.exception.Message, cutText))
	case kwType:
		return n.compareText(s.service.Service.Type, false)
	case kwAccount:
		return n.compareText(s.service.Service.AccountID, false)
	case kwName:
		have := s.service.Service.Name
		if s.exception != nil {
			have = s.exception.Name
		} else if s.entity != nil {
			have = s.entity.Name
		}
		return n.compareText(have, mayBeCut(s.row, have, cutText))
	}
	return False
}

func (n *node) ofCauseJSON(row *trace.Row) Truth {
	some, met := false, false
	for kind := causeFault; kind <= causeResponseTime; kind++ {
		causes := causesOf(row, kind)
		some = some || len(causes) > 0
		met = met || n.causes.match(causes)
	}
	if len(n.causes.causes) == 0 { // asks for none at all
		met = !some && !n.causes.never
	}
	if n.op == opNotEqual {
		if met || row.Cut {
			if met {
				return False
			}
			return Unknown
		}
		return truth(some)
	}
	switch {
	case row.Cut:
		return Unknown // a cause that was cut looks shorter than it is
	case met:
		return True
	}
	return False
}
