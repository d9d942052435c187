package lint_test

import (
	"fmt"

	"postseal/dmarc"
	"postseal/lint"
)

// The packages of the mechanisms report Problems of the text of a record, without asking the DNS.
func Example() {
	for _, p := range dmarc.Lint("v=DMARC1; p=rejct; rua=mailto:reports@acme.test") {
		if p.Severity == lint.Error {
			fmt.Printf("%s at octet %d: %s\n%s (RFC %s)\n", p.ID, p.Offset, p.Message, p.Fix, p.RFC)
		}
	}
	// Output:
	// dmarc.policy-dropped at octet 0: no valid p, or an invalid sp or np: receivers act as if p=none
	// correct p, sp and np (RFC 9989 §4.10.1)
	// dmarc.bad-value at octet 12: p="rejct" is none of none quarantine reject
	// use one of none quarantine reject (RFC 9989 §4.7)
}
