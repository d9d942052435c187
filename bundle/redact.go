package bundle

import (
	"slices"
	"strconv"
	"strings"

	"postseal"
	"postseal/dkim"
	"postseal/domain"
	"postseal/internal/core/canonical"
	"postseal/internal/core/flow"
	"postseal/message"
)

// What stands for what is omitted.
const (
	omitted     = "omitted"
	omittedUTF8 = "ömitted"
)

// redactEnvelope keeps of each path what must be a domain. A reverse-path without "@" may be a local
// part, unless SPF found a record there.
func (b *Bundle) redactEnvelope(spfFound bool) {
	if !spfFound || strings.Contains(b.Envelope.From, "@") {
		b.Envelope.From = redactPath(b.Envelope.From)
	}
	b.Envelope.To = slices.Clone(b.Envelope.To)
	for i, to := range b.Envelope.To {
		b.Envelope.To[i] = redactPath(to)
	}
	if strings.Contains(b.Envelope.Helo, "@") {
		b.Envelope.Helo = redactPath(b.Envelope.Helo)
	}
}

// redactPath keeps the domain of a path (RFC 5321 §4.1.2).
func redactPath(path string) string {
	at := strings.LastIndexByte(path, '@')
	switch {
	case path == "":
		return ""
	case at < 0:
		return omitted
	}
	if _, err := domain.Parse(path[at+1:]); err != nil {
		return omitted + "@(" + omitted + ")" // SPF finds no domain in it either
	}
	for i := range at {
		if path[i] >= 0x80 { // SPF treats such a local part in another way (RFC 8616 §4)
			return omittedUTF8 + path[at:]
		}
	}
	return omitted + path[at:]
}

// redactName keeps a field name of letters, digits, "-" and "_". Any other could hold an address.
func redactName(name string) string {
	if isWord(name) {
		return name
	}
	const own = "X-Postseal-" // those are removed by their name
	if len(name) > len(own) && strings.EqualFold(name[:len(own)], own) {
		return own + "Omitted"
	}
	return "X-Omitted"
}

// isWord reports whether s is made of letters, digits, "-" and "_" alone.
func isWord(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && c != '-' && c != '_' {
			return false
		}
	}
	return s != ""
}

func isAlnum(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' }

// field is f reduced to what a verdict depends on. What signatures cover is in the digests. It
// is built from what was read: text of f itself stays only where its form says what it is.
func (x *redaction) field(index int, f message.Field) []byte {
	name := redactName(string(f.Name()))
	value := " " + omitted
	switch strings.ToLower(name) {
	case "dkim-signature", "arc-message-signature", "arc-seal":
		if !x.unread[index] {
			value = RedactSignature(string(f.Value()))
		}
	case "from":
		value = x.from()
	case "precedence", "content-type", "content-class", "list-id", "sender", "resent-from", "resent-sender", "received":
		value = flowText(f)
	case "authentication-results", "received-spf":
		value = x.results(f)
	case "arc-authentication-results":
		value = redactSealed(f)
	}
	return append([]byte(name+":"), value+variant(x.header, f)...)
}

// redaction reduces the fields of one message.
type redaction struct {
	header *message.Header
	author message.Author
	ids    []string     // of the verifier, and of the relays whose results are believed
	unread map[int]bool // fields of signatures that were not read
}

// unreadSignatures are the fields of signatures beyond those that are read: of a message with thousands, their
// text would be the most of the bundle, and push those of other messages out.
func unreadSignatures(r *postseal.Report) map[int]bool {
	unread := map[int]bool{}
	for i := range r.DKIM {
		if s := &r.DKIM[i]; s.Reason == dkim.TooManySignatures && s.Domain == "" {
			unread[s.FieldIndex] = true
		}
	}
	return unread
}

// flowText keeps of a field what speaks for a list or a forwarder: the organization it names, or
// one of a few words.
func flowText(f message.Field) string {
	v := flow.Evidence(f)
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
	return slices.ContainsFunc(flow.OnceFields, func(name string) bool { return f.Is(name) })
}

// from names the author domains alone.
func (x *redaction) from() string {
	if x.author.Reason != "" {
		return " " + omitted
	}
	addresses := make([]string, 0, len(x.author.Domains))
	for _, d := range x.author.Domains {
		addresses = append(addresses, omitted+"@"+string(d))
	}
	return " " + strings.Join(addresses, ", ")
}
