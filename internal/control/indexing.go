package control

import (
	"context"
	"fmt"
)

// DefaultIndexingRule is the name of the only indexing rule that there is.
const DefaultIndexingRule = "Default"

// initialPercentage is what the rule asks for as long as nobody changed it, as in
// a new account of the X-Ray service.
const initialPercentage = 1

// Indexing is the probabilistic indexing rule: the share of spans that are to be
// indexed as traces. Here every trace is found, whatever the rule says.
type Indexing struct {
	Percentage float64 `json:"percentage"` // 0 to 100
	Changed    int64   `json:"changed"`    // unix milliseconds; 0: never
}

func (x *Indexing) check() error {
	if !(x.Percentage >= 0 && x.Percentage <= 100) {
		return fmt.Errorf("the indexing rule asks for %v percent", x.Percentage)
	}
	return nil
}

// Indexing returns the rule.
func (s *Store) Indexing() Indexing {
	if x := s.current.Load().state.Indexing; x.Changed != 0 {
		return x
	}
	return Indexing{Percentage: initialPercentage}
}

// SetIndexing changes the rule and returns it. percentage is 0 to 100.
func (s *Store) SetIndexing(ctx context.Context, percentage float64) (Indexing, error) {
	x := Indexing{Percentage: percentage, Changed: s.opts.Now().UnixMilli()}
	if err := x.check(); err != nil {
		return Indexing{}, fmt.Errorf("control: %w", err)
	}
	err := s.update(ctx, func(st *state) error {
		st.Indexing = x
		return nil
	})
	return x, err
}
