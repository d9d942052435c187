// Package postfix reads the configuration of Postfix and adds postseal to it. "postseal setup
// postfix" and "postseal doctor" use it for main.cf and master.cf.
package postfix

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrNotInstalled means that this host has no postconf.
var ErrNotInstalled = errors.New("postconf is not installed")

// Settings are the settings of main.cf that concern postseal.
type Settings struct {
	Version       string
	ConfigDir     string
	QueueDir      string
	MailOwner     string
	Milters       string   // smtpd_milters, as written
	Recipient     string   // smtpd_recipient_restrictions, as written
	DefaultAction string   // milter_default_action
	BareNewline   string   // smtpd_forbid_bare_newline, "" if Postfix does not support it
	Protocol      string   // milter_protocol
	Hostname      string   // myhostname
	Proxies       []string // smtpd_proxy_filter of main.cf and of services in master.cf
	Explicit      map[string]bool
	Chrooted      bool     // some smtpd in master.cf runs inside QueueDir
	Overrides     []string // services in master.cf that set smtpd_milters themselves

	expanded map[string]string // Milters and Recipient without $names
	wrote    []string          // endpoints that setup previously wrote into Milters
}

// Defaults are the settings of Postfix as Debian installs it, to show what setup would do if it
// is not installed.
func Defaults() Settings {
	return Settings{ConfigDir: "/etc/postfix", QueueDir: "/var/spool/postfix", MailOwner: "postfix", Protocol: "6", Chrooted: true,
		Explicit: map[string]bool{}}
}

// Read runs postconf. dir is the configuration directory, "" the default one.
func Read(ctx context.Context, dir string) (Settings, error) {
	s := Settings{Explicit: map[string]bool{}}
	if dir != "" {
		if _, err := os.Stat(filepath.Join(dir, "main.cf")); err != nil { // postconf says so a second later
			return s, err
		}
	}
	values, err := parameters(ctx, dir, true, "mail_version", "config_directory", "queue_directory", "mail_owner", "milter_default_action", "myhostname", Protocol, proxyFilter, BareNewline, Milters, Recipient)
	if err != nil {
		return s, err
	}
	s.Version, s.ConfigDir, s.QueueDir, s.MailOwner = values["mail_version"], values["config_directory"], values["queue_directory"], values["mail_owner"]
	s.DefaultAction, s.BareNewline, s.expanded = values["milter_default_action"], values[BareNewline], values
	s.Protocol, s.Hostname = values[Protocol], values["myhostname"]
	if filter := values[proxyFilter]; filter != "" {
		s.Proxies = append(s.Proxies, filter)
	}
	if values, err = parameters(ctx, dir, false, Milters, Recipient); err != nil {
		return s, err
	}
	s.Milters, s.Recipient = values[Milters], values[Recipient]
	explicit, err := postconf(ctx, dir, "-n")
	if err != nil {
		return s, err
	}
	for line := range strings.SplitSeq(explicit, "\n") {
		if name, _, ok := strings.Cut(line, " ="); ok {
			s.Explicit[name] = true
		}
	}
	if r, err := s.readRecord(); err == nil {
		for _, c := range r.Changes {
			if c.Name == Milters {
				s.wrote = append(s.wrote, added(c)...)
			}
		}
	}
	return s, s.readServices(ctx, dir)
}

// inForce returns the value of Milters or Recipient without $names.
func (s *Settings) inForce(name, written string) string {
	if value, ok := s.expanded[name]; ok {
		return value
	}
	return written
}

// readServices reads the smtpd services of master.cf.
func (s *Settings) readServices(ctx context.Context, dir string) error {
	services, err := postconf(ctx, dir, "-M")
	if err != nil {
		return err
	}
	// service type private unpriv chroot wakeup maxproc command
	for line := range strings.SplitSeq(services, "\n") {
		fields := strings.Fields(line)
		if len(fields) >= 8 && fields[7] == "smtpd" && fields[4] == "y" {
			s.Chrooted = true
		}
	}
	overrides, err := postconf(ctx, dir, "-P", "*/*/"+Milters)
	if err != nil {
		return err
	}
	for line := range strings.SplitSeq(overrides, "\n") {
		if service, _, ok := strings.Cut(line, "/"); ok {
			s.Overrides = append(s.Overrides, service)
		}
	}
	filters, err := postconf(ctx, dir, "-P", "*/*/"+proxyFilter)
	if err != nil {
		return err
	}
	for line := range strings.SplitSeq(filters, "\n") {
		if _, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(value) != "" {
			s.Proxies = append(s.Proxies, strings.TrimSpace(value))
		}
	}
	return nil
}

// parameters reads the current values, including defaults, as written or with $names expanded.
func parameters(ctx context.Context, dir string, expand bool, names ...string) (map[string]string, error) {
	if expand {
		names = append([]string{"-x"}, names...)
	}
	out, err := postconf(ctx, dir, names...)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for line := range strings.SplitSeq(out, "\n") {
		if name, value, ok := strings.Cut(line, "="); ok {
			values[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return values, nil
}

func postconf(ctx context.Context, dir string, args ...string) (string, error) {
	path, err := exec.LookPath("postconf")
	if err != nil {
		path = "/usr/sbin/postconf" // not on the path of ordinary users
	}
	if dir != "" {
		args = append([]string{"-c", dir}, args...)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	switch {
	case errors.Is(err, exec.ErrNotFound), err != nil && cmd.Process == nil:
		return "", ErrNotInstalled
	case err != nil:
		last := strings.TrimSpace(stderr.String())
		if i := strings.LastIndexByte(last, '\n'); i >= 0 {
			last = last[i+1:]
		}
		if _, reason, ok := strings.Cut(last, "fatal: "); ok {
			last = reason
		}
		return "", fmt.Errorf("postconf: %s", last)
	}
	return string(out), nil
}

// Endpoint returns a listener of postseal, "unix:PATH" or "HOST:PORT", in Postfix's notation. A
// unix socket within the queue directory is named relative to it, which works with and without
// a chroot.
func (s *Settings) Endpoint(listener string) (string, error) {
	path, unix := strings.CutPrefix(listener, "unix:")
	if !unix {
		return "inet:" + listener, nil
	}
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%s: the path of the socket must be absolute", listener)
	}
	within, err := filepath.Rel(s.QueueDir, path)
	switch {
	case err == nil && within != ".." && !strings.HasPrefix(within, "../"):
		return "unix:" + within, nil
	case s.Chrooted:
		return "", fmt.Errorf("%s: Postfix's smtpd is chrooted to %s and cannot reach this socket; put it below %s/postseal/", listener, s.QueueDir, s.QueueDir)
	}
	return "unix:" + path, nil
}
