package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// value reads and writes the text form of one field. It satisfies pflag.Value;
// Type is the unit that help shows.
type value interface {
	Set(text string) error
	String() string
	Type() string
}

type addressValue string

func (v *addressValue) Set(s string) error {
	if err := checkAddress(s); err != nil {
		return err
	}
	*v = addressValue(s)
	return nil
}
func (v *addressValue) String() string { return string(*v) }
func (v *addressValue) Type() string   { return "address" }

type textValue struct {
	p     *string
	kind  string
	check func(string) error
}

func (v *textValue) Set(s string) error {
	if err := v.check(s); err != nil {
		return err
	}
	*v.p = s
	return nil
}
func (v *textValue) String() string { return *v.p }
func (v *textValue) Type() string   { return v.kind }

type switchValue bool

func (v *switchValue) Set(s string) error {
	switch s {
	case "true":
		*v = true
	case "false":
		*v = false
	default:
		return fmt.Errorf("%q is neither true nor false", s)
	}
	return nil
}
func (v *switchValue) String() string { return fmt.Sprint(bool(*v)) }
func (v *switchValue) Type() string   { return "switch" }

type durationValue time.Duration

func (v *durationValue) Set(s string) error {
	d, err := ParseDuration(s)
	if err != nil {
		return err
	}
	*v = durationValue(d)
	return nil
}
func (v *durationValue) String() string { return FormatDuration(time.Duration(*v)) }
func (v *durationValue) Type() string   { return "duration" }

type bytesValue Bytes

func (v *bytesValue) Set(s string) error {
	b, err := ParseBytes(s)
	if err != nil {
		return err
	}
	*v = bytesValue(b)
	return nil
}
func (v *bytesValue) String() string { return Bytes(*v).String() }
func (v *bytesValue) Type() string   { return "size" }

// numberValue is a whole number from 0 up.
type numberValue int

func (v *numberValue) Set(s string) error {
	n, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 10, 32)
	if err != nil || n < 0 {
		return fmt.Errorf("%q is no number from 0 to %d", s, math.MaxInt32)
	}
	*v = numberValue(n)
	return nil
}
func (v *numberValue) String() string { return strconv.Itoa(int(*v)) }
func (v *numberValue) Type() string   { return "number" }

// listValue is a list of host names; its text form separates them by commas.
type listValue []string

func (v *listValue) Set(s string) error {
	var list []string
	if s != "" {
		list = strings.Split(s, ",")
	}
	for i := range list {
		list[i] = strings.ToLower(strings.TrimSpace(list[i]))
		if err := checkHost(list[i]); err != nil {
			return err
		}
	}
	*v = list
	return nil
}
func (v *listValue) String() string     { return strings.Join(*v, ",") }
func (v *listValue) Type() string       { return "list" }
func (v *listValue) elements() []string { return *v }
func (v *listValue) badElement() string {
	return "is no host name; write one such as traces.example.com"
}

// namesValue is a list of names of any kind; its text form separates them by commas.
type namesValue []string

func (v *namesValue) Set(s string) error {
	var list []string
	if s != "" {
		list = strings.Split(s, ",")
	}
	for i := range list {
		if list[i] = strings.TrimSpace(list[i]); list[i] == "" {
			return errors.New("a name between two commas is empty")
		}
	}
	*v = list
	return nil
}
func (v *namesValue) String() string     { return strings.Join(*v, ",") }
func (v *namesValue) Type() string       { return "list" }
func (v *namesValue) elements() []string { return *v }
func (v *namesValue) badElement() string { return "is no name; write it as a text" }

// forwardValue is a list of destinations; its text form separates them by commas.
type forwardValue []string

func (v *forwardValue) Set(s string) error {
	var list []string
	if s != "" {
		for part := range strings.SplitSeq(s, ",") {
			part = strings.TrimSpace(part)
			if err := checkForward(part); err != nil {
				return err
			}
			list = append(list, part)
		}
	}
	*v = list
	return nil
}
func (v *forwardValue) String() string     { return strings.Join(*v, ",") }
func (v *forwardValue) Type() string       { return "list" }
func (v *forwardValue) elements() []string { return *v }
func (v *forwardValue) badElement() string {
	return "is no destination; write one such as http://roentgen:2000"
}

// forwardForm is how a destination looks; which ones there are knows who serves them.
var forwardForm = regexp.MustCompile(`^([^:/=]+=)?(aws(:[a-z0-9-]+)?|otlp|(otlp:)?https?://\S+|(otlp:)?grpcs?://\S+)$`)

func checkForward(s string) error {
	if !forwardForm.MatchString(s) {
		return fmt.Errorf("%q is no destination; write it like http://roentgen:2000, aws:eu-west-1, otlp:http://collector:4318 or grpc://collector:4317, perhaps with NAME= in front", s)
	}
	if i := strings.Index(s, "://"); i >= 0 && strings.Contains(strings.SplitN(s[i+3:], "/", 2)[0], "@") {
		return errors.New("an address with a password would be shown in the log; name who sends in forward-file, or by variables")
	}
	return nil
}

// networksValue is a list of networks and addresses; its text form separates them by
// commas.
type networksValue []netip.Prefix

func (v *networksValue) Set(s string) error {
	var list []netip.Prefix
	if s != "" {
		for part := range strings.SplitSeq(s, ",") {
			p, err := parseNetwork(strings.TrimSpace(part))
			if err != nil {
				return err
			}
			list = append(list, p)
		}
	}
	*v = list
	return nil
}
func (v *networksValue) String() string { return strings.Join(v.elements(), ",") }
func (v *networksValue) Type() string   { return "list" }
func (v *networksValue) elements() []string {
	var texts []string
	for _, p := range *v {
		texts = append(texts, p.String())
	}
	return texts
}
func (v *networksValue) badElement() string { return "is no network; write one such as 10.0.0.0/8" }

// parseNetwork reads a network, or an address that is one by itself. Bits behind the
// prefix are refused: 10.1.2.3/8 is more likely a mistake than 10.0.0.0/8.
func parseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return p, fmt.Errorf("%q is no network; write one such as 10.0.0.0/8, 192.0.2.7 or fd00::/8", s)
	}
	if p.Masked() != p {
		return p, fmt.Errorf("%q is no network, since bits behind its prefix are set; did you mean %v?", s, p.Masked())
	}
	return p, nil
}

// manyValue is a value that YAML may write as a list.
type manyValue interface {
	elements() []string
	badElement() string // what is wrong with an element that cannot be one
}

var errNoList = errors.New("is a list; this setting takes a single value")
