package crashtest

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Op is one operation on the file system.
type Op struct {
	Kind string // "create", "write", "sync", "rename", ...
	Name string // of the file
	Read bool   // it changes nothing
}

func (o Op) String() string { return o.Kind + " " + o.Name }

// Plan says which operations fail.
type Plan struct {
	// Match picks the operations that are counted; nil: all that change something.
	Match func(Op) bool
	// Index is how many counted operations pass before one fails.
	Index int64
	// Forever lets all further counted operations fail too.
	Forever bool
	Err     error
}

// Faults is a file system whose operations can be made to fail.
//
// A write that fails has written its first half. A sync that fails takes with it
// all that the file will ever be given through the same handle: later syncs of it
// say that they succeeded and do nothing. (Linux drops the pages that it could
// not write and reports the error once, so a file is not to be trusted again.)
type Faults struct {
	vfs.FS
	mu struct {
		sync.Mutex
		plan  *Plan
		seen  int64 // counted operations since Arm
		first *Op   // that failed
		usage *vfs.DiskUsage
	}
	// before, when set, is called before every operation that changes something.
	before atomic.Pointer[func(Op)]
}

// NewFaults returns fs with nothing failing.
func NewFaults(fs vfs.FS) *Faults { return &Faults{FS: fs} }

// Arm lets operations fail from now on, in place of what was planned before.
func (f *Faults) Arm(p Plan) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.plan, f.mu.seen, f.mu.first = &p, 0, nil
}

// Disarm ends all faults.
func (f *Faults) Disarm() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.plan = nil
}

// Fired returns the first operation that failed since Arm, nil when none did.
func (f *Faults) Fired() *Op {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.first
}

// SetFree sets how many bytes the volume says are free; below 0 it does not say.
func (f *Faults) SetFree(bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.usage = nil
	if bytes >= 0 {
		const total = 1 << 40
		f.mu.usage = &vfs.DiskUsage{AvailBytes: uint64(bytes), TotalBytes: total, UsedBytes: total - uint64(bytes)}
	}
}

// next counts an operation and returns the error it has to fail with.
func (f *Faults) next(kind, name string, read bool) error {
	op := Op{Kind: kind, Name: name, Read: read}
	if before := f.before.Load(); before != nil && !read {
		(*before)(op)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.mu.plan
	if p == nil || p.Match == nil && read || p.Match != nil && !p.Match(op) {
		return nil
	}
	f.mu.seen++
	if f.mu.seen <= p.Index || f.mu.seen > p.Index+1 && !p.Forever {
		return nil
	}
	if f.mu.first == nil {
		f.mu.first = &op
	}
	return &os.PathError{Op: kind, Path: name, Err: fmt.Errorf("injected fault: %w", p.Err)}
}

func (f *Faults) file(inner vfs.File, err error, name string, dir bool) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &faultyFile{File: inner, fs: f, name: name, dir: dir}, nil
}

// Create implements vfs.FS.
func (f *Faults) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.next("create", name, false); err != nil {
		return nil, err
	}
	file, err := f.FS.Create(name, c)
	return f.file(file, err, name, false)
}

// Link implements vfs.FS.
func (f *Faults) Link(oldname, newname string) error {
	if err := f.next("link", newname, false); err != nil {
		return err
	}
	return f.FS.Link(oldname, newname)
}

// Open implements vfs.FS.
func (f *Faults) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if err := f.next("open", name, true); err != nil {
		return nil, err
	}
	file, err := f.FS.Open(name)
	if err != nil {
		return nil, err
	}
	wrapped, err := f.file(file, nil, name, false)
	for _, o := range opts {
		o.Apply(wrapped)
	}
	return wrapped, err
}

// OpenReadWrite implements vfs.FS.
func (f *Faults) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if err := f.next("openreadwrite", name, false); err != nil {
		return nil, err
	}
	file, err := f.FS.OpenReadWrite(name, c)
	if err != nil {
		return nil, err
	}
	wrapped, err := f.file(file, nil, name, false)
	for _, o := range opts {
		o.Apply(wrapped)
	}
	return wrapped, err
}

// OpenDir implements vfs.FS.
func (f *Faults) OpenDir(name string) (vfs.File, error) {
	if err := f.next("opendir", name, true); err != nil {
		return nil, err
	}
	file, err := f.FS.OpenDir(name)
	return f.file(file, err, name, true)
}

