package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// health is what /-/ready says of a server.
type health struct {
	Endpoint string   `json:"endpoint"`
	Ready    bool     `json:"ready"`
	Degraded string   `json:"degraded,omitempty"` // what works less well than it should
	Missing  []string `json:"missing,omitempty"`  // what it is not ready for
}

func newHealthCommand(env *Env) *cobra.Command {
	var asJSON bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask a server whether it is ready, without a key",
		Long: `Ask a server whether it is ready to take and to show traces, without a key, for
containers and scripts. For an agent, ask roentgen agent status.

The exit status is 0 when it is ready, though something may be degraded, 1 when it
is not ready or does not answer, and 2 for wrong usage.`,
		Example: `  roentgen health
  roentgen health --endpoint https://traces.example --json
  until roentgen health; do sleep 1; done`,
		Args: noArgs,
	}
	to := openEndpointFlag(cmd.Flags(), env)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the answer as JSON")
	cmd.Flags().DurationVar(&timeout, "timeout", 4*time.Second, "how long to wait for the answer")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if timeout <= 0 {
			return usageError(errors.New("--timeout: must be more than 0"))
		}
		c, err := newClient(*to)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
		defer cancel()
		h, err := askHealth(ctx, c)
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("%s did not answer within %s", c.endpoint, timeout)
		}
		if err != nil {
			return err
		}
		if asJSON {
			err = writeLine(env, h)
		} else {
			_, err = fmt.Fprintln(env.Stdout, h)
		}
		if err == nil && !h.Ready {
			return &exitError{status: 1}
		}
		return err
	}
	return cmd
}

func (h *health) String() string {
	switch {
	case !h.Ready:
		return fmt.Sprintf("%s is not ready: %s", h.Endpoint, clean(strings.Join(h.Missing, "; ")))
	case h.Degraded != "":
		return fmt.Sprintf("%s is ready, but degraded: %s", h.Endpoint, clean(h.Degraded))
	}
	return h.Endpoint + " is ready"
}

// askHealth reads /-/ready: "ready" or "not ready" in the first line, and behind it
// what is degraded or missing.
func askHealth(ctx context.Context, c *client) (*health, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.endpoint+"/-/ready", nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return nil, c.explain(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	h := &health{Endpoint: c.endpoint}
	switch {
	case resp.StatusCode == http.StatusOK && lines[0] == "ready":
		h.Ready = true
		for _, l := range lines[1:] {
			if what, ok := strings.CutPrefix(l, "degraded: "); ok {
				h.Degraded = what
			}
		}
	case resp.StatusCode == http.StatusServiceUnavailable && lines[0] == "not ready":
		h.Missing = lines[1:]
	default:
		return nil, fmt.Errorf("%s/-/ready answered %s, which no Roentgen server says; is it one?", c.endpoint, resp.Status)
	}
	return h, nil
}
