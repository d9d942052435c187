package stub_test

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postseal/internal/core/dnszone"
	"postseal/internal/core/middleware"
	"postseal/resolver"
	"postseal/resolver/stub"
)

// seen is a question as it came over the wire.
type seen struct {
	msg  *dns.Msg
	from netip.AddrPort
}

// wire is a name server that keeps what it is asked and lets reply answer.
type wire struct {
	conn  *net.UDPConn
	reply func(conn *net.UDPConn, q seen)
	mu    sync.Mutex
	all   []seen
	work  sync.WaitGroup
}

func serveWire(t *testing.T, reply func(conn *net.UDPConn, q seen)) *wire {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{conn: conn, reply: reply}
	w.work.Go(w.serve)
	t.Cleanup(func() { conn.Close(); w.work.Wait() })
	return w
}

func (w *wire) serve() {
	buf := make([]byte, 4096)
	for {
		n, from, err := w.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		m := new(dns.Msg)
		if m.Unpack(buf[:n]) != nil || len(m.Question) != 1 {
			continue
		}
		q := seen{m, from}
		w.mu.Lock()
		w.all = append(w.all, q)
		w.mu.Unlock()
		w.reply(w.conn, q)
	}
}

// questions is what was asked so far.
func (w *wire) questions() []seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.all)
}

func (w *wire) addr() string { return w.conn.LocalAddr().String() }

// answerText sends one TXT record as answer to q, after edit.
func answerText(conn *net.UDPConn, q seen, text string, edit func(*dns.Msg)) {
	m := new(dns.Msg).SetReply(q.msg)
	m.RecursionAvailable = true
	m.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: q.msg.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60}, Txt: []string{text}}}
	if edit != nil {
		edit(m)
	}
	if data, err := m.Pack(); err == nil {
		conn.WriteToUDPAddrPort(data, q.from)
	}
}

func truth(conn *net.UDPConn, q seen) { answerText(conn, q, "truth", nil) }

// TestQuestionOnTheWire: one question, recursion and AD wanted (RFC 6840 §5.7), EDNS with
// 1232 octets (RFC 9715 §3.2), no DO, the name in lower case without 0x20.
func TestQuestionOnTheWire(t *testing.T) {
	w := serveWire(t, truth)
	r := client(t, stub.Config{}, w.addr())
	if _, err := r.Lookup(t.Context(), "A.E.Test.", resolver.TXT); err != nil {
		t.Fatal(err)
	}
	m := w.questions()[0].msg
	opt := m.IsEdns0()
	if !m.RecursionDesired || !m.AuthenticatedData || m.CheckingDisabled || opt == nil || opt.UDPSize() != 1232 || opt.Do() || len(m.Answer)+len(m.Ns) > 0 {
		t.Errorf("question: %v", m)
	}
	if q := m.Question[0]; q.Name != "a.e.test." || q.Qtype != dns.TypeTXT || q.Qclass != dns.ClassINET {
		t.Errorf("question: %v", q)
	}
}

// TestUnpredictable: IDs and ports cannot be guessed (RFC 5452 §9.2): no ID follows from
// the one before, questions at the same time have different ports, and a port is given up
// after a while. With 0x20 the case of the letters differs too.
func TestUnpredictable(t *testing.T) {
	const questions = 300
	w := serveWire(t, truth)
	r := client(t, stub.Config{Use0x20: true}, w.addr())
	for range questions {
		if _, err := r.Lookup(t.Context(), "unpredictable-letters.e.test", resolver.TXT); err != nil {
			t.Fatal(err)
		}
	}
	ids, ports, names, steps := map[uint16]bool{}, map[uint16]bool{}, map[string]bool{}, map[uint16]int{}
	all := w.questions()
	for i, q := range all {
		ids[q.msg.Id], ports[q.from.Port()], names[q.msg.Question[0].Name] = true, true, true
		if i > 0 {
			steps[q.msg.Id-all[i-1].msg.Id]++
		}
	}
	if len(ids) < questions*95/100 || len(names) < questions*95/100 || len(ports) < questions/64 {
		t.Errorf("%d questions: %d IDs, %d ports, %d spellings", questions, len(ids), len(ports), len(names))
	}
	for step, n := range steps {
		if n > 5 {
			t.Errorf("%d times an ID was %d above the one before", n, step)
		}
	}
}

