package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// shape is a message that no honest sender makes, sent by a client that wants to keep the server busy.
type shape struct {
	name  string
	make  func(l *letter) *letter
	octet bool // each octet of the body is a milter packet of its own
	write bool // each octet of the session is a write of its own
	n     int  // messages of a run
}

var shapes = []shape{
	{name: "usual", make: func(l *letter) *letter { return l }, n: 2000},
	{name: "octets", make: withBody(20000), octet: true, n: 100},
	{name: "writes", make: withBody(3000), write: true, n: 100},
	{name: "5000 signatures", n: 60, make: withFields(5000, func(i int) (string, string) {
		return "DKIM-Signature", fmt.Sprintf(" v=1; a=rsa-sha256; c=relaxed/relaxed; d=acme%d.example; s=k1;\r\n\th=From:Subject; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAA%d", i%7, i)
	})},
	{name: "20000 names", n: 60, make: withFields(20000, func(i int) (string, string) { return fmt.Sprintf("X-Name-%d", i), " value" })},
	{name: "10000 To", n: 60, make: withFields(10000, func(i int) (string, string) { return "To", fmt.Sprintf(" a%d@here.example", i) })},
}

// withBody gives a message a body of so many octets.
func withBody(n int) func(*letter) *letter {
	return func(l *letter) *letter {
		c := *l
		c.body = bytes.Repeat([]byte("0123456789 text of a line \r\n"), n/28)
		return &c
	}
}

// withFields puts fields before those of a message.
func withFields(n int, field func(i int) (string, string)) func(*letter) *letter {
	return func(l *letter) *letter {
		c := *l
		c.fields = nil
		for i := range n {
			name, value := field(i)
			c.fields = append(c.fields, [2]string{name, value})
		}
		c.fields = append(c.fields, l.fields...)
		return &c
	}
}

// lean is rspamd with what we do alone: SPF, DKIM, ARC, DMARC and the field of results.
var lean = peer{"rspamd-lean", func(dir string) ([]string, error) {
	conf := filepath.Join(dir, "rspamd.conf")
	text := `options { pidfile = "DIR/pid"; filters = "dkim"; cache_file = "DIR/symbols"; dynamic_conf = "DIR/dynamic"; history_rows = 1; tempdir = "DIR"; hs_cache_dir = "DIR/";
  url_tld = "/usr/share/rspamd/effective_tld_names.dat"; control_socket = "DIR/control mode=0600"; local_addrs = [192.168.0.0/16]; task_timeout = 60s; check_all_filters = false;
  allow_raw_input = true; max_message = 60M; dns { nameserver = ["127.0.0.1:53:1"]; timeout = 5s; sockets = 16; retransmits = 2; } dns_max_requests = 64; }
logging { type = "file"; filename = "DIR/rspamd.log"; level = "error"; }
modules { path = "/usr/share/rspamd/plugins"; }
metric { name = "default"; }
actions { reject = 15; add_header = 6; greylist = 40000; }
worker "rspamd_proxy" { bind_socket = "DIR/s mode=0666"; milter = yes; timeout = 120s; upstream "local" { default = yes; self_scan = yes; } count = 1; max_retries = 2; }
spf { spf_cache_size = 2k; spf_cache_expire = 1d; }
dkim { dkim_cache_size = 2k; dkim_cache_expire = 1d; time_jitter = 6h; trusted_only = false; skip_multi = false; }
dmarc { actions = { reject = "reject"; quarantine = "add_header"; } }
arc { sign_inbound = false; sign_local = false; sign_authenticated = false; }
milter_headers { use = ["authentication-results"]; routines { authentication-results { add_smtp_user = false; } } skip_local = false; }
`
	return []string{"rspamd", "-f", "--insecure", "-c", conf}, os.WriteFile(conf, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600)
}}

// mostOfPeer is how much of the CPU time of rspamd a message of a shape may take: no more, with room for
// what two runs on one machine differ by.
const mostOfPeer = 1.25

// shapes measures the CPU time of each shape, ours and that of rspamd in the same run. Ours may not be the larger.
func (l *load) shapes(others bool) error {
	kinds := []string{bareMilter, ours}
	if others {
		peers = append(peers, lean)
		kinds = append(kinds, lean.kind)
	}
	var worse []string
	for _, s := range shapes {
		m := s.make(l.mails["small"][0])
		took := map[string]time.Duration{}
		for _, kind := range kinds {
			cpu, err := l.cpu(kind, s.name, 4, s.n, func(c *child, conns, n int) ([]time.Duration, error) { return sendShape(c, &s, m, conns, n) })
			if kind == lean.kind && errors.Is(err, errNotStarted) {
				fmt.Printf("skipped: %v\n", err)
				continue
			}
			if err != nil {
				return err
			}
			took[kind] = cpu
		}
		if peer := took[lean.kind]; peer > 0 {
			ratio := float64(took[ours]) / float64(peer)
			fmt.Printf("%-16s %-15s %.2f of the CPU time of rspamd\n", "", s.name, ratio)
			if ratio > mostOfPeer {
				worse = append(worse, s.name)
			}
		}
	}
	if len(worse) > 0 {
		return fmt.Errorf("more than %.2f of the CPU time of rspamd: %s", mostOfPeer, strings.Join(worse, ", "))
	}
	return nil
}

// sendShape sends n messages of a shape. A server may refuse them, or end the session: what counts is what
// that costs.
func sendShape(c *child, s *shape, m *letter, conns, n int) ([]time.Duration, error) {
	socket := socketOf(c.dir, false)
	return spread(conns, n, func() (func(i int) error, func(), error) {
		return func(int) error {
			t, err := dialMTA(socket)
			if err != nil {
				return err
			}
			defer t.quit()
			t.octets = s.octet
			if s.write {
				t.w.Reset(slowly{t.conn})
			}
			t.sendMessage(m) //nolint:errcheck // see above
			return nil
		}, func() {}, nil
	})
}

// slowly writes one octet at a time.
type slowly struct{ net.Conn }

// Write implements io.Writer.
func (s slowly) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := s.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}
