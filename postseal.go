// Package postseal verifies where a message comes from: it evaluates SPF against the
// connecting address (RFC 7208), verifies DKIM signatures (RFC 6376), applies the DMARC
// policy of the Author Domain (RFC 9989), and decides: accept, quarantine, reject or
// defer. Every verdict carries its evidence.
//
// A Verifier is made once. Each SMTP connection is a Session, each mail transaction a
// Transaction, which takes the message as a message.Sink and ends in a Report.
package postseal

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"postseal/arc"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/domain"
	"postseal/internal/core/shared"
	"postseal/message"
	"postseal/resolver"
	"postseal/spf"
)

// Enforce is how far a verdict is carried out.
type Enforce string

// The enforcement modes. Observe: never act. EnforceQuarantine: never above
// quarantine. Guarded: reject only what the policy rejects, evidence corroborates and
// no list or forwarder trait speaks for (RFC 9989 §7.4, §8: a receiver must not reject
// for p=reject alone). Strict: reject whatever the published policy rejects.
const (
	Observe           Enforce = "observe"
	EnforceQuarantine Enforce = "quarantine"
	Guarded           Enforce = "guarded"
	Strict            Enforce = "strict"
)

// OnError is what to do when the DNS leaves a verdict open (RFC 9989 §5.3.6).
type OnError string

// Auto: defer when an enforcing policy is known and only an identifier is not, accept
// when the policy itself could not be found.
const (
	OnErrorAuto   OnError = "auto"
	OnErrorAccept OnError = "accept"
	OnErrorDefer  OnError = "defer"
)

// Policy turns a complete Report into a Decision. Its Decision field is not set yet.
type Policy interface {
	Decide(*Report) Decision
}

// Config is the whole configuration of a Verifier. The zero value of each field is its
// default; Resolver alone is required.
type Config struct {
	AuthservID string            // RFC 8601 §2.2; default "localhost"
	Resolver   resolver.Resolver // required; give it a cache
	Enforce    Enforce           // default Guarded
	Discovery  dmarc.Discovery   // default dmarc.TreeWalk
	OnError    OnError           // default OnErrorAuto
	Policy     Policy            // default: the policy of Enforce and OnError
	ReplyURL   string            // prefix of the page of a verdict, shown in replies; "" hides it
	// TrustedSealers are the d= of ARC sealers that are believed: their passing chain
	// overrides a policy when it says that the author passed DMARC (RFC 8617 §7.2.1).
	TrustedSealers []string
	// SealAge is how old a seal may be that overrides a policy; default DefaultSealAge.
	SealAge time.Duration
	// Protected are author domains whose failures count as corroborated, such as one's own.
	Protected []string
	// RelayResults are the authserv-ids of relays of our own. Their Authentication-Results fields are
	// removed like our own (RFC 8601 §5), except where Conn.Results believes them.
	RelayResults []string
	Limits       Limits
	Now          func() time.Time // the clock of verdicts; default time.Now
	// NoPSLGuard follows the letter of RFC 9989 §4.10.2 where a public suffix publishes a
	// record without psd=y, which aligns every domain below it (§11.8).
	NoPSLGuard bool
	// AllowPartialBody lets a signature with l= short of the body count.
	AllowPartialBody bool
	// NoHeaders leaves Report.Headers empty, for those who want the verdict alone.
	NoHeaders bool
	// Trace notes every SPF term of a check, for explanations.
	Trace bool
	// SPFOf are domains whose SPF is evaluated for the client whatever MAIL FROM says: the results
	// are Report.SPFOf, in this order, for a Policy that knows a forwarder by its own record.
	SPFOf []string
	// OnPanic is called with a recovered panic; the verdict is then Defer.
	OnPanic func(recovered any)
}

// Limits bound the work for one message. Zero fields take the defaults.
type Limits struct {
	Header  message.Limits
	SPF     spf.Limits
	DKIM    dkim.Limits
	DNS     resolver.Budget
	Timeout time.Duration // from MAIL FROM to the verdict, beyond the client's own pace; default 30 s
}

// DefaultTimeout leaves SPF its 20 s (RFC 7208 §4.6.4) within an MTA's patience.
const DefaultTimeout = 30 * time.Second

// Verifier is immutable and safe for concurrent use.
type Verifier struct {
	config Config
	spf    spf.Checker
	dkim   dkim.Verifier
	arc    arc.Verifier
	dmarc  dmarc.Evaluator
	policy Policy
}

