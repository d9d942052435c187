package outbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"postseal/internal/core/dmarcrecord"
	"postseal/report"
	"postseal/resolver"
	"postseal/store"
)

// Sender sends the reports of days that are over.
type Sender struct {
	Builder
	Resolver resolver.Resolver
	Signer   *report.Signer
	Carrier  Carrier
	Bcc      []string
	Wait     time.Duration // how long after the end of a day nodes that lag are waited for
	Log      *slog.Logger
	// Shipped says that this process's own verdicts of a day are in the database. Nil says so
	// always.
	Shipped func(store.Day) bool

	failures  int       // temporary ones in a row
	openUntil time.Time // nothing is tried before, after too many
}

// The pace of sending.
const (
	closeAfter  = 15 * time.Minute // after the end of a day
	daysBack    = 31               // days that are looked at
	perSweep    = 600              // reports and deliveries of one sweep
	perHost     = 60               // mails to one host in one sweep, which is a minute
	leaseTime   = 10 * time.Minute
	sendTime    = 8 * time.Minute  // of an attempt: it ends before its lease
	noteTime    = 10 * time.Second // to note what became of it, also at the end of the process
	askAgain    = time.Hour        // after the DNS did not answer
	giveUp      = 24 * time.Hour
	breakAfter  = 20 // temporary failures in a row
	breakTime   = 10 * time.Minute
	keepBodies  = 14  // days
	keepReports = 400 // days
)

// retries are the times after which an attempt follows the one before.
var retries = []time.Duration{10 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour}

// Sweep does what is due: it closes and builds days, finds out where reports may go, and
// sends them. It does each step under the state of its row, so it may be interrupted
// anywhere, and run in several processes.
func (s *Sender) Sweep(ctx context.Context) error {
	return errors.Join(s.Days(ctx), s.Prepare(ctx), s.Deliver(ctx), s.trim(ctx))
}

func (s *Sender) trim(ctx context.Context) error {
	today := store.DayOf(store.Millis(s.Now()))
	return s.DB.TrimReports(ctx, today-keepBodies, today-keepReports)
}

// Days closes the days that are over and builds their reports, the oldest day first: the domains
// that it makes known count for those after it. A day that fails does not hold up the others.
func (s *Sender) Days(ctx context.Context) error {
	now := s.Now()
	today := store.DayOf(store.Millis(now))
	days, err := s.DB.PendingDays(ctx, today-daysBack, today)
	for i := range days {
		if e := s.endDay(ctx, &days[i], now); e != nil {
			err = errors.Join(err, fmt.Errorf("the reports of %s: %w", days[i].Day, e))
		}
	}
	return err
}

func (s *Sender) endDay(ctx context.Context, d *store.ReportDay, now time.Time) error {
	if d.State == store.DayOpen {
		if closed, err := s.close(ctx, d.Day, now); err != nil || !closed {
			return err
		}
	}
	made, err := s.Build(ctx, d.Day)
	if err != nil {
		return err
	}
	s.Log.Info("the reports of a day are built", "day", d.Day.String(), "domains", made)
	return nil
}

// close ends a day once its verdicts are all there, or were waited for.
func (s *Sender) close(ctx context.Context, day store.Day, now time.Time) (bool, error) {
	end := store.Time(day.End())
	if now.Before(end.Add(closeAfter)) || s.Shipped != nil && !s.Shipped(day) {
		return false, nil
	}
	nodes, err := s.DB.Nodes(ctx)
	if err != nil {
		return false, err
	}
	var lag []string
	for _, n := range nodes {
		if n.Seen > 0 && n.Shipped < day.End() && store.Time(n.Seen).After(end.Add(-24*time.Hour)) {
			lag = append(lag, n.Name)
		}
	}
	if len(lag) > 0 && now.Before(end.Add(s.Wait)) {
		return false, nil
	}
	failpoint("close")
	if _, err := s.DB.CloseDay(ctx, day, store.Millis(now), strings.Join(lag, " ")); err != nil {
		return false, err
	}
	failpoint("closed")
	if len(lag) > 0 {
		s.Log.Warn("a day is closed before every node had shipped it: later verdicts are in no report", "day", day.String(), "nodes", strings.Join(lag, " "))
	}
	return true, nil
}

