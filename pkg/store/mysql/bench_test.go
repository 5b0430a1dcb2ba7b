package mysql

import (
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/store/servertest"
	"github.com/presencebridge/presencebridge/pkg/store/storetest"
)

func BenchmarkSave(b *testing.B) {
	one := strings.Replace(saveUser, "{rows}", "(?"+strings.Repeat(", ?", 14)+")", 1)
	storetest.BenchSave(b, storetest.Servers{Start: servertest.MariaDB, Open: Open}, one)
}

func BenchmarkLoad(b *testing.B) {
	storetest.BenchLoad(b, storetest.Servers{Start: servertest.MariaDB, Open: Open})
}
