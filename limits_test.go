package postseal_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var limitTest = regexp.MustCompile("`([a-z/]+)\\.(Test[A-Za-z]+)` \\|$")

// attacked are the parts of limits.md whose rows say why it is safe to drop what they drop.
var attacked = []string{"The message", "Signatures", "The DNS", "The listeners"}

// TestLimitsPage: each row of limits.md names a test that is there, and says why a limit that a
// stranger can reach is safe.
func TestLimitsPage(t *testing.T) {
	page, err := os.ReadFile("docs/reference/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	rows, section := 0, ""
	for line := range strings.Lines(string(page)) {
		line = strings.TrimSpace(line)
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			section = heading
		}
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| quantity") {
			continue
		}
		rows++
		if slices.Contains(attacked, section) && !strings.Contains(line, "Safe: ") && !strings.Contains(line, "| none: ") {
			t.Errorf("%q does not say \"Safe: \" and why", line)
		}
		m := limitTest.FindStringSubmatch(line)
		switch {
		case m == nil:
			t.Errorf("no test in %s", line)
		case !hasTest(t, m[1], m[2]):
			t.Errorf("there is no %s in %s", m[2], m[1])
		}
	}
	if rows < 40 {
		t.Errorf("%d rows are left", rows)
	}
}

func hasTest(t *testing.T, pkg, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(strings.TrimPrefix(pkg, "postseal"), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "func "+name+"(") {
			return true
		}
	}
	return false
}
