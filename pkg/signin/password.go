package signin

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// cost is what it takes to try a password.
type cost struct {
	time, memory uint32 // passes; KiB
	threads      uint8
}

// standardCost is that of OWASP's cheat sheet of 2025 for argon2id: 19 MiB and two
// passes, some 40 ms of one core.
var standardCost = cost{time: 2, memory: 19 << 10, threads: 1}

const (
	argonKey  = 32 // bytes
	argonSalt = 16

	// argonsAtOnce bounds the memory, and leaves a core of two to the bridge's own work
	// most of the time; argonsWaiting bounds how many wait for that.
	argonsAtOnce  = 2
	argonsWaiting = 64

	// What a hash in the store may ask for at most: whoever writes there shall not be
	// able to fill the memory.
	mostArgonTime   = 16
	mostArgonMemory = 256 << 10
)

// errBusy says that too many passwords are looked at already.
var errBusy = errors.New("too many sign-ins at once")

// hasher looks at passwords, a few at a time.
type hasher struct {
	cost   cost
	queue  chan struct{} // one item who waits or works
	work   chan struct{} // one item who works
	nobody string        // a hash that no password has, for accounts that are not there
}

func newHasher(c cost) *hasher {
	h := &hasher{cost: c, queue: make(chan struct{}, argonsAtOnce+argonsWaiting), work: make(chan struct{}, argonsAtOnce)}
	secret := make([]byte, argonKey)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	h.nobody = encodeHash(c, secret[:argonSalt], secret)
	return h
}

// begin waits until there is room for the memory of one more; end gives it back.
func (h *hasher) begin(ctx context.Context) (end func(), err error) {
	select {
	case h.queue <- struct{}{}:
	default:
		return nil, errBusy
	}
	select {
	case h.work <- struct{}{}:
		return func() { <-h.work; <-h.queue }, nil
	case <-ctx.Done():
		<-h.queue
		return nil, ctx.Err()
	}
}

// hash is what is kept of a password.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	end, err := h.begin(ctx)
	if err != nil {
		return "", err
	}
	defer end()
	salt := make([]byte, argonSalt)
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	return encodeHash(h.cost, salt, argon2.IDKey([]byte(password), salt, h.cost.time, h.cost.memory, h.cost.threads, argonKey)), nil
}

// matches tells whether a password is the one that was hashed. An empty hash is nobody's,
// and costs the same.
func (h *hasher) matches(ctx context.Context, hash, password string) (bool, error) {
	exists := hash != ""
	if !exists {
		hash = h.nobody
	}
	p, err := decodeHash(hash)
	if err != nil {
		return false, err
	}
	end, err := h.begin(ctx)
	if err != nil {
		return false, err
	}
	defer end()
	key := argon2.IDKey([]byte(password), p.salt, p.time, p.memory, p.threads, uint32(len(p.key)))
	return subtle.ConstantTimeCompare(key, p.key) == 1 && exists, nil
}

type argonHash struct {
	cost
	salt, key []byte
}

// encodeHash writes a hash as the reference implementation does (PHC string format).
func encodeHash(c cost, salt, key []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.memory, c.time, c.threads, b64.EncodeToString(salt), b64.EncodeToString(key))
}

func decodeHash(text string) (p argonHash, err error) {
	bad := errors.New("a hash of a password in the store is not argon2id as it is written here")
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, bad
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads); err != nil || n != 3 {
		return p, bad
	}
	if p.memory == 0 || p.memory > mostArgonMemory || p.time == 0 || p.time > mostArgonTime || p.threads == 0 {
		return p, bad
	}
	b64 := base64.RawStdEncoding.Strict()
	if p.salt, err = b64.DecodeString(parts[4]); err != nil {
		return p, bad
	}
	if p.key, err = b64.DecodeString(parts[5]); err != nil || len(p.key) < 16 || len(p.key) > 64 {
		return p, bad
	}
	return p, nil
}

// current tells whether a hash has today's cost. One that has not is made anew when its
// password is next seen.
func (h *hasher) current(hash string) bool {
	p, err := decodeHash(hash)
	return err == nil && p.cost == h.cost && len(p.key) == argonKey
}
