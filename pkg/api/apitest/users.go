package apitest

import (
	"time"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// Now is when everything in this package happens.
var Now = time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return Now.Add(-d) }

func past(d time.Duration) presence.Time { return presence.At(ago(d)) }

func ptr[T any](v T) *T { return &v }

// Types are the status types.
func Types() []presence.StatusType {
	return []presence.StatusType{
		{ID: "available", Name: "Available", Base: presence.Connected, Color: "#2e7d32", Asterisk: &presence.Image{State: presence.Available}, System: true},
		{ID: "lunch", Name: "Lunch", Base: presence.Absent, Color: "#ef6c00", Asterisk: &presence.Image{State: presence.Away, Subtype: "lunch"}, Lasts: time.Hour, Tagged: &presence.Labels{Tags: []string{"break"}}},
		{ID: "dnd", Name: "Do not disturb", Base: presence.Busy, Color: "#b71c1c", Asterisk: &presence.Image{State: presence.DND}},
		{ID: "training", Name: "In training", Base: presence.Busy, Color: "#6a1b9a", Labels: true},
		{ID: "on_call", Name: "On a call", Base: presence.InCall, Color: "#ad1457"},
	}
}

func status(i int, message string, since time.Time, by string) *bridge.UserStatus {
	t := Types()[i]
	return &bridge.UserStatus{Type: t.ID, Name: t.Name, Base: t.Base, Color: t.Color, Message: message, Since: since, By: by}
}

// Users are alice (with a message and a second phone), bob (whose phones overrule
// a choice), carol (of whom nothing was said), a user with hostile text, and dave,
// whose call shows over his status.
func Users() []bridge.User {
	alice := bridge.User{ID: "alice", Name: "Alice Martin", Tags: []string{"vip"}, Groups: []string{"sales", "board"}, Version: 17, Saved: true,
		Status: status(1, "Back at 2", ago(3*time.Minute), "extension main/1001"),
		Extensions: []bridge.UserExtension{
			{PBX: "main", Extension: "1001", Default: true, Reachable: true, Since: ptr(ago(3 * time.Minute)),
				Presence: &presence.Presence{State: presence.Away, Subtype: "lunch", Message: "Back at 2"}},
			{PBX: "main", Extension: "1002", Reachable: true, Since: ptr(ago(time.Hour)), Pending: true,
				Presence: &presence.Presence{State: presence.Available}},
		},
		Last: &bridge.LastChange{At: past(3 * time.Minute), By: "extension main/1001", Rule: presence.WonLatest},
	}
	alice.Status.Until = ptr(Now.Add(90 * time.Minute))
	bob := bridge.User{ID: "bob", Name: "Bob Lee", Version: 4, Saved: true,
		Status: status(2, "", ago(26*time.Hour), "extension branch/2003"),
		Extensions: []bridge.UserExtension{
			{PBX: "main", Extension: "1003", Reachable: true, Since: ptr(ago(time.Hour)), Presence: &presence.Presence{State: presence.Available}},
			{PBX: "branch", Extension: "2003", Default: true, Since: ptr(ago(26 * time.Hour)), Presence: &presence.Presence{State: presence.DND}},
		},
	}
	carol := bridge.User{ID: "carol", Name: "Carol 田中", Version: 1,
		Extensions: []bridge.UserExtension{{PBX: "main", Extension: "1004", Default: true, Reachable: true}}}
	evil := bridge.User{ID: "eve/../x", Name: "Eve", Version: 2, Saved: true,
		Status: status(0, "\x1b[2J\r\n<b>\u202e", ago(10*time.Second), "extension main/1005"),
		Extensions: []bridge.UserExtension{{PBX: "main", Extension: "1005", Default: true, Reachable: true, Since: ptr(ago(10 * time.Second)),
			Presence: &presence.Presence{State: presence.Available, Message: "\x1b[2J\r\n<b>\u202e"}}}}
	dave := bridge.User{ID: "dave", Name: "Dave", Version: 8, Phone: presence.PhoneInCall, Saved: true,
		Status: status(4, "", ago(2*time.Minute), "extension main/1006"), Under: status(0, "", ago(time.Hour), "panel dave"),
		Extensions: []bridge.UserExtension{{PBX: "main", Extension: "1006", Default: true, Reachable: true, Since: ptr(ago(time.Hour)),
			Presence: &presence.Presence{State: presence.Available}}},
		Last: &bridge.LastChange{At: past(2 * time.Minute), By: "extension main/1006", Rule: presence.PhoneShows},
	}
	return []bridge.User{alice, bob, carol, evil, dave}
}

