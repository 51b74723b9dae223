package pebblestore

import (
	"fmt"
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roentgen-io/roentgen/internal/servicegraph"
)

// merger adds up the values of B and G keys, to which the roller writes changes
// without reading what is there. It bears the name that Pebble gives to its own:
// that stands in every table of folders made before there was anything to
// merge, and Pebble opens no table with another name (ADR 014).
var merger = &pebble.Merger{
	Name: pebble.DefaultMerger.Name,
	Merge: func(key, value []byte) (pebble.ValueMerger, error) {
		var m pebble.ValueMerger
		switch {
		case len(key) > 0 && key[0] == tagTerms:
			m = &termsMerger{sum: termBlock{starts: noSpan}}
		case len(key) > 0 && key[0] == tagGraph:
			m = cellMergers.Get().(*cellMerger)
		default:
			return nil, fmt.Errorf("key %v is not of a kind that is merged", keyFormatter(key))
		}
		return m, m.MergeNewer(value)
	},
}

// cellMerger adds up G values. Sums of zeros stay, in 11 bytes: that a
// pebble.DeletableValueMerger can make them vanish is not to be relied on. Its
// deletions corrupt compactions (cockroachdb/pebble#6168), and leave no tombstone.
type cellMerger struct{ cell servicegraph.Cell }

// cellMergers are mergers that were used: adding up needs room for all that is added.
var cellMergers = sync.Pool{New: func() any { return new(cellMerger) }}

// MergeNewer implements pebble.ValueMerger.
func (m *cellMerger) MergeNewer(value []byte) error { return m.cell.MergeBinary(value) }

// MergeOlder implements pebble.ValueMerger: sums know no order.
func (m *cellMerger) MergeOlder(value []byte) error { return m.cell.MergeBinary(value) }

// Finish implements pebble.ValueMerger.
func (m *cellMerger) Finish(bool) ([]byte, io.Closer, error) {
	value := m.cell.AppendBinary(nil)
	m.cell.Reset()
	cellMergers.Put(m)
	return value, nil, nil
}
