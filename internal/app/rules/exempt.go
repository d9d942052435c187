package rules

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gaissmai/bart"

	"postseal"
	"postseal/dkim"
	"postseal/domain"
	"postseal/message"
	"postseal/spf"
)

// exemption is a compiled [[exempt]] entry. Zero keys match any mail.
type exemption struct {
	entry
	ip     netip.Prefix
	client clientName
	spfOf  domain.Name
	user   string
	dkim   domain.Name
	spf    domain.Name
	listID string
	author domain.Name
}

// maxSPFOf limits the domains of spf_of, because their SPF is evaluated for every message.
const maxSPFOf = 20

// exempts finds candidates by the address, or else by a domain or a user: by the first of an
// entry's keys in this order. Entries without any of these keys are checked one by one.
type exempts struct {
	all    []*exemption
	byIP   prefixes // nil without entries that have an address
	byName map[string][]*exemption
	others []*exemption
	spfOf  []string // the domains of spf_of, once each
}

// prefixes finds the entries whose prefix covers an address, the narrowest first. It is an interface
// because a field of the generic type would be compiled again in every package above this one.
type prefixes interface {
	add(e *exemption)
	covering(ip netip.Addr, visit func([]*exemption))
}

type prefixTable struct{ bart.Table[[]*exemption] }

func (t *prefixTable) add(e *exemption) {
	t.Modify(e.ip, func(list []*exemption, _ bool) ([]*exemption, bool) { return append(list, e), false })
}

func (t *prefixTable) covering(ip netip.Addr, visit func([]*exemption)) {
	for _, list := range t.Supernets(netip.PrefixFrom(ip.WithZone(""), ip.BitLen())) {
		visit(list)
	}
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
			b.problem("ip", "%q is not an address or CIDR such as 192.0.2.0/24", c.IP)
		}
		e.ip = prefix
	}
	if c.Client != "" {
		e.client = b.clientName(c.Client)
	}
	for _, d := range []struct {
		key, value string
		name       *domain.Name
	}{{"spf_of", c.SPFOf, &e.spfOf}, {"dkim", c.DKIM, &e.dkim}, {"spf", c.SPF, &e.spf}, {"author", c.Author, &e.author}} {
		if d.value != "" {
			*d.name = b.domainName(d.key, d.value)
		}
	}
	if c.ListID != "" {
		e.listID = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(c.ListID, "<"), ">"))
	}
	for _, text := range []struct{ key, value string }{{"user", c.User}, {"list_id", c.ListID}} {
		if !printable(text.value) {
			b.problem(text.key, "must be at most %d characters of one line", maxText)
		}
	}
	sender := c.IP + c.Client + c.SPFOf + c.DKIM + c.SPF
	switch {
	case sender+c.User+c.ListID+c.Author == "":
		b.problem("", "an exemption needs at least one of ip, client, spf_of, user, dkim, spf")
	case c.ListID != "" && sender == "":
		b.problem("list_id", "anyone can write a List-Id: add the ip, client, spf_of, dkim or spf of the list's server to this entry")
	case c.Author != "" && sender+c.User == "":
		b.problem("author", "anyone can write a From field: add the ip, client, spf_of, dkim or spf of the server that sends such mail to this entry")
	}
}

// clientName is the name of a client or, with below, every name below it.
type clientName struct {
	name  domain.Name
	below bool
}

func (b *compiler) clientName(s string) clientName {
	name, below := strings.CutPrefix(s, "*.")
	if _, err := netip.ParseAddr(name); err == nil {
		b.problem("client", "%q is an address: use the key ip", s)
		return clientName{}
	}
	if below && !strings.Contains(strings.TrimSuffix(name, "."), ".") {
		b.problem("client", "%q covers a whole top-level domain: name the domain of the forwarder, such as *.forwarder.example", s)
		return clientName{}
	}
	return clientName{b.domainName("client", name), below}
}

func (c clientName) covers(name string) bool {
	d, err := domain.Parse(name)
	if err != nil {
		return false
	}
	if c.below {
		return d != c.name && d.Within(c.name)
	}
	return d == c.name
}

// parsePrefix reads an address or a CIDR; bits after the prefix are dropped.
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

// Keys yields the keys that say which mail c exempts, with their values.
func (c *Exempt) Keys(yield func(key, value string) bool) {
	for _, k := range []struct{ key, value string }{{"ip", c.IP}, {"client", c.Client}, {"spf_of", c.SPFOf}, {"user", c.User}, {"dkim", c.DKIM},
		{"spf", c.SPF}, {"list_id", c.ListID}, {"author", c.Author}} {
		if k.value != "" && !yield(k.key, k.value) {
			return
		}
	}
}

// describe identifies an entry by its keys.
func describe(c *Exempt) string {
	var parts []string
	for key, value := range c.Keys {
		parts = append(parts, key+"="+value)
	}
	return strings.Join(parts, " ")
}

