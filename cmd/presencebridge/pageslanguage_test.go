package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// speaks gives the account of a tab another language.
func (p *tab) speaks(lang string) {
	p.t.Helper()
	eval[bool](p, fmt.Sprintf(`fetch("/api/v1/me/preferences", {method: "PATCH", headers: {"Content-Type": "application/json"}, body: JSON.stringify({set: {language: %q}})}).then((a) => a.ok)`, lang))
}

// reads is an expression that is true where an element says a text.
func reads(selector, text string) string {
	return fmt.Sprintf(`document.querySelector(%s)?.textContent.includes(%s)`, quoteJS(selector), quoteJS(text))
}

// What the bridge refuses, warns of and remembers is told in the reader's language.
func TestTheBridgeSpeaksTheReadersLanguage(t *testing.T) {
	browserPath(t)
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	h := startHouse(t, strings.Replace(threeMethods, "incoming: latest, outgoing: all", "incoming: priority, outgoing: all", 1), pbx)
	root := h.enter("root", "--role", "administrator", "--user", "alice")
	root.excuse("422")
	for _, tc := range []struct {
		lang, surprise, stale, until, user, over, off, made, health string
	}{
		{
			"de", "mit incoming: priority und outgoing: all steht ein im Panel gewählter Status auf jedem Telefon", `sync.stale_after: "soon" ist keine Dauer`,
			`sync.until_text: "back" sagt nicht, wo die Uhrzeit steht: setzen Sie dort einmal {time}`, "Die Zuordnung hat keine Person nobody", "Die Rückkehrzeit ist schon vorbei",
			"Der Abgleich ist für bob aus, also erfahren es die Telefone nicht.", "root im Panel: Statustyp angelegt", "prüfen Sie, ob Asterisk läuft",
		},
		{
			"fr", "avec incoming: priority et outgoing: all un statut choisi dans le panneau est sur chaque téléphone", `sync.stale_after: "soon" n’est pas une durée`,
			`sync.until_text: "back" ne dit pas où se met l’heure : mettez-y {time} une fois`, "La configuration n’a pas de personne nobody", "L’heure de retour est déjà passée",
			"La synchronisation est désactivée pour bob", "root dans le panneau: type de statut créé", "vérifiez qu’Asterisk tourne",
		},
	} {
		root.speaks(tc.lang)
		root.visit("/sync")
		root.sees("what surprises", reads("#warnings", tc.surprise))
		root.do(chromedp.SendKeys(chromedp.CSS("[name=stale_after]"), "soon"), chromedp.SendKeys(chromedp.CSS("[name=until_text]"), "back"), chromedp.Click(chromedp.CSS("#save")))
		root.sees("what is wrong with the first", reads("#trouble", tc.stale))
		root.sees("what is wrong with the second", reads("#trouble", tc.until))
		root.sees("the fields marked", `document.querySelectorAll("#sync [aria-invalid=true]").length === 2 && document.querySelector("[name=until_text]").value === "back"`)
		root.do(chromedp.Click(chromedp.CSS("#discard")))
		root.sees("no field marked", `document.querySelectorAll("#sync [aria-invalid=true]").length === 0 && document.querySelector("[name=until_text]").value === ""`)
		root.do(chromedp.Click(chromedp.CSS("#new")), chromedp.SendKeys(chromedp.CSS("#edit [name=name]"), "Type "+tc.lang), chromedp.Click(chromedp.CSS("#edit [type=submit]")), chromedp.Click(chromedp.CSS("#save")))
		root.sees("that it is saved", `!document.getElementById("done").hidden`)
		root.do(chromedp.Click(chromedp.CSS("#types tbody tr:last-child button:last-child")))
		root.sees("who made it", reads("#past li", tc.made))

		root.visit("/accounts")
		root.sees("the accounts", `document.querySelector("#accounts tbody tr")`)
		root.do(chromedp.SendKeys(chromedp.CSS("#invite [name=user]"), "nobody"), chromedp.Click(chromedp.CSS("#invite [type=submit]")))
		root.sees("that there is no such user", reads("#trouble", tc.user))

		root.visit("/")
		root.sees("the board", `document.getElementById("live").dataset.state === "on"`)
		root.do(chromedp.Click(chromedp.CSS("#mine")), chromedp.WaitVisible(chromedp.CSS("#choose")), chromedp.Click(chromedp.CSS("#choose [value=lunch]")),
			chromedp.SetValue(chromedp.CSS("#choose [name=until]"), "at"))
		eval[bool](root, `document.querySelector("#choose [name=at]").value = "2020-01-01T10:00"; true`)
		root.do(chromedp.Click(chromedp.CSS("#choose [type=submit]")))
		root.sees("that the time is over", reads("#choose [role=alert]", tc.over))
		root.do(chromedp.Click(chromedp.CSS("#choose [value=cancel]")))

		bob := h.enter("bob-"+tc.lang, "--user", "bob")
		bob.speaks(tc.lang)
		if code, text := h.put("/api/v1/users/bob/settings", map[string]any{"sync": false}); code != http.StatusOK {
			t.Fatalf("%d %s", code, text)
		}
		bob.visit("/me")
		bob.sees("that the page is live", `document.getElementById("live").dataset.state === "on"`) // before, a click may find a button that does nothing yet
		bob.do(chromedp.Click(chromedp.CSS("#mine")), chromedp.WaitVisible(chromedp.CSS("#choose")), chromedp.Click(chromedp.CSS("#choose [value=lunch]")), chromedp.Click(chromedp.CSS("#choose [type=submit]")))
		bob.sees("why phones do not show it", reads("#notice", tc.off))
		bob.close()

		pbx.Stop()
		root.visit("/health")
		root.sees("what is wrong with the PBX", reads("#reasons li", tc.health)+"&&"+reads("#pbxs tbody", tc.health))
		pbx.Start()
		h.ready()
	}
	if lang := root.lang(); lang != "fr" {
		t.Errorf("it ends in %q", lang)
	}
}

