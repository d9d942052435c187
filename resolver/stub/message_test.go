package stub

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postseal/internal/core/dnswire"
	"postseal/resolver"
)

func message(t testing.TB, rcode int, ra bool, answers, authority string) *dns.Msg {
	t.Helper()
	m := new(dns.Msg).SetQuestion("q.test.", dns.TypeTXT)
	m.Response, m.Rcode, m.RecursionAvailable = true, rcode, ra
	for _, s := range []struct {
		text string
		to   *[]dns.RR
	}{{answers, &m.Answer}, {authority, &m.Ns}} {
		p := dns.NewZoneParser(strings.NewReader(s.text), ".", "")
		for rr, ok := p.Next(); ok; rr, ok = p.Next() {
			*s.to = append(*s.to, rr)
		}
		if err := p.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// received is m as it comes over the wire.
func received(t testing.TB, m *dns.Msg) *reply {
	t.Helper()
	data, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	r, err := parseReply(data, "q.test")
	if err != nil {
		t.Fatal(err)
	}
	return &r
}

func TestAnswer(t *testing.T) {
	const soa = "test. 600 IN SOA ns.test. root.test. 1 2 3 4 90\n"
	const nx = dns.RcodeNameError
	for _, c := range []struct {
		name               string
		rcode              int
		notRecursive       bool
		answers, authority string
		t                  resolver.Type
		want               string // texts or targets
		canonical          string
		nxdomain           bool
		ttl                time.Duration
		err                string
	}{
		{name: "other owners", answers: "q.test. 60 TXT a\nevil.test. 1 TXT b\nQ.tesT. 50 TXT c\n", want: "a c", ttl: 50 * time.Second},
		{name: "only other owners", answers: "evil.test. 1 TXT b\n", ttl: 0},
		{name: "other types", answers: "q.test. 60 TXT a\nq.test. 5 A 192.0.2.1\n", want: "a", ttl: 60 * time.Second},
		{name: "other class", answers: "q.test. 60 CH TXT a\n"},
		{name: "chain in any order", answers: "c.test. 70 TXT a\nb.test. 80 CNAME c.test.\nq.test. 60 CNAME B.test.\n", want: "a", canonical: "c.test", ttl: 60 * time.Second},
		{name: "chain with DNAME", answers: "test. 9 DNAME z.\nq.test. 60 CNAME q.z.\nq.z. 90 TXT a\n", want: "a", canonical: "q.z", ttl: 60 * time.Second},
		{name: "chain to NODATA", answers: "q.test. 60 CNAME b.test.\n", authority: soa, canonical: "b.test", ttl: 60 * time.Second},
		{name: "chain to NXDOMAIN", rcode: nx, answers: "q.test. 600 CNAME b.test.\n", authority: soa, canonical: "b.test", nxdomain: true, ttl: 90 * time.Second},
		{name: "loop", answers: "q.test. 60 CNAME b.test.\nb.test. 60 CNAME q.test.\n", err: "does not end"},
		{name: "asked for CNAME", t: resolver.CNAME, answers: "q.test. 60 CNAME b.test.\nb.test. 60 CNAME c.test.\n", want: "b.test", ttl: 60 * time.Second},
		{name: "NODATA", authority: soa, ttl: 90 * time.Second},
		{name: "NODATA, low TTL", authority: strings.Replace(soa, "600", "30", 1), ttl: 30 * time.Second},
		{name: "NXDOMAIN", rcode: nx, authority: soa, nxdomain: true, ttl: 90 * time.Second},
		{name: "NXDOMAIN without SOA", rcode: nx, nxdomain: true},
		{name: "SOA of another zone", authority: "other. 600 IN SOA ns.test. root.test. 1 2 3 4 90\n"},
		{name: "SOA of a zone that ends alike", authority: "est. 600 IN SOA ns.test. root.test. 1 2 3 4 90\n"},
		{name: "NXDOMAIN with records", rcode: nx, answers: "q.test. 60 TXT a\n", err: "NXDOMAIN with records"},
		{name: "referral", notRecursive: true, authority: "test. 60 NS ns.test.\n", err: "not recursive"},
		{name: "chain not followed", notRecursive: true, answers: "q.test. 60 CNAME b.other.\n", err: "not recursive"},
		{name: "authoritative NODATA", notRecursive: true, authority: soa, ttl: 90 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := question{"q.test", max(c.t, resolver.CNAME)}
			if c.t == 0 {
				q.t = resolver.TXT
			}
			a, err := answer(received(t, message(t, c.rcode, !c.notRecursive, c.answers, c.authority)), q)
			if c.err != "" || err != nil {
				if err == nil || c.err == "" || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error = %v, want %q", err, c.err)
				}
				return
			}
			var got []string
			for _, rr := range a.Records {
				got = append(got, rr.Text+rr.Target)
			}
			if c.canonical == "" {
				c.canonical = "q.test"
			}
			if s := strings.Join(got, " "); s != c.want || a.Canonical != c.canonical || a.NXDomain != c.nxdomain || a.TTL != c.ttl {
				t.Errorf("answer = %q %q nx %v ttl %v, want %q %q nx %v ttl %v", s, a.Canonical, a.NXDomain, a.TTL, c.want, c.canonical, c.nxdomain, c.ttl)
			}
		})
	}
}

