package milter

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"postseal/resolver/dnstest"
	"postseal/server/listener"
)

// TestNegotiation: of what we want we take that which is offered, whatever it is.
func TestNegotiation(t *testing.T) {
	s := start(t, "[dmarc]\nquarantine_with = 'hold'")
	for _, test := range []struct {
		name                    string
		version, actions, steps uint32
		want                    terms
		macros                  bool
	}{
		{"Postfix", 6, 0x1ff, 0x1fffff, terms{6, 0x131, wanted}, true},
		{"a later version", 7, 0x1ff, 0x1fffff, terms{6, 0x131, wanted}, true},
		{"Sendmail 8.13", 2, 0x3f, 0x7f, terms{2, 0x31, 0}, false},
		{"no header changes", 6, 0x100, 0x1fffff, terms{6, 0x100, wanted}, true},
		{"no leading space", 6, 0x1ff, 0xfffff, terms{6, 0x131, wanted &^ leadingSpace}, true},
		{"nothing", 6, 0, 0, terms{6, 0, 0}, false},
	} {
		m := dial(t, s)
		m.version, m.actions, m.steps = test.version, test.actions, test.steps
		m.negotiate()
		if m.agreed != test.want {
			t.Errorf("%s: agreed to %+v, want %+v", test.name, m.agreed, test.want)
		}
		if (m.asked != "") != test.macros {
			t.Errorf("%s: macros asked for: %q", test.name, m.asked)
		}
		m.client("192.0.2.1")
		got := m.message("b@quarantine.test", quarantined)
		if n := len(got); got[n-1] != "c" || (n > 1) != (test.want.actions&addHeaders != 0) {
			t.Errorf("%s: %q", test.name, got)
		}
	}
	if !strings.Contains(s.logged(), `missing="adding header fields, removing forged header fields, quarantine`) {
		t.Errorf("the log does not say what is missing:\n%s", s.log)
	}
}

// signer signs with c=simple/simple, which any octet changed would break.
func signer(t testing.TB) (sign func(string) string, zone string) {
	t.Helper()
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) // the same in each process of a fuzzer
	public := private.Public().(ed25519.PublicKey)
	record := "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)
	return func(message string) string {
		var b bytes.Buffer
		options := &dkim.SignOptions{Domain: "signed.test", Selector: "s", Signer: private, HeaderCanonicalization: dkim.CanonicalizationSimple,
			BodyCanonicalization: dkim.CanonicalizationSimple, HeaderKeys: []string{"From", "Subject", "X-Odd", "X-None", "X-Tab"}}
		if err := dkim.Sign(&b, strings.NewReader(strings.ReplaceAll(message, "\n", "\r\n")), options); err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(b.String(), "\r\n", "\n")
	}, fmt.Sprintf("s._domainkey.signed.test. 60 TXT %q\n_dmarc.signed.test. 60 TXT \"v=DMARC1; p=reject\"\n", record)
}

// TestOctets: a c=simple signature holds over odd white space, which proves that each field
// is put together as it was (RFC 6376 §3.4.1); without the leading space it holds as long
// as the usual one space was there.
func TestOctets(t *testing.T) {
	sign, zone := signer(t)
	names, err := dnstest.Parse(zone)
	if err != nil {
		t.Fatal(err)
	}
	s := startWith(t, names, "")
	odd := sign("From: a@signed.test\nSubject:  two spaces,\n\t  a fold \n second\nX-Odd:none\nX-None:\nX-Tab:\ttab\t\n\n body \n\n\n")
	plain := sign("From: a@signed.test\nSubject: one\n fold\n\nbody\n")
	for _, test := range []struct {
		name, message string
		steps         uint32
		want          string
	}{
		{"odd", odd, 0x1fffff, "dkim=pass:signed.test/s"},
		{"odd, no leading space", odd, 0xfffff, "dkim=fail:signed.test/s(SignatureMismatch)"},
		{"plain, no leading space", plain, 0xfffff, "dkim=pass:signed.test/s"},
		{"plain, lockstep", plain, 0x7f, "dkim=pass:signed.test/s"},
	} {
		m := dial(t, s)
		m.steps = test.steps
		m.negotiate()
		m.client("192.0.2.1")
		before := len(s.logged())
		m.message("b@signed.test", test.message)
		if line := s.logged()[before:]; !strings.Contains(line, test.want) {
			t.Errorf("%s: want %s in %s", test.name, test.want, line)
		}
	}
}

// TestBodyPieces: however the body is cut, also with its last piece in the end of the
// message, the verdict is the same.
func TestBodyPieces(t *testing.T) {
	sign, zone := signer(t)
	names, err := dnstest.Parse(zone)
	if err != nil {
		t.Fatal(err)
	}
	s := startWith(t, names, "")
	header, body, _ := strings.Cut(sign("From: a@signed.test\n\n"+strings.Repeat("line \n", 5)), "\n\n")
	body = strings.ReplaceAll(body, "\n", "\r\n")
	m := connect(t, s, "192.0.2.1")
	for i := range len(body) + 1 {
		m.envelope("b@signed.test")
		m.content(header + "\n\n")
		m.tell('B', body[:i])
		m.send('E', body[i:])
		for r := ""; r != "c"; {
			if r, err = m.read(); err != nil || r[0] == 'y' {
				t.Fatalf("cut at %d: %q, %v", i, r, err)
			}
		}
	}
	if n := strings.Count(s.logged(), "dkim=pass"); n != len(body)+1 {
		t.Errorf("%d of %d passed", n, len(body)+1)
	}
}

// TestLargeChunk: a body chunk that is taken in pieces has one answer, also as the last piece of
// the message.
func TestLargeChunk(t *testing.T) {
	sign, zone := signer(t)
	names, err := dnstest.Parse(zone)
	if err != nil {
		t.Fatal(err)
	}
	s := startWith(t, names, "")
	m := dial(t, s)
	m.steps = 0 // each command is answered
	m.negotiate()
	m.client("192.0.2.1")
	for _, size := range []int{bodyPiece - 1, bodyPiece, bodyPiece + 1, 3*bodyPiece + 7} {
		m.envelope("b@signed.test")
		m.content(sign("From: a@signed.test\n\n" + strings.Repeat("line \n", size/7) + strings.Repeat("x", size%7) + "\n"))
		if replies := m.end(); replies[len(replies)-1] != "c" {
			t.Fatalf("%d octets: %q", size, replies)
		}
	}
	if n := strings.Count(s.logged(), "dkim=pass"); n != 4 {
		t.Errorf("%d of 4 passed", n)
	}
}

