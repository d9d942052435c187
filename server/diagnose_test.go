package server

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/d--j/go-milter"

	"postseal"
	"postseal/bundle"
	"postseal/server/listener"
)

// listMail sends the message of a mailing list, which added a footer and a Subject prefix after
// signing, through the milter. It returns the bundle that the daemon keeps.
func listMail(t *testing.T, bundles string) (*daemonUnderTest, *bundle.Bundle) {
	t.Helper()
	zone, err := os.ReadFile("../testdata/zones/mail.zone")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../testdata/mail/list.eml")
	if err != nil {
		t.Fatal(err)
	}
	d := runOn(t, listeners+"[bundles]\ndir = '"+t.TempDir()+"'\n"+bundles, string(zone))
	s, err := milter.NewClient("tcp", d.Addr(listener.Milter).String()).Session(milter.NewMacroBag())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Conn("mail.lists.example.net", milter.FamilyInet, 25, "198.51.100.77"); err != nil {
		t.Fatal(err)
	}
	s.Helo("mail.lists.example.net")
	s.Mail("anvils-bounces@lists.example.net", "")
	s.Rcpt("to@here.test", "")
	s.DataStart()
	header, body, _ := strings.Cut(string(text), "\n\n")
	for field := range strings.SplitSeq(strings.NewReplacer("\n\t", "\x00\t", "\n ", "\x00 ").Replace(header), "\n") {
		name, value, _ := strings.Cut(strings.ReplaceAll(field, "\x00", "\r\n"), ":")
		if name == "Received" || name == "Return-Path" {
			continue // what our own host wrote
		}
		if _, err := s.HeaderField(name, value, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.HeaderEnd(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.BodyReadFrom(strings.NewReader(strings.ReplaceAll(body, "\n", "\r\n"))); err != nil {
		t.Fatal(err)
	}
	d.bundles.settle(t.Context())
	page := d.verdicts("")
	if len(page.Verdicts) == 0 {
		eventually(t, "the verdict", func() bool { page = d.verdicts(""); return len(page.Verdicts) == 1 })
	}
	kept, err := d.bundles.find(t.Context(), page.Verdicts[0].Ref)
	if err != nil {
		t.Fatal(err)
	}
	return d, kept
}

// TestDiagnosis: the daemon finds out why the signature of a message broke that it does not accept,
// and keeps the words: explain and the page report the footer, though no body is kept. The prefix of
// the Subject is private.
func TestDiagnosis(t *testing.T) {
	const footer = "141 octets in 5 lines were added at the end"
	for name, c := range map[string]struct{ config, want, not string }{
		"by default": {storeTable(t.TempDir()), "the Subject got a prefix", "[anvils]"},
		"private":    {"private = true\n" + storeTable(t.TempDir()), `the Subject got the prefix "[anvils]"`, "a prefix"},
	} {
		t.Run(name, func(t *testing.T) {
			d, kept := listMail(t, c.config)
			again, err := bundle.Parse(kept.Format())
			if err != nil || len(again.Diagnoses) != 1 {
				t.Fatalf("%v, %+v", err, kept.Diagnoses)
			}
			report, err := again.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := report.DKIM[again.Diagnoses[0].Signature].Diagnosis
			if !strings.Contains(got.Text, footer) || !strings.Contains(got.Text, c.want) || strings.Contains(got.Text, c.not) || !got.HeaderIntact {
				t.Errorf("%+v", got)
			}
			if wrong := again.Check(report); len(wrong) > 0 {
				t.Errorf("the evidence does not hold: %q", wrong)
			}
			if status, body := d.get("/v/" + kept.Ref); status != 200 || !strings.Contains(body, footer) || !strings.Contains(body, "a list or forwarder changed the message") {
				t.Errorf("the page does not say why: %d %s", status, body)
			}
			if held := d.engine.Bodies; held == nil || *held != (listener.Bodies{}) {
				t.Errorf("a body is still held")
			}
		})
	}
}

// TestPostedDiagnosis: a message that a program posts is diagnosed too, also one whose header section is
// empty or whose body is large, of which nothing is held.
func TestPostedDiagnosis(t *testing.T) {
	zone, err := os.ReadFile("../testdata/zones/mail.zone")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../testdata/mail/list.eml")
	if err != nil {
		t.Fatal(err)
	}
	d := runOn(t, listeners+"[bundles]\ndir = '"+t.TempDir()+"'\n"+storeTable(t.TempDir()), string(zone))
	const query = "ip=198.51.100.77&helo=mail.lists.example.net&from=anvils-bounces@lists.example.net"
	ref := d.post(query, string(text))["ref"].(string)
	d.post(query, "\nbody\n")
	d.post(query, "From: a@acme.test")
	d.post(query, string(text)+strings.Repeat("more\n", 100_000))
	d.bundles.settle(t.Context())
	if status, body := d.get("/v/" + ref); status != 200 || !strings.Contains(body, "141 octets in 5 lines were added at the end") {
		t.Errorf("the page does not say why: %d %s", status, body)
	}
	if held := d.engine.Bodies; held == nil || *held != (listener.Bodies{}) {
		t.Errorf("a body is still held")
	}
}

// TestDiagnosisIsBounded: strangers who send many broken signatures do not get more than the daemon's
// share of CPU time for them; verdicts and evidence are kept all the same.
func TestDiagnosisIsBounded(t *testing.T) {
	d, kept := listMail(t, storeTable(t.TempDir()))
	d.bundles.spent.ReserveN(time.Now(), diagnoseBurst)
	d.bundles.spent.ReserveN(time.Now(), diagnoseBurst)
	config, err := kept.Config()
	if err != nil {
		t.Fatal(err)
	}
	v, err := postseal.New(config)
	if err != nil {
		t.Fatal(err)
	}
	report, err := kept.RunWith(context.Background(), v)
	if err != nil {
		t.Fatal(err)
	}
	kept.Diagnoses = nil
	body := (&listener.Bodies{}).Begin()
	body.Write([]byte("x"))
	d.bundles.diagnose(kept, listener.Verdict{Report: report, Body: body}, false)
	if len(kept.Diagnoses) != 0 {
		t.Error("diagnosed beyond the share")
	}
}
