package corpus

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"

	"github.com/emersion/go-msgauth/dkim"
)

// Mail is one message with its envelope, and what must come of it by construction.
type Mail struct {
	Client           netip.Addr
	Helo             string
	ReversePath      string
	Text             []byte
	SPF, DKIM, DMARC string // result words of RFC 8601
}

// Senders are 200 domains whose policies, SPF records and keys differ, and eight providers that
// some of them send through. Their mail is as a server gets it: clients that SPF does not list,
// senders that use the servers and the name of a provider, bounces, IPv6, and signatures of every
// usual kind, some of them broken. The shares are those of kinds, sizes and Mails.
type Senders struct {
	senders []sender
	rsa     [keyPairs]*rsa.PrivateKey
	ed      [keyPairs]ed25519.PrivateKey
	old     *rsa.PrivateKey // of 1024 bits
	big     *rsa.PrivateKey // of 4096 bits
	zone    strings.Builder
}

// Zone is their DNS, as a zone file.
func (k *Senders) Zone() string { return k.zone.String() }

const (
	domains   = 200
	providers = 8
	// keyPairs are shared by domains: a key is cached for each name, so that more pairs would
	// only make the mail longer in the making.
	keyPairs = 8
)

// share is how many of 1000 messages are of a kind.
type share struct {
	name string
	of   int
}

var kinds = []share{{"rsa", 520}, {"rsa relaxed/simple", 40}, {"rsa simple/simple", 40}, {"ed25519", 50}, {"rsa and ed25519", 60},
	{"rsa and provider", 100}, {"rsa1024", 20}, {"rsa4096", 10}, {"provider", 20}, {"body altered", 30}, {"field altered", 20},
	{"key missing", 10}, {"unsigned", 80}}

// The sizes of the text part; their mean is 59 KB.
var sizes = []share{{"3072", 500}, {"10240", 280}, {"61440", 200}, {"1048576", 18}, {"10485760", 2}}

func pick(r *rand.Rand, of []share) string {
	n := r.IntN(1000)
	for _, s := range of {
		if n -= s.of; n < 0 {
			return s.name
		}
	}
	panic("shares of less than 1000")
}

// sender is one of the domains.
type sender struct {
	name     string
	provider int
	spf      string   // kind of its record
	listed   []string // clients that it lists
	other    string   // SPF result of a client that it does not list
	policy   string
	keys     int // its pair
}

// NewSenders makes the keys, which differ from call to call except for the longest, and everything else as always.
func NewSenders() *Senders {
	k := &Senders{old: generate(1024), big: bigKey()}
	for i := range keyPairs {
		k.rsa[i] = generate(2048)
		k.ed[i] = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, ed25519.SeedSize))
	}
	k.zone.WriteString("$TTL 3600\n")
	for i := range providers {
		k.publishProvider(i)
	}
	r := rand.New(rand.NewPCG(7, 7))
	for i := range domains {
		k.senders = append(k.senders, k.publishSender(r, i))
	}
	return k
}

// Mails makes n messages, which depend on the seed alone. Small ones have 3 KB each.
func (k *Senders) Mails(n int, seed uint64, small bool) []Mail {
	mails := make([]Mail, n)
	for i := range mails {
		mails[i] = k.mail(rand.New(rand.NewPCG(seed, uint64(i))), i, small)
	}
	return mails
}

//go:embed big.pem
var bigPEM []byte

// bigKey is always the same: to make 4096 bits takes a second.
func bigKey() *rsa.PrivateKey {
	block, _ := pem.Decode(bigPEM)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		panic(err)
	}
	return key.(*rsa.PrivateKey)
}

func generate(bits int) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(nil, bits)
	if err != nil {
		panic(err) // a size that GODEBUG or FIPS mode forbids
	}
	return key
}

func providerName(i int) string { return fmt.Sprintf("provider%d.test", i) }

