package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"slices"
)

// Change is something that an import changes.
type Change struct {
	Section string // as the file names it: "groups", "policies", ...
	Name    string // of the group, rule, policy or view, or "" for a section that is one thing
	What    string // ChangeMade, ChangeChanged or ChangeRemoved
}

// The values of Change.What.
const (
	ChangeMade    = "made"
	ChangeChanged = "changed"
	ChangeRemoved = "removed"
)

// Export returns the state in force as a file that Import takes.
func (s *Store) Export() ([]byte, error) { return encode(s.current.Load().state) }

// Import makes the state that of an exported file, in one step: all of it or
// nothing. It returns what that changes; with try nothing is changed. A file that
// was edited by hand has to have its checksum taken out.
//
// Data stays filed as it is. A group of the file that is here too, by its ARN,
// stays the same group, with a new version when its expression is another one;
// the seqs and old versions in the file mean nothing here and are left out.
//
// Errors match tracestore.ErrCorrupt or tracestore.ErrFormat when it is not a file
// that can be used, ErrNoFilters, ErrTooLarge, those of tracestore, or are an
// *ExpressionError.
func (s *Store) Import(ctx context.Context, data []byte, try bool) ([]Change, error) {
	from, err := decodeExport(data)
	if err != nil {
		return nil, err
	}
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.done()
	var changes []Change
	edit := func(st *state, last uint64) error {
		var err error
		if changes, err = s.take(ctx, st, from, last); err != nil {
			return err
		}
		if len(changes) == 0 || try {
			return errUnchanged
		}
		if err := st.check(); err != nil {
			return corrupt("%w", err)
		}
		return nil
	}
	if err := s.changeBetween(ctx, edit); err != nil && !errors.Is(err, errUnchanged) {
		return nil, err
	}
	if !try && len(changes) > 0 {
		s.opts.Logger.Info("control state imported", slog.Int("changes", len(changes)))
	}
	return changes, nil
}

// take makes st, a state that is being made, what from says. Every section of the
// state has its place here; a test holds that.
func (s *Store) take(ctx context.Context, st, from *state, last uint64) ([]Change, error) {
	changes, err := s.takeGroups(ctx, &st.Groups, &from.Groups, last)
	if err != nil {
		return nil, err
	}
	changes = append(changes, s.takeRules(&st.Rules, &from.Rules)...)
	changes = append(changes, takePolicies(st, from)...)
	changes = append(changes, takeViews(st, from)...)
	one := func(section string, changed bool) {
		if changed {
			changes = append(changes, Change{Section: section, What: ChangeChanged})
		}
	}
	sameTags := slices.EqualFunc(st.Tags, from.Tags, func(a, b tagged) bool {
		return a.Resource == b.Resource && slices.Equal(a.Tags, b.Tags)
	})
	one("tags", !sameTags)
	one("encryption", st.Encryption != from.Encryption)
	one("indexing", st.Indexing != from.Indexing)
	one("destination", st.Destination != from.Destination)
	one("links", takeLinks(st, from))
	st.Tags, st.Encryption, st.Indexing, st.Destination = from.Tags, from.Encryption, from.Indexing, from.Destination
	return changes, nil
}

// takeRules makes the sampling rules those of from. Clients fetch them again when
// one is another.
func (s *Store) takeRules(rs, from *ruleState) []Change {
	now := s.opts.Now().UnixMilli()
	var changes []Change
	tell := func(name, what string) {
		changes = append(changes, Change{Section: "rules", Name: name, What: what})
	}
	for _, old := range rs.Rules {
		if _, found := from.search(old.Name); !found {
			tell(old.Name, ChangeRemoved)
		}
	}
	list := slices.Clone(from.Rules)
	for i := range list {
		r := &list[i]
		at, found := rs.search(r.Name)
		if !found {
			r.Created, r.Changed = now, now
			tell(r.Name, ChangeMade)
			continue
		}
		old := rs.Rules[at]
		sameRule, sameTags := reflect.DeepEqual(r.Rule, old.Rule), slices.Equal(r.Tags, old.Tags)
		r.Created, r.Changed = old.Created, old.Changed
		if !sameRule {
			r.Changed = now
		}
		if !sameRule || !sameTags {
			tell(r.Name, ChangeChanged)
		}
	}
	was, is := rs.defaultRule(), from.defaultRule()
	if is.FixedRate != was.FixedRate || is.Reservoir != was.Reservoir {
		rs.Default = &defaultRule{FixedRate: is.FixedRate, Reservoir: is.Reservoir, Changed: now}
		tell(is.Name, ChangeChanged)
	}
	rs.Rules = list
	if len(changes) > 0 {
		rs.Changed = max(now, rs.Changed)
	}
	return changes
}

