package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postseal/resolver"
)

// TestUnbound: a local unbound whose wait-limit makes it drop queries is found, and no other. The
// answers of unbound-checkconf are those of the versions named.
func TestUnbound(t *testing.T) {
	debian := map[string]string{"-h": "Version 1.17.1", "port": "53", "wait-limit": "1000"}
	for _, tt := range []struct {
		name    string
		servers []string
		answers map[string]string // of unbound-checkconf, by option; nil: it is not installed
		want    string            // the number in the warning
	}{
		{"1.17.1 of Debian 12", []string{"127.0.0.1"}, debian, "1000"},
		{"IPv6, as the second server", []string{"192.0.2.53", "::1"}, debian, "1000"},
		{"with a port", []string{"[::1]:53"}, debian, "1000"},
		{"another port is another program", []string{"127.0.0.1:5353"}, debian, ""},
		{"systemd-resolved", []string{"127.0.0.53"}, debian, ""},
		{"another host", []string{"192.0.2.53"}, debian, ""},
		{"servers are not known", nil, debian, ""},
		{"not installed", []string{"127.0.0.1"}, nil, ""},
		{"a version without the option", []string{"127.0.0.1"}, map[string]string{"-h": "Version 1.13.1", "port": "53"}, ""},
		{"no limit", []string{"127.0.0.1"}, map[string]string{"port": "53", "wait-limit": "0"}, ""},
		{"a high limit", []string{"127.0.0.1"}, map[string]string{"port": "53", "wait-limit": "10000"}, ""},
		{"1.23 exempts loopback", []string{"127.0.0.1"}, map[string]string{"-h": "Version 1.23.0", "port": "53", "wait-limit": "1000"}, ""},
		{"unless a netblock is set", []string{"127.0.0.1"},
			map[string]string{"-h": "Version 1.24.1", "port": "53", "wait-limit": "1000", "wait-limit-netblock": "0.0.0.0/0 5000\n127.0.0.0/8 100\n::1/128 7"}, "100"},
		{"a netblock without a limit", []string{"127.0.0.1"},
			map[string]string{"-h": "Version 1.22.0", "port": "53", "wait-limit": "1000", "wait-limit-netblock": "127.0.0.0/8 -1"}, ""},
		{"a configuration that cannot be read", []string{"127.0.0.1"}, map[string]string{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("PATH", checkconf(t, tt.answers)+":/bin:/usr/bin")
			if _, err := os.Stat("/usr/sbin/unbound-checkconf"); err == nil && tt.answers == nil {
				t.Skip("unbound is installed here")
			}
			findings := Resolver(t.Context(), arpa{records: 1, security: resolver.Secure}, tt.servers)
			switch {
			case tt.want == "" && len(findings) != 1:
				t.Errorf("Resolver = %+v, want no warning", findings)
			case tt.want != "" && (len(findings) != 2 || findings[1].Level != Warn || !strings.Contains(findings[1].Text, "while "+tt.want+" of them wait")):
				t.Errorf("Resolver = %+v, want a warning of %s", findings, tt.want)
			}
		})
	}
}

// checkconf writes an unbound-checkconf that gives these answers, and returns its directory.
func checkconf(t *testing.T, answers map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if answers == nil {
		return dir
	}
	script := "#!/bin/sh\n[ $1 = -h ] && { echo '" + answers["-h"] + "'; exit 1; }\ncase $2 in\n"
	for option, answer := range answers {
		script += option + ") echo '" + answer + "'; exit 0;;\n"
	}
	script += "esac\nexit 1\n"
	if err := os.WriteFile(filepath.Join(dir, "unbound-checkconf"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}
