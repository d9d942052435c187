package differential

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"postseal/internal/core/dnsdata"
	"postseal/resolver"
	"postseal/spf"
)

// SPFCase is a check of the MAIL FROM identity.
type SPFCase struct {
	ID     int    `json:"id"`
	Kind   string `json:"kind"`
	IP     string `json:"ip"`
	Helo   string `json:"helo"`
	Sender string `json:"sender"`
	Zone   *Zone  `json:"zone"`
}

// Check is our verdict.
func (c *SPFCase) Check(ctx context.Context, r resolver.Resolver) spf.Result {
	checker := spf.Checker{Resolver: r}
	return checker.Check(ctx, c.request())
}

func (c *SPFCase) request() spf.Request {
	return spf.Request{IP: netip.MustParseAddr(c.IP), Helo: c.Helo, Sender: c.Sender}
}

// spfMaker makes one case.
type spfMaker struct {
	random
	zone *Zone
}

var (
	spfDomains = []string{"a.test", "b.test", "sub.a.test", "c.d.test", "x-y.test", "1.test"}
	spfHosts   = []string{"mx.a.test", "mx2.a.test", "h.b.test", "out.sub.a.test", "v6.c.d.test"}
	spfVoids   = []string{"void.test", "gone.a.test", "none.b.test", "empty.test"}
	clients4   = []string{"192.0.2.1", "192.0.2.2", "192.0.2.130", "198.51.100.7", "203.0.113.255"}
	clients6   = []string{"2001:db8::1", "2001:db8:0:1::2", "2001:db8:ffff::cb01"}
	locals     = []string{"user", "user", "User.Name", "a-b+c", "x_y=z", "very.long.local.part.with.many.labels", "o'neil", "a/b", "%", "a..b", "a%{d}b", "1"}
)

// MakeSPF makes case number n of a seed.
func MakeSPF(seed uint64, n int) *SPFCase {
	m := &spfMaker{newRandom(seed, uint64(n)), NewZone()}
	for _, d := range spfDomains {
		m.domain(d)
	}
	m.hosts()
	c := &SPFCase{ID: n, Kind: "spf", IP: m.client(), Helo: pick(m.random, spfHosts), Sender: m.sender(), Zone: m.zone}
	m.reverse(c)
	if m.chance(6) {
		m.fault()
	}
	m.answerSome(c)
	return c
}

func (m *spfMaker) client() string {
	switch m.weighted(60, 35, 5) {
	case 0:
		return pick(m.random, clients4)
	case 1:
		return pick(m.random, clients6)
	}
	return "::ffff:" + pick(m.random, clients4)
}

func (m *spfMaker) sender() string {
	local, domain := pick(m.random, locals), pick(m.random, spfDomains)
	switch m.weighted(80, 6, 4, 3, 2, 1, 1, 1, 1) {
	case 1:
		return local + "@" + strings.ToUpper(domain)
	case 2:
		return "" // the HELO name
	case 3:
		return `"a@b"@` + domain
	case 4:
		return "@" + domain
	case 5:
		return domain
	case 6:
		return local + "@" + domain + "."
	case 7:
		return local + "@" + pick(m.random, []string{"test", "a..test", "[192.0.2.1]", strings.Repeat("l", 64) + ".test", "void.test", "-.test", "a_b.test"})
	case 8:
		return local + "@" + strings.Repeat("sixtythreeoctetsarethemostthatalabelmayhaveinthednsorso12345.", 4) + domain
	}
	return local + "@" + domain
}

// domain publishes the SPF records of a domain.
func (m *spfMaker) domain(d string) {
	record := m.record(d)
	switch m.weighted(86, 4, 3, 3, 4) {
	case 1:
		m.zone.Add(d, "TXT", record)
		m.zone.Add(d, "TXT", pick(m.random, []string{record, "v=spf1 -all", "v=spf10 -all", "v=spf1", "spf1", "V=SPF1 +all"}))
	case 2:
		m.zone.Add(d, "TXT", pick(m.random, []string{"v=spf10 -all", "v=spf1\t-all", " v=spf1 -all", "v=spf1-all", "v=spf1", "v=spf1 ", "V=sPf1 ~ALL", ""}))
	case 3:
		m.zone.Add(d, "A", pick(m.random, clients4)) // no record
	case 4:
		m.zone.Add(d, "TXT", m.mutate(record))
	default:
		m.zone.Add(d, "TXT", record)
	}
	if m.chance(40) {
		m.zone.Add(d, "A", pick(m.random, clients4))
	}
	if m.chance(25) {
		m.zone.Add(d, "AAAA", pick(m.random, clients6))
	}
	if m.chance(40) {
		m.mx(d)
	}
}

