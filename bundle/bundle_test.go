package bundle

import (
	"os"
	"path/filepath"
	"testing"
)

// TestVectors runs every vector: one file, one failure.
func TestVectors(t *testing.T) {
	files, err := filepath.Glob("../testdata/vectors/*/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors found: %v", err)
	}
	for _, file := range files {
		name, _ := filepath.Rel("../testdata/vectors", file)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			b, err := Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			if len(b.Expect) == 0 || b.RFC == "" {
				t.Error("a vector needs expect and rfc lines")
			}
			r, err := b.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, wrong := range b.Check(r) {
				t.Error(wrong)
			}
		})
	}
}
