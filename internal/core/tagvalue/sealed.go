package tagvalue

import (
	"strconv"
	"strings"
)

// SealedResults reads the instance, which stands first in an ARC-Authentication-Results, and
// returns the authres-payload after it (RFC 8617 §4.1.1). The payload may be anything (§3.4).
func SealedResults(value []byte) (n int, payload []byte, ok bool) {
	rest, ok := strings.CutPrefix(skipCFWS(string(value)), "i")
	if !ok {
		return 0, nil, false
	}
	rest, ok = strings.CutPrefix(skipCFWS(rest), "=")
	if !ok {
		return 0, nil, false
	}
	rest = skipCFWS(rest)
	digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
	n, ok = Instance(rest[:digits])
	if !ok {
		return 0, nil, false
	}
	rest, ok = strings.CutPrefix(skipCFWS(rest[digits:]), ";")
	return n, []byte(rest), ok
}

// Instance reads 1*2DIGIT from 1 on (RFC 8617 §3.9, §4.2.1). What is above the most sets
// of a chain is a number too.
func Instance(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 8)
	return int(n), err == nil && len(s) <= 2 && n >= 1
}

// skipCFWS drops white space and comments from the beginning of s (RFC 5322 §3.2.2). What is
// not a comment stays.
func skipCFWS(s string) string {
	for {
		s = strings.TrimLeft(s, " \t\r\n")
		end := commentEnd(s)
		if end == 0 {
			return s
		}
		s = s[end:]
	}
}

// commentEnd returns the length of the comment that s begins with, 0 without one.
func commentEnd(s string) int {
	if !strings.HasPrefix(s, "(") {
		return 0
	}
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		case '\\':
			i++
		}
	}
	return 0
}
