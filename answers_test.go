package postseal_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"postseal"
	"postseal/dmarc"
	"postseal/internal/app/secondopinion"
	"postseal/lab/reference"
	"postseal/resolver"
)

// texts answers TXT questions from a map, whatever it holds, and nothing else.
type texts map[string]string

// Lookup implements resolver.Resolver.
func (x texts) Lookup(_ context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	text, ok := x[strings.ToLower(name)]
	if !ok {
		return resolver.Answer{NXDomain: true}, nil
	}
	if t != resolver.TXT {
		return resolver.Answer{}, nil
	}
	var a resolver.Answer
	for one := range strings.SplitSeq(text, "\n") {
		a.Records = append(a.Records, resolver.RR{Text: one})
	}
	return a, nil
}

// FuzzAnswers: whatever SPF, key and policy records hold, no one but who they name passes,
// other libraries pass it too, and nothing of them reaches a field, a reply or the JSON
// unquoted.
func FuzzAnswers(f *testing.F) {
	key := reference.Ed25519("acme.test")
	record := reference.Record(key)
	for _, s := range [][3]string{
		{"v=spf1 ip4:192.0.2.25 -all", record, "v=DMARC1; p=reject; adkim=s; aspf=s"},
		{"v=spf1 include:%{d}.x.test exp=exp.acme.test -all\nv=spf1 +all", record + "\n" + record, "v=DMARC1; p=reject; psd=y\nv=DMARC1; p=none"},
		{"v=spf1 redirect=out.acme.test", "v=DKIM1; k=ed25519; t=s; h=sha256; s=*; p=" + reference.PublicText(key), "v=DMARC1; p=quarantine; sp=reject; np=none; t=y; rua=mailto:a@b.test"},
		{"v=spf1 \r\nX: y", "p=", "v=DMARC1; p=\r\nX: y"},
	} {
		f.Add(s[0], s[1], s[2], uint8(3))
	}
	f.Fuzz(func(t *testing.T, spf, record, policy string, way uint8) {
		author := []string{"acme.test", "news.acme.test", "evil.test"}[way%3]
		msg := reference.DKIM("acme.test", "s", key).With("From:To:Subject:Date", "From").Sign("From: a@" + author + "\r\n\r\nx\r\n")
		zone := texts{"acme.test": spf, "news.acme.test": "", "out.acme.test": spf, "evil.test": "", "s._domainkey.acme.test": record, "exp.acme.test": policy, "_dmarc." + []string{"acme.test", author}[way/3%2]: policy}
		v := verifier(t, postseal.Config{AuthservID: "mx.example.net", Enforce: postseal.Strict, Resolver: zone})
		r := verdictOf(t, v, "a@acme.test", "out.acme.test", []byte(msg))
		cleanOutput(t, r)
		if data, err := json.Marshal(r); err != nil || !json.Valid(data) {
			t.Fatalf("%s, %v", data, err)
		}
		if r.DMARC.Code != dmarc.Pass {
			return
		}
		if author == "evil.test" {
			t.Fatalf("%v passes for %s", r.DMARC.Aligned, author)
		}
		opinions := secondopinion.Compare(t.Context(), zone, r, []byte(msg))
		for _, a := range r.DMARC.Aligned {
			if seconded(opinions, a) {
				return
			}
		}
		t.Fatalf("%v is aligned, and no other library passes it: %v", r.DMARC.Aligned, opinions)
	})
}
