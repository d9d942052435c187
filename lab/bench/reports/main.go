// Program reports measures reading DMARC reports: 1,000 ordinary ones and one of 50 MB, by postseal and
// by the readers of Debian, in one run, and storing messages for reports by Mail::DMARC. It prints CPU
// time and peak memory, and fails where postseal exceeds its bounds.
//
// OpenDMARC's tools need a MariaDB server, and rspamd's dmarc_report a Redis that rspamd filled: they
// are not compared.
package main

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The bounds of postseal.
const (
	mostOrdinary = 2 * time.Second         // CPU for 1,000 reports
	mostLarge    = 3500 * time.Millisecond // CPU for 50 MB
	mostMemory   = 20 << 10                // KiB above the idle process
	mostMillion  = time.Minute             // CPU for a million records
	mostPeak     = 64 << 10                // KiB for them, the process itself included
)

// What is read.
const (
	ordinary     = 1000
	ordinaryRows = 26
	largeSize    = 50 << 20
	few          = 20 // reports and messages for those that take long
	millionRows  = 1_000_000
	millionName  = "million.xml.gz"
	largeName    = "rx.test!acme.test!1795910400!1795996799.xml.gz"
)

//go:embed maildmarc.pl
var mailDMARC []byte

func main() {
	runs := flag.Int("runs", 3, "runs of each, of which the least counts")
	into := flag.String("generate", "", "only write the reports to `DIR`")
	flag.Parse()
	f := func() error { return measure(*runs) }
	if *into != "" {
		f = func() error { return generate(*into) }
	}
	if err := f(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func measure(runs int) error {
	dir, err := os.MkdirTemp("", "reports")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is temporary
	// In a process of its own: the peak of a process counts what the one that started it had.
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := exec.Command(self, "-generate", dir).Run(); err != nil {
		return err
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "postseal"), "./cmd/postseal")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return err
	}
	m := &meter{dir: dir, runs: runs}
	idle := m.run("", 0, "./postseal", "version")
	many := m.run("postseal, 1,000 reports", ordinary, "./postseal", "report", "read", "--no-store", "many")
	large := m.run("postseal, 50 MB", 1, "./postseal", "report", "read", "--no-store", largeName)
	m.runs = 1
	million := m.run("postseal, 1,000,000 records", 1, "./postseal", "report", "read", "--no-store", millionName)
	kept := m.run("postseal, 1,000,000 records stored", 1, "./postseal", "report", "read", "--store", "sqlite:"+filepath.Join(dir, "million.db"), millionName)
	m.runs = runs
	m.peers()
	switch {
	case m.err != nil:
		return m.err
	case many.cpu > mostOrdinary:
		return fmt.Errorf("1,000 reports took %v of CPU, at most %v", many.cpu, mostOrdinary)
	case large.cpu > mostLarge:
		return fmt.Errorf("50 MB took %v of CPU, at most %v", large.cpu, mostLarge)
	case max(million.cpu, kept.cpu) > mostMillion:
		return fmt.Errorf("1,000,000 records took %v of CPU, stored %v, at most %v", million.cpu, kept.cpu, mostMillion)
	case max(million.peak, kept.peak) > mostPeak:
		return fmt.Errorf("1,000,000 records took %d KiB, stored %d, at most %d", million.peak, kept.peak, mostPeak)
	case large.peak-idle.peak > mostMemory:
		return fmt.Errorf("50 MB took %d KiB more than an idle process, at most %d", large.peak-idle.peak, mostMemory)
	}
	fmt.Printf("postseal reads 50 MB with %d KiB more than an idle process, which has %d KiB\n", large.peak-idle.peak, idle.peak)
	return nil
}

// peers runs the programs of Debian that are installed.
func (m *meter) peers() {
	if path, err := exec.LookPath("dmarc-cat"); err == nil {
		for i := range few {
			m.extra = append(m.extra, []string{path, "-N", name(i)})
		}
		m.run("dmarc-cat, a process for each report", few)
		m.run("dmarc-cat, 50 MB", 1, path, "-N", largeName)
	} else {
		fmt.Println("dmarc-cat: skipped, it is not installed (package dmarc-cat)")
	}
	if exec.Command("perl", "-MMail::DMARC::PurePerl", "-e", "1").Run() != nil {
		fmt.Println("Mail::DMARC: skipped, it is not installed (package libmail-dmarc-perl)")
		return
	}
	script := filepath.Join(m.dir, "maildmarc.pl")
	if err := os.WriteFile(script, mailDMARC, 0o600); err != nil {
		m.err = err
		return
	}
	idle := m.run("", 0, "perl", script, m.dir, "read", "0", "many")
	m.less = idle.cpu
	m.run("Mail::DMARC, read and stored", few, "perl", script, m.dir, "read", strconv.Itoa(few), "many")
	m.run("Mail::DMARC, messages stored", few, "perl", script, m.dir, "store", strconv.Itoa(few))
}

