package faults

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/d--j/go-milter"

	"postseal/resolver"
)

// hostile is a name server for which every sender is an enemy: its answers are as large as they can
// be, and the last one that a check needs comes late, so that all messages are there at the same
// time.
type hostile struct {
	udp  *net.UDPConn
	tcp  net.Listener
	mu   sync.Mutex
	hold chan struct{} // the late answers come when it is closed
	late atomic.Int64  // questions that wait for that
	work sync.WaitGroup
}

func newHostile(t *testing.T) *hostile {
	t.Helper()
	h := &hostile{hold: make(chan struct{})}
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if h.udp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(l.Addr().(*net.TCPAddr).AddrPort())); err == nil {
			h.tcp = l
			break
		}
		l.Close()
	}
	if h.tcp == nil {
		t.Fatal("no port is free for UDP and TCP")
	}
	h.udp.SetReadBuffer(4 << 20)
	h.work.Go(h.serveUDP)
	h.work.Go(h.serveTCP)
	t.Cleanup(func() {
		h.udp.Close()
		h.tcp.Close()
		h.work.Wait()
	})
	return h
}

func (h *hostile) serveUDP() {
	buf := make([]byte, 4096)
	for {
		n, from, err := h.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		query := append([]byte{}, buf[:n]...)
		go func() {
			answer := h.answer(query)
			if len(answer) > 1200 {
				answer = append([]byte{}, answer[:questionEnd(query)]...)
				answer[2] |= 2 // truncated
				clear(answer[6:12])
			}
			h.udp.WriteToUDPAddrPort(answer, from)
		}()
	}
}

func (h *hostile) serveTCP() {
	for {
		conn, err := h.tcp.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			var size [2]byte
			if _, err := io.ReadFull(conn, size[:]); err != nil {
				return
			}
			query := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(conn, query); err != nil {
				return
			}
			answer := h.answer(query)
			conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
		}()
	}
}

// questionEnd is where the question of a message ends.
func questionEnd(m []byte) int {
	i := 12
	for m[i] != 0 {
		i += int(m[i]) + 1
	}
	return i + 5
}

// answer makes the whole message.
func (h *hostile) answer(query []byte) []byte {
	end := questionEnd(query)
	var labels []string
	for i := 12; query[i] != 0; i += int(query[i]) + 1 {
		labels = append(labels, strings.ToLower(string(query[i+1:i+1+int(query[i])])))
	}
	t := resolver.Type(binary.BigEndian.Uint16(query[end-4:]))
	m := append([]byte{}, query[:end]...)
	m[2], m[3] = 0x81, 0x80
	clear(m[6:12])
	records := h.records(labels, t)
	binary.BigEndian.PutUint16(m[6:], uint16(len(records)))
	for _, data := range records {
		m = append(m, 0xc0, 12)
		m = binary.BigEndian.AppendUint16(m, uint16(t))
		m = append(m, 0, 1, 0, 0, 0, 60)
		m = binary.BigEndian.AppendUint16(m, uint16(len(data)))
		m = append(m, data...)
	}
	return m
}

// What the answers are made of.
var (
	manyAddresses = func() (all [][]byte) {
		for i := range 4000 {
			all = append(all, []byte{10, 9, byte(i >> 8), byte(i)})
		}
		return all
	}()
	largeTexts = func() (all [][]byte) {
		for range 8 {
			all = append(all, text("k=rsa; p="+strings.Repeat("x", 7900)))
		}
		return all
	}()
)

func text(s string) (data []byte) {
	for len(s) > 0 {
		n := min(len(s), 255)
		data = append(append(data, byte(n)), s[:n]...)
		s = s[n:]
	}
	return data
}

func wireName(name string) (data []byte) {
	for l := range strings.SplitSeq(name, ".") {
		data = append(append(data, byte(len(l))), l...)
	}
	return append(data, 0)
}

