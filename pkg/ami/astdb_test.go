package ami

import "testing"

func TestARowOfTheAstDBIsReadByItsPlainName(t *testing.T) {
	if got := must(t)(DBGet("DND", "1001")); got.Name() != "DBGet" || got.body != "Family: DND\r\nKey: 1001\r\n" {
		t.Errorf("%s: %q", got, got.body)
	}
	for _, tc := range [][2]string{{"", "1"}, {"DND", ""}, {"DND", "1/2"}, {"DND", "1\r\nAction: DBDel"}, {"D ND", "1"}, {"DND/x", "1"}, {"DND", "é"}} {
		if a, err := DBGet(tc[0], tc[1]); err == nil || a != (Action{}) {
			t.Errorf("%q made %q", tc, a.body)
		}
	}
}
