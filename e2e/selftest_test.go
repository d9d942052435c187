//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"postseal/internal/selftest"
)

// TestSelftest sends every known attack through Postfix and each of its doors: what the
// engine refuses is refused. What it lets in with a mark is counted.
func TestSelftest(t *testing.T) {
	zone, err := exec.Command(binary, "selftest", "--print-zone").Output()
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, `enforce = "strict"`, string(zone))
	for door, port := range map[string]int{"milter": r.doors.milter, "both": r.doors.both, "proxy": r.doors.proxy} {
		t.Run(door, func(t *testing.T) {
			attacks, smuggled := selftestAt(t, port)
			checkAttacks(t, attacks)
			for _, s := range smuggled {
				t.Logf("%s: %s, %s, %s", s.Attack, s.Layer, s.Action, s.Reply)
				if !s.Stopped {
					t.Errorf("%s (%s): %s %q", s.Attack, s.Comment, s.Reply, s.Problem)
				}
			}
		})
	}
	t.Run("a Postfix that can be smuggled through", func(t *testing.T) {
		_, smuggled := selftestAt(t, r.doors.policy)
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
func selftestAt(t *testing.T, port int) (attacks, smuggled []selftest.Result) {
	t.Helper()
	out, _ := exec.Command(binary, "selftest", "--postfix", fmt.Sprintf("127.0.0.1:%d", port), "--to", "erin@example.net", "--format", "json").Output()
	var got struct{ Attacks []selftest.Result }
	if err := json.Unmarshal(out, &got); err != nil || len(got.Attacks) < len(selftest.Smugglings()) {
		t.Fatalf("%v in %.300s", err, out)
	}
	n := len(got.Attacks) - len(selftest.Smugglings())
	return got.Attacks[:n], got.Attacks[n:]
}

// defused is what Postfix makes harmless before the milter sees it.
var defused = map[string]string{"from-behind-bare-cr": "Postfix writes a space for a bare CR in the header section"}

// checkAttacks compares what Postfix did with what the engine does in the mode of the rig.
func checkAttacks(t *testing.T, results []selftest.Result) {
	t.Helper()
	attacks, err := selftest.Attacks()
	if err != nil || len(results) != len(attacks) {
		t.Fatalf("%d results of %d attacks, %v", len(results), len(attacks), err)
	}
	letIn := 0
	for i, a := range attacks {
		a.Bundle.Enforce, a.Bundle.OnError, a.Bundle.Sealers = "strict", "", nil
		want, err := a.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		refused := want.Action == "reject" || want.Action == "defer"
		if r := results[i]; refused && !r.Stopped && defused[a.Name] == "" {
			t.Errorf("%s (%s) was let in: %s; the engine says %s", a.Name, a.Bundle.Comment, r.Reply, want.Action)
		} else if !r.Stopped {
			letIn++
		}
	}
	t.Logf("%d attacks, %d let in", len(results), letIn)
}
