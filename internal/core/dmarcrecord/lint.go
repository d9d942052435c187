package dmarcrecord

import (
	"slices"
	"strings"

	"postseal/lint"
)

// Lint says what is wrong with the text of a record, or unwise in it, without asking the
// DNS. Receivers ignore most errors silently (RFC 9989 §4.8), which is why they are told
// here.
func Lint(text string) []lint.Problem {
	tags, ok := split(text)
	if !ok {
		return []lint.Problem{{ID: "dmarc.not-recognised", Severity: lint.Error, Message: "no DMARC record: it must begin with v=DMARC1, in this case",
			Fix: "begin the record with v=DMARC1;", RFC: "9989 §4.8"}}
	}
	l := &linter{record: nil}
	l.record, _ = Parse(text)
	var seen tagSet
	for tags.next() {
		l.tag(tags.tag, &seen)
	}
	l.whole(text, seen)
	slices.SortStableFunc(l.problems, func(a, b lint.Problem) int { return a.Offset - b.Offset })
	return l.problems
}

type linter struct {
	record   *Record
	problems []lint.Problem
}

func (l *linter) add(id string, s lint.Severity, offset int, message, fix, rfc string) {
	l.problems = append(l.problems, lint.Problem{ID: "dmarc." + id, Severity: s, Offset: offset, Message: message, Fix: fix, RFC: rfc})
}

// removedTags are those of RFC 7489 that mean nothing any more (RFC 9989 Appendix C).
var removedTags = map[string]string{
	"pct": "receivers of RFC 9989 ignore pct; only pct=0 had a successor, t=y",
	"rf":  "receivers of RFC 9989 ignore rf",
	"ri":  "receivers of RFC 9989 ignore ri",
}

// removedDefaults are the values that mean the same to receivers of RFC 7489 (§6.3).
var removedDefaults = map[string]string{"pct": "100", "rf": "afrf", "ri": "86400"}

func (l *linter) tag(t tag, seen *tagSet) {
	name := lower(t.name)
	id := tagID(t.name)
	switch {
	case !t.equals:
		l.add("syntax", lint.Error, t.nameOffset, `"`+clip(t.name)+`" has no "="; receivers ignore it`, `write tags as name=value; between them ";"`, "9989 §4.8")
		return
	case removedDefaults[name] == lower(t.value) && t.value != "":
		l.add("obsolete-default", lint.Info, t.nameOffset, name+" was removed by RFC 9989, and has its old default: nothing differs", "remove "+name, "9989 §C.5.2")
		return
	case removedTags[name] != "":
		l.add("obsolete-tag", lint.Warning, t.nameOffset, removedTags[name], "remove "+name, "9989 §4.7")
		return
	case name == "v":
		l.add("duplicate-tag", lint.Error, t.nameOffset, "a second v=; receivers may discard the record", "remove it", "9989 §4.7")
		return
	case id == 0:
		l.add("unknown-tag", lint.Warning, t.nameOffset, `unknown tag "`+clip(t.name)+`"`, "correct or remove it", "9989 §4.7")
		return
	case seen.has(id):
		l.add("duplicate-tag", lint.Error, t.nameOffset, "a second "+name+"=; some receivers discard the record, others take the first or the last", "keep one", "9989 §4.7")
		return
	}
	if id == tagP && *seen != 0 {
		l.add("tag-order", lint.Info, t.nameOffset, "p is not the second tag: receivers of RFC 7489 want it there", "write p after v", "7489 §6.3")
	}
	seen.add(id)
	l.value(name, t)
}

var values = map[string]string{"p": "none quarantine reject", "sp": "none quarantine reject", "np": "none quarantine reject",
	"adkim": "r s", "aspf": "r s", "t": "y n", "psd": "y n u"}