// usage is what a process took.
type usage struct {
	cpu  time.Duration
	peak int64 // KiB
}

// meter runs programs in a directory.
type meter struct {
	dir   string
	runs  int
	less  time.Duration // of an empty run, which does not count
	extra [][]string    // commands that make one run together
	err   error
}

// run runs a command some times and prints the least that it took, in all and for one of n.
func (m *meter) run(what string, n int, command ...string) usage {
	all := [][]string{command}
	if len(command) == 0 {
		all, m.extra = m.extra, nil
	}
	var least usage
	for i := range m.runs {
		var u usage
		for _, c := range all {
			one, err := m.once(c)
			if err != nil {
				m.err = errors.Join(m.err, fmt.Errorf("%s: %w", strings.Join(c, " "), err))
				return usage{}
			}
			u.cpu, u.peak = u.cpu+one.cpu, max(u.peak, one.peak)
		}
		if i == 0 {
			least = u
		}
		least.cpu, least.peak = min(least.cpu, u.cpu), min(least.peak, u.peak)
	}
	if n > 0 {
		least.cpu -= min(m.less, least.cpu)
		fmt.Printf("%-40s %8.3f s CPU %10.3f ms each %8d KiB\n", what, least.cpu.Seconds(), least.cpu.Seconds()*1000/float64(n), least.peak)
	}
	return least
}

func (m *meter) once(command []string) (usage, error) {
	c := exec.Command(command[0], command[1:]...) //nolint:gosec // ours
	c.Dir = m.dir
	var errs bytes.Buffer
	c.Stdout, c.Stderr = io.Discard, &errs
	if err := c.Run(); err != nil {
		return usage{}, fmt.Errorf("%w: %.500s", err, errs.String())
	}
	r, ok := c.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return usage{}, errors.ErrUnsupported
	}
	return usage{c.ProcessState.UserTime() + c.ProcessState.SystemTime(), r.Maxrss}, nil
}

// name is the file of an ordinary report.
func name(i int) string {
	return filepath.Join("many", fmt.Sprintf("rx%d.test!acme.test!1795910400!1795996799.xml.gz", i))
}

// generate writes the reports.
func generate(dir string) error {
	if err := os.Mkdir(filepath.Join(dir, "many"), 0o700); err != nil {
		return err
	}
	for i := range ordinary {
		if err := write(filepath.Join(dir, name(i)), i, func(n, _ int) bool { return n < ordinaryRows }); err != nil {
			return err
		}
	}
	if err := write(filepath.Join(dir, millionName), ordinary+1, func(n, _ int) bool { return n < millionRows }); err != nil {
		return err
	}
	return write(filepath.Join(dir, largeName), ordinary, func(_, size int) bool { return size < largeSize })
}

const head = `<?xml version="1.0" encoding="UTF-8"?>
<feedback>
 <report_metadata><org_name>rx%[1]d.test</org_name><email>d@rx%[1]d.test</email><report_id>%[1]d</report_id>
  <date_range><begin>1795910400</begin><end>1795996799</end></date_range></report_metadata>
 <policy_published><domain>acme.test</domain><adkim>r</adkim><aspf>r</aspf><p>reject</p><sp>reject</sp><pct>100</pct></policy_published>
`

const record = ` <record>
  <row><source_ip>192.0.%d.%d</source_ip><count>%d</count>
   <policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row>
  <identifiers><envelope_from>bounce.acme.test</envelope_from><header_from>acme.test</header_from></identifiers>
  <auth_results><dkim><domain>acme.test</domain><selector>s1</selector><result>pass</result></dkim>
   <spf><domain>bounce.acme.test</domain><scope>mfrom</scope><result>pass</result></spf></auth_results>
 </record>
`

// write writes a report with records as long as more says so, of their number and the octets so far.
func write(path string, id int, more func(n, size int) bool) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // the first one counts
	z := gzip.NewWriter(f)
	size, _ := fmt.Fprintf(z, head, id)
	for n := 0; more(n, size); n++ {
		octets, err := fmt.Fprintf(z, record, n>>8&255, n&255, n%9+1)
		if err != nil {
			return err
		}
		size += octets
	}
	fmt.Fprintln(z, "</feedback>") //nolint:errcheck // Close tells
	return errors.Join(z.Close(), f.Close())
}