// PBXs are one that is well and one that is away.
func PBXs() []bridge.PBX {
	return []bridge.PBX{
		{Health: connector.Health{PBX: "main", Connected: true, Ready: true, Transport: "ami", Version: "22.5.2", Malformed: 1, Sessions: 3, Snapshot: 40 * time.Millisecond}, Extensions: 5, Pending: 1},
		{Health: connector.Health{PBX: "branch", Reason: "connection refused by 192.0.2.7:5038: start Asterisk there", Sessions: 1,
			Told: []message.Message{{Text: "connection refused by 192.0.2.7:5038: start Asterisk there", Key: message.As("pbx.unreachable", "error", "connection refused by 192.0.2.7:5038")}}}, Extensions: 1},
	}
}

// Figures are those of a bridge that has worked for a while.
func Figures() bridge.Figures {
	timing := func(took time.Duration) bridge.Timing {
		t := bridge.Timing{Count: 12, Sum: 12 * took, P50: took, P99: 4 * took, Last: 2 * took}
		t.Counts[4], t.Counts[6] = 11, 1
		return t
	}
	return bridge.Figures{
		Decided: bridge.Decided{presence.Echo: 4, presence.Repeat: 3, presence.Accepted: 5},
		Changes: 9, HeldBack: 7, Drift: 1, Inbox: 2,
		Arrived: timing(600 * time.Microsecond), Lag: timing(800 * time.Microsecond),
		Store: bridge.StoreFigures{Commit: timing(500 * time.Microsecond), Failed: 1, Waiting: 3},
		PBXs: []bridge.PBXFigures{
			{PBX: "main", Taken: 4, Refused: 2, Unsent: 1, Outbox: 1, Canary: ago(20 * time.Second)},
			{PBX: "branch"},
		},
	}
}

// Drift is of the one extension that waits.
func Drift() bridge.Drift {
	since := presence.At(ago(90 * time.Second))
	return bridge.Drift{Count: 1, Oldest: since, Items: []bridge.Drifting{{
		User: "alice", PBX: "main", Extension: "1002", Presence: presence.Presence{State: presence.Away, Subtype: "lunch", Message: "Back at 2"},
		Since: since, Reachable: true, Sent: true, Refusals: 2,
	}}}
}

// History has three entries of alice and one of a user that is gone.
func History() []store.Entry {
	return []store.Entry{
		{ID: 9, User: "alice", At: ago(3 * time.Minute), Type: "lunch", Name: "Lunch", Base: presence.Absent, Message: "Back at 2", Since: ago(3 * time.Minute), Until: Now.Add(90 * time.Minute), By: "extension main/1001", Rule: presence.WonLatest, Version: 17},
		{ID: 7, User: "alice", At: ago(time.Hour), Type: "available", Name: "Available", Base: presence.Connected, Since: ago(time.Hour), By: "cli", Rule: presence.WonLatest, Version: 15},
		{ID: 5, User: "gone", At: ago(2 * time.Hour), Type: "dnd", Name: "Do not disturb", Base: presence.Busy, Since: ago(2 * time.Hour), By: "panel root", Rule: presence.WonDefault, Version: 2},
		{ID: 2, User: "alice", At: ago(26 * time.Hour), By: "reload", Rule: presence.WonNothing, Version: 9},
	}
}

