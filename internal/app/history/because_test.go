package history

import "testing"

// TestBecause: a row says in a few words what its results came to.
func TestBecause(t *testing.T) {
	signed := func(result, domain, reason string) Signature {
		return Signature{Result: result, Domain: domain, Reason: reason}
	}
	for _, c := range []struct {
		name string
		v    Verdict
		want string
	}{
		{"forged", Verdict{Action: "reject", Applied: "reject", Author: "bank.test", DKIM: "none", SPF: "pass"}, "no signature; SPF passes for another domain"},
		{"of a list", Verdict{Action: "reject", Applied: "quarantine", Enforce: "guarded", Override: "mailing_list", Author: "acme.test", DKIM: "pass", SPF: "pass",
			Signatures: []Signature{signed("fail", "acme.test", "BodyHashMismatch"), signed("pass", "lists.example.net", "")}}, "the body changed after it was signed; SPF passes for another domain; it looks forwarded"},
		{"by another service", Verdict{Action: "reject", Applied: "reject", Author: "acme.test", DKIM: "pass", SPF: "pass", Signatures: []Signature{signed("pass", "bulk.test", "")}}, "DKIM and SPF pass for another domain"},
		{"aligned", Verdict{Action: "accept", Applied: "accept", Author: "acme.test", DKIM: "pass", SPF: "fail", CountsForAuthor: []string{"dkim"}, Signatures: []Signature{signed("pass", "acme.test", "")}}, "DKIM passes for the author; SPF fail"},
		{"one of two keys is revoked", Verdict{Action: "accept", Applied: "accept", Author: "acme.test", DKIM: "pass", SPF: "fail", CountsForAuthor: []string{"dkim"},
			Signatures: []Signature{signed("permerror", "acme.test", "KeyRevoked"), signed("pass", "acme.test", "")}}, "DKIM passes for the author; SPF fail"},
		{"a key that cannot be looked up", Verdict{Action: "defer", Applied: "defer", Author: "keydown.example", DKIM: "temperror", SPF: "skipped", Signatures: []Signature{signed("temperror", "keydown.example", "KeyUnavailable")}}, "the key cannot be looked up now"},
		{"a result without a reason", Verdict{Action: "defer", Applied: "defer", Author: "x.test", DKIM: "temperror", Signatures: []Signature{signed("temperror", "x.test", "")}}, "DKIM temperror"},
		{"a rule", Verdict{Action: "accept", Applied: "accept", Author: "x.test", DKIM: "none", SPF: "none", Why: "our branch office"}, "no signature; SPF none; our branch office"},
		{"an old row", Verdict{Action: "reject", Applied: "quarantine", Enforce: "guarded", Author: "x.test", DKIM: "none", SPF: "skipped"}, "no signature; mode guarded downgrades it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := because(&c.v); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
