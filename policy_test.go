package postseal_test

import (
	"net/netip"
	"slices"
	"testing"

	"postseal"
	"postseal/arc"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/domain"
	"postseal/internal/core/attached"
	"postseal/message"
	"postseal/spf"
)

// byHand is a Report of a message of acme.test that fails DMARC with p=reject.
func byHand(change func(*postseal.Report)) *postseal.Report {
	r := &postseal.Report{
		Conn:   postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.1:25")},
		Author: message.Author{Domains: []domain.Name{"acme.test"}},
		DMARC:  dmarc.Result{Code: dmarc.Fail, Reason: dmarc.NotAligned, AuthorDomain: "acme.test", OrgDomain: "acme.test", Policy: dmarc.PolicyReject},
		ARC:    arc.Result{Code: arc.None, Reason: arc.NoChain},
	}
	if change != nil {
		change(r)
	}
	return r
}

func headerOf(fields ...string) *message.Header {
	h := new(message.Header)
	for _, raw := range fields {
		f, _ := message.ParseField([]byte(raw))
		h.Add(f)
	}
	return h
}

// passes makes lists.example an authenticated intermediary.
func passes(r *postseal.Report) {
	r.SPF = []spf.Result{{Code: spf.Pass, Domain: "lists.example"}}
}

// TestReportByHand: evidence and decision of a Report that no message was needed for.
func TestReportByHand(t *testing.T) {
	tests := []struct {
		name           string
		change         func(*postseal.Report)
		traits, proofs []postseal.Signal
		applied        postseal.Action
	}{
		{"a forgery", nil, nil, []postseal.Signal{postseal.SignalNoSignature}, postseal.Reject},
		{"says that it is a list", func(r *postseal.Report) {
			r.Header = headerOf("List-Id: <l.example>", "List-Post: <mailto:l@l.example>", "Precedence: bulk")
		}, nil, []postseal.Signal{postseal.SignalNoSignature}, postseal.Reject},
		{"of a list", func(r *postseal.Report) {
			passes(r)
			r.Header = headerOf("List-Id: <l.lists.example>", "List-Id: <m.lists.example>", "List-Post: <mailto:l@lists.example>", "Precedence: bulk",
				"Sender: l@lists.example", "Resent-From: a@lists.example", "Content-Type: text/calendar")
		}, []postseal.Signal{postseal.SignalListID, postseal.SignalListPost, postseal.SignalPrecedence, postseal.SignalSender, postseal.SignalResent, postseal.SignalCalendar},
			[]postseal.Signal{postseal.SignalNoSignature}, postseal.Quarantine},
		{"two hops", func(r *postseal.Report) {
			passes(r)
			r.Header = headerOf("Received: by mx.lists.example", "Received: by b")
		}, []postseal.Signal{postseal.SignalReceived}, []postseal.Signal{postseal.SignalNoSignature}, postseal.Quarantine},
		{"the second hop is ours", func(r *postseal.Report) {
			passes(r)
			r.Header, r.Conn.Relays = headerOf("Received: by mx.lists.example", "Received: by b"), 1
		}, nil, []postseal.Signal{postseal.SignalNoSignature}, postseal.Reject},
		{"a broken signature", func(r *postseal.Report) {
			passes(r)
			r.DKIM = []dkim.Result{{Code: dkim.Fail, Domain: "mail.acme.test"}}
		}, []postseal.Signal{postseal.SignalBrokenSignature}, nil, postseal.Quarantine},
		{"a chain", func(r *postseal.Report) {
			r.ARC.Code, r.ARC.Sealers = arc.Pass, []arc.Sealer{{Domain: "lists.example"}}
		},
			[]postseal.Signal{postseal.SignalARCPass}, []postseal.Signal{postseal.SignalNoSignature}, postseal.Quarantine},
		{"a chain of the author", func(r *postseal.Report) { r.ARC.Code, r.ARC.Sealers = arc.Pass, []arc.Sealer{{Domain: "acme.test"}} },
			nil, []postseal.Signal{postseal.SignalNoSignature}, postseal.Reject},
		{"everything against it", func(r *postseal.Report) {
			r.SPF = []spf.Result{{Code: spf.Fail, Domain: "acme.test"}}
			r.IPRev = &postseal.IPRev{Code: postseal.IPRevFail}
			r.NoMail, r.DMARC.NoSuchDomain = postseal.SignalNullMX, true
		}, nil, []postseal.Signal{postseal.SignalSPFFail, postseal.SignalNoSignature, postseal.SignalNoSuchDomain, postseal.SignalIPRevFail, postseal.SignalNullMX}, postseal.Reject},
		{"nothing against it", func(r *postseal.Report) { r.DKIM = []dkim.Result{{Code: dkim.TempError, Domain: "acme.test"}} }, nil, nil, postseal.Quarantine},
		{"a limit", func(r *postseal.Report) { r.Limit = message.FieldTooLarge }, nil, []postseal.Signal{postseal.SignalNoSignature}, postseal.Reject},
		{"DMARC was not evaluated, and may pass", func(r *postseal.Report) {
			r.DMARC = dmarc.Result{Reason: dmarc.IdentifierUnknown, Policy: dmarc.PolicyReject}
		}, nil, []postseal.Signal{postseal.SignalNoSignature}, postseal.Defer},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := byHand(tt.change)
			if got := postseal.IndirectFlow(r); !slices.Equal(got, tt.traits) {
				t.Errorf("IndirectFlow = %q, want %q", got, tt.traits)
			}
			if got := postseal.Corroboration(r, nil); !slices.Equal(got, tt.proofs) {
				t.Errorf("Corroboration = %q, want %q", got, tt.proofs)
			}
			policy := &postseal.EnforcePolicy{Mode: postseal.Guarded}
			if d := policy.Decide(r); d.Applied != tt.applied {
				t.Errorf("Decide applies %s (%s), want %s", d.Applied, d.Reason, tt.applied)
			}
			if e := attached.EvidenceOf(r); e.Bytes != 0 || e.Digests != nil || e.Bodies != nil {
				t.Errorf("Evidence = %+v", e)
			}
			if _, err := r.MarshalJSON(); err != nil || len(r.Exchanges()) != 0 {
				t.Errorf("JSON: %v", err)
			}
		})
	}
}

// TestZeroReport: nothing that reads a Report panics on an empty one, and no policy rejects it.
func TestZeroReport(t *testing.T) {
	for _, mode := range []postseal.Enforce{postseal.Observe, postseal.Guarded, postseal.Strict} {
		if d := (&postseal.EnforcePolicy{Mode: mode}).Decide(&postseal.Report{}); d.Applied == postseal.Reject {
			t.Errorf("%s: %+v", mode, d)
		}
	}
	r := &postseal.Report{}
	if got := postseal.AddedFields(r); got != nil {
		t.Errorf("AddedFields = %q", got)
	}
	if e := attached.EvidenceOf(r); e.Bodies != nil {
		t.Errorf("Evidence = %+v", e)
	}
}
