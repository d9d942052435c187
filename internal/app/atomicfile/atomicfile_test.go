package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	for _, o := range []Options{{Mode: 0o600, Prefix: ".new-"}, {Mode: 0o644, Prefix: ".new-", Sync: true}} {
		if err := Write(path, []byte(o.Mode.String()), o); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		info, _ := os.Stat(path)
		if err != nil || string(got) != o.Mode.String() || info.Mode() != o.Mode {
			t.Errorf("%+v: %q, %v, %v", o, got, info.Mode(), err)
		}
	}
}

// TestWriteFails: a file that cannot replace the old one leaves nothing over.
func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a", "full"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Write(filepath.Join(dir, "a"), []byte("x"), Options{Mode: 0o600, Prefix: ".new-"}); err == nil {
		t.Error("a folder was replaced by a file")
	}
	if err := Write(filepath.Join(dir, "none", "a"), []byte("x"), Options{Mode: 0o600}); err == nil {
		t.Error("a file was written in no folder")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".new-*")); len(left) > 0 {
		t.Errorf("files that were left: %q", left)
	}
}

// TestReplace: a file of the operator keeps its mode, owner and group, and a link stays a link.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "a"), filepath.Join(dir, "link")
	o := Options{Mode: 0o600, Prefix: ".new-"}
	if err := Replace(path, []byte("1"), o); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("a new file: %v, %v", info, err)
	}
	if err := errors.Join(os.Chmod(path, 0o640), os.Symlink("a", link)); err != nil {
		t.Fatal(err)
	}
	group := os.Getgid()
	if os.Geteuid() == 0 {
		group = 12345
	}
	if err := os.Chown(path, os.Getuid(), group); err != nil {
		t.Fatal(err)
	}
	if err := Replace(link, []byte("2"), o); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(path); string(text) != "2" || info.Mode() != 0o640 || int(info.Sys().(*syscall.Stat_t).Gid) != group {
		t.Errorf("%q, mode %v, %+v, want group %d", text, info.Mode(), info.Sys(), group)
	}
	if target, err := os.Readlink(link); err != nil || target != "a" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
}
