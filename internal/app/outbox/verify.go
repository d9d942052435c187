package outbox

import (
	"bytes"
	"context"
	"fmt"

	"postseal"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/resolver"
)

// Verify checks a mail of ours as its receivers will: mail with reports has to pass DMARC
// (RFC 9990 §3.5.2), and by its signature, since a smart host may send it from elsewhere.
func Verify(ctx context.Context, dns resolver.Resolver, mail []byte) error {
	v, err := postseal.New(postseal.Config{AuthservID: "localhost", Resolver: dns})
	if err != nil {
		return err
	}
	r, err := postseal.VerifyReader(ctx, v, postseal.Conn{UnknownSender: true}, "", "", bytes.NewReader(mail))
	if err != nil {
		return fmt.Errorf("our own engine cannot read the mail: %w", err)
	}
	for _, a := range r.DMARC.Aligned {
		if a.Method == "dkim" && r.DMARC.Code == dmarc.Pass {
			return nil
		}
	}
	why := "it has no signature"
	if len(r.DKIM) > 0 && r.DKIM[0].Code != dkim.Pass {
		why = fmt.Sprintf("its signature is %s (%s)", r.DKIM[0].Code, r.DKIM[0].Reason)
	} else if len(r.DKIM) > 0 {
		why = "its signature passes, but the domain of [report] from has no DMARC policy that it aligns with"
	}
	return fmt.Errorf("not sent: the mail does not pass DMARC here: dmarc=%s, %s", r.DMARC.Code, why)
}
