package audit

import (
	"slices"
	"strings"

	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/app/repair"
	"postseal/internal/core/dmarcrecord"
	"postseal/internal/core/spfrecord"
	"postseal/lint"
	"postseal/resolver"
	"postseal/spf"
)

// Publication is the one record to publish at a name, in place of the existing ones. It removes
// all findings in Mends together. Our own lint finds no error in it, and it keeps every sender,
// policy and address that the owner intended.
type Publication struct {
	Name  string   `json:"name"`
	Type  string   `json:"type"` // TXT or MX
	Value string   `json:"value"`
	Mends []string `json:"mends"` // rule ids, in the order of the findings
}

// NoRecord says why no record is offered for a name whose record cannot be read: part of it has
// no explanation, or more than one.
type NoRecord struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// publications determines what to publish, after every check has run.
func (r *run) publications() {
	if r.missing {
		return
	}
	r.publishSPF()
	r.publishDMARC()
	r.publishKeys()
	r.publishOthers()
	for _, p := range r.report.Publish {
		for i := range r.report.Findings {
			if f := &r.report.Findings[i]; (f.Where.Name == p.Name || strings.HasSuffix(f.ID, ".misplaced") || f.ID == "txt.name-twice") && slices.Contains(p.Mends, f.ID) {
				f.Publish = p.Value
			}
		}
	}
}

// at lists the findings at a name whose ids start with one of the areas.
func (r *run) at(name string, areas ...string) []*Finding {
	var list []*Finding
	for i := range r.report.Findings {
		f := &r.report.Findings[i]
		area, _, _ := strings.Cut(f.ID, ".")
		if f.Where.Name == name && slices.Contains(areas, area) {
			list = append(list, f)
		}
	}
	return list
}

// offer adds a publication that fixes some of the findings. If it fixes none, offer does nothing.
func (r *run) offer(name, kind, value string, findings []*Finding, fixes func(f *Finding) bool) {
	p := Publication{Name: name, Type: kind, Value: value, Mends: []string{}}
	for _, f := range findings {
		if fixes(f) && !slices.Contains(p.Mends, f.ID) {
			p.Mends = append(p.Mends, f.ID)
		}
	}
	if len(p.Mends) > 0 {
		r.report.Publish = append(r.report.Publish, p)
	}
}

// refuse records why there is no record, if one of the findings is about a text whose intent is
// unclear to receivers.
func (r *run) refuse(name string, findings []*Finding, err error) {
	if slices.ContainsFunc(findings, func(f *Finding) bool { return unreadable[f.ID] }) {
		r.report.NoRecord = append(r.report.NoRecord, NoRecord{Name: name, Reason: err.Error()})
	}
}

// unreadable lists the findings about a text that does not say what its owner means.
var unreadable = map[string]bool{"spf.syntax": true, "spf.typo": true, "spf.not-recognised": true, "spf.multiple": true, "spf.loop": true, "spf.include-broken": true, "dmarc.not-recognised": true,
	"dmarc.syntax": true, "dmarc.unusable": true, "dmarc.policy-dropped": true, "dmarc.bad-value": true, "dmarc.duplicate-tag": true, "dmarc.bad-uri": true,
	"dmarc.multiple": true, "dkim.syntax": true, "dkim.truncated": true, "mtasts.record": true, "mtasts.multiple": true, "tlsrpt.syntax": true, "tlsrpt.multiple": true,
	"bimi.syntax": true}

func has(problems []lint.Problem, id string) bool {
	return slices.ContainsFunc(problems, func(p lint.Problem) bool { return p.ID == id })
}

// textual reports whether the finding is about octets that a repaired record does not contain.
func textual(id string) bool { return strings.HasPrefix(id, "txt.") }

// mendable reports whether another record can remove one of the findings, so that there is a reason to
// build it. Building records that are not offered took 5 % of the CPU time of a bulk audit.
func mendable(findings []*Finding) bool {
	return slices.ContainsFunc(findings, func(f *Finding) bool {
		return textual(f.ID) || unreadable[f.ID] || removable[f.ID] || lintedSPF[f.ID] || lintedDKIM[f.ID] || lintedDMARC[f.ID] || reworded[f.ID]
	})
}

// reworded lists the other findings that a record with other terms or tags removes.
var reworded = map[string]bool{"spf.missing": true, "spf.string-join": true, "spf.lookup-limit": true, "dmarc.missing": true, "dmarc.cname-dangling": true, "dmarc.misplaced": true,
	"dmarc.policy-none": true, "dmarc.weak-np": true, "dmarc.psd": true, "parked.dmarc": true}

