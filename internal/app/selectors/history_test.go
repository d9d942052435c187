package selectors_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"postseal/audit"
	"postseal/internal/app/selectors"
	"postseal/store"
)

type history []store.Selector

// Selectors implements selectors.History.
func (h history) Selectors(context.Context, string, int) ([]store.Selector, error) { return h, nil }

// TestHistory: what verified counts, with its last day; what anyone can claim does not.
func TestHistory(t *testing.T) {
	day := time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)
	h := history{{Domain: "a.test", Selector: "s1", Verified: true, Last: day.UnixMilli()}, {Domain: "a.test", Selector: "forged", Last: day.UnixMilli()},
		{Domain: "sub.a.test", Selector: "s2", Verified: true, Last: day.UnixMilli()}}
	var l selectors.List
	if err := l.ReadHistory(t.Context(), h, "a.test"); err != nil {
		t.Fatal(err)
	}
	if got := l.Of("a.test"); len(got) != 1 || got[0].Name != "s1" || got[0].Source != audit.FromHistory || !got[0].Last.Equal(day) {
		t.Errorf("got %+v", got)
	}
}

const aggregate = `<?xml version="1.0"?><feedback><report_metadata><org_name>r.test</org_name><email>d@r.test</email><report_id>1</report_id>
<date_range><begin>1793577600</begin><end>1793663999</end></date_range></report_metadata>
<policy_published><domain>a.test</domain><p>none</p></policy_published>
<record><row><source_ip>192.0.2.1</source_ip><count>3</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row>
<identifiers><header_from>a.test</header_from></identifiers>
<auth_results><dkim><domain>a.test</domain><selector>s1</selector><result>pass</result></dkim><dkim><domain>a.test</domain><selector>bad</selector><result>fail</result></dkim>
<spf><domain>a.test</domain><scope>mfrom</scope><result>fail</result></spf></auth_results></record></feedback>`

// TestReports: receivers tell which selectors verified.
func TestReports(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"r.xml": aggregate, "readme.txt": "hello\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var l selectors.List
	n, err := l.ReadReports(t.Context(), dir)
	if err != nil || n != 1 {
		t.Fatalf("%d reports, %v", n, err)
	}
	got := l.Of("a.test")
	if len(got) != 1 || got[0].Name != "s1" || got[0].Source != audit.FromReport || got[0].Last.UTC().Format(time.DateOnly) != "2026-11-02" {
		t.Errorf("got %+v", got)
	}
	if _, err := l.ReadReports(t.Context(), filepath.Join(dir, "gone")); err == nil {
		t.Error("a folder that does not exist is read")
	}
}

// TestMailDate: the day is that of the latest message.
func TestMailDate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.mbox")
	message := func(date string) string {
		return "From x\nDate: " + date + "\nFrom: x@a.test\nDKIM-Signature: v=1; d=a.test; s=s1; b=x\n\nbody\n\n"
	}
	text := message("2 Nov 2024 08:00:00 +0000") + message("1 Nov 2024 08:00:00 +0000") + message("1 Nov 2099 08:00:00 +0000")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var l selectors.List
	if err := l.ReadMail(path); err != nil {
		t.Fatal(err)
	}
	if got := l.Of("a.test"); len(got) != 1 || got[0].Source != audit.FromMail || got[0].Last.UTC().Format(time.DateOnly) != "2024-11-02" {
		t.Errorf("got %+v", got)
	}
}
