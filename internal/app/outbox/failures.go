package outbox

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"postseal/internal/app/failure"
	"postseal/report"
	"postseal/store"
)

// Failures sends reports about single messages (RFC 9991) for the domains that the operator lists:
// few, since whoever forges a domain decides how many messages fail. They wait in memory alone,
// since they hold more of a message than the history may: what could not be handed over when the
// process ends is lost. It is not safe for concurrent use.
type Failures struct {
	Sender
	Domains []string // about which they are sent, with the names below them
	Host    string   // name of the receiver
	Redact  *failure.Redactor
	// Result is called with what became of each failure, one of the results below.
	Result func(result string)

	kinds   map[string]map[string]*likes // by entry of Domains and kind
	waiting []*letter
}

// What becomes of a failure for which a report is asked.
const (
	FailureSent      = "sent"
	FailureLimited   = "limited"   // a report about a like failure went out, or enough did today
	FailureRefused   = "refused"   // by the destination's server
	FailureForbidden = "forbidden" // no destination agrees, or all are suppressed
	FailureExpired   = "expired"   // not taken within four hours
	FailureDropped   = "dropped"   // too many wait, or the database does not answer
)

// FailureResults are all of them.
var FailureResults = []string{FailureSent, FailureLimited, FailureRefused, FailureForbidden, FailureExpired, FailureDropped}

// Bounds of failure reports (RFC 9991 §8.1).
const (
	failuresPerDay  = 10
	failureInterval = time.Hour
	failureGiveUp   = 4 * time.Hour
	maxKinds        = 100 // of an entry of Domains
	maxWaiting      = 50
)

// likes are the failures of one kind since a report about one of them was tried.
type likes struct {
	tried time.Time
	n     int64
}

// letter is a report on its way.
type letter struct {
	failure.Facts
	uris     []string // that have not got it yet
	first    time.Time
	next     time.Time
	attempts int
}

// Listed returns the entry of Domains for a policy domain, "" if there is none. All names below an
// entry share its limits: a domain can have a policy at any number of names below it.
func (f *Failures) Listed(policyDomain string) string {
	for _, d := range f.Domains {
		if policyDomain == d || strings.HasSuffix(policyDomain, "."+d) {
			return d
		}
	}
	return ""
}

// Message looks at a checked message, and sends the report about it if one is asked for.
func (f *Failures) Message(ctx context.Context, v store.Verdict) error {
	policy := store.Domain(v.Report.DMARC.PolicyDomain)
	listed := f.Listed(policy)
	if listed == "" || excluded(policy, f.Exclude) {
		return nil
	}
	facts, ok := failure.Of(v, f.Redact)
	if !ok {
		return nil
	}
	now := f.Now()
	kind := f.kind(listed, facts.Kind(), now)
	if kind == nil {
		f.Result(FailureLimited)
		return nil
	}
	kind.n++
	if !kind.tried.IsZero() && now.Before(kind.tried.Add(failureInterval)) {
		f.Result(FailureLimited)
		return nil
	}
	kind.tried, facts.Incidents = now, kind.n
	l := &letter{Facts: facts, uris: facts.URIs, first: now}
	sends, err := f.take(ctx, l, listed)
	if err != nil || !sends {
		return err
	}
	kind.n = 0
	return f.attempt(ctx, l)
}

// take reports whether a report may be sent: someone may get it, and the limits that all hosts
// with this database share allow it.
func (f *Failures) take(ctx context.Context, l *letter, listed string) (bool, error) {
	allowed, err := f.allowed(ctx, l)
	switch {
	case err != nil:
		f.Result(FailureDropped)
		return false, err
	case len(allowed) == 0:
		f.Result(FailureForbidden)
		return false, nil
	}
	ok, err := f.DB.TakeFailure(ctx, listed, l.Kind(), store.Millis(l.first), failuresPerDay, failureInterval)
	switch {
	case err != nil:
		f.Result(FailureDropped)
	case !ok:
		f.Result(FailureLimited)
	}
	return ok, err
}

// kind finds the failures of a kind. It returns nil if there are too many kinds to follow.
func (f *Failures) kind(listed, key string, now time.Time) *likes {
	if f.kinds == nil {
		f.kinds = map[string]map[string]*likes{}
	}
	all := f.kinds[listed]
	if all == nil {
		all = map[string]*likes{}
		f.kinds[listed] = all
	}
	if x := all[key]; x != nil {
		return x
	}
	if len(all) >= maxKinds {
		maps.DeleteFunc(all, func(_ string, x *likes) bool { return now.Sub(x.tried) > failureInterval })
	}
	if len(all) >= maxKinds {
		return nil
	}
	x := &likes{}
	all[key] = x
	return x
}

