// Package clients decides whose mail is checked, and as which client. The milter, the policy
// service, the proxy and replay share this decision.
package clients

import (
	"net/netip"
	"slices"
	"time"

	"github.com/gaissmai/bart"

	"postseal"
	"postseal/internal/app/received"
	"postseal/internal/app/rules"
	"postseal/message"
)

// Config is what the operator configures about clients.
type Config struct {
	Trusted            []netip.Prefix // whose mail is not checked
	Relays             []netip.Prefix // our own relays: the client is the one that their trace fields name
	Results            []Results      // the relays among them whose results are believed
	CheckAuthenticated bool           // check the mail of authenticated users too
	Originating        []string       // values of {daemon_name} that mark our own mail
	Local              *rules.Set     // the [[exempt]] entries; nil for none
}

// Results names the relays whose Authentication-Results fields with this authserv-id are believed.
type Results struct {
	IP         []netip.Prefix
	AuthservID string
}

// Rules is a compiled Config. It is safe for concurrent use.
type Rules struct {
	trusted, relays    Networks
	results            []relayResults
	checkAuthenticated bool
	originating        []string
	local              *rules.Set
}

// New compiles c.
func New(c Config) *Rules {
	var results []relayResults
	for _, r := range c.Results {
		results = append(results, relayResults{NewNetworks(r.IP...), r.AuthservID})
		c.Relays = append(slices.Clip(c.Relays), r.IP...)
	}
	return &Rules{results: results, trusted: NewNetworks(c.Trusted...), relays: NewNetworks(c.Relays...), checkAuthenticated: c.CheckAuthenticated,
		originating: c.Originating, local: c.Local}
}

// Client is what a listener knows about a client before it has the message.
type Client struct {
	IP            netip.Addr // the zero Addr if unknown
	Local         bool       // it submits on this host, over a unix socket, so it has no address
	Authenticated bool       // the MTA authenticated it
	Daemon        string     // {daemon_name} of the MTA
}

// Treatment says how the mail of a client is treated.
type Treatment string

// The treatments. Relayed: one of our relays forwards the message, so the client is only known
// after the header section (Rules.Relayed). Unknown: the client cannot be identified; the
// message is checked, but SPF is skipped. The others name the reason why a message is not
// checked.
const (
	Checked       Treatment = "checked"
	Relayed       Treatment = "relayed"
	Unknown       Treatment = "unknown"
	Authenticated Treatment = "authenticated"
	Local         Treatment = "local"
	Trusted       Treatment = "trusted"
	Originating   Treatment = "originating"
)

// Unchecked reports whether the message is not checked.
func (t Treatment) Unchecked() bool {
	switch t {
	case Checked, Relayed, Unknown:
		return false
	}
	return true
}

// Judge decides how the mail of c is treated. Our own users and hosts submit mail that is not
// signed yet and comes from anywhere, so it is not checked.
func (r *Rules) Judge(c Client) Treatment {
	switch {
	case c.Authenticated && !r.checkAuthenticated:
		return Authenticated
	case r.relays.Contains(c.IP):
		return Relayed
	case c.Local && r.trustsLocal():
		return Local
	case r.trusted.Contains(c.IP):
		return Trusted
	case c.Daemon != "" && slices.Contains(r.originating, c.Daemon):
		return Originating
	case !c.IP.IsValid():
		return Unknown
	}
	return Checked
}

// trustsLocal reports whether mail from this host is not checked.
func (r *Rules) trustsLocal() bool {
	return r.trusted.Contains(netip.IPv6Loopback()) || r.trusted.Contains(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
}

// Origin is the client that sent a message to our relays.
type Origin struct {
	Conn postseal.Conn // Remote is not valid if the client is unknown
	Helo string
}

// relayResults are one entry of Config.Results.
type relayResults struct {
	relays Networks
	id     string
}

// resultsOf returns the authserv-id that is believed from a relay, "" for none.
func (r *Rules) resultsOf(relay netip.Addr) string {
	for _, e := range r.results {
		if e.relays.Contains(relay) {
			return e.id
		}
	}
	return ""
}

// Relayed decides on a message from the relay with this address, by the trace fields from index
// first on: Checked or Unknown according to Origin, or a reason why it is not checked. user is the
// user that the MTA authenticated, or "". If the trace fields cannot be read, nothing is known to be
// the relay's, and its results are not believed.
func (r *Rules) Relayed(relay netip.Addr, h *message.Header, first int, user string) (Origin, Treatment) {
	hop, ok := received.Client(h, first, r.relays.Contains, r.trusted.Contains)
	o := Origin{Conn: postseal.Conn{User: user, Relays: hop.Relays}, Helo: hop.From}
	if !ok {
		return o, Unknown
	}
	o.Conn.Remote, o.Conn.Results = netip.AddrPortFrom(hop.IP, 0), r.resultsOf(relay)
	switch {
	case hop.Authenticated() && !r.checkAuthenticated:
		return o, Authenticated
	case r.trusted.Contains(hop.IP):
		return o, Trusted
	}
	return o, Checked
}

// Exempt returns the [[exempt]] entry that matches an envelope, or "", and whether the match is
// uncertain (see rules.Set.Envelope).
func (r *Rules) Exempt(e rules.Arriving, now time.Time) (label string, open bool) {
	if r.local == nil {
		return "", false
	}
	return r.local.Envelope(e, now)
}

// Networks is a set of addresses. The zero value is empty. It holds a function because a field of the
// table's type, which is generic inside, would be compiled again in every package above this one.
type Networks struct{ contains func(netip.Addr) bool }

// NewNetworks returns a set of prefixes. IPv4 prefixes may be mapped into IPv6.
func NewNetworks(prefixes ...netip.Prefix) Networks {
	t := new(bart.Lite)
	for _, p := range prefixes {
		t.Insert(p.Masked())
	}
	return Networks{t.Contains}
}

// Contains reports whether ip is in the set. An IPv4 address may be mapped into IPv6.
func (n Networks) Contains(ip netip.Addr) bool {
	return n.contains != nil && ip.IsValid() && n.contains(ip.Unmap().WithZone(""))
}
