package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"postseal/internal/app/conf"
	"postseal/resolver"
)

// Check finds what prevents the daemon of c from starting on this host: listeners that cannot
// be opened, directories that cannot be created, a resolver that does not answer. Listeners of
// the running daemon, and of systemd, do not count.
func (f *Finder) Check(ctx context.Context, dns resolver.Resolver) conf.Check {
	return func(c *conf.Config) (list []conf.KeyProblem) {
		f.Config = c
		for _, l := range []struct {
			key     string
			address conf.Address
		}{{"milter", c.Listen.Milter}, {"policy", c.Listen.Policy}, {"smtp", c.Listen.SMTP},
			{"submission", c.Listen.Submission}, {"submissions", c.Listen.Submissions}, {"http", c.Listen.HTTP}, {"public", c.Listen.Public}} {
			if l.address == "" || f.own(ctx, l.key, string(l.address)) {
				continue
			}
			if err := openable(l.address); err != nil {
				list = append(list, conf.KeyProblem{Key: "listen." + l.key, Text: err.Error()})
			}
		}
		if err := writable(c.Bundles.Dir); err != nil {
			list = append(list, conf.KeyProblem{Key: "bundles.dir", Text: err.Error(), Warning: conf.IsDefaultBundles(c.Bundles.Dir)})
		}
		if dns != nil {
			limited, cancel := context.WithTimeout(ctx, 2*time.Second+time.Duration(c.DNS.Timeout))
			defer cancel()
			if _, err := dns.Lookup(limited, "arpa", resolver.NS); err != nil {
				list = append(list, conf.KeyProblem{Key: "dns.servers", Warning: true, Text: fmt.Sprintf("no name server answers (%v): verdicts that need the DNS would be temperror", err)})
			}
		}
		return list
	}
}

// own reports whether an address is used by the running daemon, or by systemd for it.
func (f *Finder) own(ctx context.Context, name, address string) bool {
	if f.Units[name] == address || os.Getenv("INVOCATION_ID") != "" { // we are part of a unit: serve itself reports it
		return true
	}
	for _, l := range f.Record.Listeners {
		if l.Name == name && l.Address == address {
			return Answers(ctx, name, address) == nil
		}
	}
	return f.Units[name] != "" // systemd's socket replaces it
}

// openable tries to listen, and closes the listener again.
func openable(address conf.Address) error {
	network, path := address.Network()
	if network == "unix" {
		return socketPath(path)
	}
	l, err := net.Listen(network, path)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is in use by another program: choose another port, or end that program", path)
	case err != nil:
		return fmt.Errorf("cannot listen at %s: %v", path, Cause(err))
	}
	return l.Close()
}

func socketPath(path string) error {
	info, err := os.Lstat(path)
	if err == nil && info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("%s exists and is not a socket", path)
	}
	if err == nil {
		conn, dialed := net.DialTimeout("unix", path, time.Second)
		if dialed == nil {
			conn.Close()
			return fmt.Errorf("%s is in use by another program", path)
		}
	}
	return probeDir(filepath.Dir(path), "the socket cannot be made")
}

// writable tries to create a directory and a file in it, and removes what it creates.
func writable(dir string) error {
	if dir == "" {
		return nil
	}
	above := dir
	for {
		info, err := os.Stat(above)
		if err == nil && !info.IsDir() {
			return fmt.Errorf("%s is not a directory", above)
		}
		if err == nil || above == filepath.Dir(above) {
			return probeDir(above, "the directory "+dir+" cannot be used")
		}
		above = filepath.Dir(above)
	}
}

func probeDir(dir, what string) error {
	f, err := os.CreateTemp(dir, ".postseal-check-")
	if err != nil {
		var p *os.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return fmt.Errorf("%s: %s: %w", what, dir, err)
	}
	f.Close()
	return os.Remove(f.Name())
}
