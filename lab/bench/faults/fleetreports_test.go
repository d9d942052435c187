package faults

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postseal/internal/core/dnszone"
	"postseal/lab/bench/traffic"
	"postseal/report"
	"postseal/store"
	"postseal/store/storetest/pgtest"
)

// reportSteps are the failpoints of the sender of reports, in their order.
var reportSteps = []string{"close:1", "closed:1", "built:1", "prepare:1", "prepared:2", "lease:1", "leased:1", "composed:1", "sent:1", "done:2"}

// reportDomains is how many domains want reports; the first one sent one message to each host, the next one two.
const reportDomains = 4

// inbox takes mail with reports.
type inbox struct {
	mu    sync.Mutex
	mails [][]byte
}

func (b *inbox) take(r io.Reader) error {
	text, err := io.ReadAll(r)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mails = append(b.mails, text)
	return err
}

// reporters are three daemons with one database that send the reports of its mail to a smart host.
func reporters(t *testing.T, address, smart, path string) (all []*node) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	text := "_dmarc.lab.test. 60 TXT \"v=DMARC1; p=reject\"\nk1._domainkey.lab.test. 60 TXT \"v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public) + "\"\n"
	for i := range reportDomains {
		text += fmt.Sprintf("d%d.test. 60 TXT \"v=spf1 ip4:127.0.0.1 -all\"\n_dmarc.d%d.test. 60 TXT \"v=DMARC1; p=reject; rua=mailto:r@d%d.test\"\n", i, i, i)
	}
	z, err := dnszone.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	dns, err := z.Serve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dns.Close() })
	for range 3 {
		n := prepareNode(t, address, "")
		n.path = path
		config, err := os.ReadFile(n.file)
		if err != nil {
			t.Fatal(err)
		}
		n.write(strings.Replace(string(config), n.dns.Addr(), dns.Addr(), 1) + fmt.Sprintf("[report]\nfrom = 'reports@lab.test'\nsmart_host = '%s'\nwindow = '00:00-23:59'\n[report.dkim]\ndomain = 'lab.test'\nselector = 'k1'\nkey_file = '%s'\n", smart, key))
		all = append(all, n)
	}
	return all
}

// TestFleetReports: of three daemons, the one whose turn the reports are is killed with SIGKILL at each step of closing a
// day, building its reports and sending them, and the others a moment later. In the end there is one report for each
// domain, with all messages of all hosts; a mail may have come twice, with the same report.
func TestFleetReports(t *testing.T) {
	longOnly(t)
	t.Parallel() // it mostly waits
	path, err := failing()
	if err != nil {
		t.Fatal(err)
	}
	mails := &inbox{}
	smart, end, err := traffic.NextHop(mails.take)
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	pg := pgtest.Begin(t)
	address := pg.Database(t, pg.Addr)
	all := reporters(t, address, smart, path)
	start := func(point string) {
		t.Helper()
		for _, n := range all {
			n.env = []string{"STATE_DIRECTORY=" + n.state, "POSTSEAL_FAILPOINT=" + point}
			n.run()
		}
	}
	start("")
	want := map[string]int64{}
	for _, n := range all {
		l := newLoad(n.daemon, 100)
		for i := range reportDomains {
			for range i + 1 {
				domain := fmt.Sprintf("d%d.test", i)
				if err := l.send(domain, "good"); err != nil {
					t.Fatal(err)
				}
				want[domain]++
			}
		}
	}
	until(t, "every verdict is stored", func() bool { return count(t, address, "SELECT count(*) FROM postseal.verdict") == 3*10 })
	for _, n := range all {
		n.stop()
	}
	// As two days later.
	const back = 2
	day := store.DayOf(int64(count(t, address, "SELECT min(id) >> 21 FROM postseal.verdict"))) - back
	on(t, address, fmt.Sprintf("CREATE TABLE postseal.verdict_%s PARTITION OF postseal.verdict FOR VALUES FROM (%d) TO (%d)", day.Suffix(), store.FirstID(day.Start()), store.FirstID(day.End())),
		fmt.Sprintf("INSERT INTO postseal.report_day (day) VALUES (%d)", day), fmt.Sprintf("INSERT INTO postseal.day_info (day) VALUES (%d)", day),
		fmt.Sprintf("UPDATE postseal.verdict SET id = id - %d", store.FirstID(day.Start()+back*day1)-store.FirstID(day.Start())))
	// Reports are due at some minute of the window, and after ten minutes if the one that sends them is gone.
	soon := []string{"UPDATE postseal.report SET next_at = 0", "UPDATE postseal.delivery SET next_at = 0, lease_until = 0"}
	kills := 0
	for i, step := range reportSteps {
		if *times == 1 && i%2 == 1 { // .ci/run
			continue
		}
		on(t, address, soon...)
		start("report " + step)
		gone := func() (n int) {
			for _, x := range all {
				if !running(x.daemon) {
					n++
				}
			}
			return n
		}
		until(t, "a host is killed at "+step, func() bool {
			on(t, address, soon[0])
			time.Sleep(200 * time.Millisecond)
			return gone() > 0
		})
		for _, n := range all {
			n.kill()
			kills++
		}
	}
	on(t, address, soon...)
	start("")
	until(t, "all reports are sent", func() bool {
		on(t, address, soon[0])
		time.Sleep(200 * time.Millisecond)
		return count(t, address, "SELECT count(*) FROM postseal.delivery WHERE state = 'sent'") == reportDomains
	})
	for _, n := range all {
		n.stop()
	}
	mails.mu.Lock()
	defer mails.mu.Unlock()
	once(t, mails.mails, want)
	if n := count(t, address, "SELECT count(*) FROM postseal.report"); n != reportDomains || len(mails.mails) > reportDomains+len(reportSteps) {
		t.Errorf("%d reports, and %d mails after %d kills, want %d reports", n, len(mails.mails), kills, reportDomains)
	}
	t.Logf("%d kills, %d mails, %d reports with %d messages", kills, len(mails.mails), reportDomains, 3*10)
}

// day1 is a day in milliseconds.
const day1 = 24 * 60 * 60 * 1000

// once: one report for each domain, with all messages, however often it came.
func once(t *testing.T, mails [][]byte, want map[string]int64) {
	t.Helper()
	got, bodies := map[string]int64{}, map[string]string{}
	for _, text := range mails {
		var records []byte
		r := &report.Reader{Record: func(x report.Record) error { records = fmt.Append(records, x); return nil }, Report: func(x *report.Report) error {
			body := x.ID + string(records)
			if before, twice := bodies[x.Domain]; twice && before != body {
				t.Errorf("%s was reported twice, in different words", x.Domain)
			}
			got[x.Domain], bodies[x.Domain] = x.Messages, body
			return nil
		}}
		if _, err := r.Read(t.Context(), "mail", bytes.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	for domain, n := range want {
		if got[domain] != n {
			t.Errorf("%s: %d messages, want %d", domain, got[domain], n)
		}
	}
	if len(got) != len(want) {
		t.Errorf("reports %v, want %v", got, want)
	}
}
