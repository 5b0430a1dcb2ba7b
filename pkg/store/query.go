package store

import "unicode/utf8"

// defaultLimit is how many lines come where a query sets no limit.
const defaultLimit = 100

// sql adds to a SELECT what q asks for; by is the column of the origin, and only the
// history has users. It goes by the time, for which there is an index, and within one
// instant by the id, or for one user by what rises with it: whatever part of a long
// history is asked for, nothing else of it is read but to look for an origin.
func (q *Query) sql(text, by string) (string, []any) {
	text += ` WHERE 1 = 1`
	var args []any
	add := func(condition string, values ...any) {
		text += ` AND ` + condition
		args = append(args, values...)
	}
	if q.User != "" {
		add(`user_id = ?`, string(q.User))
	}
	if !q.From.IsZero() {
		add(`at >= ?`, timeText(q.From))
	}
	if !q.To.IsZero() {
		add(`at < ?`, timeText(q.To))
	}
	if q.Before != (Place{}) {
		// Not (at, id) < (?, ?), for which MariaDB reads the whole index.
		at := timeText(q.Before.At)
		add(`at <= ? AND (at < ? OR id < ?)`, at, at, q.Before.ID)
	}
	if q.By != "" {
		// Not LIKE, which takes capitals for small letters in SQLite.
		add(`(`+by+` = ? OR SUBSTR(`+by+`, 1, ?) IN (?, ?))`, q.By, utf8.RuneCountInString(q.By)+1, q.By+" ", q.By+"/")
	}
	if q.Did != "" {
		add(`(did = ? OR SUBSTR(did, 1, ?) = ?)`, q.Did, utf8.RuneCountInString(q.Did)+1, q.Did+" ")
	}
	if q.What != "" {
		add(`(what = ? OR SUBSTR(what, 1, ?) IN (?, ?))`, q.What, utf8.RuneCountInString(q.What)+1, q.What+":", q.What+",")
	}
	limit := q.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	order := `at DESC, id DESC`
	if q.User != "" { // the same order, along history_step
		order = `at DESC, version DESC, ordinal DESC`
	}
	return text + ` ORDER BY ` + order + ` LIMIT ?`, append(args, limit)
}
