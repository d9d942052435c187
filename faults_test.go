package postseal_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postseal"
	"postseal/dmarc"
	"postseal/internal/core/middleware"
	"postseal/resolver"
	"postseal/resolver/stub"
)

// between stands between a client and a name server. mangle makes of each answer over UDP
// what the client gets; stream does with a TCP connection what it likes, nil refuses it.
type between struct {
	udp    *net.UDPConn
	tcp    net.Listener
	server string
	mangle func(query, answer []byte) [][]byte
	stream func(client net.Conn)
	work   sync.WaitGroup
}

func interpose(t *testing.T, server string, f fault) *between {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(l.Addr().String())))
		if err != nil {
			l.Close()
			continue
		}
		b := &between{udp: udp, tcp: l, server: server, mangle: f.mangle, stream: f.stream}
		if f.stream == nil {
			l.Close()
		}
		b.work.Go(b.datagrams)
		b.work.Go(b.streams)
		t.Cleanup(func() { udp.Close(); l.Close(); b.work.Wait() })
		return b
	}
	t.Fatal("no port is free for UDP and TCP")
	return nil
}

func (b *between) datagrams() {
	buf := make([]byte, 4096)
	for {
		n, from, err := b.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		query := bytes.Clone(buf[:n])
		b.work.Go(func() {
			for _, m := range b.mangle(query, b.ask(query)) {
				b.udp.WriteToUDPAddrPort(m, from)
			}
		})
	}
}

func (b *between) ask(query []byte) []byte {
	conn, err := net.Dial("udp", b.server)
	if err != nil {
		return nil
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	conn.Write(query)
	answer := make([]byte, 65535)
	n, err := conn.Read(answer)
	if err != nil {
		return nil
	}
	return answer[:n]
}

func (b *between) streams() {
	for b.stream != nil {
		conn, err := b.tcp.Accept()
		if err != nil {
			return
		}
		b.work.Go(func() { defer conn.Close(); b.stream(conn) })
	}
}

// fault is one way in which the DNS fails.
type fault struct {
	name    string
	mangle  func(query, answer []byte) [][]byte
	stream  func(net.Conn)
	correct bool // it must change nothing
}

func set(i int, b byte) func(_, m []byte) [][]byte {
	return func(_, m []byte) [][]byte { m[i] = b; return [][]byte{m} }
}

func truncate(_, m []byte) [][]byte {
	m[2] |= 2
	return [][]byte{m[:12+len(m[12:])/2]}
}

// header is the answer to query with a code and counts, and what follows the question.
func header(query []byte, flags uint16, answers, authority uint16, rest []byte) []byte {
	end := 12
	for query[end] != 0 {
		end += int(query[end]) + 1
	}
	m := bytes.Clone(query[:end+5])
	binary.BigEndian.PutUint16(m[2:], flags)
	binary.BigEndian.PutUint16(m[6:], answers)
	binary.BigEndian.PutUint16(m[8:], authority)
	binary.BigEndian.PutUint16(m[10:], 0)
	return append(m, rest...)
}

// record is an RR whose owner is the question.
func record(t uint16, data []byte) []byte {
	m := binary.BigEndian.AppendUint16([]byte{0xc0, 12}, t)
	m = append(m, 0, 1, 0, 0, 0, 60)
	return append(binary.BigEndian.AppendUint16(m, uint16(len(data))), data...)
}

// drip sends an answer that never ends, an octet at a time.
func drip(c net.Conn) {
	c.SetDeadline(time.Now().Add(2 * time.Second))
	for _, err := c.Write([]byte{0xff, 0xff}); err == nil; _, err = c.Write([]byte{0}) {
		time.Sleep(5 * time.Millisecond)
	}
}

// vast answers over TCP with 50 KB that end too early.
func vast(c net.Conn) {
	c.SetDeadline(time.Now().Add(2 * time.Second))
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if err != nil || n < 20 {
		return
	}
	rr := record(16, append([]byte{255}, bytes.Repeat([]byte("x"), 255)...))
	m := header(buf[2:n], 0x8180, 200, 0, bytes.Repeat(rr, 190))
	c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...))
}

