package spf_test

import (
	"context"
	"fmt"
	"net/netip"

	"postseal/resolver/dnstest"
	"postseal/spf"
)

// A check asks whether a host may send mail for a domain. The outcome is always a Result.
func ExampleChecker_Check() {
	dns, err := dnstest.Parse(`
acme.test.     300 TXT "v=spf1 include:_spf.host.test -all"
_spf.host.test. 300 TXT "v=spf1 ip4:192.0.2.0/24 ~all"
`)
	if err != nil {
		fmt.Println(err)
		return
	}
	c := spf.Checker{Resolver: dns}
	for _, ip := range []string{"192.0.2.7", "203.0.113.7"} {
		r := c.Check(context.Background(), spf.Request{IP: netip.MustParseAddr(ip), Helo: "mail.acme.test", Sender: "dana@acme.test"})
		fmt.Println(r.Code, r.Reason, r.Mechanism, r.Path, r.Lookups)
	}
	// Output:
	// pass spf.Match ip4:192.0.2.0/24 [acme.test _spf.host.test] 1
	// fail spf.Match all [acme.test] 1
}

// A policy service adds the result to the message as a Received-SPF field.
func ExampleResult_ReceivedSPF() {
	dns, err := dnstest.Parse(`acme.test. 300 TXT "v=spf1 ip4:192.0.2.0/24 -all"`)
	if err != nil {
		fmt.Println(err)
		return
	}
	c := spf.Checker{Resolver: dns}
	q := spf.Request{IP: netip.MustParseAddr("192.0.2.7"), Helo: "mail.acme.test", Sender: "dana@acme.test"}
	r := c.Check(context.Background(), q)
	fmt.Printf("%q\n", "Received-SPF:"+r.ReceivedSPF(q, "mx.example.net"))
	// Output:
	// "Received-SPF: pass (acme.test designates 192.0.2.7 as permitted sender)\r\n\tidentity=mailfrom; client-ip=192.0.2.7;\r\n\tenvelope-from=\"dana@acme.test\"; helo=mail.acme.test;\r\n\tmechanism=\"ip4:192.0.2.0/24\"; receiver=mx.example.net"
}

func ExampleLint() {
	for _, p := range spf.Lint("v=spf1 ip4:192.0.2.0/24 a -all mx") {
		fmt.Println(p.Severity, p.ID, p.Offset)
	}
	// Output:
	// warn spf.after-all 31
}
