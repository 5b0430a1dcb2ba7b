package message

import (
	"encoding/json"
	"testing"
)

func TestAMessageIsSentWithItsKeyIfItHasOne(t *testing.T) {
	for _, tc := range []struct {
		m    Message
		want string
	}{
		{Message{Text: "soup"}, `{"text":"soup"}`},
		{Message{Text: "soup", Key: Only(nil)}, `{"text":"soup"}`},
		{Message{Text: "soup", Key: Only([]Key{As("dish.soup")})}, `{"text":"soup","code":"dish.soup"}`},
		{Message{Text: "2 soups", Key: As("dish.soups", "n", "2", "of", "leeks")}, `{"text":"2 soups","code":"dish.soups","params":{"n":"2","of":"leeks"}}`},
	} {
		if got, err := json.Marshal(tc.m); err != nil || string(got) != tc.want {
			t.Errorf("%s, %v; want %s", got, err, tc.want)
		}
	}
}