// Remove implements vfs.FS.
func (f *Faults) Remove(name string) error {
	if err := f.next("remove", name, false); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

// RemoveAll implements vfs.FS.
func (f *Faults) RemoveAll(name string) error {
	if err := f.next("remove", name, false); err != nil {
		return err
	}
	return f.FS.RemoveAll(name)
}

// Rename implements vfs.FS.
func (f *Faults) Rename(oldname, newname string) error {
	if err := f.next("rename", newname, false); err != nil {
		return err
	}
	return f.FS.Rename(oldname, newname)
}

// ReuseForWrite implements vfs.FS.
func (f *Faults) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.next("reuse", newname, false); err != nil {
		return nil, err
	}
	reusing.RLock()
	file, err := f.FS.ReuseForWrite(oldname, newname, c)
	reusing.RUnlock()
	return f.file(file, err, newname, false)
}

// MkdirAll implements vfs.FS.
func (f *Faults) MkdirAll(dir string, perm os.FileMode) error {
	if err := f.next("mkdir", dir, false); err != nil {
		return err
	}
	return f.FS.MkdirAll(dir, perm)
}

// Lock implements vfs.FS.
func (f *Faults) Lock(name string) (io.Closer, error) {
	if err := f.next("lock", name, false); err != nil {
		return nil, err
	}
	return f.FS.Lock(name)
}

// List implements vfs.FS.
func (f *Faults) List(dir string) ([]string, error) {
	if err := f.next("list", dir, true); err != nil {
		return nil, err
	}
	return f.FS.List(dir)
}

// Stat implements vfs.FS.
func (f *Faults) Stat(name string) (vfs.FileInfo, error) {
	if err := f.next("stat", name, true); err != nil {
		return nil, err
	}
	return f.FS.Stat(name)
}

// GetDiskUsage implements vfs.FS.
func (f *Faults) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	f.mu.Lock()
	usage := f.mu.usage
	f.mu.Unlock()
	if usage != nil {
		return *usage, nil
	}
	return f.FS.GetDiskUsage(path)
}

// Unwrap implements vfs.FS. It gives nothing: nobody may go round the faults.
func (f *Faults) Unwrap() vfs.FS { return nil }

type faultyFile struct {
	vfs.File
	fs   *Faults
	name string
	dir  bool
	lost atomic.Bool // a sync failed
}

func (f *faultyFile) Read(p []byte) (int, error) {
	if err := f.fs.next("read", f.name, true); err != nil {
		return 0, err
	}
	return f.File.Read(p)
}

func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fs.next("read", f.name, true); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *faultyFile) Write(p []byte) (int, error) {
	if err := f.fs.next("write", f.name, false); err != nil {
		n, _ := f.File.Write(p[:len(p)/2])
		return n, err
	}
	return f.File.Write(p)
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.fs.next("write", f.name, false); err != nil {
		n, _ := f.File.WriteAt(p[:len(p)/2], off)
		return n, err
	}
	return f.File.WriteAt(p, off)
}

func (f *faultyFile) Preallocate(offset, length int64) error {
	if err := f.fs.next("preallocate", f.name, false); err != nil {
		return err
	}
	return f.File.Preallocate(offset, length)
}

// sync counts a sync and tells whether it is to be carried out.
func (f *faultyFile) sync() (bool, error) {
	if err := f.fs.next("sync", f.name, false); err != nil {
		if !f.dir {
			f.lost.Store(true)
		}
		return false, err
	}
	return !f.lost.Load(), nil
}

func (f *faultyFile) Sync() error {
	if ok, err := f.sync(); !ok {
		return err
	}
	return f.File.Sync()
}

func (f *faultyFile) SyncData() error {
	if ok, err := f.sync(); !ok {
		return err
	}
	return f.File.SyncData()
}

func (f *faultyFile) SyncTo(length int64) (bool, error) {
	ok, err := f.sync()
	if err != nil {
		return false, err
	}
	if !ok {
		return true, nil // the lie of a lost file
	}
	return f.File.SyncTo(length)
}

func (f *faultyFile) Stat() (vfs.FileInfo, error) {
	if err := f.fs.next("stat", f.name, true); err != nil {
		return nil, err
	}
	return f.File.Stat()
}
