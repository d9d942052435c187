package migrate

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"postseal"
	"postseal/internal/app/conf"
)

// TestSeveral: the three programs become one configuration, and no socket is taken over.
func TestSeveral(t *testing.T) {
	r, err := ReadAll(
		File{Program: "opendkim", Data: []byte("Socket inet:8891@localhost\nMode sv\nOn-BadSignature reject\nOn-NoSignature q\nPeerList 192.0.2.0/24, 198.51.100.7, !192.0.2.5\nMaximumHeaders 262144\nMinimum 10\nADSPAction reject\n")},
		File{Program: "opendmarc", Data: []byte("Socket local:/run/opendmarc/opendmarc.sock\nAuthservID mx.example.net\nRejectFailures true\nRequiredFrom true\n")},
		File{Program: "policyd-spf", Data: []byte("defaultSeedOnly = 0\nPer_User = text,/etc/per_user\n")},
	)
	if err != nil {
		t.Fatal(err)
	}
	c, warnings, err := conf.Parse("t", []byte(r.Config), time.Now())
	if err != nil {
		t.Fatalf("%v\n%s", err, r.Config)
	}
	if len(warnings) > 0 {
		t.Errorf("warnings: %v", warnings)
	}
	if c.AuthservID != "mx.example.net" || c.Enforce != postseal.Observe || c.Listen.Milter != conf.DefaultMilter || c.Limits.Header != 262144 {
		t.Errorf("authserv_id %q, enforce %s, milter %s, header %d", c.AuthservID, c.Enforce, c.Listen.Milter, c.Limits.Header)
	}
	for _, p := range c.Network.Trusted {
		if p.String() == "192.0.2.0/24" {
			t.Error("an excluded client became trusted")
		}
	}
	if !strings.Contains(r.Config, "198.51.100.7") {
		t.Errorf("a client next to the exclusion is lost:\n%s", r.Config)
	}
	if strings.Contains(r.Config, "is no option") {
		t.Errorf("a documented option is not known:\n%s", r.Config)
	}
	rules := regexp.MustCompile(`(?m)^#(\[\[rule|name|when|action)`).ReplaceAllString(r.Config, "$1")
	if c, _, err = conf.Parse("t", []byte(rules), time.Now()); err != nil || len(c.Rule) != 2 {
		t.Errorf("the rules, put in force: %v\n%s", err, rules)
	}
}
