package policy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"postseal"
	"postseal/internal/app/clients"
	"postseal/internal/app/rules"
	"postseal/internal/core/smtpreply"
	"postseal/resolver"
	"postseal/server/listener"
	"postseal/spf"
)

// idle is how long a connection may wait for its next request. Postfix closes it first: after
// 300 s, or 1000 s in total (smtpd_policy_service_max_ttl).
const idle = 20 * time.Minute

// Policy is the listener. [spf] and [policy] of the configuration decide what it rejects, by
// default very little: SPF alone rejects forwarded mail that DMARC would accept because of its
// signature (RFC 9989 §7.1).
type Policy struct {
	engine    *listener.Engine
	instances *instances
}

// New makes the service.
func New(e *listener.Engine) *Policy { return &Policy{engine: e, instances: newInstances()} }

// Server returns a server for listeners. conns limits its connections, 0 is the default.
func (p *Policy) Server(conns int) *listener.Server {
	return &listener.Server{Name: listener.Policy, Engine: p.engine, MaxConns: conns, Handle: p.serve}
}

func (p *Policy) serve(ctx context.Context, conn *listener.Conn) {
	err := p.speak(ctx, &listener.TimeoutReader{Conn: conn, Timeout: idle}, conn, conn.Begin, conn.End)
	if err != nil && ctx.Err() == nil && !conn.Closing() {
		p.engine.Metrics.Listeners[listener.Policy].Errors.WithLabelValues(errorKind(err)).Inc()
		p.engine.Log.Warn("a policy connection ended", "door", listener.Policy, "error", smtpreply.Clean(err.Error(), 200))
	}
}

func errorKind(err error) string {
	if errors.Is(err, errMalformed) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "malformed"
	}
	return "io"
}

// Speak answers the requests of r until its end, as a program under spawn(8) does. The error
// says what is wrong with a request, or is the error of r or w.
func (p *Policy) Speak(ctx context.Context, r io.Reader, w io.Writer) error {
	nothing := func() {}
	return p.speak(ctx, r, w, nothing, nothing)
}

// speak calls begin and end around each request. A malformed request gets no answer: Postfix
// then tries again, and finally answers 451.
func (p *Policy) speak(ctx context.Context, r io.Reader, w io.Writer, begin, end func()) error {
	in := bufio.NewReaderSize(r, maxLine)
	for {
		q, err := readRequest(in)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		begin()
		a := p.answer(ctx, q)
		p.engine.Metrics.PolicyRequests.WithLabelValues(string(a.kind)).Inc()
		_, err = io.WriteString(w, "action="+a.action+"\n\n")
		end()
		if err != nil {
			return err
		}
	}
}

// answer evaluates requests from MAIL FROM to DATA; in other restriction lists there is no
// sender, or no use for an evaluation.
func (p *Policy) answer(ctx context.Context, q *request) answer {
	snapshot := p.engine.Current()
	switch {
	case q.state != "MAIL" && q.state != "RCPT" && q.state != "DATA":
		return noObjection
	case snapshot.Clients.Judge(clients.Client{IP: q.client, Authenticated: q.login != ""}) != clients.Checked:
		return noObjection // it is not checked, or the client is only known with the message
	case p.engine.Short(listener.Policy, q.client):
		return lowMemory()
	}
	i := p.instances.find(q)
	i.once.Do(func() {
		i.answer = unjudged // the answer for later recipients if the evaluation panics
		i.answer = p.evaluate(ctx, q, snapshot)
	})
	return p.instances.give(i)
}

func lowMemory() answer {
	r := listener.LowMemoryReply()
	return deferral(r.Enhanced, "memory", r.Lines[0])
}

// unjudged is the answer before an evaluation.
var unjudged = deferral("4.3.0", "internal", "Internal error, try again later")

func (p *Policy) evaluate(ctx context.Context, q *request, snapshot *listener.Snapshot) answer {
	conn := postseal.Conn{Remote: netip.AddrPortFrom(q.client, 0), User: q.login}
	check := p.engine.StartSPF(ctx, snapshot, conn, q.helo, q.sender)
	defer check.Close()
	var f findings
	if snapshot.Config.Policy.NullMX == rejects {
		f.nullMX = nullMX(ctx, snapshot.Resolver, domainOf(q.sender))
	}
	var err error
	if f.spf, f.iprev, err = check.Wait(); err != nil {
		return lowMemory()
	}
	a := judge(snapshot.Config, f, q)
	would := a.why
	exempt, open := "", false
	if a.kind != dunno {
		exempt, open = snapshot.Clients.Exempt(rules.Arriving{IP: q.client, User: q.login, SPFPass: passing(f.spf), IPRev: f.iprev, SPFOf: check.Of()}, time.Now())
	}
	switch {
	case snapshot.Config.Enforce == postseal.Observe, exempt != "" && !open:
		a = noObjection
	case open:
		a = deferral("4.4.3", a.why, "Not accepted yet: a DNS lookup failed, so it is not known whether this client is exempt. Your mail server will try again")
	}
	a = a.worded(snapshot.Config.Texts(), q)
	if a.kind == dunno && snapshot.Config.Policy.ReceivedSPF && len(f.spf) > 0 {
		a = receivedSPF(f.spf[0], q, snapshot.AuthservID)
	}
	p.log(q, f, a, would, exempt)
	return a
}

// passing returns the domain whose SPF passes for MAIL FROM, or "".
func passing(results []spf.Result) string {
	if len(results) == 0 || results[0].Identity != spf.MailFrom || results[0].Code != spf.Pass {
		return ""
	}
	return results[0].Domain
}

// nullMX checks whether the domain accepts no mail (RFC 7505 §3). A failed lookup has no
// effect: this check does not decide whether the sender exists.
func nullMX(ctx context.Context, r resolver.Resolver, domain string) bool {
	if domain == "" {
		return false
	}
	answer, err := r.Lookup(ctx, domain, resolver.MX)
	return err == nil && len(answer.Records) == 1 && answer.Records[0].Target == ""
}

// log writes one line for each message, without any local part.
func (p *Policy) log(q *request, f findings, a answer, would, exempt string) {
	attrs := []slog.Attr{slog.String("qid", cut(q.queueID)), slog.String("door", listener.Policy), slog.String("action", string(a.kind)),
		slog.String("mfrom", cut(domainOf(q.sender))), slog.String("helo", cut(q.helo[strings.LastIndexByte(q.helo, '@')+1:])), slog.String("ip", q.client.String())}
	for _, r := range f.spf {
		key := "spf"
		if r.Identity == spf.Helo {
			key = "spf_helo"
		}
		attrs = append(attrs, slog.String(key, string(r.Code)))
	}
	if f.iprev != nil {
		attrs = append(attrs, slog.String("iprev", string(f.iprev.Code)))
	}
	if would != "" {
		attrs = append(attrs, slog.String("why", would))
	}
	if exempt != "" {
		attrs = append(attrs, slog.String("exempt", exempt))
	}
	p.engine.Log.LogAttrs(context.Background(), slog.LevelInfo, "policy", attrs...)
}
