package proxy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"postseal/internal/core/smtpreply"
)

// passed lists the capabilities of the next hop that are offered to clients: those whose
// commands and parameters can be forwarded unchanged. Others, such as CHUNKING, would change
// the protocol.
var passed = []string{"8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "DELIVERBY", "MT-PRIORITY", "FUTURERELEASE", "RRVS", "LIMITS", "VRFY"}

// mechanisms lists the SASL mechanisms that can be forwarded: no security layer, no channel
// binding.
var mechanisms = []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER"}

func (s *session) onEHLO(arg string) reply {
	s.esmtp = true
	got := s.greet(arg)
	if !got.positive() {
		return got
	}
	return reply{250, s.offer()}
}

func (s *session) onHELO(arg string) reply {
	s.esmtp = false
	got := s.greet(arg)
	if !got.positive() {
		return got
	}
	return say(250, "", s.hostname())
}

// greet forwards the greeting to the next hop, and connects to it first. It resets the session
// (RFC 5321 §4.1.4).
func (s *session) greet(arg string) reply {
	if !validHelo(arg) {
		return say(501, "5.5.4", "The host name is missing or invalid")
	}
	s.endMail()
	s.helo = arg
	got, err := s.greetHop()
	if err != nil {
		return s.lost(err)
	}
	if !got.positive() {
		s.helo = ""
	}
	if got.code == 421 {
		s.over = true
	}
	return got
}

func (s *session) greetHop() (reply, error) {
	if s.hop != nil {
		return s.hop.hello(s.helo)
	}
	h, err := s.config.NextHop.open(s.ctx, s.engine.Current().Resolver, s.local.Port())
	if err != nil {
		return reply{}, err
	}
	s.hop = h
	got, err := h.hello(s.helo)
	if err != nil || !got.positive() || !s.introduces() {
		return got, err
	}
	taken, offered := h.capabilities.find("XCLIENT")
	if !offered {
		if s.config.ClientInfo == ClientInfoXCLIENT {
			return reply{}, fmt.Errorf("it does not offer XCLIENT, which client_info requires")
		}
		return got, nil
	}
	for _, command := range s.client().commands("XCLIENT", xclientNames, strings.Fields(taken)) {
		if got, err := h.command(command); err != nil || got.code != 220 {
			return reply{}, fmt.Errorf("XCLIENT: %w", cmp.Or(err, fmt.Errorf("reply %d, not 220", got.code)))
		}
	}
	return h.hello(s.helo)
}

// introduces reports whether XCLIENT tells the next hop whose session this is. A peer that does
// not use XCLIENT is an MTA that uses XFORWARD, or sends its own mail.
func (s *session) introduces() bool {
	return (!s.peer || s.xclient != nil) && (s.config.ClientInfo == ClientInfoAuto || s.config.ClientInfo == ClientInfoXCLIENT)
}

// client returns what is known about the client, from XFORWARD, XCLIENT or its connection.
func (s *session) client() attributes {
	switch {
	case s.xforward != nil:
		return s.xforward
	case s.xclient != nil:
		return s.xclient
	}
	a := attributes{"NAME": "", "PROTO": "SMTP", "HELO": smtpreply.Clean(s.helo, maxAttribute)}
	if s.esmtp {
		a["PROTO"] = "ESMTP"
	}
	a.setAddr("ADDR", "PORT", s.socket)
	a.setAddr("DESTADDR", "DESTPORT", s.local)
	return a
}

// clientHelo returns the HELO name of the client.
func (s *session) clientHelo() string {
	if a := s.client(); a["HELO"] != "" || s.xforward != nil {
		return a["HELO"]
	}
	return s.helo
}

func (a attributes) setAddr(addr, port string, p netip.AddrPort) {
	if p.IsValid() {
		a[addr], a[port] = formatAddr(p.Addr()), strconv.Itoa(int(p.Port()))
	}
}

// offer returns the reply to EHLO: the capabilities of the next hop that can be forwarded, and
// our own.
func (s *session) offer() []string {
	lines := []string{s.hostname(), "PIPELINING", "SIZE " + strconv.FormatInt(s.sizeLimit(), 10)}
	for _, c := range s.hop.capabilities {
		if slices.Contains(passed, c.keyword) {
			lines = append(lines, strings.TrimSpace(c.keyword+" "+c.params))
		}
	}
	if s.config.TLS != nil && !s.secure {
		lines = append(lines, "STARTTLS")
	}
	if usable := s.mechanisms(); len(usable) > 0 {
		lines = append(lines, "AUTH "+strings.Join(usable, " "))
	}
	if s.peer {
		lines = append(lines, "XCLIENT "+strings.Join(xclientNames, " "), "XFORWARD "+strings.Join(xforwardNames, " "))
	}
	return lines
}

// sizeLimit is the smaller of the next hop's limit and ours (RFC 1870 §4).
func (s *session) sizeLimit() int64 {
	ours := s.config.Spool.Message
	if params, ok := s.hop.capabilities.find("SIZE"); ok {
		if theirs, err := strconv.ParseInt(params, 10, 64); err == nil && theirs > 0 {
			return min(ours, theirs)
		}
	}
	return ours
}

// mechanisms returns the SASL mechanisms, which are only offered over TLS (RFC 4954 §4).
func (s *session) mechanisms() []string {
	if !s.config.Auth || !s.secure {
		return nil
	}
	theirs, _ := s.hop.capabilities.find("AUTH")
	var usable []string
	for m := range strings.FieldsSeq(strings.ToUpper(theirs)) {
		if slices.Contains(mechanisms, m) {
			usable = append(usable, m)
		}
	}
	return usable
}

// onSTARTTLS starts TLS and discards everything received before (RFC 3207 §4.2).
func (s *session) onSTARTTLS(arg string) reply {
	switch {
	case arg != "":
		return say(501, "5.5.4", "STARTTLS takes no argument")
	case s.config.TLS == nil || s.secure:
		return say(503, "5.5.1", "STARTTLS is not available now")
	case s.mail != nil:
		return say(503, "5.5.1", "Not allowed during a mail transaction")
	case s.r.Buffered() > 0:
		// Data sent in plain text must not be read as if it came through TLS (CVE-2011-0411).
		s.over = true
		return say(554, "5.5.0", "No data may follow STARTTLS before its reply")
	}
	say(220, "2.0.0", "Ready to start TLS").write(s.w)
	if s.w.Flush() != nil || !s.handshake() {
		s.over = true
		return reply{}
	}
	s.forget()
	s.xclient = nil
	return reply{}
}

// forget returns to the state before EHLO.
func (s *session) forget() {
	s.endMail()
	s.helo, s.loggedIn = "", false
	if s.hop != nil {
		s.hop.close()
		s.hop = nil
	}
}

// onAUTH lets the next hop authenticate the client (RFC 4954): the exchange is forwarded line
// by line.
func (s *session) onAUTH(arg string) reply {
	switch {
	case s.hop == nil:
		return say(503, "5.5.1", "Send EHLO first")
	case s.config.Auth && !s.secure:
		return say(538, "5.7.11", "Encryption required: send STARTTLS first")
	case s.mail != nil || s.loggedIn:
		return say(503, "5.5.1", "Not now")
	}
	mechanism, _, _ := strings.Cut(arg, " ")
	if !slices.Contains(s.mechanisms(), strings.ToUpper(mechanism)) {
		return say(504, "5.5.4", "Authentication mechanism not supported")
	}
	got, err := s.hop.command("AUTH " + arg)
	for err == nil && got.code == 334 {
		got.write(s.w)
		line, clientErr := s.readCommand()
		if clientErr != nil {
			s.over = true
			return lineFault(clientErr)
		}
		if !isResponse(line) {
			line = "*" // cancels the exchange at the next hop
		}
		got, err = s.hop.command(line)
	}
	if err == nil && !got.positive() && !got.negative() {
		err = errReply
	}
	if err != nil {
		return s.lost(err)
	}
	s.loggedIn = got.code == 235
	s.over = s.over || got.code == 421
	return got
}

// isResponse reports whether line is base64, or "*", "=" (RFC 4954 §4).
func isResponse(line string) bool {
	for i := range len(line) {
		c := line[i]
		if !(c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '+' || c == '/' || c == '=' || c == '*') {
			return false
		}
	}
	return true
}

// onXCLIENT accepts the peer's statement about the client, and starts the session again
// (Postfix XCLIENT_README).
func (s *session) onXCLIENT(arg string) reply {
	if refusal := s.mayName(); refusal.code != 0 {
		return refusal
	}
	a := attributes{}
	for k, v := range s.xclient {
		a[k] = v
	}
	if a.merge(arg, xclientNames) != nil {
		return say(501, "5.5.4", "Syntax error in XCLIENT attributes")
	}
	s.forget()
	s.xclient = a
	return say(220, "", s.hostname()+" ESMTP")
}

// onXFORWARD accepts the peer's statement about the client of the next mail (Postfix XFORWARD_README).
func (s *session) onXFORWARD(arg string) reply {
	if refusal := s.mayName(); refusal.code != 0 {
		return refusal
	}
	a := s.xforward
	if a == nil {
		a = attributes{}
	}
	if a.merge(arg, xforwardNames) != nil {
		return say(501, "5.5.4", "Syntax error in XFORWARD attributes")
	}
	s.xforward = a
	return say(250, "2.0.0", "Ok")
}

func (s *session) mayName() reply {
	switch {
	case !s.peer:
		return say(550, "5.7.0", "Not allowed for this client")
	case s.mail != nil:
		return say(503, "5.5.1", "Not allowed during a mail transaction")
	}
	return reply{}
}
