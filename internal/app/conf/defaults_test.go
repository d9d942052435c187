package conf

import (
	"testing"
	"time"
)

// TestDefaultListen: a file that names no listener has the default ones, one that names some
// has only those.
func TestDefaultListen(t *testing.T) {
	for _, tt := range []struct{ name, file, milter, policy string }{
		{"empty", "", "127.0.0.1:8895", "127.0.0.1:8892"},
		{"another key", "enforce = 'observe'\n", "127.0.0.1:8895", "127.0.0.1:8892"},
		{"a table without a listener", "[listen]\nsocket_mode = '0666'\n", "127.0.0.1:8895", "127.0.0.1:8892"},
		{"one", "[listen]\nmilter = 'unix:/run/x'\n", "unix:/run/x", ""},
		{"one, dotted", "listen.http = '127.0.0.1:1'\n", "", ""},
		{"off", "[listen]\nmilter = ''\n", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _, err := Parse("t", []byte(tt.file), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if string(c.Listen.Milter) != tt.milter || string(c.Listen.Policy) != tt.policy {
				t.Errorf("Parse: milter %q, policy %q; want %q, %q", c.Listen.Milter, c.Listen.Policy, tt.milter, tt.policy)
			}
		})
	}
}

func TestStateDir(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", "/x")
	t.Setenv("STATE_DIRECTORY", "/a:/b")
	if got := StateDir(); got != "/a" {
		t.Errorf("StateDir = %q, want /a", got)
	}
	if c := Default(); c.Bundles.Dir != "/a/bundles" || !IsDefaultBundles(c.Bundles.Dir) {
		t.Errorf("bundles in %q", c.Bundles.Dir)
	}
	c, _, err := Parse("t", []byte("[bundles]\ndir = 'none'\n"), time.Now())
	if err != nil || c.Bundles.Dir != "" {
		t.Errorf("dir = none: %q, %v", c.Bundles.Dir, err)
	}
}
