package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"postseal/internal/app/secondopinion"
)

func runVerify(t *testing.T, stdin string, args ...string) (stdout string) {
	t.Helper()
	var out, errs bytes.Buffer
	args = append([]string{"verify", "--zone", sampleZone, "--now", "2026-11-02T09:00:00Z", "--second-opinion"}, args...)
	if code := Main(args, strings.NewReader(stdin), &out, &errs); code >= exitUsage {
		t.Fatalf("%q: exit code %d: %s", args, code, errs.String())
	}
	return out.String()
}

func TestSecondOpinionJSON(t *testing.T) {
	out := runVerify(t, "", "--ip", "192.0.2.60", "--helo", "mail.simple.example", "--from", "ops@simple.example", "--format", "json", source("testdata/mail/simple.eml"))
	var report struct {
		Schema string                  `json:"schema"`
		Second []secondopinion.Opinion `json:"second_opinion"`
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(report.Second) != 3 || report.Schema != "postseal.verify/1" {
		t.Fatalf("got %d opinions in %q, want one of SPF and two of DKIM", len(report.Second), report.Schema)
	}
	for _, o := range report.Second {
		if !o.Agrees || o.Theirs == "" {
			t.Errorf("got %+v, want agreement", o)
		}
	}
}

func TestSecondOpinionNamesTheRule(t *testing.T) {
	out := runVerify(t, "", source("testdata/mail/hostile.eml"))
	if !strings.Contains(out, "says fail, postseal pass") || !strings.Contains(out, "RFC 6376 §3.5") {
		t.Errorf("the difference about x= and its rule are not named:\n%s", out)
	}
}

func TestSecondOpinionIsBounded(t *testing.T) {
	msg := "From: a@acme.test\r\nDKIM-Signature: v=1; a=rsa-sha256; d=acme.test; s=s2026; h=from; bh=; b=\r\n" +
		strings.Repeat("X:"+strings.Repeat("\r\n y", 90)+"\r\n", 4) + "Y:" + strings.Repeat("\r\n z", 101) + "\r\n\r\nbody\r\n"
	out := runVerify(t, msg, "-")
	if !strings.Contains(out, "was not asked") {
		t.Errorf("a field with 101 continuation lines must not reach the library:\n%s", out)
	}
}

func TestSecondOpinionWithNothingToAsk(t *testing.T) {
	if out := runVerify(t, "", source("testdata/mail/plain.eml")); !strings.Contains(out, "nothing to compare") {
		t.Errorf("got\n%s", out)
	}
}
