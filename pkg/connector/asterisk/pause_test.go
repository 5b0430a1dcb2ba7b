package asterisk

import (
	"testing"
	"time"
)

func TestThePollIsStretchedSoThatThePBXSpendsATwentiethOfACore(t *testing.T) {
	for _, tc := range []struct {
		n, all int
		want   time.Duration
	}{
		{0, 0, time.Second},
		{1, 1, time.Second},
		{200, 200, time.Second},
		{200, 2000, 100 * time.Millisecond},
		{1, 201, time.Second / 201},
		{200, 3000, 4 * time.Second / 15},
		{200, 100_000, 4 * time.Second / 15},
	} {
		if got := pause(tc.n, tc.all, time.Second).Round(time.Microsecond); got != tc.want.Round(time.Microsecond) {
			t.Errorf("behind %d of %d: %s, want %s", tc.n, tc.all, got, tc.want)
		}
	}
}
