package control

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
)

// DefaultGroup is the name of the group that every trace belongs to. It is always
// there, cannot be changed, and has no expression.
const DefaultGroup = "Default"

const (
	maxVersions        = 100   // kept of one group
	maxDeletedVersions = 1_000 // kept of all deleted groups together
	// maxLookups bounds how often one expression, with those that it refers to, may
	// look up a group: ten groups that each name the next one ten times are a
	// filter of ten thousand million terms.
	maxLookups    = 1_000
	maxGroupName  = 32 // characters
	keepLonger    = 24 * time.Hour
	suffixBytes   = 32 // 52 characters of base 32
	suffixLetters = 52
)

// Group is an X-Ray group. What it refers to is shared and must not be changed.
type Group struct {
	ID       uint32    `json:"id"` // never given twice; 0 is the Default group
	Name     string    `json:"name"`
	ARN      string    `json:"arn"`
	Insights Insights  `json:"insights"`
	Tags     []Tag     `json:"tags,omitempty"` // in order of their keys, each key once
	Created  int64     `json:"created"`        // unix milliseconds
	Changed  int64     `json:"changed"`
	Deleted  int64     `json:"deleted,omitempty"` // 0: it lives
	Versions []Version `json:"versions"`          // in order; of a group that lives the last one is in force
}

// Version is an expression of a group and the documents for which it holds.
type Version struct {
	Version    uint32 `json:"version"` // grows, with gaps; never given twice
	Expression string `json:"expression"`
	From       uint64 `json:"from"`            // it holds for seqs above From
	Until      uint64 `json:"until,omitempty"` // and up to Until; 0: it is in force
	Began      int64  `json:"began"`           // unix milliseconds
	Ended      int64  `json:"ended,omitempty"`
	Uses       []Use  `json:"uses,omitempty"` // what its lookups of other groups gave
}

// Use is what a lookup of a group gave.
type Use struct {
	Name       string `json:"name,omitempty"` // looked up by name
	ARN        string `json:"arn,omitempty"`  // or by ARN
	Found      bool   `json:"found"`
	Expression string `json:"expression,omitempty"` // "" when found: every trace
}

// Insights is the InsightsConfiguration of a group.
type Insights struct {
	Enabled       bool `json:"enabled"`
	Notifications bool `json:"notifications"`
}

// Tag is a key and a value that a user gave to a group.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Match decides whether a trace belongs to a group. full makes the row in which
// nothing is cut.
type Match = func(row *trace.Row, full func() *trace.Row) bool

// Lookup finds the expression of a group by name or by ARN; the other one is "".
// The expression "" of a group that is found means every trace.
type Lookup func(name, arn string) (expression string, found bool)

// Compile makes the matcher of an expression. Groups that the expression refers
// to are looked up during the call, and so are those that their expressions refer
// to. The lookup itself sees to it that this ends. An error tells the person who
// wrote the expression what is wrong with it.
type Compile func(expression string, lookup Lookup) (Match, error)

// ExpressionError reports an expression that a group cannot have. The text of Err
// is meant for the person who wrote it.
type ExpressionError struct {
	Err error
}

// loopError reports an expression that leads back to its own group, or has no end.
type loopError struct{ error }

func (e *ExpressionError) Error() string { return "control: filter expression: " + e.Err.Error() }
func (e *ExpressionError) Unwrap() error { return e.Err }

// current returns the version in force. The group lives and is not the Default.
func (g *Group) current() *Version { return &g.Versions[len(g.Versions)-1] }

// Expression returns the expression in force, "" for the Default group.
func (g *Group) Expression() string {
	if len(g.Versions) == 0 {
		return ""
	}
	return g.current().Expression
}

// is reports whether a group is asked for.
func (g *Group) is(name, arn string) bool {
	return name != "" && name == g.Name || arn != "" && arn == g.ARN
}

// groupState is the section of groups.
type groupState struct {
	LastID uint32  `json:"last_id"` // the latest id that was given
	Groups []Group `json:"groups"`  // those that live and those that were deleted, in order of id

	// at, when not nil, finds groups that live by name and by ARN: an import looks up
	// many among many. It is only there while nothing is added or deleted.
	at map[string]int
}

// fill makes at.
func (gs *groupState) fill() {
	gs.at = make(map[string]int, 2*len(gs.Groups))
	for i := range gs.Groups {
		if g := &gs.Groups[i]; g.Deleted == 0 {
			gs.at[g.Name], gs.at[g.ARN] = i, i // no name has a colon, and every ARN has
		}
	}
}

