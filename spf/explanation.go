package spf

import (
	"strings"

	"postseal/internal/core/spfrecord"
	"postseal/resolver"
)

// maxExplanation bounds the third-party text that may reach a reply (RFC 7208 §11.5).
const maxExplanation = 255

// explain fetches and expands the explanation of the record that decided (RFC 7208 §6.2).
// Whatever is wrong with it, there is then none.
func (e *evaluation) explain(exp *spfrecord.MacroString, domain string) string {
	name, usable := e.target(exp, domain)
	if !usable {
		return ""
	}
	a, err := e.lookup(name, resolver.TXT)
	if err != nil || len(a.Records) != 1 {
		return ""
	}
	m, err := spfrecord.ParseExplanation(a.Records[0].Text)
	if err != nil {
		return ""
	}
	if m.Has("slohtr") {
		e.cacheable = false
	}
	text := []byte(m.ExpandText(e.macro(domain)))
	for i, c := range text {
		if c < 0x20 || c > 0x7e {
			text[i] = '?'
		}
	}
	return cutAtWord(string(text), maxExplanation)
}

// cutAtWord shortens text to most octets at a space, and marks that it did.
func cutAtWord(text string, most int) string {
	const mark = " ..."
	if len(text) <= most {
		return text
	}
	text = text[:most-len(mark)+1] // the space may stand right after the last word
	if i := strings.LastIndexByte(text, ' '); i > 0 {
		return strings.TrimRight(text[:i], " ") + mark
	}
	return text[:len(text)-1] + mark
}
