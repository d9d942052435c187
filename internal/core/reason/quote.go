package reason

import "strconv"

// maxQuoted is how many octets of outside text a problem shows.
const maxQuoted = 80

// Quote returns outside text for the words of a problem: its first 80 octets in quotation
// marks, what is not printable ASCII as an escape.
func Quote(s string) string {
	if len(s) > maxQuoted {
		return strconv.QuoteToASCII(s[:maxQuoted]) + "…"
	}
	return strconv.QuoteToASCII(s)
}