func (gs *groupState) clone() groupState {
	return groupState{LastID: gs.LastID, Groups: slices.Clone(gs.Groups)}
}

// find returns the group of that name or ARN that lives, nil when there is none.
func (gs *groupState) find(name, arn string) *Group {
	if gs.at != nil {
		for _, key := range [...]string{name, arn} {
			if i, found := gs.at[key]; found && key != "" {
				return &gs.Groups[i]
			}
		}
		return nil
	}
	for i := range gs.Groups {
		if g := &gs.Groups[i]; g.Deleted == 0 && g.is(name, arn) {
			return g
		}
	}
	return nil
}

// check refuses what no edit can have made.
func (gs *groupState) check() error {
	var last uint32
	names, arns := make(map[string]bool), make(map[string]bool)
	for i := range gs.Groups {
		g := &gs.Groups[i]
		switch {
		case g.ID <= last:
			return fmt.Errorf("group %.80q: id %d is not above %d", g.Name, g.ID, last)
		case g.ID > gs.LastID:
			return fmt.Errorf("group %.80q: id %d was not given yet", g.Name, g.ID)
		case !ValidGroupName(g.Name) || g.Name == DefaultGroup:
			return fmt.Errorf("group %d has the name %.80q", g.ID, g.Name)
		case !strings.HasSuffix(g.ARN[:max(0, len(g.ARN)-suffixLetters)], ":group/"+g.Name+"/"):
			return fmt.Errorf("group %d has the ARN %.400q", g.ID, g.ARN)
		case arns[g.ARN]:
			return fmt.Errorf("two groups have the ARN %.400q", g.ARN)
		case g.Deleted == 0 && names[g.Name]:
			return fmt.Errorf("two groups have the name %.80q", g.Name)
		case len(g.Versions) == 0 || len(g.Versions) > maxVersions:
			return fmt.Errorf("group %d has %d versions", g.ID, len(g.Versions))
		}
		last, arns[g.ARN] = g.ID, true
		if g.Deleted == 0 {
			names[g.Name] = true
		}
		if err := checkTags(fmt.Sprintf("group %d", g.ID), g.Tags); err != nil {
			return err
		}
		var before Version
		for j, v := range g.Versions {
			open := j == len(g.Versions)-1 && g.Deleted == 0
			switch {
			case v.Version <= before.Version || v.Version == math.MaxUint32:
				return fmt.Errorf("group %d: version %d follows version %d", g.ID, v.Version, before.Version)
			case open != (v.Until == 0), !open && v.Until <= v.From, v.From < before.Until:
				return fmt.Errorf("group %d: version %d holds above %d up to %d", g.ID, v.Version, v.From, v.Until)
			case emptyExpression(v.Expression):
				return fmt.Errorf("group %d: version %d has no expression", g.ID, v.Version)
			case len(v.Uses) > maxLookups:
				return fmt.Errorf("group %d: version %d refers to %d groups", g.ID, v.Version, len(v.Uses))
			}
			before = v
		}
	}
	return nil
}

// ValidGroupName reports whether a group may have that name: 1 to 32 letters,
// digits and dashes.
func ValidGroupName(name string) bool {
	for _, c := range []byte(name) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-') {
			return false
		}
	}
	return name != "" && len(name) <= maxGroupName
}

func emptyExpression(text string) bool { return strings.TrimSpace(text) == "" }

// groupIndex is what is derived from the section of groups.
type groupIndex struct {
	list     []Group // the Default group, then those that live by name
	byName   map[string]*Group
	byARN    map[string]*Group
	store    []tracestore.Group
	compiled map[tracestore.GroupRef]Match
}

// indexGroups derives the index of a state. Matchers of old, when not nil, are
// taken over: a version never changes.
func (s *Store) indexGroups(gs *groupState, old *groupIndex) groupIndex {
	x := groupIndex{
		list:     []Group{{Name: DefaultGroup, ARN: s.arnPrefix() + DefaultGroup}},
		byName:   make(map[string]*Group),
		byARN:    make(map[string]*Group),
		compiled: make(map[tracestore.GroupRef]Match),
	}
	for i := range gs.Groups {
		g := &gs.Groups[i]
		if g.Deleted == 0 {
			x.list = append(x.list, *g)
		}
		for j := range g.Versions {
			v := &g.Versions[j]
			ref := tracestore.GroupRef{Group: g.ID, Version: v.Version}
			var m Match
			if old != nil {
				m = old.compiled[ref]
			}
			if m == nil {
				m = s.compileVersion(g, v)
			}
			x.compiled[ref] = m
			x.store = append(x.store, tracestore.Group{Ref: ref, From: v.From, Until: v.Until, Match: m})
		}
	}
	slices.SortFunc(x.list[1:], func(a, b Group) int { return cmp.Compare(a.Name, b.Name) })
	for i := range x.list {
		g := &x.list[i]
		x.byName[g.Name], x.byARN[g.ARN] = g, g
	}
	return x
}

