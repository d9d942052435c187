package explain

import (
	"testing"

	"postseal"
)

// TestBecause: each mode says why it downgraded an action or left it; the comment of the override is the reason of
// everything else.
func TestBecause(t *testing.T) {
	override := func(kind postseal.OverrideType, comment string) *postseal.Override {
		return &postseal.Override{Type: kind, Comment: comment}
	}
	for _, c := range []struct {
		name            string
		mode            postseal.Enforce
		action, applied postseal.Action
		reason          postseal.Reason
		override        *postseal.Override
		want            string
	}{
		{"guarded, a list", postseal.Guarded, postseal.Reject, postseal.Quarantine, postseal.DMARCReject, override(postseal.MailingList, "guarded: indirect flow: List-Post present"), "it looks forwarded"},
		{"guarded, nothing else", postseal.Guarded, postseal.Reject, postseal.Quarantine, postseal.DMARCReject, override(postseal.LocalPolicy, "guarded: nothing corroborates the failure (RFC 9989 §7.4)"), "nothing besides the policy counts against it"},
		{"guarded, confirmed", postseal.Guarded, postseal.Reject, postseal.Reject, postseal.DMARCReject, nil, "other evidence confirms the failure"},
		{"guarded, quarantine", postseal.Guarded, postseal.Quarantine, postseal.Quarantine, postseal.DMARCQuarantine, nil, ""},
		{"strict", postseal.Strict, postseal.Reject, postseal.Reject, postseal.DMARCReject, nil, "mode strict asks for no further evidence"},
		{"observe", postseal.Observe, postseal.Reject, postseal.Accept, postseal.DMARCReject, override(postseal.LocalPolicy, "observe: nothing is acted upon"), "mode observe enforces nothing"},
		{"observe, but sealed", postseal.Observe, postseal.Reject, postseal.Accept, postseal.DMARCReject, override(postseal.LocalPolicy, "arc=pass"), "arc=pass"},
		{"quarantine", postseal.EnforceQuarantine, postseal.Reject, postseal.Quarantine, postseal.AuthorMalformed, override(postseal.LocalPolicy, "enforce=quarantine: never above quarantine"), "mode quarantine never rejects"},
		{"a relay", postseal.Guarded, postseal.Reject, postseal.Accept, postseal.DMARCReject, override(postseal.TrustedForwarder, "results of the relay mx.example.net: dmarc=pass"), "results of the relay mx.example.net: dmarc=pass"},
		{"accepted", postseal.Strict, postseal.Accept, postseal.Accept, postseal.DMARCPass, nil, ""},
		{"a row without its override", postseal.Guarded, postseal.Reject, postseal.Quarantine, postseal.DMARCReject, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Because(c.mode, &postseal.Decision{Action: c.action, Applied: c.applied, Reason: c.reason, Override: c.override})
			if got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
