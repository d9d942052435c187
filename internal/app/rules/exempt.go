package rules

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/gaissmai/bart"

	"postseal"
	"postseal/dkim"
	"postseal/domain"
	"postseal/message"
	"postseal/spf"
)

// exemption is a compiled [[exempt]] entry. Zero keys describe any mail.
type exemption struct {
	entry
	ip     netip.Prefix
	user   string
	dkim   domain.Name
	spf    domain.Name
	listID string
}

// exempts finds candidates by the address, or else by a domain or a user: the first of
// an entry's keys in this order.
type exempts struct {
	all    []*exemption
	byIP   bart.Table[[]*exemption]
	byName map[string][]*exemption
}

func (b *compiler) exempt(c *Exempt) {
	e := &exemption{user: c.User}
	kind := postseal.TrustedForwarder
	switch {
	case c.ListID != "":
		kind = postseal.MailingList
	case c.User != "":
		kind = postseal.LocalPolicy
	}
	b.exemptKeys(e, c)
	e.label = fmt.Sprintf("%d %s", b.index+1, describe(c))
	if b.common(&e.entry, c.Override, kind, c.Why, c.Until) {
		b.set.exempts.add(e)
	}
}

func (b *compiler) exemptKeys(e *exemption, c *Exempt) {
	if c.IP != "" {
		prefix, err := parsePrefix(c.IP)
		if err != nil {
			b.problem("ip", "%q is no address or CIDR such as 192.0.2.0/24", c.IP)
		}
		e.ip = prefix
	}
	if c.DKIM != "" {
		e.dkim = b.domainName("dkim", c.DKIM)
	}
	if c.SPF != "" {
		e.spf = b.domainName("spf", c.SPF)
	}
	if c.ListID != "" {
		e.listID = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(c.ListID, "<"), ">"))
	}
	for _, text := range []struct{ key, value string }{{"user", c.User}, {"list_id", c.ListID}} {
		if !printable(text.value) {
			b.problem(text.key, "must be at most %d characters of one line", maxText)
		}
	}
	switch {
	case c.IP+c.User+c.DKIM+c.SPF+c.ListID == "":
		b.problem("", "an exemption needs at least one of ip, user, dkim, spf")
	case c.ListID != "" && c.IP+c.DKIM+c.SPF == "":
		b.problem("list_id", "anyone can write a List-Id: add the ip, dkim or spf of the list's server to this entry")
	}
}

// parsePrefix reads an address or a CIDR; bits behind the prefix are dropped.
func parsePrefix(s string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	if err == nil && prefix.Addr().Is4In6() {
		if prefix.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("%s is wider than the IPv4-mapped addresses", s)
		}
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked(), err
}

// describe names an entry by its keys.
func describe(c *Exempt) string {
	var parts []string
	for _, k := range []struct{ key, value string }{{"ip", c.IP}, {"user", c.User}, {"dkim", c.DKIM}, {"spf", c.SPF}, {"list_id", c.ListID}} {
		if k.value != "" {
			parts = append(parts, k.key+"="+k.value)
		}
	}
	return strings.Join(parts, " ")
}

func (x *exempts) add(e *exemption) {
	x.all = append(x.all, e)
	if e.ip.IsValid() {
		x.byIP.Modify(e.ip, func(list []*exemption, _ bool) ([]*exemption, bool) { return append(list, e), false })
		return
	}
	if x.byName == nil {
		x.byName = map[string][]*exemption{}
	}
	name := "user:" + e.user
	switch {
	case e.dkim != "":
		name = "dkim:" + string(e.dkim)
	case e.spf != "":
		name = "spf:" + string(e.spf)
	}
	x.byName[name] = append(x.byName[name], e)
}

// match returns the first entry of the configuration that describes the message.
func (x *exempts) match(r *postseal.Report, reason postseal.Reason) *exemption {
	if len(x.all) == 0 {
		return nil
	}
	var first *exemption
	consider := func(list []*exemption) {
		for _, e := range list {
			if (first == nil || e.index < first.index) && e.matches(r, reason) {
				first = e
			}
		}
	}
	if ip := r.RemoteIP(); ip.IsValid() {
		for _, list := range x.byIP.Supernets(netip.PrefixFrom(ip.WithZone(""), ip.BitLen())) {
			consider(list)
		}
	}
	for i := range r.DKIM {
		consider(x.byName["dkim:"+strings.ToLower(r.DKIM[i].Domain)])
	}
	if len(r.SPF) > 0 {
		consider(x.byName["spf:"+strings.ToLower(r.SPF[0].Domain)])
	}
	if r.Conn.User != "" {
		consider(x.byName["user:"+r.Conn.User])
	}
	return first
}

// matches asks for every key. A domain that signed or sent a message without a single
// valid author says nothing of that message's author: only the client itself, by address
// or user, excuses it.
func (e *exemption) matches(r *postseal.Report, reason postseal.Reason) bool {
	switch {
	case e.expired(r.Time):
		return false
	case reason == postseal.AuthorMalformed && !e.ip.IsValid() && e.user == "":
		return false
	case e.ip.IsValid() && !e.ip.Contains(r.RemoteIP().WithZone("")):
		return false
	case e.user != "" && e.user != r.Conn.User:
		return false
	case e.dkim != "" && !signedBy(r, e.dkim):
		return false
	case e.spf != "" && !(len(r.SPF) > 0 && r.SPF[0].Code == spf.Pass && sameName(r.SPF[0].Domain, e.spf)):
		return false
	case e.listID != "" && e.listID != listID(r.Header):
		return false
	}
	return true
}

// Envelope names the first exemption that may describe a message of this envelope, "" when
// there is none: at least one of its keys ip, user and spf is given, and those match. What
// needs the message (dkim, list_id) is not known yet and excludes nothing, since a message that
// the entry accepts must not be refused before it is there. spfPass is the domain whose SPF
// passes for MAIL FROM, "" for none. The use is not counted.
func (s *Set) Envelope(ip netip.Addr, user, spfPass string, now time.Time) string {
	ip = ip.WithZone("")
	for _, e := range s.exempts.all {
		switch {
		case e.expired(now), !e.ip.IsValid() && e.user == "" && e.spf == "":
		case e.ip.IsValid() && !e.ip.Contains(ip):
		case e.user != "" && e.user != user:
		case e.spf != "" && !sameName(spfPass, e.spf):
		default:
			return e.label
		}
	}
	return ""
}

// signedBy reports a passing signature of name. A signer in test mode has said that its
// signatures mean nothing yet (RFC 6376 §3.6.1).
func signedBy(r *postseal.Report, name domain.Name) bool {
	for i := range r.DKIM {
		s := &r.DKIM[i]
		if s.Code == dkim.Pass && !s.TestMode && sameName(s.Domain, name) {
			return true
		}
	}
	return false
}

func sameName(s string, name domain.Name) bool { return strings.EqualFold(s, string(name)) }

// listID is the identifier of the List-Id field (RFC 2919 §2), in lower case. With more
// than one field there is none: which would count is anyone's guess.
func listID(h *message.Header) string {
	if h == nil || h.Count("List-Id") != 1 {
		return ""
	}
	value := string(h.At(h.Index("List-Id")).Value())
	open, end := strings.LastIndexByte(value, '<'), strings.LastIndexByte(value, '>')
	if open < 0 || end < open {
		return ""
	}
	return strings.ToLower(strings.TrimSpace(value[open+1 : end]))
}
