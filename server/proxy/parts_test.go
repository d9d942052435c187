package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"postseal"
	"postseal/resolver/dnstest"
)

func TestSpool(t *testing.T) {
	dir := t.TempDir()
	limits := SpoolLimits{Dir: dir, Memory: 10, Message: 50, Total: 60}
	s := &spool{}
	m := s.begin(limits)
	var want []byte
	for i := range 7 {
		piece := bytes.Repeat([]byte{byte('a' + i)}, 7)
		if _, err := m.Write(piece); err != nil {
			t.Fatal(err)
		}
		want = append(want, piece...)
		if got, err := io.ReadAll(m.reader()); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
	if _, err := m.Write([]byte("xx")); err != errMessageTooLarge {
		t.Errorf("beyond Message: %v, want %v", err, errMessageTooLarge)
	}
	other := s.begin(limits)
	if _, err := other.Write(make([]byte, 12)); err != errSpoolFull {
		t.Errorf("beyond Total: %v, want %v", err, errSpoolFull)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("the spool has names: %v, %v", files, err)
	}
	m.close()
	if _, err := other.Write(make([]byte, 12)); err != nil {
		t.Errorf("after the other is gone: %v", err)
	}
	other.close()
	if used := s.used.Load(); used != 0 {
		t.Errorf("used = %d after all are closed", used)
	}
	limits.Dir = dir + "/none"
	if _, err := s.begin(limits).Write(make([]byte, 11)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without its directory: %v", err)
	}
}

func TestParsePath(t *testing.T) {
	for _, test := range []struct{ in, address, whole string }{
		{"FROM:<a@b.test>", "a@b.test", "<a@b.test>"},
		{"from: <a@b.test>  SIZE=1   BODY=8BITMIME ", "a@b.test", "<a@b.test> SIZE=1 BODY=8BITMIME"},
		{"FROM:<>", "", "<>"},
		{`FROM:<"a>b c\"<"@b.test>`, `"a>b c\"<"@b.test`, `<"a>b c\"<"@b.test>`},
		{"FROM:<@x.test,@y.test:a@b.test>", "@x.test,@y.test:a@b.test", "<@x.test,@y.test:a@b.test>"},
		{"FROM:<ü@b.test> SMTPUTF8", "ü@b.test", "<ü@b.test> SMTPUTF8"},
	} {
		p, err := parsePath(test.in, "FROM:")
		if err != nil || p.address != test.address || p.String() != test.whole {
			t.Errorf("parsePath(%q) = %q, %q, %v", test.in, p.address, p.String(), err)
		}
	}
	for _, in := range []string{"", "FROM", "FROM:", "TO:<a@b.test>", "FROM:a@b.test", "FROM:<a@b.test", "FROM:<a b@b.test>", "FROM:<a@b.test>SIZE=1",
		"FROM:<<a@b.test>>", "FROM:<a@b.test> -x", "FROM:<a@b.test> SIZE=", "FROM:<a@b.test> =1", `FROM:<"a@b.test>`, `FROM:<"a\`, "FROM:<a@b.test> <c@d.test>"} {
		if p, err := parsePath(in, "FROM:"); err == nil {
			t.Errorf("parsePath(%q) = %q, want an error", in, p.String())
		}
	}
}

func TestAttributes(t *testing.T) {
	a := attributes{}
	if err := a.merge("ADDR=IPV6:2001:DB8::1 HELO=a+2Btest name=+E2+82+AC PORT=[UNAVAILABLE]", xforwardNames); err != nil {
		t.Fatal(err)
	}
	if got, want := a.addrPort(), netip.MustParseAddrPort("[2001:db8::1]:0"); got != want {
		t.Errorf("addrPort = %v, want %v", got, want)
	}
	if a["HELO"] != "a+test" || a["NAME"] != "???" {
		t.Errorf("got %q", a)
	}
	want := []string{"XFORWARD NAME=??? ADDR=IPv6:2001:db8::1 PORT=[UNAVAILABLE] HELO=a+2Btest"}
	if got := a.commands("XFORWARD", xforwardNames, xforwardNames); !slices.Equal(got, want) {
		t.Errorf("commands = %q, want %q", got, want)
	}
	long := attributes{"NAME": strings.Repeat("x", 250), "HELO": strings.Repeat("y", 250)}
	want = []string{"XFORWARD NAME=" + long["NAME"], "XFORWARD HELO=" + long["HELO"]}
	if got := long.commands("XFORWARD", xforwardNames, xforwardNames); !slices.Equal(got, want) {
		t.Errorf("commands = %q, want %q", got, want)
	}
	if got := a.commands("XFORWARD", xforwardNames, nil); len(got) != 0 {
		t.Errorf("commands for a next hop that takes none = %q", got)
	}
	for _, in := range []string{"", "ADDR", "ADDR=x", "ADDR=fe80::1%25eth0", "FOO=bar", "LOGIN=joe", "HELO=+4", "HELO=+zz", "ADDR=1.2.3.4.5"} {
		if err := (attributes{}).merge(in, xforwardNames); err == nil {
			t.Errorf("%q is taken", in)
		}
	}
}

func TestReadReply(t *testing.T) {
	for in, want := range map[string]string{
		"250 Ok\r\n":                     "250 Ok",
		"250\r\n":                        "250 ",
		"250-a\r\n250-b\r\n250 c\r\n":    "250 a / b / c",
		"550 5.1.1 \xffno\x01\r\nX":      "550 5.1.1 ?no?",
		"250-a\r\n251 b\r\n":             "",
		"199 x\r\n":                      "",
		"600 x\r\n":                      "",
		"25 x\r\n":                       "",
		"250x\r\n":                       "",
		"250 x\n":                        "",
		strings.Repeat("250-a\r\n", 300): "",
		"250-a\r\n":                      "",
	} {
		got, err := readReply(bufio.NewReaderSize(strings.NewReader(in), readBuffer))
		if (err == nil) != (want != "") || err == nil && got.String() != want {
			t.Errorf("readReply(%.40q) = %q, %v, want %q", in, got.String(), err, want)
		}
	}
}

// verified verifies a message as the listener does.
func verified(t testing.TB, message string) *postseal.Report {
	t.Helper()
	zone, err := dnstest.Parse("")
	if err != nil {
		t.Fatal(err)
	}
	v, err := postseal.New(postseal.Config{AuthservID: "mx.example.net", Resolver: zone})
	if err != nil {
		t.Fatal(err)
	}
	tx := v.Session(t.Context(), postseal.Conn{}).Mail("")
	w := tx.MessageWriter()
	if _, err := io.WriteString(w, message); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := tx.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// changesOf are those of the verdict.
func changesOf(r *postseal.Report) *changed {
	return &changed{r.Header, r.Limit != "", []string{"mx.example.net"}, r.Headers}
}

const from = "From: a@b.test\r\n"

func TestRewrite(t *testing.T) {
	const forged = "Authentication-Results: mx.example.net; none\r\n"
	huge := from + strings.Repeat("X: "+strings.Repeat("y", 990)+"\r\n", 200)
	for _, test := range []struct{ name, in, want string }{
		{"as it came", from + "\r\nbody\r\n", from + "\r\nbody\r\n"},
		{"no body", from, from},
		{"nothing", "", ""},
		{"forged at the top", forged + from + "\r\n", from + "\r\n"},
		{"forged twice, a true one between", forged + "authentication-RESULTS: other.test; none\r\n" + from + forged + "\r\nx\r\n",
			"authentication-RESULTS: other.test; none\r\n" + from + "\r\nx\r\n"},
		{"forged and folded", "Authentication-Results:\r\n mx.example.net;\r\n\tnone\r\n" + from + "\r\n", from + "\r\n"},
		{"forged in the body", from + "\r\n" + forged, from + "\r\n" + forged},
		{"mbox line", "From x@y.test\r\n" + from + "\r\n", from + "\r\n"},
		{"quoted mbox line", ">From x@y.test\r\n" + from + "\r\n", from + "\r\n"},
		{"mbox line alone", "From x@y.test\r\n\r\nbody\r\n", "\r\nbody\r\n"},
		{"From with a space", "From : a@b.test\r\n\r\nx\r\n", "From : a@b.test\r\n\r\nx\r\n"},
		{"no header", "body\r\n", "\r\nbody\r\n"},
		{"a fold first", " body\r\n" + from, "\r\n body\r\n" + from},
		{"no empty line", from + "body\r\nmore: x\r\n", from + "\r\nbody\r\nmore: x\r\n"},
		{"beyond a limit", huge + "\r\nx\r\n", huge + "\r\nx\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			report := verified(t, test.in)
			var ours, got bytes.Buffer
			if err := addFields(&ours, report.Headers.Add); err != nil {
				t.Fatal(err)
			}
			if err := rewrite(&got, strings.NewReader(test.in), changesOf(report)); err != nil {
				t.Fatal(err)
			}
			if want := ours.String() + test.want; got.String() != want {
				t.Errorf("got %.400q, want %.400q", got.String(), want)
			}
		})
	}
}

// TestRewriteOther: a spool that is not the message that was verified is never delivered.
func TestRewriteOther(t *testing.T) {
	report := verified(t, from+"Subject: x\r\n\r\nbody\r\n")
	for _, in := range []string{"", from, "From: c@d.test\r\nSubject: x\r\n\r\n", from + "Subject: x\n\r\n", from + "Subject: xy\r\n\r\n"} {
		if err := rewrite(io.Discard, strings.NewReader(in), changesOf(report)); err != errRewrite {
			t.Errorf("%q: %v, want %v", in, err, errRewrite)
		}
	}
}

// FuzzRewrite: what is verified after the rewriting has our fields first, no forged ones,
// and else the same fields and body.
func FuzzRewrite(f *testing.F) {
	for _, seed := range []string{from + "\r\nx\r\n", "From x\r\n" + from, " x\r\n", "Authentication-Results: mx.example.net; none\r\n\r\n", "x", "From : a@b.test\r\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		in = strings.ReplaceAll(strings.ReplaceAll(in, "\r", ""), "\n", "\r\n") // as readData allows
		if in != "" && !strings.HasSuffix(in, "\r\n") {
			in += "\r\n"
		}
		before := verified(t, in)
		var out bytes.Buffer
		if err := rewrite(&out, strings.NewReader(in), changesOf(before)); err != nil {
			t.Fatalf("%q: %v", in, err)
		}
		if before.Limit != "" {
			return
		}
		after := verified(t, out.String())
		header, want := after.Header, 0
		removed := removals(before.Header, before.Headers.Remove)
		for i, add := range before.Headers.Add {
			if got := string(header.At(i).Raw); got != add.Name+":"+add.Value {
				t.Fatalf("field %d is %q, want %q", i, got, add.Name+":"+add.Value)
			}
			want++
		}
		for i := range before.Header.Len() {
			if removed[i] {
				continue
			}
			if got := string(header.At(want).Raw); got != string(before.Header.At(i).Raw) {
				t.Fatalf("field %d is %q, want %q", want, got, before.Header.At(i).Raw)
			}
			want++
		}
		if header.Len() != want {
			t.Fatalf("%d fields, want %d in %q", header.Len(), want, out.String())
		}
		_, body, _ := strings.Cut("\r\n"+out.String(), "\r\n\r\n")
		if !strings.HasSuffix(in, body) {
			t.Fatalf("the body is %q in %q", body, in)
		}
	})
}
