package presence

import (
	"slices"
	"testing"
)

func TestOwnSettingsWinOverTheMapping(t *testing.T) {
	first, second, foreign := ExtensionID{"main", "1001"}, ExtensionID{"main", "1002"}, ExtensionID{"main", "1003"}
	on, off := true, false
	for _, tc := range []struct {
		name           string
		own            Own
		sync, all      bool // of the mapping: the user's, and of everybody
		wantDefault    int
		wantSync, same bool
	}{
		{"nothing is set", Own{}, true, true, 0, true, true},
		{"a default extension", Own{Default: second}, true, true, 1, true, false},
		{"the mapping's default extension", Own{Default: first}, true, true, 0, true, true},
		{"an extension that is not the user's is ignored", Own{Default: foreign}, true, true, 0, true, true},
		{"switched off", Own{Sync: &off}, true, true, 0, false, false},
		{"switched on", Own{Sync: &on}, false, true, 0, true, false},
		{"switched off, which it is", Own{Sync: &off}, false, true, 0, false, true},
		{"nobody switches on what is off for everybody", Own{Sync: &on}, false, false, 0, false, true},
		{"both", Own{Default: second, Sync: &off}, true, true, 1, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &Rules{Policy: &Policy{Sync: tc.sync, Off: !tc.all}, Extensions: []ExtensionID{first, second}}
			before := *r.Policy
			got := tc.own.Apply(r)
			if got.Default != tc.wantDefault || got.Sync != tc.wantSync || (got == r) != tc.same {
				t.Errorf("default %d, sync %v, the mapping's rules: %v", got.Default, got.Sync, got == r)
			}
			if r.Default != 0 || r.Sync != before.Sync {
				t.Error("the mapping's rules were changed")
			}
		})
	}
}

func TestOwnSettingsAreTold(t *testing.T) {
	on, off, again := true, false, true
	x := ExtensionID{"main", "1002"}
	for _, tc := range []struct {
		from, to Own
		want     []Rule
	}{
		{Own{}, Own{}, nil},
		{Own{Sync: &on}, Own{Sync: &again}, nil},
		{Own{}, Own{Default: x, Sync: &off}, []Rule{OwnDefault, OwnSyncOff}},
		{Own{Default: x, Sync: &off}, Own{}, []Rule{OwnNoDefault, OwnSyncMapped}},
		{Own{Sync: &off}, Own{Sync: &on}, []Rule{OwnSyncOn}},
	} {
		if got := tc.to.Differs(tc.from); !slices.Equal(got, tc.want) {
			t.Errorf("%+v after %+v: %q, want %q", tc.to, tc.from, got, tc.want)
		}
	}
}

func TestWhatIsIgnoredOfOwnSettingsIsExplained(t *testing.T) {
	r := &Rules{Policy: &Policy{Off: true}, Extensions: []ExtensionID{{"main", "1001"}}}
	if e := (Own{}).Explain(r); e != nil {
		t.Errorf("of nothing: %+v", e)
	}
	on := true
	if e := (Own{Default: ExtensionID{"main", "1009"}, Sync: &on}).Explain(r); !e.DefaultIgnored || !e.SyncIgnored || e.Default.Number != "1009" {
		t.Errorf("%+v", e)
	}
	if e := (Own{Default: r.Extensions[0]}).Explain(r); e.DefaultIgnored || e.SyncIgnored || e.Sync != nil {
		t.Errorf("%+v", e)
	}
}
