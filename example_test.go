package postseal_test

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"postseal"
	"postseal/dmarc"
	"postseal/domain"
	"postseal/message"
	"postseal/resolver/dnstest"
	"postseal/spf"
)

// A program that receives mail makes one Verifier, and asks it before it answers the end
// of DATA. In production the Resolver is a resolver.Cache over a stub.Client.
func Example() {
	dns, err := dnstest.Parse(`
bank.test.        300 TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.bank.test. 300 TXT "v=DMARC1; p=reject"
`)
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := postseal.New(postseal.Config{AuthservID: "mx.example.net", Resolver: dns})
	if err != nil {
		fmt.Println(err)
		return
	}
	message := "From: Security <security@bank.test>\r\nSubject: Your account\r\n\r\nClick here.\r\n"
	conn := postseal.Conn{Remote: netip.MustParseAddrPort("203.0.113.7:25025")}
	report, err := postseal.VerifyReader(context.Background(), v, conn, "host.cheap.example", "security@bank.test", strings.NewReader(message))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(report.SPF[0].Code, report.DMARC.Code, report.Decision.Applied)
	fmt.Println(report.Decision.Reply.Code, report.Decision.Reply.Enhanced, report.Decision.Reply.Lines[0])
	// Output:
	// fail fail reject
	// 550 5.7.26 Rejected: this message fails DMARC, and bank.test asks receivers to reject such mail (p=reject).
}

// A server that receives mail in pieces tells a Session each thing as it learns it, so that the
// DNS is asked while the client still sends.
func ExampleVerifier_Session() {
	dns, err := dnstest.Parse(`
acme.test.        300 TXT "v=spf1 a:mail.acme.test -all"
mail.acme.test.   300 A   192.0.2.1
1.2.0.192.in-addr.arpa. 300 PTR mail.acme.test.
_dmarc.acme.test. 300 TXT "v=DMARC1; p=reject"
`)
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := postseal.New(postseal.Config{AuthservID: "mx.example.net", Resolver: dns})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	s := v.Session(ctx, postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.1:25025")}) // connect
	s.Helo("mail.acme.test")                                                               // EHLO
	t := s.Mail("dana@acme.test")                                                          // MAIL FROM
	t.Rcpt("erin@example.net")                                                             // RCPT TO
	w := t.MessageWriter()                                                                 // DATA
	var received strings.Builder
	for _, piece := range []string{"From: dana@acme.test\r\nSubject: he", "llo\r\n\r\nhi\r\n"} {
		if _, err := io.WriteString(io.MultiWriter(w, &received), piece); err != nil {
			fmt.Println(err)
			return
		}
	}
	if err := w.Close(); err != nil {
		fmt.Println(err)
		return
	}
	report, err := t.Finish(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	if reply := report.Decision.Reply; reply != nil {
		fmt.Println(reply.Code, reply.Text())
		return
	}
	var delivered strings.Builder
	if err := report.Headers.Apply(&delivered, strings.NewReader(received.String())); err != nil {
		fmt.Println(err)
		return
	}
	results, _, _ := strings.Cut(delivered.String(), "X-Postseal-Verdict")
	fmt.Println(strings.ReplaceAll(results, "\r\n", "\n"))
	// Output:
	// Authentication-Results: mx.example.net;
	// 	dmarc=pass (p=reject) header.from=acme.test policy.dmarc=reject;
	// 	spf=pass smtp.mailfrom=acme.test;
	// 	dkim=none;
	// 	iprev=pass policy.iprev=192.0.2.1
}

// A Policy decides on a Report, which can be built by hand to test it.
func ExampleEnforcePolicy() {
	forged := &postseal.Report{
		Author: message.Author{Domains: []domain.Name{"bank.test"}},
		SPF:    []spf.Result{{Code: spf.Fail, Domain: "bank.test"}},
		DMARC:  dmarc.Result{Code: dmarc.Fail, AuthorDomain: "bank.test", OrgDomain: "bank.test", PolicyDomain: "bank.test", Policy: dmarc.PolicyReject},
	}
	for _, mode := range []postseal.Enforce{postseal.Observe, postseal.Guarded, postseal.Strict} {
		p := postseal.EnforcePolicy{Mode: mode}
		d := p.Decide(forged)
		fmt.Println(mode, d.Action, d.Applied, d.Reason)
	}
	// Output:
	// observe reject accept dmarc.reject
	// guarded reject reject dmarc.reject
	// strict reject reject dmarc.reject
}
