package dmarc

import (
	"context"
	"slices"

	"postseal/domain"
	"postseal/internal/core/dmarcrecord"
	"postseal/internal/core/shared"
	"postseal/resolver"
)

// DefaultIdentifiers is the number of distinct domains whose Organizational Domain is
// looked up for one message.
const DefaultIdentifiers = 10

// Evaluator evaluates messages. It holds no state and is safe for concurrent use if its
// Resolver is.
type Evaluator struct {
	Resolver  resolver.Resolver
	Discovery Discovery // default TreeWalk
	NoGuard   bool      // follow RFC 9989 §4.10.2 to the letter, unsafe as by §11.8
}

func (e *Evaluator) discovery() Discovery {
	if e.Discovery == PSL {
		return PSL
	}
	return TreeWalk
}

// Evaluate applies DMARC to a message of author (RFC 9989 §5.3). ids are what SPF and
// DKIM authenticated, or may have.
func (e *Evaluator) Evaluate(ctx context.Context, author domain.Name, ids []Identifier) Result {
	return e.begin(ctx).evaluate(author, ids)
}

// Discover finds the policy of author without a message (RFC 9989 §4.10.1). Code is
// empty when a policy applies.
func (e *Evaluator) Discover(ctx context.Context, author domain.Name) Result {
	x := e.begin(ctx)
	r, _, _ := x.discover(author, new(walk))
	return r
}

// evaluation is the work on one message: it asks for each name once (RFC 9989 §4.10.2 walks
// from several names).
type evaluation struct {
	evaluator Evaluator
	ctx       context.Context
	steps     []Step // at each name that a walk has met
}

// begin starts on a message; its lookups end with ctx.
func (e *Evaluator) begin(ctx context.Context) *evaluation {
	x := &evaluation{ctx: shared.Context(ctx)}
	if e != nil {
		x.evaluator = *e
	}
	x.evaluator.Resolver = shared.Resolver(x.evaluator.Resolver)
	return x
}

// discover fills in everything that does not depend on identifiers, and the walk w; it
// returns the record that applies and the Organizational Domains that are possible. Result stays
// empty when a policy applies.
func (x *evaluation) discover(author domain.Name, w *walk) (r Result, rec *dmarcrecord.Record, orgs []domain.Name) {
	r = Result{AuthorDomain: string(author), Discovery: x.evaluator.discovery()}
	if author == "" {
		r.Code, r.Reason = PermError, NoAuthorDomain
		return r, nil, nil
	}
	x.walk(w, author)
	r.Walk, r.Queries = w.steps, len(w.steps)
	orgs, r.Guard = w.orgs(nil)
	if len(orgs) == 1 {
		r.OrgDomain = string(orgs[0])
	}
	st, known := w.applied(orgs)
	switch {
	case !known:
		r.Code, r.Reason, r.Problem = TempError, PolicyUnknown, w.failure()
	case st == nil:
		r.Code, r.Reason, r.Problem = None, NoRecord, "no DMARC Policy Record applies to "+string(author)
	default:
		rec = st.record
		x.apply(&r, w, st)
	}
	return r, rec, orgs
}

// applied returns the step whose record applies, nil if none does (RFC 9989 §4.10.1):
// the Author Domain's, else the Organizational Domain's, else the public suffix's.
func (w *walk) applied(orgs []domain.Name) (st *Step, known bool) {
	own := &w.steps[0]
	switch {
	case own.Outcome == FoundUnknown:
		return nil, false
	case own.record != nil:
		return own, true
	case len(orgs) != 1:
		return nil, false
	}
	return w.from(orgs[0])
}