// takePolicies makes the policies those of from. A policy that changes gets a
// revision that nobody has seen, so that whoever knows an older one is told.
func takePolicies(st, from *state) []Change {
	var changes []Change
	tell := func(name, what string) {
		changes = append(changes, Change{Section: "policies", Name: name, What: what})
	}
	for _, old := range st.Policies {
		if _, found := findPolicy(from.Policies, old.Name); !found {
			tell(old.Name, ChangeRemoved)
		}
	}
	list := slices.Clone(from.Policies)
	for i := range list {
		p := &list[i]
		at, found := findPolicy(st.Policies, p.Name)
		switch {
		case !found:
			tell(p.Name, ChangeMade)
		case st.Policies[at].Document == p.Document:
			*p = st.Policies[at]
		default:
			p.Revision = max(p.Revision, st.Policies[at].Revision) + 1
			tell(p.Name, ChangeChanged)
		}
	}
	st.Policies = list
	return changes
}

// takeGroups makes the groups those of from that live.
func (s *Store) takeGroups(ctx context.Context, gs, from *groupState, last uint64) ([]Change, error) {
	now := s.opts.Now().UnixMilli()
	var changes []Change
	tell := func(name, what string) {
		changes = append(changes, Change{Section: "groups", Name: name, What: what})
	}
	// Expressions may refer to each other: each is bound to what all will be.
	want := groupState{}
	for i := range from.Groups {
		if g := from.Groups[i]; g.Deleted == 0 {
			g.Versions = []Version{{Expression: g.Expression()}}
			want.Groups = append(want.Groups, g)
		}
	}
	want.fill()
	here := make(map[string]int, len(gs.Groups)) // by ARN; those that were deleted too
	for i := range gs.Groups {
		g := &gs.Groups[i]
		here[g.ARN] = i
		if g.Deleted == 0 && want.find("", g.ARN) == nil {
			s.end(g, last)
			g.Deleted = now
			tell(g.Name, ChangeRemoved)
		}
	}
	for i := range want.Groups {
		if err := ctx.Err(); err != nil { // others wait meanwhile
			return nil, err
		}
		w := &want.Groups[i]
		at, known := here[w.ARN]
		var g *Group
		switch {
		case known:
			g = &gs.Groups[at]
		case gs.LastID == math.MaxUint32:
			return nil, ErrTooMany
		default:
			gs.LastID++
			gs.Groups = append(gs.Groups, Group{ID: gs.LastID, Name: w.Name, ARN: w.ARN, Created: w.Created, Changed: w.Changed, Deleted: now})
			g = &gs.Groups[len(gs.Groups)-1]
		}
		before := *g
		uses, err := s.bindImported(&want, w, before.Deleted == 0 && before.Expression() == w.Expression())
		if err != nil {
			return nil, fmt.Errorf("group %s: %w", w.Name, err)
		}
		g.Insights, g.Tags = w.Insights, w.Tags
		expression := w.Expression()
		switch {
		case before.Deleted != 0:
			g.Deleted = 0
			s.revive(g, expression, uses, last)
			tell(g.Name, ChangeMade)
		case before.Expression() != expression, !slices.Equal(before.current().Uses, uses):
			s.beginBound(g, expression, uses, last)
		}
		if before.Deleted == 0 && (before.Expression() != expression || before.Insights != g.Insights || !slices.Equal(before.Tags, g.Tags)) {
			g.Changed = now
			tell(g.Name, ChangeChanged)
		}
	}
	slices.SortStableFunc(changes, func(a, b Change) int { return cmp.Compare(a.Name, b.Name) })
	s.prune(gs)
	return changes, nil
}

// bindImported is bind for a group of an import. An expression that cannot be used
// since a group is missing is taken, as one whose group was deleted is kept; so is
// one that is in force here.
func (s *Store) bindImported(want *groupState, g *Group, inForce bool) ([]Use, error) {
	if s.opts.Compile == nil {
		return nil, ErrNoFilters
	}
	uses, err := s.bind(want, g, g.Expression())
	var loop loopError
	missing := slices.ContainsFunc(uses, func(u Use) bool { return !u.Found })
	if err != nil && (errors.As(err, &loop) || !missing && !inForce) {
		return nil, err
	}
	return uses, nil
}

// revive begins a version of a group that has none in force.
func (s *Store) revive(g *Group, expression string, uses []Use, last uint64) {
	v := Version{Version: 1, Expression: expression, From: last, Began: s.opts.Now().UnixMilli(), Uses: uses}
	if n := len(g.Versions); n > 0 {
		v.Version = g.Versions[n-1].Version + 1
		v.From = max(last, g.Versions[n-1].Until)
	}
	g.Versions = append(slices.Clip(g.Versions), v)
}
