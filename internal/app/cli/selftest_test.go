package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postseal/internal/app/conf"
	"postseal/internal/app/selftest"
	"postseal/lab/loopback"
	"postseal/resolver/dnstest"
	"postseal/server"
)

// mta takes every message, and offers XCLIENT if it is told to.
type mta struct {
	xclient  bool
	messages atomic.Int64
}

func (m *mta) session(conn net.Conn) {
	fmt.Fprint(conn, "220 mta.test ESMTP\r\n")
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		switch {
		case strings.HasPrefix(lines.Text(), "EHLO") && m.xclient:
			fmt.Fprint(conn, "250-mta.test\r\n250 XCLIENT NAME ADDR\r\n")
		case lines.Text() == "DATA":
			m.messages.Add(1)
			fmt.Fprint(conn, "554 no\r\n")
		default:
			fmt.Fprint(conn, "250 ok\r\n")
		}
	}
}

// TestSelftestNotReady: where the attacks would show nothing, selftest says what is missing and
// sends no message.
func TestSelftestNotReady(t *testing.T) {
	all, err := selftest.Attacks()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, zone, enforce string
		mta                 *mta
		code                int
		want                string
	}{
		{"no XCLIENT", selftest.Zone(all), "strict", &mta{}, exitConfig, "does not offer XCLIENT to this host"},
		{"other DNS data", "bank.test. 60 TXT \"v=spf1 -all\"\n_dmarc.bank.test. 60 TXT \"v=DMARC1; p=reject\"", "strict", &mta{xclient: true}, exitConfig,
			"does not know the domains acme.test, aliased.test, victim.co.uk, wild.test"},
		{"observe", selftest.Zone(all), "observe", &mta{xclient: true}, exitConfig, "accepts a plain forgery of acme.test"},
		{"ready", selftest.Zone(all), "guarded", &mta{xclient: true}, exitOK, "147 of 147 attacks stopped"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("STATE_DIRECTORY", t.TempDir())
			config := filepath.Join(t.TempDir(), "postseal.toml")
			socket := filepath.Join(t.TempDir(), "m")
			text := fmt.Sprintf("authserv_id = 'mx.test'\nenforce = %q\n[listen]\nmilter = 'unix:%s'\n[store]\nurl = 'none'\n", tt.enforce, socket)
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			zone, err := dnstest.Parse(tt.zone)
			if err != nil {
				t.Fatal(err)
			}
			d, err := server.New(server.Options{Resolver: zone, Log: io.Discard, Version: "test", Load: func(*conf.Shared) (*conf.Config, []conf.Problem, error) {
				return conf.Load(config, time.Now())
			}})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- d.Run(ctx, nil) }()
			defer func() { cancel(); <-ended }()
			code, stdout, stderr := run(nil, "", "selftest", "--config", config, "--postfix", loopback.Serve(t, tt.mta.session), "--to", "erin@example.net", "--quiet", "--format", "text")
			text = strings.Join(strings.Fields(stdout+stderr), " ")
			if code != tt.code || !strings.Contains(text, tt.want) {
				t.Errorf("exit %d: %s\nwant %d: %s", code, text, tt.code, tt.want)
			}
			if n := tt.mta.messages.Load(); (n > 0) != (tt.code == exitOK) {
				t.Errorf("%d messages were sent", n)
			}
		})
	}
	if code, _, stderr := run(nil, "", "selftest", "--postfix", "127.0.0.1:1"); code != exitUnavailable || !strings.Contains(stderr, "nothing was sent") {
		t.Errorf("no server: exit %d %s", code, stderr)
	}
}