func TestLifetime(t *testing.T) {
	for ttl, want := range map[uint32]time.Duration{0: 0, 60: time.Minute, 1<<31 - 1: maxTTL, 1 << 31: 0, 1<<32 - 1: 0} {
		if got := lifetime(ttl); got != want {
			t.Errorf("lifetime(%d) = %v, want %v", ttl, got, want)
		}
	}
}

// TestPack: names of any octets go out and come back; IDs and cases differ.
func TestPack(t *testing.T) {
	for _, name := range []string{"e.test", "_dmarc.e.test", "\xff\x00 \\\"@;().e.test", strings.Repeat("a", 63) + ".test"} {
		q := newQuestion(name, resolver.TXT).pack(true, false)
		var m dns.Msg
		if err := m.Unpack(q.data); err != nil || dnswire.Name(m.Question[0].Name) != name {
			t.Errorf("%q came back as %q, %v", name, m.Question[0].Name, err)
		}
		if !m.RecursionDesired || !m.AuthenticatedData || m.CheckingDisabled || m.IsEdns0().UDPSize() != 1232 || m.IsEdns0().Do() {
			t.Errorf("query = %v", &m)
		}
		if end := len(q.data) - 11; q.end != end {
			t.Errorf("%q: end = %d, want %d", name, q.end, end)
		}
	}
	ids, cases := map[string]bool{}, map[string]bool{}
	for range 100 {
		q := newQuestion("abcdefghijklmnopqrstuvwxyz.e.test", resolver.TXT).pack(true, true)
		ids[string(q.data[:2])] = true
		cases[string(q.data[headerLen:q.end])] = true
	}
	if len(ids) < 90 || len(cases) < 90 {
		t.Errorf("%d IDs and %d cases in 100 queries", len(ids), len(cases))
	}
}

func TestMatch(t *testing.T) {
	q := newQuestion("abc.test", resolver.TXT).pack(false, false)
	exact := q
	exact.exact = true
	change := func(at int, to byte) []byte {
		m := slices.Clone(q.data)
		m[2] |= 0x80
		m[at] = to
		return m
	}
	good := change(4, 0)
	for _, c := range []struct {
		name string
		q    query
		m    []byte
		want match
	}{
		{"answer", q, good, genuine},
		{"exact", exact, good, genuine},
		{"other case", q, change(13, 'A'), genuine},
		{"exact, other case", exact, change(13, 'A'), doubtful},
		{"exact, other name", exact, change(13, 'b'), foreign},
		{"label length", q, change(12, 4), foreign},
		{"type", q, change(q.end-3, 17), foreign},
		{"class", q, change(q.end-1, 3), foreign},
		{"ID", q, change(1, ^q.data[1]), foreign},
		{"query", q, q.data, foreign},
		{"opcode", q, change(2, 0x80|5<<3), foreign},
		{"no question", q, change(5, 0), foreign},
		{"two questions", q, change(5, 2), foreign},
		{"short", q, good[:q.end-1], foreign},
		{"header alone", q, good[:headerLen], foreign},
		{"empty", q, nil, foreign},
	} {
		if got := c.q.match(c.m); got != c.want {
			t.Errorf("%s: match = %d, want %d", c.name, got, c.want)
		}
	}
	formerr := slices.Clone(good[:headerLen])
	formerr[3], formerr[5] = dns.RcodeFormatError, 0
	if got := q.match(formerr); got != genuine {
		t.Errorf("format error without question: match = %d, want %d", got, genuine)
	}
}

// TestWhole: a message that ends between two records is not an answer.
func TestWhole(t *testing.T) {
	m := message(t, dns.RcodeSuccess, true, "q.test. 60 TXT a\nq.test. 60 TXT b\n", "test. 600 IN SOA ns.test. root.test. 1 2 3 4 90\n")
	m.SetEdns0(1232, false)
	data, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	s, q := new(server), newQuestion("q.test", resolver.TXT)
	if a, fail := readAll(s, q, data); fail != nil || len(a.Records) != 2 {
		t.Fatalf("read = %+v, %v", a, fail)
	}
	for _, at := range []int{7, 9, 11} {
		lying := slices.Clone(data)
		lying[at]++
		if a, fail := readAll(s, q, lying); fail == nil || fail.kind != resolver.Malformed {
			t.Errorf("count at %d: read = %+v, %v, want malformed", at, a, fail)
		}
	}
	if _, fail := readAll(s, q, data[:len(data)-11]); fail == nil || fail.kind != resolver.Malformed {
		t.Errorf("without its last record: %v, want malformed", fail)
	}
}

