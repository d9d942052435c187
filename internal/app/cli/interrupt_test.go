package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"postseal/internal/app/term"
)

// TestInterrupted: a command that was cut short has no result: it says so and ends with 75.
func TestInterrupted(t *testing.T) {
	mail, vector := source("testdata/mail/invoice.eml"), source("testdata/vectors/spf/a-one-slash-twice.txtar")
	for _, command := range []string{
		"verify " + mail + " " + mail, "verify --format json " + mail, "dkim verify " + mail, "arc verify " + source("testdata/mail/sealed.eml"),
		"dkim key s2026 acme.test", "spf check --ip 192.0.2.25 --from a@acme.test", "spf tree acme.test",
		"dmarc policy acme.test", "dmarc check --author acme.test", "audit acme.test", "replay " + source("testdata/mail"),
	} {
		stopped(t, strings.Fields(command+" --zone "+sampleZone))
	}
	for _, command := range []string{"verify", "replay-bundle", "explain"} {
		stopped(t, []string{command, vector})
	}
}

func stopped(t *testing.T, args []string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, getenv: func(string) string { return "" }}
	a.errors = term.Detect(&errs, term.Auto, a.getenv)
	code := a.run(ctx, args)
	if code != exitTempFail || !strings.Contains(errs.String(), "error: interrupted") {
		t.Errorf("%v: %d %s", args, code, errs.String())
	}
	if args[0] != "replay" && out.Len() > 0 {
		t.Errorf("%v has a result: %s", args, out.String())
	}
}
