package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"postseal/internal/app/term"
	"postseal/internal/core/dnszone"
)

var update = flag.Bool("update", false, "rewrite expected output and generated pages")

// repository is the directory of the sources.
var repository, _ = filepath.Abs("../../..")

// source is a file of the repository.
func source(path string) string { return filepath.Join(repository, path) }

// TestMain lets more tests run side by side than there are processors, because most of them wait: for
// postconf, for name servers that never answer, for one another. Garbage is collected less often.
func TestMain(m *testing.M) {
	flag.Set("test.parallel", "16") // go test -parallel has the last word
	if filepath.Base(os.Args[0]) != "postseal" {
		debug.SetGCPercent(400)
	}
	testscript.Main(withState{m}, map[string]func(){
		"postseal": func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
		helperName: helperMain,
	})
}

// withState gives the tests a state directory that is not that of a daemon, and ends the helpers.
type withState struct{ *testing.M }

func (m withState) Run() int {
	dir, err := os.MkdirTemp("", "state")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	os.Setenv("STATE_DIRECTORY", dir)
	code := m.M.Run()
	if err := stopHelpers(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// TestScript runs the commands of the program, with the sample mail in mail/ and its DNS in
// mail.zone. "call postseal" runs a command in a helper process, which is a fifth of the work of
// "exec postseal": that is a program of its own, with a real standard input. See scriptCommands
// for the words that the scripts know besides the usual.
func TestScript(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 source("internal/app/cli/testdata/script"),
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setupScript,
		Cmds:                scriptCommands,
	})
}

func setupScript(env *testscript.Env) error {
	env.Setenv("LANG", "C.UTF-8")
	env.Setenv("STATE_DIRECTORY", env.Getenv("WORK")+"/state")
	zone, err := os.ReadFile(sampleZone)
	if err != nil {
		return err
	}
	if err := os.WriteFile(env.Getenv("WORK")+"/mail.zone", zone, 0o644); err != nil {
		return err
	}
	return os.CopyFS(env.Getenv("WORK")+"/mail", os.DirFS(source("testdata/mail")))
}

var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"cmpdomains": scriptDomains,
	"call":       scriptCall,
	"input":      scriptInput,
	"exits":      scriptExits,
	"json":       scriptJSON,
	"schema":     scriptSchema,
	"expand":     scriptExpand,
	"columns":    scriptColumns,
	"dns":        scriptDNS,
	"deaf":       scriptDeaf,
	"binary":     scriptBinary,
}

// scriptExpand puts the values of $NAMEs into a file: expand FILE
func scriptExpand(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(os.Expand(ts.ReadFile(name), ts.Getenv)), 0o644))
	}
}

// scriptCall runs a command in a helper process: call postseal ARGS...
func scriptCall(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 || args[0] != "postseal" {
		ts.Fatalf("usage: call postseal ARGS...")
	}
	if code := scriptRun(ts, args[1:]); (code == 0) == neg {
		ts.Fatalf("exit code %d", code)
	}
}

// scriptInput is stdin for the next command of a helper process: input FILE
func scriptInput(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: input FILE")
	}
	ts.Setenv("INPUT", ts.MkAbs(args[0]))
}

// takeInput returns the text that the script's input names, once.
func takeInput(ts *testscript.TestScript) string {
	path := ts.Getenv("INPUT")
	if path == "" {
		return ""
	}
	ts.Setenv("INPUT", "")
	return ts.ReadFile(path)
}

