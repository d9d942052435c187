package replay

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"postseal"
	"postseal/internal/app/clients"
	"postseal/internal/app/mailbox"
	"postseal/internal/app/received"
	"postseal/lab/reference"
	"postseal/message"
	"postseal/resolver"
	"postseal/resolver/dnstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	key = reference.Ed25519("replay")
	now = time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
)

const receivedAt = "Mon, 2 Nov 2026 08:30:07 +0000"

// delivered is a message as our server stored it.
func delivered(ip, path, rest string) string {
	return "Return-Path: <" + path + ">\r\nReceived: from out.test (out.test [" + ip + "])\r\n by mx.test with ESMTPS id 1; " + receivedAt + "\r\n" + rest
}

func signed(text string) string {
	return reference.DKIM("e.test", "s", key).Sign(text)
}

const plain = "From: a@e.test\r\nTo: b@r.test\r\nSubject: x\r\nDate: " + receivedAt + "\r\n\r\nhello\r\n"

var zoneText = "e.test. 60 MX 10 mx.e.test.\nmx.e.test. 60 A 192.0.2.1\ne.test. 60 TXT \"v=spf1 ip4:192.0.2.1 -all\"\n_dmarc.e.test. 60 TXT \"v=DMARC1; p=reject\"\n" +
	"s._domainkey.e.test. 60 TXT " + reference.TXT(reference.Record(key)) + "\n; FAULT _dmarc.down.test TXT TIMEOUT\n" +
	"talk.test. 60 TXT \"v=spf1 ip4:198.51.100.1 -all\"\n"

func options(t testing.TB) Options {
	t.Helper()
	zone, err := dnstest.Parse(zoneText)
	if err != nil {
		t.Fatal(err)
	}
	return optionsOf(t, zone)
}

func optionsOf(t testing.TB, r resolver.Resolver) Options {
	t.Helper()
	return optionsWith(t, postseal.Config{Resolver: r, AuthservID: "mx.test"})
}

func optionsWith(t testing.TB, c postseal.Config) Options {
	t.Helper()
	v, err := postseal.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return Options{Verifier: v, ReceivedBy: "mx.test", Now: now, Workers: 2, Policies: []Policy{
		{"guarded", &postseal.EnforcePolicy{Mode: postseal.Guarded}}, {"strict", &postseal.EnforcePolicy{Mode: postseal.Strict}},
		{"quarantine", &postseal.EnforcePolicy{Mode: postseal.EnforceQuarantine}}, {"observe", &postseal.EnforcePolicy{Mode: postseal.Observe}}},
		Clients: clients.New(clients.Config{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}),
		Encode: func(r *postseal.Report, _ *Record) ([]byte, error) {
			if len(r.DKIM) == 0 {
				return []byte(r.DMARC.Code), nil
			}
			return []byte(string(r.DMARC.Code) + " dkim=" + string(r.DKIM[0].Code)), nil
		}}
}

func run(t testing.TB, o Options, messages ...mailbox.Message) []Result {
	t.Helper()
	return slices.Collect(Run(t.Context(), slices.Values(messages), o))
}

func applied(d Decisions, policy string) postseal.Action {
	one, _ := d.Of(policy)
	return one.Applied
}

// describe is a result in one line.
func describe(r *Result) string {
	if r.Record == nil {
		return fmt.Sprintf("%s %v", r.Outcome, r.Err)
	}
	f := r.Record.Replay
	dmarc, _, _ := strings.Cut(string(r.Line), " ")
	line := fmt.Sprintf("%s → %s %s", f.Sender, f.Author, dmarc)
	for _, p := range []string{"guarded", "strict", "quarantine", "observe"} {
		line += " " + string(applied(r.Record.Policies, p))
	}
	line += fmt.Sprintf(" was %s (%s) %s; %s", f.Was.Action, f.Was.Source, f.Looks, strings.Join(f.Evidence, ", "))
	if f.Undecided != "" {
		line += "; undecided: " + f.Undecided
	}
	return line
}

