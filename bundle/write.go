package bundle

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/tools/txtar"

	"postseal"
	"postseal/internal/core/attached"
	"postseal/internal/core/dnszone"
	"postseal/message"
	"postseal/resolver"
	"postseal/spf"
)

// Options say what a bundle contains in addition to what the verdict needs.
type Options struct {
	// Private keeps local parts, subjects and all other text of the header section.
	Private bool
	// Message is the whole message with CRLF line endings, to be kept too; it implies Private.
	Message []byte
}

// Of makes the bundle of a verdict that v came to. Unless o asks for more it holds no local
// part, no subject, no octet of the body: what signatures cover is there as hashes.
func Of(r *postseal.Report, v *postseal.Verifier, o Options) *Bundle {
	c, asked := v.Config(), r.Exchanges()
	b := &Bundle{Now: r.Time, Enforce: c.Enforce, Discovery: c.Discovery, OnError: c.OnError, Sealers: c.TrustedSealers, SealAge: c.SealAge, relayResults: c.RelayResults, Protected: c.Protected,
		NoGuard: c.NoPSLGuard, Partial: c.AllowPartialBody, AuthservID: c.AuthservID, Ref: r.Ref, Local: r.Decision.Reason == postseal.LocalExempt || r.Decision.Reason == postseal.LocalRule,
		Envelope: Envelope{IP: r.RemoteIP(), Helo: r.Helo, From: r.ReversePath, To: r.Recipients, Relays: r.Conn.Relays, results: r.Conn.Results, UnknownFrom: r.Conn.UnknownSender}}
	x := &redaction{r.Header, r.Author, append([]string{c.AuthservID}, c.RelayResults...), unreadSignatures(r)}
	keep := x.field
	if o.Private || o.Message != nil {
		keep = func(_ int, f message.Field) []byte { return f.Raw }
	} else {
		b.redactEnvelope(len(r.SPF) > 0 && r.SPF[0].Code != spf.None)
		asked = publicExchanges(r, b.Envelope, asked)
	}
	b.Zone, b.Timings = dnszone.Format(asked), timingsOf(asked)
	b.Message = o.Message
	if o.Message == nil {
		for i := range r.Header.Len() {
			f, ok := message.ParseField(keep(i, r.Header.At(i)))
			if !ok {
				f = message.Field{Raw: []byte("X:"), Colon: 1} // keeps the positions
			}
			b.header.Add(f)
		}
		b.evidence = &evidence{r.Author, r.Limit, attached.EvidenceOf(r)}
	}
	b.expect(r)
	return b
}

// expect notes what a re-run must come to again.
func (b *Bundle) expect(r *postseal.Report) {
	facts := factsOf(r)
	for _, key := range factOrder {
		if key == "removed" && r.Limit != "" && b.Message == nil {
			continue // fields beyond a limit are not in the bundle
		}
		if value := facts[key]; value != "" {
			b.Expect = append(b.Expect, key+"="+value)
		}
	}
}

var factOrder = []string{"spf", "helo", "dkim", "arc", "dmarc", "iprev", "author", "policy", "policy-domain", "org", "removed",
	"action", "applied", "decision", "override", "reply", "enhanced"}

// publicExchanges omits the questions whose names hold the local part of the sender, or all of
// a reverse-path that is omitted.
func publicExchanges(r *postseal.Report, kept Envelope, all []resolver.Exchange) []resolver.Exchange {
	private := map[string]bool{}
	note := func(name string) { private[strings.ToLower(strings.TrimSuffix(name, "."))] = true }
	for _, s := range r.SPF {
		for _, name := range s.LocalPartNames {
			note(name)
		}
	}
	if kept.From == omitted {
		note(r.ReversePath)
	}
	public := make([]resolver.Exchange, 0, len(all))
	for _, e := range all {
		if !private[strings.ToLower(e.Name)] {
			public = append(public, e)
		}
	}
	return public
}

