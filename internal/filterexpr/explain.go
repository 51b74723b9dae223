package filterexpr

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/segment"
)

// Explanation tells how a part of an expression was understood, and what became
// of it for a trace.
type Explanation struct {
	// Text is the part as it was written, a long one cut. It stands at Start, in
	// bytes, up to End.
	Text  string `json:"Text"`
	Start int    `json:"Start"`
	End   int    `json:"End"`
	// Meaning says the same in English.
	Meaning string `json:"Meaning"`
	// Truth is "true", "false" or "unknown", "" when there is no trace.
	Truth string `json:"Truth,omitempty"`
	// Found is what the trace has in this place.
	Found string `json:"Found,omitempty"`
	// Parts are the conditions that this one is made of. Those in the braces of
	// service(), edge() and root causes are judged on one element: the first that
	// satisfies them all or, when none does, the one that comes nearest. Found
	// says which.
	Parts []*Explanation `json:"Parts,omitempty"`
}

// Bounds of an explanation. Texts are repeated at each level, so that those of
// large parts are cut.
const (
	maxExplainedText = 400
	maxExplained     = 5000 // parts; what lies deeper is not taken apart
	maxFoundText     = 120
	maxFoundValues   = 6
	// maxExplainedWork is how many conditions on segments, calls and root causes
	// are judged: what stands in braces is looked at anew at each level above it.
	// It takes half a second; what is not known by then is "unknown".
	maxExplainedWork = 30_000_000
)

// Explain tells how the expression was understood and, unless row is nil, which
// of its parts are true of that trace. An expanded group is taken apart too: the
// texts of its parts are those of the group's own expression.
func (e *Expr) Explain(row *trace.Row) *Explanation {
	x := explainer{text: e.text, left: maxExplained}
	l := limits{most: maxExplainedWork}
	if e.limits != nil {
		l.done = e.done
	}
	s := scope{row: row, place: inTrace, limits: &l}
	return x.node(e.root, &s)
}

type explainer struct {
	text string
	left int
}

func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return shorten(s, limit) + "…"
}

func (x *explainer) node(n *node, s *scope) *Explanation {
	x.left--
	e := &Explanation{Text: clip(x.text[n.start:n.end], maxExplainedText), Start: n.start, End: n.end, Meaning: n.meaning()}
	if s.row != nil {
		e.Truth = n.eval(s, false).String()
	}
	if x.left <= 0 {
		return e
	}
	switch n.kind {
	case nodeAnd, nodeOr, nodeNot:
		for _, kid := range n.kids {
			if x.left <= 0 {
				break
			}
			e.Parts = append(e.Parts, x.node(kid, s))
		}
	case nodeGroup:
		if n.expanded != nil {
			outer := x.text
			x.text = n.expanded.text
			e.Parts = []*Explanation{x.node(n.expanded.root, s)}
			x.text = outer
		}
	case nodeService, nodeEdge, nodeCause:
		inner := scope{place: n.inner()}
		if s.row != nil {
			var ok bool
			if inner, e.Found, ok = n.nearest(s); !ok {
				inner = scope{place: n.inner()}
			}
		}
		if len(n.kids) > 0 {
			e.Parts = []*Explanation{x.node(n.kids[0], &inner)}
		}
	default:
		if s.row != nil {
			e.Found = n.found(s)
		}
	}
	return e
}

// inner is where the conditions in braces stand.
func (n *node) inner() place {
	switch n.kind {
	case nodeService:
		return inService
	case nodeEdge:
		return inEdge
	}
	return n.cause.inner
}

// candidate is an element that the conditions in braces are judged on.
type candidate struct {
	scope scope
	text  string
}

