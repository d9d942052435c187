package cli

import (
	"context"
	"net/netip"

	"github.com/spf13/cobra"

	"postseal/audit"
	"postseal/internal/domain"
)

// auditFlags are those of the command audit.
type auditFlags struct {
	selectors []string
	samples   []string
	profile   string
	failOn    string

	authoritative bool
	probe         bool
	bulk          bool
}

var profiles = []string{string(audit.Auto), string(audit.Sending), string(audit.Receiving), string(audit.Parked)}

func (a *app) auditCommand() *cobra.Command {
	f := &auditFlags{}
	c := &cobra.Command{
		Use:   "audit DOMAIN...",
		Short: "Explain what receivers see of a domain, and what to mend",
		Long: `Audit looks at SPF, DKIM, DMARC, MX and the records beside them with the parsers and
evaluators of the engine. Each finding says why it matters and what to publish instead;
postseal rules ID tells more.

What could not be looked up is no finding. Where it matters, there is no grade.

Exit codes: 0 no finding at or above --fail-on, 1 findings, 2 no grade: something that
matters could not be checked.`,
		Example: `  postseal audit example.com
  postseal audit --selector s1 --selector s2 example.com
  postseal audit --format json example.com`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("audit: DOMAIN is missing").or("usage: %s", c.UseLine())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return a.audit(c.Context(), f, args) },
	}
	c.Flags().StringArrayVar(&f.selectors, "selector", nil, "DKIM selector `NAME` that the domain uses (repeatable)")
	c.Flags().StringArrayVar(&f.samples, "ip", nil, "tell what SPF says to the client `ADDR` (repeatable)")
	c.Flags().StringVar(&f.profile, "profile", string(audit.Auto), "what the domain does with mail: auto, sending, receiving, parked")
	c.Flags().StringVar(&f.failOn, "fail-on", string(audit.Error), "exit with 1 on findings of this `SEVERITY`: info, warn, error, critical, never")
	c.Flags().BoolVar(&f.authoritative, "authoritative", false, "ask every name server for SPF, DKIM and DMARC, and compare")
	c.Flags().BoolVar(&f.probe, "probe", false, "connect to MX hosts on port 25, up to STARTTLS")
	c.Flags().BoolVar(&f.bulk, "bulk", false, "say what Gmail, Outlook.com and Yahoo answer to bulk mail of the domain")
	return c
}

// auditOptions checks the flags that say what to look at.
func (a *app) auditOptions(f *auditFlags) (audit.Options, error) {
	o := audit.Options{Profile: audit.Profile(f.profile), Authoritative: f.authoritative, Probe: f.probe, Bulk: f.bulk}
	if err := oneOf("--profile", f.profile, profiles...); err != nil {
		return o, err
	}
	if err := oneOf("--fail-on", f.failOn, "info", "warn", "error", "critical", "never"); err != nil {
		return o, err
	}
	for _, s := range f.selectors {
		name, err := domain.Parse(s)
		if err != nil {
			return o, usage("--selector: %v", err)
		}
		o.Selectors = append(o.Selectors, audit.Selector{Name: name, Source: audit.FromFlag})
	}
	for _, s := range f.samples {
		ip, err := netip.ParseAddr(s)
		if err != nil {
			return o, usage("--ip %q is no address", s).or("write it like 192.0.2.1 or 2001:db8::1")
		}
		o.Samples = append(o.Samples, ip.Unmap())
	}
	return o, nil
}

func (a *app) audit(ctx context.Context, f *auditFlags, names []string) error {
	options, err := a.auditOptions(f)
	if err != nil {
		return err
	}
	dns, err := a.resolver()
	if err != nil {
		return err
	}
	clock, err := a.clock()
	if err != nil {
		return err
	}
	auditor := &audit.Auditor{Resolver: dns, Now: clock}
	if len(a.flags.zones) == 0 {
		auditor.HTTP = audit.NewHTTPClient(dns)
		auditor.Authority = audit.NewAuthority(a.dnsTimeout())
		auditor.Dial = audit.NewDialer(a.dnsTimeout())
	}
	var domains []domain.Name
	for _, n := range names {
		d, err := domain.Parse(n)
		if err != nil {
			return usage("DOMAIN: %v", err)
		}
		domains = append(domains, d)
	}
	var reports []*audit.Report
	for _, d := range domains {
		r := auditor.Audit(ctx, d, options)
		a.raise(auditCode(r, f.failOn))
		reports = append(reports, r)
	}
	return a.showAudits(reports, f)
}

// auditCode is the exit code for one report.
func auditCode(r *audit.Report, failOn string) int {
	code := exitOK
	if r.Grade == "" {
		code = exitUndecided
	}
	if failOn == "never" {
		return code
	}
	for _, f := range r.Findings {
		if f.Severity.Rank() >= audit.Severity(failOn).Rank() {
			return exitNo
		}
	}
	return code
}

func (a *app) showAudits(reports []*audit.Report, f *auditFlags) error {
	switch {
	case a.flags.format == "jsonl" || a.flags.format == "json" && len(reports) == 1:
		for _, r := range reports {
			if err := a.json(r); err != nil {
				return err
			}
		}
		return nil
	case a.flags.format == "json":
		return a.json(reports)
	}
	for i, r := range reports {
		v := &auditView{view: &view{app: a, style: a.style}, report: r}
		v.show(i, auditCode(r, f.failOn))
	}
	return nil
}
