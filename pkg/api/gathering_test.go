package api

import (
	"testing"
	"time"
)

func TestReadersRestForAsLongAsThereAreMany(t *testing.T) {
	for readers, want := range map[int64]time.Duration{
		1: 50 * time.Microsecond, 20: time.Millisecond, 1000: 50 * time.Millisecond, 1_000_000: 50 * time.Millisecond,
	} {
		if got := gathering(readers); got != want {
			t.Errorf("one of %d readers waits %v, want %v", readers, got, want)
		}
	}
}
