package config

import (
	"errors"
	"fmt"
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
func (v *listValue) String() string { return strings.Join(*v, ",") }
func (v *listValue) Type() string   { return "list" }

var errNoList = errors.New("is a list; this setting takes a single value")
