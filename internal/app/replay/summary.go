package replay

import (
	"cmp"
	"slices"

	"postseal"
)

// Summary counts results. Its memory is bounded.
type Summary struct {
	Policies  []Count             `json:"policies"`
	Verified  int                 `json:"verified"`
	Undecided map[string]int      `json:"undecided"` // by reason
	Passed    map[Outcome]int     `json:"passed"`    // not verified, by outcome
	Broken    []string            `json:"broken"`    // the first ones
	Groups    map[string][]*Group `json:"groups"`    // by policy: what it would not accept, the largest first

	groups map[groupKey]*Group
}

// Count is what one policy would have done.
type Count struct {
	Policy     string `json:"policy"`
	Accept     int    `json:"accept"`
	Quarantine int    `json:"quarantine"`
	Reject     int    `json:"reject"`
	Undecided  int    `json:"undecided"`
	Differs    int    `json:"differs"` // differently from what was done
}

// Group is the messages from one sender with one author that a policy would not accept.
type Group struct {
	Sender     string   `json:"sender"`
	Author     string   `json:"author"`
	Quarantine int      `json:"quarantine"`
	Reject     int      `json:"reject"`
	Evidence   []string `json:"evidence"` // evidence that at least half of them have
	Looks      Looks    `json:"looks"`    // shared by all of them, else unclear

	order []string // of words, in their order of appearance
	words map[string]int
	looks map[Looks]int
}

type groupKey struct{ policy, sender, author string }

// Limits of a Summary.
const (
	maxGroups = 10_000
	maxBroken = 100
	maxShown  = 100 // groups of each policy
)

// others is the sender of messages that arrived when there were enough groups.
const others = "(others)"

// NewSummary returns an empty Summary for these policies.
func NewSummary(policies []Policy) *Summary {
	s := &Summary{Undecided: map[string]int{}, Passed: map[Outcome]int{}, Broken: []string{}, Groups: map[string][]*Group{},
		groups: map[groupKey]*Group{}}
	for _, p := range policies {
		s.Policies = append(s.Policies, Count{Policy: p.Name})
	}
	return s
}

// Add counts a result.
func (s *Summary) Add(r *Result) {
	if r.Record != nil {
		s.Count(r.Record)
		return
	}
	s.Passed[r.Outcome]++
	if r.Outcome == Broken && len(s.Broken) < maxBroken {
		s.Broken = append(s.Broken, r.String())
	}
}

// Messages is how many messages there were, those that were skipped included.
func (s *Summary) Messages() int {
	n := s.Verified
	for outcome, passed := range s.Passed {
		if outcome != Broken {
			n += passed
		}
	}
	return n
}

// Count counts a message that was verified, now or by an earlier run.
func (s *Summary) Count(r *Record) {
	s.Verified++
	f := &r.Replay
	if f.Undecided != "" {
		s.Undecided[f.Undecided]++
	}
	for i := range s.Policies {
		c := &s.Policies[i]
		decision, _ := r.Policies.Of(c.Policy)
		applied := decision.Applied
		switch {
		case f.Undecided != "" || applied == postseal.Defer:
			c.Undecided++
			continue
		case applied == postseal.Quarantine:
			c.Quarantine++
		case applied == postseal.Reject:
			c.Reject++
		default:
			c.Accept++
		}
		if applied != f.Was.Action {
			c.Differs++
		}
		if applied != postseal.Accept {
			s.group(c.Policy, f).add(applied, f)
		}
	}
}

func (s *Summary) group(policy string, f *Facts) *Group {
	key := groupKey{policy, f.Sender, f.Author}
	if s.groups[key] == nil && len(s.groups) >= maxGroups {
		key = groupKey{policy, others, others}
	}
	g := s.groups[key]
	if g == nil {
		g = &Group{Sender: key.sender, Author: key.author, words: map[string]int{}, looks: map[Looks]int{}}
		s.groups[key] = g
	}
	return g
}

func (g *Group) add(applied postseal.Action, f *Facts) {
	if applied == postseal.Reject {
		g.Reject++
	} else {
		g.Quarantine++
	}
	for _, w := range f.Evidence {
		if g.words[w]++; g.words[w] == 1 {
			g.order = append(g.order, w)
		}
	}
	g.looks[f.Looks]++
}

// Size is how many messages there are.
func (g *Group) Size() int { return g.Quarantine + g.Reject }

// Finish sorts the groups.
func (s *Summary) Finish() {
	s.Groups = map[string][]*Group{}
	for key, g := range s.groups {
		g.settle()
		s.Groups[key.policy] = append(s.Groups[key.policy], g)
	}
	for policy, list := range s.Groups {
		slices.SortFunc(list, func(a, b *Group) int {
			return cmp.Or(b.Reject-a.Reject, b.Size()-a.Size(), cmp.Compare(a.Sender, b.Sender), cmp.Compare(a.Author, b.Author))
		})
		s.Groups[policy] = list[:min(len(list), maxShown)]
	}
}

// settle determines what the messages of the group have in common.
func (g *Group) settle() {
	g.Evidence, g.Looks = []string{}, Unclear
	for _, w := range g.order {
		if 2*g.words[w] >= g.Size() {
			g.Evidence = append(g.Evidence, w)
		}
	}
	for l, n := range g.looks {
		if n == g.Size() {
			g.Looks = l
		}
	}
}

// Strictest returns the policy that rejects most.
func (s *Summary) Strictest() string {
	worst := s.Policies[0]
	for _, c := range s.Policies {
		if cmp.Or(c.Reject-worst.Reject, c.Quarantine-worst.Quarantine) > 0 {
			worst = c
		}
	}
	return worst.Policy
}