func providerClient(i, n int) string { return fmt.Sprintf("198.19.%d.%d", 200+i, 10+n) }

// publishProvider writes a record of three includes, each of which lists networks.
func (k *Senders) publishProvider(i int) {
	name := providerName(i)
	k.txt(name, "v=spf1 include:_spf."+name+" -all")
	k.txt("_spf."+name, "v=spf1 ip4:203.0.113.192/28 ip4:203.0.113.224/28 include:_n1."+name+" ~all")
	k.txt("_n1."+name, "v=spf1 ip4:192.0.2.0/26 ip4:192.0.2.64/26 ip4:192.0.2.128/25 ip4:198.51.100.0/25 ip4:198.51.100.128/25 include:_n2."+name+" ~all")
	k.txt("_n2."+name, fmt.Sprintf("v=spf1 ip6:2001:db8:ff00::/44 ip4:198.19.%d.0/24 -all", 200+i))
	k.txt("out."+name, fmt.Sprintf("v=spf1 ip4:198.19.%d.0/24 -all", 200+i))
	k.key("s1", name, k.rsa[i%keyPairs])
}

func (k *Senders) publishSender(r *rand.Rand, i int) sender {
	s := sender{name: fmt.Sprintf("d%03d.test", i), provider: r.IntN(providers), keys: i % keyPairs}
	net4, net6 := fmt.Sprintf("198.18.%d.0/24", i), fmt.Sprintf("2001:db8:%x::/48", i+1)
	s.listed = []string{fmt.Sprintf("198.18.%d.1", i), fmt.Sprintf("198.18.%d.2", i), fmt.Sprintf("2001:db8:%x::25", i+1)}
	all := []string{"-all", "-all", "?all", "~all", "~all"}[r.IntN(5)]
	s.other = map[string]string{"-all": "fail", "?all": "neutral", "~all": "softfail"}[all]
	switch n := r.IntN(100); {
	case n < 20:
		s.spf = "v=spf1 ip4:" + net4 + " ip6:" + net6 + " " + all
	case n < 50:
		s.spf = "v=spf1 include:_spf." + providerName(s.provider) + " " + all
		s.listed = []string{providerClient(s.provider, 0), providerClient(s.provider, 1), "2001:db8:ff00::25"}
	case n < 75:
		s.spf = "v=spf1 include:_spf." + s.name + " " + all
		k.txt("_spf."+s.name, "v=spf1 ip4:203.0.113.192/28 include:_n1."+s.name+" ~all")
		k.txt("_n1."+s.name, "v=spf1 ip4:192.0.2.0/25 ip4:192.0.2.128/25 ip4:198.51.100.0/24 include:_n2."+s.name+" ~all")
		k.txt("_n2."+s.name, "v=spf1 ip4:"+net4+" ip6:"+net6+" -all")
	case n < 95:
		s.spf, s.listed = "v=spf1 a mx "+all, s.listed[:2]
	default:
		s.other = "none"
	}
	fmt.Fprintf(&k.zone, "%s. A 198.18.%d.1\n%[1]s. MX 10 mx.%[1]s.\nmx.%[1]s. A 198.18.%[2]d.2\nmail.%[1]s. A 198.18.%[2]d.1\n", s.name, i)
	if s.spf != "" {
		k.txt(s.name, s.spf)
		k.txt(s.name, "site-verification="+s.name)
	}
	k.txt("mail."+s.name, "v=spf1 ip4:"+net4+" ip6:"+net6+" ip4:198.19.0.0/16 ip6:2001:db8:ff00::/44 -all")
	if s.policy = []string{"reject", "reject", "reject", "reject", "reject", "quarantine", "quarantine", "none", "none", ""}[i%10]; s.policy != "" {
		k.txt("_dmarc."+s.name, "v=DMARC1; p="+s.policy+"; rua=mailto:dmarc@"+s.name)
	}
	k.key("s1", s.name, k.rsa[s.keys])
	k.key("ed", s.name, k.ed[s.keys])
	k.key("old", s.name, k.old)
	k.key("big", s.name, k.big)
	return s
}

