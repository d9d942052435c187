package outbox

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"strings"
	"time"

	"postseal/internal/app/failure"
	"postseal/report"
	"postseal/store"
)

// Failures sends reports about single messages (RFC 9991) for the domains that the operator lists:
// few, since whoever forges a domain decides how many messages fail. What is to be sent waits in
// the database, as the mail that leaves and nothing more of the message, until it was taken or given
// up; any process with the database continues with it. It is not safe for concurrent use.
type Failures struct {
	Sender
	Domains []string // about which they are sent, with the names below them
	Host    string   // name of the receiver
	Redact  *failure.Redactor
	// Result is called with what became of each failure, one of the results below.
	Result func(result string)

	kinds map[string]map[string]*likes // by entry of Domains and kind
}

// What becomes of a failure for which a report is asked.
const (
	FailureSent      = "sent"
	FailureLimited   = "limited"   // a report about a like failure went out, or enough did today
	FailureRefused   = "refused"   // by the destination's server
	FailureForbidden = "forbidden" // no destination agrees, or all are suppressed
	FailureExpired   = "expired"   // not accepted within four hours
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
	maxWaiting      = 50  // of all domains, in the database
)

// likes are the failures of one kind since a report about one of them was tried.
type likes struct {
	tried time.Time
	n     int64
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
	mails, err := f.queue(ctx, &facts, listed, now)
	if err != nil || len(mails) == 0 {
		return err
	}
	kind.n = 0
	failpoint("failure queued")
	return f.attempts(ctx, mails)
}

