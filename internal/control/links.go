package control

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// MaxLinks is how many short links there may be. The one that was not used for the
// longest time makes room for a new one.
const (
	MaxLinks = 10_000

	maxLinkQuery = 8192    // bytes
	maxLinkBytes = 4 << 20 // of the addresses of all links; each change writes them all

	// Ids are as long as it takes to tell links apart.
	minLinkID, maxLinkID = 10, 52

	// The use of a link is written down when this much has passed since its last one, and
	// uses of links together this often, or with a link that is made.
	linkUseEvery  = 24 * time.Hour
	linkUsesWrite = 10 * time.Minute
)

// Link is a short link: a state of the page under an id that is made of it.
type Link struct {
	ID    string `json:"id"`
	Page  string `json:"page"`            // "traces", "trace/1-…"
	Query string `json:"query,omitempty"` // what follows the question mark in its address
	Made  int64  `json:"made"`            // unix milliseconds
	Used  int64  `json:"used"`            // likewise; up to a day before the last use
}

var linkID = regexp.MustCompile(`\A[a-z2-7]{10,52}\z`)

// linkHash returns what ids of links to a state are beginnings of.
func linkHash(page, query string) string {
	sum := sha256.Sum256([]byte(page + "?" + query))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))
}

// CheckLink says what is wrong with the state that a link leads to, for people.
func CheckLink(page, query string) error { return checkPlace("link", page, query, maxLinkQuery) }

func (l *Link) bytes() int { return len(l.Page) + len(l.Query) }

// checkLinks refuses what no edit can have made.
func checkLinks(list []Link) error {
	if len(list) > MaxLinks {
		return fmt.Errorf("there are %d links", len(list))
	}
	size := 0
	for i := range list {
		l := &list[i]
		if err := CheckLink(l.Page, l.Query); err != nil {
			return fmt.Errorf("link %.80q: %w", l.ID, err)
		}
		switch {
		case !linkID.MatchString(l.ID) || !strings.HasPrefix(linkHash(l.Page, l.Query), l.ID):
			return fmt.Errorf("link %.80q leads to %.200q, which has another id", l.ID, l.Page)
		case i > 0 && list[i-1].ID >= l.ID:
			return fmt.Errorf("link %q follows %q", l.ID, list[i-1].ID)
		case l.Made < 0 || l.Used < l.Made:
			return fmt.Errorf("link %q was made at %d and used at %d", l.ID, l.Made, l.Used)
		}
		size += l.bytes()
	}
	if size > maxLinkBytes {
		return fmt.Errorf("the links have %d bytes", size)
	}
	return nil
}

func findLink(list []Link, id string) (int, bool) {
	return slices.BinarySearchFunc(list, id, func(l Link, id string) int { return cmp.Compare(l.ID, id) })
}

// linkTo returns the place in list of the link to a state; or, if there is none, the
// place and the id for it.
func linkTo(list []Link, page, query string) (at int, id string, found bool) {
	hash := linkHash(page, query)
	for n := minLinkID; n <= maxLinkID; n++ {
		i, taken := findLink(list, hash[:n])
		if taken && list[i].Page == page && list[i].Query == query {
			return i, hash[:n], true
		}
		if !taken && id == "" {
			at, id = i, hash[:n]
		}
	}
	return at, id, false
}

// MakeLink returns the link to a state of the page, and makes it when there is none: for
// the same state it is the same. Errors are those of CheckLink or match those of tracestore.
func (s *Store) MakeLink(ctx context.Context, page, query string) (Link, error) {
	if err := CheckLink(page, query); err != nil {
		return Link{}, err
	}
	list := s.current.Load().state.Links
	if at, _, found := linkTo(list, page, query); found {
		s.markLink(&list[at])
		return list[at], nil
	}
	now := s.opts.Now().UnixMilli()
	made := Link{Page: page, Query: query, Made: now, Used: now}
	err := s.update(ctx, func(st *state) error {
		at, id, found := linkTo(st.Links, page, query)
		if found { // somebody else was quicker
			made = st.Links[at]
			return errUnchanged
		}
		if id == "" {
			return ErrTooMany // of 256 bits others have all
		}
		made.ID = id
		st.Links = slices.Insert(st.Links, at, made)
		s.writeUses(st)
		dropLinks(st, id)
		return nil
	})
	if err != nil {
		return Link{}, err
	}
	s.forgetUses()
	return made, nil
}

