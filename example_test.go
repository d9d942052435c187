package postseal_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"postseal"
	"postseal/resolver/dnstest"
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
