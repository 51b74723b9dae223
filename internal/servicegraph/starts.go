package servicegraph

// Start says when roots began, as exactly as Unit tells: at At or later, but
// before At + Unit.Seconds().
type Start struct {
	At   int64 // unix seconds
	Unit Unit
	N    int64 // number of observations of such traces
}

// Starts calls fn for the starts of roots that the cell counts, those that begin
// first first, until fn returns false.
func (c *Cell) Starts(fn func(Start) bool) {
	for _, s := range c.starts.settle() {
		if !fn(Start{s.seconds(), s.unit(), s.n}) {
			return
		}
	}
}

// AddStart adds to the starts of roots alone: so a cell whose starts were made
// less exact gets some of them back exactly.
func (c *Cell) AddStart(s Start) {
	c.starts.add(count{key: s.At<<unitBits | int64(s.Unit), n: s.N})
}

// EncodedStarts calls fn for the starts of a cell that AppendBinary wrote, as
// Starts does, without decoding the rest of it: what follows them is not looked
// at, however it is. The error matches ErrCell.
func EncodedStarts(data []byte, fn func(Start) bool) error {
	d := decoder{data: data}
	if _, err := d.head(); err != nil {
		return err
	}
	var room [64]count
	list := d.starts(room[:0])
	if d.bad {
		return d.cellError()
	}
	for _, s := range list {
		if !fn(Start{s.seconds(), s.unit(), s.n}) {
			break
		}
	}
	return nil
}
