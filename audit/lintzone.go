package audit

import (
	"fmt"
	"io"
	"strings"

	"github.com/miekg/dns"

	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/app/repair"
	"postseal/internal/core/dmarcrecord"
	"postseal/internal/core/dnswire"
	"postseal/internal/core/spfrecord"
	"postseal/lint"
	"postseal/spf"
)

// maxZoneRecords bounds a zone file.
const maxZoneRecords = 1 << 20

// LintZone checks each record of a zone file separately, without the DNS. It returns an error
// if the zone cannot be parsed.
func LintZone(r io.Reader, file string) ([]Finding, error) {
	p := dns.NewZoneParser(r, ".", file)
	p.SetDefaultTTL(60)
	p.SetIncludeAllowed(false)
	l := &zoneLinter{seen: map[string]int{}}
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		if l.n++; l.n > maxZoneRecords {
			return l.list, fmt.Errorf("%s: more than %d records", file, maxZoneRecords)
		}
		l.record(dnswire.Name(rr.Header().Name), rr)
	}
	l.publish()
	return l.list, p.Err()
}

type zoneLinter struct {
	n     int
	seen  map[string]int // records of one kind at one name
	texts []zoneText
	list  []Finding
}

// zoneText is the intended text of the records of one kind at one name.
type zoneText struct {
	area, name string
	texts      []string
	lengths    []int // of the strings of the last
}

// meant notes the text of a record to publish.
func (l *zoneLinter) meant(area string, at Where, lengths []int) {
	if n := len(l.texts); n > 0 && l.texts[n-1].area == area && l.texts[n-1].name == at.Name {
		l.texts[n-1].texts = append(l.texts[n-1].texts, at.Record)
		return
	}
	l.texts = append(l.texts, zoneText{area, at.Name, []string{at.Record}, lengths})
}

// publish fills in the one record for each name that has findings.
func (l *zoneLinter) publish() {
	byName := map[string][]*Finding{}
	for i := range l.list {
		f := &l.list[i]
		byName[f.Where.Name] = append(byName[f.Where.Name], f)
	}
	for _, z := range l.texts {
		if len(byName[z.name]) == 0 {
			continue
		}
		value, fixes, err := z.fix(byName[z.name])
		for _, f := range byName[z.name] {
			if err == nil && fixes(f) && strings.HasPrefix(f.ID, z.area+".") {
				f.Publish = value
			}
		}
	}
}

func (z *zoneText) fix(findings []*Finding) (string, func(*Finding) bool, error) {
	fix := map[string]func(...string) (string, error){"mtasts": repair.STS, "tlsrpt": repair.TLSRPT, "bimi": repair.BIMI}[z.area]
	switch {
	case z.area == "spf":
		return fixSPF(z.texts, findings)
	case z.area == "dmarc":
		return fixDMARC(z.texts, findings, "")
	case z.area == "dkim":
		return fixKey(z.texts[0], z.lengths)
	}
	value, err := fix(z.texts...)
	return value, func(f *Finding) bool { return unreadable[f.ID] }, err
}

func (l *zoneLinter) find(id string, at Where, detail, fix string) {
	rule, _ := RuleOf(id)
	if fix == "" {
		fix = rule.Fix
	}
	l.list = append(l.list, Finding{ID: id, Severity: rule.Severity, Title: rule.Title, Detail: detail, Fix: fix, RFC: rule.RFC, Where: at})
}

// findEach finds what is wrong with a record, each problem at its octet.
func findEach(find func(id string, at Where, detail, fix string), problems []lint.Problem, at Where) {
	for _, p := range problems {
		at.Offset = p.Offset
		find(p.ID, at, p.Message, p.Fix)
	}
}