// scriptVariables are what the product reads from its environment, and programs that it starts.
var scriptVariables = []string{"PATH", "HOME", "TMPDIR", "STATE_DIRECTORY", "XDG_STATE_HOME", "LANG", "LC_ALL", "LC_CTYPE", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TERM", "GOCOVERDIR"}

func scriptRun(ts *testscript.TestScript, args []string) (code int) {
	job := &scriptJob{Dir: ts.MkAbs("."), Env: map[string]string{}, Args: args, In: takeInput(ts)}
	for _, name := range scriptVariables {
		if value := ts.Getenv(name); value != "" {
			job.Env[name] = value
		}
	}
	r := doJob(job)
	io.WriteString(ts.Stdout(), r.Out)
	io.WriteString(ts.Stderr(), r.Err)
	return r.Code
}

// scriptExits runs a command and wants an exit code: exits CODE postseal ARGS... or, as a program
// of its own, exits CODE exec PROGRAM ARGS...
func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE postseal ARGS... | exits CODE exec PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := scriptExitCode(ts, args[1], args[2:]); got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func scriptExitCode(ts *testscript.TestScript, word string, args []string) int {
	if word == "postseal" {
		return scriptRun(ts, args)
	}
	if word != "exec" || len(args) == 0 {
		ts.Fatalf("%s is not postseal or exec", word)
	}
	var exit *exec.ExitError
	switch err := ts.Exec(args[0], args[1:]...); {
	case errors.As(err, &exit):
		return exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	return 0
}

// scriptJSON looks into the JSON on stdout: json PATH WANT, where a step of PATH is a key,
// an index or len for the number of entries, and strings are written without quotes. With
// no WANT the value must be there, with ! it must not.
func scriptJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 || len(args) > 2 || neg && len(args) != 1 {
		ts.Fatalf("usage: json PATH WANT | json PATH | ! json PATH")
	}
	var doc any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &doc))
	got, err := lookUp(doc, strings.Split(args[0], "."))
	switch {
	case neg && err == nil:
		ts.Fatalf("%s is %s, want it absent", args[0], got)
	case neg:
	case err != nil:
		ts.Fatalf("%v", err)
	case len(args) == 2 && got != args[1]:
		ts.Fatalf("%s is %s, want %s", args[0], got, args[1])
	}
}

func lookUp(v any, path []string) (string, error) {
	for i, step := range path {
		at := strings.Join(path[:i+1], ".")
		switch c := v.(type) {
		case map[string]any:
			next, ok := c[step]
			if !ok {
				return "", fmt.Errorf("there is no %s", at)
			}
			v = next
		case []any:
			n, err := strconv.Atoi(step)
			switch {
			case step == "len":
				v = len(c)
			case err != nil || n >= len(c):
				return "", fmt.Errorf("there is no %s in %d entries", at, len(c))
			default:
				v = c[n]
			}
		default:
			return "", fmt.Errorf("there is no %s", at)
		}
	}
	if s, ok := v.(string); ok {
		return s, nil
	}
	text, err := json.Marshal(v)
	return string(text), err
}

// scriptSchema holds each JSON object on stdout against a schema of docs/reference/schema.
func scriptSchema(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: schema NAME")
	}
	ts.Check(matchSchema(args[0], ts.ReadFile("stdout")))
}

// scriptColumns wants every line of stdout within so many columns, and in ASCII where the
// locale has nothing else.
func scriptColumns(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: columns MOST")
	}
	most, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(layout(ts.ReadFile("stdout"), most, strings.Contains(ts.Getenv("LANG"), "UTF-8")))
}

// layout reports a line that is too wide, a control character other than those of
// colour, or an octet beyond ASCII without utf8.
func layout(text string, most int, utf8 bool) error {
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if n := term.Columns(line); n > most {
			return fmt.Errorf("%d columns, at most %d: %q", n, most, line)
		}
		for _, r := range line {
			if r < ' ' && r != 0x1b || r == 0x7f || r > 0x7e && !utf8 {
				return fmt.Errorf("character %U in %q", r, line)
			}
		}
	}
	return nil
}

// scriptDNS serves a zone on a real server: dns VARIABLE ZONE.
func scriptDNS(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: dns VARIABLE ZONE")
	}
	zone, err := dnszone.ParseFiles(ts.MkAbs(args[1]))
	ts.Check(err)
	server, err := zone.Serve()
	ts.Check(err)
	ts.Defer(func() { server.Close() })
	ts.Setenv(args[0], server.Addr())
}

// scriptDeaf creates an address without a listener: deaf VARIABLE.
func scriptDeaf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: deaf VARIABLE")
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { conn.Close() })
	ts.Setenv(args[0], conn.LocalAddr().String())
}

// scriptBinary writes a file from a Go string: binary FILE TEXT.
func scriptBinary(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: binary FILE TEXT")
	}
	data, err := strconv.Unquote(`"` + args[1] + `"`)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(data), 0o644))
}

// run is the program within the test: the same as the real one, but for the terminal.
func run(env map[string]string, stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs, getenv: func(name string) string { return env[name] }}
	a.errors = term.Detect(&errs, term.Auto, a.getenv)
	code = a.run(context.Background(), args)
	return code, out.String(), errs.String()
}

// samples are the paths of the sample mail.
func samples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(source("testdata/mail/*.eml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no sample mail: %v", err)
	}
	return files
}