// candidates calls fn for the elements that the condition is about, until it
// returns false.
func (n *node) candidates(row *trace.Row, fn func(c *candidate) bool) {
	switch n.kind {
	case nodeService:
		for i := range row.Segments {
			if e := &row.Segments[i]; n.to.matchAt(row, e.Service) && !fn(&candidate{scope: segmentScope(row, e)}) {
				return
			}
		}
		for i := range row.Calls {
			if e := &row.Calls[i]; e.Flags&trace.FlagInferred != 0 && n.to.matchAt(row, e.To) &&
				!fn(&candidate{scope: callScope(row, e, inService)}) {
				return
			}
		}
	case nodeEdge:
		for i := range row.Calls {
			if e := &row.Calls[i]; n.from.matchAt(row, e.From) && n.to.matchAt(row, e.To) && !fn(&candidate{scope: callScope(row, e, inEdge)}) {
				return
			}
		}
	case nodeCause:
		causes := causesOf(row, n.cause.kind)
		for i := range causes {
			list := n.causeCandidates(row, &causes[i])
			for j := range list {
				if !fn(&list[j]) {
					return
				}
			}
		}
	}
}

// nearest returns the element that satisfies what is in braces or comes nearest
// to it, and says what elements there are.
func (n *node) nearest(s *scope) (scope, string, bool) {
	row := s.row
	var first, best candidate
	count, satisfied, bestScore := 0, 0, -1
	all := true
	n.candidates(row, func(c *candidate) bool {
		// To make a candidate takes as long as some ten conditions.
		if all = s.goesOn(10 + 2*n.weight); !all {
			return false
		}
		if count++; count == 1 {
			first = *c
		}
		if len(n.kids) == 0 {
			return true
		}
		score := n.kids[0].score(&c.scope)
		if n.kids[0].eval(&c.scope, false) == True {
			satisfied++
			score = 1 << 30
		}
		if score > bestScore {
			best, bestScore = *c, score
		}
		return true
	})
	what := n.elements()
	switch {
	case !all:
		return scope{}, "too many " + what + " to look at all of them", false
	case count > 0 && len(n.kids) == 0:
		return scope{}, fmt.Sprintf("%s: %d, the first one %s", what, count, first.describe()), false
	case count > 0 && satisfied > 0:
		return best.scope, fmt.Sprintf("%s: %d, %d of them as the braces ask; the first such is %s", what, count, satisfied, best.describe()), true
	case count > 0:
		return best.scope, fmt.Sprintf("%s: %d, none of them as the braces ask; nearest comes %s", what, count, best.describe()), true
	case n.kind != nodeService:
		return scope{}, "no " + what, false
	case n.eachNode(row) == 0:
		return scope{}, "no " + what + "; the trace has " + nodeList(row.Services), false
	case len(n.kids) > 0:
		return scope{}, "there is such a service, but no segment of it: " + n.nodeNames(row), false
	}
	return scope{}, "services: " + n.nodeNames(row), false
}

// score counts what is true of the conditions that stand side by side.
func (n *node) score(s *scope) int {
	if n.kind != nodeAnd {
		return int(truth(n.eval(s, false) == True))
	}
	score := 0
	for _, kid := range n.kids {
		score += kid.score(s)
	}
	return score
}

// causeCandidates returns the elements of one root cause.
func (n *node) causeCandidates(row *trace.Row, cause *trace.RootCause) []candidate {
	var list []candidate
	add := func(s scope, text string) {
		s.row, s.place, s.index = row, n.cause.inner, len(list)
		list = append(list, candidate{s, text})
	}
	for i := range cause.Services {
		svc := &cause.Services[i]
		if n.cause.inner == inCause {
			add(scope{service: svc}, nodeText(svc.Service))
			continue
		}
		for j := range svc.Entities {
			ent := &svc.Entities[j]
			if n.cause.inner != inException {
				add(scope{service: svc, entity: ent}, clip(ent.Name, maxFoundText)+" in "+nodeText(svc.Service))
				continue
			}
			for k := range ent.Exceptions {
				exc := &ent.Exceptions[k]
				add(scope{service: svc, entity: ent, exception: exc}, clip(exc.Name, maxFoundText)+": "+clip(exc.Message, maxFoundText))
			}
		}
	}
	for i := range list {
		list[i].scope.last = len(list) - 1
	}
	return list
}

