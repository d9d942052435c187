package dmarc_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"postseal/dmarc"
	"postseal/domain"
	"postseal/resolver"
	"postseal/resolver/dnstest"
)

// records makes zone text of lines "name tags": a DMARC Policy Record, v=DMARC1 omitted, at
// _dmarc.name. Other lines, with a ";" or a "\t", are zone text.
func records(lines ...string) string {
	var b strings.Builder
	for _, l := range lines {
		if strings.HasPrefix(l, ";") || strings.Contains(l, "\t") {
			fmt.Fprintln(&b, l)
			continue
		}
		name, tags, _ := strings.Cut(l, " ")
		fmt.Fprintf(&b, "_dmarc.%s. 60 IN TXT \"v=DMARC1; %s\"\n", name, tags)
	}
	return b.String()
}

func servfail(name string) string { return "; FAULT " + name + " TXT SERVFAIL" }

func zone(t testing.TB, lines ...string) *dnstest.Zone {
	t.Helper()
	z, err := dnstest.Parse(records(lines...))
	if err != nil {
		t.Fatalf("%v in\n%s", err, records(lines...))
	}
	return z
}

// counter counts the questions that reach a resolver.
type counter struct {
	next resolver.Resolver
	mu   sync.Mutex
	seen map[string]int
}

func (c *counter) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = map[string]int{}
	}
	c.seen[name+" "+t.String()]++
	return c.next.Lookup(ctx, name, t)
}

func (c *counter) total() (n int) {
	for _, k := range c.seen {
		n += k
	}
	return n
}

// ids reads "method:domain", with "?" after it for an unknown one.
func ids(list ...string) []dmarc.Identifier {
	var all []dmarc.Identifier
	for _, s := range list {
		method, name, _ := strings.Cut(s, ":")
		name, unknown := strings.CutSuffix(name, "?")
		all = append(all, dmarc.Identifier{Method: method, Domain: name, Unknown: unknown})
	}
	return all
}

func evaluate(t testing.TB, e *dmarc.Evaluator, author string, list ...string) dmarc.Result {
	t.Helper()
	return e.Evaluate(context.Background(), domain.Name(author), ids(list...))
}