func (k *Senders) txt(name, text string) {
	fmt.Fprintf(&k.zone, "%s. TXT", name)
	for len(text) > 255 {
		fmt.Fprintf(&k.zone, " \"%s\"", text[:255])
		text = text[255:]
	}
	fmt.Fprintf(&k.zone, " \"%s\"\n", text)
}

func (k *Senders) key(selector, domain string, key crypto.Signer) {
	public, ok := key.Public().(ed25519.PublicKey)
	if ok {
		k.txt(selector+"._domainkey."+domain, "v=DKIM1; k=ed25519; p="+base64.StdEncoding.EncodeToString(public))
		return
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		panic(err) // a key of ours
	}
	k.txt(selector+"._domainkey."+domain, "v=DKIM1; k=rsa; p="+base64.StdEncoding.EncodeToString(der))
}

// mail makes message i. Alignment is relaxed, so that either of SPF and DKIM makes DMARC pass.
func (k *Senders) mail(r *rand.Rand, i int, small bool) Mail {
	s := &k.senders[r.IntN(len(k.senders))]
	m := Mail{Helo: "mail." + s.name, ReversePath: fmt.Sprintf("bounce-%d@%s", i, s.name), SPF: "pass"}
	client, aligned := s.listed[r.IntN(len(s.listed))], true
	if s.spf == "" {
		m.SPF, aligned = "none", false
	}
	switch n := r.IntN(100); {
	case n < 10: // a client that is not listed
		client, m.SPF, aligned = fmt.Sprintf("203.0.113.%d", 1+r.IntN(150)), s.other, false
	case n < 20: // the provider's servers under its own name
		client, aligned = providerClient(s.provider, r.IntN(4)), false
		m.Helo, m.ReversePath, m.SPF = "out."+providerName(s.provider), fmt.Sprintf("b%d@%s", i, providerName(s.provider)), "pass"
	case n < 22: // a bounce
		client, m.ReversePath, m.SPF, aligned = s.listed[0], "", "pass", true
	}
	m.Client = netip.MustParseAddr(client)
	size := 3 << 10
	if !small {
		fmt.Sscan(pick(r, sizes), &size)
	}
	var signed bool
	m.Text, m.DKIM, signed = k.sign(s, pick(r, kinds), message(r, i, s, size))
	m.Text = append(trace(r, m.Helo, m.Client), m.Text...)
	switch {
	case s.policy == "":
		m.DMARC = "none"
	case aligned || signed:
		m.DMARC = "pass"
	default:
		m.DMARC = "fail"
	}
	return m
}

// sign signs a message as its kind says, and returns the DKIM result that is due and whether a
// signature of the Author Domain verifies.
func (k *Senders) sign(s *sender, kind string, text []byte) (signed []byte, result string, aligned bool) {
	const relaxed, simple = dkim.CanonicalizationRelaxed, dkim.CanonicalizationSimple
	own, provider := k.rsa[s.keys], k.rsa[s.provider%keyPairs]
	switch kind {
	case "rsa":
		return signWith(text, s.name, "s1", own, relaxed, relaxed), "pass", true
	case "rsa relaxed/simple":
		return signWith(text, s.name, "s1", own, relaxed, simple), "pass", true
	case "rsa simple/simple":
		return signWith(text, s.name, "s1", own, simple, simple), "pass", true
	case "ed25519":
		return signWith(text, s.name, "ed", k.ed[s.keys], relaxed, relaxed), "pass", true
	case "rsa and ed25519":
		text = signWith(text, s.name, "ed", k.ed[s.keys], relaxed, relaxed)
		return signWith(text, s.name, "s1", own, relaxed, relaxed), "pass", true
	case "rsa and provider":
		text = signWith(text, s.name, "s1", own, relaxed, relaxed)
		return signWith(text, providerName(s.provider), "s1", provider, relaxed, relaxed), "pass", true
	case "rsa1024":
		return signWith(text, s.name, "old", k.old, relaxed, relaxed), "pass", true
	case "rsa4096":
		return signWith(text, s.name, "big", k.big, relaxed, relaxed), "pass", true
	case "provider":
		return signWith(text, providerName(s.provider), "s1", provider, relaxed, relaxed), "pass", false
	case "body altered":
		return bytes.Replace(signWith(text, s.name, "s1", own, relaxed, relaxed), []byte("is here."), []byte("is herE."), 1), "fail", false
	case "field altered":
		return bytes.Replace(signWith(text, s.name, "s1", own, relaxed, relaxed), []byte("\r\nSubject: "), []byte("\r\nSubject: X"), 1), "fail", false
	case "key missing":
		return signWith(text, s.name, "gone", own, relaxed, relaxed), "permerror", false
	}
	return text, "none", false
}

