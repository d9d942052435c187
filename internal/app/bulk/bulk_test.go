package bulk

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"postseal/audit"
	"postseal/domain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// reportOf is an audit without the DNS: every third domain is bad, every seventh cannot be graded.
func reportOf(name domain.Name, i int) *audit.Report {
	r := &audit.Report{Domain: string(name), Grade: "A", Records: audit.Records{DMARC: audit.DMARC{Status: audit.Status{State: audit.Found}, Policy: "reject"}, SPF: audit.SPF{Lookups: i % 11}}}
	switch {
	case i%7 == 0:
		r.Grade, r.Records.DMARC = "", audit.DMARC{Status: audit.Status{State: audit.Failed}}
		r.Unchecked = []audit.Unchecked{{Check: "dmarc"}}
	case i%3 == 0:
		r.Grade = "C"
		r.Findings = []audit.Finding{{ID: "spf.lookup-limit", Severity: audit.Error}, {ID: "spf.lookup-limit", Severity: audit.Error}, {ID: "dmarc.none", Severity: audit.Warn}}
	}
	return r
}

func list(n int) *strings.Reader {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "d%d.test\n", i)
	}
	return strings.NewReader(b.String())
}

// audits counts what was audited.
type audits struct {
	n    atomic.Int64
	took time.Duration
}

func (a *audits) audit(ctx context.Context, name domain.Name) *audit.Report {
	select {
	case <-time.After(a.took):
	case <-ctx.Done():
	}
	a.n.Add(1)
	i := 0
	fmt.Sscanf(string(name), "d%d", &i)
	return reportOf(name, i)
}

func open(t *testing.T, dir string, a *audits) *Jobs {
	t.Helper()
	j, err := Open(dir, time.Now, a.audit)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func page(t *testing.T, j *Jobs, id string, a Asked) *Page {
	t.Helper()
	p, err := j.Page(id, a)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestRestart: a job that was ended with the daemon, or whose last line was cut off, continues after the
// last domain that was done, and comes to the same result.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, a := t.TempDir(), &audits{took: time.Second}
		j := open(t, dir, a)
		info, err := j.Add(list(100), "ann")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5500 * time.Millisecond)
		p := page(t, j, info.ID, Asked{})
		if p.Job.State != Running || p.Job.Done != 40 || len(p.Domains) != 40 || p.PerSecond < 7 || p.PerSecond > 8 || p.Seconds < 8 || p.Seconds > 9 {
			t.Errorf("%+v", p)
		}
		j.Close()
		f, err := os.OpenFile(filepath.Join(dir, info.ID, reportsFile), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString(`{"domain":"d40.te`)
		f.Close()
		os.MkdirAll(filepath.Join(dir, "not-ours"), 0o750)

		before := a.n.Load()
		j = open(t, dir, a)
		defer j.Close()
		time.Sleep(time.Minute)
		p = page(t, j, info.ID, Asked{Limit: 1000})
		if p.Job.State != Done || p.Job.Done != 100 || len(p.Domains) != 100 || p.Domains[40].Domain != "d40.test" || a.n.Load()-before != 60 || p.Job.By != "ann" {
			t.Errorf("%+v, %d audited again", p.Job, a.n.Load()-before)
		}
	})
}

