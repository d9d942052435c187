package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"postseal/internal/app/conf"
	"postseal/lab/listenertest"
	"postseal/resolver/dnstest"
	"postseal/resolver/stub"
)

func bootOptions(t *testing.T, log *listenertest.Log, config string) Options {
	c, _, err := conf.Parse("t", []byte("authserv_id = 'mx.test'\n"+config), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return Options{Log: log, Load: func(*conf.Shared) (*conf.Config, []conf.Problem, error) { return c, nil, nil }}
}

// TestBoot: a host that is still starting is waited for; what a person must fix is not.
func TestBoot(t *testing.T) {
	t.Parallel() // it waits
	const config = "[listen]\nmilter = '127.0.0.1:0'\nhttp = ''\n[bundles]\ndir = ''\n"
	for _, tt := range []struct {
		name  string
		err   error
		waits bool
	}{
		{"no resolv.conf", fmt.Errorf("%w: %w", errNoServers, &fs.PathError{Op: "open", Path: "/etc/resolv.conf", Err: fs.ErrNotExist}), true},
		{"an empty resolv.conf", fmt.Errorf("%w: /etc/resolv.conf: %w", errNoServers, stub.ErrNoServers), true},
		{"a name server that cannot be resolved", fmt.Errorf("dns.test: %w", &net.DNSError{Err: "no such host", Name: "dns.test"}), true},
		{"an interface that is not up", &net.OpError{Op: "listen", Err: syscall.EADDRNOTAVAIL}, true},
		{"a network that is none", errors.New("validating: bad network"), false},
		{"a file that is missing", fs.ErrNotExist, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			log := &listenertest.Log{}
			o := bootOptions(t, log, config)
			tries := 0
			o.dial = func(c conf.DNS) (*names, error) {
				if tries++; tries == 1 {
					return nil, tt.err
				}
				return given(&dnstest.Zone{})(c)
			}
			d, err := New(o)
			if d != nil {
				d.close()
			}
			if (err == nil) != tt.waits || strings.Contains(log.String(), "not ready yet") != tt.waits {
				t.Errorf("New = %v after %d tries\n%s", err, tries, log)
			}
		})
	}
}

// TestBootStop: the waiting ends with the daemon.
func TestBootStop(t *testing.T) {
	log := &listenertest.Log{}
	o := bootOptions(t, log, "[listen]\nmilter = '192.0.2.1:0'\nhttp = ''\n[bundles]\ndir = ''\n")
	o.dial = given(&dnstest.Zone{})
	stop := make(chan struct{})
	o.Stop = stop
	close(stop)
	if _, err := New(o); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("New = %v", err)
	}
}