// Explanations are those of Users.
func Explanations() map[presence.UserID]presence.Explanation {
	types := Types()
	main := func(number string) presence.ExtensionID { return presence.ExtensionID{PBX: "main", Number: number} }
	lunch := presence.Presence{State: presence.Away, Subtype: "lunch", Message: "Back at 2"}
	free, dnd := presence.Presence{State: presence.Available}, presence.Presence{State: presence.DND}
	return map[presence.UserID]presence.Explanation{
		"alice": {User: "alice", Sync: true, Incoming: presence.Latest, Outgoing: presence.ToAll, Rule: presence.WonLatest,
			Status: &presence.Status{Type: &types[1], Message: "Back at 2", Since: past(3 * time.Minute), Until: past(-90 * time.Minute), By: "extension main/1001"},
			Extensions: []presence.Reasoning{
				{Extension: main("1001"), Default: true, Reachable: true, Shows: &lunch, Type: &types[1], Message: "Back at 2", Since: past(3 * time.Minute), By: "extension main/1001",
					Won: true, Rule: presence.WonLatest, Heard: presence.Report{Presence: lunch, At: past(time.Minute), As: presence.Repeat.String()}},
				{Extension: main("1002"), Reachable: true, Shows: &free, Type: &types[0], Since: past(time.Hour), By: "cli", Rule: presence.LostEarlier,
					Heard: presence.Report{Presence: free, At: past(time.Hour), As: presence.Echo.String()},
					Wish:  &presence.WishInfo{Presence: lunch, Since: past(2 * time.Minute), Sent: true, Refusals: 2}},
			}},
		"bob": {User: "bob", Sync: true, Incoming: presence.Priority, Outgoing: presence.ToDefault, Rule: presence.WonPriority,
			Own:    &presence.OwnPart{Default: &presence.ExtensionID{PBX: "branch", Number: "2003"}},
			Status: &presence.Status{Type: &types[2], Since: past(26 * time.Hour), By: "extension branch/2003"},
			Extensions: []presence.Reasoning{
				{Extension: main("1003"), Reachable: true, Shows: &free, Type: &types[0], Since: past(time.Hour), By: "cli", Rule: presence.LostRank},
				{Extension: presence.ExtensionID{PBX: "branch", Number: "2003"}, Default: true, AwaySince: past(5 * time.Minute), Shows: &dnd, Type: &types[2],
					Since: past(26 * time.Hour), By: "extension branch/2003", Won: true, Rule: presence.WonPriority},
			}},
		"carol": {User: "carol", Incoming: presence.Default, Outgoing: presence.ToDefault, Rule: presence.WonNothing,
			Own:        &presence.OwnPart{Default: &presence.ExtensionID{PBX: "main", Number: "1009"}, DefaultIgnored: true, Sync: new(bool)},
			Phone:      presence.PhonePart{State: presence.PhoneOffline, Since: past(time.Hour), Rule: presence.PhoneLeftAlone},
			Absent:     &presence.AbsentPart{Since: past(2 * time.Hour), Rule: presence.PhoneLeftAlone},
			Extensions: []presence.Reasoning{{Extension: main("1004"), Default: true, Reachable: true, Rule: presence.LostSilent}}},
		"dave": {User: "dave", Sync: true, Incoming: presence.Latest, Outgoing: presence.ToAll, Rule: presence.WonLatest,
			Status: &presence.Status{Type: &types[4], Since: past(2 * time.Minute), By: "extension main/1006"},
			Under:  &presence.Status{Type: &types[0], Since: past(time.Hour), By: "panel dave"},
			Phone:  presence.PhonePart{State: presence.PhoneInCall, Since: past(2 * time.Minute), Shows: true, Rule: presence.PhoneShows},
			Extensions: []presence.Reasoning{{Extension: main("1006"), Default: true, Reachable: true, Shows: &free, Type: &types[0], Since: past(time.Hour), By: "panel dave",
				Won: true, Rule: presence.WonLatest, Heard: presence.Report{Presence: free, At: past(time.Hour), As: presence.Echo.String()}, Phone: presence.PhoneInCall}}},
		"eve/../x": {User: "eve/../x", Sync: true, Incoming: presence.Latest, Outgoing: presence.ToAll, Rule: presence.WonNothing},
	}
}
