package conf

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pelletier/go-toml/v2"
)

var now = time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)

const contract = `authserv_id = "mx.example.net"
enforce     = "guarded"            # observe | quarantine | guarded | strict
[listen]
milter = "127.0.0.1:8895"
policy = "127.0.0.1:8892"
smtp   = "127.0.0.1:10025"
http   = "127.0.0.1:8896"
socket_mode = "0660"
[proxy]
next_hop = "127.0.0.1:10026"
[dns]
servers  = ["127.0.0.1:53"]
timeout  = "5s"
on_error = "auto"
[store]
url = "sqlite:/var/lib/postseal/postseal.db"
[[exempt]]
dkim  = "partner.example"
why   = "ticket 812"
until = 2027-03-01
[[exempt]]
ip = "192.0.2.1"
[[rule]]
when = "true"
action = "accept"
`

func TestContract(t *testing.T) {
	c, warnings, err := Parse("p.toml", []byte(contract), now)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("got %v, %v", err, warnings)
	}
	if c.AuthservID != "mx.example.net" || c.Listen.Milter != "127.0.0.1:8895" || c.Proxy.NextHop != "127.0.0.1:10026" ||
		c.Listen.SocketMode != 0o660 || time.Duration(c.DNS.Timeout) != 5*time.Second || c.DNS.Servers[0] != "127.0.0.1:53" ||
		c.Store.URL == "" || c.Exempt[0].DKIM != "partner.example" || c.Exempt[0].Until.Year != 2027 {
		t.Errorf("got %+v", c)
	}
}

// TestOldLimit: a header section smaller than the default of a field, which was 64 KiB once, bounds
// the field too.
func TestOldLimit(t *testing.T) {
	c, warnings, err := Parse("p.toml", []byte("[limits]\nheader = '64KiB'\n"), now)
	if err != nil || len(warnings) > 0 || c.Limits.Field != 64<<10 {
		t.Errorf("got %+v, %v, %v", c, warnings, err)
	}
}

// TestRoundTrip: what config show writes reads back the same.
func TestRoundTrip(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "contract": contract} {
		c, _, err := Parse(name, []byte(text), now)
		if err != nil {
			t.Fatal(err)
		}
		shown, err := toml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := Parse("shown", shown, now)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, shown)
			continue
		}
		if diff := cmp.Diff(c, again, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b Prefix) bool { return a == b }), cmpopts.IgnoreUnexported(Config{})); diff != "" {
			t.Errorf("%s: (-read +shown)\n%s", name, diff)
		}
	}
}

// TestProblems: every error of a file, each with its place. The wanted lines stand in the file
// itself, after "#!".
func TestProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for line := range strings.Lines(string(data)) {
			if w, ok := strings.CutPrefix(line, "#! "); ok {
				want = append(want, strings.TrimSpace(w))
			}
		}
		_, warnings, err := Parse(filepath.Base(path), data, now)
		got := []string{}
		var problems *Error
		switch {
		case errors.As(err, &problems):
			warnings = problems.Problems
		case err != nil:
			t.Errorf("%s: %v is no *Error", path, err)
		}
		for _, p := range warnings {
			got = append(got, p.String())
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Config{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

// TestTags: every key has a name, every closed set a default within it.
func TestTags(t *testing.T) {
	var walk func(reflect.Value)
	walk = func(v reflect.Value) {
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() {
				continue
			}
			if f.IsExported() && f.Tag.Get("toml") == "" {
				t.Errorf("%s.%s has no toml tag", v.Type(), f.Name)
			}
			if allowed := f.Tag.Get("oneof"); allowed != "" && !strings.Contains(" "+allowed+" ", " "+v.Field(i).String()+" ") {
				t.Errorf("%s.%s: default %q is not one of %s", v.Type(), f.Name, v.Field(i), allowed)
			}
			if f.Type.Kind() == reflect.Struct {
				walk(v.Field(i))
			}
		}
	}
	walk(reflect.ValueOf(Default()).Elem())
}

func TestAddress(t *testing.T) {
	for a, want := range map[Address]bool{"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true, "unix:/run/x": true, ":25": false, "0.0.0.0:25": false, "mx.test:1": false} {
		if got := a.Loopback(); got != want {
			t.Errorf("%q.Loopback() = %v, want %v", a, got, want)
		}
	}
	if network, address := Address("unix:/run/x").Network(); network != "unix" || address != "/run/x" {
		t.Errorf("Network = %s %s", network, address)
	}
}

// checkShown: what "config show" prints is the configuration.
func checkShown(t *testing.T, c *Config) {
	t.Helper()
	shown, err := toml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := Parse("f", shown, now)
	if err != nil {
		t.Fatalf("%v in\n%s", err, shown)
	}
	if twice, err := toml.Marshal(again); err != nil || string(twice) != string(shown) {
		t.Errorf("%v: shown is\n%s\nwhich reads as\n%s", err, shown, twice)
	}
}

// FuzzParse: whatever the file holds, an answer comes, each problem has a place in it, and a
// configuration that is shown reads as the same one.
func FuzzParse(f *testing.F) {
	f.Add(contract)
	files, _ := filepath.Glob("testdata/*.toml")
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, _, err := Parse("f", []byte(text), now)
		var problems *Error
		if err == nil {
			checkShown(t, c)
			return
		}
		if !errors.As(err, &problems) || len(problems.Problems) == 0 {
			t.Fatalf("%v is no *Error", err)
		}
		for _, p := range problems.Problems {
			if p.Line < 0 || p.Line > strings.Count(text, "\n")+1 {
				t.Errorf("%v is not in the file", p)
			}
		}
	})
}

// TestMappedPrefix: a network of IPv4 addresses in IPv6 is the one of IPv4, for which clients
// are looked up.
func TestMappedPrefix(t *testing.T) {
	for text, want := range map[string]string{"::ffff:10.0.0.0/104": "10.0.0.0/8", "::ffff:192.0.2.1": "192.0.2.1/32", "::ffff:0:0/90": "", "2001:db8::/32": "2001:db8::/32"} {
		var p Prefix
		err := p.UnmarshalText([]byte(text))
		if (err != nil) != (want == "") || err == nil && p.String() != want {
			t.Errorf("%s is %v, %v; want %q", text, p, err, want)
		}
	}
}
