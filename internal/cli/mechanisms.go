package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"postseal"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/domain"
	"postseal/internal/term"
	"postseal/resolver"
	"postseal/spf"
)

func (a *app) spfCommand() *cobra.Command {
	return a.group("spf", "Evaluate or explore SPF records", a.spfCheckCommand(), a.spfTreeCommand())
}

func (a *app) spfCheckCommand() *cobra.Command {
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
				return usage("spf check: --ip is missing").or("the address of the client, such as --ip 192.0.2.25")
			case from == "" && helo == "":
				return usage("spf check: --from and --helo are missing").or("one of them names the domain to check")
			}
			if err := oneOf("--identity", identity, string(spf.MailFrom), string(spf.Helo)); err != nil {
				return err
			}
			return a.spfCheck(c.Context(), spf.Request{IP: addr, Helo: helo, Sender: bare(from), Identity: spf.Identity(identity)})
		},
	}
	c.Flags().StringVar(&ip, "ip", "", "`ADDR` of the client")
	c.Flags().StringVar(&helo, "helo", "", "`NAME` that the client gave in HELO or EHLO")
	c.Flags().StringVar(&from, "from", "", "`SENDER`: the reverse-path of MAIL FROM")
	c.Flags().StringVar(&identity, "identity", string(spf.MailFrom), "`IDENTITY` to check: mailfrom, helo")
	return c
}

func (a *app) spfCheck(ctx context.Context, q spf.Request) error {
	dns, clock, err := a.dns(ctx)
	if err != nil {
		return err
	}
	defer dns.Close()
	r := (&spf.Checker{Resolver: dns, Now: clock}).Check(ctx, q)
	switch r.Code {
	case spf.Fail, spf.SoftFail, spf.PermError:
		a.raise(exitNo)
	case spf.TempError:
		a.raise(exitUndecided)
	}
	if a.wantJSON() {
		return a.json(struct {
			Schema string `json:"schema"`
			postseal.SPFJSON
		}{"postseal.spf/1", postseal.MakeSPFJSON(r)})
	}
	v := &view{app: a, style: a.style, width: len(r.Code)}
	v.result(spfTone(r.Code), "SPF", string(r.Code), v.clean(orWord(r.Domain, "(no domain)"))+v.style.Text(" ← ")+q.IP.String(),
		fmt.Sprintf("%d/10 lookups", r.Lookups))
	v.detail(v.clean(spfStory(r)))
	if r.Explanation != "" {
		v.detail("the domain explains: " + v.clean(r.Explanation))
	}
	v.traceSPF(r)
	v.traceDNS(dns.Exchanges())
	return nil
}

// dns is what answers the questions of one command, with the record of what was asked.
func (a *app) dns(ctx context.Context) (*resolver.Ledger, clockFunc, error) {
	r, err := a.resolver()
	if err != nil {
		return nil, nil, err
	}
	clock, err := a.clock()
	if err != nil {
		return nil, nil, err
	}
	return resolver.NewLedger(ctx, r, resolver.Budget{Queries: 1000, Bytes: 1 << 20}), clock, nil
}

func (a *app) dkimCommand() *cobra.Command {
	verify := &cobra.Command{
		Use:   "verify FILE|-",
		Short: "Verify the DKIM signatures of a message",
		Args:  exactly("FILE"),
		RunE:  func(c *cobra.Command, args []string) error { return a.dkimVerify(c.Context(), args[0]) },
	}
	key := &cobra.Command{
		Use:     "key SELECTOR DOMAIN",
		Short:   "Look up and check a DKIM key",
		Example: `  postseal dkim key s1 example.com`,
		Args:    exactly("SELECTOR", "DOMAIN"),
		RunE:    func(c *cobra.Command, args []string) error { return a.dkimKey(c.Context(), args[0], args[1]) },
	}
	return a.group("dkim", "Verify DKIM signatures, look up keys", verify, key)
}

func (a *app) dkimVerify(ctx context.Context, path string) error {
	dns, clock, err := a.dns(ctx)
	if err != nil {
		return err
	}
	defer dns.Close()
	in, err := a.open(path, false)
	if err != nil {
		return err
	}
	defer in.close()
	signatures, err := (&dkim.Verifier{Resolver: dns, Now: clock}).Verify(ctx, a.progress(in))
	if err != nil {
		return failf(exitData, "%s: %v", in.name, err)
	}
	best := exitNo
	list := make([]postseal.SignatureJSON, 0, len(signatures))
	for _, s := range signatures {
		list = append(list, postseal.MakeSignatureJSON(s))
		switch s.Result {
		case dkim.Pass:
			best = exitOK
		case dkim.TempError:
			if best == exitNo {
				best = exitUndecided
			}
		}
	}
	a.raise(best)
	if a.wantJSON() {
		return a.json(struct {
			Schema     string                   `json:"schema"`
			Signatures []postseal.SignatureJSON `json:"signatures"`
		}{"postseal.dkim/1", list})
	}
	v := &view{app: a, style: a.style, r: &postseal.Report{DKIM: signatures}}
	v.width = len("permerror")
	v.dkim()
	for i := range signatures {
		v.traceDKIM(&signatures[i])
	}
	v.traceDNS(dns.Exchanges())
	return nil
}

type keyJSON struct {
	Type     string `json:"type"`
	Bits     int    `json:"bits"`
	Hashes   string `json:"hashes"`
	Services string `json:"services"`
	TestMode bool   `json:"test_mode"`
	Strict   bool   `json:"strict"`
	Revoked  bool   `json:"revoked"`
}

