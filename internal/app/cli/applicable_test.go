package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestApplicable: help shows the global flags that do something for the command, and every name in
// the table is a command and its flags.
func TestApplicable(t *testing.T) {
	root := Command()
	for name, flags := range inapplicable {
		c, _, err := root.Find(strings.Fields(name))
		if name == "help" {
			continue // made by Execute
		}
		if err != nil || c == root {
			t.Errorf("%s is not a command", name)
			continue
		}
		shown := applicable(c)
		for _, f := range flags {
			if root.PersistentFlags().Lookup(f) == nil || shown.Lookup(f) != nil {
				t.Errorf("%s: --%s is not a global flag that is left out", name, f)
			}
		}
	}
	_, help, _ := run(nil, "", "version", "--help")
	for _, f := range append([]string{"config", "no-progress"}, dnsFlags...) {
		if strings.Contains(help, "--"+f) {
			t.Errorf("version --help shows --%s:\n%s", f, help)
		}
	}
	for words, want := range map[string]string{ // what each really reads
		"serve":          "config dns-timeout log-format now quiet resolver verbose zone",
		"history":        "color config format log-format now output quiet verbose",
		"config check":   "color config dns-timeout format log-format output quiet resolver verbose zone",
		"config show":    "color config format log-format output quiet",
		"lint dkim":      "color format log-format output quiet",
		"dkim key":       "color config dns-timeout format log-format now output quiet resolver zone",
		"dkim verify":    "color config dns-timeout format log-format no-progress now output quiet resolver zone",
		"report list":    "color config format log-format output quiet",
		"report summary": "color config dns-timeout format log-format now output quiet resolver verbose zone",
		"report":         "color config dns-timeout format log-format now output quiet resolver verbose zone",
		"store status":   "color config format log-format now output quiet",
	} {
		c, _, err := root.Find(strings.Fields(words))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		applicable(c).VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s shows %s, want %s", words, got, want)
		}
	}
	if _, help, _ = run(nil, "", "verify", "--help"); !strings.Contains(help, "--zone") || !strings.Contains(help, "--config") {
		t.Errorf("verify --help:\n%s", help)
	}
}

// TestHideInapplicable: for a page about a command, the global flags that it shows are those of its help; afterwards
// other commands have all of theirs.
func TestHideInapplicable(t *testing.T) {
	c, _, err := Command().Find([]string{"version"})
	if err != nil {
		t.Fatal(err)
	}
	shown := func() string {
		var names []string
		c.InheritedFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
		return strings.Join(names, " ")
	}
	before, want := shown(), []string(nil)
	applicable(c).VisitAll(func(f *pflag.Flag) { want = append(want, f.Name) })
	show := HideInapplicable(c)
	if got := shown(); got != strings.Join(want, " ") || got == before {
		t.Errorf("the page shows %s, want %q of %s", got, want, before)
	}
	if show(); shown() != before {
		t.Errorf("afterwards %s, want %s", shown(), before)
	}
}

// TestCompletions: every flag whose value is one of a set offers the set, and what is offered is
// accepted by its command.
func TestCompletions(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	enumerated := regexp.MustCompile(`oneOf\("--([a-z-]+)"`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range enumerated.FindAllStringSubmatch(string(text), -1) {
			found := m[1] == "format"
			for name := range flagValues {
				found = found || name == m[1] || strings.HasSuffix(name, " "+m[1])
			}
			if !found {
				t.Errorf("%s: no completions for --%s", file, m[1])
			}
		}
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"audit", "--format", ""}, "sarif"},
		{[]string{"history", "--format", ""}, "csv"},
		{[]string{"migrate", "--from", ""}, "policyd-spf"},
		{[]string{"replay", "--policy", ""}, "guarded"},
		{[]string{"audit", "--profile", ""}, "parked"},
		{[]string{"audit", "--fail-on", ""}, "critical"},
		{[]string{"history", "--applied", ""}, "quarantine"},
		{[]string{"verify", "--enforce", ""}, "strict"},
	} {
		_, out, _ := run(nil, "", append([]string{cobra.ShellCompRequestCmd}, tt.args...)...)
		if !strings.Contains(out, tt.want) {
			t.Errorf("%v offers %q, want %s in it", tt.args, out, tt.want)
		}
	}
	if _, out, _ := run(nil, "", cobra.ShellCompRequestCmd, "verify", "--format", ""); strings.Contains(out, "sarif") {
		t.Errorf("verify --format offers %q", out)
	}
}
