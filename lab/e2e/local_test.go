//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

const localPolicy = `
[network]
trusted_relays = ["198.51.100.200"]

[[exempt]]
ip  = "203.0.113.7"
why = "our scanner"

[[exempt]]
dkim    = "lists.example.net"
list_id = "anvils.lists.example.net"

[[rule]]
name   = "no-lunch"
when   = 'author.domains.exists(d, d.within("nodmarc.example")) && client.helo.within("bulk.test")'
action = "reject"
`

// TestLocalPolicy: exemptions, rules and relays of ours, through each listener.
func TestLocalPolicy(t *testing.T) {
	r := newRig(t, localPolicy)
	relay := mail{ip: "198.51.100.200", name: "relay.example.net", helo: "relay.example.net", from: "bounce@acme.test"}
	trace := "Received: from out.acme.test (out.acme.test [192.0.2.25])\r\n\tby relay.example.net (Postfix) with ESMTP id 1; Mon, 2 Nov 2026 08:00:00 +0000\r\n"
	cases := []verdictCase{
		{"exempt address", func(*testing.T) mail {
			return cheap.sender("security@bank.test").with("exempt-ip", letter("security@bank.test", "exempt"))
		}, 250, nil, "accept", []string{"dmarc=fail (p=reject)", "policy.override-reason=trusted_forwarder"}, nil},
		{"exempt list", func(t *testing.T) mail {
			text := sign(t, letter("dana@acme.test", "exempt-list"), signature{"lists.example.net", "lists", false})
			return lists.with("exempt-list", "List-Id: <anvils.lists.example.net>\r\n"+text)
		}, 250, nil, "accept", []string{"dmarc=fail (p=reject)", "policy.override-reason=mailing_list"}, nil},
		{"other list", func(t *testing.T) mail {
			text := sign(t, letter("dana@acme.test", "other-list"), signature{"lists.example.net", "lists", false})
			return lists.with("other-list", "List-Id: <pianos.lists.example.net>\r\n"+text)
		}, 250, nil, "quarantine", []string{"dmarc=fail (p=reject)"}, nil},
		{"rule", func(*testing.T) mail { return bulk.with("rule", letter("sam@nodmarc.example", "rule")) },
			550, []string{"5.7.1 Rejected: a local policy of this mail server does not allow this message."}, "", nil, nil},
		{"relay", func(*testing.T) mail { return relay.with("relay", trace+letter("accounts@acme.test", "relay")) },
			250, nil, "accept", []string{"spf=pass smtp.mailfrom=acme.test", "dmarc=pass"}, nil},
		{"relay with a stranger's mail", func(*testing.T) mail {
			return relay.sender("security@bank.test").with("relay-forged", strings.ReplaceAll(trace, "192.0.2.25", "203.0.113.99")+letter("security@bank.test", "relay-forged"))
		}, 550, []string{"5.7.26 Rejected: this message fails DMARC, and bank.test asks receivers to reject such mail (p=reject).", "Sent from 203.0.113.99."}, "", nil, nil},
	}
	for name, port := range map[string]int{"milter": r.listeners.milter, "proxy": r.listeners.proxy} {
		for _, c := range cases {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				m := c.mail(t)
				m.rcpt = name + "-" + m.rcpt
				c.check(t, r, port, m)
			})
		}
	}
}
