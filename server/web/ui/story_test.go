package ui

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"postseal"
	"postseal/bundle"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/app/explain"
	"postseal/resolver/dnstest"
	"postseal/store"
)

// listZone is the DNS of a message that a mailing list changed.
const listZone = `
lists.example.net. 3600 TXT "v=spf1 mx include:_spf.host.example ~all"
lists.example.net. 3600 MX 10 mx1.lists.example.net.
mx1.lists.example.net. 3600 A 203.0.113.40
_spf.host.example. 3600 TXT "v=spf1 include:_spf4.host.example include:_spf6.host.example ~all"
_spf4.host.example. 3600 TXT "v=spf1 ip4:192.0.2.64/27 ip4:198.51.100.64/26 -all"
mail.lists.example.net. 3600 A 198.51.100.77
77.100.51.198.in-addr.arpa. 3600 PTR mail.lists.example.net.
_dmarc.acme.test. 3600 TXT "v=DMARC1; p=reject; rua=mailto:dmarc@acme.test"
ed2026._domainkey.acme.test. 3600 TXT "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
`

const listMessage = "DKIM-Signature: v=1; a=ed25519-sha256; d=acme.test; s=ed2026; c=relaxed/relaxed; h=from:subject;\r\n bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYQ==\r\n" +
	"DKIM-Signature: v=1; a=rsa-sha256; d=lists.example.net; s=lists; c=relaxed/relaxed; h=from:subject:date:list-id:to:cc:mime-version;\r\n bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=YWFh\r\n" +
	"List-Id: anvils <anvils.lists.example.net>\r\nList-Post: <mailto:anvils@lists.example.net>\r\nFrom: Ann <ann@acme.test>\r\nSubject: [anvils] new\r\n\r\nx\r\n"

// listed is the report of that message. What a diagnosis and a key would say of its signatures is put in.
var listed = sync.OnceValues(func() (*postseal.Report, *postseal.Config) {
	zone, err := dnstest.Parse(listZone)
	if err != nil {
		panic(err)
	}
	v, err := postseal.New(postseal.Config{AuthservID: "mx.example.net", Resolver: zone, Trace: true, Enforce: postseal.Guarded})
	if err != nil {
		panic(err)
	}
	s := v.Session(context.Background(), postseal.Conn{Remote: netip.MustParseAddrPort("198.51.100.77:25")})
	s.Helo("mail.lists.example.net")
	s.At(now)
	r, err := s.Verify(context.Background(), "bounce@lists.example.net", []string{"b@example.net"}, strings.NewReader(listMessage))
	if err != nil {
		panic(err)
	}
	r.Ref = store.RefText(1000)
	r.DKIM[0].Diagnosis = dkim.Diagnosis{Cause: dkim.ListFooter, Text: "141 octets in 5 lines are at the end, a list footer, and \"[anvils] \" is in the Subject; without them the signature is valid " + hostile, HeaderIntact: true}
	r.DKIM[0].Algorithm, r.DKIM[0].Code, r.DKIM[0].Reason = "ed25519-sha256", dkim.Fail, dkim.BodyHashMismatch
	r.DKIM[1].Code, r.DKIM[1].Reason, r.DKIM[1].Problem, r.DKIM[1].KeyBits, r.DKIM[1].BodyLength = dkim.Pass, "", "", 1024, -1
	r.DMARC.Compared = append(r.DMARC.Compared, dmarc.Compared{Identifier: dmarc.Identifier{Method: "dkim", Domain: "lists.example.net"}, OrgDomain: "example.net", Alignment: dmarc.AlignmentNo})
	config := v.Config()
	return r, &config
})

