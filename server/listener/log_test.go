package listener

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"postseal"
)

func report(t testing.TB, e *Engine, helo, from, msg string) *postseal.Report {
	t.Helper()
	r, err := postseal.VerifyReader(context.Background(), e.Current().Verifier, client("192.0.2.1"), helo, from, strings.NewReader(msg))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const mail = "From: a@e.test\r\nSubject: x\r\n\r\nhello\r\n"

func TestVerdictLine(t *testing.T) {
	var log bytes.Buffer
	e := engine(t, &log)
	r := report(t, e, "mx.e.test", "joe@e.test", mail)
	e.Record(Verdict{Listener: Milter, QueueID: "4cXk2", Report: r, Snapshot: e.Current()})
	want := "<6>qid=4cXk2 ref=" + r.Ref + " door=milter verdict=accept applied=accept enforce=guarded reason=dmarc.pass from=e.test mfrom=e.test " +
		"helo=mx.e.test ip=192.0.2.1 spf=pass dkim=none dmarc=pass p=reject policy=e.test iprev=permerror dns="
	if got := log.String(); !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 1 || strings.Contains(got, "joe") {
		t.Errorf("got  %s\nwant %s…, one line, no local part", got, want)
	}
	open := *e.Current()
	open.LocalParts = true
	log.Reset()
	e.Record(Verdict{Listener: Milter, QueueID: "4cXk2", Report: r, Snapshot: &open})
	if !strings.Contains(log.String(), " mfrom=joe@e.test ") {
		t.Errorf("without privacy: %s", log.String())
	}
	if strings.Contains(log.String(), " stale=") {
		t.Errorf("fresh answers are stale: %s", log.String())
	}
	log.Reset()
	r.Stale = 2
	e.Record(Verdict{Listener: Milter, QueueID: "4cXk2", Report: r, Snapshot: e.Current()})
	if !strings.Contains(log.String(), " stale=2 dns=") {
		t.Errorf("two stale answers: %s", log.String())
	}
	if got := testutil.ToFloat64(e.Metrics.Messages.WithLabelValues("accept", "accept", "guarded")); got != 3 {
		t.Errorf("messages_total = %v, want 3", got)
	}
}

// TestHeloLine: what a HELO name has before an "@" may be a local part.
func TestHeloLine(t *testing.T) {
	var log bytes.Buffer
	e := engine(t, &log)
	e.Record(Verdict{Listener: Milter, Report: report(t, e, "joe@mx.e.test", "a@e.test", mail), Snapshot: e.Current()})
	if !strings.Contains(log.String(), " helo=mx.e.test ") {
		t.Error(log.String())
	}
}

// TestNullPathLine: for the null path the HELO identity stands in for MAIL FROM (RFC 7208 §2.4).
func TestNullPathLine(t *testing.T) {
	for from, want := range map[string]string{"": " mfrom=<> helo=e.test ip=192.0.2.1 spf=pass:helo ", "a@e.test": " spf=pass "} {
		var log bytes.Buffer
		e := engine(t, &log)
		e.Record(Verdict{Listener: Milter, Report: report(t, e, "e.test", from, mail), Snapshot: e.Current()})
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q: want %q in %s", from, want, log.String())
		}
	}
}

// TestLogControls: no control octet reaches a line of the log, whatever its format.
func TestLogControls(t *testing.T) {
	for _, format := range []LogFormat{LogText, LogJournal, LogJSON} {
		var log bytes.Buffer
		NewLogger(&log, format, slog.LevelInfo).Info("said", "helo", "a\x7f\x1b[31m\r\n\x00b", "error", errors.New("c\x7fd"))
		line := strings.TrimSuffix(log.String(), "\n")
		if strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c == 0x7f }) || !strings.Contains(line, `x7f`) {
			t.Errorf("%s: %q", format, line)
		}
	}
}

