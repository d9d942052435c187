// Package flow reads single header fields for the signs of lists and forwarders, and knows which
// fields may stand once. The engine decides on it, and bundles keep it.
package flow

import (
	"bytes"
	"strings"

	"postseal/domain"
	"postseal/message"
)

// OnceFields are the names, in lower case, of fields that may be there once and are shown to
// readers, or tell how the body is shown (RFC 5322 §3.6, 2045 §5).
var OnceFields = []string{"subject", "date", "to", "cc", "reply-to", "sender", "content-type"}

// Evidence returns what postseal.IndirectFlow reads of a field: the organization that a List-Id,
// Sender, Resent-From, Resent-Sender or Received field names, the word of a Precedence field
// that means a list, or the type of a calendar message; "" where it reads nothing.
func Evidence(f message.Field) string {
	switch {
	case f.Is("List-Id"), f.Is("Sender"), f.Is("Resent-From"), f.Is("Resent-Sender"):
		return organization(lastName(f.Value()))
	case f.Is("Received"):
		return organization(byHost(f.Value()))
	case f.Is("Precedence"):
		if v := string(bytes.ToLower(bytes.TrimSpace(f.Value()))); v == "list" || v == "bulk" {
			return v
		}
	case f.Is("Content-Type"), f.Is("Content-Class"):
		return calendarType(f.Value())
	}
	return ""
}

func organization(name string) string {
	d, err := domain.Parse(name)
	if err != nil {
		return ""
	}
	return string(d.Registrable())
}

// lastName is the name in the angle brackets of a List-Id (RFC 2919 §3), or the domain of an
// address: what stands after the last "<" and "@", up to ">".
func lastName(value []byte) string {
	value = value[bytes.LastIndexByte(value, '<')+1:]
	if end := bytes.IndexByte(value, '>'); end >= 0 {
		value = value[:end]
	}
	return strings.TrimSpace(string(value[bytes.LastIndexByte(value, '@')+1:]))
}

// byHost is the name of the host that stamped a Received field (RFC 5321 §4.4), "" without
// one.
func byHost(value []byte) string {
	depth, before := 0, ""
	for word := range strings.FieldsSeq(string(value)) {
		if depth == 0 && strings.EqualFold(before, "by") {
			return strings.Trim(word, ";,")
		}
		before = word
		depth += strings.Count(word, "(") - strings.Count(word, ")")
	}
	return ""
}

// calendarType returns the type of an invitation, which is sent on in the name of its organizer
// (RFC 6047 §2.4).
func calendarType(value []byte) string {
	const mime, exchange = "text/calendar", "urn:content-classes:calendarmessage"
	switch v := strings.ToLower(strings.TrimSpace(string(value))); {
	case strings.HasPrefix(v, mime):
		return mime
	case v == exchange:
		return exchange
	}
	return ""
}
