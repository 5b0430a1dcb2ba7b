package web

import (
	"encoding/json"
	"fmt"
	"net/http"

	"golang.org/x/text/language"

	"github.com/presencebridge/presencebridge/pkg/signin"
)

// Language is one in which the pages are.
type Language struct{ Tag, Name string }

// languages are all of them. English is what the pages are written in, and what shows
// where a message is missing.
var languages = []Language{{"en", "English"}, {"fr", "Français"}, {"de", "Deutsch"}}

// Languages are the tags of the languages in which the pages are.
func Languages() []string {
	tags := make([]string, 0, len(languages))
	for _, l := range languages {
		tags = append(tags, l.Tag)
	}
	return tags
}

// messages are texts in a language, by the English text: pages and scripts say what
// they mean, and a translator sees it.
type messages map[string]string

// messagesOf reads the messages of a language; English has none.
func messagesOf(lang string) (messages, error) {
	if lang == "en" {
		return nil, nil
	}
	text, err := files.ReadFile("messages/" + lang + ".json")
	if err != nil {
		return nil, err
	}
	var m messages
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("messages/%s.json: %w", lang, err)
	}
	return m, nil
}

// say is a message of the desk, filled in.
func (m messages) say(of *signin.Message) string { return of.Fill(m.text(of.Text)) }

func (m messages) text(english string) string {
	if text, ok := m[english]; ok {
		return text
	}
	return english
}

var matcher = language.NewMatcher([]language.Tag{language.English, language.French, language.German})

// language is the one that who has chosen, else what the browser prefers.
func (p *Pages) language(r *http.Request, who *signin.Person) string {
	if who != nil && p.pages[who.Language] != nil {
		return who.Language
	}
	_, i := language.MatchStrings(matcher, r.Header.Get("Accept-Language"))
	return languages[i].Tag
}
