package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// implausible is an age of files that says more about the clock than about them.
const implausible = 365 * 24 * time.Hour

// grace is what files that are found at a start may still stay, however old they
// are: their age is by the wall clock, which may be wrong, and who was off for long
// has something to deliver first.
const grace = time.Hour

// recover reads the folder. No file that is there is written again: what comes
// goes to a new one.
func (s *Spool) recover() error {
	names, err := s.fs.List(s.opts.Dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	now := s.opts.Now()
	var aside []uint64 // numbers of the first records of files that are damaged
	for _, name := range names {
		switch {
		case name == spareName:
			s.mu.spare = true
			continue
		case strings.HasSuffix(name, ".tmp"):
			s.remove(name)
			continue
		case !strings.HasSuffix(name, suffix):
			continue
		}
		first, err := strconv.ParseUint(strings.TrimSuffix(name, suffix), 16, 64)
		if err != nil {
			continue
		}
		f, err := s.inspect(name, first, now)
		if errors.Is(err, errNoHeader) {
			blank, err := s.isBlank(name)
			if err != nil {
				return err
			}
			if blank {
				// A crash came between the making of the file and its first sync.
				s.logger.Warn("file without a header removed", slog.String("file", name))
				s.remove(name)
			} else if err := s.putAside(name); err == nil {
				aside = append(aside, first)
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.path(name), err)
		}
		if f.header.first != first {
			// A crash came while a file that everybody had was made to serve again:
			// its new name and its new header are durable only together.
			s.remove(name)
			continue
		}
		s.mu.files = append(s.mu.files, f)
	}
	slices.SortFunc(s.mu.files, func(a, b *file) int {
		if a.header.first < b.header.first {
			return -1
		}
		return 1
	})
	// Where the writer left a file after an error, the next one begins with what
	// was not synced: a file ends where the next begins.
	for i, f := range s.mu.files[:max(0, len(s.mu.files)-1)] {
		f.end = s.mu.files[i+1].header.first
		for _, first := range aside {
			if first > f.header.first {
				f.end = min(f.end, first)
			}
		}
	}
	next := uint64(1)
	if n := len(s.mu.files); n > 0 {
		last := s.mu.files[n-1]
		if err := s.findEnd(last); err != nil {
			return err
		}
		next = last.end
		if last.end == last.header.first { // nothing in it was ever synced
			s.mu.files = s.mu.files[:n-1]
			s.remove(last.name)
		}
	}
	places, damaged, err := readPositions(s.fs, s.path(positionsName))
	if err != nil {
		return err
	}
	if damaged {
		s.logger.Error("the file of positions is damaged; everything in the spool is sent again")
	}
	for _, done := range places {
		// A disk that lost what it had synced must not make numbers come twice.
		next = max(next, done)
	}
	s.mu.next, s.mu.synced = next, next
	for name, done := range places {
		done = max(done, s.oldest())
		p := &place{done: done, cursor: done, saved: done}
		for _, first := range aside {
			// Where no file follows nobody knows how many records there were.
			if end := s.firstAfter(first); end > places[name] {
				p.bad += end - max(first, places[name])
			}
		}
		s.mu.places[name] = p
	}
	s.mu.stats.DamagedFiles = uint64(len(aside))
	return nil
}

// firstAfter returns the number with which the file behind a number begins, 0 when
// there is none.
func (s *Spool) firstAfter(first uint64) uint64 {
	for _, f := range s.mu.files {
		if f.header.first > first {
			return f.header.first
		}
	}
	return 0
}

const (
	asideSuffix = ".damaged"
	// maxAside is how many damaged files are kept.
	maxAside = 4
)

// isBlank reports whether a file was never synced: it begins with nothing.
func (s *Spool) isBlank(name string) (bool, error) {
	in, err := s.fs.Open(s.path(name))
	if err != nil {
		return false, err
	}
	defer in.Close()
	head := make([]byte, fileHeaderSize)
	n, err := in.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return n < fileHeaderSize || len(bytes.Trim(head, "\x00")) == 0, nil
}

// putAside gives a file that cannot be read another name, for people to look at.
func (s *Spool) putAside(name string) error {
	if err := s.fs.Rename(s.path(name), s.path(name+asideSuffix)); err != nil {
		s.logger.Warn("damaged file not put aside", slog.String("file", name), slog.Any("err", err))
		return err
	}
	s.logger.Error("file of the spool cannot be read; put aside", slog.String("file", s.path(name+asideSuffix)))
	names, err := s.fs.List(s.opts.Dir)
	if err != nil {
		return nil //nolint:nilerr // that there are too many is noticed the next time
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasSuffix(n, asideSuffix) })
	slices.Sort(names)
	for len(names) > maxAside {
		s.remove(names[0])
		names = names[1:]
	}
	return nil
}

