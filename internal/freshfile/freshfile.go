// Package freshfile keeps what was read from files up to date while they change:
// keys, and certificates. Nobody has to tell it; a program may (Reload).
package freshfile

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Interval is how long a value is given out without a look at its files.
const Interval = time.Second

// Options sets up a Value.
type Options[T any] struct {
	// Paths are the files. They are watched by what Stat says of them: time of
	// change, size and identity, through symbolic links.
	Paths []string
	// Read reads the files. old is the value so far, the zero value at first.
	Read func(old T) (T, error)
	// Changed is called with the outcome of every reading but the first, when the
	// files have changed, and when an error is another than the one before. It must
	// not call the Value. nil: nobody is told.
	Changed func(err error)
	Now     func() time.Time // nil: time.Now
}

// Value is what was read last. When the files cannot be read any more, the last
// good value stays: a file that is being replaced locks nobody out.
type Value[T any] struct {
	opts    Options[T]
	current atomic.Pointer[T]
	next    atomic.Int64 // unix nanoseconds; from then on the files are looked at

	mu struct {
		sync.Mutex
		seen []fs.FileInfo // of Paths, as they were before the last reading; nil in place of what was not there
		err  error         // of the last reading
	}
}

// Open reads the files for the first time.
func Open[T any](opts Options[T]) (*Value[T], error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	v := &Value[T]{opts: opts}
	v.mu.seen = v.look()
	var none T
	first, err := opts.Read(none)
	if err != nil {
		return nil, err
	}
	v.current.Store(&first)
	v.next.Store(opts.Now().Add(Interval).UnixNano())
	return v, nil
}

// Get returns the value. About once a second it looks whether the files changed,
// and then reads them; others get the old value meanwhile.
func (v *Value[T]) Get() T {
	if v.opts.Now().UnixNano() >= v.next.Load() && v.mu.TryLock() {
		v.refresh(false)
		v.mu.Unlock()
	}
	return *v.current.Load()
}

// Reload reads the files whether they seem to have changed or not.
func (v *Value[T]) Reload() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.refresh(true)
	return v.mu.err
}

func (v *Value[T]) refresh(always bool) {
	v.next.Store(v.opts.Now().Add(Interval).UnixNano())
	now := v.look() // before reading: what changes meanwhile is seen next time
	changed := !slices.EqualFunc(now, v.mu.seen, same)
	// After an error the cause may lie in what Stat does not show: a directory's
	// permissions, another file of the pair.
	if !changed && !always && v.mu.err == nil {
		return
	}
	v.mu.seen = now
	fresh, err := v.opts.Read(*v.current.Load())
	if err == nil {
		v.current.Store(&fresh)
	}
	news := changed || always || fmt.Sprint(err) != fmt.Sprint(v.mu.err)
	v.mu.err = err
	if news && v.opts.Changed != nil {
		v.opts.Changed(err)
	}
}

func (v *Value[T]) look() []fs.FileInfo {
	infos := make([]fs.FileInfo, len(v.opts.Paths))
	for i, p := range v.opts.Paths {
		if info, err := os.Stat(p); err == nil {
			infos[i] = info
		}
	}
	return infos
}

func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() && a.Mode() == b.Mode()
}
