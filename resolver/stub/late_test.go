package stub_test

import (
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postseal/internal/core/dnszone"
	"postseal/resolver"
	"postseal/resolver/stub"
)

// TestLateAnswer: an answer that comes after the time of its try counts, as long as the
// question continues: the socket of the first try stays open.
func TestLateAnswer(t *testing.T) {
	const timeout = 200 * time.Millisecond
	slow := serve(t, dnszone.Faults{Delay: timeout * 3 / 2})
	for _, tt := range []struct {
		name    string
		servers []string
	}{
		{"one server", []string{slow.Addr()}},
		{"another server in between", []string{slow.Addr(), deaf(t)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := client(t, stub.Config{Timeout: timeout, Attempts: 2}, tt.servers...).Lookup(t.Context(), "a.e.test", resolver.TXT)
			if err != nil || len(a.Records) != 1 {
				t.Errorf("Lookup = %+v, %v", a, err)
			}
		})
	}
}

// TestWaitingAnswer: an answer that came between two tries counts, although nothing arrives after the
// second one.
func TestWaitingAnswer(t *testing.T) {
	const timeout = 200 * time.Millisecond
	slow := serveWire(t, func(conn *net.UDPConn, q seen) {
		if q.msg.IsEdns0() != nil { // the first try
			time.AfterFunc(timeout*3/2, func() { answerText(conn, q, "late", nil) })
		}
	})
	a, err := client(t, stub.Config{Timeout: timeout, Attempts: 3}, slow.addr(), deaf(t)).Lookup(t.Context(), "a.e.test", resolver.TXT)
	if err != nil || len(a.Records) != 1 || a.Records[0].Text != "late" {
		t.Errorf("Lookup = %+v, %v", a, err)
	}
}

// TestDroppedEDNS: a firewall that drops questions with EDNS leaves the plain question of the
// next try.
func TestDroppedEDNS(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		if q.IsEdns0() != nil {
			return
		}
		m := new(dns.Msg).SetReply(q)
		m.RecursionAvailable = true
		m.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60}, Txt: []string{"plain"}}}
		w.WriteMsg(m)
	})}
	go s.ActivateAndServe()
	t.Cleanup(func() { s.Shutdown() })
	a, err := client(t, stub.Config{Timeout: 100 * time.Millisecond, Attempts: 2}, conn.LocalAddr().String()).Lookup(t.Context(), "a.e.test", resolver.TXT)
	if err != nil || len(a.Records) != 1 || a.Records[0].Text != "plain" {
		t.Errorf("Lookup = %+v, %v", a, err)
	}
}
