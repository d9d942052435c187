package differential

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"postseal/internal/app/secondopinion"
)

// Class is a reviewed kind of disagreement.
type Class struct {
	ID    string `json:"id"`
	RFC   string `json:"rfc"`
	Right string `json:"right"` // ours, or both where the standard leaves a choice
	Why   string `json:"why"`
}

// Classes lists every reviewed class of a kind of cases.
func Classes(kind string) []Class {
	var all []Class
	switch kind {
	case "spf":
		for _, c := range spfClasses {
			all = append(all, c.Class)
		}
		for _, r := range secondopinion.SPFRules() {
			all = append(all, Class{r.ID, r.RFC, string(r.Right), r.Why})
		}
	case "dkim":
		for _, c := range dkimClasses {
			all = append(all, c.Class)
		}
		for _, r := range secondopinion.DKIMRules() {
			all = append(all, Class{r.ID, r.RFC, string(r.Right), r.Why})
		}
		all = append(all, unlistedSignature, messageCrash)
	case "arc":
		for _, c := range arcClasses {
			all = append(all, c.Class)
		}
	case "dmarc":
		for _, c := range dmarcClasses {
			all = append(all, c.Class)
		}
	case "mail":
		for _, c := range mailClasses {
			all = append(all, c.Class)
		}
	}
	return all
}

// Kinds are the kinds of cases.
func Kinds() []string { return []string{"spf", "dkim", "arc", "dmarc", "mail"} }

// Record is what a run gave, as testdata/differential.json keeps it.
type Record struct {
	Date    string   `json:"date"`
	Seed    uint64   `json:"seed"`
	First   int      `json:"first"`
	Cases   int      `json:"cases"`
	Tallies []*Tally `json:"tallies"`
}

// And is r and the cases that follow it, by the same verifiers.
func (r Record) And(next Record) (Record, error) {
	if r.Seed != next.Seed || r.First+r.Cases != next.First || len(r.Tallies) != len(next.Tallies) {
		return r, fmt.Errorf("cases from %d of seed %d do not follow %d from %d of seed %d, by as many verifiers", next.First, next.Seed, r.Cases, r.First, r.Seed)
	}
	for i, t := range next.Tallies {
		sum := r.Tallies[i]
		if sum.Verifier != t.Verifier {
			return r, fmt.Errorf("%s stands where %s stood", t.Verifier, sum.Verifier)
		}
		sum.Cases, sum.Agree, sum.Unknown = sum.Cases+t.Cases, sum.Agree+t.Agree, sum.Unknown+t.Unknown
		for id, n := range t.Classes {
			sum.Classes[id] += n
		}
	}
	r.Date, r.Cases = next.Date, r.Cases+next.Cases
	return r, nil
}

// Tally counts what one verifier said to the cases of one kind.
type Tally struct {
	Kind     string         `json:"kind"`
	Verifier string         `json:"verifier"`
	Cases    int            `json:"cases"`
	Agree    int            `json:"agree"`
	Classes  map[string]int `json:"classes"`

	Unclassed []string `json:"-"` // of them, at most MaxShown
	Unknown   int      `json:"unknown"`
}

// MaxShown is how many unknown disagreements a tally keeps to show.
var MaxShown = 20

func newTally(kind, verifier string) *Tally {
	return &Tally{Kind: kind, Verifier: verifier, Classes: map[string]int{}}
}

// verdict is the outcome of one comparison: agreement, a class, or a text that shows an unknown
// disagreement.
type verdict struct {
	agrees bool
	class  string
	text   string
}

func (t *Tally) add(v verdict) {
	t.Cases++
	switch {
	case v.agrees:
		t.Agree++
	case v.class != "":
		t.Classes[v.class]++
	default:
		if t.Unknown++; len(t.Unclassed) < MaxShown {
			t.Unclassed = append(t.Unclassed, v.text)
		}
	}
}