// matchNothing stands in for an expression that does not compile.
func matchNothing(*trace.Row, func() *trace.Row) bool { return false }

// compileVersion returns the matcher of a version that is stored. It looks groups
// up in the version itself, so that the outcome is the same for ever.
func (s *Store) compileVersion(g *Group, v *Version) Match {
	if s.opts.Compile == nil {
		return matchNothing
	}
	lookups := 0
	m, err := s.opts.Compile(v.Expression, func(name, arn string) (string, bool) {
		if lookups++; lookups > maxLookups {
			return "", false
		}
		for _, u := range v.Uses {
			if u.Name == name && u.ARN == arn {
				return u.Expression, u.Found
			}
		}
		return "", false
	})
	if err != nil || m == nil {
		s.opts.Logger.Warn("group matched nothing: its filter expression cannot be used",
			slog.String("group", g.Name), slog.Uint64("version", uint64(v.Version)), slog.Any("err", err))
		return matchNothing
	}
	return m
}

// bind compiles an expression for the group self, which the state does not hold
// with that expression yet, and returns what it looked up in the state.
func (s *Store) bind(gs *groupState, self *Group, expression string) ([]Use, error) {
	var uses []Use
	var refused error
	lookups := 0
	_, err := s.opts.Compile(expression, func(name, arn string) (string, bool) {
		if lookups++; lookups > maxLookups {
			refused = loopError{fmt.Errorf("the filter expression, with those of the groups that it refers to, refers to groups more than %d times", maxLookups)}
			return "", false
		}
		// Groups do not refer to each other in a circle so far. A circle that this
		// expression would close leads back to its own group.
		if self.is(name, arn) {
			refused = loopError{fmt.Errorf("the filter expression refers to its own group %s, directly or through other groups", self.Name)}
			return "", false
		}
		u := Use{Name: name, ARN: arn}
		u.Expression, u.Found = s.lookup(gs, name, arn)
		if !slices.Contains(uses, u) {
			uses = append(uses, u)
		}
		return u.Expression, u.Found
	})
	if refused != nil {
		err = refused
	}
	if err != nil {
		return uses, &ExpressionError{Err: err}
	}
	return uses, nil
}

func (s *Store) lookup(gs *groupState, name, arn string) (expression string, found bool) {
	if name == DefaultGroup || arn == s.arnPrefix()+DefaultGroup {
		return "", true
	}
	if g := gs.find(name, arn); g != nil {
		return g.Expression(), true
	}
	return "", false
}

func (s *Store) arnPrefix() string { return s.resourcePrefix() + "group/" }

// newARN returns an ARN that no other group ever had.
func (s *Store) newARN(name string) string {
	var random [suffixBytes]byte
	rand.Read(random[:]) // never fails
	suffix := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(random[:])
	return s.arnPrefix() + name + "/" + suffix
}

// Groups returns the Default group and those that were made, by name. The slice
// is shared and must not be changed.
func (s *Store) Groups() []Group { return s.current.Load().groups.list }

// StoreGroups returns all versions of all groups but the Default one that data
// may be filed under, those of deleted groups included. The slice is shared and
// must not be changed.
func (s *Store) StoreGroups() []tracestore.Group { return s.current.Load().groups.store }

// Group returns the group of that name or ARN (the other one is ""), or
// ErrNotFound.
func (s *Store) Group(name, arn string) (Group, error) {
	if g := s.current.Load().groups.find(name, arn); g != nil {
		return *g, nil
	}
	return Group{}, ErrNotFound
}

// find returns the group of that name, ARN or both, nil when there is none.
func (x *groupIndex) find(name, arn string) *Group {
	if name == "" {
		return x.byARN[arn]
	}
	if g := x.byName[name]; g != nil && (arn == "" || arn == g.ARN) {
		return g
	}
	return nil
}

// Expression is the Lookup of expressions that are in force now: group.name in a
// filter asks for them.
func (s *Store) Expression(name, arn string) (expression string, found bool) {
	g := s.current.Load().groups.find(name, arn)
	if g == nil {
		return "", false
	}
	return g.Expression(), true
}