// TestWrongPackets: each ends its session with a temporary failure, is counted by its
// kind, and leaves every other session alone.
func TestWrongPackets(t *testing.T) {
	begin := func(m *mta) { m.negotiate(); m.client("192.0.2.1") }
	inMail := func(m *mta) { begin(m); m.tell('M', "<a@pass.test>\x00") }
	for _, test := range []struct {
		name, kind string
		prepare    func(*mta)
		raw        string // octets; or else a packet of c and data
		c          byte
		data       string
	}{
		{"length 0", "malformed", begin, "\x00\x00\x00\x00", 0, ""},
		{"length 512 MiB", "oversized", begin, "\x20\x00\x00\x00B", 0, ""},
		{"length over 2 GiB", "oversized", begin, "\xff\xff\xff\xffB", 0, ""},
		{"HTTP", "oversized", func(*mta) {}, "GET / HTTP/1.1\r\n\r\n", 0, ""},
		{"no negotiation", "order", func(*mta) {}, "", 'C', "x\x004\x00\x19192.0.2.1\x00"},
		{"short offer", "negotiation", func(*mta) {}, "", 'O', "\x00\x00\x00\x06"},
		{"version 1", "negotiation", func(*mta) {}, "", 'O', "\x00\x00\x00\x01\x00\x00\x01\xff\x00\x1f\xff\xff"},
		{"negotiation twice", "malformed", begin, "", 'O', "\x00\x00\x00\x06\x00\x00\x01\xff\x00\x1f\xff\xff"},
		{"unknown command", "malformed", begin, "", 'Z', ""},
		{"no NUL in MAIL", "malformed", begin, "", 'M', "<a@b>"},
		{"empty MAIL", "malformed", begin, "", 'M', ""},
		{"empty HELO", "malformed", begin, "", 'H', ""},
		{"empty RCPT", "malformed", inMail, "", 'R', ""},
		{"empty connection", "malformed", begin, "", 'C', ""},
		{"connection, no family", "malformed", begin, "", 'C', "x\x00"},
		{"connection, no port", "malformed", begin, "", 'C', "x\x004"},
		{"connection, no address", "malformed", begin, "", 'C', "x\x004\x00\x19"},
		{"connection, not an address", "malformed", begin, "", 'C', "x\x004\x00\x19300.1.1.1\x00"},
		{"connection, unknown family", "malformed", begin, "", 'C', "x\x00X\x00\x19192.0.2.1\x00"},
		{"macros, no command", "malformed", begin, "", 'D', ""},
		{"macros, odd", "malformed", begin, "", 'D', "Mi\x00"},
		{"macros, no NUL", "malformed", begin, "", 'D', "Mi\x00x"},
		{"header, one string", "malformed", inMail, "", 'L', "From\x00"},
		{"header, three strings", "malformed", inMail, "", 'L', "From\x00 a\x00b\x00"},
		{"header outside a message", "order", begin, "", 'L', "From\x00 a\x00"},
		{"body outside a message", "order", begin, "", 'B', "x"},
		{"end outside a message", "order", begin, "", 'E', ""},
		{"RCPT outside a message", "order", begin, "", 'R', "<a@b>\x00"},
		{"header within the body", "order", func(m *mta) { inMail(m); m.tell('N', "") }, "", 'L', "From\x00 a\x00"},
		{"header ends twice", "order", func(m *mta) { inMail(m); m.tell('N', "") }, "", 'N', ""},
	} {
		s := start(t, "")
		other, m := connect(t, s, "192.0.2.1"), dial(t, s)
		test.prepare(m)
		if test.raw != "" {
			io.WriteString(m.conn, test.raw)
		} else {
			m.send(test.c, test.data)
		}
		if r, err := m.read(); r != "t" {
			t.Errorf("%s: got %q, %v, want a temporary failure", test.name, r, err)
		}
		m.conn.Close()
		if got := other.message("b@pass.test", passes); got[len(got)-1] != "c" {
			t.Errorf("%s: another session: %q", test.name, got)
		}
		other.conn.Close()
		s.Close()
		if got := testutil.ToFloat64(s.engine.Metrics.Listeners[listener.Milter].Errors.WithLabelValues(test.kind)); got != 1 {
			t.Errorf("%s: errors{kind=%q} = %v, want 1\n%s", test.name, test.kind, got, s.log)
		}
	}
}

// TestLinger: the temporary failure reaches an MTA that is still sending.
func TestLinger(t *testing.T) {
	s := start(t, "")
	m := connect(t, s, "192.0.2.1")
	m.envelope("b@pass.test")
	m.send('Z', "")
	for range 20 {
		m.send('B', strings.Repeat("x", 65535))
	}
	m.send('E', "")
	if r, err := m.read(); r != "t" {
		t.Errorf("got %q, %v, want a temporary failure", r, err)
	}
}

