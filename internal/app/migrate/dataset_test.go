package migrate

import (
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDataSets: tables are read where they are, and what cannot be read is said with what to do.
func TestDataSets(t *testing.T) {
	files := map[string]string{
		"/etc/opendkim/TrustedHosts": "127.0.0.1\nlocalhost\n192.0.2.0/24   # office\n\n# 198.51.100.1\n2001:db8::1 x\n",
		"/etc/hosts.refile":          "*.example.net\n192.0.2.7\n",
		"/etc/all":                   "0.0.0.0/0\n192.0.2.7\n",
		"/etc/not":                   "192.0.2.0/24\n!192.0.2.9\n",
		"/etc/domains":               "Lists.example.org\nmember@example.org\ngroups.example.com\n",
	}
	open := func(path string) ([]byte, error) {
		if text, ok := files[path]; ok {
			return []byte(text), nil
		}
		return nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("no such file or directory")}
	}
	for _, test := range []struct{ program, text, config, note string }{
		{"opendkim", "PeerList refile:/etc/opendkim/TrustedHosts", `trusted = ["127.0.0.0/8", "192.0.2.0/24", "2001:db8::1", "::1"]`, ""},
		{"opendkim", "PeerList file:/etc/opendkim/TrustedHosts", `trusted = ["127.0.0.0/8", "192.0.2.0/24", "2001:db8::1", "::1"]`, ""},
		{"opendkim", "PeerList /etc/opendkim/TrustedHosts", `trusted = ["127.0.0.0/8", "192.0.2.0/24", "2001:db8::1", "::1"]`, ""},
		{"opendkim", "InternalHosts csl:192.0.2.0/24, 198.51.100.1", `trusted = ["127.0.0.0/8", "192.0.2.0/24", "198.51.100.1", "::1"]`, "not signed here"},
		{"opendkim", "PeerList refile:/etc/hosts.refile", `trusted = ["127.0.0.0/8", "192.0.2.7", "::1"]`, "*.example.net into [network] trusted; host names are not looked up"},
		{"opendkim", "PeerList refile:/etc/all", `trusted = ["127.0.0.0/8", "192.0.2.7", "::1"]`, "0.0.0.0/0 into"},
		{"opendkim", "PeerList refile:/etc/not", "", "there are no exclusions"},
		{"opendkim", "PeerList refile:/etc/none", "", "/etc/none cannot be read (no such file or directory): put its addresses into [network] trusted"},
		{"opendkim", "PeerList refile:none", "", "none is a relative path"},
		{"opendkim", "PeerList ldap://x/y", "", "a data set of kind ldap is not read"},
		{"opendkim", "PeerList 2001:db8::/32", `trusted = ["127.0.0.0/8", "2001:db8::/32", "::1"]`, ""},
		{"opendmarc", "IgnoreHosts /etc/opendkim/TrustedHosts", `trusted = ["127.0.0.0/8", "192.0.2.0/24", "2001:db8::1", "::1"]`, ""},
		{"opendmarc", "DomainWhitelistFile /etc/domains\nDomainWhitelist more.example", `trusted_sealers = ["lists.example.org", "groups.example.com", "more.example"]`, "member@example.org is not a domain"},
		{"opendmarc", "DomainWhitelistFile /etc/none", "", "put its domains into [arc] trusted_sealers"},
	} {
		r, err := ReadAll(File{Program: test.program, Data: []byte(test.text), Open: open})
		if err != nil {
			t.Fatal(err)
		}
		notes := ""
		for _, n := range r.Notes {
			if n.Line > 0 && n.Effect != Same {
				notes += n.Text + "\n"
			}
		}
		if !strings.Contains(r.Config, test.config) || test.config == "" && strings.Contains(r.Config, "\ntrusted") || !strings.Contains(notes, test.note) || (notes == "") != (test.note == "") {
			t.Errorf("%s\nnotes %q, want %q\n%s", test.text, notes, test.note, r.Config)
		}
	}
}

// TestManPages: our lists have every option that the man pages of the programs document, of those
// that are installed here. They have more: what the programs read without documenting it.
func TestManPages(t *testing.T) {
	for name, page := range map[string]struct {
		file   string
		option *regexp.Regexp
	}{
		"opendkim":    {"opendkim.conf.5.gz", regexp.MustCompile(`(?m)^\.TP\n\.I ([A-Za-z][\w-]*) \(`)},
		"opendmarc":   {"opendmarc.conf.5.gz", regexp.MustCompile(`(?m)^\.TP\n\.I ([A-Za-z][\w-]*) \(`)},
		"policyd-spf": {"policyd-spf.conf.5.gz", regexp.MustCompile(`(?m)^([A-Za-z]\w*) = `)},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := os.Open("/usr/share/man/man5/" + page.file)
			if err != nil {
				t.Skipf("%s is not installed here", name)
			}
			defer f.Close()
			z, err := gzip.NewReader(f)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			documented := map[string]bool{}
			for _, m := range page.option.FindAllStringSubmatch(string(text), -1) {
				documented[m[1]] = true
			}
			list, err := os.ReadFile("testdata/" + name + ".options")
			if err != nil {
				t.Fatal(err)
			}
			listed := map[string]bool{}
			for _, option := range strings.Fields(string(list)) {
				listed[option] = true
			}
			if len(documented) < 20 {
				t.Errorf("only %d options were found in %s", len(documented), page.file)
			}
			for option := range documented {
				if !listed[option] {
					t.Errorf("%s is not in testdata/%s.options", option, name)
				}
			}
		})
	}
}
