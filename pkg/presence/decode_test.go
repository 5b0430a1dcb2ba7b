package presence

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
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
