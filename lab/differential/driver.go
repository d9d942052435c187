package differential

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Answer is what a verifier says about a case.
type Answer struct {
	ID      int      `json:"id"`
	Results []string `json:"results"` // result words: one for SPF and ARC, one a signature for DKIM
	Details []string `json:"details"` // why, one for each result
}

// detail is why result i is what it is.
func (a *Answer) detail(i int) string {
	if i < 0 || i >= len(a.Details) {
		return strings.Join(a.Details, "; ")
	}
	return a.Details[i]
}

// Program is an independent verifier and the driver that runs it.
type Program struct {
	Name    string
	Kinds   []string // of cases: see Kinds
	command []string // the driver last
	probe   []string // succeeds where the program is installed
	install string   // how to get it
	env     []string
}

// Programs lists the verifiers that are not Go libraries. modules is the folder that holds
// the mailauth package of npm.
func Programs(drivers, modules string) []Program {
	file := func(name string) string { return filepath.Join(drivers, name) }
	const python = "/usr/bin/python3" // the one that Debian's packages are for
	return []Program{
		{Name: "pyspf", Kinds: []string{"spf"}, command: []string{python, "-B", file("pyspf.py")},
			probe: []string{python, "-c", "import spf"}, install: "apt-get install python3-spf"},
		{Name: "Mail::SPF", Kinds: []string{"spf"}, command: []string{"perl", file("mailspf.pl")},
			probe: []string{"perl", "-MMail::SPF", "-e1"}, install: "apt-get install libmail-spf-perl"},
		{Name: "dkimpy", Kinds: []string{"dkim", "arc"}, command: []string{python, "-B", file("dkimpy.py")},
			probe: []string{python, "-c", "import dkim, nacl"}, install: "apt-get install python3-dkim python3-nacl"},
		{Name: "Mail::DKIM", Kinds: []string{"dkim", "arc"}, command: []string{"perl", file("maildkim.pl")},
			probe: []string{"perl", "-MMail::DKIM", "-e1"}, install: "apt-get install libmail-dkim-perl"},
		{Name: "OpenDKIM", Kinds: []string{"dkim"}, command: []string{"unshare", "-m", "-n", python, "-B", file("opendkim.py")},
			probe:   []string{"unshare", "-m", "-n", "sh", "-c", "command -v opendkim-testmsg && " + python + " -c 'import dns.message'"},
			install: "apt-get install opendkim-tools python3-dnspython, and run as root"},
		{Name: "Mail::DMARC", Kinds: []string{"mail"}, command: []string{"perl", file("maildmarc.pl")},
			probe: []string{"perl", "-MMail::DMARC::PurePerl", "-e1"}, install: "apt-get install libmail-dmarc-perl"},
		{Name: "OpenDMARC", Kinds: []string{"mail"}, command: []string{"unshare", "-m", "-n", python, "-B", file("opendmarc.py")},
			probe:   []string{"unshare", "-m", "-n", "sh", "-c", "command -v opendmarc && " + python + " -c 'import dns.message'"},
			install: "apt-get install opendmarc python3-dnspython, and run as root"},
		{Name: "rspamd", Kinds: []string{"mail"}, command: []string{"unshare", "-m", "-n", python, "-B", file("rspamd.py")},
			probe:   []string{"unshare", "-m", "-n", "sh", "-c", "command -v rspamd && " + python + " -c 'import dns.message'"},
			install: "apt-get install rspamd python3-dnspython, and run as root"},
		{Name: "mailauth", Kinds: []string{"spf", "dkim", "arc", "dmarc", "mail"}, command: []string{"node", file("mailauth.js")}, env: []string{"NODE_PATH=" + modules},
			probe: []string{"node", "-e", "require('mailauth/lib/spf')"}, install: "npm install mailauth, and name the node_modules folder in NODE_PATH"},
	}
}

// Missing says why a program cannot run here, "" when it can.
func (p *Program) Missing() string {
	probe := exec.Command(p.probe[0], p.probe[1:]...)
	probe.Env = append(os.Environ(), p.env...)
	if err := probe.Run(); err != nil {
		return fmt.Sprintf("%s is not here (%v): %s", p.Name, err, p.install)
	}
	return ""
}

// patience is how long one answer may take.
const patience = 60 * time.Second

// driver is a running program.
type driver struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan Answer
	failed  chan error
	stderr  limited
}

// start runs the driver of p.
func (p *Program) start() (*driver, error) {
	d := &driver{cmd: exec.Command(p.command[0], p.command[1:]...), answers: make(chan Answer, 64), failed: make(chan error, 1)}
	d.cmd.Env = append(os.Environ(), p.env...)
	d.cmd.Stderr = &d.stderr
	d.cmd.WaitDelay = 10 * time.Second // a child of the program may hold the pipe
	var err error
	if d.in, err = d.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go d.read(out)
	return d, nil
}

func (d *driver) read(out io.Reader) {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		var a Answer
		if err == nil {
			err = json.Unmarshal(line, &a)
		}
		if err != nil {
			d.failed <- fmt.Errorf("%w: %s", err, strings.TrimSpace(d.stderr.String()))
			return
		}
		d.answers <- a
	}
}

// ask sends lines and returns one answer for each.
func (d *driver) ask(lines [][]byte) ([]Answer, error) {
	go func() {
		for _, line := range lines {
			if _, err := d.in.Write(line); err != nil {
				return // the reader sees the end of the program
			}
		}
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	answers := make([]Answer, 0, len(lines))
	for range lines {
		timer.Reset(patience)
		select {
		case a := <-d.answers:
			answers = append(answers, a)
		case err := <-d.failed:
			return answers, err
		case <-timer.C:
			return answers, errors.New("no answer in time")
		}
	}
	return answers, nil
}

func (d *driver) stop() {
	d.in.Close()
	timer := time.AfterFunc(5*time.Second, func() { d.cmd.Process.Kill() })
	defer timer.Stop()
	d.cmd.Wait()
}

// limited keeps the first octets that a program writes, and drops the rest.
type limited struct {
	mu   sync.Mutex
	kept bytes.Buffer
}

const maxStderr = 4 << 10

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept.Write(p[:min(len(p), maxStderr-l.kept.Len())])
	return len(p), nil
}

// String is what was kept so far.
func (l *limited) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept.String()
}