// records are the data of the answer. The first label of a sender says what its records are like.
func (h *hostile) records(labels []string, t resolver.Type) [][]byte {
	first, name := labels[0], strings.Join(labels, ".")
	_, above, _ := strings.Cut(name, ".")
	switch {
	case strings.HasSuffix(name, "good.test") || strings.HasSuffix(name, "bad.test"):
		return h.ordinary(name, t)
	case first == "late":
		h.wait()
		return nil
	case name == "arpa":
		return [][]byte{wireName("ns.test")}
	case first == "_dmarc":
		return [][]byte{text(strings.Repeat("y", 3800))} // within what a policy may have, and none
	case t == resolver.A:
		return manyAddresses
	case t == resolver.MX:
		var all [][]byte
		for i := range 10 {
			all = append(all, append([]byte{0, byte(i)}, wireName(fmt.Sprintf("h%d.%s", i, name))...))
		}
		return all
	case t != resolver.TXT:
		return nil
	case strings.Contains(name, "_domainkey"):
		return largeTexts
	case strings.HasPrefix(first, "hosts"):
		record := "v=spf1"
		for i := range 9 {
			record += fmt.Sprintf(" mx:m%d.%s", i, name)
		}
		return [][]byte{text(record + " include:late." + name + " -all")}
	case strings.HasPrefix(first, "terms"): // includes of records of 8 KiB, the shortest terms there are
		next := name
		switch depth := strings.Count(name, "i."); {
		case depth < 8:
			next = strings.Replace(name, ".", ".i.", 1)
		default:
			next = "late." + name
		}
		return [][]byte{text("v=spf1 include:" + next + strings.Repeat(" a", 3800) + " -all")}
	case strings.HasPrefix(first, "large"):
		return append([][]byte{text("v=spf1 include:late." + name + " include:large." + above + " -all")}, largeTexts[:3]...)
	}
	return nil
}

// ordinary are the records of honest senders, and of those who are forged.
func (h *hostile) ordinary(name string, t resolver.Type) [][]byte {
	switch {
	case t != resolver.TXT:
	case strings.HasPrefix(name, "_dmarc."):
		return [][]byte{text("v=DMARC1; p=reject")}
	case name == "good.test":
		return [][]byte{text("v=spf1 ip4:192.0.2.1 ip4:127.0.0.1 -all")}
	case name == "bad.test":
		return [][]byte{text("v=spf1 -all")}
	}
	return nil
}

// sessions is how many hostile messages, and as many policy requests, there are at the same time.
// With more than the few of go test alone it is also seen that their memory comes back, which takes a
// minute.
var sessions = flag.Int("sessions", fewSessions, "hostile milter sessions, and policy requests, at a time")

const fewSessions = 40

// What the load may take, in KiB: the cache of answers, those that are being read and what the collector
// leaves before it knows how much is in use, up to four times that; and each session. For 1,000 milter
// sessions and as many requests that is 0.8 MB each.
const (
	oncePerDaemon = 128 << 10
	perSession    = 700
)

// TestHostileDNS: whatever the DNS says, a session takes no more than 1 MB, and what it took comes
// back when the load ends. The name server is this process, so that nothing of it is counted.
func TestHostileDNS(t *testing.T) {
	longOnly(t)
	h, d := startHostile(t, fmt.Sprintf("[limits]\nconnections = %d\n", *sessions+50))
	before, _ := d.memory()
	h.overrunAll(t, d, before)
	d.alive()
	if *sessions <= fewSessions {
		return
	}
	first := h.returns(t, d, before+mayStay)
	if first > before+mayStay {
		t.Errorf("%d KiB are resident after the load, %d before it", first, before)
	}
	h.overrunAll(t, d, before)
	if second := h.returns(t, d, first+mayStay/4); second > first+mayStay/4 {
		t.Errorf("%d KiB are resident after the second load, %d after the first one", second, first)
	}
}

