package presence

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

var t0 = At(time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC))

// setup is a mapping for the simulation, drawn from a seed.
type setup struct {
	exts     []ExtensionID
	def      int
	incoming Method
	outgoing Outgoing
	count    bool
	sync     bool
	dropped  []TypeID // not in the mapping now
	lasts    map[TypeID]time.Duration
	text     string // of return times
	offline  OfflineWhen
}

func newSetup(r *rand.Rand) setup {
	s := setup{sync: true, incoming: pickOne(r, []Method{Default, Latest, Priority}), outgoing: pickOne(r, []Outgoing{ToDefault, ToAll}), count: r.IntN(3) == 0}
	for n := 1 + r.IntN(4); n > 0; n-- {
		s.add(r)
	}
	s.def = r.IntN(len(s.exts))
	if r.IntN(2) == 0 {
		s.dropped = []TypeID{"offline"} // so that mostly not_set is unmapped
	}
	s.offline = WhenDevices
	return s
}

func (s *setup) add(r *rand.Rand) {
	id := ExtensionID{pickOne(r, []string{"main", "branch"}), pickOne(r, []string{"1", "2", "3", "4"})}
	if !slices.Contains(s.exts, id) {
		s.exts = append(s.exts, id)
	}
}

// change is what an administrator does to the file.
func (s *setup) change(r *rand.Rand) {
	switch r.IntN(7) {
	case 0:
		s.incoming = pickOne(r, []Method{Default, Latest, Priority})
	case 1:
		s.outgoing = pickOne(r, []Outgoing{ToDefault, ToAll})
	case 2:
		s.count = !s.count
	case 3:
		s.sync = !s.sync
	case 4:
		s.add(r)
	case 5:
		if len(s.exts) > 1 {
			i := r.IntN(len(s.exts))
			s.exts = slices.Delete(slices.Clone(s.exts), i, i+1)
		}
	case 6:
		s.dropped = []TypeID{pickOne(r, []TypeID{"lunch", "meeting", "xa", "offline", "nothing"})}
	}
	s.def = r.IntN(len(s.exts))
}

// end says anew which types end by themselves.
func (s *setup) end(r *rand.Rand) {
	s.lasts, s.text = nil, ""
	if r.IntN(2) == 0 {
		s.lasts = map[TypeID]time.Duration{"lunch": 20 * time.Second, "dnd": 50 * time.Second, "training": 8 * time.Second, "available": 3 * time.Second}
		delete(s.lasts, pickOne(r, []TypeID{"lunch", "dnd", "training", "available", "available"}))
	}
	if r.IntN(3) > 0 {
		s.text = "until {time}"
	}
}

// leave says anew what makes the user offline.
func (s *setup) leave(r *rand.Rand) {
	s.offline = pickOne(r, []OfflineWhen{WhenDevices, WhenSignedOut, WhenBoth, WhenBoth, WhenNever})
}

func (s *setup) String() string {
	return fmt.Sprintf("%v default=%d in=%s out=%s count=%v sync=%v dropped=%v lasts=%v text=%q offline=%s",
		s.exts, s.def, s.incoming, s.outgoing, s.count, s.sync, s.dropped, s.lasts, s.text, s.offline)
}

func (s *setup) rules() *Rules {
	var list, removed []StatusType
	for _, t := range allTypes {
		t.Lasts = s.lasts[t.ID]
		if slices.Contains(s.dropped, t.ID) {
			removed = append(removed, t)
			continue
		}
		list = append(list, t)
	}
	types, phones := NewTypes(list, removed), busyPhones
	phones.OfflineWhen = s.offline
	return &Rules{
		Policy: &Policy{
			Sync: s.sync, Incoming: s.incoming, Outgoing: s.outgoing, CountRepeats: s.count, Types: types,
			Ranks: NewRanks(types, []TypeID{"dnd", "meeting", "lunch", "away", "available"}), Phones: &phones,
			UntilText: s.text, Zone: tokyo,
		},
		Extensions: slices.Clone(s.exts), Default: s.def,
	}
}

var tokyo = time.FixedZone("JST", 9*3600) // where t0 is 19:00

// busyPhones uses types that may be said, chosen and removed as well.
var busyPhones = Phones{
	InCall:  PhoneRule{Show: "training", Over: []Base{Connected}},
	Ringing: PhoneRule{Show: "meeting", Over: []Base{Connected, Absent}, After: 3 * time.Second, TTL: 20 * time.Second},
	Offline: PhoneRule{Show: "xa", Over: []Base{Connected, Absent, Busy}, TTL: time.Hour},
}

// allTypes is the sample mapping and what makes it hard: Lunch and Away look the
// same, Meeting is a special kind of xa, Training is not mapped, chat means nothing.
var allTypes = []StatusType{
	{ID: "available", Name: "Available", Base: Connected, Asterisk: &Image{State: Available}},
	{ID: "away", Name: "Away", Base: Absent, Asterisk: &Image{State: Away}},
	{ID: "lunch", Name: "Lunch", Base: Absent, Asterisk: &Image{State: Away}},
	{ID: "meeting", Name: "Meeting", Base: Busy, Asterisk: &Image{State: XA, Subtype: "meeting"}},
	{ID: "xa", Name: "Extended", Base: Absent, Asterisk: &Image{State: XA}},
	{ID: "dnd", Name: "Do not disturb", Base: Busy, Asterisk: &Image{State: DND}},
	{ID: "offline", Name: "Offline", Base: Offline, Asterisk: &Image{State: NotSet}},
	{ID: "training", Name: "In training", Base: Busy},
}

// presence is what somebody sets at a phone.
func (s *setup) presence(r *rand.Rand) Presence {
	p := pickOne(r, []Presence{
		{}, {State: Available}, {State: Available}, {State: Away}, {State: Away}, {State: DND}, {State: DND},
		{State: XA, Subtype: "meeting"}, {State: XA, Subtype: "other"}, {State: XA}, {State: Chat},
	})
	if r.IntN(8) == 0 {
		p.Message = "x"
	}
	return p
}
