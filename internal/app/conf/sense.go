package conf

import (
	"strconv"
	"strings"
)

// checkSense warns about settings that are allowed but probably not intended.
func (d *decoder) checkSense(c *Config) {
	for i, p := range c.Network.Trusted {
		if p.Bits() == 0 {
			d.warn(at("network.trusted", i), "the mail of every client is accepted without a check: list your own networks")
		}
	}
	for i, p := range c.Network.TrustedRelays {
		if p.Bits() == 0 {
			d.warn(at("network.trusted_relays", i), "every client is believed about whom the mail is from: name your own relays")
		}
	}
	for i, e := range c.Exempt {
		if strings.HasSuffix(e.IP, "/0") && e.Client+e.SPFOf+e.User+e.DKIM+e.SPF == "" {
			d.warn(at("exempt", i)+".ip", "this entry covers every client: nothing is refused any more")
		}
	}
	if c.AuthservID != "" && !strings.ContainsAny(c.AuthservID, ". ") {
		d.warn("authserv_id", "%q has no dot: use the full name of the mail server, which others can distinguish from their own (RFC 8601 §2.5)", c.AuthservID)
	}
	d.checkEffect(c)
}

// checkEffect warns about keys that have no effect. A listener that systemd passes is not named
// in the file, so only files that name listeners are checked against them.
func (d *decoder) checkEffect(c *Config) {
	named := d.namesListener()
	proxy := c.Listen.SMTP != "" || c.Listen.Submission != "" || c.Listen.Submissions != ""
	for _, group := range []struct {
		idle bool
		why  string
		keys []string
	}{
		{named && !proxy, "has no effect: no [listen] smtp, submission or submissions is named", []string{"proxy.next_hop", "proxy.certificate", "proxy.auth", "proxy.spool_dir"}},
		{named && c.Listen.HTTP == "", "has no effect: no [listen] http is named", []string{"listen.http_token_file", "listen.profiles"}},
		{named && c.Listen.Policy == "", "has no effect: only the policy service uses it, and no [listen] policy is named",
			[]string{"spf.fail", "spf.softfail", "spf.permerror", "spf.temperror", "spf.helo_fail", "policy.received_spf", "policy.null_mx", "policy.iprev"}},
		{c.Bundles.Dir == "", "has no effect: [bundles] dir stores nothing", []string{"bundles.keep", "bundles.max_size", "bundles.max_age", "bundles.private"}},
	} {
		for _, key := range group.keys {
			if _, there := d.places[key]; there && group.idle {
				d.warn(key, "%s", group.why)
			}
		}
	}
}

// at returns the path of an element of a list.
func at(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }
