package atomicfile

import (
	"os"
	"path/filepath"
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
