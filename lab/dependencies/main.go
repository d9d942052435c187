// Program dependencies reports how current the modules are that go.mod names: their version, its date,
// and the version that replaces it. It fails for a module in the path of a verdict that has had neither
// a release nor a commit for two years.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"text/tabwriter"
	"time"
)

// maxAge is how old the newest release and commit of a module may be that a verdict depends on.
const maxAge = 2 * 365 * 24 * time.Hour

// verdictPackages are what a verdict comes from: the library, and what answers the mail server.
var verdictPackages = []string{"postseal", "postseal/resolver/stub", "postseal/server/milter", "postseal/server/policy", "postseal/server/proxy"}

// module is what go list says of one.
type module struct {
	Path     string
	Version  string
	Time     time.Time
	Main     bool
	Indirect bool
	Update   *module
}

func main() {
	err := run(os.Stdout, time.Now())
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "dependencies:", err)
	if errors.Is(err, errOld) {
		os.Exit(1)
	}
	os.Exit(2) // it could not be found out, such as without a network
}

// errOld is the error for a module that no longer seems to be maintained.
var errOld = errors.New("in the path of a verdict, and not maintained")

func run(w io.Writer, now time.Time) error {
	decisive, err := inPath()
	if err != nil {
		return err
	}
	direct, err := direct()
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "module\tversion\tof\tnewer\tin the path of a verdict")
	var old []error
	for _, m := range direct {
		newer, yes := "", ""
		if m.Update != nil {
			newer = m.Update.Version
		}
		if decisive[m.Path] {
			yes = "yes"
			if last, err := lastSign(m, now, list); err != nil {
				old = append(old, err)
			} else if now.Sub(last) > maxAge {
				old = append(old, fmt.Errorf("%s: %w: neither a release nor a commit since %s", m.Path, errOld, last.Format(time.DateOnly)))
			}
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", m.Path, m.Version, m.Time.Format(time.DateOnly), newer, yes)
	}
	return errors.Join(table.Flush(), errors.Join(old...))
}

// lastSign is when a module was last released or, where that is long ago, last changed.
func lastSign(m module, now time.Time, list func(...string) ([]module, error)) (time.Time, error) {
	last := m.Time
	if m.Update != nil && m.Update.Time.After(last) {
		last = m.Update.Time
	}
	if now.Sub(last) <= maxAge {
		return last, nil
	}
	head, err := list("-m", "-json", m.Path+"@HEAD")
	if err != nil {
		return last, err
	}
	if len(head) > 0 && head[0].Time.After(last) {
		last = head[0].Time
	}
	return last, nil
}

// inPath returns the modules that a verdict comes from.
func inPath() (map[string]bool, error) {
	out, err := goTool("list", append([]string{"-deps", "-f", "{{with .Module}}{{.Path}}{{end}}"}, verdictPackages...)...)
	if err != nil {
		return nil, err
	}
	paths := map[string]bool{}
	for _, path := range strings.Fields(string(out)) {
		paths[path] = true
	}
	return paths, nil
}

// direct returns the modules that go.mod requires for our own imports, with their updates.
func direct() ([]module, error) {
	all, err := list("-m", "-json", "all")
	if err != nil {
		return nil, err
	}
	args := []string{"-m", "-u", "-json"}
	for _, m := range all {
		if !m.Main && !m.Indirect {
			args = append(args, m.Path)
		}
	}
	return list(args...)
}

func list(args ...string) (all []module, err error) {
	out, err := goTool("list", args...)
	if err != nil {
		return nil, err
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var m module
		switch err := d.Decode(&m); err {
		case nil:
			all = append(all, m)
		case io.EOF:
			return all, nil
		default:
			return nil, err
		}
	}
}

func goTool(command string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", append([]string{command}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", command, err, stderr.String())
	}
	return out, nil
}
