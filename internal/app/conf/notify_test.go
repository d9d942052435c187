package conf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestNotify: what cannot work is found before it is needed, and the URL, a secret, is in no
// error.
func TestNotify(t *testing.T) {
	for text, want := range map[string]string{
		"mail = ['a b@acme.test']":         `[notify] mail: "a b@acme.test" is not a mail address`,
		"mail = ['A <a@acme.test>']":       "is not a mail address",
		"from = 'acme.test'":               "[notify] from: \"acme.test\" is not a mail address",
		"command = ['mail']":               "give the whole path of the program",
		"spike = 1":                        "spike",
		"webhook_file = '/nonexistent'":    `"/nonexistent" does not exist`,
		"mail = ['postmaster@acme.test']":  "",
		"command = ['/usr/bin/pager','x']": "",
	} {
		_, problems, err := Parse("p.toml", []byte("[notify]\n"+text+"\n"), time.Now())
		got := ""
		for _, p := range problems {
			got += p.String() + "\n"
		}
		if err != nil {
			got += err.Error()
		}
		if want != "" && !strings.Contains(got, want) || want == "" && strings.Contains(got, "notify") {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	file := filepath.Join(t.TempDir(), "url")
	for text, want := range map[string]string{"https://chat.test/secret\n": "https://chat.test/secret", "chat.test/secret": "", "ftp://chat.test/secret": "", "": ""} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := (&Notify{WebhookFile: file}).Webhook()
		if got != want || (err == nil) != (want != "") || err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}
