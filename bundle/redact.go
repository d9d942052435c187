package bundle

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"postseal"
	"postseal/internal/core/canonical"
	"postseal/internal/core/signature"
	"postseal/internal/core/tagvalue"
	"postseal/message"
)

// What stands for what is left out.
const (
	omitted     = "omitted"
	omittedUTF8 = "ömitted"
)

// localPart is what may stand before the "@" of an address, "+" and "=" included, as VERP and SRS
// have them (RFC 5321 §4.1.2). The key of a property or of Received-SPF before it stays.
var localPart = regexp.MustCompile(`((?:^|[\s;(])[A-Za-z][A-Za-z0-9._-]*=)?("(?:[^"\\]|\\.)*"|[^\s<>@,;:()\[\]"]*)@`)

// login is the user in smtp.auth (RFC 8601 §2.7.4), who need not have an "@".
var login = regexp.MustCompile(`(?i)(\bsmtp\.auth\s*=\s*)("(?:[^"\\]|\\.)*"|[^\s;()"@]+)`)

// scrub removes local parts and logins from text that keeps its form.
func scrub(s string) string {
	var b strings.Builder
	end := 0
	for _, at := range localPart.FindAllStringSubmatchIndex(s, -1) {
		from, to := at[4], at[5]
		if from == to { // as in header.i=@acme.test
			continue
		}
		b.WriteString(s[end:from])
		b.WriteString(omitted)
		end = to
	}
	s = b.String() + s[end:]
	return login.ReplaceAllString(s, "${1}"+omitted)
}

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
	case "precedence", "content-type", "content-class", "list-id", "sender", "resent-from", "resent-sender", "received":
		value = flow(f)
	case "authentication-results", "arc-authentication-results", "received-spf":
		value = scrub(string(f.Value()))
	default:
		if strings.HasPrefix(strings.ToLower(name), "x-postseal-") {
			value = scrub(string(f.Value()))
		}
	}
	return append([]byte(name+":"), value+variant(e.Header, f)...)
}

// flow keeps of a field what speaks for a list or a forwarder: the organization it names, or
// one of a few words.
func flow(f message.Field) string {
	v := postseal.FlowEvidence(f)
	switch {
	case v == "":
		return " " + omitted
	case f.Is("List-Id"):
		return " <" + v + ">"
	case f.Is("Received"):
		return " by " + v
	case f.Is("Sender"), f.Is("Resent-From"), f.Is("Resent-Sender"):
		return " <" + omitted + "@" + v + ">"
	}
	return " " + v
}

// variant tells fields of one name apart that differ after canonicalization, by a number from
// the second one on: copies mean something else than other fields (postseal.AddedFields).
func variant(h *message.Header, f message.Field) string {
	if !isOnce(f) || h.Count(string(f.Name())) < 2 {
		return ""
	}
	var seen []string
	own := string(canonical.Relaxed(nil, f))
	if h.Count(string(f.Name())) > maxVariants {
		return " (" + strconv.Itoa(len(own)) + ")"
	}
	for i := range h.Len() {
		if !h.At(i).Is(string(f.Name())) {
			continue
		}
		text := string(canonical.Relaxed(nil, h.At(i)))
		if text == own {
			break
		}
		if !slices.Contains(seen, text) {
			seen = append(seen, text)
		}
	}
	if len(seen) == 0 {
		return ""
	}
	return " (" + strconv.Itoa(len(seen)+1) + ")"
}

// maxVariants bounds the fields that are compared; beyond it their lengths tell them apart.
const maxVariants = 50

// isOnce reports whether AddedFields looks at fields of this name.
func isOnce(f message.Field) bool {
	return slices.ContainsFunc(postseal.OnceFields(), func(name string) bool { return f.Is(name) })
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
	_, before := signature.ParseSignature(value)
	_, after := signature.ParseSignature(redacted)
	_, listBefore := tagvalue.Parse(value)
	_, listAfter := tagvalue.Parse(redacted)
	if (before == nil) != (after == nil) || (listBefore == nil) != (listAfter == nil) {
		return scrub(value)
	}
	return redacted
}
