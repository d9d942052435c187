package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"postseal/internal/app/conf"
	"postseal/internal/app/fleet"
	"postseal/internal/app/mailbox"
	"postseal/internal/core/dnszone"
)

// fleetArchive writes a configuration, an archive of several kinds, and serves the DNS of its mail.
func fleetArchive(t *testing.T) (dir, dns string) {
	t.Helper()
	dir = t.TempDir()
	var mbox strings.Builder
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 230 {
		m := fmt.Sprintf("Return-Path: <a@e.test>\nReceived: from out.test (out.test [192.0.2.%d])\n by mx.test with ESMTPS id 1; Mon, 2 Nov 2026 08:30:07 +0000\nFrom: a%d@%s.test\nMessage-ID: <%d@e.test>\n\nhello\n",
			1+i%4, i, []string{"e", "f", "exempt"}[i%3], i)
		fmt.Fprintf(&mbox, "From a@e.test Mon Nov  2 08:30:07 2026\n%s\n", m)
		if i < 60 {
			write(fmt.Sprintf("mail/box/cur/17620722%02d.M%d.host:2,S", i, i), m)
		}
	}
	write("mail/a.mbox", mbox.String())
	write("mail/1.eml", "not a message\n")
	write("mail/notes.txt", "x")
	write("postseal.toml", "authserv_id = \"mx.test\"\n[[exempt]]\nspf = \"e.test\"\nauthor = \"exempt.test\"\nwhy = \"a test\"\n[replies]\nreject = [\"No: {ref}\"]\n")
	zone, err := dnszone.Parse("e.test. 60 TXT \"v=spf1 ip4:192.0.2.1 -all\"\n_dmarc.e.test. 60 TXT \"v=DMARC1; p=reject\"\n_dmarc.f.test. 60 TXT \"v=DMARC1; p=quarantine\"\n_dmarc.exempt.test. 60 TXT \"v=DMARC1; p=reject\"\n")
	if err != nil {
		t.Fatal(err)
	}
	server, err := zone.Serve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return dir, server.Addr()
}

// varying is what differs from run to run: costs, and references, which are random.
var varying = regexp.MustCompile(`"(micros|ref)":("[^"]*"|\d+)|Ref [A-Z0-9-]+|ref=[A-Z0-9]+|No: [A-Z0-9]+`)

