package selectors

import (
	"fmt"
	"strings"
	"testing"

	"postseal/domain"
)

// TestLearn: selectors of each way to keep mail.
func TestLearn(t *testing.T) {
	const signed = "Received: from x\nDKIM-Signature: v=1; a=rsa-sha256; d=a.test; s=%s;\n h=from; bh=AAAA; b=AAAA\nFrom: x@a.test\n\nDKIM-Signature: v=1; d=a.test; s=body\n"
	const reported = "Authentication-Results: mx.test; dkim=pass header.d=a.test header.s=%s; spf=pass smtp.mailfrom=a.test\nFrom: x@a.test\n\nhi\n"
	for _, test := range []struct{ name, text, want string }{
		{"message", fmt.Sprintf(signed, "s1"), "s1"},
		{"results", fmt.Sprintf(reported, "s2"), "s2"},
		{"mbox", "From a\n" + fmt.Sprintf(signed, "s3") + "\nFrom b\n" + fmt.Sprintf(reported, "s4") + "\n", "s3 s4"},
		{"CRLF", strings.ReplaceAll(fmt.Sprintf(signed, "s5"), "\n", "\r\n"), "s5"},
		{"hostile", "DKIM-Signature: v=1; d=a..test; s=x; b=\nDKIM-Signature: v=1; d=a.test; s=a b; bh=\n\n", ""},
		{"no mail", "\x00\x01", ""},
		{"empty", "", ""},
	} {
		l := &List{}
		if err := l.readMessages(strings.NewReader(test.text)); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		var got []string
		for _, s := range l.Of("a.test") {
			got = append(got, string(s.Name))
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

// FuzzLearn: no mail makes a selector that is not a name.
func FuzzLearn(f *testing.F) {
	f.Add("From a\nDKIM-Signature: v=1; d=a.test; s=s1\n\nx\n\nFrom b\n")
	f.Add("Authentication-Results: x; dkim=pass header.d=a.test header.s=b\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		l := &List{}
		if err := l.readMessages(strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		for d, list := range l.by {
			for _, s := range list {
				if _, err := domain.Parse(string(s.Name)); err != nil || d == "" {
					t.Fatalf("%q: %q of %q", text, s.Name, d)
				}
			}
		}
	})
}
