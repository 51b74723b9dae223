package agent

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/roentgen-io/roentgen/internal/telemetry"
)

// letter is a document that a destination, or the agent itself, refused: a dead
// letter. Letters are kept as lines of JSON in a file that people can read.
type letter struct {
	Time        time.Time `json:"time"`
	Destination string    `json:"destination,omitempty"` // "" when the agent refused it
	Peer        string    `json:"peer,omitempty"`
	ID          string    `json:"id,omitempty"`
	Code        string    `json:"code"`
	Message     string    `json:"message"`
	Document    string    `json:"document,omitempty"` // as it came; invalid UTF-8 becomes U+FFFD
	Size        int       `json:"size"`               // of the document; larger than Document when that was cut
}

const (
	lettersName = "dead-letters.jsonl"
	// lettersBytes is when the file is put aside as dead-letters.1.jsonl, and the
	// one that was there is given up.
	lettersBytes = 16 << 20
	// letterBytes is how much of a document is kept, and letterText of what else others
	// say. With every character escaped a letter is shorter than what newest reads.
	letterBytes = 128 << 10
	letterText  = 4 << 10
)

// letters is the file of dead letters.
type letters struct {
	dir     string
	logger  *slog.Logger
	limit   telemetry.Limiter
	kept    atomic.Uint64
	dropped atomic.Uint64

	mu   sync.Mutex
	file *os.File
	size int64
}

func newLetters(dir string, logger *slog.Logger) *letters { return &letters{dir: dir, logger: logger} }

func (l *letters) path() string { return filepath.Join(l.dir, lettersName) }

// add writes letters and syncs them: what they hold is nowhere else any more.
func (l *letters) add(list []letter) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	for _, x := range list {
		x.Size = len(x.Document)
		x.Document = clipText(x.Document, letterBytes)
		x.ID, x.Code, x.Message = clipText(x.ID, letterText), clipText(x.Code, letterText), clipText(x.Message, letterText)
		if err := e.Encode(x); err != nil {
			l.logger.Error("dead letter not encoded", slog.Any("err", err)) // texts and times always do
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.write(text.Bytes()); err != nil {
		l.dropped.Add(uint64(len(list)))
		l.limit.Log(l.logger, slog.LevelError, "dead letters not kept", slog.Int("letters", len(list)), slog.Any("err", err))
		return
	}
	l.kept.Add(uint64(len(list)))
}

func (l *letters) write(text []byte) error {
	if l.file != nil && l.size+int64(len(text)) > lettersBytes {
		err := l.file.Close()
		l.file = nil
		if err = errors.Join(err, os.Rename(l.path(), filepath.Join(l.dir, "dead-letters.1.jsonl"))); err != nil {
			return err
		}
	}
	if l.file == nil {
		f, err := os.OpenFile(l.path(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			return errors.Join(err, f.Close())
		}
		l.file, l.size = f, info.Size()
		if err := l.endLine(); err != nil {
			return err
		}
	}
	n, err := l.file.Write(text)
	if err != nil {
		// Half a line would spoil the one that comes after it, too.
		return errors.Join(err, l.file.Truncate(l.size))
	}
	l.size += int64(n)
	return l.file.Sync()
}

// endLine ends the line in which a crash left the file.
func (l *letters) endLine() error {
	if l.size == 0 {
		return nil
	}
	f, err := os.Open(l.path())
	if err != nil {
		return err
	}
	defer f.Close()
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, l.size-1); err != nil || last[0] == '\n' {
		return err
	}
	n, err := l.file.WriteString("\n")
	l.size += int64(n)
	return err
}

// newest returns up to n letters, the newest last.
func (l *letters) newest(n int) ([]letter, error) {
	f, err := os.Open(l.path())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// The newest stand at the end; a file has room for many more than are asked for.
	const tail = 1 << 20
	if info, err := f.Stat(); err == nil && info.Size() > tail {
		if _, err := f.Seek(-tail, io.SeekEnd); err != nil {
			return nil, err
		}
	}
	var list []letter
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 64<<10), tail)
	for lines.Scan() {
		var x letter
		if json.Unmarshal(lines.Bytes(), &x) == nil { // the first line may be cut
			list = append(list, x)
		}
	}
	if len(list) > n {
		list = list[len(list)-n:]
	}
	return list, lines.Err()
}

func (l *letters) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
