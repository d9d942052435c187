package differential

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"postseal/dkim"
)

// DKIMCase is a message with signatures.
type DKIMCase struct {
	ID      int       `json:"id"`
	Kind    string    `json:"kind"`
	Message []byte    `json:"message"`
	Now     time.Time `json:"now"`
	Zone    *Zone     `json:"zone"`
}

// caseTime is the clock of all cases. What expires in them did so years ago, or will in
// many, because some verifiers only know the clock of the machine.
var caseTime = time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)

// Verify is our verdict.
func (c *DKIMCase) Verify(ctx context.Context) ([]dkim.Result, error) {
	v := dkim.Verifier{Resolver: c.Zone, Now: func() time.Time { return c.Now }}
	return v.Verify(ctx, bytes.NewReader(c.Message))
}

// dkimMaker makes one case.
type dkimMaker struct {
	random
	keys   *testKeys
	zone   *Zone
	fields []string // with their folds, without the CRLF at the end
	body   string
	labels int // selectors handed out
}

var (
	dkimDomains   = []string{"a.test", "b.test", "sub.a.test", "x--y.test"}
	dkimSelectors = []string{"s", "2026", "k1.sub", "S-Upper", "a_b"}
	signedNames   = []string{"To", "Subject", "Message-ID", "Cc", "MIME-Version", "Content-Type", "X-Odd", "X-Missing", "Received", "x.y~z", "List-Id"}
)

// MakeDKIM makes case number n of a seed.
func MakeDKIM(keys *testKeys, seed uint64, n int) *DKIMCase {
	m := &dkimMaker{random: newRandom(seed, uint64(n)), keys: keys, zone: NewZone()}
	m.header()
	m.makeBody()
	for range []int{1, 1, 1, 2, 3}[m.IntN(5)] {
		m.signature()
	}
	if m.chance(45) {
		m.mutate()
	}
	return &DKIMCase{ID: n, Kind: "dkim", Message: m.message(), Now: caseTime, Zone: m.zone}
}

func (m *dkimMaker) message() []byte {
	return []byte(strings.Join(m.fields, "\r\n") + "\r\n\r\n" + m.body)
}

func (m *dkimMaker) header() {
	m.fields = append(m.fields, "Date: Wed, 25 Nov 2026 08:00:00 +0000", "Received: from x by y;\r\n\tWed, 25 Nov 2026 08:00:00 +0000", "From: "+m.text()+" <user@"+pick(m.random, dkimDomains)+">")
	for _, name := range signedNames[:m.IntN(len(signedNames))] {
		if name == "X-Missing" || m.chance(25) {
			continue
		}
		count := 1
		if strings.HasPrefix(name, "X-") || name == "Received" || m.chance(3) {
			count += m.IntN(3)
		}
		for range count {
			m.fields = append(m.fields, m.spelled(name)+m.colon()+m.text())
		}
	}
	m.Shuffle(len(m.fields), func(i, j int) { m.fields[i], m.fields[j] = m.fields[j], m.fields[i] })
}

func (m *dkimMaker) colon() string {
	if m.chance(1) {
		return " : " // obsolete syntax (RFC 5322 §4.5)
	}
	return pick(m.random, []string{": ", ": ", ": ", ":", ":  ", ":\t", ":\r\n "})
}

// spelled changes the case of a name.
func (m *dkimMaker) spelled(name string) string {
	switch m.weighted(80, 10, 10) {
	case 1:
		return strings.ToUpper(name)
	case 2:
		return strings.ToLower(name)
	}
	return name
}

// text is a field value.
func (m *dkimMaker) text() string {
	var b strings.Builder
	for i := range 1 + m.IntN(4) {
		if i > 0 {
			b.WriteString(pick(m.random, []string{" ", " ", "  ", "\t", " \t ", "\r\n ", "\r\n\t", " \r\n  "}))
		}
		b.WriteString(pick(m.random, []string{"word", "Word", "a=b;", "b=c", "(c)", "\"q q\"", "caf\xc3\xa9", "\xff", "x:y", "1", "=?utf-8?q?x?=", "<m@x>", "~"}))
	}
	if m.chance(10) {
		b.WriteString(pick(m.random, []string{" ", "\t", "  ", " \r\n "}))
	}
	return b.String()
}

func (m *dkimMaker) makeBody() {
	var b strings.Builder
	for range m.IntN(8) {
		b.WriteString(pick(m.random, []string{"line", "", "", " lead", "trail ", "trail\t ", "\ttab", "in  side\t x", ".", "..", " ", "\t", "caf\xc3\xa9", "\xfe\xff",
			strings.Repeat("long ", 50), "From x", "--sep", "a=b;"}))
		b.WriteString("\r\n")
	}
	switch m.weighted(70, 10, 10, 5, 5) {
	case 1:
		b.WriteString(strings.Repeat("\r\n", 1+m.IntN(4)))
	case 2:
		b.WriteString("no line end")
	case 3:
		b.WriteString("no line end ")
	case 4:
		b.WriteString(" \r\n\t\r\n")
	}
	m.body = b.String()
}

