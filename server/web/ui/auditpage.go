package ui

import (
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"postseal/audit"
	"postseal/domain"
	"postseal/internal/app/watch"
	"postseal/server/web"
	"postseal/spf"
	"postseal/store"
)

// auditData is the data of the Audit page.
type auditData struct {
	State   *State
	Domain  string
	Words   string
	Count   string // how many findings of each severity
	Checks  []recordCheck
	Spends  []spend // SPF terms that cost lookups
	Allowed float64 // where the tenth lookup ends, in percent
	Allows  string  // how many addresses SPF authorizes
	Spent   string  // the tone of the number of lookups
	Sources string  // where the selectors come from
	Watched *watch.Entry
	Listed  int // domains that are watched
	CanList bool
	Own     []string     // domains of this host, as examples
	History []shownPoint // the newest first
	More    int          // all points, if some are not shown
	Whole   bool         // the page of the history
	Audited
	Stream  string // the URL of the events
	Waiting []waiting
}

// recordCheck is one kind of record: its worst finding and what it is.
type recordCheck struct{ Name, Tone, Words string }

// spend is a term of the SPF record with the lookups that it costs. X and Width are in percent.
type spend struct {
	Text     string
	Lookups  int
	X, Width float64
	Over     bool // beyond the tenth
}

// historyShown are the points of the history on the page of a domain.
const historyShown = 4

// auditForm redirects a domain from the form to its page.
func (u *ui) auditForm(rw http.ResponseWriter, r *http.Request) {
	if name := strings.TrimSpace(r.URL.Query().Get("domain")); name != "" {
		to := straightTo(name)
		if !strings.HasPrefix(to, "/v/") && !strings.HasPrefix(to, searchLink("ip:")) { // what was typed is a domain
			to = "/audit/" + url.PathEscape(name)
		}
		http.Redirect(rw, r, to, http.StatusSeeOther)
		return
	}
	d := &auditData{Words: "What do receivers see of a domain?", Own: u.source.Domains(r.Context())}
	u.findWatched(d)
	u.show(rw, r, http.StatusOK, "audit", "Audit", 0, d)
}

// findWatched looks whether a domain is watched, and for its history.
func (u *ui) findWatched(d *auditData) {
	list, _ := u.source.Watch()
	if list == nil {
		return
	}
	d.CanList, d.Listed = true, len(list.All())
	name, err := domain.Parse(d.Domain)
	if err != nil {
		return
	}
	e, ok := list.Of(name)
	if !ok {
		return
	}
	d.Watched = &e
	points, err := list.History(name)
	if err != nil {
		return
	}
	if !d.Whole && len(points) > historyShown {
		points, d.More = points[:historyShown], len(points)
	}
	d.History = shownHistory(points)
}

// audit answers: what do receivers see of this domain, what to fix first?
func (u *ui) audit(rw http.ResponseWriter, r *http.Request) {
	d := &auditData{Domain: store.Clean(r.PathValue("domain"))}
	shown, err := u.source.Audit(r)
	u.findWatched(d)
	var refusal *web.Refusal
	switch {
	case errors.As(err, &refusal):
		d.State = &State{"failed", refusal.Detail, ""}
		u.show(rw, r, refusal.Status, "audit", d.Domain, 0, d)
		return
	case err != nil:
		d.State = &State{"failed", store.Clean(err.Error()), "Reload the page to try again."}
		u.show(rw, r, http.StatusInternalServerError, "audit", d.Domain, 0, d)
		return
	}
	d.Audited = shown
	refresh := 0
	if shown.Running {
		refresh = auditRefresh
		d.follow(r)
	}
	if shown.Report != nil {
		d.Domain = shown.Report.Domain
		d.describe(shown.Report)
	} else {
		d.Words = "Asking the DNS about " + d.Domain + "."
	}
	u.show(rw, r, http.StatusOK, "audit", d.Domain, refresh, d)
}

// auditRefresh is after how many seconds a page without scripts looks again.
const auditRefresh = 1

