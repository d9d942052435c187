package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"postseal/internal/app/endpoint"
	"postseal/internal/app/postfix"
)

// The commands that fix problems between Postfix and postseal. Walk in the tests follows each.
const (
	setupHint  = "postseal setup postfix --apply, then postfix reload"
	reloadHint = ", then postfix reload"
)

// checkPostfix checks whether Postfix uses postseal, and whether everything it uses exists.
func checkPostfix(ctx context.Context, o *Options) []Finding {
	switch {
	case errors.Is(o.PostfixError, postfix.ErrNotInstalled):
		return one("postfix", Skip, "", "%v", o.PostfixError)
	case o.Postfix == nil:
		return one("postfix", Fail, "name Postfix's configuration with --config-dir", "%v", o.PostfixError)
	}
	f, milter := o.namesMilter()
	f = append(f, o.deadMilters(ctx, milter)...)
	f = append(f, o.namesPolicy(milter)...)
	return append(f, o.postfixWarnings(milter)...)
}

// namesMilter checks whether smtpd_milters names our milter.
func (o *Options) namesMilter() (f []Finding, milter string) {
	if o.Milter == "" {
		return nil, ""
	}
	s := o.Postfix
	milter, err := s.Endpoint(o.Milter)
	switch {
	case err != nil:
		return one("postfix", Fail, "set [listen] milter to a socket below "+s.QueueDir+"/postseal/ or to HOST:PORT, and restart the daemon", "%v", err), ""
	case s.Uses(milter):
		return one("postfix", OK, "", "Postfix %s asks the milter", s.Version), milter
	case len(s.Former(milter)) > 0:
		return one("postfix", Fail, setupHint, "smtpd_milters of Postfix names %s, and the milter listens at %s", strings.Join(s.Former(milter), ", "), milter), milter
	}
	return one("postfix", Fail, setupHint, "smtpd_milters of Postfix does not name %s, where the milter listens", milter), milter
}

// oldDefault is where the milter listened by default in early versions.
const oldDefault = "inet:127.0.0.1:8891"

// deadMilters finds milters in smtpd_milters that do not answer: Postfix then answers 451 to
// all mail, or accepts it without a check.
func (o *Options) deadMilters(ctx context.Context, ours string) (f []Finding) {
	s, left := o.Postfix, o.withOurs(ctx, ours)
	for _, e := range s.InForce() {
		listener := s.Listener(e)
		if e == ours || listener == "" {
			continue
		}
		conn, err := endpoint.Dialer(listener)(ctx, "", "")
		if err == nil {
			conn.Close()
			continue
		}
		left.Milters = left.Without(e)
		effect, hint := "all mail gets 451", "start its program, or remove it: postconf -e "+postfix.Quote(postfix.Milters+" = "+left.Milters)+reloadHint
		if s.OnFailure(e) == "accept" {
			effect = "its check is skipped"
		}
		if e == oldDefault && !s.Uses(ours) {
			effect += ". postseal once listened there by default, as OpenDKIM does"
		}
		for _, former := range s.Former(ours) {
			if former == e {
				hint = setupHint
			}
		}
		f = append(f, one("postfix", Fail, hint, "smtpd_milters of Postfix names %s, where nothing listens (%v): %s", e, endpoint.Cause(err), effect)...)
	}
	return f
}

// withOurs returns the settings of Postfix with our milter in smtpd_milters, if it answers: the
// commands of several hints then give the right list when all are typed, in their order.
func (o *Options) withOurs(ctx context.Context, ours string) postfix.Settings {
	left := *o.Postfix
	if ours == "" || left.Uses(ours) {
		return left
	}
	conn, err := endpoint.Dialer(o.Milter)(ctx, "", "")
	if err != nil {
		return left
	}
	conn.Close()
	for _, c := range left.Plan(postfix.Listeners{Milter: ours, DefaultAction: "tempfail"}) {
		if c.Name == postfix.Milters {
			left.Milters = c.New
		}
	}
	return left
}

// namesPolicy checks a policy service that main.cf uses. Usually it does not use ours, because
// the milter does the same and more.
func (o *Options) namesPolicy(milter string) []Finding {
	if o.Policy == "" {
		return nil
	}
	asked := postfix.Listeners{}
	if e, err := o.Postfix.Endpoint(o.Policy); err == nil && o.Postfix.UsesPolicy(e) {
		asked.Policy = e
	}
	if milter != "" && o.Postfix.Uses(milter) {
		asked.Milter = milter
	}
	want := asked.ReceivedSPF()
	switch {
	case asked.Policy == "":
		return nil
	case want == o.ReceivedSPF:
		return one("postfix", OK, "", "Postfix asks the policy service")
	case want:
		return one("postfix", Warn, ReceivedSPFHint(want), "Postfix asks the policy service alone, which adds no Received-SPF field: mail carries no result of SPF")
	}
	return one("postfix", Warn, ReceivedSPFHint(want), "Postfix asks the policy service, which adds Received-SPF, and the milter, which removes it")
}

