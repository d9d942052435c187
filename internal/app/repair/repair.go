// Package repair determines which record was meant by a text that receivers cannot read, or
// read differently from what its owner thinks.
//
// It corrects mistakes with only one explanation: octets added by a word processor, a web page
// or a zone editor, separators, misspelled names, terms that ran together. Every sender, policy
// and address of the text is in the result. If part of the text has no explanation, or several,
// there is no result, only the reason.
package repair

import (
	"fmt"
	"html"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"postseal/domain"
	"postseal/internal/app/suggest"
)

// Error says which part of a text has no explanation.
type Error struct {
	Part string // of the text, untrusted
	Why  string
}

// Error quotes the part, cut to 80 octets.
func (e *Error) Error() string {
	if e.Part == "" {
		return e.Why
	}
	part := e.Part
	if len(part) > 80 {
		part = part[:80]
	}
	return fmt.Sprintf("%+q %s", part, e.Why)
}

func unclear(part, why string) *Error { return &Error{Part: part, Why: why} }

// maxText limits the size of a text.
const maxText = 8 << 10

var (
	markup = regexp.MustCompile(`(?i)</?(a|b|i|u|p|br|div|span|font|code|pre|strong|em|td|tr)\b[^<>]*>`)
	// A name, a TTL, a class and a type that were pasted together with the text.
	masterFile = regexp.MustCompile(`(?i)^\s*(?:[a-z0-9._*-]+\.?\s+)?(?:\d+\s+)?(?:IN\s+)?TXT\s+`)
)

// Clean removes what does not belong in a record: encoding marks, HTML, quotes and backslashes
// of a zone editor. It writes spaces and hyphens in ASCII. ok is false if octets remain that
// are neither ASCII nor letters of UTF-8 text.
func Clean(text string) (string, bool) {
	if len(text) > maxText {
		return "", false
	}
	if strings.Contains(text, "&") {
		text = html.UnescapeString(text)
	}
	if strings.Contains(text, "<") {
		text = markup.ReplaceAllString(text, " ")
	}
	text = strings.ReplaceAll(text, `" "`, "")
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		if r == utf8.RuneError && n < 2 {
			if text[0] != 0xa0 { // NBSP in Latin-1
				return "", false
			}
			r = ' '
		}
		text = text[n:]
		switch {
		case invisible(r) || strings.ContainsRune("\"\\`'“”„‟«»‘’‚‛", r):
		case unicode.IsSpace(r) || unicode.IsControl(r):
			b.WriteByte(' ')
		case unicode.Is(unicode.Pd, r) || r == '−':
			b.WriteByte('-')
		case r >= '！' && r <= '～': // full-width forms of ASCII
			b.WriteRune(r - '！' + '!')
		default:
			b.WriteRune(r)
		}
	}
	return strings.TrimSpace(masterFile.ReplaceAllString(b.String(), "")), true
}

// invisible reports whether r is a character without width: U+FEFF, U+200B to U+200F, U+2060,
// U+00AD.
func invisible(r rune) bool {
	return r == 0xfeff || r >= 0x200b && r <= 0x200f || r >= 0x2060 && r <= 0x2064 || r == 0xad || r == 0x2028
}

// printable reports whether s can appear in a record, and in a page, without an escape.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e || strings.IndexByte("\"\\<>`", s[i]) >= 0 {
			return false
		}
	}
	return true
}

// hostName returns the A-labels of a name in a record, "" if it is not a domain name.
func hostName(s string) string {
	d, err := domain.Parse(strings.TrimSuffix(s, "."))
	if err != nil {
		return ""
	}
	return string(d)
}

// slip returns the candidate that word is a misspelling of: of nearly the same length, and with
// the same kinds of characters.
func slip(word string, candidates []string) string {
	meant := suggest.Of(word, candidates)
	if n := len(word) - len(meant); n < -2 || n > 2 {
		return ""
	}
	for i := range len(word) {
		if c := word[i] | 0x20; (c < 'a' || c > 'z') && (word[i] < '0' || word[i] > '9') {
			return ""
		}
	}
	return meant
}

// LooksLikeSPF reports whether text was meant to be an SPF record.
func LooksLikeSPF(text string) bool {
	clean, ok := Clean(text)
	if !ok {
		clean = text
	}
	lower := strings.ToLower(clean)
	if strings.HasPrefix(lower, "spf2.0/") || LooksLikeDMARC(text) {
		return false
	}
	return spfVersion.MatchString(clean) || strings.Contains(lower, "v=spf1")
}

// LooksLikeDMARC reports whether text was meant to be a DMARC record.
func LooksLikeDMARC(text string) bool {
	clean, ok := Clean(text)
	if !ok {
		clean = text
	}
	lower := strings.ToLower(clean)
	return dmarcVersion.MatchString(clean) || strings.HasPrefix(lower, "v=dmarc") || strings.Contains(lower, "v=dmarc1") ||
		strings.HasPrefix(lower, "p=") && (strings.Contains(lower, "rua=") || slip(strings.TrimSpace(lower[2:]), policies) != "")
}

// LooksLikeSTS reports whether text was meant to be an MTA-STS record.
func LooksLikeSTS(text string) bool { return begins(text, stsVersion) }

// LooksLikeTLSRPT reports whether text was meant to be a TLS-RPT record.
func LooksLikeTLSRPT(text string) bool { return begins(text, rptVersion) }

// LooksLikeBIMI reports whether text was meant to be a BIMI record.
func LooksLikeBIMI(text string) bool { return begins(text, bimiVersion) }

func begins(text string, version *regexp.Regexp) bool {
	clean, ok := Clean(text)
	if !ok {
		clean = text
	}
	return version.MatchString(clean)
}
