package signin

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

const (
	flowLasts       = 10 * time.Minute
	plainFlowCookie = "presencebridge-sign-in"
	hostFlowCookie  = "__Host-" + plainFlowCookie
	mostFlowCookie  = 3 << 10 // bytes
)

// flow is a sign-in that has gone to a provider and not come back. It is kept in the
// browser, so that nobody who begins many of them takes the place of others; sealed, for
// it holds what keeps a stolen code from being used.
type flow struct {
	Provider string    `json:"provider"`
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"` // of PKCE
	Next     string    `json:"next"`
	Expires  time.Time `json:"expires"`
}

// flows seal and open them. The key is not kept: what was begun before a restart is begun again.
type flows struct {
	seal   cipher.AEAD
	secure bool
	cookie string

	mu   sync.Mutex
	used counters[string] // states that came back, so that none does twice
}

func newFlows(secure bool) *flows {
	key := make([]byte, 32)
	_, _ = rand.Read(key)           // never fails (crypto/rand)
	block, _ := aes.NewCipher(key)  // nor does this with 32 bytes
	aead, _ := cipher.NewGCM(block) // nor this with AES
	f := &flows{seal: aead, secure: secure, cookie: plainFlowCookie, used: counters[string]{}}
	if secure {
		f.cookie = hostFlowCookie
	}
	return f
}

// begin gives the browser a flow to keep.
func (f *flows) begin(w http.ResponseWriter, one flow) {
	value := f.sealed(one)
	if len(value) > mostFlowCookie { // more than browsers keep
		one.Next = "/"
		value = f.sealed(one)
	}
	f.set(w, value, int(flowLasts/time.Second))
}

func (f *flows) sealed(one flow) string {
	text, _ := json.Marshal(one) // texts and a time always can
	nonce := make([]byte, f.seal.NonceSize())
	_, _ = rand.Read(nonce) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(f.seal.Seal(nonce, nonce, text, []byte(f.cookie)))
}

// set sets the cookie. It is Lax: a browser sends a Strict one not on the way back.
func (f *flows) set(w http.ResponseWriter, value string, age int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure wherever there is TLS, of ours or of a proxy
		Name: f.cookie, Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: f.secure, SameSite: http.SameSiteLaxMode,
	})
}

// end takes the flow of a browser that comes back with a state. ok is false where it has
// not gone to this provider, or too long ago, or came back with that already.
func (f *flows) end(w http.ResponseWriter, r *http.Request, provider, state string, now time.Time) (one flow, ok bool) {
	cookie, err := r.Cookie(f.cookie)
	if err != nil || len(cookie.Value) > mostFlowCookie {
		return flow{}, false
	}
	f.set(w, "", -1)
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil || len(sealed) < f.seal.NonceSize() {
		return flow{}, false
	}
	n := f.seal.NonceSize()
	text, err := f.seal.Open(nil, sealed[:n], sealed[n:], []byte(f.cookie))
	if err != nil || json.Unmarshal(text, &one) != nil {
		return flow{}, false
	}
	if one.Provider != provider || !one.Expires.After(now) || subtle.ConstantTimeCompare([]byte(one.State), []byte(state)) != 1 {
		return flow{}, false
	}
	once := pace{burst: 1, every: flowLasts}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.used.wait(one.State, now, once) > 0 {
		return flow{}, false
	}
	f.used.count(one.State, now, once)
	return one, true
}
