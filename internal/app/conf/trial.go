package conf

import (
	"postseal"
	"postseal/dmarc"
)

// Candidate is the configuration that [trial] tries, nil when it is that in force.
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
