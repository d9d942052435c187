package bulk

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postseal/audit"
	"postseal/domain"
)

// TestChanged: a domain is compared with what the newest earlier list with domains of this one found; what could not
// be checked, then or now, is not compared. The comparison outlives a restart and the earlier list.
func TestChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var round atomic.Int64
		check := func(_ context.Context, name domain.Name) *audit.Report {
			time.Sleep(time.Second)
			r := reportOf(name, 1)
			if round.Load() == 0 {
				return r
			}
			switch name {
			case "d2.test":
				r.Grade, r.Records.DMARC.Policy, r.Records.SPF.Lookups = "B", "quarantine", 9
			case "d3.test":
				r = reportOf(name, 7)
			}
			return r
		}
		dir := t.TempDir()
		j, err := Open(dir, time.Now, check)
		if err != nil {
			t.Fatal(err)
		}
		add := func(text string) Info {
			info, err := j.Add(strings.NewReader(text), "")
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			return info
		}
		first := add("d1.test\nd2.test\nd3.test\n")
		add("else.test\n")
		round.Store(1)
		last := add("d1.test\nd2.test\nd3.test\nd4.test\n")
		want := map[string]string{"d1.test": "", "d2.test": "A to B, policy reject to quarantine, 1 to 9 lookups", "d3.test": "", "d4.test": ""}
		hold := func() {
			t.Helper()
			p := page(t, j, last.ID, Asked{})
			if len(p.Domains) != 4 || p.Job.Compared == nil || !p.Job.Compared.Equal(first.Created) {
				t.Fatalf("%+v", p)
			}
			for _, r := range p.Domains {
				if known := r.Domain == "d1.test" || r.Domain == "d2.test"; r.Changed() != want[r.Domain] || (r.Was != nil) != known {
					t.Errorf("%s: %q, was %+v", r.Domain, r.Changed(), r.Was)
				}
			}
		}
		hold()
		if err := j.Remove(first.ID); err != nil {
			t.Fatal(err)
		}
		j.Close()
		if j, err = Open(dir, time.Now, check); err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		hold()
		if p := page(t, j, add("new.test\n").ID, Asked{}); p.Job.Compared != nil || p.Domains[0].Was != nil {
			t.Errorf("%+v", p)
		}
	})
}
