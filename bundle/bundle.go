// Package bundle reads and writes the evidence of one verdict as one text file: the
// envelope, the clock, every DNS answer and the message. The same file is a test vector,
// a bug report and a replay.
//
// The file is a txtar archive. Its comment holds "key: value" lines, its files are zone,
// envelope, and message (line endings are read as CRLF) or message.base64 (octet for octet), or
// instead of the message header and evidence: see Of and docs/reference/bundle.md.
package bundle

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/tools/txtar"

	"postseal"
	"postseal/dmarc"
	"postseal/internal/core/dnszone"
	"postseal/message"
	"postseal/resolver"
)

// Bundle is a parsed bundle.
type Bundle struct {
	Expect     []string // "dkim=pass", in the order of the file
	Reason     string   // a reason that the report must have, or ""
	RFC        string
	Comment    string
	Now        time.Time
	Enforce    postseal.Enforce
	Discovery  dmarc.Discovery
	OnError    postseal.OnError
	Sealers    []string      // trusted ARC sealers
	SealAge    time.Duration // how old their seals may be; 0 is postseal.DefaultSealAge
	Protected  []string      // postseal.Config.Protected
	NoGuard    bool          // postseal.Config.NoPSLGuard
	Partial    bool          // postseal.Config.AllowPartialBody
	AuthservID string
	Ref        string // of the verdict, "" in a vector
	Local      bool   // local rules decided, which the bundle does not hold
	Zone       string
	Timings    []Timing // of the DNS queries, nil if they are not known
	Diagnoses  []Diagnosis
	Envelope   Envelope
	Message    []byte    // with CRLF line endings; nil when there is evidence instead
	evidence   *evidence // what stands for the message
	header     message.Header

	relayResults []string // postseal.Config.RelayResults
}

// Envelope is what SMTP says before the message.
type Envelope struct {
	IP   netip.Addr // the zero Addr: not known, SPF is skipped
	Helo string
	From string // without angle brackets, "" is the null reverse-path
	To   []string

	results     string // see postseal.Conn.Results
	Relays      int    // of our own, see postseal.Conn
	UnknownFrom bool   // From is not known, which differs from the null path
}

// unknownFrom stands for a reverse-path that is not known; one that is known is in brackets.
const unknownFrom = "unknown"

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

// Is reports whether data, of which only the beginning may be there, is a bundle: a known
// key in its first line, and a part.
func Is(data []byte) bool {
	first, _, _ := bytes.Cut(data, []byte("\n"))
	key, _, ok := strings.Cut(string(first), ":")
	return ok && slices.Contains(keys, key) && partLine.Match(data)
}

var partLine = regexp.MustCompile(`(?m)^-- (zone|envelope|header|message)(\.base64)? --\r?$`)

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
	case "seal-age":
		if b.SealAge, err = time.ParseDuration(value); err != nil || b.SealAge <= 0 {
			return fmt.Errorf("seal-age: %q is not a duration such as \"72h\"", value)
		}
	case "trusted-sealers":
		b.Sealers = strings.Fields(value)
	case "relay-results":
		b.relayResults = strings.Fields(value)
	case "protected":
		b.Protected = strings.Fields(value)
	case "psl-guard":
		b.NoGuard = value == "off"
	case "partial-body":
		b.Partial = value == "allowed"
	case "authserv-id":
		b.AuthservID = value
	case "ref":
		b.Ref = value
	case "local-rules":
		b.Local = value == "yes"
	default:
		return fmt.Errorf("unknown key %q; known are %s", key, strings.Join(keys, ", "))
	}
	return err
}

var keys = []string{"expect", "reason", "rfc", "comment", "now", "enforce", "discovery", "on-error", "trusted-sealers", "seal-age", "relay-results", "protected",
	"psl-guard", "partial-body", "authserv-id", "ref", "local-rules"}

func (b *Bundle) file(name string, data []byte) (err error) {
	switch name {
	case "zone":
		b.Zone = string(data)
	case "envelope":
		b.Envelope, err = parseEnvelope(string(data))
	case "message":
		b.Message = message.CRLF(data)
	case "message.base64":
		b.Message, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(data)), ""))
	case "header":
		b.header, err = parseHeader(message.CRLF(data))
	case "header.base64":
		if data, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(data)), "")); err == nil {
			b.header, err = parseHeader(data)
		}
	case "evidence":
		b.evidence, err = parseEvidence(string(data))
	case "timings":
		b.Timings, err = parseTimings(string(data))
	case "diagnoses":
		b.Diagnoses, err = parseDiagnoses(string(data))
	default:
		return fmt.Errorf("unknown part; known are zone, envelope, message, message.base64, header, header.base64, evidence, timings, diagnoses")
	}
	return err
}

func parseEnvelope(s string) (Envelope, error) {
	var e Envelope
	words, err := split(s)
	if err != nil {
		return e, err
	}
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
			if e.UnknownFrom = value == unknownFrom; e.UnknownFrom {
				e.From = ""
			}
		case "to":
			e.To = append(e.To, strings.TrimSuffix(strings.TrimPrefix(value, "<"), ">"))
		case "results":
			e.results = value
		case "relays":
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 {
				return e, fmt.Errorf("relays %q is not a count", value)
			}
			e.Relays = n
		default:
			return e, fmt.Errorf("unknown word %q; known are ip, helo, from, to, relays, results", key)
		}
	}
	return e, nil
}

