package evidence

import (
	"path/filepath"
	"testing"
	"time"
)

// FuzzName: whatever reference and queue id a bundle is kept under, its name is one file of
// the folder and tells when it was made.
func FuzzName(f *testing.F) {
	f.Add("7KQ29F3M", "4cXk2", int64(1764000000000000000))
	f.Add("../../x", "a-b\x00/\n", int64(-1))
	f.Fuzz(func(t *testing.T, ref, queueID string, nanos int64) {
		made := time.Unix(0, max(0, nanos))
		name := nameOf(made, ref, queueID)
		if filepath.Base(name) != name || !filepath.IsLocal(name) || len(name) > 255 {
			t.Fatalf("%q is no name of a file", name)
		}
		if got, ok := parseName(name); !ok || !got.Equal(made) {
			t.Errorf("parseName(%q) = %v, %v; want %v", name, got, ok, made)
		}
		parseName(queueID)
	})
}
