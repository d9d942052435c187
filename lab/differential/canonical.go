package differential

import (
	"regexp"
	"strings"
)

// The canonicalizations of RFC 6376 §3.4, once more: plain and slow, so that a bug of
// internal/core/bodyhash or internal/core/canonical cannot hide in the signatures of the cases.

var (
	wsp      = regexp.MustCompile(`[ \t]+`)
	lineTail = regexp.MustCompile(`[ \t]+\r\n`)
	blankEnd = regexp.MustCompile(`(\r\n)+$`)
)

func bodyForm(body string, relaxed bool) string {
	if relaxed {
		if body != "" && !strings.HasSuffix(body, "\r\n") {
			body += "\r\n"
		}
		body = wsp.ReplaceAllString(lineTail.ReplaceAllString(body, "\r\n"), " ")
		if body = blankEnd.ReplaceAllString(body, ""); body == "" {
			return ""
		}
		return body + "\r\n"
	}
	return blankEnd.ReplaceAllString(body, "") + "\r\n"
}

// headerForm is one field with its CRLF.
func headerForm(field string, relaxed bool) string {
	if !relaxed {
		return field + "\r\n"
	}
	name, value, _ := strings.Cut(field, ":")
	value = wsp.ReplaceAllString(strings.ReplaceAll(value, "\r\n", ""), " ")
	return strings.ToLower(strings.TrimRight(name, " \t")) + ":" + strings.Trim(value, " \t") + "\r\n"
}

// selectFields takes for each name of h= the next field from the bottom (RFC 6376
// §5.4.2).
func selectFields(fields []string, names []string) []string {
	used := map[int]bool{}
	var chosen []string
	for _, name := range names {
		for i := len(fields) - 1; i >= 0; i-- {
			if !used[i] && fieldName(fields[i]) == strings.ToLower(strings.Trim(name, " \t\r\n")) {
				used[i] = true
				chosen = append(chosen, fields[i])
				break
			}
		}
	}
	return chosen
}

func fieldName(field string) string {
	name, _, _ := strings.Cut(field, ":")
	return strings.ToLower(strings.TrimRight(name, " \t"))
}