// Prepare finds the destinations of the reports whose time has come.
func (s *Sender) Prepare(ctx context.Context) error {
	list, err := s.DB.BuiltReports(ctx, store.Millis(s.Now()), perSweep)
	if err != nil {
		return err
	}
	for i := range list {
		if err := s.prepare(ctx, &list[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sender) prepare(ctx context.Context, r *store.Outgoing) error {
	now := s.Now()
	to, why, again, err := s.Destinations(ctx, r)
	if err != nil {
		return err
	}
	if again && now.Before(store.Time(r.BuiltAt).Add(giveUp)) {
		return s.DB.Postpone(ctx, r.Day, r.Domain, store.Millis(now.Add(askAgain)))
	}
	failpoint("prepare")
	err = s.DB.SealReport(ctx, r.Day, r.Domain, why, to)
	failpoint("prepared")
	return err
}

// Reasons why a report that was built is not sent.
const (
	whyWithdrawn  = "the domain does not ask for reports any more"
	whySuppressed = "suppressed: see postseal report suppress"
	whyNoAddress  = "rua names no address that mail can be sent to"
)

// Destinations finds out where a report may go now. why says that it is not wanted; again
// that the DNS left something open.
func (s *Sender) Destinations(ctx context.Context, r *store.Outgoing) (to []store.Delivery, why string, again bool, err error) {
	uris, withdrawn, err := s.wanted(ctx, r)
	switch {
	case err != nil:
		return nil, "", false, err
	case withdrawn:
		return nil, whyWithdrawn, false, nil
	}
	if blocked, err := s.blocked(ctx, r.Domain); blocked || err != nil {
		return nil, whySuppressed, false, err
	}
	list := report.Destinations(ctx, s.Resolver, report.Aggregate, r.Domain, uris)
	if len(list) == 0 {
		return nil, whyNoAddress, false, nil
	}
	for _, d := range list {
		again = again || d.Consent == report.Unknown
		x := store.Delivery{Day: r.Day, Domain: r.Domain, URI: store.Clean(d.URI), Address: d.Address, State: store.DeliveryRefused, Reply: d.Why, NextAt: store.Millis(s.Now()), Token: strings.ToLower(rand.Text()[:16])}
		if d.Consent == report.Allowed {
			blocked, err := s.blocked(ctx, strings.ToLower(d.Address), hostOf(d.Address))
			if err != nil {
				return nil, "", false, err
			}
			if x.State = store.DeliveryDue; blocked {
				x.State, x.Reply = store.DeliveryRefused, whySuppressed
			}
		}
		to = append(to, x)
	}
	return to, "", again, nil
}

func hostOf(address string) string {
	return strings.ToLower(address[strings.LastIndexByte(address, '@')+1:])
}

// wanted asks the domain again whether it wants reports. Where the DNS does not answer, what
// was observed on the day holds.
func (s *Sender) wanted(ctx context.Context, r *store.Outgoing) (uris []string, withdrawn bool, err error) {
	answer, err := s.Resolver.Lookup(ctx, "_dmarc."+r.Domain, resolver.TXT)
	if err != nil {
		policy, _, err := s.DB.PolicyByHash(ctx, r.Policy)
		return destinations(policy.Text), false, err
	}
	var records []*dmarcrecord.Record
	for _, rr := range answer.Records {
		if x, ok := dmarcrecord.Parse(rr.Text); ok {
			records = append(records, x)
		}
	}
	if len(records) != 1 || len(records[0].RUA) == 0 {
		return nil, true, nil
	}
	return records[0].RUA, false, nil
}

// blocked reports whether one of the targets is suppressed now.
func (s *Sender) blocked(ctx context.Context, targets ...string) (bool, error) {
	for _, t := range targets {
		x, ok, err := s.DB.Suppression(ctx, t)
		if err != nil || ok && x.Until > store.Millis(s.Now()) {
			return true, err
		}
	}
	return false, nil
}

// Deliver sends what is due.
func (s *Sender) Deliver(ctx context.Context) error {
	now := s.Now()
	if now.Before(s.openUntil) {
		return nil
	}
	list, err := s.DB.DueDeliveries(ctx, store.Millis(now), perSweep)
	if err != nil || len(list) == 0 {
		return err
	}
	defer s.Carrier.Close()
	sent := map[string]int{}
	for i := range list {
		host := hostOf(list[i].Address)
		if sent[host]++; sent[host] > perHost {
			continue
		}
		if err := s.attempt(ctx, &list[i]); err != nil {
			return err
		}
		if s.failures >= breakAfter {
			s.failures, s.openUntil = 0, now.Add(breakTime)
			s.Log.Warn("sending reports pauses: too many attempts in a row failed", "for", breakTime.String())
			return nil
		}
	}
	return nil
}

// attempt makes one attempt.
func (s *Sender) attempt(ctx context.Context, x *store.Delivery) error {
	now := s.Now()
	failpoint("lease")
	mine, err := s.DB.Lease(ctx, *x, store.Millis(now), store.Millis(now.Add(leaseTime)))
	if err != nil || !mine {
		return err
	}
	failpoint("leased")
	x.Attempts++
	if x.FirstAt == 0 {
		x.FirstAt = store.Millis(now)
	}
	within, cancel := context.WithTimeout(ctx, sendTime)
	sendErr := s.send(within, x)
	cancel()
	if sendErr != nil && ctx.Err() != nil {
		return ctx.Err() // the lease ends, and the report is tried again
	}
	failpoint("sent")
	s.outcome(x, sendErr)
	// A mail that was taken is noted even if ctx ended meanwhile: it would be sent twice.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	if err := s.DB.EndAttempt(ctx, *x); err != nil {
		return err
	}
	failpoint("done")
	s.Log.Info("report", "day", x.Day.String(), "domain", x.Domain, "state", x.State, "attempt", x.Attempts, "reply", x.Reply)
	if x.State == store.DeliveryFailed {
		return Strike(ctx, s.DB, *x, x.Reply, s.Now())
	}
	return nil
}

// outcome sets what follows from an attempt.
func (s *Sender) outcome(x *store.Delivery, err error) {
	now := s.Now()
	var refused *Refusal
	switch {
	case err == nil:
		s.failures = 0
		x.State, x.SentAt, x.Reply = store.DeliverySent, store.Millis(now), ""
		return
	case errors.As(err, &refused) && refused.Permanent():
		s.failures = 0
		x.State, x.Reply = store.DeliveryFailed, store.Clean(err.Error())
		return
	case !errors.As(err, &refused):
		s.failures++
	}
	x.Reply = store.Clean(err.Error())
	next := now.Add(retries[min(x.Attempts, len(retries))-1])
	if next.After(store.Time(x.FirstAt).Add(giveUp)) {
		x.State = store.DeliveryExpired
		return
	}
	x.State, x.NextAt = store.DeliveryDue, store.Millis(next)
}

// send composes the mail, verifies it and hands it over.
func (s *Sender) send(ctx context.Context, x *store.Delivery) error {
	r, ok, err := s.DB.OutgoingReport(ctx, x.Day, x.Domain)
	switch {
	case err != nil:
		return err
	case !ok || len(r.Body) == 0:
		return &Refusal{Code: 554, Text: "the report is not kept any more"}
	}
	mail, err := s.Mail(ctx, &r, x.Address)
	if err != nil {
		return err
	}
	failpoint("composed")
	return s.Carrier.Send(ctx, s.Who.EnvelopeFrom(x.Token), append([]string{x.Address}, s.Bcc...), mail)
}

// Mail returns the mail with a report, after it verified it.
func (s *Sender) Mail(ctx context.Context, r *store.Outgoing, to string) ([]byte, error) {
	m, err := s.unsigned(ctx, r, to)
	if err != nil {
		return nil, err
	}
	mail, err := m.Compose(s.Signer)
	if err != nil {
		return nil, err
	}
	return mail, Verify(ctx, s.Resolver, mail)
}

// EnvelopeFrom is the envelope sender of a mail with a token.
func (w *Who) EnvelopeFrom(token string) string {
	local, host, _ := strings.Cut(w.From, "@")
	return local + "+" + token + "@" + host
}

// Token returns the token of an envelope sender, if address is one.
func (w *Who) Token(address string) (string, bool) {
	local, host, _ := strings.Cut(strings.ToLower(w.From), "@")
	rest, ok := strings.CutPrefix(strings.ToLower(address), local+"+")
	token, ok2 := strings.CutSuffix(rest, "@"+host)
	return token, ok && ok2 && len(token) == 16
}

// suppressions double from the first to the longest.
const (
	firstSuppression = 30 * 24 * time.Hour
	mostSuppression  = 240 * 24 * time.Hour
)

// Strike notes that a delivery failed for good. After two reports in a row its address gets
// none for 30 days, then 60 and up to 240. A report that was taken in between, and did not come
// back, begins the count again.
func Strike(ctx context.Context, db store.Outbox, failed store.Delivery, why string, now time.Time) error {
	target := strings.ToLower(failed.Address)
	x, _, err := db.Suppression(ctx, target)
	if err != nil || x.ByHand {
		return err
	}
	before, ok, err := db.PreviousDelivery(ctx, failed)
	if err != nil {
		return err
	}
	if ok && before.State == store.DeliverySent {
		x.Hits, x.Until = 0, 0
	}
	x.Target, x.Why = target, store.Clean(why)
	x.Hits++
	if d := SuppressedFor(x.Hits); d > 0 {
		x.Until = store.Millis(now.Add(d))
	}
	return db.Suppress(ctx, x)
}

// SuppressedFor is how long an address gets no reports after a number of reports in a row that
// failed.
func SuppressedFor(failures int) time.Duration {
	if failures < 2 {
		return 0
	}
	return min(firstSuppression<<min(failures-2, 8), mostSuppression)
}

// Bounced notes that a mail came back: token is that of its envelope sender. It reports whether
// the token is known.
func Bounced(ctx context.Context, db store.Outbox, token, why string, now time.Time) (bool, error) {
	x, ok, err := db.DeliveryOf(ctx, token)
	if err != nil || !ok || x.State != store.DeliverySent {
		return ok, err
	}
	x.State, x.Reply = store.DeliveryFailed, store.Clean(why)
	if err := db.EndAttempt(ctx, x); err != nil {
		return true, err
	}
	return true, Strike(ctx, db, x, why, now)
}

// Again makes the deliveries of a report due again. The same octets are sent.
func Again(ctx context.Context, db store.Outbox, day store.Day, domain string, now time.Time) (int64, error) {
	r, ok, err := db.OutgoingReport(ctx, day, domain)
	switch {
	case err != nil:
		return 0, err
	case !ok:
		return 0, fmt.Errorf("there is no report about %s on %s", domain, day)
	case len(r.Body) == 0:
		return 0, fmt.Errorf("the report about %s on %s is not kept any more", domain, day)
	case !slices.Contains([]string{store.ReportDone, store.ReportSealed}, r.State):
		return 0, fmt.Errorf("the report about %s on %s was not sent: it is %s", domain, day, r.State)
	}
	return db.Resend(ctx, day, domain, store.Millis(now))
}