func TestRecords(t *testing.T) {
	expired := reference.DKIM("e.test", "s", key).With("v=1;", "v=1; x=1793608300;").Sign(plain) // ten seconds after receipt
	gone := reference.DKIM("e.test", "gone", key).Sign(plain)
	listed := strings.Replace(signed(plain), "hello\r\n", "hello\r\n_____\r\nlist footer\r\n", 1)
	for _, test := range []struct{ name, text, want string }{
		{"passes", delivered("192.0.2.1", "a@e.test", signed(plain)),
			"192.0.2.0/24 → e.test pass accept accept accept accept was accept (delivered) legitimate; DKIM pass, SPF pass"},
		{"a signature that ended since", delivered("198.51.100.1", "", expired),
			"198.51.100.0/24 → e.test pass accept accept accept accept was accept (delivered) legitimate; DKIM pass, SPF none"},
		{"forged", delivered("203.0.113.7", "a@e.test", plain),
			"203.0.113.0/24 → e.test fail reject reject quarantine accept was accept (delivered) forged; no DKIM, SPF fail"},
		{"a list, proved", delivered("198.51.100.1", "x@lists.test", "List-Id: Talk <Talk.lists.test>\r\n"+listed),
			"talk.lists.test → e.test fail quarantine reject quarantine accept was accept (delivered) legitimate; List-Id, DKIM broken: list-footer, SPF none"},
		{"says that it is a list", delivered("203.0.113.7", "x@lists.test", "List-Id: <talk.lists.test>\r\n"+plain),
			"talk.lists.test → e.test fail reject reject quarantine accept was accept (delivered) unclear; List-Id, no DKIM, SPF none"},
		{"key gone, as our own results show", delivered("198.51.100.1", "", "Authentication-Results: mx.test; dkim=pass header.d=e.test; dmarc=pass\r\n"+gone),
			"198.51.100.0/24 → e.test fail quarantine reject quarantine accept was accept (Authentication-Results) unclear; DKIM permerror, SPF none; undecided: key gone from DNS since receipt"},
		{"key missing then", delivered("198.51.100.1", "", "Authentication-Results: mx.test; dkim=permerror header.d=e.test; dmarc=fail (p=reject dis=quarantine)\r\n"+gone),
			"198.51.100.0/24 → e.test fail quarantine reject quarantine accept was quarantine (Authentication-Results) unclear; DKIM permerror, SPF none"},
		{"key missing, time unknown", delivered("198.51.100.1", "", gone),
			"198.51.100.0/24 → e.test fail quarantine reject quarantine accept was accept (delivered) unclear; DKIM permerror, SPF none; undecided: key not in DNS today, and no record of it at receipt"},
		{"our own verdict", delivered("2001:db8:1:2::3", "a@e.test", "X-Postseal-Verdict: quarantine; ref=1\r\n"+plain),
			"2001:db8:1::/48 → e.test fail reject reject quarantine accept was quarantine (X-Postseal-Verdict) forged; no DKIM, SPF fail"},
		{"DNS trouble", delivered("192.0.2.1", "", strings.Replace(plain, "e.test", "down.test", 1)),
			"192.0.2.0/24 → down.test temperror accept accept accept accept was accept (delivered) unclear; no DKIM, SPF none; undecided: DNS timeout"},
		{"of our own users", strings.Replace(delivered("203.0.113.7", "a@e.test", plain), "ESMTPS", "ESMTPSA", 1), "unchecked <nil>"},
		{"of this host", delivered("127.0.0.1", "a@e.test", plain), "unchecked <nil>"},
		{"never came from outside", plain, "elsewhere no Received field is stamped by mx.test"},
		{"no message", "hello\r\n", "broken has no header fields, so it is not a message"},
	} {
		got := run(t, options(t), mailbox.Message{Name: test.name, Raw: []byte(test.text)})
		if line := describe(&got[0]); line != test.want {
			t.Errorf("%s:\n got  %s\n want %s", test.name, line, test.want)
		}
	}
}

