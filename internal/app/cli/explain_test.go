package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"postseal/internal/app/term"
)

// TestExplain compares the story of every sample message, and of vectors for the outcomes
// that they do not have, with testdata/explain.
func TestExplain(t *testing.T) {
	t.Parallel()
	explained := func(name, file string) {
		t.Run(name, func(t *testing.T) {
			_, got, stderr := runAt("", "explain", file)
			if stderr != "" {
				t.Errorf("stderr: %s", stderr)
			}
			for line := range strings.Lines(got) {
				if n := term.Columns(strings.TrimSuffix(line, "\n")); n > term.Width {
					t.Errorf("%d columns: %s", n, line)
				}
			}
			golden(t, source("internal/app/cli/testdata/explain/"+name+".txt"), steady(verdictRef.ReplaceAllString(got, "VERDICT 7KQ2-9F3M")))
		})
	}
	dir := t.TempDir()
	for _, path := range samples(t) {
		name := strings.TrimSuffix(filepath.Base(path), ".eml")
		file := filepath.Join(dir, name+".bundle")
		run(nil, "", sampleArgs(path, "--zone", sampleZone, "--bundle", file, "--bundle-with", "message")...)
		explained(name, file)
	}
	for _, vector := range []string{"spf/macro-exists", "spf/eleven-lookups", "dmarc/walk-servfail", "dmarc/missing-p-without-rua", "dmarc/test-mode",
		"dmarc/np-on-missing-name", "decision/strict-list", "decision/observe-mode"} {
		explained(strings.ReplaceAll(vector, "/", "-"), "testdata/vectors/"+vector+".txtar")
	}
}
