package arc_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"postseal/arc"
	msg "postseal/message"
	"postseal/resolver/dnstest"
)

// A chain that passes says who handled the message, and what each of them found. Whether to
// believe a sealer is a local decision.
func ExampleVerifier_Verify() {
	dns, err := dnstest.ParseFiles("../testdata/zones/mail.zone")
	if err != nil {
		fmt.Println(err)
		return
	}
	f, err := os.Open("../testdata/mail/sealed.eml")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	v := arc.Verifier{Resolver: dns, Now: func() time.Time { return time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC) }}
	r, err := v.Verify(context.Background(), msg.NewCRLFReader(f))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Code, r.Reason, r.Instances, r.Sealers)
	fmt.Println("oldest trusted:", r.OldestTrusted([]string{r.Sealers[0].Domain}), r.OldestTrusted([]string{"other.test"}))
	// Output:
	// pass arc.Valid 1 [{lists.example.net lists}]
	// oldest trusted: 1 0
}
