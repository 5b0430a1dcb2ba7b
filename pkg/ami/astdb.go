package ami

import (
	"fmt"
	"regexp"
)

// rowPattern leaves out what separates the parts of a row's name, and what ends a line.
var rowPattern = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// DBGet reads one row of the AstDB. It is answered by a list of one DBGetResponse,
// whose Val may be anything; its complete event is DBGetComplete. A row that is not
// there is an error: see NoRow. Only the doctor asks.
func DBGet(family, key string) (Action, error) {
	for _, part := range []string{family, key} {
		if !rowPattern.MatchString(part) {
			return Action{}, fmt.Errorf("%q is not a family or key of the AstDB: up to 64 letters, digits, dots, dashes or underscores", part)
		}
	}
	return newAction("DBGet", "Family", family, "Key", key)
}

// NoRow is the message of a ResponseError of DBGet that says that there is no such row
// (main/db.c, manager_dbget).
const NoRow = "Database entry not found"
