package batch

import (
	"os"
	"path/filepath"
	"testing"
)

func TestUnfinished(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.jsonl")
	if Unfinished(path) {
		t.Error("a file that does not exist is unfinished")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	finish, err := Begin(path)
	if err != nil {
		t.Fatal(err)
	}
	if Unfinished(path) {
		t.Error("an empty file is unfinished: nothing would be lost")
	}
	if err := os.WriteFile(path, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !Unfinished(path) {
		t.Error("a file that is being written is finished")
	}
	for range 2 {
		if err := finish(); err != nil || Unfinished(path) {
			t.Errorf("finish: %v, unfinished %v", err, Unfinished(path))
		}
	}
	if finish, err := Begin(os.DevNull); err != nil || finish() != nil {
		t.Errorf("a device: %v", err)
	}
}
