package xrayapi

import (
	"errors"

	"github.com/roentgen-io/roentgen/internal/control"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

var resourceARN = lengths(1, 1011)

var listTagsForResourceInput = &shape{kind: kStruct, members: []member{
	{name: "ResourceARN", required: true, shape: resourceARN},
	{name: "NextToken", shape: stringShape},
}}

var tagResourceInput = &shape{kind: kStruct, members: []member{
	{name: "ResourceARN", required: true, shape: resourceARN},
	{name: "Tags", required: true, shape: &shape{kind: kList, elem: tagShape, hasMax: true, max: 200}},
}}

var untagResourceInput = &shape{kind: kStruct, members: []member{
	{name: "ResourceARN", required: true, shape: resourceARN},
	{name: "TagKeys", required: true, shape: &shape{kind: kList, elem: lengths(1, 128), hasMax: true, max: 200}},
}}

// listTagsForResource answers with all tags at once, whatever NextToken says.
func (h *Handler) listTagsForResource(c *call, in *value) error {
	arn := in.get(listTagsForResourceInput, "ResourceARN").text()
	tags, err := h.cfg.Control.Tags(arn)
	if err != nil {
		return tagError(err, arn)
	}
	dst := []byte(`{"NextToken":null,"Tags":[`)
	for i, t := range tags {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = segment.AppendString(append(dst, `{"Key":`...), t.Key)
		dst = segment.AppendString(append(dst, `,"Value":`...), t.Value)
		dst = append(dst, '}')
	}
	return c.reply(append(dst, "]}"...))
}

func (h *Handler) tagResource(c *call, in *value) error {
	arn := in.get(tagResourceInput, "ResourceARN").text()
	if _, err := h.cfg.Control.Tags(arn); err != nil {
		return tagError(err, arn)
	}
	tags, err := userTags(in.get(tagResourceInput, "Tags"))
	if err != nil {
		return err
	}
	keys := make(map[string]bool, len(tags))
	for _, t := range tags {
		if keys[t.Key] {
			return apierr.New(apierr.InvalidRequest, "Duplicate tag key %s", shorten(t.Key))
		}
		keys[t.Key] = true
	}
	if err := h.cfg.Control.Tag(c.ctx, arn, tags); err != nil {
		return tagError(err, arn)
	}
	return c.reply([]byte(`{}`))
}

func (h *Handler) untagResource(c *call, in *value) error {
	arn := in.get(untagResourceInput, "ResourceARN").text()
	var keys []string
	for _, k := range in.get(untagResourceInput, "TagKeys").list {
		if isSystemTag(k.s) {
			return errSystemTag
		}
		keys = append(keys, k.s)
	}
	if err := h.cfg.Control.Untag(c.ctx, arn, keys); err != nil {
		return tagError(err, arn)
	}
	return c.reply([]byte(`{}`))
}

// tagError turns an error of the control state into one for the caller who named a
// resource so.
func tagError(err error, arn string) error {
	switch {
	case errors.Is(err, control.ErrNotFound):
		return notFound(arn, "Resource %s not found", shorten(arn))
	case errors.Is(err, control.ErrTooMany):
		return errTooManyTags
	}
	return controlError(err)
}
