package pebblestore

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// fence stands between one instance of Pebble and the file system.
//
// Pebble cannot cope with a write that fails: it panics, in places while a mutex
// is unlocked that a deferred call then unlocks once more, which ends the
// process and cannot be recovered from, or it calls Logger.Fatalf. So it never
// sees one. The first failed write, sync or creation trips the fence, and from then on every
// operation that would change something does nothing and succeeds. That
// lie is harmless, because whoever commits looks at the fence before it
// believes Pebble (see instance.commit), and it is what makes the next step
// safe: nothing that the old instance still does, a compaction under way
// say, can touch files of the instance that is opened in its place.
//
// Failed removals pass: Pebble only logs them, and the file is removed at the
// next start. Failed reads pass as well: Pebble hands them to whoever reads.
type fence struct {
	vfs.FS
	tripped atomic.Bool
	onTrip  func(error)

	// mu is held shared by operations that change something, so that drain can
	// wait for the last of them.
	mu sync.RWMutex
}

func newFence(inner vfs.FS, onTrip func(error)) *fence {
	return &fence{FS: inner, onTrip: onTrip}
}

// trip ends all changes through the fence. Operations under way still end.
func (f *fence) trip(err error) {
	if f.tripped.CompareAndSwap(false, true) {
		f.onTrip(err)
	}
}

// drain waits until no operation is under way. Call it after trip.
func (f *fence) drain() {
	f.mu.Lock()
	f.mu.Unlock() //nolint:staticcheck // the empty section is the wait
}

// change runs op unless the fence is tripped, and trips it when op fails. It
// reports whether op was done.
func (f *fence) change(op func() error) (done bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.tripped.Load() {
		return false
	}
	if err := op(); err != nil {
		f.trip(err)
		return false
	}
	return true
}

func (f *fence) wrap(file vfs.File, log bool) vfs.File {
	return &fencedFile{File: file, fence: f, log: log}
}

func (f *fence) create(name string, op func() (vfs.File, error)) (vfs.File, error) {
	var file vfs.File
	if !f.change(func() (err error) { file, err = op(); return err }) {
		return voidFile{name: f.FS.PathBase(name)}, nil
	}
	return f.wrap(file, strings.HasSuffix(name, ".log")), nil
}

// Create implements vfs.FS.
func (f *fence) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.create(name, func() (vfs.File, error) {
		// Pebble's marker files name another file of their folder, whose entry
		// was not synced yet: after a crash the marker could be there without it.
		if strings.HasPrefix(f.FS.PathBase(name), "marker.") {
			if err := syncDir(f.FS, f.FS.PathDir(name)); err != nil {
				return nil, err
			}
		}
		return f.FS.Create(name, c)
	})
}

// syncDir makes the entries of a folder durable.
func syncDir(fs vfs.FS, name string) error {
	dir, err := fs.OpenDir(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// OpenReadWrite implements vfs.FS.
func (f *fence) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return f.create(name, func() (vfs.File, error) { return f.FS.OpenReadWrite(name, c, opts...) })
}

// ReuseForWrite implements vfs.FS.
func (f *fence) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.create(newname, func() (vfs.File, error) { return f.FS.ReuseForWrite(oldname, newname, c) })
}

// Link implements vfs.FS.
func (f *fence) Link(oldname, newname string) error {
	f.change(func() error { return f.FS.Link(oldname, newname) })
	return nil
}

// Rename implements vfs.FS.
func (f *fence) Rename(oldname, newname string) error {
	f.change(func() error { return f.FS.Rename(oldname, newname) })
	return nil
}

// MkdirAll implements vfs.FS.
func (f *fence) MkdirAll(dir string, perm os.FileMode) error {
	f.change(func() error { return f.FS.MkdirAll(dir, perm) })
	return nil
}

// Remove implements vfs.FS.
func (f *fence) Remove(name string) error {
	return f.remove(func() error { return f.FS.Remove(name) })
}

// RemoveAll implements vfs.FS.
func (f *fence) RemoveAll(name string) error {
	return f.remove(func() error { return f.FS.RemoveAll(name) })
}