func (a *app) dkimKey(ctx context.Context, selector, name string) error {
	s, err := domain.Parse(selector)
	if err != nil {
		return usage("SELECTOR: %v", err)
	}
	d, err := domain.Parse(name)
	if err != nil {
		return usage("DOMAIN: %v", err)
	}
	dns, _, err := a.dns(ctx)
	if err != nil {
		return err
	}
	defer dns.Close()
	keys, err := dkim.LookupKey(ctx, dns, s, d)
	at := string(s) + "._domainkey." + string(d)
	var failure *resolver.Error
	switch {
	case errors.As(err, &failure):
		a.raise(exitUndecided)
	case err != nil:
		a.raise(exitNo)
	}
	if a.wantJSON() {
		list := make([]keyJSON, 0, len(keys))
		for _, k := range keys {
			list = append(list, keyJSON{k.Type, k.Bits, k.Hashes, k.Services, k.TestMode, k.Strict, k.Revoked})
		}
		problem := ""
		if err != nil {
			problem = err.Error()
		}
		return a.json(map[string]any{"schema": "postseal.key/1", "name": at, "keys": list, "problem": problem})
	}
	v := &view{app: a, style: a.style, width: len("revoked")}
	if err != nil {
		v.result(term.Bad, "KEY", "none", v.clean(at), "")
		v.detail(v.clean(err.Error()))
	}
	for _, k := range keys {
		a.showKey(v, k, at)
	}
	v.traceDNS(dns.Exchanges())
	return nil
}

func (a *app) showKey(v *view, k *dkim.Key, at string) {
	reason := k.Usable(k.Type+"-sha256", "", "", dkim.DefaultKeyBits)
	tone, word := term.Good, "usable"
	switch {
	case k.Revoked:
		tone, word = term.Warn, "revoked"
		a.raise(exitNo)
	case reason != "":
		tone, word = term.Bad, "unusable"
		a.raise(exitNo)
	case k.Type == "rsa" && k.Bits < 2048:
		tone = term.Warn
	}
	v.result(tone, "KEY", word, v.clean(at), v.clean(fmt.Sprintf("%s, %d bits", k.Type, k.Bits)))
	switch {
	case reason != "":
		v.detail(string(reason))
	case tone == term.Warn:
		v.detail("1024 bits still verify; 2048 are advised (RFC 8301 §3.2)")
	}
	if k.TestMode {
		v.detail("test mode (t=y)")
	}
	if k.Strict {
		v.detail("i= must be d= itself (t=s)")
	}
}

func (a *app) dmarcCommand() *cobra.Command {
	var discovery string
	policy := &cobra.Command{
		Use:     "policy DOMAIN",
		Short:   "Find the DMARC policy that applies to an author domain",
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
		RunE: func(c *cobra.Command, _ []string) error {
			if author == "" {
				return usage("dmarc check: --author is missing").or("the domain of From, such as --author example.com")
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

// identifiers reads RESULT=DOMAIN. It is never nil: that is how a check differs from a
// policy.
func identifiers(spfResult string, dkimResults []string) ([]dmarc.Identifier, error) {
	ids := []dmarc.Identifier{}
	add := func(method, s string, words ...string) error {
		result, name, ok := strings.Cut(s, "=")
		if !ok {
			return usage("--%s %q is not RESULT=DOMAIN", method, s).or("write it like --%s pass=example.com", method)
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
		if err := add("spf", spfResult, "none", "pass", "fail", "softfail", "neutral", "temperror", "permerror"); err != nil {
			return nil, err
		}
	}
	for _, s := range dkimResults {
		if err := add("dkim", s, "none", "pass", "fail", "policy", "neutral", "temperror", "permerror"); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// dmarcCheck evaluates ids, or only finds the policy when ids is nil.
func (a *app) dmarcCheck(ctx context.Context, author, discovery string, ids []dmarc.Identifier) error {
	if err := oneOf("--discovery", discovery, string(dmarc.TreeWalk), string(dmarc.PSL)); err != nil {
		return err
	}
	name, err := domain.Parse(author)
	if err != nil {
		return usage("DOMAIN: %v", err)
	}
	dns, _, err := a.dns(ctx)
	if err != nil {
		return err
	}
	defer dns.Close()
	e := &dmarc.Evaluator{Resolver: dns, Discovery: dmarc.Discovery(discovery)}
	e.Prefetch(name)
	var r dmarc.Result
	if ids == nil {
		r = e.Discover(ctx, name)
	} else {
		r = e.Evaluate(ctx, name, ids)
	}
	switch r.Result {
	case dmarc.Fail, dmarc.PermError:
		a.raise(exitNo)
	case dmarc.TempError:
		a.raise(exitUndecided)
	}
	if a.wantJSON() {
		return a.json(struct {
			Schema string `json:"schema"`
			postseal.DMARCJSON
			Record string `json:"record"`
		}{"postseal.dmarc/1", postseal.MakeDMARCJSON(r), publishedRecord(&r)})
	}
	v := &view{app: a, style: a.style, r: &postseal.Report{DMARC: r}, width: len(orWord(string(r.Result), "found"))}
	v.showPolicy(&r)
	v.traceDMARC(&r)
	v.traceDNS(dns.Exchanges())
	return nil
}

func publishedRecord(r *dmarc.Result) string {
	if r.Record == nil {
		return ""
	}
	return r.Record.Text
}

func (v *view) showPolicy(r *dmarc.Result) {
	if r.Result != "" {
		v.dmarc()
	} else {
		v.result(term.Good, "DMARC", "found", v.clean(r.AuthorDomain)+" "+v.clean(publishedText(r.Published)),
			v.style.Clean("_dmarc."+r.PolicyDomain, 40)+", "+plural(r.Queries, "query", "queries"))
	}
	if r.Policy != "" {
		v.detail("effective policy " + string(r.Policy))
	}
	if r.Record != nil {
		v.detail(v.clean(r.Record.Text))
	}
}
