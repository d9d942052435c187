package bulk

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"postseal/audit"
)

// reportsFile holds the report of each domain that is done, one JSON object per line.
const reportsFile = "reports.jsonl"

// maxReport bounds one of these lines.
const maxReport = 4 << 20

// row is what the page shows of a domain.
type row struct {
	domain, grade, policy string
	lookups               int
	rules                 []string // the most severe first
	severity              audit.Severity
	unchecked             bool
	was                   *Was
}

// stored is a line of reportsFile.
type stored struct {
	*audit.Report
	Was *Was `json:"was,omitempty"`
}

func rowOf(r *audit.Report) row {
	x := row{domain: r.Domain, grade: string(r.Grade), policy: cmp.Or(r.Records.DMARC.Policy, "none"), lookups: r.Records.SPF.Lookups, unchecked: len(r.Unchecked) > 0}
	if r.Records.DMARC.State != audit.Found && r.Records.DMARC.Policy == "" {
		x.policy = "no record"
		if r.Records.DMARC.State == audit.Failed {
			x.policy = "unknown"
		}
	}
	for i := range r.Findings {
		if i == 0 {
			x.severity = r.Findings[i].Severity
		}
		if id := ruleOf(r.Findings[i].ID); !slices.Contains(x.rules, id) {
			x.rules = append(x.rules, id)
		}
	}
	return x
}

// ruleOf returns the id as the table of rules has it, so that no row keeps the text of its report.
func ruleOf(id string) string {
	if rule, ok := audit.RuleOf(id); ok {
		return rule.ID
	}
	return id
}

// index is the rows of a job in the order of its list, with their counts.
type index struct {
	rows     []row
	grades   map[string]int
	policies map[string]int
	rules    map[string]int
}

func (x *index) line(text []byte) error {
	s := stored{Report: &audit.Report{}}
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	r := rowOf(s.Report)
	r.was = s.Was
	x.add(r)
	return nil
}

func (x *index) add(r row) {
	if x.grades == nil {
		x.grades, x.policies, x.rules = map[string]int{}, map[string]int{}, map[string]int{}
	}
	x.rows = append(x.rows, r)
	x.grades[r.grade]++
	x.policies[r.policy]++
	for _, id := range r.rules {
		x.rules[id]++
	}
}

func (x *index) last() string {
	if len(x.rows) == 0 {
		return ""
	}
	return x.rows[len(x.rows)-1].domain
}

// The orders of a Page.
const (
	ByList  = "list"
	ByGrade = "grade" // the worst first
	ByName  = "domain"
)

// Asked says which domains a Page has. The zero value has the first of all.
type Asked struct {
	Rule  string // only domains with this finding
	Grade string // only with this grade; "-" is those without one
	Sort  string
	After int // domains before the page
	Limit int
}

// PageSchema identifies the JSON format of a Page. New fields may be added.
const PageSchema = "postseal.bulk/1"

// Page is a part of the results of a job, with the counts of all that are done.
type Page struct {
	Schema    string  `json:"schema"`
	Job       Info    `json:"job"`
	PerSecond float64 `json:"per_second"` // of this run, 0 if it does not run
	Seconds   int     `json:"seconds"`    // that are left at this pace
	Grades    []Count `json:"grades"`
	Policies  []Count `json:"policies"`
	Rules     []Count `json:"rules"` // the most frequent first
	Found     int     `json:"found"` // domains that match
	Domains   []Row   `json:"results"`
	Next      int     `json:"next"` // After of the next page, 0 for none
}

// Count is how many domains have a value.
type Count struct {
	Value string `json:"value"`
	N     int    `json:"n"`
}

// Row is one domain.
type Row struct {
	Domain    string         `json:"domain"`
	Grade     string         `json:"grade"` // "" if it could not be graded
	Worst     string         `json:"worst"` // the rule of the most severe finding
	Title     string         `json:"title"` // of that rule
	Severity  audit.Severity `json:"severity"`
	Findings  int            `json:"findings"` // different rules
	Policy    string         `json:"policy"`
	Lookups   int            `json:"spf_lookups"`
	Unchecked bool           `json:"unchecked"` // something could not be looked up
	Was       *Was           `json:"was"`       // what the list of Info.Compared found, null if that is not known
}