// removable lists the findings about a term that should be removed.
var removable = map[string]bool{"spf.dead-term": true, "spf.duplicate": true, "spf.redundant-range": true, "spf.redundant-lookup": true, "spf.private-range": true,
	"spf.exp": true, "spf.loop": true, "spf.include-broken": true, "spf.unregistered": true}

// publishSPF returns the record without useless terms, and with unreadable terms replaced by
// what was meant.
func (r *run) publishSPF() {
	name := string(r.name)
	findings := r.at(name, "spf", "txt", "parked")
	findings = append(findings, r.at(name+"."+name, "txt")...)
	switch {
	case r.has("parked.spf"):
		r.offer(name, "TXT", "v=spf1 -all", findings, func(f *Finding) bool { return f.ID != "parked.dmarc" && !strings.HasPrefix(f.ID, "parked.mx") })
		return
	case (r.has("spf.missing") || r.has("spf.missing-host")) && len(r.spfTexts) == 0:
		value := "v=spf1 mx ~all"
		if r.report.Profile == Parked || r.report.Profile == Receiving {
			value = "v=spf1 -all"
		}
		r.offer(name, "TXT", value, findings, func(f *Finding) bool { return strings.HasPrefix(f.ID, "spf.missing") })
		return
	case len(r.spfTexts) == 0 || !mendable(findings):
		return
	}
	texts, proposed := slices.Clone(r.spfTexts), r.report.Records.SPF.Proposed
	if proposed != "" && len(texts) == 1 {
		texts[0] = proposed
	}
	for _, f := range findings {
		if f.ID == "spf.redirect-unused" && !r.leadsToSPF(termAt(f.Where)) {
			texts[0] = without(texts[0], []string{termAt(f.Where)})
		}
	}
	value, fixes, err := fixSPF(texts, findings)
	if err != nil {
		r.refuse(name, findings, err)
		return
	}
	r.offer(name, "TXT", value, findings, func(f *Finding) bool {
		cheaper := proposed != "" && (f.ID == "spf.lookup-limit" || removable[f.ID] && !slices.Contains(strings.Fields(value), termAt(f.Where)))
		return fixes(f) || cheaper
	})
}

// leadsToSPF reports whether a redirect leads to a record, so that an include can follow it.
func (r *run) leadsToSPF(redirect string) bool {
	_, name, _ := strings.Cut(redirect, "=")
	a, state := r.ask("spf", name, resolver.TXT, false)
	return state == Found && slices.ContainsFunc(a.Records, func(rr resolver.RR) bool { return spfrecord.IsRecord(rr.Text) })
}

// fixSPF returns the record intended by texts, without the terms that findings say to remove,
// and the findings that it removes.
func fixSPF(texts []string, findings []*Finding) (value string, fixes func(*Finding) bool, err error) {
	var removed []string
	if len(texts) == 1 {
		removed = slices.DeleteFunc(spfRemovals(findings), func(term string) bool {
			return repair.EndsInAll(term) || without(texts[0], []string{term}) == without(texts[0], nil)
		})
		texts = []string{without(texts[0], removed)}
	}
	value, err = repair.SPF(texts...)
	if err == nil && len(removed) > 0 && !namesSender(value) {
		err = &repair.Error{Why: "without the terms that resolve to nothing, the record names no sender: list the hosts that send"}
	}
	problems := spf.Lint(value)
	return value, func(f *Finding) bool {
		switch {
		case textual(f.ID), f.ID == "spf.missing", f.ID == "spf.multiple", f.ID == "spf.not-recognised", f.ID == "spf.string-join":
			return true
		case removable[f.ID]:
			return slices.Contains(removed, termAt(f.Where)) || repair.EndsInAll(termAt(f.Where))
		}
		return lintedSPF[f.ID] && !has(problems, f.ID)
	}, err
}

// lintedSPF lists the findings that spf.Lint also makes, so it can check whether a new record
// still has them.
var lintedSPF = map[string]bool{"spf.syntax": true, "spf.typo": true, "spf.after-all": true, "spf.redirect-unused": true, "spf.unknown-modifier": true, "spf.all-permissive": true,
	"spf.all-neutral": true, "spf.all-missing": true, "spf.size": true, "spf.host-bits": true}

// spfRemovals returns the terms of the domain's own record that findings say to remove.
func spfRemovals(findings []*Finding) []string {
	var list []string
	for _, f := range findings {
		if term := termAt(f.Where); removable[f.ID] && term != "" && !slices.Contains(list, term) {
			list = append(list, term)
		}
	}
	return list
}

