// SPF checks whether a host may send mail for an address.
//
//	go run ./spf IP SENDER
package main

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"os"

	"postseal/resolver/stub"
	"postseal/spf"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: spf IP SENDER")
	}
	ip, err := netip.ParseAddr(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	dns, err := stub.System()
	if err != nil {
		log.Fatal(err)
	}
	c := spf.Checker{Resolver: dns}
	r := c.Check(context.Background(), spf.Request{IP: ip, Sender: os.Args[2]})
	fmt.Printf("%s for %s: %s (%d lookups) %s\n", r.Code, r.Domain, r.Reason, r.Lookups, r.Problem)
}
