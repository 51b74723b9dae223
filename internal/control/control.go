package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var (
	// ErrNotFound reports that there is no such group, rule, policy, view, link or resource.
	ErrNotFound = errors.New("control: not found")
	// ErrExists reports that the name of a new group, rule or view is taken.
	ErrExists = errors.New("control: exists already")
	// ErrDefault reports a change of the Default group, which cannot change, or one
	// that the Default sampling rule does not take.
	ErrDefault = errors.New("control: the Default group or rule cannot be changed so")
	// ErrNoFilters reports that there is nothing to compile expressions with.
	ErrNoFilters = errors.New("control: no filter expressions here")
	// ErrTooLarge reports that a change would make the state larger than a file may be.
	ErrTooLarge = errors.New("control: too much control state")
	// ErrTooMany reports that there are as many groups, rules, policies, tags or views as may be.
	ErrTooMany = errors.New("control: too many")
	// ErrChecksum reports a file whose checksum is not that of its state. It matches
	// tracestore.ErrCorrupt, too.
	ErrChecksum = errors.New("control: the checksum does not fit")
	// ErrRevision reports that a policy has another revision than the caller thinks.
	ErrRevision = errors.New("control: somebody else changed the policy")
	// ErrChanged reports that somebody else changed the file.
	ErrChanged = errors.New("control: the file was changed by somebody else")
)

// errUnchanged ends an edit that changes nothing; nothing is written then.
var errUnchanged = errors.New("control: nothing changes")

// Steps is what control needs of the store: a moment in which nothing is counted.
type Steps interface {
	// BetweenSteps calls fn once, while the store's roller stands still, and
	// returns its error; or it returns an error without having called fn. last is
	// the seq of the latest durable document; nothing behind it is filed under a
	// group yet.
	BetweenSteps(ctx context.Context, fn func(last uint64) error) error
}

// Options sets up a Store.
type Options struct {
	// Dir is the folder of the file. It must exist when the first change is made.
	// "": the state is kept in memory only.
	Dir string
	FS  vfs.FS // nil: the disk

	Region    string // in ARNs; "": us-east-1
	AccountID string // in ARNs; "": 000000000000

	// Compile makes the matcher of an expression; nil: groups cannot be made or
	// changed, and those that there are match nothing.
	Compile Compile
	// Keep is how long data may live in the store. Versions of groups are forgotten
	// that long after they ended, and a day; 0: they are not forgotten by age.
	Keep time.Duration

	Logger *slog.Logger     // nil: discard
	Now    func() time.Time // nil: time.Now
}

// Store holds the control state. All methods may be called from many goroutines.
type Store struct {
	opts    Options
	path    string // "" in memory
	current atomic.Pointer[snapshot]

	// turn is held by whoever changes something; a channel, so that waiting for it
	// can end with a context. It guards what follows.
	turn   chan struct{}
	steps  Steps
	onDisk []byte // the file as it was last read or written; nil: there is none
	// doubt is set while the file may hold a change that was reported as failed.
	doubt bool

	uses linkUses // guards itself, and is locked last
}

// state is all control state. Once published it is not changed any more, nor is
// anything that it refers to: edits work on a copy made by clone and replace
// elements of slices whole.
type state struct {
	Revision uint64     `json:"revision"` // grows by one with each change
	Saved    int64      `json:"saved"`    // time of the last change, unix milliseconds
	Groups   groupState `json:"groups"`

	// Sections that are at their defaults are not written.
	Rules       ruleState   `json:"rules,omitzero"`
	Encryption  Encryption  `json:"encryption,omitzero"`
	Policies    []Policy    `json:"policies,omitempty"` // by name
	Tags        []tagged    `json:"tags,omitempty"`     // by resource
	Indexing    Indexing    `json:"indexing,omitzero"`
	Destination Destination `json:"destination,omitzero"`
	Views       []View      `json:"views,omitempty"` // by name
	Links       []Link      `json:"links,omitempty"` // by id
}

