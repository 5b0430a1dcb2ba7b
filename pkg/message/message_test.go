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
		{Message{Text: "of soups", Key: As("dish.list"), Leads: true}, `{"text":"of soups","code":"dish.list","leads":true}`},
	} {
		if got, err := json.Marshal(tc.m); err != nil || string(got) != tc.want {
			t.Errorf("%s, %v; want %s", got, err, tc.want)
		}
	}
}

func TestSentencesAreJoinedAndWhatLeadsStandsBeforeAColon(t *testing.T) {
	hot, cold, soups := Message{Text: "hot"}, Message{Text: "cold"}, Message{Text: "soups", Leads: true}
	for _, tc := range []struct {
		list []Message
		want string
	}{
		{nil, ""},
		{[]Message{hot}, "hot"},
		{[]Message{hot, cold}, "hot; cold"},
		{[]Message{soups, hot}, "soups: hot"},
		{[]Message{cold, soups, hot, cold}, "cold; soups: hot; cold"},
	} {
		if got := Join(tc.list); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}
