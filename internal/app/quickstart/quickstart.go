// Package quickstart sets up postseal with the Postfix of a host in one step, and can undo
// everything. It implements "postseal quickstart".
package quickstart

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"postseal/internal/app/conf"
	"postseal/internal/app/doctor"
	"postseal/internal/app/endpoint"
	"postseal/internal/app/postfix"
	"postseal/resolver"
)

// Options say where everything is.
type Options struct {
	ConfigFile string // of postseal; it may not exist yet
	PostfixDir string // configuration directory of Postfix, "" is the default
	State      string // the state directory, which stores what Undo needs
	Program    string // this program, to start the daemon with
	SMTP       string // HOST:PORT where Postfix accepts test messages
	Config     *conf.Config
	Resolver   resolver.Resolver
	Servers    []string // that Resolver queries
}

// Survey is what was found on the host.
type Survey struct {
	Options
	Postfix postfix.Settings
	Milter  endpoint.Found
	before  []byte // the content of ConfigFile, nil if it does not exist
	after   []byte // the new content of ConfigFile
	edits   []edit // what after adds to before
}

// Look checks Postfix, the resolver, the daemon and other filters, and changes nothing. The
// error says that there is no Postfix to set up.
func Look(ctx context.Context, o Options) (*Survey, []doctor.Finding, error) {
	s := &Survey{Options: o}
	var err error
	if s.Postfix, err = postfix.Read(ctx, o.PostfixDir); err != nil {
		return nil, nil, err
	}
	if s.before, err = os.ReadFile(o.ConfigFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	s.after, s.edits = s.configuration()
	s.Milter = endpoint.NewFinder(o.Config).Find(ctx, endpoint.Milter)
	findings := []doctor.Finding{{Check: "postfix", Level: doctor.OK, Text: fmt.Sprintf("Postfix %s, myhostname %s", s.Postfix.Version, s.Postfix.Hostname)}}
	findings = append(findings, s.others()...)
	findings = append(findings, doctor.Resolver(ctx, o.Resolver, o.Servers)...)
	return s, findings, nil
}

// others names the filters that already do part of the work.
func (s *Survey) others() (list []doctor.Finding) {
	for _, name := range s.Postfix.Others("") {
		list = append(list, doctor.Finding{Check: "others", Level: doctor.Warn, Text: name + " is in smtpd_milters, and stays there: it writes Authentication-Results too",
			Hint: hintOf(name)})
	}
	if s.Postfix.AsksPolicyd() {
		list = append(list, doctor.Finding{Check: "others", Level: doctor.Warn, Text: "policyd-spf is in smtpd_recipient_restrictions, and stays there: it refuses by SPF alone",
			Hint: hintOf("policyd-spf")})
	}
	return list
}

func hintOf(name string) string {
	switch name {
	case "opendkim":
		return "keep it to sign (Mode s); postseal verifies. postseal migrate /etc/opendkim.conf shows what to carry over"
	case "opendmarc":
		return "remove it once postseal rejects mail. postseal migrate /etc/opendmarc.conf shows what to carry over"
	case "policyd-spf":
		return "remove it once postseal rejects mail. postseal migrate /etc/postfix-policyd-spf-python/policyd-spf.conf shows what to carry over"
	}
	return "let one program write Authentication-Results once postseal refuses"
}

// Plan says what Apply would do, and why.
func (s *Survey) Plan() []doctor.Finding {
	var list []doctor.Finding
	step := func(text, why string) {
		list = append(list, doctor.Finding{Check: "plan", Level: doctor.Skip, Text: text, Hint: why})
	}
	switch {
	case s.before == nil:
		step("write "+s.ConfigFile+fmt.Sprintf(": authserv_id %q, mode observe", s.Postfix.Hostname), "that name appears in Authentication-Results; observe rejects nothing")
	default:
		for _, e := range s.edits {
			step("add to "+s.ConfigFile+": "+e.text, e.why)
		}
	}
	if s.Milter.Err != nil || s.Milter.Address == "" {
		step("start the daemon: "+strings.Join(s.startCommand(), " "), "nothing listens at "+s.Milter.Address+" yet")
	} else if string(s.before) != string(s.after) {
		step("reload the daemon, which listens at "+s.Milter.Address, "it reads the configuration again")
	}
	listeners, err := s.listeners()
	if err != nil {
		list = append(list, doctor.Finding{Check: "plan", Level: doctor.Fail, Text: err.Error(), Hint: "set [listen] milter to a socket below " + s.Postfix.QueueDir + "/postseal/ or to HOST:PORT"})
		return list
	}
	for _, c := range s.Postfix.Plan(listeners) {
		step("set in main.cf: "+c.Name+" = "+c.New, reasons[c.Name])
	}
	step("send test messages, and show what becomes of them", "one forgery straight to the milter, one message through Postfix on loopback")
	return list
}

var reasons = map[string]string{
	postfix.Milters:     "Postfix asks postseal about each message; while it is away, mail is deferred, not lost",
	postfix.BareNewline: "without it a second message can be smuggled within a first",
	postfix.Protocol:    "below 6 Postfix changes header fields, and signatures with c=simple break",
}

func (s *Survey) listeners() (postfix.Listeners, error) {
	milter, err := s.Postfix.Endpoint(s.Milter.Address)
	return postfix.Listeners{Milter: milter, DefaultAction: "tempfail"}, err
}

// Test shows what happens to a forgery and to a message on loopback, and the results of doctor.
func (s *Survey) Test(ctx context.Context) []doctor.Finding {
	o := doctor.Options{Milter: s.Milter.Address, Resolver: s.Resolver, Servers: s.Servers, Enforce: s.Config.Enforce, ReceivedSPF: s.Config.Policy.ReceivedSPF}
	find := endpoint.NewFinder(s.Config)
	o.Policy, o.HTTP = find.Find(ctx, endpoint.Policy).Address, find.Find(ctx, endpoint.HTTP).Address
	if p, err := postfix.Read(ctx, s.PostfixDir); err == nil {
		o.Postfix = &p
	}
	to := "postmaster@" + s.Postfix.Hostname
	return append(doctor.Send(ctx, o, doctor.Probe{From: to, To: to, SMTP: s.SMTP}), doctor.Run(ctx, o)...)
}

func (s *Survey) recordPath() string { return filepath.Join(s.State, "quickstart.json") }
