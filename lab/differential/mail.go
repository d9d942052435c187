package differential

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postseal"
	"postseal/dmarc"
	"postseal/domain"
	"postseal/lab/reference"
)

// MailCase is a whole message with its envelope. SPF and DKIM are what passed, for programs that
// evaluate DMARC alone.
type MailCase struct {
	ID      int      `json:"id"`
	Kind    string   `json:"kind"`
	IP      string   `json:"ip"`
	Helo    string   `json:"helo"`
	Sender  string   `json:"sender"`
	Message []byte   `json:"message"`
	SPF     []string `json:"spf"`
	DKIM    []string `json:"dkim"`
	Zone    *Zone    `json:"zone"`
}

// Verify is our verdict, with the author and all.
func (c *MailCase) Verify(ctx context.Context) (*postseal.Report, error) {
	v, err := postseal.New(postseal.Config{Resolver: c.Zone, NoPSLGuard: true, Now: func() time.Time { return caseTime }})
	if err != nil {
		return nil, err
	}
	conn := postseal.Conn{Remote: netip.AddrPortFrom(netip.MustParseAddr(c.IP), 25)}
	return postseal.VerifyReader(ctx, v, conn, c.Helo, c.Sender, bytes.NewReader(c.Message))
}

// fromShapes are From fields as mail has them, and as attacks do: 1 and 2 stand for domains.
var fromShapes = []string{
	"u@1", "<u@1>", "Name <u@1>", "\"Last, First\" <u@1>", "u@1 (Name)", "=?UTF-8?Q?N=C3=A4me?= <u@1>", "Name <u@sub.1>", "N\u00e4me <u@1>",
	"Doe, John <a@1>", "O. Name, Inc. <o@1>", "'foo@bar' <foo@1>", "foo@1 via List <list@2>", "=?UTF-8?Q?John@Work?= <u@1>", "Foo &amp; Co. <u@1>", "<<u@1>>", "Name <u@1", "Name <u@1>;",
	"Name <u@1> text", "a..b@1", "name.@1", "CORP\\jsmith <u@1>", "\"a@2\" <u@1>", "a@2 <u@1>", "u@1, v@1", "u@1, v@2", "Name <u@1>, Other <v@2>", "Group: u@1;", "Group: u@1, v@2;", "Group:;",
	"u@1.", "u@ 1", "u @1", "\"<a@2>\" <u@1>", "(a@2) u@1", "u(c)@1", "u@1(c)", "u@(c)1", "<@2:u@1>", "u", "", "\"\"", "=?utf-8?Q?a=40=32?= <u@1>", "=?utf-8?Q?a@2?= <u@1>", "u@1 u@2", "<u@1> <v@2>",
	"u@1@2", "\"u@2\"@1", "u@[192.0.2.1]", "<>", "Name <>", "Name <u@1>\r\n\t", "\r\n Name <u@1>", "\"Name\r\n more\" <u@1>", "=?utf-8?B?YUAy?= <u@1>", "u@1;v@2", "<u@1>,", ",u@1", "Name\t<u@1>", "\"a\\\"b\" <u@1>",
	"u@2\x00 <u@1>", "u@1\r <v@2>", "NAME <U@1>", "<a@2 <u@1>", "\"unclosed <u@1>", "(unclosed <u@1>", "[x] <u@1>", "a@2(<u@1>)", "u=2@1", "u+v=2@1",
}

var mailDomains = []string{"example.com", "example.net", "example.org"}

// MakeMail makes case number n of a seed: a From shape, policies, and what is authenticated.
func MakeMail(keys *testKeys, seed uint64, n int) *MailCase {
	r := newRandom(seed, uint64(n))
	zone, domains := NewZone(), slices.Clone(mailDomains)
	r.Shuffle(len(domains), func(i, j int) { domains[i], domains[j] = domains[j], domains[i] })
	key := keys.rsa[0]
	for _, d := range domains {
		zone.Add(d, "A", "192.0.2.99")
		zone.Add("sub."+d, "A", "192.0.2.99")
		zone.Add(d, "TXT", "v=spf1 ip4:192.0.2.1 -all")
		zone.Add("s._domainkey."+d, "TXT", "v=DKIM1; k=rsa; p="+key.public(false))
		if r.chance(80) {
			zone.Add("_dmarc."+d, "TXT", "v=DMARC1; p="+pick(r, []string{"reject", "reject", "quarantine", "none"})+pick(r, []string{"", "; adkim=s; aspf=s", "; sp=none"}))
		}
	}
	c := &MailCase{ID: n, Kind: "mail", IP: "192.0.2.1", Helo: "mx." + domains[0], Sender: "b@" + domains[r.weighted(50, 30, 20)], SPF: []string{}, DKIM: []string{}, Zone: zone}
	if r.chance(40) {
		c.IP = "203.0.113.9"
	} else {
		c.SPF = append(c.SPF, c.Sender[2:])
	}
	text := fromFields(r, domains) + "To: x@rcpt.test\r\nSubject: s\r\nDate: Wed, 25 Nov 2026 08:00:00 +0000\r\nMessage-ID: <1@rcpt.test>\r\n\r\nhello\r\n"
	if r.chance(50) {
		d := domains[r.weighted(60, 40)]
		text = reference.DKIM(d, "s", key.private).Sign(text)
		c.DKIM = append(c.DKIM, d)
	}
	c.Message = []byte(text)
	return c
}

