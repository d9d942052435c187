package postseal_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"postseal/lab/fuzztargets"
)

// TestFuzzPage keeps the page of fuzz targets as the code says; each target says what it
// holds.
func TestFuzzPage(t *testing.T) {
	const page = "docs/reference/fuzzing.md"
	all, err := fuzztargets.List(".")
	if err != nil || len(all) == 0 {
		t.Fatal(len(all), err)
	}
	var b strings.Builder
	b.WriteString("# Fuzz targets\n\nWhat each target holds, whatever the input. Beside that, none may panic or hang.\n" +
		"`make fuzz` runs all of them and prints a line each. Generated from the code.\n\n| package | target | holds |\n|---|---|---|\n")
	for _, target := range all {
		if len(target.Holds) < 20 {
			t.Errorf("%s %s has no comment that says what it holds", target.Dir, target.Name)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", target.Dir, target.Name, strings.ReplaceAll(target.Holds, "|", `\|`))
	}
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(page); err != nil || string(got) != b.String() {
		t.Errorf("%s is not what the code says: go test . -run TestFuzzPage -update (%v)", page, err)
	}
}