// dropLinks drops the links that were not used for the longest time until the rest is
// as much as may be. The one with the id keep stays.
func dropLinks(st *state, keep string) {
	count, size := len(st.Links), 0
	for i := range st.Links {
		size += st.Links[i].bytes()
	}
	if count <= MaxLinks && size <= maxLinkBytes {
		return
	}
	oldest := slices.SortedFunc(slices.Values(st.Links), func(a, b Link) int {
		return cmp.Or(cmp.Compare(a.Used, b.Used), cmp.Compare(a.Made, b.Made), cmp.Compare(a.ID, b.ID))
	})
	gone := make(map[string]bool)
	for i := range oldest {
		if count <= MaxLinks && size <= maxLinkBytes {
			break
		}
		if l := &oldest[i]; l.ID != keep {
			gone[l.ID] = true
			count--
			size -= l.bytes()
		}
	}
	st.Links = slices.DeleteFunc(st.Links, func(l Link) bool { return gone[l.ID] })
}

// OpenLink returns the link with an id, and remembers that it was used. Its error
// matches ErrNotFound.
func (s *Store) OpenLink(id string) (Link, error) {
	list := s.current.Load().state.Links
	at, found := findLink(list, id)
	if !found {
		return Link{}, ErrNotFound
	}
	s.markLink(&list[at])
	return list[at], nil
}

// linkUses are the uses of links, by id and in unix milliseconds, that are not written
// down yet: each write is of the whole state.
type linkUses struct {
	sync.Mutex
	at   map[string]int64
	next int64 // nothing is written for the sake of uses before
}

// markLink remembers that a link was used, once a day, and writes down what is
// remembered when that was not done for a while. Whoever opens a link waits for no
// other change, nor is he told when the write fails: it is tried again.
func (s *Store) markLink(l *Link) {
	now := s.opts.Now().UnixMilli()
	if now-l.Used < linkUseEvery.Milliseconds() || !s.rememberUse(l.ID, now) {
		return
	}
	select {
	case s.turn <- struct{}{}:
	default: // the change under way, or a later one, may be that of a link
		return
	}
	defer s.done()
	err := s.change(func(st *state) error {
		s.writeUses(st)
		return nil
	})
	if err != nil {
		s.opts.Logger.Warn("uses of links were not recorded", slog.Any("err", err))
		return
	}
	s.forgetUses()
}

// rememberUse reports whether it is time to write down what is remembered.
func (s *Store) rememberUse(id string, now int64) bool {
	s.uses.Lock()
	defer s.uses.Unlock()
	if now-s.uses.at[id] >= linkUseEvery.Milliseconds() {
		if s.uses.at == nil {
			s.uses.at = make(map[string]int64)
		}
		s.uses.at[id] = now
	}
	if now < s.uses.next {
		return false
	}
	s.uses.next = now + linkUsesWrite.Milliseconds()
	return true
}

// writeUses puts what is remembered into a state that is being made.
func (s *Store) writeUses(st *state) {
	s.uses.Lock()
	defer s.uses.Unlock()
	for id, used := range s.uses.at {
		if at, found := findLink(st.Links, id); found {
			st.Links[at].Used = max(used, st.Links[at].Used)
		}
	}
}

// forgetUses forgets what the state in force knows, or has no link for.
func (s *Store) forgetUses() {
	list := s.current.Load().state.Links
	s.uses.Lock()
	defer s.uses.Unlock()
	for id, used := range s.uses.at {
		if at, found := findLink(list, id); !found || list[at].Used >= used {
			delete(s.uses.at, id)
		}
	}
}

// takeLinks makes the links those of from, and reports whether these are others. When a
// link that is here too was used is a thing of here, if it was used later.
func takeLinks(st, from *state) bool {
	same := func(a, b Link) bool { return a.ID == b.ID && a.Page == b.Page && a.Query == b.Query }
	if slices.EqualFunc(st.Links, from.Links, same) {
		return false
	}
	list := slices.Clone(from.Links)
	for i := range list {
		if at, found := findLink(st.Links, list[i].ID); found && same(st.Links[at], list[i]) {
			list[i].Made, list[i].Used = min(list[i].Made, st.Links[at].Made), max(list[i].Used, st.Links[at].Used)
		}
	}
	st.Links = list
	return true
}
