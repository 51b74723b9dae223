package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// positionsName is the file that says how far each destination has come.
const positionsName = "positions"

// positionsFile is the file as JSON.
type positionsFile struct {
	Format   string            `json:"format"`
	Version  int               `json:"version"`
	Checksum string            `json:"checksum"` // of destinations, as written here
	Places   map[string]uint64 `json:"destinations"`
}

const positionsFormat = "roentgen-spool-positions"

func placesSum(places map[string]uint64) string {
	text, err := json.Marshal(places) // sorted by key
	if err != nil {
		panic("spool: a map of numbers does not encode: " + err.Error())
	}
	return fmt.Sprintf("crc32c:%08x", crc32.Checksum(text, crcTable))
}

// readPositions returns what the file says, nil when there is none or it is
// damaged: then every destination begins at the oldest record, which sends some
// twice and loses none.
func readPositions(fs vfs.FS, path string) (places map[string]uint64, damaged bool, err error) {
	f, err := fs.Open(path)
	if oserror.IsNotExist(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return nil, false, err
	}
	var p positionsFile
	if json.Unmarshal(data, &p) != nil || p.Format != positionsFormat {
		return nil, true, nil
	}
	if p.Version != formatVersion {
		return nil, false, fmt.Errorf("%w: %s has version %d, this program knows %d", ErrFormat, path, p.Version, formatVersion)
	}
	if p.Checksum != placesSum(p.Places) {
		return nil, true, nil
	}
	return p.Places, false, nil
}

// writePositions replaces the file: after a crash it is the old one or the new
// one, whole.
func writePositions(fs vfs.FS, dir string, places map[string]uint64) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetIndent("", "  ")
	if err := e.Encode(positionsFile{positionsFormat, formatVersion, placesSum(places), places}); err != nil {
		return err
	}
	path := fs.PathJoin(dir, positionsName)
	return ReplaceFile(fs, dir, path, text.Bytes())
}

// ReplaceFile makes data the content of the file at path, in the folder dir,
// durably and in one step. A vfs.File may change what it is given to write.
func ReplaceFile(fs vfs.FS, dir, path string, data []byte) error {
	temp := path + ".tmp"
	f, err := fs.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = fs.Rename(temp, path)
	}
	if err != nil {
		_ = fs.Remove(temp) // if it stays, the next one overwrites it
		return err
	}
	return syncDir(fs, dir)
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