// ReceivedSPFHint says how to set [policy] received_spf to want.
func ReceivedSPFHint(want bool) string {
	why := "the milter cannot tell that field of the policy service from a forged one, and removes it"
	if want {
		why = "without the milter, that field is what tells the result of SPF"
	}
	return fmt.Sprintf("set [policy] received_spf = %t: %s. Then: systemctl reload postseal", want, why)
}

// postfixWarnings reports settings with which mail may not be checked, or checks give wrong results.
func (o *Options) postfixWarnings(milter string) (f []Finding) {
	s := o.Postfix
	if others := s.Others(milter); len(others) > 0 {
		f = append(f, one("postfix", Warn, "let one program write Authentication-Results: take the other out of smtpd_milters",
			"also in smtpd_milters: %s, which may write Authentication-Results too", strings.Join(others, ", "))...)
	}
	for _, service := range s.Overrides {
		if onLoopback(service) {
			continue // where a filter or the proxy hands mail back that was checked before
		}
		setting := postfix.Quote(service + "/*/" + postfix.Milters)
		f = append(f, one("postfix", Warn, "postconf -P "+setting+" shows it; postconf -PX "+setting+" takes it out"+reloadHint,
			"the service %s of master.cf sets smtpd_milters itself: its mail may not be checked", service)...)
	}
	if milter != "" && s.Uses(milter) && s.OnFailure(milter) == "accept" {
		f = append(f, one("postfix", Warn, "default_action=tempfail defers it instead", "while postseal is away, Postfix accepts mail unchecked")...)
	}
	if milter != "" && s.OldProtocol() {
		f = append(f, one("postfix", Fail, "postconf -e '"+postfix.Protocol+" = 6'"+reloadHint,
			"%s of Postfix is %s: it takes the leading space off header fields, and signatures with c=simple break", postfix.Protocol, s.Protocol)...)
	}
	if s.Smuggles() {
		hint := "upgrade Postfix: 3.5.23, 3.6.13, 3.7.9, 3.8.4 and later can refuse it"
		if s.BareNewline != "" {
			hint = "postconf -e '" + postfix.BareNewline + " = yes'" + reloadHint + "; postseal selftest --postfix shows whether it holds"
		}
		f = append(f, one("postfix", Warn, hint,
			"Postfix accepts LF as a line ending: a second message can be smuggled inside a first")...)
	}
	return f
}

// onLoopback reports whether a service of master.cf accepts mail only from this host.
func onLoopback(service string) bool {
	host, _, err := net.SplitHostPort(service)
	ip, _ := netip.ParseAddr(host)
	return err == nil && (host == "localhost" || ip.IsLoopback())
}

// checkSMTP checks the SMTP proxy, its next hop, and whether Postfix sends mail through it.
func checkSMTP(ctx context.Context, o *Options) (f []Finding) {
	if o.SMTP != "" {
		if err := endpoint.Answers(ctx, endpoint.SMTP, o.SMTP); err != nil {
			hint := startHint
			if conn, err := endpoint.Dialer(o.SMTP)(ctx, "", ""); err == nil {
				conn.Close()
				hint = "is the next hop running? [proxy] next_hop names it"
			}
			f = append(f, one("smtp", Down, hint, "the SMTP proxy %s does not answer: %v", o.SMTP, err)...)
		} else {
			f = append(f, one("smtp", OK, "", "the SMTP proxy answers")...)
		}
	}
	if o.SMTP != "" && o.NextHop != "" {
		if err := endpoint.Answers(ctx, endpoint.SMTP, o.NextHop); err != nil {
			f = append(f, one("smtp", Fail, "start the mail server there, or set [proxy] next_hop; deploy/postfix/proxy.cf has the service of master.cf",
				"the next hop %s of the SMTP proxy does not answer: %v", o.NextHop, err)...)
		}
	}
	if o.Postfix == nil {
		return f
	}
	for _, filter := range o.Postfix.Proxies {
		if filter == o.SMTP {
			continue
		}
		listener := strings.TrimPrefix(filter, "inet:")
		if err := endpoint.Answers(ctx, endpoint.SMTP, listener); err != nil {
			f = append(f, one("smtp", Fail, "set [listen] smtp = \""+listener+"\" if it is ours, or start the program that it names",
				"smtpd_proxy_filter of Postfix is %s, and nothing answers there (%v): all mail gets 451", filter, err)...)
		}
	}
	return f
}
