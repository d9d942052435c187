// DKIM verifies the signatures of the message on standard input.
//
//	go run ./dkim < FILE
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"postseal/dkim"
	"postseal/message"
	"postseal/resolver/stub"
)

func main() {
	dns, err := stub.System()
	if err != nil {
		log.Fatal(err)
	}
	v := dkim.Verifier{Resolver: dns}
	results, err := v.Verify(context.Background(), message.NewCRLFReader(os.Stdin))
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range results {
		fmt.Printf("%s d=%s s=%s: %s\n", r.Code, r.Domain, r.Selector, r.Reason)
	}
}
