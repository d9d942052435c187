package cli

import (
	"net/netip"

	"postseal"
	"postseal/internal/app/clients"
	"postseal/internal/app/received"
	"postseal/message"
)

// unchecked says why a listener would not check a message.
var unchecked = map[clients.Treatment]string{
	clients.Authenticated: "the client authenticated ([network] check_authenticated)",
	clients.Local:         "it was submitted on this host",
	clients.Trusted:       "the client is in [network] trusted",
}

// arrival returns the connection of a message with the envelope e, as a listener with these rules
// would see it: if the client is one of our relays, the trace fields of h name the client that it
// got the message from, and e becomes what they say.
func (a messageCommands) arrival(e *envelope, rules *clients.Rules, h *message.Header, name string) postseal.Conn {
	conn := postseal.Conn{UnknownSender: e.source == received.Unknown, Relays: e.own}
	if !e.ip.IsValid() {
		return conn
	}
	t := rules.Judge(clients.Client{IP: e.ip, Authenticated: e.authenticated})
	if t == clients.Relayed {
		relay := e.ip
		var origin clients.Origin
		origin, t = rules.Relayed(relay, h, e.below, "")
		e.ip, e.helo, conn.Results = origin.Conn.Remote.Addr(), origin.Helo, origin.Conn.Results
		conn.Relays += origin.Conn.Relays
		switch from := "through our relay " + relay.String(); {
		case !e.ip.IsValid():
			a.hint("%s: it came %s, whose Received fields do not name the client", name, from)
		case e.derived != nil:
			e.derived = append(e.derived, from)
		default:
			a.hint("%s: it came %s; its client is %s", name, from, e.ip)
		}
	}
	if why := unchecked[t]; why != "" {
		a.hint("%s: the daemon does not check such mail: %s", name, why)
	}
	if e.ip.IsValid() {
		conn.Remote = netip.AddrPortFrom(e.ip, 0)
	}
	return conn
}
