package control

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roentgen-io/roentgen/internal/tracestore"
)

// FileName is the name of the file in the data folder.
const FileName = "control.json"

const (
	formatName    = "roentgen-control"
	formatVersion = 1
	// maxFile bounds the file: each change writes all of it, and nothing larger is
	// read into memory.
	maxFile = 64 << 20
)

// FileError reports a file that cannot be used. It matches
// tracestore.ErrCorrupt or tracestore.ErrFormat.
type FileError struct {
	Path string
	Err  error
}

func (e *FileError) Error() string {
	if errors.Is(e.Err, tracestore.ErrFormat) {
		return fmt.Sprintf("%s: %v", e.Path, e.Err)
	}
	return fmt.Sprintf("%s: %v; put a good copy in its place, or move it away to begin without any settings", e.Path, e.Err)
}

func (e *FileError) Unwrap() error { return e.Err }

// envelope is what the file holds.
type envelope struct {
	Format   string          `json:"format"`
	Version  int             `json:"version"`
	Checksum string          `json:"checksum"`
	State    json.RawMessage `json:"state"`
}

// encode returns the file that holds st.
func encode(st *state) ([]byte, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(st); err != nil {
		return nil, fmt.Errorf("encode the control state: %w", err)
	}
	if text.Len() > maxFile { // the layout only adds to it
		return nil, ErrTooLarge
	}
	compact := bytes.TrimSuffix(text.Bytes(), []byte("\n"))
	var file bytes.Buffer
	fmt.Fprintf(&file, "{\n  \"format\": %q,\n  \"version\": %d,\n  \"checksum\": %q,\n  \"state\": ", formatName, formatVersion, checksum(compact))
	if err := json.Indent(&file, compact, "  ", "  "); err != nil {
		return nil, fmt.Errorf("encode the control state: %w", err)
	}
	file.WriteString("\n}\n")
	if file.Len() > maxFile {
		return nil, ErrTooLarge
	}
	return file.Bytes(), nil
}

// checksum is that of a state without white space.
func checksum(compact []byte) string {
	sum := sha256.Sum256(compact)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{tracestore.ErrCorrupt}, args...)...)
}

// decode reads a file. Its errors match tracestore.ErrCorrupt or
// tracestore.ErrFormat.
func decode(data []byte) (*state, error) { return decodeFile(data, true) }

// decodeExport is decode for a file that somebody may have edited: one without a
// checksum is taken.
func decodeExport(data []byte) (*state, error) { return decodeFile(data, false) }

func decodeFile(data []byte, sealed bool) (*state, error) {
	if len(data) > maxFile {
		return nil, corrupt("more than %d bytes", maxFile)
	}
	// The version first: all else may differ in a later one.
	var e envelope
	if err := json.Unmarshal(data, &e); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return nil, corrupt("offset %d: %w", syntax.Offset, err)
		}
		return nil, corrupt("%w", err)
	}
	if e.Format != formatName {
		return nil, corrupt("the format is %.40q, not %q", e.Format, formatName)
	}
	if e.Version > formatVersion {
		return nil, fmt.Errorf("%w: the file has version %d, this program knows %d", tracestore.ErrFormat, e.Version, formatVersion)
	}
	if e.Version < 1 {
		return nil, corrupt("version %d", e.Version)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, e.State); err != nil {
		return nil, corrupt("no state: %w", err)
	}
	if have := checksum(compact.Bytes()); have != e.Checksum && (sealed || e.Checksum != "") {
		return nil, corrupt("%w: it is %.80q, and that of the state is %q", ErrChecksum, e.Checksum, have)
	}
	st := &state{}
	d := json.NewDecoder(&compact)
	d.DisallowUnknownFields()
	if err := d.Decode(st); err != nil {
		if strings.Contains(err.Error(), "unknown field") {
			return nil, fmt.Errorf("%w: the state holds what this program does not know: %w", tracestore.ErrFormat, err)
		}
		return nil, corrupt("%w", err)
	}
	if err := st.check(); err != nil {
		return nil, corrupt("%w", err)
	}
	return st, nil
}

// read returns the file, nil when there is none.
func (s *Store) read() ([]byte, error) {
	f, err := s.opts.FS.Open(s.path)
	if oserror.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	return data, nil
}

// save makes st durable, or fails with the old state on disk.
func (s *Store) save(st *state) error {
	if s.path == "" {
		return nil
	}
	data, err := encode(st)
	if err != nil {
		return err
	}
	if !s.doubt {
		now, err := s.read()
		if err != nil {
			return saveError(err)
		}
		if !bytes.Equal(now, s.onDisk) {
			return fmt.Errorf("%w: %s; start again to take it up", ErrChanged, s.path)
		}
	}
	renamed, err := s.replace(data)
	if err == nil {
		s.onDisk, s.doubt = data, false
		return nil
	}
	if renamed && s.restore() != nil {
		// Nobody knows which state a crash would leave now: the old one, which stays
		// in force, or the new one, which nobody was told of. The next change that
		// succeeds ends the doubt.
		s.doubt = true
	}
	return saveError(err)
}

// restore puts the old file back when the new one may or may not have got there.
func (s *Store) restore() error {
	if s.onDisk != nil {
		_, err := s.replace(s.onDisk)
		return err
	}
	if err := s.opts.FS.Remove(s.path); err != nil && !oserror.IsNotExist(err) {
		return err
	}
	return s.syncDir()
}

// replace writes data in place of the file. renamed: the new file may have got
// there although there is an error.
func (s *Store) replace(data []byte) (renamed bool, err error) {
	fs, temp := s.opts.FS, s.path+".tmp"
	f, err := fs.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return false, err
	}
	// A vfs.File may change what it is given to write.
	_, err = f.Write(bytes.Clone(data))
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		// A rename that fails may have been done all the same, on a network disk say.
		renamed = true
		err = fs.Rename(temp, s.path)
	}
	if err != nil {
		_ = fs.Remove(temp) // if it stays, the next change overwrites it
		return renamed, err
	}
	return true, s.syncDir()
}

func (s *Store) syncDir() error {
	dir, err := s.opts.FS.OpenDir(s.opts.Dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// saveError sorts the trouble of the disk into what callers tell apart.
func saveError(err error) error {
	kind := tracestore.ErrUnavailable
	if vfs.IsNoSpaceError(err) || errors.Is(err, syscall.EDQUOT) {
		kind = tracestore.ErrNoSpace
	}
	return fmt.Errorf("%w: save the control state: %w", kind, err)
}