// TestReplayFleet: on one host, the results of replay --fleet are those of one process, in their order,
// and so is the history of --into. Later runs of the same command show them without any work.
func TestReplayFleet(t *testing.T) {
	t.Parallel()
	dir, dns := fleetArchive(t)
	run := func(want int, args ...string) (out, errs string) {
		t.Helper()
		var o, e bytes.Buffer
		base := []string{"--config", filepath.Join(dir, "postseal.toml"), "--resolver", dns, "--no-progress", "--now", "2026-11-20T00:00:00Z"}
		if code := Main(append(base, args...), strings.NewReader(""), &o, &e); code != want {
			t.Fatalf("%v: exit %d\n%s%s", args, code, &o, &e)
		}
		return o.String(), e.String()
	}
	mail, queue := filepath.Join(dir, "mail"), "sqlite:"+filepath.Join(dir, "store.db")
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return varying.ReplaceAllString(string(text), "")
	}
	replay := func(out string, more ...string) string {
		t.Helper()
		args := append([]string{"replay", "--received-by", "mx.test", "--format", "json", "--output", filepath.Join(dir, out), "--into", "sqlite:" + filepath.Join(dir, out+".db"), mail}, more...)
		text, _ := run(0, args...)
		var s map[string]any
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		delete(s, "cost")
		again, _ := json.Marshal(s)
		return string(again)
	}
	for _, kind := range []string{"", "--compact"} {
		more := func(flags ...string) []string {
			if kind == "" {
				return flags
			}
			return append(flags, kind)
		}
		want := replay("alone"+kind, more()...)
		got := replay("fleet"+kind, more("--fleet", "--store", queue)...)
		if got != want || !strings.Contains(want, `"verified":290`) || !strings.Contains(want, `"broken":1`) {
			t.Fatalf("the summary of several processes is\n%s\nof one\n%s", got, want)
		}
		wantLines, gotLines := read("alone"+kind), read("fleet"+kind)
		if gotLines != wantLines || strings.Count(wantLines, "\n") != 290 {
			for i, line := range strings.Split(gotLines, "\n") {
				if one := strings.Split(wantLines+strings.Repeat("\n", i), "\n")[i]; one != line {
					t.Fatalf("line %d of several processes is\n%s\nof one\n%s", i+1, line, one)
				}
			}
			t.Fatalf("%d lines", strings.Count(wantLines, "\n"))
		}
		history := func(name string) string {
			text, _ := run(0, "history", "--limit", "0", "--format", "csv", "--store", "sqlite:"+filepath.Join(dir, name+".db"))
			return text
		}
		if n := strings.Count(history("fleet"+kind), "\n"); n != 231 || n != strings.Count(history("alone"+kind), "\n") {
			t.Errorf("%d lines of history, want 231: some are there twice", n)
		}
		// From another place, after the mail is gone: the results are there.
		if err := os.Rename(mail, mail+"-gone"); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(mail, 0o755); err != nil {
			t.Fatal(err)
		}
		if replay("again"+kind, more("--fleet", "--store", queue, "--resume")...); read("again"+kind) != wantLines {
			t.Error("--resume shows other results")
		}
		if err := errors.Join(os.Remove(mail), os.Rename(mail+"-gone", mail)); err != nil {
			t.Fatal(err)
		}
		// An output that was cut off is continued.
		whole, err := os.ReadFile(filepath.Join(dir, "again"+kind))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "again"+kind), whole[:len(whole)/2], 0o600); err != nil {
			t.Fatal(err)
		}
		if got := replay("again"+kind, more("--fleet", "--store", queue, "--resume")...); !strings.Contains(got, `"verified":290`) || read("again"+kind) != wantLines {
			t.Error("the continued output differs")
		}
	}
}

