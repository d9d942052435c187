package postseal_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// testName is a test of a package, as docs name it, such as `dkim.TestTags`.
var testName = regexp.MustCompile("`([a-z0-9/]+)\\.(Test[A-Za-z]+)`")

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
		if !strings.HasSuffix(line, "` |") {
			t.Errorf("no test in %s", line)
		}
		for _, m := range testName.FindAllStringSubmatch(line, -1) {
			if !hasTest(t, m[1], m[2]) {
				t.Errorf("there is no %s in %s", m[2], m[1])
			}
		}
	}
	if rows < 40 {
		t.Errorf("%d rows are left", rows)
	}
}

// TestThreatModelPage: each test that the table of defenses names is there.
func TestThreatModelPage(t *testing.T) {
	page, err := os.ReadFile("docs/explain/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	defined := definedTests(t)
	named := regexp.MustCompile("`(?:[a-z0-9/]+\\.)?((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(string(page), -1)
	for _, m := range named {
		if !defined[m[1]] {
			t.Errorf("there is no %s", m[1])
		}
	}
	for _, m := range testName.FindAllStringSubmatch(string(page), -1) {
		if !hasTest(t, m[1], m[2]) {
			t.Errorf("there is no %s in %s", m[2], m[1])
		}
	}
	if len(named) < 40 {
		t.Errorf("%d tests are left", len(named))
	}
}

// definedTests are the names of all tests.
func definedTests(t *testing.T) map[string]bool {
	t.Helper()
	defined, name := map[string]bool{}, regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range name.FindAllSubmatch(text, -1) {
			defined[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return defined
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