// fromFields is one From field; rarely none or two.
func fromFields(r random, domains []string) string {
	one := func() string {
		shape := strings.ReplaceAll(pick(r, fromShapes), "192.0.2.1", "{ip}")
		shape = strings.NewReplacer("1", domains[0], "2", domains[1], "{ip}", "192.0.2.1").Replace(shape)
		return "From: " + shape + "\r\n"
	}
	switch r.weighted(94, 3, 3) {
	case 1:
		return one() + one()
	case 2:
		return ""
	}
	return one()
}

// mailJob is a case with our verdict.
type mailJob struct {
	*MailCase
	ours *postseal.Report
}

func newMailJob(c *MailCase) *mailJob {
	r, err := c.Verify(context.Background())
	if err != nil {
		panic(err) // a bug: the message is in memory
	}
	return &mailJob{MailCase: c, ours: r}
}

func (j *mailJob) number() int                { return j.ID }
func (j *mailJob) library() (string, verdict) { return "", verdict{} }

// compare: the words agree, and the domain that a verifier takes for the author's is among ours.
func (j *mailJob) compare(verifier string, a Answer) verdict {
	v := &mailView{mailJob: j, verifier: verifier, word: a.Results[0], author: strings.TrimSuffix(a.Results[len(a.Results)-1], ".")}
	if len(a.Results) < 2 {
		v.author = ""
	}
	if v.agrees() {
		return verdict{agrees: true}
	}
	for i := range mailClasses {
		if mailClasses[i].applies(v) {
			return verdict{class: mailClasses[i].ID}
		}
	}
	header, _, _ := bytes.Cut(j.Message, []byte("\r\n\r\n"))
	policies, _ := json.Marshal(j.policies())
	return verdict{text: fmt.Sprintf("case %d: theirs %v (%s), ours %s %s author %q %s; passed %q %q\n%q\n%s", j.ID, a.Results, a.detail(-1), j.ours.DMARC.Code, j.ours.DMARC.Reason,
		j.ours.Author.Domains, j.ours.Author.Reason, j.SPF, j.DKIM, header[max(0, bytes.Index(header, []byte("From:"))):], policies)}
}

// policies are the DMARC records of the case.
func (j *mailJob) policies() map[string][]string {
	all := map[string][]string{}
	for _, d := range mailDomains {
		all[d] = j.Zone.RR["_dmarc."+d]["TXT"]
	}
	return all
}

// mailView is what a class may look at.
type mailView struct {
	*mailJob
	verifier, word, author string
}

func (v *mailView) agrees() bool {
	if v.refused() {
		return v.word == "permerror" || v.word == "none" || v.word == "temperror"
	}
	return v.word == string(v.ours.DMARC.Code) && (v.author == "" || v.known())
}

// refused reports whether we take no author from the message.
func (v *mailView) refused() bool { return v.ours.Author.Reason != "" || v.ours.Limit != "" }

// known reports whether the author they see is one of ours, or its organization.
func (v *mailView) known() bool {
	for _, d := range v.ours.Author.Domains {
		if d.Within(domain.Name(v.author)) {
			return true
		}
	}
	return false
}

// afterLastAt reports whether the author they see is what stands after the last "@" of the field.
func (v *mailView) afterLastAt() bool {
	value := strings.ToLower(string(v.ours.Header.At(v.ours.Header.Index("From")).Value()))
	return v.author != "" && strings.HasPrefix(value[strings.LastIndexByte(value, '@')+1:], v.author)
}

type mailClass struct {
	Class
	applies func(*mailView) bool
}

// mailClasses is the reviewed table. In none of them does a verifier show an author that we did not
// evaluate, unless we refuse the message.
var mailClasses = []mailClass{
	{Class{"refused-author", "9989 §11.5", ours, "a From field that readers complete in different ways, or several: we refuse it, the verifier takes one of the domains"},
		func(v *mailView) bool { return v.refused() }},
	{Class{"several-authors", "9989 §11.5", ours, "several domains in one field: we evaluate each and the worst result counts, the verifier takes one of them or none"},
		func(v *mailView) bool { return len(v.ours.Author.Domains) > 1 && (v.author == "" || v.known()) }},
	{Class{"unread-author", "9989 §5.3.1", ours, "one domain that a reader shows; the verifier reads none and says none or permerror"},
		func(v *mailView) bool {
			return (v.author == "" || !strings.Contains(v.author, ".")) && (v.word == "none" || v.word == "permerror")
		}},
	{Class{"last-at-sign", "5322 §3.2.2", ours, "the verifier takes what stands after the last @ of the field, in a comment or a quoted string too"},
		func(v *mailView) bool { return v.verifier == "Mail::DMARC" && v.afterLastAt() }},
	{Class{"no-policy-word", "9989 §9.2", both, "without a policy the verifier says pass or fail of the alignment, we say none"},
		func(v *mailView) bool { return v.ours.DMARC.Code == dmarc.None && v.known() }},
}