// TestReadings: in an mbox a signature tells which of the readings was sent.
func TestReadings(t *testing.T) {
	body := func(text string) string { return strings.Replace(plain, "hello\r\n", text, 1) }
	sent := map[string]string{
		"quoted by the archive": "From here\r\n>From there\r\n",
		"quoted by the author":  ">From here\r\n",
		"deep, mboxo":           ">>From here\r\nFrom there\r\n",
	}
	stored := map[string]string{
		"quoted by the archive": ">From here\r\n>>From there\r\n", // mboxrd
		"quoted by the author":  ">From here\r\n",
		"deep, mboxo":           ">>From here\r\n>From there\r\n",
	}
	for name, was := range sent {
		text := strings.Replace(delivered("198.51.100.1", "", signed(body(was))), was, stored[name], 1)
		for mbox, want := range map[bool]string{true: "pass", false: "fail"} {
			got := run(t, options(t), mailbox.Message{Raw: []byte(strings.ReplaceAll(text, "\r\n", "\n")), Mbox: mbox})
			if name == "quoted by the author" {
				want = "pass"
			}
			if result := string(got[0].Line); !strings.HasSuffix(result, "dkim="+want) {
				t.Errorf("%s, mbox %v: %s, want dkim=%s", name, mbox, result, want)
			}
		}
	}
}

