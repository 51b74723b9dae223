package reports

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/roentgen-io/roentgen/internal/snapshot"
)

// FileName is the name of the file in the data folder.
const FileName = "reports.json"

const maxFile = 64 << 20

var header = snapshot.Header{Format: "roentgen-reports", Version: 1}

// document is what the file holds.
type document struct {
	snapshot.Header
	Senders []fileSender `json:"senders"`
}

type fileSender struct {
	Hostname      string `json:"hostname,omitempty"`
	EC2InstanceID string `json:"ec2_instance_id,omitempty"`
	ResourceARN   string `json:"resource_arn,omitempty"`
	Host          string `json:"host,omitempty"`
	First         int64  `json:"first"` // unix milliseconds
	Last          int64  `json:"last"`
	Count         int64  `json:"count"`
	// Total and each record are the counts in the order of Counts.fields; a record
	// has its timestamp before them.
	Total   []int64     `json:"total"`
	Records [][]float64 `json:"records"` // oldest first
}

// load reads the file, if there is a good one.
func (k *Keeper) load() {
	var doc document
	err := snapshot.Read(k.path, maxFile, header, &doc)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		k.logger.Warn("reports of daemons were set aside: the file cannot be used", slog.String("file", k.path), slog.Any("err", err))
		if err := os.Rename(k.path, k.path+".bad"); err != nil {
			k.logger.Warn("the file with reports could not be set aside", slog.Any("err", err))
		}
		return
	}
	for _, f := range doc.Senders[:min(len(doc.Senders), MaxSenders)] {
		s := &Sender{
			ID:    ID{f.Hostname, f.EC2InstanceID, f.ResourceARN, f.Host},
			First: time.UnixMilli(f.First), Last: time.UnixMilli(f.Last), Count: f.Count,
		}
		for i, to := range s.Total.fields() {
			if i < len(f.Total) {
				*to = min(max(f.Total[i], -maxSum), maxSum)
			}
		}
		for _, numbers := range f.Records[max(0, len(f.Records)-MaxRecords):] {
			var r Record
			if len(numbers) > 0 {
				r.Timestamp, numbers = numbers[0], numbers[1:]
			}
			for i, to := range r.fields() {
				if i < len(numbers) {
					*to = int64(min(max(numbers[i], -maxCount), maxCount))
				}
			}
			s.Records = append(s.Records, r)
		}
		k.mu.senders[s.ID] = s
	}
}

// save writes the file anew unless all is in it already.
func (k *Keeper) save() error {
	if k.path == "" {
		return nil
	}
	k.saving.Lock()
	defer k.saving.Unlock()
	k.mu.Lock()
	if !k.mu.dirty {
		k.mu.Unlock()
		return nil
	}
	doc := document{Header: header}
	for _, s := range k.mu.senders {
		f := fileSender{
			Hostname: s.Hostname, EC2InstanceID: s.EC2InstanceID, ResourceARN: s.ResourceARN, Host: s.Host,
			First: s.First.UnixMilli(), Last: s.Last.UnixMilli(), Count: s.Count,
		}
		for _, n := range s.Total.fields() {
			f.Total = append(f.Total, *n)
		}
		for i := range s.Records {
			r := &s.Records[i]
			numbers := []float64{r.Timestamp}
			for _, n := range r.fields() {
				numbers = append(numbers, float64(*n))
			}
			f.Records = append(f.Records, numbers)
		}
		doc.Senders = append(doc.Senders, f)
	}
	k.mu.dirty = false
	k.mu.Unlock()
	if err := writeFile(k.path, &doc); err != nil {
		k.mu.Lock()
		k.mu.dirty = true
		k.mu.Unlock()
		return err
	}
	return nil
}

// writeFile replaces the file. After a crash there is the old one or the new one.
func writeFile(path string, doc *document) (err error) {
	temp := path + ".tmp"
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = json.NewEncoder(f).Encode(doc)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp)
	}
	return err
}
