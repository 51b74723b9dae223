// Package freelist keeps buffers for reuse. A sync.Pool would lose them at every
// garbage collection, which comes often in a process that is told to stay small.
package freelist

import "sync"

const step = 8 << 10

// List keeps up to Most buffers of at most Bytes each. The zero value keeps none.
// It may be used by many goroutines.
type List struct {
	Most  int
	Bytes int

	mu   sync.Mutex
	free [][]byte
}

// Get returns an empty buffer with room for size bytes.
func (l *List) Get(size int) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.free) - 1; i >= 0; i-- {
		if cap(l.free[i]) < size {
			continue
		}
		b := l.free[i]
		last := len(l.free) - 1
		l.free[i] = l.free[last]
		l.free[last] = nil
		l.free = l.free[:last]
		return b[:0]
	}
	// Rounded, so that it fits more often when it comes back.
	return make([]byte, 0, (size+step-1)/step*step)
}

// Put takes a buffer back, unless there are enough or it is too large.
func (l *List) Put(b []byte) {
	if cap(b) == 0 || cap(b) > l.Bytes {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.free) < l.Most {
		l.free = append(l.free, b[:0])
	}
}
