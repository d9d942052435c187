package repair

import (
	"bytes"
	"encoding/base64"
	"regexp"
	"slices"
	"strings"

	"postseal/dkim"
	"postseal/internal/core/tagvalue"
	"postseal/lint"
)

// KeyFault is a kind of damage to a DKIM key on its way into the DNS.
type KeyFault string

// The kinds of damage that the record shows.
const (
	PrivateKey  KeyFault = "private-key"  // p= contains the private key
	Truncated   KeyFault = "truncated"    // the key is shorter than its DER says
	StringOrder KeyFault = "string-order" // the character-strings are in another order
	PlusLost    KeyFault = "plus-lost"    // "+" became a space, as in a form
	WrongType   KeyFault = "wrong-type"   // an Ed25519 key without k=ed25519
	OtherFault  KeyFault = ""
)

// Detail describes the damage. It is empty for OtherFault.
func (f KeyFault) Detail() string {
	switch f {
	case PrivateKey:
		return "p= contains the private key: anyone can sign as you"
	case Truncated:
		return "the record ends before the key is complete"
	case StringOrder:
		return "the character-strings of the record are in the wrong order"
	case PlusLost:
		return "p= contains spaces where + belongs"
	case WrongType:
		return "p= has the 32 octets of an Ed25519 key, but k= does not say ed25519"
	}
	return ""
}

var (
	pemLine     = regexp.MustCompile(`-+\s*(?:BEGIN|END)[A-Z ]*KEY\s*-+`)
	keyTag      = regexp.MustCompile(`(?i)(?:^|[;,\s])\s*([vkhnstpg])\s*=`)
	keyVersion  = regexp.MustCompile(`(?i)^dkim\s*1?$`)
	privateMark = regexp.MustCompile(`(?i)PRIVATE\s+KEY`)
)

// Key returns the key record intended by a text whose character-strings have the given lengths,
// and the damage it found. A record that it returns contains a complete public key that can
// verify signatures.
func Key(text string, lengths []int) (record string, fault KeyFault, err error) {
	clean, ok := Clean(text)
	if !ok {
		return "", OtherFault, unclear(text, "has octets that are not text")
	}
	der := decoded(stripBlanks(valueOf(clean, "p")))
	if privateMark.MatchString(clean) || private(der) {
		return "", PrivateKey, unclear("", "the private key is public: make another")
	}
	for _, c := range candidates(clean, text, lengths) {
		if built, ok := buildKey(c.text); ok {
			return built, c.fault, nil
		}
	}
	if truncated(der) {
		return "", Truncated, unclear("", "the rest of the key is missing: publish it from where it was made")
	}
	return "", OtherFault, unclear("", "there is no key in it: publish it again from where it was made")
}

// Damage returns the damage to a record that is not a key, and the octet where it is if it has a place: otherwise -1.
func Damage(text string, lengths []int) (fault KeyFault, offset int) {
	_, fault, _ = Key(text, lengths)
	if fault == OtherFault || fault == StringOrder {
		return fault, -1
	}
	return fault, strings.Index(text, "p=")
}

type candidate struct {
	text  string
	fault KeyFault
}

// candidates returns the texts that may have been meant, the least changed first.
func candidates(clean, text string, lengths []int) []candidate {
	list := []candidate{{clean, OtherFault}}
	if !keyTag.MatchString(clean) { // the key alone, as a tool printed it
		bare := "p=" + pemLine.ReplaceAllString(clean, "")
		list = append(list, candidate{bare, OtherFault}, candidate{setTag(bare, "k", "ed25519"), OtherFault})
	}
	if p := valueOf(clean, "p"); strings.Contains(strings.TrimSpace(p), " ") && !pemLine.MatchString(p) {
		list = append(list, candidate{strings.Replace(clean, p, strings.ReplaceAll(strings.TrimSpace(p), " ", "+"), 1), PlusLost})
	}
	if len(decoded(stripBlanks(valueOf(clean, "p")))) == 32 {
		list = append(list, candidate{setTag(clean, "k", "ed25519"), WrongType})
	}
	const most = 4 // 4 strings have 24 orders
	if n := len(lengths); n > 1 && n <= most {
		parts, at := make([]string, 0, n), 0
		for _, l := range lengths {
			end := min(at+l, len(text))
			parts = append(parts, text[at:end])
			at = end
		}
		for _, p := range orders(parts) {
			if joined, ok := Clean(strings.Join(p, "")); ok && keyTag.MatchString(joined[:min(len(joined), 4)]) {
				list = append(list, candidate{joined, StringOrder})
			}
		}
	}
	return list
}

