package dnsdata

import "strings"

// RecordBytes is what a record takes in memory, an estimate: as it is, and parsed. text are the
// strings of a TXT record, so many as parts.
func RecordBytes(text string, parts int, target string, data []byte) int {
	const fixed = 112
	return fixed + len(text) + parsedBytes(text) + 8*parts + 2*len(target) + len(data)
}

// KeptTerms returns how many directives of an SPF record stay in memory once it is parsed. If all did, a record
// of terms of two octets would take fifty times its text, at each level of include and in the cache.
func KeptTerms(text string) int { return min(strings.Count(text, " "), 32, 4+len(text)/16) }

// parsedBytes estimates the memory that a cache, or an evaluation, needs for a TXT record once
// it is parsed: an SPF record takes the same for each directive kept and each macro, however short they
// are; a key or a policy three times its text. Other texts are not parsed.
func parsedBytes(text string) int {
	const term, macro = 136, 64
	switch {
	case len(text) >= 6 && strings.EqualFold(text[:6], "v=spf1"):
		return term*KeptTerms(text) + macro*strings.Count(text, "%")
	case strings.HasPrefix(text, "v=") || strings.Contains(text, "p="):
		return 3 * len(text)
	}
	return 0
}