func (l *zoneLinter) record(name string, rr dns.RR) {
	data := dnswire.Convert(rr)
	at := Where{Name: name}
	switch rr.Header().Rrtype {
	case dns.TypeTXT:
		at.Record = data.Text
		l.text(name, at, data.Strings)
	case dns.TypeSPF:
		at.Record = data.Text
		l.find("spf.rrtype", at, "a record of type SPF (99)", "")
	case dns.TypeCAA:
		c, err := ParseCAA(data.Data)
		switch {
		case err != nil:
			l.find("caa.syntax", at, err.Error(), "")
		case c.Critical && !knownTags[strings.ToLower(c.Tag)]:
			l.find("caa.unknown-critical", at, "the property "+quote(c.Tag)+" is critical and unknown", "")
		}
	case dns.TypeTLSA:
		if t, err := ParseTLSA(data.Data); strings.HasPrefix(name, "_25._tcp.") && (err != nil || !t.Usable) {
			l.find("dane.unusable", at, "mail servers do not use this record", "")
		}
	}
}

// once finds a second record where only one is allowed.
func (l *zoneLinter) once(id string, at Where) {
	if key := id + " " + at.Name; l.seen[key] == 1 {
		l.find(id, at, "a second record at "+at.Name, "")
		l.seen[key]++
	} else {
		l.seen[key]++
	}
}

func (l *zoneLinter) text(name string, at Where, lengths []int) {
	switch {
	case strings.Contains(name+".", "._domainkey."):
		l.meant("dkim", at, lengths)
		problems := dkim.Lint(at.Record)
		if has(problems, "dkim.syntax") {
			at.Offset = problems[0].Offset
			keyFault(l.find, lengths, at, problems[0].Message)
			return
		}
		findEach(l.find, problems, at)
	case strings.HasPrefix(name, "_dmarc."):
		l.dmarc(at)
	case strings.HasPrefix(name, "_mta-sts.") && repair.LooksLikeSTS(at.Record):
		l.meant("mtasts", at, nil)
		l.once("mtasts.multiple", at)
		_, err := ParseSTSRecord(at.Record)
		if err = l.begins(at, "v=STSv1", err); err != nil {
			at.Offset = err.Offset
			l.find("mtasts.record", at, err.Msg, "")
		}
	case strings.HasPrefix(name, "_smtp._tls.") && repair.LooksLikeTLSRPT(at.Record):
		l.meant("tlsrpt", at, nil)
		l.once("tlsrpt.multiple", at)
		_, err := ParseTLSRPT(at.Record)
		if err = l.begins(at, "v=TLSRPTv1", err); err != nil {
			at.Offset = err.Offset
			l.find("tlsrpt.syntax", at, err.Msg, "")
		}
	case strings.Contains(name+".", "._bimi.") && repair.LooksLikeBIMI(at.Record):
		l.meant("bimi", at, nil)
		_, _, err := ParseBIMI(at.Record)
		if err = l.begins(at, "v=BIMI1", err); err != nil {
			at.Offset = err.Offset
			l.find("bimi.syntax", at, err.Msg, "")
		}
	case spfrecord.IsRecord(at.Record):
		l.meant("spf", at, nil)
		l.once("spf.multiple", at)
		findEach(l.find, spf.Lint(at.Record), at)
	case repair.LooksLikeSPF(at.Record):
		l.meant("spf", at, nil)
		l.find("spf.not-recognised", at, "receivers do not see an SPF record in "+quote(at.Record), "")
	}
}

// begins returns err, or an error if the record does not start with its version.
func (l *zoneLinter) begins(at Where, version string, err *SyntaxError) *SyntaxError {
	if err == nil && !hasVersion(at.Record, version) {
		return &SyntaxError{0, "the record does not start with " + version}
	}
	return err
}

func (l *zoneLinter) dmarc(at Where) {
	if _, ok := dmarcrecord.Parse(at.Record); !ok {
		if repair.LooksLikeDMARC(at.Record) {
			l.meant("dmarc", at, nil)
			l.find("dmarc.not-recognised", at, "receivers do not see a DMARC record in "+quote(at.Record), "")
		}
		return
	}
	l.meant("dmarc", at, nil)
	l.once("dmarc.multiple", at)
	findEach(l.find, dmarc.Lint(at.Record), at)
}