func (m *spfMaker) mx(d string) {
	n := 1 + m.IntN(3)
	if m.chance(5) {
		n = 9 + m.IntN(4)
	}
	for i := range n {
		host := pick(m.random, append(spfHosts, spfVoids...))
		if n > 4 {
			host = fmt.Sprintf("mx%d.%s", i, d)
		}
		m.zone.Add(d, "MX", fmt.Sprintf("%d %s", 10*(i+1), host))
	}
}

func (m *spfMaker) hosts() {
	for _, h := range spfHosts {
		if m.chance(70) {
			m.zone.Add(h, "A", pick(m.random, clients4))
		}
		if m.chance(40) {
			m.zone.Add(h, "AAAA", pick(m.random, clients6))
		}
		if m.chance(20) {
			m.zone.Add(h, "TXT", m.record(h))
		}
	}
	if m.chance(10) {
		m.zone.RR["alias.test"] = map[string][]string{"CNAME": {pick(m.random, spfDomains)}}
	}
	m.zone.Add("empty.test", "TXT", "nothing of interest")
}

func (m *spfMaker) record(d string) string {
	terms := []string{"v=spf1"}
	n := m.IntN(5)
	if m.chance(4) {
		n = 9 + m.IntN(5) // about the lookup limit
	}
	for range n {
		terms = append(terms, m.qualifier()+m.mechanism())
	}
	if m.chance(12) {
		terms = append(terms, m.modifier(d))
	}
	switch m.weighted(60, 20, 20) {
	case 0:
		terms = append(terms, m.qualifier()+"all")
	case 1:
		terms = append(terms, "redirect="+m.spec())
	}
	if m.chance(15) {
		terms = append(terms, "exp="+pick(m.random, []string{"exp.a.test", "exp.%{d}", "%{o}", "exp2.test", "void.test"}))
	}
	if m.chance(10) {
		m.Shuffle(len(terms)-1, func(i, j int) { terms[i+1], terms[j+1] = terms[j+1], terms[i+1] })
	}
	m.explanations()
	return strings.Join(terms, pick(m.random, []string{" ", " ", " ", " ", "  "}))
}

func (m *spfMaker) explanations() {
	for _, name := range []string{"exp.a.test", "exp2.test", "exp.b.test"} {
		if len(m.zone.RR[name]) == 0 && m.chance(50) {
			m.zone.Add(name, "TXT", pick(m.random, []string{"plain text", "%{i} is not one of %{d}'s servers", "%{c} %{r} %{S} %{l}", "100%%_%_x%-",
				"bad %{x}", "bad %", "", "%{o2r} %{h} %{p}", "caf\xc3\xa9", "see http://%{d}/why.html?s=%{S};i=%{I}"}))
		}
	}
}

func (m *spfMaker) qualifier() string {
	return pick(m.random, []string{"", "", "", "+", "-", "~", "?"})
}

func (m *spfMaker) modifier(d string) string {
	return pick(m.random, []string{"unknown=value", "x-y_z.1=%{d}", "default=-", "foo=", "foo=%{x}", "foo=%", "a=" + d, "redirect=" + d, "exp=exp.a.test",
		"1foo=x", "foo:bar=x", "moo=%{c}", "match_subdomains=yes"})
}

