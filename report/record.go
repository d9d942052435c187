package report

import (
	"slices"
	"strings"
)

// recordReader is the record that is being read.
type recordReader struct {
	Record
	ip, count string
	line      int
	rows      int            // row elements so far; a report against the schema can have several
	earlier   []recordReader // all of them but the last
	cut       bool           // it has more rows, signatures or reasons than are kept
}

// isContainer reports whether elements of a name hold those that are read. What lies in any other
// element belongs to an extension, and is skipped with it (RFC 9990 §3.1.1).
func isContainer(parent, name string) bool {
	switch name {
	case "report_metadata", "date_range", "policy_published", "records", "record", "row", "policy_evaluated", "reason", "identifiers", "identities", "auth_results":
		return true
	case "dkim", "spf":
		return parent == "auth_results"
	}
	return parent == ""
}

// startRecord begins a record. One that has not ended ends here.
func (a *aggregateReader) startRecord() error {
	if a.inRecord {
		a.warn(NotWellFormed, "", "a record begins within another one, which ends here")
		if err := a.endRecord(); err != nil {
			return err
		}
	}
	a.inRecord = true
	a.record = recordReader{Record: Record{Reasons: []Override{}, AuthDKIM: []DKIMAuth{}, AuthSPF: []SPFAuth{}}}
	a.record.line, _ = a.xml.InputPos()
	return nil
}

// startDetail begins an element of a record that can occur several times.
func (a *aggregateReader) startDetail(name string) {
	r := &a.record
	switch {
	case name == "row":
		r.nextRow(a.x.limits.Signatures)
	case a.in("policy_evaluated", "reason"):
		r.cut = !appendWithin(&r.Reasons, a.x.limits.Reasons) || r.cut
	case a.in("auth_results", "dkim"):
		r.cut = !appendWithin(&r.AuthDKIM, a.x.limits.Signatures) || r.cut
	case a.in("auth_results", "spf"):
		r.cut = !appendWithin(&r.AuthSPF, a.x.limits.Signatures) || r.cut
	}
}

// nextRow begins another row of the record, which has the same identifiers.
func (r *recordReader) nextRow(limit int) {
	if r.rows++; r.rows == 1 {
		return
	}
	before := *r
	before.earlier = nil
	if r.cut = r.cut || len(r.earlier) == limit; len(r.earlier) < limit {
		r.earlier = append(r.earlier, before)
	}
	r.ip, r.count, r.Disposition, r.DKIM, r.SPF, r.Reasons = "", "", "", "", "", []Override{}
}

// appendWithin appends an empty element unless list has limit of them.
func appendWithin[T any](list *[]T, limit int) bool {
	if len(*list) > limit {
		return false
	}
	*list = append(*list, *new(T)) // one over the limit takes what is not kept
	return len(*list) <= limit
}

func (a *aggregateReader) row(parent, name, text string) {
	r := &a.record
	switch {
	case parent == "row" && name == "source_ip":
		a.once(&r.ip, name, text)
	case parent == "row" && name == "count":
		a.once(&r.count, name, text)
	case parent == "policy_evaluated" && name == "disposition":
		r.Disposition = strings.ToLower(text)
	case parent == "policy_evaluated" && name == "dkim":
		r.DKIM = strings.ToLower(text)
	case parent == "policy_evaluated" && name == "spf":
		r.SPF = strings.ToLower(text)
	case name == "header_from":
		a.once(&r.HeaderFrom, name, hostPart(text))
	case name == "envelope_from":
		r.EnvelopeFrom = hostPart(text)
	case name == "envelope_to":
		r.EnvelopeTo = hostPart(text)
	}
}

// once takes the text of an element that must occur once: the first one counts.
func (a *aggregateReader) once(to *string, name, text string) {
	switch {
	case *to == "":
		*to = text
	case text != "" && text != *to:
		a.warn(BadValue, text, name+" occurs again with another value: the first one counts")
	}
}

// hostPart is a domain; of an address, which some reporters write, it is the domain.
func hostPart(text string) string {
	name, ok := parseDomain(text)
	if at := strings.LastIndexByte(name, '@'); !ok && at >= 0 {
		name, _ = parseDomain(strings.Trim(name[at+1:], "<>"))
	}
	return name
}

// detail takes an element of the last reason, signature or SPF result.
func (a *aggregateReader) detail(parent, name, text string) {
	r := &a.record
	switch {
	case parent == "reason" && len(r.Reasons) > 0:
		r.Reasons[len(r.Reasons)-1].set(name, text)
	case parent == "dkim" && len(r.AuthDKIM) > 0:
		r.AuthDKIM[len(r.AuthDKIM)-1].set(name, text)
	case parent == "spf" && len(r.AuthSPF) > 0:
		r.AuthSPF[len(r.AuthSPF)-1].set(name, text)
	}
}

