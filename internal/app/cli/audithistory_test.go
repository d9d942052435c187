package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAuditHistory: a selector of the history is looked up, and carries its last day.
func TestAuditHistory(t *testing.T) {
	url := storeOf(t, nil)
	zone := filepath.Join(t.TempDir(), "acme.zone")
	if err := os.WriteFile(zone, []byte("$TTL 60\nacme.test. TXT \"v=spf1 mx ~all\"\nother._domainkey.acme.test. TXT \"x\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, stderr bytes.Buffer
	Main([]string{"audit", "--offline", "--zone", zone, "--store", url, "--format", "json", "--fail-on", "never", "acme.test"}, strings.NewReader(""), &out, &stderr)
	for _, want := range []string{`"source": "history"`, `"last_seen": "2026-11-30"`, "dkim.selector-gone", "last on 2026-11-30"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is not in\n%s%s", want, out.String(), stderr.String())
		}
	}
	out.Reset()
	if code := Main([]string{"audit", "--offline", "--zone", zone, "--store", "mysql:x", "acme.test"}, strings.NewReader(""), &out, &stderr); code != exitUsage {
		t.Errorf("exit %d", code)
	}
}