// Page returns a part of the results of a job.
func (j *Jobs) Page(id string, a Asked) (*Page, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	x, err := j.get(id)
	if err != nil {
		return nil, err
	}
	if x.index == nil {
		if err := j.load(x); err != nil {
			return nil, err
		}
	}
	p := &Page{Schema: PageSchema, Job: x.Info, Grades: counts(x.index.grades, byValue), Policies: counts(x.index.policies, byNumber), Rules: counts(x.index.rules, byNumber), Domains: []Row{}}
	if took := j.now().Sub(x.began); x.State == Running && x.Done > x.before && took > 0 {
		p.PerSecond = float64(x.Done-x.before) / took.Seconds()
		p.Seconds = int((time.Duration(float64(x.Total-x.Done)/p.PerSecond*float64(time.Second)) + time.Second - 1) / time.Second)
	}
	list := x.index.find(a)
	p.Found = len(list)
	from := min(max(a.After, 0), len(list))
	to := min(from+cmp.Or(a.Limit, 50), len(list))
	for _, i := range list[from:to] {
		p.Domains = append(p.Domains, x.index.rows[i].shown())
	}
	if to < len(list) {
		p.Next = to
	}
	return p, nil
}

func (r *row) shown() Row {
	s := Row{Domain: r.domain, Grade: r.grade, Severity: r.severity, Findings: len(r.rules), Policy: r.policy, Lookups: r.lookups, Unchecked: r.unchecked, Was: r.was}
	if len(r.rules) > 0 {
		s.Worst = r.rules[0]
		if rule, ok := audit.RuleOf(s.Worst); ok {
			s.Title = rule.Title
		}
	}
	return s
}

// find returns the positions of the rows that match.
func (x *index) find(a Asked) []int {
	var list []int
	for i := range x.rows {
		r := &x.rows[i]
		if a.Rule != "" && !slices.Contains(r.rules, a.Rule) || a.Grade != "" && cmp.Or(r.grade, "-") != a.Grade {
			continue
		}
		list = append(list, i)
	}
	switch a.Sort {
	case ByGrade:
		slices.SortStableFunc(list, func(i, k int) int { return cmp.Compare(x.rows[k].grade, x.rows[i].grade) })
	case ByName:
		slices.SortStableFunc(list, func(i, k int) int { return cmp.Compare(x.rows[i].domain, x.rows[k].domain) })
	}
	return list
}

// load reads the rows of a job that does not run.
func (j *Jobs) load(x *job) error {
	read := &index{}
	err := j.lines(x.ID, read.line)
	if err != nil {
		return err
	}
	j.forget(x)
	x.index = read
	return nil
}

// lines calls f for each report of a job.
func (j *Jobs) lines(id string, f func([]byte) error) error {
	file, err := os.Open(filepath.Join(j.dir, id, reportsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	in := bufio.NewReaderSize(io.LimitReader(file, MaxDomains*maxReport), 64<<10)
	for {
		text, err := in.ReadBytes('\n')
		switch {
		case errors.Is(err, io.EOF):
			return nil // the last line may be incomplete
		case err != nil:
			return err
		}
		if err := f(text); err != nil {
			return err
		}
	}
}

// Reports calls f for each report of a job, in the order of its list.
func (j *Jobs) Reports(id string, f func(*audit.Report) error) error {
	j.mu.Lock()
	_, err := j.get(id)
	j.mu.Unlock()
	if err != nil {
		return err
	}
	return j.lines(id, func(text []byte) error {
		var r audit.Report
		if err := json.Unmarshal(text, &r); err != nil {
			return err
		}
		return f(&r)
	})
}

func byValue(a, b Count) int { return cmp.Compare(cmp.Or(a.Value, "~"), cmp.Or(b.Value, "~")) }

func byNumber(a, b Count) int { return cmp.Or(b.N-a.N, cmp.Compare(a.Value, b.Value)) }

// counts sorts how many rows have each value.
func counts(m map[string]int, by func(a, b Count) int) []Count {
	list := []Count{}
	for v, n := range m {
		list = append(list, Count{v, n})
	}
	slices.SortFunc(list, by)
	return list
}
