package stub

import (
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postseal/lab/loopback"
	"postseal/resolver"
)

// TestStreams: however many questions have answers that are larger than a datagram, so many of them
// are read at a time, and each is read.
func TestStreams(t *testing.T) {
	const questions = 3 * maxStreams
	var sized atomic.Int32 // connections that know how long their answer is
	hold := make(chan struct{})
	address := loopback.Serve(t, func(conn net.Conn) {
		answer, err := largeAnswer(&dns.Conn{Conn: conn})
		if err != nil {
			t.Error(err)
			return
		}
		conn.Write(binary.BigEndian.AppendUint16(nil, uint16(len(answer))))
		sized.Add(1)
		<-hold
		conn.Write(answer)
	})
	pc, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Truncated = true
		w.WriteMsg(m)
	})}
	go s.ActivateAndServe()
	t.Cleanup(func() { s.Shutdown() })
	c, err := New(Config{Servers: []string{address}, Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var work sync.WaitGroup
	for i := range questions {
		work.Go(func() {
			a, err := c.Lookup(t.Context(), fmt.Sprintf("n%d.test", i), resolver.TXT)
			if err != nil || len(a.Records) != 1 || len(a.Records[0].Text) != 200*250 {
				t.Errorf("question %d: %d records, %v", i, len(a.Records), err)
			}
		})
	}
	for sized.Load() < questions || len(c.streams) < maxStreams {
		time.Sleep(time.Millisecond)
	}
	close(hold)
	work.Wait()
	if len(c.streams) != 0 || cap(c.streams) != maxStreams {
		t.Errorf("%d of %d turns are taken at the end", len(c.streams), cap(c.streams))
	}
}

// largeAnswer reads a question and makes an answer of 50 KB.
func largeAnswer(conn *dns.Conn) ([]byte, error) {
	q, err := conn.ReadMsg()
	if err != nil {
		return nil, err
	}
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable = true
	text := make([]string, 200)
	for i := range text {
		text[i] = fmt.Sprintf("%0250d", i)
	}
	m.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60}, Txt: text}}
	return m.Pack()
}
