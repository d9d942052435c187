// Package corpus makes the mail of the benchmarks: signed messages of given sizes, and the DNS
// that they are verified with.
package corpus

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

	"github.com/emersion/go-msgauth/dkim"
)

// Signers is how many keys of each algorithm there are, and the most signatures of a Shape.
const Signers = 4

// The keys, made again in each process, and the zone that publishes them.
var (
	RSAKeys [Signers]*rsa.PrivateKey
	EdKeys  [Signers]ed25519.PrivateKey

	// Zone is the DNS of the bulk sender: SPF with 5 includes and 42 ip terms.
	Zone = makeZone()
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
	for i := range Signers {
		seed := [ed25519.SeedSize]byte{byte(i + 1)}
		EdKeys[i] = ed25519.NewKeyFromSeed(seed[:])
		fmt.Fprintf(&b, "ed25519%d._domainkey.bulk.test. TXT \"v=DKIM1; k=ed25519; p=%s\"\n", i, base64.StdEncoding.EncodeToString(EdKeys[i].Public().(ed25519.PublicKey)))
		key, err := rsa.GenerateKey(nil, 2048)
		if err != nil {
			panic(err)
		}
		RSAKeys[i] = key
		der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		if err != nil {
			panic(err)
		}
		text := base64.StdEncoding.EncodeToString(der)
		fmt.Fprintf(&b, "rsa%d._domainkey.bulk.test. TXT \"v=DKIM1; k=rsa; p=%s\" \"%s\"\n", i, text[:200], text[200:])
	}
	return b.String()
}

// Shape is a message and its signatures.
type Shape struct {
	Algorithm string // rsa or ed25519
	Canonical string // relaxed or simple
	Bytes     int    // of the body
	Signed    int    // signatures
}

// String names the shape as a row of a table.
func (s Shape) String() string {
	return fmt.Sprintf("%s/%s/%s/%dsig", s.Algorithm, s.Canonical, Size(s.Bytes), s.Signed)
}

// Size is n in KB or MB.
func Size(n int) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%dMB", n>>20)
	}
	return fmt.Sprintf("%dKB", n>>10)
}

var messages sync.Map // Shape to []byte

// Message returns the message of a shape, signed. It is shared: read only.
func Message(s Shape) []byte {
	if msg, ok := messages.Load(s); ok {
		return msg.([]byte)
	}
	msg := Sign(s, prose(s.Bytes))
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

// Header is the header section of every message, before its signatures.
const Header = "Received: from a.bulk.test (a.bulk.test [198.51.100.25])\r\n\tby mx.bulk.test with ESMTPS id 1\r\n\tfor <b@example.net>; Mon, 2 Nov 2026 08:00:00 +0000\r\n" +
	"From: Bulk <news@bulk.test>\r\nTo: \"B\" <b@example.net>\r\nSubject: The invoice of this month, and what else is new\r\nDate: Mon, 2 Nov 2026 08:00:00 +0000\r\n" +
	"Message-ID: <20261102080000.1@bulk.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n" +
	"List-Unsubscribe: <https://bulk.test/u/1>,\r\n <mailto:u@bulk.test>\r\nX-Mailer: bulk 7\r\nReply-To: help@bulk.test\r\n"

// Sign makes a message of body, signed as s says.
func Sign(s Shape, body []byte) []byte {
	msg := append([]byte(Header+"\r\n"), body...)
	for i := range s.Signed {
		options := &dkim.SignOptions{Domain: "bulk.test", Selector: fmt.Sprintf("%s%d", s.Algorithm, i), Hash: crypto.SHA256,
			HeaderCanonicalization: dkim.Canonicalization(s.Canonical), BodyCanonicalization: dkim.Canonicalization(s.Canonical),
			HeaderKeys: []string{"From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Reply-To", "List-Unsubscribe"}}
		options.Signer = RSAKeys[i]
		if s.Algorithm == "ed25519" {
			options.Signer = EdKeys[i]
		}
		var b bytes.Buffer
		if err := dkim.Sign(&b, bytes.NewReader(msg), options); err != nil {
			panic(err) // a key of ours
		}
		msg = b.Bytes()
	}
	return msg
}