// mayStay is what may be resident after a load above that before it, in KiB: the cache of answers, and the tables
// of the Go runtime for as many goroutines and as large a heap as there were. It never gives those back; the
// next load uses them again.
const mayStay = 64 << 10

// overrunAll sends the sessions with each kind of DNS, and judges what they take.
func (h *hostile) overrunAll(t *testing.T, d *daemon, before int) {
	t.Helper()
	for _, kind := range []string{"hosts", "terms", "large"} {
		most, late := h.overrun(d, kind, *sessions)
		took, want := most-before, oncePerDaemon+2*(*sessions)*perSession
		t.Logf("%s: %d milter sessions and as many policy requests, %d late answers: %d KiB before, %d KiB more at most, %d KiB a session", kind, *sessions, late, before, took, took/(2*(*sessions)))
		if took > want {
			t.Errorf("%s: %d KiB were taken, want at most %d", kind, took, want)
		}
	}
}

// returns waits until no more than enough is resident, for two minutes, and returns what is, in KiB.
func (h *hostile) returns(t *testing.T, d *daemon, enough int) (after int) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
		if after, _ = d.memory(); after < enough {
			break
		}
	}
	t.Logf("%d KiB after: of the heap %.0f in use, %.0f in objects, %.0f free and not returned; %.0f of stacks; %.0f of the runtime's tables", after, d.kib("go_memstats_heap_inuse_bytes"),
		d.kib("go_memstats_heap_alloc_bytes"), d.kib("go_memstats_heap_idle_bytes")-d.kib("go_memstats_heap_released_bytes"), d.kib("go_memstats_stack_sys_bytes"),
		d.kib("go_memstats_mspan_sys_bytes")+d.kib("go_memstats_gc_sys_bytes")+d.kib("go_memstats_other_sys_bytes"))
	return after
}

// kib is a metric in KiB.
func (d *daemon) kib(name string) float64 { return d.metric(name, "") / 1024 }

// overrun sends so many messages and requests at the same time, and returns how much memory the
// daemon had at most, in KiB, and how many late answers it waited for.
func (h *hostile) overrun(d *daemon, kind string, sessions int) (most int, late int64) {
	var done sync.WaitGroup
	for i := range sessions {
		done.Go(func() { hostileMessage(d, kind, i) })
		done.Go(func() { hostileRequest(d, kind, i) })
	}
	for end := time.Now().Add(min(time.Duration(sessions)*60*time.Millisecond, 25*time.Second)); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		now, _ := d.memory()
		most = max(most, now)
	}
	late = h.late.Swap(0)
	h.release()
	done.Wait()
	h.holdAgain()
	return most, late
}

// release lets the late answers come.
func (h *hostile) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.hold)
}

func (h *hostile) holdAgain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hold = make(chan struct{})
}

func (h *hostile) wait() {
	h.mu.Lock()
	hold := h.hold
	h.mu.Unlock()
	h.late.Add(1)
	<-hold
}

// startHostile starts a daemon that asks a hostile name server.
func startHostile(t *testing.T, limits string) (*hostile, *daemon) {
	t.Helper()
	h := newHostile(t)
	d := start(t, limits)
	config, err := os.ReadFile(d.file)
	if err != nil {
		t.Fatal(err)
	}
	d.write(strings.Replace(string(config), d.dns.Addr(), h.tcp.Addr().String(), 1))
	d.kill()
	d.run()
	return h, d
}

// leastHonest is how many pairs of honest messages come within the time of TestShedCostly where the daemon has
// the better part of a processor: with less, the collector frees memory later than it is asked for.
const leastHonest = 30

