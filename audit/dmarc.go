package audit

import (
	"fmt"
	"slices"
	"strings"

	"postseal/dmarc"
	"postseal/domain"
	"postseal/internal/app/repair"
	"postseal/internal/core/dmarcrecord"
	"postseal/resolver"
)

// dmarc finds the policy that applies, as a receiver does, once by the tree walk of RFC 9989
// and once by the public suffix list of RFC 7489.
func (r *run) dmarc() {
	own := "_dmarc." + string(r.name)
	walk := &dmarc.Evaluator{Resolver: r.dns}
	res := walk.Discover(r.ctx, r.name)
	rec := &r.report.Records.DMARC
	*rec = DMARC{Status: Status{Name: own, State: NoData}, RUA: []ReportURI{}, RUF: []ReportURI{}, Walk: []WalkStep{}}
	for _, s := range res.Walk {
		rec.Walk = append(rec.Walk, WalkStep{Name: s.Name, Outcome: string(s.Outcome), Record: s.Record})
		if s.Err != nil {
			r.unchecked("dmarc", s.Name, s.Err, res.Code == dmarc.TempError)
		}
	}
	rec.OrgDomain, rec.PolicyDomain, rec.Policy = res.OrgDomain, res.PolicyDomain, string(res.Policy)
	if state := r.dmarcName(own); state == NXDomain {
		rec.State = NXDomain
	}
	r.dmarcPlaces(&res)
	if res.Code == dmarc.TempError {
		rec.Status = r.status(failedStep(&res), Failed)
		return
	}
	if res.Record == "" {
		r.dmarcMissing(&res, own)
		return
	}
	rec.Status = Status{Name: "_dmarc." + res.PolicyDomain, State: Found}
	r.dmarcRecord(&res)
	r.dmarcPSL(&res)
}

// failedStep returns the lookup whose failure hides the policy.
func failedStep(res *dmarc.Result) string {
	for _, s := range res.Walk {
		if s.Err != nil {
			return s.Name
		}
	}
	return res.AuthorDomain
}

// dmarcName checks the records at the domain itself.
func (r *run) dmarcName(own string) State {
	a, state := r.ask("dmarc", own, resolver.TXT, false)
	if state == Failed {
		return state
	}
	if a.Aliased(own) {
		if state == Found {
			r.find("dmarc.cname", Where{Name: own}, own+" is an alias of "+a.Canonical+": its owner sets your policy", "")
		} else {
			detail, fix := own+" is an alias of "+a.Canonical+", which has no record", ""
			if wild, _ := r.ask("dmarc", probe+"."+string(r.name), resolver.TXT, false); wild.Aliased(probe + "." + string(r.name)) {
				detail, fix = "the wildcard *."+string(r.name)+" answers for "+own+" with an alias of "+a.Canonical+", which has no record", "publish a record at "+own+" itself"
			}
			r.find("dmarc.cname-dangling", Where{Name: own}, detail, fix)
		}
	}
	r.hygiene(own, a, "dmarc")
	records, other := 0, ""
	for _, rr := range a.Records {
		_, ok := dmarcrecord.Parse(rr.Text)
		switch {
		case ok:
			records++
			r.dmarcTexts = append(r.dmarcTexts, rr.Text)
		case repair.LooksLikeDMARC(rr.Text):
			r.dmarcTexts = append(r.dmarcTexts, rr.Text)
			r.find("dmarc.not-recognised", Where{Name: own, Record: rr.Text}, "receivers do not see a DMARC record in "+quote(rr.Text), "")
		default:
			other = rr.Text
		}
	}
	if records > 1 {
		r.find("dmarc.multiple", Where{Name: own}, fmt.Sprintf("%s has %d DMARC records, so receivers use none", own, records), "")
	}
	if other != "" {
		r.find("dmarc.other-txt", Where{Name: own, Record: other}, own+" has a record that is not for DMARC: "+quote(other), "")
	}
	return state
}