// waiting is a check with the queries that were answered so far.
type waiting struct {
	Check string
	N     int
}

// follow adds what an audit that runs has asked, and where its events are.
func (d *auditData) follow(r *http.Request) {
	q := r.URL.Query()
	q.Del("again")
	d.Stream = (&url.URL{Path: "/v1/audit/" + r.PathValue("domain") + "/progress", RawQuery: q.Encode()}).String()
	for _, c := range d.Audited.Checks {
		k := slices.IndexFunc(d.Waiting, func(w waiting) bool { return w.Check == c.Check })
		if k < 0 {
			d.Waiting, k = append(d.Waiting, waiting{Check: c.Check}), len(d.Waiting)
		}
		d.Waiting[k].N++
	}
}

// Again is the URL that audits the domain again.
func (d *auditData) Again() string { return "/audit/" + url.PathEscape(d.Domain) + "?again=1" }

// auditHistory answers: what changed of this domain?
func (u *ui) auditHistory(rw http.ResponseWriter, r *http.Request) {
	d := &auditData{Domain: store.Clean(r.PathValue("domain")), Whole: true}
	list, why := u.source.Watch()
	u.findWatched(d)
	status := http.StatusOK
	switch {
	case list == nil:
		d.State = &State{"off", "No domain is watched: " + why + ".", ""}
	case d.Watched == nil:
		status = http.StatusNotFound
		d.State = &State{"empty", d.Domain + " is not watched, so nothing is known of its past.", "Watch it from its audit page."}
	case len(d.History) == 0:
		d.State = &State{"empty", "The first audit has not been made yet.", "It is made within a minute; reload the page."}
	}
	u.show(rw, r, status, "audithistory", d.Domain, 0, d)
}

func (d *auditData) describe(r *audit.Report) {
	d.Words = r.GradeReason
	counts := map[audit.Severity]int{}
	for i := range r.Findings {
		counts[r.Findings[i].Severity]++
	}
	var parts []string
	for _, s := range []audit.Severity{audit.Critical, audit.Error, audit.Warn, audit.Info} {
		if n := counts[s]; n > 0 {
			word := severityWord(s)
			if n > 1 && (s == audit.Error || s == audit.Warn) {
				word += "s"
			}
			parts = append(parts, fmt.Sprintf("%d %s", n, word))
		}
	}
	d.Count = strings.Join(parts, ", ")
	d.Checks = checksOf(r)
	d.Spends = spendsOf(&r.Records.SPF)
	d.Allowed = 100 * float64(spf.DefaultLookups) / float64(max(r.Records.SPF.Lookups, spf.DefaultLookups))
	d.Spent = "ok"
	if r.Records.SPF.Lookups > spf.DefaultLookups {
		d.Spent = "bad"
	}
	if x := &r.Records.SPF; x.Addresses4 != "" && x.Addresses6 != "" {
		d.Allows = fmt.Sprintf("authorizes %s IPv4 and %s IPv6 addresses", amount(x.Addresses4), amount(x.Addresses6))
	}
	d.Sources = sourcesOf(r)
}

// amount writes a decimal of any length: one of IPv6 is a power of two, or next to one.
func amount(decimal string) string {
	const longest = 15
	n, ok := new(big.Int).SetString(decimal, 10)
	if !ok || len(decimal) <= longest {
		return number(decimal)
	}
	return fmt.Sprintf("about 2^%d", n.BitLen()-1)
}

