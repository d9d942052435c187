package audit_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postseal/audit"
	"postseal/resolver"
	"postseal/resolver/dnstest"
)

// authority is a certificate authority of one test.
type certAuthority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *certAuthority {
	t.Helper()
	ca := &certAuthority{pool: x509.NewCertPool()}
	ca.cert, ca.key = ca.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "test root"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	ca.pool.AddCert(ca.cert)
	return ca
}

// sign issues a certificate; without a root it signs itself.
func (ca *certAuthority) sign(t *testing.T, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent, signer := template, key
	if ca.cert != nil {
		parent, signer = ca.cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func (ca *certAuthority) server(t *testing.T, name string) tls.Certificate {
	t.Helper()
	cert, key := ca.sign(t, &x509.Certificate{DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

// TestPolicyOverTLS fetches a policy from a real server: the certificate counts.
func TestPolicyOverTLS(t *testing.T) {
	ca := newAuthority(t)
	const policy = "version: STSv1\r\nmode: enforce\r\nmx: *.a.test\r\nmax_age: 604800\r\n"
	for _, test := range []struct{ name, want string }{{"mta-sts.a.test", ""}, {"www.a.test", "mtasts.certificate"}} {
		web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if q.URL.Path != "/.well-known/mta-sts.txt" || q.Host != "mta-sts.a.test" {
				http.NotFound(w, q)
				return
			}
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprint(w, policy)
		}))
		web.TLS = &tls.Config{Certificates: []tls.Certificate{ca.server(t, test.name)}}
		web.Config.ErrorLog = log.New(io.Discard, "", 0)
		web.StartTLS()
		z, err := dnstest.Parse(sane + "_mta-sts.a.test. TXT \"v=STSv1; id=1;\"\n" + "mta-sts.a.test. A 198.51.100.5\n")
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.pool},
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, web.Listener.Addr().String())
			}}}
		r := (&audit.Auditor{Resolver: z, HTTP: client}).Audit(t.Context(), "a.test", audit.Options{})
		got := ""
		for _, f := range r.Findings {
			if strings.HasPrefix(f.ID, "mtasts.") {
				got += f.ID
			}
		}
		if got != test.want || test.want == "" && (r.Records.MTASTS.Policy == nil || r.Records.MTASTS.Policy.Mode != "enforce") {
			t.Errorf("certificate for %s: got %q, want %q; policy %+v; %+v", test.name, got, test.want, r.Records.MTASTS.Policy, r.Unchecked)
		}
		client.CloseIdleConnections()
		web.Close()
	}
}

// TestStaysPublic: a name that leads into a special-purpose block is not followed, by no way
// that an audit connects.
func TestStaysPublic(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "192.0.0.170", "198.18.0.1", "192.0.2.1", "0.0.0.0",
		"::1", "fc00::1", "fe80::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::808:808", "2002:7f00:1::1", "2001::1", "fec0::1"} {
		t.Run(ip, func(t *testing.T) {
			address := netip.MustParseAddr(ip)
			z := addressOnly(address)
			var none audit.Network
			if _, err := none.HTTPClient(z).Get("https://mta-sts.a.test/"); err == nil || !strings.Contains(err.Error(), "not an address of the public") {
				t.Errorf("HTTPS: got %v", err)
			}
			if _, err := none.Dialer(time.Second)(t.Context(), "tcp", netip.AddrPortFrom(address, 25).String()); err == nil || !strings.Contains(err.Error(), "not an address of the public") {
				t.Errorf("SMTP: got %v", err)
			}
			if _, _, err := none.Authority(time.Second)(t.Context(), address, "a.test", resolver.TXT); err == nil || !strings.Contains(err.Error(), "not an address of the public") {
				t.Errorf("DNS: got %v", err)
			}
		})
	}
}

// addressOnly answers every address question with one address.
type addressOnly netip.Addr

// Lookup implements resolver.Resolver.
func (z addressOnly) Lookup(_ context.Context, _ string, q resolver.Type) (resolver.Answer, error) {
	if ip := netip.Addr(z); ip.Is4() == (q == resolver.A) {
		return resolver.Answer{Records: []resolver.RR{{Addr: ip}}}, nil
	}
	return resolver.Answer{}, nil
}

// TestPort: files of a domain come from port 443, in a laboratory too.
func TestPort(t *testing.T) {
	z := addressOnly(netip.MustParseAddr("127.0.0.1"))
	for _, n := range []audit.Network{{}, {AllowPrivate: true}} {
		if _, err := n.HTTPClient(z).Get("https://mta-sts.a.test:25/"); err == nil || !strings.Contains(err.Error(), "only from port 443") {
			t.Errorf("%+v: got %v", n, err)
		}
	}
}

// smtpHost speaks as much SMTP as a probe needs.
func smtpHost(t *testing.T, config *tls.Config, broken bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			session(conn, config, broken)
		}
	}()
	return l.Addr().String()
}

func session(conn net.Conn, config *tls.Config, broken bool) {
	defer func() { conn.Close() }()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprint(conn, "220 mx.a.test ESMTP\r\n")
	for r := bufio.NewReader(conn); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch word, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " "); {
		case word == "EHLO" && config != nil:
			fmt.Fprint(conn, "250-mx.a.test\r\n250 STARTTLS\r\n")
		case word == "EHLO":
			fmt.Fprint(conn, "250 mx.a.test\r\n")
		case word == "STARTTLS" && broken:
			fmt.Fprint(conn, "454 TLS not available\r\n")
		case word == "STARTTLS":
			fmt.Fprint(conn, "220 go\r\n")
			conn = tls.Server(conn, config)
			r = bufio.NewReader(conn)
		case word == "QUIT":
			fmt.Fprint(conn, "221 bye\r\n")
			return
		default:
			fmt.Fprint(conn, "502 no\r\n")
		}
	}
}

