package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"postseal/dmarc"
	"postseal/domain"
)

func (a recordCommands) dmarcCommand() *cobra.Command {
	var discovery string
	policy := &cobra.Command{
		Use:   "policy DOMAIN",
		Short: "Find the DMARC policy that applies to an author domain",
		Long: `Policy walks the DNS tree up from a domain, as receivers do (RFC 9989 §4.10), and shows
the record that applies and what it requests.

Exit codes: 0 a policy applies, or none is published, 1 the record cannot be applied, 2
failed DNS lookup.`,
		Example: `  postseal dmarc policy mail.example.com`,
		Args:    exactly("DOMAIN"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.dmarcCheck(c.Context(), args[0], discovery, nil)
		},
	}
	var author, spfResult string
	var dkimResults []string
	check := &cobra.Command{
		Use:   "check --author DOMAIN [--spf RESULT=DOMAIN] [--dkim RESULT=DOMAIN]...",
		Short: "Evaluate DMARC for given SPF and DKIM results",
		Long: `Check evaluates DMARC as if SPF and DKIM had given these results. Only a pass gives
an identifier; temperror leaves open whether it does.

Exit codes: 0 pass or none, 1 fail or permerror, 2 temperror.`,
		Example: `  postseal dmarc check --author acme.test --spf pass=bounce.acme.test --dkim fail=acme.test`,
		Args:    exactly(),

		DisableFlagsInUseLine: true,
		RunE: func(c *cobra.Command, _ []string) error {
			if author == "" {
				return usage("dmarc check: missing --author").or("give the domain of From, such as --author example.com")
			}
			ids, err := identifiers(spfResult, dkimResults)
			if err != nil {
				return err
			}
			return a.dmarcCheck(c.Context(), author, discovery, ids)
		},
	}
	check.Flags().StringVar(&author, "author", "", "the Author `DOMAIN`")
	check.Flags().StringVar(&spfResult, "spf", "", "`RESULT=DOMAIN` of SPF for MAIL FROM")
	check.Flags().StringArrayVar(&dkimResults, "dkim", nil, "`RESULT=DOMAIN` of a signature (repeatable)")
	for _, c := range []*cobra.Command{policy, check} {
		c.Flags().StringVar(&discovery, "discovery", string(dmarc.TreeWalk), "`WAY` to find the organization: treewalk (RFC 9989), psl (RFC 7489)")
	}
	return a.group("dmarc", "Find DMARC policies, evaluate DMARC", policy, check)
}

// The result words of RFC 8601 §2.7.1 and §2.7.2.
var (
	spfWords  = []string{"none", "pass", "fail", "softfail", "neutral", "temperror", "permerror"}
	dkimWords = []string{"none", "pass", "fail", "policy", "neutral", "temperror", "permerror"}
)

// identifiers reads RESULT=DOMAIN. It never returns nil, which distinguishes a check from a
// policy lookup.
func identifiers(spfResult string, dkimResults []string) ([]dmarc.Identifier, error) {
	ids := []dmarc.Identifier{}
	add := func(method, s string, words ...string) error {
		result, name, ok := strings.Cut(s, "=")
		if !ok {
			return usage("--%s %q is not RESULT=DOMAIN", method, s).or("use a value such as --%s pass=example.com", method)
		}
		if err := oneOf("--"+method, result, words...); err != nil {
			return err
		}
		if _, err := domain.Parse(name); err != nil && (result == "pass" || result == "temperror") {
			return usage("--%s: %v", method, err)
		}
		switch result {
		case "pass":
			ids = append(ids, dmarc.Identifier{Method: method, Domain: name})
		case "temperror":
			ids = append(ids, dmarc.Identifier{Method: method, Domain: name, Unknown: true})
		}
		return nil
	}
	if spfResult != "" {
		if err := add("spf", spfResult, spfWords...); err != nil {
			return nil, err
		}
	}
	for _, s := range dkimResults {
		if err := add("dkim", s, dkimWords...); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// dmarcCheck evaluates ids, or only finds the policy if ids is nil.
func (a recordCommands) dmarcCheck(ctx context.Context, author, discovery string, ids []dmarc.Identifier) error {
	if err := oneOf("--discovery", discovery, string(dmarc.TreeWalk), string(dmarc.PSL)); err != nil {
		return err
	}
	name, err := domain.Parse(author)
	if err != nil && ids != nil {
		return notDomain("--author", err)
	}
	if err != nil {
		return notDomain("DOMAIN", err)
	}
	dns, _, err := a.dns(ctx)
	if err != nil {
		return err
	}
	defer a.done(dns)
	e := &dmarc.Evaluator{Resolver: dns, Discovery: dmarc.Discovery(discovery)}
	var r dmarc.Result
	if ids == nil {
		r = e.Discover(ctx, name)
	} else {
		r = e.Evaluate(ctx, name, ids)
	}
	if err := interrupted(ctx); err != nil {
		return err
	}
	switch r.Code {
	case dmarc.Fail, dmarc.PermError:
		a.setExit(exitNo)
	case dmarc.TempError:
		a.setExit(exitUndecided)
	}
	return a.page().DMARC(&r, dns.Exchanges())
}
