package conf

import (
	"github.com/pelletier/go-toml/v2"

	"postseal/store"
)

// Text returns the configuration as TOML with all its defaults and without secrets.
func (c *Config) Text() ([]byte, error) {
	shown := *c
	if shown.Store.URL != "" {
		shown.Store.URL = StoreURL(store.RedactURL(string(shown.Store.URL)))
	}
	return toml.Marshal(&shown)
}

// Verdicts returns the part of the configuration that verdicts depend on, as TOML: another host
// that parses it decides as this one does. It has no file names, addresses of services or secrets.
func (c *Config) Verdicts() ([]byte, error) {
	part := Default()
	part.AuthservID, part.Enforce, part.ReplyURL, part.Replies = c.AuthservID, c.Enforce, c.ReplyURL, c.Replies
	part.Network, part.SPF, part.Policy, part.DKIM, part.DMARC, part.ARC = c.Network, c.SPF, c.Policy, c.DKIM, c.DMARC, c.ARC
	part.DNS.OnError, part.Limits = c.DNS.OnError, c.Limits
	part.Relay, part.Exempt, part.Rule = c.Relay, c.Exempt, c.Rule
	return toml.Marshal(part)
}
