package store

// SQL is the statement of a query, for tests of how a database goes about it.
func (q *Query) SQL(text, by string) (string, []any) { return q.sql(text, by) }