var dnsFaults = []fault{
	{name: "none", mangle: func(_, m []byte) [][]byte { return [][]byte{m} }, correct: true},
	{name: "all down", mangle: func(_, _ []byte) [][]byte { return nil }},
	{name: "SERVFAIL", mangle: func(q, _ []byte) [][]byte { return [][]byte{header(q, 0x8182, 0, 0, nil)} }},
	{name: "REFUSED", mangle: func(q, _ []byte) [][]byte { return [][]byte{header(q, 0x8185, 0, 0, nil)} }},
	{name: "NOTAUTH", mangle: func(q, _ []byte) [][]byte { return [][]byte{header(q, 0x8189, 0, 0, nil)} }},
	{name: "format error", mangle: func(q, _ []byte) [][]byte { return [][]byte{header(q, 0x8181, 0, 0, nil)} }},
	{name: "wrong id", mangle: func(_, m []byte) [][]byte { m[0] ^= 0x55; return [][]byte{m} }},
	{name: "wrong id, then right", correct: true, mangle: func(q, m []byte) [][]byte {
		forged := header(q, 0x8183, 0, 0, nil)
		forged[1] ^= 1
		return [][]byte{forged, m}
	}},
	{name: "wrong question", mangle: func(_, m []byte) [][]byte { m[13] ^= 1; return [][]byte{m} }},
	{name: "a query for an answer", mangle: func(q, _ []byte) [][]byte { return [][]byte{q} }},
	{name: "opcode", mangle: set(2, 0xa9)},
	{name: "garbage", mangle: func(_, m []byte) [][]byte {
		r := rand.NewChaCha8([32]byte{m[0], m[1]})
		noise := make([]byte, 300)
		r.Read(noise)
		return [][]byte{noise, nil, {0}}
	}},
	{name: "garbage with the right id", mangle: func(q, m []byte) [][]byte {
		r := rand.NewChaCha8([32]byte{m[0], m[1]})
		noise := make([]byte, 300)
		r.Read(noise)
		return [][]byte{header(q, 0x8180, 3, 2, noise)}
	}},
	{name: "cut", mangle: func(_, m []byte) [][]byte { return [][]byte{m[:len(m)-3]} }},
	{name: "truncated, TCP refused", mangle: truncate},
	{name: "truncated, TCP drips", mangle: truncate, stream: drip},
	{name: "truncated, TCP vast", mangle: truncate, stream: vast},
	{name: "truncated, TCP ends", mangle: truncate, stream: func(c net.Conn) { c.Write([]byte{0, 40, 1, 2}) }},
	{name: "alias loop", mangle: func(q, _ []byte) [][]byte {
		return [][]byte{header(q, 0x8180, 1, 0, record(5, []byte{0xc0, 12}))}
	}},
	{name: "lame", mangle: func(q, _ []byte) [][]byte {
		return [][]byte{header(q, 0x8000, 0, 1, record(2, []byte{0xc0, 12}))}
	}},
	{name: "slow", mangle: func(_, m []byte) [][]byte { time.Sleep(300 * time.Millisecond); return [][]byte{m} }},
}

// mails are what is sent while the DNS fails: the sender's own, and a forgery of it.
var mails = []struct {
	name, ip, helo, from string
	right                dmarc.Code
}{
	{"invoice", "192.0.2.25", "out.acme.test", "bounce@acme.test", dmarc.Pass},
	{"invoice forged", "203.0.113.7", "host-7.cheap.example", "a@cheap.example", dmarc.Fail},
	{"bounce forged", "203.0.113.7", "host-7.cheap.example", "", dmarc.Fail},
}

// TestDNSFaults: whatever the DNS does, a verdict is the right one or temperror, and never a
// pass or none that the records do not give.
func TestDNSFaults(t *testing.T) {
	server, err := sampleZone(t).Serve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	for _, f := range dnsFaults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			b := interpose(t, server.Addr(), f)
			sendDuring(t, f, b.udp.LocalAddr().String())
		})
	}
}

