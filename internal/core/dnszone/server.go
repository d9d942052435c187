package dnszone

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"postseal/internal/core/dnswire"
	"postseal/resolver"
)

// Faults are ways in which a server misbehaves, besides those of its zone text.
type Faults struct {
	Delay         time.Duration // before each answer
	Garbage       int           // datagrams of noise before each UDP answer
	WrongID       bool          // a UDP datagram with another ID before each answer
	WrongQuestion bool          // a UDP datagram that answers another question before each answer
	Truncate      bool          // every UDP answer is truncated
	NoEDNS        bool          // a query with EDNS is a format error
	LowerCase     bool          // the case of the question is not kept
	NoTCP         bool          // no answer over TCP
}

// Server answers from a Zone over UDP and TCP, on the same port. It must be closed.
type Server struct {
	zone     *Zone
	faults   Faults
	addr     string
	udp, tcp *dns.Server
	stop     chan struct{}
	work     sync.WaitGroup
	overUDP  atomic.Int64
	overTCP  atomic.Int64
}

// anyPort is the port of servers without a configured address.
const anyPort = "127.0.0.1:0"

// Serve starts a server on 127.0.0.1, without faults but those of the zone.
func (z *Zone) Serve() (*Server, error) { return z.serve(anyPort, Faults{}) }

// ServeFaults starts a server that misbehaves.
func (z *Zone) ServeFaults(f Faults) (*Server, error) { return z.serve(anyPort, f) }

// ServeAt starts a server at an address, as Serve does.
func (z *Zone) ServeAt(addr string) (*Server, error) { return z.serve(addr, Faults{}) }

func (z *Zone) serve(addr string, f Faults) (*Server, error) {
	pc, l, err := listen(addr)
	if err != nil {
		return nil, err
	}
	s := &Server{zone: z, faults: f, addr: pc.LocalAddr().String(), stop: make(chan struct{})}
	s.udp = &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(s.serveUDP)}
	s.tcp = &dns.Server{Listener: l, Handler: dns.HandlerFunc(s.serveTCP)}
	for _, server := range []*dns.Server{s.udp, s.tcp} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		s.work.Go(func() { server.ActivateAndServe() })
		<-started
	}
	return s, nil
}

// listen listens at one port for both: of those that addr leaves open, one that is free.
func listen(addr string) (net.PacketConn, net.Listener, error) {
	var failed error
	for range 20 {
		pc, err := net.ListenPacket("udp", addr)
		if err != nil {
			return nil, nil, err
		}
		l, err := net.Listen("tcp", pc.LocalAddr().String())
		if err == nil {
			return pc, l, nil
		}
		pc.Close()
		failed = err
	}
	return nil, nil, fmt.Errorf("no port is free for UDP and TCP: %w", failed)
}

// Addr is the address and port of the server.
func (s *Server) Addr() string { return s.addr }

// Queries returns how many questions came over UDP and TCP so far.
func (s *Server) Queries() (udp, tcp int) { return int(s.overUDP.Load()), int(s.overTCP.Load()) }

// Close stops the server and waits until it has.
func (s *Server) Close() error {
	close(s.stop)
	err := errors.Join(s.udp.Shutdown(), s.tcp.Shutdown())
	s.work.Wait()
	return err
}

func (s *Server) serveUDP(w dns.ResponseWriter, query *dns.Msg) {
	s.overUDP.Add(1)
	m := s.reply(query)
	if m == nil {
		return
	}
	s.noise(w, m)
	size := dns.MinMsgSize
	if opt := query.IsEdns0(); opt != nil && !s.faults.NoEDNS {
		size = max(size, int(opt.UDPSize()))
	}
	if m.Truncate(size); s.faults.Truncate {
		m.Truncated = true
		m.Answer, m.Ns = nil, nil
	}
	w.WriteMsg(m)
}

func (s *Server) serveTCP(w dns.ResponseWriter, query *dns.Msg) {
	s.overTCP.Add(1)
	if m := s.reply(query); m != nil && !s.faults.NoTCP {
		w.WriteMsg(m)
	}
}

// noise sends what a client must not take for the answer m.
func (s *Server) noise(w dns.ResponseWriter, m *dns.Msg) {
	for i := range s.faults.Garbage {
		w.Write([]byte("\xffnoise that is no DNS message"[:1+i%28]))
	}
	forged := m.Copy()
	forged.Rcode, forged.Answer = dns.RcodeNameError, nil
	if s.faults.WrongID {
		forged.Id++
		w.WriteMsg(forged)
		forged.Id--
	}
	if s.faults.WrongQuestion {
		forged.Question[0].Name = "other." + forged.Question[0].Name
		w.WriteMsg(forged)
		forged.Question = nil
		w.WriteMsg(forged)
	}
}

// reply answers query from the zone; nil is silence.
func (s *Server) reply(query *dns.Msg) *dns.Msg {
	if s.faults.Delay > 0 {
		select {
		case <-time.After(s.faults.Delay):
		case <-s.stop:
			return nil
		}
	}
	m := new(dns.Msg).SetReply(query)
	m.RecursionAvailable, m.Compress = true, true
	if len(query.Question) != 1 || query.Question[0].Qclass != dns.ClassINET {
		return m.SetRcode(query, dns.RcodeRefused)
	}
	if opt := query.IsEdns0(); opt != nil {
		if s.faults.NoEDNS {
			return m.SetRcodeFormatError(query)
		}
		m.SetEdns0(opt.UDPSize(), opt.Do())
	}
	if s.faults.LowerCase {
		m.Question[0].Name = dnswire.Escape(dnswire.Name(m.Question[0].Name))
	}
	question := m.Question[0]
	p := s.zone.walk(dnswire.Name(question.Name), resolver.Type(question.Qtype))
	if p.fault != "" {
		return refuse(m, p.fault)
	}
	m.AuthenticatedData = p.secure && (query.AuthenticatedData || query.IsEdns0() != nil && query.IsEdns0().Do())
	s.fill(m, question.Name, p)
	return m
}

// refuse makes m the failure of zone text; nil is silence.
func refuse(m *dns.Msg, kind resolver.Kind) *dns.Msg {
	m.Rcode = dns.RcodeServerFailure
	switch kind {
	case resolver.Timeout:
		return nil
	case resolver.Refused:
		m.Rcode = dns.RcodeRefused
	case resolver.Bogus:
		if opt := m.IsEdns0(); opt != nil {
			opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: extendedError(kind)})
		}
	}
	return m
}

// fill writes the records on the way p, or the SOA for a negative answer (RFC 2308 §2.1).
// Records of a wildcard get the queried name (RFC 4592 §3.3).
func (s *Server) fill(m *dns.Msg, owner string, p path) {
	for _, alias := range p.aliases {
		m.Answer = append(m.Answer, named(alias.set.raw[0], owner))
		owner = dnswire.Escape(alias.set.records[0].Target)
	}
	if p.set != nil {
		for _, rr := range p.set.raw {
			m.Answer = append(m.Answer, named(rr, owner))
		}
		return
	}
	if !p.exists {
		m.Rcode = dns.RcodeNameError
	}
	soa := s.zone.soa(p.end)
	if soa == nil {
		const ttl = uint32(negativeTTL / time.Second)
		soa = &dns.SOA{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ttl}, Ns: ".", Mbox: ".", Minttl: ttl}
	}
	m.Ns = append(m.Ns, soa)
}

func named(rr dns.RR, owner string) dns.RR {
	rr = dns.Copy(rr)
	rr.Header().Name = owner
	return rr
}
