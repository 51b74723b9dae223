package xrayapi

import (
	"errors"
	"strings"

	"github.com/roentgen-io/roentgen/internal/control"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

var getGroupsInput = &shape{kind: kStruct, members: []member{
	{name: "NextToken", shape: lengths(1, 100)},
}}

var getGroupInput = &shape{kind: kStruct, members: []member{
	{name: "GroupName", shape: lengths(1, 32)},
	{name: "GroupARN", shape: lengths(1, 400)},
}}

var insightsConfiguration = &shape{kind: kStruct, members: []member{
	{name: "InsightsEnabled", shape: boolShape},
	{name: "NotificationsEnabled", shape: boolShape},
}}

var tagShape = &shape{kind: kStruct, members: []member{
	{name: "Key", required: true, shape: lengths(1, 128)},
	{name: "Value", required: true, shape: lengths(0, 256)},
}}

var createGroupInput = &shape{kind: kStruct, members: []member{
	{name: "GroupName", required: true, shape: lengths(1, 32)},
	{name: "FilterExpression", shape: stringShape},
	{name: "InsightsConfiguration", shape: insightsConfiguration},
	{name: "Tags", shape: &shape{kind: kList, elem: tagShape, hasMax: true, max: 200}},
}}

var updateGroupInput = &shape{kind: kStruct, members: []member{
	{name: "GroupName", shape: lengths(1, 32)},
	{name: "GroupARN", shape: lengths(1, 400)},
	{name: "FilterExpression", shape: stringShape},
	{name: "InsightsConfiguration", shape: insightsConfiguration},
}}

// maxUserTags is AWS's limit on tags. It protects readers and holds always.
const maxUserTags = control.MaxTags

// arn returns the name of a resource of ours, e.g. "sampling-rule/Default".
func (h *Handler) arn(resource string) string {
	return "arn:aws:xray:" + h.cfg.Region + ":" + h.cfg.AccountID + ":" + resource
}

func appendGroup(dst []byte, g *control.Group) []byte {
	dst = append(dst, `{"FilterExpression":`...)
	dst = appendStringOrNull(dst, g.Expression())
	dst = append(dst, `,"GroupARN":`...)
	dst = segment.AppendString(dst, g.ARN)
	dst = append(dst, `,"GroupName":`...)
	dst = segment.AppendString(dst, g.Name)
	dst = append(dst, `,"InsightsConfiguration":{"InsightsEnabled":`...)
	dst = appendBool(dst, g.Insights.Enabled)
	dst = append(dst, `,"NotificationsEnabled":`...)
	dst = appendBool(dst, g.Insights.Notifications)
	return append(dst, "}}"...)
}

func (c *call) replyGroup(g *control.Group) error {
	return c.reply(append(appendGroup([]byte(`{"Group":`), g), '}'))
}

func (h *Handler) getGroups(c *call, in *value) error {
	if in.get(getGroupsInput, "NextToken") != nil {
		return apierr.New(apierr.InvalidRequest, "Next Token not supported")
	}
	dst := []byte(`{"Groups":[`)
	groups := h.cfg.Control.Groups()
	for i := range groups {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendGroup(dst, &groups[i])
	}
	return c.reply(append(dst, `],"NextToken":null}`...))
}

// selectGroup returns the name or the ARN that a call names its group by; the
// other one is "".
func selectGroup(in *value, sh *shape) (name, arn string, err error) {
	n, a := in.get(sh, "GroupName"), in.get(sh, "GroupARN")
	if (n == nil) == (a == nil) {
		return "", "", apierr.New(apierr.InvalidRequest, "Provide either GroupName or GroupARN")
	}
	return n.text(), a.text(), nil
}

// groupFilter returns the FilterExpression of a group, which the model lets be
// absent and the service does not.
func groupFilter(in *value, sh *shape) (string, error) {
	text := in.get(sh, "FilterExpression").text()
	if strings.TrimSpace(text) == "" {
		return "", apierr.New(apierr.InvalidRequest, "Filter Expression is empty")
	}
	return text, nil
}

func (h *Handler) getGroup(c *call, in *value) error {
	name, arn, err := selectGroup(in, getGroupInput)
	if err != nil {
		return err
	}
	g, err := h.cfg.Control.Group(name, arn)
	if err != nil {
		return groupError(err, name)
	}
	return c.replyGroup(&g)
}

func (h *Handler) createGroup(c *call, in *value) error {
	sh := createGroupInput
	n := control.NewGroup{Name: in.get(sh, "GroupName").text()}
	var err error
	if n.Expression, err = groupFilter(in, sh); err != nil {
		return err
	}
	if !control.ValidGroupName(n.Name) {
		return apierr.New(apierr.InvalidRequest, "Group name can only contain letters, digits and dashes")
	}
	if n.Insights, err = changeInsights(in.get(sh, "InsightsConfiguration"), n.Insights); err != nil {
		return err
	}
	if n.Tags, err = userTags(in.get(sh, "Tags")); err != nil {
		return err
	}
	n.Max = h.limits.Groups
	g, err := h.cfg.Control.CreateGroup(c.ctx, n)
	if errors.Is(err, control.ErrTooMany) {
		return apierr.New(apierr.InvalidRequest, "The number of groups has reached its limit of %d", h.limits.Groups)
	}
	if err != nil {
		return groupError(err, n.Name)
	}
	return c.replyGroup(&g)
}

func (h *Handler) updateGroup(c *call, in *value) error {
	sh := updateGroupInput
	name, arn, err := selectGroup(in, sh)
	if err != nil {
		return err
	}
	var change control.GroupChange
	if change.Expression, err = groupFilter(in, sh); err != nil {
		return err
	}
	if insights := in.get(sh, "InsightsConfiguration"); insights != nil {
		change.Insights = func(old control.Insights) (control.Insights, error) { return changeInsights(insights, old) }
	}
	g, err := h.cfg.Control.UpdateGroup(c.ctx, name, arn, change)
	if errors.Is(err, control.ErrDefault) {
		return apierr.New(apierr.InvalidRequest, "Default group cannot be updated")
	}
	if err != nil {
		return groupError(err, name)
	}
	return c.replyGroup(&g)
}

func (h *Handler) deleteGroup(c *call, in *value) error {
	name, arn, err := selectGroup(in, getGroupInput)
	if err != nil {
		return err
	}
	err = h.cfg.Control.DeleteGroup(c.ctx, name, arn)
	if errors.Is(err, control.ErrDefault) {
		return apierr.New(apierr.InvalidRequest, "Default group cannot be deleted")
	}
	if err != nil {
		return groupError(err, name)
	}
	return c.reply([]byte(`{}`))
}

// changeInsights returns old with what an InsightsConfiguration says. Switching
// insights off switches off notifications too, unless these are asked for, which
// is refused.
func changeInsights(in *value, old control.Insights) (control.Insights, error) {
	enabled, notify := in.get(insightsConfiguration, "InsightsEnabled"), in.get(insightsConfiguration, "NotificationsEnabled")
	if enabled != nil {
		old.Enabled = enabled.b
		old.Notifications = old.Notifications && enabled.b
	}
	if notify != nil {
		old.Notifications = notify.b
	}
	if old.Notifications && !old.Enabled {
		return old, apierr.New(apierr.InvalidRequest, "Notifications can only be enabled on a group with insights enabled")
	}
	return old, nil
}

// The service has a TooManyTagsException in its model, but sends this.
var (
	errSystemTag   = apierr.New(apierr.InvalidRequest, "Caller is an end user and not allowed to mutate system tags")
	errTooManyTags = apierr.New(apierr.InvalidRequest, "The resultant tag set must not have more than %d user tags.", maxUserTags)
)

func isSystemTag(key string) bool { return strings.HasPrefix(key, "aws:") }

// userTags returns the tags of a request, which the model's constraints were
// checked of.
func userTags(in *value) ([]control.Tag, error) {
	if in == nil {
		return nil, nil
	}
	var tags []control.Tag
	keys := make(map[string]bool)
	for _, t := range in.list {
		tag := control.Tag{Key: t.get(tagShape, "Key").text(), Value: t.get(tagShape, "Value").text()}
		if isSystemTag(tag.Key) {
			return nil, errSystemTag
		}
		tags = append(tags, tag)
		keys[tag.Key] = true
	}
	if len(keys) > maxUserTags {
		return nil, errTooManyTags
	}
	return tags, nil
}

// groupError turns an error of the control state into one for the caller who
// named a group so.
func groupError(err error, name string) error {
	var expression *control.ExpressionError
	var known *apierr.Error
	switch {
	case errors.As(err, &known): // also one inside an ExpressionError
		return err
	case errors.As(err, &expression):
		return apierr.Wrap(err, apierr.InvalidRequest, "%s", shorten(expression.Err.Error()))
	case errors.Is(err, control.ErrNotFound):
		return apierr.New(apierr.InvalidRequest, "Group not found")
	case errors.Is(err, control.ErrExists):
		return apierr.New(apierr.InvalidRequest, "%s already exists", name)
	case errors.Is(err, control.ErrNoFilters):
		return apierr.New(apierr.NotImplemented, "This server reads no filter expressions, and so keeps no groups")
	}
	return controlError(err)
}

// controlError turns an error that every change of the control state may give into
// one for the caller.
func controlError(err error) error {
	switch {
	case errors.Is(err, control.ErrTooLarge):
		return apierr.New(apierr.InvalidRequest, "There is no room for more: the control state has reached its largest size")
	case errors.Is(err, control.ErrChanged):
		return apierr.Wrap(err, apierr.InternalFailure, "The file with the control state was changed behind the server's back; restart it to go on")
	}
	return err
}
