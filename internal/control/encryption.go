package control

import (
	"context"
	"fmt"
)

// Encryption is the EncryptionConfig that somebody asked for. Nothing is
// encrypted by it: it is kept for programs that set it and read it back.
type Encryption struct {
	Type    string `json:"type"`              // "" or EncryptionNone, or EncryptionKMS
	KeyID   string `json:"key_id,omitempty"`  // an ARN, set for EncryptionKMS alone
	Changed int64  `json:"changed,omitempty"` // unix milliseconds
}

// The types of Encryption.
const (
	EncryptionNone = "NONE"
	EncryptionKMS  = "KMS"
)

const maxKeyID = 4_000 // bytes; the API takes 3,000 characters, of which we make an ARN

func (e *Encryption) check() error {
	switch {
	case e.Type == "" || e.Type == EncryptionNone:
		if e.KeyID != "" {
			return fmt.Errorf("encryption of type %q has a key", e.Type)
		}
	case e.Type != EncryptionKMS:
		return fmt.Errorf("encryption has the type %.40q", e.Type)
	case e.KeyID == "" || len(e.KeyID) > 4*maxKeyID:
		return fmt.Errorf("encryption has a key id of %d bytes", len(e.KeyID))
	}
	return nil
}

// Encryption returns the configuration in force.
func (s *Store) Encryption() Encryption {
	e := s.current.Load().state.Encryption
	if e.Type == "" {
		e.Type = EncryptionNone
	}
	return e
}

// SetEncryption changes the configuration. keyID is "" unless the type is EncryptionKMS.
func (s *Store) SetEncryption(ctx context.Context, typ, keyID string) error {
	e := Encryption{Type: typ, KeyID: validText(keyID), Changed: s.opts.Now().UnixMilli()}
	if err := e.check(); err != nil {
		return fmt.Errorf("control: %w", err)
	}
	return s.update(ctx, func(st *state) error {
		st.Encryption = e
		return nil
	})
}
