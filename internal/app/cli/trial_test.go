package cli

import (
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postseal/internal/app/conf"
	"postseal/internal/core/dnszone"
	"postseal/server"
	"postseal/server/listener"
)

// TestTrial asks a daemon, over a unix socket, and one that tries nothing.
func TestTrial(t *testing.T) {
	for config, test := range map[string]struct {
		code int
		want string
	}{
		"[trial]\nenforce = 'strict'\n": {exitOK, "enforce=strict discovery=treewalk since"},
		"":                              {exitConfig, "the daemon has no [trial] policy"},
	} {
		address := daemon(t, config)
		code, stdout, stderr := run(nil, "", "trial", "--address", address)
		if code != test.code || !strings.Contains(stdout+stderr, test.want) {
			t.Errorf("%q: exit %d\n%s%s\nwant %d with %q", config, code, stdout, stderr, test.code, test.want)
		}
		code, stdout, _ = run(nil, "", "trial", "--address", address, "--format", "json")
		if err := matchSchema("trial", stdout); code != exitOK || err != nil {
			t.Errorf("%q: exit %d, %v\n%s", config, code, err, stdout)
		}
	}
	code, _, stderr := run(nil, "", "trial", "--address", "unix:"+t.TempDir()+"/none")
	if code != exitUnavailable || !strings.Contains(stderr, "check that it is running") {
		t.Errorf("no daemon: exit %d, %s", code, stderr)
	}
	if code, _, _ := run(nil, "", "trial", "--address", "nowhere"); code != exitUsage {
		t.Errorf("a wrong address: exit %d", code)
	}
}

// daemon serves http at the address that it returns.
func daemon(t *testing.T, config string) string {
	t.Helper()
	t.Setenv("STATE_DIRECTORY", t.TempDir())
	zone, err := dnszone.Parse("")
	if err != nil {
		t.Fatal(err)
	}
	address := "unix:" + filepath.Join(t.TempDir(), "h")
	d, err := server.New(server.Options{Resolver: zone, Log: io.Discard, Version: "test", Load: func(*conf.Shared) (*conf.Config, []conf.Problem, error) {
		return conf.Parse("t", []byte("authserv_id = 'mx.test'\nenforce = 'observe'\n[listen]\nhttp = '"+address+"'\n"+config), time.Now())
	}})
	if err != nil {
		t.Fatal(err)
	}
	if d.Addr(listener.HTTP) == nil {
		t.Fatal("the daemon does not listen")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx, nil) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return address
}
