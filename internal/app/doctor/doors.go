package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"strings"
	"time"

	"github.com/d--j/go-milter"

	"postseal/internal/app/endpoint"
)

// checkMilter negotiates and disconnects.
func checkMilter(ctx context.Context, o *Options) []Finding {
	if o.Milter == "" {
		return one("milter", Skip, "", "no milter listener is configured")
	}
	s, err := endpoint.Session(ctx, o.Milter, milter.NewMacroBag())
	if err != nil {
		return one("milter", Down, startHint, "the milter %s does not answer: %v", o.Milter, endpoint.Cause(err))
	}
	defer s.Close()
	if !s.ProtocolOption(milter.OptHeaderLeadingSpace) {
		return one("milter", Warn, "", "the milter %s answers, but takes no leading space of header fields: signatures with c=simple break", o.Milter)
	}
	return one("milter", OK, "", "milter answers (version 6, header fields octet for octet)")
}

// checkPolicy sends the policy service one request.
func checkPolicy(ctx context.Context, o *Options) []Finding {
	if o.Policy == "" {
		return one("policy", Skip, "", "no policy listener is configured")
	}
	action, err := endpoint.AskPolicy(ctx, o.Policy)
	switch {
	case err != nil:
		return one("policy", Down, startHint, "the policy service %s does not answer: %v", o.Policy, endpoint.Cause(err))
	case action == "":
		return one("policy", Fail, "see the log of the daemon", "the policy service %s gives no action", o.Policy)
	}
	return one("policy", OK, "", "policy answers")
}

// Probe is a test message.
type Probe struct {
	From, To string // addresses; From is what a forger would write
	SMTP     string // HOST:PORT of Postfix
}

// Send shows what would happen to a forgery of From, which the milter sees as if it came from
// an unknown client, and sends a message through Postfix on loopback.
func Send(ctx context.Context, o Options, p Probe) []Finding {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	// A verdict may take as long as DNS does.
	ctx, cancel := context.WithTimeout(ctx, 6*o.Timeout)
	defer cancel()
	var findings []Finding
	if o.Milter != "" {
		findings = append(findings, sendForged(ctx, o.Milter, p)...)
	}
	return append(findings, sendLoopback(ctx, p)...)
}

func (p *Probe) fields() [][2]string {
	return [][2]string{{"From", "postseal doctor <" + p.From + ">"}, {"To", "<" + p.To + ">"}, {"Subject", "Test of postseal doctor"},
		{"Date", time.Now().Format(time.RFC1123Z)}, {"Message-ID", fmt.Sprintf("<doctor.%d@postseal.invalid>", time.Now().UnixNano())}}
}

const probeBody = "This message tests whether Postfix and postseal see each other.\r\n"

// stranger is an address for documentation (RFC 5737), which no SPF record should authorize.
const stranger = "203.0.113.7"

func sendForged(ctx context.Context, listener string, p Probe) []Finding {
	macros := milter.NewMacroBag()
	macros.Set(milter.MacroQueueId, "doctor")
	s, err := endpoint.Session(ctx, listener, macros)
	if err != nil {
		return one("forgery", Down, startHint, "the milter %s does not answer: %v", listener, endpoint.Cause(err))
	}
	defer s.Close()
	added, action, err := forge(s, p)
	if err != nil {
		return one("forgery", Fail, "see the log of the daemon", "the milter broke off: %v", err)
	}
	what := fmt.Sprintf("a message in the name of %s, unsigned and from %s, ", p.From, stranger)
	if action.StopProcessing() {
		return one("forgery", OK, "", "%swould be answered\n%s", what, strings.TrimSpace(action.SMTPReply))
	}
	return one("forgery", Warn, "its domain may ask for nothing (postseal dmarc policy DOMAIN), or enforce is observe",
		"%swould be accepted\n%s", what, strings.Join(added, "\n"))
}

// forge sends one message to the milter and returns the fields that it adds.
func forge(s *milter.ClientSession, p Probe) (added []string, end *milter.Action, err error) {
	steps := []func() (*milter.Action, error){
		func() (*milter.Action, error) { return s.Conn("unknown", milter.FamilyInet, 40000, stranger) },
		func() (*milter.Action, error) { return s.Helo("doctor.invalid") },
		func() (*milter.Action, error) { return s.Mail(p.From, "") },
		func() (*milter.Action, error) { return s.Rcpt(p.To, "") },
		s.DataStart,
	}
	for _, f := range p.fields() {
		steps = append(steps, func() (*milter.Action, error) { return s.HeaderField(f[0], " "+f[1], nil) })
	}
	steps = append(steps, s.HeaderEnd, func() (*milter.Action, error) { return s.BodyChunk([]byte(probeBody)) })
	for _, step := range steps {
		action, err := step()
		if err != nil || action.Type != milter.ActionContinue {
			return nil, action, err
		}
	}
	changes, action, err := s.End()
	for _, c := range changes {
		if c.Type == milter.ActionInsertHeader || c.Type == milter.ActionAddHeader {
			added = append(added, c.HeaderName+":"+c.HeaderValue)
		}
	}
	return added, action, err
}

// sendLoopback sends the message through Postfix, as a client on this host.
func sendLoopback(ctx context.Context, p Probe) []Finding {
	reply, err := submit(ctx, p)
	var protocol *textproto.Error
	switch {
	case errors.As(err, &protocol):
		return one("loopback", Fail, "see Postfix's log", "Postfix at %s refuses the test message: %d %s", p.SMTP, protocol.Code, protocol.Msg)
	case err != nil:
		return one("loopback", Fail, "is Postfix running? postfix status", "Postfix at %s does not answer: %v", p.SMTP, endpoint.Cause(err))
	}
	return one("loopback", OK, "", "Postfix at %s took a test message for %s: %s", p.SMTP, p.To, reply)
}

func submit(ctx context.Context, p Probe) (reply string, err error) {
	conn, err := endpoint.Dialer(p.SMTP)(ctx, "", "")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	text := textproto.NewConn(conn)
	if _, _, err := text.ReadResponse(220); err != nil {
		return "", err
	}
	for _, c := range []struct {
		line string
		want int
	}{{"HELO doctor.invalid", 250}, {"MAIL FROM:<" + p.From + ">", 250}, {"RCPT TO:<" + p.To + ">", 25}, {"DATA", 354}} {
		if err := text.PrintfLine("%s", c.line); err != nil {
			return "", err
		}
		if _, _, err := text.ReadResponse(c.want); err != nil {
			return "", err
		}
	}
	w := text.DotWriter()
	for _, f := range p.fields() {
		fmt.Fprintf(w, "%s: %s\r\n", f[0], f[1])
	}
	io.WriteString(w, "\r\n"+probeBody)
	if err := w.Close(); err != nil {
		return "", err
	}
	_, reply, err = text.ReadResponse(250)
	return reply, err
}
