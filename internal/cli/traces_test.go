package cli

import (
	"strings"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 11, 22, 14, 30, 0, 0, time.Local)
	for in, want := range map[string]time.Time{
		"now":                  now,
		"90s":                  now.Add(-90 * time.Second),
		"1h30m":                now.Add(-90 * time.Minute),
		"7d":                   now.Add(-7 * 24 * time.Hour),
		"1d12h":                now.Add(-36 * time.Hour),
		"14:00":                time.Date(2026, 11, 22, 14, 0, 0, 0, time.Local),
		"2026-11-20":           time.Date(2026, 11, 20, 0, 0, 0, 0, time.Local),
		"2026-11-20 10:00:01":  time.Date(2026, 11, 20, 10, 0, 1, 0, time.Local),
		"2026-11-20T10:00:00Z": time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC),
		"1795338044.5":         time.UnixMilli(1795338044500),
	} {
		got, err := parseTime(in, now)
		if err != nil || !got.Equal(want) {
			t.Errorf("parseTime(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "soon", "-5m", "5", "12x", "1d2", "99:99"} {
		if got, err := parseTime(in, now); err == nil {
			t.Errorf("parseTime(%q) = %v, want an error", in, got)
		}
	}
}

func TestTracesRow(t *testing.T) {
	now := time.Date(2026, 11, 22, 14, 30, 0, 0, time.UTC)
	start, took, status := float64(now.Unix())-10.5, 1.25, 503
	method, url := "GET", "https://shop.example/cart/%1b%5b2J?q=1"
	s := summary{ID: "1-67e0a1b2-0123456789abcdef01234567", StartTime: &start, Duration: &took, HasFault: true}
	s.HTTP.HTTPMethod, s.HTTP.HTTPURL, s.HTTP.HTTPStatus = &method, &url, &status
	s.EntryPoint = &struct{ Name string }{"gateway"}
	for _, c := range []struct {
		width int
		want  string
	}{
		{60, "14:29:49.500    1.25 s  ✗ 503    1-67e0a1b2-0123456789abcdef01234567"},
		{100, "14:29:49.500    1.25 s  ✗ 503    gateway     GET /cart/\ufffd[2J      1-67e0a1b2-0123456789abcdef01234567"},
		{140, "14:29:49.500    1.25 s  ✗ 503    gateway                          0  GET /cart/\ufffd[2J                      1-67e0a1b2-0123456789abcdef01234567"},
	} {
		got := s.row(terminal{width: c.width}, now, time.UTC)
		if got != c.want {
			t.Errorf("width %d:\n got %q\nwant %q", c.width, got, c.want)
		}
		if c.width > 80 && cells(got) > c.width {
			t.Errorf("width %d: the row takes %d columns", c.width, cells(got))
		}
		if strings.ContainsRune(got, '\x1b') {
			t.Errorf("width %d: a control character reaches the terminal: %q", c.width, got)
		}
	}
}