// Resolve returns the version in force of the group of that name or ARN, and the
// older ones that data may be filed under, the latest first.
func (s *Store) Resolve(name, arn string) (current tracestore.GroupRef, older []tracestore.GroupRef, found bool) {
	g := s.current.Load().groups.find(name, arn)
	if g == nil {
		return tracestore.GroupRef{}, nil, false
	}
	if g.ID == 0 {
		return tracestore.GroupRef{}, nil, true
	}
	for _, v := range slices.Backward(g.Versions) {
		older = append(older, tracestore.GroupRef{Group: g.ID, Version: v.Version})
	}
	return older[0], older[1:], true
}

// NewGroup says what a group is to be.
type NewGroup struct {
	Name       string
	Expression string
	Insights   Insights
	Tags       []Tag
	// Max, when not 0, is how many groups there may be, the Default one not counted.
	Max int
}

// CreateGroup makes a group. Its errors match ErrExists, ErrTooMany,
// ErrNoFilters, ErrTooLarge, those of tracestore or are an *ExpressionError.
func (s *Store) CreateGroup(ctx context.Context, n NewGroup) (Group, error) {
	if !ValidGroupName(n.Name) {
		return Group{}, fmt.Errorf("control: a group cannot have the name %.80q", n.Name)
	}
	if n.Name == DefaultGroup {
		return Group{}, ErrExists
	}
	if s.opts.Compile == nil {
		return Group{}, ErrNoFilters
	}
	if err := s.lock(ctx); err != nil {
		return Group{}, err
	}
	defer s.done()
	now := s.opts.Now().UnixMilli()
	blank := Group{Name: n.Name, ARN: s.newARN(n.Name), Insights: n.Insights, Tags: tagSet(n.Tags), Created: now, Changed: now}
	var made Group
	err := s.changeBetween(ctx, func(st *state, last uint64) error {
		g, gs := blank, &st.Groups
		if gs.find(n.Name, "") != nil {
			return ErrExists
		}
		if n.Max > 0 && gs.living() >= n.Max {
			return ErrTooMany
		}
		if gs.LastID == math.MaxUint32 {
			return ErrTooMany
		}
		if err := s.begin(gs, &g, n.Expression, last); err != nil {
			return err
		}
		gs.LastID++
		g.ID = gs.LastID
		gs.Groups = append(gs.Groups, g)
		s.follow(gs, &g, last)
		s.prune(gs)
		made = g
		return nil
	})
	if err != nil {
		return Group{}, err
	}
	return made, nil
}

// GroupChange says how a group is to change.
type GroupChange struct {
	Expression string
	// Insights, when not nil, gets the configuration in force and returns the new one.
	Insights func(old Insights) (Insights, error)
}

// UpdateGroup changes the group of that name or ARN (the other one is ""). Its
// errors match ErrNotFound, ErrDefault, ErrNoFilters, ErrTooLarge, those of
// tracestore, are those of c.Insights or an *ExpressionError.
func (s *Store) UpdateGroup(ctx context.Context, name, arn string, c GroupChange) (Group, error) {
	if s.opts.Compile == nil {
		return Group{}, ErrNoFilters
	}
	c.Expression = validText(c.Expression)
	var changed Group
	edit := func(st *state, last uint64) error {
		g := st.Groups.find(name, arn) // an element of the copy
		if c.Insights != nil {
			insights, err := c.Insights(g.Insights)
			if err != nil {
				return err
			}
			g.Insights = insights
		}
		if g.Expression() != c.Expression {
			if err := s.begin(&st.Groups, g, c.Expression, last); err != nil {
				return err
			}
			s.follow(&st.Groups, g, last)
		}
		g.Changed = s.opts.Now().UnixMilli()
		s.prune(&st.Groups)
		changed = *st.Groups.find(name, arn)
		return nil
	}
	err := s.withGroup(ctx, name, arn, func(g *Group) error {
		if g.Expression() == c.Expression { // nothing that the store has to know
			return s.change(func(st *state) error { return edit(st, 0) })
		}
		return s.changeBetween(ctx, edit)
	})
	if err != nil {
		return Group{}, err
	}
	return changed, nil
}

// DeleteGroup deletes the group of that name or ARN (the other one is ""). Its
// errors match ErrNotFound, ErrDefault or those of tracestore.
func (s *Store) DeleteGroup(ctx context.Context, name, arn string) error {
	return s.withGroup(ctx, name, arn, func(*Group) error {
		return s.changeBetween(ctx, func(st *state, last uint64) error {
			g := st.Groups.find(name, arn)
			s.end(g, last)
			g.Deleted = s.opts.Now().UnixMilli()
			s.follow(&st.Groups, g, last)
			s.prune(&st.Groups)
			return nil
		})
	})
}

