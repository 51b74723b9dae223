package control

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
)

// MaxTags is how many tags a group or a rule may have, as AWS has it.
const MaxTags = 50

const (
	maxTagKey   = 128 // characters, four bytes each at most
	maxTagValue = 256
)

// The resources that cannot change, and so have no place of their own for tags.
const (
	defaultGroupResource = "group/" + DefaultGroup
	defaultRuleResource  = "sampling-rule/Default"
)

// tagged holds the tags of a resource that has no record of its own.
type tagged struct {
	Resource string `json:"resource"` // an ARN without its beginning, so that the file fits another account
	Tags     []Tag  `json:"tags"`
}

// checkTags refuses a set of tags that no edit can have made.
func checkTags(of string, tags []Tag) error {
	if len(tags) > MaxTags {
		return fmt.Errorf("%s has %d tags", of, len(tags))
	}
	for i, t := range tags {
		switch {
		case t.Key == "" || len(t.Key) > 4*maxTagKey || len(t.Value) > 4*maxTagValue:
			return fmt.Errorf("%s has a tag of %d and %d bytes", of, len(t.Key), len(t.Value))
		case i > 0 && tags[i-1].Key >= t.Key:
			return fmt.Errorf("%s: tag %.200q follows %.200q", of, t.Key, tags[i-1].Key)
		}
	}
	return nil
}

func checkTagged(list []tagged) error {
	for i, t := range list {
		switch {
		case t.Resource != defaultGroupResource && t.Resource != defaultRuleResource:
			return fmt.Errorf("there are tags of %.200q", t.Resource)
		case i > 0 && list[i-1].Resource >= t.Resource:
			return fmt.Errorf("tags of %s follow those of %s", t.Resource, list[i-1].Resource)
		case len(t.Tags) == 0:
			return fmt.Errorf("%s has an empty list of tags", t.Resource)
		}
		if err := checkTags(t.Resource, t.Tags); err != nil {
			return err
		}
	}
	return nil
}

// tagsOf returns the tags of a resource and a function that replaces them in a
// state that is being made; found is false when there is no such resource.
func (s *Store) tagsOf(st *state, arn string) (tags []Tag, replace func([]Tag), found bool) {
	if g := st.Groups.find("", arn); g != nil && arn != "" {
		return g.Tags, func(tags []Tag) { g.Tags = tags }, true
	}
	if name, ok := s.RuleName(arn); ok {
		if i, found := st.Rules.search(name); found {
			return st.Rules.Rules[i].Tags, func(tags []Tag) { st.Rules.Rules[i].Tags = tags }, true
		}
	}
	resource, ours := strings.CutPrefix(arn, s.resourcePrefix())
	if !ours || resource != defaultGroupResource && resource != defaultRuleResource {
		return nil, nil, false
	}
	at, have := slices.BinarySearchFunc(st.Tags, resource, func(t tagged, r string) int { return cmp.Compare(t.Resource, r) })
	if have {
		tags = st.Tags[at].Tags
	}
	return tags, func(tags []Tag) {
		switch {
		case have && len(tags) == 0:
			st.Tags = slices.Delete(st.Tags, at, at+1)
		case have:
			st.Tags[at].Tags = tags
		case len(tags) > 0:
			st.Tags = slices.Insert(st.Tags, at, tagged{Resource: resource, Tags: tags})
		}
	}, true
}

// Tags returns the tags of a group or sampling rule, by key, or ErrNotFound. The slice
// is shared and must not be changed.
func (s *Store) Tags(arn string) ([]Tag, error) {
	tags, _, found := s.tagsOf(s.current.Load().state, arn)
	if !found {
		return nil, ErrNotFound
	}
	return tags, nil
}

// Tag gives tags to a group or sampling rule, in place of those with the same keys.
// Errors match ErrNotFound, ErrTooMany or those of tracestore.
func (s *Store) Tag(ctx context.Context, arn string, tags []Tag) error {
	return s.retag(ctx, arn, func(old []Tag) ([]Tag, error) {
		set := tagSet(slices.Concat(old, tags)) // the last one of a key counts
		if len(set) > MaxTags {
			return nil, ErrTooMany
		}
		return set, checkTags("the resource", set)
	})
}

// Untag takes tags away. Keys that there are not are ignored. Errors match
// ErrNotFound or those of tracestore.
func (s *Store) Untag(ctx context.Context, arn string, keys []string) error {
	return s.retag(ctx, arn, func(old []Tag) ([]Tag, error) {
		return slices.DeleteFunc(slices.Clone(old), func(t Tag) bool { return slices.Contains(keys, t.Key) }), nil
	})
}

func (s *Store) retag(ctx context.Context, arn string, edit func(old []Tag) ([]Tag, error)) error {
	return s.update(ctx, func(st *state) error {
		old, replace, found := s.tagsOf(st, arn)
		if !found {
			return ErrNotFound
		}
		tags, err := edit(old)
		if err != nil {
			return err
		}
		if slices.Equal(tags, old) {
			return errUnchanged
		}
		if len(tags) == 0 {
			tags = nil // as the file has it
		}
		replace(tags)
		return nil
	})
}
