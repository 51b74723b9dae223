package servicegraph

import (
	"slices"
	"sync"
)

// tally is a sorted list of counts, each key once, none that is zero. What is
// added waits at its end until there is enough of it, or somebody looks.
type tally struct {
	list   []count
	sorted int // so much of list is sorted
}

// add adds c.
func (t *tally) add(c count) {
	if t.sorted == len(t.list) && t.sorted > 0 {
		// Often it is what was added last.
		if last := &t.list[t.sorted-1]; last.key == c.key {
			last.n += c.n
			last.rest += c.rest
			if last.zero() {
				t.sorted--
				t.list = t.list[:t.sorted]
			}
			return
		}
	}
	t.list = append(t.list, c)
	t.keep()
}

// merge adds all that list holds.
func (t *tally) merge(list []count) {
	t.list = append(t.list, list...)
	t.keep()
}

// took takes in what decoding appended behind the first n counts: it is sorted.
func (t *tally) took(n int) {
	if n == 0 {
		t.sorted = len(t.list)
		return
	}
	t.keep()
}

// keep keeps what waits in proportion to what is sorted.
func (t *tally) keep() {
	if len(t.list)-t.sorted > t.sorted/2+64 {
		t.settle()
	}
}

// shortRun is how long runs are made by insertion when none are found.
const shortRun = 12

// settle sorts what waits and returns the list.
//
// It is a merge sort of the runs that are found, which are mostly those of
// cells that were merged. What is equal becomes one count on the way, so that
// lists of much the same keys stay short.
func (t *tally) settle() []count {
	if t.sorted == len(t.list) {
		return t.list
	}
	list := t.list
	// The list so far is runs up to out, which end at ends[:n]. Each is more than
	// twice as long as the next one, so that they are few.
	var ends [64]int
	n, out := 0, t.sorted
	if out > 0 {
		ends[0], n = out, 1
	}
	room := rooms.Get().(*[]count)
	for i := out; i < len(list); {
		begin := out
		i, out = takeRun(list, begin, i)
		if out == begin {
			continue // nothing but zeros
		}
		ends[n] = out
		n++
		for n > 1 {
			from := 0
			if n > 2 {
				from = ends[n-3]
			}
			if mid := ends[n-2]; mid-from > 2*(out-mid) {
				break
			}
			n, out = joinRuns(list, ends[:], n, room)
		}
	}
	for n > 1 {
		n, out = joinRuns(list, ends[:], n, room)
	}
	if cap(*room) <= 1<<16 {
		rooms.Put(room)
	}
	t.list, t.sorted = list[:out], out
	return t.list
}

var rooms = sync.Pool{New: func() any { return new([]count) }}

// takeRun moves a run that begins at list[i], or is made there, to begin, which is
// not behind i. It returns where the next one begins and where this one ends.
func takeRun(list []count, begin, i int) (next, end int) {
	out := begin
	for ; i < len(list); i++ {
		c := list[i]
		if c.zero() {
			continue
		}
		at := out
		if out > begin && c.key <= list[out-1].key {
			if c.key < list[out-1].key && out-begin >= shortRun {
				break
			}
			for at > begin && list[at-1].key > c.key {
				at--
			}
			if at > begin && list[at-1].key == c.key {
				same := &list[at-1]
				same.n += c.n
				same.rest += c.rest
				if same.zero() {
					copy(list[at-1:out], list[at:out])
					out--
				}
				continue
			}
			copy(list[at+1:out+1], list[at:out])
		}
		list[at] = c
		out++
	}
	return i, out
}

// joinRuns makes one of the last two of n runs, and returns how many there are
// now and where they end.
func joinRuns(list []count, ends []int, n int, room *[]count) (runs, end int) {
	from := 0
	if n > 2 {
		from = ends[n-3]
	}
	mid, end := ends[n-2], ends[n-1]
	// What lies below the second run is in its place.
	first := list[mid].key
	skip, _ := slices.BinarySearchFunc(list[from:mid], first, func(c count, key int64) int {
		if c.key < key {
			return -1
		}
		return 1
	})
	left := append((*room)[:0], list[from+skip:mid]...)
	*room = left
	right := list[mid:end]
	out := from + skip
	for len(left) > 0 && len(right) > 0 {
		switch a, b := &left[0], &right[0]; {
		case a.key < b.key:
			list[out] = *a
			left = left[1:]
		case a.key > b.key:
			list[out] = *b
			right = right[1:]
		default:
			sum := count{a.key, a.n + b.n, a.rest + b.rest}
			left, right = left[1:], right[1:]
			if sum.zero() {
				continue
			}
			list[out] = sum
		}
		out++
	}
	out += copy(list[out:], left)
	out += copy(list[out:], right)
	if out == from { // all of it added up to nothing
		return n - 2, out
	}
	ends[n-2] = out
	return n - 1, out
}
