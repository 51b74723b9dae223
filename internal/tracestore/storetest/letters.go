package storetest

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/tracestore"
)

func letter(n int) tracestore.DeadLetter {
	return tracestore.DeadLetter{
		Time:     ReceivedBase + int64(n),
		Source:   "udp",
		Peer:     "192.0.2.1:4000",
		Code:     "MissingId",
		Message:  "Invalid segment. ErrorCode: MissingId",
		Detail:   fmt.Sprintf("letter %d", n),
		Remedy:   "add an id",
		ID:       "",
		Size:     1000 + n,
		Document: []byte(fmt.Sprintf(`{"n":%d,"odd":"`+"\xff\x00"+`"`, n)),
	}
}

func addLetters(t testing.TB, s tracestore.Store, letters ...tracestore.DeadLetter) {
	t.Helper()
	if err := s.AddDeadLetters(letters); err != nil {
		t.Fatalf("AddDeadLetters: %v", err)
	}
}

func letters(t testing.TB, s tracestore.Store, before uint64, limit int) []tracestore.DeadLetter {
	t.Helper()
	got, err := s.DeadLetters(soon(t), before, limit)
	if err != nil {
		t.Fatalf("DeadLetters(before %d, limit %d): %v", before, limit, err)
	}
	if len(got) > limit {
		t.Fatalf("DeadLetters(before %d, limit %d) gave %d", before, limit, len(got))
	}
	for i, l := range got {
		if before != 0 && l.N >= before || i > 0 && l.N >= got[i-1].N {
			t.Fatalf("DeadLetters(before %d, limit %d) gave letter %d at place %d", before, limit, l.N, i)
		}
	}
	return got
}

func testDeadLetters(t *testing.T, s *suite) {
	store := s.open(t)
	if got := letters(t, store, 0, 10); len(got) != 0 {
		t.Fatalf("%d letters in an empty store", len(got))
	}
	addLetters(t, store)
	var sent []tracestore.DeadLetter
	for i := 0; i < 50; {
		var batch []tracestore.DeadLetter
		for range i%4 + 1 {
			batch = append(batch, letter(i))
			sent = append(sent, letter(i))
			i++
		}
		addLetters(t, store, batch...)
		for _, l := range batch {
			clear(l.Document) // the store has its own copy
		}
	}
	sameLetters := func(t *testing.T, store tracestore.Store) {
		t.Helper()
		all := letters(t, store, 0, 1000)
		if len(all) != len(sent) {
			t.Fatalf("%d letters, want %d", len(all), len(sent))
		}
		for i, got := range all {
			want := sent[len(sent)-1-i]
			want.N = got.N
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("letter %d from the newest is\n%+v\nwant\n%+v", i, got, want)
			}
			if i > 0 && got.N != all[i-1].N-1 {
				t.Fatalf("letter %d behind %d: numbers must grow by one", got.N, all[i-1].N)
			}
		}
		for _, size := range []int{1, 7, len(sent)} {
			var paged []tracestore.DeadLetter
			for before := uint64(0); ; {
				page := letters(t, store, before, size)
				paged = append(paged, page...)
				if len(page) < size {
					break
				}
				before = page[len(page)-1].N
			}
			if !reflect.DeepEqual(paged, all) {
				t.Fatalf("pages of %d give %d letters, other than the %d in one", size, len(paged), len(all))
			}
		}
		if got := letters(t, store, all[len(all)-1].N, 10); len(got) != 0 {
			t.Errorf("%d letters before the oldest", len(got))
		}
		clear(all[0].Document)
		if got := letters(t, store, 0, 1); !bytes.Equal(got[0].Document, sent[len(sent)-1].Document) {
			t.Error("a reader's change to its copy shows in the store")
		}
	}
	sameLetters(t, store)
	if s.opts.Reopen == nil {
		return
	}
	last := letters(t, store, 0, 1)[0].N
	store = s.opts.Reopen(t, store)
	t.Cleanup(func() { store.Close() })
	sameLetters(t, store)
	addLetters(t, store, letter(50))
	sent = append(sent, letter(50))
	if got := letters(t, store, 0, 1)[0].N; got != last+1 {
		t.Errorf("the first letter after reopening has number %d, want %d", got, last+1)
	}
	sameLetters(t, store)
}

func testDeadLetterBounds(t *testing.T, s *suite) {
	number, size := s.opts.DeadLetters, s.opts.DeadLetterBytes
	if number == 0 {
		number = 10_000
	}
	if size == 0 {
		size = 16 << 20
	}
	// kept counts what is there, once the store had time to drop the oldest, and
	// checks that it is the newest without a gap.
	kept := func(t *testing.T, store tracestore.Store, newest int, enough func(n, bytes int) bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			n, bytes := 0, 0
			for before := uint64(0); ; {
				page := letters(t, store, before, 500)
				for _, l := range page {
					if want := fmt.Sprintf("letter %d", newest-n); l.Detail != want {
						t.Fatalf("letter %d from the newest is %q, want %q", n, l.Detail, want)
					}
					n++
					bytes += len(l.Document)
				}
				if len(page) < 500 {
					break
				}
				before = page[len(page)-1].N
			}
			if enough(n, bytes) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d letters of %d bytes are kept; the bounds are %d and %d", n, bytes, number, size)
			}
		}
	}
	t.Run("number", func(t *testing.T) {
		store := s.open(t)
		total := number + number/2
		for i := 0; i < total; i += 500 {
			var batch []tracestore.DeadLetter
			for k := i; k < min(i+500, total); k++ {
				batch = append(batch, letter(k))
			}
			addLetters(t, store, batch...)
		}
		kept(t, store, total-1, func(n, _ int) bool { return n >= number*9/10 && n <= number*11/10 })
	})
	t.Run("bytes", func(t *testing.T) {
		store := s.open(t)
		const each = 50_000
		total := size/each + size/each/2
		for i := range total {
			l := letter(i)
			l.Document = bytes.Repeat([]byte{byte('a' + i%26)}, each)
			addLetters(t, store, l)
		}
		kept(t, store, total-1, func(_, bytes int) bool { return bytes >= size*8/10 && bytes <= size*11/10 })
	})
}
