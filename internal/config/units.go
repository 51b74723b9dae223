package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Bytes is a number of bytes. Its text is a number with an optional unit: kB,
// MB, GB, TB count in thousands, KiB, MiB, GiB, TiB in 1,024s; case does not
// matter.
type Bytes int64

var byteUnits = []struct {
	name string
	size float64
}{
	// String tries them in this order, so that 64 MiB reads 64MiB and 64 MB reads 64MB.
	{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9},
	{"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"kB", 1e3}, {"B", 1},
}

// ParseBytes reads the text form of Bytes.
func ParseBytes(s string) (Bytes, error) {
	number, unit := splitUnit(s)
	size := 1.0
	if unit != "" {
		size = 0
		for _, u := range byteUnits {
			if strings.EqualFold(unit, u.name) {
				size = u.size
			}
		}
	}
	f, err := strconv.ParseFloat(number, 64)
	// ParseFloat also reads Inf, NaN and hexadecimal, none of which is a size.
	if size == 0 || err != nil || strings.Trim(number, "0123456789.") != "" {
		return 0, fmt.Errorf("%q is no size; write a number and a unit, such as 64MB or 1GiB", s)
	}
	total := f * size
	if total >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is too large a size", s)
	}
	if total != math.Trunc(total) {
		return 0, fmt.Errorf("%q is no whole number of bytes", s)
	}
	return Bytes(total), nil
}

// String returns the shortest exact form with a unit, such as 64MB; 0 is "0".
func (b Bytes) String() string {
	if b == 0 {
		return "0"
	}
	for _, u := range byteUnits {
		if n := int64(u.size); int64(b)%n == 0 {
			return strconv.FormatInt(int64(b)/n, 10) + u.name
		}
	}
	panic("unreachable: every number is divisible by 1")
}

// ParseDuration reads what time.ParseDuration reads, without signs, and the
// units d (24 hours) and w (7 days) besides, also mixed: 30d, 1w, 1d12h. A bare
// 0 needs no unit.
func ParseDuration(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	fail := fmt.Errorf("%q is no duration; write numbers and units, such as 30d, 12h or 1m30s", s)
	if s == "" || strings.ContainsAny(s, "+- ") {
		return 0, fail
	}
	var total time.Duration
	for rest := s; rest != ""; {
		i := strings.IndexFunc(rest, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
		if i <= 0 {
			return 0, fail
		}
		end := i
		for end < len(rest) && rest[end] != '.' && (rest[end] < '0' || rest[end] > '9') {
			end++
		}
		var part time.Duration
		switch unit := rest[i:end]; unit {
		case "d", "w":
			f, err := strconv.ParseFloat(rest[:i], 64)
			if err != nil {
				return 0, fail
			}
			day := float64(24 * time.Hour)
			if unit == "w" {
				day *= 7
			}
			if f*day >= math.MaxInt64 {
				return 0, fmt.Errorf("%q is too long a duration", s)
			}
			part = time.Duration(f * day)
		default:
			var err error
			if part, err = time.ParseDuration(rest[:end]); err != nil {
				return 0, fail
			}
		}
		if total += part; total < 0 {
			return 0, fmt.Errorf("%q is too long a duration", s)
		}
		rest = rest[end:]
	}
	return total, nil
}

// FormatDuration writes d the way ParseDuration reads it, days first: 30d, 1d12h, 10s.
func FormatDuration(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	const day = 24 * time.Hour
	out := ""
	if d >= day {
		out = strconv.FormatInt(int64(d/day), 10) + "d"
		d %= day
	}
	if d == 0 {
		return out
	}
	// time.Duration writes 1h0m0s; what is zero at the end says nothing.
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return out + text
}

func splitUnit(s string) (number, unit string) {
	i := len(s)
	for i > 0 && (s[i-1] >= 'a' && s[i-1] <= 'z' || s[i-1] >= 'A' && s[i-1] <= 'Z') {
		i--
	}
	return strings.TrimSuffix(s[:i], " "), s[i:]
}

// checkAddress checks the form host:port with a numeric port.
func checkAddress(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("%q is no address; write host:port, such as 127.0.0.1:2000 or [::1]:2000", s)
	}
	return nil
}

// isLoopback reports whether only this machine can reach the address host:port.
// A name other than localhost counts as reachable: what it resolves to may change.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

var errEmpty = errors.New("is empty; leave the setting out for its default")
