package dmarc_test

import (
	"context"
	"fmt"

	"postseal/dmarc"
	"postseal/domain"
	"postseal/resolver/dnstest"
)

// An Evaluator needs the Author Domain and what other mechanisms authenticated, and no message.
func Example() {
	dns, err := dnstest.Parse(`_dmarc.acme.test. 300 TXT "v=DMARC1; p=reject; adkim=s"`)
	if err != nil {
		fmt.Println(err)
		return
	}
	author, err := domain.Parse("News.Acme.TEST")
	if err != nil {
		fmt.Println(err)
		return
	}
	e := dmarc.Evaluator{Resolver: dns}
	for _, passed := range []dmarc.Identifier{{Method: "spf", Domain: "bounce.acme.test"}, {Method: "dkim", Domain: "acme.test"}} {
		r := e.Evaluate(context.Background(), author, []dmarc.Identifier{passed})
		fmt.Println(passed.Method, r.Code, r.OrgDomain, r.Policy)
	}
	// Output:
	// spf pass acme.test reject
	// dkim fail acme.test reject
}
