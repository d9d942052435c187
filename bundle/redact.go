package bundle

import (
	"bytes"
	"regexp"
	"strings"

	"postseal"
	"postseal/dkim"
	"postseal/internal/core/tagvalue"
	"postseal/message"
)

// What stands for what is left out.
const (
	omitted     = "omitted"
	omittedUTF8 = "ömitted"
)

// localPart is what may stand before the "@" of an address.
var localPart = regexp.MustCompile(`("(?:[^"\\]|\\.)*"|[^\s<>@,;:()\[\]"=]+)@`)

// scrub replaces local parts.
func scrub(s string) string { return localPart.ReplaceAllString(s, omitted+"@") }

func (b *Bundle) redactEnvelope() {
	b.Envelope.From = redactPath(b.Envelope.From)
	for i, to := range b.Envelope.To {
		to = redactPath(to)
		if i == 0 {
			b.Envelope.To = append([]string(nil), b.Envelope.To...)
		}
		b.Envelope.To[i] = to
	}
}

func redactPath(path string) string {
	at := strings.LastIndexByte(path, '@')
	if at < 0 {
		return path // the null path, or what SPF takes for a domain
	}
	for i := range at {
		if path[i] >= 0x80 { // SPF treats such a local part in another way (RFC 8616 §4)
			return omittedUTF8 + path[at:]
		}
	}
	return omitted + path[at:]
}

// redacted is a field reduced to what a verdict depends on. What signatures cover is in the
// digests.
func redacted(e *postseal.Evidence, f message.Field) []byte {
	name := string(f.Name())
	value := " " + omitted
	switch strings.ToLower(name) {
	case "dkim-signature", "arc-message-signature", "arc-seal":
		value = redactTags(string(f.Value()))
	case "from":
		value = from(e)
	case "precedence":
		if v := strings.ToLower(string(bytes.TrimSpace(f.Value()))); v == "list" || v == "bulk" {
			value = " " + v
		}
	case "authentication-results", "arc-authentication-results", "received-spf":
		value = scrub(string(f.Value()))
	default:
		if strings.HasPrefix(strings.ToLower(name), "x-postseal-") {
			value = scrub(string(f.Value()))
		}
	}
	return append([]byte(name+":"), value...)
}

// from names the author domains and nobody.
func from(e *postseal.Evidence) string {
	if e.Author.Reason != "" {
		return " " + omitted
	}
	addresses := make([]string, 0, len(e.Author.Domains))
	for _, d := range e.Author.Domains {
		addresses = append(addresses, omitted+"@"+string(d))
	}
	return " " + strings.Join(addresses, ", ")
}

// signatureTags are those whose values a verifier reads and that hold no text of others.
var signatureTags = map[string]bool{"v": true, "a": true, "b": true, "bh": true, "c": true, "d": true, "h": true, "l": true, "q": true, "s": true,
	"t": true, "x": true, "cv": true}

// redactTags empties the tags that no verifier needs, such as z=, and takes the local part
// out of i=. A list that would then be read differently only loses local parts.
func redactTags(value string) string {
	var b strings.Builder
	end := 0
	for t := range tagvalue.Split(value) {
		b.WriteString(value[end:t.ValueOffset])
		end = t.ValueOffset + len(t.Value)
		switch at := strings.LastIndexByte(t.Value, '@'); {
		case signatureTags[t.Name], t.Name == "i" && at <= 0:
			b.WriteString(t.Value)
		case t.Name == "i":
			b.WriteString(omitted + t.Value[at:])
		}
	}
	b.WriteString(value[end:])
	redacted := b.String()
	_, before := dkim.ParseSignature(value)
	_, after := dkim.ParseSignature(redacted)
	_, listBefore := tagvalue.Parse(value)
	_, listAfter := tagvalue.Parse(redacted)
	if (before == nil) != (after == nil) || (listBefore == nil) != (listAfter == nil) {
		return scrub(value)
	}
	return redacted
}
