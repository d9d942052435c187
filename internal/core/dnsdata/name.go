// Package dnsdata knows names and sizes in the DNS: which name can exist, its one form, whom it
// belongs to, and what a record takes in memory.
package dnsdata

import (
	"strings"

	"postseal/domain"
)

// ValidName reports whether name can exist in the DNS: no empty label, no label over
// 63 octets, at most 253 octets (RFC 1035 §2.3.4). One trailing dot is allowed.
func ValidName(name string) bool {
	if n := len(name); n > 0 && name[n-1] == '.' {
		name = name[:n-1]
	}
	if name == "" || len(name) > 253 {
		return false
	}
	label := 0
	for i := 0; i < len(name); i++ {
		if name[i] != '.' {
			if label++; label > 63 {
				return false
			}
			continue
		}
		if label == 0 {
			return false
		}
		label = 0
	}
	return label > 0
}

// Canonical returns the one form of a name: lower case, without the one trailing
// dot that it may have. ok is false when the name cannot exist.
func Canonical(name string) (c string, ok bool) {
	if !ValidName(name) {
		return name, false
	}
	if name[len(name)-1] == '.' {
		name = name[:len(name)-1]
	}
	for i := 0; i < len(name); i++ {
		if lower(name[i]) != name[i] {
			return lowered(name), true
		}
	}
	return name, true
}

func lowered(name string) string {
	b := []byte(name)
	for i, c := range b {
		b[i] = lower(c)
	}
	return string(b)
}

// EqualFold compares ASCII letters without regard to their case.
func EqualFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// Organization is the registered domain that a canonical name is below, which pays for its name
// servers: the part after the last label with an underscore decides. What is not a domain is
// its own organization.
func Organization(name string) string {
	host := name
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] != '_' {
			continue
		}
		_, host, _ = strings.Cut(name[i:], ".")
		break
	}
	if d, err := domain.Parse(host); err == nil {
		return string(d.Registrable())
	}
	return host
}
