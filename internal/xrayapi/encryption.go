package xrayapi

import (
	"strings"

	"github.com/roentgen-io/roentgen/internal/control"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

var putEncryptionConfigInput = &shape{kind: kStruct, members: []member{
	{name: "KeyId", shape: lengths(1, 3000)},
	{name: "Type", required: true, shape: &shape{kind: kString, enum: []string{control.EncryptionNone, control.EncryptionKMS}}},
}}

func (h *Handler) getEncryptionConfig(c *call, _ *value) error {
	return c.replyEncryption(h.cfg.Control.Encryption(), "ACTIVE")
}

// putEncryptionConfig keeps what a client configures; it encrypts nothing. As with
// the service the answer says UPDATING, and a look afterwards ACTIVE.
func (h *Handler) putEncryptionConfig(c *call, in *value) error {
	sh := putEncryptionConfigInput
	typ, key := in.get(sh, "Type").text(), in.get(sh, "KeyId")
	switch {
	case typ == control.EncryptionKMS && key == nil:
		return apierr.New(apierr.InvalidRequest, "A key id is required for encryption of type KMS")
	case typ == control.EncryptionNone && key != nil:
		return apierr.New(apierr.InvalidRequest, "A key id is not allowed for encryption of type NONE")
	}
	arn := ""
	if key != nil {
		var err error
		if arn, err = h.keyARN(key.s); err != nil {
			return err
		}
	}
	if err := h.cfg.Control.SetEncryption(c.ctx, typ, arn); err != nil {
		return controlError(err)
	}
	return c.replyEncryption(h.cfg.Control.Encryption(), "UPDATING")
}

// keyARN returns the ARN of a KMS key that is named by its id, an alias or an ARN.
// What an alias stands for only KMS knows, so it stays one.
func (h *Handler) keyARN(key string) (string, error) {
	prefix := "arn:aws:kms:" + h.cfg.Region + ":" + h.cfg.AccountID + ":"
	switch {
	case strings.HasPrefix(key, "arn:"):
		if parts := strings.SplitN(key, ":", 6); len(parts) != 6 || parts[2] != "kms" ||
			!strings.HasPrefix(parts[5], "key/") && !strings.HasPrefix(parts[5], "alias/") {
			return "", apierr.New(apierr.InvalidRequest, "%s is not the ARN of a KMS key", shorten(key))
		}
		return key, nil
	case strings.HasPrefix(key, "alias/") && key != "alias/":
		return prefix + key, nil
	case strings.Trim(key, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") == "":
		return prefix + "key/" + key, nil
	}
	return "", apierr.New(apierr.InvalidRequest, "%s is neither the id nor the alias nor the ARN of a KMS key", shorten(key))
}

func (c *call) replyEncryption(e control.Encryption, status string) error {
	dst := []byte(`{"EncryptionConfig":{"KeyId":`)
	dst = appendStringOrNull(dst, e.KeyID)
	dst = append(dst, `,"Status":"`+status+`","Type":`...)
	return c.reply(append(segment.AppendString(dst, e.Type), "}}"...))
}