// orders yields the permutations of parts.
func orders(parts []string) [][]string {
	if len(parts) < 2 {
		return [][]string{parts}
	}
	var list [][]string
	for i := range parts {
		rest := slices.Delete(slices.Clone(parts), i, i+1)
		for _, o := range orders(rest) {
			list = append(list, append([]string{parts[i]}, o...))
		}
	}
	return list
}

// valueOf returns the value of a tag as written.
func valueOf(text, tag string) string {
	marks := keyTag.FindAllStringSubmatchIndex(text, -1)
	for i, at := range marks {
		if !strings.EqualFold(text[at[2]:at[3]], tag) {
			continue
		}
		end := len(text)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		value, _, _ := strings.Cut(text[at[1]:end], ";")
		return value
	}
	return ""
}

func setTag(text, tag, value string) string {
	if old := valueOf(text, tag); old != "" {
		return strings.Replace(text, old, value, 1)
	}
	return tag + "=" + value + "; " + text
}

func stripBlanks(s string) string {
	s = pemLine.ReplaceAllString(s, "")
	return strings.Join(strings.Fields(s), "")
}

// buildKey writes the tags of text in order, v= first, without those that have no effect or
// forbid every use, and reports whether the result is a key that can verify.
func buildKey(text string) (string, bool) {
	var tags []string
	seen := map[string]string{}
	marks := keyTag.FindAllStringSubmatchIndex(text, -1)
	for _, at := range marks {
		name := strings.ToLower(text[at[2]:at[3]])
		value := strings.TrimSpace(strings.Trim(valueOf(text[at[0]:], name), ","))
		if old, twice := seen[name]; twice && old != value {
			return "", false
		} else if twice {
			continue
		}
		seen[name] = value
		switch name {
		case "v":
			if !keyVersion.MatchString(value) {
				return "", false
			}
			continue
		case "g":
			continue // RFC 6376 Appendix C.2
		case "h":
			value = "sha256"
		case "s":
			if !strings.Contains(value, "*") && !strings.Contains(value, "email") {
				continue
			}
		case "p":
			value = stripBlanks(value)
		}
		tags = append(tags, name+"="+value)
	}
	if seen["p"] == "" {
		return "", false
	}
	record := "v=DKIM1; " + strings.Join(tags, "; ")
	if _, err := tagvalue.Parse(record); err != nil || !printable(record) {
		return "", false
	}
	for _, p := range dkim.Lint(record) {
		if p.Severity == lint.Error || p.Severity == lint.Critical {
			return "", false
		}
	}
	return record, true
}

// decoded decodes base64 as far as possible.
func decoded(p string) []byte {
	p = strings.TrimRight(p, "=")
	if len(p)%4 == 1 {
		p = p[:len(p)-1]
	}
	data, _ := base64.RawStdEncoding.DecodeString(p)
	return data
}

// contents skips the header of a DER SEQUENCE; declared is the length in it.
func contents(der []byte) (body []byte, declared int) {
	if len(der) < 4 || der[0] != 0x30 {
		return nil, 0
	}
	switch n := der[1]; {
	case n < 0x80:
		return der[2:], int(n)
	case n == 0x81:
		return der[3:], int(der[2])
	case n == 0x82:
		return der[4:], int(der[2])<<8 | int(der[3])
	}
	return nil, 0
}

// private reports whether der starts like a private key in PKCS #1 or PKCS #8: with a version.
// A public key starts with an algorithm or a modulus.
func private(der []byte) bool {
	body, _ := contents(der)
	return bytes.HasPrefix(body, []byte{2, 1, 0}) || bytes.HasPrefix(body, []byte{2, 1, 1})
}

func truncated(der []byte) bool {
	body, declared := contents(der)
	return declared > 0 && len(body) < declared-2
}
