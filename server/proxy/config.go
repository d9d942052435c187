package proxy

import (
	"crypto/tls"
	"fmt"
	"time"

	"postseal/internal/app/clients"
	"postseal/internal/app/conf"
)

// ClientInfo is how the next hop is told of the client.
type ClientInfo string

// The ways. Without them the next hop takes every client for this host, and may let it
// relay. Auto: XCLIENT where it is offered, else XFORWARD where that is. XCLIENT: as Auto,
// but no mail passes without. XFORWARD tells it for its log alone.
const (
	ClientInfoAuto     ClientInfo = "auto"
	ClientInfoXCLIENT  ClientInfo = "xclient"
	ClientInfoXFORWARD ClientInfo = "xforward"
	ClientInfoNone     ClientInfo = "none"
)

// Mode is what a listener is for.
type Mode string

// The modes. On the submission ports nothing passes without authentication by the next
// hop (RFC 6409 §4.3); submissions has TLS from the first octet (RFC 8314 §3.3).
const (
	Transfer    Mode = "smtp"
	Submission  Mode = "submission"
	Submissions Mode = "submissions"
)

// Config is the configuration of the listener. NextHop is required.
type Config struct {
	Hostname   string           // in the greeting; default the authserv-id
	NextHop    NextHop          // where mail goes on to
	Peers      clients.Networks // who may say by XFORWARD and XCLIENT whose mail it is
	ClientInfo ClientInfo       // default ClientInfoAuto
	Auth       bool             // AUTH passes to the next hop, over TLS alone
	TLS        *tls.Config      // nil: no STARTTLS; required for Submissions
	Spool      SpoolLimits
	Timeout    time.Duration // for the next command or piece of a message; default 5 min (RFC 5321 §4.5.3.2)

	keepAlive time.Duration // how often the next hop hears of us while a message comes in; else it hangs up
}

// DefaultTimeout is the patience with a client (RFC 5321 §4.5.3.2.7).
const DefaultTimeout = 5 * time.Minute

// FromConfig makes a Config of the configuration file, and reads the certificate.
func FromConfig(c *conf.Config) (Config, error) {
	p := &c.Proxy
	all := Config{NextHop: NextHop{Address: string(p.NextHop)}, Peers: clients.NewNetworks(conf.Prefixes(p.Peers)...), ClientInfo: ClientInfo(p.ClientInfo),
		Auth: p.Auth, Timeout: time.Duration(p.Timeout),
		Spool: SpoolLimits{Dir: p.SpoolDir, Memory: int(p.Memory), Message: int64(p.Message), Total: int64(p.Spool)}}
	if name, port, ok := p.NextHop.Exchangers(); ok {
		all.NextHop = NextHop{MX: name, Port: port}
	}
	if p.Certificate == "" {
		return all, nil
	}
	certificate, err := tls.LoadX509KeyPair(p.Certificate, p.Key)
	if err != nil {
		return Config{}, fmt.Errorf("[proxy] certificate: %w", err)
	}
	all.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	return all, nil
}

func (c *Config) setDefaults() error {
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.keepAlive <= 0 {
		c.keepAlive = time.Minute
	}
	if c.ClientInfo == "" {
		c.ClientInfo = ClientInfoAuto
	}
	switch c.ClientInfo {
	case ClientInfoAuto, ClientInfoXCLIENT, ClientInfoXFORWARD, ClientInfoNone:
	default:
		return fmt.Errorf("proxy: Config.ClientInfo: %q is not one of auto, xclient, xforward, none", c.ClientInfo)
	}
	if c.NextHop.Address == "" && c.NextHop.MX == "" {
		return fmt.Errorf("proxy: Config.NextHop: an address or a domain with mail exchangers is missing")
	}
	c.Spool = c.Spool.orDefault()
	return nil
}
