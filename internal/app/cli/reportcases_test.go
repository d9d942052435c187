package cli

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// reportCases are inputs rebuilt from public bug reports of other programs, each with the command
// that verifies it. POSTSEAL_CASES names another directory.
var reportCases = source("../shared/cases/verify")

// reportResults are the right results by the beginning of a case's name, the longest that matches:
// SPF, the best DKIM result, ARC where there is a chain, DMARC, and the action. "envelope" says that
// the message does not show who handed it over.
var reportResults = map[string]string{
	"01": "none pass - pass accept", "02": "none pass - pass accept", "03": "none pass - pass accept", "04": "none pass - pass accept",
	"05": "pass none - pass accept", "06": "pass none - pass accept", "08": "none none - none accept",
	"09": "pass none - pass accept", "09d": "permerror none - fail reject", "09e": "permerror none - fail reject",
	// From fields that name one domain, whatever their form, and those that name none or several.
	"11-from-": "pass none - pass accept", "11-from-00": "pass none - fail reject", "11-from-21": "pass none - permerror reject",
	"11-from-25": "pass none - permerror reject", "11-from-36": "pass none - permerror reject", "11-from-37": "pass none - permerror reject",
	"11-from-38": "pass none - permerror reject", "51-from-": "pass pass - pass accept",
	// Key records and signature tags.
	"13": "none pass - pass accept", "13a": "none permerror - fail reject", "13c": "none permerror - fail reject", "13g": "none permerror - fail reject",
	"13h": "none permerror - fail reject", "13j": "none permerror - fail reject", "13m": "none permerror - fail reject", "13o": "none permerror - fail reject",
	"13r": "none permerror - fail reject", "13s": "none permerror - fail reject", "13t": "none permerror - fail reject",
	"14": "none pass - pass accept", "14d": "none permerror - fail reject", "14f": "none neutral - fail reject", "14m": "none permerror - fail reject",
	"53": "none permerror - fail quarantine", "53-13i": "none pass - pass accept",
	// Received fields of many programs: the client that they name is the one that SPF lists, or for
	// addresses of IPv6 is not.
	"20-recv-": "pass none - pass accept", "20-recv-exchange-v6": "fail none - fail reject", "20-recv-exim6-v6": "fail none - fail reject",
	"20-recv-postfix-ipv6": "fail none - fail reject", "20-recv-scope": "fail none - fail reject",
	"20-recv-lmtp-local": "envelope", "20-recv-mdaemon": "envelope",
	// Mail through a gateway in trusted_relays: its client is the one that the gateway names. Where none is named,
	// it is unknown.
	"30": "pass none - pass accept", "30e": "none none - temperror defer", "30f": "none none - temperror defer", "30g": "none none - temperror defer", "30h": "fail none - fail reject",
	"40": "none none pass fail accept", "40f": "none none fail fail reject", "40g": "none none fail fail reject", "41a": "none pass - fail reject",
	"50b": "pass pass - fail quarantine", "50c": "none none - fail reject", "50d": "none neutral - fail quarantine", "50": "none pass - pass accept",
	// Long fields: what Postfix accepts is verified.
	"60-to-": "pass pass - pass accept", "60-to-1500": "pass fail - permerror reject", "60-from-600": "pass none - permerror reject",
}

// TestReportCases runs every input as a whole.
func TestReportCases(t *testing.T) {
	t.Parallel()
	dir := reportCases
	if named := os.Getenv("POSTSEAL_CASES"); named != "" {
		dir = named
	}
	commands, err := filepath.Glob(filepath.Join(dir, "*.cmd"))
	if err != nil || len(commands) == 0 {
		t.Skipf("skipped: no cases in %s (POSTSEAL_CASES names their directory)", dir)
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range commands {
		name := strings.TrimSuffix(filepath.Base(path), ".cmd")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			args := strings.Fields(string(text))[1:]
			for i := range args {
				args[i] = strings.Trim(args[i], "'")
			}
			if got, want := reportOutcome(dir, args), expectedOf(name); got != want {
				t.Errorf("%s\n got %q\nwant %q", text, got, want)
			}
		})
	}
	t.Logf("%d cases", len(commands))
}

// expectedOf is the entry with the longest beginning of name.
func expectedOf(name string) (want string) {
	longest := -1
	for start, results := range reportResults {
		if strings.HasPrefix(name, start) && len(start) > longest {
			longest, want = len(start), results
		}
	}
	return want
}

// reportOutcome runs the command in dir and returns its results in a few words.
func reportOutcome(dir string, args []string) string {
	done := doJob(&scriptJob{Dir: dir, Args: args})
	var r struct {
		Decision struct{ Action, Applied string }
		SPF      []struct{ Result string }
		DKIM     []struct{ Result string }
		ARC      struct{ Result string }
		DMARC    struct{ Result string }
	}
	if err := json.Unmarshal([]byte(done.Out), &r); err != nil {
		if strings.Contains(done.Err, "names no client address") {
			return "envelope"
		}
		return errors.Join(err, errors.New(done.Err)).Error()
	}
	spf, dkim, arc := "none", "none", "-"
	if len(r.SPF) > 0 {
		spf = r.SPF[0].Result
	}
	for i, s := range r.DKIM {
		if i == 0 || s.Result == "pass" {
			dkim = s.Result
		}
	}
	if r.ARC.Result != "none" {
		arc = r.ARC.Result
	}
	action := r.Decision.Applied
	if (done.Code == 0) != (action == "accept") {
		return "the exit code does not say " + action
	}
	return strings.Join([]string{spf, dkim, arc, r.DMARC.Result, action}, " ")
}
