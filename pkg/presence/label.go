package presence

// This file keeps labels: names that people give to a status that they choose, such as
// "At the dentist" for Away. A label is of one choice, which the moment of that choice
// names, and stands beside everything that is compared: no presence has it, so that no
// echo, repeat or snapshot can meet it or lose it.

// Label is the label of what was chosen at a moment. It is never changed in place.
type Label struct {
	Since Time        `json:"since"`       // as in Said, or in Hold
	Of    ExtensionID `json:"of,omitzero"` // whose Said; zero: of all that were chosen then
	Text  string      `json:"text"`        // "": none
	Next  *Label      `json:"next,omitempty"`
}

// label is that of what was chosen at since, and said by an extension; "": it has none.
func (v *View) label(of ExtensionID, since Time) string {
	for l := v.Label; l != nil; l = l.Next {
		if l.Since.Equal(since) && (l.Of == of || l.Of == ExtensionID{}) {
			return l.Text
		}
	}
	return ""
}

// setLabel gives what was chosen at since a label, which no other choice was.
func (v *View) setLabel(since Time, text string) {
	if text != "" {
		v.Label = &Label{Since: since, Text: text, Next: v.Label}
	}
}

// relabel takes the label of what x says, or comes back to, along to another moment, at
// which others may say something else.
func (v *View) relabel(x *Extension, from, to Time) {
	if text := v.label(x.ID, from); text != v.label(x.ID, to) {
		v.Label = &Label{Since: to, Of: x.ID, Text: text, Next: v.Label}
	}
}

// forgetLabels drops those of what nobody says any more, nor comes back to.
func (s *step) forgetLabels() {
	if kept := s.v.kept(s.v.Label); kept != s.v.Label {
		s.v.Label, s.fx.Durable = kept, true
	}
}

// kept is l without what has to go; l itself where nothing has.
func (v *View) kept(l *Label) *Label {
	if l == nil {
		return nil
	}
	next := v.kept(l.Next)
	switch {
	case !v.saidAt(l.Of, l.Since):
		return next
	case next == l.Next:
		return l
	}
	c := *l
	c.Next = next
	return &c
}

// saidAt tells whether something that was chosen or said at since is there.
func (v *View) saidAt(of ExtensionID, since Time) bool {
	if v.Hold != nil && v.Hold.Since.Equal(since) {
		return true
	}
	for i := range v.Extensions {
		if of != (ExtensionID{}) && of != v.Extensions[i].ID {
			continue
		}
		for s := &v.Extensions[i].Said; s != nil; s = s.Before {
			if s.Since.Equal(since) {
				return true
			}
		}
	}
	return false
}