// queue makes the mails of a report and puts them into the database, if someone may get them and
// the limits that all hosts with this database share allow it.
func (f *Failures) queue(ctx context.Context, facts *failure.Facts, listed string, now time.Time) ([]store.FailureReport, error) {
	to, err := f.allowed(ctx, facts.Policy, facts.URIs)
	switch {
	case err != nil:
		f.Result(FailureDropped)
		return nil, err
	case len(to) == 0:
		f.Result(FailureForbidden)
		return nil, nil
	}
	var mails []store.FailureReport
	for _, d := range to {
		letter := failure.Letter{Facts: *facts, From: f.Who.From, To: d.Address, Host: f.Host, Generator: f.Who.Generator, Date: now}
		body, err := letter.Compose()
		if err != nil {
			return nil, err
		}
		token := strings.ToLower(rand.Text()[:16])
		mails = append(mails, store.FailureReport{
			Delivery: store.Delivery{Day: store.DayOf(store.Millis(now)), Domain: facts.Policy, URI: "failure:" + token, Address: d.Address, NextAt: store.Millis(now), Token: token},
			Asked:    d.URI, MadeAt: store.Millis(now), Ref: facts.Ref, Type: facts.Type, Incidents: facts.Incidents, Body: body})
	}
	limit := store.FailureLimit{Domain: listed, Kind: facts.Kind(), At: store.Millis(now), Most: failuresPerDay, Every: failureInterval, Waiting: maxWaiting}
	ok, err := f.DB.QueueFailure(ctx, limit, mails)
	switch {
	case err != nil:
		f.Result(FailureDropped)
		if errors.Is(err, store.ErrFull) {
			err = nil
		}
		return nil, err
	case !ok:
		f.Result(FailureLimited)
		return nil, nil
	}
	return mails, nil
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
func (f *Failures) allowed(ctx context.Context, policy string, uris []string) (list []report.Destination, err error) {
	blocked, err := f.blocked(ctx, policy)
	if blocked || err != nil {
		return nil, err
	}
	for _, d := range report.Destinations(ctx, f.Resolver, report.Failure, policy, uris) {
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

// Retry tries what is due: what was not taken yet, and what a process that is gone had begun.
func (f *Failures) Retry(ctx context.Context) error {
	due, err := f.DB.DueFailures(ctx, store.Millis(f.Now()), maxWaiting)
	if err != nil {
		return err
	}
	return f.attempts(ctx, due)
}

func (f *Failures) attempts(ctx context.Context, list []store.FailureReport) error {
	defer f.Carrier.Close()
	var errs []error
	for i := range list {
		errs = append(errs, f.attempt(ctx, &list[i]))
	}
	return errors.Join(errs...)
}

// attempt makes one attempt, if no other process makes it.
func (f *Failures) attempt(ctx context.Context, x *store.FailureReport) error {
	now := f.Now()
	mine, err := f.DB.Lease(ctx, x.Delivery, store.Millis(now), store.Millis(now.Add(leaseTime)))
	if err != nil || !mine {
		return err
	}
	failpoint("failure leased")
	x.Attempts++
	sendErr := errTooOld
	if !now.After(store.Time(x.MadeAt).Add(failureGiveUp)) {
		within, cancel := context.WithTimeout(ctx, sendTime)
		sendErr = f.deliver(within, x)
		cancel()
	}
	if sendErr != nil && ctx.Err() != nil {
		return ctx.Err() // the lease ends, and the report is tried again
	}
	failpoint("failure sent")
	if result := f.outcome(x, sendErr); result != "" {
		f.Result(result)
	}
	// A mail that was taken is noted even if ctx ended meanwhile: it would be sent twice.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	if err := f.DB.EndAttempt(ctx, x.Delivery); err != nil {
		return err
	}
	failpoint("failure done")
	f.Log.Info("failure report", "domain", x.Domain, "ref", x.Ref, "to", hostOf(x.Address), "type", x.Type, "incidents", x.Incidents, "state", x.State, "attempt", x.Attempts, "reply", x.Reply)
	if x.State == store.DeliveryFailed {
		return Strike(ctx, f.DB, x.Delivery, x.Reply, f.Now())
	}
	return nil
}

var (
	errTooOld    = errors.New("not accepted within four hours")
	errAskAgain  = errors.New("the DNS does not say whether the destination agrees")
	errForbidden = errors.New("the destination does not agree any more, or is suppressed")
)

// outcome sets what follows from an attempt, and returns what is counted, "" before another one.
func (f *Failures) outcome(x *store.FailureReport, err error) string {
	now := f.Now()
	var refused *Refusal
	if err == nil {
		x.State, x.SentAt, x.Reply = store.DeliverySent, store.Millis(now), ""
		return FailureSent
	}
	x.Reply = store.Clean(err.Error())
	next := now.Add(retries[min(x.Attempts, len(retries))-1])
	switch {
	case errors.Is(err, errForbidden):
		x.State = store.DeliveryRefused
		return FailureForbidden
	case errors.As(err, &refused) && refused.Permanent():
		x.State = store.DeliveryFailed
		return FailureRefused
	case next.After(store.Time(x.MadeAt).Add(failureGiveUp)):
		x.State = store.DeliveryExpired
		return FailureExpired
	}
	x.State, x.NextAt = store.DeliveryDue, store.Millis(next)
	return ""
}

// deliver asks again whether the destination agrees, signs and verifies the mail, and hands it over.
func (f *Failures) deliver(ctx context.Context, x *store.FailureReport) error {
	to, err := f.allowed(ctx, x.Domain, []string{x.Asked})
	switch {
	case err != nil:
		return err
	case len(to) == 0:
		return errForbidden
	case to[0].Consent != report.Allowed:
		return errAskAgain
	case !strings.EqualFold(to[0].Address, x.Address): // it names another one since
		return errForbidden
	case len(x.Body) == 0:
		return &Refusal{Code: 554, Text: "the report is not kept any more"}
	}
	mail, err := f.Signer.Sign(x.Body)
	if err != nil {
		return err
	}
	if err := Verify(ctx, f.Resolver, mail); err != nil {
		return err
	}
	return f.Carrier.Send(ctx, f.Who.EnvelopeFrom(x.Token), append([]string{x.Address}, f.Bcc...), mail)
}
