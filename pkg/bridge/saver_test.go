package bridge

import "testing"

func TestACommitDoesNotMoveWhatStillWaitsNorKeepItsRoom(t *testing.T) {
	list := make([]int, 3*maxBatch)
	list[maxBatch], list[2*maxBatch] = 1, 2
	rest := without(list, maxBatch-1)
	if len(rest) != 2*maxBatch+1 || &rest[0] != &list[maxBatch-1] || rest[1] != 1 {
		t.Errorf("%d are left, moved or changed", len(rest))
	}
	rest = without(rest, maxBatch+1)
	if len(rest) != maxBatch || rest[0] != 2 || &rest[0] == &list[2*maxBatch] {
		t.Errorf("%d are left in the room of all, or changed", len(rest))
	}
	if rest = without(rest, maxBatch); rest == nil || len(rest) != 0 {
		t.Errorf("%d are left of a small list; its room is wanted again", len(rest))
	}
	if rest = without(make([]int, maxBatch, 2*maxBatch+1), maxBatch); rest != nil {
		t.Error("a large list keeps its room")
	}
}
