package presence

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// AppendJSON appends v as json.Marshal writes it, byte for byte, in a quarter of the
// time: the store is given the view of everybody who changes, and encoding them by
// reflection took a third of the time that SQLite takes. TestEncodingIsThatOfPackageJSON
// finds a field that is missing here.
func (v *View) AppendJSON(b []byte) []byte {
	b = text(append(b, `{"user":`...), string(v.User))
	b = strconv.AppendUint(append(b, `,"version":`...), v.Version, 10)
	b = strconv.AppendUint(append(b, `,"asks":`...), v.Asks, 10)
	b = optional(b, `,"alone":true`, v.Alone)
	b = optional(b, `,"over":true`, v.Over)
	b = phone(b, v.Phone)
	b = append(b, `,"status":`...)
	if v.Status == nil {
		b = append(b, "null"...)
	} else {
		b = v.Status.append(b)
	}
	if v.Under != nil {
		b = v.Under.append(append(b, `,"under":`...))
	}
	if v.Later != nil {
		b = v.Later.append(append(b, `,"later":`...))
	}
	b = nonZero(b, `,"phone_since":`, v.PhoneSince)
	b = nonZero(b, `,"out":`, v.Out)
	if v.Hold != nil {
		b = v.Hold.append(append(b, `,"hold":`...))
	}
	if v.Label != nil {
		b = v.Label.append(append(b, `,"label":`...))
	}
	b = nonZero(b, `,"gone":`, v.Gone)
	b = strconv.AppendInt(append(b, `,"default":`...), int64(v.Default), 10)
	b = append(b, `,"extensions":`...)
	if v.Extensions == nil {
		return append(b, "null}"...)
	}
	b = list(b, v.Extensions, (*Extension).append)
	return append(b, '}')
}

func (st *Status) append(b []byte) []byte {
	t := st.Type
	b = text(append(b, `{"type":{"id":`...), string(t.ID))
	b = text(append(b, `,"name":`...), t.Name)
	b = text(append(b, `,"base":`...), string(t.Base))
	b = text(append(b, `,"color":`...), t.Color)
	if t.Asterisk != nil {
		b = text(append(b, `,"asterisk":{"state":`...), t.Asterisk.State.String())
		b = nonEmpty(b, `,"subtype":`, t.Asterisk.Subtype)
		b = append(b, '}')
	}
	b = text(append(b, `},"message":`...), st.Message)
	b = nonEmpty(b, `,"label":`, st.Label)
	b = moment(append(b, `,"since":`...), st.Since)
	b = nonZero(b, `,"until":`, st.Until)
	b = text(append(b, `,"by":`...), st.By)
	b = optional(b, `,"removed":true`, st.Removed)
	b = optional(b, `,"stale":true`, st.Stale)
	return append(b, '}')
}

func (l *Later) append(b []byte) []byte {
	b = moment(append(b, `{"at":`...), l.At)
	if l.Chosen != nil {
		b = l.Chosen.append(append(b, `,"chosen":`...))
	}
	return append(b, '}')
}

func (h *Hold) append(b []byte) []byte {
	b = text(append(b, `{"type":`...), string(h.Type))
	b = text(append(b, `,"message":`...), h.Message)
	b = moment(append(b, `,"since":`...), h.Since)
	b = nonZero(b, `,"until":`, h.Until)
	b = text(append(b, `,"by":`...), h.By)
	if h.Over != (ExtensionID{}) {
		b = h.Over.append(append(b, `,"over":`...))
	}
	b = nonZero(b, `,"over_since":`, h.OverAt)
	return append(b, '}')
}

func (l *Label) append(b []byte) []byte {
	b = moment(append(b, `{"since":`...), l.Since)
	if l.Of != (ExtensionID{}) {
		b = l.Of.append(append(b, `,"of":`...))
	}
	b = text(append(b, `,"text":`...), l.Text)
	if l.Next != nil {
		b = l.Next.append(append(b, `,"next":`...))
	}
	return append(b, '}')
}

func (x *Extension) append(b []byte) []byte {
	b = x.ID.append(append(b, `{"id":`...))
	b = strconv.AppendBool(append(b, `,"known":`...), x.Known)
	b = x.Shows.append(append(phone(b, x.Phone), `,"shows":`...))
	if len(x.Recent) > 0 {
		b = list(append(b, `,"recent":`...), x.Recent, (*Shown).append)
	}
	b = x.Said.append(append(b, `,"said":`...))
	if x.Wish != nil {
		b = x.Wish.append(append(b, `,"wish":`...))
	}
	if len(x.Asked) > 0 {
		b = list(append(b, `,"asked":`...), x.Asked, (*Ask).append)
	}
	b = moment(append(b, `,"heard":{"at":`...), x.Heard.At)
	b = text(append(b, `,"as":`...), x.Heard.As.String())
	b = append(b, '}')
	if x.DND != nil {
		b = x.DND.append(append(b, `,"dnd":`...))
	}
	b = nonZero(b, `,"away_since":`, x.AwayAt)
	return append(b, '}')
}

