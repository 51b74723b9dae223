package crashtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
	"github.com/roentgen-io/roentgen/segment"
)

// toyStore is the smallest engine that keeps the promises: one log of puts,
// read from memory. It shows that the laboratory passes what is right, and with
// a defect built in, that it finds what is wrong.
type toyStore struct {
	*memstore.Store
	fs     vfs.FS
	defect string

	mu     sync.Mutex
	file   vfs.File
	number int
	seq    uint64
	put    uint64
	kept   [][]byte // frames of the log
	broken bool     // the log must be written anew
	closed bool
}

const toyDir = "toy"

func openToy(fs vfs.FS, defect string) (tracestore.Store, error) {
	s := &toyStore{Store: memstore.New(), fs: fs, defect: defect}
	if err := fs.MkdirAll(toyDir, 0o755); err != nil {
		return nil, err
	}
	if err := syncDir(fs, "/"); err != nil {
		return nil, err
	}
	names, err := fs.List(toyDir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if n, err := strconv.Atoi(strings.TrimPrefix(name, "log-")); err == nil {
			s.number = max(s.number, n)
		}
	}
	if s.number > 0 {
		if err := s.replay(); err != nil {
			return nil, err
		}
	}
	if err := s.rewrite(); err != nil {
		return nil, err
	}
	return s, nil
}

func syncDir(fs vfs.FS, name string) error {
	dir, err := fs.OpenDir(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (s *toyStore) path(n int) string { return s.fs.PathJoin(toyDir, fmt.Sprintf("log-%d", n)) }

// replay reads the log up to the first frame that is not whole.
func (s *toyStore) replay() error {
	f, err := s.fs.Open(s.path(s.number))
	if err != nil {
		return err
	}
	data, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	for len(data) >= 8 {
		size := int(binary.BigEndian.Uint32(data))
		if size == 0 || size > len(data)-8 {
			break
		}
		body := data[8 : 8+size]
		if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(data[4:]) {
			break
		}
		var docs []tracestore.Stored
		if json.Unmarshal(body, &docs) != nil {
			break
		}
		if err := s.load(docs); err != nil {
			return err
		}
		s.kept = append(s.kept, bytes.Clone(data[:8+size]))
		data = data[8+size:]
	}
	return nil //nolint:nilerr // what does not parse is the torn end of the log
}

func (s *toyStore) load(docs []tracestore.Stored) error {
	last := docs[len(docs)-1]
	s.seq, s.put = max(s.seq, last.Seq), max(s.put, last.Put)
	return s.Store.Load(docs)
}

// rewrite puts all that is known into a new log.
func (s *toyStore) rewrite() error {
	temp := s.fs.PathJoin(toyDir, "temp")
	f, err := s.fs.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if _, err := f.Write(bytes.Join(s.kept, nil)); err != nil {
		f.Close()
		return err
	}
	if s.defect != "log not synced when rewritten" {
		if err := f.Sync(); err != nil {
			f.Close()
			return err
		}
	}
	if err := s.fs.Rename(temp, s.path(s.number+1)); err != nil {
		f.Close()
		return err
	}
	if s.defect != "folder not synced" {
		if err := syncDir(s.fs, toyDir); err != nil {
			f.Close()
			return err
		}
	}
	if s.file != nil {
		s.file.Close()
	}
	s.fs.Remove(s.path(s.number))
	s.file, s.number, s.broken = f, s.number+1, false
	return nil
}

func frame(docs []tracestore.Stored) []byte {
	body, err := json.Marshal(docs)
	if err != nil {
		panic(err)
	}
	out := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(body))
	return append(out, body...)
}

func (s *toyStore) Write(_ context.Context, records []tracestore.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return tracestore.ErrClosed
	}
	if usage, err := s.fs.GetDiskUsage(toyDir); err == nil && usage.AvailBytes < 1<<20 {
		return tracestore.ErrNoSpace
	}
	if s.broken {
		if s.defect == "never recovers" {
			return tracestore.ErrUnavailable
		}
		if err := s.rewrite(); err != nil {
			return errors.Join(tracestore.ErrUnavailable, err)
		}
	}
	s.put++
	var docs []tracestore.Stored
	for _, r := range records {
		s.seq++
		docs = append(docs, tracestore.Stored{Seq: s.seq, Put: s.put, Received: r.Received, Format: r.Format, Data: r.Data, Source: r.Source})
	}
	log := frame(docs)
	if s.defect == "puts not atomic" {
		log = nil
		for _, d := range docs {
			log = append(log, frame([]tracestore.Stored{d})...)
		}
	}
	_, err := s.file.Write(bytes.Clone(log)) // a vfs may change what it is given
	if err == nil && s.defect != "never synced" {
		err = s.file.Sync()
	}
	switch {
	case err == nil:
	case s.defect == "sync errors ignored":
	case s.defect == "goes on with the same file":
		return err
	case s.defect == "refusal that is none":
		s.broken = true
		return errors.Join(tracestore.ErrUnavailable, err)
	default:
		s.broken = true
		return err
	}
	s.kept = append(s.kept, log)
	if s.defect == "acknowledged twice" && s.put%5 == 0 {
		docs = append(docs, docs[0])
		s.seq++
		docs[len(docs)-1].Seq = s.seq
	}
	return s.load(docs)
}

func (s *toyStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return errors.Join(s.Store.Close(), s.file.Close())
}

// damagingStore gives documents back with a byte changed.
type damagingStore struct{ tracestore.Store }

func (s damagingStore) Documents(ctx context.Context, id segment.TraceID, asOf uint64) ([]tracestore.Stored, error) {
	docs, err := s.Store.Documents(ctx, id, asOf)
	if id[3]%16 == 3 && len(docs) > 0 {
		docs[0].Data[len(docs[0].Data)/2] ^= 1
	}
	return docs, err
}

// hidingStore leaves a trace out of its scans.
type hidingStore struct{ tracestore.Store }

func (s hidingStore) Scan(ctx context.Context, scan tracestore.Scan, fn func(c tracestore.Cursor, row *trace.Row) bool) error {
	return s.Store.Scan(ctx, scan, func(c tracestore.Cursor, row *trace.Row) bool {
		return c.ID[3]%16 == 3 || fn(c, row)
	})
}
