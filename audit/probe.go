package audit

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"net/smtp"
	"slices"
	"strings"
	"time"
)

// Dial connects to an address of an MX host.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// TLSProbe is the TLS that an MX host offers.
type TLSProbe struct {
	Host        string `json:"host"`
	State       string `json:"state"` // tls, no-starttls, unreachable, failed
	Version     string `json:"version,omitempty"`
	Certificate string `json:"certificate,omitempty"` // valid, or the reason why it is not
}

const probeTime = 20 * time.Second

// probe opens a session with each MX host, up to STARTTLS.
func (r *run) probe() {
	if !r.options.Probe || r.Dial == nil {
		return
	}
	for _, h := range r.report.Records.MX {
		if h.Name == "" || len(h.Addresses) == 0 {
			continue
		}
		r.report.Records.TLS = append(r.report.Records.TLS, r.probeHost(h))
	}
}

func (r *run) probeHost(h MXHost) TLSProbe {
	p := TLSProbe{Host: h.Name, State: "unreachable"}
	ctx, cancel := context.WithTimeout(r.ctx, probeTime)
	defer cancel()
	conn, err := r.connect(ctx, h.Addresses)
	if err != nil {
		r.unchecked("starttls", h.Name, err, false)
		return p
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	at := Where{Name: h.Name}
	c, err := smtp.NewClient(conn, h.Name)
	if err == nil {
		err = c.Hello("localhost")
	}
	if err != nil {
		p.State = "failed"
		r.unchecked("starttls", h.Name, err, false)
		return p
	}
	defer c.Close()
	if ok, _ := c.Extension("STARTTLS"); !ok {
		p.State = "no-starttls"
		r.find("starttls.missing", at, "MX host "+h.Name+" does not offer STARTTLS", "")
		return p
	}
	if err := c.StartTLS(&tls.Config{ServerName: h.Name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}); err != nil {
		p.State = "failed"
		r.find("starttls.failed", at, "MX host "+h.Name+" offers STARTTLS, but it fails: "+err.Error(), "")
		return p
	}
	state, _ := c.TLSConnectionState()
	c.Quit()
	r.certificate(&p, state, at)
	return p
}

func (r *run) connect(ctx context.Context, addresses []netip.Addr) (conn net.Conn, err error) {
	for _, ip := range addresses {
		if conn, err = r.Dial(ctx, "tcp", netip.AddrPortFrom(ip, 25).String()); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

func (r *run) certificate(p *TLSProbe, state tls.ConnectionState, at Where) {
	p.State, p.Version, p.Certificate = "tls", tls.VersionName(state.Version), "valid"
	if state.Version < tls.VersionTLS12 {
		r.find("starttls.old", at, "MX host "+p.Host+" supports at most "+p.Version, "")
	}
	chain := state.PeerCertificates
	roots := x509.VerifyOptions{DNSName: p.Host, Intermediates: x509.NewCertPool(), Roots: r.Roots}
	for _, c := range chain[1:] {
		roots.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(roots); err != nil {
		p.Certificate = err.Error()
		if policy := r.report.Records.MTASTS.Policy; policy != nil && policy.Mode == "enforce" {
			r.find("starttls.certificate", at, "MTA-STS is enforced, but the certificate of "+p.Host+" is not valid: "+err.Error(), "")
		}
	}
	records := slices.DeleteFunc(slices.Clone(r.report.Records.DANE), func(t TLSA) bool { return !strings.EqualFold(t.Host, p.Host) || !t.Usable })
	if len(records) > 0 && !slices.ContainsFunc(records, func(t TLSA) bool { return t.matches(chain) }) {
		r.find("dane.mismatch", at, fmt.Sprintf("none of the %d TLSA records matches the certificate of %s", len(records), p.Host), "")
	}
}

// matches compares with the host's certificate, or, for usage 2, with any of the chain
// (RFC 6698 §2.1).
func (t TLSA) matches(chain []*x509.Certificate) bool {
	if t.Usage == 3 {
		chain = chain[:1]
	}
	return slices.ContainsFunc(chain, func(c *x509.Certificate) bool {
		data := c.Raw
		if t.Selector == 1 {
			data = c.RawSubjectPublicKeyInfo
		}
		switch t.Matching {
		case 1:
			sum := sha256.Sum256(data)
			data = sum[:]
		case 2:
			sum := sha512.Sum512(data)
			data = sum[:]
		}
		return string(data) == string(t.raw)
	})
}
