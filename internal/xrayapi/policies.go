package xrayapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/roentgen-io/roentgen/internal/control"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

var policyName = &shape{kind: kString, hasMin: true, min: 1, hasMax: true, max: 128, pattern: patternOf(`[\w+=,.@-]+`)}

var putResourcePolicyInput = &shape{kind: kStruct, members: []member{
	{name: "PolicyName", required: true, shape: policyName},
	{name: "PolicyDocument", required: true, shape: stringShape},
	{name: "PolicyRevisionId", shape: stringShape},
	{name: "BypassPolicyLockoutCheck", shape: boolShape},
}}

var deleteResourcePolicyInput = &shape{kind: kStruct, members: []member{
	{name: "PolicyName", required: true, shape: policyName},
	{name: "PolicyRevisionId", shape: stringShape},
}}

var listResourcePoliciesInput = &shape{kind: kStruct, members: []member{
	{name: "NextToken", shape: lengths(1, 100)},
}}

func (h *Handler) listResourcePolicies(c *call, in *value) error {
	if in.get(listResourcePoliciesInput, "NextToken") != nil {
		return apierr.New(apierr.InvalidRequest, "NextToken is currently not supported")
	}
	dst := []byte(`{"NextToken":null,"ResourcePolicies":[`)
	policies := h.cfg.Control.Policies()
	for i := range policies {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendPolicy(dst, &policies[i])
	}
	return c.reply(append(dst, "]}"...))
}

func appendPolicy(dst []byte, p *control.Policy) []byte {
	dst = append(dst, `{"LastUpdatedTime":`...)
	dst = appendDouble(dst, float64(p.Updated/1000))
	dst = append(dst, `,"PolicyDocument":`...)
	dst = segment.AppendString(dst, p.Document)
	dst = append(dst, `,"PolicyName":`...)
	dst = segment.AppendString(dst, p.Name)
	dst = append(dst, `,"PolicyRevisionId":`...)
	return append(segment.AppendString(dst, p.RevisionID()), '}')
}

// putResourcePolicy keeps a policy. It is checked as one, but binds nobody: access
// is decided by keys.
func (h *Handler) putResourcePolicy(c *call, in *value) error {
	sh := putResourcePolicyInput
	name := in.get(sh, "PolicyName").text()
	document, policy, err := readPolicy(in.get(sh, "PolicyDocument").text())
	switch {
	case errors.Is(err, errPolicySize):
		return apierr.New(apierr.PolicySizeLimitExceeded, "The resource policy %s is larger than %d bytes", name, control.MaxPolicy)
	case err != nil:
		return apierr.New(apierr.MalformedPolicyDocument, "The document of the resource policy %s is malformed: %s", name, shorten(err.Error()))
	}
	if bypass := in.get(sh, "BypassPolicyLockoutCheck"); bypass == nil || !bypass.b {
		if policy.deniesPutting(h.cfg.AccountID) {
			return apierr.New(apierr.LockoutPrevention, "The new resource policy will not allow the caller of this request to call PutResourcePolicy in the future.")
		}
	}
	p, err := h.cfg.Control.PutPolicy(c.ctx, name, document, in.get(sh, "PolicyRevisionId").text())
	switch {
	case errors.Is(err, control.ErrRevision):
		return apierr.New(apierr.InvalidPolicyRevisionID, "Another concurrent request has modified the resource policy %s", name)
	case errors.Is(err, control.ErrTooMany):
		return apierr.New(apierr.PolicyCountLimitExceeded, "The number of resource policies has reached its limit of %d", control.MaxPolicies)
	case err != nil:
		return controlError(err)
	}
	return c.reply(append(appendPolicy([]byte(`{"ResourcePolicy":`), &p), '}'))
}

func (h *Handler) deleteResourcePolicy(c *call, in *value) error {
	sh := deleteResourcePolicyInput
	name := in.get(sh, "PolicyName").text()
	err := h.cfg.Control.DeletePolicy(c.ctx, name, in.get(sh, "PolicyRevisionId").text())
	switch {
	case errors.Is(err, control.ErrRevision):
		return apierr.New(apierr.InvalidPolicyRevisionID, "Another concurrent request has modified or deleted the resource policy %s", name)
	case errors.Is(err, control.ErrNotFound):
		return apierr.New(apierr.InvalidRequest, "The resource policy %s does not exist.", name)
	case err != nil:
		return controlError(err)
	}
	return c.reply([]byte(`{}`))
}

// errPolicySize reports a policy that is too large to be kept.
var errPolicySize = errors.New("too large")

// policy is what has to be known of a policy document.
type policy struct {
	statements []statement
}

type statement struct {
	Sid                     *string
	Effect                  string
	Principal, NotPrincipal json.RawMessage
	Action, NotAction       texts
	Resource, NotResource   texts
	Condition               json.RawMessage
}

// texts is a string or a list of strings.
type texts []string

func (t *texts) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*t = texts{one}
		return nil
	}
	var list []string
	if err := json.Unmarshal(data, &list); err != nil {
		return errors.New("it has to be a text or a list of texts")
	}
	*t = list
	return nil
}

