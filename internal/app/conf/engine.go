package conf

import (
	"time"

	"postseal"
	"postseal/dkim"
	"postseal/internal/app/rules"
	"postseal/message"
	"postseal/resolver"
	"postseal/spf"
)

// Engine is the configuration of a Verifier, without what the caller has to give: the
// resolver, the clock, what to tell of defects. Its policy holds the local rules.
func (c *Config) Engine(now time.Time) (postseal.Config, *rules.Policy) {
	set, _ := rules.Compile(rules.Config{Exempt: c.Exempt, Rule: c.Rule}, now)
	sealers, protected := Strings(c.ARC.TrustedSealers), Strings(c.DMARC.Protected)
	policy := &rules.Policy{Set: set, Base: postseal.EnforcePolicy{Mode: c.Enforce, OnError: c.DNS.OnError, Protected: protected,
		TrustedSealers: sealers, ReplyURL: c.ReplyURL}}
	return postseal.Config{
		AuthservID: c.AuthservID, Enforce: c.Enforce, Discovery: c.DMARC.Discovery, OnError: c.DNS.OnError, Policy: policy,
		ReplyURL: c.ReplyURL, TrustedSealers: sealers, Protected: protected, NoPSLGuard: !c.DMARC.PSLGuard,
		AllowPartialBody: c.DKIM.AllowPartialBody, Limits: c.limits(),
	}, policy
}

func (c *Config) limits() postseal.Limits {
	voids := c.SPF.VoidLookups
	if voids == 0 {
		voids = -1 // none; 0 is the default
	}
	return postseal.Limits{
		Header:  message.Limits{HeaderBytes: int(c.Limits.Header), Fields: c.Limits.Fields, FieldBytes: int(c.Limits.Field)},
		SPF:     spf.Limits{Lookups: c.SPF.Lookups, VoidLookups: voids, Time: time.Duration(c.SPF.Timeout)},
		DKIM:    dkim.Limits{Signatures: c.DKIM.MaxSignatures, KeyBits: c.DKIM.MaxRSABits},
		DNS:     resolver.Budget{Queries: c.Limits.Queries},
		Timeout: time.Duration(c.Limits.Message),
	}
}
