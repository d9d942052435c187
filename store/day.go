package store

import (
	"fmt"
	"time"
)

// Day is a UTC day, counted from 1 January 1970. History is kept, searched and dropped by
// whole days.
type Day int32

const dayMillis = 24 * 60 * 60 * 1000

// DayOf returns the day of a time in milliseconds since 1970.
func DayOf(millis int64) Day {
	d := millis / dayMillis
	if millis%dayMillis < 0 {
		d--
	}
	return Day(d)
}

// Start returns the first millisecond of the day.
func (d Day) Start() int64 { return int64(d) * dayMillis }

// End returns the first millisecond after the day.
func (d Day) End() int64 { return int64(d+1) * dayMillis }

// String returns the day as 2026-11-30.
func (d Day) String() string { return Time(d.Start()).Format(time.DateOnly) }

// Suffix returns the day as 20261130, for the name of its table.
func (d Day) Suffix() string { return Time(d.Start()).Format("20060102") }

// ParseSuffix reads what Suffix returns.
func ParseSuffix(s string) (Day, error) {
	t, err := time.ParseInLocation("20060102", s, time.UTC)
	if err != nil {
		return 0, fmt.Errorf("%q is not a day such as 20261130", s)
	}
	return DayOf(Millis(t)), nil
}

// Millis returns t in milliseconds since 1970.
func Millis(t time.Time) int64 { return t.UnixMilli() }

// Time returns the UTC time of a number of milliseconds since 1970.
func Time(millis int64) time.Time { return time.UnixMilli(millis).UTC() }

// An id is the time of the verdict in milliseconds since 1970, the slot of the node that
// recorded it, and a number that tells apart the verdicts of one millisecond. Ids sort by
// time, and are the key, the cursor of a page and the bounds of a day at once.
const (
	slotBits = 8
	seqBits  = 13

	// MaxSlot is the highest slot of a node.
	MaxSlot = 1<<slotBits - 1
	// MaxSeq is the highest number within a millisecond and slot.
	MaxSeq = 1<<seqBits - 1
	// maxMillis ends the range of ids, in the year 2109.
	maxMillis = 1<<(63-slotBits-seqBits) - 1
)

// MakeID returns the id of a verdict. A time outside of 1970 to 2109 is moved to the nearest
// one within.
func MakeID(millis int64, slot, seq int) int64 {
	millis = max(0, min(millis, maxMillis))
	return millis<<(slotBits+seqBits) | int64(slot&MaxSlot)<<seqBits | int64(seq&MaxSeq)
}

// clampMillis moves a time that no id can hold to the nearest one on a whole day of ids: an archive can have any.
func clampMillis(millis int64) int64 {
	return max(1, min(millis, DayOf(maxMillis).Start()-1))
}

// IDMillis returns the time in an id, in milliseconds since 1970.
func IDMillis(id int64) int64 { return id >> (slotBits + seqBits) }

// FirstID returns the lowest id of a time.
func FirstID(millis int64) int64 { return MakeID(millis, 0, 0) }