// elements names what a condition looks at.
func (n *node) elements() string {
	switch n.kind {
	case nodeService:
		return "segments of " + n.to.words()
	case nodeEdge:
		return "calls from " + n.from.words() + " to " + n.to.words()
	}
	kind := [...]string{"fault", "error", "response time"}[n.cause.kind]
	switch n.cause.inner {
	case inCause:
		return "services in root causes of a " + kind
	case inException:
		return "exceptions in root causes of a " + kind
	}
	return "entities in root causes of a " + kind
}

func (n *node) eachNode(row *trace.Row) int {
	count := 0
	for i := range row.Services {
		if n.to.match(&row.Services[i]) {
			count++
		}
	}
	return count
}

func (n *node) nodeNames(row *trace.Row) string {
	var list []trace.ServiceID
	for i := range row.Services {
		if n.to.match(&row.Services[i]) {
			list = append(list, row.Services[i])
		}
	}
	return nodeList(list)
}

func nodeList(list []trace.ServiceID) string {
	if len(list) == 0 {
		return "no services"
	}
	var texts []string
	for i, id := range list {
		if i == maxFoundValues {
			texts = append(texts, fmt.Sprintf("and %d more", len(list)-i))
			break
		}
		texts = append(texts, nodeText(id))
	}
	return strings.Join(texts, ", ")
}

func nodeText(id trace.ServiceID) string {
	text := clip(id.Name, maxFoundText)
	if id.Type != "" {
		text += " (" + clip(id.Type, maxFoundText) + ")"
	}
	return text
}

// describe tells an element apart from its neighbours.
func (c *candidate) describe() string {
	if c.text != "" {
		return strconv.Itoa(c.scope.index) + ", " + c.text
	}
	s := &c.scope
	var parts []string
	name := func(i int) string {
		if id := serviceAt(s.row, i); id != nil {
			return nodeText(*id)
		}
		return "a service that is not known"
	}
	switch {
	case s.place == inEdge:
		parts = append(parts, "a call from "+name(s.caller)+" to "+name(s.node))
	case s.call:
		parts = append(parts, "the call to "+name(s.node))
	default:
		parts = append(parts, "a segment of "+name(s.node))
	}
	if list := flagsList(s.flags); list != nil {
		parts = append(parts, strings.Join(list, " and "))
	} else {
		parts = append(parts, "ok")
	}
	if s.status != 0 {
		parts = append(parts, "status "+strconv.Itoa(s.status))
	}
	if s.flags&trace.FlagInProgress != 0 {
		parts = append(parts, "unfinished")
	} else if s.hasDuration {
		parts = append(parts, numberText(s.duration)+" s")
	}
	return strings.Join(parts, ", ")
}

// flagsPhrase says what went wrong with something, as in "has a fault".
func flagsPhrase(flags trace.Flags) string {
	var list []string
	for _, f := range flagsList(flags) {
		article := "a "
		if f == "error" {
			article = "an "
		}
		list = append(list, article+f)
	}
	if list == nil {
		return "is ok"
	}
	return "has " + strings.Join(list, " and ")
}

// flagsList names the flags that are set.
func flagsList(flags trace.Flags) []string {
	var list []string
	for _, f := range []struct {
		flag trace.Flags
		text string
	}{{trace.FlagError, "error"}, {trace.FlagFault, "fault"}, {trace.FlagThrottle, "throttle"}} {
		if flags&f.flag != 0 {
			list = append(list, f.text)
		}
	}
	return list
}