// dmarcPlaces finds records at names that receivers do not query. If no other record exists,
// their intent is what to publish.
func (r *run) dmarcPlaces(res *dmarc.Result) {
	own := "_dmarc." + string(r.name)
	var texts []string
	misplaced := func(name string, records []resolver.RR) {
		for _, rr := range records {
			if !repair.LooksLikeDMARC(rr.Text) {
				continue
			}
			texts = append(texts, rr.Text)
			r.find("dmarc.misplaced", Where{Name: name, Record: rr.Text}, "a DMARC record is at "+name, "move it to "+own)
		}
	}
	misplaced(string(r.name), r.apex.Records)
	found := len(res.Walk) > 0 && res.Walk[0].Outcome == dmarc.FoundRecord
	if !found {
		for _, name := range []string{"_dmarc._dmarc." + string(r.name), "dmarc." + string(r.name)} {
			if a, state := r.ask("dmarc", name, resolver.TXT, false); state == Found {
				misplaced(name, a.Records)
			}
		}
		for _, rr := range r.nameTwice(own) {
			if repair.LooksLikeDMARC(rr.Text) {
				texts = append(texts, rr.Text)
			}
		}
	}
	if len(r.dmarcTexts) == 0 {
		r.dmarcTexts = texts
	}
}

func (r *run) dmarcMissing(res *dmarc.Result, own string) {
	if len(res.Walk) > 0 && res.Walk[0].Outcome == dmarc.FoundSeveral {
		return // reported by dmarc.multiple
	}
	if r.missing || r.has("dmarc.not-recognised") || r.has("dmarc.cname-dangling") {
		return
	}
	detail := fmt.Sprintf("no DMARC record applies to %s; queried: %s", r.name, walkNames(res))
	fix := "publish a record at " + own + ", read the reports, then raise p to quarantine and reject"
	if r.report.Profile == Parked {
		fix = "publish a record at " + own + " that asks for rejection"
	}
	r.find("dmarc.missing", Where{Name: own}, detail, fix)
	if r.name.Labels() > 8 {
		r.find("dmarc.deep-name", Where{Name: own}, fmt.Sprintf("%s has %d labels; the walk skips names in the middle", r.name, r.name.Labels()), "")
	}
}

