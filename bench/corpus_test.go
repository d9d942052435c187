package bench

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
)

const signers = 4

var (
	rsaKeys [signers]*rsa.PrivateKey
	edKeys  [signers]ed25519.PrivateKey

	// zoneText is the DNS of the bulk sender: SPF with 5 includes and 42 ip terms.
	zoneText = makeZone()
)

// makeZone makes the keys and publishes them.
func makeZone() string {
	var b strings.Builder
	b.WriteString("$TTL 3600\n" +
		"bulk.test. TXT \"v=spf1 ip4:192.0.2.0/28 ip6:2001:db8::/48 include:_a.bulk.test include:_b.bulk.test include:_c.bulk.test include:_d.bulk.test include:_e.bulk.test mx -all\"\n" +
		"bulk.test. MX 10 mx.bulk.test.\nmx.bulk.test. A 198.51.100.25\nout.bulk.test. A 198.51.100.25\n" +
		"out.bulk.test. TXT \"v=spf1 a -all\"\n25.100.51.198.in-addr.arpa. PTR out.bulk.test.\n" +
		"_dmarc.bulk.test. TXT \"v=DMARC1; p=reject; rua=mailto:d@bulk.test\"\n")
	for i, name := range []string{"_a", "_b", "_c", "_d", "_e"} {
		fmt.Fprintf(&b, "%s.bulk.test. TXT \"v=spf1", name)
		for j := range 8 {
			fmt.Fprintf(&b, " ip4:203.0.%d.%d/30", 100+i, 4*j)
		}
		b.WriteString(" ~all\"\n")
	}
	for i := range signers {
		seed := [ed25519.SeedSize]byte{byte(i + 1)}
		edKeys[i] = ed25519.NewKeyFromSeed(seed[:])
		fmt.Fprintf(&b, "ed25519%d._domainkey.bulk.test. TXT \"v=DKIM1; k=ed25519; p=%s\"\n", i, base64.StdEncoding.EncodeToString(edKeys[i].Public().(ed25519.PublicKey)))
		key, err := rsa.GenerateKey(nil, 2048)
		if err != nil {
			panic(err)
		}
		rsaKeys[i] = key
		der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		if err != nil {
			panic(err)
		}
		text := base64.StdEncoding.EncodeToString(der)
		fmt.Fprintf(&b, "rsa%d._domainkey.bulk.test. TXT \"v=DKIM1; k=rsa; p=%s\" \"%s\"\n", i, text[:200], text[200:])
	}
	return b.String()
}

var messages sync.Map // shape to []byte

// message returns the message of a shape, signed.
func message(tb testing.TB, s shape) []byte {
	if msg, ok := messages.Load(s); ok {
		return msg.([]byte)
	}
	msg := sign(tb, s, prose(s.bytes))
	messages.Store(s, msg)
	return msg
}

// prose is text in lines of mail, with an indented and a padded line here and there.
func prose(n int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	words := []string{"the", "invoice", "of", "this", "month", "is", "attached", "please", "pay", "by", "Friday", "thank", "you", "=20", "https://example.com/a?b=c", "and"}
	var b bytes.Buffer
	for b.Len() < n {
		column := 0
		for column < 66 {
			w := words[random.IntN(len(words))]
			b.WriteString(w)
			b.WriteByte(' ')
			column += len(w) + 1
		}
		if random.IntN(20) != 0 {
			b.Truncate(b.Len() - 1)
		}
		b.WriteString("\r\n")
		if random.IntN(8) == 0 {
			b.WriteString("\r\n")
		}
	}
	return append(b.Bytes()[:n:n], "\r\n"...)
}

const header = "Received: from a.bulk.test (a.bulk.test [198.51.100.25])\r\n\tby mx.bulk.test with ESMTPS id 1\r\n\tfor <b@example.net>; Mon, 2 Nov 2026 08:00:00 +0000\r\n" +
	"From: Bulk <news@bulk.test>\r\nTo: \"B\" <b@example.net>\r\nSubject: The invoice of this month, and what else is new\r\nDate: Mon, 2 Nov 2026 08:00:00 +0000\r\n" +
	"Message-ID: <20261102080000.1@bulk.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n" +
	"List-Unsubscribe: <https://bulk.test/u/1>,\r\n <mailto:u@bulk.test>\r\nX-Mailer: bulk 7\r\nReply-To: help@bulk.test\r\n"

func sign(tb testing.TB, s shape, body []byte) []byte {
	msg := append([]byte(header+"\r\n"), body...)
	for i := range s.signed {
		options := &dkim.SignOptions{Domain: "bulk.test", Selector: fmt.Sprintf("%s%d", s.algorithm, i), Hash: crypto.SHA256,
			HeaderCanonicalization: dkim.Canonicalization(s.canonical), BodyCanonicalization: dkim.Canonicalization(s.canonical),
			HeaderKeys: []string{"From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Reply-To", "List-Unsubscribe"}}
		options.Signer = rsaKeys[i]
		if s.algorithm == "ed25519" {
			options.Signer = edKeys[i]
		}
		var b bytes.Buffer
		if err := dkim.Sign(&b, bytes.NewReader(msg), options); err != nil {
			tb.Fatal(err)
		}
		msg = b.Bytes()
	}
	return msg
}
