package reports

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/roentgen-io/roentgen/internal/snapshot"
)

const (
	// MaxSenders is how many senders are kept.
	MaxSenders = 1_000
	// MaxRecords is how many records of one sender are kept: an hour of them.
	MaxRecords = 60

	saveInterval = time.Minute
	// maxCount bounds counts, which senders choose; sums of them stay exact.
	maxCount = 1 << 40
	maxSum   = 1 << 62
)

// Counts are segments and failed calls.
type Counts struct {
	Received, Sent, Spillover, Rejected int64 // segments
	Timeouts, ConnectionsRefused        int64 // calls
	HTTP4XX, HTTP5XX, UnknownHosts      int64
	OtherErrors                         int64
}

// fields returns the counts in the order of the file.
func (c *Counts) fields() []*int64 {
	return []*int64{&c.Received, &c.Sent, &c.Spillover, &c.Rejected, &c.Timeouts, &c.ConnectionsRefused, &c.HTTP4XX, &c.HTTP5XX, &c.UnknownHosts, &c.OtherErrors}
}

// Failures is the number of failed calls.
func (c *Counts) Failures() int64 {
	return c.Timeouts + c.ConnectionsRefused + c.HTTP4XX + c.HTTP5XX + c.UnknownHosts + c.OtherErrors
}

func (c *Counts) add(more *Counts) {
	from := more.fields()
	for i, f := range c.fields() {
		*f = min(max(*f+*from[i], -maxSum), maxSum)
	}
}

// Record is what a sender tells of the time since its record before.
type Record struct {
	Timestamp float64 // epoch seconds, on the sender's clock
	Counts
}

// ID tells senders apart.
type ID struct {
	Hostname, EC2InstanceID, ResourceARN string
	Host                                 string // the address that it sends from, without port
}

// Sender is a daemon or agent.
type Sender struct {
	ID
	First, Last time.Time // receipts on our clock
	Count       int64     // records ever received
	Total       Counts    // of all of them
	Records     []Record  // the latest, newest first
}

// Keeper keeps reports. Its methods may be called from many goroutines.
type Keeper struct {
	path   string // "" in memory
	now    func() time.Time
	logger *slog.Logger

	mu struct {
		sync.Mutex
		senders map[ID]*Sender // their records oldest first
		dirty   bool           // not all is in the file
	}

	saving sync.Mutex // held by whoever writes the file; taken before mu
	stop   context.CancelFunc
	wg     sync.WaitGroup
}

// Options sets up a Keeper.
type Options struct {
	Dir    string           // folder of the file, which must exist when it is saved; "": in memory only
	Logger *slog.Logger     // nil: discard
	Now    func() time.Time // nil: time.Now
}

// Open returns a Keeper with what the file holds. The caller closes it.
func Open(o Options) *Keeper {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	k := &Keeper{now: o.Now, logger: o.Logger.With(slog.String("component", "reports")), stop: func() {}}
	k.mu.senders = make(map[ID]*Sender)
	if o.Dir == "" {
		return k
	}
	k.path = filepath.Join(o.Dir, FileName)
	k.load()
	ctx, cancel := context.WithCancel(context.Background())
	k.stop = cancel
	k.wg.Go(func() {
		snapshot.Every(ctx, saveInterval, k.save, func(err error) {
			k.logger.Warn("reports of daemons were not saved", slog.Any("err", err))
		})
	})
	return k
}

// Close saves what is not in the file yet. It is safe to call twice.
func (k *Keeper) Close() error {
	k.stop()
	k.wg.Wait()
	return k.save()
}

// Add files records of one sender, oldest first. id.Host may have a port, which is
// left out.
func (k *Keeper) Add(id ID, records []Record) {
	if host, _, err := net.SplitHostPort(id.Host); err == nil {
		id.Host = host
	}
	for _, text := range []*string{&id.Hostname, &id.EC2InstanceID, &id.ResourceARN, &id.Host} {
		*text = strings.ToValidUTF8(*text, "\uFFFD") // as the file holds it
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.mu.senders[id]
	now := k.now()
	if s == nil {
		k.makeRoom()
		s = &Sender{ID: id, First: now}
		k.mu.senders[id] = s
	}
	s.Last = now
	for _, r := range records {
		for _, f := range r.fields() {
			*f = min(max(*f, -maxCount), maxCount)
		}
		s.Count++
		s.Total.add(&r.Counts)
		s.Records = append(s.Records, r)
	}
	if extra := len(s.Records) - MaxRecords; extra > 0 {
		s.Records = slices.Delete(s.Records, 0, extra)
	}
	k.mu.dirty = true
}

// makeRoom forgets the sender that was silent longest when there are too many.
func (k *Keeper) makeRoom() {
	if len(k.mu.senders) < MaxSenders {
		return
	}
	var silent *Sender
	for _, s := range k.mu.senders {
		if silent == nil || s.Last.Before(silent.Last) {
			silent = s
		}
	}
	delete(k.mu.senders, silent.ID)
}

// Senders returns all senders, the one heard last first.
func (k *Keeper) Senders() []Sender {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := make([]Sender, 0, len(k.mu.senders))
	for _, s := range k.mu.senders {
		one := *s
		one.Records = slices.Clone(s.Records)
		slices.Reverse(one.Records)
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b Sender) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Hostname, b.Hostname), cmp.Compare(a.EC2InstanceID, b.EC2InstanceID),
			cmp.Compare(a.ResourceARN, b.ResourceARN), cmp.Compare(a.Host, b.Host))
	})
	return list
}
