// Package bundle reads and writes the evidence of one verdict as one text file: the
// envelope, the clock, every DNS answer and the message. The same file is a test vector,
// a bug report and a replay.
//
// The file is a txtar archive. Its comment holds "key: value" lines (expect, reason, rfc,
// comment, now, enforce, discovery, authserv-id, trusted-sealers, on-error), its files are zone, envelope,
// message (line ends are read as CRLF) or message.base64 (octet for octet).
package bundle

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"postseal"
	"postseal/dmarc"
	"postseal/message"
	"postseal/resolver/dnstest"
)

// Bundle is a parsed bundle.
type Bundle struct {
	Expect     []string // "dkim=pass", in the order of the file
	Reason     string   // a reason that the report must carry, "" is none
	RFC        string
	Comment    string
	Now        time.Time
	Enforce    postseal.Enforce
	Discovery  dmarc.Discovery
	OnError    postseal.OnError
	Sealers    []string // trusted ARC sealers
	AuthservID string
	Zone       string
	Envelope   Envelope
	Message    []byte // with CRLF line ends
}

// Envelope is what SMTP says before the message.
type Envelope struct {
	IP   netip.Addr // the zero Addr: not known, SPF is skipped
	Helo string
	From string // without angle brackets, "" is the null reverse-path
	To   []string
}

// Parse reads a bundle. Errors name the line or the part at fault.
func Parse(data []byte) (*Bundle, error) {
	archive := txtar.Parse(data)
	b := &Bundle{Now: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), AuthservID: "mx.example.net"}
	for i, line := range strings.Split(string(archive.Comment), "\n") {
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("line %d: %q is not of the form key: value", i+1, line)
		}
		if err := b.set(key, strings.TrimSpace(value)); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	for _, f := range archive.Files {
		if err := b.file(f.Name, f.Data); err != nil {
			return nil, fmt.Errorf("part %q: %w", f.Name, err)
		}
	}
	return b, nil
}

func (b *Bundle) set(key, value string) (err error) {
	switch key {
	case "expect":
		b.Expect = strings.Fields(value)
	case "reason":
		b.Reason = value
	case "rfc":
		b.RFC = value
	case "comment":
		b.Comment = value
	case "now":
		b.Now, err = time.Parse(time.RFC3339Nano, value)
	case "enforce":
		b.Enforce = postseal.Enforce(value)
	case "discovery":
		b.Discovery = dmarc.Discovery(value)
	case "on-error":
		b.OnError = postseal.OnError(value)
	case "trusted-sealers":
		b.Sealers = strings.Fields(value)
	case "authserv-id":
		b.AuthservID = value
	default:
		return fmt.Errorf("unknown key %q; known are expect, reason, rfc, comment, now, enforce, discovery, on-error, trusted-sealers, authserv-id", key)
	}
	return err
}

func (b *Bundle) file(name string, data []byte) (err error) {
	switch name {
	case "zone":
		b.Zone = string(data)
	case "envelope":
		b.Envelope, err = parseEnvelope(string(data))
	case "message":
		b.Message, err = io.ReadAll(message.NewCRLFReader(bytes.NewReader(data)))
	case "message.base64":
		b.Message, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(data)), ""))
	default:
		return fmt.Errorf("unknown part; known are zone, envelope, message, message.base64")
	}
	return err
}

func parseEnvelope(s string) (Envelope, error) {
	var e Envelope
	words := strings.Fields(s)
	for i := 0; i < len(words); i++ {
		key := words[i]
		if i++; i >= len(words) {
			return e, fmt.Errorf("%q has no value", key)
		}
		value := words[i]
		switch key {
		case "ip":
			ip, err := netip.ParseAddr(value)
			if err != nil {
				return e, err
			}
			e.IP = ip
		case "helo":
			e.Helo = value
		case "from":
			e.From = strings.TrimSuffix(strings.TrimPrefix(value, "<"), ">")
		case "to":
			e.To = append(e.To, value)
		default:
			return e, fmt.Errorf("unknown word %q; known are ip, helo, from, to", key)
		}
	}
	return e, nil
}