// TestBelow: what the engine sees is what it saw at the end of DATA, so that its own hop is not
// a forwarder's.
func TestBelow(t *testing.T) {
	text := delivered("192.0.2.1", "a@e.test", plain)
	for name, test := range map[string]struct{ text, want string }{
		"ours removed":      {text, plain},
		"after an old mark": {"From a@b.test Mon Nov  2 08:30:07 2026\r\n" + text, plain},
		"nothing below":     {"Received: from a (a [192.0.2.1]) by mx.test\r\n\r\nx", "Received: from a (a [192.0.2.1]) by mx.test\r\n\r\nx"},
	} {
		o := options(t)
		w := worker{Options: &o}
		body, err := readHeader(&w.header, []byte(test.text))
		if err != nil {
			t.Fatal(err)
		}
		report, err := w.run(t.Context(), body, &received.Delivery{Field: w.header.Index("Received")})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for i := range report.Header.Len() {
			got += string(report.Header.At(i).Raw) + "\r\n"
		}
		if got += "\r\n" + string(body); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

// TestLargeHeader: a header section over a limit of the engine is the verdict's to tell, also
// when the fields below the limit would pass.
func TestLargeHeader(t *testing.T) {
	text := delivered("192.0.2.1", "a@e.test", strings.Repeat("X: y\r\n", message.DefaultFields)+plain)
	if got := run(t, options(t), mailbox.Message{Raw: []byte(text)}); got[0].Outcome != Verified || string(got[0].Line) != "permerror" ||
		applied(got[0].Record.Policies, "strict") != postseal.Reject {
		t.Errorf("%s, %s", got[0].Line, describe(&got[0]))
	}
}

// TestRun: results come in the order of the archive, what is done or old is skipped, and the
// bytes in flight are bounded.
func TestRun(t *testing.T) {
	const n = 300
	archive := func(yield func(mailbox.Message) bool) {
		for i := range n {
			m := mailbox.Message{Name: fmt.Sprint(i), Size: 1, Raw: []byte(delivered("192.0.2.1", "a@e.test", plain))}
			if i%10 == 3 {
				m = mailbox.Message{Name: fmt.Sprint(i), Err: mailbox.ErrTooLarge}
			}
			if !yield(m) {
				return
			}
		}
	}
	o := options(t)
	o.Workers = 7
	o.Done = func(name string) bool { return strings.HasSuffix(name, "5") }
	s := NewSummary(o.Policies)
	i := 0
	for r := range Run(t.Context(), archive, o) {
		if r.Name != fmt.Sprint(i) {
			t.Fatalf("result %d is of %s", i, r.Name)
		}
		s.Add(&r)
		i++
	}
	s.Finish()
	if i != n || s.Verified != 240 || s.Passed[Done] != 30 || s.Passed[Broken] != 30 || s.Broken[0] != "3: is too large" {
		t.Errorf("%d results: %+v", i, s)
	}
	o.Since = now
	if got := run(t, o, mailbox.Message{Name: "x", Raw: []byte(delivered("192.0.2.1", "a@e.test", plain))}); got[0].Outcome != Old {
		t.Errorf("from before --since: %v", got[0].Outcome)
	}
}

// TestSpread: as many messages as there are workers are verified at the same time, since each may
// wait for the DNS.
func TestSpread(t *testing.T) {
	o := options(t)
	o.Workers = 40
	var all sync.WaitGroup
	all.Add(o.Workers)
	o.Encode = func(*postseal.Report, *Record) ([]byte, error) {
		all.Done()
		all.Wait()
		return nil, nil
	}
	archive := slices.Repeat([]mailbox.Message{{Raw: []byte(delivered("192.0.2.1", "a@e.test", plain))}}, o.Workers)
	if got := run(t, o, archive...); len(got) != o.Workers || got[o.Workers-1].Outcome != Verified {
		t.Errorf("%d results", len(got))
	}
}

// TestInterrupt: what ends early leaves nothing running and gives no result of a message
// whose questions were cut off.
func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	forever := func(yield func(mailbox.Message) bool) {
		for yield(mailbox.Message{Raw: []byte(delivered("192.0.2.1", "a@e.test", plain))}) {
		}
	}
	n := 0
	for r := range Run(ctx, forever, options(t)) {
		if r.Outcome != Verified || !strings.HasPrefix(string(r.Line), "pass") {
			t.Errorf("result %d: %s", n, describe(&r))
		}
		if n++; n == 20 {
			cancel()
		}
	}
	if n != 20 {
		t.Errorf("%d results, want 20", n)
	}
	for range Run(t.Context(), forever, options(t)) {
		break
	}
}

func TestSummary(t *testing.T) {
	o := options(t)
	s := NewSummary(o.Policies)
	for i, text := range []string{delivered("192.0.2.1", "a@e.test", plain), delivered("203.0.113.7", "a@e.test", plain), delivered("203.0.113.8", "a@e.test", plain),
		delivered("198.51.100.1", "x@talk.test", "List-Id: <talk.lists.talk.test>\r\n"+plain)} {
		for _, r := range run(t, o, mailbox.Message{Name: fmt.Sprint(i), Raw: []byte(text)}) {
			s.Add(&r)
		}
	}
	s.Finish()
	want := []Count{{"guarded", 1, 1, 2, 0, 3}, {"strict", 1, 0, 3, 0, 3}, {"quarantine", 1, 3, 0, 0, 3}, {"observe", 4, 0, 0, 0, 0}}
	if diff := cmp.Diff(want, s.Policies); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	g := s.Groups["guarded"]
	if len(g) != 2 || g[0].Sender != "203.0.113.0/24" || g[0].Reject != 2 || g[0].Looks != Forged || g[1].Sender != "talk.lists.talk.test" || s.Strictest() != "strict" {
		t.Errorf("groups of guarded: %+v %+v; strictest %s", g[0], g[1:], s.Strictest())
	}
	for i := range 2 * maxGroups { // senders without end take no memory without end
		r := &Record{Policies: Decisions{{"guarded", postseal.Decision{Applied: postseal.Reject}}}, Replay: Facts{Sender: fmt.Sprint(i)}}
		s.Count(r)
	}
	if len(s.groups) > maxGroups+len(s.Policies) {
		t.Errorf("%d groups", len(s.groups))
	}
}

// writeArchive makes an mbox of n small signed messages.
func writeArchive(t testing.TB, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive.mbox")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(signed(strings.Replace(plain, "hello\r\n", strings.Repeat("some words of a small message\r\n", 40), 1)), "\r\n", "\n")
	for i := range n {
		fmt.Fprintf(f, "From a@e.test Mon Nov  2 08:30:07 2026\n%s", strings.ReplaceAll(delivered(fmt.Sprintf("192.0.2.%d", i%250), "a@e.test", text), "\r\n", "\n"))
		io.WriteString(f, "\n")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestMemory: an archive four times as large takes no more memory.
func TestMemory(t *testing.T) {
	o := options(t)
	peak := func(n int) (most uint64) {
		archive := &mailbox.Archive{Paths: []string{writeArchive(t, n)}}
		s := NewSummary(o.Policies)
		for r := range Run(t.Context(), archive.Messages(), o) {
			s.Add(&r)
			if s.Verified%(n/8) == 0 {
				least := uint64(math.MaxUint64)
				for range 3 { // the workers continue between GC and the reading
					runtime.GC()
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					least = min(least, m.HeapAlloc)
				}
				most = max(most, least)
			}
		}
		if s.Verified != n || s.Policies[0].Accept != n {
			t.Fatalf("%d of %d verified: %+v", s.Verified, n, s.Policies)
		}
		return most
	}
	peak(200)
	// How much of the window is filled depends on what else the machine does: what grows with
	// the archive does so each time.
	small, large := peak(1000), peak(4000)
	for range 3 {
		if large > small+small/4+1<<20 {
			small, large = max(small, peak(1000)), min(large, peak(4000))
		}
	}
	t.Logf("heap in use: %.2f MiB over 1,000 messages, %.2f MiB over 4,000", float64(small)/(1<<20), float64(large)/(1<<20))
	if large > small+8<<20 {
		t.Errorf("heap grows with the archive: %d over 1,000 messages, %d over 4,000", small, large)
	}
}

// benchSizes are the octets of a body.
var benchSizes = []int{1 << 10, 10 << 10, 100 << 10}

// benchKey is of the kind that most mail is signed with.
var benchKey = sync.OnceValue(func() crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func benchText(size int) string {
	return delivered("192.0.2.1", "a@e.test", reference.DKIM("e.test", "lab/bench", benchKey()).Sign(strings.Replace(plain, "hello\r\n", strings.Repeat("The quick brown fox jumps over the lazy dog, and then some more words.\r\n", size/72), 1)))
}

// BenchmarkReplay is a message of an archive in the page cache, from the disk to its record.
func BenchmarkReplay(b *testing.B) {
	for _, size := range benchSizes {
		for name, write := range map[string]func(*testing.B, string) string{"maildir": writeMaildir, "mbox": writeLargeMbox} {
			path := sync.OnceValue(func() string { return write(b, strings.ReplaceAll(benchText(size), "\r\n", "\n")) })
			b.Run(fmt.Sprintf("%s/%dKB", name, size>>10), func(b *testing.B) {
				o := benchOptions(b, postseal.Config{NoHeaders: true})
				archive := &mailbox.Archive{Paths: slices.Repeat([]string{path()}, b.N/benchMessages+1)}
				done := 0
				b.ReportAllocs()
				b.ResetTimer()
				for r := range Run(context.Background(), archive.Messages(), o) {
					if r.Outcome != Verified || applied(r.Record.Policies, "strict") != postseal.Accept {
						b.Fatal(r.Outcome, r.Err)
					}
					if done++; done == b.N {
						break
					}
				}
			})
		}
	}
}

// benchMessages are those of a folder, which is read again and again.
const benchMessages = 2000

func writeMaildir(b *testing.B, text string) string {
	dir := filepath.Join(b.TempDir(), "cur")
	if err := os.Mkdir(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	for i := range benchMessages {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.a.mx:2,S", i)), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}

func writeLargeMbox(b *testing.B, text string) string {
	path := filepath.Join(b.TempDir(), "mbox")
	if err := os.WriteFile(path, []byte(strings.Repeat("From a@e.test Mon Nov  2 08:30:07 2026\n"+text+"\n", benchMessages)), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// BenchmarkEngine is the verification alone of the same message, on as many processors: as it
// is stored, with LF, and as SMTP has it.
func BenchmarkEngine(b *testing.B) {
	for _, size := range benchSizes {
		for name, text := range map[string]string{"stored": strings.ReplaceAll(benchText(size), "\r\n", "\n"), "smtp": benchText(size)} {
			b.Run(fmt.Sprintf("%s/%dKB", name, size>>10), func(b *testing.B) {
				o, octets := benchOptions(b, postseal.Config{}), []byte(text)
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						var r io.Reader = bytes.NewReader(octets)
						if name == "stored" {
							r = message.NewCRLFReader(r)
						}
						s := o.Verifier.Session(context.Background(), postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.1:25")})
						if _, err := s.Verify(context.Background(), "a@e.test", nil, r); err != nil {
							b.Fatal(err)
						}
					}
				})
			})
		}
	}
}

// benchOptions are those of a replay that writes no objects.
func benchOptions(b *testing.B, c postseal.Config) Options {
	zone, err := dnstest.Parse(zoneText + "bench._domainkey.e.test. 60 TXT " + reference.TXT(reference.Record(benchKey())) + "\n")
	if err != nil {
		b.Fatal(err)
	}
	c.Resolver, c.AuthservID = resolver.NewCache(zone, resolver.CacheOptions{}), "mx.test"
	o := optionsWith(b, c)
	o.Workers, o.Encode, o.Policies = runtime.GOMAXPROCS(0), nil, o.Policies[:2]
	return o
}