func (f *fence) remove(op func() error) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.tripped.Load() {
		return nil
	}
	return op()
}

// Lock implements vfs.FS. The store holds the lock of the folder itself, over
// all instances.
func (f *fence) Lock(string) (io.Closer, error) { return noLock{}, nil }

type noLock struct{}

func (noLock) Close() error { return nil }

// OpenDir implements vfs.FS.
func (f *fence) OpenDir(name string) (vfs.File, error) {
	dir, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return f.wrap(dir, false), nil
}

// List implements vfs.FS.
func (f *fence) List(dir string) ([]string, error) { return f.FS.List(dir) }

// Unwrap implements vfs.FS.
func (f *fence) Unwrap() vfs.FS { return f.FS }

type fencedFile struct {
	vfs.File
	fence *fence
	log   bool // a log of Pebble: its Stat must not fail either
}

// Write implements vfs.File.
func (f *fencedFile) Write(p []byte) (int, error) {
	n := len(p) // File.Write may change p
	f.fence.change(func() error { _, err := f.File.Write(p); return err })
	return n, nil
}

// WriteAt implements vfs.File.
func (f *fencedFile) WriteAt(p []byte, off int64) (int, error) {
	n := len(p)
	f.fence.change(func() error { _, err := f.File.WriteAt(p, off); return err })
	return n, nil
}

// Preallocate implements vfs.File.
func (f *fencedFile) Preallocate(off, n int64) error {
	f.fence.change(func() error { return f.File.Preallocate(off, n) })
	return nil
}

// Sync implements vfs.File.
func (f *fencedFile) Sync() error {
	f.fence.change(f.File.Sync)
	return nil
}

// SyncData implements vfs.File.
func (f *fencedFile) SyncData() error {
	f.fence.change(f.File.SyncData)
	return nil
}

// SyncTo implements vfs.File.
func (f *fencedFile) SyncTo(n int64) (full bool, err error) {
	if !f.fence.change(func() (err error) { full, err = f.File.SyncTo(n); return err }) {
		return true, nil
	}
	return full, nil
}

// Close implements vfs.File.
func (f *fencedFile) Close() error {
	err := f.File.Close()
	if err != nil {
		f.fence.trip(err)
	}
	return nil
}

// Stat implements vfs.File.
func (f *fencedFile) Stat() (vfs.FileInfo, error) {
	info, err := f.File.Stat()
	if err != nil && f.log {
		f.fence.trip(err)
		return voidInfo{}, nil
	}
	return info, err
}

// voidFile stands for a file that was created behind a tripped fence.
type voidFile struct{ name string }

func (voidFile) Close() error                           { return nil }
func (voidFile) Read([]byte) (int, error)               { return 0, io.EOF }
func (v voidFile) ReadAt([]byte, int64) (int, error)    { return 0, v.gone() }
func (voidFile) Write(p []byte) (int, error)            { return len(p), nil }
func (voidFile) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (voidFile) Preallocate(int64, int64) error         { return nil }
func (v voidFile) Stat() (vfs.FileInfo, error)          { return voidInfo{v.name}, nil }
func (voidFile) Sync() error                            { return nil }
func (voidFile) SyncTo(int64) (bool, error)             { return true, nil }
func (voidFile) SyncData() error                        { return nil }
func (voidFile) Prefetch(int64, int64) error            { return nil }
func (voidFile) Fd() uintptr                            { return vfs.InvalidFd }
func (v voidFile) gone() error {
	return &fs.PathError{Op: "read", Path: v.name, Err: oserror.ErrClosed}
}

type voidInfo struct{ name string }

func (v voidInfo) Name() string         { return v.name }
func (voidInfo) Size() int64            { return 0 }
func (voidInfo) Mode() fs.FileMode      { return 0o644 }
func (voidInfo) ModTime() time.Time     { return time.Time{} }
func (voidInfo) IsDir() bool            { return false }
func (voidInfo) Sys() any               { return nil }
func (voidInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
