package inbox

import (
	"bytes"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postseal/domain"
	"postseal/message"
	"postseal/report"
	"postseal/resolver/dnstest"
	"postseal/store"
	"postseal/store/sqlite"
	"postseal/store/storetest"
)

func open(t *testing.T) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "store.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func now() time.Time { return storetest.Now }

var today = store.DayOf(store.Millis(storetest.Now))

// record is a record of a made report: "ip count disposition dkim spf d=result,… spf=domain:result reason".
type record struct {
	ip          string
	n           int
	disposition string
	dkim, spf   string
	signatures  string // "acme.test:pass,list.test:fail"
	spfDomain   string
	spfResult   string
	reason      string
}

func (r record) addr() netip.Addr { return netip.MustParseAddr(r.ip) }

// made is an aggregate report as a reporter sends it.
func made(org, domain string, day store.Day, id string, records ...record) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0"><report_metadata><org_name>%s</org_name><email>dmarc@%s</email><report_id>%s</report_id>
<date_range><begin>%d</begin><end>%d</end></date_range></report_metadata><policy_published><domain>%s</domain><p>none</p></policy_published>`,
		org, org, id, day.Start()/1000, day.End()/1000-1, domain)
	for _, r := range records {
		fmt.Fprintf(&b, `<record><row><source_ip>%s</source_ip><count>%d</count><policy_evaluated><disposition>%s</disposition><dkim>%s</dkim><spf>%s</spf>`, r.ip, r.n, r.disposition, r.dkim, r.spf)
		if r.reason != "" {
			fmt.Fprintf(&b, "<reason><type>%s</type></reason>", r.reason)
		}
		fmt.Fprintf(&b, `</policy_evaluated></row><identifiers><header_from>%s</header_from></identifiers><auth_results>`, domain)
		for s := range strings.SplitSeq(r.signatures, ",") {
			if d, result, ok := strings.Cut(s, ":"); ok {
				fmt.Fprintf(&b, `<dkim><domain>%s</domain><selector>s</selector><result>%s</result></dkim>`, d, result)
			}
		}
		fmt.Fprintf(&b, `<spf><domain>%s</domain><result>%s</result></spf></auth_results></record>`, r.spfDomain, r.spfResult)
	}
	return b.String() + "</feedback>"
}

// read reads reports into a database, and returns what became of each.
func read(t *testing.T, db store.Inbox, c Carrier, texts ...string) []Outcome {
	t.Helper()
	k := New(t.Context(), db, now)
	k.Carrier = c
	var all []Outcome
	r := &report.Reader{Record: k.Record, Refused: k.Refused, Report: func(x *report.Report) error {
		o, err := k.End(x)
		all = append(all, o)
		return err
	}}
	for _, text := range texts {
		if _, err := r.Read(t.Context(), "r.xml", strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

var (
	direct  = record{"192.0.2.1", 90, "none", "pass", "pass", "acme.test:pass", "acme.test", "pass", ""}
	service = record{"198.51.100.9", 10, "none", "pass", "fail", "acme.test:pass,esp.test:pass", "bounce.esp.test", "pass", ""}
	foreign = record{"198.51.100.200", 5, "none", "fail", "fail", "other.test:pass", "other.test", "pass", ""}
	list    = record{"203.0.113.5", 4, "none", "fail", "fail", "acme.test:fail,lists.test:pass", "lists.test", "pass", "mailing_list"}
	forged  = record{"203.0.113.66", 7, "reject", "fail", "fail", "", "acme.test", "fail", ""}
)

const zone = `
acme.test. 60 TXT "v=spf1 include:_spf.host.test -all"
_spf.host.test. 60 TXT "v=spf1 ip4:192.0.2.0/24 -all"
66.113.0.203.in-addr.arpa. 60 PTR liar.google.test.
1.2.0.192.in-addr.arpa. 60 PTR mx.acme.test.
`

// TestSummary names each source and says what it is; messages are counted, not records.
func TestSummary(t *testing.T) {
	db := open(t)
	for i := range 20 {
		day := today - store.Day(20-i)
		records := []record{direct, service, foreign, list, forged}
		read(t, db, Carrier{}, made("rx.test", "acme.test", day, fmt.Sprint(i), records...))
	}
	read(t, db, Carrier{}, made("rx.test", "acme.test", today-1, "extra", record{"192.0.2.77", 3, "none", "fail", "fail", "", "x.test", "none", ""}, record{"2001:db8::1", 2, "none", "pass", "fail", "acme.test:pass", "", "none", ""}))
	dns, err := dnstest.Parse(zone)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Summarize(t.Context(), db, Asked{Domain: "acme.test", Since: today - 30, Until: today, Resolver: dns})
	if err != nil {
		t.Fatal(err)
	}
	var daily int64
	for _, d := range s.ByDay {
		daily += d.Aligned + d.Failing + d.Others
	}
	if len(s.ByDay) != s.Days || daily != s.Total.Messages || s.ByDay[0].Day >= s.ByDay[1].Day {
		t.Errorf("%d of %d messages in %+v", daily, s.Total.Messages, s.ByDay)
	}
	if s.Total.Messages != 20*116+5 || s.Reports != 21 || s.Reporters != 1 || s.Days != 20 || s.Policy != "none" {
		t.Errorf("%+v", s)
	}
	want := map[string]string{"_spf.host.test include": ClassKnown, "esp.test dkim": ClassKnown, "other.test dkim": ClassUnknown, "lists.test dkim": ClassList, "203.0.113.0/24 network": ClassForged, "2001:db8::/48 network": ClassNew}
	for i := range s.Sources {
		x := &s.Sources[i]
		if want[x.Name+" "+x.By] != x.Class || x.Rule == "" {
			t.Errorf("%s %s is %s (%s)", x.Name, x.By, x.Class, x.Rule)
		}
		delete(want, x.Name+" "+x.By)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
	if q := s.Readiness[0]; q.Ready || len(q.Blockers) == 0 || len(q.Arithmetic) != 3 {
		t.Errorf("%+v", q)
	}
}

// TestReadiness: forged mail does not count against a policy, and two weeks of reports are
// needed.
func TestReadiness(t *testing.T) {
	for _, c := range []struct {
		name               string
		days               int
		records            []record
		quarantine, reject bool
		blocker            string
	}{
		{"ready", 20, []record{direct, service, forged}, true, true, ""},
		{"few days", 5, []record{direct}, false, false, "reports of only 5 of the 14 days"},
		{"nothing known", 20, []record{forged}, false, false, "no known source"},
		{"lists", 20, []record{direct, list}, true, false, "lists and forwarders"},
		{"a service that does not sign", 20, []record{direct, foreign}, false, false, "unknown sources"},
		{"who forges authenticates as somebody else, on one day", 20, []record{direct}, true, true, ""},
		{"a source that fails at times", 20, []record{direct, {"198.51.100.9", 60, "none", "pass", "fail", "acme.test:pass,esp.test:pass", "esp.test", "pass", ""}, {"198.51.100.9", 40, "none", "fail", "fail", "esp.test:pass", "esp.test", "pass", ""}}, false, false, "esp.test: 1200 of 2000 messages pass"},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := open(t)
			for i := range c.days {
				read(t, db, Carrier{}, made("rx.test", "acme.test", today-store.Day(c.days-i), fmt.Sprint(i), c.records...))
			}
			if strings.HasPrefix(c.name, "who forges") {
				read(t, db, Carrier{}, made("rx.test", "acme.test", today-1, "x", record{"203.0.113.66", 5000, "none", "fail", "fail", "cheap.test:pass", "cheap.test", "pass", ""}))
			}
			s, err := Summarize(t.Context(), db, Asked{Domain: "acme.test", Since: today - 30, Until: today})
			if err != nil {
				t.Fatal(err)
			}
			if q, r := s.Readiness[0], s.Readiness[1]; q.Ready != c.quarantine || r.Ready != c.reject || !strings.Contains(strings.Join(append(q.Blockers, r.Blockers...), "\n"), c.blocker) {
				t.Errorf("%+v", s.Readiness)
			}
		})
	}
}

// TestForgotten: a server of the domain that nothing authorizes is not taken for a forger where its name
// tells, and pointed out where nothing does. The policy is that of the domain, not of one below it.
func TestForgotten(t *testing.T) {
	db := open(t)
	for i := range 20 {
		day := today - 20 + store.Day(i)
		read(t, db, Carrier{}, made("rx.test", "acme.test", day, fmt.Sprint(i), direct, record{"198.51.100.77", 9, "none", "fail", "fail", "", "", "", ""}))
		read(t, db, Carrier{}, strings.ReplaceAll(made("rx.test", "sub.acme.test", day, "sub"+fmt.Sprint(i), direct), "<p>none", "<p>reject"))
	}
	for zone, class := range map[string]string{"": ClassForged, "77.100.51.198.in-addr.arpa. 60 PTR www.acme.test.\nwww.acme.test. 60 A 198.51.100.77\n": ClassKnown} {
		dns, err := dnstest.Parse(zone)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Summarize(t.Context(), db, Asked{Domain: "acme.test", Since: today - 30, Until: today, Resolver: dns})
		if err != nil {
			t.Fatal(err)
		}
		found := ""
		for _, x := range s.Sources {
			if x.IP == "198.51.100.77" {
				found = x.Class
			}
		}
		pointed := strings.Contains(strings.Join(s.Readiness[1].Arithmetic, "\n"), "198.51.100.0/24 counts as forged: 180 messages on 20 of 20 days")
		if found != class || pointed != (class == ClassForged) || s.Readiness[1].Ready != (class == ClassForged) || s.Policy != "none" {
			t.Errorf("%s, want %s; p=%s; %+v", found, class, s.Policy, s.Readiness[1])
		}
	}
}

// TestSeenAlready (rspamd#3921, duplicate reports): the same report counts once, in whatever it
// comes; one with its name and other records is not summed up.
func TestSeenAlready(t *testing.T) {
	db := open(t)
	text := made("rx.test", "acme.test", today-1, "1", direct)
	other := made("rx.test", "acme.test", today-1, "1", direct, forged)
	got := read(t, db, Carrier{}, text, text, other, made("rx.test", "acme.test", today-1, "2", direct))
	for i, want := range []string{store.InboundNew, store.InboundKnown, store.InboundDiffers, store.InboundNew} {
		if got[i].State != want {
			t.Errorf("%d: %s, want %s", i, got[i].State, want)
		}
	}
	s, err := Summarize(t.Context(), db, Asked{Domain: "acme.test", Since: today - 30, Until: today})
	if err != nil || s.Total.Messages != 180 || s.Reports != 2 {
		t.Errorf("%+v %v", s, err)
	}
}

// TestMailBound: the records of a report that comes by mail on its way do not raise the bound of its size
// (report.TestStreamed); those of a report from the operator do.
func TestMailBound(t *testing.T) {
	if mail, file := limitsOf(Carrier{Mail: true, DMARC: "pass", Domain: "o.test"}), limitsOf(Carrier{}); mail.PerRecord >= 0 || file.PerRecord < 0 {
		t.Errorf("%+v %+v", mail, file)
	}
}

// TestFailures: failure reports have no identifier, and may lack a time too. Each is kept, the same one
// once; its reporter is whoever the mail that brought it proves.
func TestFailures(t *testing.T) {
	failure := func(ip string) string {
		return "Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: auth-failure\r\nVersion: 1\r\nUser-Agent: x/1\r\n" +
			"Auth-Failure: dmarc\r\nReported-Domain: acme.test\r\nSource-IP: " + ip + "\r\n\r\n--b--\r\n"
	}
	db := open(t)
	got := read(t, db, Carrier{Mail: true, Domain: "rx.test", DMARC: "pass"}, failure("192.0.2.1"), failure("192.0.2.2"), failure("192.0.2.1"))
	for i, want := range []string{store.InboundNew, store.InboundNew, store.InboundKnown} {
		if len(got) != 3 || got[i].State != want || !got[i].Proven {
			t.Fatalf("%d: %+v, want %s", i, got, want)
		}
	}
	if got := read(t, db, Carrier{Mail: true, Domain: "rx.test", DMARC: "fail"}, failure("192.0.2.3")); got[0].State != store.InboundNew || got[0].Proven {
		t.Errorf("%+v", got)
	}
}

// TestRefused: nothing of a report that is refused stays, also when it was long.
func TestRefused(t *testing.T) {
	db := open(t)
	many := make([]record, rowsPerBatch+10)
	for i := range many {
		many[i] = direct
	}
	text := made("rx.test", "acme.test", today-1, "1", many...)
	text = strings.Replace(text, "<domain>acme.test</domain><p>", "<p>", 1)
	read(t, db, Carrier{}, text)
	if list, err := db.InboundReports(t.Context(), store.InboundFilter{}); err != nil || len(list) != 0 {
		t.Errorf("%+v %v", list, err)
	}
	good := made("rx.test", "acme.test", today-1, "1", many...)
	if got := read(t, db, Carrier{}, good); got[0].State != store.InboundNew {
		t.Errorf("%+v", got)
	}
	list, err := db.InboundReports(t.Context(), store.InboundFilter{})
	n := 0
	if err != nil || len(list) != 1 || db.InboundRows(t.Context(), list[0].ID, 0, 0, func(*store.InboundRow) error { n++; return nil }) != nil || n != rowsPerBatch+10 {
		t.Errorf("%d rows, %+v %v", n, list, err)
	}
}

// TestUnproven (RFC 9990 §8.2): a report whose mail does not prove its reporter is kept apart,
// and gives way to the one that the reporter sends.
func TestUnproven(t *testing.T) {
	text := made("rx.test", "acme.test", today-1, "1", direct)
	for _, c := range []struct {
		name    string
		carrier Carrier
		proven  bool
	}{
		{"a file", Carrier{}, true},
		{"not known", Carrier{Mail: true, Domain: "rx.test"}, true},
		{"pass", Carrier{Mail: true, Domain: "mail.rx.test", DMARC: "pass"}, true},
		{"fail", Carrier{Mail: true, Domain: "rx.test", DMARC: "fail"}, false},
		{"none", Carrier{Mail: true, Domain: "rx.test", DMARC: "none"}, false},
		{"without an author", Carrier{Mail: true, DMARC: "pass"}, false},
		{"another organization", Carrier{Mail: true, Domain: "attacker.test", DMARC: "pass"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := open(t)
			if got := read(t, db, c.carrier, text); got[0].Proven != c.proven || (got[0].Why == "") != c.proven {
				t.Errorf("%+v", got)
			}
			s, err := Summarize(t.Context(), db, Asked{Domain: "acme.test", Since: today - 30, Until: today})
			want := int64(0)
			if c.proven {
				want = 90
			}
			if err != nil || s.Total.Messages != want || s.Unproven == 1 == c.proven {
				t.Errorf("%+v %v", s, err)
			}
			if !c.proven {
				if got := read(t, db, Carrier{Mail: true, Domain: "rx.test", DMARC: "pass"}, text); got[0].State != store.InboundNew {
					t.Errorf("%+v", got)
				}
			}
		})
	}
}

// TestCarrierOf reads our own result, and no one else's.
func TestCarrierOf(t *testing.T) {
	ours := "Authentication-Results: mx.acme.test; dmarc=fail header.from=rx.test\n"
	theirs := "Authentication-Results: mx.rx.test; dmarc=pass header.from=rx.test\n"
	for _, c := range []struct {
		text string
		want Carrier
	}{
		{"<feedback>", Carrier{}},
		{"\x1f\x8b", Carrier{}},
		{"From: a@rx.test\nSubject: x\n\nbody", Carrier{true, "rx.test", ""}},
		{"From x@y Mon\n" + ours + theirs + "From: a@rx.test\n\nbody", Carrier{true, "rx.test", "fail"}},
		{theirs + "From: a@rx.test\r\n\r\nbody", Carrier{true, "rx.test", ""}},
		{ours + strings.Repeat("A: b\n", message.DefaultFields) + "From: a@rx.test\n\n", Carrier{true, "", "fail"}},
		{ours + "A: " + strings.Repeat("b", message.DefaultFieldBytes) + "\nFrom: a@rx.test\n\n", Carrier{true, "", "fail"}},
		{ours + strings.Replace(ours, "fail", "pass", 1) + "From: a@rx.test\n\n", Carrier{true, "rx.test", "fail"}},
	} {
		if got := CarrierOf([]byte(c.text), "mx.acme.test"); got != c.want {
			t.Errorf("%q: %+v, want %+v", c.text, got, c.want)
		}
	}
}

// FuzzCarrierOf: whatever a mail holds, a DMARC result is taken from a field that names our server alone.
func FuzzCarrierOf(f *testing.F) {
	f.Add([]byte("Authentication-Results: mx.acme.test; dmarc=fail\nFrom: a@rx.test\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c := CarrierOf(b, "mx.acme.test"); c.DMARC != "" && !bytes.Contains(bytes.ToLower(b), []byte("mx.acme.test")) {
			t.Errorf("%+v", c)
		}
	})
}

// TestDigestDeliveries reports an address once, when it begins to get no reports, however long
// that is for.
func TestDigestDeliveries(t *testing.T) {
	const days = 24 * 3600 * 1000
	for _, c := range []struct {
		name        string
		hits        int
		since, left int64 // days
		want        bool
	}{{"30 days", 2, 3, 27, true}, {"30 days, before", 2, 20, 10, false}, {"240 days", 5, 3, 237, true}, {"240 days, before", 5, 20, 220, false}} {
		t.Run(c.name, func(t *testing.T) {
			db := open(t)
			if err := db.Suppress(t.Context(), store.Suppression{Target: "d@rx.test", Until: today.Start() + c.left*days, Why: "550", Hits: c.hits}); err != nil {
				t.Fatal(err)
			}
			d, err := DigestOf(t.Context(), db, Asked{Since: today - 7, Until: today})
			if err != nil || len(d.Changes) > 0 != c.want {
				t.Errorf("%+v %v", d, err)
			}
		})
	}
}

// TestDigest reports a new source and one that fails now, and nothing if all is well.
func TestDigest(t *testing.T) {
	digest := func(recent ...record) string {
		db := open(t)
		for i := range 35 {
			records := []record{direct, service, forged}
			if i >= 28 && len(recent) > 0 {
				records = recent
			}
			read(t, db, Carrier{}, made("rx.test", "acme.test", today-store.Day(35-i), fmt.Sprint(i), records...))
		}
		d, err := DigestOf(t.Context(), db, Asked{Since: today - 7, Until: today})
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, c := range d.Changes {
			text += c.Domain + " " + c.What + " " + c.Text + "\n"
		}
		return text
	}
	if got := digest(); got != "" {
		t.Errorf("all is well, and it says %s", got)
	}
	if got := digest(direct, service, record{"198.51.100.77", 5, "none", "pass", "fail", "acme.test:pass,news.test:pass", "news.test", "pass", ""}); !strings.Contains(got, "acme.test new-source new source news.test") || strings.Count(got, "\n") != 1 {
		t.Errorf("a new source: %s", got)
	}
	broken := record{"198.51.100.9", 10, "none", "fail", "fail", "esp.test:pass", "bounce.esp.test", "pass", ""}
	if got := digest(direct, broken); !strings.Contains(got, "acme.test failing esp.test (dkim): 0 % of 70 messages pass, 100 % before") {
		t.Errorf("a source that fails: %s", got)
	}
}

// TestChoices: what the operator says about a source decides its class, for the domain and the names below it, and
// what was said for a name itself goes first; it is asked once.
func TestChoices(t *testing.T) {
	db := open(t)
	regular := record{"203.0.113.80", 40, "none", "fail", "fail", "", "x.test", "none", ""}
	for i := range 20 {
		day := today - store.Day(20-i)
		read(t, db, Carrier{}, made("rx.test", "acme.test", day, fmt.Sprint(i), direct, foreign, list, regular), made("rx.test", "sub.acme.test", day, fmt.Sprint("sub", i), direct, foreign))
	}
	of := func(name, source string) SourceSum {
		t.Helper()
		s, err := Summarize(t.Context(), db, Asked{Domain: name, Since: today - 30, Until: today})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range s.Sources {
			if x.Name == source {
				if n := len(x.ByDay); n != len(s.ByDay) {
					t.Errorf("%s: %d days, the summary has %d", source, n, len(s.ByDay))
				}
				return x
			}
		}
		t.Fatalf("no source %s in %+v", source, s.Sources)
		return SourceSum{}
	}
	say := func(name, by, source, chosen string) error {
		return Choose(t.Context(), db, store.Millis(now()), "ann", domain.Name(name), by, source, chosen)
	}
	const net = "203.0.113.0/24"
	for _, c := range []struct {
		about, by, source, say string // "-": say nothing
		of                     string
		class, chosen          string
		ask                    bool
	}{
		{"acme.test", "dkim", "other.test", "-", "acme.test", ClassUnknown, "", true},
		{"acme.test", "dkim", "other.test", "yes", "acme.test", ClassKnown, "yes", false},
		{"acme.test", "dkim", "other.test", "-", "sub.acme.test", ClassKnown, "yes", false},
		{"sub.acme.test", "dkim", "other.test", "no", "sub.acme.test", ClassUnknown, "no", false},
		{"sub.acme.test", "dkim", "other.test", "-", "acme.test", ClassKnown, "yes", false},
		{"acme.test", "dkim", "other.test", "no", "acme.test", ClassUnknown, "no", false},
		{"acme.test", "dkim", "other.test", "", "acme.test", ClassUnknown, "", true},
		{"acme.test", "network", "192.0.2.0/24", "no", "acme.test", ClassUnknown, "no", false},
		{"acme.test", "network", net, "-", "acme.test", ClassForged, "", true},
		{"acme.test", "network", net, "no", "acme.test", ClassForged, "no", false},
		{"acme.test", "network", net, "yes", "acme.test", ClassKnown, "yes", false},
	} {
		if c.say != "-" {
			if err := say(c.about, c.by, c.source, c.say); err != nil {
				t.Fatal(err)
			}
		}
		if x := of(c.of, c.source); x.Class != c.class || x.Chosen != c.chosen || x.Ask != c.ask {
			t.Errorf("%+v: %s, chosen %q, ask %v; %s", c, x.Class, x.Chosen, x.Ask, x.Rule)
		}
	}
	for _, c := range [][3]string{{"ptr", "a.test", "yes"}, {"network", "", "yes"}, {"dkim", "a.test", "maybe"}, {"dkim", "a\x00b", "yes"}, {"dkim", strings.Repeat("a", 301), "no"}} {
		if say("acme.test", c[0], c[1], c[2]) == nil {
			t.Errorf("%q is kept", c)
		}
	}
}