// tags is the text of a signature while it is made.
type tags struct {
	names  []string
	values map[string]string
}

func (t *tags) set(name, value string) {
	if _, ok := t.values[name]; !ok {
		t.names = append(t.names, name)
	}
	t.values[name] = value
}

// signature signs the message as it is, and puts the field in.
func (m *dkimMaker) signature() {
	key := pick(m.random, append(m.keys.rsa[:1:1], m.keys.rsa[0], m.keys.rsa[1], m.keys.ed25519[0], m.keys.ed25519[1]))
	m.labels++
	d, s := pick(m.random, dkimDomains), fmt.Sprintf("%s%d", pick(m.random, dkimSelectors), m.labels)
	m.publish(key, s+"._domainkey."+d)
	t := &tags{values: map[string]string{}}
	t.set("v", "1")
	t.set("a", key.kind+"-sha256")
	header, body := m.canonicalization(t)
	t.set("d", m.spelledDomain(d))
	t.set("s", s)
	m.identity(t, d)
	m.times(t)
	m.oddTags(t)
	names := m.names()
	t.set("h", m.list(names))
	canonical := bodyForm(m.body, body)
	if m.chance(8) {
		canonical = m.limit(t, canonical)
	}
	sum := sha256.Sum256([]byte(canonical))
	t.set("bh", base64.StdEncoding.EncodeToString(sum[:]))
	t.set("b", "")
	m.spoil(t)
	m.Shuffle(len(t.names), func(i, j int) {
		if m.chance(20) {
			t.names[i], t.names[j] = t.names[j], t.names[i]
		}
	})
	m.place(m.seal(key, t, names, header))
}

// seal writes the field with its signature. Its layout is drawn before it is signed,
// because simple keeps it.
func (m *dkimMaker) seal(key *testKey, t *tags, names []string, relaxed bool) string {
	before, after := m.layout(t)
	own := before + after
	var b strings.Builder
	for _, f := range selectFields(m.fields, names) {
		b.WriteString(headerForm(f, relaxed))
	}
	b.WriteString(strings.TrimSuffix(headerForm(own, relaxed), "\r\n"))
	digest := sha256.Sum256([]byte(b.String()))
	return before + m.folded(base64.StdEncoding.EncodeToString(key.sign(digest[:]))) + after
}

// layout writes the tags in their order and returns what stands before and after the value of
// b=.
func (m *dkimMaker) layout(t *tags) (before, after string) {
	name := pick(m.random, []string{"DKIM-Signature: ", "DKIM-Signature: ", "DKIM-Signature: ", "dkim-signature:", "DKIM-SIGNATURE:\t", "DKIM-Signature:\r\n "})
	var b strings.Builder
	b.WriteString(name)
	spaced := m.chance(15)
	for i, n := range t.names {
		value := t.values[n]
		if spaced {
			n, value = m.space()+n+m.space(), m.space()+value+m.space()
		}
		b.WriteString(n + "=" + value)
		if strings.Trim(n, " \t\r\n") == "b" {
			if before == "" {
				before = b.String()
				b.Reset()
			}
		}
		if i < len(t.names)-1 {
			b.WriteString(";" + pick(m.random, []string{" ", " ", "", "\r\n ", "\r\n\t", "  "}))
		} else if m.chance(20) {
			b.WriteString(";" + pick(m.random, []string{"", "", "", " ", "\r\n "}))
		}
	}
	before = strings.TrimRight(before, " \t\r\n") // white space of the value goes with it
	return before, b.String()
}

func (m *dkimMaker) space() string {
	return pick(m.random, []string{"", "", "", " ", "\t", "\r\n ", " \r\n\t"})
}

// folded breaks base64 text.
func (m *dkimMaker) folded(s string) string {
	if m.chance(30) {
		return s
	}
	step := 16 + m.IntN(60)
	var b strings.Builder
	for len(s) > step {
		b.WriteString(s[:step] + pick(m.random, []string{"\r\n ", "\r\n\t", " ", "\r\n        "}))
		s = s[step:]
	}
	return b.String() + s
}

func (m *dkimMaker) canonicalization(t *tags) (header, body bool) {
	switch m.weighted(35, 20, 12, 12, 8, 8) {
	case 0:
		t.set("c", "relaxed/relaxed")
		return true, true
	case 1:
		t.set("c", "relaxed/simple")
		return true, false
	case 2:
		t.set("c", "simple/simple")
	case 3:
		t.set("c", "simple/relaxed")
		return false, true
	case 4:
		t.set("c", pick(m.random, []string{"relaxed", "simple"}))
		return t.values["c"] == "relaxed", false
	}
	return false, false
}

func (m *dkimMaker) spelledDomain(d string) string {
	if m.chance(6) {
		return strings.ToUpper(d[:1]) + d[1:]
	}
	return d
}