func (m *spfMaker) mechanism() string {
	switch m.weighted(20, 12, 15, 12, 15, 8, 3, 3) {
	case 0:
		return m.ip4()
	case 1:
		return m.ip6()
	case 2:
		return m.caseOf("a") + m.optionalSpec() + m.cidr()
	case 3:
		return m.caseOf("mx") + m.optionalSpec() + m.cidr()
	case 4:
		return m.caseOf("include") + ":" + m.spec()
	case 5:
		return m.caseOf("exists") + ":" + m.spec()
	case 6:
		return m.caseOf("ptr") + m.optionalSpec()
	}
	return pick(m.random, []string{"all:x", "all.", "mx:", "a:", "include", "exists", "include:", "ip4", "ip4:", "foo", "foo:bar", "a//", "a/", "-", "a:a.test:25", "ptr:", "ptr/0",
		"exists:a.test/24", "include:b.test/24", "mx/24/24", "all/8", "IP4:192.0.2.1", "ip4=192.0.2.1", "a=b.test", "mx:=", "+-all", "include:a.test."})
}

func (m *spfMaker) caseOf(s string) string {
	if m.chance(8) {
		return strings.ToUpper(s[:1]) + s[1:]
	}
	return s
}

func (m *spfMaker) ip4() string {
	text := pick(m.random, append(slices.Clone(clients4), "192.0.2.0", "10.0.0.0"))
	if m.chance(50) {
		text += "/" + pick(m.random, []string{"0", "8", "24", "25", "30", "31", "32", "33", "032", "", "00", "24/24", "1"})
	}
	if m.chance(4) {
		text = pick(m.random, []string{"192.0.2", "192.0.2.1.1", "192.0.2.256", "192.0.2.01", "::1", "192.0.2.1//24", "0x7f.1", "%{i}", "192.0.2.1:25", " "})
	}
	return m.caseOf("ip4") + ":" + text
}

func (m *spfMaker) ip6() string {
	text := pick(m.random, append(slices.Clone(clients6), "2001:db8::", "::ffff:192.0.2.1", "::192.0.2.1", "2001:DB8::1"))
	if m.chance(50) {
		text += "/" + pick(m.random, []string{"0", "32", "48", "64", "127", "128", "129", "064", "", "1"})
	}
	if m.chance(4) {
		text = pick(m.random, []string{"2001:db8", "2001:db8::1::", "192.0.2.1", "fe80::1%eth0", "[2001:db8::1]", "2001:db8::g", ":::", "2001:db8::1//64"})
	}
	return m.caseOf("ip6") + ":" + text
}

func (m *spfMaker) cidr() string {
	if !m.chance(25) {
		return ""
	}
	return pick(m.random, []string{"/24", "/32", "/0", "//64", "//128", "//0", "/24//64", "/8//32", "/33", "//129", "/024", "/", "//", "/24//", "/24/64", "///64", "/0//0"})
}

func (m *spfMaker) optionalSpec() string {
	if m.chance(40) {
		return ""
	}
	return ":" + m.spec()
}

func (m *spfMaker) spec() string {
	switch m.weighted(70, 10, 15, 5) {
	case 0:
		return pick(m.random, append(slices.Clone(spfDomains), spfHosts...))
	case 1:
		return pick(m.random, append(slices.Clone(spfVoids), "alias.test", "A.TEST", "a.test."))
	case 2:
		return pick(m.random, []string{"%{d}", "%{ir}.%{v}._spf.a.test", "%{l}.a.test", "%{l1r-}.x.%{d2}", "%{o}", "%{h}", "%{s}", "%{S}.x.a.test", "%{d1}.b.test",
			"%{L}.b.test", "%{lr-+}.lp.a.test", "%{i}._ip.b.test", "%{d3r}.r.test", "%{p}._p.a.test", "%{l2r+-}.%{d}", "%%.a.test", "x%_y.a.test", "x%-y.a.test",
			"%{D}", "%{IR}.%{V}.a.test", "%{d20}", "%{o1}.b.test", "%{hr}.h.test", "mx.%{d}", "h.%{o}"})
	}
	return pick(m.random, []string{"%{x}.test", "%{d", "%(d}", "%{d0}", "%{d-1}", "%{}", "%", "%%", "%_", "a", "test", ".", "a..test", ".a.test", "a.1", "a.test1", "a.t-t", "a.test-",
		"a.-test", "a/b.test", "a:b.test", "%{c}.a.test", "%{t}.a.test", "%{r}", "%{d}.", "%{d}x", "a.%{d}.1", "%{d99999999999999999999}", "a_b.a.test", "a=b.a.test",
		"a\xc3\xa9.test", "a\x00b.test", "a(b).a.test", `a"b.a.test`, strings.Repeat("l", 64) + ".test", strings.Repeat("long.", 60) + "a.test", "*.a.test", "%{dr}%{ir}.a.test"})
}

