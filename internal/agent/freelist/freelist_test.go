package freelist

import "testing"

func TestList(t *testing.T) {
	l := List{Most: 2, Bytes: 64 << 10}
	a, b, c := l.Get(100), l.Get(step+1), l.Get(1<<20)
	if cap(a) != step || cap(b) != 2*step || cap(c) < 1<<20 {
		t.Fatalf("capacities %d, %d, %d", cap(a), cap(b), cap(c))
	}
	l.Put(append(a, 1))
	l.Put(b)
	l.Put(c) // too large
	l.Put(make([]byte, 10))
	if got := l.Get(step + 1); cap(got) != 2*step || len(got) != 0 {
		t.Errorf("the buffer that fits was not given again: capacity %d, length %d", cap(got), len(got))
	}
	if got := l.Get(step + 1); &got[:1][0] == &b[:1][0] {
		t.Error("a buffer was given twice")
	}
	if got := l.Get(step); &got[:1][0] != &a[:1][0] || len(got) != 0 {
		t.Error("the small buffer was lost")
	}
}