// TestReplayFleetRefuses: what cannot be done by several processes is an error before anything is done.
func TestReplayFleetRefuses(t *testing.T) {
	t.Parallel()
	dir, dns := fleetArchive(t)
	for want, args := range map[string][]string{
		"cannot be used together": {"--zone", filepath.Join(dir, "z"), filepath.Join(dir, "mail")},
		"missing":                 {filepath.Join(dir, "missing")},
	} {
		var o, e bytes.Buffer
		all := append([]string{"replay", "--fleet", "--store", "sqlite:" + filepath.Join(dir, "s.db")}, args...)
		if want == "missing" {
			all = append(all, "--resolver", dns)
		} else if err := os.WriteFile(args[1], nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if code := Main(all, strings.NewReader(""), &o, &e); code == 0 || !strings.Contains(e.String(), want) {
			t.Errorf("%v: exit %d, %s", args, code, &e)
		}
	}
}

// TestUnseenMail: a worker that does not find the mail, or finds other mail under its path, leaves it to
// others and says so; one that finds some takes the rest as gone.
func TestUnseenMail(t *testing.T) {
	t.Parallel()
	dir, dns := fleetArchive(t)
	mail := filepath.Join(dir, "mail", "a.mbox")
	var all mailbox.Archive
	all.Paths = []string{mail}
	var places []mailbox.Place
	for p := range all.Places() {
		places = append(places, p)
	}
	spec := `{"roots":["/mail"],"policies":["strict"],"now":"2026-11-20T00:00:00Z"}`
	chunk := func(places ...mailbox.Place) *fleet.Chunk {
		return &fleet.Chunk{Work: fleet.Work{ID: "w", Kind: replayKind, Spec: spec}, Items: placesJSON(places), Attempts: 1}
	}
	text, err := os.ReadFile(mail)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		content string // "" for none
		ok      bool
	}{
		"the same":   {string(text), true},
		"grown":      {string(text) + "\nFrom a@e.test Mon Nov  2 08:30:07 2026\nFrom: x@e.test\n\nx\n", true},
		"other mail": {strings.ReplaceAll(string(text), "From a@e.test", "From other@e.test"), false},
		"shifted":    {"From x\n\n" + string(text), false},
		"nothing":    {"", false},
	} {
		if err := os.WriteFile(mail, []byte(test.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if test.content == "" {
			if err := os.Remove(mail); err != nil {
				t.Fatal(err)
			}
		}
		var errs bytes.Buffer
		a := &app{stderr: &errs, config: conf.Default()}
		a.flags.resolvers, a.flags.dnsTimeout = []string{dns}, time.Second
		w := &worker{app: a, flags: &auditFlags{}}
		list, ok := w.replayed(t.Context(), chunk(places[10], places[11]))
		if ok != test.ok || ok && len(list) != 2 || strings.Contains(errs.String(), "does not see the mail") == test.ok || (len(w.unseen()) == 1) == test.ok {
			t.Errorf("%s: %v, %d results, unseen %v: %s", name, ok, len(list), w.unseen(), &errs)
		}
		if test.ok {
			os.Remove(mail)
			list, ok = w.replayed(t.Context(), chunk(places[20]))
			if !ok || len(list) != 1 || !strings.Contains(list[0], "the archive changed") {
				t.Errorf("%s: gone: %v %q", name, ok, list)
			}
		}
		a.client.Close()
	}
}

// TestAuditFleetHere: on one host, audit --fleet does the work itself, in the order of the list.
func TestAuditFleetHere(t *testing.T) {
	t.Parallel()
	dir, dns := fleetArchive(t)
	list := filepath.Join(dir, "domains.txt")
	var names strings.Builder
	for i := range 120 {
		fmt.Fprintf(&names, "d%d.test\n", i)
	}
	if err := os.WriteFile(list, []byte("e.test\nf.test\n"+names.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	audit := func(more ...string) (domains []string) {
		t.Helper()
		var o, e bytes.Buffer
		args := append([]string{"audit", "-f", list, "--resolver", dns, "--format", "jsonl", "--no-progress", "--fail-on", "never"}, more...)
		if code := Main(args, strings.NewReader(""), &o, &e); code != 2 { // most of them do not exist
			t.Fatalf("%v: exit %d, %s", more, code, &e)
		}
		for line := range strings.Lines(o.String()) {
			var x struct{ Domain, Grade string }
			if err := json.Unmarshal([]byte(line), &x); err != nil {
				t.Fatal(err)
			}
			domains = append(domains, x.Domain+" "+x.Grade)
		}
		return domains
	}
	address := "sqlite:" + filepath.Join(dir, "store.db")
	if code := Main([]string{"replay", "--resolver", dns, "--no-progress", "--into", address, filepath.Join(dir, "mail", "box")}, strings.NewReader(""), io.Discard, io.Discard); code != 0 {
		t.Fatalf("the history cannot be made: exit %d", code)
	}
	want := audit()
	got := audit("--fleet", "--store", address)
	if len(want) != 122 || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%d results, and %d of one process:\n%q\n%q", len(got), len(want), got, want)
	}
}

// TestAuditFleetWithoutHistory: audit --fleet works where no daemon has written a history, and says what is
// wrong with a directory that does not exist.
func TestAuditFleetWithoutHistory(t *testing.T) {
	t.Parallel()
	dir, dns := fleetArchive(t)
	list := filepath.Join(dir, "list")
	if err := os.WriteFile(list, []byte("e.test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	audit := func(path string) (code int, out, errs string) {
		var o, e bytes.Buffer
		code = Main([]string{"--resolver", dns, "--no-progress", "audit", "-f", list, "--fleet", "--store", "sqlite:" + filepath.Join(dir, path), "--format", "jsonl", "--fail-on", "never"}, strings.NewReader(""), &o, &e)
		return code, o.String(), e.String()
	}
	if code, out, errs := audit("new.db"); code != 0 || !strings.Contains(out, `"domain":"e.test"`) {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if code, _, errs := audit("none/new.db"); code != exitCreate || !strings.Contains(errs, "a directory that exists") {
		t.Errorf("exit %d: %s", code, errs)
	}
}
