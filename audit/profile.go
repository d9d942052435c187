package audit

import (
	"fmt"

	"postseal/internal/app/repair"
	"postseal/internal/core/spfrecord"
)

// profile determines how the domain uses mail, unless the caller says so.
func (r *run) profile() {
	if p := r.options.Profile; p != "" && p != Auto {
		r.report.Profile = p
		return
	}
	rec := &r.report.Records
	if rec.SPF.State == Failed || r.mxState == Failed {
		r.report.Profile = Unknown
		return
	}
	receives := len(rec.MX) > 0 && !(len(rec.MX) == 1 && r.nullMX())
	sends := r.authorises() || receives && rec.SPF.Record == ""
	switch {
	case sends && receives:
		r.report.Profile = Both
	case sends:
		r.report.Profile = Sending
	case receives:
		r.report.Profile = Receiving
	default:
		r.report.Profile = Parked
	}
}

// authorises reports whether the SPF record lets any client send. An unreadable record was
// meant to.
func (r *run) authorises() bool {
	rec := &r.report.Records.SPF
	if rec.Record == "" {
		return false
	}
	record, err := spfrecord.Parse(rec.Record)
	if err != nil {
		return true
	}
	if record.Redirect != nil && !record.HasAll {
		return true
	}
	for i := range record.Directives {
		d := &record.Directives[i]
		if d.Mechanism != spfrecord.All || d.Qualifier == spfrecord.Pass {
			return true
		}
	}
	return false
}

// profileRules checks what the domain's profile requires.
func (r *run) profileRules() {
	if r.missing {
		r.find("domain.missing", Where{Name: string(r.name)}, string(r.name)+" does not exist in the DNS", "")
		return
	}
	rec := &r.report.Records
	if rec.SPF.State == NoData || rec.SPF.State == NXDomain {
		r.spfMissing()
	}
	if r.report.Profile == Parked {
		r.parked()
		return
	}
	switch {
	case r.report.Profile.Sends() && r.nullMX() && len(rec.MX) == 1:
		r.find("mx.null-sender", Where{Name: string(r.name)}, "the null MX says that the domain accepts no replies, but SPF lets hosts send", "")
	case r.mxState == NoData && r.implicit:
		r.find("mx.implicit", Where{Name: string(r.name)}, "without MX, mail goes to the address of "+string(r.name), "")
	case r.report.Profile.Receives() && (r.mxState == NoData || r.mxState == NXDomain):
		r.find("mx.missing", Where{Name: string(r.name)}, string(r.name)+" has neither MX nor address: replies to its mail cannot be delivered", "")
	}
}

func (r *run) spfMissing() {
	if r.has("spf.not-recognised") {
		return
	}
	for _, rr := range r.nameTwice(string(r.name)) {
		if repair.LooksLikeSPF(rr.Text) {
			r.spfTexts = append(r.spfTexts, rr.Text)
		}
	}
	if d := &r.report.Records.DMARC; d.PolicyDomain != "" && d.PolicyDomain != string(r.name) && (d.Policy == "reject" || d.Policy == "quarantine") {
		r.find("spf.missing-host", Where{Name: string(r.name)}, fmt.Sprintf("no SPF record at %s; policy %s of %s protects it", r.name, d.Policy, d.PolicyDomain), "")
		return
	}
	fix := "publish a record that lists your MX hosts and everything else that sends for you"
	if r.report.Profile == Parked || r.report.Profile == Receiving {
		fix = "publish a record that authorizes no host"
	}
	r.find("spf.missing", Where{Name: string(r.name)}, "no SPF record at "+string(r.name), fix)
}

// parked: a domain without mail says so everywhere (RFC 7505 §4, RFC 7208 §10.1.2).
func (r *run) parked() {
	rec := &r.report.Records
	name := string(r.name)
	if rec.SPF.State == Found && rec.SPF.Record != "" && r.authorises() {
		r.find("parked.spf", Where{Name: name, Record: rec.SPF.Record}, "the SPF record lets hosts send", "")
	}
	if rec.DMARC.State == Found && rec.DMARC.Policy != "reject" {
		r.find("parked.dmarc", Where{Name: rec.DMARC.Name, Record: rec.DMARC.Record}, "policy "+word(rec.DMARC.Policy)+", although no mail from it can be genuine", "")
	}
	if hosts := len(rec.MX); hosts > 0 && !r.nullMX() {
		r.find("parked.mx-hosts", Where{Name: name}, fmt.Sprintf("%s has %d MX hosts, but no null MX", name, hosts), "")
	}
	if r.mxState == NoData && r.implicit {
		r.find("parked.mx", Where{Name: name}, "without MX, mail goes to the address of "+name, "")
	}
	if !r.noKeys && !r.emptyWildcard && len(rec.DKIM) > 0 {
		for _, k := range rec.DKIM {
			if k.State == Found && !k.Revoked && k.Type != "" {
				r.find("parked.dkim", Where{Name: k.Name, Record: k.Record}, "the key of "+k.Selector+" still verifies mail", "")
			}
		}
	}
}