// mutate changes a few octets.
func (m *spfMaker) mutate(record string) string {
	b := []byte(record)
	for range 1 + m.IntN(2) {
		i := m.IntN(len(b))
		switch m.IntN(4) {
		case 0:
			b[i] = " /:%{}=.-+~?0az\t\x00\xe9"[m.IntN(18)]
		case 1:
			b = slices.Delete(b, i, i+1)
		case 2:
			b = slices.Insert(b, i, " /:%{}=.-+~?0az"[m.IntN(15)])
		case 3:
			b = append(b, b[i:]...)
		}
		if len(b) == 0 {
			return ""
		}
	}
	return string(b)
}

// reverse publishes the names of the client.
func (m *spfMaker) reverse(c *SPFCase) {
	if !m.chance(50) {
		return
	}
	n := 1 + m.IntN(2)
	if m.chance(10) {
		n = 9 + m.IntN(4)
	}
	ip := netip.MustParseAddr(c.IP).Unmap()
	for i := range n {
		name := pick(m.random, append(slices.Clone(spfHosts), spfDomains...))
		if n > 4 && i < n-1 {
			name = fmt.Sprintf("n%d.test", i)
		}
		m.zone.Add(dnsdata.ReverseName(ip), "PTR", name)
		if m.chance(50) {
			m.zone.Add(name, addressType(ip), ip.String())
		}
	}
}

func addressType(ip netip.Addr) string {
	if ip.Is4() {
		return "A"
	}
	return "AAAA"
}

func (m *spfMaker) fault() {
	name := pick(m.random, append(slices.Clone(spfDomains), spfHosts...))
	m.zone.Fault[name+" "+pick(m.random, []string{"TXT", "A", "AAAA", "MX"})] = pick(m.random, []string{"SERVFAIL", "TIMEOUT"})
}

// answerSome gives records to some of the names that an evaluation asks for and that do
// not exist: those that macros make are hard to guess.
func (m *spfMaker) answerSome(c *SPFCase) {
	for range 2 {
		asked := &listener{next: m.zone}
		c.Check(context.Background(), asked)
		for _, q := range asked.unanswered {
			if slices.Contains(spfVoids, q.name) || !m.chance(50) {
				continue
			}
			switch q.t {
			case resolver.A:
				m.zone.Add(q.name, "A", pick(m.random, clients4))
			case resolver.TXT:
				m.zone.Add(q.name, "TXT", m.record(q.name))
			}
		}
	}
}

// listener notes the questions that have no answer.
type listener struct {
	next       resolver.Resolver
	unanswered []asked
}

type asked struct {
	name string
	t    resolver.Type
}

// Lookup implements resolver.Resolver.
func (l *listener) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	a, err := l.next.Lookup(ctx, name, t)
	if err == nil && a.NXDomain {
		l.unanswered = append(l.unanswered, asked{strings.ToLower(name), t})
	}
	return a, err
}

// recorder notes every question with its answer.
type recorder struct {
	next  resolver.Resolver
	asked []resolver.Exchange
}

// Lookup implements resolver.Resolver.
func (r *recorder) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	a, err := r.next.Lookup(ctx, name, t)
	r.asked = append(r.asked, resolver.Exchange{Name: name, Type: t, Answer: a, Err: err})
	return a, err
}

// relevant is the part of the zone that we asked for.
func (j *spfJob) relevant() map[string][]string {
	part := map[string][]string{}
	for _, e := range j.seen.asked {
		key := strings.ToLower(e.Name) + " " + e.Type.String()
		part[key] = nil
		for _, r := range e.Answer.Records {
			switch e.Type {
			case resolver.TXT:
				part[key] = append(part[key], latin1(r.Text))
			case resolver.A, resolver.AAAA:
				part[key] = append(part[key], r.Addr.String())
			default:
				part[key] = append(part[key], r.Target)
			}
		}
		if e.Err != nil {
			part[key] = []string{e.Err.Error()}
		}
	}
	return part
}