// checksOf sums up each kind of record.
func checksOf(r *audit.Report) []recordCheck {
	x := &r.Records
	list := []recordCheck{
		{"SPF", "", stateOr(x.SPF.Status, fmt.Sprintf("%d of 10 lookups", x.SPF.Lookups))},
		{"DKIM", "", keysOf(x.DKIM)},
		{"DMARC", "", stateOr(x.DMARC.Status, fmt.Sprintf("%s, %s", x.DMARC.Policy, plural(len(x.DMARC.RUA), "report address", "report addresses")))},
		{"MX", "", hostsOf(x.MX)},
		{"MTA-STS", "", stateOr(x.MTASTS.Status, modeOf(x.MTASTS.Policy))},
		{"TLS-RPT", "", stateOr(x.TLSRPT.Status, plural(len(x.TLSRPT.RUA), "address", "addresses"))},
		{"DNSSEC", "", x.DNSSEC.State},
		{"CAA", "", plural(len(x.CAA), "record", "records")},
		{"DANE", "", plural(len(x.DANE), "TLSA record", "TLSA records")},
		{"BIMI", "", stateOr(x.BIMI.Status, "published")},
	}
	for i := range list {
		list[i].Tone = toneOf(r, list[i])
	}
	return list
}

// toneOf is the class of the worst finding of a check; gray if there is no record and nothing to find.
func toneOf(r *audit.Report, c recordCheck) string {
	prefix := strings.ToLower(strings.ReplaceAll(c.Name, "-", "")) + "."
	for i := range r.Findings {
		if f := &r.Findings[i]; strings.HasPrefix(f.ID, prefix) { // the most severe comes first
			switch f.Severity {
			case audit.Critical, audit.Error:
				return "bad"
			case audit.Warn:
				return "warn"
			}
			break
		}
	}
	switch {
	case c.Words == unchecked || c.Words == "indeterminate":
		return "hold"
	case c.Words == missing || c.Words == "insecure" || strings.HasPrefix(c.Words, "no "):
		return "none"
	}
	return "ok"
}

const (
	unchecked = "could not be checked"
	missing   = "no record"
)

func stateOr(s audit.Status, words string) string {
	switch s.State {
	case audit.Found:
		return words
	case audit.Failed:
		return unchecked
	}
	return missing
}

// hostsOf counts the hosts that receive mail, and says whether the names of their addresses lead back.
func hostsOf(list []audit.MXHost) string {
	words, agree := plural(len(list), "host", "hosts"), len(list) > 0
	for i := range list {
		agree = agree && list[i].FCrDNS == "pass"
	}
	if agree {
		words += ", reverse DNS agrees"
	}
	return words
}

func modeOf(p *audit.STSPolicy) string {
	if p == nil {
		return "no policy file"
	}
	return p.Mode
}

func plural(n int, one, many string) string {
	switch n {
	case 0:
		return "no " + one
	case 1:
		return "1 " + one
	}
	return number(n) + " " + many
}

func keysOf(keys []audit.DKIMKey) string {
	const most = 4
	var parts []string
	for i := range keys {
		if k := &keys[i]; k.State == audit.Found && len(parts) < most {
			parts = append(parts, fmt.Sprintf("%s %d", k.Selector, k.Bits))
		}
	}
	if len(parts) == 0 {
		return "no key is known"
	}
	return strings.Join(parts, ", ")
}

// spendsOf draws what each term of the record costs.
func spendsOf(s *audit.SPF) (list []spend) {
	const allowed = spf.DefaultLookups
	if s.Tree == nil || s.Lookups == 0 {
		return nil
	}
	used, scale := 0, 100/float64(max(s.Lookups, allowed))
	for i := range s.Tree.Terms {
		t := &s.Tree.Terms[i]
		n := 0
		if t.Lookup > 0 {
			n = 1
		}
		if t.Child != nil {
			n += t.Child.Lookups
		}
		if n == 0 {
			continue
		}
		list = append(list, spend{t.Text, n, float64(used) * scale, float64(n)*scale - 0.4, used+n > allowed})
		used += n
	}
	return list
}

// markedRecord is a record with the term that a finding is about.
type markedRecord struct{ Before, Term, After string }

// recordAt splits a record around the term at the place of a finding; nil without a record. The first
// term, its version, is never marked.
func recordAt(w audit.Where) *markedRecord {
	switch {
	case w.Record == "":
		return nil
	case w.Offset <= 0 || w.Offset >= len(w.Record):
		return &markedRecord{Before: w.Record}
	}
	before, term, after := w.Record[:w.Offset], w.Record[w.Offset:], ""
	if k := strings.IndexAny(term, " ;"); k >= 0 {
		term, after = term[:k], term[k:]
	}
	return &markedRecord{before, term, after}
}

