package resolver

import "strings"

// recordBytes is what a record takes besides its data.
const recordBytes = 112

// answerBytes is what the records of a take in memory, an estimate: as they are, and parsed.
func answerBytes(a *Answer) int {
	n := 0
	for i := range a.Records {
		rr := &a.Records[i]
		n += recordBytes + len(rr.Text) + parsedBytes(rr.Text) + 8*len(rr.Strings) + 2*len(rr.Target) + len(rr.Data)
	}
	return n
}

// parsedBytes estimates the memory that a Memo, or an evaluation, needs for a TXT record once
// it is parsed: an SPF record takes the same for each term and macro, however short they are; a
// key or a policy three times its text. Other texts are not parsed.
func parsedBytes(text string) int {
	const term, macro = 144, 64
	switch {
	case len(text) >= 6 && strings.EqualFold(text[:6], "v=spf1"):
		return term*strings.Count(text, " ") + macro*strings.Count(text, "%")
	case strings.HasPrefix(text, "v=") || strings.Contains(text, "p="):
		return 3 * len(text)
	}
	return 0
}
