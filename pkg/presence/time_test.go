package presence

import (
	"encoding/json"
	"testing"
	"time"
)

func TestEveryTimeCanBeReadBack(t *testing.T) {
	far := time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -23*3600)) // the year 10000 in UTC
	for _, std := range []time.Time{far, far.AddDate(80_000, 0, 0), {}, time.Unix(-1<<40, 0), time.Date(-44, 3, 15, 0, 0, 0, 0, time.UTC)} {
		at := At(std)
		text, err := at.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back Time
		if err := back.UnmarshalText(text); err != nil || back != at {
			t.Errorf("%v became %s and that %v, %v", std, text, back, err)
		}
		if _, err := json.Marshal(at.Time()); err != nil {
			t.Error(err)
		}
	}
}

func TestATimeIsWrittenAndReadAsPackageTimeDoes(t *testing.T) {
	std := time.Date(2026, 11, 22, 10, 0, 0, 120_000_999, time.FixedZone("elsewhere", 3600))
	for _, tc := range []struct {
		name string
		std  time.Time
	}{
		{"never", time.Time{}},
		{"whole seconds", std.Truncate(time.Second)},
		{"microseconds", std.Truncate(time.Microsecond)},
		{"less than microseconds", std},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want, _ := json.Marshal(tc.std.UTC().Truncate(time.Microsecond))
			if got, err := json.Marshal(At(tc.std)); err != nil || string(got) != string(want) {
				t.Errorf("wrote %s, %v, want %s", got, err, want)
			}
			full, _ := json.Marshal(tc.std)
			var back Time
			if err := json.Unmarshal(full, &back); err != nil || back != At(tc.std) {
				t.Errorf("read %s as %v, %v", full, back, err)
			}
			if !back.Time().Equal(tc.std.Truncate(time.Microsecond)) || back.IsZero() != tc.std.IsZero() {
				t.Errorf("%v became %v", tc.std, back.Time())
			}
		})
	}
	if err := json.Unmarshal([]byte(`"yesterday"`), new(Time)); err == nil {
		t.Error("yesterday was read as a time")
	}
}
