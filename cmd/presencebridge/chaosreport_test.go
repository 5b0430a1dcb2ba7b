package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// report is what came of a schedule; times are in seconds.
type report struct {
	Seed     int       `json:"seed"`
	Store    string    `json:"store"`
	Asterisk string    `json:"asterisk"`
	Users    int       `json:"users"`
	Rows     []outcome `json:"faults"`
	Accepted [2]int    `json:"accepted"` // choices, changes by phone
	Doubted  int       `json:"in_doubt"` // whose answer did not come
	Writes   int       `json:"writes"`   // to phones of people who only choose
	Refused  int       `json:"logins_refused"`
	After    float64   `json:"counted_after"` // the last fault
	Ours     int       `json:"wrong"`
	Naive    int       `json:"wrong_naive"`
	Of       int       `json:"of"`
}

// outcome is that of one fault. Ours are never wrong in one: the test would have ended.
type outcome struct {
	Fault  string  `json:"fault"`
	Lasted float64 `json:"lasted"`
	Agreed float64 `json:"agreed"` // after it was over
	Naive  int     `json:"wrong_naive"`
	Of     int     `json:"of"`
	Remark string  `json:"remark,omitempty"`
}

func (r outcome) String() string {
	return strings.TrimRight(fmt.Sprintf("%-50s lasted %5.2f s, agreed after %5.2f s; wrong: ours 0, naive %d of %d  %s", r.Fault, r.Lasted, r.Agreed, r.Naive, r.Of, r.Remark), " ")
}

// print shows it as a table that BENCHMARKS.md can have, and writes the file that
// was asked for, a line for each schedule.
func (r *report) print(t *testing.T) {
	t.Helper()
	var agreed []float64
	var b strings.Builder
	b.WriteString("| fault | lasted, s | agreed after, s | wrong: ours | naive | |\n|---|---|---|---|---|---|\n")
	for _, x := range r.Rows {
		fmt.Fprintf(&b, "| %s | %.1f | %.2f | 0 | %d | %s |\n", x.Fault, x.Lasted, x.Agreed, x.Naive, x.Remark)
		agreed = append(agreed, x.Agreed)
	}
	slices.Sort(agreed)
	at := func(q float64) float64 { return agreed[int(q*float64(len(agreed)-1)+0.5)] }
	t.Logf("seed %d, store %s, Asterisk %s, %d users\n%s"+
		"%d faults; agreed after p50 %.2f s, p99 %.2f s, most %.2f s\n"+
		"wrong %.0f s after the last fault, of %d users: ours %d, naive listener %d\n"+
		"%d choices and %d changes by phone accepted, %d without an answer; %d writes for the choices of those who only choose; %d logins refused",
		r.Seed, r.Store, r.Asterisk, r.Users, b.String(), len(r.Rows), at(0.5), at(0.99), agreed[len(agreed)-1],
		r.After, r.Of, r.Ours, r.Naive, r.Accepted[0], r.Accepted[1], r.Doubted, r.Writes, r.Refused)
	file := os.Getenv(chaosJSON)
	if file == "" {
		return
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = f.Write(append(text, '\n'))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