// TestPage: the counts are of all domains, a filter and an order choose from them, and the pages follow
// one another without a gap.
func TestPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		j := open(t, dir, &audits{})
		info, err := j.Add(strings.NewReader("d3.test\nD3.test # again\nnot a domain\nd1.test\nd7.test\nd0.test\nd6.test\n"), "")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for range 2 { // the second time after a restart
			p := page(t, j, info.ID, Asked{Sort: ByGrade, Limit: 2})
			if p.Job.Total != 5 || p.Job.Omitted != 1 || len(p.Job.Skipped) != 1 || !strings.HasPrefix(p.Job.Skipped[0], "line 3: ") || p.Found != 5 || p.Next != 2 || p.Domains[0].Domain != "d3.test" || p.Domains[0].Worst != "spf.lookup-limit" || p.Domains[0].Findings != 2 || p.Domains[0].Title == "" {
				t.Errorf("%+v", p)
			}
			if fmt.Sprint(p.Grades) != "[{A 1} {C 2} { 2}]" || fmt.Sprint(p.Rules) != "[{dmarc.none 2} {spf.lookup-limit 2}]" || fmt.Sprint(p.Policies) != "[{reject 3} {unknown 2}]" {
				t.Errorf("%v %v %v", p.Grades, p.Rules, p.Policies)
			}
			if p := page(t, j, info.ID, Asked{Sort: ByGrade, Limit: 2, After: p.Next}); p.Domains[0].Domain != "d1.test" || p.Next != 4 {
				t.Errorf("%+v", p)
			}
			if p := page(t, j, info.ID, Asked{Rule: "dmarc.none", Sort: ByName}); p.Found != 2 || p.Next != 0 || p.Domains[1].Domain != "d6.test" {
				t.Errorf("%+v", p)
			}
			if p := page(t, j, info.ID, Asked{Grade: "-"}); p.Found != 2 || !p.Domains[0].Unchecked || p.Domains[0].Policy != "unknown" {
				t.Errorf("%+v", p)
			}
			if p := page(t, j, info.ID, Asked{After: 1 << 40}); len(p.Domains) != 0 || p.Next != 0 {
				t.Errorf("%+v", p)
			}
			n := 0
			if err := j.Reports(info.ID, func(*audit.Report) error { n++; return nil }); err != nil || n != 5 {
				t.Errorf("%d reports, %v", n, err)
			}
			j.Close()
			j = open(t, dir, &audits{})
		}
		j.Close()
	})
}

// TestStop: a stopped job stays stopped over a restart, and continues; one that waits can be stopped
// too; a removed one is gone.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, a := t.TempDir(), &audits{took: time.Second}
		j := open(t, dir, a)
		first, err := j.Add(list(80), "")
		if err != nil {
			t.Fatal(err)
		}
		second, err := j.Add(list(8), "")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2500 * time.Millisecond)
		if l := j.List(); len(l) != 2 || l[1].State != Running && l[0].State != Running {
			t.Fatalf("%+v", l)
		}
		if err := j.Stop(second.ID); err != nil {
			t.Fatal(err)
		}
		if err := j.Stop(first.ID); err != nil {
			t.Fatal(err)
		}
		j.Close()
		j = open(t, dir, a)
		time.Sleep(time.Minute)
		if p := page(t, j, first.ID, Asked{}); p.Job.State != Stopped || p.Job.Done != 16 {
			t.Errorf("%+v", p.Job)
		}
		if err := j.Resume(first.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if p := page(t, j, first.ID, Asked{}); p.Job.State != Done || p.Job.Done != 80 {
			t.Errorf("%+v", p.Job)
		}
		if err := j.Remove(second.ID); err != nil {
			t.Error(err)
		}
		for _, err := range []error{j.Remove(second.ID), j.Stop("../x"), j.Resume("")} {
			if err != ErrNoJob {
				t.Errorf("%v, want %v", err, ErrNoJob)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, second.ID)); err == nil {
			t.Error("a removed job is still there")
		}
		j.Close()
	})
}

// TestBounds: what a list may hold, and how many jobs are kept.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := open(t, t.TempDir(), &audits{})
		defer j.Close()
		for name, text := range map[string]string{"empty": "# nothing\n", "no domain": "a b c\n"} {
			if _, err := j.Add(strings.NewReader(text), ""); err == nil {
				t.Errorf("%s: no error", name)
			}
		}
		if _, err := j.Add(list(MaxDomains+1), ""); err == nil || !strings.Contains(err.Error(), "100000 domains: split it") {
			t.Errorf("too many domains: %v", err)
		}
		for range MaxJobs {
			if _, err := j.Add(list(1), ""); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := j.Add(list(1), ""); err == nil || !strings.Contains(err.Error(), "remove one") {
			t.Errorf("too many jobs: %v", err)
		}
	})
}