// TestShedCostly: where memory fills up, the messages that hold much of it are deferred. Honest
// mail is not.
func TestShedCostly(t *testing.T) {
	longOnly(t)
	h, d := startHostile(t, "[limits]\nconnections = 700\nmemory = '192MiB'\n")
	var done sync.WaitGroup
	for i := range 200 {
		done.Go(func() { hostileMessage(d, "hosts", i) })
		done.Go(func() { hostileRequest(d, "hosts", i) })
	}
	l := newLoad(d, 1000)
	honest := 0
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		for _, once := range []func() error{l.milter, l.policy} {
			switch err := once(); {
			case errors.Is(err, os.ErrDeadlineExceeded): // the client of the milter tries again later, as after 451
				l.deferred.Add(1)
			case err != nil:
				t.Fatal(err)
			}
		}
		honest++
	}
	h.release()
	done.Wait()
	d.alive()
	l.check()
	_, most := d.memory()
	costly := d.metric("postseal_shed_total", `reason="costly"`)
	t.Logf("%d honest messages and requests, %d of them put off; %v costly ones ended; resident at most %d KiB", 2*honest, l.deferred.Load(), costly, most)
	if costly == 0 {
		t.Error("no costly message was ended")
	}
	if honest < leastHonest {
		t.Logf("the processors are too busy to tell: %d messages and requests took 8 s", 2*honest)
		return
	}
	if l.deferred.Load() > int64(2*honest/10) {
		t.Errorf("%d of %d honest messages were put off", l.deferred.Load(), 2*honest)
	}
}

// hostileMessage is a message that asks for all that can be asked.
func hostileMessage(d *daemon, kind string, i int) {
	conn, err := net.DialTimeout("tcp", d.addr("milter"), patience)
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	domain := fmt.Sprintf("%s.m%d.test", kind, i)
	m, err := milter.NewClient("tcp", "", milter.WithDialer(dialed{conn}), milter.WithReadTimeout(patience)).Session(milter.NewMacroBag())
	if err != nil {
		return
	}
	defer m.Close()
	m.Conn("x.test", milter.FamilyInet, 25, fmt.Sprintf("10.%d.%d.1", i/250, i%250))
	m.Helo(fmt.Sprintf("%s.h%d.test", kind, i))
	m.Mail("a@"+domain, "")
	m.Rcpt("b@here.test", "")
	m.DataStart()
	bh := "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
	for j := range 10 {
		m.HeaderField("DKIM-Signature", fmt.Sprintf(" v=1; a=rsa-sha256; d=k.m%d.test; s=s%d; h=from; bh=%s; b=AAAA", i, j, bh), nil)
	}
	for j := 1; j <= 10; j++ {
		cv := map[bool]string{true: "none", false: "pass"}[j == 1]
		m.HeaderField("ARC-Seal", fmt.Sprintf(" i=%d; a=rsa-sha256; cv=%s; d=a%d.m%d.test; s=s; t=1; b=AAAA", j, cv, j, i), nil)
		m.HeaderField("ARC-Message-Signature", fmt.Sprintf(" i=%d; a=rsa-sha256; d=a%d.m%d.test; s=s; h=from; bh=%s; b=AAAA", j, j, i, bh), nil)
		m.HeaderField("ARC-Authentication-Results", fmt.Sprintf(" i=%d; x.test; none", j), nil)
	}
	from := ""
	for j := range 4 {
		from += fmt.Sprintf(", a@a.b.c.d.e.f.%d.m%d.test", j, i)
	}
	m.HeaderField("From", " "+from[2:], nil)
	m.HeaderEnd()
	m.BodyChunk([]byte("x\r\n"))
	m.End()
}

// dialed is a dialer of a connection that is there already.
type dialed struct{ net.Conn }

func (d dialed) Dial(string, string) (net.Conn, error) { return d.Conn, nil }

// hostileRequest is one of Postfix for another such sender.
func hostileRequest(d *daemon, kind string, i int) {
	conn, err := net.DialTimeout("tcp", d.addr("policy"), patience)
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=172.%d.%d.1\nhelo_name=%s.ph%d.test\nsender=a@%s.p%d.test\nrecipient=b@here.test\ninstance=%d\n\n",
		i/250, i%250, kind, i, kind, i, i)
	conn.Read(make([]byte, 2048))
}
