package sampling

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"unicode/utf8"
)

// The Default rule, of an account that never changed it.
const (
	DefaultName      = "Default"
	DefaultPriority  = 10000
	DefaultFixedRate = 0.05
	DefaultReservoir = 1
)

// Bounds of the members of a rule, in characters for texts.
const (
	maxName        = 32
	maxPriority    = 9999
	maxResourceARN = 500
	maxService     = 64 // ServiceName, ServiceType and Host
	maxMethod      = 10
	maxPath        = 128
	maxAttributes  = 5
	maxAttribute   = 32 // a key or a value
	maxInteger     = math.MaxInt32
)

// Rule is a sampling rule. Names in JSON are those of the file of the control state.
type Rule struct {
	Name        string            `json:"name"`
	Priority    int               `json:"priority"`
	FixedRate   float64           `json:"fixed_rate"`
	Reservoir   int               `json:"reservoir"` // requests a second
	ServiceName string            `json:"service_name"`
	ServiceType string            `json:"service_type"`
	Host        string            `json:"host"`
	HTTPMethod  string            `json:"http_method"`
	URLPath     string            `json:"url_path"`
	ResourceARN string            `json:"resource_arn"`
	Attributes  map[string]string `json:"attributes,omitempty"`
	Boost       *Boost            `json:"boost,omitempty"`
}

// Boost lets the rate of a rule be raised while there are anomalies.
type Boost struct {
	MaxRate         float64 `json:"max_rate"`
	CooldownMinutes int     `json:"cooldown_minutes"`
}

// Default returns the Default rule as an account begins with it.
func Default() Rule {
	return Rule{
		Name: DefaultName, Priority: DefaultPriority, FixedRate: DefaultFixedRate, Reservoir: DefaultReservoir,
		ServiceName: "*", ServiceType: "*", Host: "*", HTTPMethod: "*", URLPath: "*", ResourceARN: "*",
	}
}

// ErrDefault reports a Default rule of which more differs than can change.
var ErrDefault = errors.New("only the FixedRate and the ReservoirSize of the Default rule can change")

// Check refuses a rule that nobody may make. Its errors tell people why.
func (r *Rule) Check() error {
	if r.Name == DefaultName {
		allowed := Default()
		allowed.FixedRate, allowed.Reservoir = r.FixedRate, r.Reservoir
		if !reflect.DeepEqual(allowed, *r) {
			return ErrDefault
		}
	}
	for _, text := range [...]struct {
		name, value string
		min, max    int
	}{
		{"RuleName", r.Name, 1, maxName},
		{"ServiceName", r.ServiceName, 0, maxService},
		{"ServiceType", r.ServiceType, 0, maxService},
		{"Host", r.Host, 0, maxService},
		{"HTTPMethod", r.HTTPMethod, 0, maxMethod},
		{"URLPath", r.URLPath, 0, maxPath},
		{"ResourceARN", r.ResourceARN, 0, maxResourceARN},
	} {
		if n := utf8.RuneCountInString(text.value); n < text.min || n > text.max {
			return fmt.Errorf("the %s of a rule has %d to %d characters, not %d", text.name, text.min, text.max, n)
		}
	}
	if len(r.Attributes) > maxAttributes {
		return fmt.Errorf("a rule has at most %d Attributes, not %d", maxAttributes, len(r.Attributes))
	}
	for key, value := range r.Attributes {
		for _, text := range [...]string{key, value} {
			if n := utf8.RuneCountInString(text); n < 1 || n > maxAttribute {
				return fmt.Errorf("keys and values of Attributes have 1 to %d characters, not %d", maxAttribute, n)
			}
		}
	}
	return r.CheckNumbers()
}

// CheckNumbers is Check for the priority, the rates and the reservoir alone.
func (r *Rule) CheckNumbers() error {
	switch {
	case r.Name == DefaultName && r.Priority != DefaultPriority:
		return ErrDefault
	case r.Name != DefaultName && (r.Priority < 1 || r.Priority > maxPriority):
		return fmt.Errorf("the Priority of a rule is from 1 to %d, not %d", maxPriority, r.Priority)
	case !isRate(r.FixedRate):
		return fmt.Errorf("the FixedRate of a rule is from 0 to 1, not %v", r.FixedRate)
	case r.Reservoir < 0:
		return errors.New("the ReservoirSize of a rule is at least 0")
	case r.Reservoir > maxInteger:
		return fmt.Errorf("the ReservoirSize of a rule is at most %d", maxInteger)
	case r.Boost == nil:
		return nil
	case !isRate(r.Boost.MaxRate):
		return fmt.Errorf("the MaxRate of a boost is from 0 to 1, not %v", r.Boost.MaxRate)
	case r.Boost.CooldownMinutes < 1 || r.Boost.CooldownMinutes > maxInteger:
		return errors.New("the CooldownWindowMinutes of a boost are at least 1")
	}
	return nil
}

func isRate(f float64) bool { return f >= 0 && f <= 1 }

// Clone returns a copy that shares nothing with r.
func (r *Rule) Clone() Rule {
	c := *r
	if r.Attributes != nil {
		c.Attributes = make(map[string]string, len(r.Attributes))
		for k, v := range r.Attributes {
			c.Attributes[k] = v
		}
	}
	if r.Boost != nil {
		b := *r.Boost
		c.Boost = &b
	}
	return c
}

// SDKsIgnore tells why X-Ray SDKs pass over a rule, "" when they do not.
func (r *Rule) SDKsIgnore() string {
	switch {
	case len(r.Attributes) > 0:
		return "it has Attributes"
	case r.ResourceARN != "*":
		return "its ResourceARN is not *"
	}
	return ""
}

// Sort puts rules into the order in which they are tried.
func Sort(rules []Rule) {
	slices.SortFunc(rules, func(a, b Rule) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Name, b.Name))
	})
}