// split cuts s into words. One between double quotes is in the form of a Go string, so
// that it can hold anything; a quoted local part is not, since an "@" follows it.
func split(s string) ([]string, error) {
	var words []string
	for s = strings.TrimLeft(s, space); s != ""; s = strings.TrimLeft(s, space) {
		end := strings.IndexAny(s, space)
		if end < 0 {
			end = len(s)
		}
		word := s[:end]
		if quoted, err := strconv.QuotedPrefix(s); err == nil && (len(quoted) == len(s) || strings.IndexByte(space, s[len(quoted)]) >= 0) {
			if word, err = strconv.Unquote(quoted); err != nil {
				return nil, err
			}
			end = len(quoted)
		}
		words, s = append(words, word), s[end:]
	}
	return words, nil
}

const space = " \t\r\n"

// Config is the configuration of the verdict, with a resolver that answers from the zone
// of the bundle alone.
func (b *Bundle) Config() (postseal.Config, error) {
	zone, err := dnszone.Parse(b.Zone)
	if err != nil {
		return postseal.Config{}, fmt.Errorf("zone: %w", err)
	}
	return postseal.Config{Resolver: zone, AuthservID: b.AuthservID, Enforce: b.Enforce, Discovery: b.Discovery, OnError: b.OnError,
		TrustedSealers: b.Sealers, SealAge: b.SealAge, RelayResults: b.relayResults, Protected: b.Protected, NoPSLGuard: b.NoGuard, AllowPartialBody: b.Partial,
		Now: func() time.Time { return b.Now }}, nil
}

// Run evaluates the bundle again, from its own DNS answers alone.
func (b *Bundle) Run(ctx context.Context) (*postseal.Report, error) {
	c, err := b.Config()
	if err != nil {
		return nil, err
	}
	v, err := postseal.New(c)
	if err != nil {
		return nil, err
	}
	return b.RunWith(ctx, v)
}

// RunWith evaluates the bundle with another Verifier: another policy, or the DNS of today.
func (b *Bundle) RunWith(ctx context.Context, v *postseal.Verifier) (*postseal.Report, error) {
	conn := postseal.Conn{Relays: b.Envelope.Relays, Results: b.Envelope.results, UnknownSender: b.Envelope.UnknownFrom}
	if b.Envelope.IP.IsValid() {
		conn.Remote = netip.AddrPortFrom(b.Envelope.IP, 0)
	}
	if b.evidence != nil {
		r, err := b.replay(ctx, v, conn)
		if err == nil {
			b.give(r)
		}
		return r, err
	}
	s := v.Session(ctx, conn)
	s.Helo(b.Envelope.Helo)
	return s.Verify(ctx, b.Envelope.From, b.Envelope.To, bytes.NewReader(b.Message))
}

// Body is the body of the message, nil when the bundle does not hold it.
func (b *Bundle) Body() []byte {
	_, body, _ := bytes.Cut(b.Message, []byte("\r\n\r\n"))
	return body
}

// Missing lists the DNS questions of a run that the bundle has no answer to: the verdict
// may differ for that alone.
func Missing(r *postseal.Report) []string {
	var missing []string
	for _, e := range r.Exchanges() {
		if e.Err != nil && resolver.KindOf(e.Err) == resolver.Missing {
			missing = append(missing, e.Type.String()+" "+e.Name)
		}
	}
	return missing
}

// Check compares r with what the bundle expects and returns one line for each
// difference, "key: got x, want y".
func (b *Bundle) Check(r *postseal.Report) []string {
	facts := factsOf(r)
	var wrong []string
	for _, e := range b.Expect {
		key, want, _ := strings.Cut(e, "=")
		if b.Local && slices.Contains(localFacts, key) {
			continue
		}
		if got, ok := facts[key]; !ok || got != want {
			wrong = append(wrong, fmt.Sprintf("%s: got %q, want %q", key, got, want))
		}
	}
	if b.Reason != "" && !hasReason(r, b.Reason) {
		wrong = append(wrong, fmt.Sprintf("reason: got %s, want %q", strings.Join(reasonsOf(r), " "), b.Reason))
	}
	return wrong
}

// localFacts are what local rules may have changed.
var localFacts = []string{"action", "applied", "decision", "override", "reply", "enhanced"}

// factsOf lists what an expect line can name. Several signatures are joined by commas.
func factsOf(r *postseal.Report) map[string]string {
	facts := map[string]string{
		"dmarc": string(r.DMARC.Code), "policy": string(r.DMARC.Policy), "org": r.DMARC.OrgDomain, "policy-domain": r.DMARC.PolicyDomain,
		"arc": string(r.ARC.Code), "oldest-pass": strconv.Itoa(r.ARC.OldestPass), "action": string(r.Decision.Action), "applied": string(r.Decision.Applied), "decision": string(r.Decision.Reason),
		"spf": "skipped", "helo": "skipped", "iprev": "skipped", "removed": fmt.Sprint(len(r.Headers.Remove)),
	}
	var signatures, domains, removed []string
	for _, ref := range r.Headers.Remove {
		removed = append(removed, fmt.Sprintf("%s:%d", ref.Name, ref.Index))
	}
	for _, s := range r.DKIM {
		signatures = append(signatures, string(s.Code))
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
		facts["iprev"] = string(r.IPRev.Code)
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
	reasons := []string{string(r.Decision.Reason), string(r.DMARC.Reason), string(r.Author.Reason), string(r.ARC.Reason), string(r.Limit)}
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
