package differential

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"postseal/dmarc"
	"postseal/domain"
)

// DMARCCase is an Author Domain with authenticated identifiers.
type DMARCCase struct {
	ID     int      `json:"id"`
	Kind   string   `json:"kind"`
	Author string   `json:"author"`
	SPF    []string `json:"spf"`
	DKIM   []string `json:"dkim"`
	Zone   *Zone    `json:"zone"`
}

// Evaluate is our verdict, by the letter of RFC 9989: without the guard of §11.8.
func (c *DMARCCase) Evaluate(ctx context.Context) dmarc.Result {
	e := dmarc.Evaluator{Resolver: c.Zone, NoGuard: true}
	var ids []dmarc.Identifier
	for _, d := range c.SPF {
		ids = append(ids, dmarc.Identifier{Method: "spf", Domain: d})
	}
	for _, d := range c.DKIM {
		ids = append(ids, dmarc.Identifier{Method: "dkim", Domain: d})
	}
	author, err := domain.Parse(c.Author)
	if err != nil {
		return dmarc.Result{Code: dmarc.PermError}
	}
	return e.Evaluate(ctx, author, ids)
}

type dmarcMaker struct {
	random
	zone *Zone
}

// MakeDMARC makes case number n of a seed: a tree of names with records at some of them.
func MakeDMARC(seed uint64, n int) *DMARCCase {
	m := &dmarcMaker{newRandom(seed, uint64(n)), NewZone()}
	labels := []string{"x1", "x2", "x3", "x4", "x5", "x6", "x7", "sub", "org", pick(m.random, []string{"test", "co.test", "example"})}
	author := strings.Join(labels[len(labels)-2-min(m.IntN(4)*m.IntN(4), 8):], ".")
	m.tree(author)
	c := &DMARCCase{ID: n, Kind: "dmarc", Author: author, SPF: []string{}, DKIM: []string{}, Zone: m.zone}
	for range m.IntN(2) {
		c.SPF = append(c.SPF, m.relative(author))
	}
	for range m.IntN(3) {
		c.DKIM = append(c.DKIM, m.relative(author))
	}
	if m.chance(50) { // else the author does not exist
		m.zone.Add(author, pick(m.random, []string{"A", "AAAA", "MX", "TXT"}), "")
		for t, records := range m.zone.RR[author] {
			m.zone.RR[author][t] = records[:len(records)-1]
			m.zone.Add(author, t, map[string]string{"A": "192.0.2.1", "AAAA": "2001:db8::1", "MX": "10 mx.test", "TXT": "text"}[t])
		}
	}
	if m.chance(8) {
		m.zone.Fault["_dmarc."+m.ancestor(author)+" TXT"] = pick(m.random, []string{"SERVFAIL", "TIMEOUT"})
	}
	return c
}

// tree publishes records at some of the names from author to the root.
func (m *dmarcMaker) tree(author string) {
	for name := author; name != ""; _, name, _ = strings.Cut(name, ".") {
		if !m.chance(35) {
			continue
		}
		m.zone.Add("_dmarc."+name, "TXT", m.record())
		if m.chance(5) {
			m.zone.Add("_dmarc."+name, "TXT", pick(m.random, []string{m.record(), "v=spf1 -all", "text"}))
		}
	}
	if m.chance(10) {
		m.zone.Add("_dmarc.other."+author, "TXT", m.record())
	}
}

func (m *dmarcMaker) record() string {
	if m.chance(6) {
		return pick(m.random, []string{"v=DMARC1", "v=DMARC1;", "v=DMARC2; p=reject", "p=reject; v=DMARC1", "v=dmarc1; p=reject", "v=DMARC1; p=rejct", "v=DMARC1; p=bad; rua=mailto:a@b.test",
			"v=DMARC1; rua=mailto:a@b.test", "v=DMARC1 ; p=reject", "v = DMARC1; p = reject", "v=DMARC1; p=reject;;", "v=DMARC1; p=reject; p=none", "v=DMARC1; sp=none; p=Reject", "v=DMARC1; p=reject; nonsense", "v=DMARC1;p=reject;aspf=x;adkim=S"})
	}
	policies := []string{"none", "quarantine", "reject"}
	tags := []string{"p=" + pick(m.random, policies)}
	for _, name := range []string{"sp", "np"} {
		if m.chance(30) {
			tags = append(tags, name+"="+pick(m.random, policies))
		}
	}
	for name, values := range map[string][]string{"psd": {"y", "n", "u"}} {
		if m.chance(25) {
			tags = append(tags, name+"="+pick(m.random, values))
		}
	}
	for _, tag := range []string{"t=y", "adkim=s", "aspf=s", "aspf=r", "pct=50", "fo=1", "rua=mailto:x@y.test"} {
		if m.chance(12) {
			tags = append(tags, tag)
		}
	}
	m.Shuffle(len(tags), func(i, j int) {
		if m.chance(30) {
			tags[i], tags[j] = tags[j], tags[i]
		}
	})
	return "v=DMARC1" + pick(m.random, []string{"; ", ";", " ; "}) + strings.Join(tags, pick(m.random, []string{"; ", ";", " ;"})) + pick(m.random, []string{"", "", ";"})
}

