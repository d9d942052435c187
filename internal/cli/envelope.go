package cli

import (
	"net/netip"
	"strings"

	"postseal/internal/received"
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
			r := received.Parse(f.Value())
			if r.By == "" && r.From != "" {
				// A client may have spoilt the field with its HELO, so as to be looked for below.
				return e, failf(exitData, "a Received field has no readable by clause: nothing below it can be trusted").or("give the envelope with --ip, --helo and --from")
			}
			if !strings.EqualFold(strings.TrimSuffix(r.By, "."), strings.TrimSuffix(host, ".")) {
				hosts = append(hosts, r.By)
				continue
			}
			if !r.IP.IsValid() {
				return e, failf(exitData, "the Received field by %s names no client address", host).or("give the envelope with --ip, --helo and --from")
			}
			e.ip, e.helo = r.IP, r.From
			e.derived = []string{"Received by " + r.By}
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