// TestProbe: each rule about STARTTLS, and the TLSA record, against a real session.
func TestProbe(t *testing.T) {
	ca := newAuthority(t)
	good, other := ca.server(t, "mx.a.test"), ca.server(t, "www.a.test")
	spki := sha256.Sum256(good.Leaf.RawSubjectPublicKeyInfo)
	config := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	old := config(good)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	for _, test := range []struct {
		name   string
		config *tls.Config
		broken bool
		dane   bool
		want   string
	}{
		{"all well", config(good), false, true, ""},
		{"no STARTTLS", nil, false, false, "starttls.missing"},
		{"STARTTLS fails", config(good), true, false, "starttls.failed"},
		{"TLS 1.1", old, false, true, "starttls.old"},
		{"another name", config(other), false, false, "starttls.certificate"},
		{"another key than DANE says", config(other), false, true, "starttls.certificate dane.mismatch"},
	} {
		addr := smtpHost(t, test.config, test.broken)
		zone := sane + "_mta-sts.a.test. TXT \"v=STSv1; id=1;\"\n" + "mta-sts.a.test. A 198.51.100.5\n"
		if test.dane {
			zone += fmt.Sprintf("_25._tcp.mx.a.test. TLSA 3 1 1 %x\n; SECURE a.test\n; SECURE mx.a.test\n; SECURE _25._tcp.mx.a.test\n", spki)
		}
		z, err := dnstest.Parse(zone)
		if err != nil {
			t.Fatal(err)
		}
		v := vector{files: map[string]string{"fires.https://mta-sts.a.test/.well-known/mta-sts.txt": "HTTP/1.1 200 OK\nContent-Type: text/plain\n\nversion: STSv1\nmode: enforce\nmx: mx.a.test\nmax_age: 604800\n"}}
		a := &audit.Auditor{Resolver: z, Roots: ca.pool, HTTP: &http.Client{Transport: fakeWeb{&v, "fires"}},
			Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				if address != "198.51.100.1:25" {
					t.Errorf("%s: dials %s", test.name, address)
				}
				return (&net.Dialer{}).DialContext(ctx, network, addr)
			}}
		r := a.Audit(t.Context(), "a.test", audit.Options{Probe: true})
		var got []string
		for _, f := range r.Findings {
			if strings.HasPrefix(f.ID, "starttls.") || strings.HasPrefix(f.ID, "dane.") {
				got = append(got, f.ID)
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: got %q, want %q; %+v %+v", test.name, got, test.want, r.Records.TLS, r.Unchecked)
		}
		checkSchema(t, compiled(t), r)
	}
}

// TestProbeUnreachable: a closed port says nothing about the host.
func TestProbeUnreachable(t *testing.T) {
	z, err := dnstest.Parse(sane)
	if err != nil {
		t.Fatal(err)
	}
	a := &audit.Auditor{Resolver: z, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }}
	r := a.Audit(t.Context(), "a.test", audit.Options{Probe: true})
	if strings.Contains(ids(r), "starttls.") || len(r.Records.TLS) != 1 || r.Records.TLS[0].State != "unreachable" || r.Grade != "A" {
		t.Errorf("found %s, %+v, grade %q", ids(r), r.Records.TLS, r.Grade)
	}
}

// lab reaches the servers of tests, which are on loopback.
var lab = audit.Network{AllowPrivate: true}

// TestAskServer asks real servers on loopback.
func TestAskServer(t *testing.T) {
	z, err := dnstest.Parse("$TTL 60\na.test. TXT \"one\" \"two\"\na.test. TXT \"three\"\nc.test. CNAME a.test.\n; FAULT s.test TXT SERVFAIL\n")
	if err != nil {
		t.Fatal(err)
	}
	s, err := z.Serve()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	// The test server answers as a resolver does, without authority.
	if _, lame, err := lab.AskServer(t.Context(), s.Addr(), "a.test", resolver.TXT, time.Second); err != nil || !lame {
		t.Errorf("lame %v, %v", lame, err)
	}
	if _, _, err := lab.AskServer(t.Context(), s.Addr(), "s.test", resolver.TXT, time.Second); resolver.KindOf(err) != resolver.ServFail {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := lab.AskServer(ctx, s.Addr(), "a.test", resolver.TXT, time.Second); err == nil {
		t.Error("a cancelled question has an answer")
	}
}

// TestAskAuthority asks a server that has the zone.
func TestAskAuthority(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	s := &dns.Server{PacketConn: pc, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative = true
		if q.Question[0].Name == "a.test." && !q.RecursionDesired {
			m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: "a.test.", Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{"v=spf1 ", "-all"}})
		} else {
			m.Rcode = dns.RcodeNameError
		}
		w.WriteMsg(m)
	})}
	done := make(chan error, 1)
	go func() { done <- s.ActivateAndServe() }()
	<-started
	defer func() { s.Shutdown(); <-done }()
	texts, lame, err := lab.AskServer(t.Context(), pc.LocalAddr().String(), "a.test", resolver.TXT, time.Second)
	if err != nil || lame || len(texts) != 1 || texts[0] != "v=spf1 -all" {
		t.Errorf("got %q, lame %v, %v", texts, lame, err)
	}
	if texts, lame, err := lab.AskServer(t.Context(), pc.LocalAddr().String(), "b.test", resolver.TXT, time.Second); err != nil || lame || len(texts) != 0 {
		t.Errorf("got %q, lame %v, %v", texts, lame, err)
	}
}