// termAt returns the term at the octet of a place.
func termAt(at Where) string {
	if at.Offset <= 0 || at.Offset > len(at.Record) {
		return ""
	}
	start := strings.LastIndexByte(at.Record[:at.Offset], ' ') + 1
	term, _, _ := strings.Cut(at.Record[start:], " ")
	return term
}

// without removes terms from a record; of a duplicate term it removes one.
func without(record string, terms []string) string {
	words := strings.Fields(record)
	for _, t := range terms {
		for i := len(words) - 1; i > 0; i-- {
			if strings.EqualFold(words[i], t) {
				words = slices.Delete(words, i, i+1)
				break
			}
		}
	}
	return strings.Join(words, " ")
}

// namesSender reports whether a record has terms other than all.
func namesSender(record string) bool {
	parsed, err := spfrecord.Parse(record)
	return err == nil && (parsed.Redirect != nil || slices.ContainsFunc(parsed.Directives, func(d spfrecord.Directive) bool { return d.Mechanism != spfrecord.All }))
}

// publishKeys returns the intended key. A key reached through an alias belongs to a service.
func (r *run) publishKeys() {
	for _, k := range r.report.Records.DKIM {
		findings := r.at(k.Name, "dkim", "txt")
		if k.Alias != "" || k.State != Found || !mendable(findings) {
			continue
		}
		value, fixes, err := fixKey(k.Record, k.lengths)
		if err != nil {
			r.refuse(k.Name, findings, err)
			continue
		}
		r.offer(k.Name, "TXT", value, findings, fixes)
	}
}

// fixKey returns the key intended by a text, and the findings that it removes.
func fixKey(text string, lengths []int) (value string, fixes func(*Finding) bool, err error) {
	if value, _, err = repair.Key(text, lengths); err != nil {
		return "", nil, err
	}
	problems := dkim.Lint(value)
	return value, func(f *Finding) bool { return textual(f.ID) || lintedDKIM[f.ID] && !has(problems, f.ID) }, nil
}

var lintedDKIM = map[string]bool{"dkim.syntax": true, "dkim.granularity": true, "dkim.sha1": true, "dkim.hash": true, "dkim.service": true, "dkim.plus-lost": true,
	"dkim.string-order": true, "dkim.wrong-type": true}

// publishOthers: MTA-STS, TLS-RPT, BIMI, and the null MX of a domain without mail.
func (r *run) publishOthers() {
	rec := &r.report.Records
	for _, o := range []struct {
		name, area string
		texts      []string
		fix        func(...string) (string, error)
	}{
		{rec.MTASTS.Name, "mtasts", r.stsTexts, repair.STS},
		{rec.TLSRPT.Name, "tlsrpt", r.rptTexts, repair.TLSRPT},
		{rec.BIMI.Name, "bimi", r.bimiTexts, repair.BIMI},
	} {
		findings := append(r.at(o.name, o.area, "txt"), r.at(o.name+"."+string(r.name), "txt")...)
		for _, f := range r.at(string(r.name), o.area) {
			if f.ID == o.area+".misplaced" {
				findings = append(findings, f)
			}
		}
		if len(o.texts) == 0 || len(findings) == 0 {
			continue
		}
		value, err := o.fix(o.texts...)
		if err != nil {
			r.refuse(o.name, findings, err)
			continue
		}
		r.offer(o.name, "TXT", value, findings, func(f *Finding) bool { return textual(f.ID) || unreadable[f.ID] || f.ID == o.area+".misplaced" })
	}
	name := string(r.name)
	r.offer(name, "MX", "0 .", r.at(name, "mx", "parked"), func(f *Finding) bool {
		return f.ID == "parked.mx" || f.ID == "parked.mx-hosts" || f.ID == "mx.null-dot"
	})
}

// publishDMARC returns the intended policy, at the name that receivers query, and as strong as
// the findings require.
func (r *run) publishDMARC() {
	rec := &r.report.Records.DMARC
	name := "_dmarc." + string(r.name)
	texts := r.dmarcTexts
	if rec.State == Found && rec.Name != name {
		name, texts = rec.Name, []string{rec.Record} // of the organization
	}
	findings := r.at(name, "dmarc", "txt", "parked")
	if len(findings) == 0 {
		return
	}
	if len(texts) == 0 {
		r.offer(name, "TXT", r.defaultDMARC(), findings, func(f *Finding) bool { return f.ID == "dmarc.missing" || f.ID == "dmarc.cname-dangling" })
		return
	}
	for i := range r.report.Findings {
		if f := &r.report.Findings[i]; (f.ID == "dmarc.misplaced" || f.ID == "txt.name-twice" && strings.HasPrefix(f.Where.Name, name+".")) && rec.State != Found {
			findings = append(findings, f)
		}
	}
	if !mendable(findings) {
		return
	}
	reports := ""
	if r.receives() {
		reports = r.reportAddress()
	}
	value, fixes, err := fixDMARC(texts, findings, reports)
	if err != nil {
		r.refuse(name, findings, err)
		return
	}
	r.offer(name, "TXT", value, findings, fixes)
}

