package history

import (
	"context"
	"slices"
	"strings"
	"time"

	"postseal/domain"
	"postseal/store"
)

// DomainSchema identifies the JSON format of a Domain. New fields may be added.
const DomainSchema = "postseal.domain/1"

// maxKnown limits each list of a Domain.
const maxKnown = 200

// Domain is what this server knows about a domain and the names below it.
type Domain struct {
	Schema    string         `json:"schema"`
	Domain    string         `json:"domain"`
	Days      []DayCount     `json:"days"` // newest first
	Sources   []Value        `json:"sources"`
	Reasons   []Value        `json:"reasons"`
	Reached   *time.Time     `json:"reached,omitempty"`
	Selectors []SeenSelector `json:"selectors"`
	Policies  []SeenRecord   `json:"policies"`
	Records   []SeenRecord   `json:"records"`
}

// DayCount counts the verdicts of a day with the domain as author.
type DayCount struct {
	Day        string `json:"day"`
	Accept     int    `json:"accept"`
	Quarantine int    `json:"quarantine"`
	Reject     int    `json:"reject"`
	Defer      int    `json:"defer"`
}

// SeenSelector is a selector that signed, with a key that was found.
type SeenSelector struct {
	Domain    string    `json:"domain"`
	Selector  string    `json:"selector"`
	Algorithm string    `json:"algorithm"`
	Bits      int       `json:"key_bits"`
	Verified  bool      `json:"verified"` // a signature verified with it
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
}

// SeenRecord is a text that the DNS returned for a name.
type SeenRecord struct {
	Name  string    `json:"name"`
	Texts []string  `json:"texts"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

// About returns what the store knows about a domain. The error is a *store.QueryError for a
// name that is not a domain name.
func About(ctx context.Context, r store.Reader, name string, now time.Time, budget time.Duration) (*Domain, error) {
	parsed, err := domain.Parse(name)
	if err != nil {
		return nil, &store.QueryError{Text: err.Error(), Hint: "give a domain name such as acme.test"}
	}
	d := &Domain{Schema: DomainSchema, Domain: string(parsed), Days: []DayCount{}, Sources: []Value{}, Reasons: []Value{}, Selectors: []SeenSelector{}, Policies: []SeenRecord{}, Records: []SeenRecord{}}
	q := &store.Query{Terms: []store.Term{{Field: store.FieldAuthor, Values: []string{string(parsed), "*." + string(parsed)}}}}
	f, err := store.Summarize(ctx, r, q, maxKnown, budget)
	if err != nil {
		return nil, err
	}
	d.addFigures(f)
	return d, d.addFacts(ctx, r)
}

// Known returns what the store knows of a domain apart from its verdicts: selectors, policies and records.
func Known(ctx context.Context, r store.Reader, name string) (*Domain, error) {
	d := &Domain{Schema: DomainSchema, Domain: name}
	return d, d.addFacts(ctx, r)
}

func (d *Domain) addFigures(f store.Figures) {
	for _, h := range f.Hours {
		day := store.DayOf(h.Start).String()
		if n := len(d.Days); n == 0 || d.Days[n-1].Day != day {
			d.Days = append(d.Days, DayCount{Day: day})
		}
		c := &d.Days[len(d.Days)-1]
		c.Accept, c.Quarantine, c.Reject, c.Defer = c.Accept+h.Count[0], c.Quarantine+h.Count[1], c.Reject+h.Count[2], c.Defer+h.Count[3]
	}
	for _, g := range f.Top[store.FieldMailFrom] {
		d.Sources = append(d.Sources, Value{g.Value, g.Count})
	}
	for _, g := range f.Top[store.FieldReason] {
		d.Reasons = append(d.Reasons, Value{g.Value, g.Count})
	}
	if f.Reached > 0 {
		t := store.Time(f.Reached)
		d.Reached = &t
	}
}

func (d *Domain) addFacts(ctx context.Context, r store.Reader) error {
	selectors, err := r.Selectors(ctx, d.Domain, maxKnown)
	if err != nil {
		return err
	}
	for _, s := range selectors {
		d.Selectors = append(d.Selectors, SeenSelector{s.Domain, s.Selector, s.Algorithm, s.Bits, s.Verified, store.Time(s.First), store.Time(s.Last)})
	}
	policies, err := r.Policies(ctx, d.Domain, maxKnown)
	if err != nil {
		return err
	}
	for _, p := range policies {
		d.Policies = append(d.Policies, SeenRecord{p.Domain, []string{p.Text}, store.Time(p.First), store.Time(p.Last)})
	}
	records, err := r.Records(ctx, d.Domain, maxKnown)
	if err != nil {
		return err
	}
	for _, x := range records {
		d.Records = append(d.Records, SeenRecord{x.Name, strings.Split(x.Text, "\n"), store.Time(x.First), store.Time(x.Last)})
	}
	slices.SortStableFunc(d.Records, func(a, b SeenRecord) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// Empty reports whether nothing is known.
func (d *Domain) Empty() bool {
	return len(d.Days)+len(d.Selectors)+len(d.Policies)+len(d.Records) == 0
}
