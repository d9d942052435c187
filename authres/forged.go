package authres

import (
	"strings"

	"postseal/domain"
	"postseal/message"
)

// own begins the names of the fields that only this program writes.
const own = "x-postseal-"

// Forged reports whether a received field pretends to come from one of the authserv-ids
// ids, and is to be removed (RFC 8601 §5): an Authentication-Results field with such an
// id, of a version not known, or that Parse cannot read; a Received-SPF field whose
// receiver is such an id or cannot be read; and every X-Postseal field. An
// ARC-Authentication-Results field is sealed and stays.
func Forged(f message.Field, ids []string) bool {
	name := f.Name()
	switch {
	case f.Is("Authentication-Results"):
		return forgedResults(f.Value(), ids)
	case f.Is("Received-SPF"):
		receivers, ok := receivers(string(f.Value()))
		return !ok || anyOf(receivers, ids)
	}
	return len(name) >= len(own) && strings.EqualFold(string(name[:len(own)]), own)
}

// forgedResults: what cannot be read could be read by another as ours.
func forgedResults(body []byte, ids []string) bool {
	f, late, err := parse(body)
	return err != nil || f.Version > 1 || anyOf(append(late, f.AuthservID), ids)
}

// hasStrayLineEnd finds a line ending that is not a fold: whoever reads the message later might
// see a second field after it.
func hasStrayLineEnd(body string) bool {
	p := scanner{s: body}
	for {
		i := strings.IndexAny(p.s[p.pos:], "\r\n")
		if i < 0 {
			return false
		}
		if p.pos += i; !p.space() {
			return true
		}
	}
}

// anyOf reports whether a name is one of ids: as a host name where it is one, else without
// regard to case (RFC 8601 §2.5, §5). A name that is neither ASCII nor a host name could be
// shown as any id, and counts as one.
func anyOf(names, ids []string) bool {
	for _, name := range names {
		name = bare(name)
		for _, id := range ids {
			if strings.EqualFold(name, bare(id)) {
				return true
			}
		}
		if (!isASCII(name) || !allASCII(ids)) && sameDomain(name, ids) {
			return true
		}
	}
	return false
}

// bare is an id without what readers ignore at its ends.
func bare(id string) string { return strings.TrimRight(strings.TrimSpace(id), ".") }

func allASCII(ids []string) bool {
	for _, id := range ids {
		if !isASCII(id) {
			return false
		}
	}
	return true
}

// sameDomain compares A-labels: the U-label form of a name has one A-label form (RFC 5891
// §4.4).
func sameDomain(name string, ids []string) bool {
	a, err := domain.Parse(bare(fullStops(name)))
	if err != nil {
		return !isASCII(name)
	}
	for _, id := range ids {
		if b, err := domain.Parse(bare(fullStops(id))); err == nil && a == b {
			return true
		}
	}
	return false
}

// fullStops makes each full stop that IDNA takes for a dot (RFC 3490 §3.1) one.
func fullStops(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case 0x3002, 0xff0e, 0xff61:
			return '.'
		}
		return r
	}, s)
}

// receivers names who wrote a Received-SPF field (RFC 7208 §9.1): each receiver key, or when
// there is none the name before ":" in the comment after the result. ok is false when the field
// cannot be read.
func receivers(body string) (names []string, ok bool) {
	if len(body) > maxLength || hasStrayLineEnd(body) {
		return nil, false
	}
	p := &scanner{s: body}
	if p.cfws(); p.keyword() == "" {
		return nil, false
	}
	p.cfws()
	comment := text(p.comment)
	for !p.end() {
		if p.take(';') {
			p.cfws()
			continue
		}
		key := p.key()
		if p.cfws(); key == "" || !p.take('=') {
			return nil, false
		}
		p.cfws()
		v, ok := p.propertyValue()
		if !ok {
			return nil, false
		}
		if strings.EqualFold(key, "receiver") {
			names = append(names, v)
		}
		p.cfws()
	}
	if author, _, found := strings.Cut(comment, ":"); found && len(names) == 0 {
		names = append(names, author)
	}
	return names, p.bad == nil
}

// key reads the name of RFC 7208 §12: letters, digits, "-", "_" and ".".
func (p *scanner) key() string {
	start := p.pos
	for p.keyword() != "" || p.take('.') {
	}
	return p.s[start:p.pos]
}
