// Package suggest finds the correct word for a mistyped one.
package suggest

// Of returns the candidate that word is most likely a misspelling of, or "" if none is similar
// enough.
func Of(word string, candidates []string) string {
	best, at := "", 1+len(word)/3
	for _, c := range candidates {
		if d := distance(word, c); d <= at && d < len(c) && (best == "" || d < at) {
			best, at = c, d
		}
	}
	return best
}

// distance returns the number of letters to insert, delete, replace or swap with a neighbor to
// turn a into b (optimal string alignment).
func distance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return longest
	}
	var rows [3][longest + 1]int
	before, above, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
