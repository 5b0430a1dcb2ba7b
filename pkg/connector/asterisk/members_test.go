package asterisk

import "testing"

// knownQueues have had a list in which nobody was.
func knownQueues(t *testing.T) *queues {
	t.Helper()
	q, err := newQueues([]string{"PJSIP/{extension}"})
	if err != nil {
		t.Fatal(err)
	}
	q.deliver(q.list())
	return q
}

const lunchReason = "presencebridge: Lunch"

func TestAMemberThatIsGoneIsNotWritten(t *testing.T) {
	q, id := knownQueues(t), memberID{"sales", "PJSIP/1001"}
	q.added("1001", id, false, "")
	q.want("1001", lunchReason, false) // waits
	q.removed("1001", id)
	q.added("1001", id, true, "coffee") // logged out and in, and paused by somebody else
	if batch := q.next(); len(batch) > 0 {
		t.Errorf("written over a coffee: %+v", batch[0])
	}
}

func TestWhoWasRefusedIsNotWrittenBeforeAList(t *testing.T) {
	q, id := knownQueues(t), memberID{"sales", "PJSIP/1001"}
	q.added("1001", id, false, "")
	q.want("1001", lunchReason, false)
	first := q.next()
	q.want("1001", "", false)
	q.refused(first[0]) // "Interface not found"
	if batch := q.next(); len(batch) > 0 {
		t.Errorf("written: %+v", batch[0])
	}
}

func TestWhoIsLetGoOnBeforeTheFirstListStaysSo(t *testing.T) {
	q, err := newQueues([]string{"PJSIP/{extension}"})
	if err != nil {
		t.Fatal(err)
	}
	id := memberID{"sales", "PJSIP/1001"}
	q.want("1001", lunchReason, false)
	q.told("1001", id, false, "")
	n := q.list()
	n.found[id] = listed{number: "1001"}
	q.deliver(n)
	if batch := q.next(); len(batch) > 0 {
		t.Errorf("paused again: %+v", batch[0])
	}
}

func TestNobodyIsKeptForEver(t *testing.T) {
	q := knownQueues(t)
	for _, number := range []string{"1001", "1002", "1003"} {
		q.want(number, lunchReason, false)
		q.added(number, memberID{"sales", "PJSIP/" + number}, false, "")
		q.want(number, "", true)
	}
	q.next()
	q.deliver(q.list())
	if len(q.agents) != 0 || len(q.todo) != 0 {
		t.Errorf("kept are %d, and %d wait", len(q.agents), len(q.todo))
	}
}
