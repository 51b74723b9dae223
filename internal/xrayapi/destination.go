package xrayapi

import (
	"github.com/roentgen-io/roentgen/internal/control"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

var updateTraceSegmentDestinationInput = &shape{kind: kStruct, members: []member{
	{name: "Destination", shape: &shape{kind: kString, enum: []string{control.DestinationXRay, control.DestinationCloudWatchLogs}}},
}}

func (h *Handler) getTraceSegmentDestination(c *call, _ *value) error {
	return c.replyDestination(h.cfg.Control.Destination(), "ACTIVE")
}

// updateTraceSegmentDestination keeps what a client wants; segments stay in this
// store, whatever that is. As with the service the answer to a change says PENDING.
func (h *Handler) updateTraceSegmentDestination(c *call, in *value) error {
	to := in.get(updateTraceSegmentDestinationInput, "Destination")
	if to == nil {
		return apierr.New(apierr.InvalidRequest, "Destination is required")
	}
	changed, err := h.cfg.Control.SetDestination(c.ctx, to.s)
	if err != nil {
		return controlError(err)
	}
	status := "ACTIVE"
	if changed {
		status = "PENDING"
	}
	return c.replyDestination(to.s, status)
}

func (c *call) replyDestination(name, status string) error {
	dst := []byte(`{"CompositeConfiguration":null,"Destination":`)
	dst = segment.AppendString(dst, name)
	return c.reply(append(dst, `,"Status":"`+status+`"}`...))
}
