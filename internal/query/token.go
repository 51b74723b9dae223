package query

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/roentgen-io/roentgen/internal/tracestore"
)

// A token is base64 (URL alphabet, no padding) of
//
//	0   1  version, 1
//	1   8  asOf: the seq up to which documents count, big endian
//	9   8  cursor: clock value of the last row given, big endian, two's complement
//	17 16  cursor: trace id of the last row given
//	33  8  first bytes of SHA-256 over all before and the question
//
// The sum finds altered tokens and those of other questions. It is no seal, and
// none is needed: a forged token reads nothing that a question may not read.
const (
	tokenVersion = 1
	tokenBody    = 33
	tokenLen     = tokenBody + 8
)

var tokenEncoding = base64.RawURLEncoding.Strict()

type token struct {
	asOf  uint64
	after tracestore.Cursor
}

func encodeToken(t token, ask *Question) string {
	b := make([]byte, 0, tokenLen)
	b = append(b, tokenVersion)
	b = binary.BigEndian.AppendUint64(b, t.asOf)
	b = binary.BigEndian.AppendUint64(b, uint64(t.after.Time))
	b = append(b, t.after.ID[:]...)
	sum := tokenSum(b, ask)
	b = append(b, sum[:tokenLen-tokenBody]...)
	return tokenEncoding.EncodeToString(b)
}

func tokenSum(body []byte, ask *Question) [sha256.Size]byte {
	return sha256.Sum256(ask.appendQuestion(append([]byte(nil), body...)))
}

// decodeToken returns what a token says, or ErrToken.
func decodeToken(text string, ask *Question) (token, error) {
	if len(text) != tokenEncoding.EncodedLen(tokenLen) {
		return token{}, ErrToken
	}
	b, err := tokenEncoding.DecodeString(text)
	if err != nil || len(b) != tokenLen || b[0] != tokenVersion {
		return token{}, ErrToken
	}
	sum := tokenSum(b[:tokenBody], ask)
	if string(sum[:tokenLen-tokenBody]) != string(b[tokenBody:]) {
		return token{}, ErrToken
	}
	var t token
	t.asOf = binary.BigEndian.Uint64(b[1:])
	t.after.Time = int64(binary.BigEndian.Uint64(b[9:]))
	copy(t.after.ID[:], b[17:tokenBody])
	return t, nil
}
