//go:build e2e

package e2e

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
)

// signature is a DKIM signature to add, with a key of testdata/keys.
type signature struct {
	domain, selector string
	simple           bool
}

// sign adds a signature on top of a message with CRLF line endings.
func sign(t testing.TB, text string, s signature) string {
	t.Helper()
	octets, err := os.ReadFile(fmt.Sprintf("../../testdata/keys/%s._domainkey.%s.pem", s.selector, s.domain))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(octets)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	options := &dkim.SignOptions{Domain: s.domain, Selector: s.selector, Signer: key.(crypto.Signer),
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
		HeaderKeys: []string{"From", "To", "Subject", "Date", "Message-ID"}}
	if s.simple {
		options.HeaderCanonicalization, options.BodyCanonicalization = dkim.CanonicalizationSimple, dkim.CanonicalizationSimple
	}
	var signed bytes.Buffer
	if err := dkim.Sign(&signed, strings.NewReader(text), options); err != nil {
		t.Fatal(err)
	}
	return signed.String()
}

// compose writes a message with CRLF line endings: header lines, a blank line, a body.
func compose(header, body string) string {
	return strings.ReplaceAll(strings.TrimSpace(header)+"\n\n"+body, "\n", "\r\n")
}

// letter is an ordinary message of an author.
func letter(from, id string) string {
	return compose("From: "+from+"\nTo: erin@example.net\nSubject: "+id+"\nDate: Mon, 2 Nov 2026 08:00:00 +0000\nMessage-ID: <"+id+"@probe.test>",
		"Some words.\n.a line with a dot\n\nThe end.\n")
}

// The clients of mail.zone.
var (
	acme   = mail{ip: "192.0.2.25", name: "out.acme.test", helo: "out.acme.test", from: "bounce@acme.test"}
	bulk   = mail{ip: "198.51.100.25", name: "mta7.bulk.test", helo: "mta7.bulk.test", from: "news@bounce.bulk.test"}
	cheap  = mail{ip: "203.0.113.7", name: "host-7.cheap.example", helo: "host-7.cheap.example", from: "mallory@cheap.example"}
	lists  = mail{ip: "198.51.100.77", name: "mail.lists.example.net", helo: "mail.lists.example.net", from: "anvils-bounces@lists.example.net"}
	simple = mail{ip: "192.0.2.60", name: "mail.simple.example", helo: "mail.simple.example", from: "ops@simple.example"}
	idn    = mail{ip: "192.0.2.80", name: "mail.xn--bcher-kva.example", helo: "mail.xn--bcher-kva.example", from: "laden@xn--bcher-kva.example"}
)

// with sets the text, and a recipient that names the message.
func (m mail) with(rcpt, text string) mail {
	m.rcpt, m.text = rcpt+"@example.net", text
	return m
}

func (m mail) sender(from string) mail {
	m.from = from
	return m
}
