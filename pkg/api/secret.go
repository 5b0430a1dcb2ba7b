package api

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"strings"
)

const (
	// tokenPrefix lets those find a token who look for secrets in code and logs.
	tokenPrefix = "pbt_"
	tokenRandom = 32 // bytes
)

// newToken returns a new token: the prefix, then the random bytes with their
// checksum. 36 bytes are 48 characters of base64, without padding.
func newToken() string {
	b := make([]byte, tokenRandom, tokenRandom+4)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// wellFormed tells whether text can be a token at all. The checksum tells one that
// was mistyped or cut short from one that was revoked; it keeps nobody out.
func wellFormed(text string) bool {
	rest, ok := strings.CutPrefix(text, tokenPrefix)
	b, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if !ok || err != nil || len(b) != tokenRandom+4 {
		return false
	}
	return crc32.ChecksumIEEE(b[:tokenRandom]) == binary.BigEndian.Uint32(b[tokenRandom:])
}

// hashOf is what is kept of a token. SHA-256 is enough: a slow hash protects what
// people choose, and nobody guesses 256 random bits. To look it up among the hashes
// of all tokens takes a time that depends on the hash of what was sent, of which
// nobody can choose a part that would tell something about a token.
func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