// TestPortsOfConcurrentQuestions: no two questions in flight share a socket.
func TestPortsOfConcurrentQuestions(t *testing.T) {
	const questions = 20
	var held []seen // of the server's goroutine alone
	w := serveWire(t, func(conn *net.UDPConn, q seen) {
		if held = append(held, q); len(held) == questions {
			for _, q := range held {
				truth(conn, q)
			}
		}
	})
	r := client(t, stub.Config{Timeout: 10 * time.Second}, w.addr())
	var work sync.WaitGroup
	for range questions {
		work.Go(func() {
			if _, err := r.Lookup(t.Context(), "a.e.test", resolver.TXT); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	ports := map[uint16]bool{}
	for _, q := range w.questions() {
		ports[q.from.Port()] = true
	}
	if len(ports) != questions {
		t.Errorf("%d questions in flight came from %d ports", questions, len(ports))
	}
}

// TestSpoofed: what an attacker can send, before the truth comes, is not seen (RFC 5452
// §9.1).
func TestSpoofed(t *testing.T) {
	other, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, c := range []struct {
		name  string
		spoof func(conn *net.UDPConn, q seen)
	}{
		{"another port", func(_ *net.UDPConn, q seen) { answerText(other, q, "lie", nil) }},
		{"another ID", func(conn *net.UDPConn, q seen) { answerText(conn, q, "lie", func(m *dns.Msg) { m.Id ^= 1 }) }},
		{"another name", func(conn *net.UDPConn, q seen) {
			answerText(conn, q, "lie", func(m *dns.Msg) { m.Question[0].Name = "b.e.test." })
		}},
		{"another type", func(conn *net.UDPConn, q seen) {
			answerText(conn, q, "lie", func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA })
		}},
		{"another class", func(conn *net.UDPConn, q seen) {
			answerText(conn, q, "lie", func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS })
		}},
		{"no question", func(conn *net.UDPConn, q seen) { answerText(conn, q, "lie", func(m *dns.Msg) { m.Question = nil }) }},
		{"two questions", func(conn *net.UDPConn, q seen) {
			answerText(conn, q, "lie", func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) })
		}},
		{"a query", func(conn *net.UDPConn, q seen) { answerText(conn, q, "lie", func(m *dns.Msg) { m.Response = false }) }},
		{"another opcode", func(conn *net.UDPConn, q seen) {
			answerText(conn, q, "lie", func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify })
		}},
		{"NXDOMAIN of another name", func(conn *net.UDPConn, q seen) {
			answerText(conn, q, "", func(m *dns.Msg) {
				m.Rcode, m.Answer, m.Question[0].Name = dns.RcodeNameError, nil, "x.a.e.test."
			})
		}},
		{"empty datagram", func(conn *net.UDPConn, q seen) { conn.WriteToUDPAddrPort(nil, q.from) }},
		{"header cut off", func(conn *net.UDPConn, q seen) {
			conn.WriteToUDPAddrPort([]byte{byte(q.msg.Id >> 8), byte(q.msg.Id), 0x80}, q.from)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := serveWire(t, func(conn *net.UDPConn, q seen) {
				q2 := seen{q.msg.Copy(), q.from}
				c.spoof(conn, q2)
				truth(conn, q)
			})
			r := client(t, stub.Config{}, w.addr())
			a, err := r.Lookup(t.Context(), "a.e.test", resolver.TXT)
			if err != nil || len(a.Records) != 1 || a.Records[0].Text != "truth" {
				t.Errorf("Lookup = %+v, %v", a, err)
			}
		})
	}
}

// TestForeignRecords: records that were not queried are ignored, whatever section they are in
// (RFC 5452 §6, RFC 2181 §5.4.1).
func TestForeignRecords(t *testing.T) {
	lie := func(name string) dns.RR {
		return &dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60}, Txt: []string{"lie"}}
	}
	w := serveWire(t, func(conn *net.UDPConn, q seen) {
		answerText(conn, q, "truth", func(m *dns.Msg) {
			m.Answer = append([]dns.RR{lie("b.e.test.")}, m.Answer...)
			m.Ns, m.Extra = []dns.RR{lie("a.e.test.")}, []dns.RR{lie("a.e.test.")}
		})
	})
	cache := resolver.NewCache(client(t, stub.Config{}, w.addr()), resolver.CacheOptions{})
	a, err := cache.Lookup(t.Context(), "a.e.test", resolver.TXT)
	if err != nil || len(a.Records) != 1 || a.Records[0].Text != "truth" {
		t.Errorf("Lookup = %+v, %v", a, err)
	}
	if _, known := cache.Peek("b.e.test", resolver.TXT); known {
		t.Error("a record of another name is in the cache")
	}
}

// TestWholeChain: cache, coalescing, limit and client together, over sockets. Identical
// questions become one; NXDOMAIN answers for every type as long as its SOA says (RFC 2308 §5).
func TestWholeChain(t *testing.T) {
	zone := "e.test. 900 IN SOA ns.e.test. root.e.test. 1 2 3 4 90\n"
	s := serve(t, dnszone.Faults{Delay: 50 * time.Millisecond}, zone)
	now := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	r := resolver.NewCache(middleware.Coalesce(middleware.NewLimit(client(t, stub.Config{}, s.Addr()), 8)), resolver.CacheOptions{Now: func() time.Time { return now }})
	var work sync.WaitGroup
	for range 50 {
		work.Go(func() {
			if a, err := r.Lookup(t.Context(), "gone.e.test", resolver.TXT); err != nil || !a.NXDomain || a.TTL != 90*time.Second {
				t.Errorf("Lookup = %+v, %v", a, err)
			}
		})
	}
	work.Wait()
	for _, name := range []string{"gone.e.test", "GONE.e.test."} {
		if a, err := r.Lookup(t.Context(), name, resolver.A); err != nil || !a.NXDomain {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
	if udp, tcp := s.Queries(); udp != 1 || tcp != 0 {
		t.Errorf("%d questions over UDP, %d over TCP, want 1", udp, tcp)
	}
	now = now.Add(90 * time.Second)
	if _, err := r.Lookup(t.Context(), "gone.e.test", resolver.A); err != nil {
		t.Error(err)
	}
	if udp, _ := s.Queries(); udp != 2 {
		t.Errorf("%d questions after the TTL, want 2", udp)
	}
}
