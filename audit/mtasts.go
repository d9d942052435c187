package audit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"postseal/internal/app/repair"
	"postseal/internal/core/dnsdata"
	"postseal/resolver"
)

// MTASTS is the policy that RFC 8461 asks senders to follow.
type MTASTS struct {
	Status
	Record string     `json:"record"`
	ID     string     `json:"id"`
	Policy *STSPolicy `json:"policy,omitempty"`
}

// STSPolicy is a policy file (RFC 8461 §3.2).
type STSPolicy struct {
	Version string   `json:"version"`
	Mode    string   `json:"mode"`
	MaxAge  int      `json:"max_age"`
	MX      []string `json:"mx"`
}

// Bounds of RFC 8461 §3.2 and §3.3, and our time limit.
const (
	maxPolicyBytes = 64 << 10
	maxPolicyAge   = 31557600
	minPolicyAge   = 86400
	fetchTime      = 20 * time.Second
)

// mtasts checks the record and the policy that it announces.
func (r *run) mtasts() {
	rec := &r.report.Records.MTASTS
	rec.Status, rec.Record, r.stsTexts = r.transportRecord(transportKind{"MTA-STS", "mtasts", "_mta-sts.", "v=STSv1", "mtasts.record", repair.LooksLikeSTS})
	if rec.Record == "" {
		return
	}
	id, err := ParseSTSRecord(rec.Record)
	if err != nil {
		r.find("mtasts.record", Where{rec.Name, err.Offset, rec.Record}, err.Msg, "")
		return
	}
	rec.ID = id
	r.stsPolicy(rec)
}

// transportKind holds the differences between MTA-STS and TLS-RPT.
type transportKind struct {
	what, area, label, version string
	unreadable                 string // the rule for a text that was meant to be a record
	lookalike                  func(text string) bool
}

// transportRecord looks up the record of MTA-STS or TLS-RPT. If there is none, or more than
// one, it adds a finding of area and returns "". texts are those that were meant to be records.
func (r *run) transportRecord(k transportKind) (status Status, text string, texts []string) {
	name := k.label + string(r.name)
	a, state := r.ask(strings.ToLower(k.what), name, resolver.TXT, false)
	status = r.status(name, state)
	records := beginning(a, k.version)
	for _, rr := range a.Records {
		if slices.Contains(records, rr.Text) {
			texts = append(texts, rr.Text)
		} else if k.lookalike(rr.Text) {
			texts = append(texts, rr.Text)
			r.find(k.unreadable, Where{Name: name, Record: rr.Text}, "senders do not see a "+k.what+" record in "+quote(rr.Text), "")
		}
	}
	r.hygiene(name, a, strings.ToLower(k.version[2:]))
	switch {
	case state == Failed:
	case len(records) == 1:
		return status, records[0], texts
	case len(records) > 1:
		r.find(k.area+".multiple", Where{Name: name, Record: records[1]}, fmt.Sprintf("%s has %d records", name, len(records)), "")
	default:
		if status.State == Found {
			status.State = NoData
		}
		texts = append(texts, r.misplacedText(k, name, texts)...)
		if len(texts) == 0 && r.report.Profile.Receives() {
			r.find(k.area+".missing", Where{Name: name}, "no "+k.what+" record at "+name, "")
		}
	}
	return status, "", texts
}

// misplacedText finds a record at the domain itself, or at a name that contains the domain
// twice; senders query neither.
func (r *run) misplacedText(k transportKind, name string, have []string) []string {
	if len(have) > 0 {
		return nil
	}
	var texts []string
	for _, rr := range r.apex.Records {
		if k.lookalike(rr.Text) {
			texts = append(texts, rr.Text)
			r.find(k.area+".misplaced", Where{Name: string(r.name), Record: rr.Text}, "a "+k.what+" record is at "+string(r.name), "move it to "+name)
		}
	}
	for _, rr := range r.nameTwice(name) {
		if k.lookalike(rr.Text) {
			texts = append(texts, rr.Text)
		}
	}
	return texts
}

// beginning returns the texts that start with a version.
func beginning(a resolver.Answer, version string) []string {
	var list []string
	for _, rr := range a.Records {
		if hasVersion(rr.Text, version) {
			list = append(list, rr.Text)
		}
	}
	return list
}

// hasVersion reports whether text starts with a version and the end of that tag, without
// anything before it (RFC 8461 §3.1, RFC 8460 §3).
func hasVersion(text, version string) bool {
	rest, ok := strings.CutPrefix(text, version)
	return ok && (rest == "" || strings.ContainsAny(rest[:1], "; \t"))
}

