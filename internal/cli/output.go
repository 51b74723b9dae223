package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
)

// output is standard output that remembers whether all of it could be written:
// commands print line by line, and a full disk may swallow any of them. It is safe
// for use by several goroutines if the writer beneath is.
type output struct {
	io.Writer

	mu struct {
		sync.Mutex
		err error // of the first write that failed
	}
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.mu.err == nil {
			o.mu.err = err
		}
	}
	return n, err
}

// failure says what was not written, nil when all was.
func (o *output) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.err == nil {
		return nil
	}
	return fmt.Errorf("not all output was written: %w", o.mu.err)
}

// fileOf returns the file that w writes to, nil when it writes to something else.
func fileOf(w io.Writer) *os.File {
	if o, ok := w.(*output); ok {
		w = o.Writer
	}
	f, _ := w.(*os.File)
	return f
}