// apply fills in the policy that st gives (RFC 9989 §4.10.1).
func (x *evaluation) apply(r *Result, w *walk, st *Step) {
	rec := st.record
	r.Record, r.PolicyDomain, r.Published = rec.Text, string(st.Domain), Published(rec.Published())
	if !rec.Usable() {
		r.Code, r.Reason = PermError, UnusableRecord
		r.Problem = "the record at " + st.Name + " has no valid policy and no rua"
		return
	}
	if st.Domain == w.start {
		r.Policy, r.TestMode = effective(rec, rec.Own())
		return
	}
	missing, existing := rec.Missing(), rec.Existing()
	r.Policy, r.TestMode = effective(rec, existing)
	np, lowered := effective(rec, missing)
	if np == r.Policy && lowered == r.TestMode {
		return
	}
	switch exists, err := x.exists(&w.steps[0]); {
	case err != nil:
		// A message that passes needs no policy: evaluate decides.
		r.Reason, r.Problem = ExistenceUnknown, "whether "+r.AuthorDomain+" exists: "+err.Error()
		if np.Strength() < r.Policy.Strength() {
			r.Policy, r.TestMode = np, lowered
		}
	case !exists:
		r.Policy, r.TestMode, r.NoSuchDomain = np, lowered, true
	}
}

// effective is p with the t tag of rec, and whether that lowered it.
func effective(rec *dmarcrecord.Record, p dmarcrecord.Policy) (Policy, bool) {
	applied, lowered := rec.Effective(p)
	return Policy(applied), lowered
}

// exists reports whether the domain of st exists: anything but NXDOMAIN (RFC 9989
// §3.2.13, A.4). After a CNAME, NXDOMAIN belongs to the target.
func (x *evaluation) exists(st *Step) (bool, error) {
	if st.exists {
		return true, nil
	}
	a, err := x.evaluator.Resolver.Lookup(x.ctx, string(st.Domain), resolver.TXT)
	if err != nil {
		return false, err
	}
	return !a.NXDomain || a.Aliased(string(st.Domain)), nil
}

// failure says which lookup failed first.
func (w *walk) failure() string {
	for i := range w.steps {
		if err := w.steps[i].Err; err != nil {
			return err.Error()
		}
	}
	return "lookup failed"
}

// lastKnown is the strictest policy of the records that the walk found, where a failed lookup hides
// which one applies; "" when it found none. In an outage those are answers beyond their TTL (RFC
// 8767), and the absence of a record at a name below is not kept.
func (w *walk) lastKnown() Policy {
	var strictest Policy
	for i := range w.steps {
		rec := w.steps[i].record
		if rec == nil || !rec.Usable() {
			continue
		}
		p, _ := effective(rec, rec.Existing())
		if w.steps[i].Domain == w.start {
			p, _ = effective(rec, rec.Own())
		}
		if p.Strength() > strictest.Strength() {
			strictest = p
		}
	}
	return strictest
}

// passesAs reports whether the author domain itself is authenticated: the message then passes
// whatever the policy is.
func passesAs(author domain.Name, ids []Identifier) bool {
	return slices.ContainsFunc(ids, func(id Identifier) bool {
		name, err := domain.Parse(id.Domain)
		return err == nil && name == author && !id.Unknown
	})
}

func (x *evaluation) evaluate(author domain.Name, ids []Identifier) Result {
	w := new(walk)
	r, rec, orgs := x.discover(author, w)
	if r.Code != "" {
		if r.Reason == PolicyUnknown && !passesAs(author, ids) {
			r.Policy = w.lastKnown()
		}
		return r
	}
	al := aligner{evaluation: x, author: w, orgs: orgs, record: rec}
	r.Compared = al.compare(ids)
	var aligned []Identifier
	r.Guard = r.Guard || al.guarded
	unknown := false
	for _, c := range r.Compared {
		switch {
		case c.Alignment == AlignmentYes && !c.Unknown:
			aligned = append(aligned, c.Identifier)
		case c.Alignment != AlignmentNo:
			unknown = true
		}
	}
	switch {
	case len(aligned) > 0:
		r.Aligned = aligned
		r.Code, r.Reason, r.Problem = Pass, Aligned, ""
	case unknown:
		r.Code, r.Reason, r.Problem = TempError, IdentifierUnknown, al.problem
	case r.Reason == ExistenceUnknown:
		r.Code = TempError
	case len(ids) == 0:
		r.Code, r.Reason = Fail, NoIdentifier
	default:
		r.Code, r.Reason = Fail, NotAligned
	}
	return r
}
