package control

import (
	"context"
	"fmt"
)

// The values of a trace segment destination.
const (
	DestinationXRay           = "XRay"
	DestinationCloudWatchLogs = "CloudWatchLogs"
)

// Destination is where trace segments are to go. Here they stay where they are: it
// is kept for programs that set it and read it back.
type Destination struct {
	Name    string `json:"name"` // "" or DestinationXRay, or DestinationCloudWatchLogs
	Changed int64  `json:"changed,omitempty"`
}

func (d *Destination) check() error {
	switch d.Name {
	case "", DestinationXRay, DestinationCloudWatchLogs:
		return nil
	}
	return fmt.Errorf("the destination is %.40q", d.Name)
}

// Destination returns the destination in force.
func (s *Store) Destination() string {
	if name := s.current.Load().state.Destination.Name; name != "" {
		return name
	}
	return DestinationXRay
}

// SetDestination changes the destination and reports whether it was another before.
func (s *Store) SetDestination(ctx context.Context, name string) (changed bool, err error) {
	d := Destination{Name: name, Changed: s.opts.Now().UnixMilli()}
	if err := d.check(); err != nil || name == "" {
		return false, fmt.Errorf("control: there is no destination %.40q", name)
	}
	err = s.update(ctx, func(st *state) error {
		if st.Destination.Name == name || st.Destination.Name == "" && name == DestinationXRay {
			return errUnchanged
		}
		st.Destination, changed = d, true
		return nil
	})
	return changed && err == nil, err
}
