package suites

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postseal"
	"postseal/arc"
	"postseal/authres"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/domain"
	"postseal/internal/core/dmarcrecord"
	"postseal/internal/core/signature"
	"postseal/internal/core/spfrecord"
	"postseal/lint"
	"postseal/message"
	"postseal/resolver/dnstest"
	"postseal/spf"
)

type runner func(context.Context, *OpenCase) (Outcome, error)

// runners has every kind of the format.
var runners map[string]runner

func init() {
	runners = map[string]runner{
		"spf": withZone(runSPF), "dkim": withZone(runDKIM), "arc": withZone(runARC), "dmarc": withZone(runDMARC),
		"dmarc-policy": withZone(runPolicy), "message": withZone(runMessage), "from": runFrom,
		"dkim-key": runKey, "spf-record": runSPFRecord, "dmarc-record": runDMARCRecord, "authres": runAuthres,
	}
}

func withZone(run func(context.Context, *OpenCase, *dnstest.Zone) (Outcome, error)) runner {
	return func(ctx context.Context, c *OpenCase) (Outcome, error) {
		zone, err := c.zone()
		if err != nil {
			return nil, err
		}
		return run(ctx, c, zone)
	}
}

func runSPF(ctx context.Context, c *OpenCase, zone *dnstest.Zone) (Outcome, error) {
	ip, err := netip.ParseAddr(c.In.IP)
	if err != nil {
		return nil, err
	}
	checker := spf.Checker{Resolver: zone, Now: c.clock}
	r := checker.Check(ctx, spf.Request{IP: ip, Helo: c.In.Helo, Sender: c.In.From})
	return Outcome{"result": string(r.Code), "explanation": r.Explanation}, nil
}

func runDKIM(ctx context.Context, c *OpenCase, zone *dnstest.Zone) (Outcome, error) {
	msg, err := c.message()
	if err != nil {
		return nil, err
	}
	v := dkim.Verifier{Resolver: zone, Now: c.clock}
	signatures, err := v.Verify(ctx, message.NewCRLFReader(bytes.NewReader(msg)))
	if err != nil {
		return nil, err
	}
	return signatureOutcome(signatures), nil
}

func signatureOutcome(signatures []dkim.Result) Outcome {
	results, best := []string{}, "none"
	for i := range signatures {
		word := string(signatures[i].Code)
		results = append(results, word)
		if i == 0 || word == "pass" {
			best = word
		}
	}
	return Outcome{"results": results, "best": best}
}

func runARC(ctx context.Context, c *OpenCase, zone *dnstest.Zone) (Outcome, error) {
	msg, err := c.message()
	if err != nil {
		return nil, err
	}
	v := arc.Verifier{Resolver: zone, Now: c.clock}
	r, err := v.Verify(ctx, message.NewCRLFReader(bytes.NewReader(msg)))
	return Outcome{"result": string(r.Code)}, err
}

func runDMARC(ctx context.Context, c *OpenCase, zone *dnstest.Zone) (Outcome, error) {
	author, err := domain.Parse(c.In.Author)
	if err != nil {
		return nil, err
	}
	var ids []dmarc.Identifier
	given := map[string][]string{"dkim": c.In.DKIM}
	if c.In.SPF != "" {
		given["spf"] = []string{c.In.SPF}
	}
	for method, all := range given {
		for _, text := range all {
			result, name, ok := strings.Cut(text, "=")
			if !ok {
				return nil, fmt.Errorf("%s: %q is not RESULT=DOMAIN", method, text)
			}
			if result == "pass" || result == "temperror" {
				ids = append(ids, dmarc.Identifier{Method: method, Domain: name, Unknown: result == "temperror"})
			}
		}
	}
	e := dmarc.Evaluator{Resolver: zone, Discovery: c.Discovery}
	return policyOutcome(e.Evaluate(ctx, author, ids)), nil
}

func policyOutcome(r dmarc.Result) Outcome {
	return Outcome{"result": string(r.Code), "policy": string(r.Policy), "org_domain": r.OrgDomain, "policy_domain": r.PolicyDomain}
}

func runPolicy(ctx context.Context, c *OpenCase, zone *dnstest.Zone) (Outcome, error) {
	name, err := domain.Parse(c.In.Domain)
	if err != nil {
		return nil, err
	}
	e := dmarc.Evaluator{Resolver: zone, Discovery: c.Discovery}
	return policyOutcome(e.Discover(ctx, name)), nil
}

// verify runs the whole engine with its defaults, as the command does.
func verify(ctx context.Context, c *OpenCase, zone *dnstest.Zone) (*postseal.Report, error) {
	msg, err := c.message()
	if err != nil {
		return nil, err
	}
	v, err := postseal.New(postseal.Config{Resolver: zone, Discovery: c.Discovery, Now: func() time.Time { return c.clock() }})
	if err != nil {
		return nil, err
	}
	var conn postseal.Conn
	if c.In.IP != "" {
		ip, err := netip.ParseAddr(c.In.IP)
		if err != nil {
			return nil, err
		}
		conn.Remote = netip.AddrPortFrom(ip, 0)
	}
	return postseal.VerifyReader(ctx, v, conn, c.In.Helo, c.In.From, message.NewCRLFReader(bytes.NewReader(msg)))
}

func runMessage(ctx context.Context, c *OpenCase, zone *dnstest.Zone) (Outcome, error) {
	r, err := verify(ctx, c, zone)
	if err != nil {
		return nil, err
	}
	got := Outcome{"dkim": signatureOutcome(r.DKIM)["best"], "dmarc": string(r.DMARC.Code), "arc": string(r.ARC.Code),
		"author": authorDomains(r), "action": string(r.Decision.Applied)}
	if len(r.SPF) > 0 {
		got["spf"] = string(r.SPF[0].Code)
	}
	return got, nil
}

func authorDomains(r *postseal.Report) []string {
	names := []string{}
	for _, d := range r.Author.Domains {
		names = append(names, string(d))
	}
	return names
}

func runFrom(ctx context.Context, c *OpenCase) (Outcome, error) {
	zone, err := c.zone()
	if err != nil {
		return nil, err
	}
	r, err := verify(ctx, c, zone)
	if err != nil {
		return nil, err
	}
	return Outcome{"author": authorDomains(r)}, nil
}

func runKey(_ context.Context, c *OpenCase) (Outcome, error) {
	_, err := signature.ParseKey(c.In.Text)
	return Outcome{"valid": err == nil}, nil
}

func runSPFRecord(_ context.Context, c *OpenCase) (Outcome, error) {
	_, err := spfrecord.Parse(c.In.Text)
	return Outcome{"valid": err == nil && spfrecord.IsRecord(c.In.Text)}, nil
}

func runDMARCRecord(_ context.Context, c *OpenCase) (Outcome, error) {
	r, ok := dmarcrecord.Parse(c.In.Text)
	if !ok {
		return Outcome{"valid": false, "policy": ""}, nil
	}
	valid := !slices.ContainsFunc(dmarc.Lint(c.In.Text), func(p lint.Problem) bool { return p.Severity == lint.Error || p.Severity == lint.Critical })
	return Outcome{"valid": valid, "policy": r.Published().P}, nil
}

func runAuthres(_ context.Context, c *OpenCase) (Outcome, error) {
	f, err := authres.Parse([]byte(c.In.Field))
	methods := []string{}
	for _, r := range f.Results {
		methods = append(methods, r.Method+"="+r.Value)
	}
	return Outcome{"valid": err == nil, "authserv_id": f.AuthservID, "methods": methods}, nil
}