// Run evaluates the bundle again, from its own DNS answers alone.
func (b *Bundle) Run(ctx context.Context) (*postseal.Report, error) {
	zone, err := dnstest.Parse(b.Zone)
	if err != nil {
		return nil, fmt.Errorf("zone: %w", err)
	}
	v, err := postseal.New(postseal.Config{Resolver: zone, AuthservID: b.AuthservID, Enforce: b.Enforce, Discovery: b.Discovery,
		OnError: b.OnError, TrustedSealers: b.Sealers, Now: func() time.Time { return b.Now }})
	if err != nil {
		return nil, err
	}
	var conn postseal.Conn
	if b.Envelope.IP.IsValid() {
		conn.Remote = netip.AddrPortFrom(b.Envelope.IP, 0)
	}
	return postseal.VerifyReader(ctx, v, conn, b.Envelope.Helo, b.Envelope.From, bytes.NewReader(b.Message))
}

// Check compares r with what the bundle expects and returns one line for each
// difference, "key: got x, want y".
func (b *Bundle) Check(r *postseal.Report) []string {
	facts := factsOf(r)
	var wrong []string
	for _, e := range b.Expect {
		key, want, _ := strings.Cut(e, "=")
		if got, ok := facts[key]; !ok || got != want {
			wrong = append(wrong, fmt.Sprintf("%s: got %q, want %q", key, got, want))
		}
	}
	if b.Reason != "" && !hasReason(r, b.Reason) {
		wrong = append(wrong, fmt.Sprintf("reason: got %s, want %q", strings.Join(reasonsOf(r), " "), b.Reason))
	}
	return wrong
}

// factsOf lists what an expect line can name. Several signatures are joined by commas.
func factsOf(r *postseal.Report) map[string]string {
	facts := map[string]string{
		"dmarc": string(r.DMARC.Result), "policy": string(r.DMARC.Policy), "org": r.DMARC.OrgDomain, "policy-domain": r.DMARC.PolicyDomain,
		"arc": r.ARC.Result, "action": string(r.Decision.Action), "applied": string(r.Decision.Applied), "decision": string(r.Decision.Reason),
		"spf": "skipped", "helo": "skipped", "iprev": "skipped", "removed": fmt.Sprint(len(r.Headers.Remove)),
	}
	var signatures, domains, removed []string
	for _, ref := range r.Headers.Remove {
		removed = append(removed, fmt.Sprintf("%s:%d", ref.Name, ref.Index))
	}
	for _, s := range r.DKIM {
		signatures = append(signatures, string(s.Result))
	}
	for _, d := range r.Author.Domains {
		domains = append(domains, string(d))
	}
	facts["dkim"], facts["author"] = strings.Join(signatures, ","), strings.Join(domains, ",")
	facts["remove"] = strings.Join(removed, ",")
	if len(r.SPF) > 0 {
		facts["spf"] = string(r.SPF[0].Code)
	}
	if len(r.SPF) > 1 {
		facts["helo"] = string(r.SPF[1].Code)
	}
	if r.IPRev != nil {
		facts["iprev"] = string(r.IPRev.Result)
	}
	if r.Decision.Override != nil {
		facts["override"] = string(r.Decision.Override.Type)
	}
	if r.Decision.Reply != nil {
		facts["reply"] = fmt.Sprint(r.Decision.Reply.Code)
		facts["enhanced"] = r.Decision.Reply.Enhanced
	}
	return facts
}

func reasonsOf(r *postseal.Report) []string {
	reasons := []string{string(r.Decision.Reason), string(r.DMARC.Reason), string(r.Author.Reason), r.ARC.Reason, string(r.Limit())}
	for _, s := range r.SPF {
		reasons = append(reasons, string(s.Reason))
	}
	for _, s := range r.DKIM {
		reasons = append(reasons, string(s.Reason))
	}
	return reasons
}

func hasReason(r *postseal.Report, want string) bool {
	for _, got := range reasonsOf(r) {
		if got == want {
			return true
		}
	}
	return false
}