// allowed are the destinations that may get a report now, or may be asked about later.
func (f *Failures) allowed(ctx context.Context, l *letter) (list []report.Destination, err error) {
	blocked, err := f.blocked(ctx, l.Policy)
	if blocked || err != nil {
		return nil, err
	}
	for _, d := range report.Destinations(ctx, f.Resolver, report.Failure, l.Policy, l.uris) {
		if d.Consent == report.Refused {
			continue
		}
		blocked, err := f.blocked(ctx, strings.ToLower(d.Address), hostOf(d.Address))
		if err != nil {
			return nil, err
		}
		if !blocked {
			list = append(list, d)
		}
	}
	return list, nil
}

// Retry tries again what is due.
func (f *Failures) Retry(ctx context.Context) error {
	now := f.Now()
	var errs []error
	for _, l := range slices.Clone(f.waiting) {
		if now.Before(l.next) {
			continue
		}
		f.waiting = slices.DeleteFunc(f.waiting, func(x *letter) bool { return x == l })
		errs = append(errs, f.attempt(ctx, l))
	}
	return errors.Join(errs...)
}

// attempt sends a report to each destination that has not got it.
func (f *Failures) attempt(ctx context.Context, l *letter) error {
	defer f.Carrier.Close()
	l.attempts++
	list, err := f.allowed(ctx, l)
	if err != nil {
		f.wait(l)
		return err
	}
	l.uris = nil
	for _, d := range list {
		var refused *Refusal
		switch err := f.deliver(ctx, l, d); {
		case err == nil:
			f.Result(FailureSent)
		case errors.As(err, &refused) && refused.Permanent():
			f.Result(FailureRefused)
		default:
			f.Log.Warn("a failure report is tried again later", "domain", l.Policy, "attempt", l.attempts, "error", store.Clean(err.Error()))
			l.uris = append(l.uris, d.URI)
		}
	}
	if len(l.uris) > 0 {
		f.wait(l)
	}
	return nil
}

// Waiting is how many reports wait for another attempt.
func (f *Failures) Waiting() int { return len(f.waiting) }

// wait keeps a report for its next attempt, if there is one.
func (f *Failures) wait(l *letter) {
	l.next = f.Now().Add(retries[min(l.attempts, len(retries))-1])
	switch {
	case l.next.After(l.first.Add(failureGiveUp)):
		f.Result(FailureExpired)
	case len(f.waiting) >= maxWaiting:
		f.Result(FailureDropped)
	default:
		f.waiting = append(f.waiting, l)
	}
}

var errAskAgain = errors.New("the DNS does not say whether the destination agrees")

// deliver composes the mail for one destination, verifies it and hands it over.
func (f *Failures) deliver(ctx context.Context, l *letter, d report.Destination) error {
	if d.Consent != report.Allowed {
		return errAskAgain
	}
	x := store.Delivery{Day: store.DayOf(store.Millis(l.At)), Domain: l.Policy, URI: store.Clean(d.URI), Address: d.Address, Token: strings.ToLower(rand.Text()[:16])}
	mail, err := f.mail(ctx, l, d.Address)
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, sendTime)
	err = f.Carrier.Send(within, f.Who.EnvelopeFrom(x.Token), append([]string{d.Address}, f.Bcc...), mail)
	cancel()
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	var refused *Refusal
	switch {
	case err == nil:
		x.SentAt = store.Millis(f.Now())
		f.Log.Info("failure report", "domain", l.Policy, "ref", l.Ref, "to", hostOf(d.Address), "type", l.Type, "incidents", l.Incidents)
		if err := f.DB.AddFailure(ctx, x); err != nil {
			f.Log.Warn("a failure report was sent and cannot be noted: its bounce will not be known", "error", store.Clean(err.Error()))
		}
	case errors.As(err, &refused) && refused.Permanent():
		return errors.Join(err, Strike(ctx, f.DB, x, store.Clean(err.Error()), f.Now()))
	}
	return err
}

// mail returns the signed mail, after it verified it.
func (f *Failures) mail(ctx context.Context, l *letter, to string) ([]byte, error) {
	letter := failure.Letter{Facts: l.Facts, From: f.Who.From, To: to, Host: f.Host, Generator: f.Who.Generator, Date: f.Now()}
	plain, err := letter.Compose()
	if err != nil {
		return nil, err
	}
	mail, err := f.Signer.Sign(plain)
	if err != nil {
		return nil, err
	}
	return mail, Verify(ctx, f.Resolver, mail)
}
