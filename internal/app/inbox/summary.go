package inbox

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postseal/resolver"
	"postseal/spf"
	"postseal/store"
)

// The classes of sources.
const (
	ClassKnown   = "known"   // it sends for the domain
	ClassNew     = "new"     // known, and first seen in the last week
	ClassList    = "list"    // it passes on mail of the domain
	ClassForged  = "forged"  // nothing about it authenticates
	ClassUnknown = "unknown" // another organization that sends in the name of the domain
)

// Classes are all of them, in the order in which they are shown.
var Classes = []string{ClassKnown, ClassNew, ClassUnknown, ClassList, ClassForged}

// Summary says what the reports of a time mean for a domain. Its JSON has the schema
// postseal.report-summary/1.
type Summary struct {
	Schema    string      `json:"schema"`
	Domain    string      `json:"domain"`
	Since     string      `json:"since"` // UTC days, both included
	Until     string      `json:"until"`
	Reports   int         `json:"reports"`
	Reporters int         `json:"reporters"`
	Unproven  int         `json:"unproven"`  // reports that do not count
	Long      int         `json:"long"`      // reports of more than two days, which do not count
	Days      int         `json:"days"`      // with a report
	FirstDay  string      `json:"first_day"` // of all that reports say about it, "" if there is none
	Policy    string      `json:"policy"`    // p of the last report
	Total     Counts      `json:"total"`
	Sources   []SourceSum `json:"sources"`
	ByDay     []DaySum    `json:"by_day"` // the oldest first, those with a report
	Readiness []Readiness `json:"readiness"`
	Published *Published  `json:"published,omitempty"` // the record in the DNS, if it was asked for
	LastRead  *time.Time  `json:"last_read,omitempty"` // when the last report was read
	// Policies say since when reports show each policy or a stricter one, the mildest first, if that was asked for.
	Policies []PolicySince `json:"policies,omitempty"`
}

// Counts are numbers of messages, not of records.
type Counts struct {
	Messages    int64 `json:"messages"`
	SPF         int64 `json:"spf"`   // with aligned SPF
	DKIM        int64 `json:"dkim"`  // with an aligned signature
	DMARC       int64 `json:"dmarc"` // with one of both
	Quarantined int64 `json:"quarantined"`
	Rejected    int64 `json:"rejected"`
	Listed      int64 `json:"listed"` // that the reporter took for mail of a list or a forwarder
	Broken      int64 `json:"broken"` // with a signature of the domain that does not verify
}

func (c *Counts) add(s *store.Source) {
	c.Messages, c.SPF, c.DKIM, c.DMARC = c.Messages+s.Messages, c.SPF+s.SPF, c.DKIM+s.DKIM, c.DMARC+s.DMARC
	c.Quarantined, c.Rejected, c.Listed, c.Broken = c.Quarantined+s.Quarantined, c.Rejected+s.Rejected, c.Listed+s.Listed, c.Broken+s.Broken
}

// Failing is the number of messages that do not pass DMARC.
func (c *Counts) Failing() int64 { return c.Messages - c.DMARC }

// SourceSum is one source of mail.
type SourceSum struct {
	Key   string `json:"key"` // names it in an address
	Name  string `json:"name"`
	By    string `json:"by"`    // what names it: dkim, spf, include, ptr or network
	Class string `json:"class"` // known, new, list, forged or unknown
	Rule  string `json:"rule"`  // why it is of this class
	First string `json:"first"` // the first day with mail of it
	Last  string `json:"last"`
	IP    string `json:"ip"` // one of its addresses
	Nets  int    `json:"networks"`
	// Folded is how many sources it stands for, at least: those that are not told apart. 0 is one source.
	Folded int `json:"folded,omitempty"`
	Days   int `json:"days"` // with mail of it
	Counts
	// Chosen is what the operator said about it: yes, it sends for the domain, no, or "". Ask says that
	// an answer is wanted.
	Chosen string  `json:"chosen"`
	Ask    bool    `json:"ask"`
	ByDay  []int64 `json:"by_day"` // messages, for the days of the summary's by_day
	// Judgement is the class in words, and Todo what the operator has to do, "" for nothing.
	Judgement string `json:"judgement"`
	Todo      string `json:"todo"`
	InSPF     string `json:"in_spf,omitempty"` // what the SPF record says of IP now, if that was asked

	choice store.SourceChoice
	listed bool // by the SPF record of the domain
	named  bool // by a confirmed name that is of the domain
}