// readPolicy checks a policy document and returns it as the service gives it back:
// without white space, and with a single action as a text.
func readPolicy(text string) (document string, p *policy, err error) {
	// Whatever is far beyond the limit is not worth a look.
	if len(text) > 16*control.MaxPolicy {
		return "", nil, errPolicySize
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	if !json.Valid([]byte(text)) {
		return "", nil, errors.New("it is not JSON")
	}
	var top struct {
		Version   *string
		ID        json.RawMessage `json:"Id"`
		Statement json.RawMessage
	}
	if err := json.Unmarshal([]byte(text), &top); err != nil {
		return "", nil, errors.New("it has to be an object with Version and Statement")
	}
	if top.Version != nil && *top.Version != "2012-10-17" && *top.Version != "2008-10-17" {
		return "", nil, errors.New("the Version is 2012-10-17 or 2008-10-17")
	}
	p = &policy{}
	if len(top.Statement) > 0 && top.Statement[0] == '{' {
		p.statements = make([]statement, 1)
		err = json.Unmarshal(top.Statement, &p.statements[0])
	} else if len(top.Statement) > 0 {
		err = json.Unmarshal(top.Statement, &p.statements)
	}
	if err != nil {
		return "", nil, errors.New("its Statement has to be a statement or a list of statements, whose Action and Resource are texts or lists of texts")
	}
	if len(p.statements) == 0 {
		return "", nil, errors.New("it has no Statement")
	}
	for i := range p.statements {
		if err := p.statements[i].check(); err != nil {
			return "", nil, err
		}
	}
	document = normalPolicy(text)
	if len(document) > control.MaxPolicy {
		return "", nil, errPolicySize
	}
	return document, p, nil
}

func (s *statement) check() error {
	switch {
	case s.Effect != "Allow" && s.Effect != "Deny":
		return errors.New("the Effect of a statement is Allow or Deny")
	case (len(s.Action) == 0) == (len(s.NotAction) == 0):
		return errors.New("a statement has either Action or NotAction")
	case (len(s.Resource) == 0) == (len(s.NotResource) == 0):
		return errors.New("a statement has either Resource or NotResource")
	case (len(s.Principal) == 0) == (len(s.NotPrincipal) == 0):
		return errors.New("a statement has either Principal or NotPrincipal")
	}
	for _, raw := range []json.RawMessage{s.Principal, s.NotPrincipal} {
		if _, ok := principals(raw); !ok {
			return errors.New(`a principal is "*" or an object of texts and lists of texts`)
		}
	}
	return nil
}

// principals returns whom a Principal names, "*" for everybody.
func principals(raw json.RawMessage) (names []string, ok bool) {
	if len(raw) == 0 {
		return nil, true
	}
	var all string
	if json.Unmarshal(raw, &all) == nil {
		return []string{all}, all == "*"
	}
	var kinds map[string]texts
	if json.Unmarshal(raw, &kinds) != nil {
		return nil, false
	}
	return kinds["AWS"], true
}

// deniesPutting reports whether a policy forbids its own caller to replace it. Who
// the caller is nobody knows but that it is of this account; so what is denied to
// everybody, or to the account, counts, and what conditions decide does not.
func (p *policy) deniesPutting(account string) bool {
	covers := func(raw json.RawMessage) bool {
		names, _ := principals(raw)
		for _, n := range names {
			if n == "*" || n == account || strings.HasPrefix(n, "arn:") && strings.HasSuffix(n, ":iam::"+account+":root") {
				return true
			}
		}
		return false
	}
	for i := range p.statements {
		s := &p.statements[i]
		if s.Effect != "Deny" || len(s.Condition) > 0 && !bytes.Equal(s.Condition, []byte("{}")) {
			continue
		}
		named := covers(s.Principal)
		if len(s.NotPrincipal) > 0 {
			names, _ := principals(s.NotPrincipal)
			named = !covers(s.NotPrincipal) && len(names) == 0
		}
		const action = "xray:putresourcepolicy"
		acts := len(s.NotAction) > 0
		for _, a := range s.Action {
			acts = acts || wildcard(strings.ToLower(a), action)
		}
		for _, a := range s.NotAction {
			acts = acts && !wildcard(strings.ToLower(a), action)
		}
		if named && acts {
			return true
		}
	}
	return false
}

// wildcard reports whether a pattern, in which * stands for any text and ? for any
// character, matches a whole text.
func wildcard(pattern, text string) bool {
	p, t, star, mark := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// normalPolicy writes a valid JSON text without white space, and lists of one action
// as that action.
func normalPolicy(text string) string {
	var b bytes.Buffer
	_ = json.Compact(&b, []byte(text)) // never fails on valid JSON
	d := json.NewDecoder(bytes.NewReader(b.Bytes()))
	compact := b.Bytes()
	var dst []byte
	written := 0 // bytes of compact that are in dst
	// A token that begins an Action list of one element is left out, with its end.
	type level struct {
		object, key bool // inside an object; the next token is a key
		name        string
	}
	var stack []level
	value := func() {
		if n := len(stack); n > 0 && stack[n-1].object {
			stack[n-1].key = true
		}
	}
	for {
		token, err := d.Token()
		if err != nil {
			return string(append(dst, compact[written:]...))
		}
		top := len(stack) - 1
		switch t := token.(type) {
		case json.Delim:
			switch t {
			case '{', '[':
				at := int(d.InputOffset())
				if t == '[' && top >= 0 && stack[top].object && stack[top].name == "Action" {
					if end, ok := single(compact[at:]); ok {
						dst = append(append(dst, compact[written:at-1]...), compact[at:at+end]...)
						written = at + end + 1
					}
				}
				stack = append(stack, level{object: t == '{', key: t == '{'})
			default:
				stack = stack[:top]
				value()
			}
		case string:
			if top >= 0 && stack[top].object && stack[top].key {
				stack[top].name, stack[top].key = t, false
				continue
			}
			value()
		default:
			value()
		}
	}
}

// single returns the length of the only element of a list of strings whose inside
// rest begins with; ok is false when there are more, or none.
func single(rest []byte) (n int, ok bool) {
	s := &scanner{b: rest}
	if _, err := s.str(nil); err != nil {
		return 0, false
	}
	return s.i, s.i < len(rest) && rest[s.i] == ']'
}
