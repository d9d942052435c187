package dkim_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"postseal/dkim"
	"postseal/message"
	"postseal/resolver/dnstest"
)

// Verify takes a whole message, and gives a Result for each signature.
func ExampleVerifier_Verify() {
	dns, err := dnstest.ParseFiles("../testdata/zones/mail.zone")
	if err != nil {
		fmt.Println(err)
		return
	}
	f, err := os.Open("../testdata/mail/list.eml") // from a mailing list
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	v := dkim.Verifier{Resolver: dns, Now: func() time.Time { return time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC) }}
	results, err := v.Verify(context.Background(), message.NewCRLFReader(f))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range results {
		fmt.Println(r.Domain, r.Selector, r.Algorithm, r.Code, r.Reason)
	}
	// Output:
	// lists.example.net lists rsa-sha256 pass dkim.Valid
	// acme.test ed2026 ed25519-sha256 fail dkim.BodyHashMismatch
}

// A key record can be checked before it is published.
func ExampleLint() {
	for _, p := range dkim.Lint("v=DKIM1; t=y; p=") {
		fmt.Println(p.ID, p.Message)
	}
	// Output:
	// dkim.revoked p= is empty: the key is revoked
	// dkim.testing t=y: verifiers may treat the mail as unsigned
}