// rescue finds what blocks a file holds whose header is damaged: the header of any
// block tells the seed of its checksum, and that of the block's contents whether it
// is right. What a file holds from a former life has smaller numbers.
func (s *Spool) rescue(in vfs.File, size int64, first uint64) (h fileHeader, ok bool, err error) {
	buf := make([]byte, readAhead)
	head := make([]byte, blockHeaderSize)
	for at := int64(0); at+blockHeaderSize <= size; {
		n, err := in.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return h, false, err
		}
		for from := 0; ; from++ {
			i := bytes.Index(buf[from:n], blockMagic)
			if i < 0 {
				break
			}
			from += i
			begin := at + int64(from)
			if _, err := in.ReadAt(head, begin); err != nil {
				break // the file ends
			}
			seed := seedOf(head)
			b, ok := parseBlockHeader(head, seed)
			if !ok || b.first < first || begin+blockHeaderSize+int64(b.stored) > size {
				continue
			}
			stored := make([]byte, b.stored)
			if _, err := in.ReadAt(stored, begin+blockHeaderSize); err != nil && !errors.Is(err, io.EOF) {
				return h, false, err
			}
			if s.intact(&b, stored, seed) {
				return fileHeader{first: first, rescued: true, found: seed}, true, nil
			}
		}
		if n < len(buf) {
			break
		}
		at += int64(n - len(blockMagic) + 1)
	}
	return h, false, nil
}

// inspect reads what a file says of itself.
func (s *Spool) inspect(name string, first uint64, now time.Time) (*file, error) {
	in, err := s.fs.Open(s.path(name))
	if err != nil {
		return nil, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return nil, err
	}
	head := make([]byte, fileHeaderSize)
	if _, err := in.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	h, err := parseFileHeader(head)
	if errors.Is(err, errNoHeader) {
		var ok bool
		var failed error
		if h, ok, failed = s.rescue(in, info.Size(), first); failed != nil {
			return nil, failed
		}
		if ok {
			s.logger.Error("header of a file is damaged; its records are read all the same", slog.String("file", s.path(name)))
			err = nil
		}
	}
	if err != nil {
		return nil, err
	}
	age := min(max(now.Sub(info.ModTime()), 0), implausible)
	if age == implausible {
		age = 0
	}
	counted := min(age, s.opts.MaxAge-min(grace, s.opts.MaxAge/2))
	return &file{name: name, header: h, end: h.first, size: info.Size(), closed: true, born: now.Add(-age), last: now.Add(-counted)}, nil
}

// findEnd finds the last whole block of a file. Blocks behind one that is torn
// belong to the same sync, or the disk is failing; they are kept.
func (s *Spool) findEnd(f *file) error {
	in, err := s.fs.Open(s.path(f.name))
	if err != nil {
		return err
	}
	defer in.Close()
	c := newCursor(in, f.header, f.size)
	end := int64(fileHeaderSize)
	for {
		h, stored, ok, err := c.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if s.intact(&h, stored, c.seed) && h.first >= f.end {
			f.end, end = h.end(), c.at
		}
	}
	f.size = end
	return nil
}
