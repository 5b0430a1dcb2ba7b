package connector

import (
	"fmt"
	"testing"
)

func TestEveryNumberIsFoundWhereItStands(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 1000} {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprint(1000 + i)
		}
		numbers := NewNumbers(list)
		for i, number := range list {
			if got := numbers.Find(number); got != i || !numbers.Has(number) {
				t.Errorf("of %d numbers %s is found at %d, want %d", n, number, got, i)
			}
		}
		for i := range 3000 {
			if number := fmt.Sprint("x", i); numbers.Has(number) {
				t.Errorf("of %d numbers %s is one", n, number)
			}
		}
		if got := len(numbers.List()); got != n {
			t.Errorf("%d numbers are %d", n, got)
		}
	}
}

func TestLookingANumberUpAllocatesNothing(t *testing.T) {
	numbers := NewNumbers([]string{"1001", "1002"})
	onTheWire := []byte("1002")
	if n := testing.AllocsPerRun(100, func() {
		if numbers.Find(string(onTheWire)) != 1 {
			t.Fatal("not found")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkFind looks for each of 200,000 in turn, and so out of the processor's caches.
func BenchmarkFind(b *testing.B) {
	list := make([]string, 200_000)
	for i := range list {
		list[i] = fmt.Sprint(100_000 + i)
	}
	numbers := NewNumbers(list)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if at := i * 7919 % len(list); numbers.Find(list[at]) != at {
			b.Fatal("not found")
		}
	}
}

func BenchmarkFindInAMap(b *testing.B) {
	list, numbers := make([]string, 200_000), map[string]int{}
	for i := range list {
		list[i] = fmt.Sprint(100_000 + i)
		numbers[list[i]] = i
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if at := i * 7919 % len(list); numbers[list[at]] != at {
			b.Fatal("not found")
		}
	}
}
