package reports

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fakeClock struct {
	sync.Mutex
	t time.Time
}

func (c *fakeClock) now() time.Time {
	c.Lock()
	defer c.Unlock()
	c.t = c.t.Add(time.Second)
	return c.t
}

func record(at float64, received int64) Record {
	return Record{Timestamp: at, Counts: Counts{Received: received, Sent: 2, Spillover: 3, Rejected: 4, Timeouts: 5, ConnectionsRefused: 6, HTTP4XX: 7, HTTP5XX: 8, UnknownHosts: 9, OtherErrors: 10}}
}

func open(t *testing.T, dir string) *Keeper {
	t.Helper()
	clock := &fakeClock{t: time.Unix(1_795_356_000, 0)}
	k := Open(Options{Dir: dir, Now: clock.now})
	t.Cleanup(func() { k.Close() })
	return k
}

func TestSenders(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir)
	k.Add(ID{Hostname: "a", Host: "10.0.0.1:5000"}, []Record{record(1, 1)})
	k.Add(ID{Hostname: "b"}, []Record{record(5, 100)})
	k.Add(ID{Hostname: "a", Host: "10.0.0.1:5001"}, []Record{record(2, 20), record(3, 300)})
	got := k.Senders()
	if len(got) != 2 || got[0].Hostname != "a" || got[0].Host != "10.0.0.1" || got[0].Count != 3 || got[0].Total.Received != 321 || got[0].Total.OtherErrors != 30 ||
		len(got[0].Records) != 3 || got[0].Records[0] != record(3, 300) || got[1].Total != record(5, 100).Counts {
		t.Errorf("senders %+v", got)
	}
	if got[0].First.Unix() != 1_795_356_001 || got[0].Last.Unix() != 1_795_356_003 {
		t.Errorf("heard from %v to %v", got[0].First, got[0].Last)
	}
	if f := got[1].Total.Failures(); f != 45 {
		t.Errorf("%d failures", f)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir).Senders()
	if fmt.Sprint(again) != fmt.Sprint(got) {
		t.Errorf("after a restart:\n%+v\nwant:\n%+v", again, got)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
}

// TestBounds floods a keeper with senders, records and numbers.
func TestBounds(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir)
	for i := range MaxSenders + 50 {
		k.Add(ID{Hostname: fmt.Sprint(i)}, []Record{record(1, 1)})
		k.Add(ID{Hostname: "faithful"}, nil)
	}
	list := k.Senders()
	names := map[string]bool{}
	for _, s := range list {
		names[s.Hostname] = true
	}
	if len(list) != MaxSenders || !names["faithful"] || names["0"] || !names[fmt.Sprint(MaxSenders+49)] {
		t.Errorf("%d senders", len(list))
	}
	many := make([]Record, 10*MaxRecords)
	for i := range many {
		many[i] = record(float64(i), 1<<62)
	}
	k.Add(ID{Hostname: "big \xff"}, many)
	k.Add(ID{Hostname: "big \xff"}, []Record{{Counts: Counts{Received: -1 << 62}}})
	s := k.Senders()[0]
	if len(s.Records) != MaxRecords || s.Records[1].Timestamp != 599 || s.Records[1].Received != maxCount || s.Records[0].Received != -maxCount || s.Total.Received != 599*maxCount {
		t.Errorf("sender %q: %d records, total %+v", s.Hostname, len(s.Records), s.Total)
	}
	var sum Counts
	for range 1 << 8 {
		sum.add(&Counts{Received: maxSum})
	}
	if sum.Received != maxSum {
		t.Errorf("sum %d", sum.Received)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if got := open(t, dir).Senders(); !reflect.DeepEqual(got[0].ID, s.ID) || len(got) != MaxSenders {
		t.Errorf("after a restart %d senders, the first %+v", len(got), got[0].ID)
	}
}

// TestBadFiles sets aside what cannot be read, and goes on.
func TestBadFiles(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "torn": `{"format":"roentgen-reports","version":1,"senders":[{`, "other": `{"format":"x","version":1}`,
		"later": `{"format":"roentgen-reports","version":2}`, "wrong type": `{"format":"roentgen-reports","version":1,"senders":7}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, FileName)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			k := open(t, dir)
			k.Add(ID{Hostname: "a"}, []Record{record(1, 1)})
			if err := k.Close(); err != nil {
				t.Fatal(err)
			}
			if aside, err := os.ReadFile(path + ".bad"); err != nil || string(aside) != text {
				t.Errorf("set aside %q, %v", aside, err)
			}
			if got := open(t, dir).Senders(); len(got) != 1 {
				t.Errorf("%d senders", len(got))
			}
		})
	}
	// What is merely odd is read as far as it goes.
	dir := t.TempDir()
	odd := `{"format":"roentgen-reports","version":1,"senders":[{"hostname":"a","total":[1],"records":[[],[1,2],[1,2,3,4,5,6,7,8,9,10,11,12,1e300]]}]}`
	if err := os.WriteFile(filepath.Join(dir, FileName), []byte(odd), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := open(t, dir).Senders(); len(got) != 1 || len(got[0].Records) != 3 || got[0].Records[1].Received != 2 || got[0].Total.Received != 1 {
		t.Errorf("senders %+v", got)
	}
}

// TestCannotSave keeps what could not be saved for the next time.
func TestCannotSave(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	k := open(t, dir)
	k.Add(ID{Hostname: "a"}, []Record{record(1, 1)})
	if err := k.save(); err == nil {
		t.Fatal("saved into a folder that is not there")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, FileName)); err != nil || !strings.Contains(string(text), `"hostname":"a"`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestConcurrent(t *testing.T) {
	k := open(t, t.TempDir())
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 200 {
				k.Add(ID{Hostname: fmt.Sprint(i % 3)}, []Record{record(1, 1)})
				k.Senders()
			}
			if err := k.save(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	total := int64(0)
	for _, s := range k.Senders() {
		total += s.Count
	}
	if total != 1600 {
		t.Errorf("%d records", total)
	}
}
