package server

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOwnDomains: the page Audit begins with domains of this host: those that Postfix receives mail for, then those
// of the configuration; without a Postfix that can be asked, only these.
func TestOwnDomains(t *testing.T) {
	for _, c := range []struct{ name, answer, config, want string }{
		{"of Postfix", `printf 'mydestination = mx.shop.example, shop.example, localhost\nvirtual_mailbox_domains = a.test b.test\nmyhostname = mx.shop.example\n'`, "", "shop.example a.test b.test"},
		{"of both", `printf 'mydestination = mx.shop.example, shop.example\nmyhostname = mx.shop.example\n'`, "[dmarc]\nprotected = ['acme.test']\n", "shop.example mx.shop.example acme.test"},
		{"without Postfix", "exit 1", "[dmarc]\nprotected = ['acme.test', 'acme.test']\n", "acme.test mx.test"},
		{"Postfix hangs", "exec sleep 60", "", "mx.test"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "postconf"), []byte("#!/bin/sh\n"+c.answer+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
			d := run(t, listeners+c.config)
			for range 2 {
				status, body := d.get("/audit")
				var got []string
				for _, part := range strings.Split(body, `<a href="/audit/`)[1:] {
					name, _, _ := strings.Cut(part, `"`)
					if got = append(got, name); name == "watch" {
						got = got[:len(got)-1]
					}
				}
				if status != 200 || fmt.Sprint(got) != fmt.Sprint(strings.Fields(c.want)) {
					t.Errorf("%d: %v, want %s", status, got, c.want)
				}
			}
		})
	}
}
