package panel

import "time"

// The clocks of a panel, its database and the bridge differ, transactions commit out of
// order, and a bridge that is ahead writes the newest time of all: so rows are read again
// for a while. A row of the far future must not hide all others.
const (
	readAgain = 5 * time.Minute
	farAhead  = 24 * time.Hour // a text may be in any time zone
)

// layouts are those in which databases tell times as text.
var layouts = []string{"2006-01-02 15:04:05.999999", time.RFC3339Nano}

// overlap returns from when on rows are to be read the next time, where newest is the
// newest change; nil: all of them.
func overlap(newest any, clock Clock, now time.Time) any {
	switch v := newest.(type) {
	case int64:
		switch clock {
		case UnixMillis:
			return min(v, now.UnixMilli()) - readAgain.Milliseconds()
		case UnixTime:
			return min(v, now.Unix()) - int64(readAgain/time.Second)
		}
	case time.Time:
		if v.After(now) {
			v = now
		}
		return v.Add(-readAgain)
	case []byte:
		return overlap(string(v), clock, now)
	case string:
		for _, layout := range layouts {
			t, err := time.Parse(layout, v)
			if err == nil && t.Before(now.Add(farAhead)) {
				return t.Add(-readAgain).Format(layout)
			}
		}
	}
	return nil
}
