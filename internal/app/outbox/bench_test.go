package outbox

import (
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"postseal/store"
	"postseal/store/storetest"
)

func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestReportSpeed measures the CPU time to store 100,000 messages and to make, compose, verify and
// hand over their reports, on SQLite. It runs with POSTSEAL_BENCH=1, as make bench-reports does.
func TestReportSpeed(t *testing.T) {
	if os.Getenv("POSTSEAL_BENCH") == "" {
		t.Skip("skipped: a measurement; run make bench-reports")
	}
	for _, c := range []struct {
		domains int
		most    time.Duration
	}{{1000, 20 * time.Second}, {10000, 50 * time.Second}} {
		t.Run(fmt.Sprint(c.domains), func(t *testing.T) {
			zone := ourZone
			for i := range c.domains {
				zone += fmt.Sprintf("_dmarc.d%d.test. 60 TXT \"v=DMARC1; p=reject; rua=mailto:r@d%d.test\"\n", i, i)
			}
			r := newRig(t, zone)
			r.mail.discard = true
			begin := cpu()
			fillDay(t, r, c.domains)
			stored := cpu()
			if err := r.Days(t.Context()); err != nil {
				t.Fatal(err)
			}
			built := cpu()
			r.now = store.Time(theDay.End()).Add(7 * time.Hour)
			for range 200 {
				if err := r.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				r.now = r.now.Add(time.Minute)
			}
			sent := cpu()
			if r.mail.n != c.domains {
				t.Errorf("%d mails", r.mail.n)
			}
			fmt.Printf("reports: 100,000 messages of %d domains: stored %.1f s, built %.1f s, sent %.1f s, in all %.1f s of CPU (at most %.0f s)\n", c.domains, (stored - begin).Seconds(), (built - stored).Seconds(),
				(sent - built).Seconds(), (sent - begin).Seconds(), c.most.Seconds())
			if sent-begin > c.most {
				t.Errorf("%v of CPU, at most %v", sent-begin, c.most)
			}
		})
	}
}

func fillDay(t *testing.T, r *rig, domains int) {
	t.Helper()
	const messages, batch = 100_000, 1000
	hash := func(i int) store.Hash { return store.Hash{1, byte(i), byte(i >> 8)} }
	for from := 0; from < messages; from += batch {
		b := &store.Batch{}
		for i := from; i < from+batch; i++ {
			d := i % domains
			row := passing(fmt.Sprintf("d%d.test", d))
			row.IP = netip.AddrFrom4([4]byte{192, 0, byte(i / domains % 26), byte(d)})
			row.Millis, row.Ref, row.PolicyHash = theDay.Start()+int64(i)*800, store.RefText(int64(i)), hash(d)
			b.Rows = append(b.Rows, row)
			if i < domains {
				b.Policies = append(b.Policies, store.Policy{Hash: hash(d), Domain: row.PolicyDom, Text: fmt.Sprintf("v=DMARC1; p=reject; rua=mailto:r@d%d.test", d), Discovery: "treewalk", First: row.Millis, Last: row.Millis})
			}
		}
		r.node.Shipped, r.node.Seen = store.Millis(r.now), store.Millis(r.now)
		storetest.Ship(t, r.DB, &r.node, b)
	}
}
