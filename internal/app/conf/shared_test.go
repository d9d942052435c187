package conf

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postseal"
)

// TestShared: a shared configuration replaces the keys that it has, with its own positions in
// errors; its expectations are evaluated together with the file, from the files packed with it.
func TestShared(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("bad.zone", "bad.test. 60 TXT \"v=spf1 -all\"\n_dmarc.bad.test. 60 TXT \"v=DMARC1; p=reject\"\n")
	expect := func(action string) string {
		return "[[expect]]\nzone = 'bad.zone'\nip = '192.0.2.9'\nhelo = 'x.test'\nfrom = 'a@bad.test'\nauthor = 'bad.test'\naction = '" + action + "'\n"
	}
	own := "enforce = 'observe'\n[spf]\ntimeout = '7s'\n[store]\nurl = 'postgres://127.0.0.1/x'\n[fleet]\nconfig = 'shared'\n"
	for _, c := range []struct {
		name, own, shared, want string // a part of the problems, "" for none
		enforce                 postseal.Enforce
	}{
		{"nothing", own, "", "", postseal.Observe},
		{"the mode", own, "enforce = 'strict'\n", "", postseal.Strict},
		{"with what it must do", own, "enforce = 'strict'\n" + expect("reject"), "", postseal.Strict},
		{"and does not", own, "enforce = 'quarantine'\n" + expect("reject"), "shared configuration 3:8:10: [[expect]] action: got quarantine, want reject", ""},
		{"what the file expects", own + expect("accept"), "enforce = 'strict'\n", "own.toml:14:10: [[expect]] action: got reject, want accept", ""},
		{"both expect", own + expect("reject"), "enforce = 'strict'\n" + expect("reject"), "", postseal.Strict},
		{"the second of both", own + expect("reject"), "enforce = 'strict'\n" + expect("accept"), "shared configuration 3:8:10: [[expect]]", ""},
		{"a key of one host", own, "enforce = 'strict'\n[listen]\nhttp = '127.0.0.1:1'\n", "shared configuration 3:2:2: listen: is not shared: hosts can share enforce, network", ""},
		{"an unknown key", own, "enfroce = 'strict'\n", "shared configuration 3:1:1: unknown key", ""},
		{"a wrong value", own, "\nenforce = 'hard'\n", "shared configuration 3:2:11: ", ""},
		{"a wrong rule", own, "[[rule]]\nif = 'spf =='\naction = 'accept'\nname = 'x'\n", "shared configuration 3:2:", ""},
		{"no TOML", own, "enforce = ", "shared configuration 3:1:", ""},
		{"a file that is not packed", own, strings.Replace(expect("reject"), "bad.zone", "other.zone", 1), "other.zone: is not in the shared configuration 3", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write("own.toml", c.own)
			s, err := Pack(write("shared.toml", strings.Replace(c.shared, "other.zone", "bad.zone", 1)))
			if err != nil {
				if c.want == "" || !strings.Contains(err.Error(), "shared.toml:1:") {
					t.Fatal(err)
				}
				s = &Shared{}
			}
			s.N, s.Text = 3, []byte(c.shared)
			got, warnings, err := LoadShared(path, s, time.Now())
			switch {
			case c.want != "":
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %s", err, c.want)
				}
			case err != nil:
				t.Error(err)
			case got.Enforce != c.enforce || time.Duration(got.SPF.Timeout) != 7*time.Second:
				t.Errorf("enforce %s, timeout %v", got.Enforce, time.Duration(got.SPF.Timeout))
			case c.shared != "" && !slices.ContainsFunc(warnings, func(p Problem) bool {
				return strings.Contains(p.String(), "own.toml:1:11: warning: enforce: has no effect: shared configuration 3 replaces it")
			}):
				t.Errorf("no word of the key that is replaced: %v", warnings)
			}
		})
	}
}

// TestPack: the files of expectations are packed, within a bound.
func TestPack(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "shared.toml")
	if err := os.WriteFile(path, []byte("[[expect]]\nbundle = 'b'\naction = 'accept'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Pack(path); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a file that is missing: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "b"), make([]byte, maxSharedFiles+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Pack(path); err == nil || !strings.Contains(err.Error(), "larger than 8 MiB") {
		t.Errorf("a large file: %v", err)
	}
	if _, err := Pack(filepath.Join(dir, "none.toml")); !os.IsNotExist(err) {
		t.Error(err)
	}
}
