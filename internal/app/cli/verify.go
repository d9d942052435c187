package cli

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"postseal"
	"postseal/dmarc"
	"postseal/internal/app/clients"
	"postseal/internal/app/conf"
	"postseal/internal/app/received"
	"postseal/internal/app/view"
	"postseal/internal/core/address"
	"postseal/resolver"
)

// verifyFlags are the flags of verify.
type verifyFlags struct {
	ip         string
	helo       string
	from       string
	recipients []string
	authservID string
	enforce    string
	discovery  string
	receivedBy string
	trace      bool
	opinion    bool
	raw        bool
	bundle     string
	bundleWith string

	fromGiven bool
	foreign   []string // given flags that conflict with a bundle
	clients   *clients.Rules
}

// foreignToBundle lists the flags that would replace parts of a bundle, or that need something
// that a bundle does not contain.
var foreignToBundle = []string{"bundle", "bundle-with", "config", "dns-timeout", "from", "helo", "ip", "now", "raw", "rcpt", "received-by",
	"resolver", "second-opinion", "zone"}

// messageCommands give a verdict: verify, and replay-bundle.
type messageCommands struct{ *app }

func (a messageCommands) verifyCommand() *cobra.Command {
	var f verifyFlags
	c := &cobra.Command{
		Use:   "verify [flags] FILE...|-",
		Short: "Verify messages, decide what to do with them, and explain why",
		Long: `Verify evaluates SPF, DKIM and DMARC for each message and decides: accept,
quarantine, reject or defer. A message file does not contain its envelope: supply it with
--ip, --helo and --from, or let --received-by read it from the trace fields of your own
mail server. Without a client address, SPF is skipped. With --config, a client in
trusted_relays or [[relay]] stands for the client that its trace fields name.

A file may also be a bundle. It contains the envelope, the clock and the DNS answers, so
flags that contradict them are errors; --enforce, --discovery and --authserv-id override
the bundle.

Exit codes, after --enforce: 0 accept, 1 quarantine or reject, 2 defer, or a verdict that
a failed DNS lookup left open, 65 not a message, 66 no such file. With several files: the
highest of the errors, else 1 if any is quarantined or rejected, else 2 if any is
undecided, else 0.`,
		Example: `  postseal verify --ip 192.0.2.25 --helo out.acme.test --from bounce@acme.test a.eml
  postseal verify --received-by mx.example.net --format jsonl ~/Maildir/cur/*
  postseal verify --trace --zone testdata/zones/mail.zone - < a.eml`,
		Args: func(c *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return usage("verify: missing FILE").or("name one or more messages, or - for standard input")
			case len(args) > 1 && f.bundle != "":
				return usage("--bundle saves the evidence for one message, but %d files are given", len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			f.fromGiven = c.Flags().Changed("from")
			for _, name := range foreignToBundle {
				if c.Flags().Changed(name) {
					f.foreign = append(f.foreign, "--"+name)
				}
			}
			return a.verify(c.Context(), &f, args)
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.ip, "ip", "", "`ADDR` of the client that delivered the message")
	flags.StringVar(&f.helo, "helo", "", "`NAME` that the client gave in HELO or EHLO")
	flags.StringVar(&f.from, "from", "", "`REVERSE-PATH` of MAIL FROM; \"\" is the null path")
	flags.StringArrayVar(&f.recipients, "rcpt", nil, "`ADDR` of RCPT TO (repeatable)")
	flags.StringVar(&f.receivedBy, "received-by", "", "take the envelope from the Received field added by `HOST`")
	flags.StringVar(&f.authservID, "authserv-id", "", "`NAME` of this verifier in Authentication-Results (default localhost)")
	flags.StringVar(&f.enforce, "enforce", "", "`MODE`: observe, quarantine, guarded, strict (default guarded)")
	flags.StringVar(&f.discovery, "discovery", "", "`WAY` to find the organization: treewalk (RFC 9989), psl (RFC 7489) (default treewalk)")
	flags.BoolVar(&f.trace, "trace", false, "print every step, DNS query and answer")
	flags.BoolVar(&f.opinion, "second-opinion", false, "also ask two independent libraries, and show where they differ and why")
	flags.BoolVar(&f.raw, "raw", false, rawUsage)
	flags.StringVar(&f.bundle, "bundle", "", "save the evidence for the verdict in `FILE`, for replay-bundle")
	flags.StringVar(&f.bundleWith, "bundle-with", withNothing, "`WHAT` private text --bundle may contain: nothing, header, message")
	return a.profiled(c)
}

// config returns the configuration of file, overridden by the flags.
func (f *verifyFlags) config(file *conf.Config) (*conf.Config, error) {
	c := *file
	if f.enforce != "" {
		c.Enforce = postseal.Enforce(f.enforce)
	}
	if f.discovery != "" {
		c.DMARC.Discovery = dmarc.Discovery(f.discovery)
	}
	if f.authservID != "" {
		c.AuthservID = f.authservID
	}
	if err := oneOf("--enforce", string(c.Enforce), enforceModes...); err != nil {
		return nil, err
	}
	if err := oneOf("--discovery", string(c.DMARC.Discovery), string(dmarc.TreeWalk), string(dmarc.PSL)); err != nil {
		return nil, err
	}
	if err := oneOf("--bundle-with", f.bundleWith, bundleWords...); err != nil {
		return nil, err
	}
	if f.receivedBy != "" && f.ip != "" {
		return nil, usage("--received-by and --ip cannot be used together").or("--received-by takes the address from the message")
	}
	return &c, nil
}

// parseIP reads an address, with or without brackets.
func parseIP(flag, s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	if ip, ok := received.Literal(s); ok {
		return ip, nil
	}
	f := usage("%s %q is not an IP address", flag, s)
	if strings.Contains(s, "/") {
		return netip.Addr{}, f.or("give one address, not a network")
	}
	return netip.Addr{}, f.or("use an address such as 192.0.2.25 or 2001:db8::25")
}

func (a messageCommands) verify(ctx context.Context, f *verifyFlags, files []string) error {
	config, err := f.config(a.config)
	if err != nil {
		return err
	}
	ip, err := parseIP("--ip", f.ip)
	if err != nil {
		return err
	}
	dns, err := a.resolver()
	if err != nil {
		return err
	}
	clock, err := a.clock()
	if err != nil {
		return err
	}
	f.clients = config.Clients()
	engine, _ := config.Engine()
	engine.Resolver, engine.Now = dns, clock
	engine.OnPanic = func(p any) { a.fail(failf(exitInternal, "internal: %v", p)) }
	v, err := postseal.New(engine)
	if err != nil {
		return usage("%s", strings.TrimPrefix(err.Error(), "postseal: "))
	}
	e := envelope{ip: ip, helo: f.helo, from: address.Bare(f.from), recipients: f.recipients}
	if !f.fromGiven && !ip.IsValid() {
		e.source = received.Unknown
	}
	unreachable := &outage{}
	for i, path := range files {
		err := a.verifyFile(ctx, v, dns, f, e, path, i, unreachable)
		if err != nil && ctx.Err() != nil {
			return failf(exitTempFail, "interrupted: verified %d of %d messages", i, len(files))
		}
		if err != nil {
			a.fail(err)
		}
		if a.flush() != nil {
			return nil // closeOutput tells
		}
	}
	unreachable.hint(a.app)
	return nil
}

func (a messageCommands) verifyFile(ctx context.Context, v *postseal.Verifier, dns resolver.Resolver, f *verifyFlags, e envelope, path string, n int, down *outage) error {
	if path != "-" && isBundle(path) {
		return a.verifyBundle(ctx, f, path, n)
	}
	in, err := a.openAny(path, f.raw)
	if err != nil {
		return err
	}
	defer in.close()
	if in.doubt != nil {
		a.hint("%s\n%s; this is the verdict of a mail server that accepts it anyway", in.doubt.msg, in.doubt.hint)
	}
	if in.cut {
		a.hint("%s ends within its header section: it may be truncated", in.name)
	}
	if f.receivedBy != "" {
		derived, bad := derive(in.header, f.receivedBy, in.line)
		if bad != nil {
			bad.msg = in.name + ": " + bad.msg
			return bad
		}
		e = f.override(derived)
	}
	asked := e.ip.IsValid()
	conn := a.arrival(&e, f.clients, in.header, in.name)
	kept := &kept{most: f.mostKept(in)}
	session := v.Session(ctx, conn)
	session.Helo(e.helo)
	r, err := session.Verify(ctx, e.from, e.recipients, kept.watch(a.progress(in)))
	if err != nil {
		return failf(exitNoInput, "%s: %v", in.name, err)
	}
	if err := interrupted(ctx); err != nil {
		return err
	}
	e.note(r, path)
	if err := f.writeBundle(v, r, kept); err != nil {
		return err
	}
	down.watch(r.Exchanges())
	if body := kept.body(maxDiagnose); body != nil {
		v.Diagnose(ctx, r, body)
	}
	opinions := f.opinions(ctx, dns, r, kept)
	code := exitCode(r)
	a.setExit(code)
	err = a.page().Message(&view.Message{Report: r, Name: in.name, Envelope: e.derived, Exit: code, Next: n > 0, Trace: f.trace, Second: f.opinion, Opinions: opinions})
	if in.several.found {
		a.hint("%s contains several messages and was read as one: postseal replay %s reads each", in.name, in.name)
	}
	if f.receivedBy == "" && !asked && n == 0 {
		a.hint("SPF needs the envelope: add --ip, --helo and --from, or --received-by HOST")
	}
	return err
}

// override lets flags override the envelope of the message.
func (f *verifyFlags) override(e envelope) envelope {
	if f.helo != "" {
		e.helo = f.helo
	}
	if f.fromGiven {
		e.from, e.source = address.Bare(f.from), ""
	}
	e.recipients = f.recipients
	return e
}

// exitCode is 0 for accept, 1 for quarantine and reject, 2 for defer and for a verdict left
// open by the DNS.
func exitCode(r *postseal.Report) int {
	switch r.Decision.Applied {
	case postseal.Quarantine, postseal.Reject:
		return exitNo
	case postseal.Defer:
		return exitUndecided
	}
	if r.DMARC.Code == dmarc.TempError {
		return exitUndecided
	}
	return exitOK
}

// outage records whether any name server answers at all.
type outage struct {
	asked, lost int
	last        string
}

func (o *outage) watch(exchanges []resolver.Exchange) {
	for i := range exchanges {
		e := &exchanges[i]
		o.asked++
		if e.Err == nil {
			continue
		}
		switch kind := resolver.KindOf(e.Err); kind {
		case resolver.Timeout, resolver.Network:
			o.lost++
			o.last = fmt.Sprint(e.Err)
		}
	}
}

func (o *outage) hint(a *app) {
	if o.lost == 0 || len(a.flags.zones) > 0 {
		return
	}
	list, err := a.servers()
	if err != nil {
		return
	}
	servers := strings.Join(list, ", ")
	if o.lost == o.asked {
		a.hint("no name server answered (%s): %s\nchoose another one with --resolver HOST, or take the answers from a file with --zone FILE", servers, o.last)
		return
	}
	a.hint("%d of %d DNS queries got no answer from %s; the last: %s", o.lost, o.asked, servers, o.last)
}
