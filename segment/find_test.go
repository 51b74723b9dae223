package segment

import "testing"

func TestRawFind(t *testing.T) {
	r := Raw(`{"a":1,"b":{"a":2},"\u0063":3,"a":4,"d` + "\xff" + `":5,"é":6}`)
	keys := []string{"a", "b", "c", "d\uFFFD", "é", "f", "a"}
	values := make([]Raw, len(keys))
	values[5] = Raw("kept")
	r.Find(values, keys...)
	for i, want := range []string{"4", `{"a":2}`, "3", "5", "6", "kept", "4"} {
		if string(values[i]) != want {
			t.Errorf("%q: %s, want %s", keys[i], values[i], want)
		}
		if i != 5 && string(r.Get(keys[i])) != want {
			t.Errorf("Get(%q) = %s, want %s", keys[i], r.Get(keys[i]), want)
		}
	}
	for _, other := range []Raw{nil, Raw(`[1]`), Raw(`"a"`), Raw(`{}`)} {
		v := []Raw{nil}
		other.Find(v, "a")
		if v[0] != nil {
			t.Errorf("Find in %s = %s", other, v[0])
		}
	}
}
