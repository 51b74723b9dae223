package xrayapi

import "github.com/roentgen-io/roentgen/internal/xrayapi/apierr"

var getGroupsInput = &shape{kind: kStruct, members: []member{
	{name: "NextToken", shape: lengths(1, 100)},
}}

var getGroupInput = &shape{kind: kStruct, members: []member{
	{name: "GroupName", shape: lengths(1, 32)},
	{name: "GroupARN", shape: lengths(1, 400)},
}}

// arn returns the name of a resource of ours, e.g. "group/Default".
func (h *Handler) arn(resource string) string {
	return "arn:aws:xray:" + h.cfg.Region + ":" + h.cfg.AccountID + ":" + resource
}

// appendDefaultGroup appends the one group there is so far.
func (h *Handler) appendDefaultGroup(dst []byte) []byte {
	dst = append(dst, `{"FilterExpression":null,"GroupARN":`...)
	dst = AppendString(dst, h.arn("group/Default"))
	return append(dst, `,"GroupName":"Default","InsightsConfiguration":{"InsightsEnabled":false,"NotificationsEnabled":false}}`...)
}

func (h *Handler) getGroups(c *call, in *value) error {
	if in.get(getGroupsInput, "NextToken") != nil {
		return apierr.New(apierr.InvalidRequest, "Next Token not supported")
	}
	dst := h.appendDefaultGroup([]byte(`{"Groups":[`))
	return c.reply(append(dst, `],"NextToken":null}`...))
}

func (h *Handler) getGroup(c *call, in *value) error {
	name, arn := in.get(getGroupInput, "GroupName"), in.get(getGroupInput, "GroupARN")
	if (name == nil) == (arn == nil) {
		return apierr.New(apierr.InvalidRequest, "Provide either GroupName or GroupARN")
	}
	if name.text() != "Default" && arn.text() != h.arn("group/Default") {
		return apierr.New(apierr.InvalidRequest, "Group not found")
	}
	return c.reply(append(h.appendDefaultGroup([]byte(`{"Group":`)), '}'))
}

func (h *Handler) getEncryptionConfig(c *call, _ *value) error {
	return c.reply([]byte(`{"EncryptionConfig":{"KeyId":null,"Status":"ACTIVE","Type":"NONE"}}`))
}

func (h *Handler) getTraceSegmentDestination(c *call, _ *value) error {
	return c.reply([]byte(`{"CompositeConfiguration":null,"Destination":"XRay","Status":"ACTIVE"}`))
}