func (x *exempts) add(e *exemption) {
	x.all = append(x.all, e)
	if e.spfOf != "" && !slices.Contains(x.spfOf, string(e.spfOf)) {
		x.spfOf = append(x.spfOf, string(e.spfOf))
	}
	if e.ip.IsValid() {
		if x.byIP == nil {
			x.byIP = new(prefixTable)
		}
		x.byIP.add(e)
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
	case e.user == "":
		x.others = append(x.others, e)
		return
	}
	x.byName[name] = append(x.byName[name], e)
}

// match returns the first entry of the configuration that matches the message, or else the
// first that may match it, depending on a failed lookup.
func (x *exempts) match(r *postseal.Report, reason postseal.Reason) (first, unknown *exemption) {
	if len(x.all) == 0 {
		return nil, nil
	}
	consider := func(list []*exemption) {
		for _, e := range list {
			switch e.matches(r, reason) {
			case yes:
				if first == nil || e.index < first.index {
					first = e
				}
			case perhaps:
				if unknown == nil || e.index < unknown.index {
					unknown = e
				}
			}
		}
	}
	if ip := r.RemoteIP(); ip.IsValid() && x.byIP != nil {
		x.byIP.covering(ip, consider)
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
	consider(x.others)
	return first, unknown
}

// answer says whether an entry matches a message. The weakest of its keys decides.
type answer int

const (
	no      answer = iota
	perhaps        // the DNS gives no answer now
	yes
)

// matches checks every key. If a message has no single valid author, a domain that signed or
// sent it says nothing about its author: only the client itself, by address, name or user,
// exempts it.
func (e *exemption) matches(r *postseal.Report, reason postseal.Reason) answer {
	switch {
	case e.expired(r.Time):
		return no
	case reason == postseal.AuthorMalformed && !e.ip.IsValid() && e.client.name == "" && e.spfOf == "" && e.user == "":
		return no
	case e.ip.IsValid() && !e.ip.Contains(r.RemoteIP().WithZone("")):
		return no
	case e.user != "" && e.user != r.Conn.User:
		return no
	case e.dkim != "" && !signedBy(r, e.dkim):
		return no
	case e.spf != "" && !(len(r.SPF) > 0 && r.SPF[0].Code == spf.Pass && sameName(r.SPF[0].Domain, e.spf)):
		return no
	case e.listID != "" && e.listID != listID(r.Header):
		return no
	case e.author != "" && (len(r.Author.Domains) != 1 || r.Author.Domains[0] != e.author):
		return no
	}
	return min(e.knows(r.IPRev), e.lists(r.SPFOf))
}

// knows checks the key client. If the client claims a name whose addresses cannot be looked up,
// the answer is open: the zone is the forwarder's, not the client's.
func (e *exemption) knows(i *postseal.IPRev) answer {
	switch {
	case e.client.name == "":
		return yes
	case i == nil || !e.client.covers(i.Name):
		return no
	case i.Code == postseal.IPRevPass:
		return yes
	case i.Code == postseal.IPRevTempError:
		return perhaps
	}
	return no
}

// lists checks the key spf_of, with what the engine found for postseal.Config.SPFOf.
func (e *exemption) lists(results []spf.Result) answer {
	if e.spfOf == "" {
		return yes
	}
	for i := range results {
		if !sameName(results[i].Domain, e.spfOf) {
			continue
		}
		switch results[i].Code {
		case spf.Pass:
			return yes
		case spf.TempError:
			return perhaps
		}
	}
	return no
}

// Arriving is what is known about a message before it arrives.
type Arriving struct {
	IP      netip.Addr
	User    string
	SPFPass string // the domain whose SPF passes for MAIL FROM, "" for none
	IPRev   *postseal.IPRev
	SPFOf   []spf.Result // of postseal.Config.SPFOf
}

// Envelope returns the first exemption that may match a message with this envelope, or "": at
// least one of its keys ip, client, spf_of, user and spf is set, and those match. Keys that
// need the message (dkim, list_id, author) are not known yet and exclude nothing, because a
// message that the entry accepts must not be rejected before it arrives. open reports that it
// may match only because a lookup failed. The use is not counted.
func (s *Set) Envelope(m Arriving, now time.Time) (label string, open bool) {
	ip := m.IP.WithZone("")
	for _, e := range s.exempts.all {
		switch {
		case e.expired(now), !e.ip.IsValid() && e.client.name == "" && e.spfOf == "" && e.user == "" && e.spf == "":
			continue
		case e.ip.IsValid() && !e.ip.Contains(ip), e.user != "" && e.user != m.User, e.spf != "" && !sameName(m.SPFPass, e.spf):
			continue
		}
		switch min(e.knows(m.IPRev), e.lists(m.SPFOf)) {
		case yes:
			return e.label, false
		case perhaps:
			if label == "" {
				label, open = e.label, true
			}
		}
	}
	return label, open
}

// signedBy reports a passing signature of name. A signer in test mode has declared that its
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

// listID returns the identifier of the List-Id field (RFC 2919 §2), in lower case. With more
// than one field it returns "", because it is unclear which one counts.
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