// bare takes the text of a reason, signature or SPF result that has no elements.
func (a *aggregateReader) bare(name, text string) {
	r := &a.record
	switch {
	case text == "":
	case name == "reason" && len(r.Reasons) > 0 && r.Reasons[len(r.Reasons)-1] == Override{}:
		r.Reasons[len(r.Reasons)-1].set("type", text)
	case name == "dkim" && len(r.AuthDKIM) > 0 && r.AuthDKIM[len(r.AuthDKIM)-1] == DKIMAuth{}:
		r.AuthDKIM[len(r.AuthDKIM)-1].set("result", text)
	case name == "spf" && len(r.AuthSPF) > 0 && r.AuthSPF[len(r.AuthSPF)-1] == SPFAuth{}:
		r.AuthSPF[len(r.AuthSPF)-1].set("result", text)
	}
}

func (o *Override) set(name, text string) {
	switch name {
	case "type":
		o.Type = strings.ToLower(text)
	case "comment":
		o.Comment = text
	}
}

func (d *DKIMAuth) set(name, text string) {
	switch name {
	case "domain":
		d.Domain, _ = parseDomain(text)
	case "selector":
		d.Selector = text
	case "result":
		d.Result = strings.ToLower(text)
	}
}

func (s *SPFAuth) set(name, text string) {
	switch name {
	case "domain":
		s.Domain = hostPart(text)
	case "scope":
		s.Scope = strings.ToLower(text)
	case "result":
		s.Result = strings.ToLower(text)
	}
}

// endRecord hands on the record, once for each of its rows.
func (a *aggregateReader) endRecord() error {
	r, limits := &a.record, &a.x.limits
	a.inRecord = false
	r.AuthDKIM = slices.DeleteFunc(r.AuthDKIM[:min(len(r.AuthDKIM), limits.Signatures)], func(d DKIMAuth) bool { return d == DKIMAuth{} })
	r.AuthSPF = slices.DeleteFunc(r.AuthSPF[:min(len(r.AuthSPF), limits.Signatures)], func(s SPFAuth) bool { return s == SPFAuth{} })
	if r.rows > 1 {
		a.report.warn(BadValue, r.line, "", "the record has "+itoa(r.rows)+" rows: each counts as a record")
	}
	for i := range r.earlier {
		e := &r.earlier[i]
		e.HeaderFrom, e.EnvelopeFrom, e.EnvelopeTo, e.AuthDKIM, e.AuthSPF, e.line = r.HeaderFrom, r.EnvelopeFrom, r.EnvelopeTo, r.AuthDKIM, r.AuthSPF, r.line
		if err := a.endRow(e); err != nil {
			return err
		}
	}
	return a.endRow(r)
}

// endRow hands on a row with what the record says of it, or says why it does not count.
func (a *aggregateReader) endRow(r *recordReader) error {
	limits := &a.x.limits
	var plainIP, plainCount, okIP, okCount bool
	r.IP, plainIP, okIP = parseIP(r.ip)
	r.Count, plainCount, okCount = parseCount(r.count)
	switch {
	case !okIP:
		a.report.warn(BadSourceIP, r.line, r.ip, "the record is not counted: its source_ip is not an IP address")
		return nil
	case !okCount:
		a.report.warn(BadCount, r.line, r.count, "the record is not counted: its count is not a number from 1 to 2^40")
		return nil
	case a.report.Rows == limits.Rows:
		if !hasFault(&a.report, TooMany) {
			a.report.warn(TooMany, r.line, "", "more than "+itoa(limits.Rows)+" records: this one and those that follow are not counted")
		}
		return nil
	}
	if !plainIP {
		a.report.warn(BadSourceIP, r.line, r.ip, "source_ip is more than an address: read as "+r.IP.String())
	}
	if !plainCount {
		a.report.warn(BadCount, r.line, r.count, "count is not written as a whole number: read as "+itoa(int(r.Count)))
	}
	a.checkRecord(r)
	r.Reasons = r.Reasons[:min(len(r.Reasons), limits.Reasons)]
	a.x.credit()
	a.report.Rows++
	a.report.Messages += r.Count
	if a.x.reader.Record == nil {
		return nil
	}
	return a.x.reader.Record(r.Record)
}

// checkRecord warns of what is missing or unknown in a record that counts.
func (a *aggregateReader) checkRecord(r *recordReader) {
	warn := func(f Fault, value, detail string) { a.report.warn(f, r.line, value, detail) }
	if r.HeaderFrom == "" {
		warn(MissingElement, "", "the record has no header_from")
	}
	switch r.Disposition {
	case "none", "pass", "quarantine", "reject":
	case "":
		warn(MissingElement, "", "policy_evaluated has no disposition")
	default:
		warn(BadValue, r.Disposition, "the disposition is not one of none, pass, quarantine, reject")
	}
	for _, result := range [...]struct{ name, value string }{{"dkim", r.DKIM}, {"spf", r.SPF}} {
		if result.value != "pass" && result.value != "fail" && result.value != "" {
			warn(BadValue, result.value, result.name+" of policy_evaluated is neither pass nor fail: it counts as fail")
		}
	}
	if len(r.AuthDKIM)+len(r.AuthSPF) == 0 && r.DKIM+r.SPF != "failfail" {
		warn(MissingElement, "", "auth_results are missing")
	}
	for _, o := range r.Reasons {
		if o.Type == "" {
			warn(BadValue, o.Comment, "a reason has no type")
			break
		}
	}
	if r.cut {
		warn(TooMany, "", "the record has more rows, signatures or reasons than are read")
	}
}