// DaySum is the messages of one day.
type DaySum struct {
	Day     string `json:"day"`
	Aligned int64  `json:"aligned"` // that pass DMARC
	Failing int64  `json:"failing"` // of sources that send for the domain, and fail
	Others  int64  `json:"others"`  // that fail, of the other sources
}

// Readiness says what a policy would refuse.
type Readiness struct {
	Policy     string   `json:"policy"`
	Ready      bool     `json:"ready"`
	Blockers   []string `json:"blockers"`
	Arithmetic []string `json:"arithmetic"`
}

// Asked says what a summary is about.
type Asked struct {
	Domain       string
	Since, Until store.Day
	Resolver     resolver.Resolver // knows the names of sources, and which the SPF record lists; may be nil
	Patience     time.Duration     // how long it is asked for all of them; 0: no bound
	Networks     bool              // networks keep their names, so that these do not depend on the DNS
	MaxSources   int               // the others are one source; 0: no bound
}

// newFor is how many days a source is new, and regular how many days of mail make a foreign
// source one that may send for the domain: a forger can authenticate too, as another
// organization.
const (
	newFor  = 7
	regular = 3
)

// Summarize reads what reports say of a domain and the names below it.
func Summarize(ctx context.Context, db store.Inbox, q Asked) (*Summary, error) {
	s, _, err := summarize(ctx, db, q)
	return s, err
}

func summarize(ctx context.Context, db store.Inbox, q Asked) (*Summary, *counting, error) {
	s := &Summary{Schema: "postseal.report-summary/1", Domain: q.Domain, Since: q.Since.String(), Until: q.Until.String(), Sources: []SourceSum{}, Readiness: []Readiness{}}
	list, folded, err := q.sources(ctx, db)
	if err != nil {
		return nil, nil, err
	}
	earliest, first, err := db.FirstDays(ctx, q.Domain, namesOf(list))
	if err != nil {
		return nil, nil, err
	}
	if err := s.countReports(ctx, db, q); err != nil {
		return nil, nil, err
	}
	choices, err := choicesOf(ctx, db, q.Domain)
	if err != nil {
		return nil, nil, err
	}
	c := &counting{namer: newNamer(ctx, q, list), first: first, choices: choices, sums: map[string]*SourceSum{}, days: map[store.Day]map[*SourceSum]Counts{}, last: map[*SourceSum]store.Day{}, of: map[sourceKey]*SourceSum{}}
	for i := range list {
		s.Total.add(&list[i])
		c.add(&list[i])
	}
	if s.Days = len(c.days); earliest != 0 {
		s.FirstDay = earliest.String()
	}
	for _, sum := range c.sums {
		sum.classify(q, earliest)
		sum.choose()
	}
	s.ByDay = byDay(c.days)
	days := slices.Sorted(maps.Keys(c.days))
	for key, sum := range c.sums {
		sum.Key, sum.ByDay = key, make([]int64, len(days))
		if sum.rest() {
			sum.Folded = max(folded, 1)
		}
		for i, day := range days {
			sum.ByDay[i] = c.days[day][sum].Messages
		}
		s.Sources = append(s.Sources, *sum)
	}
	slices.SortFunc(s.Sources, func(a, b SourceSum) int {
		return cmp.Or(cmp.Compare(slices.Index(Classes, a.Class), slices.Index(Classes, b.Class)), cmp.Compare(a.Folded, b.Folded), cmp.Compare(b.Messages, a.Messages), strings.Compare(a.Name, b.Name))
	})
	s.ask()
	s.Readiness = append(s.Readiness, s.ready("quarantine"), s.ready("reject"))
	for i := range s.Sources {
		s.Sources[i].judge(q.Domain)
	}
	return s, c, nil
}

// counting adds what reports say by source and by day.
type counting struct {
	namer   *namer
	first   map[store.SourceName]store.Day
	choices map[string]store.SourceChoice
	sums    map[string]*SourceSum
	days    map[store.Day]map[*SourceSum]Counts
	last    map[*SourceSum]store.Day
	of      map[sourceKey]*SourceSum // the sum that a source of the database is counted in
}