func TestRefusal(t *testing.T) {
	s := new(server)
	for _, c := range []struct {
		rcode int
		ede   int // -1: no EDNS
		want  resolver.Kind
	}{
		{dns.RcodeSuccess, 3, ""},
		{dns.RcodeNameError, -1, ""},
		{dns.RcodeServerFailure, -1, resolver.ServFail},
		{dns.RcodeServerFailure, 5, resolver.ServFail},
		{dns.RcodeServerFailure, 6, resolver.Bogus},
		{dns.RcodeServerFailure, 12, resolver.Bogus},
		{dns.RcodeServerFailure, 13, resolver.ServFail},
		{dns.RcodeRefused, 18, resolver.Refused},
		{dns.RcodeNotZone, 0, resolver.ServFail},
		{dns.RcodeFormatError, 0, resolver.ServFail},
		{dns.RcodeFormatError, -1, resolver.Malformed},
		{dns.RcodeNotImplemented, -1, resolver.Malformed},
		{dns.RcodeBadVers, 0, resolver.Malformed},
	} {
		m := new(dns.Msg)
		m.Rcode = c.rcode
		if c.ede >= 0 {
			m.SetEdns0(1232, false)
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EDE{InfoCode: uint16(c.ede)}}
		}
		var got resolver.Kind
		fail := s.refusal(received(t, m))
		if fail != nil {
			got = fail.kind
		}
		if got != c.want || fail != nil && fail != errNoEDNS && int(fail.ede) != max(c.ede, 0) {
			t.Errorf("code %d, extended %d: %+v, want %q", c.rcode, c.ede, fail, c.want)
		}
	}
}

func TestParseConf(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"# x\nnameserver 192.0.2.1\n nameserver\t2001:db8::1 # y\nsearch e.test\nnameserver bad\nnameserver fe80::1%eth0\n", "192.0.2.1 2001:db8::1 fe80::1%eth0"},
		{strings.Repeat("nameserver 192.0.2.1\n", 40), strings.TrimSpace(strings.Repeat("192.0.2.1 ", maxServers))},
	} {
		got, err := parseConf(strings.NewReader(c.text))
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("parseConf(%q) = %q, %v, want %q", c.text, got, err, c.want)
		}
	}
	if _, err := parseConf(strings.NewReader(strings.Repeat("x", 1<<17))); err == nil {
		t.Error("a line of 128 KiB is no error")
	}
	if got, err := SystemServers(); err == nil && len(got) == 0 {
		t.Error("SystemServers found nothing without error")
	}
}

// FuzzRead: no message makes the reader panic, or yields records together with NXDOMAIN or with
// another owner.
func FuzzRead(f *testing.F) {
	const soa = "test. 600 IN SOA ns.test. root.test. 1 2 3 4 90\n"
	for _, answers := range []string{"", "q.test. 60 TXT \"a\" \"b\\200\"\n", "q.test. 60 CNAME b.test.\nb.test. 9 TXT x\n", "q.test. 60 CNAME q.test.\n", "q.test. 1 MX 10 m.test.\n"} {
		for _, rcode := range []int{dns.RcodeSuccess, dns.RcodeNameError, dns.RcodeServerFailure, dns.RcodeFormatError} {
			m := message(f, rcode, true, answers, soa)
			m.SetEdns0(1232, false)
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EDE{InfoCode: 6, ExtraText: "x"}}
			data, err := m.Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
			f.Add(data[:len(data)-3])
		}
	}
	f.Add([]byte{})
	s := &server{trusted: true}
	q := newQuestion("q.test", resolver.TXT)
	packed := q.pack(true, true)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) >= 2 {
			copy(data, packed.data[:2])
		}
		if packed.match(data) == genuine && len(data) < headerLen {
			t.Error("a message without header matches")
		}
		a, fail := readAll(s, q, data)
		switch {
		case fail != nil && strings.Contains(fail.err.Error(), "panic"):
			t.Error(fail.err)
		case fail != nil && (fail.kind == "" || fail.err == nil):
			t.Errorf("failure without kind or cause: %+v", fail)
		case fail == nil && a.NXDomain && len(a.Records) > 0:
			t.Errorf("NXDOMAIN with records: %+v", a)
		case fail == nil && (a.TTL < 0 || a.TTL > maxTTL):
			t.Errorf("TTL = %v", a.TTL)
		case fail == nil && a.Canonical == q.name:
			sameRecords(t, data, a.Records)
		}
	})
}

// sameRecords compares the records of an answer with those that the codec of miekg/dns finds in it, if it
// can read the whole.
func sameRecords(t *testing.T, data []byte, got []resolver.RR) {
	var m dns.Msg
	if m.Unpack(data) != nil {
		return
	}
	var want []resolver.RR
	for _, rr := range m.Answer {
		if h := rr.Header(); dnswire.Name(h.Name) == "q.test" && h.Rrtype == dns.TypeTXT && h.Class == dns.ClassINET {
			want = append(want, resolver.RR(dnswire.Convert(rr)))
		}
	}
	if !slices.EqualFunc(got, want, sameData) {
		t.Errorf("records %+v, want %+v", got, want)
	}
}

// readAll is what s reads in a message.
func readAll(s *server, q question, data []byte) (a resolver.Answer, fail *failure) {
	fail = s.read(q, data, &a)
	return a, fail
}
