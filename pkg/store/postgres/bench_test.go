package postgres

import (
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/store"
	"github.com/presencebridge/presencebridge/pkg/store/servertest"
	"github.com/presencebridge/presencebridge/pkg/store/storetest"
)

func BenchmarkSave(b *testing.B) {
	one := store.Numbered(strings.Replace(store.OnConflict().User, "{rows}", "(?"+strings.Repeat(", ?", 14)+")", 1))
	storetest.BenchSave(b, storetest.Servers{Start: servertest.Postgres, Open: Open}, one)
}

func BenchmarkLoad(b *testing.B) {
	storetest.BenchLoad(b, storetest.Servers{Start: servertest.Postgres, Open: Open})
}
