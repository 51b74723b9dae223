package spool

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// FuzzFile opens a folder whose one file holds anything. It may be refused as of
// a later version; otherwise reading ends, and what is appended then is read.
func FuzzFile(f *testing.F) {
	names, err := filepath.Glob("testdata/compat/v*/*" + suffix)
	if err != nil || len(names) == 0 {
		f.Fatal("no old files", err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		mem := vfs.NewMem()
		if err := mem.MkdirAll("spool", 0o700); err != nil {
			t.Fatal(err)
		}
		// The name says what the header says, or the file is not looked into.
		name := "0000000000000001" + suffix
		if h, err := parseFileHeader(data); err == nil {
			const digits = "0123456789abcdef"
			b := []byte(name)
			for i := range 16 {
				b[i] = digits[h.first>>(60-4*i)&15]
			}
			name = string(b)
		}
		file, err := mem.Create("spool/"+name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write(append([]byte(nil), data...)); err != nil {
			t.Fatal(err)
		}
		file.Close()
		s, err := Open(Options{Dir: "spool", FS: mem, Delay: -1})
		if errors.Is(err, ErrFormat) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Append(ctx, KindXRay, [][]byte{[]byte("the end")}, true); err != nil {
			t.Fatal(err)
		}
		r := s.Reader("a")
		defer r.Close()
		for {
			b, err := r.Next(ctx, Limits{Records: 100, Bytes: 1 << 20})
			if errors.Is(err, ErrFormat) { // a codec that is not known yet
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			last := string(b.Records[len(b.Records)-1])
			b.Free()
			if last == "the end" {
				return
			}
		}
	})
}
