package audit

import (
	"fmt"

	"postseal/resolver"
)

// TLSA is a DANE record of an MX host (RFC 6698 §2, RFC 7672).
type TLSA struct {
	Host     string `json:"host"`
	Usage    uint8  `json:"usage"`
	Selector uint8  `json:"selector"`
	Matching uint8  `json:"matching"`
	Data     string `json:"data"` // hexadecimal
	Usable   bool   `json:"usable"`

	raw []byte
}

// DNSSEC is whether answers about the domain are signed.
type DNSSEC struct {
	State  string `json:"state"`  // secure, insecure, indeterminate (the resolver does not say), bogus
	Signed bool   `json:"signed"` // the parent has a DS record
}

// dnssec reports what the resolver says about the domain's own answers. The word of an
// untrusted resolver is ignored.
func (r *run) dnssec() {
	d := &r.report.Records.DNSSEC
	d.State = r.apex.Security.String()
	for _, u := range r.report.Unchecked {
		if u.Kind == resolver.Bogus {
			d.State = "bogus"
			r.find("dnssec.bogus", Where{Name: u.Name}, "the answer for "+u.Name+" does not match its signature", "")
		}
	}
	_, state := r.ask("dnssec", string(r.name), resolver.DS, false)
	d.Signed = state == Found
	if d.State == resolver.Insecure.String() && !d.Signed && state != Failed {
		r.find("dnssec.unsigned", Where{Name: string(r.name)}, string(r.name)+" is not signed", "")
	}
}

// maxTLSA bounds the records of one host.
const maxTLSA = 20

// dane checks the TLSA records of MX hosts. They count only if MX and host are signed (RFC 7672
// §2.1, §2.2).
func (r *run) dane() {
	mx, _ := r.ask("mx", string(r.name), resolver.MX, true)
	with, without := 0, []string{}
	for _, h := range r.report.Records.MX {
		if h.Name == "" || len(h.Addresses) == 0 {
			continue
		}
		name := "_25._tcp." + h.Name
		a, state := r.ask("dane", name, resolver.TLSA, false)
		switch {
		case state == Failed:
			r.daneFailed(h.Name, name, mx.Security)
			continue
		case state != Found:
			without = append(without, h.Name)
			continue
		}
		with++
		r.tlsa(h.Name, a, mx.Security)
	}
	at := Where{Name: string(r.name)}
	switch {
	case with > 0 && len(without) > 0:
		r.find("dane.partial", at, "no TLSA record for "+clip(without[0])+", although another MX host has one", "")
	case with == 0 && len(without) > 0 && mx.Security == resolver.Secure:
		r.find("dane.missing", at, "the zone is signed, but no MX host has a TLSA record", "")
	}
}

// daneFailed finds a name server that does not answer queries for TLSA. A sender cannot
// distinguish that from an attack, and keeps the mail (RFC 7672 §2.1.1). It queries TLSA only
// if the host's addresses are signed (§2.2.2).
func (r *run) daneFailed(host, name string, mx resolver.Security) {
	a, _ := r.ask("mx", host, resolver.A, false)
	if status := r.status(name, Failed); mx == resolver.Secure && a.Security == resolver.Secure && (status.Kind == resolver.ServFail || status.Kind == resolver.Refused) {
		r.find("dane.unanswered", Where{Name: name}, fmt.Sprintf("the lookup of %s failed (%s)", name, status.Kind), "")
	}
}

func (r *run) tlsa(host string, a resolver.Answer, mx resolver.Security) {
	at := Where{Name: "_25._tcp." + host}
	usable, recommended := 0, false
	for _, rr := range a.Records[:min(len(a.Records), maxTLSA)] {
		t, err := ParseTLSA(rr.Data)
		if err != nil {
			r.find("dane.unusable", at, host+": "+err.Error(), "")
			continue
		}
		t.Host = host
		r.report.Records.DANE = append(r.report.Records.DANE, t)
		if t.Usable {
			usable++
		}
		recommended = recommended || t.Usage == 3 && t.Selector == 1 && t.Matching == 1
	}
	switch {
	case usable == 0:
		r.find("dane.unusable", at, host+" has no TLSA record that mail servers use", "")
	case !recommended:
		r.find("dane.not-311", at, host+" has no TLSA record 3 1 1", "")
	}
	if a.Security == resolver.Insecure || mx == resolver.Insecure {
		r.find("dane.insecure", at, host+" has TLSA records, but the answers are not signed", "")
	}
}

// ParseTLSA reads the RDATA of a TLSA record (RFC 6698 §2.1).
func ParseTLSA(data []byte) (TLSA, error) {
	if len(data) < 4 {
		return TLSA{}, fmt.Errorf("a TLSA record of %d octets", len(data))
	}
	t := TLSA{Usage: data[0], Selector: data[1], Matching: data[2], Data: fmt.Sprintf("%x", data[3:]), raw: data[3:]}
	want := map[uint8]int{1: 32, 2: 64}[t.Matching]
	if want > 0 && len(t.raw) != want {
		return TLSA{}, fmt.Errorf("a TLSA record with a digest of %d octets, not %d", len(t.raw), want)
	}
	// RFC 7672 §3.1.3: usages 0 and 1 are not for mail.
	t.Usable = (t.Usage == 2 || t.Usage == 3) && t.Selector <= 1 && t.Matching <= 2
	return t, nil
}