// TestLogPage: every key of a verdict line is on the page.
func TestLogPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/logs.md")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	e := engine(t, &log)
	for _, m := range []string{mail, "From: a@none.test\r\n\r\n", "From: a@e.test, b@e2.test\r\nList-Id: <x>\r\n\r\n"} {
		e.Record(Verdict{Listener: Milter, Report: report(t, e, "x.test", "b@other.test", m), Snapshot: e.Current()})
	}
	for line := range strings.Lines(log.String()) {
		keys, _ := splitLine(line)
		for _, k := range keys {
			if !strings.Contains(string(page), "| `"+k+"` |") {
				t.Errorf("logs.md does not name %s", k)
			}
		}
	}
}

// TestMetricNames holds the names of the metrics page, by Prometheus' own rules.
func TestMetricNames(t *testing.T) {
	e := engine(t, new(bytes.Buffer))
	e.Record(Verdict{Listener: Milter, Report: report(t, e, "h", "a@e.test", mail), Snapshot: e.Current()})
	problems, err := testutil.GatherAndLint(e.Metrics.Registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// splitLine reads a key=value line as a log reader does; ok is false when it is no such
// line.
func splitLine(line string) (keys []string, ok bool) {
	line, ended := strings.CutSuffix(strings.TrimPrefix(line, "<6>"), "\n")
	if !ended || strings.ContainsAny(line, "\r\n") || !utf8.ValidString(line) {
		return nil, false
	}
	for line != "" {
		key, rest, found := strings.Cut(line, "=")
		if !found || strings.ContainsAny(key, " \"") {
			return nil, false
		}
		keys = append(keys, key)
		if strings.HasPrefix(rest, `"`) {
			end := 1
			for end < len(rest) && rest[end] != '"' {
				if rest[end] == '\\' {
					end++
				}
				end++
			}
			if end >= len(rest) {
				return nil, false
			}
			line = rest[end+1:]
		} else {
			end := strings.IndexByte(rest, ' ')
			if end < 0 {
				end = len(rest)
			}
			line = rest[end:]
		}
		if line != "" && !strings.HasPrefix(line, " ") {
			return nil, false
		}
		line = strings.TrimPrefix(line, " ")
	}
	return keys, true
}

// FuzzVerdictLine: whatever the outside says, a verdict is one line with our keys, each
// once, and no signature is made up within a value.
func FuzzVerdictLine(f *testing.F) {
	f.Add("4cXk2", "mx.e.test", "a@e.test", "e.test", "s1")
	f.Add("q id=\"x\"", "a\r\nverdict=accept", "a@b\n<6>qid=x", "evil.test/k,pass:bank.test", "x)\x00")
	f.Add("\\", "\"", "@\\\"", "\u202e\u2028", "\xff\xfe")
	r := zoneResolver(f)
	var log bytes.Buffer
	e := NewEngine(snapshot(f, r), NewLogger(&log, LogJournal, slog.LevelInfo), NewMetrics("test"))
	f.Fuzz(func(t *testing.T, qid, helo, from, domain, selector string) {
		log.Reset()
		message := "DKIM-Signature: v=1; a=rsa-sha256; d=" + domain + "; s=" + selector + "; h=from; bh=; b=\r\nFrom: a@" + domain + "\r\n\r\n"
		r := report(t, e, helo, from, message)
		e.Record(Verdict{Listener: Milter, QueueID: qid, Report: r, Snapshot: e.Current()})
		keys, ok := splitLine(log.String())
		if !ok || keys[0] != "qid" || keys[len(keys)-1] != "ms" {
			t.Fatalf("not one line of keys and values:\n%q", log.String())
		}
		seen := map[string]bool{}
		for _, k := range keys {
			if seen[k] {
				t.Errorf("key %q twice:\n%s", k, log.String())
			}
			seen[k] = true
		}
		if got := len(strings.Split(signatures(r), ",")); len(r.DKIM) > 0 && got != len(r.DKIM) {
			t.Errorf("%d signatures in %q, want %d", got, signatures(r), len(r.DKIM))
		}
	})
}
