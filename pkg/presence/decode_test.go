package presence

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"
)

func TestAViewIsReadAsPackageJSONDoes(t *testing.T) {
	seed := rand.Uint64()
	r, reader := rand.New(rand.NewPCG(seed, 0)), Reader{}
	for range 5000 {
		var v, want View
		fill(r, reflect.ValueOf(&v).Elem(), 4)
		row := v.AppendJSON(nil)
		if err := json.Unmarshal(row, &want); err != nil {
			t.Fatal(err)
		}
		got, err := reader.Read(row)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: %v\n got %+v\nwant %+v\nof %s", seed, err, got, want, row)
		}
		if reader.bad {
			t.Fatalf("seed %d: it was left to package json: %s", seed, row)
		}
		row[r.IntN(len(row))] = "\"\\{}[]:,-0aé"[r.IntN(13)]
		want = View{}
		wrong := json.Unmarshal(row, &want)
		if got, err := reader.Read(row); (err == nil) != (wrong == nil) || err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: damaged: %v, want %v\n got %+v\nwant %+v\nof %s", seed, err, wrong, got, want, row)
		}
	}
}

func TestARowKeepsEveryTextOnce(t *testing.T) {
	v := sampleView()
	x := v.Extensions[0]
	x.Shows = Keep(Presence{DND, "", "Back at 2"})
	x.Said.Presence, x.Said.By = x.Shows, "extension main/1001"
	v.Extensions = []Extension{x}
	v.Status = &Status{Type: v.Status.Type, Message: "Back at 2", By: x.Said.By}
	var r Reader
	got, err := r.Read(v.AppendJSON(nil))
	if err != nil {
		t.Fatal(err)
	}
	y := got.Extensions[0]
	for _, twice := range [][2]string{
		{y.Shows.message, "Back at 2"}, {y.Shows.message, y.Said.Presence.message}, {y.Shows.message, got.Status.Message}, {y.Said.By, got.Status.By},
	} {
		if twice[0] != twice[1] {
			t.Errorf("%q, want %q", twice[0], twice[1])
		}
	}
	if message, by := unsafe.StringData(y.Shows.message), unsafe.StringData(y.Said.By); unsafe.StringData(y.Said.Presence.message) != message ||
		unsafe.StringData(got.Status.Message) != message || unsafe.StringData(got.Status.By) != by {
		t.Error("a text is there twice")
	}
}

func TestAStatusHasTheTypeOfTheMappingIfItIsTheSame(t *testing.T) {
	stored := StatusType{ID: "lunch", Name: "Lunch", Base: Absent, Color: "#ef6c00", Asterisk: &Image{Away, "lunch"}}
	row := (&View{Status: &Status{Type: &stored}}).AppendJSON(nil)
	for _, tc := range []struct {
		name   string
		change func(*StatusType)
		shared bool
	}{
		{"the same", func(*StatusType) {}, true},
		{"another length", func(s *StatusType) { s.Lasts = time.Hour }, true}, // rows have none
		{"another id", func(s *StatusType) { s.ID = "late" }, false},
		{"another name", func(s *StatusType) { s.Name = "Late" }, false},
		{"another base", func(s *StatusType) { s.Base = Busy }, false},
		{"another colour", func(s *StatusType) { s.Color = "#000000" }, false},
		{"another presence", func(s *StatusType) { s.Asterisk = &Image{Away, ""} }, false},
		{"no presence", func(s *StatusType) { s.Asterisk = nil }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			now := stored
			tc.change(&now)
			types := NewTypes([]StatusType{now}, nil)
			v, err := (&Reader{Types: types}).Read(row)
			if err != nil || !reflect.DeepEqual(v.Status.Type, &stored) && !tc.shared {
				t.Fatalf("%+v, %v", v.Status.Type, err)
			}
			if shared := v.Status.Type == &types.List()[0]; shared != tc.shared {
				t.Errorf("shared = %v", shared)
			}
		})
	}
}

func TestARowOfAnotherVersionIsReadAllTheSame(t *testing.T) {
	const row = ` {"asks": 3, "user": "alice", "colour": "new", "extensions": [{"id": {"pbx": "main", "extension": "1001"}, "heard": {"presence": {"state": "dnd"}, "as": "echo"}}]}`
	var r Reader
	v, err := r.Read([]byte(row))
	if err != nil || v.User != "alice" || v.Asks != 3 || v.Extensions[0].ID != desk || v.Extensions[0].Heard.As != Echo {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := r.Read([]byte(row[:40])); err == nil {
		t.Error("half a row was read")
	}
}

func BenchmarkDecode(b *testing.B) {
	row := sampleView().AppendJSON(nil)
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for r := (Reader{}); b.Loop(); {
			_, _ = r.Read(row)
		}
	})
	b.Run("package json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = json.Unmarshal(row, &View{})
		}
	})
}

func TestANumberThatIsTooLargeIsRefusedAsPackageJSONDoes(t *testing.T) {
	v := sampleView()
	row := string(v.AppendJSON(nil))
	for _, number := range []string{"9223372036854775807", "9223372036854775808", "18446744073709551615", "-9223372036854775807", "-18446744073709551615"} {
		changed := strings.Replace(row, `"default":`+strconv.Itoa(v.Default), `"default":`+number, 1)
		if changed == row {
			t.Fatalf("there is no default in %s", row)
		}
		var want View
		wrong := json.Unmarshal([]byte(changed), &want)
		var r Reader
		if got, err := r.Read([]byte(changed)); (err == nil) != (wrong == nil) || err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", number, err, wrong)
		}
	}
}
