package ui

import (
	"bytes"
	"context"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postseal/audit"
	"postseal/domain"
	"postseal/internal/app/bulk"
	"postseal/internal/app/watch"
	"postseal/server/listener"
	"postseal/server/web"
)

// audited is the audit of a domain with something of everything.
func audited() *audit.Report {
	found := func(name string) audit.Status { return audit.Status{Name: name, State: audit.Found} }
	ip := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	tree := &audit.SPFNode{Domain: "acme.test", Record: "v=spf1 include:_spf.bulk.test include:crm.test mx a:old.acme.test ~all", Lookups: 11, Terms: []audit.SPFTerm{
		{Text: "include:_spf.bulk.test", Lookup: 1, Child: &audit.SPFNode{Domain: "_spf.bulk.test", Lookups: 5, Terms: []audit.SPFTerm{{Text: "ip4:192.0.2.0/24", Addresses: ip}, {Text: "include:_b.bulk.test", Lookup: 2, Child: &audit.SPFNode{Domain: "_b.bulk.test", Terms: append(listed4(5), audit.SPFTerm{Text: "ip4:203.0.0.0/12", Addresses: []netip.Prefix{netip.MustParsePrefix("203.0.0.0/12")}})}}}}},
		{Text: "include:crm.test", Lookup: 7, Again: true, Child: &audit.SPFNode{Domain: "crm.test", Lookups: 2}}, {Text: "mx", Lookup: 10, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.25/32"), netip.MustParsePrefix("2001:db8::25/128")}}, {Text: "a:old.acme.test", Lookup: 11, Void: true, Problem: "the 11th lookup; 10 are allowed"}, {Text: "~all", Unused: true}}}
	return &audit.Report{Domain: "acme.test", Profile: audit.Both, Grade: "C", GradeReason: "At most C: SPF needs 11 lookups.", Publish: []audit.Publication{{Name: "acme.test", Value: "v=spf1 include:_spf.bulk.test include:crm.test mx ~all"}},
		Findings: []audit.Finding{{ID: "spf.lookup-limit", Severity: audit.Error, Title: "SPF needs more than 10 lookups", Detail: "11 lookups; receivers stop at the 11th with permerror.", Fix: "Remove a:old.acme.test, which has no address.", RFC: "7208 §4.6.4", Where: audit.Where{Name: "acme.test", Record: tree.Record, Offset: strings.Index(tree.Record, "a:old")}},
			{ID: "dkim.key-short", Severity: audit.Warn, Title: "The key of selector k1 has 1024 bits", Detail: "k1._domainkey.acme.test", Fix: "Make a key of 2048 bits under a new selector.", RFC: "8301 §3.2"},
			{ID: "mx.duplicate", Severity: audit.Info, Title: "MX host mx1.acme.test is listed twice", Detail: hostile, Fix: "Remove one of the two records.", RFC: "5321 §5.1"}},
		Unchecked: []audit.Unchecked{{Check: "tlsrpt", Name: "_smtp._tls.acme.test", Kind: "timeout"}},
		Records: audit.Records{SPF: audit.SPF{Status: found("acme.test"), Record: tree.Record, Lookups: 11, Addresses4: "1318912", Addresses6: "79228162514264337593543950336", Tree: tree}, DMARC: audit.DMARC{Status: found("_dmarc.acme.test"), Record: "v=DMARC1; p=reject", Policy: "reject", PolicyDomain: "acme.test",
			RUA: []audit.ReportURI{{URI: "mailto:d@acme.test"}}, Walk: []audit.WalkStep{{Name: "_dmarc.acme.test", Outcome: "record", Record: "v=DMARC1; p=reject"}, {Name: "_dmarc.test", Outcome: "none"}}, PSL: audit.PSLView{Policy: "none"}},
			DKIM:   []audit.DKIMKey{{Status: found("k1._domainkey.acme.test"), Selector: "k1", Source: audit.FromHistory, Type: "rsa", Bits: 1024}, {Status: found("mail._domainkey.acme.test"), Selector: "mail", Source: audit.FromReport, Type: "rsa", Bits: 2048}},
			MX:     []audit.MXHost{{Name: "mx1.acme.test", FCrDNS: "pass"}, {Name: "mx2.acme.test", FCrDNS: "pass"}},
			MTASTS: audit.MTASTS{Status: found("_mta-sts.acme.test"), Policy: &audit.STSPolicy{Mode: "testing"}}, TLSRPT: audit.TLSRPT{Status: audit.Status{State: audit.Failed}}, DNSSEC: audit.DNSSEC{State: "secure"}, BIMI: audit.BIMI{Status: audit.Status{State: audit.NoData}}},
		Cost: audit.Cost{DNSQueries: 47, Micros: 1_300_000}}
}

// listed4 are terms that list addresses.
func listed4(n int) (list []audit.SPFTerm) {
	for i := range n {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 32)
		list = append(list, audit.SPFTerm{Text: "ip4:" + p.Addr().String(), Addresses: []netip.Prefix{p}})
	}
	return list
}

// watching is a watch list with a domain that changed and one that did not.
func watching(t testing.TB) *watch.List {
	t.Helper()
	var at atomic.Pointer[time.Time]
	set := func(day time.Time) { at.Store(&day) }
	set(now.AddDate(0, 0, -30))
	list, err := watch.Open(t.TempDir(), func() time.Time { return *at.Load() }, func(_ context.Context, name domain.Name) *audit.Report {
		r := audited()
		r.Domain, r.Grade, r.Records.SPF.Record = string(name), "B", "v=spf1 mx -all"
		if name == "acme.test" && at.Load().After(now.AddDate(0, 0, -10)) {
			r.Grade, r.Records.SPF.Record = "C", "v=spf1 mx include:crm.test -all"
		}
		return r
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { list.Run(ctx, func(name string, err error) { t.Error(name, err) }) })
	for _, day := range []time.Time{now.AddDate(0, 0, -30), now.AddDate(0, 0, -3)} {
		set(day)
		for _, name := range []domain.Name{"acme.test", "shop.example"} {
			for e, _ := list.Of(name); !e.Checked.Equal(day); e, _ = list.Of(name) {
				if _, err := list.Put(name, 0, nil, "ann"); err != nil { // wakes the list
					t.Fatal(err)
				}
				time.Sleep(time.Millisecond)
			}
		}
	}
	cancel()
	all.Wait()
	return list
}

// bulkGrade is the audit of a domain of a list: its grade depends on its number.
func bulkGrade(_ context.Context, name domain.Name) *audit.Report {
	i := 0
	fmt.Sscanf(string(name), "d%d", &i)
	r := &audit.Report{Domain: string(name), Grade: audit.Grade("AABBCF"[i%6 : i%6+1]), Records: audit.Records{DMARC: audit.DMARC{Status: audit.Status{State: audit.Found}, Policy: []string{"reject", "quarantine", "none"}[i%3]}, SPF: audit.SPF{Lookups: i % 12}}}
	switch i % 6 {
	case 4, 5:
		r.Findings = []audit.Finding{{ID: "spf.lookup-limit", Severity: audit.Error}, {ID: "dmarc.none", Severity: audit.Warn}}
	case 3:
		r.Findings = []audit.Finding{{ID: "dmarc.none", Severity: audit.Warn}}
	}
	if i == 7 {
		r.Grade, r.Unchecked = "", []audit.Unchecked{{Check: "dmarc"}}
	}
	return r
}

// bulked are jobs of which the first is done and the second is stopped half way.
func bulked(t testing.TB) (jobs *bulk.Jobs, done, stopped string) {
	t.Helper()
	half, once := make(chan struct{}), sync.Once{}
	var minutes atomic.Int64
	at := func() time.Time { return now.Add(-time.Hour + time.Duration(minutes.Load())*time.Minute) }
	jobs, err := bulk.Open(t.TempDir(), at, func(ctx context.Context, name domain.Name) *audit.Report {
		if name == "slow.test" {
			once.Do(func() { close(half) })
			<-ctx.Done()
		}
		return bulkGrade(ctx, name)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(jobs.Close)
	var names strings.Builder
	for i := range 120 {
		fmt.Fprintf(&names, "d%d.test\n", i)
	}
	first, err := jobs.Add(strings.NewReader("not a domain\n"+names.String()), "ann")
	if err != nil {
		t.Fatal(err)
	}
	minutes.Add(1)
	second, err := jobs.Add(strings.NewReader(strings.Replace(names.String(), "d60.test", "slow.test", 1)), "bob")
	if err != nil {
		t.Fatal(err)
	}
	<-half
	for p := (*bulk.Page)(nil); p == nil || p.Job.Done < 60; { // those before it
		if p, err = jobs.Page(second.ID, bulk.Asked{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	if err := jobs.Stop(second.ID); err != nil {
		t.Fatal(err)
	}
	return jobs, first.ID, second.ID
}

// as is the handler for a user: admins see what changes things.
func as(h http.Handler, role listener.Role) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(rw, web.WithUser(r, listener.User{Name: "ann", Role: role}))
	})
}

// TestAuditPages: the audit page with its summary, tree and history, the watch list, and the lists of
// domains, each in each state; what changes something is shown to admins only.
func TestAuditPages(t *testing.T) {
	jobs, done, stopped := bulked(t)
	full := as(handler(&source{db: filled(t), watched: watching(t), jobs: jobs}), listener.AdminRole)
	reader := as(handler(&source{db: filled(t), watched: watching(t), jobs: jobs}), listener.ReaderRole)
	off := handler(&source{why: "x"})
	none, err := watch.Open(t.TempDir(), func() time.Time { return now }, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		pages  http.Handler
		path   string
		status int
		want   []string
		not    []string
	}{
		{"audit", full, "/audit/acme.test", 200, []string{"1 error, 1 warn", "11 of 10 lookups", "k1 1024, mail 2048", "reject, 1 report address", "could not be checked", "the second time", "never reached", "authorizes 1,318,912 IPv4 and about 2^96 IPv6 addresses", "ip4 ×5", "1,048,576 addresses", "192.0.2.25, 2001:db8::25", "2 hosts, reverse DNS agrees", "From your mail: k1. From reports: mail.", "47 DNS queries, 1.3 s", "Stop watching", "grade B became C: worse", "First seen, grade B", "A receiver with a public suffix list"}, nil},
		{"audit, reader", reader, "/audit/acme.test", 200, []string{"grade B became C"}, []string{"Stop watching", "action=\"/audit/watch/set\""}},
		{"audit, no state directory", off, "/audit/acme.test", 200, []string{"there is no state directory"}, []string{"Stop watching"}},
		{"history", full, "/audit/acme.test/history", 200, []string{"What changed of acme.test", "every 24h", "include:crm.test", "First seen, grade B"}, nil},
		{"history, not watched", full, "/audit/other.test/history", 404, []string{"other.test is not watched"}, nil},
		{"history, off", off, "/audit/acme.test/history", 200, []string{"there is no state directory"}, nil},
		{"watch list", full, "/audit/watch", 200, []string{"1 of 2 domains changed within a week.", "grade B became C", "none since 31 Oct 2026", "Remove"}, nil},
		{"watch list, reader", reader, "/audit/watch", 200, []string{"1 of 2 domains changed", "24h"}, []string{"Remove"}},
		{"watch list, empty", handler(&source{watched: none}), "/audit/watch", 200, []string{"No domain is watched yet.", "Add your own domains first."}, nil},
		{"watch list, off", off, "/audit/watch", 200, []string{"There is no watch list: there is no state directory"}, nil},
		{"bulk", full, "/bulk", 200, []string{"Which of your domains need work?", "stopped", "done", "bob", "Audit them"}, nil},
		{"bulk, reader", reader, "/bulk", 200, []string{"log in as an administrator"}, []string{"Audit them"}},
		{"bulk, off", off, "/bulk", 200, []string{"postseal audit --domains FILE"}, nil},
		{"job", full, "/bulk/" + done, 200, []string{"40 of 120 domains need work.", "1 line without a domain", "line 1:", "not graded", "spf.lookup-limit", "Next", "SARIF", "120 domains"}, []string{"Continue", "Previous"}},
		{"job, the next page", full, "/bulk/" + done + "?after=50", 200, []string{"Previous"}, nil},
		{"job, a rule", full, "/bulk/" + done + "?rule=dmarc.none&sort=domain", 200, []string{"60 domains with dmarc.none"}, []string{"<b>d0.test"}},
		{"job, no grade", full, "/bulk/" + done + "?grade=-", 200, []string{"1 domain, not graded", "could not be checked"}, nil},
		{"job, nothing matches", full, "/bulk/" + done + "?grade=Z", 200, []string{"No domain matches."}, nil},
		{"job, stopped", full, "/bulk/" + stopped, 200, []string{"60 of 120 done", "Continue", "stopped", "Changed since", "30 Nov 2026"}, nil},
		{"job, unknown", full, "/bulk/none", 404, []string{"There is no such job."}, nil},
		{"job, off", off, "/bulk/none", 200, []string{"there is no state directory"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, body := open(t, c.pages, c.path)
			if status != c.status {
				t.Errorf("status %d, want %d", status, c.status)
			}
			text := textOf(t, body)
			for _, w := range c.want {
				if !strings.Contains(text, w) && !strings.Contains(body, w) {
					t.Errorf("%q is missing in\n%s", w, text)
				}
			}
			for _, w := range c.not {
				if strings.Contains(body, w) {
					t.Errorf("%q is there", w)
				}
			}
			check(t, body)
		})
	}
}

// post sends a form and returns where it leads, or what the page says.
func post(t *testing.T, h http.Handler, path string, form url.Values) (int, string) {
	t.Helper()
	r := httptest.NewRequest("POST", path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rw := httptest.NewRecorder()
	h.ServeHTTP(rw, r)
	if rw.Code == http.StatusSeeOther {
		return rw.Code, rw.Header().Get("Location")
	}
	check(t, rw.Body.String())
	return rw.Code, textOf(t, rw.Body.String())
}

// TestAuditForms: a domain is watched and no longer; a list from the form or a file is started, stopped,
// continued and removed; what is wrong is said, and the list is not lost.
func TestAuditForms(t *testing.T) {
	jobs, _, stopped := bulked(t)
	list := watching(t)
	h := as(handler(&source{db: filled(t), watched: list, jobs: jobs}), listener.AdminRole)
	for _, c := range []struct {
		path string
		form url.Values
		code int
		want string
	}{
		{"/audit/watch/set", url.Values{"domain": {"new.test"}, "act": {"watch"}}, 303, "/audit/watch"},
		{"/audit/watch/set", url.Values{"domain": {"new.test"}, "act": {"remove"}}, 303, "/audit/watch"},
		{"/audit/watch/set", url.Values{"domain": {"new.test"}, "act": {"remove"}}, 303, "/audit/watch"},
		{"/audit/watch/set", url.Values{"domain": {hostile}, "act": {"watch"}}, 400, "<script>"},
		{"/bulk/start", url.Values{"names": {"a.test\nb.test"}}, 303, "/bulk/"},
		{"/bulk/start", url.Values{"names": {"# nothing\n"}}, 400, "the list is empty"},
		{"/bulk/start", url.Values{"names": {hostile}}, 400, "the list names no domain"},
		{"/bulk/start", url.Values{"from": {"reports"}}, 400, "the list is empty"},
		{"/bulk/" + stopped + "/act", url.Values{"act": {"resume"}}, 303, "/bulk/" + stopped},
		{"/bulk/" + stopped + "/act", url.Values{"act": {"stop"}}, 303, "/bulk/" + stopped},
		{"/bulk/" + stopped + "/act", url.Values{"act": {"burn"}}, 400, "act is not one of"},
		{"/bulk/" + stopped + "/act", url.Values{"act": {"remove"}}, 303, "/bulk"},
		{"/bulk/" + stopped + "/act", url.Values{"act": {"remove"}}, 400, "there is no such job"},
	} {
		if code, got := post(t, h, c.path, c.form); code != c.code || !strings.Contains(got, c.want) {
			t.Errorf("%s %v: %d %s", c.path, c.form, code, got)
		}
	}
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	file, err := w.CreateFormFile("file", "domains.txt")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(file, "c.test\nd.test\ne.test\n")
	w.WriteField("names", "f.test")
	w.Close()
	r := httptest.NewRequest("POST", "/bulk/start", &b)
	r.Header.Set("Content-Type", w.FormDataContentType())
	rw := httptest.NewRecorder()
	h.ServeHTTP(rw, r)
	if l := jobs.List(); rw.Code != 303 || l[0].Total != 4 && l[1].Total != 4 {
		t.Errorf("a file: %d, %+v", rw.Code, l)
	}
	if code, got := post(t, handler(&source{why: "x"}), "/bulk/start", url.Values{"names": {"a.test"}}); code != 503 || !strings.Contains(got, "no state directory") {
		t.Errorf("off: %d %s", code, got)
	}
}