// TestPanic: a bug ends the session with a temporary failure, never the process.
func TestPanic(t *testing.T) {
	s := start(t, "")
	m := connect(t, s, "192.0.2.1")
	broken := *s.engine.Current()
	broken.Clients = nil // makes MAIL panic
	good := s.engine.Current()
	s.engine.Swap(&broken)
	m.send('M', "<a@pass.test>\x00")
	if r, err := m.read(); r != "t" {
		t.Errorf("got %q, %v, want a temporary failure", r, err)
	}
	m.conn.Close()
	s.engine.Swap(good)
	other := connect(t, s, "192.0.2.1")
	if got := other.message("b@pass.test", passes); got[len(got)-1] != "c" {
		t.Errorf("another session: %q", got)
	}
	if got := testutil.ToFloat64(s.engine.Metrics.Panics); got != 1 {
		t.Errorf("panics_total = %v, want 1", got)
	}
}

// TestCutAnywhere: the MTA goes away after each octet of a session. Nothing is left.
func TestCutAnywhere(t *testing.T) {
	s := start(t, "")
	session := wholeSession()
	for i := range session {
		m := dial(t, s)
		m.conn.Write(session[:i])
		m.conn.Close()
	}
	s.Close() // waits for all; goleak looks for the rest
	if got := testutil.ToFloat64(s.engine.Metrics.Panics); got != 0 {
		t.Errorf("panics_total = %v\n%s", got, s.log)
	}
}

// wholeSession is what an MTA writes for one message.
func wholeSession() []byte {
	var b []byte
	for _, p := range []struct {
		c    byte
		data string
	}{
		{'O', "\x00\x00\x00\x06\x00\x00\x01\xff\x00\x1f\xff\xff"}, {'D', "Cj\x00mx.test\x00{daemon_name}\x00smtpd\x00"}, {'C', "c.test\x004\x00\x19192.0.2.1\x00"},
		{'H', "c.test\x00"}, {'D', "M{mail_addr}\x00a@pass.test\x00"}, {'M', "<a@pass.test>\x00"}, {'D', "Ri\x00q1\x00"}, {'R', "<b@here.test>\x00"},
		{'T', ""}, {'L', "From\x00 a@pass.test\x00"}, {'L', "Subject\x00 x\n\ty\x00"}, {'N', ""}, {'B', "hello\r\n"}, {'E', ""}, {'K', ""},
		{'C', "c.test\x00U"}, {'M', "<>\x00"}, {'A', ""}, {'Q', ""},
	} {
		b = append(b, packet(p.c, p.data)...)
	}
	return b
}

// FuzzSession: whatever an MTA writes, the session ends and no more than the session.
func FuzzSession(f *testing.F) {
	whole := wholeSession()
	f.Add(whole)
	for i := 0; i < len(whole); i += 37 {
		f.Add(append(bytes.Clone(whole[:i]), 0xff))
		f.Add(append(bytes.Clone(whole[:i]), whole[min(i+5, len(whole)):]...))
	}
	f.Add(bytes.ReplaceAll(whole, []byte("\x00\x1f\xff\xff"), []byte("\x00\x00\x00\x7f")))
	s := start(f, "enforce = 'strict'\n[network]\ntrusted_relays = ['198.51.100.0/24']\n")
	f.Fuzz(func(t *testing.T, octets []byte) {
		m := dial(t, s)
		go func() {
			m.conn.Write(octets)
			m.conn.(interface{ CloseWrite() error }).CloseWrite()
		}()
		m.conn.SetReadDeadline(time.Now().Add(timeout))
		replies, err := io.ReadAll(m.conn)
		if os.IsTimeout(err) {
			t.Fatal("the session did not end")
		}
		for len(replies) >= 5 {
			n := int(replies[0])<<24 | int(replies[1])<<16 | int(replies[2])<<8 | int(replies[3])
			if n < 1 || n+4 > len(replies) || !strings.ContainsRune("Octypqim", rune(replies[4])) {
				t.Fatalf("no packet: %q", replies)
			}
			replies = replies[4+n:]
		}
		if got := testutil.ToFloat64(s.engine.Metrics.Panics); got != 0 {
			t.Fatalf("a panic:\n%s", s.log)
		}
	})
}
