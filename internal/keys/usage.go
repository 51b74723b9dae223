package keys

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/roentgen-io/roentgen/internal/snapshot"
)

// UsageFile is the name of the file in the data folder.
const UsageFile = "keys-used.json"

const usageInterval = time.Minute // between saves: so much a crash may forget

var usageHeader = snapshot.Header{Format: "roentgen-keys-used", Version: 1}

// Usage remembers when each key was last used, over restarts. It lies in the data
// folder, not beside the keys, which a server may not be allowed to write. A nil Usage
// remembers nothing.
type Usage struct {
	path   string // "" in memory
	now    func() time.Time
	logger *slog.Logger
	since  time.Time

	mu struct {
		sync.Mutex
		last  map[string]int64 // by id, unix seconds
		dirty bool             // not all is in the file
	}

	stop context.CancelFunc
	wg   sync.WaitGroup
}

// UsageOptions sets up a Usage.
type UsageOptions struct {
	Dir    string           // folder of the file, which must exist when it is saved; "": in memory only
	Logger *slog.Logger     // nil: discard
	Now    func() time.Time // nil: time.Now
}

// usageDocument is what the file holds.
type usageDocument struct {
	snapshot.Header
	Since int64            `json:"since"` // of the first record, unix seconds
	Used  map[string]int64 `json:"used"`  // by access key id, unix seconds
}

// OpenUsage returns a Usage with what the file holds. The caller closes it.
func OpenUsage(o UsageOptions) *Usage {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	u := &Usage{now: o.Now, logger: o.Logger.With(slog.String("component", "keys")), since: o.Now(), stop: func() {}}
	u.mu.last = make(map[string]int64)
	if o.Dir == "" {
		return u
	}
	u.path = filepath.Join(o.Dir, UsageFile)
	var doc usageDocument
	switch err := snapshot.Read(u.path, maxFile, usageHeader, &doc); {
	case err == nil:
		u.since = time.Unix(doc.Since, 0)
		for id, at := range doc.Used {
			u.mu.last[id] = at
		}
	case !errors.Is(err, fs.ErrNotExist):
		u.logger.Warn("when keys were last used is forgotten: the file cannot be used", slog.String("file", u.path), slog.Any("err", err))
	}
	ctx, cancel := context.WithCancel(context.Background())
	u.stop = cancel
	u.wg.Go(func() {
		snapshot.Every(ctx, usageInterval, u.save, func(err error) {
			u.logger.Warn("when keys were last used was not saved", slog.Any("err", err))
		})
	})
	return u
}

// Note notes that a key is used now.
func (u *Usage) Note(id string) {
	if u == nil {
		return
	}
	now := u.now().Unix()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.mu.last[id] < now {
		u.mu.last[id] = now
		u.mu.dirty = true
	}
}

// Last returns when a key was last used, the zero time when it was not since Since.
func (u *Usage) Last(id string) time.Time {
	if u == nil {
		return time.Time{}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if at := u.mu.last[id]; at > 0 {
		return time.Unix(at, 0)
	}
	return time.Time{}
}

// Since returns when the records begin.
func (u *Usage) Since() time.Time {
	if u == nil {
		return time.Time{}
	}
	return u.since
}

// Keep forgets all keys but those with one of the ids.
func (u *Usage) Keep(list []Key) {
	if u == nil {
		return
	}
	known := make(map[string]bool, len(list))
	for i := range list {
		known[list[i].ID] = true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for id := range u.mu.last {
		if !known[id] {
			delete(u.mu.last, id)
			u.mu.dirty = true
		}
	}
}

// Close saves what is not in the file yet. It is safe to call twice.
func (u *Usage) Close() error {
	if u == nil {
		return nil
	}
	u.stop()
	u.wg.Wait()
	return u.save()
}

// save writes the file anew unless all is in it already.
func (u *Usage) save() error {
	if u.path == "" {
		return nil
	}
	doc := usageDocument{Header: usageHeader, Since: u.since.Unix(), Used: make(map[string]int64)}
	u.mu.Lock()
	if !u.mu.dirty {
		u.mu.Unlock()
		return nil
	}
	for id, at := range u.mu.last {
		doc.Used[id] = at
	}
	u.mu.dirty = false
	u.mu.Unlock()
	data, err := json.Marshal(&doc)
	if err == nil {
		err = replace(u.path, append(data, '\n'))
	}
	if err != nil {
		u.mu.Lock()
		u.mu.dirty = true
		u.mu.Unlock()
	}
	return err
}
