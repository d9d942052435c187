// Package received reads Received fields (RFC 5321 §4.4): from which client a host says it
// received a message.
package received

import (
	"iter"
	"net/netip"
	"slices"
	"strings"
)

// Hop is the content of a Received field.
type Hop struct {
	From string     // the HELO name of the client
	By   string     // who added the field; "" if that is missing or ambiguous
	IP   netip.Addr // of the client; the zero Addr if the field names none, or is unclear
	With string     // the protocol, such as "ESMTPS" (RFC 3848)

	Results string // the authserv-id of the relay whose results are believed
	Relays  int    // number of our own hosts that added a field since, including this one; set by Client
}

// Authenticated reports whether the protocol word says that the client authenticated
// (RFC 3848, RFC 6531 §4.3).
func (h *Hop) Authenticated() bool {
	switch strings.ToUpper(h.With) {
	case "ESMTPA", "ESMTPSA", "UTF8SMTPA", "UTF8SMTPSA":
		return true
	}
	return false
}

const maxField = 4096 // octets of a field that are examined

// Parse reads the from and by clauses (RFC 5321 §4.4) of the value of a Received field. It
// reads the address from the one place where this kind of server writes it (see peerOf). Parse
// never returns an address that the client chose: if it cannot tell, it returns none.
func Parse(value []byte) Hop {
	var scratch [16]word
	all := scratch[:0]
	for w := range words(string(value[:min(len(value), maxField)])) {
		all = append(all, w)
	}
	from, rest := clauses(all)
	if swallowed(from) {
		return Hop{From: from[0].text}
	}
	h := Hop{By: stamper(rest), With: after(rest, "with")}
	if len(from) > 0 {
		h.From, h.IP = peerOf(from, software(rest))
	}
	return h
}

// clauses splits the words of a field into the from clause, without its keyword, and the rest,
// which starts with the keyword "by". The word after "from" belongs to the client, even if it
// is "by".
func clauses(all []word) (from, rest []word) {
	if len(all) < 2 || !all[0].is("from") || all[1].comment {
		return nil, all
	}
	for i := 2; i < len(all); i++ {
		if all[i].is("by") {
			return all[1:i], all[i:]
		}
	}
	return all[1:], nil
}

// swallowed reports whether a comment in the from clause may contain the by clause: the client
// wrote a "(" into it, and everything up to some ")" became part of the comment.
func swallowed(from []word) bool {
	for _, w := range from {
		if w.comment && strings.Contains(w.text, "(") && slices.ContainsFunc(strings.Fields(w.text), func(s string) bool { return strings.EqualFold(s, "by") }) {
			return true
		}
	}
	return false
}

// stamper returns the host of the by clause. If there are two by clauses it returns "", because
// a client that could add one could add anything.
func stamper(rest []word) string {
	if len(rest) < 2 || !rest[0].is("by") || rest[1].comment {
		return ""
	}
	for _, w := range rest[2:] {
		if w.is("by") {
			return ""
		}
	}
	return rest[1].text
}

// after returns the word after the first keyword, or "".
func after(rest []word, keyword string) string {
	for i := 0; i+1 < len(rest); i++ {
		if rest[i].is(keyword) && !rest[i+1].comment {
			return rest[i+1].text
		}
	}
	return ""
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

// word is a word or a top-level comment of a field.
type word struct {
	text    string
	comment bool
}

func (w word) is(keyword string) bool { return !w.comment && strings.EqualFold(w.text, keyword) }

// words yields the words and top-level comments of a Received value, up to the date.
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

// commentEnd returns the offset after the comment that opens at i.
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
