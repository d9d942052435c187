// Package received reads Received fields (RFC 5321 §4.4): which client a host says it took a
// message from.
package received

import (
	"iter"
	"net/netip"
	"strings"

	"postseal/message"
)

// Client is the client that handed the message to our own network, when one of our relays
// handed it on: the first hop from the top whose client is neither a relay nor the relay
// itself on loopback. Nothing below that field is looked at, since strangers wrote it. It
// reports false when the trace of our relays cannot be read.
func Client(h *message.Header, relay func(netip.Addr) bool) (Hop, bool) {
	relays := 0
	for i := range h.Len() {
		f := h.At(i)
		if !f.Is("Received") {
			continue
		}
		hop := Parse(f.Value())
		relays++
		switch {
		case hop.By == "" || !hop.IP.IsValid():
			// A client may have spoilt the field with its HELO, so as to be looked for below.
			return Hop{}, false
		case !relay(hop.IP) && !hop.IP.IsLoopback():
			hop.Relays = relays
			return hop, true
		}
	}
	return Hop{}, false
}

// Hop is what a Received field says of its hop.
type Hop struct {
	From string     // what the client called itself
	By   string     // who stamped the field
	IP   netip.Addr // of the client; the zero Addr when the field names none
	With string     // the protocol, such as "ESMTPS" (RFC 3848)

	Relays int // of ours, that stamped a field since, this one included; set by Client
}

const maxField = 4096 // octets of a field that are looked at

// Parse reads the from and by clauses (RFC 5321 §4.4). The address is the one in
// brackets within the comment of the from clause, "(name [192.0.2.1])", or a from clause
// that is an address literal. "from [..] (HELO name)" and "from x (HELO name)", the forms
// of qmail and Exim, give the name in the comment.
func Parse(value []byte) Hop {
	var h Hop
	clause := ""
	for w := range words(string(value[:min(len(value), maxField)])) {
		if next := clauseOf(w); next != "" {
			clause = next
			continue
		}
		switch {
		case clause == "from" && w.comment:
			h.fromComment(w.text)
		case clause == "from" && h.From == "":
			h.From = w.text
			if ip, ok := Literal(w.text); ok {
				h.IP = ip
			}
		case clause == "by" && !w.comment && h.By == "":
			h.By = strings.TrimSuffix(w.text, ";")
		case clause == "with" && !w.comment && h.With == "":
			h.With = w.text
		}
	}
	return h
}

// clauseOf is the clause that w begins, or "".
func clauseOf(w word) string {
	if w.comment || len(w.text) > len("from") {
		return ""
	}
	for _, clause := range [...]string{"from", "by", "via", "with", "id", "for"} {
		if len(clause) == len(w.text) && strings.EqualFold(w.text, clause) {
			return clause
		}
	}
	return ""
}

// fromComment reads the comment of the from clause. What the client called itself is its
// own word: an address in it is never taken for the client's.
func (h *Hop) fromComment(text string) {
	words := strings.Fields(text)
	for i := 0; i < len(words); i++ {
		w := words[i]
		key, name, ok := strings.Cut(w, "=")
		switch {
		case ok && strings.EqualFold(key, "helo"):
			h.From = name
		case (strings.EqualFold(w, "helo") || strings.EqualFold(w, "ehlo")) && i+1 < len(words):
			i++
			h.From = words[i]
		case w[0] == '[' && strings.IndexByte(w, ']') > 0:
			if ip, ok := Literal(w[:strings.IndexByte(w, ']')+1]); ok {
				h.IP = ip
			}
		case !h.IP.IsValid() && len(words) == 1:
			h.IP, _ = Literal(w)
		}
	}
}

// Literal reads an address with or without brackets and the tag IPv6: (RFC 5321 §4.1.3).
func Literal(s string) (netip.Addr, bool) {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	if len(s) > 5 && strings.EqualFold(s[:5], "IPv6:") {
		s = s[5:]
	}
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, false
	}
	return ip.WithZone("").Unmap(), true
}

type word struct {
	text    string
	comment bool
}

// words gives the words and top-level comments of a Received value, up to the date.
func words(value string) iter.Seq[word] {
	return func(yield func(word) bool) {
		for i := 0; i < len(value) && value[i] != ';'; {
			end, w := i+1, word{}
			switch c := value[i]; {
			case isSpace(c):
				i++
				continue
			case c == '(':
				end = commentEnd(value, i)
				w = word{value[i+1 : max(i+1, end-1)], true}
			default:
				for end < len(value) && !isSpace(value[end]) && value[end] != ';' && value[end] != '(' {
					end++
				}
				w.text = value[i:end]
			}
			if i = end; !yield(w) {
				return
			}
		}
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// commentEnd is the offset behind the comment that opens at i.
func commentEnd(value string, i int) int {
	depth := 0
	for ; i < len(value); i++ {
		switch value[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(value)
}
