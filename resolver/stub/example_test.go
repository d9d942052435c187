package stub_test

import (
	"context"
	"fmt"
	"time"

	"postseal/resolver"
	"postseal/resolver/dnstest"
	"postseal/resolver/stub"
)

// A Client asks name servers, here one on loopback. It waits for each answer and keeps none:
// System gives one with a cache.
func Example() {
	dns, err := dnstest.Parse(`acme.test. 300 TXT "v=spf1 -all"`)
	if err != nil {
		fmt.Println(err)
		return
	}
	server, err := dns.Serve()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	client, err := stub.New(stub.Config{Servers: []string{server.Addr()}, Timeout: 5 * time.Second})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	a, err := client.Lookup(context.Background(), "acme.test", resolver.TXT)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(a.Records[0].Text)
	// Output: v=spf1 -all
}