func sendDuring(t *testing.T, f fault, address string) {
	t.Helper()
	timeout := 100 * time.Millisecond
	if f.correct {
		timeout = 5 * time.Second
	}
	client, err := stub.New(stub.Config{Servers: []string{address}, Timeout: timeout, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	v := verifier(t, postseal.Config{Resolver: resolver.NewCache(middleware.Coalesce(middleware.NewBreaker(client, middleware.BreakerOptions{})), resolver.CacheOptions{}), Enforce: postseal.Strict})
	for _, m := range mails {
		text := sample(t, "invoice")
		if strings.Contains(m.name, "forged") {
			text = append(text, "Pay at once.\r\n"...)
		}
		r, err := postseal.VerifyReader(t.Context(), v, postseal.Conn{Remote: netip.MustParseAddrPort(m.ip + ":25")}, m.helo, m.from, bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := r.DMARC.Code; got != m.right && (f.correct || got != dmarc.TempError) {
			t.Errorf("%s: dmarc=%s (%s), want %s", m.name, got, r.DMARC.Reason, m.right)
		}
		if a := r.Decision.Applied; m.right == dmarc.Pass && a == postseal.Reject {
			t.Errorf("%s: rejected, %s", m.name, r.Decision.Reason)
		}
	}
}

// TestDNSFaultsUnbound is the same with a real resolver between the faults and the engine, and
// with the resolver killed during the test.
func TestDNSFaultsUnbound(t *testing.T) {
	program, err := exec.LookPath("unbound")
	if err != nil {
		t.Skip("unbound is not installed: apt-get install unbound")
	}
	zone, err := sampleZone(t).Serve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { zone.Close() })
	address, stop := unbound(t, program, zone.Addr(), "")
	t.Run("alive", func(t *testing.T) {
		for _, f := range dnsFaults {
			t.Run(f.name, func(t *testing.T) {
				t.Parallel()
				b := interpose(t, address, f)
				sendDuring(t, f, b.udp.LocalAddr().String())
			})
		}
	})
	stop()
	t.Run("killed", func(t *testing.T) { sendDuring(t, fault{}, address) })
}

// freeAddress is an address without a listener, for UDP and TCP.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 20 {
		udp, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := udp.LocalAddr().String()
		tcp, err := net.Listen("tcp", address)
		udp.Close()
		if err == nil {
			tcp.Close()
			return address
		}
	}
	t.Fatal("no port is free for UDP and TCP")
	return ""
}

// waitLimit lifts the bound of unbound on the questions of one address that wait, where it has one:
// see docs/reference/decisions.md.
func waitLimit() string {
	if exec.Command("unbound-checkconf", "-o", "wait-limit").Run() != nil {
		return ""
	}
	return " wait-limit: 0\n"
}

// unbound starts a resolver that queries only server; for names below evil it queries silent, "" for none.
func unbound(t *testing.T, program, server, silent string) (address string, stop func()) {
	t.Helper()
	address = freeAddress(t)
	dir := t.TempDir()
	var zones strings.Builder
	for _, z := range []string{"test.", "example.", "arpa.", "net."} {
		fmt.Fprintf(&zones, "stub-zone:\n name: %q\n stub-addr: %s\n", z, strings.Replace(server, ":", "@", 1))
	}
	if silent != "" {
		fmt.Fprintf(&zones, "stub-zone:\n name: \"evil.\"\n stub-addr: %s\n", strings.Replace(silent, ":", "@", 1))
	}
	config := fmt.Sprintf("server:\n interface: %s\n do-daemonize: no\n username: \"\"\n chroot: \"\"\n directory: %q\n pidfile: \"\"\n use-syslog: no\n"+
		" logfile: \"\"\n do-not-query-localhost: no\n module-config: \"iterator\"\n do-ip6: no\n%s local-zone: \"test.\" nodefault\n local-zone: \"2.0.192.in-addr.arpa.\" nodefault\n"+
		" local-zone: \"113.0.203.in-addr.arpa.\" nodefault\n%sremote-control:\n control-enable: no\n", strings.Replace(address, ":", "@", 1), dir, waitLimit(), zones.String())
	file := filepath.Join(dir, "unbound.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-d", "-p", "-c", file)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	stop = func() { once.Do(func() { cmd.Process.Kill(); cmd.Wait() }) }
	t.Cleanup(stop)
	client, err := stub.New(stub.Config{Servers: []string{address}, Timeout: time.Second, Attempts: 20})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err = client.Lookup(t.Context(), "_dmarc.acme.test", resolver.TXT); err == nil {
			return address, stop
		}
		if time.Now().After(end) {
			stop()
			t.Fatalf("unbound does not answer: %v\n%s", err, &log)
		}
	}
}