func (d *DNDDevice) append(b []byte) []byte {
	b = strconv.AppendBool(append(b, `{"on":`...), d.On)
	b = nonZero(b, `,"at":`, d.At)
	b = optional(b, `,"spoken":true`, d.Spoken)
	if d.Ask != 0 {
		b = strconv.AppendUint(append(b, `,"ask":`...), d.Ask, 10)
	}
	b = nonEmpty(b, `,"of":`, d.Of)
	return append(b, '}')
}

func (s *Said) append(b []byte) []byte {
	b = s.Presence.append(append(b, `{"presence":`...))
	if s.Added != 0 {
		b = strconv.AppendUint(append(b, `,"added":`...), uint64(s.Added), 10)
	}
	b = text(append(b, `,"type":`...), string(s.Type))
	b = nonZero(b, `,"since":`, s.Since)
	b = nonZero(b, `,"until":`, s.Until)
	b = text(append(b, `,"by":`...), s.By)
	if s.Before != nil {
		b = s.Before.append(append(b, `,"before":`...))
	}
	return append(b, '}')
}

func (w *Wish) append(b []byte) []byte {
	b = w.Presence.append(append(b, `{"presence":`...))
	b = text(append(b, `,"kind":`...), string(w.Kind))
	b = moment(append(b, `,"since":`...), w.Since)
	b = strconv.AppendUint(append(b, `,"version":`...), w.Version, 10)
	if w.Ask != 0 {
		b = strconv.AppendUint(append(b, `,"ask":`...), w.Ask, 10)
	}
	b = optional(b, `,"sent":true`, w.Sent)
	b = optional(b, `,"acked":true`, w.Acked)
	if w.Refusals != 0 {
		b = strconv.AppendInt(append(b, `,"refusals":`...), int64(w.Refusals), 10)
	}
	return append(b, '}')
}

func (a *Ask) append(b []byte) []byte {
	b = strconv.AppendUint(append(b, `{"id":`...), a.ID, 10)
	b = a.Presence.append(append(b, `,"presence":`...))
	b = strconv.AppendBool(append(b, `,"acked":`...), a.Acked)
	b = moment(append(b, `,"at":`...), a.At)
	return append(b, '}')
}

func (s *Shown) append(b []byte) []byte {
	b = s.Presence.append(append(b, `{"presence":`...))
	b = moment(append(b, `,"until":`...), s.Until)
	return append(b, '}')
}

func (k Kept) append(b []byte) []byte {
	p := k.Presence()
	return p.append(b)
}

func (p *Presence) append(b []byte) []byte {
	b = text(append(b, `{"state":`...), p.State.String())
	b = text(append(b, `,"subtype":`...), p.Subtype)
	b = text(append(b, `,"message":`...), p.Message)
	return append(b, '}')
}

func (id *ExtensionID) append(b []byte) []byte {
	b = text(append(b, `{"pbx":`...), id.PBX)
	b = text(append(b, `,"extension":`...), id.Number)
	return append(b, '}')
}

func list[T any](b []byte, all []T, each func(*T, []byte) []byte) []byte {
	b = append(b, '[')
	for i := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = each(&all[i], b)
	}
	return append(b, ']')
}

// text appends s in quotes. Anything but plain ASCII is package json's affair.
func text(b []byte, s string) []byte {
	if slices.ContainsFunc([]byte(s), escapes) {
		quoted, _ := json.Marshal(s) // a string has no errors
		return append(b, quoted...)
	}
	return append(append(append(b, '"'), s...), '"')
}

// escapes tells whether a byte may be written as something else; HTML is, too.
func escapes(c byte) bool {
	return c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&'
}

func moment(b []byte, t Time) []byte {
	return append(t.Time().AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
}

func nonZero(b []byte, key string, t Time) []byte {
	if t.IsZero() {
		return b
	}
	return moment(append(b, key...), t)
}

func phone(b []byte, p PhoneState) []byte {
	if p == PhoneUnknown {
		return b
	}
	return text(append(b, `,"phone":`...), p.String())
}

func nonEmpty(b []byte, key, s string) []byte {
	if s == "" {
		return b
	}
	return text(append(b, key...), s)
}

func optional(b []byte, what string, so bool) []byte {
	if !so {
		return b
	}
	return append(b, what...)
}
