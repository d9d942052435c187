package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postseal"
	"postseal/bundle"
	"postseal/internal/app/whatif"
	"postseal/internal/core/dnszone"
	"postseal/store/evidence"
)

// keepVerdict verifies a message and keeps its evidence.
func keepVerdict(t *testing.T, dir, from, more string) string {
	t.Helper()
	zone, err := dnszone.Parse("bank.test. 60 TXT \"v=spf1 -all\"\n_dmarc.bank.test. 60 TXT \"v=DMARC1; p=reject\"\nlist.test. 60 TXT \"v=spf1 ip4:192.0.2.0/24\"\n" +
		"_dmarc.list.test. 60 TXT \"v=DMARC1; p=none\"\n1.2.0.192.in-addr.arpa. 60 PTR out.list.test.\nout.list.test. 60 A 192.0.2.1\n")
	if err != nil {
		t.Fatal(err)
	}
	v, err := postseal.New(postseal.Config{Resolver: zone, AuthservID: "mx.test", Enforce: postseal.Guarded})
	if err != nil {
		t.Fatal(err)
	}
	r, err := postseal.VerifyReader(context.Background(), v, postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.1:25")}, "out.list.test", from,
		strings.NewReader(strings.ReplaceAll("From: a@bank.test\nSubject: "+more+"\n\nx\n", "\n", "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	folder, err := evidence.Open(dir, evidence.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := folder.Put(r.Ref, "", bundle.Of(r, v, bundle.Options{}).Format()); err != nil {
		t.Fatal(err)
	}
	return r.Ref
}

// TestWhatIf: the evidence under another mode, another discovery and a pasted policy; what a
// policy needs and the evidence does not have is undecided, not unchanged.
func TestWhatIf(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		keepVerdict(t, dir, "b@bank.test", fmt.Sprint("forged ", i))
	}
	keepVerdict(t, dir, "b@list.test", "list\nList-Id: <l.list.test>\nList-Post: <mailto:l@list.test>")
	if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d-BROKEN-q.bundle", time.Now().UnixNano())), []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "p.toml")
	policy := filepath.Join(t.TempDir(), "candidate.toml")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(config, "authserv_id = 'mx.test'\n[bundles]\ndir = '"+dir+"'\n")
	write(policy, "enforce = 'strict'\n[[exempt]]\nip = '192.0.2.0/24'\nwhy = 'ours'\n")
	look := func(args ...string) (r whatif.Report) {
		t.Helper()
		code, stdout, stderr := run(nil, "", append([]string{"whatif", "--config", config, "--format", "json"}, args...)...)
		if code != exitOK {
			t.Fatalf("%d %s", code, stderr)
		}
		if err := matchSchema("whatif", stdout); err != nil {
			t.Error(err)
		}
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := look("--b", "observe"); r.Messages != 4 || r.Changed != 4 || r.Broken != 1 || r.Changes[0].N != 3 || r.Changes[0].From != "reject" || r.Changes[0].To != "accept" || len(r.Changes[0].Refs) != 3 {
		t.Errorf("observe: %+v", r)
	}
	if r := look("--b", "guarded"); r.Changed != 0 {
		t.Errorf("the mode that decided: %+v", r)
	}
	r := look("--b", "strict")
	if r.Changed != 1 || r.Changes[0].Sender != "list.test" || r.Changes[0].From != "quarantine" || r.Changes[0].To != "reject" {
		t.Errorf("strict: %+v", r)
	}
	if r := look("--a", "observe", "--policy", policy); r.Changed != 0 || r.B != policy {
		t.Errorf("a policy that exempts all: %+v", r)
	}
	if r := look("--b", "psl"); r.Changed+r.Undecided != r.Undecided || r.Messages != 4 {
		t.Errorf("another discovery: %+v", r)
	}
	code, stdout, _ := run(nil, "", "whatif", "--config", config)
	if code != exitOK || !strings.Contains(stdout, "1 of 4 messages would have ended in another way") || !strings.Contains(stdout, "1 bundles could not be read") {
		t.Errorf("%d %s", code, stdout)
	}
	write(policy, "[listen]\nhttp = 'x'\n")
	if code, _, stderr := run(nil, "", "whatif", "--config", config, "--policy", policy); code != exitConfig || !strings.Contains(stderr, `"listen" is not used here`) {
		t.Errorf("%d %s", code, stderr)
	}
	if code, _, stderr := run(nil, "", "whatif", "--config", config, "--b", "stict"); code != exitUsage || !strings.Contains(stderr, "is not one of live") {
		t.Errorf("%d %s", code, stderr)
	}
	if code, _, _ := run(nil, "", "whatif", "--config", config, "--bundles", dir+"/none"); code != exitNoInput {
		t.Errorf("no evidence: %d", code)
	}
}
