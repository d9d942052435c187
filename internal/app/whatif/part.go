package whatif

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"postseal"
	"postseal/internal/app/replay"
	"postseal/store/evidence"
)

// Part is what the evidence of one host tells. Those of all hosts make a Report.
type Part struct {
	Messages  int      `json:"messages"`
	Changed   int      `json:"changed"`
	Undecided int      `json:"undecided,omitempty"`
	Broken    int      `json:"broken,omitempty"`
	More      bool     `json:"more,omitempty"`
	Accepted  bool     `json:"accepted,omitempty"`
	None      bool     `json:"none,omitempty"`  // the host keeps no evidence
	Error     string   `json:"error,omitempty"` // why the host could not look at it
	Ways      []Way    `json:"ways,omitempty"`
	Changes   []shared `json:"changes,omitempty"`
}

// shared is a Change with the times of its references, so that those of several hosts can be put in order.
type shared struct {
	Change
	At []int64 `json:"at"` // milliseconds since 1970
}

// Look compares the policies with the evidence of this host. It ends early with the error of ctx.
func Look(ctx context.Context, o Options) (*Part, error) {
	list, more, err := evidence.List(o.Dir, o.Since, MaxMessages)
	if err != nil {
		return nil, err
	}
	t := newTally()
	t.More, t.Accepted = more, o.Accepted
	for i, kept := range list {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if o.Progress != nil {
			o.Progress(i, len(list))
		}
		t.bundle(ctx, &o, kept)
	}
	return t.part(), nil
}

// LookIf is Look, for a host that may keep no evidence, or none yet.
func LookIf(ctx context.Context, o Options) (*Part, error) {
	if o.Dir == "" {
		return &Part{None: true}, nil
	}
	p, err := Look(ctx, o)
	if errors.Is(err, fs.ErrNotExist) {
		return &Part{Accepted: o.Accepted}, nil
	}
	return p, err
}

// tally counts changes.
type tally struct {
	Part
	ways    map[[2]postseal.Action]*Way
	changes map[changeKey]*shared
}

type changeKey struct {
	sender, author string
	from, to       postseal.Action
}

func newTally() *tally {
	return &tally{ways: map[[2]postseal.Action]*Way{}, changes: map[changeKey]*shared{}}
}

// add counts a message that changes.
func (t *tally) add(r *postseal.Report, made time.Time, from, to postseal.Action) {
	t.Changed++
	facts := replay.FactsOf(r)
	t.addWay(&Way{From: from, To: to, N: 1, Looks: map[replay.Looks]int{facts.Looks: 1}})
	t.addChange(&shared{Change{Sender: facts.Sender, Author: facts.Author, From: from, To: to, N: 1, Looks: facts.Looks, Evidence: facts.Evidence, Refs: []string{r.Ref}}, []int64{made.UnixMilli()}})
}

func (t *tally) addWay(w *Way) {
	way := t.ways[[2]postseal.Action{w.From, w.To}]
	if way == nil {
		way = &Way{From: w.From, To: w.To, Looks: map[replay.Looks]int{}}
		t.ways[[2]postseal.Action{w.From, w.To}] = way
	}
	way.N += w.N
	for looks, n := range w.Looks {
		way.Looks[looks] += n
	}
}

// addChange adds a change to those of its sender and author, with the newest references of both.
func (t *tally) addChange(x *shared) {
	key := changeKey{x.Sender, x.Author, x.From, x.To}
	if t.changes[key] == nil && len(t.changes) >= 10*maxChanges {
		key.sender, key.author = Others, Others
	}
	c := t.changes[key]
	if c == nil {
		c = &shared{Change: Change{Sender: key.sender, Author: key.author, From: x.From, To: x.To, Looks: x.Looks, Evidence: x.Evidence, Refs: []string{}}}
		t.changes[key] = c
	}
	c.N += x.N
	if c.Looks != x.Looks {
		c.Looks = replay.Unclear
	}
	for i := range min(len(x.Refs), len(x.At)) {
		at, _ := slices.BinarySearchFunc(c.At, x.At[i], func(a, b int64) int {
			if a >= b { // the newest first, and the older ones after those of the same time
				return -1
			}
			return 1
		})
		if at < maxRefs {
			c.Refs, c.At = slices.Insert(c.Refs, at, x.Refs[i]), slices.Insert(c.At, at, x.At[i])
			c.Refs, c.At = c.Refs[:min(len(c.Refs), maxRefs)], c.At[:min(len(c.At), maxRefs)]
		}
	}
}

// part is what was counted, the most first.
func (t *tally) part() *Part {
	p := t.Part
	for _, w := range t.ways {
		p.Ways = append(p.Ways, *w)
	}
	slices.SortFunc(p.Ways, func(a, b Way) int {
		return cmp.Or(b.N-a.N, cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	for _, c := range t.changes {
		p.Changes = append(p.Changes, *c)
	}
	slices.SortFunc(p.Changes, func(a, b shared) int {
		return cmp.Or(b.N-a.N, cmp.Compare(a.Sender, b.Sender), cmp.Compare(a.Author, b.Author), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	return &p
}

// Merge adds parts to a report.
func Merge(r *Report, parts ...*Part) *Report {
	t := newTally()
	for _, p := range parts {
		r.Messages += p.Messages
		r.Changed += p.Changed
		r.Undecided += p.Undecided
		r.Broken += p.Broken
		r.More = r.More || p.More
		r.Accepted = r.Accepted && (p.Accepted || p.None)
		for i := range p.Ways {
			t.addWay(&p.Ways[i])
		}
		for i := range p.Changes {
			t.addChange(&p.Changes[i])
		}
	}
	all := t.part()
	r.Ways, r.Changes = append([]Way{}, all.Ways...), []Change{}
	for i := range min(len(all.Changes), maxChanges) {
		r.Changes = append(r.Changes, all.Changes[i].Change)
	}
	return r
}
