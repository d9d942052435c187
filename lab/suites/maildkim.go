package suites

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"postseal/dkim"
	"postseal/resolver"
)

// mailDKIMTest is a line of verifier.t: a message of the corpus and the result wanted.
var mailDKIMTest = regexp.MustCompile(`(?m)^\s*test_email\(\s*"([^"]+)",\s*"([^"]+)"\s*\)`)

// readMailDKIM reads the corpus of Mail::DKIM.
func readMailDKIM(dir string) ([]Case, error) {
	script, err := os.ReadFile(filepath.Join(dir, "t/verifier.t"))
	if err != nil {
		return nil, err
	}
	zone, err := mailDKIMZone(filepath.Join(dir, "t/FAKE_DNS.dat"))
	if err != nil {
		return nil, err
	}
	var cases []Case
	for _, m := range mailDKIMTest.FindAllSubmatch(script, -1) {
		name, want := string(m[1]), string(m[2])
		msg, err := os.ReadFile(filepath.Join(dir, "t/corpus", name))
		if err != nil {
			return nil, err
		}
		cases = append(cases, Case{name, func(ctx context.Context) string { return dkimProblem(ctx, zone, msg, want) }})
	}
	return cases, nil
}

// mailDKIMZone reads "name record" a line; ~~ stands around a failure.
func mailDKIMZone(path string) (*Zone, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	records, failures := map[string]string{}, map[string]resolver.Kind{}
	for line := range strings.Lines(string(data)) {
		name, record, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		record = strings.TrimLeft(record, " \t")
		switch {
		case name == "" || strings.HasPrefix(name, "#") || record == "NXDOMAIN":
		case strings.HasPrefix(record, "~~"):
			failures[target(name)] = resolver.ServFail
		default:
			records[name] = record
		}
	}
	z := textZone(records)
	z.failures = failures
	return z, nil
}

// dkimProblem compares the best result of all signatures: "fail" where one was computed and
// does not verify, "invalid" where none could be.
func dkimProblem(ctx context.Context, zone *Zone, msg []byte, want string) string {
	v := dkim.Verifier{Resolver: zone, Now: corporaClock}
	signatures, err := v.Verify(ctx, bytes.NewReader(msg))
	if err != nil {
		return err.Error()
	}
	got, why := "none", ""
	for _, s := range signatures {
		word := map[dkim.Result]string{dkim.Pass: "pass", dkim.Fail: "fail"}[s.Result]
		if word == "" {
			word = "invalid"
		}
		if got == "none" || word == "pass" || word == "fail" && got == "invalid" {
			got = word
		}
		why += fmt.Sprintf(" %s (%s)", s.Result, s.Reason)
	}
	if got != want {
		return fmt.Sprintf("got %s:%s, want %s", got, why, want)
	}
	return ""
}
