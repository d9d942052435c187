package cli

import (
	"context"

	"github.com/spf13/cobra"

	"postseal/arc"
	"postseal/internal/app/conf"
)

func (a recordCommands) arcCommand() *cobra.Command {
	var raw bool
	verify := &cobra.Command{
		Use:   "verify FILE|-",
		Short: "Validate the ARC chain of a message",
		Long: `Verify validates the Authenticated Received Chain of a message (RFC 8617). A chain
that passes shows who handled the message, not that they are honest: it counts only if
[arc] trusted_sealers in the configuration names its newest sealer.

Exit codes: 0 the chain passes, 1 it fails or does not exist. A key that cannot be
looked up is a failure too (RFC 8617 §5.2.1).`,
		Example: `  postseal arc verify forwarded.eml`,
		Args:    exactly("FILE"),
		RunE:    func(c *cobra.Command, args []string) error { return a.arcVerify(c.Context(), args[0], raw) },
	}
	verify.Flags().BoolVar(&raw, "raw", false, rawUsage)
	return a.group("arc", "Validate ARC chains", verify)
}

func (a recordCommands) arcVerify(ctx context.Context, path string, raw bool) error {
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
	result, err := (&arc.Verifier{Resolver: dns, Now: clock}).Verify(ctx, a.progress(in))
	if err := interrupted(ctx); err != nil {
		return err
	}
	if err != nil {
		return failf(exitData, "%s: %v", in.name, err)
	}
	if result.Code != arc.Pass {
		a.setExit(exitNo)
	}
	trusted := result.OldestTrusted(conf.Strings(a.config.ARC.TrustedSealers)) > 0
	return a.page().Chain(&result, trusted, dns.Exchanges())
}
