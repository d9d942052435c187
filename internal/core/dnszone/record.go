package dnszone

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"postseal/resolver"
)

// Format writes exchanges as text that Parse answers from in the same way: see RECORDED in the
// package comment. Failures that say nothing of the DNS, such as a spent budget, are omitted.
// Names and data are escaped: no octet of the DNS can end a line.
func Format(exchanges []resolver.Exchange) string {
	w := recorder{written: map[string]bool{}, aliases: map[string]time.Duration{}}
	w.text.WriteString("; RECORDED\n")
	for i := range exchanges {
		e := &exchanges[i]
		if e.Err == nil && e.Answer.Aliased(e.Name) {
			w.aliases[e.Name] = max(w.aliases[e.Name], e.Answer.TTL)
		}
	}
	for _, aliased := range [...]bool{false, true} { // an alias shortens the TTL of what it leads to
		for i := range exchanges {
			if e := &exchanges[i]; aliased == e.Answer.Aliased(e.Name) {
				w.exchange(e)
			}
		}
	}
	return w.text.String()
}

// recorder writes each set of records once: several names may lead to it.
type recorder struct {
	text    strings.Builder
	written map[string]bool
	aliases map[string]time.Duration
}

// once writes lines unless something was written under this key.
func (w *recorder) once(key string, lines ...string) {
	if w.written[key] {
		return
	}
	w.written[key] = true
	for _, l := range lines {
		w.text.WriteString(l + "\n")
	}
}

func (w *recorder) exchange(e *resolver.Exchange) {
	name, a := escapeName(e.Name), &e.Answer
	if e.Err != nil {
		if fault := faultWord(resolver.KindOf(e.Err)); fault != "" {
			w.once("fault "+name+e.Type.String(), fmt.Sprintf("; FAULT %s %s %s", name, e.Type, fault))
		}
		return
	}
	owner := name
	if ttl, aliased := w.aliases[e.Name]; aliased {
		owner = escapeName(a.Canonical)
		w.once("alias "+name, fmt.Sprintf("%s %d CNAME %s", name, seconds(ttl), owner))
	}
	if a.Security == resolver.Secure {
		w.once("secure "+name, "; SECURE "+name)
		w.once("secure "+owner, "; SECURE "+owner)
	}
	if a.Stale {
		w.once("stale "+name+e.Type.String(), fmt.Sprintf("; STALE %s %s", name, e.Type))
	}
	switch {
	case a.NXDomain:
		w.once("nx "+owner, fmt.Sprintf("; NXDOMAIN %s %d", owner, seconds(a.TTL)))
		return
	case len(a.Records) == 0:
		w.once(owner+e.Type.String(), fmt.Sprintf("; NODATA %s %s %d", owner, e.Type, seconds(a.TTL)))
		return
	}
	lines := make([]string, 0, len(a.Records))
	for i := range a.Records {
		lines = append(lines, fmt.Sprintf("%s %d %s %s", owner, seconds(a.TTL), e.Type, data(e.Type, &a.Records[i])))
	}
	w.once(owner+e.Type.String(), lines...)
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

func faultWord(kind resolver.Kind) string {
	for word, k := range faultKinds {
		if k == kind {
			return word
		}
	}
	return ""
}

func data(t resolver.Type, rr *resolver.RR) string {
	switch t {
	case resolver.A, resolver.AAAA:
		return rr.Addr.String()
	case resolver.MX:
		return fmt.Sprintf("%d %s", rr.Preference, escapeName(rr.Target))
	case resolver.PTR, resolver.NS, resolver.CNAME:
		return escapeName(rr.Target)
	case resolver.TXT, resolver.SPF:
		return characterStrings(rr)
	}
	return fmt.Sprintf("\\# %d %x", len(rr.Data), rr.Data)
}

// characterStrings writes the text as it was divided, or in pieces of 255 octets.
func characterStrings(rr *resolver.RR) string {
	var parts []string
	rest := rr.Text
	for _, n := range rr.Strings {
		n = min(n, len(rest))
		parts, rest = append(parts, quote(rest[:n])), rest[n:]
	}
	for piece := range slices.Chunk([]byte(rest), 255) {
		parts = append(parts, quote(string(piece)))
	}
	if len(parts) == 0 {
		return `""`
	}
	return strings.Join(parts, " ")
}

func quote(s string) string { return `"` + escape(s, `"\`) + `"` }

// escapeName is name in presentation form, with its trailing dot.
func escapeName(name string) string { return escape(name, `"\;()@$`) + "." }

// escape writes octets that are not visible ASCII as \DDD, and special ones after a backslash
// (RFC 1035 §5.1).
func escape(s, special string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c < 0x20 || c > 0x7e || c == ' ' && special != `"\`:
			fmt.Fprintf(&b, "\\%03d", c)
		case strings.IndexByte(special, c) >= 0:
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
