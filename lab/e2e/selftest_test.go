//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"postseal"
	"postseal/dmarc"
	"postseal/internal/app/selftest"
)

// TestSelftest sends every known attack through Postfix and each of its listeners: what the
// engine rejects is rejected, and what it accepts arrives with its mark.
func TestSelftest(t *testing.T) {
	zone, err := exec.Command(binary, "selftest", "--print-zone").Output()
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, `enforce = "strict"`, string(zone))
	t.Run("a daemon with other DNS data gets nothing", func(t *testing.T) {
		other := newRig(t, "")
		out := other.postseal(t, 78, "selftest", "--config", other.config, "--postfix", fmt.Sprintf("127.0.0.1:%d", other.listeners.milter), "--to", "erin@example.net")
		if !strings.Contains(out, "nothing was sent") || !strings.Contains(out, "does not know the domains") || !strings.Contains(out, "victim.co.uk") {
			t.Errorf("it says %s", out)
		}
		if n := len(other.sink.all()) + other.postfix.queued(t); n > 0 {
			t.Errorf("%d messages were delivered", n)
		}
	})
	for door, port := range map[string]int{"milter": r.listeners.milter, "both": r.listeners.both, "proxy": r.listeners.proxy} {
		t.Run(door, func(t *testing.T) {
			attacks, smuggled := selftestAt(t, port, "--config", r.config)
			checkAttacks(t, r.sink, attacks)
			for _, s := range smuggled {
				t.Logf("%s: %s, %s, %s", s.Attack, s.Layer, s.Action, s.Reply)
				if !s.Stopped {
					t.Errorf("%s (%s): %s %q", s.Attack, s.Comment, s.Reply, s.Problem)
				}
			}
		})
	}
	t.Run("a Postfix that can be smuggled through", func(t *testing.T) {
		_, smuggled := selftestAt(t, r.listeners.policy, "--force")
		var open []string
		for _, s := range smuggled {
			if !s.Stopped && strings.Contains(s.Problem[0], "smtpd_forbid_bare_newline") {
				open = append(open, s.Attack)
			}
		}
		if !slices.Contains(open, "smuggling-lf-dot-crlf") {
			t.Errorf("only %q are told", open)
		}
	})
}

// selftestAt runs the selftest through the Postfix at port.
func selftestAt(t *testing.T, port int, flags ...string) (attacks, smuggled []selftest.Result) {
	t.Helper()
	args := append([]string{"selftest", "--postfix", fmt.Sprintf("127.0.0.1:%d", port), "--to", "erin@example.net", "--format", "json"}, flags...)
	out, _ := exec.Command(binary, args...).Output()
	var got struct{ Attacks []selftest.Result }
	if err := json.Unmarshal(out, &got); err != nil || len(got.Attacks) < len(selftest.Smugglings()) {
		t.Fatalf("%v in %.300s", err, out)
	}
	n := len(got.Attacks) - len(selftest.Smugglings())
	return got.Attacks[:n], got.Attacks[n:]
}

// defused is what Postfix makes harmless before the milter sees it, and what its results then
// say: it writes a space for a bare CR in the header section.
var defused = map[string]string{"from-behind-bare-cr": "dmarc=none header.from=evil.test"}

// checkAttacks compares what Postfix did with what the engine does in the mode of the rig.
// Accepted mail arrives with a mark: the verdict, or dmarc=fail or temperror.
func checkAttacks(t *testing.T, s *sink, results []selftest.Result) {
	t.Helper()
	attacks, err := selftest.Attacks()
	if err != nil || len(results) != len(attacks) {
		t.Fatalf("%d results of %d attacks, %v", len(results), len(attacks), err)
	}
	letIn := 0
	for i, a := range attacks {
		a.Bundle.Enforce, a.Bundle.OnError, a.Bundle.Sealers = "strict", "", nil
		want, err := a.Bundle.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r := results[i]
		if r.Stopped {
			continue
		}
		letIn++
		applied, result := want.Decision.Applied, want.DMARC.Code
		marked := applied == postseal.Quarantine || applied == postseal.Accept && (result == dmarc.Fail || result == dmarc.TempError)
		switch {
		case defused[a.Name] != "":
			checkMark(t, a.Name, s.queuedAs(t, r.Reply), postseal.Accept, defused[a.Name])
		case marked:
			checkMark(t, a.Name, s.queuedAs(t, r.Reply), applied, "dmarc="+string(result))
		default:
			t.Errorf("%s (%s) was let in: %s; the engine says %s, dmarc=%s", a.Name, a.Bundle.Comment, r.Reply, applied, result)
		}
	}
	t.Logf("%d attacks, %d let in", len(results), letIn)
}

// checkMark checks the verdict and the results that a message arrived with.
func checkMark(t *testing.T, attack string, a arrived, verdict postseal.Action, result string) {
	t.Helper()
	if got := a.fields("X-Postseal-Verdict"); len(got) != 1 || !strings.HasPrefix(got[0], string(verdict)+"; ref=") {
		t.Errorf("%s arrived with the verdict %q, want one %s", attack, got, verdict)
	}
	got := a.fields("Authentication-Results")
	if len(got) != 1 || !strings.HasPrefix(got[0], "mx.example.net; ") || !strings.Contains(got[0], "; "+result) {
		t.Errorf("%s arrived with the results %q, want one with %s", attack, got, result)
	}
}
