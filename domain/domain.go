// Package domain holds the one form in which domain names are compared: lower
// case A-labels without a trailing dot (RFC 5890 §2.3.2.1, RFC 8616 §2).
package domain

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// Bounds of a domain name in octets (RFC 1035 §2.3.4); 253 is the longest
// presentation form without the trailing dot.
const (
	MaxName  = 253
	maxLabel = 63
)

// Name is a domain name made by Parse: lower-case A-labels, no trailing dot, only letters,
// digits, hyphens and underscores. The zero value is not a name.
type Name string

// Errors of Parse; each is wrapped with the name at fault, quoted.
var (
	ErrEmpty     = errors.New("empty domain name")
	ErrLabel     = errors.New("label is empty or longer than 63 octets")
	ErrLength    = errors.New("domain name is longer than 253 octets")
	ErrCharacter = errors.New("character that no domain name may hold")
	ErrIDNA      = errors.New("label is not a valid internationalized label")
)

// lookup follows UTS 46 for lookup. It is given only non-ASCII labels, because it
// would refuse deployed ASCII ones such as "_dmarc" or "r3---sn".
var lookup = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.CheckJoiners(true), idna.StrictDomainName(false), idna.Transitional(false))

// Parse brings s to the form of a Name: one trailing dot is dropped, U-labels become
// A-labels (RFC 8616 §2), letters become lower case. Errors wrap one of the Err
// values above.
func Parse(s string) (Name, error) {
	trimmed := strings.TrimSuffix(s, ".")
	if trimmed == "" {
		return "", ErrEmpty
	}
	if len(trimmed) > 4*MaxName {
		return "", ErrLength
	}
	name, err := toASCII(trimmed)
	if err != nil {
		return "", fmt.Errorf("%q: %w", s, err)
	}
	if err := check(name); err != nil {
		return "", fmt.Errorf("%q: %w", s, err)
	}
	return Name(name), nil
}

func toASCII(s string) (string, error) {
	ascii, lower := true, true
	for i := 0; i < len(s); i++ {
		ascii = ascii && s[i] < 0x80
		lower = lower && (s[i] < 'A' || s[i] > 'Z')
	}
	switch {
	case ascii && lower:
		return s, nil
	case ascii:
		return strings.ToLower(s), nil
	}
	if !utf8.ValidString(s) {
		return "", ErrIDNA
	}
	labels := strings.Split(s, ".")
	for i, l := range labels {
		if isASCII(l) {
			labels[i] = strings.ToLower(l)
			continue
		}
		a, err := lookup.ToASCII(l)
		// A mapped full stop (U+3002) would make two labels of one.
		if err != nil || strings.Contains(a, ".") {
			return "", ErrIDNA
		}
		labels[i] = a
	}
	return strings.Join(labels, "."), nil
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func check(s string) error {
	if len(s) > MaxName {
		return ErrLength
	}
	label := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '.' {
			if label == 0 {
				return ErrLabel
			}
			label = 0
			continue
		}
		if !isLDH(c) && c != '_' {
			return ErrCharacter
		}
		if label++; label > maxLabel {
			return ErrLabel
		}
	}
	if label == 0 {
		return ErrLabel
	}
	return nil
}

func isLDH(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-'
}

// String returns the name in its one form.
func (n Name) String() string { return string(n) }

// Labels returns the number of labels; 0 for the zero Name.
func (n Name) Labels() int {
	if n == "" {
		return 0
	}
	return strings.Count(string(n), ".") + 1
}

// Parent returns n without its left-most label; the parent of a top-level domain is
// the zero Name.
func (n Name) Parent() Name {
	_, parent, _ := strings.Cut(string(n), ".")
	return Name(parent)
}

// Last returns the right-most k labels of n, or n itself when it has no more.
func (n Name) Last(k int) Name {
	for extra := n.Labels() - k; extra > 0; extra-- {
		n = n.Parent()
	}
	return n
}

// Within reports whether n is a or lies below a, on a label boundary (RFC 1034 §3.1).
func (n Name) Within(a Name) bool {
	if len(n) == len(a) {
		return n == a
	}
	return a != "" && len(n) > len(a) && n[len(n)-len(a)-1] == '.' && n[len(n)-len(a):] == a
}

// PublicSuffix returns the public suffix of n (RFC 7489 §3.2) and whether the ICANN section of the
// list names it.
func (n Name) PublicSuffix() (suffix Name, icann bool) {
	s, icann := publicsuffix.PublicSuffix(string(n))
	return Name(s), icann
}

// Registrable returns the public suffix of n with one more label, which RFC 7489 §3.2
// takes for the Organizational Domain; n itself when n is a public suffix.
func (n Name) Registrable() Name {
	s, err := publicsuffix.EffectiveTLDPlusOne(string(n))
	if err != nil {
		return n
	}
	return Name(s)
}
