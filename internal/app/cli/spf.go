package cli

import (
	"context"

	"github.com/spf13/cobra"

	"postseal/internal/core/address"
	"postseal/spf"
)

func (a recordCommands) spfCommand() *cobra.Command {
	return a.group("spf", "Evaluate or explore SPF records", a.spfCheckCommand(), a.spfTreeCommand())
}

func (a recordCommands) spfCheckCommand() *cobra.Command {
	var ip, helo, from, identity string
	c := &cobra.Command{
		Use:   "check --ip ADDR [--helo NAME] [--from SENDER]",
		Short: "Evaluate SPF for one client and sender",
		Long: `Check is check_host() of RFC 7208. Without --from, or with --from "", the identity is
postmaster at the HELO name.

Exit codes: 0 pass, none, neutral; 1 fail, softfail, permerror; 2 temperror.`,
		Example: `  postseal spf check --ip 192.0.2.25 --helo out.acme.test --from bounce@acme.test`,
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			addr, err := parseIP("--ip", ip)
			switch {
			case err != nil:
				return err
			case !addr.IsValid():
				return usage("spf check: missing --ip").or("give the address of the client, such as --ip 192.0.2.25")
			case from == "" && helo == "":
				return usage("spf check: missing --from or --helo").or("give at least one; it names the domain to check")
			}
			if err := oneOf("--identity", identity, string(spf.MailFrom), string(spf.Helo)); err != nil {
				return err
			}
			return a.spfCheck(c.Context(), spf.Request{IP: addr, Helo: helo, Sender: address.Bare(from), Identity: spf.Identity(identity)})
		},
	}
	c.Flags().StringVar(&ip, "ip", "", "`ADDR` of the client")
	c.Flags().StringVar(&helo, "helo", "", "`NAME` that the client gave in HELO or EHLO")
	c.Flags().StringVar(&from, "from", "", "`SENDER`: the reverse-path of MAIL FROM")
	c.Flags().StringVar(&identity, "identity", string(spf.MailFrom), "`IDENTITY` to check: mailfrom, helo")
	return c
}

func (a recordCommands) spfCheck(ctx context.Context, q spf.Request) error {
	dns, clock, err := a.dns(ctx)
	if err != nil {
		return err
	}
	defer a.done(dns)
	r := (&spf.Checker{Resolver: dns, Now: clock}).Check(ctx, q)
	if err := interrupted(ctx); err != nil {
		return err
	}
	switch r.Code {
	case spf.Fail, spf.SoftFail, spf.PermError:
		a.setExit(exitNo)
	case spf.TempError:
		a.setExit(exitUndecided)
	}
	return a.page().SPF(&r, q.IP, dns.Exchanges())
}
