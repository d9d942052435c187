//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// pageWalk says how a page is walked: what its reader has before, and which commands do not run here.
// Every other command must exit with 0, or with what its shown output ends with.
type pageWalk struct {
	packages []string          // of Debian, which conflict with Postfix: downloaded, and installed on this host alone
	before   string            // shell, after testdata/machine/setup.sh, in the directory of the reader
	after    string            // shell, at the end
	in       string            // the directory of the reader; "" is an empty one
	config   map[int]string    // blocks of TOML, counted from 0, that are put into postseal.toml, with lines to add
	blocks   map[int]string    // blocks without a language, counted from 0, that are put into the file named
	skip     map[string]string // a command that starts so does not run, and why
	exit     map[string]int    // a command that starts so exits otherwise
	during   map[string]string // a command that starts so does not end by itself: shell that ends it when it has done its work
	then     string            // shell, after a configuration was put there
	input    map[string]string // what the reader types into a command that starts so
	output   map[string]string // a command that starts so prints this
	replace  map[string]string // what a reader replaces, with a file that holds what with
}

// block is a fenced block of a page.
type block struct {
	line       int
	lang, text string
}

var fence = regexp.MustCompile("(?ms)^( *)```([a-z]*)\n(.*?)^ *```")

func blocksOf(t *testing.T, page string) (blocks []block) {
	t.Helper()
	text := readFile(t, page)
	for _, m := range fence.FindAllStringSubmatchIndex(text, -1) {
		indent := text[m[2]:m[3]]
		body := strings.ReplaceAll("\n"+text[m[6]:m[7]], "\n"+indent, "\n")[1:]
		blocks = append(blocks, block{1 + strings.Count(text[:m[0]], "\n"), text[m[4]:m[5]], body})
	}
	return blocks
}

// command is a line after "$ ", with its continuations, and the exit code that its output shows.
type command struct {
	text string
	exit int
}

var shownExit = regexp.MustCompile(`\[exit (\d)\]\s*$`)