// fixDMARC returns the record intended by texts, as strong as the findings require, and the
// findings that it removes. reports is where reports may go if the record has no address; ""
// adds none.
func fixDMARC(texts []string, findings []*Finding, reports string) (value string, fixes func(*Finding) bool, err error) {
	if value, err = repair.DMARC(texts...); err != nil {
		return "", nil, err
	}
	value = stronger(value, findings, reports)
	record, _ := dmarcrecord.Parse(value)
	problems := dmarc.Lint(value)
	return value, func(f *Finding) bool {
		switch f.ID {
		case "dmarc.missing", "dmarc.multiple", "dmarc.not-recognised", "dmarc.cname-dangling", "dmarc.misplaced":
			return true
		case "dmarc.policy-none":
			return record.P != dmarcrecord.PolicyNone
		case "dmarc.weak-np":
			return record.NP != dmarcrecord.PolicyNone
		case "dmarc.psd":
			return record.PSD != dmarcrecord.PSDYes
		case "parked.dmarc":
			return record.P == dmarcrecord.PolicyReject && !record.Test
		}
		return textual(f.ID) || lintedDMARC[f.ID] && !has(problems, f.ID)
	}, nil
}

var lintedDMARC = map[string]bool{"dmarc.syntax": true, "dmarc.unusable": true, "dmarc.policy-dropped": true, "dmarc.bad-value": true, "dmarc.duplicate-tag": true,
	"dmarc.unknown-tag": true, "dmarc.obsolete-tag": true, "dmarc.obsolete-default": true, "dmarc.obsolete-size": true, "dmarc.bad-uri": true, "dmarc.weak-sp": true, "dmarc.testing": true,
	"dmarc.rua-missing": true, "dmarc.fo-without-ruf": true, "dmarc.ruf-of-psd": true, "dmarc.tag-order": true, "dmarc.fo-redundant": true, "dmarc.same-address": true}

// defaultDMARC is the first record of a domain without one.
func (r *run) defaultDMARC() string {
	switch {
	case r.report.Profile == Parked:
		return "v=DMARC1; p=reject"
	case !r.receives():
		return "v=DMARC1; p=none"
	}
	return "v=DMARC1; p=none; rua=" + r.reportAddress()
}

// receives reports whether mail to the domain can be delivered, as far as is known.
func (r *run) receives() bool {
	return r.report.Profile.Receives() || r.report.Profile == Unknown || r.mxState == NoData && r.implicit
}

func (r *run) reportAddress() string { return "mailto:dmarc@" + string(r.name) }

// stronger changes the tags that findings are about. Reports come first: without them the owner
// cannot know what a stronger policy would do.
func stronger(value string, findings []*Finding, reports string) string {
	found := map[string]bool{}
	for _, f := range findings {
		found[f.ID] = true
	}
	t := tagList{}
	for _, f := range fields(value) {
		t = append(t, f)
	}
	switch {
	case found["parked.dmarc"]:
		t.set("p", "reject")
		t.drop("sp", "np", "t")
	case found["dmarc.policy-none"] && t.get("rua") != "":
		t.set("p", "quarantine")
		t.drop("t")
	case found["dmarc.policy-none"] && reports != "":
		t = append(t, field{name: "rua", value: reports})
	}
	for id, tag := range map[string]string{"dmarc.weak-sp": "sp", "dmarc.weak-np": "np", "dmarc.psd": "psd", "dmarc.ruf-of-psd": "ruf", "dmarc.testing": "t"} {
		if found[id] {
			t.drop(tag)
		}
	}
	if t.get("ruf") == "" {
		t.drop("fo")
	}
	return t.String()
}

// tagList is a record being edited.
type tagList []field

func (t tagList) get(name string) string {
	for _, f := range t {
		if f.name == name {
			return f.value
		}
	}
	return ""
}

func (t tagList) set(name, value string) {
	for i := range t {
		if t[i].name == name {
			t[i].value = value
		}
	}
}

func (t *tagList) drop(names ...string) {
	*t = slices.DeleteFunc(*t, func(f field) bool { return slices.Contains(names, f.name) })
}

// String writes the tags in the form that receivers read.
func (t tagList) String() string {
	parts := make([]string, 0, len(t))
	for _, f := range t {
		parts = append(parts, f.name+"="+f.value)
	}
	return strings.Join(parts, "; ")
}
