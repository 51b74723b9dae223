package keys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	formatName    = "roentgen-keys"
	formatVersion = 1
	maxFile       = 16 << 20
	maxKeys       = 100_000

	ownerOnly fs.FileMode = 0o600
	lockWait              = 10 * time.Second
)

// file is what stands in a file of keys.
type file struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	Keys    []Key  `json:"keys"`
}

// FileError reports a file of keys that cannot be used. Its text names the file and
// tells what to do; it never holds a part of the file.
type FileError struct {
	Path string
	Err  error
}

func (e *FileError) Error() string { return "keys " + e.Path + ": " + e.Err.Error() }
func (e *FileError) Unwrap() error { return e.Err }

// Read reads a file of keys. Errors are *FileError.
func Read(path string) ([]Key, error) {
	list, err := read(path)
	if err != nil {
		return nil, fileError(path, err)
	}
	return list, nil
}

func fileError(path string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = fmt.Errorf("%s: %w", pe.Op, pe.Err) // the path stands in front already
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; roentgen key create --keys %s --role admin makes it", fs.ErrNotExist, path)
	}
	return &FileError{Path: path, Err: err}
}

func read(path string) ([]Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("this is no file")
	}
	if err := checkOwner(info); err != nil {
		return nil, fmt.Errorf("%w; chmod 600 %s", err, path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	return decode(data)
}

func decode(data []byte) ([]Key, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("it is larger than %d MB", maxFile>>20)
	}
	// The version first: all else may differ in a later one.
	var head struct {
		Format  string
		Version int
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, place(data, err)
	}
	if head.Format != formatName {
		return nil, fmt.Errorf("this is no file of keys: its format is not %q", formatName)
	}
	if head.Version < 1 || head.Version > formatVersion {
		return nil, fmt.Errorf("it has version %d, and this program knows %d", head.Version, formatVersion)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var f file
	if err := d.Decode(&f); err != nil {
		return nil, place(data, err)
	}
	if len(f.Keys) > maxKeys {
		return nil, fmt.Errorf("it holds more than %d keys", maxKeys)
	}
	seen := make(map[string]bool, len(f.Keys))
	for i := range f.Keys {
		k := &f.Keys[i]
		if err := k.check(); err != nil {
			return nil, err
		}
		if seen[k.ID] {
			return nil, fmt.Errorf("it holds key %s twice", k.ID)
		}
		seen[k.ID] = true
	}
	return f.Keys, nil
}

// place gives an error of the JSON decoder the line where it arose. What the
// decoder says of a value may hold a part of a secret, so that is left out.
func place(data []byte, err error) error {
	line := func(offset int64) int {
		return 1 + bytes.Count(data[:min(max(offset, 0), int64(len(data)))], []byte("\n"))
	}
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	var when *time.ParseError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("line %d: this is no JSON", line(syntax.Offset))
	case errors.As(err, &wrong):
		return fmt.Errorf("line %d: %s has the wrong type", line(wrong.Offset), wrong.Field)
	case errors.As(err, &when):
		return errors.New("a time is not of the form 2026-11-26T14:00:00Z")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it ends too early")
	}
	return err // an unknown name
}

// encode returns the file that holds a list.
func encode(list []Key) ([]byte, error) {
	if list == nil {
		list = []Key{}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(file{formatName, formatVersion, list}); err != nil {
		return nil, err
	}
	if _, err := decode(b.Bytes()); err != nil {
		return nil, err // it could not be read again
	}
	return b.Bytes(), nil
}

// Writable says why Update cannot change a file, as far as that can be told beforehand.
func Writable(path string) error {
	target, err := filepath.EvalSymlinks(path)
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+".*"); err == nil {
			err = errors.Join(f.Close(), os.Remove(f.Name()))
		}
	}
	if err != nil {
		return fileError(path, err)
	}
	return nil
}

// Update changes a file of keys: change gets the keys that are there and returns
// those that shall be, or an error that Update returns. create makes a file that is
// not there. Other processes wait meanwhile; a reader sees the old or the new file,
// also after a crash. The new one can be read by its owner alone.
func Update(path string, create bool, change func(list []Key) ([]Key, error)) error {
	// Through a link, so that the file is replaced and not the link.
	target, err := filepath.EvalSymlinks(path)
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist) && create:
		target = path
	default:
		return fileError(path, err)
	}
	unlock, err := lock(target + ".lock")
	if err != nil {
		return fileError(path, err)
	}
	defer unlock()
	list, err := read(target)
	if err != nil && !(create && errors.Is(err, fs.ErrNotExist)) {
		return fileError(path, err)
	}
	if list, err = change(list); err != nil {
		return err
	}
	data, err := encode(list)
	if err == nil {
		err = replace(target, data)
	}
	if err != nil {
		return fileError(path, err)
	}
	return nil
}

// lock takes a file lock that one process holds at a time, and waits for it. The
// file stays: to remove it would take the lock from whoever waits.
func lock(path string) (unlock func(), err error) {
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		c, err := vfs.Default.Lock(path)
		if err == nil {
			return func() { _ = c.Close() }, nil // it ends with the process at the latest
		}
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return nil, err
		}
		if time.Since(begin) > lockWait {
			return nil, fmt.Errorf("another process has held %s for %v: %w", path, lockWait, err)
		}
	}
}

// replace puts data in place of the file at path.
func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(ownerOnly)
	}
	if old, statErr := os.Stat(path); err == nil && statErr == nil {
		err = keepOwner(f, old) // the administrator's command must not take it from the server
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // it may be gone already
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