func walkNames(res *dmarc.Result) string {
	var names []string
	for _, s := range res.Walk {
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}

// dmarcRecord checks the record that applies.
func (r *run) dmarcRecord(res *dmarc.Result) {
	rec := &r.report.Records.DMARC
	record, _ := dmarcrecord.Parse(res.Record)
	name := "_dmarc." + res.PolicyDomain
	published := res.Published
	rec.Record, rec.P, rec.SP, rec.NP, rec.ADKIM, rec.ASPF, rec.Test = record.Text, published.P, published.SP, published.NP, published.ADKIM, published.ASPF, record.Test
	at := Where{Name: name, Record: record.Text}
	findEach(r.find, dmarc.Lint(record.Text), at)
	if res.Code == dmarc.PermError {
		return // reported by dmarc.unusable
	}
	r.dmarcStrength(res, record, at)
	r.dmarcTree(res, record, at)
	rec.RUA = r.reportURIs(res, record.RUA, "rua", at)
	rec.RUF = r.reportURIs(res, record.FailureURIs(), "ruf", at)
}

func (r *run) dmarcStrength(res *dmarc.Result, record *dmarcrecord.Record, at Where) {
	if record.P == dmarcrecord.PolicyNone && res.Policy == dmarc.PolicyNone {
		r.find("dmarc.policy-none", at, "p=none: receivers deliver forged mail as if it were genuine", "")
	}
	if record.P != dmarcrecord.PolicyNone && record.NP == dmarcrecord.PolicyNone {
		r.find("dmarc.weak-np", at, "np=none lets anyone forge names that do not exist", "")
	}
	if spf := &r.report.Records.SPF; r.report.Profile.Sends() && spf.Tree != nil && endsInFail(spf.Tree) {
		last := spf.Tree.Terms[len(spf.Tree.Terms)-1]
		r.find("spf.all-fail", Where{spf.Name, last.Offset, spf.Record}, "the record ends in -all, and DMARC policy "+string(res.Policy)+" applies", "")
	}
	if res.Policy.Strength() == 0 {
		return
	}
	if r.report.Profile.Sends() && r.noKeys {
		r.find("dmarc.reject-without-dkim", at, fmt.Sprintf("policy %s, but no DKIM key can exist: forwarded mail will be lost", res.Policy), "")
	}
	if res.Policy == dmarc.PolicyReject && r.report.Profile.Sends() {
		r.find("dmarc.reject-lists", at, "policy reject: subscribers' servers may reject your users' mail to mailing lists", "")
	}
}

func endsInFail(n *SPFNode) bool {
	return len(n.Terms) > 0 && strings.EqualFold(n.Terms[len(n.Terms)-1].Text, "-all")
}

// dmarcTree checks the effects of the record's position in the tree.
func (r *run) dmarcTree(res *dmarc.Result, record *dmarcrecord.Record, at Where) {
	own := res.PolicyDomain == string(r.name)
	if own && res.OrgDomain != string(r.name) && (record.SP != "" || record.NP != "") {
		r.find("dmarc.sp-no-effect", at, fmt.Sprintf("sp and np count only at the Organizational Domain, %s", res.OrgDomain), "")
	}
	if own && record.PSD == dmarcrecord.PSDYes {
		if suffix, icann := r.name.PublicSuffix(); !icann || suffix != r.name {
			r.find("dmarc.psd", at, fmt.Sprintf("psd=y, but %s is not a public suffix: each name below it becomes a separate organization", r.name), "")
		}
	}
	if res.Guard {
		r.find("dmarc.psd-above", at, "a registry above the domain publishes a record without psd=y", "")
	}
	if !own && r.name.Labels() > 8 {
		r.find("dmarc.deep-name", at, fmt.Sprintf("%s has %d labels; the walk skips names in the middle", r.name, r.name.Labels()), "")
	}
}

// dmarcPSL compares with a receiver of RFC 7489.
func (r *run) dmarcPSL(res *dmarc.Result) {
	old := (&dmarc.Evaluator{Resolver: r.dns, Discovery: dmarc.PSL}).Discover(r.ctx, r.name)
	rec := &r.report.Records.DMARC
	rec.PSL = PSLView{OrgDomain: old.OrgDomain, PolicyDomain: old.PolicyDomain, Policy: string(old.Policy)}
	if slices.ContainsFunc(res.Walk, func(s dmarc.Step) bool { return s.Err != nil }) {
		return // the result of the walk is unknown
	}
	if old.Code == dmarc.TempError || old.OrgDomain == res.OrgDomain && old.PolicyDomain == res.PolicyDomain && old.Policy == res.Policy {
		return
	}
	r.find("dmarc.psl-differs", Where{Name: rec.Name, Record: rec.Record}, fmt.Sprintf("RFC 9989: policy %s of %s, organization %s; with a public suffix list: policy %s of %s, organization %s",
		word(res.Policy), word(res.PolicyDomain), word(res.OrgDomain), word(old.Policy), word(old.PolicyDomain), word(old.OrgDomain)), "")
}

func word[T ~string](s T) string {
	if s == "" {
		return "none"
	}
	return string(s)
}

// maxURIs limits the report destinations that are checked.
const maxURIs = 10

// reportURIs asks each external destination whether it accepts the reports (RFC 9990 §4).
func (r *run) reportURIs(res *dmarc.Result, uris []string, tag string, at Where) []ReportURI {
	list := []ReportURI{}
	for i, uri := range uris[:min(len(uris), maxURIs)] {
		u := ReportURI{URI: uri}
		host := uriHost(uri)
		d, err := domain.Parse(host)
		if err != nil {
			r.find("dmarc.bad-uri", at, fmt.Sprintf("%s: %s has no domain", tag, quote(uri)), "")
			continue
		}
		if i == 2 && tag == "rua" {
			r.find("dmarc.rua-many", at, fmt.Sprintf("%d destinations; reporters may stop after two", len(uris)), "")
		}
		if !strings.EqualFold(uri[:min(len(uri), 7)], "mailto:") {
			list = append(list, u) // https: unrelated to mail, and reporters need not support it (RFC 9990 §3.5)
			continue
		}
		if own, free := r.unregistered(string(d)); free {
			r.find("dmarc.rua-unregistered", at, fmt.Sprintf("%s: %s does not exist: anyone who registers it can read the reports about %s", tag, own, r.name), "")
			list = append(list, u)
			continue
		}
		r.takesMail(d, tag, at)
		org := (&dmarc.Evaluator{Resolver: r.dns}).Discover(r.ctx, d).OrgDomain
		if org == "" || res.OrgDomain == "" { // a step of the walk has no answer
			u.External = d.Registrable() != r.name.Registrable()
		} else {
			u.External = org != res.OrgDomain
		}
		if u.External {
			u.Authorised = r.authorised(res.PolicyDomain, d, tag, at)
		}
		list = append(list, u)
	}
	return list
}

// uriHost is the domain of a mailto address, else the host.
func uriHost(uri string) string {
	scheme, rest, _ := strings.Cut(uri, ":")
	if strings.EqualFold(scheme, "mailto") {
		rest, _, _ = strings.Cut(rest, "?")
		return rest[strings.LastIndexByte(rest, '@')+1:]
	}
	rest = strings.TrimPrefix(rest, "//")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	rest = rest[strings.LastIndexByte(rest, '@')+1:]
	rest, _, _ = strings.Cut(rest, ":")
	return rest
}

// takesMail finds a destination that mail cannot reach.
func (r *run) takesMail(d domain.Name, tag string, at Where) {
	id := map[string]string{"rua": "dmarc.rua-domain", "ruf": "dmarc.ruf-domain", "TLS-RPT rua": "tlsrpt.rua-domain"}[tag]
	mx, state := r.ask("dmarc", string(d), resolver.MX, false)
	switch {
	case state == Failed || state == Found && mx.Records[0].Target != "":
		return
	case state == Found:
		r.find(id, at, fmt.Sprintf("%s: %s says that it accepts no mail (null MX)", tag, d), "")
		return
	}
	_, v4 := r.ask("dmarc", string(d), resolver.A, false)
	_, v6 := r.ask("dmarc", string(d), resolver.AAAA, false)
	if v4 != Found && v6 != Found && v4 != Failed && v6 != Failed {
		r.find(id, at, fmt.Sprintf("%s: %s has neither MX nor address", tag, d), "")
	}
}

// authorised looks up the record by which d accepts reports about policyDomain.
func (r *run) authorised(policyDomain string, d domain.Name, tag string, at Where) string {
	name := policyDomain + "._report._dmarc." + string(d)
	a, state := r.ask("dmarc", name, resolver.TXT, false)
	if state == Failed {
		return "unknown"
	}
	for _, rr := range a.Records {
		if record, ok := dmarcrecord.Parse(rr.Text); ok {
			r.override(record, d, tag, at)
			return "yes"
		}
	}
	id := "dmarc.rua-unauthorised"
	if tag == "ruf" {
		id = "dmarc.ruf-unauthorised"
	}
	r.find(id, at, fmt.Sprintf("%s does not say that it accepts reports about %s", d, policyDomain), fmt.Sprintf(`let its owner publish at %s: "v=DMARC1;"`, name))
	return "no"
}

// override finds a record that accepts reports but redirects them to another host; a reporter
// must not follow it (RFC 9990 §4, step 9).
func (r *run) override(record *dmarcrecord.Record, d domain.Name, tag string, at Where) {
	uris := record.RUA
	if tag == "ruf" {
		uris = record.RUF
	}
	for _, uri := range uris {
		if host, err := domain.Parse(uriHost(uri)); err == nil && host != d {
			r.find("dmarc.rua-override", at, fmt.Sprintf("%s: %s redirects the reports to %s, another host: reporters do not follow that", tag, d, host), "")
		}
	}
}
