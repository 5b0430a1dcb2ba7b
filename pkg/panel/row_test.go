package panel

import "testing"

var both = direction{in: true, out: true}

func TestWhatARowSaysMeans(t *testing.T) {
	available, lunch, meeting := Value{Status: "available"}, Value{Status: "lunch", Message: "Back at 2"}, Value{Status: "meeting"}
	odd := Value{Status: "42"}
	for _, tc := range []struct {
		name   string
		kept   *Memory // nil: never read
		want   *Value
		d      direction
		says   Value
		theirs bool
		owing  bool
	}{
		{"never read, and there is a status: it is written over", nil, &lunch, both, available, false, true},
		{"never read, and there is none: what it says is chosen", nil, nil, both, available, true, false},
		{"never read, empty, and there is none", nil, nil, both, Value{}, false, false},
		{"as before", &Memory{Shows: available}, &available, both, available, false, false},
		{"as before, and the status has changed meanwhile", &Memory{Shows: available}, &lunch, both, available, false, true},
		{"somebody has chosen", &Memory{Shows: available}, &available, both, lunch, true, false},
		{"somebody has chosen, and the status has changed too", &Memory{Shows: available}, &meeting, both, lunch, true, false},
		{"somebody has chosen what the status is", &Memory{Shows: available}, &lunch, both, lunch, false, false},
		{"somebody has emptied it: nobody's choice", &Memory{Shows: available}, &available, both, Value{}, false, true},
		{"ours was written", &Memory{Shows: available, Asked: &lunch}, &meeting, both, lunch, false, true},
		{"ours was not written", &Memory{Shows: available, Asked: &lunch}, &lunch, both, available, false, true},
		{"ours was written over", &Memory{Shows: available, Asked: &lunch}, &lunch, both, meeting, true, false},
		{"outwards only: it is written over", &Memory{Shows: available}, &available, direction{out: true}, lunch, false, true},
		{"inwards only: nothing is written", &Memory{Shows: available}, &lunch, direction{in: true}, available, false, false},
		{"what nobody understands is somebody's", &Memory{Shows: available}, &available, both, odd, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &row{want: tc.want}
			if tc.kept != nil {
				r.memory, r.kept = *tc.kept, true
			}
			if theirs := r.reads(tc.says, tc.d, false); theirs != tc.theirs || r.owing != tc.owing {
				t.Errorf("theirs %t, owing %t; want %t, %t", theirs, r.owing, tc.theirs, tc.owing)
			}
			if r.memory.Shows != tc.says || r.memory.Asked != nil {
				t.Errorf("memory is %+v", r.memory)
			}
			if r.reads(tc.says, tc.d, false) {
				t.Error("the same reading again is somebody's choice")
			}
		})
	}
}

func TestNothingIsWrittenBeforeTheRowWasRead(t *testing.T) {
	r := &row{}
	r.wants(&Value{Status: "lunch"}, both)
	if r.owing {
		t.Error("written over what is not known")
	}
	r.reads(Value{Status: "available"}, both, false)
	if !r.owing {
		t.Error("not written")
	}
	if v := r.asks(); v.Status != "lunch" || r.owing || r.memory.Asked == nil {
		t.Errorf("asked %+v, %+v", v, r)
	}
	r.wrote(both)
	if r.owing || r.memory.Shows.Status != "lunch" || r.memory.Asked != nil {
		t.Errorf("after it was written %+v", r)
	}
}

func TestWhatNobodyUnderstandsStaysUntilTheStatusChanges(t *testing.T) {
	lunch, meeting := Value{Status: "lunch"}, Value{Status: "meeting"}
	r := &row{memory: Memory{Shows: lunch}, kept: true, want: &lunch}
	r.reads(Value{Status: "42"}, both, false)
	same := lunch
	r.wants(&same, both) // it was told again
	r.reads(Value{Status: "42"}, both, false)
	if r.owing {
		t.Error("written over")
	}
	r.wants(&meeting, both)
	if !r.owing {
		t.Error("not written although the status has changed")
	}
}