func signWith(text []byte, domain, selector string, key crypto.Signer, header, body dkim.Canonicalization) []byte {
	var b bytes.Buffer
	b.Grow(len(text) + 2048)
	if err := dkim.Sign(&b, bytes.NewReader(text), &dkim.SignOptions{Domain: domain, Selector: selector, Signer: key, Hash: crypto.SHA256,
		HeaderCanonicalization: header, BodyCanonicalization: body,
		HeaderKeys: []string{"From", "To", "Subject", "Date", "Message-ID", "Reply-To", "MIME-Version", "Content-Type", "List-Unsubscribe"}}); err != nil {
		panic(err) // a key of ours
	}
	return b.Bytes()
}

func message(r *rand.Rand, i int, s *sender, size int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Date: Mon, 2 Nov 2026 08:00:%02d +0000\r\nFrom: \"Accounts %d\" <news%d@%s>\r\nTo: <b@example.net>\r\n", r.IntN(60), i, r.IntN(99), s.name)
	fmt.Fprintf(&b, "Message-ID: <%016x.%d@%s>\r\nSubject: The invoice of this month,  and what\r\n else is new %d\r\n", r.Uint64(), i, s.name, i)
	fmt.Fprintf(&b, "Reply-To: <reply-%d@%s>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n", i, s.name)
	fmt.Fprintf(&b, "List-Unsubscribe: <https://%s/u/%x>,\r\n <mailto:u-%d@%[1]s>\r\nList-Id: <list%d.%[1]s>\r\nPrecedence: bulk\r\n", s.name, r.Uint64(), i, r.IntN(20))
	fmt.Fprintf(&b, "X-Mailer: bulk 7\r\nFeedback-ID: %d:%d:bulk\r\nX-Token: %x%x%x\r\n %x%x\r\n\r\nThe invoice is here.\r\n", r.IntN(9999), i, r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64())
	text := prose(min(size, 60<<10))
	b.Write(text)
	if more := size - len(text); more > 0 { // an attachment: lines of base64
		line := make([]byte, 57)
		for range more / 78 {
			for j := range line {
				line[j] = byte(r.Uint32())
			}
			b.WriteString(base64.StdEncoding.EncodeToString(line) + "\r\n")
		}
	}
	return b.Bytes()
}

// trace is what the servers on the way put on top.
func trace(r *rand.Rand, helo string, client netip.Addr) []byte {
	return fmt.Appendf(nil, "Received: from %s (%s [%s])\r\n\tby mx.example.net (Postfix) with ESMTPS id %07X\r\n\tfor <b@example.net>; Mon, 2 Nov 2026 08:01:00 +0000 (UTC)\r\n"+
		"Received: from app%d (localhost [127.0.0.1])\r\n\tby %[1]s (Postfix) with ESMTP id %[4]07X;\r\n\tMon, 2 Nov 2026 08:00:59 +0000 (UTC)\r\n", helo, helo, client, r.Uint32()>>4, r.IntN(9))
}