// String is one line.
func (t *Tally) String() string {
	s := fmt.Sprintf("%s %s: %d cases, %d agree, %d unknown", t.Kind, t.Verifier, t.Cases, t.Agree, t.Unknown)
	for _, id := range slices.Sorted(maps.Keys(t.Classes)) {
		s += fmt.Sprintf(", %s %d", id, t.Classes[id])
	}
	return s
}

// job is one case with our verdict and how to compare it.
type job interface {
	number() int
	library() (verifier string, v verdict)     // what the Go library of the kind says, "" when there is none
	compare(verifier string, a Answer) verdict // what a program says
}

// batch is how many cases are made before they are asked about.
const batch = 500

// Run makes cases from first on and asks every program about each, and the Go library of
// the kind. The tallies are in the order of the programs.
func Run(kind, keyDir string, seed uint64, first, cases int, programs []Program) ([]*Tally, error) {
	kinds, err := makers(keyDir)
	if err != nil {
		return nil, err
	}
	make, ok := kinds[kind]
	if !ok {
		return nil, fmt.Errorf("no such kind of cases: %q", kind)
	}
	var drivers []*driver
	var tallies []*Tally
	defer func() {
		for _, d := range drivers {
			d.stop()
		}
	}()
	for _, p := range programs {
		d, err := p.start()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		drivers = append(drivers, d)
		tallies = append(tallies, newTally(kind, p.Name))
	}
	library := newTally(kind, "")
	for done := 0; done < cases; done += batch {
		jobs, lines, err := makeBatch(make, seed, first+done, min(batch, cases-done))
		if err != nil {
			return nil, err
		}
		for _, j := range jobs {
			if name, v := j.library(); name != "" {
				library.Verifier = name
				library.add(v)
			}
		}
		if err := askAll(drivers, tallies, jobs, lines); err != nil {
			return nil, err
		}
	}
	if library.Verifier != "" {
		tallies = append(tallies, library)
	}
	return tallies, nil
}

func makeBatch(make func(seed uint64, n int) job, seed uint64, first, n int) (jobs []job, lines [][]byte, err error) {
	for i := range n {
		j := make(seed, first+i)
		line, err := json.Marshal(j)
		if err != nil {
			return nil, nil, err
		}
		jobs, lines = append(jobs, j), append(lines, append(line, '\n'))
	}
	return jobs, lines, nil
}

// askAll asks all programs at once.
func askAll(drivers []*driver, tallies []*Tally, jobs []job, lines [][]byte) error {
	var wait sync.WaitGroup
	errs := make([]error, len(drivers))
	for i, d := range drivers {
		wait.Go(func() {
			answers, err := d.ask(lines)
			for k, a := range answers {
				if a.ID != jobs[k].number() {
					err = fmt.Errorf("answer %d to case %d", a.ID, jobs[k].number())
					break
				}
				tallies[i].add(jobs[k].compare(tallies[i].Verifier, a))
			}
			if err != nil {
				errs[i] = fmt.Errorf("%s, about case %d: %w", tallies[i].Verifier, jobs[min(len(answers), len(jobs)-1)].number(), err)
			}
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// makers are the kinds of cases. keyDir holds the RSA keys that sign.
func makers(keyDir string) (map[string]func(seed uint64, n int) job, error) {
	keys, err := loadKeys(keyDir)
	if err != nil {
		return nil, err
	}
	return map[string]func(seed uint64, n int) job{
		"spf":   func(seed uint64, n int) job { return newSPFJob(MakeSPF(seed, n)) },
		"dkim":  func(seed uint64, n int) job { return newDKIMJob(MakeDKIM(keys, seed, n)) },
		"arc":   func(seed uint64, n int) job { return newARCJob(MakeARC(keys, seed, n)) },
		"dmarc": func(seed uint64, n int) job { return newDMARCJob(MakeDMARC(seed, n)) },
		"mail":  func(seed uint64, n int) job { return newMailJob(MakeMail(keys, seed, n)) },
	}, nil
}
