package dkim_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"mime/quotedprintable"
	"strings"
	"sync"
	"testing"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"postseal/dkim"
	"postseal/message"
	"postseal/resolver/dnstest"
)

// clinic signs messages, breaks them and asks what happened.
type clinic struct {
	keys     map[string]crypto.Signer // by selector
	verifier *dkim.Verifier
}

// clinicKeys are made once, because that takes long.
var clinicKeys = sync.OnceValues(func() (keys [2]*rsa.PrivateKey, err error) {
	for i := range keys {
		if keys[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return keys, err
		}
	}
	return keys, nil
})

func newClinic(t testing.TB) *clinic {
	t.Helper()
	pair, err := clinicKeys()
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, other := pair[0], pair[1]
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	record := func(k *rsa.PrivateKey) string {
		der, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		text := base64.StdEncoding.EncodeToString(der)
		return fmt.Sprintf(`"v=DKIM1; p=%s" "%s"`, text[:200], text[200:])
	}
	zone, err := dnstest.Parse(fmt.Sprintf("rsa._domainkey.a.test. TXT %s\nchanged._domainkey.a.test. TXT %s\ned._domainkey.a.test. TXT \"v=DKIM1; k=ed25519; p=%s\"\n",
		record(rsaKey), record(other), base64.StdEncoding.EncodeToString(edKey.Public().(ed25519.PublicKey))))
	if err != nil {
		t.Fatal(err)
	}
	return &clinic{map[string]crypto.Signer{"rsa": rsaKey, "changed": rsaKey, "ed": edKey}, &dkim.Verifier{Resolver: zone}}
}

func (c *clinic) sign(t testing.TB, selector, header, body, msg string) string {
	t.Helper()
	var b bytes.Buffer
	err := msgauth.Sign(&b, strings.NewReader(msg), &msgauth.SignOptions{Domain: "a.test", Selector: selector, Signer: c.keys[selector], Hash: crypto.SHA256,
		HeaderCanonicalization: msgauth.Canonicalization(header), BodyCanonicalization: msgauth.Canonicalization(body),
		HeaderKeys: []string{"From", "To", "Subject", "Date", "Reply-To", "MIME-Version", "Content-Type"}})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// collect keeps a whole message.
type collect struct {
	message.Header
	body bytes.Buffer
}

func (c *collect) Field(f message.Field) error { c.Add(f); return nil }
func (c *collect) EndHeader() error            { return nil }
func (c *collect) Write(p []byte) (int, error) { return c.body.Write(p) }

func (c *clinic) diagnose(t testing.TB, msg string) (dkim.Result, dkim.Diagnosis) {
	t.Helper()
	signatures, err := c.verifier.Verify(context.Background(), strings.NewReader(msg))
	if err != nil || len(signatures) != 1 {
		t.Fatalf("%d signatures, %v", len(signatures), err)
	}
	var whole collect
	if err := message.Stream(&whole, strings.NewReader(msg), message.Limits{}); err != nil {
		t.Fatal(err)
	}
	return signatures[0], c.verifier.Diagnose(context.Background(), &whole.Header, whole.body.Bytes(), &signatures[0])
}

const genuine = "From: \"Dana Doe\" <dana@a.test>\r\nTo: list@lists.test\r\nSubject: dropping them\r\n from a cliff\r\nDate: Mon, 2 Nov 2026 08:00:00 +0000\r\n" +
	"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello,\r\n\r\nFrom here it is 100 = 10 × 10 metres.\r\n.dotted\r\n\r\nDana\r\n"

func replace(old, replacement string) func(string) string {
	return func(s string) string { return strings.Replace(s, old, replacement, 1) }
}

func then(steps ...func(string) string) func(string) string {
	return func(s string) string {
		for _, step := range steps {
			s = step(s)
		}
		return s
	}
}

func body(change func(string) string) func(string) string {
	return func(s string) string {
		header, body, _ := strings.Cut(s, "\r\n\r\n")
		return header + "\r\n\r\n" + change(body)
	}
}

func footer(s string) string {
	return s + "_______________________________________________\r\nlist mailing list\r\nhttps://lists.test/list\r\n"
}

func toQP(s string) string {
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

func toBase64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) + "\r\n" }

// mailman is what a list does by default: prefix, footer, its own fields.
var mailman = then(replace("Subject: ", "Subject: [anvils] "), body(footer), func(s string) string {
	return "List-Id: <list.lists.test>\r\nList-Post: <mailto:list@lists.test>\r\nPrecedence: list\r\n" + s
})

// munged is a list that takes the author's place because of DMARC.
var munged = then(mailman, replace("From: \"Dana Doe\" <dana@a.test>\r\n", "From: \"Dana Doe via list\" <list@lists.test>\r\nX-Original-From: \"Dana Doe\" <dana@a.test>\r\n"))

