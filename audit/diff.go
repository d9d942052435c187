package audit

import (
	"fmt"
	"slices"
	"strings"
)

// Change is one difference between two audits of a domain.
type Change struct {
	What string `json:"what"` // grade, profile, finding, record
	Name string `json:"name"` // the id of a finding, the name of a record
	Was  string `json:"was"`
	Is   string `json:"is"`
	Text string `json:"text"` // in words
}

// Diff returns what changed between two audits of a domain. Something that either audit could
// not check is not a change.
func Diff(was, is *Report) []Change {
	d := &differ{list: []Change{}}
	if was.Grade != is.Grade && was.Grade != "" && is.Grade != "" {
		better := "worse"
		if is.Grade < was.Grade {
			better = "better"
		}
		d.add("grade", "", string(was.Grade), string(is.Grade), fmt.Sprintf("grade %s became %s: %s", was.Grade, is.Grade, better))
	}
	if was.Profile != is.Profile && was.Profile != Unknown && is.Profile != Unknown {
		d.add("profile", "", string(was.Profile), string(is.Profile), fmt.Sprintf("the domain was %s and is %s", was.Profile, is.Profile))
	}
	d.findings(was, is)
	d.record("SPF", was.Records.SPF.Status, is.Records.SPF.Status, was.Records.SPF.Record, is.Records.SPF.Record)
	d.record("DMARC", was.Records.DMARC.Status, is.Records.DMARC.Status, was.Records.DMARC.Record, is.Records.DMARC.Record)
	d.record("MTA-STS", was.Records.MTASTS.Status, is.Records.MTASTS.Status, was.Records.MTASTS.Record, is.Records.MTASTS.Record)
	d.record("TLS-RPT", was.Records.TLSRPT.Status, is.Records.TLSRPT.Status, was.Records.TLSRPT.Record, is.Records.TLSRPT.Record)
	d.record("BIMI", was.Records.BIMI.Status, is.Records.BIMI.Status, was.Records.BIMI.Record, is.Records.BIMI.Record)
	d.lookups(was, is)
	d.keys(was, is)
	d.hosts(was, is)
	return d.list
}

type differ struct{ list []Change }

func (d *differ) add(what, name, was, is, text string) {
	d.list = append(d.list, Change{what, name, was, is, text})
}

// Key identifies a finding, to match it between two audits.
func (f *Finding) Key() string { return f.ID + " " + f.Where.Name }

// findings compares the findings. In an audit without a grade, a missing finding means nothing,
// because an important check failed.
func (d *differ) findings(was, is *Report) {
	for _, side := range []struct {
		from, to *Report
		word     string
	}{{was, is, "is gone"}, {is, was, "is new"}} {
		if side.to.Grade == "" {
			continue
		}
		have := map[string]bool{}
		for i := range side.to.Findings {
			have[side.to.Findings[i].Key()] = true
		}
		for i := range side.from.Findings {
			f := &side.from.Findings[i]
			if have[f.Key()] {
				continue
			}
			have[f.Key()] = true
			change := Change{What: "finding", Name: f.ID, Text: fmt.Sprintf("%s %s: %s (%s)", f.ID, side.word, f.Title, f.Detail)}
			if side.from == was {
				change.Was = string(f.Severity)
			} else {
				change.Is = string(f.Severity)
			}
			d.list = append(d.list, change)
		}
	}
}

func (d *differ) record(what string, was, is Status, before, after string) {
	switch {
	case was.State == Failed || is.State == Failed || before == after:
	case before == "":
		d.add("record", is.Name, before, after, fmt.Sprintf("%s was published: %s", what, quote(after)))
	case after == "":
		d.add("record", was.Name, before, after, fmt.Sprintf("%s was removed; it was %s", what, quote(before)))
	default:
		d.add("record", is.Name, before, after, fmt.Sprintf("%s changed from %s to %s", what, quote(before), quote(after)))
	}
}

// lookups reports an include that another organization changed.
func (d *differ) lookups(was, is *Report) {
	a, b := &was.Records.SPF, &is.Records.SPF
	if a.Record == b.Record && a.Tree != nil && b.Tree != nil && a.Lookups != b.Lookups {
		d.add("record", b.Name, fmt.Sprint(a.Lookups), fmt.Sprint(b.Lookups), fmt.Sprintf("the same SPF record now needs %d lookups instead of %d: an include changed", b.Lookups, a.Lookups))
	}
}

func (d *differ) keys(was, is *Report) {
	old := map[string]DKIMKey{}
	for _, k := range was.Records.DKIM {
		old[k.Selector] = k
	}
	for _, k := range is.Records.DKIM {
		before, ok := old[k.Selector]
		delete(old, k.Selector)
		switch {
		case k.State == Failed || ok && before.State == Failed:
		case !ok && k.State == Found:
			d.add("record", k.Name, "", k.Record, fmt.Sprintf("the DKIM key %s is new: %s %d bits", k.Selector, k.Type, k.Bits))
		case ok && before.Record != k.Record:
			d.record("the DKIM key "+k.Selector, before.Status, k.Status, before.Record, k.Record)
		}
	}
	for _, k := range was.Records.DKIM {
		if _, gone := old[k.Selector]; gone && k.State == Found && !slices.ContainsFunc(is.Unchecked, func(u Unchecked) bool { return u.Check == "dkim" }) {
			d.add("record", k.Name, k.Record, "", fmt.Sprintf("the DKIM key %s is gone", k.Selector))
		}
	}
}

func (d *differ) hosts(was, is *Report) {
	names := func(r *Report) []string {
		list := []string{}
		for _, h := range r.Records.MX {
			list = append(list, fmt.Sprintf("%d %s", h.Preference, h.Name))
		}
		return list
	}
	failed := func(r *Report) bool {
		return slices.ContainsFunc(r.Unchecked, func(u Unchecked) bool { return u.Check == "mx" && u.Grave })
	}
	a, b := names(was), names(is)
	if slices.Equal(a, b) || failed(was) || failed(is) {
		return
	}
	d.add("record", is.Domain, strings.Join(a, ", "), strings.Join(b, ", "), fmt.Sprintf("MX changed from %s to %s", words(a), words(b)))
}

func words(list []string) string {
	if len(list) == 0 {
		return "nothing"
	}
	return clip(strings.Join(list, ", "))
}
