package presence

import "time"

// Time is a moment in whole microseconds, in the eight bytes that a view can afford
// for each of its many times. Its JSON is that of a time.Time in UTC. The zero value
// is never, and comes before everything.
type Time struct{ us int64 } // since 1970

// earliest and latest are the first moment and the last that RFC 3339 can write.
var (
	earliest = time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC)
	latest   = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
)

// At is t without what is smaller than a microsecond, and without its zone. A year
// that RFC 3339 cannot write becomes the nearest that it can.
func At(t time.Time) Time {
	switch {
	case t.IsZero():
		return Time{}
	case t.Before(earliest):
		t = earliest
	case t.After(latest):
		t = latest
	}
	return Time{t.UnixMicro()}
}

// Time returns t in UTC; the zero value where t is never.
func (t Time) Time() time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.UnixMicro(t.us).UTC()
}

// The methods are those of a time.Time.

// IsZero tells whether t is never.
func (t Time) IsZero() bool { return t == Time{} }

// Before tells whether t comes before u.
func (t Time) Before(u Time) bool { return t.us < u.us }

// After tells whether t comes behind u.
func (t Time) After(u Time) bool { return t.us > u.us }

// Equal tells whether t and u are the same moment.
func (t Time) Equal(u Time) bool { return t == u }

// Add returns t and d, which counts in whole microseconds.
func (t Time) Add(d time.Duration) Time { return Time{t.us + d.Microseconds()} }

// Sub returns how long after u t is.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t.us-u.us) * time.Microsecond }

// String returns t as its JSON has it.
func (t Time) String() string { return t.Time().Format(time.RFC3339Nano) }

// MarshalText writes RFC 3339, for JSON.
func (t Time) MarshalText() ([]byte, error) { return t.Time().AppendFormat(nil, time.RFC3339Nano), nil }

// UnmarshalText reads RFC 3339.
func (t *Time) UnmarshalText(text []byte) error {
	var std time.Time
	err := std.UnmarshalText(text)
	*t = At(std)
	return err
}
