package cli

import (
	"context"

	"github.com/spf13/cobra"

	"postseal/internal/app/conf"
	"postseal/internal/app/doctor"
	"postseal/internal/app/endpoint"
	"postseal/internal/app/postfix"
	"postseal/internal/core/address"
)

// doctorFlags are the flags of doctor.
type doctorFlags struct {
	configDir string
	send      string
	from      string
	smtp      string
}

func (a hostCommands) doctorCommand() *cobra.Command {
	var f doctorFlags
	c := &cobra.Command{
		Use:   "doctor [flags]",
		Short: "Check that the daemon, the resolver and Postfix work together",
		Long: `Check the listeners of the running daemon, the resolver and Postfix's configuration.
The listeners are those of --config, by default ` + conf.UsualPath + `.
--send also shows what would happen to a forgery, and sends a message through Postfix.

Exit codes: 0 all is well (warnings included), 1 something is wrong, 69 the daemon
cannot be reached.`,
		Example: "  postseal doctor\n  postseal doctor --send postmaster@example.net",
		Args:    exactly(),
		RunE:    func(c *cobra.Command, _ []string) error { return a.doctor(c.Context(), f) },
	}
	c.Flags().StringVar(&f.configDir, "config-dir", "", "configuration `DIR` of Postfix (default: its own)")
	c.Flags().StringVar(&f.send, "send", "", "send a test message to `ADDRESS`")
	c.Flags().StringVar(&f.from, "from", "", "sender `ADDRESS` of the test message (default: that of --send)")
	c.Flags().StringVar(&f.smtp, "smtp", "127.0.0.1:25", "`HOST:PORT` where Postfix accepts the test message")
	return c
}

func (a hostCommands) doctor(ctx context.Context, f doctorFlags) error {
	if f.from == "" {
		f.from = f.send
	}
	for _, flag := range []struct{ name, value string }{{"--send", f.send}, {"--from", f.from}} {
		if boxes, err := address.Parse([]byte(flag.value)); flag.value != "" && (err != nil || len(boxes) != 1 || boxes[0].Address() != flag.value) {
			return usage("%s %q is not an address such as postmaster@example.net", flag.name, flag.value)
		}
	}
	if _, err := conf.ServerAddress(f.smtp); err != nil {
		return usage("--smtp %v", err)
	}
	if err := a.usualConfig(); err != nil {
		return err
	}
	r, err := a.resolver()
	if err != nil {
		return err
	}
	o := doctor.Options{Resolver: r, Enforce: a.config.Enforce, ReceivedSPF: a.config.Policy.ReceivedSPF, Servers: a.queried()}
	if s, err := postfix.Read(ctx, f.configDir); err != nil {
		o.PostfixError = err
	} else {
		o.Postfix = &s
	}
	find := endpoint.NewFinder(a.config)
	o.Milter, o.Policy = find.Find(ctx, endpoint.Milter).Address, find.Find(ctx, endpoint.Policy).Address
	o.HTTP, o.SMTP = find.Find(ctx, endpoint.HTTP).Address, find.Find(ctx, endpoint.SMTP).Address
	if _, _, mx := a.config.Proxy.NextHop.Exchangers(); !mx {
		o.NextHop = string(a.config.Proxy.NextHop)
	}
	findings := doctor.Run(ctx, o)
	if f.send != "" {
		findings = append(findings, doctor.Send(ctx, o, doctor.Probe{From: f.from, To: f.send, SMTP: f.smtp})...)
	}
	return a.printFindings(findings)
}

func (a hostCommands) printFindings(findings []doctor.Finding) error {
	switch doctor.Worst(findings) {
	case doctor.Fail:
		a.setExit(exitNo)
	case doctor.Down:
		a.setExit(exitUnavailable)
	}
	return a.page().Doctor(findings)
}
