package milter

import (
	"bytes"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"postseal"
	"postseal/message"
	"postseal/resolver/dnstest"
)

// parts are a message as an MTA hands it over.
type parts struct {
	header message.Header
	body   bytes.Buffer
}

func (p *parts) Field(f message.Field) error       { p.header.Add(f); return nil }
func (p *parts) EndHeader() error                  { return nil }
func (p *parts) Write(b []byte) (n int, err error) { return p.body.Write(b) }

// sendable reports whether the milter protocol, with its NULs and line endings of LF, can carry
// the header.
func (p *parts) sendable() bool {
	for i := range p.header.Len() {
		raw := strings.ReplaceAll(string(p.header.At(i).Raw), "\r\n", "")
		if strings.ContainsAny(raw, "\r\n\x00") {
			return false
		}
	}
	return true
}

func (p *parts) text() string {
	var b strings.Builder
	for i := range p.header.Len() {
		b.Write(p.header.At(i).Raw)
		b.WriteString("\r\n")
	}
	return b.String() + "\r\n" + p.body.String()
}

// give sends the message, its body in pieces of random size.
func (p *parts) give(m *mta, size int) []string {
	for i := range p.header.Len() {
		f := p.header.At(i)
		m.tell('L', string(f.Raw[:f.Colon])+"\x00"+strings.ReplaceAll(string(f.Raw[f.Colon+1:]), "\r\n", "\n")+"\x00")
	}
	m.tell('N', "")
	for rest := p.body.String(); rest != ""; rest = rest[min(size, len(rest)):] {
		m.tell('B', rest[:min(size, len(rest))])
	}
	return m.end()
}

// FuzzMessage: the verdict of a message that comes field by field and its body in pieces is
// that of the library for the whole text, and the fields that are added are the same.
func FuzzMessage(f *testing.F) {
	sign, signed := signer(f)
	for _, seed := range []string{passes, rejected, quarantined, sign("From: a@signed.test\nSubject:  two spaces,\n\t  a fold \n second\nX-Odd:none\nX-None:\n\n body \n\n\n"),
		"From : a@pass.test\nFrom: b@reject.test\n\nx", "Authentication-Results: mx.test; dmarc=pass\nFrom: \"a@b\" <c@pass.test>, d@reject.test\n\n", "no field\n\nFrom: a@pass.test\n"} {
		f.Add([]byte(strings.ReplaceAll(seed, "\n", "\r\n")), "a@pass.test", uint8(3))
	}
	names, err := dnstest.Parse(zone, signed)
	if err != nil {
		f.Fatal(err)
	}
	s := startWith(f, names, "enforce = 'strict'")
	f.Fuzz(func(t *testing.T, raw []byte, from string, size uint8) {
		var p parts
		if message.Stream(&p, message.NewCRLFReader(bytes.NewReader(raw)), message.Limits{}) != nil || !p.sendable() || strings.ContainsAny(from, "\x00<>") {
			return
		}
		want, err := postseal.VerifyReader(t.Context(), s.engine.Current().Verifier, postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.1:25")}, "client.test", from, strings.NewReader(p.text()))
		if err != nil {
			t.Fatal(err)
		}
		m := dial(t, s)
		m.negotiate()
		m.client("192.0.2.1")
		m.envelope(from)
		compare(t, p.give(m, int(size)+1), want)
		m.conn.Close()
		io.Copy(io.Discard, m.conn)
	})
}

// compare holds the replies to the end of a message against the verdict of the library.
func compare(t *testing.T, got []string, want *postseal.Report) {
	t.Helper()
	last := got[len(got)-1]
	if reply := want.Decision.Reply; reply != nil {
		if !strings.HasPrefix(last, "y"+reply.Enhanced[:1]) {
			t.Fatalf("the answer is %q, the library says %+v", got, want.Decision)
		}
		return
	}
	if last != "c" {
		t.Fatalf("the answer is %q, the library says %+v", got, want.Decision)
	}
	for _, h := range want.Headers.Add {
		line := h.Name + "|" + strings.ReplaceAll(h.Value, "\r\n", "\n")
		line, _, _ = strings.Cut(line, "ref=") // which tells the two verdicts apart
		if !slices.ContainsFunc(got, func(r string) bool { return strings.Contains(r, line) }) {
			t.Fatalf("the answer is %q without %q", got, line)
		}
	}
	removed := 0
	for _, r := range got {
		if r[0] == 'm' {
			removed++
		}
	}
	if removed != len(want.Headers.Remove) {
		t.Fatalf("the answer is %q, the library removes %v", got, want.Headers.Remove)
	}
}