func (st *state) clone() *state {
	c := *st
	c.Groups = st.Groups.clone()
	c.Rules = st.Rules.clone()
	c.Policies = slices.Clone(st.Policies)
	c.Tags = slices.Clone(st.Tags)
	c.Views = slices.Clone(st.Views)
	c.Links = slices.Clone(st.Links)
	return &c
}

// check refuses a state that no edit can have made.
func (st *state) check() error {
	return cmp.Or(
		st.Groups.check(),
		st.Rules.check(),
		st.Encryption.check(),
		checkPolicies(st.Policies),
		checkTagged(st.Tags),
		st.Indexing.check(),
		st.Destination.check(),
		checkViews(st.Views),
		checkLinks(st.Links),
	)
}

// snapshot is a published state with what is derived from it.
type snapshot struct {
	state  *state
	groups groupIndex
	rules  ruleIndex
}

// Open reads the control state; without a file it is empty. It writes nothing.
func Open(opts Options) (*Store, error) {
	if opts.FS == nil {
		opts.FS = vfs.Default
	}
	if opts.Region == "" {
		opts.Region = "us-east-1"
	}
	if opts.AccountID == "" {
		opts.AccountID = "000000000000"
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	opts.Logger = opts.Logger.With(slog.String("component", "control"))
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Store{opts: opts, turn: make(chan struct{}, 1)}
	st := &state{}
	if opts.Dir != "" {
		s.path = opts.FS.PathJoin(opts.Dir, FileName)
		data, err := s.read()
		if err != nil {
			return nil, fmt.Errorf("read the control state: %w", err)
		}
		if data != nil {
			if st, err = decode(data); err != nil {
				return nil, &FileError{Path: s.path, Err: err}
			}
			s.onDisk = data
		}
	}
	s.publish(st)
	return s, nil
}

// Attach tells where to file what is changed from now on. Without it versions
// of groups hold from the first document on.
func (s *Store) Attach(steps Steps) {
	s.turn <- struct{}{}
	defer s.done()
	s.steps = steps
}

// lock takes the turn to change something; done gives it back.
func (s *Store) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) done() { <-s.turn }

// update is change for a caller that has not got the turn.
func (s *Store) update(ctx context.Context, edit func(st *state) error) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.done()
	err := s.change(edit)
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}

// change edits a copy of the state, makes it durable and publishes it. The caller
// has the turn.
func (s *Store) change(edit func(st *state) error) error {
	st := s.current.Load().state.clone()
	if err := edit(st); err != nil {
		return err
	}
	st.Revision++
	st.Saved = s.opts.Now().UnixMilli()
	if err := s.save(st); err != nil {
		return err
	}
	s.publish(st)
	return nil
}

// changeBetween is change for edits that the store has to know of. last is the
// seq of the latest document. edit is called twice, the first time to
// see whether it refuses, so that refusals do not hold up the store.
func (s *Store) changeBetween(ctx context.Context, edit func(st *state, last uint64) error) error {
	if err := edit(s.current.Load().state.clone(), 0); err != nil {
		return err
	}
	if s.steps == nil {
		return s.change(func(st *state) error { return edit(st, 0) })
	}
	called := false
	var failed error
	err := s.steps.BetweenSteps(ctx, func(last uint64) error {
		called = true
		failed = s.change(func(st *state) error { return edit(st, last) })
		return failed
	})
	if called {
		return failed // what is durable is done, whatever came after
	}
	return err
}

func (s *Store) publish(st *state) {
	snap := &snapshot{state: st}
	var old *groupIndex
	if p := s.current.Load(); p != nil {
		old = &p.groups
	}
	snap.groups = s.indexGroups(&st.Groups, old)
	snap.rules = s.indexRules(&st.Rules)
	s.current.Store(snap)
}

// validText returns a text as the file holds it.
func validText(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// resourcePrefix is what all ARNs of ours begin with.
func (s *Store) resourcePrefix() string {
	return "arn:aws:xray:" + s.opts.Region + ":" + s.opts.AccountID + ":"
}
