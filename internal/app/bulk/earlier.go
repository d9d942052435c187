package bulk

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"postseal/audit"
	"postseal/internal/app/batch"
)

// maxEarlier is how many earlier lists are looked through.
const maxEarlier = 5

// Was is what an earlier list found of a domain.
type Was struct {
	Grade   string `json:"grade"`
	Policy  string `json:"policy"`
	Lookups int    `json:"spf_lookups"`
}

// earlier is what the newest earlier list with domains of this one found.
type earlier struct {
	created time.Time
	domains map[string]Was
}

// of returns what was found of a domain, nil if that is not known or the domain could not be checked now.
func (e *earlier) of(r *row) *Was {
	if was, ok := e.domains[r.domain]; ok && !r.unchecked {
		return &was
	}
	return nil
}

// earlier reads the newest list before x with a domain that x has too.
func (j *Jobs) earlier(x *job) (*earlier, error) {
	names, err := j.names(x.ID)
	if err != nil {
		return nil, err
	}
	for _, before := range j.before(x) {
		e := &earlier{before.Created, map[string]Was{}}
		err := j.lines(before.ID, func(text []byte) error {
			var report audit.Report
			if err := json.Unmarshal(text, &report); err != nil {
				return err
			}
			if r := rowOf(&report); names[r.domain] && !r.unchecked {
				e.domains[r.domain] = Was{r.grade, r.policy, r.lookups}
			}
			return nil
		})
		if err == nil && len(e.domains) > 0 { // a list that cannot be read is as one that is not there
			return e, nil
		}
	}
	return &earlier{}, nil
}

// before returns lists that were started before x and do not run, the newest first.
func (j *Jobs) before(x *job) []Info {
	j.mu.Lock()
	defer j.mu.Unlock()
	var list []Info
	for _, y := range slices.Backward(j.sorted()) {
		if y.Created.Before(x.Created) && y.State != Running && y.State != Waiting && len(list) < maxEarlier {
			list = append(list, y.Info)
		}
	}
	return list
}

func (j *Jobs) names(id string) (map[string]bool, error) {
	file, err := os.Open(filepath.Join(j.dir, id, "domains"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	names := map[string]bool{}
	for d := range batch.Domains(file, "the list") {
		names[string(d.Name)] = true
	}
	return names, nil
}

// Changed says in words what differs from an earlier list, "" if nothing does or nothing is known.
func (r Row) Changed() string {
	if r.Was == nil {
		return ""
	}
	var parts []string
	if r.Was.Grade != r.Grade {
		parts = append(parts, graded(r.Was.Grade)+" to "+graded(r.Grade))
	}
	if r.Was.Policy != r.Policy {
		parts = append(parts, "policy "+r.Was.Policy+" to "+r.Policy)
	}
	if r.Was.Lookups != r.Lookups {
		parts = append(parts, fmt.Sprintf("%d to %d lookups", r.Was.Lookups, r.Lookups))
	}
	return strings.Join(parts, ", ")
}

func graded(grade string) string {
	if grade == "" {
		return "no grade"
	}
	return grade
}