// ancestor is author or a name above it.
func (m *dmarcMaker) ancestor(author string) string {
	labels := strings.Split(author, ".")
	return strings.Join(labels[m.IntN(len(labels)):], ".")
}

// relative is a name near author.
func (m *dmarcMaker) relative(author string) string {
	switch m.weighted(25, 25, 25, 15, 10) {
	case 0:
		return author
	case 1:
		return m.ancestor(author)
	case 2:
		return "s." + m.ancestor(author)
	case 3:
		return "other." + author
	}
	return pick(m.random, []string{"evil.example", "evil" + author, "test", "unrelated.test"})
}

// dmarcJob is a case with our verdict.
type dmarcJob struct {
	*DMARCCase
	ours dmarc.Result
}

func newDMARCJob(c *DMARCCase) *dmarcJob {
	return &dmarcJob{DMARCCase: c, ours: c.Evaluate(context.Background())}
}

func (j *dmarcJob) number() int                { return j.ID }
func (j *dmarcJob) library() (string, verdict) { return "", verdict{} }

func (j *dmarcJob) compare(_ string, a Answer) verdict {
	want := []string{string(j.ours.Code), string(j.ours.Policy), j.ours.PolicyDomain}
	if a.Results[0] == want[0] && (want[0] == "none" || want[0] == "temperror" || fmt.Sprint(a.Results) == fmt.Sprint(want)) {
		return verdict{agrees: true}
	}
	view := &dmarcView{dmarcJob: j, results: a.Results, detail: a.detail(-1)}
	for i := range dmarcClasses {
		if dmarcClasses[i].applies(view) {
			return verdict{class: dmarcClasses[i].ID}
		}
	}
	zone, _ := json.Marshal(j.Zone)
	return verdict{text: fmt.Sprintf("case %d: theirs %s (%s), ours %s %s (%s) policy %s at %s; author %s spf %v dkim %v; %s",
		j.ID, strings.Join(a.Results, "/"), a.detail(-1), j.ours.Code, j.ours.Reason, j.ours.Problem, j.ours.Policy, j.ours.PolicyDomain, j.Author, j.SPF, j.DKIM, zone)}
}

// dmarcView is what a class may look at.
type dmarcView struct {
	*dmarcJob
	results []string
	detail  string
}

type dmarcClass struct {
	Class
	applies func(*dmarcView) bool
}

// dmarcClasses is the reviewed table of differences with mailauth.
var dmarcClasses = []dmarcClass{
	{Class{"duplicate-tag", "9989 §4.8", both, "a tag that occurs twice: our first one counts, the verifier discards the record"},
		func(v *dmarcView) bool { return v.anyRecord(hasDuplicate) }},
	{Class{"unusable-record", "9989 §4.8", both, "a record without policy and rua: we say permerror, the verifier none; neither enforces"},
		func(v *dmarcView) bool { return v.ours.Reason == dmarc.UnusableRecord && v.results[0] == "none" }},
	{Class{"failed-walk", "9989 §4.10.2", ours, "a lookup that failed matters only if some answer to it could align the identifier"},
		func(v *dmarcView) bool {
			return v.results[0] == "temperror" && len(v.Zone.Fault) > 0 && v.ours.Code != dmarc.TempError
		}},
}

func (v *dmarcView) anyRecord(is func(string) bool) bool {
	for _, sets := range v.Zone.RR {
		if slices.ContainsFunc(sets["TXT"], is) {
			return true
		}
	}
	return false
}

func hasDuplicate(record string) bool {
	seen := map[string]bool{}
	for tag := range strings.SplitSeq(record, ";") {
		name, _, ok := strings.Cut(tag, "=")
		if name = strings.TrimSpace(name); ok && seen[name] {
			return true
		}
		seen[name] = true
	}
	return false
}
