// Package clients decides whose mail is checked, and as whose: the one judgement that the
// milter, the policy service, the proxy and replay share.
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

// Config is what the operator says of clients.
type Config struct {
	Trusted            []netip.Prefix // whose mail is not checked
	Relays             []netip.Prefix // our own relays: the client is the one that their trace fields name
	CheckAuthenticated bool           // check the mail of authenticated users too
	Originating        []string       // values of {daemon_name} whose mail is our own
	Local              *rules.Set     // the [[exempt]] entries; nil has none
}

// Rules is a compiled Config. It is safe for concurrent use.
type Rules struct {
	trusted, relays    Networks
	checkAuthenticated bool
	originating        []string
	local              *rules.Set
}

// New compiles c.
func New(c Config) *Rules {
	return &Rules{trusted: NewNetworks(c.Trusted...), relays: NewNetworks(c.Relays...), checkAuthenticated: c.CheckAuthenticated,
		originating: c.Originating, local: c.Local}
}

// Client is what a listener knows of a client before it has the message.
type Client struct {
	IP            netip.Addr // the zero Addr when it is not known
	Local         bool       // it submits on this host, over a unix socket, so that it has no address
	Authenticated bool       // the MTA authenticated it
	Daemon        string     // {daemon_name} of the MTA
}

// Treatment is how the mail of a client is treated.
type Treatment string

// The treatments. Relayed: a relay of ours hands the message on, so that the client is known
// only once the header section is there (Rules.Relayed). Unknown: no one can tell who the
// client is; the message is checked, and SPF is left out. The rest name the reason why a message
// is not checked.
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

// Judge decides how the mail of c is treated. Our own users and hosts submit mail that carries
// no signature yet and comes from anywhere: it is not checked.
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

// trustsLocal reports whether the mail of this very host is not checked.
func (r *Rules) trustsLocal() bool {
	return r.trusted.Contains(netip.IPv6Loopback()) || r.trusted.Contains(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
}

// Origin is the client that handed a message to our relays.
type Origin struct {
	Conn postseal.Conn // Remote is not valid when the client is not known
	Helo string
}

// Relayed decides on a message that a relay handed on, by the trace fields from the index first
// on: Checked or Unknown as Origin says, or a reason why it is not checked. user is the one
// that the MTA authenticated, "" for none.
func (r *Rules) Relayed(h *message.Header, first int, user string) (Origin, Treatment) {
	hop, ok := received.Client(h, first, r.relays.Contains, r.trusted.Contains)
	o := Origin{Conn: postseal.Conn{User: user, Relays: hop.Relays}, Helo: hop.From}
	if !ok {
		return o, Unknown
	}
	o.Conn.Remote = netip.AddrPortFrom(hop.IP, 0)
	switch {
	case hop.Authenticated() && !r.checkAuthenticated:
		return o, Authenticated
	case r.trusted.Contains(hop.IP):
		return o, Trusted
	}
	return o, Checked
}

// Exempt names the [[exempt]] entry that describes an envelope, "" when there is none, and says
// whether that is open (see rules.Set.Envelope).
func (r *Rules) Exempt(e rules.Arriving, now time.Time) (label string, open bool) {
	if r.local == nil {
		return "", false
	}
	return r.local.Envelope(e, now)
}

// Networks is a set of addresses. The zero value is empty.
type Networks struct{ table *bart.Lite }

// NewNetworks makes a set of prefixes. One of IPv4 may be mapped into IPv6.
func NewNetworks(prefixes ...netip.Prefix) Networks {
	t := new(bart.Lite)
	for _, p := range prefixes {
		t.Insert(p.Masked())
	}
	return Networks{t}
}

// Contains reports whether ip is in the set. An IPv4 address may be mapped into IPv6.
func (n Networks) Contains(ip netip.Addr) bool {
	return n.table != nil && ip.IsValid() && n.table.Contains(ip.Unmap().WithZone(""))
}