// told is the evidence of that message.
func told() *Explained {
	r, config := listed()
	ms := func(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }
	return &Explained{Explanation: explain.Of(r, config), Report: r, Recipients: 3, Until: now.AddDate(0, 1, 0), Queries: asked([]bundle.Timing{{Type: "TXT", Name: "lists.example.net", Took: ms(7.1)}, {Type: "PTR", Name: "77.100.51.198.in-addr.arpa", Took: ms(9.6)}, {Type: "TXT", Name: "_dmarc.lists.example.net", Took: ms(6.4)},
		{Type: "MX", Name: "lists.example.net", Began: ms(7), Took: ms(4.4)}, {Type: "TXT", Name: "_spf.host.example", Began: ms(12), Took: ms(6)}, {Type: "TXT", Name: "_spf4.host.example", Began: ms(18), Took: ms(5.7)},
		{Type: "TXT", Name: "_dmarc.test", Began: ms(24), Cached: true}, {Type: "TXT", Name: hostile, Began: ms(25), Took: ms(10)}}...)}
}

// TestStory: the way of SPF to the term that matched, what was not needed after it, each signature with
// what happened to it, and each identifier compared with the author. A pass that does not count is gray.
func TestStory(t *testing.T) {
	story := told().Story()
	find := func(title string) *chapter {
		for i := range story {
			if story[i].Title == title {
				return &story[i]
			}
		}
		t.Fatalf("no %s in %+v", title, story)
		return nil
	}
	mail := find("SPF mailfrom")
	var lines []string
	var walk func(indent string, list []*storyStep)
	walk = func(indent string, list []*storyStep) {
		for _, s := range list {
			mark := " "
			if s.Path {
				mark = "*"
			} else if s.Rest {
				mark = "-"
			}
			lines = append(lines, indent+mark+s.Title+"|"+s.Text+"|"+s.Right)
			walk(indent+" ", s.Steps)
		}
	}
	walk("", mail.Steps)
	want := []string{" mx|no match|lookup 1", "*include:_spf.host.example|match: pass|lookup 2", " *include:_spf4.host.example|match: pass|lookup 3", "   ip4:192.0.2.64/27|no match|", "  *ip4:198.51.100.64/26|match: pass|",
		"  --all|not needed|", " -include:_spf6.host.example|not needed|", " -~all|not needed|", "-~all|not needed|"}
	if got := strings.Join(lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	if mail.Tone != "none" || mail.Text != "pass, but does not count for the author" || len(mail.Notes) < 2 {
		t.Errorf("%+v", mail)
	}
	signed := find("DKIM").Signatures
	if len(signed) != 2 || signed[0].Tone != "bad" || !strings.Contains(signed[0].Undone, "141 octets") || !strings.Contains(signed[0].Happened, "body") || signed[1].Tone != "none" || !signed[1].Weak || !strings.Contains(signed[1].Covers, "the whole body") || !strings.Contains(signed[1].Covers, "2 more") {
		t.Errorf("%+v", signed)
	}
	names := find("DMARC").Identifiers
	if len(names) != 3 || names[0].Aligned != "no" || names[0].Why != "another organization" || names[0].Tone != "none" || names[1].Aligned != "yes" || names[1].Why != "but it does not verify" || names[2].Org != "example.net" {
		t.Errorf("%+v", names)
	}
	if got := (&Explained{Explanation: told().Explanation}).Story(); len(got) != len(told().Explanation.Chapters) {
		t.Errorf("without a report: %+v", got)
	}
	if got := termsAfter("v=spf1 "+strings.Repeat("a ", 30), "a"); len(got) != maxRest+1 || got[maxRest] != "17 more" {
		t.Errorf("%q", got)
	}
}

// asked are queries with answers: one failed, one is stale, and one is proven.
func asked(timings ...bundle.Timing) (list []Query) {
	for i, t := range timings {
		q := Query{Timing: t, TTL: []time.Duration{time.Hour, 5 * time.Minute, 0, 36 * time.Hour}[i%4]}
		q.Stale, q.Secure = i == 3, i == 0
		if i == 2 {
			q.Failed = "servfail"
		}
		list = append(list, q)
	}
	return list
}