// withGroup runs fn, with the turn, for a group that can change.
func (s *Store) withGroup(ctx context.Context, name, arn string, fn func(g *Group) error) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.done()
	g := s.current.Load().groups.find(name, arn)
	if g == nil {
		return ErrNotFound
	}
	if g.ID == 0 {
		return ErrDefault
	}
	return fn(g)
}

func (gs *groupState) living() int {
	n := 0
	for i := range gs.Groups {
		if gs.Groups[i].Deleted == 0 {
			n++
		}
	}
	return n
}

// begin gives g, of a state that is being made, a new expression for documents
// behind last.
func (s *Store) begin(gs *groupState, g *Group, expression string, last uint64) error {
	expression = validText(expression) // as the file holds it
	if emptyExpression(expression) {
		return &ExpressionError{Err: fmt.Errorf("it is empty")}
	}
	uses, err := s.bind(gs, g, expression)
	if err != nil {
		return err
	}
	s.beginBound(g, expression, uses, last)
	return nil
}

func (s *Store) beginBound(g *Group, expression string, uses []Use, last uint64) {
	v := Version{Version: 1, Expression: expression, From: last, Began: s.opts.Now().UnixMilli(), Uses: uses}
	if len(g.Versions) > 0 {
		old := g.current()
		v.Version = old.Version + 1 // each took a sync of the disk: they do not run out
		// The store may have been put in place of a longer one.
		v.From = max(v.From, old.From)
		s.end(g, last)
	}
	g.Versions = append(slices.Clip(g.Versions), v)
}

// end ends the version in force behind last. A version that held for no document
// is forgotten.
func (s *Store) end(g *Group, last uint64) {
	v := *g.current()
	g.Versions = slices.Clone(g.Versions[:len(g.Versions)-1])
	if v.Until, v.Ended = last, s.opts.Now().UnixMilli(); v.Until > v.From {
		g.Versions = append(g.Versions, v)
	}
}

// follow begins new versions of the groups whose expressions refer to changed,
// which has its new expression, or is deleted, already.
func (s *Store) follow(gs *groupState, changed *Group, last uint64) {
	for i := range gs.Groups {
		g := &gs.Groups[i]
		if g.Deleted != 0 || g.ID == changed.ID {
			continue
		}
		v := g.current()
		if !slices.ContainsFunc(v.Uses, func(u Use) bool { return changed.is(u.Name, u.ARN) }) {
			continue
		}
		// An expression that fails now, since a group is gone say, matches nothing
		// until that group is back: what it looked up tells when.
		uses, _ := s.bind(gs, g, v.Expression)
		if !slices.Equal(uses, v.Uses) {
			s.beginBound(g, v.Expression, uses, last)
		}
	}
}

// prune forgets versions and deleted groups that no data can be filed under.
func (s *Store) prune(gs *groupState) {
	var horizon int64 = math.MinInt64
	if s.opts.Keep > 0 {
		horizon = s.opts.Now().Add(-s.opts.Keep - keepLonger).UnixMilli()
	}
	deleted := 0
	for i := range gs.Groups {
		g := &gs.Groups[i]
		from := 0
		for from < len(g.Versions) && (g.Versions[from].Until != 0 && g.Versions[from].Ended < horizon || len(g.Versions)-from > maxVersions) {
			from++
		}
		g.Versions = g.Versions[from:]
		if g.Deleted != 0 {
			deleted += len(g.Versions)
		}
	}
	if deleted > maxDeletedVersions {
		// Those deleted first go first.
		order := make([]*Group, 0, len(gs.Groups))
		for i := range gs.Groups {
			if gs.Groups[i].Deleted != 0 {
				order = append(order, &gs.Groups[i])
			}
		}
		slices.SortStableFunc(order, func(a, b *Group) int { return cmp.Compare(a.Deleted, b.Deleted) })
		for _, g := range order {
			if deleted <= maxDeletedVersions {
				break
			}
			deleted -= len(g.Versions)
			g.Versions = nil
		}
	}
	gs.Groups = slices.DeleteFunc(gs.Groups, func(g Group) bool { return len(g.Versions) == 0 })
}

// tagSet returns tags in order of their keys. Of tags with one key the last counts.
func tagSet(tags []Tag) []Tag {
	byKey := make(map[string]string, len(tags))
	for _, t := range tags {
		byKey[validText(t.Key)] = validText(t.Value)
	}
	var set []Tag
	for k, v := range byKey {
		set = append(set, Tag{Key: k, Value: v})
	}
	slices.SortFunc(set, func(a, b Tag) int { return cmp.Compare(a.Key, b.Key) })
	return set
}
