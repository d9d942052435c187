package outbox

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"postseal/store"
	"postseal/store/storetest"
)

// BenchmarkReports is the CPU time to store messages of one day and to make, compose, verify and hand
// over their reports, on SQLite. For 100,000 messages, as make bench-reports has them, it has a bound.
func BenchmarkReports(b *testing.B) {
	for _, c := range []struct {
		domains int
		most    time.Duration
	}{{1000, 20 * time.Second}, {10000, 50 * time.Second}} {
		b.Run(fmt.Sprint(c.domains), func(b *testing.B) {
			spent := reportDay(b, c.domains, b.N)
			if spent > c.most && b.N <= 100_000 {
				b.Errorf("%v of CPU for %d messages, at most %v", spent, b.N, c.most)
			}
		})
	}
}

// reportDay makes the reports of so many messages to so many domains, and returns the CPU time.
func reportDay(b *testing.B, domains, messages int) time.Duration {
	zone := ourZone
	for i := range domains {
		zone += fmt.Sprintf("_dmarc.d%d.test. 60 TXT \"v=DMARC1; p=reject; rua=mailto:r@d%d.test\"\n", i, i)
	}
	r := newRig(b, zone)
	r.mail.discard = true
	begin := storetest.CPU(b)
	fillDay(b, r, domains, messages)
	stored := storetest.CPU(b)
	if err := r.Days(b.Context()); err != nil {
		b.Fatal(err)
	}
	built := storetest.CPU(b)
	r.now = store.Time(theDay.End()).Add(7 * time.Hour)
	for range 200 {
		if err := r.Sweep(b.Context()); err != nil {
			b.Fatal(err)
		}
		r.now = r.now.Add(time.Minute)
	}
	sent := storetest.CPU(b)
	if r.mail.n != min(domains, messages) {
		b.Errorf("%d mails", r.mail.n)
	}
	for unit, spent := range map[string]time.Duration{"s-stored": stored - begin, "s-built": built - stored, "s-sent": sent - built, "s-in-all": sent - begin} {
		b.ReportMetric(spent.Seconds(), unit)
	}
	b.ReportMetric(0, "ns/op")
	return sent - begin
}

func fillDay(b *testing.B, r *rig, domains, messages int) {
	b.Helper()
	const most = 1000
	hash := func(i int) store.Hash { return store.Hash{1, byte(i), byte(i >> 8)} }
	every := (theDay.End() - theDay.Start()) / int64(messages)
	for from := 0; from < messages; from += most {
		batch := &store.Batch{}
		for i := from; i < min(from+most, messages); i++ {
			d := i % domains
			row := passing(fmt.Sprintf("d%d.test", d))
			row.IP = netip.AddrFrom4([4]byte{192, 0, byte(i / domains % 26), byte(d)})
			row.Millis, row.Ref, row.PolicyHash = theDay.Start()+int64(i)*every, store.RefText(int64(i)), hash(d)
			batch.Rows = append(batch.Rows, row)
			if i < domains {
				batch.Policies = append(batch.Policies, store.Policy{Hash: hash(d), Domain: row.PolicyDom, Text: fmt.Sprintf("v=DMARC1; p=reject; rua=mailto:r@d%d.test", d), Discovery: "treewalk", First: row.Millis, Last: row.Millis})
			}
		}
		r.node.Shipped, r.node.Seen = store.Millis(r.now), store.Millis(r.now)
		storetest.Ship(b, r.DB, &r.node, batch)
	}
}
