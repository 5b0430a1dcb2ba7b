package signin

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/presencebridge/presencebridge/pkg/store"
)

const (
	deviceLasts       = 90 * 24 * time.Hour
	plainDeviceCookie = "presencebridge-device-" // and whose
	deviceID          = 16                       // bytes
	deviceBody        = deviceID + 8             // and until when it is good
	deviceLength      = deviceBody + sha256.Size // and the seal
)

// deviceCookie is the name of the cookie that a browser has in which the owner of an
// account has signed in. Several people may share a browser.
func (d *Desk) deviceCookie(account string) string {
	sum := sha256.Sum256([]byte(account))
	name := plainDeviceCookie + hex.EncodeToString(sum[:8])
	if d.secure() {
		return "__Host-" + name
	}
	return name
}

// sealOf seals a device of an account. The key is the hash of the password, whose salt
// nobody knows who has not read the store: it needs no place of its own there, outlives a
// restart and a takeover, and another password makes all devices strange.
func sealOf(a *store.Account, body []byte) []byte {
	mac := hmac.New(sha256.New, []byte(a.Hash))
	_, _ = mac.Write([]byte("device of " + a.Name + "\n")) // never fails (hash)
	_, _ = mac.Write(body)
	return mac.Sum(nil)
}

// remember makes a browser a device of an account, under another name at each sign-in.
// Who signs in with a provider has no password here, and no device.
func (d *Desk) remember(w http.ResponseWriter, account string, now time.Time) {
	a := d.account(account)
	if a == nil || a.Hash == "" {
		return
	}
	body := make([]byte, deviceID, deviceLength)
	_, _ = rand.Read(body) // never fails (crypto/rand)
	body = binary.BigEndian.AppendUint64(body, uint64(now.Add(deviceLasts).Unix()))
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure wherever there is TLS, of ours or of a proxy
		Name: d.deviceCookie(a.Name), Value: base64.RawURLEncoding.EncodeToString(append(body, sealOf(a, body)...)),
		Path: "/", MaxAge: int(deviceLasts / time.Second), HttpOnly: true, Secure: d.secure(), SameSite: http.SameSiteStrictMode,
	})
}

// device is which of an account's a browser is; "": none.
func (d *Desk) device(r *http.Request, a *store.Account) string {
	if a == nil || a.Hash == "" {
		return ""
	}
	cookie, err := r.Cookie(d.deviceCookie(a.Name))
	if err != nil || len(cookie.Value) != base64.RawURLEncoding.EncodedLen(deviceLength) {
		return ""
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil || !hmac.Equal(sealed[deviceBody:], sealOf(a, sealed[:deviceBody])) {
		return ""
	}
	if until := int64(binary.BigEndian.Uint64(sealed[deviceID:])); until <= d.now().Unix() {
		return ""
	}
	return string(sealed[:deviceID])
}
