package proxy

import (
	"crypto/tls"
	"fmt"
	"time"

	"postseal/internal/app/clients"
	"postseal/internal/app/conf"
)

// ClientInfo says how the next hop is told about the client.
type ClientInfo string

// The ways. Without them the next hop believes that every client is this host, and may let it
// relay. Auto: XCLIENT if offered, or else XFORWARD if offered. XCLIENT: like Auto, but without
// XCLIENT no mail is accepted. XFORWARD only informs the log of the next hop.
const (
	ClientInfoAuto     ClientInfo = "auto"
	ClientInfoXCLIENT  ClientInfo = "xclient"
	ClientInfoXFORWARD ClientInfo = "xforward"
	ClientInfoNone     ClientInfo = "none"
)

// Mode is what a listener is for.
type Mode string

// The modes. On the submission ports no mail is accepted until the next hop has authenticated
// the client (RFC 6409 §4.3); submissions uses TLS from the first octet (RFC 8314 §3.3).
const (
	Transfer    Mode = "smtp"
	Submission  Mode = "submission"
	Submissions Mode = "submissions"
)

// Config is the configuration of the listener. NextHop is required.
type Config struct {
	Hostname   string           // in the greeting; default the authserv-id
	NextHop    NextHop          // where mail is sent
	Peers      clients.Networks // clients that may use XFORWARD and XCLIENT
	ClientInfo ClientInfo       // default ClientInfoAuto
	Auth       bool             // AUTH is passed to the next hop, only over TLS
	TLS        *tls.Config      // nil: no STARTTLS; required for Submissions
	Spool      SpoolLimits
	Timeout    time.Duration // for the next command or piece of a message; default 5 min (RFC 5321 §4.5.3.2)

	keepAlive time.Duration // how often the next hop hears from us while a message arrives; otherwise it hangs up
}

// DefaultTimeout is how long a client may be silent (RFC 5321 §4.5.3.2.7).
const DefaultTimeout = 5 * time.Minute

// FromConfig builds a Config from the configuration file, and reads the certificate.
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
