package postfix

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const sampleMain = `# A comment that must survive.
compatibility_level = 3.6
queue_directory = /var/spool/postfix
smtpd_milters =   inet:127.0.0.1:8893
   # the last line has no end
myhostname = mx.example.net`

const sampleMaster = `smtp inet n - y - - smtpd
127.0.0.1:10025 inet n - n - - smtpd
  -o smtpd_milters=
cleanup unix n - y - 0 cleanup
`

// configDir is its own configuration for the real postconf.
func configDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"main.cf": sampleMain, "master.cf": sampleMaster, "dynamicmaps.cf": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// age makes main.cf look old: postconf waits until a file that has just changed is.
func age(t *testing.T, dir string) {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "main.cf"), old, old); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir string) Settings {
	t.Helper()
	age(t, dir)
	s, err := Read(t.Context(), dir)
	if errors.Is(err, ErrNotInstalled) {
		t.Skip("postconf is not installed: apt-get install postfix")
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mainCF(t *testing.T, dir string) string {
	t.Helper()
	octets, err := os.ReadFile(filepath.Join(dir, "main.cf"))
	if err != nil {
		t.Fatal(err)
	}
	return string(octets)
}

var sampleListeners = Listeners{Milter: "unix:postseal/milter.sock", Policy: "unix:postseal/policy.sock", DefaultAction: "tempfail"}

func TestRead(t *testing.T) {
	t.Parallel() // postconf waits
	dir := configDir(t)
	s := read(t, dir)
	if s.ConfigDir != dir || s.QueueDir != "/var/spool/postfix" || s.Milters != "inet:127.0.0.1:8893" || !s.Chrooted || !s.Explicit[Milters] || s.Explicit[Recipient] || s.Version == "" {
		t.Errorf("Read = %+v", s)
	}
	if len(s.Overrides) != 1 || s.Overrides[0] != "127.0.0.1:10025" {
		t.Errorf("Overrides = %q, want 127.0.0.1:10025", s.Overrides)
	}
	if _, err := Read(t.Context(), filepath.Join(dir, "none")); err == nil || errors.Is(err, ErrNotInstalled) {
		t.Errorf("Read of no directory: %v", err)
	}
}

func TestApplyUndo(t *testing.T) {
	t.Parallel() // postconf waits
	dir := configDir(t)
	s := read(t, dir)
	if _, err := s.Undo(t.Context()); !errors.Is(err, ErrNothingToUndo) {
		t.Errorf("Undo before Apply: %v", err)
	}
	backup, err := s.Apply(t.Context(), s.Plan(sampleListeners))
	if err != nil {
		t.Fatal(err)
	}
	if octets, err := os.ReadFile(backup); err != nil || string(octets) != sampleMain {
		t.Errorf("backup %s: %q, %v", backup, octets, err)
	}
	s = read(t, dir)
	if !s.Uses(sampleListeners.Milter) || !s.UsesPolicy(sampleListeners.Policy) || len(s.Plan(sampleListeners)) > 0 {
		t.Errorf("after Apply: %+v", s)
	}
	if kept, err := s.Undo(t.Context()); err != nil || len(kept) > 0 {
		t.Fatalf("Undo = %v, %v", kept, err)
	}
	if got := mainCF(t, dir); got != sampleMain {
		t.Errorf("after Undo, main.cf is\n%s", got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*postseal*")); len(left) > 0 {
		t.Errorf("Undo leaves %q", left)
	}
}

// TestUndoLater: someone changed main.cf in between; that stays.
func TestUndoLater(t *testing.T) {
	t.Parallel() // postconf waits
	dir := configDir(t)
	s := read(t, dir)
	if _, err := s.Apply(t.Context(), s.Plan(Listeners{Milter: sampleListeners.Milter, DefaultAction: "accept"})); err != nil {
		t.Fatal(err)
	}
	s = read(t, dir)
	if _, err := s.Apply(t.Context(), s.Plan(sampleListeners)); err != nil {
		t.Fatal(err)
	}
	if _, err := postconf(t.Context(), dir, "-e", "mydomain = example.net", "smtpd_milters = inet:127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	age(t, dir)
	kept, err := s.Undo(t.Context())
	if err != nil || len(kept) != 1 || kept[0].Name != Milters {
		t.Errorf("Undo = %+v, %v; want %s kept", kept, err, Milters)
	}
	s = read(t, dir)
	if s.Milters != "inet:127.0.0.1:1" || s.Explicit[Recipient] || !strings.Contains(mainCF(t, dir), "mydomain = example.net") {
		t.Errorf("after Undo:\n%s", mainCF(t, dir))
	}
}

// TestDomains: the domains that are written in main.cf, each once, and none of tables or of this host alone.
func TestDomains(t *testing.T) {
	dir := configDir(t)
	text := sampleMain + `
mydomain = example.net
mydestination = $myhostname, localhost.$mydomain, localhost, example.net example.org, hash:/etc/postfix/mine
virtual_mailbox_domains = shop.example, !not.example, EXAMPLE.net
virtual_alias_domains =
relay_domains = .sub.example, bücher.example, mail.lan, /etc/postfix/relay
`
	if err := os.WriteFile(filepath.Join(dir, "main.cf"), []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	age(t, dir)
	got, err := Domains(t.Context(), dir)
	if errors.Is(err, ErrNotInstalled) {
		t.Skip("postconf is not installed: apt-get install postfix")
	}
	want := []string{"example.net", "example.org", "shop.example", "xn--bcher-kva.example", "mx.example.net"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("Domains = %q, %v, want %q", got, err, want)
	}
}
