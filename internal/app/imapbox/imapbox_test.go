package imapbox

import "testing"

// TestParse: a password never goes over a network unencrypted, nor stands in a URL.
func TestParse(t *testing.T) {
	for _, c := range []struct {
		text string
		want Folder
		ok   bool
	}{
		{"imaps://dmarc@mail.acme.test/Reports/2026", Folder{"mail.acme.test:993", true, "dmarc", "Reports/2026"}, true},
		{"imaps://a%40acme.test@mail.acme.test", Folder{"mail.acme.test:993", true, "a@acme.test", "INBOX"}, true},
		{"imaps://u@[2001:db8::1]:9993/INBOX", Folder{"[2001:db8::1]:9993", true, "u", "INBOX"}, true},
		{"imap://u@127.0.0.1:1143/INBOX", Folder{"127.0.0.1:1143", false, "u", "INBOX"}, true},
		{"imap://u@mail.acme.test/INBOX", Folder{}, false},
		{"imaps://u:secret@mail.acme.test/INBOX", Folder{}, false},
		{"imaps://mail.acme.test/INBOX", Folder{}, false},
		{"https://u@mail.acme.test/INBOX", Folder{}, false},
		{"imaps://u@/INBOX", Folder{}, false},
	} {
		got, err := Parse(c.text)
		if (err == nil) != c.ok || c.ok && got != c.want {
			t.Errorf("%s: %+v %v", c.text, got, err)
		}
	}
}
