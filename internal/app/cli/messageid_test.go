package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postseal/store"
	"postseal/store/storetest"
)

// TestMessageID: a message is found by its Message-ID where hashes are kept; else it is said what to do.
func TestMessageID(t *testing.T) {
	key := "0123456789abcdef0123456789abcdef"
	rows := historyRows()
	rows[0].MessageID = store.MessageIDKey(key).Hash("<1@acme.test>")
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	url := storeOf(t, rows)
	config := "[store]\nurl = '" + url + "'\njournal_dir = '" + dir + "'\n"
	with := write("with.toml", config+"message_id_key_file = '"+write("key", key+"\n")+"'\n")
	other := write("other.toml", config+"message_id_key_file = '"+write("other", "another key of 16 characters")+"'\n")
	short := write("short.toml", config+"message_id_key_file = '"+write("short", "short")+"'\n")
	without := write("without.toml", config)
	for _, c := range []struct {
		args, config string
		code         int
		want         string
	}{
		{"history messageid:<1@acme.test>", with, exitOK, "7KQ2-9F3M"},
		{"history messageid:1@acme.test", with, exitOK, "7KQ2-9F3M"},
		{"history <1@acme.test>", with, exitOK, "7KQ2-9F3M"},
		{"history messageid:<2@acme.test>", with, exitOK, "no verdict matches"},
		{"history messageid:<1@acme.test>", other, exitOK, "no verdict matches"},
		{"history messageid:<1@acme.test>", without, exitUsage, "set [store] message_id_key_file"},
		{"history messageid:<1@acme.test>", short, exitNoInput, "write a key with openssl rand -hex 32"},
		{"explain <1@acme.test>", with, exitOK, "7KQ2-9F3M"},
		{"explain 1@acme.test", with, exitOK, "dmarc.reject"},
		{"explain <2@acme.test>", with, exitNoInput, "no message with the Message-ID <2@acme.test> is in the history"},
		{"explain <1@acme.test>", without, exitUsage, "set [store] message_id_key_file"},
	} {
		args := append(strings.Fields(c.args), "--config", c.config, "--now", storetest.Now.Format(time.RFC3339))
		if c.args[0] == 'e' {
			args = args[:len(args)-2]
		}
		code, stdout, stderr := run(nil, "", args...)
		if code != c.code || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("%s, %s: %d\n%s%s", c.args, filepath.Base(c.config), code, stdout, stderr)
		}
	}
}