func (m *dkimMaker) identity(t *tags, d string) {
	switch m.weighted(65, 10, 8, 5, 3, 2, 2, 2, 2) {
	case 1:
		t.set("i", "@"+d)
	case 2:
		t.set("i", "user@"+d)
	case 3:
		t.set("i", "user@deep."+d)
	case 4:
		t.set("i", "user@"+strings.ToUpper(d))
	case 5:
		t.set("i", "user@other.test")
	case 6:
		t.set("i", d)
	case 7:
		t.set("i", "us=40er@"+d)
	case 8:
		t.set("i", "user@evil"+d)
	}
}

func (m *dkimMaker) times(t *tags) {
	if m.chance(40) {
		t.set("t", "1700000000")
	}
	if m.chance(20) {
		t.set("x", "4102444800")
	}
	if m.chance(5) {
		t.set("t", pick(m.random, []string{"1", "999999999999", "0", "12x", "", "-5", "99999999999999", "4000000000"}))
	}
	if m.chance(5) {
		t.set("x", pick(m.random, []string{"1600000000", "999999999999", "1", "1700000000", "x", "99999999999999"}))
	}
}

func (m *dkimMaker) oddTags(t *tags) {
	if m.chance(15) {
		t.set("q", pick(m.random, []string{"dns/txt", "dns/txt", "dns/txt:http", "http:dns/txt", "dns", "http", " dns/txt "}))
	}
	if m.chance(10) {
		t.set("z", pick(m.random, []string{"From:a|Subject:b", "Subject:b=3Dc", "X:job=20offer", ""}))
	}
	if m.chance(10) {
		t.set(pick(m.random, []string{"u", "unknown", "r", "fb", "B", "x1", "a_b"}), pick(m.random, []string{"1", "", "b=c", "v w", "a:b"}))
	}
}

// names are those of h=.
func (m *dkimMaker) names() []string {
	names := []string{"From"}
	if m.chance(60) {
		names = append(names, "Date")
	}
	for _, n := range signedNames {
		if m.chance(45) {
			names = append(names, n)
		}
	}
	if m.chance(25) { // over-signing
		names = append(names, pick(m.random, names), "From")
	}
	if m.chance(10) {
		names = append(names, "Subject", "Subject")
	}
	if m.chance(2) {
		names = append(names, "DKIM-Signature")
	}
	m.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	return names
}

func (m *dkimMaker) list(names []string) string {
	separator := pick(m.random, []string{":", ":", ":", " : ", ":\r\n ", ": "})
	spelled := make([]string, len(names))
	for i, n := range names {
		spelled[i] = m.spelled(n)
	}
	return strings.Join(spelled, separator)
}

// limit draws l= and returns what it covers.
func (m *dkimMaker) limit(t *tags, canonical string) string {
	switch m.weighted(50, 20, 10, 10, 10) {
	case 0:
		t.set("l", fmt.Sprint(len(canonical)))
	case 1:
		n := m.IntN(len(canonical) + 1)
		t.set("l", fmt.Sprint(n))
		return canonical[:n]
	case 2:
		t.set("l", fmt.Sprint(len(canonical)+1+m.IntN(3)))
	case 3:
		t.set("l", "0")
		return ""
	case 4:
		t.set("l", pick(m.random, []string{"", "x", "-1", "99999999999999999999", "1 0", strings.Repeat("9", 77)}))
	}
	return canonical
}

// spoil breaks a rule about tags, before the signature is made.
func (m *dkimMaker) spoil(t *tags) {
	if !m.chance(12) {
		return
	}
	switch m.IntN(9) {
	case 0:
		t.set("v", pick(m.random, []string{"2", "", "1.0", "0.5", "01"}))
	case 1:
		t.set("a", pick(m.random, []string{"rsa-sha1", "rsa-sha512", "RSA-SHA256", "rsa", "ed25519-sha256", "rsa-sha256", "dsa-sha256", ""}))
	case 2:
		t.set("c", pick(m.random, []string{"nofws", "relaxed/nofws", "Relaxed/Relaxed", "", "relaxed/", "/relaxed", "relaxed/relaxed/relaxed"}))
	case 3:
		t.set("h", pick(m.random, []string{"", "To:Subject", "from", ":From", "From:", "From::To", "Fr om", "FROM:to"}))
	case 4:
		t.set("d", pick(m.random, []string{"", "a.test.", "test", "a..test", "a_b.test", "b.test"}))
	case 5:
		t.set("s", pick(m.random, []string{"", "s.", "s..t", "-", "missing"}))
	case 6:
		name := pick(m.random, t.names)
		t.names = append(t.names, name) // twice
	case 7:
		i := m.IntN(len(t.names))
		if t.names[i] != "b" {
			t.names = append(t.names[:i:i], t.names[i+1:]...)
		}
	case 8:
		t.set("bh", pick(m.random, []string{"", "AAAA", "!!!!", t.values["bh"] + "=", strings.TrimRight(t.values["bh"], "="), t.values["bh"][:20] + " " + t.values["bh"][20:]}))
	}
}

// place puts the signature in, mostly on top.
func (m *dkimMaker) place(field string) {
	at := 0
	if m.chance(20) {
		at = m.IntN(len(m.fields) + 1)
	}
	m.fields = append(m.fields[:at:at], append([]string{field}, m.fields[at:]...)...)
}
