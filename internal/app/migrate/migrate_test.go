package migrate

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"

	"postseal/internal/app/conf"
)

var update = flag.Bool("update", false, "rewrite testdata/*.toml")

// TestGolden: what each configuration becomes, which our own reader takes.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.conf")
	if err != nil || len(files) == 0 {
		t.Fatalf("no configurations: %v", err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Read(Guess(path), data)
		if err != nil {
			t.Fatal(err)
		}
		golden := strings.TrimSuffix(path, ".conf") + ".toml"
		if *update {
			if err := os.WriteFile(golden, []byte(r.Config), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), r.Config); diff != "" {
			t.Errorf("%s (-want +got; rewrite with -update):\n%s", path, diff)
		}
		if _, warnings, err := conf.Parse(golden, []byte(r.Config), time.Now()); err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v %v", golden, err, warnings)
		}
	}
}

// TestTables: every option of the man pages has an outcome with a word on it, also for an
// empty value, and what it sets is a configuration.
func TestTables(t *testing.T) {
	for _, p := range programs {
		list, err := os.ReadFile("testdata/" + p.name + ".options")
		if err != nil {
			t.Fatal(err)
		}
		documented := map[string]bool{}
		for _, name := range strings.Fields(string(list)) {
			documented[strings.ToLower(name)] = true
			if p.options[strings.ToLower(name)] == nil {
				t.Errorf("%s: %s has no outcome", p.name, name)
			}
		}
		for name, o := range p.options {
			if !documented[name] {
				t.Errorf("%s documents no %s", p.name, name)
			}
			for _, value := range []string{"", "yes", "no", "0", "7", "10.0.0.0/8 x", "a\"]\n[x", "inet:1@::1", "\x00"} {
				s := &settings{}
				if effect, text := o(s, value); effect != Same && text == "" {
					t.Errorf("%s: %s %q is %s without a word", p.name, name, value, effect)
				}
			}
		}
	}
}

// FuzzRead: any file is read, never makes a comment another line, and what is written is
// TOML, whose values "config check" looks at.
func FuzzRead(f *testing.F) {
	for _, p := range programs {
		f.Add(p.name, "Socket inet:8891@localhost\nRejectFailures true\nHELO_reject = Null # x\n")
	}
	f.Add("opendkim", "AuthservID \xf0\x7f\x01\nMaximumSignaturesToVerify 007\n")
	f.Fuzz(func(t *testing.T, name, text string) {
		r, err := Read(name, []byte(text))
		if err != nil {
			return
		}
		comments, _, _ := strings.Cut(r.Config, "\n\n")
		for line := range strings.Lines(comments) {
			if !strings.HasPrefix(line, "# ") {
				t.Fatalf("%q in\n%s", line, r.Config)
			}
		}
		if err := toml.Unmarshal([]byte(r.Config), new(map[string]any)); err != nil {
			t.Fatalf("%v in\n%s", err, r.Config)
		}
	})
}

func TestGuess(t *testing.T) {
	for path, want := range map[string]string{"/etc/opendkim.conf": "opendkim", "OpenDMARC.conf.old": "opendmarc", "/etc/postfix-policyd-spf-python/policyd-spf.conf": "policyd-spf", "/etc/pyspf-milter/pyspf-milter.conf": "policyd-spf", "x.conf": ""} {
		if got := Guess(path); got != want {
			t.Errorf("Guess(%q) = %q, want %q", path, got, want)
		}
	}
	if _, err := Read("exim", nil); err == nil {
		t.Error("Read(exim): no error")
	}
}