// What leads a sentence stands before a colon, as each language writes it.
func TestSentencesOfOneReasonAreJoinedInTheReadersLanguage(t *testing.T) {
	browserPath(t)
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{ARI: true})
	h := startHouseOver(t, "both", threeMethods, pbx)
	root := h.enter("root", "--role", "administrator", "--user", "alice")
	pbx.Stop()
	var ready struct {
		Reasons []string `json:"reasons"`
	}
	pbxtest.Eventually(t, patience, "both transports are missed", func() bool {
		h.get("/readyz", &ready)
		reason := strings.Join(ready.Reasons, "")
		return strings.Contains(reason, "; over ARI: ") && strings.Count(reason, "connection refused") == 2
	})
	root.visit("/health")
	root.sees("what the bridge says, word for word", fmt.Sprintf(`document.querySelector("#reasons li")?.textContent === %s`, quoteJS(ready.Reasons[0])))
	for lang, joined := range map[string][]string{"de": {"PBX main: ", "; über ARI: "}, "fr": {"PBX main : ", " ; par ARI : "}} {
		root.speaks(lang)
		root.visit("/health")
		for _, text := range joined {
			root.sees("how it is joined in "+lang, reads("#reasons li", text))
		}
		root.sees("the same beside the PBX", reads("#pbxs tbody", joined[1]))
	}
}

func (p *tab) lang() string { p.t.Helper(); return eval[string](p, `document.documentElement.lang`) }

func TestEverySettingOfTheSynchronisationIsOnThePage(t *testing.T) {
	inTheBrowser(t, byPriority, func(h *house, p phone) {
		root := h.enter("root", "--role", "administrator", "--user", "alice")
		root.visit("/sync")
		root.sees("the settings", `document.querySelectorAll("#priority li").length > 3`)
		root.do(chromedp.SendKeys(chromedp.CSS("[name=stale_after]"), "20m"), chromedp.SendKeys(chromedp.CSS("[name=until_text]"), "until {time}"))
		root.sees("what is not saved", `document.querySelector("#pending p").textContent === "2 changes are not saved"`)
		root.do(chromedp.Click(chromedp.CSS("#preview")))
		root.sees("whose status would change", reads("#previewed p", "Nobody"))
		root.do(chromedp.Click(chromedp.CSS("#previewed button")), chromedp.Click(chromedp.CSS("#save")))
		root.sees("that it is saved", `document.getElementById("done").textContent === "Saved, and in force."`)
		text, err := os.ReadFile(filepath.Join(h.dir, "mapping.yaml"))
		for _, want := range []string{"stale_after: 20m", `until_text: "until {time}"`, "# the order of importance"} {
			if err != nil || !strings.Contains(string(text), want) {
				h.running.t.Errorf("%s is missing in\n%s", want, text)
			}
		}
		root.visit("/sync")
		root.sees("what was saved", `document.querySelector("[name=stale_after]").value === "20m" && document.querySelector("[name=until_text]").value === "until {time}"`)
		root.do(chromedp.Click(chromedp.CSS("#mine")), chromedp.WaitVisible(chromedp.CSS("#choose")), chromedp.Click(chromedp.CSS("#choose [value=lunch]")),
			chromedp.SetValue(chromedp.CSS("#choose [name=until]"), "60"), chromedp.Click(chromedp.CSS("#choose [type=submit]")))
		pbxtest.Eventually(h.running.t, patience, "the phone shows until when", func() bool {
			c, err := p.Shows(at("1001"))
			return err == nil && c.Subtype == "lunch" && strings.HasPrefix(c.Message, "until ")
		})
		eval[bool](root, `(() => { const f = document.querySelector("[name=stale_after]"); f.value = ""; f.dispatchEvent(new Event("input", {bubbles: true})); return true; })()`)
		root.do(chromedp.Click(chromedp.CSS("#save")))
		root.sees("that it is saved", `document.getElementById("pending").hidden`)
		if text, err = os.ReadFile(filepath.Join(h.dir, "mapping.yaml")); err != nil || strings.Contains(string(text), "20m") {
			h.running.t.Errorf("it still says 20m: %v\n%s", err, text)
		}
	})
}
