package sqltext

import (
	"cmp"
	"slices"

	"postseal/store"
)

// Hours collects counts by hour and action.
type Hours map[int64]*store.Hour

// Add counts n verdicts of an hour, which is counted from 1970.
func (h Hours) Add(hour int64, applied string, n int) {
	if h[hour] == nil {
		h[hour] = &store.Hour{Start: hour * 3600000}
	}
	if i := slices.Index(store.HourActions[:], applied); i >= 0 {
		h[hour].Count[i] += n
	}
}

// List returns the hours, newest first.
func (h Hours) List() []store.Hour {
	list := make([]store.Hour, 0, len(h))
	for _, hour := range h {
		list = append(list, *hour)
	}
	slices.SortFunc(list, func(a, b store.Hour) int { return cmp.Compare(b.Start, a.Start) })
	return list
}

// MovedMillis bounds how far an id is moved on from the time of its row, in milliseconds, where more rows
// have the same time than a millisecond has ids: an archive gives whole seconds. A row with the same ref in
// that time is the same row.
const MovedMillis = 1000
