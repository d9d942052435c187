package differential

import (
	"encoding/json"
	"fmt"
	"maps"
	"postseal/internal/app/secondopinion"
	"slices"
	"sync"
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
	}
	return all
}

// Kinds are the kinds of cases.
func Kinds() []string { return []string{"spf", "dkim", "arc", "dmarc"} }

// Record is what a run gave, as testdata/differential.json keeps it.
type Record struct {
	Date    string   `json:"date"`
	Seed    uint64   `json:"seed"`
	First   int      `json:"first"`
	Cases   int      `json:"cases"`
	Tallies []*Tally `json:"tallies"`
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

// verdict is the outcome of one comparison: agreement, a class, or a text that shows a
// disagreement nobody knows.
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
	}, nil
}
