package lint_test

import (
	"fmt"

	"postseal/dmarc"
	"postseal/lint"
)

// The packages of the mechanisms report Problems of the text of a record, without asking the DNS.
func Example() {
	for _, p := range dmarc.Lint("v=DMARC1; p=reject; fo=x; ruf=mailto:reports@acme.test") {
		if p.Severity == lint.Error {
			fmt.Printf("%s at octet %d: %s\n%s (RFC %s)\n", p.ID, p.Offset, p.Message, p.Fix, p.RFC)
		}
	}
	// Output:
	// dmarc.bad-value at octet 23: fo has other options than 0, 1, d, s
	// use them with ":" between (RFC 9989 §4.7)
}
