package conf

import (
	"time"

	"postseal"
	"postseal/dkim"
	"postseal/internal/app/clients"
	"postseal/internal/app/rules"
	"postseal/message"
	"postseal/resolver"
	"postseal/spf"
)

// Engine returns the configuration of a Verifier, without the parts that the caller supplies:
// the resolver, the clock, and the function that reports bugs. Its policy holds the local
// rules, with separate counters.
func (c *Config) Engine() (postseal.Config, *rules.Policy) {
	e := postseal.Config{
		AuthservID: c.AuthservID, Enforce: c.Enforce, Discovery: c.DMARC.Discovery, OnError: c.DNS.OnError, ReplyURL: c.ReplyURL,
		TrustedSealers: Strings(c.ARC.TrustedSealers), SealAge: time.Duration(c.ARC.MaxAge), Protected: Strings(c.DMARC.Protected), NoPSLGuard: !c.DMARC.PSLGuard,
		AllowPartialBody: c.DKIM.AllowPartialBody, Limits: c.limits(), SPFOf: c.localRules().SPFOf(),
	}
	for _, r := range c.Relay {
		e.RelayResults = append(e.RelayResults, r.Results)
	}
	policy := &rules.Policy{Set: c.localRules().Fresh(), Base: postseal.EnforcePolicy{Mode: e.Enforce, OnError: e.OnError, Protected: e.Protected,
		TrustedSealers: e.TrustedSealers, SealAge: e.SealAge, ReplyURL: e.ReplyURL},
		Replies: c.Texts()}
	e.Policy = policy
	return e, policy
}

// Texts returns the operator's own texts of replies, for every listener.
func (c *Config) Texts() rules.Replies {
	return rules.Replies{Reject: c.Replies.Reject, Defer: c.Replies.Defer}
}

// Clients returns the rules that decide whose mail is checked.
func (c *Config) Clients() *clients.Rules {
	var results []clients.Results
	for _, r := range c.Relay {
		results = append(results, clients.Results{IP: Prefixes(r.IP), AuthservID: r.Results})
	}
	return clients.New(clients.Config{Trusted: Prefixes(c.Network.Trusted), Relays: Prefixes(c.Network.TrustedRelays), Results: results,
		CheckAuthenticated: c.Network.CheckAuthenticated, Originating: c.Network.Originating, Local: c.localRules()})
}

// localRules returns what Parse compiled. A Config that was built in Go is compiled here.
func (c *Config) localRules() *rules.Set {
	if c.local == nil && len(c.Exempt)+len(c.Rule) > 0 {
		c.local, _ = rules.Compile(rules.Config{Exempt: c.Exempt, Rule: c.Rule}, time.Now())
	}
	return c.local
}

// LocalRules is the number of [[exempt]] and [[rule]] entries in force.
func (c *Config) LocalRules() int { return c.localRules().Len() }

func (c *Config) limits() postseal.Limits {
	voids := c.SPF.VoidLookups
	if voids == 0 {
		voids = -1 // "0s" or none; 0 means the default
	}
	return postseal.Limits{
		Header:  message.Limits{HeaderBytes: int(c.Limits.Header), Fields: c.Limits.Fields, FieldBytes: int(c.Limits.Field)},
		SPF:     spf.Limits{Lookups: c.SPF.Lookups, VoidLookups: voids, Time: time.Duration(c.SPF.Timeout)},
		DKIM:    dkim.Limits{Signatures: c.DKIM.MaxSignatures, KeyBits: c.DKIM.MaxRSABits},
		DNS:     resolver.Budget{Queries: c.Limits.Queries},
		Timeout: time.Duration(c.Limits.Message),
	}
}
