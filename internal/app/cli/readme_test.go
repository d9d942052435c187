package cli

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const ourCommand = "go run ./cmd/postseal "

// notRun are the commands of the README that its test cannot run: they would run the
// test itself, or change the machine.
var notRun = map[string]bool{
	"postseal serve": true, "postseal setup postfix": true, "postseal doctor": true,
	"go test ./...":             true,
	"go install ./cmd/postseal": true,
	// Those of .ci/packages and of TestScript/quickstart.
	"make packages": true, "sudo dpkg -i dist/postseal_*_amd64.deb": true, "postseal quickstart": true, "sudo postseal quickstart --apply": true,
	"postseal verify --received-by mx.example.net ~/Maildir/cur/*": true,
}

var consoleBlock = regexp.MustCompile("(?s)```console\n(.*?)```\n")

// TestReadmeCommands runs the commands of the README and compares what they print with what
// stands below them. -update pastes it again.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(source("README.md"))
	if err != nil {
		t.Fatal(err)
	}
	ran := map[string]bool{}
	updated := consoleBlock.ReplaceAllFunc(readme, func(block []byte) []byte {
		return []byte("```console\n" + rerun(t, string(consoleBlock.FindSubmatch(block)[1]), ran) + "```\n")
	})
	for _, word := range []string{"verify", "spf", "dmarc", "lint"} {
		if !ran[word] {
			t.Errorf("the README shows no %q that runs", word)
		}
	}
	if *update {
		if err := os.WriteFile(source("README.md"), updated, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(readme), string(updated)); diff != "" {
		t.Errorf("README.md (-is +prints; rewrite with -update):\n%s", diff)
	}
}

// rerun runs each command of a block and returns the block with what they print. The
// output of a command that shows none is not compared.
func rerun(t *testing.T, block string, ran map[string]bool) string {
	var out strings.Builder
	lines := strings.SplitAfter(block, "\n")
	for i, line := range lines {
		command, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "$ ")
		if !ok {
			continue
		}
		out.WriteString(line)
		if notRun[command] {
			continue
		}
		args, ours := strings.CutPrefix(command, ourCommand)
		if !ours {
			t.Errorf("%s: neither run nor excepted", command)
			continue
		}
		words := shellWords(args)
		ran[words[0]] = true
		code, stdout, stderr := runAt("", words...)
		if code >= exitUndecided || stdout == "" {
			t.Errorf("%s: exit code %d: %s", command, code, stderr)
		}
		last := i+1 >= len(lines) || lines[i+1] == ""
		if alone := strings.Count(block, "$ ") == 1; alone || !last && !strings.HasPrefix(lines[i+1], "$ ") {
			out.WriteString(steady(stdout))
		}
	}
	return out.String()
}

// shellWords splits at spaces, but for those between single quotes.
func shellWords(line string) []string {
	var words []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
			continue
		}
		words = append(words, strings.Fields(part)...)
	}
	return words
}

// TestReadmeExample: the Go code of the README is that of a tested example.
func TestReadmeExample(t *testing.T) {
	readme, err := os.ReadFile(source("README.md"))
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile(source("example_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := bytes.Cut(readme, []byte("```go\n"))
	block, _, ok := bytes.Cut(block, []byte("```\n"))
	if !ok {
		t.Fatal("the README has no Go code")
	}
	tested := strings.ReplaceAll("\n"+string(example), "\n\t", "\n")
	if !strings.Contains(tested, "\n"+string(block)) {
		t.Error("the Go code of README.md is not in example_test.go")
	}
}

// TestLinks: what the pages point at is there.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, page := range pages(t) {
		text, err := os.ReadFile(source(page))
		if err != nil {
			t.Fatal(err)
		}
		dir := page[:strings.LastIndexByte(page, '/')+1]
		for _, m := range link.FindAllSubmatch(text, -1) {
			if _, err := os.Stat(source(dir + string(m[1]))); err != nil {
				t.Errorf("%s: %s: %v", page, m[1], err)
			}
		}
	}
}