func (l *linter) value(name string, t tag) {
	if allowed, ok := values[name]; ok {
		if (name == "sp" || name == "np") && t.value == "" {
			l.add("bad-value", lint.Warning, t.valueOffset, name+"= is empty and counts as absent", "remove it, or use one of "+allowed, "9989 §4.7")
			return
		}
		if !slices.Contains(strings.Fields(allowed), lower(t.value)) {
			l.add("bad-value", lint.Error, t.valueOffset, name+`="`+clip(t.value)+`" is not one of `+allowed, "use one of "+allowed, "9989 §4.7")
		}
		return
	}
	switch name {
	case "fo":
		options, ok := failureOptions(t.value)
		if ok && strings.Contains(options, "0") && strings.Contains(options, "1") {
			l.add("fo-redundant", lint.Info, t.valueOffset, "fo=1 asks for all that fo=0 asks for", "write fo=1", "9989 §4.7")
		}
		if !ok {
			l.add("bad-value", lint.Error, t.valueOffset, "fo has other options than 0, 1, d, s", `use them with ":" between`, "9989 §4.7")
		}
	case "rua", "ruf":
		l.uris(name, t)
	}
}

func (l *linter) uris(name string, t tag) {
	offset := t.valueOffset
	seen := map[string]bool{}
	for part := range strings.SplitSeq(t.value, ",") {
		u, sized, ok := uri(trim(part))
		at := offset + strings.Index(part, trim(part))
		switch {
		case !ok:
			l.add("bad-uri", lint.Error, at, `"`+clip(trim(part))+`" is not a URI`, "write "+meantURI(trim(part)), "9989 §4.7")
		case !strings.HasPrefix(lower(u), "mailto:"):
			l.add("uri-scheme", lint.Warning, at, name+" names no mailto: address; reporters need not support others", "add a mailto: address", "9990 §3.5")
		case seen[lower(u)]:
			l.add("same-address", lint.Info, at, `the address "`+clip(u)+`" is in `+name+" twice: reports may come twice", "remove one of them", "9989 §4.7")
		case sized:
			l.add("obsolete-size", lint.Info, at, "the size limit after ! is obsolete and ignored", "remove it", "9989 §4.7")
		}
		seen[lower(u)] = true
		offset += len(part) + 1
	}
}

// meantURI is the URI of a mail address that stands alone, or an example.
func meantURI(text string) string {
	if u, _, ok := uri("mailto:" + text); ok && strings.Count(text, "@") == 1 && !strings.ContainsAny(text, ":/") {
		return clip(u)
	}
	return "mailto:reports@example.com"
}

// whole looks at what concerns several tags.
func (l *linter) whole(text string, seen tagSet) {
	r := l.record
	switch {
	case !r.Usable():
		l.add("unusable", lint.Error, 0, "no valid p, or an invalid sp or np, and no rua: receivers do not apply DMARC", "add p=none, p=quarantine or p=reject", "9989 §4.10.1")
	case r.broken:
		l.add("policy-dropped", lint.Error, 0, "no valid p, or an invalid sp or np: receivers act as if p=none", "correct p, sp and np", "9989 §4.10.1")
	}
	if r.Test && r.Own() != PolicyNone {
		l.add("testing", lint.Info, 0, "t=y: receivers apply the policy one level lower", "remove t=y when the tests are over", "9989 §4.7")
	}
	if len(r.RUA) == 0 {
		l.add("rua-missing", lint.Info, len(text), "without rua you do not learn who sends as you", "add rua=mailto:…", "9989 §4.7")
	}
	if seen.has(tagFO) && !seen.has(tagRUF) {
		l.add("fo-without-ruf", lint.Info, 0, "fo means nothing without ruf", "remove fo, or add ruf", "9989 §4.7")
	}
	if r.PSD == PSDYes && len(r.RUF) > 0 {
		l.add("ruf-of-psd", lint.Warning, 0, "ruf of a record with psd=y is never used", "remove ruf", "9991 §2")
	}
	if r.Own() != PolicyNone && seen.has(tagSP) && r.SP == PolicyNone {
		l.add("weak-sp", lint.Warning, 0, "sp=none lets every subdomain be forged", "remove sp, or make it as strong as p", "9989 §4.7")
	}
}

func clip(s string) string {
	const most = 40
	b := []byte(s[:min(len(s), most)])
	for i, c := range b {
		if c < 0x20 || c > 0x7e {
			b[i] = '?'
		}
	}
	return string(b)
}
