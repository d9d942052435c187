package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"postseal/server/listener"
)

// Proxy is the SMTP listener. Its listeners share one spool.
type Proxy struct {
	engine *listener.Engine
	config atomic.Pointer[Config]
	spool  spool
}

// New returns the service.
func New(e *listener.Engine, c Config) (*Proxy, error) {
	p := &Proxy{engine: e}
	return p, p.Configure(c)
}

// Configure puts c in force for connections that begin from now on.
func (p *Proxy) Configure(c Config) error {
	if err := c.setDefaults(); err != nil {
		return err
	}
	p.config.Store(&c)
	return nil
}

// Server returns a server for listeners of one mode. conns limits its connections, 0 is the default.
func (p *Proxy) Server(m Mode, conns int) *listener.Server {
	return &listener.Server{Name: listener.SMTP, Engine: p.engine, MaxConns: conns, Handle: func(ctx context.Context, conn *listener.Conn) {
		p.serve(ctx, conn, m)
	}}
}

func (p *Proxy) serve(ctx context.Context, conn *listener.Conn, m Mode) {
	s := &session{proxy: p, engine: p.engine, config: p.config.Load(), mode: m, ctx: ctx, accepted: conn,
		socket: addrPort(conn.RemoteAddr()), local: addrPort(conn.LocalAddr())}
	s.peer = !s.socket.IsValid() || s.config.Peers.Contains(s.socket.Addr())
	defer s.end()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	s.use(conn)
	if m == Submissions && !s.handshake() {
		return
	}
	s.run()
}

// addrPort returns the zero value for a unix socket.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := tcp.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// use sets the connection to the client.
func (s *session) use(conn net.Conn) {
	s.conn = conn
	s.timeout = &listener.TimeoutReader{Conn: conn}
	s.r = bufio.NewReaderSize(s.timeout, readBuffer)
	s.w = bufio.NewWriter(deadlineWriter{conn})
}

// handshakeTimeout limits a TLS handshake.
const handshakeTimeout = 30 * time.Second

func (s *session) handshake() bool {
	if s.config.TLS == nil {
		return false
	}
	conn := tls.Server(s.conn, s.config.TLS)
	ctx, cancel := context.WithTimeout(s.ctx, handshakeTimeout)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		s.trouble("tls", "the TLS handshake failed", err)
		return false
	}
	s.use(conn)
	s.secure = true
	return true
}
