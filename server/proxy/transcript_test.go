package proxy_test

import (
	"bufio"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"postseal"
	"postseal/internal/app/clients"
	"postseal/internal/app/conf"
	"postseal/server/proxy"
)

// TestTranscripts plays the scripts of testdata/transcripts/smtp: the client's side and
// the next hop's side of a session, line by line. See docs/reference/transcripts.md.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("../../testdata/transcripts/smtp/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			playTranscript(t, txtar.Parse(data))
		})
	}
}

// player is one run of a script.
type player struct {
	t      *testing.T
	daemon *daemon
	hopL   net.Listener
	client *peer
	hop    *peer
}

type peer struct {
	net.Conn
	r *bufio.Reader
}

func playTranscript(t *testing.T, script *txtar.Archive) {
	p := &player{t: t, hopL: listen(t)}
	s := setup{config: proxy.Config{NextHop: proxy.NextHop{Address: p.hopL.Addr().String()}, Peers: loopback}}
	for line := range strings.Lines(string(script.Comment)) {
		configure(t, &s, strings.TrimSpace(line))
	}
	for _, f := range script.Files {
		if f.Name == "zone" {
			s.zone = string(f.Data)
		}
	}
	p.daemon = start(t, s)
	p.client = &peer{Conn: dial(t, p.daemon.addr)}
	p.client.r = bufio.NewReader(p.client)
	for _, f := range script.Files {
		if f.Name != "session" {
			continue
		}
		for i, line := range strings.Split(strings.TrimSuffix(string(f.Data), "\n"), "\n") {
			if line != "" && !strings.HasPrefix(line, "#") {
				p.step(i+1, line)
			}
		}
	}
	if p.hop != nil {
		p.hop.Close()
	}
	p.client.Close()
}

func configure(t *testing.T, s *setup, line string) {
	key, value, ok := strings.Cut(line, ": ")
	if !ok {
		return
	}
	switch key {
	case "comment", "rfc":
	case "enforce":
		s.enforce = postseal.Enforce(value)
	case "peers":
		s.config.Peers = networks(value)
	case "trusted":
		s.trusted = value
	case "relays":
		s.relays = value
	case "client_info":
		s.config.ClientInfo = proxy.ClientInfo(value)
	case "message":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		s.config.Spool.Message = n
	case "total":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		s.config.Spool.Total = n
	case "keep_alive", "timeout":
		d, err := time.ParseDuration(value)
		if err != nil {
			t.Fatal(err)
		}
		if key == "timeout" {
			s.config.Timeout = d
		} else {
			s.config.SetKeepAlive(d)
		}
	case "mode":
		s.mode = proxy.Mode(value)
	default:
		t.Fatalf("the script has an unknown line %q", line)
	}
}

func networks(value string) clients.Networks {
	if value == "none" {
		return clients.Networks{}
	}
	return clients.NewNetworks(conf.Prefixes(prefixes(value))...)
}

// step plays a line: "C:" the client sends, "S:" it gets, "H:" the next hop gets, "R:" it
// replies. With "=" for ":" the text is a Go string without its own line ending; with "~" lines
// are skipped up to one that fits. "*" in what is got stands for anything. "E:" is the usual
// beginning, with the next hop's capabilities; "F:" an XFORWARD; "M:" an envelope; "X:" the
// next hop goes away; "L:" the log holds the text.
func (p *player) step(n int, line string) {
	p.t.Helper()
	who, how, text := line[0], line[1], strings.TrimPrefix(line[2:], " ")
	octets := text + "\r\n"
	if how == '=' {
		var err error
		if octets, err = strconv.Unquote(text); err != nil {
			p.t.Fatalf("line %d: %v", n, err)
		}
	}
	switch who {
	case 'C':
		p.send(n, p.client, octets)
	case 'R':
		p.send(n, p.nextHop(), octets)
	case 'S':
		p.expect(n, p.client, how, text)
	case 'H':
		p.expect(n, p.nextHop(), how, text)
	case 'L':
		p.daemon.engine.Settle(p.t.Context()) // verdicts are logged after the reply
		if log := p.daemon.log.String(); !matches(log, "*"+text+"*") {
			p.t.Fatalf("line %d: the log has no %q:\n%s", n, text, log)
		}
	case 'E':
		p.greet(n, strings.FieldsFunc(text, func(r rune) bool { return r == '|' }))
	case 'F':
		p.all(n, "C: XFORWARD "+text, "S: 250 *")
	case 'M':
		from, to, _ := strings.Cut(text, " ")
		p.all(n, "C: MAIL FROM:"+from, "H: MAIL FROM:"+from, "R: 250 2.1.0 Ok", "S: 250 2.1.0 Ok",
			"C: RCPT TO:"+to, "H: RCPT TO:"+to, "R: 250 2.1.5 Ok", "S: 250 2.1.5 Ok")
	case 'X': // the next hop goes away
		p.nextHop().Close()
		p.hop = nil
	default:
		p.t.Fatalf("line %d: %q", n, line)
	}
}

// greet plays the usual beginning, with the capabilities of the next hop.
func (p *player) greet(n int, capabilities []string) {
	p.t.Helper()
	p.all(n, "S: 220 mx.example.net ESMTP", "C: EHLO mta.example.net", "R: 220 hop.example.net ESMTP", "H: EHLO mta.example.net", "R: 250-hop.example.net")
	for _, c := range capabilities {
		p.step(n, "R: 250-"+c)
	}
	p.all(n, "R: 250 HELP", "S~ 250 *")
}

func (p *player) all(n int, lines ...string) {
	p.t.Helper()
	for _, line := range lines {
		p.step(n, line)
	}
}

func (p *player) nextHop() *peer {
	p.t.Helper()
	if p.hop != nil {
		return p.hop
	}
	if err := p.hopL.(*net.TCPListener).SetDeadline(time.Now().Add(timeout)); err != nil {
		p.t.Fatal(err)
	}
	conn, err := p.hopL.Accept()
	if err != nil {
		p.t.Fatalf("the next hop was not connected to: %v", err)
	}
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		p.t.Fatal(err)
	}
	p.hop = &peer{conn, bufio.NewReader(conn)}
	return p.hop
}

func (p *player) send(n int, to *peer, octets string) {
	p.t.Helper()
	if _, err := io.WriteString(to, octets); err != nil {
		p.t.Fatalf("line %d: %v", n, err)
	}
}

func (p *player) expect(n int, from *peer, how byte, want string) {
	p.t.Helper()
	for {
		got, err := from.r.ReadString('\n')
		if want == "EOF" && err != nil && got == "" {
			return
		}
		if err != nil {
			p.t.Fatalf("line %d: got %q and %v, want %q\nlog:\n%s", n, got, err, want, p.daemon.log)
		}
		text, ok := strings.CutSuffix(got, "\r\n")
		if ok && matches(text, want) {
			return
		}
		if how != '~' {
			p.t.Fatalf("line %d: got %q, want %q\nlog:\n%s", n, got, want, p.daemon.log)
		}
	}
}

// matches compares with a pattern in which "*" stands for anything.
func matches(text, pattern string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return text == pattern
	}
	text, ok := strings.CutPrefix(text, parts[0])
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return ok && strings.HasSuffix(text, parts[len(parts)-1])
}