// Format writes the bundle. Parse reads it back.
func (b *Bundle) Format() []byte {
	var comment bytes.Buffer
	line := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&comment, "%s: %s\n", key, oneLine(value))
		}
	}
	line("expect", strings.Join(b.Expect, " "))
	line("reason", b.Reason)
	line("rfc", b.RFC)
	line("comment", b.Comment)
	line("ref", b.Ref)
	line("now", b.Now.UTC().Format(time.RFC3339Nano))
	line("enforce", string(b.Enforce))
	line("discovery", string(b.Discovery))
	line("on-error", string(b.OnError))
	line("authserv-id", b.AuthservID)
	if b.SealAge > 0 && b.SealAge != postseal.DefaultSealAge {
		line("seal-age", b.SealAge.String())
	}
	line("trusted-sealers", strings.Join(b.Sealers, " "))
	line("relay-results", strings.Join(b.relayResults, " "))
	line("protected", strings.Join(b.Protected, " "))
	for _, flag := range []struct {
		line string
		set  bool
	}{{"psl-guard: off", b.NoGuard}, {"partial-body: allowed", b.Partial}, {"local-rules: yes", b.Local}} {
		if flag.set {
			comment.WriteString(flag.line + "\n")
		}
	}
	a := &txtar.Archive{Comment: comment.Bytes(), Files: []txtar.File{{Name: "zone", Data: []byte(b.Zone)}, {Name: "envelope", Data: []byte(b.Envelope.format())}}}
	if len(b.Timings) > 0 {
		a.Files = append(a.Files, txtar.File{Name: "timings", Data: []byte(formatTimings(b.Timings))})
	}
	if len(b.Diagnoses) > 0 {
		a.Files = append(a.Files, txtar.File{Name: "diagnoses", Data: []byte(formatDiagnoses(b.Diagnoses))})
	}
	if b.evidence != nil {
		a.Files = append(a.Files, part("header", b.headerText()), txtar.File{Name: "evidence", Data: []byte(b.evidence.format())})
	}
	if b.Message != nil {
		a.Files = append(a.Files, part("message", b.Message))
	}
	return txtar.Format(a)
}

func (b *Bundle) headerText() []byte {
	var text []byte
	for i := range b.header.Len() {
		text = append(append(text, b.header.At(i).Raw...), '\r', '\n')
	}
	return text
}

func oneLine(s string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(s) }

func (e *Envelope) format() string {
	var b strings.Builder
	if e.IP.IsValid() {
		fmt.Fprintf(&b, "ip %s\n", e.IP)
	}
	from := word("<" + e.From + ">")
	if e.UnknownFrom {
		from = unknownFrom
	}
	fmt.Fprintf(&b, "helo %s\nfrom %s\n", word(e.Helo), from)
	for _, to := range e.To {
		fmt.Fprintf(&b, "to %s\n", word("<"+to+">"))
	}
	if e.Relays > 0 {
		fmt.Fprintf(&b, "relays %d\n", e.Relays)
	}
	if e.results != "" {
		fmt.Fprintf(&b, "results %s\n", word(e.results))
	}
	return b.String()
}

// word is s where split gives it back, else quoted.
func word(s string) string {
	plain := s != "" && utf8.ValidString(s)
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] > ' ' && s[i] < 0x7f && s[i] != '"'
	}
	if plain {
		return s
	}
	return fmt.Sprintf("%+q", s)
}

// part is text where a reader gets the same octets back, else base64.
func part(name string, data []byte) txtar.File {
	text := bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	back := message.CRLF(text) // as Parse reads it
	if bytes.Equal(back, data) && utf8.Valid(data) && !bytes.ContainsAny(data, "\x00") && (len(text) == 0 || text[len(text)-1] == '\n') &&
		!bytes.HasPrefix(text, []byte("-- ")) && !bytes.Contains(text, []byte("\n-- ")) {
		return txtar.File{Name: name, Data: text}
	}
	encoded := base64.StdEncoding.EncodeToString(data)
	var b bytes.Buffer
	for len(encoded) > 76 {
		b.WriteString(encoded[:76] + "\n")
		encoded = encoded[76:]
	}
	b.WriteString(encoded + "\n")
	return txtar.File{Name: name + ".base64", Data: b.Bytes()}
}