func numberText(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

func (m *matcher) words() string {
	var parts []string
	if m.hasName {
		parts = append(parts, clip(m.name, maxFoundText))
	}
	if m.hasType {
		parts = append(parts, "type "+quote(clip(m.typ, maxFoundText)))
	}
	if m.hasAccount {
		parts = append(parts, "account "+quote(clip(m.account, maxFoundText)))
	}
	switch {
	case m.any():
		return "any service"
	case m.hasName:
		return strings.Join(parts, " with ")
	}
	return "a service with " + strings.Join(parts, " and ")
}

// found says what a trace or an element has in the place of a condition.
func (n *node) found(s *scope) string {
	switch n.kind {
	case nodeKeyword:
		return n.foundKeyword(s)
	case nodeAnnotation:
		return n.foundAnnotations(s)
	case nodeCauseJSON:
		return fmt.Sprintf("root causes: %d of faults, %d of errors, %d of response time",
			len(s.row.FaultCauses), len(s.row.ErrorCauses), len(s.row.ResponseTimeCauses))
	}
	return ""
}

func (n *node) foundAnnotations(s *scope) string {
	var values []string
	var keys []string
	other := 0
	see := func(a *trace.Annotation) {
		if !n.key.names(a.Key) {
			return
		}
		if !slices.Contains(keys, a.Key) && len(keys) < maxFoundValues {
			keys = append(keys, a.Key)
		}
		if len(values) == maxFoundValues {
			other++
			return
		}
		values = append(values, annotationValue(a))
	}
	if s.place == inTrace {
		for i := range s.row.Annotations {
			see(&s.row.Annotations[i])
		}
	} else {
		s.eachAnnotation(see)
	}
	if len(values) == 0 {
		if s.row.Cut {
			return "no annotation " + clip(n.key.key, maxFoundText) + " in what the index holds of the trace"
		}
		return "no annotation " + clip(n.key.key, maxFoundText)
	}
	text := clip(strings.Join(keys, ", "), maxFoundText) + " is " + strings.Join(values, ", ")
	if other > 0 {
		text += fmt.Sprintf(" and %d more", other)
	}
	return text
}

func annotationValue(a *trace.Annotation) string {
	switch a.Type {
	case segment.TypeNumber:
		return numberText(a.Number)
	case segment.TypeBool:
		return strconv.FormatBool(a.Bool)
	}
	return quote(clip(a.String, maxFoundText))
}

func (n *node) foundKeyword(s *scope) string {
	name := keywords[n.kw].text
	none := "no " + name
	is := func(value string) string {
		if value == "" {
			return none
		}
		return name + " is " + quote(clip(value, maxFoundText))
	}
	list := func(values []string) string {
		if len(values) == 0 {
			return none
		}
		var texts []string
		for i, v := range values {
			if i == maxFoundValues {
				texts = append(texts, fmt.Sprintf("and %d more", len(values)-i))
				break
			}
			texts = append(texts, quote(clip(v, maxFoundText)))
		}
		return name + " is " + strings.Join(texts, ", ")
	}
	num := func(f float64, ok bool, why string) string {
		if !ok {
			return none + why
		}
		return name + " is " + numberText(f)
	}
	row := s.row
	if s.place == inTrace {
		switch n.kw {
		case kwOK, kwError, kwFault, kwThrottle:
			if !row.HasRoot {
				return "no root has arrived, so that no flag is set"
			}
			var flags trace.Flags
			if row.HasError {
				flags |= trace.FlagError
			}
			if row.HasFault {
				flags |= trace.FlagFault
			}
			if row.HasThrottle {
				flags |= trace.FlagThrottle
			}
			return "the root " + flagsPhrase(flags)
		case kwPartial:
			if row.Partial {
				return "a segment names a parent that is not there"
			}
			return "no segment's parent is missing"
		case kwRoot:
			if row.HasRoot {
				return "the root is " + nodeText(row.Root)
			}
			return "no root has arrived"
		case kwInferred:
			return fmt.Sprintf("known from their callers alone: %d", countInferred(row))
		case kwResponseTime:
			why := ""
			if row.InProgress {
				why = ": something is unfinished"
			} else if !row.HasRoot {
				why = ": no root has arrived"
			}
			return num(row.ResponseTime, row.HasResponseTime, why)
		case kwDuration:
			why := ""
			if row.InProgress {
				why = ": something is unfinished"
			}
			return num(row.Duration, row.HasDuration, why)
		case kwStatus:
			return num(float64(row.Status), row.Status != 0, "")
		case kwURL:
			return is(row.URL)
		case kwMethod:
			return is(row.Method)
		case kwUserAgent:
			return is(row.UserAgent)
		case kwClientIP:
			return is(row.ClientIP)
		case kwName:
			return is(row.Root.Name)
		case kwType:
			return is(row.Root.Type)
		case kwUser:
			return list(row.Users)
		case kwZone:
			return list(row.Zones)
		case kwInstance:
			return list(row.InstanceIDs)
		case kwARN:
			return list(row.ResourceARNs)
		case kwAccount:
			var accounts []string
			for _, id := range row.Services {
				if id.AccountID != "" && !slices.Contains(accounts, id.AccountID) {
					accounts = append(accounts, id.AccountID)
				}
			}
			return list(accounts)
		}
		return ""
	}
	if s.place&inAnyCause != 0 {
		switch n.kw {
		case kwFirst, kwLast, kwIndex:
			return fmt.Sprintf("index is %d, of %d", s.index, s.last+1)
		case kwInferred:
			return "inferred is " + strconv.FormatBool(s.service.Inferred)
		case kwCoverage:
			return num(s.entity.Coverage, true, "")
		case kwMessage:
			return is(s.exception.Message)
		case kwType:
			return is(s.service.Service.Type)
		case kwAccount:
			return is(s.service.Service.AccountID)
		case kwRemote:
			return "remote is " + strconv.FormatBool(s.entity != nil && s.entity.Remote || s.entity == nil && s.service.Service.Type == "remote")
		case kwName:
			switch {
			case s.exception != nil:
				return is(s.exception.Name)
			case s.entity != nil:
				return is(s.entity.Name)
			}
			return is(s.service.Service.Name)
		}
		return ""
	}
	switch n.kw {
	case kwOK, kwError, kwFault, kwThrottle:
		return "it " + flagsPhrase(s.flags)
	case kwResponseTime, kwDuration:
		why := ""
		if s.flags&trace.FlagInProgress != 0 {
			why = ": it is unfinished"
		}
		return num(s.duration, s.hasDuration && why == "", why)
	case kwStatus:
		return num(float64(s.status), s.status != 0, "")
	case kwName, kwType, kwAccount:
		id := serviceAt(row, s.node)
		switch {
		case id == nil:
			return none
		case n.kw == kwType:
			return is(id.Type)
		case n.kw == kwAccount:
			return is(id.AccountID)
		}
		return is(id.Name)
	case kwRoot:
		if s.flags&trace.FlagRoot != 0 {
			return "it is the root"
		}
		return "it is not the root"
	case kwInferred:
		switch {
		case !s.inferred():
		case s.call && s.flags&trace.FlagInferred != 0:
			return "it sent nothing itself"
		default:
			return "its segment was sent as inferred"
		}
		return "it sent a segment"
	case kwPartial:
		return "partial is " + strconv.FormatBool(row.Partial)
	}
	if s.segment == nil {
		return "the index does not hold " + name + " of single segments"
	}
	return list(n.segmentTexts(s.segment))
}

// segmentTexts returns the values that the document of an element has.
func (n *node) segmentTexts(seg *segment.Segment) []string {
	var list []string
	add := func(s string) {
		if s != "" {
			list = append(list, s)
		}
	}
	request := seg.HTTP.Get("request")
	switch n.kw {
	case kwURL:
		add(request.Get("url").String())
	case kwMethod:
		add(request.Get("method").String())
	case kwUserAgent:
		add(request.Get("user_agent").String())
	case kwClientIP:
		add(request.Get("client_ip").String())
	}
	if seg.Kind != segment.KindSegment {
		return list
	}
	switch n.kw {
	case kwUser:
		add(seg.User)
	case kwZone:
		add(seg.AWS.Get("ec2", "availability_zone").String())
		add(seg.AWS.Get("ecs", "availability_zone").String())
	case kwInstance:
		add(seg.AWS.Get("ec2", "instance_id").String())
	case kwARN:
		add(seg.ResourceARN)
		add(seg.AWS.Get("resource_arn").String())
	}
	return list
}

// meaning says in English what a part of an expression asks for.
func (n *node) meaning() string {
	switch n.kind {
	case nodeAnd:
		return "all of these hold"
	case nodeOr:
		return "at least one of these holds"
	case nodeNot:
		return "this does not hold"
	case nodeKeyword:
		return n.keywordMeaning()
	case nodeAnnotation:
		key := "the annotation " + clip(n.key.key, maxFoundText)
		if n.place&inElement != 0 {
			key += " of the " + n.place.element()
		}
		switch n.op {
		case opNone:
			return key + " is set, and not false"
		case opNotEqual:
			return key + " is set, and no value that was reported is " + n.valueText()
		}
		return key + " " + n.comparisonText()
	case nodeService:
		if len(n.kids) > 0 {
			return n.to.words() + " has a segment (or a call to it, when it sends none itself) for which this holds"
		}
		return n.to.words() + " is in the trace"
	case nodeEdge:
		if len(n.kids) > 0 {
			return n.from.words() + " calls " + n.to.words() + ", and for one such call this holds"
		}
		return n.from.words() + " calls " + n.to.words()
	case nodeCause:
		if len(n.kids) > 0 {
			return "there is " + n.cause.detail + " for which this holds"
		}
		return "there is " + n.cause.detail
	case nodeCauseJSON:
		if n.op == opNotEqual {
			return "there are root causes, and they do not have this form"
		}
		return "there are root causes of this form"
	case nodeGroup:
		what := "the trace belongs"
		if n.op == opNotEqual {
			what = "the trace does not belong"
		}
		if n.group == (GroupRef{}) {
			return what + " to a group without a name, which there is not"
		}
		return what + " to the group " + clip(n.group.String(), maxFoundText) + " by the expression that it has now"
	}
	return ""
}

// element names what conditions in braces are judged on.
func (p place) element() string {
	switch p {
	case inService:
		return "segment"
	case inEdge:
		return "call"
	case inCause:
		return "service"
	case inException:
		return "exception"
	}
	return "entity"
}

func (n *node) keywordMeaning() string {
	of := n.place.element()
	if n.place == inTrace {
		of = "root"
	}
	if keywords[n.kw].typ == typeBool {
		return n.flagMeaning(of)
	}
	subject := ""
	switch n.kw {
	case kwResponseTime:
		subject = "the response time of the " + of
	case kwDuration:
		subject = "the duration of the " + of
		if n.place == inTrace {
			subject = "the duration of the whole trace"
		}
	case kwStatus:
		switch n.op {
		case opEqual:
			return "the " + of + " answered with the status " + n.valueText()
		case opNotEqual:
			return "the " + of + " answered with a status other than " + n.valueText()
		case opGreaterEqual:
			return "the " + of + " answered with a status of " + n.valueText() + " or more"
		case opLessEqual:
			return "the " + of + " answered with a status of " + n.valueText() + " or less"
		case opGreater:
			return "the " + of + " answered with a status above " + n.valueText()
		case opLess:
			return "the " + of + " answered with a status below " + n.valueText()
		}
		return "the " + of + " answered with a status"
	case kwIndex:
		subject = "the place of the " + of + " in its list, counted from 0,"
	case kwCoverage:
		subject = "the share of the response time that the " + of + " took"
	case kwURL:
		subject = "the URL of the " + of + "'s request"
	case kwMethod:
		subject = "the method of the " + of + "'s request"
	case kwUserAgent:
		subject = "the user agent of the " + of + "'s request"
	case kwClientIP:
		subject = "the client's address in the " + of + "'s request"
	case kwName:
		subject = "the name of the " + of
		if n.place&inElement != 0 {
			subject = "the name of the service"
		}
	case kwType:
		subject = "the type of the service"
		if n.place == inTrace {
			subject = "the type of the root's service"
		}
	case kwMessage:
		subject = "the message of the exception"
	case kwUser:
		subject = "the user of " + n.someSegment()
	case kwZone:
		subject = "the availability zone of " + n.someSegment()
	case kwInstance:
		subject = "the EC2 instance of " + n.someSegment()
	case kwARN:
		subject = "the resource of " + n.someSegment()
	case kwAccount:
		subject = "the account of the service"
		if n.place == inTrace {
			subject = "the account of some service"
		}
	}
	if n.op == opNone {
		return subject + " is known"
	}
	return subject + " " + n.comparisonText()
}

func (n *node) someSegment() string {
	if n.place == inTrace {
		return "some segment"
	}
	return "the " + n.place.element()
}

func (n *node) flagMeaning(of string) string {
	isTrue, isFalse := n.compareBool(true), n.compareBool(false)
	if isTrue != True && isFalse != True {
		return keywords[n.kw].text + " is compared with what is neither true nor false: this never holds"
	}
	yes := isTrue == True
	pick := func(a, b string) string {
		if yes {
			return a
		}
		return b
	}
	switch n.kw {
	case kwOK:
		return "the " + of + pick(" has neither error, fault nor throttle", " has an error, a fault or a throttle")
	case kwError:
		return "the " + of + pick(" is marked as an error (4xx), and not as throttled", " is not marked as an error, or is throttled")
	case kwFault:
		return "the " + of + pick(" is marked as a fault (5xx)", " is not marked as a fault")
	case kwThrottle:
		return "the " + of + pick(" was throttled (429)", " was not throttled")
	case kwPartial:
		return pick("a segment of the trace names a parent that has not arrived", "no segment of the trace lacks its parent")
	case kwInferred:
		if n.place == inTrace {
			return pick("some service is known from its caller alone", "each service that was called sent segments")
		}
		return "the service" + pick(" is known from its caller alone", " sent segments")
	case kwFirst:
		return "the " + of + pick(" is", " is not") + " the first of its list"
	case kwLast:
		return "the " + of + pick(" is", " is not") + " the last of its list"
	case kwRemote:
		return "the " + of + pick(" is", " is not") + " a call to another service"
	case kwRoot:
		if n.place == inTrace {
			return pick("the root of the trace has arrived", "no root of the trace has arrived")
		}
		if n.place == inEdge {
			return pick("the call is the client's", "the call is not the client's")
		}
		return "the segment" + pick(" is", " is not") + " the root of the trace"
	}
	return ""
}

// comparisonText puts operator and value into words.
func (n *node) comparisonText() string {
	typ := typeNone
	if n.kind == nodeKeyword {
		typ = keywords[n.kw].typ
	}
	fits := typ == typeNone && n.op.fits(n.value.typ) || typ != typeNone && n.value.typ == typ
	text := map[operator]string{
		opEqual: "is ", opNotEqual: "is known, and is not ",
		opLess: "is less than ", opLessEqual: "is at most ", opGreater: "is more than ", opGreaterEqual: "is at least ",
		opContains: "contains ", opBeginsWith: "begins with ", opEndsWith: "ends with ",
	}[n.op] + n.valueText()
	if !fits {
		text += ", which never holds: the value is of another type"
	}
	return text
}

func (n *node) valueText() string {
	v := n.value
	if v.typ == typeText {
		v.text = clip(v.text, maxFoundText)
	}
	if n.kind == nodeKeyword && v.typ == typeNumber && (n.kw == kwResponseTime || n.kw == kwDuration) {
		if v.number >= 0 && v.number < 1e9 {
			return v.String() + " s"
		}
	}
	return v.String()
}
