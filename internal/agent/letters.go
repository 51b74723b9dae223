package agent

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/roentgen-io/roentgen/internal/telemetry"
)

// Letter is a document that a destination, or the agent itself, refused: a dead
// letter. Letters are kept as lines of JSON in a file that people can read.
type Letter struct {
	Time        time.Time `json:"time"`
	Destination string    `json:"destination,omitempty"` // "" when the agent refused it
	Peer        string    `json:"peer,omitempty"`
	ID          string    `json:"id,omitempty"`
	Code        string    `json:"code"`
	Message     string    `json:"message"`
	Document    string    `json:"document,omitempty"` // as it came; invalid UTF-8 becomes U+FFFD
	Size        int       `json:"size"`               // of the document; larger than Document when that was cut
}

// Remedy says what may help, for people.
func (l *Letter) Remedy() string {
	switch l.Code {
	case codeTooLarge:
		return "let the sender write smaller documents; this one is stored, and goes nowhere else"
	case codeInvalidSpan:
		return "the record was damaged on the disk, or by an earlier version: nothing helps this one"
	case codePartialSuccess:
		return "the receiver took the rest of the call; change what its message names, at the sender or in a Collector on the way"
	case codeUndeliverable:
		return "the message is what the destination answered to this document alone: raise its limits, or change what the sender writes"
	}
	return "change what the message names at the sender: the destination will never take the document as it is"
}

// The codes of letters that are not a destination's own.
const (
	codeTooLarge       = "TooLarge"       // for the spool
	codeInvalidSpan    = "InvalidSpan"    // it cannot be read
	codePartialSuccess = "PartialSuccess" // an OTLP receiver rejected it
	codeUndeliverable  = "Undeliverable"  // the whole call is refused as long as it is in it
)

const (
	lettersName = "dead-letters.jsonl"
	// lettersOld is where the letters before those in lettersName are.
	lettersOld = "dead-letters.1.jsonl"
	// lettersBytes is when the file is put aside as lettersOld, and the one that was
	// there is given up.
	lettersBytes = 16 << 20
	// letterBytes is how much of a document is kept, and letterText of what else others
	// say. With every character escaped a letter is shorter than letterChunk.
	letterBytes = 128 << 10
	letterText  = 4 << 10
	letterChunk = 1 << 20
	// pageBytes is how much of documents is read at once, and at least one letter.
	pageBytes = 4 << 20
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
func (l *letters) add(list []Letter) {
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
		if err = errors.Join(err, os.Rename(l.path(), filepath.Join(l.dir, lettersOld))); err != nil {
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
func (l *letters) newest(n int) ([]Letter, error) {
	list, _, err := ReadLetters(l.dir, "", n)
	slices.Reverse(list)
	return list, err
}

// ErrLetterPlace reports a place that ReadLetters gave to nobody.
var ErrLetterPlace = errors.New("agent: not a place among dead letters")

// ReadLetters returns up to n of the letters that are kept in a folder, newest first,
// fewer when they are large. before is "", or the next of an earlier call, to go on from
// there; next is "" behind the oldest. Letters may be added meanwhile, by this process or another.
func ReadLetters(dir, before string, n int) (list []Letter, next string, err error) {
	files, err := openLetters(dir)
	for _, f := range files {
		defer f.Close()
	}
	if err != nil {
		return nil, "", err
	}
	end := int64(-1) // of the file, as far as it is read
	if before != "" {
		if files, end, err = findLetter(files, before); err != nil {
			return nil, "", err
		}
	}
	size := 0
	for _, f := range files {
		info, err := f.Stat()
		if err != nil {
			return nil, "", err
		}
		if end < 0 {
			end = info.Size()
		}
		for end > 0 {
			var text []byte
			if text, end, err = lineBefore(f, end); err != nil {
				return nil, "", err
			}
			var x Letter
			if json.Unmarshal(text, &x) != nil {
				continue // a crash cut it off
			}
			// One more than wanted tells that there are others.
			if len(list) == n || len(list) > 0 && size+len(x.Document) > pageBytes {
				return list, next, nil
			}
			list, next = append(list, x), fmt.Sprintf("%d-%d", x.Time.UnixNano(), end)
			size += len(x.Document)
		}
		end = -1
	}
	return list, "", nil
}

// openLetters opens the files of letters of a folder, the newer one first. The caller closes them,
// also when there is an error.
func openLetters(dir string) (files []*os.File, err error) {
	for _, name := range []string{lettersName, lettersOld} {
		f, err := os.Open(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return files, err
		}
		files = append(files, f)
	}
	if len(files) == 2 {
		// Between the two the newer one may have been put aside.
		a, errA := files[0].Stat()
		b, errB := files[1].Stat()
		if errA == nil && errB == nil && os.SameFile(a, b) {
			return files[:1], files[1].Close()
		}
	}
	return files, nil
}

// findLetter returns the file with the letter that a place is of, those that are older, and
// where it begins. The letter is known by its time: its file may have been put aside.
// When it is gone, those before it are, too.
func findLetter(files []*os.File, place string) ([]*os.File, int64, error) {
	var nanos, offset int64
	if n, err := fmt.Sscanf(place, "%d-%d", &nanos, &offset); n != 2 || err != nil || offset < 0 || fmt.Sprintf("%d-%d", nanos, offset) != place {
		return nil, 0, ErrLetterPlace
	}
	for i, f := range files {
		text, err := bufio.NewReaderSize(io.NewSectionReader(f, offset, letterChunk), 64<<10).ReadBytes('\n')
		var x Letter
		if err == nil && json.Unmarshal(text, &x) == nil && x.Time.UnixNano() == nanos {
			return files[i:], offset, nil
		}
	}
	return nil, 0, nil
}

// lineBefore returns the line that ends at end, and where it begins.
func lineBefore(f *os.File, end int64) (text []byte, begin int64, err error) {
	for size := int64(4 << 10); ; size *= 16 {
		begin = max(0, end-size)
		text = make([]byte, end-begin)
		if _, err := f.ReadAt(text, begin); err != nil {
			return nil, 0, err
		}
		if i := bytes.LastIndexByte(text[:len(text)-1], '\n'); i >= 0 {
			return text[i+1:], begin + int64(i) + 1, nil
		}
		if begin == 0 || size >= letterChunk {
			return text, begin, nil
		}
	}
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
