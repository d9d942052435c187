package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"postseal/dkim"
	"postseal/domain"
	"postseal/internal/app/view"
	"postseal/internal/core/signature"
	"postseal/resolver"
)

func (a recordCommands) dkimCommand() *cobra.Command {
	var raw bool
	verify := &cobra.Command{
		Use:   "verify FILE|-",
		Short: "Verify the DKIM signatures of a message",
		Long: `Verify checks every signature of a message against the key in the DNS.

Exit codes: 0 a signature passes, 1 none passes, 2 none passes and a key could not be
looked up.`,
		Example: `  postseal dkim verify a.eml
  postseal dkim verify --format json - < a.eml`,
		Args: exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error { return a.dkimVerify(c.Context(), args[0], raw) },
	}
	verify.Flags().BoolVar(&raw, "raw", false, rawUsage)
	key := &cobra.Command{
		Use:   "key SELECTOR DOMAIN",
		Short: "Look up and check a DKIM key",
		Long: `Key looks up the key record of a selector and shows whether a verifier can use it.

Exit codes: 0 every key is usable, 1 no key, or one is revoked or unusable, 2 failed DNS
lookup.`,
		Example: `  postseal dkim key s1 example.com`,
		Args:    exactly("SELECTOR", "DOMAIN"),
		RunE:    func(c *cobra.Command, args []string) error { return a.dkimKey(c.Context(), args[0], args[1]) },
	}
	return a.group("dkim", "Verify DKIM signatures, look up keys", verify, key)
}

func (a recordCommands) dkimVerify(ctx context.Context, path string, raw bool) error {
	dns, clock, err := a.dns(ctx)
	if err != nil {
		return err
	}
	defer a.done(dns)
	in, err := a.open(path, raw)
	if err != nil {
		return err
	}
	defer in.close()
	signatures, err := (&dkim.Verifier{Resolver: dns, Now: clock}).Verify(ctx, a.progress(in))
	if err := interrupted(ctx); err != nil {
		return err
	}
	if err != nil {
		return failf(exitData, "%s: %v", in.name, err)
	}
	a.setExit(signaturesExit(signatures))
	return a.page().Signatures(signatures, dns.Exchanges())
}

func signaturesExit(signatures []dkim.Result) int {
	code := exitNo
	for i := range signatures {
		switch signatures[i].Code {
		case dkim.Pass:
			return exitOK
		case dkim.TempError:
			code = exitUndecided
		}
	}
	return code
}

func (a recordCommands) dkimKey(ctx context.Context, selector, name string) error {
	s, err := domain.Parse(selector)
	if err != nil {
		return usage("SELECTOR: %v", err)
	}
	d, err := domain.Parse(name)
	if err != nil {
		return notDomain("DOMAIN", err)
	}
	dns, _, err := a.dns(ctx)
	if err != nil {
		return err
	}
	defer a.done(dns)
	keys, err := signature.LookupKey(ctx, dns, s, d)
	if err := interrupted(ctx); err != nil {
		return err
	}
	at := string(s) + "._domainkey." + string(d)
	a.setExit(keyExit(keys, err))
	return a.page().Keys(at, keys, err, dns.Exchanges())
}

// keyExit is 0 if every key can be used: if there are several, a verifier may use any (RFC 6376
// §3.6.2.2).
func keyExit(keys []*signature.Key, err error) int {
	var failure *resolver.Error
	switch {
	case errors.As(err, &failure):
		return exitUndecided
	case err != nil:
		return exitNo
	}
	for _, k := range keys {
		if view.Unusable(k) != "" {
			return exitNo
		}
	}
	return exitOK
}