// add counts a source of one day. Sources come by day.
func (c *counting) add(x *store.Source) {
	name, by := c.namer.name(x)
	first, known := c.first[store.SourceName{Kind: x.Kind, Source: x.Source}]
	if !known {
		first = x.Day
	}
	key := KeyOf(by, name)
	sum := c.sums[key]
	if sum == nil {
		sum = &SourceSum{Name: name, By: by, IP: x.IP, First: first.String()}
		c.sums[key] = sum
	}
	sum.listed, sum.named = sum.listed || c.namer.known[x.Source].listed, sum.named || c.namer.known[x.Source].own
	c.of[sourceKey{x.Kind, x.Source}] = sum
	sum.First, sum.Last = min(sum.First, first.String()), max(sum.Last, x.Day.String())
	sum.Nets = c.namer.nets(by, name, x.Source)
	if c.last[sum] != x.Day {
		sum.Days++
	}
	c.last[sum] = x.Day
	if said, ok := c.choices[x.Kind+" "+x.Source]; ok && said.At >= sum.choice.At {
		sum.choice = said
	}
	sum.add(x)
	if c.days[x.Day] == nil {
		c.days[x.Day] = map[*SourceSum]Counts{}
	}
	day := c.days[x.Day][sum]
	day.add(x)
	c.days[x.Day][sum] = day
}

// namesOf are the names of sources, each once.
func namesOf(list []store.Source) (of []store.SourceName) {
	seen := map[store.SourceName]bool{}
	for i := range list {
		x := store.SourceName{Kind: list[i].Kind, Source: list[i].Source}
		if !seen[x] {
			seen[x], of = true, append(of, x)
		}
	}
	return of
}

// Ours reports whether a source sends for the domain.
func (x *SourceSum) Ours() bool { return x.Class == ClassKnown || x.Class == ClassNew }

// byDay adds what each source sent on each day, once the sources have their classes.
func byDay(days map[store.Day]map[*SourceSum]Counts) []DaySum {
	list := []DaySum{}
	for _, day := range slices.Sorted(maps.Keys(days)) {
		d := DaySum{Day: day.String()}
		for sum, c := range days[day] {
			d.Aligned += c.DMARC
			if sum.Ours() {
				d.Failing += c.Failing()
			} else {
				d.Others += c.Failing()
			}
		}
		list = append(list, d)
	}
	return list
}

// sources reads what reports say, with at most MaxSources sources.
func (q *Asked) sources(ctx context.Context, db store.Inbox) (list []store.Source, folded int, err error) {
	if q.MaxSources > 0 {
		return db.TopSources(ctx, q.Domain, q.Since, q.Until, q.MaxSources)
	}
	list, err = db.Sources(ctx, q.Domain, q.Since, q.Until)
	return list, 0, err
}

// rest reports whether x stands for sources that are not told apart.
func (x *SourceSum) rest() bool { return x.By == "network" && x.Name == store.RestOfSources }

// countReports counts the reports themselves.
func (s *Summary) countReports(ctx context.Context, db store.Inbox, q Asked) error {
	n, err := db.InboundTotals(ctx, q.filter(), longRange.Milliseconds())
	if err != nil {
		return err
	}
	s.Reports, s.Reporters, s.Unproven, s.Long = int(n.Reports), int(n.Reporters), int(n.Unproven), int(n.Long)
	s.Policy = policyIn(n.Meta)
	if n.LastRead > 0 {
		at := store.Time(n.LastRead)
		s.LastRead = &at
	}
	return nil
}

// filter selects the reports of the time.
func (q *Asked) filter() store.InboundFilter {
	return store.InboundFilter{Domain: q.Domain, Since: q.Since.Start(), Until: q.Until.End(), Kind: "aggregate"}
}

// namer names sources.
type namer struct {
	q     Asked
	known map[string]named // by network
	seen  map[string]map[string]bool
}

// named is what the DNS says about an address.
type named struct {
	name, by string // both "" if it has no name
	listed   bool   // the SPF record of the domain lists it
	own      bool   // its confirmed name is of the domain
}

// The bounds of what is looked up for one summary: addresses, and the time for one.
const (
	maxAsked = 500
	askTime  = 5 * time.Second
)

// newNamer asks the DNS about networks that authenticate nothing: first about all whether the SPF record lists
// them, which decides most, then for their names. Those with the most mail come first.
func newNamer(ctx context.Context, q Asked, list []store.Source) *namer {
	n := &namer{q: q, known: map[string]named{}, seen: map[string]map[string]bool{}}
	if q.Resolver == nil {
		return n
	}
	if q.Patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, q.Patience)
		defer cancel()
	}
	asked := networks(list)
	for _, x := range asked {
		n.known[x.name] = n.listed(ctx, x.ip)
	}
	for _, x := range asked {
		if k := n.known[x.name]; k.name == "" {
			k.name, k.by = n.reverse(ctx, x.ip)
			k.own = k.by == "ptr" && sameOrganization(k.name, q.Domain)
			n.known[x.name] = k
		}
	}
	return n
}

