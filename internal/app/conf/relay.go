package conf

import (
	"postseal/domain"
	"postseal/internal/app/rules"
)

// checkRelays checks the [[relay]] entries.
func (d *decoder) checkRelays(c *Config) {
	for i, r := range c.Relay {
		path := at("relay", i)
		if len(r.IP) == 0 {
			d.problem(path, "ip is missing: whose results are believed")
		}
		for j, p := range r.IP {
			if p.Bits() == 0 {
				d.problem(at(path+".ip", j), "every client would be believed: name your own relays")
			}
		}
		_, err := domain.Parse(r.Results)
		switch {
		case r.Results == "":
			d.problem(path, "results is missing: the authserv-id of the relay. Without it, use [network] trusted_relays")
		case err != nil:
			d.problem(path+".results", "%q is not a host name such as \"gateway.example.net\", the first word of the relay's Authentication-Results", r.Results)
		case sameName(r.Results, c.AuthservID):
			d.problem(path+".results", "%q is the authserv_id of this server: a relay needs its own", r.Results)
		}
	}
}

// sameName compares host names.
func sameName(a, b string) bool {
	x, err := domain.Parse(a)
	y, other := domain.Parse(b)
	return err == nil && other == nil && x == y
}

// checkReplies checks the texts of [replies].
func (d *decoder) checkReplies(c *Config) {
	for _, text := range []struct {
		key   string
		lines []string
	}{{"replies.reject", c.Replies.Reject}, {"replies.defer", c.Replies.Defer}} {
		line, problem := rules.Replies{}.Check(text.lines, c.ReplyURL)
		switch {
		case problem == "":
		case line < 0:
			d.problem(text.key, "%s", problem)
		default:
			d.problem(at(text.key, line), "%s", problem)
		}
	}
}
