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
	if c.AuthservID != "mx.example.net" || c.Enforce != postseal.Strict || c.SPF.Fail != "header" || c.Listen.Milter != conf.DefaultMilter || c.Limits.Header != 262144 {
		t.Errorf("authserv_id %q, enforce %s, milter %s, header %d", c.AuthservID, c.Enforce, c.Listen.Milter, c.Limits.Header)
	}
	if c.Policy.ReceivedSPF || !strings.Contains(r.Config, "would remove Received-SPF") {
		t.Errorf("received_spf %t next to the milter:\n%s", c.Policy.ReceivedSPF, r.Config)
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

// TestEnforce: what no program refused is not refused without a note, in whatever order the files
// come.
func TestEnforce(t *testing.T) {
	dkim := File{Program: "opendkim", Data: []byte("Mode v\n")}
	dmarc := File{Program: "opendmarc", Data: []byte("RejectFailures false\n")}
	rejecting := File{Program: "opendmarc", Data: []byte("RejectFailures true\n")}
	spf := File{Program: "policyd-spf", Data: []byte("Mail_From_reject = Fail\n")}
	reporting := File{Program: "policyd-spf", Data: []byte("TestOnly = 0\nMail_From_reject = Fail\n")}
	harmless := File{Program: "policyd-spf", Data: []byte("HELO_reject = False\nMail_From_reject = False\n")}
	for _, tt := range []struct {
		name    string
		files   []File
		enforce postseal.Enforce
		fail    string
		notes   string // a part of them
	}{
		{"opendkim", []File{dkim}, postseal.Observe, "header", "enforce observe (new, differs): nothing is refused, as before"},
		{"opendmarc", []File{dmarc}, postseal.Observe, "header", ""},
		{"rejecting opendmarc", []File{rejecting}, postseal.Strict, "header", ""},
		{"policyd-spf", []File{spf}, postseal.Guarded, "reject", "policyd-spf refuses by SPF alone"},
		{"policyd-spf needs its listener", []File{spf}, postseal.Guarded, "reject", "postseal setup postfix --with-policy"},
		{"policyd-spf, null MX", []File{spf}, postseal.Guarded, "reject", "null_mx reject (new, differs)"},
		{"reporting policyd-spf", []File{reporting}, postseal.Observe, "header", "nothing is refused, as before"},
		{"policyd-spf that refuses nothing", []File{harmless}, postseal.Observe, "header", "nothing is refused, as before"},
		{"opendmarc and policyd-spf", []File{dmarc, spf}, postseal.Observe, "reject", "keep policyd-spf until"},
		{"policyd-spf and opendmarc", []File{spf, dmarc}, postseal.Observe, "reject", "keep policyd-spf until"},
		{"rejecting opendmarc, reporting policyd-spf", []File{rejecting, reporting}, postseal.Strict, "header", "policyd-spf only reports"},
		{"reporting policyd-spf, rejecting opendmarc", []File{reporting, rejecting}, postseal.Strict, "header", "policyd-spf only reports"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := ReadAll(tt.files...)
			if err != nil {
				t.Fatal(err)
			}
			c, _, err := conf.Parse("t", []byte(r.Config), time.Now())
			if err != nil {
				t.Fatalf("%v\n%s", err, r.Config)
			}
			if c.Enforce != tt.enforce || string(c.SPF.Fail) != tt.fail || !strings.Contains(r.Config, tt.notes) {
				t.Errorf("enforce %s, fail %s, want %s, %s and %q in\n%s", c.Enforce, c.SPF.Fail, tt.enforce, tt.fail, tt.notes, r.Config)
			}
		})
	}
}

// TestPassword: the password of a database in an option is not written into the new file.
func TestPassword(t *testing.T) {
	r, err := Read("opendkim", []byte("KeyTable dsn:mysql://dkim:s3cr:et@localhost/mail/table=dkim?keycol=id\nLDAPBindPassword s3cr\n"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(r.Config, "s3cr") || !strings.Contains(r.Config, "dsn:mysql://dkim:(not shown)@localhost/mail") {
		t.Error(r.Config)
	}
}

// TestReplies: the texts of rejections are carried over, as far as [replies] can say them.
func TestReplies(t *testing.T) {
	for _, tt := range []struct {
		name             string
		files            []File
		reject, deferral string
		note             string // a part of the note
	}{
		{"opendmarc", []File{{Program: "opendmarc", Data: []byte("RejectString %s says no. See https://mx.example.net/\n")}},
			"{domain} says no. See https://mx.example.net/", "", "every rejection"},
		{"opendmarc, of DMARC alone", []File{{Program: "opendmarc", Data: []byte("RejectString Our DMARC policy for %s\n")}}, "", "", "whatever the reason"},
		{"policyd-spf, of SPF alone", []File{{Program: "policyd-spf", Data: []byte("Reason_Message = Message {rejectdefer} due to: {spf}.\n")}}, "", "", "whatever the reason"},
		{"the default of opendmarc", []File{{Program: "opendmarc", Data: []byte("RejectString rejected by DMARC policy for %s\n")}}, "", "", "the reply says who asked"},
		{"authserv_id", []File{{Program: "opendmarc", Data: []byte("AuthservID OpenDMARC\n")}}, "", "", "a name without a dot"},
		{"byte order mark", []File{{Program: "opendmarc", Data: []byte("\ufeffRejectString No, %s\r\n")}}, "No, {domain}", "", "every rejection"},
		{"failure reports", []File{{Program: "opendmarc", Data: []byte("FailureReports true\n")}}, "", "", "[report.failure]"},
		{"braces", []File{{Program: "opendmarc", Data: []byte("RejectString {mail} of %s\n")}}, "", "", "{mail} is not known"},
		{"not ASCII", []File{{Program: "opendmarc", Data: []byte("RejectString Zur\xc3\xbcck an %s\n")}}, "", "", "printable ASCII"},
		{"too long", []File{{Program: "opendmarc", Data: []byte("RejectString " + strings.Repeat("x", 300) + "\n")}}, "", "", "split the line"},
		{"policyd-spf", []File{{Program: "policyd-spf", Data: []byte("Reason_Message = Message {rejectdefer}, call us.\n")}},
			"Message rejected, call us.", "Message deferred, call us.", "not only those of SPF"},
		{"its default", []File{{Program: "policyd-spf", Data: []byte("Reason_Message = Message {rejectdefer} due to: {spf}. Please see {url}\n")}}, "", "", "our own reply"},
		{"its page", []File{{Program: "policyd-spf", Data: []byte("Reason_Message = See {url}\n")}}, "", "", "the page of {url} is not ours"},
		{"both", []File{{Program: "opendmarc", Data: []byte("RejectString No, %s\n")}, {Program: "policyd-spf", Data: []byte("Reason_Message = {rejectdefer}\n")}},
			"No, {domain}", "", "already has the text of another option"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := ReadAll(tt.files...)
			if err != nil {
				t.Fatal(err)
			}
			c, warnings, err := conf.Parse("t", []byte(r.Config), time.Now())
			if err != nil || len(warnings) > 0 {
				t.Fatalf("%v %v\n%s", err, warnings, r.Config)
			}
			if got := strings.Join(c.Replies.Reject, "|"); got != tt.reject {
				t.Errorf("reject %q, want %q", got, tt.reject)
			}
			if got := strings.Join(c.Replies.Defer, "|"); got != tt.deferral {
				t.Errorf("defer %q, want %q", got, tt.deferral)
			}
			if !strings.Contains(r.Config, tt.note) {
				t.Errorf("no note %q in\n%s", tt.note, r.Config)
			}
		})
	}
}
