package bridge

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

func TestALabelIsKeptWithItsChoice(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		list := statuses()
		list[1].Labels = true // away
		m := mappingOf(list, oneUser...)
		w.reload(m)
		u, err := w.b.Choose(t.Context(), "alice", Choice{Type: "away", Label: " At the\ndentist ", By: "panel alice"})
		if err != nil || u.Status.Label != "At the dentist" || u.Status.Name != "Away" || u.Status.Message != "" {
			t.Fatalf("chosen %+v, %v", u.Status, err)
		}
		synctest.Wait()
		if p := w.user("alice").Extensions[0].Presence; p == nil || p.Message != "At the dentist" {
			t.Errorf("the phone shows %+v", p)
		}
		w.restart()
		w.reload(m)
		if s := w.user("alice").Status; s.Label != "At the dentist" || s.Message != "" {
			t.Errorf("after a restart %+v", s)
		}
		lines, err := w.b.History(t.Context(), store.Query{User: "alice"})
		if err != nil || lines[0].Label != "At the dentist" || lines[0].Name != "Away" {
			t.Errorf("history %+v, %v", lines, err)
		}
		w.press("1001", dnd)
		if s := w.user("alice").Status; s.Label != "" {
			t.Errorf("a key is called %+v", s)
		}
	})
}

func TestALabelThatCannotBeIsRefused(t *testing.T) {
	inWorld(t, oneUser, func(t *testing.T, w *world) {
		for _, tc := range []struct {
			id    presence.TypeID
			label string
			want  string
		}{
			{"away", "At the dentist", "takes no label"},
			{"training", strings.Repeat("ü", maxLabel+1), "more than 64 characters"},
		} {
			_, err := w.b.Choose(t.Context(), "alice", Choice{Type: tc.id, Label: tc.label})
			if !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), tc.want) || w.user("alice").Status != nil {
				t.Errorf("%s: %v", tc.id, err)
			}
		}
		u, err := w.b.Choose(t.Context(), "alice", Choice{Type: "training", Label: strings.Repeat("ü", maxLabel)})
		if err != nil || len(u.Status.Label) != 2*maxLabel {
			t.Errorf("%+v, %v", u.Status, err)
		}
		if _, err := w.b.Choose(t.Context(), "alice", Choice{Type: "away", Label: " \t"}); err != nil {
			t.Errorf("a label of nothing: %v", err)
		}
	})
}