func commandsOf(b block) (commands []command) {
	lines := strings.Split(b.text, "\n")
	for i := 0; i < len(lines); i++ {
		text, ok := strings.CutPrefix(lines[i], "$ ")
		if !ok {
			if m := shownExit.FindStringSubmatch(lines[i]); m != nil && len(commands) > 0 {
				commands[len(commands)-1].exit, _ = strconv.Atoi(m[1])
			}
			continue
		}
		for strings.HasSuffix(text, `\`) && i+1 < len(lines) {
			i++
			text += "\n" + lines[i]
		}
		commands = append(commands, command{text: text})
	}
	return commands
}

// pages are README and the howtos, from the directory of this package.
func pages(t *testing.T) []string {
	t.Helper()
	howtos, err := filepath.Glob("../../docs/howto/*.md")
	must(t, err)
	return append([]string{"../../README.md"}, howtos...)
}

// TestWalk types every command that README and the howtos show, in their order, on a host made for
// each page: Postfix, a resolver and a client on the internet, in namespaces that leave nothing.
func TestWalk(t *testing.T) {
	if os.Getenv(insideMachine) != "" {
		t.Skip("runs outside")
	}
	if why := noMachine(); why != "" {
		t.Skip(why)
	}
	for _, page := range pages(t) {
		name := filepath.Base(page)
		t.Run(name, func(t *testing.T) {
			if _, ok := walks[name]; !ok {
				for _, b := range blocksOf(t, page) {
					if len(commandsOf(b)) > 0 {
						t.Fatalf("%s:%d has commands and is not in the table walks", name, b.line)
					}
				}
				return
			}
			if packages := walks[name].packages; len(packages) > 0 {
				dir := download(t, packages)
				t.Setenv("POSTSEAL_PACKAGES", dir)
			}
			runInMachine(t, "^TestWalkInside$", page)
		})
	}
	for name := range walks {
		if !slices.ContainsFunc(pages(t), func(p string) bool { return filepath.Base(p) == name }) {
			t.Errorf("the table walks names %s, which is not a page", name)
		}
	}
}

// download gets packages of Debian without installing them.
func download(t *testing.T, packages []string) (dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"download"}, packages...)...)
	cmd.Dir = t.TempDir()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("apt-get download: %v %s", err, out)
	}
	return cmd.Dir
}

// TestWalkInside walks the page that TestWalk names.
func TestWalkInside(t *testing.T) {
	page := os.Getenv(insideMachine)
	if page == "" {
		t.Skip("runs in the machine that TestWalk makes")
	}
	w := &walker{t: t, pageWalk: walks[filepath.Base(page)], page: filepath.Base(page), used: map[string]bool{}}
	w.blocks()
	w.machine()
	var toml, plain int
	for _, b := range blocksOf(t, page) {
		switch b.lang {
		case "toml":
			if more, ok := w.config[toml]; ok {
				w.configure(b.text, more)
			}
			toml++
		case "":
			if file, ok := w.pageWalk.blocks[plain]; ok {
				w.shell(fmt.Sprintf("mkdir -p $(dirname %s); cat >%s", strings.TrimPrefix(file, ">"), file), b.text)
			}
			plain++
		}
		for _, c := range commandsOf(b) {
			w.run(c, b.line)
		}
	}
	w.shell(". lab/e2e/testdata/machine/functions.sh\n"+w.after, "")
	for _, table := range []map[string]string{w.skip, w.during, w.input, w.output} {
		for key := range table {
			if !w.used[key] {
				t.Errorf("%s shows no command that starts with %q", w.page, key)
			}
		}
	}
}

var looksTyped = regexp.MustCompile(`^(\$ |(sudo |postseal|systemctl|postconf|postfix|go|make|git|swaks) )`)

// walker is a reader.
type walker struct {
	pageWalk
	t    *testing.T
	page string
	root string // the clone of the repository
	dir  string // where the commands are typed
	used map[string]bool
}

// blocks checks that a page shows commands as console, never without "$ ".
func (w *walker) blocks() {
	for _, b := range blocksOf(w.t, os.Getenv(insideMachine)) {
		if b.lang == "console" && len(commandsOf(b)) == 0 {
			w.t.Errorf("%s:%d: a block console without a command", w.page, b.line)
		}
		if b.lang == "" && looksTyped.MatchString(b.text) {
			w.t.Errorf("%s:%d: commands belong into a block console, each after \"$ \"", w.page, b.line)
		}
	}
}

func (w *walker) machine() {
	wd, err := os.Getwd()
	must(w.t, err)
	w.root = filepath.Dir(filepath.Dir(wd))
	ownFiles(w.t)
	w.dir = filepath.Join(os.Getenv("HOME"), "walk")
	must(w.t, os.MkdirAll(w.dir, 0o755))
	bin := "/usr/local/bin"
	for _, name := range []string{"systemctl", "sudo"} {
		text := readFile(w.t, filepath.Join("testdata/machine", name))
		must(w.t, os.WriteFile(filepath.Join(bin, name), []byte(text), 0o755))
	}
	if _, err := exec.LookPath("ip"); err != nil {
		w.t.Fatal(err)
	}
	must(w.t, exec.Command("ip", "link", "set", "lo", "up").Run())
	serveNames(w.t, "../../testdata/zones/mail.zone", "testdata/machine/walk.zone", "testdata/machine/example.com.zone")
	if w.in == "repository" {
		w.dir = w.root
	}
	w.shell(". "+filepath.Join(wd, "testdata/machine/setup.sh")+"\n"+w.before, "")
}

// shell runs a script of the test itself.
func (w *walker) shell(script, input string) {
	w.t.Helper()
	if out, code := w.bash("set -eu; cd "+w.root+"; export WALK="+w.dir+"\n"+script, input); code != 0 {
		w.t.Fatalf("%s: preparation: exit %d\n%s\n%s", w.page, code, out, w.logs())
	}
}

// bash runs a script and returns its output. What it leaves running may keep the output open.
func (w *walker) bash(script, input string) (out string, code int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 12*time.Minute) // to make packages on a busy machine
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir, cmd.Stdin = w.dir, strings.NewReader(input)
	file, err := os.CreateTemp("", "walk-output-")
	must(w.t, err)
	defer os.Remove(file.Name())
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "STATE_DIRECTORY=") }),
		"COLUMNS=100", "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin:"+os.Getenv("PATH"))
	err = cmd.Run()
	octets, _ := os.ReadFile(file.Name())
	if cmd.ProcessState == nil {
		w.t.Fatal(err)
	}
	return string(octets), cmd.ProcessState.ExitCode()
}

// entry finds the entry of a table whose key a command starts with, the longest.
func entry[V any](w *walker, table map[string]V, text string) (v V, ok bool) {
	best := ""
	for key := range table {
		if strings.HasPrefix(text, key) && len(key) > len(best) {
			best = key
		}
	}
	if best == "" {
		return v, false
	}
	w.used[best] = true
	return table[best], true
}

// run types a command.
func (w *walker) run(c command, line int) {
	w.t.Helper()
	if why, ok := entry(w, w.skip, c.text); ok {
		w.t.Logf("%s:%d: skipped: %s: %s", w.page, line, c.text, why)
		return
	}
	want := c.exit
	if code, ok := entry(w, w.exit, c.text); ok {
		want = code
	}
	text := c.text
	for shown, file := range w.replace {
		if strings.Contains(text, shown) {
			text = strings.ReplaceAll(text, shown, strings.TrimSpace(readFile(w.t, file)))
		}
	}
	if after, ok := entry(w, w.during, c.text); ok {
		text = "(" + text + ") & child=$!\n" + after + "\nkill $child 2>/dev/null; exit 0"
	}
	start := time.Now()
	input, _ := entry(w, w.input, c.text)
	out, code := w.bash(text, input)
	if code != want {
		w.t.Errorf("%s:%d: %s\nexit %d, want %d:\n%s\n%s", w.page, line, c.text, code, want, out, w.logs())
	}
	if text, ok := entry(w, w.output, c.text); ok && !strings.Contains(strings.Join(strings.Fields(out), " "), text) {
		w.t.Errorf("%s:%d: %s\ndoes not print %q:\n%s", w.page, line, c.text, text, out)
	}
	w.t.Logf("%s:%d: walked in %.1f s: %s", w.page, line, time.Since(start).Seconds(), c.text)
}

// configure puts a block of TOML into the configuration, and restarts a daemon that runs.
func (w *walker) configure(text, more string) {
	w.t.Helper()
	var b bytes.Buffer
	for _, line := range []string{`authserv_id = "mx.example.net"`, `enforce = "observe"`} {
		if !strings.Contains(text, strings.Fields(line)[0]) {
			fmt.Fprintln(&b, line)
		}
	}
	b.WriteString(text + more)
	w.shell("cat >/etc/postseal/postseal.toml; systemctl try-restart postseal", b.String())
	w.shell(". lab/e2e/testdata/machine/functions.sh\n"+w.then, "")
}

// logs are the ends of the logs of the daemon and of Postfix.
func (w *walker) logs() (all string) {
	for _, path := range []string{"/var/log/postseal.log", "/var/log/mail.log", "/var/lib/postseal/quickstart.log"} {
		if octets, err := os.ReadFile(path); err == nil {
			all += "the end of " + path + ":\n" + string(octets[max(0, len(octets)-2000):])
		}
	}
	return all
}
