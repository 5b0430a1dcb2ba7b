package presence

import (
	"encoding/json"
	"unique"
)

// Kept is a presence as a view keeps it: in 24 bytes, with the image shared by all who
// show it. There are few images, and any number of messages. The zero value is not_set.
type Kept struct {
	image   unique.Handle[Image] // zero: that of not_set
	message string
}

// Keep returns p to be kept; equal presences are equal again.
func Keep(p Presence) Kept {
	k := Kept{message: p.Message}
	if img := (Image{p.State, p.Subtype}); img != (Image{}) {
		k.image = unique.Make(img)
	}
	return k
}

// Presence returns what is kept.
func (k Kept) Presence() Presence {
	img := Image{}
	if k.image != (unique.Handle[Image]{}) {
		img = k.image.Value()
	}
	return Presence{img.State, img.Subtype, k.message}
}

// is tells whether p is kept.
func (k Kept) is(p Presence) bool { return k.Presence() == p }

// MarshalJSON writes the presence.
func (k Kept) MarshalJSON() ([]byte, error) { return json.Marshal(k.Presence()) }

// UnmarshalJSON reads a presence.
func (k *Kept) UnmarshalJSON(data []byte) error {
	var p Presence
	err := json.Unmarshal(data, &p)
	*k = Keep(p)
	return err
}
