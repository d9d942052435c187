package audit

import (
	"strings"
)

// mended returns the record without the fault that a rule finds in it at an offset, "" where
// that takes more than a change of the text. The change is the least that takes the fault
// away.
func mended(id string, at Where) string {
	if at.Record == "" || at.Offset > len(at.Record) {
		return ""
	}
	switch id {
	case "spf.ptr", "spf.dead-term", "spf.duplicate", "spf.redundant-range", "spf.private-range", "spf.after-all", "spf.redirect-unused",
		"spf.unknown-modifier", "spf.exp", "spf.loop", "spf.include-broken":
		return replaceTerm(at.Record, at.Offset, "")
	case "spf.all-permissive", "spf.all-neutral", "spf.all-fail":
		return replaceTerm(at.Record, at.Offset, "~all")
	case "spf.all-missing":
		return strings.TrimRight(at.Record, " ") + " ~all"
	case "spf.string-join":
		return at.Record[:at.Offset] + " " + at.Record[at.Offset:]
	case "dmarc.obsolete-tag", "dmarc.unknown-tag", "dmarc.duplicate-tag", "dmarc.syntax":
		return mendTag(at.Record, func(f field) bool { return f.nameOffset == at.Offset }, successor)
	}
	if name := dropped[id]; name != "" {
		return mendTag(at.Record, func(f field) bool { return strings.EqualFold(f.name, name) }, nil)
	}
	if id == "dmarc.policy-none" {
		return mendTag(at.Record, func(f field) bool { return strings.EqualFold(f.name, "p") }, func(field) string { return "p=quarantine" })
	}
	return ""
}

// dropped names the tag that is the fault.
var dropped = map[string]string{"dmarc.weak-sp": "sp", "dmarc.weak-np": "np", "dmarc.testing": "t", "dmarc.fo-without-ruf": "fo", "dmarc.ruf-of-psd": "ruf",
	"dmarc.psd": "psd", "dkim.granularity": "g", "dkim.sha1": "h", "dkim.hash": "h", "dkim.service": "s"}

// successor is what stands for a removed tag: only pct=0 has one (RFC 9989 Appendix A.6).
func successor(f field) string {
	if strings.EqualFold(f.name, "pct") && f.value == "0" {
		return "t=y"
	}
	return ""
}

// replaceTerm puts text in the place of the term at offset.
func replaceTerm(record string, offset int, text string) string {
	start := strings.LastIndexByte(record[:offset], ' ') + 1
	end := start + strings.IndexByte(record[start:]+" ", ' ')
	if start == 0 || start == end {
		return "" // the version, or no term
	}
	var words []string
	for _, part := range []string{record[:start], text, record[end:]} {
		words = append(words, strings.Fields(part)...)
	}
	return strings.Join(words, " ")
}

// mendTag replaces the tags that match by what instead says, or drops them.
func mendTag(record string, match func(field) bool, instead func(field) string) string {
	var parts []string
	found := false
	for _, f := range fields(record) {
		part := f.name + "=" + f.value
		if !f.equals {
			part = f.name
		}
		if match(f) {
			found = true
			if part = ""; instead != nil {
				part = instead(f)
			}
		}
		if part != "" {
			parts = append(parts, part)
		}
	}
	if !found {
		return ""
	}
	return strings.Join(parts, "; ")
}
