package conf

import (
	"postseal"
	"postseal/dmarc"
)

// Candidate returns the configuration that [trial] tests, or nil if it equals the current one.
func (c *Config) Candidate() *Config {
	candidate := *c
	if c.Trial.Enforce != "same" {
		candidate.Enforce = postseal.Enforce(c.Trial.Enforce)
	}
	if c.Trial.Discovery != "same" {
		candidate.DMARC.Discovery = dmarc.Discovery(c.Trial.Discovery)
	}
	if candidate.Enforce == c.Enforce && candidate.DMARC.Discovery == c.DMARC.Discovery {
		return nil
	}
	return &candidate
}
