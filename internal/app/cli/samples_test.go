package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postseal/internal/app/term"
	"postseal/internal/core/dnszone"
)

var sampleZone = source("testdata/zones/mail.zone")

// changing is what differs from run to run: references and times.
var changing = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\b(ref|Ref)(["=: ]+)[0-9A-Z]{8}\b`), "${1}${2}7KQ29F3M"},
	{regexp.MustCompile(`\bref [0-9A-Z]{4}-[0-9A-Z]{4}`), "ref 7KQ2-9F3M"},
	{regexp.MustCompile(`"micros":\d+`), `"micros":0`},
	{regexp.MustCompile(`: name server 127\.0\.0\.1:\d+`), ""},
}

var verdictRef = regexp.MustCompile(`VERDICT [0-9A-Z]{4}-[0-9A-Z]{4}`)

// foot is the last line of a report, with its time and what fills the line.
var foot = regexp.MustCompile(`(?m)^( .* DNS quer.*, )[0-9.]+ m?s( · ref .*?) +(\[exit \d+\])$`)

func steady(text string) string {
	for _, c := range changing {
		text = c.re.ReplaceAllString(text, c.with)
	}
	return foot.ReplaceAllStringFunc(text, func(line string) string {
		part := foot.FindStringSubmatch(line)
		left := part[1] + "0.3 ms" + part[2]
		return left + fmt.Sprintf("%*s", term.Width-term.Columns(left), part[3])
	})
}

// sampleArgs verifies path as if it came in the hour of its date.
func sampleArgs(path string, args ...string) []string {
	return append([]string{"verify", "--received-by", "mx.example.net", "--now", "2026-11-02T09:00:00Z", path}, args...)
}

// TestSamples compares the text of every sample message with testdata/samples, which are
// for people to read: a change of the layout shows there.
func TestSamples(t *testing.T) {
	for _, path := range samples(t) {
		name := strings.TrimSuffix(filepath.Base(path), ".eml")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, got, stderr := runAt("", sampleArgs("testdata/mail/"+name+".eml", "--zone", "testdata/zones/mail.zone")...)
			if stderr != "" {
				t.Errorf("stderr: %s", stderr)
			}
			golden(t, source("internal/app/cli/testdata/samples/"+name+".txt"), steady(got))
		})
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, string(want)); diff != "" {
		t.Errorf("%s (-got +want; rewrite with -update):\n%s", path, diff)
	}
}

// TestLayout: no line is wider than the page, with and without colour, where the
// terminal knows UTF-8 and where it does not, and no outside octet gets through.
func TestLayout(t *testing.T) {
	hostile := "From: \"" + strings.Repeat("Very Long Name ", 20) + "\" <" + strings.Repeat("a", 64) + "@" + strings.Repeat("label-that-is-long.", 11) + "example>\r\n" +
		"Subject: " + strings.Repeat("W", 300) + "\x1b[2J\x9b\u202e\r\n" +
		"DKIM-Signature: v=1; a=rsa-sha256; d=" + strings.Repeat("long.", 40) + "example; s=" + strings.Repeat("s", 60) + "; h=from; bh=AAAA; b=AAAA\r\n" +
		"DKIM-Signature: " + strings.Repeat("x", 500) + "\r\n\r\nbody\r\n"
	path := filepath.Join(t.TempDir(), strings.Repeat("long-name-", 12)+".eml")
	if err := os.WriteFile(path, []byte(hostile), 0o644); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("h", 60) + "." + strings.Repeat("label.", 20) + "test"
	for _, file := range append(samples(t), path) {
		for _, lang := range []string{"C.UTF-8", "C"} {
			for _, extra := range [][]string{nil, {"--trace"}, {"--color=always", "--trace", "-v"}, {"--quiet"}} {
				args := sampleArgs(file, append(extra, "--zone", sampleZone)...)
				if file == path {
					args = append([]string{"verify", "--zone", sampleZone, "--ip", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff", "--helo", long, "--from", "x@" + long, path}, extra...)
				}
				_, got, _ := run(map[string]string{"LANG": lang}, "", args...)
				if got == "" {
					t.Errorf("%v: no output", args)
				}
				most := term.Width
				if len(extra) == 1 && extra[0] == "--quiet" {
					most = 500 // one line per message, with the full file name
				}
				if err := layout(got, most, lang != "C"); err != nil {
					t.Errorf("LANG=%s %v: %v", lang, args, err)
				}
			}
		}
	}
}

// TestResolverAgreesWithZone: a real name server leads to the verdict that its zone does.
func TestResolverAgreesWithZone(t *testing.T) {
	zone, err := dnszone.ParseFiles(sampleZone)
	if err != nil {
		t.Fatal(err)
	}
	server, err := zone.Serve()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	truncating, err := zone.ServeFaults(dnszone.Faults{Truncate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer truncating.Close()
	for _, path := range samples(t) {
		code, want, stderr := run(nil, "", sampleArgs(path, "--format=jsonl", "--zone", sampleZone)...)
		if stderr != "" {
			t.Errorf("%s: %s", path, stderr)
		}
		for _, addr := range []string{server.Addr(), truncating.Addr()} {
			netCode, got, _ := run(nil, "", sampleArgs(path, "--format=jsonl", "--resolver", addr)...)
			if diff := cmp.Diff(fields(t, got), fields(t, want)); diff != "" || netCode != code {
				t.Errorf("%s: exit code %d over the network, %d from the zone (-network +zone):\n%s", path, netCode, code, diff)
			}
		}
	}
	udp, _ := server.Queries()
	if _, tcp := truncating.Queries(); udp == 0 || tcp == 0 {
		t.Errorf("%d questions over UDP and %d over TCP: the servers were not asked", udp, tcp)
	}
}

func fields(t *testing.T, object string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.NewDecoder(bytes.NewReader([]byte(steady(object)))).Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}