// SyntaxError says where and why a text is not a record.
type SyntaxError struct {
	Offset int
	Msg    string
}

// Error gives the octet and the problem.
func (e *SyntaxError) Error() string { return fmt.Sprintf("octet %d: %s", e.Offset, e.Msg) }

// field is one name=value between semicolons.
type field struct {
	name, value             string
	nameOffset, valueOffset int
	equals                  bool
}

// fields splits a record of RFC 8461, RFC 8460 or BIMI. One semicolon is allowed at the end.
func fields(text string) []field {
	var list []field
	offset := 0
	for part := range strings.SplitSeq(text, ";") {
		f := field{nameOffset: offset + len(part) - len(strings.TrimLeft(part, " \t"))}
		f.name, f.value, f.equals = strings.Cut(part, "=")
		f.valueOffset = offset + len(f.name) + 1 + len(f.value) - len(strings.TrimLeft(f.value, " \t"))
		f.name, f.value = strings.Trim(f.name, " \t"), strings.Trim(f.value, " \t")
		offset += len(part) + 1
		if f.name != "" || f.equals {
			list = append(list, f)
		}
	}
	return list
}

// ParseSTSRecord reads the text of a record at _mta-sts (RFC 8461 §3.1).
func ParseSTSRecord(text string) (id string, err *SyntaxError) {
	for i, f := range fields(text) {
		switch {
		case !f.equals:
			return "", &SyntaxError{f.nameOffset, quote(f.name) + ` has no "="`}
		case i == 0 && (f.name != "v" || f.value != "STSv1"):
			return "", &SyntaxError{f.nameOffset, "the record does not start with v=STSv1"}
		case f.name != "id":
		case len(f.value) == 0 || len(f.value) > 32 || !alnum(f.value):
			return "", &SyntaxError{f.valueOffset, "id is not 1 to 32 letters and digits"}
		case id == "":
			id = f.value
		}
	}
	if id == "" {
		return "", &SyntaxError{len(text), "id is missing"}
	}
	return id, nil
}

