package dmarc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"postseal/dmarc"
	"postseal/domain"
	"postseal/resolver/dnstest"
)

// zoneText writes the world down, with its holes as faults. Every name of the world
// exists but the missing.
func (c *slowCase) zoneText() string {
	var b strings.Builder
	for name, texts := range c.world.records {
		for _, text := range texts {
			fmt.Fprintf(&b, "_dmarc.%s. 60 IN TXT %q\n", name, text)
		}
	}
	for _, name := range c.unknown {
		fmt.Fprintf(&b, "; FAULT _dmarc.%s TXT TIMEOUT\n", name)
	}
	if c.unknownAuthor {
		fmt.Fprintf(&b, "; FAULT %s TXT SERVFAIL\n", c.author)
	} else if !c.world.missing[c.author] {
		fmt.Fprintf(&b, "%s. 60 IN A 192.0.2.1\n", c.author)
	}
	return b.String()
}

// check compares the evaluator with the slow reference.
func (c *slowCase) check(t *testing.T) {
	t.Helper()
	text := c.zoneText()
	z, err := dnstest.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	e := &dmarc.Evaluator{Resolver: z, NoGuard: c.world.suffix == ""}
	r := e.Evaluate(context.Background(), domain.Name(c.author), c.ids)
	got := slowOutcome{code: r.Code}
	if r.Code == dmarc.Fail {
		got.policy = r.Policy
	}
	if want := c.want(); got != want {
		t.Errorf("%s with %v: %v (%s), want %v, in\n%s", c.author, c.ids, got, r.Reason, want, text)
	}
}

// RFC 9989 §5.3.6: every step fails in turn, alone and with each other one.
func TestErrorsInTurn(t *testing.T) {
	worlds := []map[string][]string{
		{},
		{"a.b.c.test": {"v=DMARC1; p=reject"}},
		{"b.c.test": {"v=DMARC1; p=reject"}},
		{"c.test": {"v=DMARC1; p=reject; sp=quarantine"}},
		{"test": {"v=DMARC1; p=reject; psd=y"}},
		{"b.c.test": {"v=DMARC1; p=reject; psd=n"}, "c.test": {"v=DMARC1; p=reject"}},
		{"a.b.c.test": {"v=DMARC1; p=reject; aspf=s"}, "c.test": {"v=DMARC1; p=none"}},
		{"a.b.c.test": {"v=DMARC1; p=reject; psd=y"}},
		{"a.b.c.test": {"v=DMARC1; p=bogus"}, "c.test": {"v=DMARC1; p=reject"}},
		{"c.test": {"v=DMARC1; p=none; np=reject"}},
		{"c.test": {"v=DMARC1; p=reject; np=quarantine; t=y"}},
	}
	identifiers := [][]string{nil, {"spf:a.b.c.test"}, {"spf:b.c.test"}, {"dkim:c.test"}, {"spf:x.a.b.c.test"}, {"dkim:y.c.test"}, {"dkim:test"},
		{"dkim:other.example"}, {"spf:b.c.test?"}, {"spf:b.c.test?", "dkim:other.example"}, {"spf:y.c.test", "dkim:b.c.test"}, {"dkim:a.b.c.test?"}}
	steps := []string{"a.b.c.test", "b.c.test", "c.test", "test", "x.a.b.c.test", "y.c.test"}
	const author = "a.b.c.test"
	for _, records := range worlds {
		for _, list := range identifiers {
			for i := -1; i < len(steps); i++ {
				for j := i; j < len(steps); j++ {
					c := &slowCase{world: slowWorld{records: map[string][]string{}, missing: map[string]bool{author: true}}, author: author, ids: ids(list...)}
					for name, texts := range records {
						c.world.records[name] = texts
					}
					for k, name := range steps {
						if k == i || k == j {
							delete(c.world.records, name)
							c.unknown = append(c.unknown, name)
						}
					}
					c.unknownAuthor = i == 1
					c.check(t)
				}
			}
		}
	}
}

// randomCase makes a case of seed: small trees, few names, so that they meet.
func randomCase(seed uint64) *slowCase {
	r := rand.New(rand.NewPCG(seed, seed>>32))
	suffix := []string{"test", "com", "co.uk"}[r.IntN(3)]
	c := &slowCase{world: slowWorld{records: map[string][]string{}, missing: map[string]bool{}}}
	if suffix != "test" && r.IntN(2) == 0 {
		c.world.suffix = suffix
	}
	name := func(deep int) string {
		n := suffix
		for range r.IntN(deep + 1) {
			n = "ab"[r.IntN(2):][:1] + "." + n
		}
		return n
	}
	deep := 2 + r.IntN(3)
	if r.IntN(8) == 0 {
		deep = 10
	}
	c.author = name(deep)
	texts := []string{"v=DMARC1; p=reject", "v=DMARC1; p=quarantine; sp=none", "v=DMARC1; p=none; np=reject; sp=quarantine", "v=DMARC1; p=reject; psd=y",
		"v=DMARC1; p=reject; psd=n", "v=DMARC1; p=reject; adkim=s", "v=DMARC1; p=reject; aspf=s; np=none", "v=DMARC1; psd=n", "v=DMARC1; rua=mailto:a@b.test",
		"v=DMARC1; p=reject; t=y; np=none", "v=spf1 -all", "v=DMARC1; p=none; sp=bogus; rua=mailto:a@b.test; psd=y"}
	below := func() string { // mostly on the way up from the author
		if r.IntN(4) == 0 {
			return name(deep)
		}
		return slowTail(c.author, count(suffix)+r.IntN(count(c.author)-count(suffix)+1))
	}
	for range r.IntN(5) {
		at := below()
		c.world.records[at] = append(c.world.records[at], texts[r.IntN(len(texts))])
	}
	for range r.IntN(4) {
		id := dmarc.Identifier{Method: []string{"spf", "dkim"}[r.IntN(2)], Domain: below(), Unknown: r.IntN(4) == 0}
		if r.IntN(3) == 0 {
			id.Domain = "z." + id.Domain
		}
		c.ids = append(c.ids, id)
	}
	for range r.IntN(3) {
		at := below()
		if _, twice := c.world.records[at]; !twice || r.IntN(2) == 0 {
			delete(c.world.records, at)
			c.unknown = append(c.unknown, at)
		}
	}
	if len(c.unknown) == 2 && c.unknown[0] == c.unknown[1] {
		c.unknown = c.unknown[:1]
	}
	if c.unknownAuthor = r.IntN(4) == 0; !c.unknownAuthor {
		c.world.missing[c.author] = len(c.world.records[c.author]) == 0 && len(c.ids)%2 == 0 && !c.exists()
	}
	return c
}

// exists reports whether the zone text makes the author exist by a name below it.
func (c *slowCase) exists() bool {
	for name, texts := range c.world.records {
		if len(texts) > 0 && (name == c.author || strings.HasSuffix(name, "."+c.author)) {
			return true
		}
	}
	return false
}

func TestRandomTrees(t *testing.T) {
	n := uint64(4000)
	if testing.Short() {
		n = 1000
	}
	for seed := range n {
		if randomCase(seed).check(t); t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// FuzzTree: in a random tree of records some of whose answers fail, the result is what every
// completion of the answers would give, else temperror.
func FuzzTree(f *testing.F) {
	for seed := range uint64(16) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { randomCase(seed).check(t) })
}
