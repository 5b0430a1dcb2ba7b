package presence

import "strings"

// Nearest returns the known name that word is most likely a misspelling of, ""
// if none is near. Case does not count.
func Nearest[T ~string](word string, known []T) T {
	var best T
	word = strings.ToLower(word)
	least := max(1, len(word)/2) + 1
	for _, name := range known {
		if d := distance(word, strings.ToLower(string(name)), least); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance is the number of bytes to insert, remove or replace to make b of a
// (Levenshtein), or some number that is not below limit.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d >= limit || -d >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := corner
			if a[i] != b[j] {
				replaced++
			}
			corner = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
