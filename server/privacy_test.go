package server

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postseal/store/storetest/pgtest"
)

// TestPrivacy reads every file that a run leaves in its state directory, the database, its log, the
// journal and the evidence, octet for octet: no local part, subject, display name, Message-ID,
// recipient or line of a body is in it.
func TestPrivacy(t *testing.T) {
	dir := t.TempDir()
	sendSecrets(t, dir, storeTable(dir))
	files, there := 0, 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		there += bytes.Count(data, []byte("macro.test"))
		wantNoSecret(t, filepath.Base(path), data)
		return nil
	})
	if err != nil || files < 4 || there == 0 {
		t.Errorf("%d files, the domain is there %d times, %v", files, there, err)
	}
}

// TestPrivacyPostgres reads all that pg_dump writes of a database in the same way.
func TestPrivacyPostgres(t *testing.T) {
	s := pgtest.Begin(t)
	dir, address := t.TempDir(), s.Database(t, s.Addr)
	sendSecrets(t, dir, "[store]\nurl = '"+address+"'\njournal_dir = '"+dir+"/journal'\n")
	dump := s.Dump(t, address)
	if rows := bytes.Count(dump, []byte("INSERT INTO postseal.verdict_")); rows < 5 || bytes.Count(dump, []byte("macro.test")) < 5 {
		t.Errorf("%d rows are in the dump", rows)
	}
	wantNoSecret(t, "pg_dump", dump)
}

// sendSecrets sends messages with parts that must not be kept to a daemon with a store, and ends it once
// all is stored.
func sendSecrets(t *testing.T, dir, storeTable string) {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("keysecret-0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := run(t, "enforce = 'strict'\n"+listeners+storeTable+"message_id_key_file = '"+key+"'\n[bundles]\ndir = '"+dir+"/bundles'\nkeep = 'all'\n")
	sender := "ip=192.0.2.1&helo=mx.macro.test&rcpt=recipientlocal@here.test&from="
	field := "Subject: subjectsecret one\r\nMessage-ID: <idsecret@macro.test>\r\nList-Id: listphrase <listlocal.lists.macro.test>\r\nReply-To: replysecret@macro.test\r\n" +
		"DKIM-Signature: v=1; a=rsa-sha256; d=macro.test; s=k1; i=agentsecret@macro.test; h=from; bh=AAAA; b=AAAA\r\n\r\nbodysecret\r\n"
	messages := map[string]string{
		"senderlocal@macro.test":               "From: namesecret <authorlocal@macro.test>\r\n" + field,
		"senderlocal+verpsecret=x@reject.test": "From: authorlocal@reject.test (commentsecret), second <secondlocal@macro.test>\r\n" + field,
		"barelocal":                            "From: authorlocal\r\n" + field,
		"":                                     "From: \"authorlocal@quoted\"@reject.test\r\n" + field,
		"\"senderlocal@x y\"@macro.test":       "From: <authorlocal@[192.0.2.7]>\r\n" + field,
	}
	n := 0
	for from, message := range messages {
		d.post(sender+strings.NewReplacer("+", "%2B", "=", "%3D", " ", "%20", "\"", "%22").Replace(from), message)
		n++
	}
	eventually(t, "the verdicts", func() bool { return len(d.verdicts("").Verdicts) == n })
	if got := len(d.verdicts("?q=messageid:<idsecret@macro.test>").Verdicts); got != n {
		t.Errorf("%d messages are found by their Message-ID, want %d", got, n)
	}
	d.bundles.settle(t.Context())
	eventually(t, "facts", func() bool {
		_, body := d.get("/v1/domain/macro.test")
		return strings.Contains(body, "v=spf1 include")
	})
	d.end()
}

// wantNoSecret looks for what sendSecrets sent and must not be kept.
func wantNoSecret(t *testing.T, name string, data []byte) {
	t.Helper()
	secrets := []string{"senderlocal", "recipientlocal", "authorlocal", "secondlocal", "verpsecret", "subjectsecret", "namesecret", "commentsecret", "idsecret", "keysecret", "replysecret", "agentsecret", "listlocal", "listphrase", "bodysecret"}
	if filepath.Ext(name) != ".bundle" { // SPF takes a path without "@" for a domain, so a bundle cannot do without it
		secrets = append(secrets, "barelocal")
	}
	lower := bytes.ToLower(data)
	for _, secret := range secrets {
		if at := bytes.Index(lower, []byte(secret)); at >= 0 {
			t.Errorf("%s has %s: %q", name, secret, data[max(0, at-60):min(len(data), at+60)])
		}
	}
}
