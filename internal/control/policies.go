package control

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"
)

// MaxPolicies is how many resource policies there may be, and MaxPolicy the bytes
// of one. AWS has these limits, and whoever checks policies has to read them all.
const (
	MaxPolicies = 5
	MaxPolicy   = 5 << 10
)

const maxPolicyName = 128 // characters

var policyName = regexp.MustCompile(`\A[\w+=,.@-]+\z`)

// Policy is a resource policy. It binds nobody here: it is kept for programs that
// set it and read it back.
type Policy struct {
	Name     string `json:"name"`
	Document string `json:"document"` // JSON
	Revision uint64 `json:"revision"` // from 1, grows by one with each put
	Updated  int64  `json:"updated"`  // unix milliseconds
}

// RevisionID returns the revision as the API writes it.
func (p *Policy) RevisionID() string { return strconv.FormatUint(p.Revision, 10) }

// checkPolicies refuses what no edit can have made.
func checkPolicies(list []Policy) error {
	if len(list) > MaxPolicies {
		return fmt.Errorf("there are %d resource policies", len(list))
	}
	for i := range list {
		p := &list[i]
		switch {
		case !policyName.MatchString(p.Name) || len(p.Name) > maxPolicyName:
			return fmt.Errorf("a resource policy has the name %.200q", p.Name)
		case i > 0 && list[i-1].Name >= p.Name:
			return fmt.Errorf("resource policy %.200q follows %.200q", p.Name, list[i-1].Name)
		case p.Document == "" || len(p.Document) > MaxPolicy:
			return fmt.Errorf("resource policy %s has %d bytes", p.Name, len(p.Document))
		case p.Revision == 0 || p.Revision == math.MaxUint64:
			return fmt.Errorf("resource policy %s has the revision %d", p.Name, p.Revision)
		}
	}
	return nil
}

func findPolicy(list []Policy, name string) (int, bool) {
	return slices.BinarySearchFunc(list, name, func(p Policy, name string) int { return cmp.Compare(p.Name, name) })
}

// Policies returns the resource policies by name. The slice is shared and must
// not be changed.
func (s *Store) Policies() []Policy { return s.current.Load().state.Policies }

// PutPolicy makes or replaces a policy. revision, when not "", is the revision that
// the caller knows: "0" when there should be none yet. The name and document are
// checked already. Errors match ErrRevision, ErrTooMany or those of tracestore.
func (s *Store) PutPolicy(ctx context.Context, name, document, revision string) (Policy, error) {
	if !utf8.ValidString(document) {
		return Policy{}, fmt.Errorf("control: resource policy %.200q is not UTF-8", name)
	}
	var put Policy
	err := s.update(ctx, func(st *state) error {
		at, found := findPolicy(st.Policies, name)
		p := Policy{Name: name, Document: document, Revision: 1, Updated: s.opts.Now().UnixMilli()}
		now := "0"
		if found {
			now = st.Policies[at].RevisionID()
			p.Revision = st.Policies[at].Revision + 1
		}
		switch {
		case revision != "" && revision != now:
			return ErrRevision
		case found:
			st.Policies[at] = p
		case len(st.Policies) >= MaxPolicies:
			return ErrTooMany
		default:
			st.Policies = slices.Insert(st.Policies, at, p)
		}
		put = p
		return checkPolicies(st.Policies)
	})
	if err != nil {
		return Policy{}, err
	}
	return put, nil
}

// DeletePolicy deletes a policy. revision, when not "", is the revision that the
// caller knows. Errors match ErrRevision, ErrNotFound or those of tracestore.
func (s *Store) DeletePolicy(ctx context.Context, name, revision string) error {
	return s.update(ctx, func(st *state) error {
		at, found := findPolicy(st.Policies, name)
		switch {
		case !found && revision != "", found && revision != "" && revision != st.Policies[at].RevisionID():
			return ErrRevision
		case !found:
			return ErrNotFound
		}
		st.Policies = slices.Delete(st.Policies, at, at+1)
		return nil
	})
}
