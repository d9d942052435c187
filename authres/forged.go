package authres

import (
	"strings"

	"postseal/internal/domain"
	"postseal/message"
)

// Forged reports whether a received field pretends to come from one of the authserv-ids
// ids, and is to be removed (RFC 8601 §5): an Authentication-Results field with such an
// id, with none that can be read, or of a version not known; a Received-SPF field whose
// receiver is such an id; and every X-Postseal field. An ARC-Authentication-Results field
// is sealed and stays.
func Forged(f message.Field, ids []string) bool {
	switch {
	case f.Is("Authentication-Results"):
		parsed, err := Parse(f.Value())
		if parsed.AuthservID == "" || parsed.Version > 1 {
			return true
		}
		// What stands behind an error may be read by others: only a foreign id is let pass.
		_ = err
		return oneOf(parsed.AuthservID, ids)
	case f.Is("Received-SPF"):
		receiver, ok := receiver(string(f.Value()))
		return !ok || oneOf(receiver, ids)
	}
	const own = "x-postseal-"
	name := f.Name()
	return len(name) > len(own) && strings.EqualFold(string(name[:len(own)]), own)
}

// oneOf compares as host names where both are, without regard to case (RFC 8601 §2.5, §5).
func oneOf(id string, ids []string) bool {
	for _, own := range ids {
		if strings.EqualFold(strings.TrimSuffix(id, "."), strings.TrimSuffix(own, ".")) {
			return true
		}
		a, err := domain.Parse(id)
		b, errOwn := domain.Parse(own)
		if err == nil && errOwn == nil && a == b {
			return true
		}
	}
	return false
}

// receiver finds the receiver key of a Received-SPF field (RFC 7208 §9.1). ok is false when
// the field cannot be read; a field without the key has receiver "".
func receiver(value string) (name string, ok bool) {
	p := &parser{s: value}
	if !p.cfws() || p.keyword() == "" {
		return "", false
	}
	for {
		if !p.cfws() {
			return "", false
		}
		for p.byte(';') {
			if !p.cfws() {
				return "", false
			}
		}
		if p.pos == len(p.s) {
			return name, true
		}
		key := p.keyword()
		if key == "" || !p.cfws() || !p.byte('=') || !p.cfws() {
			return "", false
		}
		v, ok := p.propertyValue()
		if !ok {
			return "", false
		}
		if strings.EqualFold(key, "receiver") {
			name = v
		}
	}
}