// network is a source that only its addresses name.
type network struct {
	name     string
	ip       netip.Addr
	messages int64
}

// networks are those of a list with the most mail.
func networks(list []store.Source) []network {
	sums := map[string]*network{}
	for i := range list {
		x := &list[i]
		ip, err := netip.ParseAddr(x.IP)
		if x.Kind != "net" || x.Source == store.RestOfSources || err != nil {
			continue
		}
		if sums[x.Source] == nil {
			sums[x.Source] = &network{name: x.Source, ip: ip}
		}
		sums[x.Source].messages += x.Messages
	}
	sorted := slices.SortedFunc(maps.Values(sums), func(a, b *network) int {
		return cmp.Or(cmp.Compare(b.messages, a.messages), strings.Compare(a.name, b.name))
	})
	most := make([]network, min(len(sorted), maxAsked))
	for i := range most {
		most[i] = *sorted[i]
	}
	return most
}

// nets counts the networks of a source.
func (n *namer) nets(by, name, source string) int {
	key := by + " " + name
	if n.seen[key] == nil {
		n.seen[key] = map[string]bool{}
	}
	n.seen[key][source] = true
	return len(n.seen[key])
}

// name is what a source is called: the organization that authenticates it; else the include of
// the domain's own SPF record that lists its address; else the name of its address; else its
// network.
func (n *namer) name(x *store.Source) (name, by string) {
	if x.Kind != "net" {
		return x.Source, x.Kind
	}
	if k := n.known[x.Source]; k.name != "" && !n.q.Networks {
		return k.name, k.by
	}
	return x.Source, "network"
}

// listed says whether the SPF record of the domain lists an address, and in which include.
func (n *namer) listed(ctx context.Context, ip netip.Addr) (k named) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	r := spfOf(ctx, n.q.Resolver, n.q.Domain, ip)
	if k.listed = r.Code == spf.Pass && !strings.EqualFold(r.Mechanism, "all"); k.listed && len(r.Path) > 0 {
		k.name, k.by = r.Path[len(r.Path)-1], "include"
	}
	return k
}

// spfOf says what the SPF record of a domain says of an address.
func spfOf(ctx context.Context, r resolver.Resolver, domain string, ip netip.Addr) spf.Result {
	return (&spf.Checker{Resolver: r}).Check(ctx, spf.Request{IP: ip, Sender: "postmaster@" + domain, Helo: domain})
}

// reverse returns the organization that the confirmed name of an address is of.
func (n *namer) reverse(ctx context.Context, ip netip.Addr) (name, by string) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	target, err := nameOf(ctx, n.q.Resolver, ip)
	if err != nil || target == "" || !confirms(ctx, n.q.Resolver, target, ip) {
		return "", ""
	}
	return organization(target), "ptr"
}

// classify says what a source is, and by which rule.
func (s *SourceSum) classify(q Asked, earliest store.Day) {
	switch {
	case 2*s.DMARC >= s.Messages:
		s.Class, s.Rule = ClassKnown, fmt.Sprintf("%d of %d messages pass DMARC", s.DMARC, s.Messages)
	case s.listed:
		s.Class, s.Rule = ClassKnown, "the SPF record of the domain lists it, but most of its mail is not aligned"
	case s.named:
		s.Class, s.Rule = ClassKnown, "the name of its address is of the domain, but most of its mail is not authenticated"
	case 2*s.Listed >= s.Messages:
		s.Class, s.Rule = ClassList, fmt.Sprintf("reporters took %d of %d messages for mail of a list or a forwarder", s.Listed, s.Messages)
	case 2*s.Broken >= s.Messages:
		s.Class, s.Rule = ClassList, fmt.Sprintf("%d of %d messages have a signature of the domain that was broken on the way", s.Broken, s.Messages)
	case (s.By == "dkim" || s.By == "spf") && s.Days < regular:
		s.Class, s.Rule = ClassForged, fmt.Sprintf("it authenticates as %s, and came on %d days: a service of the domain would send more often", s.Name, s.Days)
	case s.By == "dkim" || s.By == "spf":
		s.Class, s.Rule = ClassUnknown, "it authenticates as "+s.Name+", which is not the domain"
	default:
		s.Class, s.Rule = ClassForged, "nothing authenticates its mail"
	}
	if s.Class == ClassKnown && s.First > (q.Until-newFor).String() && earliest <= q.Until-newFor {
		s.Class, s.Rule = ClassNew, s.Rule+"; first seen on "+s.First
	}
}