// sourcesOf says where the selectors come from.
func sourcesOf(r *audit.Report) string {
	by := map[audit.Source][]string{}
	guessed := true
	for i := range r.Records.DKIM {
		k := &r.Records.DKIM[i]
		if !slices.Contains(by[k.Source], k.Selector) {
			by[k.Source] = append(by[k.Source], k.Selector)
		}
	}
	var parts []string
	for _, s := range []struct {
		source audit.Source
		words  string
	}{{audit.FromFlag, "Asked for"}, {audit.FromHistory, "From your mail"}, {audit.FromReport, "From reports"}} {
		if names := by[s.source]; len(names) > 0 {
			guessed = false
			parts = append(parts, s.words+": "+strings.Join(names, ", ")+".")
		}
	}
	if guessed {
		return "None is known from mail or reports. The DNS cannot list the keys of a domain: usual names were tried."
	}
	return strings.Join(parts, " ")
}

// watchSet adds a domain to the watch list or removes it.
func (u *ui) watchSet(rw http.ResponseWriter, r *http.Request) {
	const longest = 16 << 10
	r.Body = http.MaxBytesReader(rw, r.Body, longest)
	list, why := u.source.Watch()
	name, err := domain.Parse(strings.TrimSpace(r.PostFormValue("domain")))
	switch {
	case list == nil:
		u.watchFailed(rw, r, http.StatusServiceUnavailable, "No domain can be watched: "+why)
		return
	case err != nil:
		u.watchFailed(rw, r, http.StatusBadRequest, store.Clean(err.Error()))
		return
	case r.PostFormValue("act") == "remove":
		err = list.Remove(name)
		if errors.Is(err, watch.ErrNotWatched) {
			err = nil
		}
	default:
		_, err = list.Put(name, 0, nil, web.UserOf(r).Name)
	}
	if err != nil {
		u.watchFailed(rw, r, http.StatusBadRequest, store.Clean(err.Error()))
		return
	}
	http.Redirect(rw, r, "/audit/watch", http.StatusSeeOther)
}

// watchData is the data of the watch list.
type watchData struct {
	State  *State
	Failed string
	Words  string
	List   []watch.Entry
	CanAdd bool
}

// watchList answers: what changed of the domains that we watch?
func (u *ui) watchList(rw http.ResponseWriter, r *http.Request) {
	u.watchFailed(rw, r, http.StatusOK, "")
}

func (u *ui) watchFailed(rw http.ResponseWriter, r *http.Request, status int, failed string) {
	d := &watchData{Failed: failed}
	list, why := u.source.Watch()
	if list == nil {
		d.Words, d.State = "No domain is watched.", &State{"off", "There is no watch list: " + why + ".", ""}
		u.show(rw, r, status, "watch", "Watch list", 0, d)
		return
	}
	d.List, d.CanAdd = list.All(), true
	recent := 0
	slices.SortStableFunc(d.List, func(a, b watch.Entry) int { return b.Changed.Compare(a.Changed) })
	for i := range d.List {
		if now := u.source.Now(); !d.List[i].Changed.IsZero() && now.Sub(d.List[i].Changed).Hours() < 7*24 {
			recent++
		}
	}
	switch {
	case len(d.List) == 0:
		d.Words, d.State = "No domain is watched yet.", &State{"empty", "A watched domain is audited every day, and you see what changed.", "Add your own domains first."}
	case recent == 0:
		d.Words = fmt.Sprintf("Nothing changed within a week of the %s watched.", plural(len(d.List), "domain", "domains"))
	default:
		d.Words = fmt.Sprintf("%d of %s changed within a week.", recent, plural(len(d.List), "domain", "domains"))
	}
	u.show(rw, r, status, "watch", "Watch list", 0, d)
}