// mutations are what happens to mail. The simple ones break any signature, others only one
// of simple canonicalization.
var mutations = []struct {
	name   string
	simple bool // breaks simple canonicalization only
	change func(string) string
	want   dkim.Cause
}{
	{"list footer", false, body(footer), dkim.ListFooter},
	{"subject prefix", false, replace("Subject: ", "Subject: [anvils] "), dkim.SubjectPrefix},
	{"subject prefix after Re", false, replace("Subject: dropping", "Subject: [EXTERNAL] dropping"), dkim.SubjectPrefix},
	{"subject words", false, replace("Subject: ", "Subject: SPAM? "), dkim.SubjectPrefix},
	{"Mailman", false, mailman, dkim.ListFooter},
	{"Mailman that rewrites From", false, munged, dkim.ListFooter},
	{"prefix and rewritten From", false, then(replace("Subject: ", "Subject: [x] "), replace("From: \"Dana Doe\" <dana@a.test>\r\n",
		"From: list@lists.test\r\nReply-To: x@lists.test\r\nX-Original-From: \"Dana Doe\" <dana@a.test>\r\n")), dkim.UnknownCause},
	{"banner", false, body(func(s string) string { return "CAUTION: this mail is from outside.\r\n\r\n" + s }), dkim.ListFooter},
	{"wrapped in multipart", false, body(func(s string) string {
		return "--b\r\nContent-Type: text/plain\r\n\r\n" + strings.TrimSuffix(s, "\r\n") + "\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nfooter\r\n--b--\r\n"
	}), dkim.UnknownCause}, // Content-Type is signed too
	{"second Subject", false, func(s string) string {
		return s[:strings.Index(s, "From: \"")] + "Subject: win\r\n" + s[strings.Index(s, "From: \""):]
	}, ""},
	{"field added below", false, replace("\r\nMIME-Version: ", "\r\nTo: evil@x.test\r\nMIME-Version: "), dkim.FieldAdded},
	{"to quoted-printable", false, body(toQP), dkim.Recoded},
	{"to base64", false, body(toBase64), dkim.Recoded},
	{"From quoted by a mail store", false, body(replace("From here", ">From here")), dkim.Refolded},
	{"dots doubled", false, body(replace(".dotted", "..dotted")), dkim.Refolded},
	{"dots lost", false, body(replace("\r\n.dotted", "\r\ndotted")), dkim.UnknownCause},
	{"CR CR LF", false, body(func(s string) string { return strings.ReplaceAll(s, "\r\n", "\r\r\n") }), dkim.Refolded},
	{"encoded Subject", false, replace("Subject: dropping them\r\n from a cliff", "Subject: =?utf-8?q?dropping_them_from_a_cliff?="), dkim.Recoded},
	{"display name unquoted", false, replace("\"Dana Doe\"", "Dana Doe"), dkim.Recoded},
	{"unfolded", true, replace("them\r\n from", "them from"), dkim.Refolded},
	{"folded with a tab", true, replace("them\r\n from", "them\r\n\tfrom"), dkim.Refolded},
	{"trailing spaces", true, body(replace("Hello,", "Hello,  ")), dkim.Refolded},
	{"another text", false, body(replace("100", "900")), dkim.UnknownCause},
	{"another author", false, replace("dana@a.test", "boss@a.test"), dkim.UnknownCause},
}

// TestDiagnose: each change is found, by the signature that verifies with it undone. The
// share is printed.
func TestDiagnose(t *testing.T) {
	c := newClinic(t)
	tried, found := 0, 0
	for _, selector := range []string{"rsa", "ed"} {
		for _, header := range []string{"simple", "relaxed"} {
			for _, bodyForm := range []string{"simple", "relaxed"} {
				signed := c.sign(t, selector, header, bodyForm, genuine)
				for _, m := range mutations {
					broken := m.change(signed)
					s, d := c.diagnose(t, broken)
					if s.Code == dkim.Pass {
						if !m.simple && m.want != "" {
							t.Errorf("%s %s/%s: %s breaks nothing", selector, header, bodyForm, m.name)
						}
						continue
					}
					tried++
					if d.Cause != dkim.UnknownCause {
						found++
					}
					if want := m.want; want != "" && d.Cause != want && !(m.name == "encoded Subject" && header == "simple") {
						t.Errorf("%s %s/%s: %s: %s (%s), want %s", selector, header, bodyForm, m.name, d.Cause, d.Text, want)
					}
				}
			}
		}
	}
	t.Logf("%d of %d broken signatures diagnosed", found, tried)
}

// TestDiagnoseKey: an RSA signature tells that another key made it.
func TestDiagnoseKey(t *testing.T) {
	c := newClinic(t)
	_, d := c.diagnose(t, c.sign(t, "changed", "relaxed", "relaxed", genuine))
	if d.Cause != dkim.KeyChanged || d.HeaderIntact {
		t.Errorf("%+v", d)
	}
}

// TestDiagnoseForged: unsigned mail is never attributed to a list, whatever it looks like: an
// invented signature, one of another message, a genuine one with another author.
func TestDiagnoseForged(t *testing.T) {
	c := newClinic(t)
	signed := c.sign(t, "rsa", "relaxed", "relaxed", genuine)
	other := c.sign(t, "rsa", "relaxed", "relaxed", strings.Replace(genuine, "dropping", "about", 1))
	signature := other[:strings.Index(other, "From: \"")]
	for name, msg := range map[string]string{
		"another author":       mailman(strings.ReplaceAll(signed, "dana@a.test", "boss@a.test")),
		"signature of another": mailman(signature + genuine),
		"made up":              mailman(strings.Replace(signed, " b=", " b=AAAA", 1)),
		"another body":         body(func(string) string { return "Pay this invoice now.\r\n" })(signed),
	} {
		if _, d := c.diagnose(t, msg); d.Cause == dkim.ListFooter || d.Cause == dkim.SubjectPrefix || d.Cause == dkim.FromRewritten {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// TestDiagnoseBounded: a header section made to multiply the attempts costs no more.
func TestDiagnoseBounded(t *testing.T) {
	c := newClinic(t)
	signed := c.sign(t, "ed", "simple", "simple", genuine)
	huge := strings.Replace(signed, "From: \"", strings.Repeat("Reply-To: a b c d e f g@x.test\r\n", 180)+"From: \"", 1)
	huge = body(func(s string) string { return strings.Repeat(" \t x\r\n", 1<<20) + s })(huge)
	if _, d := c.diagnose(t, huge); d.Cause != dkim.UnknownCause {
		t.Errorf("%+v", d)
	}
}
