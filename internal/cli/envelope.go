package cli

import (
	"bytes"
	"net/netip"
	"strings"

	"postseal/message"
)

// envelope is what SMTP says before the message.
type envelope struct {
	ip         netip.Addr // the zero Addr: not known
	helo       string
	from       string
	recipients []string
	derived    []string // where it was taken from, nil when it was given
}

const maxTrace = 4096 // octets of a trace field that are looked at

// derive takes the envelope from the trace fields of the message: client and HELO from
// the topmost Received field that host stamped (RFC 5321 §4.4), the reverse-path from
// the topmost Return-Path. Fields below that Received come from strangers.
func derive(h *message.Header, host string) (envelope, *failure) {
	var e envelope
	haveFrom := false
	hosts := []string{}
	for i := range h.Len() {
		f := h.At(i)
		switch {
		case f.Is("Return-Path") && !haveFrom:
			e.from, haveFrom = returnPath(f.Value()), true
		case f.Is("Received"):
			r := parseReceived(f.Value())
			if r.by == "" && r.from != "" {
				// A client may have spoilt the field with its HELO, so as to be looked for below.
				return e, failf(exitData, "a Received field has no readable by clause: nothing below it can be trusted").or("give the envelope with --ip, --helo and --from")
			}
			if !strings.EqualFold(strings.TrimSuffix(r.by, "."), strings.TrimSuffix(host, ".")) {
				hosts = append(hosts, r.by)
				continue
			}
			if !r.ip.IsValid() {
				return e, failf(exitData, "the Received field by %s names no client address", host).or("give the envelope with --ip, --helo and --from")
			}
			e.ip, e.helo = r.ip, r.from
			e.derived = []string{"Received by " + r.by}
			if !haveFrom {
				e.derived = append(e.derived, "no Return-Path above it: the null reverse-path is assumed")
			}
			return e, nil
		}
	}
	f := failf(exitData, "no Received field is stamped by %s", host)
	switch {
	case len(hosts) == 0:
		return e, f.or("the message has no Received field at all: give the envelope with --ip, --helo and --from")
	default:
		return e, f.or("there are fields by %s", strings.Join(dedup(hosts, 5), ", "))
	}
}

func dedup(words []string, most int) []string {
	var out []string
	seen := map[string]bool{}
	for _, w := range words {
		if w != "" && !seen[w] && len(out) < most {
			seen[w] = true
			out = append(out, w)
		}
	}
	return out
}

// returnPath takes the angle brackets off (RFC 5321 §4.4).
func returnPath(value []byte) string {
	s := strings.TrimSpace(string(value[:min(len(value), maxTrace)]))
	if open := strings.IndexByte(s, '<'); open >= 0 {
		if end := strings.LastIndexByte(s, '>'); end > open {
			return strings.TrimSpace(s[open+1 : end])
		}
	}
	return s
}

// trace is what a Received field says of its hop.
type trace struct {
	from string // what the client called itself
	by   string // who stamped the field
	ip   netip.Addr
}

// parseReceived reads the from and by clauses (RFC 5321 §4.4). The address is the one in
// brackets within the comment of the from clause, "(name [192.0.2.1])", or a from clause
// that is an address literal. "from [..] (HELO name)" and "from x (HELO name)", the forms
// of qmail and Exim, give the name in the comment.
func parseReceived(value []byte) trace {
	var t trace
	words := traceWords(value[:min(len(value), maxTrace)])
	clause := ""
	for _, w := range words {
		if !w.comment {
			switch strings.ToLower(w.text) {
			case "from", "by", "via", "with", "id", "for":
				clause = strings.ToLower(w.text)
				continue
			}
		}
		switch {
		case clause == "from" && w.comment:
			t.fromComment(w.text)
		case clause == "from" && t.from == "":
			t.from = w.text
			if ip, ok := literal(w.text); ok {
				t.ip = ip
			}
		case clause == "by" && !w.comment && t.by == "":
			t.by = strings.TrimSuffix(w.text, ";")
		}
	}
	return t
}

// fromComment reads the comment of the from clause. What the client called itself is its
// own word: an address in it is never taken for the client's.
func (t *trace) fromComment(text string) {
	words := strings.Fields(text)
	for i := 0; i < len(words); i++ {
		w := words[i]
		key, name, ok := strings.Cut(w, "=")
		switch {
		case ok && strings.EqualFold(key, "helo"):
			t.from = name
		case (strings.EqualFold(w, "helo") || strings.EqualFold(w, "ehlo")) && i+1 < len(words):
			i++
			t.from = words[i]
		case w[0] == '[' && strings.IndexByte(w, ']') > 0:
			if ip, ok := literal(w[:strings.IndexByte(w, ']')+1]); ok {
				t.ip = ip
			}
		case !t.ip.IsValid() && len(words) == 1:
			t.ip, _ = literal(w)
		}
	}
}

// literal reads an address with or without brackets and the tag IPv6: (RFC 5321 §4.1.3).
func literal(s string) (netip.Addr, bool) {
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

type traceWord struct {
	text    string
	comment bool
}

// traceWords splits a Received value into words and top-level comments, up to the date.
func traceWords(value []byte) []traceWord {
	var words []traceWord
	for i := 0; i < len(value); {
		switch c := value[i]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			i++
		case c == ';':
			return words
		case c == '(':
			end := commentEnd(value, i)
			words = append(words, traceWord{string(value[i+1 : max(i+1, end-1)]), true})
			i = end
		default:
			n := bytes.IndexAny(value[i:], " \t\r\n;(")
			if n < 0 {
				n = len(value) - i
			}
			words = append(words, traceWord{string(value[i : i+n]), false})
			i += n
		}
	}
	return words
}

// commentEnd is the offset behind the comment that opens at i.
func commentEnd(value []byte, i int) int {
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
