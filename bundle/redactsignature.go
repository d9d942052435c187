package bundle

import (
	"strings"

	"postseal/domain"
	"postseal/internal/core/signature"
	"postseal/internal/core/tagvalue"
)

// RedactSignature rebuilds the value of a signature field from the tags that a verifier reads (RFC
// 6376 §3.5, RFC 8617 §4.1). Each value either has the form of its tag or is replaced by one that
// breaks the same rule. Of a list that cannot be read the d= stays, by which it is ranked.
func RedactSignature(value string) string {
	tags, err := tagvalue.Parse(value)
	if err != nil {
		for t := range tagvalue.Split(value) {
			if t.Name == "d" {
				return " d=" + redactDomain(t.Value) + "; " + omitted
			}
		}
		return " " + omitted
	}
	var b strings.Builder
	b.Grow(len(value))
	for _, t := range tags {
		if keep := signatureTags[t.Name]; keep != nil {
			if b.Len() > 0 {
				b.WriteByte(';')
			}
			b.WriteByte(' ')
			b.WriteString(t.Name)
			b.WriteByte('=')
			b.WriteString(keep(t.Value))
		}
	}
	if b.Len() == 0 { // a list without tags would be another fault
		return " x_omitted="
	}
	return b.String()
}

// signatureTags are the tags that a verifier reads, each with what stays of its value.
var signatureTags = map[string]func(string) string{
	"v": only("1"), "a": redactWord, "b": redactBase64, "bh": redactBase64, "c": redactCanonicalization, "d": redactDomain, "s": redactDomain,
	"h": redactNames, "i": redactIdentity, "l": redactNumber, "q": redactMethods, "t": redactNumber, "x": redactNumber,
	"cv": only("none", "pass", "fail"),
}

// only keeps one of some words, in any case of letters.
func only(words ...string) func(string) string {
	return func(value string) string {
		for _, w := range words {
			if strings.EqualFold(value, w) {
				return value
			}
		}
		return omitted
	}
}

func redactWord(value string) string {
	if isWord(value) {
		return value
	}
	return omitted
}

func redactBase64(value string) string {
	digits := tagvalue.StripFWS(value)
	if strings.Trim(digits, base64Digits) == "" {
		return digits
	}
	return "(" + omitted + ")"
}

const base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="

var canonicalWord = only("simple", "relaxed")

func redactCanonicalization(value string) string {
	header, body, both := strings.Cut(value, "/")
	if both {
		return canonicalWord(header) + "/" + canonicalWord(body)
	}
	return canonicalWord(header)
}

func redactDomain(value string) string {
	if _, err := domain.Parse(value); err != nil {
		return "(" + omitted + ")"
	}
	return value
}

// redactNames keeps the number of names in h=, and a list that is broken one that is broken.
func redactNames(value string) string {
	names := strings.Split(value, ":")
	for i, name := range names {
		name = strings.Trim(name, " \t\r\n")
		switch {
		case name == "" || isWord(name):
			names[i] = name
		case strings.IndexFunc(name, func(r rune) bool { return r < 33 || r > 126 }) >= 0:
			names[i] = omitted + " " + omitted
		default:
			names[i] = omitted
		}
	}
	return strings.Join(names, ":")
}

// redactIdentity keeps the domain of i=: the AUID in DKIM, up to two digits in ARC.
func redactIdentity(value string) string {
	if len(value) <= 2 && isNumber(value) {
		return value
	}
	f, _ := signature.ParseTags([]tagvalue.Tag{{Name: "i", Value: value}})
	switch {
	case f.Identity == "":
		return "(" + omitted + ")"
	case strings.HasPrefix(f.AUID, "@"):
		return "@" + string(f.Identity)
	}
	return omitted + "@" + string(f.Identity)
}

func redactMethods(value string) string {
	for m := range strings.SplitSeq(value, ":") {
		if m = tagvalue.StripFWS(m); m == "dns/txt" {
			return m
		}
	}
	return omitted
}

func redactNumber(value string) string {
	if isNumber(value) {
		return value
	}
	return omitted
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
