package audit

import (
	"fmt"
	"io"
	"strings"

	"github.com/miekg/dns"

	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/core/dnswire"
	"postseal/lint"
	"postseal/spf"
)

// maxZoneRecords bounds a zone file.
const maxZoneRecords = 1 << 20

// LintZone looks at each record of a zone file by itself, without asking the DNS. The
// error is that of the zone text.
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
	return l.list, p.Err()
}

type zoneLinter struct {
	n    int
	seen map[string]int // records of one kind at one name
	list []Finding
}

func (l *zoneLinter) find(id string, at Where, detail, fix string) {
	rule, _ := RuleOf(id)
	if fix == "" {
		fix = rule.Fix
	}
	l.list = append(l.list, Finding{ID: id, Severity: rule.Severity, Title: rule.Title, Detail: detail, Fix: fix, RFC: rule.RFC, Where: at, Publish: mended(id, at)})
}

// findEach finds what is wrong with the record at a place, each problem at its octet.
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
		l.text(name, at)
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

// once finds a second record where one is allowed.
func (l *zoneLinter) once(id string, at Where) {
	if key := id + " " + at.Name; l.seen[key] == 1 {
		l.find(id, at, "a second record at "+at.Name, "")
		l.seen[key]++
	} else {
		l.seen[key]++
	}
}

func (l *zoneLinter) text(name string, at Where) {
	switch {
	case strings.Contains(name+".", "._domainkey."):
		findEach(l.find, dkim.Lint(at.Record), at)
	case strings.HasPrefix(name, "_dmarc."):
		l.dmarc(at)
	case strings.HasPrefix(name, "_mta-sts."):
		l.once("mtasts.multiple", at)
		if _, err := ParseSTSRecord(at.Record); err != nil {
			at.Offset = err.Offset
			l.find("mtasts.record", at, err.Msg, "")
		}
	case strings.HasPrefix(name, "_smtp._tls."):
		l.once("tlsrpt.multiple", at)
		if _, err := ParseTLSRPT(at.Record); err != nil {
			at.Offset = err.Offset
			l.find("tlsrpt.syntax", at, err.Msg, "")
		}
	case strings.Contains(name+".", "._bimi."):
		if _, _, err := ParseBIMI(at.Record); err != nil {
			at.Offset = err.Offset
			l.find("bimi.syntax", at, err.Msg, "")
		}
	case spf.IsRecord(at.Record):
		l.once("spf.multiple", at)
		findEach(l.find, spf.Lint(at.Record), at)
	case spfLookalike(at.Record):
		l.find("spf.not-recognised", at, "receivers do not see an SPF record in "+quote(at.Record), "")
	}
}

func (l *zoneLinter) dmarc(at Where) {
	if _, ok := dmarc.Parse(at.Record); !ok {
		if lookalike(at.Record) {
			l.find("dmarc.not-recognised", at, "receivers do not see a DMARC record in "+quote(at.Record), "")
		}
		return
	}
	l.once("dmarc.multiple", at)
	findEach(l.find, dmarc.Lint(at.Record), at)
}