// New checks c and makes a Verifier of it.
func New(c Config) (*Verifier, error) {
	switch {
	case shared.Absent(c.Resolver):
		return nil, errors.New("postseal: Config.Resolver is missing: use resolver/stub, or resolver/dnstest in tests")
	case c.Policy != nil && shared.Absent(c.Policy):
		return nil, fmt.Errorf("postseal: Config.Policy is a nil %T: leave it out for the default", c.Policy)
	}
	c.setDefaults()
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("postseal: %w", err)
	}
	v := &Verifier{config: c, policy: c.Policy,
		spf:   spf.Checker{Receiver: c.AuthservID, Limits: c.Limits.SPF, Now: c.Now, Trace: c.Trace},
		dkim:  dkim.Verifier{Limits: c.Limits.DKIM, Now: c.Now, AllowPartialBody: c.AllowPartialBody},
		arc:   arc.Verifier{Now: c.Now, AllowPartialBody: c.AllowPartialBody},
		dmarc: dmarc.Evaluator{Discovery: c.Discovery, NoGuard: c.NoPSLGuard}}
	if v.policy == nil {
		v.policy = &EnforcePolicy{Mode: c.Enforce, OnError: c.OnError, Protected: c.Protected, TrustedSealers: c.TrustedSealers,
			SealAge: c.SealAge, ReplyURL: c.ReplyURL}
	}
	return v, nil
}

// ready reports whether New made v.
func (v *Verifier) ready() bool { return v != nil && v.policy != nil }

var errNoVerifier = errors.New("postseal: the Verifier is not made by New")

// Config returns the configuration with its defaults filled in.
func (v *Verifier) Config() Config {
	if v == nil {
		return Config{}
	}
	return v.config
}

func (c *Config) setDefaults() {
	if c.AuthservID == "" {
		c.AuthservID = "localhost"
	}
	if c.Enforce == "" {
		c.Enforce = Guarded
	}
	if c.Discovery == "" {
		c.Discovery = dmarc.TreeWalk
	}
	if c.OnError == "" {
		c.OnError = OnErrorAuto
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Limits.Timeout == 0 {
		c.Limits.Timeout = DefaultTimeout
	}
}

func (c *Config) check() error {
	switch c.Enforce {
	case Observe, EnforceQuarantine, Guarded, Strict:
	default:
		return fmt.Errorf("Config.Enforce: %q is not one of observe, quarantine, guarded, strict", c.Enforce)
	}
	switch c.OnError {
	case OnErrorAuto, OnErrorAccept, OnErrorDefer:
	default:
		return fmt.Errorf("Config.OnError: %q is not one of auto, accept, defer", c.OnError)
	}
	switch c.Discovery {
	case dmarc.TreeWalk, dmarc.PSL:
	default:
		return fmt.Errorf("Config.Discovery: %q is not one of treewalk, psl", c.Discovery)
	}
	if c.Limits.Timeout < 0 {
		return fmt.Errorf("Config.Limits.Timeout: %v is negative", c.Limits.Timeout)
	}
	for _, p := range c.Protected {
		if _, err := domain.Parse(p); err != nil {
			return fmt.Errorf("Config.Protected: %w", err)
		}
	}
	for _, s := range c.TrustedSealers {
		if _, err := domain.Parse(s); err != nil {
			return fmt.Errorf("Config.TrustedSealers: %w", err)
		}
	}
	for _, d := range c.SPFOf {
		if _, err := domain.Parse(d); err != nil {
			return fmt.Errorf("Config.SPFOf: %w", err)
		}
	}
	return nil
}

// Conn is what is known of the connection.
type Conn struct {
	Remote netip.AddrPort // the client; the zero value means not known: SPF and iprev are skipped, and SPF is unknown to DMARC
	TLS    bool
	User   string // the authenticated user, or ""
	// Relays is how many hosts of our own handed the message on since the client did: each
	// stamped a Received field on top, which says nothing of lists and forwarders.
	Relays int
	// UnknownSender says that the reverse-path of the messages is not known, as for a stored
	// message without a Return-Path. It differs from the null path: SPF is skipped, and DMARC,
	// which SPF could have passed, is temperror unless it passes otherwise.
	UnknownSender bool
	// Results is the authserv-id of the relay of our own that handed the message on, "" for none. Its
	// Authentication-Results fields are believed if they are above the Received field that Relays counts
	// to: when they say that the author passed DMARC, they override a policy.
	Results string
}

// Session is one SMTP connection. It is used by one goroutine.
type Session struct {
	v    *Verifier
	ctx  context.Context
	conn Conn
	helo string
	now  func() time.Time
}

// Session begins a connection. All work for it ends with ctx. With a Verifier that New did not make, every
// message of it ends in an error.
func (v *Verifier) Session(ctx context.Context, c Conn) *Session {
	return &Session{v: v, ctx: shared.Context(ctx), conn: c, now: v.Config().Now}
}

// Helo records the HELO or EHLO name; the last one before a Mail counts (RFC 5321
// §4.1.4, RFC 3207 §4.2).
func (s *Session) Helo(name string) { s.helo = name }

// At sets the clock of the transactions that begin from now on to t: to verify a message as
// of its receipt. Expiry of signatures, the reference and the Time of the Report depend on
// it. The DNS answers as it does today.
func (s *Session) At(t time.Time) { s.now = func() time.Time { return t } }