func alnum(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// stsPolicy fetches the policy and checks the domain against it.
func (r *run) stsPolicy(rec *MTASTS) {
	host := "mta-sts." + string(r.name)
	url := "https://" + host + "/.well-known/mta-sts.txt"
	at := Where{Name: host}
	if r.nowhere(host) {
		r.find("mtasts.http", at, host+" has no address: no sender can fetch the policy", "")
		return
	}
	body, contentType, ok := r.fetch("mta-sts", url, maxPolicyBytes, "mtasts", at)
	if !ok {
		return
	}
	if media, _, _ := mime.ParseMediaType(contentType); media != "text/plain" {
		r.find("mtasts.content-type", at, fmt.Sprintf("%s is served as %s", url, quote(contentType)), "")
	}
	policy, problems := ParseSTSPolicy(string(body))
	rec.Policy = policy
	at.Record = string(body)
	for _, p := range problems {
		at.Offset = p.Offset
		r.find(p.ID, at, p.Msg, "")
	}
	at.Offset = 0
	if policy.Mode == "testing" {
		r.find("mtasts.testing", at, "senders report failures, but deliver anyway", "")
	}
	if policy.Mode == "none" {
		r.find("mtasts.none", at, "mode none: the policy has been withdrawn", "")
		return
	}
	for _, h := range r.report.Records.MX {
		if h.Name != "" && !policy.allows(h.Name) {
			r.find("mtasts.mx-mismatch", at, "MX host "+clip(h.Name)+" is not in the policy", "add the line: mx: "+clip(h.Name))
		}
	}
}

// nowhere reports whether a name certainly has no address.
func (r *run) nowhere(host string) bool {
	for _, t := range []resolver.Type{resolver.A, resolver.AAAA} {
		if _, state := r.ask("mta-sts", host, t, false); state == Found || state == Failed {
			return false
		}
	}
	return true
}

// allows reports whether host matches an mx pattern; a wildcard is one label (RFC 8461
// §4.1).
func (p *STSPolicy) allows(host string) bool {
	for _, pattern := range p.MX {
		if strings.EqualFold(pattern, host) {
			return true
		}
		if rest, ok := strings.CutPrefix(pattern, "*."); ok {
			if _, parent, _ := strings.Cut(host, "."); strings.EqualFold(parent, rest) {
				return true
			}
		}
	}
	return false
}

// Problem is a violation of a rule in a text.
type Problem struct {
	ID     string
	Offset int
	Msg    string
}

const maxPolicyMX = 100

// ParseSTSPolicy reads a policy file (RFC 8461 §3.2). Of several equal keys the first counts,
// except that mx may occur on many lines.
func ParseSTSPolicy(text string) (*STSPolicy, []Problem) {
	p := &policyReader{policy: &STSPolicy{MX: []string{}}, seen: map[string]bool{}}
	offset := 0
	for line := range strings.Lines(text) {
		if trimmed := strings.TrimRight(line, "\r\n"); strings.Trim(trimmed, " \t") != "" {
			p.line(trimmed, offset)
		}
		offset += len(line)
	}
	if p.policy.Version != "STSv1" {
		p.problem("policy", 0, "version is not STSv1")
	}
	if !p.seen["mode"] {
		p.problem("policy", 0, "mode is missing")
	}
	if !p.seen["max_age"] {
		p.problem("policy", 0, "max_age is missing")
	}
	if len(p.policy.MX) == 0 && p.policy.Mode != "none" {
		p.problem("policy", 0, "mx is missing")
	}
	return p.policy, p.problems
}

type policyReader struct {
	policy   *STSPolicy
	seen     map[string]bool
	problems []Problem
}

func (p *policyReader) problem(rule string, offset int, msg string) {
	if len(p.problems) < 20 {
		p.problems = append(p.problems, Problem{"mtasts." + rule, offset, msg})
	}
}

func (p *policyReader) line(line string, offset int) {
	key, value, ok := strings.Cut(line, ":")
	if !ok {
		p.problem("policy", offset, quote(line)+` is not "key: value"`)
		return
	}
	key, value = strings.Trim(key, " \t"), strings.Trim(value, " \t")
	if p.seen[key] && key != "mx" {
		p.problem("duplicate-key", offset, quote(key)+" occurs twice; the first counts")
		return
	}
	p.seen[key] = true
	switch key {
	case "version":
		p.policy.Version = value
	case "mode":
		p.policy.Mode = value
		if value != "enforce" && value != "testing" && value != "none" {
			p.problem("policy", offset, "mode "+quote(value)+" is not one of enforce, testing, none")
		}
	case "max_age":
		n, err := strconv.ParseUint(value, 10, 32)
		p.policy.MaxAge = int(min(n, maxPolicyAge+1))
		switch {
		case err != nil || n > maxPolicyAge:
			p.problem("policy", offset, "max_age "+quote(value)+" is not 0 to 31557600 seconds")
		case n < minPolicyAge:
			p.problem("max-age", offset, fmt.Sprintf("max_age is %d seconds: an attacker has to block the policy for less than a day", n))
		}
	case "mx":
		if name := strings.TrimPrefix(value, "*."); !dnsdata.ValidName(name) || strings.ContainsAny(name, "*: ") {
			p.problem("policy", offset, "mx "+quote(value)+" is not a host name")
		} else if len(p.policy.MX) < maxPolicyMX {
			p.policy.MX = append(p.policy.MX, strings.TrimSuffix(value, "."))
		}
	}
}

// fetch gets url. A mistake of the server is a finding of area; an unreachable server is
// unchecked, and says nothing about the domain.
func (r *run) fetch(check, url string, most int64, area string, at Where) (body []byte, contentType string, ok bool) {
	if r.HTTP == nil {
		r.report.Unchecked = append(r.report.Unchecked, Unchecked{Check: check, Name: url, Kind: resolver.Network, Detail: "no web access in this run"})
		return nil, "", false
	}
	ctx, cancel := context.WithTimeout(r.ctx, fetchTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		r.find(area+".url", at, quote(url)+" is not a URL", "")
		return nil, "", false
	}
	req.Header.Set("User-Agent", "postseal-audit")
	resp, err := r.HTTP.Do(req)
	var bad *tls.CertificateVerificationError
	switch {
	case errors.As(err, &bad):
		r.find(area+".certificate", at, "the certificate of "+req.URL.Host+" is not valid for it: "+bad.Err.Error(), "")
		return nil, "", false
	case err != nil:
		r.unchecked(check, url, err, false)
		return nil, "", false
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		r.find(area+".http", at, fmt.Sprintf("%s answers %d", url, resp.StatusCode), "")
		return nil, "", false
	}
	body, err = io.ReadAll(io.LimitReader(resp.Body, most+1))
	switch {
	case err != nil:
		r.unchecked(check, url, err, false)
		return nil, "", false
	case int64(len(body)) > most:
		r.find(area+".too-large", at, fmt.Sprintf("%s has more than %d octets", url, most), "")
		return nil, "", false
	}
	return body, resp.Header.Get("Content-Type"), true
}
