package keys

import (
	"context"
	"log/slog"
	"time"

	"github.com/roentgen-io/roentgen/internal/freshfile"
	"github.com/roentgen-io/roentgen/internal/ratelimit"
)

// RingOptions sets up a Ring.
type RingOptions struct {
	Path string
	// What may be sent with a key in a second, unless its entry says otherwise; 0: no limit.
	DocumentsPerSecond, BytesPerSecond int64
	Logger                             *slog.Logger     // nil: discard
	Now                                func() time.Time // nil: time.Now
}

// Ring is a file of keys in use.
type Ring struct {
	opts  RingOptions
	value *freshfile.Value[map[string]*Holder]
}

// Holder is a key in use. When the file is read again, what is left of its limits
// passes on to the next one.
type Holder struct {
	Key
	documents, bytes *ratelimit.Bucket // nil: no limit
}

// OpenRing reads a file of keys. Errors are *FileError.
func OpenRing(opts RingOptions) (*Ring, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	opts.Logger = opts.Logger.With(slog.String("component", "keys"))
	if opts.Now == nil {
		opts.Now = time.Now
	}
	r := &Ring{opts: opts}
	var err error
	r.value, err = freshfile.Open(freshfile.Options[map[string]*Holder]{
		Paths: []string{opts.Path}, Read: r.read, Changed: r.changed, Now: opts.Now,
	})
	if err != nil {
		return nil, err
	}
	r.log("keys read", slog.LevelInfo, slog.Int("keys", r.Len()))
	return r, nil
}

func (r *Ring) log(msg string, level slog.Level, attrs ...slog.Attr) {
	r.opts.Logger.LogAttrs(context.Background(), level, msg, append([]slog.Attr{slog.String("file", r.opts.Path)}, attrs...)...)
}

// read reads the file. What a key has left of its limits passes on from the ring
// before.
func (r *Ring) read(old map[string]*Holder) (map[string]*Holder, error) {
	list, err := Read(r.opts.Path)
	if err != nil {
		return nil, err
	}
	ring := make(map[string]*Holder, len(list))
	for _, k := range list {
		if k.IsRevoked() {
			continue
		}
		h := &Holder{Key: k}
		documents, bytes := r.opts.DocumentsPerSecond, r.opts.BytesPerSecond
		if k.DocumentsPerSecond > 0 {
			documents = k.DocumentsPerSecond
		}
		if k.BytesPerSecond > 0 {
			bytes = k.BytesPerSecond
		}
		var before Holder
		if b := old[k.ID]; b != nil {
			before = *b
		}
		h.documents = before.documents.Again(documents, r.opts.Now)
		h.bytes = before.bytes.Again(bytes, r.opts.Now)
		ring[k.ID] = h
	}
	return ring, nil
}

func (r *Ring) changed(err error) {
	if err != nil {
		r.log("keys not read again, those from before stay in force", slog.LevelError, slog.Any("err", err))
		return
	}
	r.log("keys read again", slog.LevelInfo)
}

// Find returns the key with an id, nil when there is none or it is revoked. It may
// be expired.
func (r *Ring) Find(id string) *Holder { return r.value.Get()[id] }

// Len returns the number of keys that are not revoked.
func (r *Ring) Len() int { return len(r.value.Get()) }

// Path returns the file.
func (r *Ring) Path() string { return r.opts.Path }

// Standard returns what may be sent in a second with a key that does not say; 0: no limit.
func (r *Ring) Standard() (documents, bytes int64) {
	return r.opts.DocumentsPerSecond, r.opts.BytesPerSecond
}

// Reload reads the file at once instead of within a second.
func (r *Ring) Reload() error { return r.value.Reload() }

// Take asks whether so many documents and bytes may be taken in now, and counts
// them when they may. A nil Holder, of a server without keys, may do anything.
func (h *Holder) Take(documents, bytes int) bool {
	if h == nil {
		return true
	}
	if !h.documents.Take(documents) {
		return false
	}
	if !h.bytes.Take(bytes) {
		h.documents.GiveBack(documents)
		return false
	}
	return true
}

type contextKey struct{}

// request is what a context tells of the key that a request was made with.
type request struct {
	holder *Holder
	holds  func() bool
}

// With returns a context of a request made with a key. holds reports whether what let
// the request in still would; nil: it does for ever.
func With(ctx context.Context, h *Holder, holds func() bool) context.Context {
	return context.WithValue(ctx, contextKey{}, request{h, holds})
}

// Of returns the key that a request was made with, nil when it needed none.
func Of(ctx context.Context) *Holder {
	r, _ := ctx.Value(contextKey{}).(request)
	return r.holder
}

// Holds reports whether a request would still be let in, for answers that go on: its
// key may have been revoked, or its session may have ended.
func Holds(ctx context.Context) bool {
	r, _ := ctx.Value(contextKey{}).(request)
	return r.holds == nil || r.holds()
}
